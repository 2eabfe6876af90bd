package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// actor is who makes a request, as far as that is known.
func (s *Server) actor(r *http.Request) string {
	who := "signing key"
	if s.dev {
		who = "dev"
	}
	if id, ok := identified(r); ok {
		who = id.name
	}
	return from(r, who)
}

// person is who makes a request, if it is a person who is logged in; "" for programs, whose
// traffic the audit log does not tell of.
func (s *Server) person(r *http.Request) string {
	if id, ok := identified(r); ok && id.person != "" {
		return s.actor(r)
	}
	return ""
}

// actView is a line of the audit log.
type actView struct {
	Seq    int64          `json:"seq"`
	At     time.Time      `json:"at"`
	By     string         `json:"by"`
	What   string         `json:"what"`
	Object string         `json:"object"` // a function's slug, or a kind and a name, such as run/01JQDAE4RQF8MBCR55T5AK4KXS
	Detail jsontext.Value `json:"detail,omitzero"`
	Cursor string         `json:"cursor"` // of the next page, if this is the last row
}

func viewAct(a durable.Act) actView {
	v := actView{Seq: a.Seq, At: a.At.UTC(), By: a.By, What: a.What, Object: a.Object, Cursor: store.ActCursor(a)}
	if a.Detail != nil {
		v.Detail = readable(a.Detail)
	}
	return v
}

// shownAct is the view of an act, without values of keys that must not be seen.
func (s *Server) shownAct(ctx context.Context, a durable.Act) (actView, error) {
	v := viewAct(a)
	var detail map[string]jsontext.Value
	if v.Detail.Kind() != '{' || json.Unmarshal(v.Detail, &detail, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) != nil {
		return v, nil
	}
	source, value := textOf(detail["key"]), textOf(detail["value"])
	shown := s.eng.ShownValue(source, value)
	if a.What == durable.ActVoidKey {
		hidden, err := s.eng.HidesKeys(ctx, strings.TrimPrefix(a.Object, durable.KeyObject("")))
		if err != nil || !hidden {
			return v, err
		}
		detail["key"] = appendText(nil, s.eng.ShownKey(source))
	} else if shown == value {
		return v, nil
	} else {
		detail["value"] = appendText(nil, shown)
	}
	var err error
	v.Detail, err = json.Marshal(detail, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	return v, err
}

// listActs reads the audit log, newest first.
func (s *Server) listActs(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	page := store.Page{Limit: q.number("limit", 50, 1, 200), Cursor: q.get("cursor")}
	filter := store.ActFilter{Object: q.get("object"), From: q.time("from", time.Time{}), Until: q.time("until", time.Time{})}
	if q.refused(w) {
		return
	}
	list, err := s.eng.Acts(r.Context(), filter, page)
	switch {
	case errors.Is(err, store.ErrNotFound):
		fail(w, http.StatusBadRequest, "cursor must be that of the last row")
		return
	case err != nil:
		s.failWith(w, r, err, "")
		return
	}
	views := make([]actView, len(list))
	for i, a := range list {
		if views[i], err = s.shownAct(r.Context(), a); err != nil {
			s.failWith(w, r, err, "")
			return
		}
	}
	s.reply(w, views)
}

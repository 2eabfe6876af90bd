package server

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Cancellation of many runs at once. Source: spec/12 §3.

// pastTolerance is by how much a caller's clock may be ahead.
const pastTolerance = 5 * time.Second

// maxExpression bounds an expression in a request, in bytes.
const maxExpression = 4 << 10

// cancellationIn is what POST /v1/cancellations takes.
type cancellationIn struct {
	App           string    `json:"app_id"`
	Function      string    `json:"function_id"` // without the app's prefix
	StartedAfter  time.Time `json:"started_after,omitzero"`
	StartedBefore time.Time `json:"started_before"`
	If            string    `json:"if,omitzero"` // over the run's event
}

// cancellationView is a cancellation of many runs.
type cancellationView struct {
	CreatedAt          time.Time  `json:"created_at"`
	ID                 string     `json:"id"`
	AccountID          string     `json:"account_id"`
	EnvironmentID      string     `json:"environment_id"`
	AppID              string     `json:"app_id"`
	FunctionInternalID string     `json:"function_internal_id"`
	FunctionID         string     `json:"function_id"` // slug
	StartedAfter       *time.Time `json:"started_after"`
	StartedBefore      time.Time  `json:"started_before"`
	If                 string     `json:"if,omitzero"`
	Kind               string     `json:"kind"`
}

func (s *Server) viewCancellation(c durable.Cancellation) cancellationView {
	v := cancellationView{
		CreatedAt: c.Created.UTC(), ID: c.ID, AccountID: accountID, EnvironmentID: environmentID, AppID: c.App, FunctionID: c.Function,
		StartedAfter: timeOrNull(c.After), StartedBefore: c.Before.UTC(), If: c.If, Kind: "api",
	}
	if f, ok := s.eng.Function(c.Function); ok {
		v.FunctionInternalID = f.ID
	}
	return v
}

func (s *Server) cancelMany(w http.ResponseWriter, r *http.Request, body []byte) {
	var in cancellationIn
	if message := readStrict(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	if wrong := in.wrong(time.Now()); len(wrong) > 0 {
		fail(w, http.StatusBadRequest, strings.Join(wrong, "\n"))
		return
	}
	missing := "function not found: " + printable(in.Function) + " of app " + printable(in.App)
	slugs := s.functionsOf(in.App, in.Function)
	if len(slugs) == 0 {
		fail(w, http.StatusNotFound, missing)
		return
	}
	key, message := once(r, "cancellations", body)
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	c, err := s.eng.CancelMany(r.Context(), durable.Cancellation{Function: slugs[0], After: in.StartedAfter, Before: in.StartedBefore, If: in.If}, key, s.actor(r))
	if again, ok := errors.AsType[*store.RepeatedError](err); ok {
		w.Header().Set(headerReplayed, "true")
		c, err = s.eng.Cancellation(r.Context(), string(again.Entry.Reply))
		if errors.Is(err, store.ErrNotFound) {
			fail(w, http.StatusGone, "the cancellation "+string(again.Entry.Reply)+", which the first request with this key has made, was removed since")
			return
		}
	}
	if replayed(w, err, nil) { // the key stands for another request
		return
	}
	if bad, ok := errors.AsType[*engine.ExpressionError](err); ok {
		fail(w, http.StatusBadRequest, "invalid expression: "+bad.Message)
		return
	}
	if err != nil {
		s.failWith(w, r, err, missing)
		return
	}
	s.reply(w, s.viewCancellation(c))
}

// wrong is all that keeps a cancellation from being one.
func (in cancellationIn) wrong(now time.Time) (problems []string) {
	for _, p := range []struct {
		bad     bool
		message string
	}{
		{in.App == "", "app_id is required"},
		{in.Function == "", "function_id is required"},
		{in.StartedBefore.IsZero(), "started_before is required"},
		{in.StartedBefore.After(now.Add(pastTolerance)), "started_before must be in the past"},
		{!in.StartedBefore.IsZero() && !in.StartedAfter.IsZero() && !in.StartedAfter.Before(in.StartedBefore), "started_after must be before started_before"},
		{len(in.If) > maxExpression, "if is longer than 4096 bytes"},
	} {
		if p.bad {
			problems = append(problems, p.message)
		}
	}
	return problems
}

func (s *Server) listCancellations(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	page := q.page(20, 200)
	if q.refused(w) {
		return
	}
	list, err := s.eng.Cancellations(r.Context(), page)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	views := make([]cancellationView, len(list))
	for i, c := range list {
		views[i] = s.viewCancellation(c)
	}
	s.reply(w, views)
}

func (s *Server) removeCancellation(w http.ResponseWriter, r *http.Request, _ []byte) {
	id := r.PathValue("id")
	if _, err := ulid.ParseStrict(id); err != nil {
		fail(w, http.StatusBadRequest, "Invalid cancellation ID: "+printable(id))
		return
	}
	if err := s.eng.RemoveCancellation(r.Context(), id, s.actor(r)); err != nil {
		s.failWith(w, r, err, "Cancellation not found: "+printable(id))
		return
	}
	s.reply(w, doneView{true})
}

// doneView says that something was done.
type doneView struct {
	OK bool `json:"ok"`
}

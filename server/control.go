package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
)

// maxControlBody bounds what pauses and changes limits, in bytes.
const maxControlBody = 64 << 10

// controlRoutes are those by which operators hold back and let go.
var controlRoutes = []route{
	{method: "GET", pattern: "/v1/controls", who: signingKey, serve: (*Server).listControls},
	{method: "GET", pattern: "/v1/functions/{slug}/versions", who: signingKey, serve: (*Server).listVersions},
	{method: "POST", pattern: "/v1/functions/{slug}/pause", who: signingKey, mark: act, key: sameAgain, serve: (*Server).pause, body: maxControlBody, json: true},
	{method: "POST", pattern: "/v1/functions/{slug}/resume", who: signingKey, mark: act, key: sameAgain, serve: (*Server).resume, body: maxControlBody, json: true},
	{method: "PUT", pattern: "/v1/functions/{slug}/limits", who: signingKey, mark: act, key: sameAgain, serve: (*Server).setLimits, body: maxControlBody, json: true},
	{method: "POST", pattern: "/v1/apps/{app}/pause", who: signingKey, mark: act, key: sameAgain, serve: (*Server).pause, body: maxControlBody, json: true},
	{method: "GET", pattern: "/v1/audit", who: signingKey, serve: (*Server).listActs},
	{method: "POST", pattern: "/v1/apps/{app}/resume", who: signingKey, mark: act, key: sameAgain, serve: (*Server).resume, body: maxControlBody, json: true},
}

// controlView is what an operator has set about a function or an app.
type controlView struct {
	Name   string         `json:"name"`         // a function's slug, or app/ and an app's name
	Key    string         `json:"key,omitzero"` // of a function; it is held back for one value of it
	Value  string         `json:"value,omitzero"`
	Paused string         `json:"paused,omitzero"` // starts or all
	Refuse bool           `json:"refuse,omitzero"` // what would start is skipped
	Limits jsontext.Value `json:"limits,omitzero"` // in place of the app's
	Since  time.Time      `json:"since"`
	By     string         `json:"by"`
	Reason string         `json:"reason,omitzero"`
}

func (s *Server) listControls(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	if q.refused(w) {
		return
	}
	list := s.eng.Controls()
	views := make([]controlView, len(list))
	for i, c := range list {
		views[i] = controlView{Name: c.Of(), Key: c.Key, Value: s.eng.ShownValue(c.Key, c.Value), Refuse: c.Refuse, Paused: c.Pause.String(), Limits: c.Limits, Since: c.Since.UTC(), By: c.By, Reason: c.Why}
	}
	s.reply(w, views)
}

// pauseIn is the body of a pause and of a resume.
type pauseIn struct {
	Hold   string `json:"hold,omitzero"` // of a pause: starts (the default), or all: no request at all is made
	Reason string `json:"reason,omitzero"`
	Refuse bool   `json:"refuse,omitzero"` // of a pause: what would start is skipped; otherwise it waits
	Key    string `json:"key,omitzero"`    // of a function: an expression by which it is limited
	Value  string `json:"value,omitzero"`  // of that: only what has it is held back
}

func (s *Server) pause(w http.ResponseWriter, r *http.Request, body []byte) {
	in := pauseIn{Hold: durable.PauseStarts.String()}
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	p, ok := durable.ParsePause(in.Hold)
	if !ok {
		fail(w, http.StatusBadRequest, "hold must be starts or all")
		return
	}
	s.setPause(w, r, engine.Hold{Pause: p, Refuse: in.Refuse, Key: in.Key, Value: in.Value}, in.Reason)
}

func (s *Server) resume(w http.ResponseWriter, r *http.Request, body []byte) {
	var in pauseIn
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	s.setPause(w, r, engine.Hold{Key: in.Key, Value: in.Value}, in.Reason)
}

func (s *Server) setPause(w http.ResponseWriter, r *http.Request, h engine.Hold, reason string) {
	if message := wrongText("reason", reason); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	name, what := r.PathValue("slug"), "function"
	if app := r.PathValue("app"); app != "" {
		name, what = "app/"+app, "app"
	}
	if h.Key != "" && what == "app" || h.Key == "" && h.Value != "" {
		fail(w, http.StatusBadRequest, "key and value go together, and are those of a function")
		return
	}
	err := s.eng.Pause(r.Context(), name, h, s.actor(r), reason)
	if bad, ok := errors.AsType[*engine.KeyError](err); ok {
		fail(w, http.StatusUnprocessableEntity, bad.Error())
		return
	}
	if bad, ok := errors.AsType[*engine.NotPausedError](err); ok {
		s.reply(w, resumedView{OK: true, Note: bad.Error()}) // whoever asks again has it as they want
		return
	}
	if err != nil {
		s.failWith(w, r, err, "there is no "+what+" "+printable(name))
		return
	}
	if h.Pause == durable.Unpaused {
		s.reply(w, resumedView{OK: true, Resumed: true})
		return
	}
	s.reply(w, doneView{OK: true})
}

// resumedView answers a resume: what was to go on is not paused.
type resumedView struct {
	OK      bool   `json:"ok"`
	Resumed bool   `json:"resumed"`       // it was paused
	Note    string `json:"note,omitzero"` // what is so, when it was not
}

// limitsIn is the body that changes limits.
type limitsIn struct {
	Limits jsontext.Value `json:"limits"` // such as {"concurrency":5,"idempotencyKey":"required"}; null: those of the app again
	Reason string         `json:"reason,omitzero"`
}

func (s *Server) setLimits(w http.ResponseWriter, r *http.Request, body []byte) {
	var in limitsIn
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	if message := wrongText("reason", in.Reason); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	if in.Limits == nil {
		fail(w, http.StatusBadRequest, `limits is required: an object such as {"concurrency":5}, or null for those of the app`)
		return
	}
	slug := r.PathValue("slug")
	err := s.eng.SetLimits(r.Context(), slug, in.Limits, s.actor(r), in.Reason)
	if bad, ok := engine.IsLimits(err); ok {
		fail(w, http.StatusBadRequest, bad.Error())
		return
	}
	if err != nil {
		s.failWith(w, r, err, "there is no function "+printable(slug))
		return
	}
	s.reply(w, doneView{OK: true})
}

package server

import (
	"errors"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Bounds of what signals and invocations carry, in bytes.
const (
	maxSignalName = 512
	maxSignalBody = 4 << 20
)

// signalIn is what POST /v1/signals takes.
type signalIn struct {
	Signal string         `json:"signal"`
	Data   jsontext.Value `json:"data,omitzero"`
}

// invokeIn is what POST /invoke/{slug} takes: the event with which the function
// is invoked. Data and user are objects.
type invokeIn struct {
	Data jsontext.Value `json:"data,omitzero"`
	User jsontext.Value `json:"user,omitzero"`
	V    string         `json:"v,omitzero"`
}

// invokedView is the event that stands for an invocation.
type invokedView struct {
	ID     string `json:"id"`
	Status int    `json:"status"`
}

// signal hands a signal to the run that waits for it. A signal that nobody
// waits for is refused with 404, which SDKs take for an answer and not for an
// error. Source: spec/12 §3, spec/03 §10.
func (s *Server) signal(w http.ResponseWriter, r *http.Request, body []byte) {
	var in signalIn
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	switch {
	case in.Signal == "":
		fail(w, http.StatusBadRequest, "signal is required: the name that a run waits for")
		return
	case len(in.Signal) > maxSignalName:
		fail(w, http.StatusBadRequest, "signal is longer than 512 bytes")
		return
	}
	key, message := once(r, "signals", body)
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	run, err := s.eng.Signal(r.Context(), in.Signal, in.Data, key, s.person(r))
	if replayed(w, err, func(e store.KeyEntry) { s.reply(w, startedView{string(e.Reply)}) }) {
		return
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, durable.ErrStale) || errors.Is(err, durable.ErrEnded) {
		fail(w, http.StatusNotFound, "No signal found: nobody waits for "+printable(in.Signal))
		return
	}
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	s.reply(w, startedView{run})
}

// invoke starts a run of one function, whatever its triggers. Source: spec/10 §11.
func (s *Server) invoke(w http.ResponseWriter, r *http.Request, body []byte) {
	var in invokeIn
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, "Unable to read post data request: "+message)
		return
	}
	call := durable.Invoke{Function: r.PathValue("slug"), V: in.V}
	for _, part := range []struct {
		name string
		from jsontext.Value
		to   *durable.JSON
	}{{"data", in.Data, &call.Payload}, {"user", in.User, &call.User}} {
		switch part.from.Kind() {
		case '{':
			clean, err := wire.WithoutReserved(part.from)
			if err != nil {
				fail(w, http.StatusBadRequest, "Invalid invocation event: "+part.name+": "+err.Error())
				return
			}
			*part.to = clean
		case 0, 'n':
		default:
			fail(w, http.StatusBadRequest, "Invalid invocation event: "+part.name+" must be an object")
			return
		}
	}
	key, message := onceOf(r, "invoke/"+call.Function, body)
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	invoked := func(event, _ string) []byte { return []byte(`{"id":"` + event + `","status":200}`) }
	event, run, err := s.eng.Invoke(r.Context(), call, key, s.person(r), invoked)
	if again, ok := errors.AsType[*store.RepeatedError](err); ok {
		var first invokedView
		if err := json.Unmarshal(again.Entry.Reply, &first); err != nil {
			s.failWith(w, r, err, "")
			return
		}
		of, busy, err := s.meetAny(r, first.ID)
		if s.inTheWay(w, r, of, busy, err) {
			return
		}
	}
	switch {
	case err == nil:
		raw(w, http.StatusOK, invoked(event, run))
	case replayed(w, err, func(e store.KeyEntry) { raw(w, http.StatusOK, e.Reply) }):
	case keyless(w, err):
	case errors.Is(err, engine.ErrNotStarted):
		fail(w, http.StatusUnprocessableEntity, err.Error())
	default:
		s.failWith(w, r, err, "there is no function "+printable(call.Function)+"; GET /v1/apps lists the apps that are synced")
	}
}

// read decodes a body and says what is wrong with it, or "".
func read(body []byte, into any) string {
	if err := wire.CheckBody(body); err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(body, into); err != nil {
		return misread(body, err)
	}
	return ""
}

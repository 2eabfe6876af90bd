package server

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// maxEventBodyV2 is the most that the body with one event may have: the event,
// and what may be around it.
const maxEventBodyV2 = wire.MaxEventBytes + 1<<10

type sentV2 struct {
	EventID string `json:"eventId"`
}

// eventInV2 is an event as POST /v2/events takes it.
type eventInV2 struct {
	Name string         `json:"name"`
	Data jsontext.Value `json:"data,omitzero"` // an object
	User jsontext.Value `json:"user,omitzero"` // an object
	ID   string         `json:"id,omitzero"`   // the sender's own, by which repeats are recognised for a day
	TS   int64          `json:"ts,omitzero"`   // Unix milliseconds; runs start no earlier
	V    string         `json:"v,omitzero"`
}

// sendV2 takes one event. Source: spec/10 §12.
func (s *Server) sendV2(w http.ResponseWriter, r *http.Request, body []byte) {
	var head struct {
		Name jsontext.Value `json:"name"`
	}
	if message := read(body, &head); message != "" {
		refuseV2(w, http.StatusBadRequest, codeInvalid, message)
		return
	}
	var name string
	switch head.Name.Kind() {
	case 0, 'n':
	case '"':
		b, err := jsontext.AppendUnquote(nil, head.Name)
		if err != nil {
			refuseV2(w, http.StatusBadRequest, codeFormat, "name: "+err.Error())
			return
		}
		name = string(b)
	default:
		refuseV2(w, http.StatusBadRequest, codeFormat, "name must be text")
		return
	}
	if name == "" {
		refuseV2(w, http.StatusBadRequest, codeMissing, "Event name is required")
		return
	}
	if err := wire.ValidateName(name); err != nil {
		refuseV2(w, http.StatusBadRequest, codeFormat, err.Error())
		return
	}
	events, err := wire.ReadEvents(body, "", r.Header.Get(wire.HeaderEventIDSeed), time.Now(), engine.NewID)
	if err != nil {
		status := http.StatusBadRequest
		if refused, ok := errors.AsType[*wire.EventError](err); ok {
			status = refused.Status
		}
		refuseV2(w, status, codeValidation, err.Error())
		return
	}
	key, message := once(r, "events", body)
	if message != "" {
		refuseV2(w, http.StatusBadRequest, codeFormat, message)
		return
	}
	if key != nil {
		key.Reply = eventsReply(http.StatusOK, events, "") // as POST /e/{key}, whose keys these are too
	}
	err = s.eng.SendOnce(r.Context(), events, key, s.person(r))
	if replayedV2(w, err, func(e store.KeyEntry) { s.replyV2(w, sentV2{firstID(e.Reply)}) }) {
		return
	}
	if err != nil {
		s.failWithV2(w, r, err, "")
		return
	}
	s.replyV2(w, sentV2{events[0].ID})
}

// firstID is the id of the first event in the answer of POST /e/{key}.
func firstID(reply []byte) string {
	var sent idsView
	if json.Unmarshal(reply, &sent) != nil || len(sent.IDs) == 0 {
		return ""
	}
	return sent.IDs[0]
}

// invokeInV2 is what POST …/invoke takes.
type invokeInV2 struct {
	Data           jsontext.Value `json:"data"` // an object
	User           jsontext.Value `json:"user,omitzero"`
	V              string         `json:"v,omitzero"`
	IdempotencyKey string         `json:"idempotencyKey,omitzero"` // one run for it in 24 hours
}

type invokedV2 struct {
	RunID string `json:"runId"`
}

// invokeV2 starts a run of one function. Source: spec/12 §4.
func (s *Server) invokeV2(w http.ResponseWriter, r *http.Request, body []byte) {
	f, ok := s.function(w, r)
	if !ok {
		return
	}
	var in invokeInV2
	if message := read(body, &in); message != "" {
		refuseV2(w, http.StatusBadRequest, codeInvalid, message)
		return
	}
	switch in.Data.Kind() {
	case '{':
	case 0, 'n':
		refuseV2(w, http.StatusBadRequest, codeMissing, "Input data is required")
		return
	default:
		refuseV2(w, http.StatusBadRequest, codeFormat, "data must be an object")
		return
	}
	if _, message := inFlightOf(r); message != "" {
		refuseV2(w, http.StatusBadRequest, codeFormat, message)
		return
	}
	if len(in.IdempotencyKey) > maxKey {
		refuseV2(w, http.StatusBadRequest, codeFormat, "idempotencyKey is longer than "+strconv.Itoa(maxKey)+" bytes")
		return
	}
	call := durable.Invoke{Function: f.Slug, V: in.V}
	for _, part := range []struct {
		name string
		from jsontext.Value
		to   *durable.JSON
	}{{"data", in.Data, &call.Payload}, {"user", in.User, &call.User}} {
		switch part.from.Kind() {
		case '{':
			clean, err := wire.WithoutReserved(part.from)
			if err != nil {
				refuseV2(w, http.StatusBadRequest, codeValidation, part.name+": "+err.Error())
				return
			}
			*part.to = clean
		case 0, 'n':
		default:
			refuseV2(w, http.StatusBadRequest, codeFormat, part.name+" must be an object")
			return
		}
	}
	key, message := once(r, "runs/"+f.Slug, body)
	repeated := http.StatusOK
	switch {
	case message != "":
		refuseV2(w, http.StatusBadRequest, codeFormat, message)
		return
	case key != nil && in.IdempotencyKey != "":
		refuseV2(w, http.StatusBadRequest, codeInvalid, "give idempotencyKey or the header "+headerKey+", not both")
		return
	case in.IdempotencyKey != "":
		key = &store.Once{Scope: "runs/" + f.Slug, Key: in.IdempotencyKey, Fingerprint: fingerprint(body), Life: store.KeyLife}
		repeated = http.StatusConflict // source: spec/12 §4
	case key == nil:
		key = &store.Once{Scope: "runs/" + f.Slug}
	}
	_, run, err := s.eng.Invoke(r.Context(), call, key, s.person(r), func(_, run string) []byte { return []byte(run) })
	if s.inTheWayV2(w, r, err) {
		return
	}
	debounced := f.Limits.Debounce != nil && f.Limits.Debounce.Period > 0 // which run it becomes is not known yet, and told to nobody
	if replayedV2(w, err, func(e store.KeyEntry) {
		if debounced {
			refuseDebounced(w, f)
			return
		}
		s.replyPageV2(w, repeated, invokedV2{string(e.Reply)}, nil)
	}) {
		return
	}
	stopped, known := errors.AsType[*engine.NotStartedError](err)
	noKey, keyless := errors.AsType[*durable.KeyRequiredError](err)
	switch {
	case keyless:
		refuseV2(w, http.StatusBadRequest, codeNoKey, noKey.Error()+", or idempotencyKey")
	case err == nil && debounced:
		refuseDebounced(w, f)
	case err == nil:
		s.replyV2(w, invokedV2{run})
	case known && stopped.Limited:
		refuseV2(w, http.StatusUnprocessableEntity, codeRateLimited, err.Error())
	case errors.Is(err, engine.ErrNotStarted):
		refuseV2(w, http.StatusUnprocessableEntity, codeSkipped, err.Error())
	default:
		s.failWithV2(w, r, err, noFunctionV2(f.Slug))
	}
}

// refuseDebounced answers for an invocation that was taken in and has no run yet.
// Source: spec/12 §4.
func refuseDebounced(w http.ResponseWriter, f durable.Function) {
	refuseV2(w, http.StatusUnprocessableEntity, codeDebounced, "function "+f.Slug+" is debounced: one run starts for the invocation that came last, once none has come for "+
		f.Limits.Debounce.Period.String()+"; this one was taken in, and need not be sent again")
}

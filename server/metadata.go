package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// maxMetadataBody bounds a request that changes metadata, in bytes.
const maxMetadataBody = 2 << 20

// noteView is one kind of metadata of a run, of a step or a try of it, or of a span.
type noteView struct {
	Scope     string         `json:"scope"`            // run, step, step_attempt or extended_trace
	Step      string         `json:"step,omitzero"`    // hashed id
	Attempt   *int           `json:"attempt,omitzero"` // of the step, from 1
	Span      string         `json:"span,omitzero"`
	Kind      string         `json:"kind"`
	Values    jsontext.Value `json:"values"` // an object
	UpdatedAt time.Time      `json:"updated_at"`
}

func viewNotes(list []durable.Metadata) []noteView {
	views := make([]noteView, 0, len(list))
	for _, m := range list {
		v := noteView{Scope: scopeOf(m.MetadataKey), Step: m.Step, Span: m.Span, Kind: m.Kind, Values: readable(m.Values), UpdatedAt: m.Updated.UTC()}
		if m.Attempt != durable.NoAttempt {
			v.Attempt = new(m.Attempt + 1)
		}
		views = append(views, v)
	}
	return views
}

// scopeOf is the SDKs' word for what metadata is about.
func scopeOf(k durable.MetadataKey) string {
	switch {
	case k.Span != "":
		return "extended_trace"
	case k.Attempt != durable.NoAttempt:
		return "step_attempt"
	case k.Step != "":
		return "step"
	default:
		return "run"
	}
}

// updateMetadata keeps what is noted about a run. SDKs turn a refusal into an error of
// the user's step: what is not kept is told to the log, and only what is no JSON is
// refused. Source: spec/03 §13.
func (s *Server) updateMetadata(w http.ResponseWriter, r *http.Request, body []byte) {
	var value jsontext.Value
	if message := read(body, &value); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	run := r.PathValue("run")
	updates, left := wire.ParseMetadata(value)
	if len(updates) > 0 {
		more, err := s.eng.UpdateMetadata(r.Context(), run, updates)
		switch {
		case errors.Is(err, store.ErrNotFound):
			more = len(updates)
		case err != nil:
			s.failWith(w, r, err, "")
			return
		}
		left += more
	}
	if left > 0 {
		s.log.WarnContext(r.Context(), "metadata is not kept: there is no such run, or it is malformed, or more than 64 KiB of a kind or 1 MiB of a run",
			"run", printable(run), "updates", left)
	}
	raw(w, http.StatusOK, "")
}

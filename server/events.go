package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// events takes one event or an array. When one of them is bad, those before it
// are stored, and the answer names their ids and the reason. The answer is sent
// when what it says is stored. With an Idempotency-Key nothing is stored when
// one is bad. Source: spec/10 §3 to §5.
func (s *Server) events(w http.ResponseWriter, r *http.Request, body []byte) {
	events, bad := wire.ReadEvents(body, r.Header.Get("Content-Type"), r.Header.Get(wire.HeaderEventIDSeed), time.Now(), engine.NewID)
	key, message := once(r, "events", body)
	if message != "" {
		failEvents(w, http.StatusBadRequest, message)
		return
	}
	if key != nil {
		if bad != nil {
			events = nil // what happens once happens as a whole
		}
		key.Reply = eventsReply(http.StatusOK, events, "")
	}
	if len(events) > 0 {
		err := s.eng.SendOnce(r.Context(), events, key, "")
		if replayed(w, err, func(e store.KeyEntry) { raw(w, http.StatusOK, e.Reply) }) {
			return
		}
		if err != nil {
			status, message := s.trouble(w, r, err)
			failEvents(w, status, message)
			return
		}
	}
	if bad != nil {
		status := http.StatusBadRequest
		if refused, ok := errors.AsType[*wire.EventError](bad); ok {
			status = refused.Status
		}
		replyEvents(w, status, events, bad.Error())
		return
	}
	replyEvents(w, http.StatusOK, events, "")
}

// trouble is the status and the sentence for an error of the engine that is not
// the caller's fault. It logs what nobody expected.
func (s *Server) trouble(w http.ResponseWriter, r *http.Request, err error) (status int, message string) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound, "not found"
	case errors.Is(err, store.ErrDamaged):
		s.log.ErrorContext(r.Context(), "request failed", "pattern", r.Pattern, "err", err)
		return http.StatusInternalServerError, err.Error()
	case isOverloaded(err):
		w.Header().Set("Retry-After", "5")
		return http.StatusTooManyRequests, err.Error()
	case errors.Is(err, store.ErrFull):
		return http.StatusInsufficientStorage, "the disk is full; nothing was saved"
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "5")
		return http.StatusServiceUnavailable, err.Error()
	case errors.Is(err, engine.ErrClosing), errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		w.Header().Set("Retry-After", "1")
		return http.StatusServiceUnavailable, err.Error()
	case r.Context().Err() != nil:
		return 499, "the request was given up" // nobody reads it
	}
	s.log.ErrorContext(r.Context(), "request failed", "pattern", r.Pattern, "err", err)
	return http.StatusInternalServerError, "Internal error: the server's log says why"
}

func isOverloaded(err error) bool {
	_, ok := errors.AsType[*store.BacklogError](err)
	return ok
}

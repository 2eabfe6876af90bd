package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// checkpoint saves steps that an app finished while its call goes on. The user's
// function waits for the answer, which comes when they are stored.
// Source: spec/04 §2.
func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request, body []byte) {
	run := r.PathValue("run")
	generation, ops, err := readCheckpoint(run, body)
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, wire.ErrTooManyOps) {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status, err.Error())
		return
	}
	switch err := s.eng.Checkpoint(r.Context(), run, generation, ops); {
	case err == nil:
		raw(w, http.StatusOK, "{}")
	case errors.Is(err, durable.ErrStale):
		fail(w, http.StatusConflict, err.Error())
	case errors.Is(err, durable.ErrEnded):
		fail(w, http.StatusGone, err.Error())
	case errors.Is(err, durable.ErrNotCheckpoint):
		fail(w, http.StatusBadRequest, err.Error())
	default:
		if large, ok := errors.AsType[*engine.TooLarge](err); ok {
			fail(w, http.StatusRequestEntityTooLarge, large.Message)
			return
		}
		s.failWith(w, r, err, noRun(run))
	}
}

// readCheckpoint reads the body of an async checkpoint of run: its ops, and the
// generation of the call that they come from, 0 when the SDK does not say. An
// SDK that knows no generations still sends the queue item of its call, which
// Pawl names "<run>.<generation>". The ops share the memory of body; the engine
// copies what it keeps.
func readCheckpoint(run string, body []byte) (generation int64, ops []wire.Op, err error) {
	cp, err := wire.ParseCheckpoint(body)
	if err != nil {
		return 0, nil, fmt.Errorf("invalid checkpoint: %w", err)
	}
	if cp.Generation == 0 {
		cp.Generation, err = itemGeneration(run, cp.ItemID)
	}
	return cp.Generation, cp.Ops, err
}

// itemGeneration reads the generation out of the name of a queue item. A name
// of another form says nothing; one of another run is a mistake.
func itemGeneration(run, item string) (int64, error) {
	of, n, ok := strings.Cut(item, ".")
	if !ok {
		return 0, nil
	}
	generation, err := strconv.ParseInt(n, 10, 64)
	if err != nil || generation < 0 {
		return 0, nil
	}
	if of != run {
		return 0, errors.New("qi_id belongs to another run")
	}
	return generation, nil
}

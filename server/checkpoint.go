package server

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

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
		status, message := s.trouble(w, r, err)
		fail(w, status, message)
	}
}

// readCheckpoint reads the body of an async checkpoint of run: its ops, and the
// generation of the call that they come from, 0 when the SDK does not say. An
// SDK that knows no generations still sends the queue item of its call, which
// Pawl names "<run>.<generation>". Members that it does not know are ignored.
func readCheckpoint(run string, body []byte) (generation int64, ops []wire.Op, err error) {
	if err := wire.CheckJSON(body); err != nil {
		return 0, nil, fmt.Errorf("invalid JSON: %w", err)
	}
	// CheckJSON has refused names that come twice and broken bytes; lone
	// surrogates in escapes are repaired by ParseOps.
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != '{' {
		return 0, nil, errors.New("a checkpoint is an object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return 0, nil, err
	}
	var item string
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return 0, nil, err
		}
		member := name.String()
		v, err := dec.ReadValue()
		if err != nil {
			return 0, nil, err
		}
		switch {
		case member == "generation_id" && v.Kind() == '0':
			n, err := strconv.ParseFloat(string(v), 64)
			if err != nil || n < 0 || n > 1<<53 || n != float64(int64(n)) {
				return 0, nil, errors.New("generation_id must be a whole number")
			}
			generation = int64(n)
		case member == "qi_id" && v.Kind() == '"':
			b, err := jsontext.AppendUnquote(nil, v)
			if err != nil {
				return 0, nil, fmt.Errorf("qi_id: %w", err)
			}
			item = string(b)
		case member == "steps" && v.Kind() != 'n':
			// What becomes of the ops outlives body, whose memory is used again.
			if ops, err = wire.ParseOps(bytes.Clone(v)); err != nil {
				return 0, nil, fmt.Errorf("steps: %w", err)
			}
		}
	}
	if generation == 0 {
		generation, err = itemGeneration(run, item)
	}
	return generation, ops, err
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

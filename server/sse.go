package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/pawlhq/pawl/internal/realtime"
	"github.com/pawlhq/pawl/internal/store"
)

// longestStay is how long one connection may read.
const longestStay = 24 * time.Hour

// sse sends what a token allows to read as server-sent events: the streams of runs
// as they are, and messages as JSON. Source: spec/05 §5.1, spec/07 §5.
func (s *Server) sse(w http.ResponseWriter, r *http.Request, _ []byte) {
	w.Header().Set("Access-Control-Allow-Origin", "*") // the token says who may read, and not a cookie
	g, ok := s.grant(w, r)
	if !ok {
		return
	}
	streams, topics := split(g)
	s.read(w, r, streams, topics)
}

// read answers with the streams of runs, and with what is published to topics.
func (s *Server) read(w http.ResponseWriter, r *http.Request, streams []string, topics []realtime.Topic) {
	h := w.Header()
	after := placeOf(r.Header.Get("Last-Event-ID"))
	if after >= store.LastPiece && len(topics) == 0 {
		w.WriteHeader(http.StatusNoContent) // it has all, and is not to ask again
		return
	}
	sub, ok := s.subscribe(w, topics)
	if !ok {
		return
	}
	defer s.eng.Broker().Leave(sub)
	var replays []*realtime.Replay
	for _, run := range streams {
		if len(streams) > 1 || len(topics) > 0 {
			after = 0 // it would be a place in which of them?
		}
		replay, err := s.eng.Streams().Join(r.Context(), run, after, sub)
		if err != nil {
			s.failWith(w, r, err, "")
			return
		}
		defer replay.Leave()
		replays = append(replays, replay)
	}
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), longestStay)
	defer cancel()
	switch err := realtime.Relay(ctx, w, replays, sub, s.keepAlive, s.draining.Done()); {
	case err == nil, r.Context().Err() != nil:
	case errors.Is(err, realtime.ErrSlow), errors.Is(err, realtime.ErrEnding):
		panic(http.ErrAbortHandler) // what ends in a regular way would be taken for the end
	default:
		s.log.DebugContext(r.Context(), "a reader of a stream was cut off", "err", err)
		panic(http.ErrAbortHandler)
	}
}

// placeOf is where a reader says it is in a stream; 0: nowhere, or it is none of
// ours.
func placeOf(id string) int64 {
	n, _ := strconv.ParseInt(id, 10, 64)
	return max(n, 0)
}

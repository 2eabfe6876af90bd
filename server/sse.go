package server

import (
	"context"
	"errors"
	"io"
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
	x := &eventWriter{w: w, rc: http.NewResponseController(w)}
	ctx, cancel := context.WithTimeout(r.Context(), longestStay)
	defer cancel()
	switch err := s.relay(ctx, x, replays, sub); {
	case err == nil, r.Context().Err() != nil:
	case errors.Is(err, realtime.ErrSlow), errors.Is(err, errDraining):
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

// errDraining ends what waits when the server is about to end: whoever reads
// connects to the next one.
var errDraining = errors.New("the server is shutting down")

// relay writes what was before, and then what comes, until there is no more.
func (s *Server) relay(ctx context.Context, x *eventWriter, replays []*realtime.Replay, sub *realtime.Subscriber) error {
	if err := x.flush(); err != nil {
		return err
	}
	for _, replay := range replays {
		for {
			list, err := replay.Next(ctx)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			x.deadline()
			for _, b := range list {
				x.write(b)
			}
			if err := x.flush(); err != nil {
				return err
			}
		}
	}
	beat := time.NewTimer(s.keepAlive)
	defer beat.Stop()
	for {
		items, end := sub.Take()
		if len(items) > 0 || end == nil {
			x.deadline()
			for _, item := range items {
				x.item(item)
			}
			if err := x.flush(); err != nil {
				return err
			}
			beat.Reset(s.keepAlive)
		}
		if end != nil {
			if errors.Is(end, io.EOF) {
				return nil
			}
			return end
		}
		select {
		case <-sub.Ready():
		case <-beat.C:
			x.deadline()
			x.write([]byte(":\n\n"))
		case <-s.draining.Done():
			return errDraining
		case <-ctx.Done():
			return nil
		}
	}
}

// eventWriter writes server-sent events. A reader who takes nothing for longestPut
// is cut off.
type eventWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (x *eventWriter) deadline() {
	_ = x.rc.SetWriteDeadline(time.Now().Add(longestPut)) // recorders in tests have none
}

func (x *eventWriter) write(b []byte) {
	_, _ = x.w.Write(b) //nolint:gosec // flush tells; it is no page, and says so
}

func (x *eventWriter) item(item realtime.Item) {
	if item.Raw {
		x.write(item.Text)
		return
	}
	x.write([]byte("data: "))
	x.write(item.Text)
	x.write([]byte("\n\n"))
}

func (x *eventWriter) flush() error { return x.rc.Flush() }

package pawl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pawlhq/pawl/internal/proto"
)

// maxPiece bounds one piece of a stream, in bytes of JSON.
const maxPiece = 4 << 20

// ErrNoStream means that something was to be streamed outside of an endpoint.
var ErrNoStream = errors.New("pawl: only an endpoint streams: use pawl.Stream with a context of its request or of one of its steps")

// Stream is what the client of an endpoint reads while the handler goes on. It is
// for clients that ask with "Accept: text/event-stream": they get server-sent events,
// among which the handler's answer is the last ("inngest.response"). Others get the
// answer alone.
//
// What is streamed in a step belongs to it: it is for the time being until the event
// "inngest.commit" names the step, and void when "inngest.rollback" does, because the
// step has failed and runs again. What is streamed outside of steps is streamed again
// each time the handler is called, and reaches readers once.
//
// When a step has to rest, or the process dies, the client reads on at the URL of
// the event "inngest.redirect_info", as may anybody else who has it, from its
// beginning at the first of these.
//
// Stream never waits for a reader longer than 30 s, and it is no error that nobody
// reads.
func Stream(ctx context.Context) *StreamWriter {
	w := &StreamWriter{}
	if at, ok := ctx.Value(placeKey{}).(place); ok && (at.call.inline != nil || at.call.entry) {
		w.call = at.call
	}
	if s, ok := ctx.Value(stepKey{}).(*running); ok {
		w.step = s.id
	}
	return w
}

// StreamWriter streams what one step, or the handler outside of its steps, has so
// far. It is for one goroutine at a time.
type StreamWriter struct {
	call *call
	step string
	tail []byte // of a character whose rest has yet to be written
}

// Send streams one piece: v as JSON, 4 MiB at most. Errors: [ErrNoStream], and those
// of json.Marshal.
func (w *StreamWriter) Send(v any) error {
	if w.call == nil {
		return ErrNoStream
	}
	data, err := marshal(v)
	if err != nil {
		return err
	}
	if len(data) > maxPiece {
		return fmt.Errorf("pawl: a piece of a stream has %d bytes; the limit is %d", len(data), maxPiece)
	}
	w.call.stream.piece(w.step, data)
	return nil
}

// Write streams text, as one piece. A character that is cut at the end of b goes
// with the next piece.
func (w *StreamWriter) Write(b []byte) (int, error) {
	text := append(w.tail, b...)
	whole := len(text)
	for cut := 1; cut < utf8.UTFMax && cut <= len(text); cut++ {
		if last := text[len(text)-cut:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				whole -= cut
			}
			break
		}
	}
	w.tail = bytes.Clone(text[whole:])
	if whole == 0 && w.call != nil {
		return len(b), nil
	}
	if err := w.Send(string(text[:whole])); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Names of the events of a stream. Source: spec/05 §5.
const (
	eventMetadata = "inngest.metadata"
	eventPiece    = "inngest.stream"
	eventCommit   = "inngest.commit"
	eventRollback = "inngest.rollback"
	eventRedirect = "inngest.redirect_info"
	eventResponse = "inngest.response"
)

// wantsStream reports whether a client asks for a stream.
func wantsStream(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// stream is where a call's pieces go: to the client that made the request, or to
// the server that has entered the endpoint again. A nil *stream goes nowhere.
type stream struct {
	open func() (io.Writer, error) // of what is opened with the first piece; nil: to is there
	put  func()                    // what was written goes out

	mu    sync.Mutex
	to    io.Writer
	dead  bool            // nobody reads any more
	steps map[string]bool // that have streamed since their last mark
}

// streamTo streams to a client.
func streamTo(w http.ResponseWriter, run string) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	h.Set(proto.HeaderRunID, run)
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	s := &stream{to: w, steps: map[string]bool{}, put: func() {
		_ = rc.Flush()                                        // Write tells
		_ = rc.SetWriteDeadline(time.Now().Add(longestWrite)) // recorders in tests have none
	}}
	s.put()
	s.say(eventMetadata, map[string]any{"runId": run})
	return s
}

// longestWrite is how long a reader may take nothing before it is taken for gone.
const longestWrite = 30 * time.Second

func (s *stream) say(event string, data any) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sayLocked(event, data)
}

func (s *stream) sayLocked(event string, data any) {
	if s.dead {
		return
	}
	if s.to == nil {
		var err error
		if s.to, err = s.open(); err != nil {
			s.dead = true // what is streamed never keeps a run from going on
			return
		}
	}
	text, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("an event is JSON: %v", err))
	}
	if _, err := fmt.Fprintf(s.to, "event: %s\ndata: %s\n\n", event, text); err != nil {
		s.dead = true
		return
	}
	if s.put != nil {
		s.put()
	}
}

func (s *stream) piece(step string, data json.RawMessage) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps[step] = true
	about := map[string]any{"data": data}
	if step != "" {
		about["hashedStepId"] = step
	}
	s.sayLocked(eventPiece, about)
}

// mark says that what a step has streamed is good, or void.
func (s *stream) mark(event, step string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.steps[step] {
		delete(s.steps, step)
		s.sayLocked(event, map[string]any{"hashedStepId": step})
	}
}

func (s *stream) commit(step string)   { s.mark(eventCommit, step) }
func (s *stream) rollback(step string) { s.mark(eventRollback, step) }

// redirect tells a client where it reads on when this ends.
func (s *stream) redirect(run, url string) {
	s.say(eventRedirect, map[string]any{"runId": run, "url": url})
}

// respond is the end of a stream.
func (s *stream) respond(ok bool, status int, header http.Header, body string) {
	headers := map[string]string{}
	for name, values := range header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	word := "succeeded"
	if !ok {
		word = "failed"
	}
	s.say(eventResponse, map[string]any{"status": word, "response": map[string]any{"body": body, "statusCode": status, "headers": headers}})
}

// tee streams to the server that has entered an endpoint again, in a request that
// begins with the first piece. close waits until the server has it all.
func (c *call) tee(ctx context.Context) (s *stream, closed func()) {
	var to io.WriteCloser
	s = &stream{steps: map[string]bool{}}
	s.open = func() (io.Writer, error) {
		w, err := c.api.Tee(ctx, c.runID)
		if err != nil {
			c.warn(ctx, "what an endpoint streams cannot be passed on", "err", err)
			return nil, err
		}
		to = w
		text := fmt.Sprintf("event: %s\ndata: {\"runId\":%q}\n\n", eventMetadata, c.runID)
		_, err = io.WriteString(w, text)
		return w, err
	}
	return s, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dead = true
		if to == nil {
			return
		}
		if err := to.Close(); err != nil {
			c.warn(ctx, "what an endpoint streams cannot be passed on", "err", err)
		}
	}
}

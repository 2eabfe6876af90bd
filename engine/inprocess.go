package engine

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/proto"
	"github.com/pawlhq/pawl/internal/realtime"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// inProcessURL is where an app is that runs in this process. Nothing resolves it.
const inProcessURL = "http://in-process.invalid/api/inngest"

// inProcess hands requests to an app in this process.
type inProcess struct {
	app    http.Handler
	engine *Engine
	log    *slog.Logger
}

// abandoned is how long a call may go on after it was given up.
const abandoned = 5 * time.Second

var errPanicked = errors.New("the app's handler panicked")

// RoundTrip calls the app. Its requests say that they come from this process, and
// how the app reaches the engine.
func (t *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	r = proto.WithBackend(r, t.engine.backend())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := &recorder{header: http.Header{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				t.log.Error("the app's handler panicked", "panic", p, "stack", string(debug.Stack()))
				rec.panicked = true
			}
		}()
		t.app.ServeHTTP(rec, r)
	}()
	select {
	case <-done:
		if rec.panicked {
			return nil, errPanicked
		}
	case <-r.Context().Done():
		select {
		case <-done:
		case <-time.After(abandoned):
			t.log.Error("a call goes on although its context has ended; nobody waits for it any more", "url", r.URL.RawQuery)
		}
		return nil, r.Context().Err()
	}
	return &http.Response{
		StatusCode: rec.code(), Status: strconv.Itoa(rec.code()), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: rec.header, Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len()), Request: r,
	}, nil
}

// recorder keeps what a handler writes.
type recorder struct {
	header   http.Header
	status   int
	body     bytes.Buffer
	panicked bool
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// backend is the engine as an app in this process sees it.
func (e *Engine) backend() proto.InProcess { return local{e} }

type local struct{ e *Engine }

// Open reports whether the engine has the app, which no other can have then.
func (l local) Open() bool { return !l.e.closing.Load() }

// Send takes all events, or none.
func (l local) Send(ctx context.Context, body []byte) ([]string, error) {
	events, err := wire.ReadEvents(body, "application/json", "", time.Now(), NewID)
	if err != nil {
		return nil, &refusal{err}
	}
	if err := l.e.Send(ctx, events); err != nil {
		return nil, err
	}
	ids := make([]string, len(events))
	for i, ev := range events {
		ids[i] = ev.ID
	}
	return ids, nil
}

// refusal is an error that no repetition mends.
type refusal struct{ error }

func (r *refusal) Retryable() bool { return false }
func (r *refusal) Unwrap() error   { return r.error }

func (l local) Checkpoint(ctx context.Context, c proto.Checkpoint) error {
	ops, err := wire.ParseOps(c.Steps)
	if err != nil {
		return fmt.Errorf("the steps cannot be read: %w", err)
	}
	err = l.e.Checkpoint(ctx, c.RunID, c.Generation, ops)
	if large, ok := errors.AsType[*TooLarge](err); ok {
		return fmt.Errorf("%w: %w", proto.ErrTooLarge, large)
	}
	switch {
	case errors.Is(err, durable.ErrStale):
		return fmt.Errorf("%w: %w", proto.ErrStale, err)
	case errors.Is(err, durable.ErrEnded), errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", proto.ErrGone, err)
	}
	return err
}

func (l local) State(ctx context.Context, run string) (events, memos []byte, err error) {
	list, steps, err := l.e.Memo(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	return wire.AppendBatch(nil, list), wire.AppendActions(nil, steps), nil
}

func (l local) Signal(ctx context.Context, name string, data []byte) (string, error) {
	run, err := l.e.Signal(ctx, name, jsontext.Value(data), nil, "")
	if errors.Is(err, store.ErrNotFound) {
		return "", proto.ErrNobodyWaits
	}
	return run, err
}

func (l local) Invoke(ctx context.Context, slug string, data []byte, key string) (string, error) {
	in := durable.Invoke{Function: slug}
	switch v := jsontext.Value(data); v.Kind() {
	case '{':
		clean, err := wire.WithoutReserved(v)
		if err != nil {
			return "", &refusal{err}
		}
		in.Payload = clean
	case 'n':
	default:
		return "", &refusal{errors.New("what a function is given must be an object in JSON")}
	}
	var once *store.Once
	if key != "" {
		once = &store.Once{Scope: "runs/" + slug, Key: key, Fingerprint: fingerprint(jsontext.Value(data)), Life: store.KeyLife}
	}
	_, run, err := l.e.Invoke(ctx, in, once, "", func(_, run string) []byte { return []byte(run) })
	if was, ok := errors.AsType[*store.RepeatedError](err); ok {
		return string(was.Entry.Reply), nil
	}
	if err != nil {
		return "", err
	}
	return run, nil
}

func (l local) Run(ctx context.Context, id string, wait time.Duration) (proto.RunState, error) {
	if wait > 0 {
		short, cancel := context.WithTimeout(ctx, wait)
		r, err := l.e.ended(short, id)
		cancel()
		switch {
		case err == nil:
			return stateOf(r), nil
		case errors.Is(err, store.ErrNotFound):
			return proto.RunState{}, proto.ErrGone
		case short.Err() == nil:
			return proto.RunState{}, err
		}
	}
	r, err := l.e.store.Run(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return proto.RunState{}, proto.ErrGone
	case err != nil:
		return proto.RunState{}, err
	}
	return stateOf(r), nil
}

func stateOf(r *durable.Run) proto.RunState {
	return proto.RunState{
		ID: r.ID, Function: r.Function, Status: r.Status.String(), Output: r.Output.Clone(), Started: r.Started, Ended: r.Ended,
	}
}

func (l local) Publish(_ context.Context, channel, topic string, data []byte) error {
	v := jsontext.Value(data).Clone()
	switch {
	case channel == "" || topic == "":
		return &refusal{errors.New("what is published needs a channel and a topic")}
	case v.Compact() != nil:
		return &refusal{errors.New("what is published must be JSON")}
	}
	l.e.Broker().Publish(realtime.Message{Kind: realtime.KindData, Channel: channel, Topic: topic, Data: v, At: time.Now()})
	return nil
}

// Origin is where the endpoints of an app in this process are, for nobody but
// the engine.
func (l local) Origin(app string) string { return "http://" + app + ".in-process.invalid" }

func (l local) Begin(ctx context.Context, b proto.Begin) (proto.Begun, error) {
	ops, err := wire.ParseOps(b.Steps)
	if err != nil {
		return proto.Begun{}, fmt.Errorf("the steps cannot be read: %w", err)
	}
	begun, err := l.e.Begin(ctx, wire.Checkpoint{
		RunID: b.RunID, Event: b.Event, Ops: ops, Version: newestProtocol, Retries: &b.Retries, Key: b.Key, RetryAfter: b.RetryAfter,
	}, b.SDK)
	if err != nil {
		return proto.Begun{}, reportError(err)
	}
	return proto.Begun{RunID: begun.Run, FunctionID: begun.FunctionID, AppID: begun.AppID, Ended: begun.Ended}, nil
}

// newestProtocol is the version that the SDK speaks.
const newestProtocol = 2

func (l local) Report(ctx context.Context, b proto.Begun, steps []byte, retryAfter time.Duration) error {
	ops, err := wire.ParseOps(steps)
	if err != nil {
		return fmt.Errorf("the steps cannot be read: %w", err)
	}
	return reportError(l.e.Report(ctx, b.RunID, ops, retryAfter, Begun{FunctionID: b.FunctionID, AppID: b.AppID}))
}

func reportError(err error) error {
	if large, ok := errors.AsType[*TooLarge](err); ok {
		return fmt.Errorf("%w: %w", proto.ErrTooLarge, large)
	}
	if _, ok := errors.AsType[*store.KeyConflictError](err); ok {
		return proto.ErrOtherRequest
	}
	if bad, ok := errors.AsType[*durable.KeyRequiredError](err); ok {
		return fmt.Errorf("%w: %w", proto.ErrNoKey, bad)
	}
	if errors.Is(err, durable.ErrEnded) || errors.Is(err, store.ErrNotFound) || errors.Is(err, ErrForeign) {
		return fmt.Errorf("%w: %w", proto.ErrGone, err)
	}
	return err
}

// resultPath is where an app in this process answers those who wait for a result, if
// nobody says another.
const resultPath = "/api/inngest"

// ResultURL is that of the app, which answers whoever comes with the token.
func (l local) ResultURL(served string, b proto.Begun) string {
	u, err := url.Parse(served)
	if err != nil {
		u = &url.URL{}
	}
	if u.Path == "" {
		u.Path = resultPath
	}
	u.RawQuery = "run=" + b.RunID + "&token=" + l.token(b.RunID)
	return u.String()
}

// StreamURL is the same: whoever asks it for a stream gets one.
func (l local) StreamURL(served string, b proto.Begun) string { return l.ResultURL(served, b) }

// Tee takes what an endpoint streams.
func (l local) Tee(ctx context.Context, run string) (io.WriteCloser, error) {
	t, err := l.e.streams.Tee(ctx, run)
	if err != nil {
		return nil, err
	}
	return teeWriter{t}, nil
}

type teeWriter struct{ *realtime.Tee }

func (t teeWriter) Write(b []byte) (int, error) {
	t.Tee.Write(b)
	return len(b), nil
}

func (t teeWriter) Close() error {
	t.Tee.Close()
	return nil
}

// ReadStream answers with what the endpoint of a run streams, from its beginning, or
// from where the reader says it was.
func (l local) ReadStream(w http.ResponseWriter, r *http.Request, run string) error {
	after, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64) // 0: from the beginning
	if after >= store.LastPiece {
		w.WriteHeader(http.StatusNoContent) // it has all, and is not to ask again
		return nil
	}
	sub, err := l.e.broker.Subscribe(nil)
	if err != nil {
		return err
	}
	defer l.e.broker.Leave(sub)
	replay, err := l.e.streams.Join(r.Context(), run, max(after, 0), sub)
	if err != nil {
		return err
	}
	defer replay.Leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if err := realtime.Relay(r.Context(), w, []*realtime.Replay{replay}, sub, keepAlive, l.e.ending); err != nil {
		panic(http.ErrAbortHandler) // what ends in a regular way would be taken for the end
	}
	return nil
}

// keepAlive is the silence after which a reader is told that it is not forgotten.
const keepAlive = 15 * time.Second

// MayRead reports whether a token is the one for the result of a run.
func (l local) MayRead(run, token string) bool {
	return hmac.Equal([]byte(token), []byte(l.token(run)))
}

func (l local) token(run string) string {
	m := hmac.New(sha256.New, l.e.Secret())
	m.Write([]byte("result of run " + run))
	return hex.EncodeToString(m.Sum(nil))
}

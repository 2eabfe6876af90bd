package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/wire"
)

const (
	testKey      = "signkey-test-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	previousKey  = "signkey-test-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	wrongKey     = "signkey-test-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	testEventKey = "event-key-of-the-test"
)

// fixture is a server on a real engine and a real store, without a socket. Its
// app is answer.
type fixture struct {
	t    testing.TB
	s    *Server
	eng  *engine.Engine
	logs *bytes.Buffer // safe to read once nothing runs any more

	changed bool // the app of newActing has something new to register
}

// app answers the calls of an engine.
type app func(*http.Request) *http.Response

func (a app) RoundTrip(r *http.Request) (*http.Response, error) {
	if a == nil {
		return nil, fmt.Errorf("there is no app")
	}
	resp := a(r)
	resp.Request = r
	return resp, nil
}

// sdk is an answer as an SDK gives it.
func sdk(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}, "X-Inngest-Sdk": {"inngest-js:v4.24.0"}, "X-Inngest-Req-Version": {"2"}},
		Body:   io.NopCloser(strings.NewReader(body)),
	}
}

// engineConfig keeps tests short.
type engineConfig = engine.Config

type option func(*Config, *engineConfig)

func serving(c *Config, _ *engineConfig) {
	c.Dev = false
	c.Keys = newKeyring()
	c.EventKeys = []string{"another", testEventKey}
}

func newKeyring() wire.Keyring {
	current, err := wire.ParseKey(testKey)
	if err != nil {
		panic(err)
	}
	previous, err := wire.ParseKey(previousKey)
	if err != nil {
		panic(err)
	}
	return wire.Keyring{Current: current, Previous: []wire.Key{previous}}
}

func withApp(a app) option { return func(_ *Config, e *engineConfig) { e.Transport = a } }

// withEngineLog puts the engine's log beside the server's.
func withEngineLog(c *Config, e *engineConfig) { e.Log = c.Log }

// withStore puts something between the engine and its store.
func withStore(wrap func(store.Store) store.Store) option {
	return func(_ *Config, e *engineConfig) { e.Store = wrap(e.Store) }
}

// newFixture is a dev server unless options say otherwise.
func newFixture(t testing.TB, options ...option) *fixture {
	t.Helper()
	return openFixture(t, filepath.Join(t.TempDir(), "test.db"), options...)
}

// openFixture is newFixture on a given file.
func openFixture(t testing.TB, path string, options ...option) *fixture {
	t.Helper()
	st, err := sqlite.Open(t.Context(), path, sqlite.Options{Durability: sqlite.None})
	require.NoError(t, err)
	logs := &bytes.Buffer{}
	c := Config{Dev: true, Version: "v-test", Log: slog.New(slog.NewTextHandler(logs, nil))}
	e := engine.Config{Store: st, Log: slog.New(slog.DiscardHandler), Dev: true, Transport: app(nil)}
	for _, o := range options {
		o(&c, &e)
	}
	e.Dev = c.Dev
	eng, err := engine.Start(context.WithoutCancel(t.Context()), e)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, eng.Close(context.Background())) })
	return &fixture{t: t, s: New(eng, c), eng: eng, logs: logs}
}

// request is what a test sends.
type request struct {
	method, path, body string
	header             map[string]string
	host               string
	gone               bool // nobody waits for the answer
}

func (f *fixture) do(q request) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(q.method, "http://localhost:8288"+q.path, strings.NewReader(q.body))
	if q.body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	if q.host != "" {
		r.Host = q.host
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	if q.gone {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		r = r.WithContext(ctx)
	}
	w := httptest.NewRecorder()
	f.s.ServeHTTP(w, r)
	f.documented(r, w)
	return w
}

func (f *fixture) get(path string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.do(request{method: "GET", path: path})
}

func (f *fixture) post(path, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.do(request{method: "POST", path: path, body: body, header: map[string]string{"Content-Type": "application/json"}})
}

// data reads the data of a good answer.
func data[T any](t testing.TB, w *httptest.ResponseRecorder) T {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var envelope struct {
		Data     T
		Metadata map[string]any
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &envelope, json.MatchCaseInsensitiveNames(true)), w.Body)
	require.Contains(t, envelope.Metadata, "fetched_at")
	return envelope.Data
}

// refusal is the body of an error.
type refusal struct {
	Error  *string  `json:"error"`
	Status *float64 `json:"status"`
}

// wantRefusal checks that an error has the form that SDKs read.
func wantRefusal(t testing.TB, w *httptest.ResponseRecorder, status int) string {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var r refusal
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &r), w.Body)
	require.NotNil(t, r.Error, w.Body)
	require.NotNil(t, r.Status, w.Body)
	require.NotEmpty(t, *r.Error)
	require.InDelta(t, status, *r.Status, 0)
	return *r.Error
}

const registration = `{"url":"http://localhost:3000/api/inngest","deployType":"ping","framework":"nodejs","appName":"shop",
"functions":[{"id":"shop-charge","name":"charge","triggers":[{"event":"order/paid"}],"singleton":{"key":"false","mode":"skip"},
"steps":{"step":{"id":"step","name":"step","runtime":{"type":"http","url":"http://localhost:3000/api/inngest?fnId=shop-charge&stepId=step"},"retries":{"attempts":0}}}}],
"sdk":"js:v4.24.0","v":"0.1"}`

func (f *fixture) register() {
	f.t.Helper()
	w := f.post("/fn/register", registration)
	require.Equal(f.t, http.StatusOK, w.Code, w.Body)
}

// send sends one event and returns its id.
func (f *fixture) send(body string) string {
	f.t.Helper()
	w := f.post("/e/k", body)
	require.Equal(f.t, http.StatusOK, w.Code, w.Body)
	var answer struct{ IDs []string }
	require.NoError(f.t, json.Unmarshal(w.Body.Bytes(), &answer, json.MatchCaseInsensitiveNames(true)))
	require.Len(f.t, answer.IDs, 1)
	return answer.IDs[0]
}

// ended sends an event that starts a run, and waits until it has ended.
func (f *fixture) ended(body string) runView {
	f.t.Helper()
	runs := data[[]runView](f.t, f.get("/v1/events/"+f.send(body)+"/runs"))
	require.Len(f.t, runs, 1)
	require.NoError(f.t, f.eng.Await(f.t.Context(), runs[0].RunID, 1<<20))
	return data[runView](f.t, f.get("/v1/runs/"+runs[0].RunID))
}

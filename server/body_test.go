package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBadBodies is what each route that reads a body makes of a bad one.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	const run = "/v1/checkpoint/01JQDAE4RQF8MBCR55T5AK4KXS/async"
	routes := []string{"/e/" + testEventKey, "/fn/register", run, strings.Replace(run, "checkpoint", "http/runs", 1)}
	deep := strings.Repeat("[", 1001) + strings.Repeat("]", 1001)
	for _, tt := range []struct {
		name, body, contentType, coding string
		status                          int
		auth                            string // "" for the right one
	}{
		{name: "malformed JSON", body: `{"name":`, status: 400},
		{name: "something after the JSON", body: `{"name":"a"} x`, status: 400},
		{name: "another kind of JSON", body: `"text"`, status: 400},
		{name: "a name twice", body: `{"name":"a","appName":"a","name":"b"}`, status: 400},
		{name: "invalid UTF-8", body: "{\"name\":\"a\",\"data\":{\"x\":\"\xff\"}}", status: 400},
		{name: "deep nesting", body: `{"name":"a","data":{"x":` + deep + `}}`, status: 400},
		{name: "a million brackets", body: strings.Repeat("[", 1e6), status: 400},
		{name: "a NUL", body: "\x00", status: 400},
		{name: "a form", body: "name=a", contentType: "application/x-www-form-urlencoded; charset=utf-8", status: 0},
		{name: "multipart", body: "--x", contentType: "multipart/form-data; boundary=x", status: 415},
		{name: "XML", body: "<a/>", contentType: "application/xml", status: 415},
		{name: "a type that cannot be parsed", body: "{}", contentType: "application/json; =", status: 0},
		{name: "gzip", body: "\x1f\x8b", coding: "gzip", status: 415},
		{name: "two codings", body: "{}", coding: "identity, gzip", status: 415},
		{name: "a wrong key, before the body is looked at", body: `{"name":`, coding: "gzip", status: 401, auth: "Bearer " + wrongKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, serving)
			for _, path := range routes {
				h := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + testKey}
				if tt.contentType != "" {
					h["Content-Type"] = tt.contentType
				}
				if tt.coding != "" {
					h["Content-Encoding"] = tt.coding
				}
				if tt.auth != "" {
					h["Authorization"] = tt.auth
					path = strings.Replace(path, testEventKey, "wrong", 1)
				}
				w := f.do(request{method: "POST", path: path, body: tt.body, header: h})
				if tt.status == 0 { // refused one way or the other
					require.Contains(t, []int{400, 415}, w.Code, "%s: %s", path, w.Body)
					continue
				}
				message := wantRefusal(t, w, tt.status)
				require.Less(t, len(message), 500)
				require.NotContains(t, w.Body.String(), testKey)
				require.NotContains(t, w.Body.String(), "jsontext", "the sender knows no library of ours")
			}
			require.NotContains(t, f.logs.String(), "signkey")
		})
	}
}

func TestTooManyEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	body := "[" + strings.Repeat(`{},`, 1e6) + "{}]"
	wantRefusal(t, f.post("/e/k", body), http.StatusBadRequest)
	body = "[" + strings.Repeat(`{"name":"a"},`, 5000) + `{"name":"a"}]`
	require.Contains(t, wantRefusal(t, f.post("/e/k", body), http.StatusBadRequest), "5000")
	body = "[" + strings.Repeat(`{"id":"x","op":"StepRun"},`, 1000) + `{"id":"x","op":"StepRun"}]`
	wantRefusal(t, f.post("/v1/checkpoint/x/async", `{"steps":`+body+`}`), http.StatusRequestEntityTooLarge)
}

// smallRoute is a route with a small body that answers with it.
func smallRoute(f *fixture, limit int64) {
	f.s.mount([]route{{method: "POST", pattern: "/echo", who: anyone, body: limit, refuse: fail, serve: func(_ *Server, w http.ResponseWriter, _ *http.Request, body []byte) {
		raw(w, http.StatusOK, body)
	}}})
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const limit = 100_000
	smallRoute(f, limit)
	front := httptest.NewServer(f.s)
	defer front.Close()
	for _, size := range []int{0, 1, 4095, 4096, 4097, limit - 1, limit, limit + 1, 10 * limit} {
		for _, declared := range []bool{true, false} {
			body := io.Reader(strings.NewReader(strings.Repeat("x", size)))
			if !declared {
				body = iotest.HalfReader(body) // http.NewRequest does not know its length
			}
			req, err := http.NewRequestWithContext(t.Context(), "POST", front.URL+"/echo", body)
			require.NoError(t, err)
			resp, err := front.Client().Do(req)
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			if size > limit {
				require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode, "%d bytes, declared %v", size, declared)
				continue
			}
			require.Equal(t, http.StatusOK, resp.StatusCode, "%d bytes, declared %v", size, declared)
			require.Len(t, got, size)
		}
	}
	require.True(t, f.s.held.TryAcquire(defaultHeldBytes), "a body was not given back")
}

func TestBodiesHeldAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config, _ *engineConfig) { c.HeldBytes = 10_000 })
	smallRoute(f, 1<<20)
	w := f.post("/echo", strings.Repeat("x", 20_000))
	wantRefusal(t, w, http.StatusServiceUnavailable)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	for range 3 { // what was refused is not held for ever
		require.Equal(t, http.StatusOK, f.post("/echo", strings.Repeat("x", 9_000)).Code)
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	smallRoute(f, 1<<20)
	r := httptest.NewRequest("POST", "http://localhost/echo", iotest.ErrReader(errors.New("cut")))
	r.ContentLength = 10
	w := httptest.NewRecorder()
	f.s.ServeHTTP(w, r)
	wantRefusal(t, w, http.StatusBadRequest)
	require.True(t, f.s.held.TryAcquire(defaultHeldBytes), "the body was not given back")
}

// TestSlowBody: a client that stops in the middle of its body is cut off, and
// its next request on the same connection is not, however long it waits.
func TestDeadlineOfBodyEndsWithIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	seen := make(chan error, 1)
	f.s.mount([]route{{method: "POST", pattern: "/wait", who: anyone, body: 100, refuse: fail, serve: func(_ *Server, w http.ResponseWriter, r *http.Request, _ []byte) {
		select { // the context would end if the deadline of the body went on
		case <-r.Context().Done():
			seen <- r.Context().Err()
		case <-time.After(50 * time.Millisecond):
			seen <- nil
		}
		raw(w, http.StatusOK, "{}")
	}}})
	front := httptest.NewUnstartedServer(f.s)
	front.Config = f.s.HTTPServer()
	front.Start()
	defer front.Close()
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NoError(t, <-seen)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestServerLimits(t *testing.T) {
	t.Parallel()
	s := newFixture(t).s.HTTPServer()
	require.Positive(t, s.ReadHeaderTimeout)
	require.Positive(t, s.IdleTimeout)
	require.Equal(t, 64<<10, s.MaxHeaderBytes)
}

package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// fronting is a server that may be asked in the place of what is below
// http://app/api, and endpoint serves that.
func fronting(t *testing.T, endpoint func(r *http.Request, body string) *http.Response, options ...option) *fixture {
	t.Helper()
	base, err := url.Parse("http://app/api")
	require.NoError(t, err)
	return newFixture(t, append(options, func(c *Config, _ *engine.Config) { c.Endpoints = []*url.URL{base} }, withApp(func(r *http.Request) *http.Response {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		return endpoint(r, string(body))
	}))...)
}

// tsResponse is what the TypeScript SDK makes of a handler's response.
func tsResponse(body string) *http.Response {
	return sdk(206, complete(fmt.Sprintf(`{"status":200,"headers":{"content-type":"application/json"},"body":%q,"version":2}`, fmt.Sprintf("%q", body))))
}

// ask sends a request in the endpoint's place.
func (f *fixture) ask(q request) *httptest.ResponseRecorder {
	r := httptest.NewRequest(q.method, "http://localhost:8288"+q.path, strings.NewReader(q.body))
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	f.s.ServeHTTP(w, r)
	return w
}

func TestClientOfAnEndpointAsksPawl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fronting(t, func(r *http.Request, body string) *http.Response {
			require.Equal(t, "POST http://app/api/book?day=1", r.Method+" "+r.URL.String())
			require.Equal(t, `{"n":1}`, body)
			require.Equal(t, "application/json", r.Header.Get("Content-Type"))
			require.NotEmpty(t, r.Header.Get("X-Run-Id"))
			return tsResponse(`{"ok":true}`)
		})
		w := f.ask(request{method: "POST", path: "/x/app/api/book?day=1", body: `{"n":1}`, header: map[string]string{"Content-Type": "application/json"}})
		require.Equal(t, 200, w.Code)
		require.Equal(t, `{"ok":true}`, w.Body.String(), "as the handler wrote it")
		require.NotEmpty(t, w.Header().Get("X-Run-Id"))
	})
}

func TestEndpointsThatMayNotBeAskedFor(t *testing.T) {
	t.Parallel()
	f := fronting(t, func(*http.Request, string) *http.Response { return tsResponse("no") })
	for _, path := range []string{"/x/app/", "/x/app/apix", "/x/other/api/book", "/x/app/admin", "/x/app/api%2Fbook", "/x/app/api/book/%2e%2e/%2e%2e/admin", `/x/app/api/..\..\admin`, "/x/app/api/..%5Cadmin"} {
		require.Equal(t, 404, f.ask(request{method: "GET", path: path}).Code, path)
	}
	require.Equal(t, 404, newFixture(t).ask(request{method: "GET", path: "/x/app/api"}).Code, "none unless it is told")
}

func TestManyRequestsWithOneKeyAreOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int64
		f := fronting(t, func(*http.Request, string) *http.Response {
			time.Sleep(time.Second)
			return tsResponse(fmt.Sprintf("booking %d", ran.Add(1)))
		})
		ask := func(body string) *httptest.ResponseRecorder {
			return f.ask(request{method: "POST", path: "/x/app/api/book", body: body, header: map[string]string{"Content-Type": "application/json", "Idempotency-Key": "k1"}})
		}
		var all sync.WaitGroup
		answers := make([]string, 100)
		for i := range answers {
			all.Go(func() {
				w := ask(`{"n": 1}`)
				answers[i] = fmt.Sprint(w.Code, " ", w.Body, " ", w.Header().Get("X-Run-Id"))
			})
		}
		all.Wait()
		for _, a := range answers {
			require.Equal(t, answers[0], a)
		}
		require.Contains(t, answers[0], "200 booking 1 ")
		require.EqualValues(t, 1, ran.Load())
		time.Sleep(24 * time.Hour)
		again := ask(`{"n": 1}`)
		require.Equal(t, "booking 1", again.Body.String(), "and so it is later")
		require.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
		require.Equal(t, 422, ask(`{"n": 2}`).Code, "another request is no repetition")
	})
}

func TestLimitsHoldForEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		f := fronting(t, func(*http.Request, string) *http.Response {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(time.Second)
			return tsResponse("done")
		})
		ask := func() int { return f.ask(request{method: "POST", path: "/x/app/api/book", body: `1`}).Code }
		require.Equal(t, 200, ask())
		slug := f.eng.Functions("app")[0].Slug
		require.NoError(t, f.eng.SetLimits(t.Context(), slug, durable.JSON(`{"concurrency":2}`), "test", ""))
		start := time.Now()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { require.Equal(t, 200, ask()) })
		}
		all.Wait()
		require.EqualValues(t, 2, most.Load())
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestClientOfASlowEndpointIsSentToItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fronting(t, func(*http.Request, string) *http.Response {
			time.Sleep(10 * time.Minute)
			return tsResponse("done")
		})
		w := f.ask(request{method: "GET", path: "/x/app/api/book"})
		require.Equal(t, 303, w.Code)
		there, err := url.Parse("http://front/pawl/x/app/api/book")
		require.NoError(t, err)
		there, err = there.Parse(w.Header().Get("Location"))
		require.NoError(t, err)
		path, ok := strings.CutPrefix(there.RequestURI(), "/pawl")
		require.True(t, ok, "it holds also where a proxy puts Pawl below a path: %s", there)
		w = f.ask(request{method: "GET", path: path})
		require.Equal(t, `"done"`, strings.TrimLeft(w.Body.String(), " "), "as the SDK's own redirect gives it")
	})
}

func TestEndpointAskedAtPawlFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fronting(t, func(*http.Request, string) *http.Response {
			r := sdk(400, `{"name":"Error","message":"sold out"}`)
			r.Header.Set("X-Inngest-No-Retry", "true")
			return r
		})
		w := f.ask(request{method: "GET", path: "/x/app/api/book"})
		require.Equal(t, 500, w.Code)
		require.Contains(t, w.Body.String(), "sold out")
		letters, err := f.eng.Letters().DeadLetters(t.Context(), store.LetterFilter{}, store.Page{Limit: 5})
		require.NoError(t, err)
		require.Len(t, letters, 1)
		w = f.ask(request{method: "POST", path: "/x/app/api/book", body: "\xff"})
		require.Equal(t, 422, w.Code, "a body that is not text")
	})
}

// TestClientsThatWaitHoldNoBodies: what others may send is not less because many
// wait for the answer to a large request.
func TestClientsThatWaitHoldNoBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fronting(t, func(*http.Request, string) *http.Response {
			time.Sleep(time.Minute)
			return tsResponse("done")
		}, func(c *Config, _ *engine.Config) { c.HeldBytes = 4 << 20 })
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				require.Equal(t, 303, f.ask(request{method: "POST", path: "/x/app/api/book", body: strings.Repeat("x", 1<<20)}).Code)
			})
			synctest.Wait()
		}
		require.True(t, f.s.held.TryAcquire(4<<20), "the bodies were given back")
		f.s.held.Release(4 << 20)
		all.Wait()
	})
}

// TestAppRefusesWhatAnybodyAsksFor: the answer is the client's, and no work for the
// server or for people.
func TestAppRefusesWhatAnybodyAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		f := fronting(t, func(*http.Request, string) *http.Response {
			asked.Add(1)
			return &http.Response{
				StatusCode: 404, Header: http.Header{"Content-Type": {"text/html"}, "X-Why": {"gone"}, "Set-Cookie": {"a=b"}},
				Body: io.NopCloser(strings.NewReader(`"<h1>404</h1>"`)), ContentLength: -1,
			}
		})
		w := f.ask(request{method: "GET", path: "/x/app/api/nope"})
		require.Equal(t, 404, w.Code)
		require.Equal(t, `"<h1>404</h1>"`, w.Body.String())
		require.Equal(t, "gone", w.Header().Get("X-Why"))
		require.Equal(t, "text/html", w.Header().Get("Content-Type"))
		require.Empty(t, w.Header().Get("Set-Cookie"))
		time.Sleep(24 * time.Hour)
		require.EqualValues(t, 1, asked.Load(), "it is not tried again")
		letters, err := f.eng.Letters().DeadLetters(t.Context(), store.LetterFilter{}, store.Page{Limit: 5})
		require.NoError(t, err)
		require.Empty(t, letters)
	})
}

// TestAppThatIsGoneFromARun: a run on which somebody has worked is tried again, as
// after a bad deployment, and leaves a dead letter.
func TestAppThatIsGoneFromARun(t *testing.T) {
	for name, first := range map[string]func() *http.Response{
		"after a step":      func() *http.Response { return sdk(206, `[{"id":"a","op":"StepRun","data":1}]`) },
		"after a failure":   func() *http.Response { return sdk(500, `{"name":"Error","message":"boom"}`) },
		"after a bad proxy": func() *http.Response { return &http.Response{StatusCode: 502, Body: http.NoBody} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64
				f := fronting(t, func(*http.Request, string) *http.Response {
					if asked.Add(1) == 1 {
						return first()
					}
					return &http.Response{StatusCode: 404, Body: http.NoBody}
				})
				require.Equal(t, 303, f.ask(request{method: "GET", path: "/x/app/api/book"}).Code)
				time.Sleep(24 * time.Hour)
				require.Greater(t, asked.Load(), int64(3))
				letters, err := f.eng.Letters().DeadLetters(t.Context(), store.LetterFilter{}, store.Page{Limit: 5})
				require.NoError(t, err)
				require.Len(t, letters, 1)
			})
		})
	}
}

// TestHeadOfAnEndpoint: SDKs answer in the body, which a HEAD has none of.
func TestHeadOfAnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fronting(t, func(r *http.Request, _ string) *http.Response {
			require.Equal(t, "GET", r.Method)
			return tsResponse(`{"ok":true}`)
		})
		w := f.ask(request{method: "HEAD", path: "/x/app/api/book"})
		require.Equal(t, 200, w.Code, w.Body)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.Equal(t, "11", w.Header().Get("Content-Length"))
	})
}

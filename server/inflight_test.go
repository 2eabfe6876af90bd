package server

import (
	"context"
	"encoding/json"
	"fmt"
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

	"github.com/pawlhq/pawl/internal/store"
)

// policies is the header of a repetition that does as it says; "" leaves it out.
func policies(how string, more ...string) map[string]string {
	h := map[string]string{"Content-Type": "application/json", headerKey: "k"}
	if how != "" {
		h[headerInFlight] = how
	}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

// busyAnswer is a refusal that says which run is in flight.
type busyAnswer struct {
	Error, Code string
	Status      int
	Data        struct {
		Run string `json:"run_id"`
		URL string `json:"url"`
	}
}

func wantBusy(t *testing.T, w *httptest.ResponseRecorder) (b busyAnswer) {
	t.Helper()
	require.Equal(t, http.StatusConflict, w.Code, w.Body)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &b))
	require.Equal(t, codeInFlight, b.Code)
	require.Equal(t, http.StatusConflict, b.Status)
	require.Equal(t, b.Data.Run, w.Header().Get("X-Run-Id"))
	require.Contains(t, b.Error, b.Data.Run)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	return b
}

// TestDuplicatesOfAnEndpointInFlight (F-37): of a hundred requests at once one starts a
// run; the others do as they say.
func TestDuplicatesOfAnEndpointInFlight(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"", "attach", "wait", "reject"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var ran atomic.Int64
				f := fronting(t, func(*http.Request, string) *http.Response {
					n := ran.Add(1)
					time.Sleep(10 * time.Second)
					return tsResponse(fmt.Sprintf("booking %d", n))
				})
				ask := func() *httptest.ResponseRecorder {
					return f.ask(request{method: "POST", path: "/x/app/api/book?d=1", body: `{"n":1}`, header: policies(how)})
				}
				begin := time.Now()
				answers, after := make([]*httptest.ResponseRecorder, 100), make([]time.Duration, 100)
				var all sync.WaitGroup
				for i := range answers {
					all.Go(func() { answers[i], after[i] = ask(), time.Since(begin) })
				}
				all.Wait()
				require.EqualValues(t, 1, ran.Load())
				good, runs := 0, map[string]int{}
				for i, w := range answers {
					runs[w.Header().Get("X-Run-Id")]++
					if how == "reject" && w.Code != http.StatusOK {
						b := wantBusy(t, w)
						require.Zero(t, after[i], "at once")
						there, err := url.Parse("http://front/x/app/api/book?d=1")
						require.NoError(t, err)
						there, err = there.Parse(b.Data.URL)
						require.NoError(t, err)
						require.Equal(t, `"booking 1"`, strings.TrimSpace(f.get(there.RequestURI()).Body.String()), "that is where it is read")
						continue
					}
					good++
					require.Equal(t, "200 booking 1", fmt.Sprint(w.Code, " ", w.Body))
					require.Equal(t, 10*time.Second, after[i].Truncate(time.Second))
				}
				require.Len(t, runs, 1, "all speak of one run")
				if how == "reject" {
					require.Equal(t, 1, good)
				} else {
					require.Equal(t, 100, good)
				}
				w := ask()
				require.Equal(t, "200 booking 1", fmt.Sprint(w.Code, " ", w.Body), "when nothing is in flight each gets what is stored")
				require.Equal(t, "true", w.Header().Get(headerReplayed))
				require.Len(t, data[[]runView](t, f.get("/v1/runs")), 1)
			})
		})
	}
}

// TestDuplicatesOfAStreamInFlight: who waits gets a stream when it has ended, whole.
func TestDuplicatesOfAStreamInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		var run string
		f := fronting(t, func(r *http.Request, _ string) *http.Response {
			run = r.Header.Get("X-Run-Id")
			<-goOn
			return tsResponse("done")
		})
		ask := func(how string) *live {
			return f.open(t, "GET", "/x/app/api/book", policies(how, "Accept", "text/event-stream"), nil)
		}
		first := ask("reject")
		require.Equal(t, http.StatusOK, first.code, "the first is nobody's repetition")
		x := f.tee(t, run)
		x.write(chunkOf("a", "1") + markOf("commit", "a"))
		attached, waiting, rejected := ask("attach"), ask("wait"), ask("reject")
		require.Contains(t, attached.events(), chunkOf("a", "1"))
		require.Zero(t, waiting.code, "nothing has been said yet")
		require.Equal(t, http.StatusConflict, rejected.code)
		close(goOn)
		x.out.Close()
		<-x.over
		time.Sleep(10 * time.Second)
		require.True(t, waiting.ended())
		all := waiting.events()
		require.Contains(t, all, chunkOf("a", "1")+markOf("commit", "a"))
		require.Contains(t, all, "event: inngest.response")
	})
}

func TestDuplicateOfAStreamThatTakesLongIsSentOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fronting(t, func(*http.Request, string) *http.Response {
			time.Sleep(10 * time.Minute)
			return tsResponse("done")
		})
		first := f.open(t, "GET", "/x/app/api/book", policies("", "Accept", "text/event-stream"), nil)
		defer first.stop()
		w := f.ask(request{method: "GET", path: "/x/app/api/book", header: policies("wait", "Accept", "text/event-stream")})
		require.Equal(t, http.StatusSeeOther, w.Code)
		there, err := url.Parse("http://front/x/app/api/book")
		require.NoError(t, err)
		there, err = there.Parse(w.Header().Get("Location"))
		require.NoError(t, err)
		w = f.ask(request{method: "GET", path: there.RequestURI(), header: map[string]string{"Accept": "text/event-stream"}})
		require.Contains(t, w.Body.String(), "event: result\ndata: {")
	})
}

// TestDuplicatesThatStartRunsInFlight: of a hundred requests at once that start a run and are
// answered with its id, one does.
func TestDuplicatesThatStartRunsInFlight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path func(was string) string
		body string
		runs int // in the end
		v2   bool
	}{
		"invoke":    {func(string) string { return "/invoke/shop-charge" }, `{"data":{"n":1}}`, 1, false},
		"invoke v2": {func(string) string { return "/v2/apps/shop/functions/charge/invoke" }, `{"data":{"n":1}}`, 1, true},
		"rerun":     {func(was string) string { return "/v1/runs/" + was + "/rerun" }, `{}`, 2, false},
		"rerun v2":  {func(was string) string { return "/v2/runs/" + was + "/rerun" }, `{}`, 2, true},
	} {
		for _, how := range []string{"", "attach", "wait", "reject"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var long atomic.Bool
					f := newFixture(t, withApp(func(*http.Request) *http.Response {
						if long.Load() {
							time.Sleep(10 * time.Second)
						}
						return sdk(200, `1`)
					}))
					f.register()
					was := ""
					if c.runs > 1 {
						was = f.ended(`{"name":"order/paid"}`).RunID
					}
					long.Store(true)
					ask := func() *httptest.ResponseRecorder {
						return f.do(request{method: "POST", path: c.path(was), body: c.body, header: policies(how)})
					}
					begin := time.Now()
					answers, after := make([]*httptest.ResponseRecorder, 100), make([]time.Duration, 100)
					var all sync.WaitGroup
					for i := range answers {
						all.Go(func() { answers[i], after[i] = ask(), time.Since(begin).Truncate(time.Second) })
					}
					all.Wait()
					first, stored := 0, map[string]bool{}
					for i, w := range answers {
						if w.Header().Get(headerReplayed) != "true" {
							require.Equal(t, http.StatusOK, w.Code, w.Body)
							require.Zero(t, after[i], "who is first is told at once")
							first++
							stored[withoutTime(w)] = true
							continue
						}
						switch how {
						case "reject":
							require.Zero(t, after[i], "at once")
							require.Equal(t, http.StatusConflict, w.Code)
							require.Contains(t, w.Body.String(), codeInFlight)
							run := w.Header().Get("X-Run-Id")
							if c.v2 {
								require.Contains(t, w.Body.String(), "/v2/runs/"+run)
							} else {
								require.Equal(t, "/v1/runs/"+run, wantBusy(t, w).Data.URL)
							}
							require.Equal(t, http.StatusOK, f.get("/v1/runs/"+run).Code)
						case "wait":
							require.Equal(t, 10*time.Second, after[i])
							stored[withoutTime(w)] = true
						default:
							require.Zero(t, after[i])
							stored[withoutTime(w)] = true
						}
					}
					require.Equal(t, 1, first)
					time.Sleep(time.Minute)
					last := ask()
					require.Equal(t, "true", last.Header().Get(headerReplayed))
					stored[withoutTime(last)] = true
					require.Len(t, stored, 1, "the answer is that of the first")
					require.Len(t, data[[]runView](t, f.get("/v1/runs")), c.runs)
				})
			})
		}
	}
}

// withoutTime is the body of an answer without when it was given.
func withoutTime(w *httptest.ResponseRecorder) string {
	text, _, _ := strings.Cut(w.Body.String(), `,"metadata"`)
	return text
}

// TestDuplicateWaitsNoLongerThanAProxy: a run that takes long is told of before
// somebody between gives up, or the server ends.
func TestDuplicateWaitsNoLongerThanAProxy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		draining, drain := context.WithCancel(t.Context())
		defer drain()
		f := newFixture(t, func(c *Config, _ *engineConfig) { c.Draining = draining }, withApp(func(*http.Request) *http.Response {
			time.Sleep(time.Hour)
			return sdk(200, `1`)
		}))
		f.register()
		ask := func(body string) *httptest.ResponseRecorder {
			return f.do(request{method: "POST", path: "/invoke/shop-charge", body: body, header: policies("wait")})
		}
		require.Equal(t, http.StatusOK, ask(`{}`).Code)
		begin := time.Now()
		wantBusy(t, ask(`{}`))
		require.Equal(t, f.s.patience(), time.Since(begin))
		require.Equal(t, http.StatusUnprocessableEntity, ask(`{"data":{"n":2}}`).Code, "another request waits for nothing")
		go func() {
			time.Sleep(time.Second)
			drain()
		}()
		require.Equal(t, http.StatusServiceUnavailable, ask(`{}`).Code)
	})
}

// TestInFlightIsOneOfThree: what is none of them is refused before anything is
// done, wherever a key is taken.
func TestInFlightIsOneOfThree(t *testing.T) {
	t.Parallel()
	f := fronting(t, func(*http.Request, string) *http.Response { return tsResponse("no") })
	f.register()
	for path, body := range map[string]string{
		"/e/k": `{"name":"order/paid"}`, "/v1/signals": `{"signal":"s"}`, "/invoke/shop-charge": `{}`,
		"/v2/apps/shop/functions/charge/invoke": `{"data":{}}`, "/v1/runs/" + unknownRun + "/rerun": `{}`, "/v2/runs/" + unknownRun + "/rerun": `{}`,
		"/v1/dead-letters/retry": `{"all":true}`, "/v1/dead-letters/" + unknownRun + "/retry": `{}`, "/x/app/api/book": `{}`,
	} {
		for _, how := range []string{"Wait", "join", "wait, reject", ""} {
			h := policies("", headerInFlight, how)
			w := f.do(request{method: "POST", path: path, body: body, header: h})
			require.Equal(t, http.StatusBadRequest, w.Code, "%s %q: %s", path, how, w.Body)
			require.Contains(t, w.Body.String(), headerInFlight+" must be wait, attach or reject")
		}
	}
	events, err := f.eng.History().Events(t.Context(), store.EventFilter{}, store.Page{Limit: 5})
	require.NoError(t, err)
	require.Empty(t, events)
}

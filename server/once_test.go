package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/store"
)

func (f *fixture) keyed(path, key, body string, more ...string) (status int, replayed bool, answer string) {
	f.t.Helper()
	h := map[string]string{headerKey: key, "Content-Type": "application/json"}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	w := f.do(request{method: "POST", path: path, body: body, header: h})
	return w.Code, w.Header().Get(headerReplayed) == "true", w.Body.String()
}

// TestKeyedSendHappensOnce is F-37: one execution, equal answers, marked as
// replays.
func TestKeyedSendHappensOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const n = 100
	var wait sync.WaitGroup
	var mu sync.Mutex
	answers, replays := map[string]int{}, 0
	for range n {
		wait.Go(func() {
			status, again, answer := f.keyed("/e/k", "order-1", `{"name":"order","data":{"n":1}}`)
			mu.Lock()
			defer mu.Unlock()
			answers[fmt.Sprint(status, answer)]++
			if again {
				replays++
			}
		})
	}
	wait.Wait()
	require.Len(t, answers, 1, "all get the same answer")
	require.Equal(t, n-1, replays)
	events, err := f.eng.History().Events(t.Context(), store.EventFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, events, 1)

	status, again, _ := f.keyed("/e/k", "order-1", ` {"data": {"n":1}, "name":"order"} `)
	require.Equal(t, http.StatusOK, status, "the same payload, written in another way")
	require.True(t, again)
}

// TestKeyForAnotherPayloadIsRefused is F-39.
func TestKeyForAnotherPayloadIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, _, first := f.keyed("/e/k", "a", `{"name":"order"}`)
	status, again, answer := f.keyed("/e/k", "a", `{"name":"order","data":{"n":2}}`)
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.False(t, again)
	require.Contains(t, answer, fingerprint([]byte(`{"name":"order"}`)))
	require.Contains(t, answer, fingerprint([]byte(`{"name":"order","data":{"n":2}}`)))
	events, err := f.eng.History().Events(t.Context(), store.EventFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, events, 1, "nothing was executed")

	w := f.do(request{method: "GET", path: "/v1/idempotency-keys?scope=events"})
	require.Contains(t, w.Body.String(), `"key":"a"`)
	require.Equal(t, http.StatusOK, f.do(request{method: "DELETE", path: "/v1/idempotency-keys?scope=events&key=a"}).Code)
	wantRefusal(t, f.do(request{method: "DELETE", path: "/v1/idempotency-keys?scope=events&key=a"}), http.StatusNotFound)
	status, again, second := f.keyed("/e/k", "a", `{"name":"order","data":{"n":2}}`)
	require.Equal(t, http.StatusOK, status, "a key that was voided is free")
	require.False(t, again)
	require.NotEqual(t, first, second)
}

func TestKeyedBatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	status, _, answer := f.keyed("/e/k", "a", `[{"name":"order"},{"data":{}}]`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, `"ids":[]`)
	status, again, _ := f.keyed("/e/k", "a", `[{"name":"order"},{"name":"order"}]`)
	require.Equal(t, http.StatusOK, status, "what was refused took no key")
	require.False(t, again)
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, key := range []string{"", `""`, "a b", "ü", strings.Repeat("k", 256), `a"b`} {
		status, _, answer := f.keyed("/e/k", key, `{"name":"x"}`)
		require.Equal(t, http.StatusBadRequest, status, key)
		require.Contains(t, answer, headerKey)
	}
	for _, life := range []string{"0s", "900d", "soon", "-1h"} {
		status, _, answer := f.keyed("/e/k", "k", `{"name":"x"}`, headerLife, life)
		require.Equal(t, http.StatusBadRequest, status, life)
		require.Contains(t, answer, headerLife)
	}
	status, _, _ := f.keyed("/e/k", `"quoted"`, `{"name":"x"}`, headerLife, "36h")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, f.do(request{method: "GET", path: "/v1/idempotency-keys?scope=events"}).Body.String(), `"key":"quoted"`)
	wantRefusal(t, f.do(request{method: "GET", path: "/v1/idempotency-keys"}), http.StatusBadRequest)
}

// TestKeysOfTheOptionIdempotency: they are listed, paged and voided by the value
// that the user knows.
func TestKeysOfTheOptionIdempotency(t *testing.T) {
	t.Parallel()
	const scope = "unique/shop-charge"
	seen := map[string]bool{}
	for _, stored := range []string{"=A", "=", "=null", "null", "==A", "==", "=a b"} {
		shown := shownKey(scope, stored)
		require.Equal(t, stored, storedKey(scope, shown))
		require.False(t, seen[shown], "%q stands for two", shown)
		seen[shown] = true
	}
	require.Equal(t, "A", shownKey(scope, "=A"))
	require.Equal(t, "null", shownKey(scope, "null"))
	require.Equal(t, "=A", shownKey("events", "=A"))

	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	w := f.post("/fn/register", strings.Replace(registration, `"singleton":{"key":"false","mode":"skip"}`, `"idempotency":"event.data.id"`, 1))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	for _, id := range []string{`"A"`, `"B"`, `null`} {
		f.ended(`{"name":"order/paid","data":{"id":` + id + `}}`)
	}
	keys := func(more string) (list []string) {
		for _, k := range data[[]keyView](t, f.get("/v1/idempotency-keys?scope="+scope+more)) {
			list = append(list, k.Key)
		}
		return list
	}
	require.Equal(t, []string{"A", "B", "null"}, keys(""))
	require.Equal(t, []string{"B", "null"}, keys("&cursor=A"))
	for _, key := range []string{"A", "null"} {
		w := f.do(request{method: "DELETE", path: "/v1/idempotency-keys?scope=" + scope + "&key=" + key})
		require.Equal(t, http.StatusOK, w.Code, w.Body)
	}
	require.Equal(t, []string{"B"}, keys(""))
}

func TestScopesThatAreNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, scope := range []string{"", "nope", "events/x", "unique", "unique/"} {
		for _, method := range []string{"GET", "DELETE"} {
			path := "/v1/idempotency-keys?scope=" + scope
			if method == "DELETE" {
				path += "&key=a"
			}
			require.Contains(t, wantRefusal(t, f.do(request{method: method, path: path}), http.StatusBadRequest), "scope must be events, signals, ")
		}
	}
}

// keyedRequests has a request for each route that takes a key, by method and pattern,
// without the prefix of the v2 API. It is given a server with the function shop-charge,
// whose runs fail.
var keyedRequests = map[string]func(f *fixture) request{
	"POST /e/{key}":       func(*fixture) request { return post("/e/k", `[{"name":"order/paid"},{"name":"x"}]`) },
	"POST /events":        func(*fixture) request { return post("/v2/events", `{"name":"order/paid","data":{}}`) },
	"POST /invoke/{slug}": func(*fixture) request { return post("/invoke/shop-charge", `{"data":{}}`) },
	"POST /v1/schedules":  func(*fixture) request { return post("/v1/schedules", `{"function":"shop-charge","cron":"0 12 * * *"}`) },
	"POST /v1/dead-letters/discard": func(f *fixture) request {
		return post("/v1/dead-letters/discard", `{"all":true,"reason":"of a test"}`)
	},
	"POST /v1/dead-letters/retry":                  func(*fixture) request { return post("/v1/dead-letters/retry", `{"all":true}`) },
	"POST /v1/runs/{run}/rerun":                    func(f *fixture) request { return post("/v1/runs/"+f.failed()+"/rerun", `{"data":{"n":2}}`) },
	"POST /runs/{run}/rerun":                       func(f *fixture) request { return post("/v2/runs/"+f.failed()+"/rerun", "") },
	"POST /x/{host}/{rest...}":                     nil, // TestManyRequestsWithOneKeyAreOneRun
	"GET /x/{host}/{rest...}":                      nil,
	"PUT /x/{host}/{rest...}":                      nil,
	"PATCH /x/{host}/{rest...}":                    nil,
	"DELETE /x/{host}/{rest...}":                   nil,
	"POST /v1/signals":                             nil, // TestSignalIsSentOnceForItsKey of package engine
	"POST /e/{$}":                                  nil, // lets nobody in
	"POST /e":                                      nil,
	"POST /apps/{app}/functions/{function}/invoke": func(*fixture) request { return post("/v2/apps/shop/functions/charge/invoke", `{"data":{}}`) },
	"POST /v1/cancellations": func(*fixture) request {
		return post("/v1/cancellations", `{"app_id":"shop","function_id":"charge","started_before":"2026-01-01T00:00:00Z"}`)
	},
	"POST /v1/dead-letters/{run}/{action}": func(f *fixture) request { return post("/v1/dead-letters/"+f.failed()+"/retry", "") },
}

// TestEveryRouteSaysWhatAKeyMeans walks the table: what changes something takes a key,
// needs none, or refuses it. Each that takes one is asked twice, with the same answer,
// and with another body and a key that is none.
func TestEveryRouteSaysWhatAKeyMeans(t *testing.T) {
	t.Parallel()
	for _, rt := range routes() {
		pattern := rt.pattern
		for _, prefix := range v2Prefixes() {
			if p, ok := strings.CutPrefix(pattern, prefix+"/"); ok {
				pattern = "/" + p
			}
		}
		name := rt.method + " " + pattern
		ask, known := keyedRequests[name]
		require.Equal(t, rt.key == takesKey, known, "%s: a route that takes a key has a request in this test", name)
		if rt.missing || rt.reads || rt.method == http.MethodGet && rt.mark == unmarked {
			require.Equal(t, unsaid, rt.key, "%s changes nothing", name)
			continue
		}
		require.NotEqual(t, unsaid, rt.key, "%s: say what an Idempotency-Key means for it", name)
		switch {
		case rt.key == refusesKey:
			t.Run(rt.method+" "+rt.pattern, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				q := request{method: rt.method, path: wildcards.Replace(rt.pattern), body: "{}", header: map[string]string{headerKey: "k", "Content-Type": "application/json"}}
				w := f.do(q)
				require.Equal(t, http.StatusBadRequest, w.Code, w.Body)
				require.Contains(t, w.Body.String(), headerKey+" has no meaning here")
			})
		case ask != nil:
			t.Run(rt.method+" "+rt.pattern, func(t *testing.T) {
				t.Parallel()
				f := newActing(t)
				q := ask(f)
				if strings.HasPrefix(rt.pattern, "/api/") {
					q.path = "/api" + q.path
				}
				first := f.do(q.once("k"))
				require.Equal(t, http.StatusOK, first.Code, first.Body)
				require.Empty(t, first.Header().Get(headerReplayed))
				again := f.do(q.once("k"))
				require.Equal(t, http.StatusOK, again.Code, again.Body)
				require.Equal(t, "true", again.Header().Get(headerReplayed))
				require.Equal(t, made(first), made(again))
				require.NotEqual(t, made(first), made(f.do(q.once("other"))), "another key is another request")

				require.Equal(t, http.StatusBadRequest, f.do(q.once("k k")).Code)
				q.body = strings.Replace(strings.Replace(q.body, "{", `{"v":"2",`, 1), `,}`, "}", 1)
				if q.body != "" && strings.Contains(rt.pattern, "/e") || strings.Contains(rt.pattern, "invoke") {
					w := f.do(q.once("k"))
					require.Equal(t, http.StatusUnprocessableEntity, w.Code, w.Body)
					require.Contains(t, w.Body.String(), "idempotency_conflict")
				}
			})
		}
	}
}

// made are the ids in an answer.
func made(w *httptest.ResponseRecorder) []string {
	return regexp.MustCompile(`"(id|ids|eventId|runId|run_id)":[\["]+[^"]+"`).FindAllString(w.Body.String(), -1)
}

// TestKeyOfWhatWasRemoved: what a key has made is not made again when it is gone.
func TestKeyOfWhatWasRemoved(t *testing.T) {
	t.Parallel()
	f := newActing(t)
	for path, body := range map[string]string{
		"/v1/schedules":     `{"function":"shop-charge","cron":"0 12 * * *"}`,
		"/v1/cancellations": `{"app_id":"shop","function_id":"charge","started_before":"2026-01-01T00:00:00Z"}`,
	} {
		id := data[struct {
			ID string `json:"id"`
		}](t, f.do(post(path, body).once("k"))).ID
		require.Equal(t, http.StatusOK, f.do(request{method: "DELETE", path: path + "/" + id}).Code)
		require.Contains(t, wantRefusal(t, f.do(post(path, body).once("k")), http.StatusGone), id)
		scope := strings.TrimPrefix(path, "/v1/")
		require.Equal(t, http.StatusOK, f.do(request{method: "DELETE", path: "/v1/idempotency-keys?scope=" + scope + "&key=k"}).Code)
		require.Equal(t, http.StatusOK, f.do(post(path, body).once("k")).Code)
	}
}

// TestKeyInHeaderAndBody: the v2 API has a key of its own in the body of an invocation.
func TestKeyInHeaderAndBody(t *testing.T) {
	t.Parallel()
	f := newActing(t)
	q := post("/v2/apps/shop/functions/charge/invoke", `{"data":{},"idempotencyKey":"a"}`)
	require.Contains(t, f.do(q.once("b")).Body.String(), "not both")
	first := f.do(q)
	require.Equal(t, http.StatusOK, first.Code, first.Body)
	again := f.do(q)
	require.Equal(t, http.StatusConflict, again.Code, "as the protocol has it")
	require.Equal(t, made(first), made(again))
}

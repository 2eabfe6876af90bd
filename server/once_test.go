package server

import (
	"fmt"
	"net/http"
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

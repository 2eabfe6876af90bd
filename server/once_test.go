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

package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTracesAreAnsweredAsOTLP(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"/v1/traces/userland", "/dev/traces"} {
		w := f.do(request{method: "POST", path: path, body: "\x0a\x00", header: map[string]string{"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}})
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "application/x-protobuf", w.Header().Get("Content-Type"))
		require.Empty(t, w.Body.String())
		w = f.post(path, `{"resourceSpans":[]}`)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "{}", w.Body.String())
		wantRefusal(t, f.post(path, strings.Repeat("x", 9<<20)), http.StatusRequestEntityTooLarge)
	}
	require.Equal(t, http.StatusNotFound, newFixture(t, serving).post("/dev/traces", "{}").Code)
}

func TestRemovedAppStartsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	remove := func(url string) request { return request{method: "DELETE", path: "/fn/remove?url=" + url} }
	wantRefusal(t, f.do(remove("")), http.StatusBadRequest)
	wantRefusal(t, f.do(remove("http://localhost:1/x")), http.StatusNotFound)
	w := f.do(remove("http://localhost:3000/api/inngest"))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Contains(t, w.Body.String(), `"ok":true`)
	wantRefusal(t, f.do(remove("http://localhost:3000/api/inngest")), http.StatusNotFound)

	require.Empty(t, data[[]appView](t, f.get("/v1/apps")))
	apps, _ := dataV2[[]appV2](t, f.get("/v2/apps"))
	require.Empty(t, apps)
	apps, _ = dataV2[[]appV2](t, f.get("/v2/apps?archived=true"))
	require.Len(t, apps, 1)
	require.False(t, apps[0].ArchivedAt.IsZero())
	require.Empty(t, data[[]runView](t, f.get("/v1/events/"+f.send(`{"name":"order/paid"}`)+"/runs")))

	f.register() // it comes back
	require.Len(t, data[[]appView](t, f.get("/v1/apps")), 1)
	require.Equal(t, "Completed", f.ended(`{"name":"order/paid"}`).Status)
}

func TestDevTellsOptions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.register()
	w := f.get("/dev")
	require.Equal(t, http.StatusOK, w.Code)
	for _, member := range []string{`"version":"v-test"`, `"startOpts":{"urls":["http://localhost:3000/api/inngest"]`, `"singleton":{"key":"false","mode":"skip"}`, `"isSingleNodeService":true`} {
		require.Contains(t, w.Body.String(), member)
	}
}

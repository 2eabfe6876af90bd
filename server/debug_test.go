package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// TestMetricsAndProfiles (S17): on a handler of its own, for this machine, to whoever
// has a key; a token reads metrics.
func TestMetricsAndProfiles(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	f := newPeopled(t, func(c *Config, e *engineConfig) { c.Metrics, e.Metrics = registry, registry })
	ask := func(path, host string, door func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "http://"+host+path, nil)
		door(r)
		w := httptest.NewRecorder()
		f.s.Debug().ServeHTTP(w, r)
		return w
	}
	const here, metrics, heap = "127.0.0.1:6060", "/metrics", "/debug/pprof/heap"
	stranger := func(*http.Request) {}
	bearing := func(secret string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }
	}
	key, token := bearing(testKey), bearing(f.token("viewer", "1d"))
	for _, c := range []struct {
		path, host string
		door       func(*http.Request)
		want       int
	}{
		{metrics, here, stranger, 401},
		{metrics, here, bearing("nonsense"), 401},
		{metrics, here, key, 200},
		{metrics, here, token, 200},
		{metrics, here, func(r *http.Request) { r.SetBasicAuth("", testKey) }, 200},
		{metrics, "evil.example", key, 421},
		{heap, here, stranger, 401},
		{heap, here, token, 401},
		{heap, here, key, 200},
		{heap, here, func(r *http.Request) { r.SetBasicAuth("any", testKey) }, 200},
		{heap, "evil.example", key, 421},
		{"/debug/pprof/", here, key, 200},
		{"/debug/pprof/cmdline", here, key, 404},
		{"/", here, key, 404},
		{"/v1/runs", here, key, 404},
	} {
		require.Equal(t, c.want, ask(c.path, c.host, c.door).Code, "%s of %s", c.path, c.host)
	}
	require.Equal(t, http.StatusNotFound, f.get(metrics).Code, "the server's own listener has none")
	require.Equal(t, http.StatusNotFound, f.get(heap).Code)
}

func TestMetricsAreShown(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	f := newFixture(t, func(c *Config, e *engineConfig) { c.Metrics, e.Metrics = registry, registry })
	require.Equal(t, http.StatusOK, f.do(request{method: "POST", path: "/e/x", body: `{"name":"x"}`}).Code)
	w := httptest.NewRecorder()
	f.s.Debug().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Header().Get("Content-Type"), "text/plain")
	require.Contains(t, w.Body.String(), "pawl_events_received_total 1\n")
	require.Contains(t, w.Body.String(), "pawl_store_fsyncs_total ")
}

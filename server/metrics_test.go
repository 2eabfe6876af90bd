package server

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestMetricsAreShown(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	f := newFixture(t, func(c *Config, e *engineConfig) { c.Metrics, e.Metrics = registry, registry })
	require.Equal(t, http.StatusOK, f.do(request{method: "POST", path: "/e/x", body: `{"name":"x"}`}).Code)
	w := f.get("/metrics")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Header().Get("Content-Type"), "text/plain")
	require.Contains(t, w.Body.String(), "pawl_events_received_total 1\n")
	require.Contains(t, w.Body.String(), "pawl_store_fsyncs_total ")
	require.Equal(t, http.StatusNotFound, newFixture(t).get("/metrics").Code)
}

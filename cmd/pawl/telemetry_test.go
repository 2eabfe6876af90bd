package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTracingSendsSpans: with one variable spans go to a collector.
func TestTracingSendsSpans(t *testing.T) {
	got := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			got <- r.URL.Path + " " + string(body)
		}
	}))
	t.Cleanup(collector.Close)
	const variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
	t.Setenv(variable, collector.URL)
	set := map[string]string{variable: collector.URL}
	get := func(name string) string { return set[name] }
	p, err := tracing(t.Context(), get)
	require.NoError(t, err)
	_, span := p.Tracer("test").Start(t.Context(), "run shop-charge")
	span.End()
	require.NoError(t, p.Shutdown(context.Background()))
	body := <-got
	require.Contains(t, body, "/v1/traces ")
	require.Contains(t, body, "run shop-charge")
	require.Contains(t, body, "pawl")

	set["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
	_, err = tracing(t.Context(), get)
	require.ErrorContains(t, err, "http/protobuf")
	p, err = tracing(t.Context(), func(string) string { return "" })
	require.NoError(t, err)
	require.Nil(t, p, "nobody asked for spans")
}

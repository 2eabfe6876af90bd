package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// TestSpansAreClean: what a span tells of errors and of steps leaves, too.
func TestSpansAreClean(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	clean := func(text string) string { return strings.ReplaceAll(text, "6011", "[redacted]") }
	tr := newTracer(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), clean)
	ctx, _, done := tr.call(t.Context(), origin{run: "r", function: "f", queued: time.Now()}, "s", 0)
	require.NotNil(t, ctx)
	failed := durable.JSON(`{"name":"Error","message":"no 6011"}`)
	tr.stepped("r", []durable.Entry{{Kind: durable.Tried, Step: "s", Name: "charge 6011", Data: failed, Started: time.Now()}})
	done(&wire.Answer{Kind: wire.Failed, Err: wire.NewError("Error", "no 6011", "", false)})
	tr.ended("r", durable.Head{Status: durable.Failed, Output: failed, Ended: time.Now()})
	list := spans.GetSpans()
	require.Len(t, list, 3)
	for _, s := range list {
		require.Equal(t, "Error: no [redacted]", s.Status.Description, s.Name)
		require.NotContains(t, s.Name, "6011")
		for _, a := range s.Attributes {
			require.NotContains(t, a.Value.String(), "6011")
		}
	}
}

package queue

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func TestInterruptEndsTheWorkOfARunButNotTheReportOfItsEnd(t *testing.T) {
	t.Parallel()
	lease := func(run, step string, kind durable.ItemKind) store.Lease {
		return store.Lease{Item: durable.Item{Run: run, Step: step, Kind: kind}}
	}
	var h held
	call := h.add(t.Context(), lease("r", durable.Discovery, durable.Call))
	wake := h.add(t.Context(), lease("r", "nap", durable.Wake))
	report := h.add(t.Context(), lease("r", durable.ReportStep, durable.Report))
	other := h.add(t.Context(), lease("s", durable.Discovery, durable.Call))
	h.interrupt("r")
	require.Error(t, call.Err())
	require.Error(t, wake.Err())
	require.NoError(t, report.Err(), "whoever waits for the run must hear of its end")
	require.NoError(t, other.Err())
}

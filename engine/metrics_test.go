package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

// TestMetricsAreBounded: however many functions there are, the labels are few.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	m, err := newMetrics(prometheus.NewRegistry(), &Engine{})
	require.NoError(t, err)
	now := time.Now()
	for n := range 3 * mostCounted {
		head := durable.Head{Status: durable.Completed, Started: now, Ended: now}
		m.changed(fmt.Sprint("f", n), now, true, durable.Change{Head: &head})
	}
	require.Equal(t, mostCounted+1, testutil.CollectAndCount(m.started))
	require.InDelta(t, 2*mostCounted, testutil.ToFloat64(m.started.WithLabelValues(otherFunctions)), 0)
}

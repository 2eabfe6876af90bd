package engine

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
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
	waiting := map[string]int64{"another": 1}
	for n := range 3 * mostCounted {
		waiting[fmt.Sprint("f", n)] = 1
	}
	d := &depths{m, func() map[string]int64 { return waiting }, prometheus.NewDesc("depth", "", []string{"function"}, nil)}
	require.Equal(t, mostCounted+1, testutil.CollectAndCount(d))
	require.InDelta(t, 2*mostCounted, testutil.ToFloat64(m.started.WithLabelValues(otherFunctions)), 0)
}

// TestGrafanaDashboardAsksForWhatThereIs (F-45): depth, retries, waiting and run
// times, and reasons of failures are in it, and nothing that nobody counts.
func TestGrafanaDashboardAsksForWhatThereIs(t *testing.T) {
	t.Parallel()
	m, err := newMetrics(prometheus.NewRegistry(), &Engine{})
	require.NoError(t, err)
	labels := map[string]string{}
	for _, c := range m.all {
		described := make(chan *prometheus.Desc, 1)
		c.Describe(described)
		found := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([^}]*)\}`).FindStringSubmatch((<-described).String())
		require.Len(t, found, 3)
		labels[found[1]] = found[2]
	}
	raw, err := os.ReadFile("../docs/grafana/pawl.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(raw, &dashboard, json.MatchCaseInsensitiveNames(true)))
	shown := map[string]bool{}
	for _, panel := range dashboard.Panels {
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			names := regexp.MustCompile(`pawl_\w+`).FindAllString(target.Expr, -1)
			require.Len(t, names, 1, target.Expr)
			name := strings.TrimSuffix(names[0], "_bucket")
			require.Contains(t, labels, name, panel.Title)
			shown[name] = true
			for _, by := range regexp.MustCompile(`by \(([^)]*)\)|\{(\w+)=`).FindAllStringSubmatch(target.Expr, -1) {
				for label := range strings.SplitSeq(by[1]+by[2], ", ") {
					require.Contains(t, labels[name]+",le", label, "%s: %s", panel.Title, target.Expr)
				}
			}
		}
	}
	require.Len(t, shown, len(labels), "each metric is shown")
}

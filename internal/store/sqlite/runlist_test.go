package sqlite

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/store"
)

// TestRunListsAreIndexRanges asks SQLite how it would read each list.
func TestRunListsAreIndexRanges(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{})
	yes := true
	for _, oldest := range []bool{false, true} {
		for _, f := range []store.RunFilter{{}, {Time: store.ByStarted}, {Time: store.ByEnded}, {Time: store.ByEnded, Deferred: &yes}} {
			require.NoError(t, s.read(t.Context(), func(c *conn) error {
				l, err := newRunList(c, f, store.Page{Limit: 1, Oldest: oldest})
				require.NoError(t, err)
				var plan strings.Builder
				stmt := c.Prep("EXPLAIN QUERY PLAN " + l.query())
				err = rows(stmt, func() { plan.WriteString(stmt.ColumnText(3) + "\n") })
				index := "SEARCH runs USING COVERING INDEX runs_" + l.time
				if f.Deferred != nil {
					index = "SEARCH runs USING INDEX runs_" + l.time
				}
				require.Contains(t, plan.String(), index+" (function=? AND status=? AND ("+l.time+",id)>(?,?) AND ("+l.time+",id)<(?,?))")
				require.NotContains(t, plan.String(), "TEMP B-TREE")
				return err
			}))
		}
	}
}

package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/store"
)

// BenchmarkPast looks back on an hour with 100,000 runs of so many functions, in a
// store with as many from before.
func BenchmarkPast(b *testing.B) {
	for _, functions := range []int{1, 1000} {
		s := temporary(b, Options{Durability: None})
		for i := range 200_000 {
			if i%500 != 0 {
				continue
			}
			var batch []store.Accepted
			at := noon.Add(time.Duration(i) * 36 * time.Millisecond)
			for j := range 500 {
				a := sent(noon)
				a.Event.Received = at
				r := a.Starts[0].Run
				r.Function, r.Queued = fmt.Sprintf("shop-%d", (i+j)%functions), at
				batch = append(batch, a)
			}
			_, err := s.Accept(b.Context(), at, batch)
			require.NoError(b, err)
		}
		c, err := sqlite.OpenConn(s.path, sqlite.OpenReadWrite)
		require.NoError(b, err)
		require.NoError(b, sqlitex.ExecuteScript(c, `UPDATE runs SET status = 2, started = queued + 1000, ended = queued + 9000;
			INSERT INTO journal (run, n, step, kind, op, name, attempt, at, started, took, until, flags, data)
			SELECT id, 1, 's', 4, 'StepRun', 's', 0, ended, 0, 0, 0, 0, zeroblob(200) FROM runs ORDER BY seq`, nil))
		require.NoError(b, c.Close())
		for _, most := range []int{10_000, 300_000, 1_000_000} {
			b.Run(fmt.Sprintf("%d/%d", functions, most), func(b *testing.B) {
				n := 0
				for b.Loop() {
					n = 0
					_, err := s.Past(b.Context(), store.Span{From: noon.Add(time.Hour), Until: noon.Add(2 * time.Hour), Most: most}, func(store.Happening) { n++ })
					require.NoError(b, err)
				}
				b.ReportMetric(float64(n), "things")
			})
		}
	}
}

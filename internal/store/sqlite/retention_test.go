package sqlite

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var day = store.Retention{Runs: 24 * time.Hour, Failed: 24 * time.Hour, Events: 24 * time.Hour}

// TestSweptStoreIsSound: the doctor knows what may be gone.
func TestSweptStoreIsSound(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	w.s = open(t, w.path)
	for at := noon.Add(25 * time.Hour); ; at = at.Add(time.Hour) {
		swept, err := w.s.Sweep(t.Context(), at, day, 3)
		require.NoError(t, err)
		require.NoError(t, w.s.Close())
		require.Empty(t, w.examine())
		w.s = open(t, w.path)
		if !swept.More {
			break
		}
	}
	require.NoError(t, w.s.Close())
	n, err := Examine(t.Context(), w.path, noon, func(store.Finding) {})
	require.NoError(t, err)
	require.Equal(t, 1, n.Ended, "the run whose end has yet to be told")
	// A key of a run that was there, and then was not, is seen all the same.
	w.harm(`UPDATE idempotency SET created = created + 1, reply = CAST('01KE9' AS BLOB)`)
	require.NotEmpty(t, w.examine())
}

// endRun starts a run with n steps and ends it.
func endRun(t testing.TB, s *Store, n int, data []byte) string {
	t.Helper()
	run := startRun(t, s, noon)
	c := durable.Change{Head: &durable.Head{Status: durable.Completed, Started: noon, Ended: noon, Protocol: 2}}
	for i := range n {
		c.Entries = append(c.Entries, durable.Entry{Step: fmt.Sprint(i), Kind: durable.StepDone, At: noon, Data: data})
	}
	require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
		return store.Decision{Change: c}, nil
	}))
	return run
}

// TestFreedPagesAreUsedAgain: with retention the file stops growing.
func TestFreedPagesAreUsedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	s := open(t, path)
	data := []byte(`{"data":"` + string(bytes.Repeat([]byte("x"), 20_000)) + `"}`)
	var sizes []int64
	for range 4 {
		for range 40 {
			endRun(t, s, 3, data)
		}
		for more := true; more; {
			swept, err := s.Sweep(t.Context(), noon.Add(48*time.Hour), day, 50)
			require.NoError(t, err)
			more = swept.More
		}
		require.NoError(t, s.Close())
		info, err := os.Stat(path)
		require.NoError(t, err)
		sizes = append(sizes, info.Size())
		s = open(t, path)
	}
	require.NoError(t, s.Close())
	require.Less(t, sizes[3], sizes[0]+sizes[0]/10, "%v", sizes)
}

// TestSweepOfNothingWritesNothing: an idle server does not wake its disk.
func TestSweepOfNothingWritesNothing(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{})
	for range 10 {
		endRun(t, s, 1, nil)
		startRun(t, s, noon)
	}
	before := s.Commits()
	for _, r := range []store.Retention{{}, {Runs: time.Hour}, {Events: time.Hour}, {Failed: time.Minute}} {
		swept, err := s.Sweep(t.Context(), noon, r, 100)
		require.NoError(t, err)
		require.Zero(t, swept)
	}
	require.Equal(t, before, s.Commits())
}

// BenchmarkSweep is what one sweep costs the writer, beside 100,000 rows that
// are kept.
func BenchmarkSweep(b *testing.B) {
	for _, limit := range []int{50, 100, 200, 500} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) {
			s := temporary(b, Options{Durability: Relaxed})
			data := []byte(`{"data":"` + string(bytes.Repeat([]byte("x"), 100)) + `"}`)
			rows := 0
			for b.Loop() {
				b.StopTimer()
				for range limit/4 + 1 {
					endRun(b, s, 3, data)
				}
				b.StartTimer()
				_, err := s.Sweep(b.Context(), noon.Add(48*time.Hour), day, limit)
				require.NoError(b, err)
				rows += limit
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

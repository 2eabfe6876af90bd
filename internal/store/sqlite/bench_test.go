package sqlite

import (
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// onDisk opens a store on the disk of the working directory, synced to it as
// shipped: where temporary files are is often no disk at all.
func onDisk(b *testing.B) *Store {
	b.Helper()
	dir, err := os.MkdirTemp(".", "bench-*")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
	s, err := Open(b.Context(), dir+"/pawl.db", Options{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s
}

// inFlight does op b.N times in all with n at a time, and reports how many a
// second under the name of unit, their times, and how many shared an fsync.
func inFlight(b *testing.B, s *Store, n int, unit string, op func(worker, i int) error) {
	b.Helper()
	took := make([][]time.Duration, n)
	var next atomic.Int64
	before := s.Commits()
	b.ReportAllocs()
	b.ResetTimer()
	var workers sync.WaitGroup
	for w := range n {
		workers.Go(func() {
			for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
				begun := time.Now()
				if err := op(w, i); err != nil {
					b.Error(err)
					return
				}
				took[w] = append(took[w], time.Since(begun))
			}
		})
	}
	workers.Wait()
	b.StopTimer()
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit+"/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(b.N)/float64(s.Commits()-before), unit+"/fsync")
}

// BenchmarkCommitStep is a finished step: one journal entry, the item moved.
func BenchmarkCommitStep(b *testing.B) {
	for _, n := range []int{1, 64, 512} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := onDisk(b)
			runs := make([]string, n)
			for i := range runs {
				runs[i] = startRun(b, s, noon)
			}
			memo := durable.JSON(`{"data":{"id":"0123456789","total":42,"items":["a","b","c"]}}`)
			inFlight(b, s, n, "steps", func(w, i int) error {
				if i%1000 == 999 { // a run has not endless steps
					ids, err := s.Accept(b.Context(), noon, []store.Accepted{sent(noon)})
					if err != nil {
						return err
					}
					runs[w] = ids[0]
				}
				run := runs[w]
				return s.Transition(b.Context(), run, func(*durable.Run) (store.Decision, error) {
					return store.Decision{Change: durable.Change{
						Entries: []durable.Entry{{Step: strconv.Itoa(i), Kind: durable.StepDone, Op: "StepRun", Name: "charge", At: noon, Data: memo}},
						Put:     []durable.Put{{Item: durable.Item{Run: run, Due: noon}}},
					}}, nil
				})
			})
		})
	}
}

// BenchmarkAccept is an event that starts one run.
func BenchmarkAccept(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := onDisk(b)
			inFlight(b, s, n, "events", func(int, int) error {
				a := sent(noon)
				a.Event.Key = a.Event.ID
				_, err := s.Accept(b.Context(), noon, []store.Accepted{a})
				return err
			})
		})
	}
}

// BenchmarkClaim claims one item and gives it back, with so many waiting.
func BenchmarkClaim(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := onDisk(b)
			run := startRun(b, s, noon)
			waiting := make([]durable.Put, n-1)
			for i := range waiting {
				waiting[i].Item = durable.Item{Run: run, Step: strconv.Itoa(i), Due: noon.Add(time.Duration(i) * time.Microsecond)}
			}
			for part := range slices.Chunk(waiting, 10_000) {
				require.NoError(b, s.Transition(b.Context(), run, func(*durable.Run) (store.Decision, error) {
					return store.Decision{Change: durable.Change{Put: part}}, nil
				}))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				leases, err := s.Claim(b.Context(), noon.Add(time.Hour), time.Minute, 1)
				if err != nil || len(leases) != 1 {
					b.Fatal(leases, err)
				}
				if err := s.Release(b.Context(), leases); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
		})
	}
}

// BenchmarkWaiting finds the one of many waits that an event concerns.
func BenchmarkWaiting(b *testing.B) {
	s := temporary(b, Options{Durability: None})
	run := sent(noon)
	for i := range 1000 {
		run.Starts[0].Waits = append(run.Starts[0].Waits, durable.Wait{
			Run: run.Starts[0].Run.ID, Step: strconv.Itoa(i), Name: "a", Path: "data.n", Value: strconv.Itoa(i),
		})
	}
	event := sent(noon).Event
	event.Name = "a"
	_, err := s.Accept(b.Context(), noon, []store.Accepted{run, {Event: event}})
	require.NoError(b, err)
	for i := 0; b.Loop(); i++ {
		paths, err := s.Paths(b.Context(), "a")
		require.NoError(b, err)
		waits, err := s.Waiting(b.Context(), event.ID, paths[0], strconv.Itoa(i%1000), 0, 256)
		require.NoError(b, err)
		require.Len(b, waits, 1)
	}
}

// BenchmarkRead reads a run that rests from disk.
func BenchmarkRead(b *testing.B) {
	s := temporary(b, Options{Durability: None})
	run := startRun(b, s, noon)
	for b.Loop() {
		_, err := s.readRun(b.Context(), run)
		require.NoError(b, err)
	}
}

// BenchmarkLife is a run from its event to its end: three writes, in which its
// row and the indexes of its lists change.
func BenchmarkLife(b *testing.B) {
	s := onDisk(b)
	inFlight(b, s, 64, "runs", func(_, i int) error {
		a := sent(noon.Add(time.Duration(i) * time.Millisecond))
		if _, err := s.Accept(b.Context(), noon, []store.Accepted{a}); err != nil {
			return err
		}
		head := durable.Head{Status: durable.Running, Started: noon, Protocol: 2}
		for range 2 {
			err := s.Transition(b.Context(), a.Starts[0].Run.ID, func(*durable.Run) (store.Decision, error) {
				h := head
				return store.Decision{Change: durable.Change{Head: &h, Soft: h.Ended.IsZero()}}, nil
			})
			if err != nil {
				return err
			}
			head.Status, head.Ended, head.Output = durable.Completed, noon, durable.JSON(`{"ok":true}`)
		}
		return nil
	})
}

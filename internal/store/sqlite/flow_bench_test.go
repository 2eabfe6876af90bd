package sqlite

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/store"
)

// forKey is an event that starts a run which waits behind the limits of a key.
func forKey(key string) store.Accepted {
	a := sent(noon)
	a.Starts[0].Run.Keys = key
	a.Starts[0].Run.Enqueue(noon, noon, 0)
	return a
}

// byKey is a limit of one for each key, as the engine says it for the option
// "concurrency", beside those that every lane stands behind.
func byKey(lane string) (flow.Class, []flow.GateSpec) {
	_, function, keys, _ := durable.Lane(lane)
	return flow.Begin, []flow.GateSpec{
		{Name: "app/shop", Slots: 512},
		{Name: "step/" + function + "/" + keys, Slots: 1, Keyed: true},
		{Name: "step/" + function, Slots: 1000},
	}
}

// backlog is a store on disk, as shipped, in which so many runs wait, evenly over
// so many keys.
type backlog struct {
	*Store
	waiting, keys int
	dir           string
}

func newBacklog(b *testing.B, waiting, keys int) *backlog {
	b.Helper()
	dir, err := os.MkdirTemp(".", "bench-*")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
	s, err := Open(b.Context(), dir+"/pawl.db", Options{Durability: None, CacheBytes: 1 << 20})
	require.NoError(b, err)
	x := &backlog{s, waiting, keys, dir}
	b.Cleanup(func() { require.NoError(b, x.Close()) })
	batch := make([]store.Accepted, 0, 2000)
	for i := range waiting {
		batch = append(batch, forKey(fmt.Sprintf("%016x%016x", 7, i%keys))) // as long as those of the engine
		if len(batch) == cap(batch) || i == waiting-1 {
			_, err := s.Accept(b.Context(), noon, batch)
			require.NoError(b, err)
			batch = batch[:0]
		}
	}
	x.reopen(b)
	return x
}

func (x *backlog) String() string { return fmt.Sprintf("%d_over_%d", x.waiting, x.keys) }

func (x *backlog) reopen(b *testing.B) {
	b.Helper()
	require.NoError(b, x.Close())
	var err error
	x.Store, err = Open(b.Context(), x.dir+"/pawl.db", Options{})
	require.NoError(b, err)
	x.Limit(byKey)
}

// endAndReplace ends a run that was claimed, and starts another for its key.
func (x *backlog) endAndReplace(ctx context.Context, l store.Lease) error {
	err := x.Transition(ctx, l.Run, func(*durable.Run) (store.Decision, error) {
		return store.Decision{Change: durable.Change{Head: &durable.Head{Status: durable.Completed, Started: noon, Ended: noon}}}, nil
	})
	if err != nil {
		return err
	}
	_, _, keys, _ := durable.Lane(l.Lane)
	_, err = x.Accept(ctx, noon, []store.Accepted{forKey(keys)})
	return err
}

// work claims n runs as the engine does: one goroutine claims for as many as are
// not busy of so many workers, which end each run and replace it. It returns how long
// each claim took.
func (x *backlog) work(b *testing.B, workers, n int) (took []time.Duration) {
	b.Helper()
	slots := make(chan struct{}, workers)
	var wait sync.WaitGroup
	defer wait.Wait()
	for n > 0 {
		slots <- struct{}{}
		begun := time.Now()
		leases, err := x.Claim(b.Context(), noon, time.Hour, min(n, cap(slots)-len(slots)+1))
		took = append(took, time.Since(begun))
		if err != nil || len(leases) == 0 {
			b.Errorf("claimed %v: %v", leases, err)
			return took
		}
		<-slots
		n -= len(leases)
		for _, l := range leases {
			slots <- struct{}{}
			wait.Go(func() {
				if err := x.endAndReplace(b.Context(), l); err != nil {
					b.Error(err)
				}
				<-slots
			})
		}
	}
	return took
}

// BenchmarkClaimByKey claims a run of a key, ends it, and starts another for the
// same key, so that the number that waits stays. What that costs may not depend on
// the number: stores with hardly any, and with a million, take turns, so that what
// else the machine does concerns both.
func BenchmarkClaimByKey(b *testing.B) {
	stores := []*backlog{newBacklog(b, 128, 128), newBacklog(b, 1_000_000, 10_000)}
	for _, workers := range []int{1, 64} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			const turn = 1000
			took, spent, cpu := make([][]time.Duration, len(stores)), make([]time.Duration, len(stores)), make([]time.Duration, len(stores))
			for done := 0; done < b.N; done += turn {
				for i, x := range stores {
					begun, used := time.Now(), processorTime(b)
					took[i] = append(took[i], x.work(b, workers, min(turn, b.N-done))...)
					spent[i] += time.Since(begun)
					cpu[i] += processorTime(b) - used
				}
			}
			for i, x := range stores {
				slices.Sort(took[i])
				at := func(q int) float64 { return float64(took[i][len(took[i])*q/100].Nanoseconds()) / 1000 }
				b.ReportMetric(float64(b.N)/spent[i].Seconds(), x.String()+"-claims/s")
				b.ReportMetric(float64(cpu[i].Microseconds())/float64(b.N), x.String()+"-cpu-µs")
				b.ReportMetric(at(50), x.String()+"-claim-p50-µs")
				b.ReportMetric(at(99), x.String()+"-claim-p99-µs")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStartByKey opens a store in which runs wait, and claims the first of
// them. Neither may depend on their number or on that of their keys, nor what is in
// memory when some thousands were worked.
func BenchmarkStartByKey(b *testing.B) {
	for _, n := range [][2]int{{100, 100}, {1_000_000, 10_000}, {1_000_000, 1_000_000}} {
		x := newBacklog(b, n[0], n[1])
		b.Run(x.String(), func(b *testing.B) {
			var open, first, limit time.Duration
			var heap uint64
			for b.Loop() {
				begun := time.Now()
				x.reopen(b)
				open += time.Since(begun)
				empty := heapInUse()
				begun = time.Now()
				leases, err := x.Claim(b.Context(), noon, time.Hour, 1)
				first += time.Since(begun)
				if err != nil || len(leases) != 1 {
					b.Fatal(leases, err)
				}
				x.work(b, 64, 20_000)
				heap += heapInUse() - empty
				begun = time.Now()
				x.Limit(byKey)
				limit += time.Since(begun)
			}
			each := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
			b.ReportMetric(each(open), "open-ms")
			b.ReportMetric(each(first), "first-claim-ms")
			b.ReportMetric(each(limit), "limits-changed-ms")
			b.ReportMetric(float64(heap)/float64(b.N)/(1<<20), "heap-MB")
			b.ReportMetric(float64(len(x.queue.lanes)), "lanes")
			b.ReportMetric(float64(len(x.queue.byKey)), "rows")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

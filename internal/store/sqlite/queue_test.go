package sqlite

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/storetest"
)

// loaded is how many queue rows are in memory.
func loaded(s *Store) int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.byKey)
}

// claimAll claims until nothing is left.
func claimAll(t *testing.T, s *Store, now time.Time) (runs []string) {
	t.Helper()
	for {
		leases, err := s.Claim(t.Context(), now, time.Minute, 10)
		require.NoError(t, err)
		if len(leases) == 0 {
			return runs
		}
		for _, l := range leases {
			runs = append(runs, l.Run)
		}
	}
}

// timers makes one run with n items, one for each due time.
func timers(t *testing.T, s *Store, n int, due func(i int) time.Time) string {
	t.Helper()
	run := startRun(t, s, noon.Add(10000*time.Hour))
	items := make([]durable.Put, n)
	for i := range items {
		items[i].Item = durable.Item{Run: run, Step: strconv.Itoa(i), Kind: durable.Wake, Due: due(i)}
	}
	for part := range slices.Chunk(items, 5000) {
		require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
			return store.Decision{Change: durable.Change{Put: part}}, nil
		}))
	}
	return run
}

func TestFutureItemsStayOnDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	s := open(t, path)
	const n = 30_000
	_, err := s.Claim(t.Context(), noon, time.Minute, 10)
	require.NoError(t, err)
	timers(t, s, n, func(i int) time.Time { return noon.Add(time.Hour + time.Duration(i)*100*time.Millisecond) })
	for range 2 {
		leases, err := s.Claim(t.Context(), noon.Add(time.Minute), time.Minute, 10)
		require.NoError(t, err)
		require.Empty(t, leases)
		require.LessOrEqual(t, loaded(s), 1)
		require.NoError(t, s.Close())
		s = open(t, path)
	}
	leases, err := s.Claim(t.Context(), noon.Add(time.Hour), time.Minute, 10)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	require.LessOrEqual(t, loaded(s), 102, "ten seconds of them")
	leases, err = s.Claim(t.Context(), noon.Add(2*time.Hour), time.Minute, 10)
	require.NoError(t, err)
	require.Len(t, leases, 10)
	require.LessOrEqual(t, loaded(s), window+102, "however many are overdue")
	require.NoError(t, s.Close())
}

// When more is due soon than memory should hold, the later part is left to the
// disk, and what is put meanwhile still comes first if it is due first.
func TestQueueLargerThanMemory(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{Durability: None})
	s.queue.max = 100
	_, err := s.Claim(t.Context(), noon, time.Minute, 1) // the next ten seconds are in memory from now on
	require.NoError(t, err)
	due := func(i int) time.Time { return noon.Add(time.Second + time.Duration(i*7%1000)*time.Millisecond) }
	timers(t, s, 1000, due)
	require.LessOrEqual(t, loaded(s), 100)
	urgent := startRun(t, s, noon)
	next, any, err := s.NextDue(t.Context())
	require.NoError(t, err)
	require.True(t, any)
	require.False(t, next.After(noon), next)
	leases, err := s.Claim(t.Context(), noon, time.Minute, 5)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	require.Equal(t, urgent, leases[0].Run)

	last := noon
	for seen := 0; seen < 1000; {
		leases, err := s.Claim(t.Context(), noon.Add(2*time.Second), time.Minute, 30)
		require.NoError(t, err)
		require.NotEmpty(t, leases, "%d of 1000 came", seen)
		for _, l := range leases {
			require.False(t, l.Due.Before(last), "in order")
			last = l.Due
		}
		seen += len(leases)
	}
}

// TestQueueAgainstModel puts a queue with hardly any memory through random
// operations and compares each claim with a plain map.
func TestQueueAgainstModel(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	s := temporary(t, Options{Durability: None})
	s.queue.max = 6
	type row struct {
		due   time.Time
		until time.Time
		lease store.Lease
	}
	model := map[string]*row{} // by step
	run := startRun(t, s, noon.Add(10000*time.Hour))
	now := noon
	free := func(r *row) bool { return !r.until.After(now) }
	for op := range 3000 {
		name := strconv.Itoa(rnd.IntN(40))
		r := model[name]
		switch rnd.IntN(8) {
		case 0, 1, 2: // put
			due := now.Add(time.Duration(rnd.IntN(40_000)-5000) * time.Millisecond)
			keep := rnd.IntN(4) == 0
			if r != nil && !r.until.IsZero() && free(r) {
				keep = false // whether a lease that ran out still counts is nobody's promise
			}
			require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
				item := durable.Item{Run: run, Step: name, Due: due}
				return store.Decision{Change: durable.Change{Put: []durable.Put{{Item: item, KeepClaim: keep}}}}, nil
			}))
			if keep && r != nil && !free(r) {
				r.due = due
			} else {
				model[name] = &row{due: due}
			}
		case 3: // drop
			require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
				return store.Decision{Change: durable.Change{Drop: []string{name}}}, nil
			}))
			delete(model, name)
		case 4: // release
			if r != nil && !free(r) {
				require.NoError(t, s.Release(t.Context(), []store.Lease{r.lease}))
				r.until = time.Time{}
			}
		case 5: // extend
			if r != nil && !free(r) {
				held, err := s.Extend(t.Context(), r.lease, now, 5*time.Second)
				require.NoError(t, err)
				require.True(t, held)
				r.until = now.Add(5 * time.Second)
			}
		default: // time goes on, and something is claimed
			now = now.Add(time.Duration(rnd.IntN(4000)) * time.Millisecond)
			var want []time.Time
			for _, r := range model {
				if free(r) && !r.due.After(now) {
					want = append(want, r.due)
				}
			}
			slices.SortFunc(want, time.Time.Compare)
			limit := 1 + rnd.IntN(6)
			want = want[:min(limit, len(want))]
			var leases []store.Lease
			for more := true; more && len(leases) < limit; { // what is not in memory comes later
				some, err := s.Claim(t.Context(), now, 3*time.Second, limit-len(leases))
				require.NoError(t, err)
				leases, more = append(leases, some...), len(some) > 0
			}
			got := []time.Time{}
			for _, l := range leases {
				got = append(got, l.Due)
				r := model[l.Step]
				require.NotNil(t, r, "op %d: a row that is not there", op)
				require.True(t, free(r), "op %d: held by another", op)
				require.True(t, r.due.Equal(l.Due), "op %d", op)
				r.until, r.lease = l.Until, l
			}
			require.Len(t, got, len(want), "op %d", op)
			for i := range want {
				require.True(t, want[i].Equal(got[i]), "op %d: want %s got %s", op, want, got)
			}
		}
	}
	require.LessOrEqual(t, loaded(s), 41)
}

// A row that is read while the group that wrote it is not yet taken over must
// not be given out twice.
func TestRefillDuringACommit(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		s := temporary(t, Options{Durability: None})
		run := startRun(t, s, noon.Add(time.Hour))
		w := newWrite(noon)
		w.run = run
		w.change.Put = []durable.Put{{Item: durable.Item{Run: run, Due: noon}}}
		fresh := sent(noon)
		w.accepted = []store.Accepted{fresh}
		group := []*write{w}
		s.queue.begin(group)
		if !fails {
			_, err := s.transact(group)
			require.NoError(t, err)
		}
		early, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := s.Claim(early, noon.Add(2*time.Hour), time.Minute, 10)
		stop()
		require.ErrorIs(t, err, context.DeadlineExceeded, "what is being written waits")
		want := []string{run}
		if fails {
			s.queue.failed()
		} else {
			s.queue.committed(group)
			want = append(want, fresh.Starts[0].Run.ID)
		}
		require.ElementsMatch(t, want, claimAll(t, s, noon.Add(2*time.Hour)), "each once")
	}
}

// Three days pass in a moment: nothing is early, late, twice or forgotten.
func TestDeliveryOverDays(t *testing.T) {
	for _, spread := range []time.Duration{20 * time.Second, 72 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := temporary(t, Options{Durability: None})
			storetest.Deliver(t, s, storetest.Load{Producers: 8, Each: 100, Spread: spread, Late: time.Second})
		})
	}
}

func TestDeliveryInABurst(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{Durability: None})
	storetest.Deliver(t, s, storetest.Load{Producers: 8, Each: 100, Spread: time.Millisecond, Late: 10 * time.Second})
}

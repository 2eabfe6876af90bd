package sqlite

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sent is a new event that starts one run, due at due.
func sent(due time.Time) store.Accepted {
	e := durable.Event{ID: ulid.Make().String(), Name: "order/placed", At: noon, Received: noon, Body: durable.JSON(`{}`)}
	f := durable.Function{Slug: "shop-ship", App: "shop", Version: 1}
	return store.Accepted{Event: e, Starts: []durable.Start{{Run: durable.NewRun(ulid.Make().String(), f, e, due, noon)}}}
}

func startRun(t testing.TB, s *Store, due time.Time) string {
	t.Helper()
	ids, err := s.Accept(t.Context(), noon, []store.Accepted{sent(due)})
	require.NoError(t, err)
	require.Len(t, ids, 1)
	return ids[0]
}

// step is a change that ends a step.
func step(name string) durable.Change {
	return durable.Change{Entries: []durable.Entry{{Step: name, Kind: durable.StepDone, At: noon, Data: durable.JSON(`{"data":1}`)}}}
}

// stall keeps the writer from its next transaction until the returned function
// is called.
func stall(t *testing.T, s *Store) (release func()) {
	t.Helper()
	c, err := sqlite.OpenConn(s.path, sqlite.OpenReadWrite)
	require.NoError(t, err)
	require.NoError(t, sqlitex.ExecuteTransient(c, "BEGIN IMMEDIATE", nil))
	return sync.OnceFunc(func() {
		require.NoError(t, sqlitex.ExecuteTransient(c, "ROLLBACK", nil))
		require.NoError(t, c.Close())
	})
}

// transition starts a transition and returns once it is on its way to the
// disk. decided tells how often decide was asked.
func transition(t *testing.T, s *Store, run string, c durable.Change, emit ...store.Accepted) (done chan error, decided *int, saw *int) {
	t.Helper()
	done, decided, saw = make(chan error, 1), new(int), new(int)
	first := make(chan struct{})
	go func() {
		done <- s.Transition(t.Context(), run, func(r *durable.Run) (store.Decision, error) {
			*saw = r.Seq
			if *decided++; *decided == 1 {
				close(first)
			}
			return store.Decision{Change: c, Accepted: emit}, nil
		})
	}()
	<-first
	inMemory(t, s, run, func(*durable.Run) {}) // until the decision is applied the head is locked
	return done, decided, saw
}

// inMemory shows a run as it is decided, on disk or not; View waits for that.
func inMemory(t *testing.T, s *Store, run string, fn func(*durable.Run)) {
	t.Helper()
	h, err := s.load(t.Context(), run)
	require.NoError(t, err)
	fn(h.run)
	s.unload(h)
}

// What is shown, or called known already, is on disk: the same news twice must
// not be acknowledged before the first of it is safe.
func TestNothingIsSaidBeforeItIsOnDisk(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{})
	run := startRun(t, s, noon)
	release := stall(t, s)
	defer release()
	first, _, _ := transition(t, s, run, step("a"))
	again, _, _ := transition(t, s, run, durable.Change{})
	soft, _, _ := transition(t, s, run, durable.Change{Head: &durable.Head{Status: durable.Running, Started: noon}, Soft: true})
	shown := make(chan error, 1)
	go func() { shown <- s.View(t.Context(), run, func(*durable.Run) error { return nil }) }()
	for _, c := range []chan error{first, again, soft, shown} {
		require.Empty(t, c)
	}
	release()
	for _, c := range []chan error{first, again, soft, shown} {
		require.NoError(t, <-c)
	}
}

func TestDecisionsDoNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{})
	run := startRun(t, s, noon)
	release := stall(t, s)
	defer release()
	var waiting []chan error
	for i := range 5 {
		done, _, saw := transition(t, s, run, step(strconv.Itoa(i)))
		require.Equal(t, i, *saw, "the decision saw those before it")
		waiting = append(waiting, done)
	}
	entries, err := s.Journal(t.Context(), run, 0)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing is on disk")
	for _, done := range waiting {
		require.Empty(t, done, "nobody was told that it is")
	}
	release()
	for _, done := range waiting {
		require.NoError(t, <-done)
	}
	entries, err = s.Journal(t.Context(), run, 0)
	require.NoError(t, err)
	require.Len(t, entries, 5)
	require.LessOrEqual(t, s.Commits(), int64(3), "they shared a transaction")
}

// What was decided on a write that failed is decided again, on what is there.
func TestDecisionsOnAFailedWriteAreMadeAgain(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{})
	run, other := startRun(t, s, noon), startRun(t, s, noon)
	release := stall(t, s)
	defer release()
	bad := sent(noon)
	bad.Starts[0].Run.ID = run // taken
	before, _, _ := transition(t, s, run, step("before"))
	fails, _, _ := transition(t, s, run, step("fails"), bad)
	after, decided, saw := transition(t, s, run, step("after"))
	require.Equal(t, 2, *saw)
	beside, besides, _ := transition(t, s, other, step("beside"))
	release()
	require.NoError(t, <-before)
	require.Error(t, <-fails)
	require.NoError(t, <-after)
	require.NoError(t, <-beside)
	require.Equal(t, 2, *decided)
	require.Equal(t, 1, *saw, "the second time without what failed")
	require.Equal(t, 1, *besides)
	for range 2 {
		require.NoError(t, s.View(t.Context(), run, func(r *durable.Run) error {
			require.Equal(t, []string{"before", "after"}, r.Stack)
			return nil
		}))
		s.heads.init(defaultCache) // forget all: what is on disk says the same
	}
}

// A lease that runs out while the item's replacement is on its way to the disk
// must not give the replacement away before its time.
func TestClaimOfAnItemThatIsBeingReplaced(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{})
	run := startRun(t, s, noon)
	leases, err := s.Claim(t.Context(), noon, time.Minute, 1)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	release := stall(t, s)
	defer release()
	later := noon.Add(time.Hour)
	done, _, _ := transition(t, s, run, durable.Change{Put: []durable.Put{{Item: durable.Item{Run: run, Due: later, Attempt: 1}}}})
	_, err = s.Claim(t.Context(), noon.Add(2*time.Minute), time.Minute, 1)
	require.NoError(t, err)
	free := func() {
		t.Helper()
		inMemory(t, s, run, func(r *durable.Run) { require.False(t, r.Items[""].Claimed) })
	}
	free()
	release()
	require.NoError(t, <-done)
	free()
	leases, err = s.Claim(t.Context(), later.Add(-1), time.Minute, 1)
	require.NoError(t, err)
	require.Empty(t, leases)
	leases, err = s.Claim(t.Context(), later, time.Minute, 1)
	require.NoError(t, err)
	require.Len(t, leases, 1)
}

func TestHeadsStayWithinTheirBytes(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	s := temporary(t, Options{Durability: None, CacheBytes: limit})
	var runs []string
	for range 300 {
		runs = append(runs, startRun(t, s, noon))
	}
	for i, run := range runs {
		require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
			return store.Decision{Change: step(strconv.Itoa(i))}, nil
		}))
	}
	s.heads.mu.Lock()
	defer s.heads.mu.Unlock()
	require.LessOrEqual(t, s.heads.size, limit)
	require.Len(t, s.heads.byID, s.heads.idle.Len(), "no head is kept in use")
	require.Less(t, len(s.heads.byID), 150)
}

// inCache reports whether a run is in memory.
func inCache(s *Store, run string) bool {
	s.heads.mu.Lock()
	defer s.heads.mu.Unlock()
	return s.heads.byID[run] != nil
}

func TestRunsThatRestLeaveMemory(t *testing.T) {
	t.Parallel()
	far := time.Now().Add(time.Hour)
	rest := func(run string) durable.Change {
		return durable.Change{
			Drop: []string{""},
			Put: []durable.Put{
				{Item: durable.Item{Run: run, Step: "w", Kind: durable.Wake, Due: far}},
				{Item: durable.Item{Run: run, Step: durable.FinishStep, Kind: durable.Timeout, Due: far}},
			},
		}
	}
	change := func(s *Store, run string, c durable.Change) {
		require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
			return store.Decision{Change: c}, nil
		}))
	}
	s := temporary(t, Options{Durability: None})
	run := startRun(t, s, noon)
	require.True(t, inCache(s, run), "it will be called soon")
	leases, err := s.Claim(t.Context(), noon, time.Hour, 10)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	change(s, run, step("a"))
	require.True(t, inCache(s, run), "it is called just now")
	change(s, run, rest(run))
	require.False(t, inCache(s, run), "it rests")
	require.NoError(t, s.View(t.Context(), run, func(r *durable.Run) error {
		require.Equal(t, []string{"a"}, r.Stack)
		return nil
	}))
	require.False(t, inCache(s, run), "it was only looked at")
	change(s, run, durable.Change{Put: []durable.Put{{Item: durable.Item{Run: run, Due: noon}}}})
	require.True(t, inCache(s, run), "it goes on")

	require.False(t, inCache(s, startRun(t, s, far)), "it begins later")

	// Only its head knows which call of a run that is tried again was the newest.
	leases, err = s.Claim(t.Context(), noon, time.Hour, 10)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	change(s, run, durable.Change{Put: []durable.Put{{Item: durable.Item{Run: run, Due: far, Attempt: 1}}}})
	require.True(t, inCache(s, run))
	require.NoError(t, s.View(t.Context(), run, func(r *durable.Run) error {
		require.Equal(t, leases[0].Generation, r.Items[""].Generation)
		return nil
	}))

	s.heads.mu.Lock()
	defer s.heads.mu.Unlock()
	require.Len(t, s.heads.byID, s.heads.idle.Len())
	require.Len(t, s.heads.byID, 1)
}

func TestEndedRunsLeaveMemory(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{Durability: None})
	for range 20 {
		run := startRun(t, s, noon)
		require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
			return store.Decision{Change: durable.Change{Head: &durable.Head{Status: durable.Completed, Ended: noon}}}, nil
		}))
	}
	s.heads.mu.Lock()
	defer s.heads.mu.Unlock()
	require.Empty(t, s.heads.byID)
	require.Zero(t, s.heads.size)
	require.Empty(t, s.queue.byKey)
}

// Of runs that were just written, those are in memory that will be called first,
// however many come after them.
func TestFreshRunsStayWithinTheirBytes(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{Durability: None, CacheBytes: 128 << 10})
	var ids []string
	for range 100 {
		ids = append(ids, startRun(t, s, noon))
	}
	first := 0
	for ; s.heads.peek(ids[first]) != nil; first++ {
	}
	require.Greater(t, first, 5)
	require.Less(t, first, 20, "an eighth of 128 KiB, each of more than 1 KiB")
	for _, id := range ids[first:] {
		require.Nil(t, s.heads.peek(id))
	}
	leases, err := s.Claim(t.Context(), noon, time.Minute, 100)
	require.NoError(t, err)
	require.Len(t, leases, 100)
	require.NoError(t, s.Transition(t.Context(), ids[99], func(r *durable.Run) (store.Decision, error) {
		require.True(t, r.Items[durable.Discovery].Claimed, "what is read later is the same")
		return store.Decision{Change: step("a")}, nil
	}))
	require.LessOrEqual(t, s.heads.freshSize, s.heads.freshMax)
}

// What has waited for so long that others must be in front of it makes room.
func TestFreshRunsGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := temporary(t, Options{Durability: None, CacheBytes: 128 << 10})
		begin := time.Now()
		for range 100 {
			startRun(t, s, begin)
		}
		time.Sleep(lookahead)
		id := startRun(t, s, time.Now())
		require.NotNil(t, s.heads.peek(id))
	})
}

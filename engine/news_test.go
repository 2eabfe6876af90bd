package engine

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

// A follower that does not read costs a bounded amount of memory, and is told that
// it has missed something.
func TestSlowFollowerIsToldToReadAnew(t *testing.T) {
	t.Parallel()
	e := &Engine{}
	f, err := e.Follow()
	require.NoError(t, err)
	defer f.Close()
	for i := range mostNews + 10 {
		e.followers.run(&RunNews{ID: fmt.Sprint(i)}, 0)
	}
	runs, stale := f.Take()
	require.Len(t, runs, mostNews)
	require.Equal(t, TopicRuns|TopicUnnamed, stale)
	runs, stale = f.Take()
	require.Empty(t, runs)
	require.Zero(t, stale)
}

func TestFollowerKnowsARunAsItIsNow(t *testing.T) {
	t.Parallel()
	e := &Engine{}
	f, err := e.Follow()
	require.NoError(t, err)
	e.followers.run(&RunNews{ID: "a", Seq: 5, Status: durable.Completed}, 0)
	e.followers.run(&RunNews{ID: "a", Seq: 4, Status: durable.Running}, 0) // told of late
	runs, _ := f.Take()
	require.Equal(t, []RunNews{{ID: "a", Seq: 5, Status: durable.Completed}}, runs)
	f.Close()
	f.Close()
	require.False(t, e.followers.any())
}

// News that come while nobody looks on are not told, but it is known that there were some.
func TestQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{}
		e.followers.news() // as the engine does when it begins
		time.Sleep(time.Second)
		require.Equal(t, time.Second, e.Quiet())
		e.spread(nil, durable.Change{Emit: []durable.Event{{ID: "e"}}})
		require.Zero(t, e.Quiet())
		time.Sleep(3 * time.Second)
		require.Equal(t, 3*time.Second, e.Quiet())
		e.spread(nil, durable.Change{})
		require.Equal(t, 3*time.Second, e.Quiet(), "nothing has changed")
	})
}

func TestFollowersAreBounded(t *testing.T) {
	t.Parallel()
	e := &Engine{}
	for range mostFollowers {
		_, err := e.Follow()
		require.NoError(t, err)
	}
	_, err := e.Follow()
	require.ErrorIs(t, err, ErrTooMany)
}

func TestQuantilesAreRightToAFifth(t *testing.T) {
	t.Parallel()
	var s spread
	require.Zero(t, s.quantile(.5))
	for i := range 1000 {
		s.note(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{.5: 500 * time.Millisecond, .95: 950 * time.Millisecond, .99: 990 * time.Millisecond} {
		require.InEpsilon(t, want, s.quantile(q), .2, q)
	}
	s.note(1000 * 24 * time.Hour)
	require.Positive(t, s.quantile(1))
	longest := 113170 * time.Millisecond
	var one, both spread
	one.note(longest)
	both.note(time.Second)
	both.add(&one)
	require.Equal(t, Quantiles{longest, longest, longest}, one.quantiles(), "nothing took longer")
	require.Equal(t, longest, both.quantile(.95))
	var short spread
	short.note(0)
	require.Equal(t, time.Millisecond, short.quantile(.5), "there was one")
}

// What is older than an hour is not counted any more, however long nothing happened.
func TestRecentForgets(t *testing.T) {
	t.Parallel()
	var rc recent
	now := time.Unix(1_700_000_000, 0)
	head := &durable.Head{Status: durable.Failed, Started: now.Add(time.Second), Ended: now.Add(3 * time.Second)}
	rc.received(2, now)
	rc.changed("f", now, true, durable.Change{Head: head, Entries: []durable.Entry{{Kind: durable.Tried}, {Kind: durable.StepDone}}}, now)
	want := Counts{Events: 2, Started: 1, Failed: 1, Retried: 1, Steps: 1}
	got := rc.read(now.Add(30 * time.Minute))
	require.Equal(t, want, got.Sum)
	require.InEpsilon(t, time.Second, got.Wait.P50, .2)
	require.InEpsilon(t, 2*time.Second, got.Run.P50, .2)
	want.Events = 0
	require.Equal(t, want, got.Functions[0].Sum)
	got = rc.read(now.Add(61 * time.Minute))
	require.Zero(t, got.Sum)
	require.Empty(t, got.Functions)
	require.Zero(t, rc.read(now.Add(-time.Hour)).Sum, "a clock that was set back")
}

// Functions are counted apart up to a number, and make room when nothing happens.
func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	var rc recent
	now := time.Unix(1_700_000_000, 0)
	c := durable.Change{Entries: []durable.Entry{{Kind: durable.StepDone}}}
	for i := range mostCounted + 10 {
		rc.changed(fmt.Sprint(i), now, false, c, now)
	}
	require.Len(t, rc.read(now).Functions, mostCounted)
	later := now.Add(2 * time.Hour)
	require.Empty(t, rc.read(later).Functions)
	rc.changed("new", later, false, c, later)
	require.Len(t, rc.read(later).Functions, 1)
}

package flow

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// admitted asks for n starts at each of the times, and returns how many pass.
func admitted(r Rate, n int, at ...time.Duration) (passed []int) {
	var full time.Time
	for _, d := range at {
		now := noon.Add(d)
		k := 0
		for range n {
			if !r.Next(full).After(now) {
				full = r.Take(full, now)
				k++
			}
		}
		passed = append(passed, k)
	}
	return passed
}

func TestThrottleAdmitsItsBurstAndThenItsRate(t *testing.T) {
	t.Parallel()
	// Source: spec/11 §3, as it was seen.
	require.Equal(t, []int{3, 0, 1, 1, 1}, admitted(Throttle(3, 6*time.Second, 0), 10, 0, time.Second, 2*time.Second, 4*time.Second, 6*time.Second))
	require.Equal(t, []int{5, 1}, admitted(Throttle(3, 6*time.Second, 2), 10, 0, 2*time.Second))
	require.Equal(t, []int{1}, admitted(Throttle(0, time.Second, 0), 10, 0), "a limit of 0 counts as 1")
}

func TestRateLimitAdmitsATenthAtOnce(t *testing.T) {
	t.Parallel()
	// Source: spec/11 §4, as it was seen.
	require.Equal(t, []int{2}, admitted(Limit(10, time.Minute), 25, 0))
	require.Equal(t, []int{3}, admitted(Limit(20, time.Minute), 25, 0))
	require.Equal(t, []int{1, 0, 1}, admitted(Limit(1, time.Minute), 5, 0, time.Minute-1, time.Minute))
}

// TestRateHoldsInEveryWindow compares with a count of what passed, but for what
// was undone.
func TestRateHoldsInEveryWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Every: time.Duration(rapid.IntRange(1, 1000).Draw(t, "every")), Burst: rapid.IntRange(0, 20).Draw(t, "burst")}
		var full time.Time
		var undone time.Duration
		type start struct {
			at, taken time.Time
			undone    time.Duration
		}
		var starts []start
		now := noon
		for range rapid.IntRange(1, 200).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "pause")))
			if len(starts) > 0 && rapid.IntRange(0, 3).Draw(t, "undo") == 0 {
				i := rapid.IntRange(0, len(starts)-1).Draw(t, "which")
				back := r.Undo(starts[i].taken, undone-starts[i].undone, now)
				full, undone = full.Add(-back), undone+back
				starts = slices.Delete(starts, i, i+1)
			}
			if r.Next(full).After(now) {
				continue
			}
			full = r.Take(full, now)
			starts = append(starts, start{now, full, undone})
			for i, first := range starts {
				n := len(starts) - i
				if most := r.Burst + 1 + int(now.Sub(first.at)/r.Every); n > most {
					t.Fatalf("%d passed in %v, at most %d may", n, now.Sub(first.at), most)
				}
			}
		}
		require.True(t, len(starts) > 0, "the first passes")
	})
}

func TestRateGivesBackWhatDidNotHappen(t *testing.T) {
	t.Parallel()
	r := Throttle(1, 10*time.Second, 0)
	at := func(d time.Duration) time.Time { return noon.Add(d * time.Second) }
	first := r.Take(time.Time{}, at(0))
	require.Equal(t, 10*time.Second, r.Undo(first, 0, at(0)), "at once: another may happen at once")
	require.Equal(t, 6*time.Second, r.Undo(first, 0, at(4)), "later: then")
	require.Zero(t, r.Undo(first, 0, at(16)), "what it took is past, and another may have been admitted")
}

package flow

import (
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

// TestRateHoldsInEveryWindow compares with a count of what passed.
func TestRateHoldsInEveryWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Every: time.Duration(rapid.IntRange(1, 1000).Draw(t, "every")), Burst: rapid.IntRange(0, 20).Draw(t, "burst")}
		var full time.Time
		var times []time.Time
		now := noon
		for range rapid.IntRange(1, 200).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "pause")))
			if r.Next(full).After(now) {
				continue
			}
			full = r.Take(full, now)
			times = append(times, now)
			for i, first := range times {
				n := len(times) - i
				if most := r.Burst + 1 + int(now.Sub(first)/r.Every); n > most {
					t.Fatalf("%d passed in %v, at most %d may", n, now.Sub(first), most)
				}
			}
		}
		require.True(t, len(times) > 0, "the first passes")
	})
}

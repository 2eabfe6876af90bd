package flow

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDebounceStep(t *testing.T) {
	t.Parallel()
	s := func(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Second))) }
	plain := Debounce{Period: 10 * time.Second}
	capped := Debounce{Period: 10 * time.Second, Timeout: 15 * time.Second}
	short := Debounce{Period: 10 * time.Second, Timeout: 3 * time.Second}
	for _, tt := range []struct {
		name string
		d    Debounce
		p    Pending
		at   time.Time
		now  time.Time
		want Pending
		step Step
	}{
		{"the first opens a timer", plain, Pending{}, s(-5), s(0), Pending{s(-5), s(0), s(10)}, Opens},
		{"the next begins it anew", plain, Pending{s(0), s(0), s(10)}, s(1), s(4), Pending{s(1), s(0), s(14)}, Replaces},
		{"the later arrival wins", plain, Pending{s(0), s(0), s(10)}, s(0), s(4), Pending{s(0), s(0), s(14)}, Replaces},
		{"an older one is dropped", plain, Pending{s(0), s(0), s(10)}, s(-1), s(4), Pending{s(0), s(0), s(10)}, Older},
		{"what is due starts", plain, Pending{s(0), s(0), s(10)}, s(-1), s(10), Pending{s(-1), s(10), s(20)}, Follows},
		{"the timeout ends it, in whole seconds", capped, Pending{s(0), s(0), s(10)}, s(8), s(8.5), Pending{s(8), s(0), s(14.5)}, Replaces},
		{"a second at least", capped, Pending{s(0), s(0), s(15)}, s(14), s(14.5), Pending{s(14), s(0), s(15.5)}, Replaces},
		{"which does not put it off for ever", capped, Pending{s(0), s(0), s(15.9)}, s(15), s(15.5), Pending{s(15), s(0), s(16)}, Replaces},
		{"a timeout below the period wins", short, Pending{}, s(0), s(0), Pending{s(0), s(0), s(3)}, Opens},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, step := tt.d.Next(tt.p, tt.at, tt.now)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.step, step)
		})
	}
}

// TestDebounceHolds says of random arrivals what must hold of the runs that
// start: each for the event that happened last of those since the run before.
func TestDebounceHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := Debounce{Period: time.Duration(rapid.IntRange(1, 10).Draw(t, "period")) * time.Second}
		if rapid.Bool().Draw(t, "capped") {
			d.Timeout = time.Duration(rapid.IntRange(1, 30).Draw(t, "timeout")) * time.Second
		}
		now := noon
		var p Pending
		var since []time.Time // when those that are together happened
		var first, newest time.Time
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "pause")) * time.Millisecond)
			at := now.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "at")) * time.Second)
			fired := !p.Due.IsZero() && !p.Due.After(now)
			next, step := d.Next(p, at, now)
			require.Equal(t, fired, step == Follows)
			if fired || p.Due.IsZero() {
				since, first = nil, now
			}
			if len(since) == 0 || !at.Before(newest) {
				newest = at
				require.NotEqual(t, Older, step)
				require.False(t, next.Due.Before(now.Add(min(d.Period, time.Second)-time.Second)))
			} else {
				require.Equal(t, Older, step)
				require.Equal(t, p, next)
			}
			since = append(since, at)
			require.Equal(t, newest, next.At)
			if d.Timeout > 0 {
				require.False(t, next.Due.After(first.Add(d.Timeout+time.Second)), "the run starts, even if events keep coming")
			} else if step != Older {
				require.Equal(t, now.Add(d.Period), next.Due)
			}
			p = next
		}
	})
}

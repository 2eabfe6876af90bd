package durable

import "time"

// Policy is what Next must know beside the run: the function's settings as
// they are now, the server's limits, and one random number.
type Policy struct {
	MaxAttempts int           // tries of one request, at least 1
	Interval    time.Duration // between tries; 0: the table below with jitter
	Jitter      float64       // random, in [0, 1)
	MaxSteps    int           // finished steps of one run
	MaxState    int           // bytes of the memoised results of one run
	MaxOutput   int           // bytes of one step's result
	Finish      time.Duration // from the run's start to its end; 0: any
	Counted     bool          // the function limits how many runs begin, or go on
	MaxAway     time.Duration // how long an app may be away before its runs fail
	Lease       time.Duration // how long a request in which a run began may be silent

	// Clean takes out of a text what people must not see, for titles, which are short:
	// of half of it nobody could tell. nil: nothing.
	Clean func(string) string
}

// DefaultPolicy has the limits that the official SDKs' documentation states.
// Source: spec/11 §12, §17.
var DefaultPolicy = Policy{MaxAttempts: 5, MaxSteps: 1000, MaxState: 32 << 20, MaxOutput: 4 << 20, MaxAway: 24 * time.Hour, Lease: 5 * time.Minute}

// waits[n] is the pause after the n-th failed try, n from 0; the last one
// stays. Source: spec/11 §12.
var waits = [...]time.Duration{
	15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
	10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, 2 * time.Hour,
}

// maxJitter is added to a wait in a random part, so that what failed together
// is not tried together.
const maxJitter = 30 * time.Second

// Bounds of the pause between tries of an app that is away: it doubles from
// one to the other, and no try of the function is used up.
const (
	minAway = time.Second
	maxAway = time.Minute
)

// nextReach is when an app that is away since since is called again.
func (p Policy) nextReach(since, now time.Time) time.Time {
	wait := min(max(now.Sub(since), minAway), maxAway)
	if p.Interval > 0 {
		wait = min(wait, p.Interval)
	}
	return now.Add(wait + time.Duration(p.Jitter*float64(wait)/4))
}

// nextTry is when the try after a failed one is due, attempt counting the
// failed tries before it from 0. A time that the app asked for wins.
func (p Policy) nextTry(attempt int, asked, now time.Time) time.Time {
	switch {
	case !asked.IsZero():
		return asked
	case p.Interval > 0:
		return now.Add(p.Interval)
	default:
		wait := waits[max(0, min(attempt, len(waits)-1))]
		return now.Add(wait + time.Duration(p.Jitter*float64(maxJitter)))
	}
}

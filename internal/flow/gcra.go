package flow

import "time"

// Rate is a limit on how often something happens, kept as the generic cell rate
// algorithm does: one time for each key says all there is to know. From idle,
// Burst+1 may happen at once, then one each Every.
type Rate struct {
	Every time.Duration // above 0
	Burst int           // from 0
}

// Throttle is the Rate of the option "throttle": limit+burst starts at once from
// idle, then one each period/limit. Source: spec/11 §3.
func Throttle(limit int, period time.Duration, burst int) Rate {
	limit = max(limit, 1)
	return Rate{Every: max(period/time.Duration(limit), 1), Burst: limit + max(burst, 0) - 1}
}

// Limit is the Rate of the option "rateLimit": limit/10+1 at once from idle, then
// one each period/limit. Source: spec/11 §4.
func Limit(limit int, period time.Duration) Rate {
	limit = max(limit, 1)
	return Rate{Every: max(period/time.Duration(limit), 1), Burst: limit / 10}
}

// Next is when one more may happen, given the time that Take last returned; at
// or before now: at once. The zero time is that of a key that is new.
func (r Rate) Next(full time.Time) time.Time {
	if full.IsZero() {
		return full
	}
	return full.Add(-time.Duration(r.Burst) * r.Every)
}

// Take notes that one happens at now, and returns the time to keep.
func (r Rate) Take(full, now time.Time) time.Time {
	if full.Before(now) {
		full = now
	}
	return full.Add(r.Every)
}

// Most is the latest time that Take can have returned at or before now. What is
// later was noted before the clock was set back, or under a slower limit.
func (r Rate) Most(now time.Time) time.Time {
	return now.Add(time.Duration(r.Burst+1) * r.Every)
}

// Undo takes back one that was noted and did not happen. Given are what Take had
// returned for it, and how much has been undone since; now is not before any
// Take. It returns by how much the time to keep comes earlier: not more than what
// is left of its share, since nobody waits for what is past.
func (r Rate) Undo(taken time.Time, since time.Duration, now time.Time) time.Duration {
	return min(max(taken.Sub(now)-since, 0), r.Every)
}

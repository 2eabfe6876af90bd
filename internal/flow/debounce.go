package flow

import "time"

// Debounce starts one run for events that come less than Period after each
// other. Source: spec/11 §5.
type Debounce struct {
	Period  time.Duration
	Timeout time.Duration // the longest from the first of them; 0: any
}

// Pending is the event that a debounce is going to start a run for.
type Pending struct {
	At    time.Time // of the event, by its sender
	First time.Time // when the timer was opened
	Due   time.Time // when the run starts
}

// Step is what an event means for the one that is pending.
type Step int

// The steps.
const (
	Opens    Step = iota // nothing was pending: it opens a timer
	Replaces             // it takes the other's place, and the timer begins anew
	Older                // it is dropped: the other happened later
	Follows              // the other's time is over: that one starts, and this opens a timer
)

// least is the shortest that a timer runs.
const least = time.Second

// Next decides about an event that came at now and happened at at. The zero
// Pending is none.
func (d Debounce) Next(p Pending, at, now time.Time) (Pending, Step) {
	step := Replaces
	switch {
	case p.Due.IsZero():
		step = Opens
	case !p.Due.After(now):
		step = Follows
	case at.Before(p.At):
		return p, Older
	}
	next := Pending{At: at, First: p.First}
	if step != Replaces {
		next.First = now
	}
	next.Due = now.Add(d.Period)
	if d.Timeout > 0 {
		end := next.First.Add(d.Timeout)
		left := max(end.Sub(now).Truncate(time.Second), least)
		if left < d.Period {
			next.Due = now.Add(left)
		}
		// The least time must not put off the end for ever.
		if last := end.Add(least); next.Due.After(last) {
			next.Due = last
		}
	}
	return next, step
}

package cron

import (
	"slices"
	"time"
)

// Grace is from when on a late tick counts as missed: a busy moment, a restart or a
// change of servers is no reason to leave one out. At most one tick of a schedule
// is younger.
const Grace = time.Minute

// Due decides the ticks after last, up to now and including it: ticks are those
// that are to run, oldest first, and next is the tick to wait for, zero when
// there is none. A tick that is less than Grace late runs under each policy; an
// older one was missed, and m decides.
//
// What runs are always the newest ticks. So everything after last and before
// ticks[0] is missed for good, and one record of that interval, which Between makes,
// tells it all.
//
// The caller keeps now, and if that is later, last, as the next last, in the
// transaction that starts the runs: then no tick runs twice, on one node or many,
// and also when a clock was set back (ticks up to last stay decided). At first,
// last is when the schedule was made.
//
// The work is bounded by what runs, not by how long ago last is.
func Due(s Schedule, last, now time.Time, m Missed) (ticks []time.Time, next time.Time) {
	last, now = inRange(last), inRange(now)
	if !last.Before(now) {
		next, _ = s.Next(last)
		return nil, next
	}
	next, _ = s.Next(now)
	onTime := now.Add(-Grace)
	for before := now.Add(1); ; {
		tick, ok := s.newest(last, before)
		if !ok || len(ticks) >= m.newest() && !tick.After(onTime) {
			break
		}
		ticks = append(ticks, tick)
		before = tick
	}
	slices.Reverse(ticks)
	return ticks, next
}

// Span is a row of ticks.
type Span struct {
	First, Last time.Time
	Ticks       int
	More        bool // there are more than that many: they were not all counted
}

// mostCounted is almost two years of a tick a minute, and some seconds of work.
const mostCounted = 1_000_000

// Between is the ticks after one time and before another; without any its Ticks is 0.
func Between(s Schedule, after, before time.Time) (p Span) {
	after, before = inRange(after), inRange(before)
	for {
		tick, ok := s.Next(after)
		switch {
		case !ok || !tick.Before(before):
			return p
		case p.Ticks == mostCounted:
			p.More = true
			p.Last, _ = s.newest(after, before)
			return p
		case p.Ticks == 0:
			p.First = tick
		}
		p.Last = tick
		p.Ticks++
		after = tick
	}
}

// longStride keeps the distance of two times in the range of a Duration.
const longStride = 64 * 365 * 24 * time.Hour

// newest is the last tick after the time after and before the time before. It asks
// Next alone, so that there is one set of rules for the clocks: in strides that
// double, back to a time that a tick comes after, and then halving the rest.
func (s Schedule) newest(after, before time.Time) (tick time.Time, ok bool) {
	within := func(from time.Time) (time.Time, bool) {
		t, ok := s.Next(from)
		return t, ok && t.Before(before)
	}
	none := before // no tick comes after none and before before
	for stride := time.Minute; !ok; stride = min(2*stride, longStride) {
		if !none.After(after) {
			return time.Time{}, false
		}
		from := none.Add(-stride)
		if from.Before(after) {
			from = after
		}
		if tick, ok = within(from); !ok {
			none = from
		}
	}
	for {
		if _, more := within(tick); !more {
			return tick, true
		}
		half := tick.Add(none.Sub(tick) / 2)
		if t, later := within(half); later {
			tick = t
		} else {
			none = half
		}
	}
}

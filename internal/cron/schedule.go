package cron

import (
	"time"

	calendar "github.com/netresearch/go-cron"
)

// Schedule is a cron text that was understood: an endless row of ticks, whole
// minutes on the clocks of a zone. The zero Schedule has no ticks. A Schedule
// may be used from several goroutines.
type Schedule struct {
	text   string
	zone   *time.Location
	days   calendar.Schedule // in UTC; read as what clocks show
	hourly bool              // every hour of the day is in it
}

// String is the text the schedule was read from, as it was written.
func (s Schedule) String() string { return s.text }

// Zone is the zone whose clocks the schedule goes by; UTC unless the text says
// otherwise, nil for the zero Schedule.
func (s Schedule) Zone() *time.Location { return s.zone }

// maxPeriods bounds the search for a tick: half a century of a zone that changes
// its clocks four times a year. Only a time that clocks leave out whenever it
// comes is searched for as long.
const maxPeriods = 200

// Ticks are in the years 1 to 9999, which RFC 3339 can write.
var (
	minTime = time.Time{}
	maxTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Next is the first tick after the given time, not at it, in UTC. There is none,
// and ok is false, past the year 9999 and for the zero Schedule; times before
// the year 1 count as its beginning.
//
// A schedule names times as clocks in its zone show them. Where they are changed:
//
//   - A time that they leave out has no tick. In Paris, "30 2 * * *" does not run
//     on the night of March in which 02:30 does not exist: neither early nor late.
//     "*/15 * * * *" goes from 01:45 to 03:00, which are 15 minutes. The same
//     holds for half an hour (Lord Howe) and a whole day (Apia in 2011).
//   - A time that they show twice has one tick, the first of the two, when the
//     schedule is for certain hours: "30 2 * * *", "*/15 2 * * *", "0 */2 * * *".
//     It has both when the schedule is for every hour, that is, its hour field
//     leaves none out: "*/15 * * * *", "0 * * * *", "0 */1 * * *". Such a
//     schedule means an interval, and so no gap of an hour opens in it.
//   - A zone that changes its rules changes the ticks to come, as soon as the time
//     zone database of the machine has them.
//
// Source: SDK protocol notes 11 §15.
func (s Schedule) Next(after time.Time) (tick time.Time, ok bool) {
	if s.days == nil {
		return time.Time{}, false
	}
	after = inRange(after)
	at := after
	for range maxPeriods {
		p := periodAt(at, s.zone)
		for shown := after.Add(p.offset); ; {
			shown = s.days.Next(shown)
			tick = shown.Add(-p.offset)
			if shown.IsZero() || !tick.Before(maxTime) {
				return time.Time{}, false
			}
			if !p.end.IsZero() && !tick.Before(p.end) {
				break // not with these clocks
			}
			if s.hourly || !p.repeats(tick, s.zone) {
				return tick, true
			}
		}
		at, after = p.end, p.end.Add(-1)
	}
	return time.Time{}, false
}

// NextN is the next n ticks after the given time, or as many as there are.
func (s Schedule) NextN(after time.Time, n int) []time.Time {
	var ticks []time.Time
	for range n {
		tick, ok := s.Next(after)
		if !ok {
			break
		}
		ticks = append(ticks, tick)
		after = tick
	}
	return ticks
}

// inRange is t without its zone and monotonic clock, no earlier and no later than
// there can be ticks.
func inRange(t time.Time) time.Time {
	t = t.Round(0).UTC()
	switch {
	case t.Before(minTime):
		return minTime
	case t.After(maxTime):
		return maxTime
	}
	return t
}

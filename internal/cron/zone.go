package cron

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// loadZone finds a zone by its name in the IANA database. Names that mean
// another zone on another machine, and the variants that count leap seconds,
// are refused.
func loadZone(name string) (*time.Location, error) {
	switch {
	case name == "":
		return nil, errors.New("its time zone is empty")
	case name == "Local", name == "localtime", name == "posixrules",
		strings.HasPrefix(name, "right/"), strings.HasPrefix(name, "posix/"),
		strings.ContainsFunc(name, notZoneRune):
		return nil, unknownZone(name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, unknownZone(name) // the cause speaks of files, which a person did not
	}
	return zone, nil
}

func unknownZone(name string) error {
	return fmt.Errorf("unknown time zone %q; write it as the IANA database does, such as Europe/Paris", name)
}

func notZoneRune(r rune) bool {
	return !strings.ContainsRune("/_-+", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// period is a time in which the clocks of a zone stay as far from UTC as they
// are: from start up to, not including, end. Either is zero when there is none.
// Two periods next to each other may have the same offset.
//
// A time as clocks show it is kept as that time in UTC: the instant plus offset.
type period struct {
	start, end time.Time
	offset     time.Duration
}

func periodAt(t time.Time, zone *time.Location) period {
	local := t.In(zone)
	start, end := local.ZoneBounds()
	_, seconds := local.Zone()
	if !end.IsZero() && !end.After(t) {
		// Where its tables end and rules begin (2037), time takes each year for 365
		// days, and t is on the last day of one that has 366.
		end = t.Truncate(24 * time.Hour).Add(24 * time.Hour)
	}
	return period{start.UTC(), end.UTC(), time.Duration(seconds) * time.Second}
}

func (p period) has(t time.Time) bool {
	return !t.Before(p.start) && (p.end.IsZero() || t.Before(p.end))
}

// farthestBack is more than clocks have ever been set back: a day, in zones that
// moved over the date line.
const farthestBack = 26 * time.Hour

// repeats reports whether the clocks of zone have shown before what they show at
// t, which is in p.
func (p period) repeats(t time.Time, zone *time.Location) bool {
	shown := t.Add(p.offset)
	for start := p.start; !start.IsZero() && t.Sub(start) < farthestBack; {
		before := periodAt(start.Add(-1), zone)
		if before.has(shown.Add(-before.offset)) {
			return true
		}
		start = before.start
	}
	return false
}

package durable

import "time"

// Schedule is a schedule that a person made for a function, beside those that
// the function has by itself.
type Schedule struct {
	ID       string // unique
	Function string // slug
	Cron     string
	Jitter   time.Duration
	Missed   string // as a Trigger has it
	Overlap  string
	Data     JSON // an object that its events carry; nil: nothing
	Created  time.Time
}

// Trigger is the schedule as a function would have it.
func (s Schedule) Trigger() Trigger {
	return Trigger{Cron: s.Cron, Jitter: s.Jitter, Missed: s.Missed, Overlap: s.Overlap}
}

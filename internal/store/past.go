package store

import (
	"time"

	"github.com/pawlhq/pawl/internal/durable"
)

// HappeningKind says what happened.
type HappeningKind int8

// The kinds.
const (
	EventReceived HappeningKind = iota // from outside
	RunStarted
	RunEnded
	TryFailed // and is made again
	StepEnded // well
)

// Happening is something that happened, for those who count.
type Happening struct {
	Kind     HappeningKind
	At       time.Time
	Function string         // of the run; "" of an event
	Status   durable.Status // of RunEnded
	// Took is how long a run was queued, of RunStarted; of RunEnded how long it ran,
	// or less than 0 if it never began.
	Took time.Duration
}

// Span is a time that is looked back upon: from From to before Until. No more than
// Most things are looked at.
type Span struct {
	From, Until time.Time
	Most        int
}

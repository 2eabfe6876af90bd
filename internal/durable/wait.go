package durable

import (
	"fmt"
	"time"
)

// WaitKind says what a wait is for.
type WaitKind int8

// The numbers are stored; they never change.
const (
	ForEvent  WaitKind = 0 // a step rests until an event matches
	ForSignal WaitKind = 1 // a step rests until somebody sends the signal
	ForCancel WaitKind = 2 // an event that matches ends the run
)

// Wait is what a run rests for, or what would end it. It is found by the index
// (Name, Path, Value), so that a million waits cost an event nothing that
// concerns one of them. It goes when its step or its run has ended.
type Wait struct {
	Run  string
	Step string // hashed id, or CancelStep
	Kind WaitKind
	Name string // of the event, or the signal
	If   string // a condition on the run's event and the one that came; "": any
	// Path and Value are a condition that an event must meet whatever else If
	// says: the value it has at Path, as text. Both are "" when any event of the
	// name may match.
	Path, Value string
	Exact       bool      // Path and Value say all that If does
	Until       time.Time // events received later do not count; zero: they do until the run ends
	// Seq orders waits by the time of their registration. The store gives it.
	Seq int64
}

// CancelStep is the Step of a run's n-th cancellation. No app can name such a
// step: an op's id has no spaces.
func CancelStep(n int) string { return fmt.Sprint(cancelPrefix, n) }

const cancelPrefix = " cancel"

// Steps of items that are the run's own, and no step of its function.
const (
	StartStep  = " start"  // the run must have started by then
	FinishStep = " finish" // the run must have ended by then
	ReportStep = " report" // the run has ended, and another waits for it
)

// DeliverStep is the step of the item that hands an event on to what waits for
// it and to what it starts; the event's id stands in place of the run's.
const DeliverStep = " deliver"

// RetryStep is the step of the item that works a job which retries dead
// letters; the job's id stands in place of the run's.
const RetryStep = " retry"

// Ref names a step of a run.
type Ref struct{ Run, Step string }

// Zero reports whether r names nothing.
func (r Ref) Zero() bool { return r.Run == "" }

// String is the correlation id by which the protocol knows a step that waits
// for another run. Source: spec/03 §11.
func (r Ref) String() string { return r.Run + "." + r.Step }

// Target is the one function that an event is for, and the step that waits
// for its run.
type Target struct {
	Function string // slug
	Parent   Ref    // zero when nobody waits
	Depth    int    // how many runs wait for each other above the one it starts
	Cron     string // the schedule whose tick it is; "" if none's
}

// CancelOn is an event that ends a function's runs.
type CancelOn struct {
	Event string
	If    string        // over event, the run's, and async, the one that came; "": any
	After time.Duration // how long it holds, from the start of the run; 0: as long as the run
	Date  time.Time     // until when it holds, if it was given as a date
}

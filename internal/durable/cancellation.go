package durable

import "time"

// Cancellation ends runs of one function that are not over: those whose id was
// made after After and not after Before, and whose event meets If.
type Cancellation struct {
	ID       string // ULID
	Function string // slug
	App      string
	After    time.Time // zero: however early
	Before   time.Time
	If       string // over event; "": all
	Created  time.Time
}

// SweepStep is the step of the item that works a cancellation, whose id stands
// in place of the run's.
const SweepStep = " sweep"

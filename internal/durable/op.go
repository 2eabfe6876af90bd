package durable

import "time"

// OpKind says what an app asks for or reports.
type OpKind int8

// The kinds of ops. OpRefused is an op that this server cannot carry out: the
// run fails with the op's Err.
const (
	OpNone OpKind = iota
	OpDone
	OpError
	OpFailed
	OpPlanned
	OpSleep
	OpComplete
	OpRefused
)

// Op is one report or wish in an app's answer or checkpoint.
type Op struct {
	Kind    OpKind
	Step    string // hashed id
	Op      string // the SDK's word, kept for people
	Name    string // for people
	Memo    JSON   // OpDone, OpFailed: what the step's memo becomes; OpComplete: the result
	Err     Failure
	Until   time.Time // OpSleep
	Race    bool
	Started time.Time
	Took    time.Duration
}

// Failure says what went wrong, in the words of whoever found it.
type Failure struct {
	Name    string // such as "TypeError"
	Message string
	Stack   string
	Raw     JSON // the error as the app sent it; nil when the server made it
}

// open reports whether the op leaves something open that the run then waits
// for: two of those in one answer are parallel branches.
func (o Op) open() bool { return o.Kind == OpPlanned || o.Kind == OpSleep }

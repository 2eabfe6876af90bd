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
	OpWait
	OpInvoke
	OpFetch
	OpDefer
	OpDeferAbort
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
	Until   time.Time // OpSleep; OpWait, OpInvoke: when the step gives up
	Wait    *Wait     // OpWait: what for; Run and Step are filled in
	Replace bool      // OpWait for a signal: it is taken from whoever waits for it
	Taken   bool      // OpWait for a signal: another run waits for it already
	Invoke  *Invoke   // OpInvoke
	Defer   *Defer    // OpDefer, OpDeferAbort; with Err set, OpDefer is refused
	Opts    JSON      // for people: what the step waits for or asks for, without secrets
	Request JSON      // OpFetch: what the app asks for, kept until it is done
	RetryAt time.Time // OpError: when the step should be tried again; zero: as the answer says
	Race    bool
	Started time.Time
	Took    time.Duration
	// Metadata is what the step notes beside its result, or its failure.
	Metadata []MetadataUpdate
}

// Invoke asks for a run of another function.
type Invoke struct {
	Function string // as the app names it
	Slug     string // of the function that was found; "" when there is none
	Payload  JSON   // its data, an object; nil: an empty one
	User     JSON   // nil: an empty object
	V        string // "" if not given
}

// Failure says what went wrong, in the words of whoever found it.
type Failure struct {
	Name    string // such as "TypeError"
	Message string
	Stack   string
	Raw     JSON  // the error as the app sent it; nil when the server made it
	Class   Class // of a failure that is not the function's own; "" when it is
}

// open reports whether the op leaves something open that the run then waits
// for: two of those in one answer are parallel branches.
func (o Op) open() bool {
	switch o.Kind {
	case OpPlanned, OpSleep, OpWait, OpInvoke, OpFetch:
		return true
	default:
		return false
	}
}

// races reports whether the op leaves a branch open after which the function goes
// on, whatever the other branches do.
func (o Op) races() bool { return o.Race && (o.open() || o.Kind == OpError) }

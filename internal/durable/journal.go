package durable

import "time"

// EntryKind says what an entry of a journal tells.
type EntryKind int8

// The numbers are stored; they never change.
const (
	StepPlanned EntryKind = 1 // the app named a step; a request for it follows, to the app or, for a fetch, to where Data says
	StepAsleep  EntryKind = 2 // the step rests until Until, or until what it waits for comes; Data is what it waits for
	Tried       EntryKind = 3 // a try failed (of a step, or of the function's body); the next is at Until
	StepDone    EntryKind = 4 // final; Data is the memo
	StepFailed  EntryKind = 5 // final; Data is the memo, an error that the function may catch
	StepMissed  EntryKind = 6 // a planned step was not reached any more
	Nothing     EntryKind = 7 // an answer that brought nothing
	BodyFailed  EntryKind = 8 // the last try of the function's body failed
	Stopped     EntryKind = 9 // the run was cancelled; Data says why, as text
	// Of a deferred call, Step is its id. Deferred has its function as Op and its
	// input as Data; DeferredRefused has the reason as Data, as text.
	Deferred        EntryKind = 11
	DeferredAborted EntryKind = 12
	DeferredRefused EntryKind = 13
	// Lapsed: whoever served the request in which the run began was not heard of
	// any more; the endpoint is entered again.
	Lapsed EntryKind = 14
	// Given: the result of the step, which the next entry has, was given by whoever
	// started the run anew.
	Given       EntryKind = 15
	Unreachable EntryKind = 10 // the app cannot be reached; it is tried again until it can be, or for too long
)

// Entry is one line of a run's journal. It is never changed.
type Entry struct {
	Step    string // hashed id; Discovery for the function's body
	Kind    EntryKind
	Op      string // the SDK's word for what it is, such as "StepRun" or "Sleep"
	Name    string // for people
	Attempt int    // from 0
	At      time.Time
	Started time.Time // of the step's body, by the app's clock; zero if not told
	Took    time.Duration
	Until   time.Time // of a sleep, or of the next try
	Data    JSON      // the memo, or the error of a try as the app sent it
	Group   bool      // one of several branches
	Race    bool      // the function goes on when any branch of the group ends
}

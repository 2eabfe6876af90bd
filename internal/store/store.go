// Package store is the contract of what must survive a crash. A method is a
// whole transition: when it has returned without an error, all of it is on
// disk; when it has returned an error, none of it happened (or, for
// ErrUnknown, the store cannot say).
//
// The contract holds nothing that only one database can do. Package sqlite
// implements it; package storetest proves that an implementation behaves.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
)

var (
	// ErrNotFound means that there is no such app, event or run.
	ErrNotFound = errors.New("not found")
	// ErrDamaged means that a run is there and lacks a part without which it cannot
	// go on, such as its event. No crash does that.
	ErrDamaged = errors.New("the store is damaged; stop Pawl, and pawl doctor says what is wrong")
	// ErrFull means that the disk is full: nothing was saved; reads go on, and
	// writes do when there is room again.
	ErrFull = errors.New("the disk is full")
	// ErrUnavailable means that the store cannot write just now and that
	// nothing was saved.
	ErrUnavailable = errors.New("the store is not available")
	// ErrUnknown means that the disk failed in the middle of a commit: whether
	// it was saved shows after the next start.
	ErrUnknown = errors.New("the store cannot say whether it was saved")
	// ErrLeaseLost means that somebody else holds the item now, or that it is
	// done; nothing was saved.
	ErrLeaseLost = errors.New("the lease was lost")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the store is closed")
)

// Store is all that an engine needs.
type Store interface {
	Apps
	Runs
	Waits
	Parking
	Ledger
	Controls
	People
	Audit
	Alerts
	Queue
	History
	Letters
	Reruns
	Cancellations
	Schedules
	Streams
	Keeper
	// Secret is 32 random bytes that were made with the store and stay with it and
	// its backups: what was sealed with them is good after a restart, and nowhere else.
	Secret() []byte
	// Close waits for what is being written and closes the store.
	Close() error
}

// Apps keeps what apps registered.
type Apps interface {
	// SaveApp writes an app and the functions of it that are new or have
	// changed, each as a new row of its version, in one transaction with the
	// items of their schedules: those of start are queued unless they are there,
	// those of stop removed. act is nil when the app told it by itself.
	SaveApp(ctx context.Context, app durable.App, changed []durable.Function, start []durable.Item, stop []durable.Ref, act *durable.Act) error
	// Schedule queues items of schedules and removes others, as SaveApp does.
	Schedule(ctx context.Context, start []durable.Item, stop []durable.Ref) error
	// LoadApps returns every app, and every function in its newest version.
	LoadApps(ctx context.Context) ([]durable.App, []durable.Function, error)
	// Versions returns a function in its versions, the newest first.
	Versions(ctx context.Context, slug string, limit int) ([]durable.FunctionVersion, error)
}

// Accepted is an event with the runs that it starts.
type Accepted struct {
	Event  durable.Event
	Starts []durable.Start
	// Rest is what else follows from the event, more than one transaction should
	// hold: an item of kind Deliver is queued for it, with Rest as its data.
	Rest durable.JSON
	// Owed means that something was done for the event already: it is taken in
	// however much waits.
	Owed bool
	Act  *durable.Act // of the person who sent it; nil: a program did
}

// Decision is what a decide function has made of a run: its change, and the
// events it sends with all that they start.
type Decision struct {
	durable.Change
	Accepted []Accepted
	// Once makes the change happen once for a key, as AcceptOnce does.
	Once *Once
	// Rouse are items of no run that become due at once, if they are there.
	Rouse []durable.Ref
	Act   *durable.Act // of whoever asked for it; nil: nobody did
	// Exchange is kept with the entry that tells of the try which it was, nil when
	// there is nothing to keep.
	Exchange *Exchange
	Metadata []durable.MetadataUpdate // that steps note; what a bound leaves out is lost
}

// Exchange is what was sent to an app and what it answered, in a try that failed.
type Exchange struct {
	Entry int // of Change.Entries
	Data  durable.JSON
}

// MostExchanges is how many of them are kept of a run, the newest.
const MostExchanges = 20

// Settled is what follows from an item that is no run's.
type Settled struct {
	// Event is there already; Starts are runs of it, unless its key says that
	// their functions were started for it before.
	Event    durable.Event
	Starts   []durable.Start
	Accepted []Accepted     // new events with what they start, as Accept takes them
	Queue    []durable.Item // queued, in place of the items of the same name
	Next     *durable.Item  // what the item becomes; nil: it is done
}

// Runs writes events and moves runs.
type Runs interface {
	// Accept writes events with the runs that they start, in one transaction.
	// An event whose ID is known is skipped together with its starts: it is a
	// repetition of the same send. A start is skipped when its function was
	// started for the same event key within KeyLife before now. It reports the
	// ids of the runs that did start, or whose events were parked. The runs belong to the store from then on.
	// When somebody waits for an event of that name, an item of kind Deliver is
	// queued for it in the same transaction, its Run the event's ID.
	Accept(ctx context.Context, now time.Time, batch []Accepted) ([]string, error)

	// AcceptOnce is Accept for a key: when it was used before, nothing is written
	// and the error is a *RepeatedError, or a *KeyConflictError.
	AcceptOnce(ctx context.Context, now time.Time, batch []Accepted, once Once) ([]string, error)

	// Begin is Accept for a run that began in an app: the first start of the first
	// event. The run may have done something already, and may have ended; its entries
	// are folded. It fails with ErrExists, and nothing is written, when there is a
	// run of that id. With once it happens once for a key, as in AcceptOnce.
	Begin(ctx context.Context, now time.Time, batch []Accepted, once *Once) error

	// UpdateMetadata changes the metadata of a run, which may have ended, or fails with
	// ErrNotFound. It reports how many of the updates were not kept.
	UpdateMetadata(ctx context.Context, run string, now time.Time, updates []durable.MetadataUpdate) (left int, err error)

	// Holder returns the id of the run that has a name (durable.Start.Single), or
	// ErrNotFound, and whether the event of that run was accepted after another. A
	// start that names it is written as a run that is skipped, until that run has
	// ended: such a run did not start.
	Holder(ctx context.Context, single, event string) (run string, after bool, err error)

	// Start writes runs of events that are there already, in one transaction.
	Start(ctx context.Context, now time.Time, starts []durable.Start) error

	// Transition moves run id: it asks decide what happens and commits the
	// answer in one transaction. decide must be pure: it may be asked again
	// when the run has changed meanwhile. It must not keep or change the run.
	// An error of decide is returned as it is, and nothing is saved. Other errors
	// are ErrNotFound, ErrDamaged, and those of a store that cannot write.
	Transition(ctx context.Context, id string, decide func(*durable.Run) (Decision, error)) error

	// Bound says how much may wait, from now on; before it is called there is no
	// bound. Accept and AcceptOnce fail with a *BacklogError when what they write
	// would make more wait. What runs and schedules send is always taken in: it
	// belongs to what was accepted before.
	Bound(most Backlog)
	// Backlog is what waits. It costs nothing to ask.
	Backlog() Backlog
	// Queued is how many runs have not begun, by function, where there are any.
	Queued() map[string]int64

	// View shows run id as it is now. fn must not keep or change it.
	View(ctx context.Context, id string, fn func(*durable.Run) error) error
}

// Parking keeps events that wait for others before a run is started for them. An
// event is parked in the transaction that accepts it, when a start says so, and
// taken out when the item that it waits for is settled.
type Parking interface {
	// Parked returns what waits for an item, in the order of its coming.
	Parked(ctx context.Context, item durable.Ref) ([]durable.Parked, error)
	// ParkedFor returns what an event waits for, by the names of the items.
	ParkedFor(ctx context.Context, event string) ([]durable.ParkedFor, error)
}

// Waits finds who waits. Runs register their waits by their changes, and lose
// them when they end. An event concerns the waits that were registered before
// it was accepted; the order is that of the commits.
type Waits interface {
	// Paths returns the paths by which the waits for events of that name are
	// found, each once.
	Paths(ctx context.Context, name string) ([]string, error)
	// Waiting returns, in the order of their registration, up to limit waits
	// which the event of that id concerns: they have its name, and value at
	// path. It begins after the one with that seq.
	Waiting(ctx context.Context, event, path, value string, seq int64, limit int) ([]durable.Wait, error)
	// WaitsOf returns all that a run waits for, by step.
	WaitsOf(ctx context.Context, run string) ([]durable.Wait, error)
	// Signal returns the wait for a signal, or ErrNotFound.
	Signal(ctx context.Context, name string) (durable.Wait, error)
	// Undelivered returns events of that name that were accepted and for which
	// an item of kind Deliver is still queued, oldest first.
	Undelivered(ctx context.Context, name string) ([]durable.Event, error)
}

// KeyLife is how long an event's key keeps a function from being started a
// second time for it. Source: spec/10 §6.
const KeyLife = 24 * time.Hour

// Lease is a claim on an item that is due.
type Lease struct {
	durable.Item
	Until time.Time // the item is free again then, unless extended
}

// Controls keeps what operators have set.
type Controls interface {
	// SaveControl writes a control. One that pauses and limits nothing is forgotten.
	SaveControl(ctx context.Context, c durable.Control, act durable.Act) error
	Controls(ctx context.Context) ([]durable.Control, error)
}

// Queue hands out what is due.
type Queue interface {
	// Claim leases up to limit items due at now until now+ttl: of each lane, the
	// earliest first; the lanes take turns. It may lease fewer than there are, but
	// none only when there is none.
	// Each claim of an item has a higher generation than any before it, also
	// over a restart.
	Claim(ctx context.Context, now time.Time, ttl time.Duration, limit int) ([]Lease, error)
	// Extend keeps a lease until now+ttl. It reports false when it was lost.
	Extend(ctx context.Context, l Lease, now time.Time, ttl time.Duration) (bool, error)
	// Release gives items back unworked, due as they were.
	Release(ctx context.Context, leases []Lease) error
	// Settle ends the lease of an item that is no run's, such as one of kind
	// Deliver, in one transaction with what follows from it. It fails with
	// ErrLeaseLost.
	Settle(ctx context.Context, l Lease, now time.Time, s Settled) error
	// NextDue is when to look again: a time that has passed when something may be
	// claimed now, or else when the earliest item that is not leased is due or the
	// earliest lease ends; false if there is neither.
	NextDue(ctx context.Context) (time.Time, bool, error)
	// Limit says behind which gates each lane stands, from now on; before it is
	// called there are none. A slot of a gate is held by a lease, or, when it
	// stays, by the run from the change that says it Began to its end, over
	// restarts too. What a claim took of a rate is used up when the run begins; a
	// claim that ends without that gives it back.
	Limit(limits func(lane string) (flow.Class, []flow.GateSpec))
	// Holding is the gate that keeps an item which is due from being claimed; ""
	// when none does.
	Holding(ctx context.Context, run, step string) string
	// Wake receives when something may have become due earlier than NextDue
	// last said. It has room for one wake-up and one reader.
	Wake() <-chan struct{}
}

// Page bounds a list: Limit rows after the row that Cursor names, newest first.
type Page struct {
	Limit  int
	Cursor string // an id; "" for the first page
	// Of lists of runs. At is the time, of the list's order, of the run that
	// Cursor names; zero: the store looks it up.
	At     time.Time
	Oldest bool // the oldest first
}

// EventFilter chooses events for a list.
type EventFilter struct {
	Name     string    // "" for all
	After    time.Time // received at or after; zero for no bound
	Before   time.Time // received before; zero for no bound
	Internal bool      // also those that the server sent
}

// RunTime is one of the times of a run.
type RunTime int8

// A run that has not started, or not ended, is in no list by that time.
const (
	ByQueued RunTime = iota
	ByStarted
	ByEnded
)

// RunFilter chooses runs for a list, and by which time they are ordered; runs of
// the same time by their ids. Runs of one event are ordered by their ids alone,
// and of the rest of the filter only Statuses holds.
type RunFilter struct {
	Functions []string         // slugs; nil: of all functions
	Statuses  []durable.Status // nil: any
	Time      RunTime
	From      time.Time // at or after, by Time; zero for no bound
	Until     time.Time // before; zero for no bound
	Deferred  *bool     // whether another run deferred it; nil: either
	Event     string    // id of a trigger event; "" for all
}

// Origin is where a run comes from.
type Origin struct {
	Parent string       // function of the run that invoked it; "" if none did, or it is gone
	Body   durable.JSON // of its first event
}

// History reads what happened. It sees only what is committed.
type History interface {
	Event(ctx context.Context, id string) (durable.Event, error)
	Events(ctx context.Context, f EventFilter, p Page) ([]durable.Event, error)
	// Run returns a run with its head and its trigger events, without its steps. An
	// event that is missing has an id alone.
	Run(ctx context.Context, id string) (*durable.Run, error)
	// Runs lists runs as Run does, without the bodies of their events.
	Runs(ctx context.Context, f RunFilter, p Page) ([]*durable.Run, error)
	// Repeats lists the runs that repeat a run, which is the first of their chain,
	// as Runs does, the oldest first.
	Repeats(ctx context.Context, original string, limit int) ([]*durable.Run, error)
	// Journal returns the entries of a run, in order, from the one after seq.
	Journal(ctx context.Context, run string, seq int) ([]durable.Entry, error)
	// Exchange returns what was sent and answered in the try that the n-th entry of
	// a run's journal tells of, or ErrNotFound; Exchanges says of which it is kept.
	Exchange(ctx context.Context, run string, n int) (durable.JSON, error)
	Exchanges(ctx context.Context, run string) ([]int, error)
	// Metadata returns what is noted about a run: of the run first, then by step.
	Metadata(ctx context.Context, run string) ([]durable.Metadata, error)
	// Items returns what is queued for a run.
	Items(ctx context.Context, run string) ([]durable.Item, error)
	// Origins tells where runs, as Runs lists them, come from. The body of the first
	// event of each is left out if it has more than most bytes.
	Origins(ctx context.Context, runs []*durable.Run, most int) ([]Origin, error)
	// Past tells each thing that happened in a span of time, as far as its run or
	// event is still there: minute by minute, the newest first. since is from when on
	// that is all: a whole minute after From, if there was more than the span allows
	// or ctx had a deadline. What was told of before that may be a part.
	Past(ctx context.Context, span Span, each func(Happening)) (since time.Time, err error)
}

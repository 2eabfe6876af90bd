package durable

import (
	"cmp"
	"strings"
	"time"
)

// Status says where a run is in its life: Queued, Running, and then exactly
// one of Completed, Failed (out of attempts) or Cancelled, for ever. A run that
// is Skipped was never to start: it only says why.
type Status int8

// The numbers are stored; they never change.
const (
	Queued    Status = 0
	Running   Status = 1
	Completed Status = 2
	Failed    Status = 3
	Cancelled Status = 4
	Skipped   Status = 5
)

var statusNames = [...]string{"Queued", "Running", "Completed", "Failed", "Cancelled", "Skipped"}

// String names the status; a number that is none can only come from a damaged
// record.
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return "Unknown"
	}
	return statusNames[s]
}

// Final reports whether nothing more can happen to the run.
func (s Status) Final() bool { return s >= Completed }

// ParseStatus finds the status of that name, in any letter case that String
// or an upper-case API uses.
func ParseStatus(name string) (Status, bool) {
	for i, n := range statusNames {
		if strings.EqualFold(n, name) {
			return Status(i), true
		}
	}
	return 0, false
}

// Head is the part of a run that is one row: it is written when it changes,
// which a step alone does not make it do.
type Head struct {
	Status  Status
	Started time.Time // when the first request was sent; zero before
	Ended   time.Time // zero before
	// Protocol is the SDK's execution version, taken from its first answer:
	// Unpinned before, 1 (a request after each parallel branch) or 2 (one
	// request after the last).
	Protocol int
	Output   JSON // the result, the error of a failed run, or the Skip of a skipped one; nil before the end
}

// Unpinned is the Protocol of a run whose app has not answered yet.
const Unpinned = -1

// newest is the Protocol of a run whose app answered without naming one.
const newest = 2

// Run is one execution of a function, from its events to a final status.
type Run struct {
	ID       string // ULID
	Function string // slug
	App      string
	Version  int // of the function, when the run started
	Events   []Event
	Queued   time.Time
	Parent   Ref    // the step that waits for this run; zero when none does
	Joined   []Ref  // further steps that do, by the other events of a batch
	Depth    int    // how many runs wait for each other, with this one at the end
	Original string // the run that this one repeats, the first of them; "" when none
	Keys     string // the values of its function's limits for its events, as package flow writes them
	Cron     string // the schedule whose tick started it; "" when none did
	Head

	// The rest is folded from the journal and the queue.

	Seq    int              // entries in the journal
	Steps  map[string]*Step // by hashed id
	Stack  []string         // hashed ids of the finished steps, in the order of their end
	Bytes  int              // what the memoised results weigh
	Open   int              // steps planned or asleep: not finished yet
	Racing int              // those of them with Race
	Plan   bool             // branches are open: the app must plan steps and not run them
	Defers []*Defer         // in the order in which they were asked for
	Idle   int              // answers in a row that brought nothing
	Cuts   int              // tries in a row in which the connection broke
	Lost   int              // tries since the last step ended of which the app told nothing: any step may have run in them
	Broken *Broken          // the last step that failed for good; nil if none did
	Items  map[string]*Item // what is queued or in flight for it, by step
}

// NewRun returns a run of f, started by e, that has not been called yet; its
// first request is due at due.
func NewRun(id string, f Function, e Event, due, now time.Time) *Run {
	r := &Run{
		ID: id, Function: f.Slug, App: f.App, Version: f.Version,
		Events: []Event{e}, Queued: now, Head: Head{Protocol: Unpinned},
		Steps: map[string]*Step{}, Items: map[string]*Item{},
	}
	r.Enqueue(due, now, 0)
	if f.Start > 0 {
		r.Items[StartStep] = &Item{Run: id, Step: StartStep, Kind: Timeout, Due: now.Add(f.Start)}
	}
	if e.Target != nil {
		r.Parent, r.Depth, r.Cron = e.Target.Parent, e.Target.Depth, e.Target.Cron
	}
	return r
}

// Join adds a further event to a run that has not started.
func (r *Run) Join(e Event) {
	r.Events = append(r.Events, e)
	if t := e.Target; t != nil && !t.Parent.Zero() {
		r.Joined = append(r.Joined, t.Parent)
		r.Depth = max(r.Depth, t.Depth)
	}
}

// Waiting are the steps that wait for the run's end.
func (r *Run) Waiting() (steps []Ref) {
	if !r.Parent.Zero() {
		steps = append(steps, r.Parent)
	}
	return append(steps, r.Joined...)
}

// Enqueue queues the first request of a run, due at due. One that is due now
// comes ahead of others by its priority, or after them when that is negative;
// one that has to wait for its time comes then.
func (r *Run) Enqueue(due, now time.Time, priority time.Duration) {
	i := Item{Run: r.ID, Step: Discovery, Due: due.Add(-priority), Lane: r.lane(Item{}, laneBegin)}
	if due.After(now) {
		i.Due, i.Lane = due, r.lane(Item{}, laneDelayed)
	}
	r.Items[Discovery] = &i
}

// Start is a run as it is born: with what would cancel it, and what it knows
// from a run that it repeats, or has done already.
type Start struct {
	Run     *Run
	Waits   []Wait
	Entries []Entry
	// Key is the key by which repetitions of the start are recognised when the event
	// has none; "" if it has none either.
	Key string
	// Unique is a key for which the function is not started a second time
	// within UniqueFor; "" if there is none.
	Unique    string
	UniqueFor time.Duration
	Limit     *StartLimit // nil: none
	// Single is a name that one run at a time has, from its start to its end; ""
	// if it has none. While another has it, this one is skipped.
	Single string
	// Replaces means that whoever has Single is to be cancelled first.
	Replaces bool
	// Park means that the event waits for others; nil: the run starts now.
	Park *StartPark
	// Skip, if it is set, is why the run is not to start: it is written as one that
	// is skipped.
	Skip *Skip
	// Dead is the dead letter of a run that has failed already.
	Dead *DeadLetter
	// Metadata is what steps have noted that are in Entries.
	Metadata []MetadataUpdate
}

// KeyFor is the key by which repetitions of a start for an event are recognised.
func (s Start) KeyFor(e Event) string { return cmp.Or(e.Key, s.Key) }

// StartPark lets the event of a start wait for others, with an item in the queue.
// Either the run is that of the last of them, or they have one run together.
type StartPark struct {
	Item     Ref // what starts the run, for the function and key
	Debounce *Debounce
	Batch    *Batch
}

// After is the item of what is about to start, once an event waits in its place.
func (p StartPark) After(event string) Ref { return Ref{p.Item.Run, p.Item.Step + "/" + event} }

// Parked is an event that waits for others before a run is started for it.
type Parked struct {
	Event  string  // id
	Run    string  // the id that its run would get
	Target *Target // the event's, which is not stored with it
}

// ParkedFor is what an event waits for before a run is started for it.
type ParkedFor struct {
	Item Ref       // in the queue
	Due  time.Time // when it ends the waiting, if nothing puts that off
}

// StartLimit is how often runs of a function may be started: what is more is left
// out. One time is kept for each Gate; package flow says what it means.
type StartLimit struct {
	Gate  string
	Every time.Duration
	Burst int
}

// State says where a step is in its life.
type State int8

// A step is Unknown until an app names it; Planned: a request for it is queued
// or in flight; Asleep until a time, or until what it waits for has come; Done:
// its memo is final.
const (
	Unknown State = iota
	Planned
	Asleep
	Done
)

// Step is a named part of a run whose result is remembered.
type Step struct {
	State State
	Op    string // the SDK's word for what an open step is
	Name  string // of an open step, for people
	Memo  JSON   // as the SDK wants it back: {"data":…}, {"error":…} or null; final once Done
	Race  bool   // the function goes on when any branch of its group ends
	Tries int    // that are known to have failed
}

// Tries are the failed tries of a step as far as the journal tells, when the
// function is entered. What the function itself failed at is none of them.
func (r *Run) Tries(step string) int {
	if s := r.Steps[step]; s != nil {
		return s.Tries + r.Lost
	}
	return r.Lost
}

// Failing are the steps without a result that are known to have failed, and how
// often. It is not nil.
func (r *Run) Failing() map[string]int {
	m := map[string]int{}
	for id, s := range r.Steps {
		if s.State != Done && s.Tries > 0 {
			m[id] = s.Tries
		}
	}
	return m
}

// Discovery is the Step of the item that enters a function to find out what
// comes next.
const Discovery = ""

// ItemKind says what is to be done when an item is due.
type ItemKind int8

// The numbers are stored; they never change.
const (
	Call ItemKind = 0 // send a request to the app
	Wake ItemKind = 1 // a sleep is over, or a wait has lasted too long
	// The request that a step asks the server to make.
	Fetch   ItemKind = 2
	Timeout ItemKind = 3 // the run has taken too long, to start or to end
	Deliver ItemKind = 4 // an event is handed on to what it concerns
	Report  ItemKind = 5 // the run has ended: the step that waits for it is told
	Tick    ItemKind = 6 // a schedule's time has come
	Retry   ItemKind = 7 // a job that retries dead letters goes on
	Sweep   ItemKind = 8 // a cancellation of many runs goes on
	Fire    ItemKind = 9 // events have waited long enough for others
	// The request in which the run began has not been heard of for too long.
	Lapse ItemKind = 10
	Tell  ItemKind = 11 // people are alerted
)

// Item is something due for a run at a time. A run has at most one item for
// each step, and one for Discovery.
type Item struct {
	Run  string
	Step string
	Kind ItemKind
	Due  time.Time
	// Attempt counts the failed tries before this one, from 0.
	Attempt int
	// Since is when the app of a Call was first found to be away, and has not
	// been reached again; zero when it was reached last time.
	Since time.Time
	// Lane is the queue within the queue in which the item stands; see Lane.
	Lane string
	// Data is what is needed to work the item and is known from nowhere else.
	Data JSON
	// Again means that something happened while the request was in flight that
	// it cannot know: when it is answered, send another.
	Again bool

	// Claimed and Generation are the lease: who holds the item is known by the
	// generation, which rises with every claim. Answers of another generation
	// change nothing. Generation stays, as the newest one given out, after a
	// claim has ended; it is 0 when the item was not claimed since the store
	// was opened.
	Claimed    bool
	Generation int64
}

func (r *Run) state(step string) State {
	if s := r.Steps[step]; s != nil {
		return s.State
	}
	return Unknown
}

// Apply makes r what it is after c. It is called once c is sure to be written
// in the order of its making.
func (r *Run) Apply(c Change) {
	if c.Head != nil {
		r.Head = *c.Head
	}
	for _, e := range c.Entries {
		r.Fold(e)
	}
	if r.Status.Final() {
		clear(r.Items)
		return
	}
	for _, step := range c.Drop {
		delete(r.Items, step)
	}
	for _, p := range c.Put {
		item := p.Item
		if old := r.Items[item.Step]; old != nil {
			item.Generation = old.Generation
			item.Claimed = p.KeepClaim && old.Claimed
		}
		r.Items[item.Step] = &item
	}
}

// Fold makes r what it is after one more entry of its journal.
func (r *Run) Fold(e Entry) {
	r.Seq++
	if e.Kind == Nothing {
		r.Idle++
		return
	}
	switch e.Kind {
	case Deferred, DeferredAborted, DeferredRefused:
		r.foldDefer(e)
		return
	default:
	}
	if e.Step == Discovery { // a try of the function's body: the rest is only for people to read
		if e.Kind == Tried && e.Op == string(ClassCrash) {
			r.Cuts++
		} else if e.Kind == Tried {
			r.Cuts = 0
		}
		if e.Kind == Tried && e.Op != "" {
			r.Lost++
		}
		return
	}
	s := r.Steps[e.Step]
	if s == nil {
		s = &Step{}
		r.Steps[e.Step] = s
	}
	wasOpen := s.State == Planned || s.State == Asleep
	switch e.Kind {
	case StepPlanned, StepAsleep:
		if !wasOpen {
			r.Open++
			if e.Race {
				r.Racing++
			}
		}
		s.State, s.Op, s.Name = Planned, e.Op, e.Name
		if e.Kind == StepAsleep {
			s.State = Asleep
		}
		s.Race = e.Race
		r.Plan = r.Plan || e.Group || r.Open > 1
	case StepDone, StepFailed:
		s.State, s.Memo, s.Op, s.Name = Done, e.Data, "", ""
		r.Stack = append(r.Stack, e.Step)
		r.Bytes += len(e.Data)
		r.Idle, r.Cuts, r.Lost = 0, 0, 0
		if e.Kind == StepFailed {
			r.Broken = &Broken{e.Step, e.Name, e.Attempt}
		}
		r.close(s, wasOpen)
	case StepMissed:
		s.State = Unknown
		s.Op, s.Name = "", ""
		r.Idle++
		r.close(s, wasOpen)
	case Tried:
		s.Tries++
	default:
	}
}

// close counts an open step as ended. When the last branch has joined, the
// newer protocol runs what follows inline again.
func (r *Run) close(s *Step, wasOpen bool) {
	if wasOpen {
		r.Open--
		if s.Race {
			r.Racing--
		}
	}
	if r.Open == 0 && r.Protocol != 1 {
		r.Plan = false
	}
}

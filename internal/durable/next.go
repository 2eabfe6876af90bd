package durable

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Input is news about a run: Dispatch, Answer, Return, Refusal, Checkpoint,
// Inline, Due, Resolved, Fetched or Cancel.
type Input interface{ input() }

// Claim names the request that an input belongs to: the item's step and the
// generation under which it was sent.
type Claim struct {
	Step       string
	Generation int64
}

// Dispatch: a request for the item is about to be sent.
type Dispatch struct{ Claim }

// Answer: the app made progress and asks to be called again (206).
type Answer struct {
	Claim
	Ops      []Op
	Protocol int       // the SDK's execution version; 0 if not told
	NoRetry  bool      // a step's error in Ops is final
	RetryAt  time.Time // when a step's error in Ops should be tried again; zero: by policy
}

// Return: the function ended with a result (200, or a RunComplete).
type Return struct {
	Claim
	Ops      []Op // what was reported along with it; saved first
	Output   JSON
	Protocol int
	// Missed means that the answer only says that the targeted step was not
	// reached, which one SDK expresses as a null result.
	Missed bool
}

// Refusal: the request failed: the function threw, or no valid answer came.
type Refusal struct {
	Claim
	Ops      []Op // what was reported along with it
	Err      Failure
	Protocol int
	NoRetry  bool
	RetryAt  time.Time
	// Away means that the request did not reach the app at all.
	Away bool
}

// Checkpoint: an app reports finished steps while its call goes on. Generation
// 0 in the claim means that the app did not say which call it is in.
type Checkpoint struct {
	Claim
	Ops []Op
}

// Due: a time has come: the end of a sleep, of a wait, or of what a run may take;
// or that of a request which is Early.
type Due struct{ Claim }

// Resolved: what a step waits for has come.
type Resolved struct {
	Step   string
	Memo   JSON // as the SDK wants it
	Failed bool // Memo is an error
}

// Fetched: the server has made, or tried to make, the request that a step asks
// for.
type Fetched struct {
	Claim
	Memo    JSON // as the SDK wants it: the answer or the error
	Failed  bool // Memo is an error
	NoRetry bool
	RetryAt time.Time
}

// Cancel: somebody wants the run to end now.
type Cancel struct{ Reason string }

func (Dispatch) input()   {}
func (Answer) input()     {}
func (Return) input()     {}
func (Refusal) input()    {}
func (Checkpoint) input() {}
func (Inline) input()     {}
func (Due) input()        {}
func (Resolved) input()   {}
func (Fetched) input()    {}
func (Cancel) input()     {}

var (
	// ErrEnded means that the run had ended before the news came.
	ErrEnded = errors.New("the run has ended")
	// ErrStale means that the news belongs to a request that was given up and
	// has been sent again since.
	ErrStale = errors.New("a newer request for the run was sent")
	// ErrNotCheckpoint means that a checkpoint held an op that ends a call.
	ErrNotCheckpoint = errors.New("an op that belongs in an answer, not in a checkpoint")
)

// Change is what an input means for a run: what the store writes in one
// transaction.
type Change struct {
	Entries []Entry  // appended to the journal
	Head    *Head    // the new head; nil: as it was
	Put     []Put    // items inserted or replaced
	Drop    []string // items removed, by step
	Emit    []Event  // events that the server sends
	Waits   []Wait   // registered
	Unwait  []string // steps whose wait is over
	// Began means that the run's first request is about to be sent, and that what
	// its claim holds is the run's from now on: it must be on disk before.
	Began bool
	// Report, at the end of a run, is the item that tells the step which waits
	// for it. It outlives the run's other items.
	Report *Item
	// Dead, at the end of a run that failed, is its dead letter.
	Dead *DeadLetter
	// Soft means that nothing depends on the change yet: it is written in
	// order, but need not be on disk before the caller goes on.
	Soft bool
}

// Put is a queue item to write. Unless KeepClaim is set it becomes free to
// claim when it is due.
type Put struct {
	Item
	KeepClaim bool
}

// Empty reports whether c changes nothing.
func (c Change) Empty() bool {
	return len(c.Entries)+len(c.Put)+len(c.Drop)+len(c.Emit)+len(c.Waits)+len(c.Unwait) == 0 && c.Head == nil
}

// Next decides what in means for r. It is pure: equal arguments give equal
// answers. Errors are ErrEnded and ErrStale; the change is then empty, and so
// it is for news that was known already.
func Next(r *Run, in Input, p Policy, now time.Time) (Change, error) {
	if r.Status.Final() {
		return Change{}, ErrEnded
	}
	return newTurn(r, p, now).decide(in)
}

func newTurn(r *Run, p Policy, now time.Time) *turn {
	return &turn{r: r, p: p, now: now, head: r.Head, open: r.Open, bytes: r.Bytes, done: len(r.Stack)}
}

func (t *turn) decide(in Input) (Change, error) {
	switch in := in.(type) {
	case Dispatch:
		return t.dispatch(in)
	case Answer:
		return t.answer(in)
	case Return:
		return t.returned(in)
	case Refusal:
		return t.refused(in)
	case Checkpoint:
		return t.checkpoint(in)
	case Inline:
		return t.inline(in)
	case Due:
		return t.due(in)
	case Resolved:
		return t.resolved(in)
	case Fetched:
		return t.fetched(in)
	case Cancel:
		t.stop(in.Reason)
		return t.change(), nil
	default:
		panic(fmt.Sprintf("durable: unknown input %T", in))
	}
}

// turn is one evaluation of Next: the run as it was, and beside it what has
// been decided so far.
type turn struct {
	r   *Run
	p   Policy
	now time.Time

	c      Change
	head   Head
	states map[string]State // of the steps that this turn touched
	open   int
	bytes  int
	done   int
	ended  bool
	onward bool   // a branch ended at once, and the function goes on from it
	retry  *retry // the request is tried again
	apart  int    // steps that are tried again by requests of their own

	// For the dead letter, if this turn ends the run: what broke, how often it
	// was tried, how often the connection broke, whether the app said that
	// trying again is useless, and why there is no further try if nothing of
	// that says so.
	where   string
	tries   int
	cuts    int
	noRetry bool
	reason  string
}

func (t *turn) change() Change {
	h := &t.r.Head
	if t.head.Status != h.Status || t.head.Protocol != h.Protocol || t.head.Started != h.Started {
		head := t.head
		t.c.Head = &head
	}
	return t.c
}

func (t *turn) state(step string) State {
	if s, ok := t.states[step]; ok {
		return s
	}
	return t.r.state(step)
}

func (t *turn) setState(step string, s State) {
	was := t.state(step)
	wasOpen, isOpen := was == Planned || was == Asleep, s == Planned || s == Asleep
	switch {
	case isOpen && !wasOpen:
		t.open++
	case wasOpen && !isOpen:
		t.open--
	}
	if t.states == nil {
		t.states = map[string]State{}
	}
	t.states[step] = s
}

// held returns the item that a claim is on, or ErrStale if the claim is not
// the one in force.
func (t *turn) held(c Claim) (*Item, error) {
	item := t.r.Items[c.Step]
	if item == nil || !item.Claimed || item.Generation != c.Generation {
		return nil, ErrStale
	}
	return item, nil
}

// pin keeps the protocol that the app named first.
func (t *turn) pin(protocol int) {
	if t.head.Protocol == Unpinned && protocol > 0 {
		t.head.Protocol = protocol
	}
}

func (t *turn) dispatch(in Dispatch) (Change, error) {
	item, err := t.held(in.Claim)
	if err != nil {
		return Change{}, err
	}
	if in.Step != Discovery && t.r.state(in.Step) == Done {
		t.c.Drop = append(t.c.Drop, in.Step) // its result came another way
		return t.change(), nil
	}
	if t.head.Status == Queued {
		t.head.Status, t.head.Started = Running, t.now
		t.c.Soft = !t.p.Counted
		if t.p.Counted {
			begun := *item
			begun.Lane = t.r.lane(begun, laneContinue)
			if begun.Due.After(t.now) { // by its priority: that counts no more
				begun.Due = t.now
			}
			t.c.Began = true
			t.c.Put = append(t.c.Put, Put{Item: begun, KeepClaim: true})
		}
		if t.r.Items[StartStep] != nil {
			t.c.Drop = append(t.c.Drop, StartStep)
		}
		if t.p.Finish > 0 {
			t.put(Item{Step: FinishStep, Kind: Timeout, Due: t.now.Add(t.p.Finish)})
		}
	}
	return t.change(), nil
}

func (t *turn) answer(in Answer) (Change, error) {
	item, err := t.held(in.Claim)
	if err != nil {
		return Change{}, err
	}
	// Branches are scheduled by the protocol from here on, so it must be known.
	t.pin(cmp.Or(in.Protocol, newest))
	t.apply(in.Ops, item, in.NoRetry, in.RetryAt)
	t.leave(item, opens(in.Ops))
	return t.change(), nil
}

func (t *turn) returned(in Return) (Change, error) {
	item, err := t.held(in.Claim)
	if err != nil {
		return Change{}, err
	}
	t.pin(in.Protocol)
	if in.Missed {
		t.settle(item, 0)
		return t.change(), nil
	}
	if t.saveAll(in.Ops, item); t.ended {
		return t.change(), nil
	}
	if i := slices.IndexFunc(in.Ops, func(op Op) bool { return op.Kind == OpRefused }); i >= 0 {
		t.end(Failed, nil, unsupported(in.Ops[i]))
		return t.change(), nil
	}
	if len(in.Output) > t.p.MaxOutput {
		t.end(Failed, nil, tooLarge("the function's result", len(in.Output), t.p.MaxOutput))
		return t.change(), nil
	}
	t.end(Completed, in.Output, Failure{})
	return t.change(), nil
}

func (t *turn) refused(in Refusal) (Change, error) {
	item, err := t.held(in.Claim)
	if err != nil {
		return Change{}, err
	}
	t.pin(in.Protocol)
	progress := t.saveAll(in.Ops, item)
	switch {
	case t.ended:
	case in.Away:
		t.away(item, in.Err)
	default:
		t.bodyFailed(item, progress, in.Err, in.NoRetry, in.RetryAt)
	}
	t.leave(item, 0)
	return t.change(), nil
}

// saveAll stores the finished steps among ops and reports whether any was new.
func (t *turn) saveAll(ops []Op, item *Item) bool {
	before := t.done
	t.lazily(ops)
	for _, op := range ops {
		if !t.ended && (op.Kind == OpDone || op.Kind == OpFailed) {
			t.save(op, item.Attempt)
		}
	}
	return t.done > before
}

// bodyFailed: the function's body threw, or nothing valid came back: the same
// request is tried again, or the run has failed.
func (t *turn) bodyFailed(item *Item, progress bool, f Failure, noRetry bool, retryAt time.Time) {
	attempt := item.Attempt
	if progress {
		attempt = 0
	}
	e := Entry{Step: Discovery, Kind: Tried, Op: string(f.Class), Attempt: attempt, At: t.now, Data: f.JSON(), Name: f.Name}
	if noRetry || attempt+1 >= t.p.MaxAttempts {
		t.tries, t.noRetry, t.where = attempt+1, noRetry, t.target(item)
		if t.cuts = t.r.Cuts; f.Class == ClassCrash {
			t.cuts++
		}
		e.Kind = BodyFailed
		t.record(e)
		t.end(Failed, nil, f)
		return
	}
	e.Until = t.p.nextTry(attempt, retryAt, t.now)
	t.record(e)
	t.retry = &retry{due: e.Until, attempt: attempt + 1}
}

// target is the name of the step that a request was for; "" when it entered the
// function.
func (t *turn) target(item *Item) string {
	if s := t.r.Steps[item.Step]; item.Step != Discovery && s != nil {
		return s.Name
	}
	return ""
}

// away: the app cannot be reached. That is no fault of the function: the
// request is sent again until the app is back, and no try is used up. The
// journal tells it once.
func (t *turn) away(item *Item, f Failure) {
	since := item.Since
	e := Entry{Step: Discovery, Kind: Unreachable, Attempt: item.Attempt, At: t.now, Data: f.JSON(), Name: f.Name}
	switch {
	case since.IsZero():
		since = t.now
		t.record(e)
	case t.now.Sub(since) >= t.p.MaxAway:
		long := t.now.Sub(since).Round(time.Second).String()
		f.Message += "; it has been away for " + long
		f.Raw, f.Class = nil, ClassUnreachable
		t.reason = "the app was away for " + long
		e.Kind, e.Data = BodyFailed, f.JSON()
		t.record(e)
		t.tries, t.where = item.Attempt+1, t.target(item)
		t.end(Failed, nil, f)
		return
	}
	t.retry = &retry{due: t.p.nextReach(since, t.now), attempt: item.Attempt, since: since}
}

// checkpoint stores steps that finished while the call goes on. Progress gives
// the call's item its full budget of tries back.
func (t *turn) checkpoint(in Checkpoint) (Change, error) {
	item := t.r.Items[Discovery]
	if item == nil || in.Generation != 0 && in.Generation != item.Generation {
		return Change{}, ErrStale
	}
	before := t.done
	t.lazily(in.Ops)
	for _, op := range in.Ops {
		switch op.Kind {
		case OpDone, OpFailed:
			t.save(op, item.Attempt)
		case OpNone, OpDefer, OpDeferAbort, OpPlanned: // a plan in a checkpoint only tells that a step starts
		case OpRefused:
			t.end(Failed, nil, unsupported(op))
		default:
			return Change{}, fmt.Errorf("%w: %s", ErrNotCheckpoint, op.Op)
		}
		if t.ended {
			return t.change(), nil
		}
	}
	if t.done > before && item.Attempt > 0 {
		reset := *item
		reset.Attempt = 0
		t.c.Put = append(t.c.Put, Put{Item: reset, KeepClaim: true})
	}
	return t.change(), nil
}

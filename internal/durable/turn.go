package durable

import (
	"crypto/sha1" //nolint:gosec // the protocol's step ids are SHA-1; nothing is secured by it
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// CompleteID is the step id under which SDKs report on the function itself.
// Source: spec/03 §5.2.
var CompleteID = func() string {
	sum := sha1.Sum([]byte("complete")) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}()

// maxIdle is how many answers in a row may bring nothing before the run fails:
// an app that asks to be called again for ever would never end.
const maxIdle = 20

// idleWait is the pause after an answer that brought nothing, doubled with
// each more up to 2^10 of it.
const idleWait = 10 * time.Millisecond

// retry is when a request is sent again, as which attempt, and since when its
// app is away.
type retry struct {
	due     time.Time
	attempt int
	since   time.Time
}

// apply carries out the ops of an answer to the request of item.
func (t *turn) apply(ops []Op, item *Item, noRetry bool, retryAt time.Time) {
	group := branches(ops) > 1
	progress := false
	if slices.ContainsFunc(ops, func(op Op) bool { return !op.RetryAt.IsZero() }) {
		retryAt = time.Time{} // the answer's is the latest of theirs
	}
	apart := t.holdsUp(ops, item, noRetry, retryAt)
	t.lazily(ops)
	for _, op := range ops {
		if t.ended {
			return
		}
		switch op.Kind {
		case OpNone, OpDefer, OpDeferAbort:
		case OpDone, OpFailed:
			if op.Step == CompleteID && op.Kind == OpFailed {
				t.bodyFailed(item, progress, op.Err, true, time.Time{})
				return
			}
			progress = t.save(op, item.Attempt) || progress
		case OpError:
			if op.Step == CompleteID {
				t.bodyFailed(item, progress, op.Err, noRetry, retryAt)
				return
			}
			progress = t.stepFailed(op, item, apart, progress, noRetry, retryAt) || progress
		case OpPlanned:
			t.plan(op, group)
		case OpSleep:
			t.rest(op, group)
		case OpWait:
			t.wait(op, group)
		case OpInvoke:
			t.invoke(op, group)
		case OpFetch:
			t.fetch(op, group)
		case OpComplete:
			t.complete(op)
		default:
			t.where = op.Name
			t.end(Failed, nil, unsupported(op))
		}
	}
	// A branch whose step has ended goes on, whatever the others wait for.
	t.onward = t.onward || progress && item.Step == Discovery && (t.r.Racing > 0 || slices.ContainsFunc(ops, Op.races))
}

// complete ends the run with what the function has returned.
func (t *turn) complete(op Op) {
	if len(op.Memo) > t.p.MaxOutput {
		t.end(Failed, nil, tooLarge("the function's result", len(op.Memo), t.p.MaxOutput))
		return
	}
	t.end(Completed, op.Memo, Failure{})
}

// branches counts the ops that go on side by side once the answer is carried
// out: what it opens, and steps to be tried again.
func branches(ops []Op) int {
	n := opens(ops)
	for _, op := range ops {
		if op.Kind == OpError {
			n++
		}
	}
	return n
}

func opens(ops []Op) int {
	n := 0
	for _, op := range ops {
		if op.open() {
			n++
		}
	}
	return n
}

// save stores the outcome of a finished step, unless it is known, and reports
// whether it was news.
func (t *turn) save(op Op, attempt int) bool {
	kind := StepDone
	if op.Kind == OpFailed {
		kind = StepFailed
	}
	return t.finish(Entry{
		Step: op.Step, Kind: kind, Op: op.Op, Name: op.Name, Attempt: attempt,
		At: t.now, Started: op.Started, Took: op.Took, Data: op.Memo,
	})
}

// finish appends a step's final entry, within the limits of a run.
func (t *turn) finish(e Entry) bool {
	if t.state(e.Step) == Done {
		return false
	}
	switch {
	case len(e.Data) > t.p.MaxOutput:
		t.where = e.Name
		t.end(Failed, nil, tooLarge(fmt.Sprintf("the output of step %q", e.Name), len(e.Data), t.p.MaxOutput))
		return false
	case t.done >= t.p.MaxSteps:
		t.end(Failed, nil, Failure{
			Name:    "InngestErrFunctionOverflowed",
			Message: fmt.Sprintf("The function run exceeded the step limit of %d steps.", t.p.MaxSteps),
			Class:   ClassLimit,
		})
		return false
	case t.bytes+len(e.Data) > t.p.MaxState:
		t.end(Failed, nil, Failure{
			Name:    "InngestErrStateOverflowed",
			Message: fmt.Sprintf("The function run exceeded the state size limit of %d bytes.", t.p.MaxState),
			Class:   ClassLimit,
		})
		return false
	}
	// A queued request for the step, as opposed to the one that brought this
	// news, has become needless.
	if item := t.r.Items[e.Step]; item != nil && !item.Claimed {
		t.c.Drop = append(t.c.Drop, e.Step)
	}
	t.c.Put = slices.DeleteFunc(t.c.Put, func(p Put) bool { return p.Step == e.Step })
	// And so has what it waited for, also when the app ends it by itself.
	if s := t.r.Steps[e.Step]; s != nil && s.State == Asleep && (s.Op == wordEvent || s.Op == wordSignal) {
		t.c.Unwait = append(t.c.Unwait, e.Step)
	}
	t.c.Waits = slices.DeleteFunc(t.c.Waits, func(w Wait) bool { return w.Step == e.Step })
	t.setState(e.Step, Done)
	t.done++
	t.bytes += len(e.Data)
	t.record(e)
	return true
}

// stepFailed: a step's body threw. It is tried again by the request that ran it,
// or, if that would hold up what else the run rests on, by one of its own. Out of
// tries, its error becomes the step's memo for the function to catch; stepFailed
// reports whether it has. A step that rests goes on to rest.
func (t *turn) stepFailed(op Op, item *Item, apart, progress, noRetry bool, retryAt time.Time) bool {
	if t.state(op.Step) == Done {
		return false
	}
	attempt, until, final := t.failing(op, item, progress, noRetry, retryAt)
	if final {
		op.Kind = OpFailed
		return t.save(op, attempt)
	}
	if apart && t.state(op.Step) == Asleep {
		return false // what it rests for is still to come, and its timer is the only one
	}
	if apart && t.state(op.Step) == Unknown {
		t.setState(op.Step, Planned)
		t.record(Entry{Step: op.Step, Kind: StepPlanned, Op: wordPlanned, Name: op.Name, At: t.now, Group: true, Race: op.Race})
	}
	t.record(Entry{
		Step: op.Step, Kind: Tried, Op: op.Op, Name: op.Name, Attempt: attempt,
		At: t.now, Started: op.Started, Took: op.Took, Until: until, Data: op.Err.JSON(),
	})
	if apart {
		t.put(Item{Step: op.Step, Kind: Call, Due: until, Attempt: attempt + 1})
		t.apart++
		return false
	}
	again := item.Attempt + 1
	if progress {
		again = 1
	}
	t.retry = &retry{due: until, attempt: again}
	return false
}

// failing says which try of its step an error ends, from 0, when the next is due,
// and whether there is none.
func (t *turn) failing(op Op, item *Item, progress, noRetry bool, retryAt time.Time) (attempt int, until time.Time, final bool) {
	attempt = item.Attempt // of a request for this step alone
	if item.Step == Discovery {
		attempt = t.triesOf(op.Step, progress)
	}
	if !op.RetryAt.IsZero() {
		retryAt = op.RetryAt
	}
	return attempt, t.p.nextTry(attempt, retryAt, t.now), noRetry || attempt+1 >= t.p.MaxAttempts
}

// holdsUp reports whether the request of item, if it waited for the next try of
// the steps that failed in it, would hold up something else: what is open beside
// them, a branch whose step has ended, or each other.
func (t *turn) holdsUp(ops []Op, item *Item, noRetry bool, retryAt time.Time) bool {
	if item.Step != Discovery {
		return false
	}
	if opens(ops) > 0 || t.open > 0 {
		return true
	}
	var due time.Time
	ended, races := false, false
	for _, op := range ops {
		switch {
		case op.Kind == OpDone, op.Kind == OpFailed:
			ended = true
		case op.Kind == OpError && op.Step != CompleteID:
			_, until, final := t.failing(op, item, false, noRetry, retryAt)
			switch {
			case final:
				ended = true
			case due.IsZero():
				due = until
			case !until.Equal(due):
				return true
			}
			races = races || op.Race
		}
	}
	return ended && races
}

// triesOf are the failed tries of a step before the one that an answer tells of,
// which brought progress or not.
func (t *turn) triesOf(step string, progress bool) int {
	n := t.r.Tries(step)
	if progress {
		n -= t.r.Lost
	}
	return n
}

// leave ends the claim on item: its request is sent again, or it is settled.
// opened is the number of open ops that the answer named.
func (t *turn) leave(item *Item, opened int) {
	opened += t.apart
	switch {
	case t.ended:
	case t.retry != nil:
		t.again(item, *t.retry)
	default:
		t.settle(item, opened)
	}
}

// again sends the request of item once more. If its step has ended by other
// news, there is nothing to ask for: the function is entered instead.
func (t *turn) again(item *Item, r retry) {
	if item.Step != Discovery && t.state(item.Step) == Done {
		t.c.Drop = append(t.c.Drop, item.Step)
		t.discover(item, r.due)
		return
	}
	t.put(Item{Step: item.Step, Kind: Call, Due: r.due, Attempt: r.attempt, Since: r.since, Data: item.Data})
}

// plan queues a request for a step, once.
func (t *turn) plan(op Op, group bool) {
	if t.state(op.Step) != Unknown {
		return
	}
	t.setState(op.Step, Planned)
	t.record(Entry{Step: op.Step, Kind: StepPlanned, Op: op.Op, Name: op.Name, At: t.now, Group: group, Race: op.Race})
	t.put(Item{Step: op.Step, Kind: Call, Due: t.now})
}

// settle ends the claim on item and decides whether the function must be
// entered again to find out what comes next. opened is the number of open ops
// that the answer named.
func (t *turn) settle(item *Item, opened int) {
	brought, missed := len(t.c.Entries) > 0, false
	if item.Step != Discovery {
		t.c.Drop = append(t.c.Drop, item.Step)
		if s := t.state(item.Step); s == Planned || s == Asleep {
			// The step was not reached: it is planned anew when the function
			// names it again.
			missed = true
			t.setState(item.Step, Unknown)
			t.record(Entry{Step: item.Step, Kind: StepMissed, At: t.now})
		}
	}
	needed := missed && opened == 0 || t.needsDiscovery(item, opened)
	idle := missed || item.Step == Discovery && needed && !brought && !item.Again
	if idle && !missed {
		t.record(Entry{Step: Discovery, Kind: Nothing, At: t.now})
	}
	before := t.r.Idle
	if t.done > len(t.r.Stack) {
		before = 0 // a step ended in this very answer
	}
	if idle && before+1 >= maxIdle {
		t.end(Failed, nil, Failure{
			Name:    "NoProgress",
			Message: fmt.Sprintf("the app answered %d requests in a row without a step, a result or an error", maxIdle),
			Class:   ClassProtocol,
		})
		return
	}
	if !needed {
		if item.Step == Discovery {
			t.c.Drop = append(t.c.Drop, Discovery)
		}
		return
	}
	due := t.now
	if idle {
		due = due.Add(idleWait << min(before, 10))
	}
	t.discover(item, due)
}

// needsDiscovery decides whether the function is entered again. Source:
// spec/03 §7.
func (t *turn) needsDiscovery(item *Item, opened int) bool {
	if t.open == 0 || t.onward {
		return true // all that was open has ended, or what the function waits for
	}
	if item.Step == Discovery {
		// The function named open branches: the last of them enters it again.
		// If it named none it has more to say, whatever is still open.
		return opened == 0 || item.Again
	}
	// While a race has branches open it may be won already, and what follows it
	// must not wait for the others.
	return t.head.Protocol == 1 || t.r.Racing > 0
}

// discover sees to it that the function is entered after now, with one item
// however many branches ask for it.
func (t *turn) discover(from *Item, due time.Time) {
	other := t.r.Items[Discovery]
	if from.Step != Discovery && other != nil {
		if other.Claimed { // it was sent before this news
			again := *other
			again.Again = true
			t.c.Put = append(t.c.Put, Put{Item: again, KeepClaim: true})
		}
		return // queued: it will know what is known when it is sent
	}
	t.put(Item{Step: Discovery, Kind: Call, Due: due})
}

func (t *turn) put(i Item) {
	i.Run, i.Lane = t.r.ID, t.r.lane(i, laneContinue)
	if t.r.Keys != "" && i.Due.After(t.now) {
		i.Lane = ""
	}
	t.c.Put = append(t.c.Put, Put{Item: i})
}

func (t *turn) record(e Entry) { t.c.Entries = append(t.c.Entries, e) }

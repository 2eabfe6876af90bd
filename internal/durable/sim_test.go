package durable

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// node is one statement of a model function: a step, a sleep, or a group of
// branches that go on side by side.
type node struct {
	id       string
	word     string        // of what the app does not do itself: a sleep, a wait, an invocation, a fetch; "" for a step
	rest     time.Duration // until it gives up, or, of a sleep, is over
	throws   int           // how often the step's body throws before it gives a result
	branches [][]node      // of a group
	race     bool          // the group is over when one branch is
}

// op is what the app answers to ask for a node that it does not do itself.
func (x node) op(until time.Duration) Op {
	switch x.word {
	case wordSleep:
		return sleeps(x.id, until)
	case wordEvent:
		return waitsFor(x.id, until)
	case wordSignal:
		return signals(x.id, until)
	case wordInvoke:
		return invokes(x.id, until)
	case wordFetch:
		return fetches(x.id)
	default:
		return planned(x.id)
	}
}

// drawProgram makes a function. Its step ids are unique.
func drawProgram(t *rapid.T) []node {
	n := 0
	var draw func(depth, most int) []node
	draw = func(depth, most int) []node {
		var list []node
		for range rapid.IntRange(1, most).Draw(t, "length") {
			n++
			x := node{id: fmt.Sprintf("s%d", n)}
			switch kind := rapid.IntRange(0, 12).Draw(t, "kind"); {
			case kind < 3 && depth < 2:
				x.race = rapid.Bool().Draw(t, "race")
				for range rapid.IntRange(2, 3).Draw(t, "branches") {
					x.branches = append(x.branches, draw(depth+1, 2))
				}
			case kind < 8:
				x.word = rapid.SampledFrom([]string{wordSleep, wordEvent, wordSignal, wordInvoke, wordFetch}).Draw(t, "word")
				x.rest = time.Duration(rapid.IntRange(-1, 60).Draw(t, "minutes"))*time.Minute + time.Second
			default:
				x.throws = max(0, rapid.IntRange(-4, 4).Draw(t, "throws"))
			}
			list = append(list, x)
		}
		return list
	}
	return draw(0, 4)
}

// found is a step that a function waits for.
type found struct {
	node
	raced bool
}

// run replays a function with the steps that are remembered. It returns what
// the function waits for, and whether it has come to its end.
func run(program []node, memo map[string]bool, raced bool) (waits []found, ended bool) {
	for _, x := range program {
		if x.branches == nil {
			if !memo[x.id] {
				return append(waits, found{x, raced}), false
			}
			continue
		}
		over := 0
		for _, b := range x.branches {
			w, ended := run(b, memo, x.race)
			waits = append(waits, w...)
			if ended {
				over++
			}
		}
		if over < len(x.branches) && (!x.race || over == 0) {
			return waits, false
		}
	}
	return waits, true
}

// request is a call to the model app: what was sent, and what came of it.
type request struct {
	Claim
	attempt  int
	plan     bool
	memo     map[string]bool // what the app knows: the memos sent, and what it ran itself
	unsaved  []Op            // what it ran and did not report
	answered Input           // what it answered, when it has
}

// app is a model of an app and its SDK, following the scheduling contract.
// Source: spec/03 §7, spec/04 §3.
type app struct {
	t          *rapid.T
	w          *world
	program    []node
	protocol   int
	checkpoint bool
	buffered   bool           // steps that ran inline are reported in the answer
	silent     bool           // the app names no protocol
	bodies     map[string]int // how often the body of a step ran
	calls      []*request     // in flight, or given up by the server and going on
	old        []Input        // answers that were delivered
}

// call claims an item that is due and works it.
func (a *app) call(step string) {
	a.t.Helper()
	w := a.w
	kind := w.r.Items[step].Kind
	for _, c := range a.calls {
		if step == Discovery && c.Step == Discovery && w.r.Items[step].Claimed && c.Generation == w.r.Items[step].Generation {
			a.t.Logf("the lease of %v is lost", c.Claim)
		}
	}
	if kind == Wake && w.r.Steps[step].Op != wordSleep && rapid.Bool().Draw(a.t, "comes in time") {
		a.resolve(step)
		return
	}
	claim := w.claim(step)
	switch kind {
	case Wake, Timeout:
		w.feed(Due{claim})
		return
	case Fetch:
		a.fetch(claim)
		return
	default:
	}
	if step != Discovery && w.r.state(step) == Done {
		if c := w.feed(Dispatch{claim}); !slices.Equal(c.Drop, []string{step}) {
			a.t.Fatalf("%s is done and would be called: %+v", step, c)
		}
		return
	}
	w.feed(Dispatch{claim})
	if step == Discovery && !w.r.Plan {
		for id, s := range w.r.Steps {
			if s.State == Planned {
				a.t.Fatalf("the function is entered and may run %s, which is queued: %s", id, w)
			}
		}
	}
	c := &request{Claim: claim, attempt: w.r.Items[step].Attempt, plan: w.r.Plan, memo: map[string]bool{}}
	for _, id := range w.r.Stack {
		c.memo[id] = true
	}
	a.calls = append(a.calls, c)
}

// resolve brings what a step waits for; that counts once.
func (a *app) resolve(step string) {
	a.t.Helper()
	in := Resolved{Step: step, Memo: JSON(`{"data":1}`), Failed: a.w.r.Steps[step].Op == wordInvoke && rapid.Bool().Draw(a.t, "failed")}
	if a.w.feed(in); a.w.err != nil {
		a.t.Fatalf("%s waits, and what came is refused: %v", step, a.w.err)
	}
	if a.w.feed(in); a.w.err == nil {
		a.t.Fatalf("what %s waited for came twice", step)
	}
}

// fetch makes the request that a step asks for, or tries to.
func (a *app) fetch(claim Claim) {
	a.t.Helper()
	in := Fetched{Claim: claim, Memo: JSON(`{"data":1}`)}
	in.Failed = rapid.IntRange(0, 3).Draw(a.t, "fetch fails") == 0
	in.NoRetry = in.Failed && rapid.Bool().Draw(a.t, "for good")
	attempt := a.w.r.Items[claim.Step].Attempt
	final := !in.Failed || in.NoRetry || attempt+1 >= a.w.policy.MaxAttempts
	a.w.feed(in)
	switch item := a.w.r.Items[claim.Step]; {
	case a.w.err != nil:
		a.t.Fatalf("what was fetched is refused: %v", a.w.err)
	case a.w.r.Status.Final():
	case final && (a.w.r.state(claim.Step) != Done || item != nil):
		a.t.Fatalf("fetched, and yet %s", a.w)
	case !final && (item == nil || item.Attempt != attempt+1 || item.Kind != Fetch || string(item.Data) != string(fetches("").Request)):
		a.t.Fatalf("a fetch is not tried again: %s", a.w)
	}
	if a.w.feed(in); a.w.err == nil {
		a.t.Fatalf("what %s fetched came twice", claim.Step)
	}
}

// unreached claims an item whose request does not reach its app: no try of it
// is used up.
func (a *app) unreached(step string) {
	a.t.Helper()
	w := a.w
	before := *w.r.Items[step]
	claim := w.claim(step)
	if w.feed(Dispatch{claim}); w.r.Items[step] == nil {
		return // its result came another way
	}
	w.feed(Refusal{Claim: claim, Err: Failure{Name: "Unreachable", Message: "connection refused"}, Away: true})
	after := w.r.Items[step]
	switch {
	case w.r.state(step) == Done:
		return // the function is entered instead
	case after == nil || after.Attempt != before.Attempt || after.Since.IsZero() || after.Claimed:
		a.t.Fatalf("the app is away, and %+v becomes %+v", before, after)
	case !before.Since.IsZero() && !after.Since.Equal(before.Since):
		a.t.Fatalf("the app is away since %v, and then since %v", before.Since, after.Since)
	case after.Due.Before(w.now.Add(minAway)) || after.Due.After(w.now.Add(maxAway*5/4)):
		a.t.Fatalf("the app is tried again after %v", after.Due.Sub(w.now))
	}
}

// waiting are the steps that may be resolved.
func (a *app) waiting() (list []string) {
	for id, s := range a.w.r.Steps {
		if s.State == Asleep && s.Op != wordSleep {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// execute runs the body of a step. A step that is out of tries reports it as
// failed or leaves that to the server.
func (a *app) execute(x node, c *request) (Op, bool) {
	a.bodies[x.id]++
	switch {
	case a.bodies[x.id] > x.throws:
		op := done(x.id)
		op.Memo = JSON(fmt.Sprintf(`{"data":%d}`, a.bodies[x.id]))
		return op, true
	case c.attempt+1 >= a.w.policy.MaxAttempts && rapid.Bool().Draw(a.t, "says failed"):
		return fails(x.id), true
	default:
		return throws(x.id), false
	}
}

// step lets a call go on by one step of its function, or to its answer.
func (a *app) step(c *request) {
	if c.answered != nil {
		return
	}
	waits, ended := run(a.program, c.memo, false)
	protocol := a.protocol
	if a.silent {
		protocol = 0
	}
	switch {
	case c.Step != Discovery:
		i := slices.IndexFunc(waits, func(f found) bool { return f.id == c.Step })
		switch {
		case i >= 0:
			op, _ := a.execute(waits[i].node, c)
			c.answered = Answer{Claim: c.Claim, Ops: []Op{op}, Protocol: protocol}
		case ended:
			c.answered = Return{Claim: c.Claim, Output: JSON("1"), Protocol: protocol}
		default:
			c.answered = Return{Claim: c.Claim, Output: JSON("null"), Protocol: protocol, Missed: true}
		}
	case ended:
		c.answered = Return{Claim: c.Claim, Ops: c.unsaved, Output: JSON("1"), Protocol: protocol}
	case len(waits) == 1 && !c.plan && waits[0].word == "":
		op, ok := a.execute(waits[0].node, c)
		if ok {
			c.memo[waits[0].id] = true
		}
		switch {
		case ok && a.checkpoint && a.buffered:
			c.unsaved = append(c.unsaved, op)
		case ok && a.checkpoint && c.attempt == 0:
			a.w.feed(Checkpoint{c.Claim, []Op{op}})
			if a.w.err != nil { // the SDK gives up; what it then answers must not count
				c.answered = Refusal{Claim: c.Claim, Err: Failure{Name: "StaleDispatchError"}, NoRetry: true}
			}
		default:
			c.answered = Answer{Claim: c.Claim, Ops: append(c.unsaved, op), Protocol: protocol}
		}
	default:
		ops := c.unsaved
		for _, f := range waits {
			op := f.op(a.w.now.Add(f.rest).Sub(noon))
			op.Race = f.raced
			ops = append(ops, op)
		}
		c.answered = Answer{Claim: c.Claim, Ops: ops, Protocol: protocol}
	}
}

// deliver brings the answer of a call home. One whose lease is gone must
// change nothing.
func (a *app) deliver(c *request) {
	a.calls = slices.DeleteFunc(a.calls, func(x *request) bool { return x == c })
	for c.answered == nil {
		a.step(c)
	}
	item := a.w.r.Items[c.Step]
	held := item != nil && item.Claimed && item.Generation == c.Generation
	a.w.feed(c.answered)
	if (a.w.err == nil) != held {
		a.t.Fatalf("an answer under %+v, the item being %+v: %v", c.Claim, item, a.w.err)
	}
	a.old = append(a.old, c.answered)
}

// queued lists the items that no call in flight holds, the earliest first.
func (a *app) queued() []string {
	var list []string
	for id, item := range a.w.r.Items {
		if !item.Claimed {
			list = append(list, id)
		}
	}
	slices.SortFunc(list, func(x, y string) int {
		i, j := a.w.r.Items[x], a.w.r.Items[y]
		if c := i.Due.Compare(j.Due); c != 0 {
			return c
		}
		return slices.Compare([]byte(x), []byte(y))
	})
	return list
}

// finish works the run to its end with no more trouble.
func (a *app) finish() {
	for range 2000 {
		if a.w.r.Status.Final() {
			return
		}
		if list := a.queued(); len(list) > 0 && (len(a.calls) == 0 || !a.w.r.Items[list[0]].Due.After(a.w.now)) {
			a.call(list[0])
			continue
		}
		if len(a.calls) == 0 { // what is claimed was lost: its lease runs out
			for id := range a.w.r.Items {
				a.call(id)
				break
			}
			continue
		}
		a.deliver(a.calls[rapid.IntRange(0, len(a.calls)-1).Draw(a.t, "first")])
	}
	a.t.Fatalf("the run does not end: %s", a.w)
}

func drawApp(t *rapid.T) *app {
	event := order
	if rapid.Bool().Draw(t, "has a parent") {
		event.Target = &Target{Function: "shop-pay", Parent: Ref{"01KE2222222222222222222222", "s"}}
	}
	w := newWorld(t, event)
	if rapid.Bool().Draw(t, "keys") {
		w.keyed()
	}
	w.policy.MaxAway = 1e6 * time.Hour
	if rapid.IntRange(0, 9).Draw(t, "timeouts") == 0 {
		w.f.Start = time.Duration(rapid.IntRange(1, 100).Draw(t, "to start")) * time.Second
		w.policy.Finish = time.Duration(rapid.IntRange(1, 200).Draw(t, "to finish")) * time.Minute
		w.r = w.blank()
	}
	w.policy.MaxAttempts = rapid.IntRange(1, 5).Draw(t, "tries")
	w.policy.Jitter = rapid.Float64Range(0, 0.99).Draw(t, "jitter")
	return &app{
		t: t, w: w, program: drawProgram(t), bodies: map[string]int{},
		protocol:   rapid.IntRange(1, 2).Draw(t, "protocol"),
		checkpoint: rapid.Bool().Draw(t, "checkpoints"),
		buffered:   rapid.Bool().Draw(t, "buffered"),
	}
}

// completed checks a run that nothing but its steps could fail: what its
// function needed is remembered, and its end was told once.
func (a *app) completed() {
	a.t.Helper()
	last := a.w.journal[len(a.w.journal)-1:]
	if a.w.policy.Finish > 0 && a.w.r.Status == Cancelled && len(last) > 0 && strings.Contains(string(last[0].Data), "timeouts.") {
		return
	}
	if a.w.r.Status != Completed {
		a.t.Fatalf("the run ended %s, with %s", a.w, a.w.r.Output)
	}
	memo := map[string]bool{}
	for _, id := range a.w.r.Stack {
		memo[id] = true
	}
	if waits, ended := run(a.program, memo, false); !ended {
		a.t.Fatalf("the run ended with %q, and its function still waits for %v", a.w.r.Stack, waits)
	}
	ends := 0
	for _, e := range a.w.emitted {
		if e.Name == EventFinished {
			ends++
		}
	}
	if ends != 1 {
		a.t.Fatalf("the end was told by %d events", ends)
	}
}

// TestUndisturbed: when nothing goes wrong, a step's body runs as often as it
// throws and once more, and never beside itself.
func TestUndisturbed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := drawApp(t)
		a.finish()
		a.completed()
		var check func([]node)
		check = func(program []node) {
			for _, x := range program {
				for _, b := range x.branches {
					check(b)
				}
				if n, most := a.bodies[x.id], min(x.throws+1, a.w.policy.MaxAttempts); n > most {
					t.Errorf("the body of %s ran %d times, at most %d were needed", x.id, n, most)
				}
			}
		}
		check(a.program)
	})
}

// TestDisturbed: whatever is lost, late, doubled, refused or crashes, world
// finds nothing wrong, the run ends, and it ends well unless its function failed.
func TestDisturbed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := drawApp(t)
		a.silent = rapid.IntRange(0, 9).Draw(t, "silent") == 0
		w := a.w
		broken, cancelled := 0, false
		for range rapid.IntRange(0, 60).Draw(t, "events") {
			if w.r.Status.Final() {
				break
			}
			pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "which") }
			what := rapid.IntRange(0, 22).Draw(t, "what")
			list := a.queued()
			switch {
			case what < 7 && len(list) > 0:
				a.call(list[pick(len(list))])
			case what < 10 && len(a.calls) > 0:
				a.step(a.calls[pick(len(a.calls))])
			case what < 14 && len(a.calls) > 0:
				a.deliver(a.calls[pick(len(a.calls))])
			case what == 14 && len(a.calls) > 0: // its lease runs out; it goes on all the same
				if c := a.calls[pick(len(a.calls))]; w.r.Items[c.Step] != nil {
					a.call(c.Step)
				}
			case what == 15 && len(a.calls) > 0: // its answer never comes
				c := a.calls[pick(len(a.calls))]
				a.calls = slices.DeleteFunc(a.calls, func(x *request) bool { return x == c })
			case what == 16 && len(a.old) > 0: // an answer comes again
				w.feed(a.old[pick(len(a.old))])
				if w.err == nil {
					t.Fatalf("an answer counted twice: %s", w)
				}
			case what == 17: // leases are gone, calls go on
				w.crash()
			case what == 18 && len(a.calls) > 0: // the connection breaks, the call goes on
				c := a.calls[pick(len(a.calls))]
				w.feed(Refusal{Claim: c.Claim, Err: Failure{Name: "Error", Message: "reset"}})
				if w.err == nil {
					broken++
				}
			case what == 20 && len(list) > 0: // a fetch is cut off, or the app is away
				switch step := list[pick(len(list))]; w.r.Items[step].Kind {
				case Call:
					a.unreached(step)
				case Fetch:
					w.claim(step)
				default:
				}
			case what > 20 && len(a.waiting()) > 0:
				a.resolve(a.waiting()[pick(len(a.waiting()))])
			case what == 19 && pick(20) == 0:
				w.feed(Cancel{})
				cancelled = true
			}
		}
		a.finish()
		switch {
		case cancelled:
			if w.r.Status != Cancelled {
				t.Fatalf("cancelled, and then %s", w)
			}
		case broken == 0:
			a.completed()
		}
		for _, in := range append(a.old, Cancel{}, Checkpoint{Ops: []Op{done("z")}}, Resolved{Step: "s1"}, Fetched{}, Due{}) {
			if w.feed(in); w.err != ErrEnded { //nolint:errorlint // Next returns it bare
				t.Fatalf("%T after the end: %v", in, w.err)
			}
		}
	})
}

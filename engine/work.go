package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/call"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// work works one item that is due.
func (e *Engine) work(ctx context.Context, l store.Lease) {
	defer func() {
		// Nothing that an app or a stored record says may take the process down.
		if p := recover(); p != nil {
			e.log.Error("working an item panicked; its lease will run out and it is tried again",
				"run", l.Run, "step", l.Step, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	claim := durable.Claim{Step: l.Step, Generation: l.Generation}
	if l.Early() {
		e.settle(ctx, l, durable.Due{Claim: claim})
		return
	}
	switch l.Kind {
	case durable.Call:
		e.call(ctx, l, claim)
	case durable.Wake:
		e.expire(ctx, l, claim)
	case durable.Fetch:
		e.fetch(ctx, l, claim)
	case durable.Timeout:
		if e.settle(ctx, l, durable.Due{Claim: claim}) {
			e.worker.Interrupt(l.Run)
		}
	case durable.Deliver:
		e.deliver(ctx, l)
	case durable.Report:
		e.report(ctx, l)
	case durable.Tick:
		e.tick(ctx, l)
	case durable.Retry:
		e.retryMore(ctx, l)
	case durable.Fire:
		e.fire(ctx, l)
	case durable.Tell:
		e.tellPeople(ctx, l)
	case durable.Sweep:
		e.cancelMore(ctx, l)
	case durable.Lapse:
		e.settle(ctx, l, durable.Due{Claim: claim})
	default:
		e.log.Error("an item is of a kind that this version does not know", "run", l.Run, "step", l.Step, "kind", l.Kind)
	}
}

// call makes one request to an app and brings its answer home.
func (e *Engine) call(ctx context.Context, l store.Lease, claim durable.Claim) {
	req, from, targeted, err := e.dispatch(ctx, l, claim)
	switch {
	case errors.Is(err, durable.ErrStale), errors.Is(err, durable.ErrEnded), errors.Is(err, context.Canceled):
		return // it is not ours any more
	case errors.Is(err, store.ErrNotFound):
		e.drop(ctx, l)
		return
	case errors.Is(err, store.ErrDamaged):
		e.setAside(ctx, l, err)
		return
	case err != nil:
		e.log.Error("a run cannot be called; it is tried again when its lease has run out", "run", l.Run, "err", err)
		return
	case req == nil:
		return // its result came another way
	}
	began := time.Now()
	ctx, at, traced := e.tracer.call(ctx, from, l.Step, l.Attempt)
	req.Trace = at
	answer, exchange := e.client.Exchange(ctx, *req)
	if ctx.Err() != nil {
		traced(nil)
		return // the lease was lost or the server stops: the item is claimed anew
	}
	if req.Entry != nil {
		answer = endpointAnswer(answer)
	}
	e.metrics.answered(from.function, answer, time.Since(began))
	e.seen(ctx, req.App, answer)
	e.settleBy(ctx, l, news(claim, answer, targeted, time.Now()), asked{exchange: exchange})
	traced(&answer)
}

// drop takes an item out of the queue whose run is not there: it would come
// again for ever.
func (e *Engine) drop(ctx context.Context, l store.Lease) {
	err := e.store.Settle(ctx, l, time.Now(), store.Settled{})
	e.log.Error("an item of a run that is not there was taken out of the queue; pawl doctor says what else is wrong",
		"run", l.Run, "step", l.Step, "kind", l.Kind, "err", err)
}

// damagedAgain is when an item of a damaged run is looked at again.
const damagedAgain = time.Minute

// setAside puts off an item that a damaged run or an event that is gone keeps from
// being worked. It is not lost: it is worked once that was repaired. Until then it holds up nobody.
func (e *Engine) setAside(ctx context.Context, l store.Lease, cause error) {
	now := time.Now()
	next := l.Later(now.Add(damagedAgain))
	if err := e.store.Settle(ctx, l, now, store.Settled{Next: &next}); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLeaseLost) {
		cause = errors.Join(cause, err)
	}
	e.log.Error("what is queued for a run or an event is put off: it or another is damaged", "run", l.Run, "step", l.Step, "kind", l.Kind,
		"again", damagedAgain, "err", cause)
}

// fetch makes a request that a step asks the server to make.
func (e *Engine) fetch(ctx context.Context, l store.Lease, claim durable.Claim) {
	due := true
	_, err := e.transition(ctx, l.Run, durable.Dispatch{Claim: claim}, func(_ *durable.Run, _ durable.Function, c durable.Change) error {
		due = len(c.Drop) == 0
		return nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		e.drop(ctx, l)
		return
	case errors.Is(err, store.ErrDamaged):
		e.setAside(ctx, l, err)
		return
	case err != nil || !due:
		if late(err) != nil && ctx.Err() == nil {
			e.log.Error("a step's request cannot be made; it is tried again when its lease has run out", "run", l.Run, "err", err)
		}
		return
	}
	in, err := call.Do(ctx, e.egress, claim, l.Data)
	if err != nil {
		if ctx.Err() == nil {
			e.log.Error("a step's request cannot be made", "run", l.Run, "err", err)
		}
		return // the lease was lost, or the server stops
	}
	e.settle(ctx, l, in)
}

// dispatch notes that a request is about to be sent, and builds it.
func (e *Engine) dispatch(ctx context.Context, l store.Lease, claim durable.Claim) (req *call.Request, from origin, targeted bool, err error) {
	targeted = l.Step != durable.Discovery
	_, err = e.transition(ctx, l.Run, durable.Dispatch{Claim: claim}, func(r *durable.Run, f durable.Function, c durable.Change) error {
		if slices.Contains(c.Drop, l.Step) { // its result came another way
			req = nil
			return nil
		}
		req, from = e.request(r, f, l), originOf(r)
		return nil
	})
	return req, from, targeted, err
}

// request is the call for an item of run r, with all that the run knows now. An
// endpoint asks for that itself.
func (e *Engine) request(r *durable.Run, f durable.Function, l store.Lease) *call.Request {
	if f.Endpoint {
		return &call.Request{
			App: r.App, URL: f.URL, RunID: r.ID, StepID: l.Step, RequestID: NewID(), ItemID: itemID(l),
			Generation: l.Generation, Version: r.Protocol, Entry: r.Events[0].Body, Plan: r.Plan,
			Attempt: l.Attempt, MaxAttempts: f.MaxAttempts(), Seq: r.Seq, Input: l.Data,
			First: r.Protocol == durable.Unpinned && l.Attempt == 0 && r.Original == "",
		}
	}
	c := wire.Call{
		RunID: r.ID, FunctionID: f.ID, ItemID: itemID(l), StepID: l.Step,
		Attempt: l.Attempt, MaxAttempts: f.MaxAttempts(),
		DisableImmediate: r.Plan, Version: r.Protocol,
		Event: r.Events[0].Body, Steps: memos(r), Input: l.Data,
	}
	if l.Step == durable.Discovery && l.Attempt > 0 {
		c.Tries, c.Lost = r.Failing(), r.Lost
	}
	if e.dev {
		c.Env = "dev"
	}
	for _, ev := range r.Events {
		c.Events = append(c.Events, ev.Body)
	}
	for _, d := range r.Defers {
		if d.State != durable.DeferRejected {
			c.Defers = append(c.Defers, wire.Defer{ID: d.ID, Abortable: d.State == durable.DeferHeld})
		}
	}
	// The Go SDK never fetches its state; the others must above the limit.
	c.UseAPI = r.Bytes+eventBytes(r) > wire.MaxRequestBytes && !strings.HasPrefix(e.apps.Load().apps[r.App].SDK, "go:")
	return &call.Request{
		App: r.App, URL: f.URL, RunID: r.ID, StepID: l.Step, RequestID: NewID(), ItemID: c.ItemID,
		Generation: l.Generation, Version: r.Protocol, Body: c.AppendBody(nil), Plan: r.Plan,
		Seq: r.Seq, Attempt: l.Attempt, Input: l.Data,
	}
}

// itemID is what an app gives back in its checkpoints to say which call it is
// in, so that every SDK is fenced, also those that do not echo the generation.
func itemID(l store.Lease) string { return fmt.Sprintf("%s.%d", l.Run, l.Generation) }

func memos(r *durable.Run) []wire.Memo {
	list := make([]wire.Memo, 0, len(r.Stack))
	for _, id := range r.Stack {
		list = append(list, wire.Memo{ID: id, Value: r.Steps[id].Memo})
	}
	return list
}

func eventBytes(r *durable.Run) int {
	n := 0
	for _, ev := range r.Events {
		n += len(ev.Body)
	}
	return n
}

// news is what an answer to a call tells about the run.
func news(claim durable.Claim, a wire.Answer, targeted bool, now time.Time) durable.Input {
	ops := call.Ops(a.Ops, now)
	switch a.Kind {
	case wire.Progress:
		return durable.Answer{Claim: claim, Ops: ops, Protocol: a.Version, NoRetry: a.NoRetry, RetryAt: a.RetryAfter}
	case wire.Returned:
		return durable.Return{Claim: claim, Ops: ops, Output: a.Output.Clone(), Protocol: a.Version, Missed: targeted && a.NotReached()}
	default:
		failure := call.Failure(a.Err)
		failure.Class = call.Class(a)
		return durable.Refusal{
			Claim: claim, Ops: ops, Err: failure, Protocol: a.Version, NoRetry: a.NoRetry, RetryAt: a.RetryAfter, Away: a.Away,
		}
	}
}

// settleAgain is the pause before an answer is offered to the store again.
const settleAgain = time.Second

// settle brings news of a call home. While the store cannot write, the answer
// is kept and offered again: the app has done its part. It reports whether the
// run knows it now, because of this or from before.
func (e *Engine) settle(ctx context.Context, l store.Lease, in durable.Input) bool {
	return e.settleBy(ctx, l, in, asked{})
}

func (e *Engine) settleBy(ctx context.Context, l store.Lease, in durable.Input, by asked) bool {
	run := l.Run
	for {
		_, err := e.move(ctx, run, in, by, nil)
		switch {
		case errors.Is(err, store.ErrNotFound):
			e.drop(ctx, l)
			return false
		case errors.Is(err, store.ErrDamaged):
			e.setAside(ctx, l, err)
			return false
		case err == nil, errors.Is(err, durable.ErrStale), errors.Is(err, durable.ErrEnded):
			return true // late news changes nothing
		case errors.Is(err, store.ErrFull), errors.Is(err, store.ErrUnavailable):
			e.log.Warn("an answer cannot be saved yet", "run", run, "err", err)
		default:
			if ctx.Err() == nil {
				e.log.Error("an answer cannot be saved; the call is made again when its lease has run out", "run", run, "err", err)
			}
			return false
		}
		select {
		case <-time.After(settleAgain):
		case <-ctx.Done():
			return false
		}
	}
}

// transition moves a run by one input. inspect, if given, sees the run before
// the change, as often as it is decided.
func (e *Engine) transition(ctx context.Context, run string, in durable.Input,
	inspect func(*durable.Run, durable.Function, durable.Change) error,
) (durable.Change, error) {
	return e.move(ctx, run, in, asked{}, inspect)
}

// asked is what goes along when a run is moved.
type asked struct {
	once     *store.Once    // it happens once for a key; nil: each time
	act      *durable.Act   // of whoever asked for it; nil: nobody did
	exchange *call.Exchange // of the try that the news is of, if it failed
}

// move is transition for somebody.
func (e *Engine) move(ctx context.Context, run string, in durable.Input, by asked,
	inspect func(*durable.Run, durable.Function, durable.Change) error,
) (durable.Change, error) {
	if e.streams.Active(run) {
		done, ended := endedBy(in)
		e.streams.Settle(ctx, run, done, ended)
	}
	release, err := e.reserve(ctx, run, in)
	if err != nil {
		return durable.Change{}, err
	}
	defer release()
	var change durable.Change
	var fn string
	var queued time.Time
	var began bool
	var row *RunNews
	table := e.apps.Load().table
	now := time.Now()
	err = e.store.Transition(ctx, run, func(r *durable.Run) (store.Decision, error) {
		f, ok := table.Function(r.Function)
		if !ok {
			return store.Decision{}, fmt.Errorf("function %s is not known", r.Function)
		}
		e.prepare(table, r, in)
		c, err := durable.Next(r, in, e.policy(f), now)
		if err != nil {
			return store.Decision{}, err
		}
		if inspect != nil {
			if err := inspect(r, f, c); err != nil {
				return store.Decision{}, err
			}
		}
		change, fn, queued, began = c, r.Function, r.Queued, r.Status == durable.Queued
		if row = nil; e.followers.any() {
			row = newsOf(r, c)
		}
		d := store.Decision{Change: c, Once: by.once, Act: by.act, Metadata: durable.MetadataOf(in, c)}
		if by.exchange != nil {
			d.Exchange = kept(c, by.exchange)
		}
		if r.Cron != "" && c.Head != nil && c.Head.Status.Final() {
			d.Rouse = e.heldFor(r.Function, r.Cron)
		}
		for _, ev := range c.Emit {
			ev.Trace = e.tracer.traceOf(ctx, r)
			d.Accepted = append(d.Accepted, e.accept(ctx, table, ev, now))
		}
		return d, nil
	})
	if err != nil {
		return durable.Change{}, err
	}
	e.changed(fn, queued, began, change, now)
	e.spread(row, change)
	e.tell(ctx, run, fn, queued, change)
	return change, nil
}

// spread tells those who look on of a run that has changed; row is nil when
// nobody did as the change was decided.
func (e *Engine) spread(row *RunNews, c durable.Change) {
	if c.Empty() || !e.followers.news() {
		return
	}
	stale := TopicCounts
	if len(c.Emit) > 0 { // they may start runs
		stale |= TopicRuns
	}
	if c.Head != nil && c.Head.Status.Final() { // a letter, and the count of a job
		stale |= TopicLetters
	}
	if row == nil {
		stale |= TopicRuns | TopicUnnamed
	}
	e.followers.run(row, stale)
}

// tell acts after a commit: it wakes who waits for the run and notes the news.
func (e *Engine) tell(ctx context.Context, run, fn string, queued time.Time, c durable.Change) {
	if c.Empty() {
		return
	}
	e.watchers.notify(run)
	e.streams.Moved(run)
	e.tracer.stepped(run, c.Entries)
	if c.Head != nil && c.Head.Status.Final() {
		e.watchers.end(run, *c.Head)
		e.tracer.ended(run, *c.Head)
		e.announce(ctx, run, *c.Head)
	}
	for _, en := range c.Entries {
		if en.Step == durable.Discovery {
			en.Name = "" // the function's body, which has none
		}
		switch en.Kind {
		case durable.Tried:
			e.log.InfoContext(ctx, "attempt failed", "run", run, "function", fn, "step", en.Name, "attempt", en.Attempt+1,
				"again", time.Until(en.Until).Round(100*time.Millisecond), "err", Brief(en.Data))
		case durable.Unreachable:
			e.log.WarnContext(ctx, "app cannot be reached; the run waits for it", "run", run, "function", fn, "err", Brief(en.Data))
		case durable.Lapsed:
			e.log.WarnContext(ctx, "an app that served a request is not heard of any more; the endpoint is entered again", "run", run, "function", fn)
		case durable.StepFailed:
			e.log.InfoContext(ctx, "step failed", "run", run, "function", fn, "step", en.Name, "attempt", en.Attempt+1, "err", Brief(en.Data))
		default:
		}
	}
	if c.Head == nil {
		return
	}
	switch {
	case c.Head.Status == durable.Running && c.Soft:
		e.log.DebugContext(ctx, "run started", "run", run, "function", fn)
	case c.Head.Status == durable.Failed:
		e.log.InfoContext(ctx, "run failed", "run", run, "function", fn, "took", c.Head.Ended.Sub(queued).Round(time.Millisecond), "err", Brief(c.Head.Output))
	case c.Head.Status.Final():
		e.log.InfoContext(ctx, "run finished", "run", run, "function", fn, "status", c.Head.Status, "took", c.Head.Ended.Sub(queued).Round(time.Millisecond))
	}
}

// Brief is an error's name and message for a log line, without its stack.
func Brief(raw durable.JSON) string {
	var inner struct{ Error jsontext.Value }
	if unmarshal(raw, &inner) == nil && inner.Error.Kind() == '{' {
		raw = inner.Error
	}
	err := wire.ParseError(raw, raw)
	text := err.Name + ": " + err.Message
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

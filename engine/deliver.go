package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
)

// An event that somebody waits for is handed on after it was accepted: an item
// in the queue, written with it, stands for that. The waits that it concerns
// are found through the index, page by page, and each run is moved by a
// transition of its own. A crash in between repeats some of them, which changes
// nothing: a step that has ended does not end again.

const (
	deliverPage = 256 // waits read at a time
	deliverWide = 64  // runs moved at a time
)

// deliver works an item of kind Deliver.
func (e *Engine) deliver(ctx context.Context, l store.Lease) {
	h := e.handings.of(l)
	defer e.handings.end(l, h)
	if err := e.handOn(ctx, l, h); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLeaseLost) {
		e.log.Warn("an event cannot be handed on; it is tried again", "event", l.Run, "err", err)
		pause(ctx, settleAgain)
		if err := e.store.Release(ctx, []store.Lease{l}); err != nil {
			e.log.Error("an item cannot be given back; it is free when its lease has run out", "event", l.Run, "err", err)
		}
	}
}

func (e *Engine) handOn(ctx context.Context, l store.Lease, h *handing) error {
	ev, err := e.store.Event(ctx, l.Run)
	if errors.Is(err, store.ErrNotFound) {
		e.setAside(ctx, l, fmt.Errorf("event %s is not there; pawl doctor says what else is wrong", l.Run))
		return nil
	}
	if err != nil {
		return err
	}
	h.knows(ev.Name, match.NewDoc(ev.Body))
	var later rest
	if l.Data != nil {
		if err := unmarshal(l.Data, &later); err != nil {
			return err
		}
	}
	if len(later.Starts) > 0 {
		return e.startMore(ctx, l, ev, later)
	}
	// Not shared with whoever works on it already: it may be handed on once more
	// for those who have begun to wait since.
	if err := e.wakeAll(ctx, ev); err != nil {
		return err
	}
	return e.store.Settle(ctx, l, time.Now(), store.Settled{})
}

// startMore starts the next of the runs that are left for an event.
func (e *Engine) startMore(ctx context.Context, l store.Lease, ev durable.Event, later rest) error {
	table := e.apps.Load().table
	n := min(len(later.Starts), maxStarts)
	var fns []durable.Function
	for _, slug := range later.Starts[:n] {
		if f, ok := table.Function(slug); ok {
			fns = append(fns, f)
		}
	}
	now := time.Now()
	ev.Target = later.Target
	starts := e.starts(ctx, fns, ev, now)
	release, err := e.makeRoom(ctx, ev, starts)
	if err != nil {
		return err
	}
	defer release()
	// The item goes on even when nothing is left: the waits come last.
	next := l.Item
	next.Due, next.Data = now, rest{Starts: later.Starts[n:], Target: later.Target}.json()
	return e.settleStarts(ctx, l, now, store.Settled{Event: ev, Starts: starts, Next: &next})
}

// wakeWaiting moves every run that waits for an event, or is cancelled by it.
// Two that hand on the same event at once share the work.
func (e *Engine) wakeWaiting(ctx context.Context, ev durable.Event) error {
	for {
		_, err, _ := e.delivering.Do(ev.ID, func() (any, error) { return nil, e.wakeAll(ctx, ev) })
		if !errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return err
		}
		// Whoever did it for us was stopped, which does not stop us.
	}
}

func (e *Engine) wakeAll(ctx context.Context, ev durable.Event) error {
	paths, err := e.store.Paths(ctx, ev.Name)
	if err != nil {
		return err
	}
	doc, earlier := match.NewDoc(ev.Body), e.handings.before(ctx, ev)
	for _, path := range paths {
		if err := e.wakeAt(ctx, ev, doc, path, match.Value(doc, path), earlier); err != nil {
			return err
		}
	}
	return nil
}

// wakeAt moves the runs whose waits are found at one place of the index.
func (e *Engine) wakeAt(ctx context.Context, ev durable.Event, doc *match.Doc, path, value string, earlier []*handing) error {
	for seq := int64(0); ; {
		waits, err := e.store.Waiting(ctx, ev.ID, path, value, seq, deliverPage)
		if err != nil {
			return err
		}
		if len(waits) > 0 {
			after(ctx, earlier, path, value)
		}
		var g errgroup.Group
		g.SetLimit(deliverWide)
		for _, w := range waits {
			g.Go(func() error { return e.meet(ctx, w, ev, doc) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if len(waits) < deliverPage {
			return nil
		}
		seq = waits[len(waits)-1].Seq
	}
}

// errNoMatch means that an event does not meet a wait's condition.
var errNoMatch = errors.New("the event does not match")

// meet brings an event to a run that may wait for it.
func (e *Engine) meet(ctx context.Context, w durable.Wait, ev durable.Event, doc *match.Doc) error {
	var in durable.Input
	switch w.Kind {
	case durable.ForEvent:
		in = durable.Resolved{Step: w.Step, Memo: ev.Body}
	case durable.ForCancel:
		if !w.Until.IsZero() && ev.Received.After(w.Until) {
			return nil
		}
		in = durable.Cancel{Reason: "cancelOn: event " + ev.Name + " (" + ev.ID + ")"}
	default:
		return nil
	}
	_, err := e.transition(ctx, w.Run, in, func(r *durable.Run, _ durable.Function, _ durable.Change) error {
		if !match.Holds(ctx, w, r.Events[0].Body, doc, e.programs, ev.Received) {
			return errNoMatch
		}
		return nil
	})
	if err == nil && w.Kind == durable.ForCancel {
		e.worker.Interrupt(w.Run)
	}
	if errors.Is(err, store.ErrDamaged) { // the others are not to wait for it
		e.log.ErrorContext(ctx, "an event is not handed on to a run that is damaged", "event", ev.ID, "run", w.Run, "step", w.Step, "err", err)
		return nil
	}
	return late(err)
}

// late is nil for errors that say that news came too late to change anything.
func late(err error) error {
	for _, known := range []error{durable.ErrStale, durable.ErrEnded, store.ErrNotFound, errNoMatch} {
		if errors.Is(err, known) {
			return nil
		}
	}
	return err
}

// expire works the end of a sleep or of a wait. An event that was accepted
// before a wait's time was over wins, even if it has yet to be handed on.
func (e *Engine) expire(ctx context.Context, l store.Lease, claim durable.Claim) {
	if l.Data != nil {
		var name string
		if err := unmarshal(l.Data, &name); err != nil {
			e.log.Error("a wait's timer cannot be read", "run", l.Run, "err", err)
		}
		events, err := e.store.Undelivered(ctx, name)
		for _, ev := range events {
			if err == nil && !ev.Received.After(l.Due) {
				err = e.wakeWaiting(ctx, ev)
			}
		}
		if err != nil {
			if ctx.Err() == nil {
				e.log.Warn("a wait cannot end yet", "run", l.Run, "err", err)
			}
			return // its lease runs out, and it is tried again
		}
	}
	e.settle(ctx, l, durable.Due{Claim: claim})
}

// report works an item of kind Report: it tells the step that waits for a run
// how the run has ended.
func (e *Engine) report(ctx context.Context, l store.Lease) {
	if l.Data != nil {
		e.reportNoRun(ctx, l)
		return
	}
	child, err := e.store.Run(ctx, l.Run)
	if err == nil {
		in := durable.Resolved{Failed: true}
		switch child.Status {
		case durable.Completed:
			in.Failed = false
			in.Memo = append(append(durable.JSON(`{"data":`), child.Output...), '}')
		case durable.Failed:
			in.Memo = append(append(durable.JSON(`{"error":`), child.Output...), '}')
		case durable.Skipped:
			in.Memo = durable.ErrorMemo(durable.Failure{
				Name: "Error", Message: "the invoked run " + child.ID + " of " + child.Function + " was skipped: " + child.Skip(),
			})
		default:
			in.Memo = durable.ErrorMemo(durable.Failure{
				Name: "Error", Message: "the invoked run " + child.ID + " of " + child.Function + " was cancelled",
			})
		}
		var damaged error
		for _, parent := range child.Waiting() {
			in.Step = parent.Step
			_, err = e.transition(ctx, parent.Run, in, nil)
			if errors.Is(err, store.ErrDamaged) { // the others are not to wait for it
				damaged, err = err, nil
			}
			if err = late(err); err != nil {
				break
			}
		}
		if err == nil {
			err = damaged
		}
	}
	e.reported(ctx, l, err)
}

// reportNoRun tells the step that invoked a function that no run was started.
func (e *Engine) reportNoRun(ctx context.Context, l store.Lease) {
	var parent durable.Ref
	err := unmarshal(l.Data, &parent)
	if err == nil {
		_, err = e.transition(ctx, parent.Run, durable.Resolved{Step: parent.Step, Failed: true, Memo: durable.ErrorMemo(durable.Failure{
			Name: "Error", Message: "invoked function is rate limited",
		})}, nil)
	}
	e.reported(ctx, l, err)
}

func (e *Engine) reported(ctx context.Context, l store.Lease, err error) {
	if errors.Is(err, store.ErrDamaged) {
		e.setAside(ctx, l, err)
		return
	}
	if err = late(err); err == nil {
		err = e.store.Settle(ctx, l, time.Now(), store.Settled{})
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLeaseLost) {
		e.log.Error("the end of an invoked run cannot be told; it is tried again when the lease has run out", "run", l.Run, "err", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

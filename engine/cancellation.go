package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match/expr"
	"github.com/pawlhq/pawl/internal/store"
)

// A cancellation of many runs is an item in the queue. Working it walks the
// runs of its function page by page, each page a turn of the item's own: a crash
// in between repeats a page, which changes nothing, since a run ends once.

const (
	sweepPage = 256 // runs looked at in one turn
	sweepWide = 64  // runs moved at a time

	// startSlack is how long a run may take from the making of its id until
	// everybody can see it, and by how much its id may be younger than it.
	startSlack = 10 * time.Second
)

// ExpressionError says what is wrong with an expression that a person gave.
type ExpressionError struct{ Message string }

func (e *ExpressionError) Error() string { return e.Message }

// CancelMany has all runs of a function cancelled that c is about, those that
// are there now and those that start until c.Before; it returns c with its id,
// before they are. With once, that happens once for a key, which then stands for the
// id. Errors: store.ErrNotFound when the function is not known, *ExpressionError, and
// those of the store and of once.
func (e *Engine) CancelMany(ctx context.Context, c durable.Cancellation, once *store.Once, by string) (durable.Cancellation, error) {
	if e.closing.Load() {
		return c, ErrClosing
	}
	f, ok := e.Function(c.Function)
	if !ok {
		return c, fmt.Errorf("function %q: %w", c.Function, store.ErrNotFound)
	}
	if c.If != "" {
		if _, err := e.programs.Compile(c.If, expr.EventOnly); err != nil {
			return c, &ExpressionError{err.Error()}
		}
		if err := expr.CheckCondition(c.If, expr.EventOnly); err != nil {
			return c, &ExpressionError{err.Error()}
		}
	}
	now := time.Now().Truncate(time.Microsecond) // as stores keep it
	c.ID, c.App, c.Created = NewID(), f.App, now
	c.After, c.Before = c.After.Truncate(time.Microsecond), c.Before.Truncate(time.Microsecond)
	item := durable.Item{Run: c.ID, Step: durable.SweepStep, Kind: durable.Sweep, Due: now, Data: sweep{Begun: now}.json()}
	act := newAct(now, by, durable.ActCancelMany, durable.CancellationObject(c.ID), facts{
		"function": c.Function, "started_after": c.After, "started_before": c.Before, "if": c.If,
	})
	if once != nil {
		once.Reply = durable.JSON(c.ID)
	}
	if err := e.store.AddCancellation(ctx, c, item, once, act); err != nil {
		return c, err
	}
	e.log.InfoContext(ctx, "cancelling runs", "cancellation", c.ID, "function", c.Function, "after", c.After, "before", c.Before)
	return c, nil
}

// RemoveCancellation ends a cancellation. Runs that it has cancelled stay so. It
// fails with store.ErrNotFound.
func (e *Engine) RemoveCancellation(ctx context.Context, id, by string) error {
	act := newAct(time.Now(), by, durable.ActEndCancellation, durable.CancellationObject(id), nil)
	return e.store.RemoveCancellation(ctx, id, act)
}

// Cancellations lists the cancellations of many runs, newest first.
func (e *Engine) Cancellations(ctx context.Context, p store.Page) ([]durable.Cancellation, error) {
	return e.store.Cancellations(ctx, p)
}

// Cancellation returns a cancellation of many runs, or store.ErrNotFound.
func (e *Engine) Cancellation(ctx context.Context, id string) (durable.Cancellation, error) {
	return e.store.Cancellation(ctx, id)
}

// sweep is how far a cancellation has come.
type sweep struct {
	Begun time.Time `json:"begun"` // this walk
	At    time.Time `json:"at"`    // the place of the last run that was looked at
	Run   string    `json:"run"`
}

func (s sweep) json() durable.JSON {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("times and ids are text: %v", err))
	}
	return b
}

// cancelMore works an item of kind Sweep.
func (e *Engine) cancelMore(ctx context.Context, l store.Lease) {
	err := e.cancelPage(ctx, l, time.Now())
	if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrLeaseLost) {
		return
	}
	e.log.Warn("runs cannot be cancelled; it is tried again", "cancellation", l.Run, "err", err)
	pause(ctx, settleAgain)
	if err := e.store.Release(ctx, []store.Lease{l}); err != nil {
		e.log.Error("an item cannot be given back; it is free when its lease has run out", "cancellation", l.Run, "err", err)
	}
}

func (e *Engine) cancelPage(ctx context.Context, l store.Lease, now time.Time) error {
	c, err := e.store.Cancellation(ctx, l.Run)
	if errors.Is(err, store.ErrNotFound) {
		return e.store.Settle(ctx, l, now, store.Settled{})
	}
	if err != nil {
		return err
	}
	var at sweep
	if err := unmarshal(l.Data, &at); err != nil {
		return err
	}
	f := store.RunFilter{
		Functions: []string{c.Function}, Statuses: []durable.Status{durable.Queued, durable.Running},
		// An id has milliseconds, and is made when its run is, or a little later.
		Until: c.Before.Add(2 * time.Millisecond),
	}
	if !c.After.IsZero() {
		f.From = c.After.Add(-startSlack)
	}
	runs, err := e.store.Runs(ctx, f, store.Page{Limit: sweepPage, Oldest: true, Cursor: at.Run, At: at.At})
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(sweepWide)
	for _, r := range runs {
		if started(r.ID).After(c.After) && !started(r.ID).After(c.Before) {
			g.Go(func() error { return e.cancelOne(ctx, c, r.ID, now) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	next := l.Item
	switch visible := c.Before.Add(startSlack); {
	case len(runs) == sweepPage:
		next.Due = now
		last := runs[len(runs)-1]
		next.Data = sweep{at.Begun, last.Queued, last.ID}.json()
	case at.Begun.Before(visible): // runs may still start in the window: it is walked once more
		next.Due = later(visible, now)
		next.Data = sweep{Begun: next.Due}.json()
	default:
		return e.store.Settle(ctx, l, now, store.Settled{})
	}
	return e.store.Settle(ctx, l, now, store.Settled{Next: &next})
}

// started is the time that a run's id tells.
func started(run string) time.Time {
	id, err := ulid.ParseStrict(run)
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(id.Time())
}

func (e *Engine) cancelOne(ctx context.Context, c durable.Cancellation, run string, now time.Time) error {
	var p *expr.Program
	if c.If != "" {
		var err error
		if p, err = e.programs.Compile(c.If, expr.EventOnly); err != nil {
			return err // it was compiled before
		}
	}
	_, err := e.transition(ctx, run, durable.Cancel{Reason: "bulk cancellation " + c.ID}, func(r *durable.Run, _ durable.Function, _ durable.Change) error {
		if p == nil {
			return nil
		}
		// A condition that cannot be evaluated does not hold.
		if ok, err := p.Bool(ctx, expr.Input{Event: expr.NewDoc(r.Events[0].Body), Now: now}); err != nil || !ok {
			return errNoMatch
		}
		return nil
	})
	if err == nil {
		e.worker.Interrupt(run)
	}
	if errors.Is(err, store.ErrDamaged) { // the others are not to wait for it
		e.log.ErrorContext(ctx, "a run that is damaged cannot be cancelled", "run", run, "cancellation", c.ID, "err", err)
		return nil
	}
	return late(err)
}

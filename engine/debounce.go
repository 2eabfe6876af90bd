package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
)

// The event of a function with the option "debounce" is parked with an item in
// the queue, one for each key, by the writer in the event's own transaction. When
// the item is due, the run starts in the transaction that ends it. An event that
// comes first takes the lease from whoever is about to do that.

// debounces begins the names of such items' runs; the function's slug follows.
const debounces = "debounce/"

// parks reports whether the starts of a function wait for other events.
func parks(f durable.Function) bool { return f.Limits.Debounce != nil }

// debounce says for what an event waits; nil: it does not. Events whose key
// cannot be evaluated wait together. Source: spec/11 §5.
func (e *Engine) debounce(ctx context.Context, f durable.Function, doc *match.Doc, now time.Time) *durable.StartDebounce {
	d := f.Limits.Debounce
	if d == nil || d.Period <= 0 {
		return nil
	}
	return &durable.StartDebounce{
		Item:   durable.Ref{Run: debounces + f.Slug, Step: e.timer(ctx, d.Key, doc, now)},
		Period: d.Period, Timeout: d.Timeout,
	}
}

// timer tells events of one value of a key from those of others.
func (e *Engine) timer(ctx context.Context, key string, doc *match.Doc, now time.Time) string {
	value, off, err := match.Key(ctx, key, doc, e.programs, now)
	switch {
	case err != nil:
		return "error"
	case off:
		return "false"
	default:
		return short(value)
	}
}

// fire works an item of kind Fire: it starts the run of the event that waits.
func (e *Engine) fire(ctx context.Context, l store.Lease) {
	err := e.startParked(ctx, l, time.Now())
	if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrLeaseLost) {
		return
	}
	e.log.Warn("a run cannot be started for an event that has waited for others; it is tried again", "waiting", l.Run, "err", err)
	pause(ctx, settleAgain)
	if err := e.store.Release(ctx, []store.Lease{l}); err != nil {
		e.log.Error("an item cannot be given back; it is free when its lease has run out", "waiting", l.Run, "err", err)
	}
}

func (e *Engine) startParked(ctx context.Context, l store.Lease, now time.Time) error {
	slug := strings.TrimPrefix(l.Run, debounces)
	parked, err := e.store.Parked(ctx, durable.Ref{Run: l.Run, Step: l.Step})
	if err != nil {
		return err
	}
	var after store.Settled
	for _, p := range parked {
		ev, err := e.store.Event(ctx, p.Event)
		if err != nil {
			return err
		}
		ev.Target = p.Target
		f, ok := e.apps.Load().table.Served(slug)
		if !ok {
			e.log.WarnContext(ctx, "an event has waited for others, and the function is not served any more", "function", slug, "event", ev.ID)
			continue
		}
		after.Event = ev
		after.Starts = append(after.Starts, e.start(ctx, p.Run, f, ev, match.NewDoc(ev.Body), now, now))
	}
	release, err := e.makeRoom(ctx, after.Event, after.Starts)
	if err != nil {
		return err
	}
	defer release()
	return e.store.Settle(ctx, l, now, after)
}

package engine

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
)

// The event of a function with the option "debounce" or "batchEvents" is parked
// with an item in the queue, one for each key, by the writer in the event's own
// transaction. When the item is due, the run starts in the transaction that ends
// it. An event that comes first takes the lease from whoever is about to do that.

// These begin the names of such items' runs; the function's slug follows.
const (
	debounces = "debounce/"
	batches   = "batch/"
)

// parks reports whether the starts of a function wait for other events.
func parks(f durable.Function) bool { return f.Limits.Debounce != nil || f.Limits.Batch != nil }

// usualBatch is how long a batch waits when its function does not say.
const usualBatch = time.Minute

// batch says with what an event waits for the others of its batch; nil: it does
// not, and has a run to itself. Source: spec/11 §7.
func (e *Engine) batch(ctx context.Context, f durable.Function, ev durable.Event, doc *match.Doc, now time.Time) *durable.StartPark {
	b := f.Limits.Batch
	if b == nil || b.Size < 2 || ev.Target != nil && ev.Target.Cron != "" || !match.Is(ctx, b.If, doc, e.programs, now) {
		return nil
	}
	of := *b
	of.Timeout = cmp.Or(b.Timeout, usualBatch)
	return &durable.StartPark{Item: durable.Ref{Run: batches + f.Slug, Step: e.timer(ctx, b.Key, doc, now)}, Batch: &of}
}

// debounce says for what an event waits; nil: it does not. Events whose key
// cannot be evaluated wait together. Source: spec/11 §5.
func (e *Engine) debounce(ctx context.Context, f durable.Function, doc *match.Doc, now time.Time) *durable.StartPark {
	d := f.Limits.Debounce
	if d == nil || d.Period <= 0 {
		return nil
	}
	return &durable.StartPark{Item: durable.Ref{Run: debounces + f.Slug, Step: e.timer(ctx, d.Key, doc, now)}, Debounce: d}
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

// Parked is a function for which an event waits for others.
type Parked struct {
	Function string
	Batch    bool      // it waits for its batch to be full; else for none to come that takes its place
	Until    time.Time // when its run starts, if nothing changes that
}

// ParkedFor returns the functions for which an event waits for others, by their slugs.
func (e *Engine) ParkedFor(ctx context.Context, event string) ([]Parked, error) {
	items, err := e.store.ParkedFor(ctx, event)
	list := make([]Parked, len(items))
	for i, p := range items {
		slug, batch := strings.CutPrefix(p.Item.Run, batches)
		list[i] = Parked{strings.TrimPrefix(slug, debounces), batch, p.Due}
	}
	slices.SortFunc(list, func(a, b Parked) int { return strings.Compare(a.Function, b.Function) })
	return list, err
}

// fire works an item of kind Fire: it starts the run of what waits.
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
	slug, batch := strings.CutPrefix(l.Run, batches)
	slug = strings.TrimPrefix(slug, debounces)
	parked, err := e.store.Parked(ctx, durable.Ref{Run: l.Run, Step: l.Step})
	if err != nil {
		return err
	}
	var after store.Settled
	for _, p := range parked {
		ev, err := e.store.Event(ctx, p.Event)
		if errors.Is(err, store.ErrNotFound) {
			e.log.ErrorContext(ctx, "an event that waited for others is not there; pawl doctor says what else is wrong", "function", slug, "event", p.Event)
			continue
		}
		if err != nil {
			return err
		}
		ev.Target = p.Target
		f, ok := e.apps.Load().table.Served(slug)
		if !ok {
			e.log.WarnContext(ctx, "an event has waited for others, and the function is not served any more", "function", slug, "event", ev.ID)
			continue
		}
		if len(after.Starts) > 0 {
			after.Starts[0].Run.Join(ev)
			continue
		}
		after.Event = ev
		doc := match.NewDoc(ev.Body)
		s := e.start(ctx, p.Run, f, ev, doc, now, now)
		if batch {
			after.Event.Key = "" // it was taken when the event was put in
		} else {
			s.Key = e.parkedKey(ctx, f, ev, doc, now)
		}
		after.Starts = []durable.Start{s}
	}
	release, err := e.makeRoom(ctx, after.Event, after.Starts)
	if err != nil {
		return err
	}
	defer release()
	return e.settleStarts(ctx, l, now, after)
}

// parkedKey is the key that is derived for the start of an event that has waited; ""
// if it has one, or needs none.
func (e *Engine) parkedKey(ctx context.Context, f durable.Function, ev durable.Event, doc *match.Doc, now time.Time) string {
	if f.Limits.NoKey != durable.KeyDerived {
		return ""
	}
	unique, err := match.Unique(ctx, f, doc, e.programs, now)
	if err != nil || f.Limits.NoKey.About(ev.HasKey(), unique) != durable.KeyDerived {
		return ""
	}
	return derivedKey(ev.Name, dataOf(ev.Body))
}

// Batched reports whether a run is that of a batch, which may have closed with one
// event: by what its function said in the version that the run began with.
func (e *Engine) Batched(ctx context.Context, r *durable.Run) bool {
	switch {
	case len(r.Events) > 1:
		return true
	case len(r.Events) == 0 || r.Cron != "" || r.Original != "" || r.Status == durable.Skipped:
		return false
	}
	f, ok := e.Function(r.Function)
	if ok && f.Version != r.Version {
		f, ok = e.versionOf(ctx, r)
	}
	if !ok || f.Limits.Batch == nil {
		return false
	}
	ev := r.Events[0]
	if ev.Body == nil && f.Limits.Batch.If != "" { // lists leave it out
		var err error
		if ev, err = e.store.Event(ctx, ev.ID); err != nil {
			return false
		}
	}
	return e.batch(ctx, f, ev, match.NewDoc(ev.Body), r.Queued) != nil
}

// versionOf is a run's function as it was when the run began.
func (e *Engine) versionOf(ctx context.Context, r *durable.Run) (durable.Function, bool) {
	list, err := e.store.Versions(ctx, r.Function, math.MaxInt32)
	if err != nil {
		return durable.Function{}, false
	}
	for _, v := range list {
		if v.Version == r.Version {
			hold(&v.Function)
			return v.Function, true
		}
	}
	return durable.Function{}, false
}

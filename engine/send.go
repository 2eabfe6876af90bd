package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Send takes events in. When it returns nil they are on disk together with the
// runs that they start. An event whose ID was sent before is a repetition and
// changes nothing. Errors are ErrClosing and those of the store, such as
// *store.BacklogError when too much waits.
func (e *Engine) Send(ctx context.Context, events []wire.Event) error {
	return e.SendOnce(ctx, events, nil, "")
}

// SendOnce is Send for a key, unless once is nil: the errors are then also
// *store.RepeatedError and *store.KeyConflictError. by is the person who sends, of whom
// the audit log tells; "" is a program.
func (e *Engine) SendOnce(ctx context.Context, events []wire.Event, once *store.Once, by string) error {
	if e.closing.Load() {
		return ErrClosing
	}
	if len(events) == 0 {
		return nil
	}
	now := time.Now()
	table, from := e.apps.Load().table, traceText(ctx)
	batch := make([]store.Accepted, 0, len(events))
	for _, ev := range events {
		a := e.accept(ctx, table, durable.Event{
			ID: ev.ID, Key: ev.Key, Name: ev.Name, Body: ev.Body,
			At: time.UnixMilli(ev.Timestamp).UTC(), Received: now, Trace: from,
			Keyed: once != nil && durable.GivenKey(once.Key),
		}, now)
		a.Act = actOf(now, by, durable.ActSend, durable.EventObject(ev.Name), facts{"id": ev.ID})
		batch = append(batch, a)
	}
	var started []string
	var err error
	if once == nil {
		started, err = e.store.Accept(ctx, now, batch)
	} else {
		started, err = e.store.AcceptOnce(ctx, now, batch, *once)
	}
	if err != nil {
		e.overloaded(ctx, err)
		return err
	}
	e.received(len(batch), now)
	e.startedBy(batch, started)
	if !e.log.Enabled(ctx, slog.LevelDebug) {
		return nil // thousands a second
	}
	for _, a := range batch {
		e.log.DebugContext(ctx, "event received", "event", a.Event.Name, "id", a.Event.ID,
			"matches", len(a.Starts), "starts", countStarted(a, started), "later", a.Rest != nil)
	}
	return nil
}

// received counts events that were taken in, for pages and for metrics.
func (e *Engine) received(n int, now time.Time) {
	e.recent.received(n, now)
	e.metrics.received(n)
}

// changed counts likewise what a change of a run means. began is whether the run was
// queued before.
func (e *Engine) changed(function string, queued time.Time, began bool, c durable.Change, now time.Time) {
	e.recent.changed(function, queued, began, c, now)
	e.metrics.changed(function, queued, began, c)
}

// settleStarts settles an item whose end may start runs. Which of them did only
// the store knows.
func (e *Engine) settleStarts(ctx context.Context, l store.Lease, now time.Time, s store.Settled) error {
	if err := e.store.Settle(ctx, l, now, s); err != nil {
		return err
	}
	if len(s.Starts)+len(s.Accepted) > 0 {
		e.followers.stale(TopicRuns | TopicCounts)
	}
	return nil
}

// startedBy tells those who look on which runs an event has started.
func (e *Engine) startedBy(batch []store.Accepted, started []string) {
	if !e.followers.news() {
		return
	}
	stale := TopicEvents | TopicCounts
	for _, a := range batch {
		if a.Rest != nil {
			stale |= TopicRuns
		}
		for _, s := range a.Starts {
			switch {
			case s.Park != nil: // it has no run yet
			case slices.Contains(started, s.Run.ID):
				e.followers.run(newsOfStart(s), 0)
			case s.Single != "": // it may have been written as one that is skipped
				stale |= TopicRuns
			}
		}
	}
	e.followers.stale(stale)
}

// countStarted is how many of the runs that an event asked for did start. What
// was started before for the event's key is not among them.
func countStarted(a store.Accepted, started []string) (n int) {
	for _, s := range a.Starts {
		if slices.Contains(started, s.Run.ID) {
			n++
		}
	}
	return n
}

// matcher finds the functions that an event starts.
type matcher interface {
	Starts(ctx context.Context, e durable.Event, now time.Time) []durable.Function
	Served(name string) (durable.Function, bool)
}

// maxStarts is how many runs an event starts in the transaction that writes
// it; the others follow from the queue.
const maxStarts = 64

// rest is what an event still has to start: slugs of functions. Target is the
// event's, which is not stored with it.
type rest struct {
	Starts []string        `json:"starts"`
	Target *durable.Target `json:"target,omitzero"`
}

// accept is an event with a run for each function that it starts. A run is
// due when the event says it happens, if that is still to come.
func (e *Engine) accept(ctx context.Context, m matcher, ev durable.Event, now time.Time) store.Accepted {
	a := store.Accepted{Event: ev}
	var fns []durable.Function
	if ev.Target != nil {
		if f, ok := m.Served(ev.Target.Function); ok {
			fns = append(fns, f)
		}
	} else {
		fns = m.Starts(ctx, ev, now)
	}
	var later rest
	here := fns[:0:0]
	for _, f := range fns {
		if len(here) < maxStarts && (parks(f) || !replaces(f)) {
			here = append(here, f)
		} else {
			later.Starts = append(later.Starts, f.Slug)
		}
	}
	if later.Starts != nil {
		later.Target = ev.Target
		a.Rest = later.json()
	}
	a.Starts = e.starts(ctx, here, ev, now)
	return a
}

func (r rest) json() durable.JSON {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("slugs are text: %v", err))
	}
	return b
}

// uniqueFor is how long a value of a function's option "idempotency" keeps it
// from being started again. Source: spec/11 §8.
const uniqueFor = 24 * time.Hour

// starts are new runs for an event.
func (e *Engine) starts(ctx context.Context, fns []durable.Function, ev durable.Event, now time.Time) []durable.Start {
	if len(fns) == 0 {
		return nil
	}
	due := now
	if ev.At.After(now) && ev.Target == nil {
		due = ev.At
	}
	doc, registered := match.NewDoc(ev.Body), e.apps.Load()
	list := make([]durable.Start, 0, len(fns))
	for _, f := range fns {
		s := e.start(ctx, NewID(), f, ev, doc, due, now)
		if registered.refuses(f, s.Run.Keys) {
			s.Skip, s.Waits = &durable.Skip{Reason: durable.SkipPaused}, nil
			list = append(list, s)
			continue
		}
		s.Park = e.batch(ctx, f, ev, doc, now)
		if s.Park == nil {
			unique, err := match.Unique(ctx, f, doc, e.programs, now)
			if err != nil {
				e.log.WarnContext(ctx, "a function is not started: its idempotency key cannot be evaluated",
					"function", f.Slug, "event", ev.ID, "err", err)
				continue
			}
			s.Unique, s.UniqueFor = unique, uniqueFor
		}
		switch f.Limits.NoKey.About(ev.HasKey(), s.Unique) {
		case durable.KeyRequired:
			s.Skip, s.Park, s.Waits, s.Unique = &durable.Skip{Reason: durable.SkipNoKey}, nil, nil, ""
			list = append(list, s)
			continue
		case durable.KeyDerived:
			s.Key, s.Unique = derivedKey(ev.Name, dataOf(ev.Body)), ""
		case durable.KeyNone:
		}
		if s.Park != nil {
			list = append(list, s) // what else keeps it from starting is not asked for batches
			continue
		}
		var err error
		if s.Limit, err = e.rateLimit(ctx, f, doc, now); err != nil {
			e.log.WarnContext(ctx, "a function is not started: the key of its rate limit cannot be evaluated",
				"function", f.Slug, "event", ev.ID, "err", err)
			continue
		}
		s.Park = e.debounce(ctx, f, doc, now)
		list = append(list, s)
	}
	return list
}

// derivedKey is durable.DerivedKey of data, however it is written.
func derivedKey(name string, data jsontext.Value) string {
	if same, err := wire.Canonical(data); err == nil {
		data = same
	}
	return durable.DerivedKey(name, data)
}

// start is a new run for an event that has passed what may keep it from starting.
func (e *Engine) start(ctx context.Context, id string, f durable.Function, ev durable.Event, doc *match.Doc, due, now time.Time) durable.Start {
	s := durable.Start{Run: durable.NewRun(id, f, ev, due, now)}
	s.Run.Keys = e.keysOf(ctx, f, doc, now)
	s.Run.Enqueue(due, now, match.Priority(ctx, f.Limits.Priority, doc, e.programs, now))
	s.Single, s.Replaces = e.single(ctx, f, doc, now), replaces(f)
	s.Waits = e.cancellations(f, s.Run, now)
	return s
}

// cancellations are the waits for the events that would cancel a run.
func (e *Engine) cancellations(f durable.Function, r *durable.Run, now time.Time) []durable.Wait {
	if len(f.Cancel) == 0 {
		return nil
	}
	doc := match.NewDoc(r.Events[0].Body)
	var waits []durable.Wait
	for i, c := range f.Cancel {
		w := durable.Wait{
			Run: r.ID, Step: durable.CancelStep(i), Kind: durable.ForCancel, Name: c.Event, If: c.If, Until: c.Date,
		}
		if c.After > 0 {
			w.Until = now.Add(c.After)
		}
		if possible, err := match.Find(&w, doc, e.programs); err != nil || !possible {
			continue // a bad one was refused when the app was synced
		}
		waits = append(waits, w)
	}
	return waits
}

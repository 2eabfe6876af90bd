package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
)

// A run of a singleton has a name, which no other run has until it ends: the
// store skips whoever comes meanwhile. In the mode "cancel" the run that has the
// name is cancelled first. That takes a transition of its own, so that such
// starts are left to an item of kind Deliver, and happen one after the other for
// each name.

// single is the name of a run of f; "" when it is none's. A key that is false or
// fails is no singleton's. Source: spec/11 §9.
func (e *Engine) single(ctx context.Context, f durable.Function, doc *match.Doc, now time.Time) string {
	s := f.Limits.Singleton
	if s == nil {
		return ""
	}
	value, off, err := match.Key(ctx, s.Key, doc, e.programs, now)
	if err != nil || off {
		return ""
	}
	return "single/" + f.Slug + "/" + short(value)
}

// replaces reports whether a run of f may be started only after another was
// cancelled.
func replaces(f durable.Function) bool { return f.Limits.Singleton != nil && f.Limits.Singleton.Cancel }

// replacing reports whether a start has another run cancelled.
func replacing(st durable.Start) bool {
	return st.Replaces && st.Single != "" && st.Park == nil && st.Skip == nil
}

// makeRoom cancels the runs that those to be started for an event replace. Until
// release is called nobody else can replace them.
func (e *Engine) makeRoom(ctx context.Context, ev durable.Event, starts []durable.Start) (release func(), err error) {
	var names []string
	for _, st := range starts {
		if replacing(st) {
			names = append(names, st.Single)
		}
	}
	slices.Sort(names) // nobody who waits for one holds a later one
	names = slices.Compact(names)
	var unlock []func()
	release = func() {
		for _, u := range unlock {
			u()
		}
	}
	for _, name := range names {
		unlock = append(unlock, e.singles.lock(name))
		if err := e.cancelHolder(ctx, name, ev); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// mostHolders bounds how many runs are cancelled for one: while a function's mode
// changes, others may come in between.
const mostHolders = 8

// cancelHolder cancels the run that has a name, unless that is a run for a later
// event: the last one survives, in whatever order they are handed on.
func (e *Engine) cancelHolder(ctx context.Context, name string, ev durable.Event) error {
	for range mostHolders {
		holder, later, err := e.store.Holder(ctx, name, ev.ID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil || later {
			return err
		}
		reason := "singleton: replaced by a run for event " + ev.Name + " (" + ev.ID + ")"
		_, err = e.transition(ctx, holder, durable.Cancel{Reason: reason}, nil)
		if errors.Is(err, store.ErrDamaged) { // it keeps the name, and the new run is skipped
			e.log.ErrorContext(ctx, "a run that is damaged cannot be replaced by another", "run", holder, "event", ev.ID, "err", err)
			return nil
		}
		if err := late(err); err != nil {
			return err
		}
		e.worker.Interrupt(holder)
	}
	return nil
}

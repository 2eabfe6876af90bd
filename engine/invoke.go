package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Invoke starts a run of one function, which need not have a trigger. It
// returns the event that stands for it, and the run. It fails with
// store.ErrNotFound when no function of that slug or ID is served.
func (e *Engine) Invoke(ctx context.Context, in durable.Invoke) (event, run string, err error) {
	if e.closing.Load() {
		return "", "", ErrClosing
	}
	table := e.apps.Load().table
	f, ok := table.Served(in.Function)
	if !ok {
		return "", "", fmt.Errorf("function %q: %w", in.Function, store.ErrNotFound)
	}
	now := time.Now()
	target := durable.Target{Function: f.Slug}
	ev := durable.Event{ID: NewID(), Name: durable.EventInvoked, At: now, Received: now, Target: &target}
	ev.Body = durable.InvokedBody(ev.ID, target, in, f.Name, time.Time{}, now)
	a := e.accept(ctx, table, ev, now)
	if _, err := e.store.Accept(ctx, now, []store.Accepted{a}); err != nil {
		return "", "", err
	}
	return ev.ID, a.Starts[0].Run.ID, nil
}

package engine

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// mostChildren bounds the invoked runs that are looked up to explain one run.
const mostChildren = 16

// Why says why a run is not running now, and its status. Errors:
// store.ErrNotFound and those of the store.
func (e *Engine) Why(ctx context.Context, run string) (why durable.Why, status durable.Status, err error) {
	if _, err := e.store.Run(ctx, run); err != nil {
		return why, 0, err
	}
	var a durable.Around
	if a.Journal, err = e.store.Journal(ctx, run, 0); err != nil {
		return why, 0, err
	}
	if a.Waits, err = e.store.WaitsOf(ctx, run); err != nil {
		return why, 0, err
	}
	if a.Children, err = e.invoked(ctx, run, a.Journal); err != nil {
		return why, 0, err
	}
	registered := e.apps.Load()
	err = e.store.View(ctx, run, func(r *durable.Run) error {
		if f, ok := registered.table.Function(r.Function); ok {
			a.Function = &f
		}
		a.App = registered.apps[r.App]
		a.App.URL = wire.PublicURL(a.App.URL)
		a.Called = e.worker.Since(run)
		why, status = r.Explain(a, time.Now()), r.Status
		return nil
	})
	return why, status, err
}

// invoked are the runs that the resting steps of a run wait for, by step.
func (e *Engine) invoked(ctx context.Context, run string, journal []durable.Entry) (map[string]*durable.Run, error) {
	resting := map[string]time.Time{}
	for _, en := range journal {
		switch en.Kind {
		case durable.StepAsleep:
			if en.Op == wire.OpInvokeFunction && len(resting) < mostChildren {
				resting[en.Step] = en.At
			}
		case durable.StepDone, durable.StepFailed:
			delete(resting, en.Step)
		default:
		}
	}
	children := map[string]*durable.Run{}
	for step, at := range resting {
		runs, err := e.store.Runs(ctx, store.RunFilter{Event: durable.Invoked(run, step, at)}, store.Page{Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(runs) > 0 {
			children[step] = runs[0]
		}
	}
	return children, nil
}

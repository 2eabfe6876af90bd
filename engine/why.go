package engine

import (
	"context"
	"fmt"
	"strings"
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
		a.Called, a.Held = e.worker.Since(run), map[string]durable.Why{}
		for step := range r.Items {
			if gate := e.store.Holding(ctx, run, step); gate != "" {
				a.Held[step] = e.explainGate(registered, gate)
			}
		}
		why, status = r.Explain(a, time.Now()), r.Status
		return nil
	})
	return why, status, err
}

// explainGate says what a gate that keeps a run waiting stands for.
func (e *Engine) explainGate(r *registry, gate string) (w durable.Why) {
	kind, rest, _ := strings.Cut(gate, "/")
	slug, _, _ := strings.Cut(rest, "/")
	f, _ := r.table.Function(slug)
	switch kind {
	case "pause":
		c := r.controls[rest]
		name := c.Of()
		resume := "pawl resume " + name
		if c.Key != "" {
			value := e.ShownValue(c.Key, c.Value)
			resume += fmt.Sprintf(" --key '%s' --value '%s'", c.Key, value)
			name += fmt.Sprintf(" for %s = %s", c.Key, value)
		}
		w.Text = fmt.Sprintf("%s is paused since %s by %s", name, w.Moment(c.Since), c.By)
		if c.Why != "" {
			w.Text += " (" + c.Why + ")"
		}
		w.Text += "; " + resume + " lets it go on"
	case "circuit":
		w.Text = "its app " + slug + " was away just now"
		for _, c := range e.Circuits() {
			if c.App == slug {
				w.Text = fmt.Sprintf("its app %s answers nothing but errors since %s (%s), and is asked again every %s until it is back",
					c.App, w.Moment(c.Since), c.Last, c.Probe)
			}
		}
	case "run":
		w.Text = fmt.Sprintf("%s runs as often at once as its limit of %d allows", slug, f.Limits.Runs.Limit)
	case "throttle":
		w.Text = fmt.Sprintf("the throttle of %s lets %d begin in %s", slug, f.Limits.Throttle.Limit, f.Limits.Throttle.Period)
	case "step":
		w.Text = "as many requests of " + slug + " are open as its concurrency allows"
	case "env":
		w.Text = "as many requests are open as the concurrency that functions share allows"
	default: // "app"
		w.Text = fmt.Sprintf("%d requests to its app are open, the most there may be", e.maxAppCalls)
	}
	return w
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

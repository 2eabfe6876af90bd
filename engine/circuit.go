package engine

import (
	"context"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/wire"
)

// A circuit opens when an app answers nothing but that it is broken: it cannot
// be reached, or something in front of it says 5xx in its place. Then one
// request at a time is let through, ever less often, to see whether the app is
// back; the others wait in their lanes and use up no tries. An answer of the app
// itself closes it, whatever it says.

const (
	openAfter  = 5 // failures in a row
	leastProbe = time.Second
	mostProbe  = 30 * time.Second
)

// circuits are those of all apps.
type circuits struct {
	mu    sync.Mutex
	byApp map[string]*circuit
}

type circuit struct {
	failed int
	since  time.Time // of the first failure in the row
	last   string    // why
	probe  time.Duration
	widen  time.Time // failures before that were on their way already, and say nothing new
}

// note counts an answer of an app, and reports whether the circuit has changed.
func (cs *circuits) note(app string, a wire.Answer, now time.Time) (changed bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byApp[app]
	if !broken(a) {
		if c == nil {
			return false
		}
		delete(cs.byApp, app)
		return c.failed >= openAfter
	}
	if c == nil {
		c = &circuit{since: now, probe: leastProbe / 2}
		if cs.byApp == nil {
			cs.byApp = map[string]*circuit{}
		}
		cs.byApp[app] = c
	}
	c.failed++
	c.last = a.Err.Message
	if c.failed < openAfter || now.Before(c.widen) {
		return false
	}
	was := c.probe
	c.probe = min(2*c.probe, mostProbe)
	c.widen = now.Add(c.probe)
	return c.probe != was
}

// broken reports whether an answer says nothing of the function, but that the
// app is not there.
func broken(a wire.Answer) bool {
	return a.Kind == wire.Failed && a.SDK == "" && (a.Away || a.Code == wire.CodeUnreachable || a.Status >= 500)
}

// open returns what an open circuit lets through, nil when it is closed.
func (cs *circuits) open(app string) []flow.GateSpec {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byApp[app]
	if c == nil || c.failed < openAfter {
		return nil
	}
	return []flow.GateSpec{
		{Name: circuitGate + app, Slots: 1, Rate: flow.Rate{Every: c.probe}},
	}
}

// circuitGate is what the lanes of an app stand behind whose circuit is open.
const circuitGate = "circuit/"

// Circuit is an app that is probed, since it answers nothing but errors.
type Circuit struct {
	App   string
	Since time.Time // of the first failure
	Last  string    // the newest
	Probe time.Duration
}

// Circuits returns the apps whose circuit is open.
func (e *Engine) Circuits() []Circuit {
	e.circuits.mu.Lock()
	defer e.circuits.mu.Unlock()
	var list []Circuit
	for app, c := range e.circuits.byApp {
		if c.failed >= openAfter {
			list = append(list, Circuit{app, c.since, c.last, c.probe})
		}
	}
	return list
}

// seen notes what an app has answered.
func (e *Engine) seen(ctx context.Context, app string, a wire.Answer) {
	if !e.circuits.note(app, a, time.Now()) {
		return
	}
	e.store.Limit(e.gates)
	open := e.circuits.open(app)
	switch {
	case open == nil:
		e.log.Info("app is back", "app", app)
	case open[0].Rate.Every == leastProbe:
		e.log.Warn("app answers nothing but errors; it is probed, and its runs wait", "app", app, "err", a.Err.Message)
		e.raise(ctx, durable.CircuitAlert(app, cut(a.Err.Message, mostText), time.Now()))
	}
	e.followers.stale(TopicApps)
}

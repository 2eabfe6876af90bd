package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// ErrNotStarted means that a function's settings kept a run from being started.
var ErrNotStarted = errors.New("no run was started")

// NotStartedError says which setting kept a run from being started. It wraps
// ErrNotStarted.
type NotStartedError struct {
	Limited bool // the function's rate limit
	Message string
}

func (e *NotStartedError) Error() string { return e.Message + ": " + ErrNotStarted.Error() }

// Unwrap returns ErrNotStarted.
func (e *NotStartedError) Unwrap() error { return ErrNotStarted }

// Invoke starts a run of one function, which need not have a trigger. by is the person who
// asks, of whom the audit log tells; "" is a program. It
// returns the event that stands for it, and the run. It fails with
// store.ErrNotFound when no function of that slug or ID is served, and with
// ErrNotStarted, as a *NotStartedError where the store has decided, when the function's
// own settings keep the run from starting, and with *durable.KeyRequiredError. The run of a function that is debounced may
// be another one, and starts later.
// With once, that happens once for a key, which then stands for what reply
// makes of the event and the run; the errors are those of AcceptOnce. A once whose Key
// is "" has the scope in which the function's rule derives one, if it does.
func (e *Engine) Invoke(ctx context.Context, in durable.Invoke, once *store.Once, by string, reply func(event, run string) []byte) (event, run string, err error) {
	if e.closing.Load() {
		return "", "", ErrClosing
	}
	table := e.apps.Load().table
	f, ok := table.Served(in.Function)
	if !ok {
		return "", "", fmt.Errorf("function %q: %w", in.Function, store.ErrNotFound)
	}
	if f.Endpoint {
		return "", "", fmt.Errorf("function %s is an endpoint, which a request to %s starts: %w", f.Slug, wire.PublicURL(f.URL), ErrNotStarted)
	}
	now := time.Now()
	target := durable.Target{Function: f.Slug}
	ev := durable.Event{ID: NewID(), Name: durable.EventInvoked, At: now, Received: now, Target: &target, Trace: traceText(ctx)}
	ev.Body = durable.InvokedBody(ev.ID, target, in, f.Name, time.Time{}, now)
	run, err = e.startOne(ctx, f, ev, now, once, in.Payload, by, func(run string) []byte { return reply(ev.ID, run) })
	return ev.ID, run, err
}

// startOne writes an event that is for one function, with its run. asked is what is
// asked of it, from which a key may be derived. Errors are those of Invoke.
func (e *Engine) startOne(
	ctx context.Context, f durable.Function, ev durable.Event, now time.Time, once *store.Once, asked durable.JSON, by string, reply func(run string) []byte,
) (run string, err error) {
	a := store.Accepted{Event: ev, Starts: e.starts(ctx, []durable.Function{f}, ev, now)}
	if len(a.Starts) == 0 {
		return "", fmt.Errorf("function %s: the key of its idempotency or rate limit cannot be evaluated for this payload: %w", f.Slug, ErrNotStarted)
	}
	if once, err = onceFor(f, &a.Starts[0], ev.Name, asked, once); err != nil {
		return "", err
	}
	defer func() { e.overloaded(ctx, err) }()
	if a.Owed = replacing(a.Starts[0]); a.Owed { // whoever is in its way is cancelled before
		if err := e.most.Refuse(e.store.Backlog(), store.Backlog{Runs: 1, Bytes: int64(len(ev.Body))}); err != nil {
			return "", err
		}
	}
	release, err := e.makeRoom(ctx, ev, a.Starts)
	if err != nil {
		return "", err
	}
	defer release()
	run = a.Starts[0].Run.ID
	a.Act = actOf(now, by, durable.ActInvoke, f.Slug, facts{"run": run, "event": ev.ID})
	unique, limited := a.Starts[0].Unique, a.Starts[0].Limit != nil // then it is the store's
	var started []string
	if once == nil {
		started, err = e.store.Accept(ctx, now, []store.Accepted{a})
	} else {
		once.Reply, once.Starting = reply(run), true
		started, err = e.store.AcceptOnce(ctx, now, []store.Accepted{a}, *once)
	}
	switch {
	case err != nil:
		return "", err
	case len(started) == 0:
		return "", e.notStarted(ctx, f, run, unique, limited, now)
	}
	e.received(1, now)
	e.startedBy([]store.Accepted{a}, started)
	return started[0], nil // a batch may have its run already
}

// onceFor is the key for which a run of f is started that somebody asks for and waits
// for an answer: nil for none. once is the one that they gave, and asked what they ask.
func onceFor(f durable.Function, st *durable.Start, name string, asked durable.JSON, once *store.Once) (*store.Once, error) {
	given := once != nil && durable.GivenKey(once.Key)
	switch f.Limits.NoKey.About(given, st.Unique) {
	case durable.KeyRequired:
		return nil, &durable.KeyRequiredError{Function: f.Slug}
	case durable.KeyDerived:
		scope := "runs/" + f.Slug
		if once != nil {
			scope = once.Scope
		}
		st.Unique = ""
		key := derivedKey(name, asked)
		return &store.Once{Scope: scope, Key: key, Fingerprint: key, Life: durable.DerivedLife}, nil
	case durable.KeyNone:
	}
	if once == nil || once.Key == "" {
		return nil, nil //nolint:nilnil // no key is no error
	}
	return once, nil
}

// notStarted says why the store has not started a run of f at now, by what it kept
// instead: a run that is skipped, or the key that was there before. A rate leaves
// nothing, and is what is left.
func (e *Engine) notStarted(ctx context.Context, f durable.Function, run, unique string, limited bool, now time.Time) error {
	if r, err := e.store.Run(ctx, run); err == nil && r.Skip() != "" {
		return &NotStartedError{Message: r.Skip()}
	}
	if unique != "" {
		if was, err := e.store.Key(ctx, store.UniqueScope(f.Slug), unique, now); err == nil {
			return &NotStartedError{Message: fmt.Sprintf("function %s was started for the same idempotency key before, as run %s", f.Slug, was.Reply)}
		}
	}
	if limit := f.Limits.RateLimit; limited && limit != nil {
		return &NotStartedError{Limited: true, Message: fmt.Sprintf("function %s was started as often as its rate limit allows, %d times in %s", f.Slug, limit.Limit, limit.Period)}
	}
	return &NotStartedError{Message: "a setting of function " + f.Slug + " keeps it from being started"}
}

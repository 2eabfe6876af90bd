package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Letters is for reading dead letters.
func (e *Engine) Letters() store.Letters { return e.store }

// Rerun says how a run is to be started anew.
type Rerun struct {
	From durable.From
	// Data, an object, takes the place of the data of the run's event; nil: it is
	// as it was.
	Data jsontext.Value
	// Letter means that the run's dead letter is retried: it must have one, and
	// not have been retried before.
	Letter bool
	// Once makes it happen once for a key, which then stands for what Reply makes
	// of the new run.
	Once  *store.Once
	Reply func(run string) []byte
	By    string // who asks for it
}

// RerunError says why a run cannot be started anew in the way that was asked
// for.
type RerunError struct{ Message string }

func (e *RerunError) Error() string { return e.Message }

// Rerun starts a run anew and returns the new run. It is not deduplicated, and
// the settings of its function as it is now hold. Errors: store.ErrNotFound, store.ErrDamaged,
// *RerunError, *store.LetterClosedError, *store.SingleError, and those of a store that cannot write
// and of Once.
func (e *Engine) Rerun(ctx context.Context, run string, how Rerun) (string, error) {
	if e.closing.Load() {
		return "", ErrClosing
	}
	now := time.Now()
	r, err := e.rerun(ctx, run, how, now)
	if err != nil {
		return "", err
	}
	if how.Once != nil {
		how.Once.Reply = how.Reply(r.Start.Run.ID)
		r.Once = how.Once
	}
	what := durable.ActRerun
	if how.Letter {
		what = durable.ActRetry
	}
	act := newAct(now, how.By, what, durable.RunObject(run), facts{
		"as": r.Start.Run.ID, "function": r.Start.Run.Function, "from": how.From.Step, "input": how.From.Input, "output": how.From.Output, "edited": r.Edited.ID,
	})
	r.Act = &act
	if err := e.store.Rerun(ctx, now, r); err != nil {
		return "", err
	}
	e.followers.run(newsOfStart(r.Start), TopicLetters)
	e.log.InfoContext(ctx, "run started anew", "run", r.Start.Run.ID, "function", r.Start.Run.Function, "of", run)
	return r.Start.Run.ID, nil
}

// rerun is what the store is asked for.
func (e *Engine) rerun(ctx context.Context, run string, how Rerun, now time.Time) (store.Rerun, error) {
	of, err := e.store.Run(ctx, run)
	if err != nil {
		return store.Rerun{}, err
	}
	f, ok := e.apps.Load().table.Served(of.Function)
	if !ok {
		return store.Rerun{}, &RerunError{fmt.Sprintf("function %s is not served any more: no app has it", of.Function)}
	}
	if how.From.Input != nil && !strings.HasPrefix(e.apps.Load().apps[f.App].SDK, "js:") {
		return store.Rerun{}, &RerunError{"the app's SDK cannot call a step with another input; only that of TypeScript can"}
	}
	r := store.Rerun{Of: run, Letter: how.Letter}
	for _, ev := range of.Events {
		if ev.Body == nil {
			return store.Rerun{}, fmt.Errorf("run %s: its event %s is not there: %w", run, ev.ID, store.ErrDamaged)
		}
	}
	ev := of.Events[0]
	if how.Data != nil {
		if ev, err = edited(ev, how.Data, now); err != nil {
			return store.Rerun{}, err
		}
		r.Edited = ev
	}
	var journal []durable.Entry
	if how.From.Step != "" {
		if journal, err = e.store.Journal(ctx, run, 0); err != nil {
			return store.Rerun{}, err
		}
	}
	r.Start, err = durable.Rerun(of, journal, how.From, f, ev, NewID(), now)
	switch {
	case errors.Is(err, durable.ErrNoStep), errors.Is(err, durable.ErrManySteps):
		return store.Rerun{}, &RerunError{fmt.Sprintf("step %q: %v", how.From.Step, err)}
	case err != nil:
		return store.Rerun{}, &RerunError{err.Error()}
	}
	if err := e.fits(r.Start, how.From, f); err != nil {
		return store.Rerun{}, err
	}
	r.Start.Waits = e.cancellations(f, r.Start.Run, now)
	r.Start.Single = e.single(ctx, f, match.NewDoc(ev.Body), now)
	return r, nil
}

// fits says that a result which is given is larger than a step's can be.
func (e *Engine) fits(s durable.Start, from durable.From, f durable.Function) error {
	p := e.policy(f)
	switch {
	case from.Output == nil:
		return nil
	case len(from.Output) > p.MaxOutput:
		return &RerunError{fmt.Sprintf("output has %d bytes; a step's result has %d at most", len(from.Output), p.MaxOutput)}
	case s.Run.Bytes > p.MaxState:
		return &RerunError{fmt.Sprintf("with this output the run's steps have %d bytes of results; the limit is %d", s.Run.Bytes, p.MaxState)}
	}
	return nil
}

// edited is an event that stands in for another.
func edited(ev durable.Event, data jsontext.Value, now time.Time) (durable.Event, error) {
	if data.Kind() != '{' {
		return ev, &RerunError{"data must be an object: the data of the event"}
	}
	body, err := wire.ReplaceData(ev.Body, data)
	if err != nil {
		return ev, &RerunError{"data: " + err.Error()}
	}
	if len(body) > wire.MaxEventBytes {
		return ev, &RerunError{fmt.Sprintf("with this data the event has %d bytes; the limit is %d", len(body), wire.MaxEventBytes)}
	}
	original := ev.ID
	if ev.Edits != "" {
		original = ev.Edits
	}
	return durable.Event{ID: NewID(), Name: ev.Name, At: ev.At, Received: now, Body: body, Edits: original, Trace: ev.Trace}, nil
}

// Discard closes the dead letter of a run that need not be run again. Errors:
// store.ErrNotFound, *store.LetterClosedError.
func (e *Engine) Discard(ctx context.Context, run, why, by string) error {
	defer e.followers.stale(TopicLetters)
	return e.store.Discard(ctx, run, why, newAct(time.Now(), by, durable.ActDiscard, durable.RunObject(run), facts{"why": why}))
}

// Annotate replaces the note that people keep with a dead letter.
func (e *Engine) Annotate(ctx context.Context, run, note, by string) error {
	defer e.followers.stale(TopicLetters)
	return e.store.Annotate(ctx, run, note, newAct(time.Now(), by, durable.ActNote, durable.RunObject(run), facts{"note": note}))
}

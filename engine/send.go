package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Send takes events in. When it returns nil they are on disk together with the
// runs that they start. An event whose ID was sent before is a repetition and
// changes nothing. Errors are ErrClosing and those of the store.
func (e *Engine) Send(ctx context.Context, events []wire.Event) error {
	if e.closing.Load() {
		return ErrClosing
	}
	if len(events) == 0 {
		return nil
	}
	now := time.Now()
	table := e.apps.Load().table
	batch := make([]store.Accepted, 0, len(events))
	for _, ev := range events {
		batch = append(batch, e.accept(ctx, table, durable.Event{
			ID: ev.ID, Key: ev.Key, Name: ev.Name, Body: ev.Body,
			At: time.UnixMilli(ev.Timestamp).UTC(), Received: now,
		}, now))
	}
	if _, err := e.store.Accept(ctx, now, batch); err != nil {
		return err
	}
	if !e.log.Enabled(ctx, slog.LevelDebug) {
		return nil // thousands a second
	}
	for _, a := range batch {
		e.log.DebugContext(ctx, "event received", "event", a.Event.Name, "id", a.Event.ID, "matches", len(a.Starts))
	}
	return nil
}

// matcher finds the functions that an event starts.
type matcher interface {
	Starts(ctx context.Context, e durable.Event, now time.Time) []durable.Function
}

// accept is an event with a run for each function that it starts. A run is
// due when the event says it happens, if that is still to come.
func (e *Engine) accept(ctx context.Context, m matcher, ev durable.Event, now time.Time) store.Accepted {
	a := store.Accepted{Event: ev}
	due := now
	if ev.At.After(now) {
		due = ev.At
	}
	for _, f := range m.Starts(ctx, ev, now) {
		a.Starts = append(a.Starts, durable.NewRun(NewID(), f, ev, due, now))
	}
	return a
}

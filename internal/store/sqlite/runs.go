package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

const keyLife = store.KeyLife

// Accept writes events and the runs they start.
func (s *Store) Accept(ctx context.Context, now time.Time, batch []store.Accepted) ([]string, error) {
	return s.accept(ctx, now, batch, nil)
}

// AcceptOnce writes events and the runs they start, once for a key.
func (s *Store) AcceptOnce(ctx context.Context, now time.Time, batch []store.Accepted, once store.Once) ([]string, error) {
	return s.accept(ctx, now, batch, &once)
}

func (s *Store) accept(ctx context.Context, now time.Time, batch []store.Accepted, once *store.Once) ([]string, error) {
	w := newWrite(now)
	w.accepted, w.once = batch, once
	w.bounded = !slices.ContainsFunc(batch, func(a store.Accepted) bool { return a.Owed })
	if err := s.full(ctx, w); err != nil {
		return nil, err
	}
	if err := s.submit(ctx, w); err != nil {
		return nil, err
	}
	if err := s.await(w); err != nil {
		return nil, err
	}
	return w.started, nil
}

// Begin writes a run that began in an app, with its event.
func (s *Store) Begin(ctx context.Context, now time.Time, batch []store.Accepted, once *store.Once) error {
	w := newWrite(now)
	w.accepted, w.once = batch, once
	w.unless = batch[0].Starts[0].Run.ID
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
}

// Start writes runs of known events.
func (s *Store) Start(ctx context.Context, now time.Time, starts []durable.Start) error {
	w := newWrite(now)
	w.starts = starts
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
}

// Transition decides and writes what happens to a run.
func (s *Store) Transition(ctx context.Context, id string, decide func(*durable.Run) (store.Decision, error)) error {
	for {
		err := s.transition(ctx, id, decide)
		if !errors.Is(err, errDead) {
			return err
		}
		// The head was ahead of a write that failed: decide on what is on disk.
	}
}

func (s *Store) transition(ctx context.Context, id string, decide func(*durable.Run) (store.Decision, error)) error {
	h, err := s.load(ctx, id)
	if err != nil {
		return err
	}
	decided := false
	defer func() {
		if !decided { // it panicked: nobody may wait for its lock
			s.unload(h)
		}
	}()
	d, err := decide(h.run)
	decided = true
	before := h.last
	if err != nil || d.Empty() && len(d.Accepted)+len(d.Rouse) == 0 {
		s.unload(h)
		// The caller is about to act on what the run was: that must be on disk.
		if unsafe := s.await(before); unsafe != nil {
			return unsafe
		}
		return err
	}
	w := newWrite(time.Now())
	w.head, w.run, w.n, w.change, w.accepted, w.rouse = h, id, h.run.Seq, d.Change, d.Accepted, d.Rouse
	w.once, w.act, w.exchange, w.metadata = d.Once, d.Act, d.Exchange, d.Metadata
	if w.begins = d.Head != nil && h.run.Status == durable.Queued && d.Head.Status != durable.Queued; w.begins {
		w.waited, w.function = weightOf(h.run.Events), h.run.Function
	}
	if d.Head != nil && d.Head.Status.Final() {
		w.final, w.rerun, w.lane = true, h.run.Original != "", h.run.Lane()
		w.change.Put, w.change.Drop = nil, nil
		for step := range h.run.Items {
			w.change.Drop = append(w.change.Drop, step)
		}
		if d.Report != nil {
			w.change.Put = []durable.Put{{Item: *d.Report}}
		}
	}
	s.heads.again(h) // until it is on disk
	if err := s.submit(ctx, w); err != nil {
		s.heads.release(h, false)
		s.unload(h)
		return err
	}
	h.run.Apply(d.Change)
	h.last = w
	s.unload(h)
	if d.Soft {
		return s.await(before)
	}
	return s.await(w)
}

// View shows a run.
func (s *Store) View(ctx context.Context, id string, fn func(*durable.Run) error) error {
	h, err := s.load(ctx, id)
	if err != nil {
		return err
	}
	last := h.last
	func() {
		defer s.unload(h) // also when fn panics
		err = fn(h.run)
	}()
	if unsafe := s.await(last); unsafe != nil {
		return unsafe
	}
	return err
}

// readRun reads a run with its events, its journal and its items.
func (s *Store) readRun(ctx context.Context, id string) (r *durable.Run, err error) {
	err = s.read(ctx, func(c *conn) error {
		if r, err = selectRun(c, id); err != nil {
			return err
		}
		flaw, err := readEvents(c, r)
		if err != nil {
			return err
		}
		if flaw != "" {
			return fmt.Errorf("run %s: %s: %w", id, flaw, store.ErrDamaged)
		}
		stmt := c.Prep(`SELECT ` + entryColumns + ` FROM journal WHERE run = ? ORDER BY n`)
		stmt.BindText(1, id)
		if err := rows(stmt, func() { r.Fold(scanEntry(stmt)) }); err != nil {
			return err
		}
		items, err := selectItems(c, id)
		for _, i := range items {
			r.Items[i.Step] = &i
		}
		return err
	})
	return r, err
}

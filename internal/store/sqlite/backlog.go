package sqlite

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// What waits to begin is counted by the writer, in the transactions that change
// it. The bytes are kept in meta, so that a start need not look at payloads; the
// runs are counted again then, by their index.

// metaBacklog is where the bytes are kept.
const metaBacklog = "backlog_bytes"

// Bound says how much may wait.
func (s *Store) Bound(most store.Backlog) { s.most.Store(&most) }

// Backlog is what waits.
func (s *Store) Backlog() store.Backlog { return *s.backlog.Load() }

// readBacklog finds what waits from before.
func (s *Store) readBacklog(c *conn) error {
	var b store.Backlog
	// A range of an index for each function.
	stmt := c.Prep(`SELECT f.slug, (SELECT count(*) FROM runs WHERE function = f.slug AND status = 0) FROM functions AS f GROUP BY f.slug`)
	err := rows(stmt, func() {
		n := stmt.ColumnInt64(1)
		b.Runs += n
		s.depth.add(stmt.ColumnText(0), n)
	})
	if err != nil {
		return err
	}
	b.Bytes, err = metaInt(c, metaBacklog)
	s.backlog.Store(&b)
	return err
}

// depth is how many runs wait, by function.
type depth struct {
	mu sync.Mutex
	of map[string]int64
}

func (d *depth) add(function string, n int64) {
	if d.of[function] += n; d.of[function] == 0 {
		delete(d.of, function)
	}
}

// wrote counts what was committed.
func (d *depth) wrote(group []*write) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range group {
		if w.outcome != nil {
			continue
		}
		for _, function := range w.queued {
			d.add(function, 1)
		}
		if w.left != "" {
			d.add(w.left, -1)
		}
	}
}

// Queued is how many runs have not begun, by function.
func (s *Store) Queued() map[string]int64 {
	s.depth.mu.Lock()
	defer s.depth.mu.Unlock()
	return maps.Clone(s.depth.of)
}

// refused says why what w writes may not be taken in when it makes more wait;
// nil when it may.
func (s *Store) refused(w *write, waiting, more store.Backlog) error {
	if w.bounded {
		return s.most.Load().Refuse(waiting, more)
	}
	return nil
}

// atMost is what w adds to the backlog at most: how much it is shows when it is
// written.
func (w *write) atMost() (b store.Backlog) {
	for _, a := range w.accepted {
		b = b.Plus(store.Backlog{Runs: int64(len(a.Starts)), Bytes: int64((len(a.Starts) + 1) * len(a.Event.Body))})
	}
	return b
}

// full refuses what is sure to be refused, before it costs the writer anything:
// whoever is overloaded has to spend the writer's time on what was taken in.
func (s *Store) full(ctx context.Context, w *write) error {
	if s.refused(w, s.Backlog(), w.atMost()) == nil {
		return nil
	}
	var sure store.Backlog
	err := s.read(ctx, func(c *conn) error {
		if w.once != nil {
			if known, err := isTaken(c, w.once.Scope, w.once.Key, w.now); err != nil || known {
				return err
			}
		}
		for _, a := range w.accepted {
			more, err := surely(c, a, w.now)
			if err != nil {
				return err
			}
			sure = sure.Plus(more)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.refused(w, s.Backlog(), sure)
}

// surely is what an event adds to the backlog, as far as nothing else has to be
// asked whether it does.
func surely(c *conn, a store.Accepted, now time.Time) (b store.Backlog, err error) {
	if seq, err := eventSeq(c, a.Event.ID); err != nil || seq != 0 {
		return b, err
	}
	for _, st := range a.Starts {
		if st.Park != nil || st.Unique != "" || st.Limit != nil || st.Single != "" {
			continue
		}
		known, err := isTaken(c, store.StartScope(st.Run.Function), st.KeyFor(a.Event), now)
		if err != nil {
			return b, err
		}
		if !known {
			b = b.Plus(store.Backlog{Runs: 1, Bytes: int64(len(a.Event.Body))})
		}
	}
	return b, nil
}

// isTaken reports whether a key, "" being none, holds.
func isTaken(c *conn, scope, key string, now time.Time) (bool, error) {
	if key == "" {
		return false, nil
	}
	was, err := selectKey(c, scope, key)
	return was != nil && was.Expires.After(now), err
}

// applyWithin is apply for a write that may be refused for what waits already,
// waiting: then nothing of it is written, and its outcome says so.
func (s *Store) applyWithin(w *write, waiting store.Backlog) error {
	if s.refused(w, waiting, w.atMost()) == nil {
		return s.apply(w)
	}
	// A repetition adds nothing, and some events start nothing: only what is
	// written tells.
	seq, renewed := s.eventSeq, maps.Clone(s.renewed)
	if err := exec(s.write.Prep(`SAVEPOINT bounded`)); err != nil {
		return err
	}
	if err := s.apply(w); err != nil {
		return err
	}
	if w.outcome == nil {
		if w.outcome = s.refused(w, waiting, w.grown); w.outcome != nil {
			s.eventSeq, s.renewed = seq, renewed
			w.forget()
			if err := exec(s.write.Prep(`ROLLBACK TO bounded`)); err != nil {
				return err
			}
		}
	}
	return exec(s.write.Prep(`RELEASE bounded`))
}

// waits counts a run that was written and has not begun.
func (w *write) waits(r *durable.Run) {
	w.grown = w.grown.Plus(store.Backlog{Runs: 1, Bytes: weightOf(r.Events)})
	w.queued = append(w.queued, r.Function)
}

// begun counts that a run with these events waits no more.
func (w *write) begun(bytes int64) {
	w.grown = w.grown.Plus(store.Backlog{Runs: -1, Bytes: -bytes})
	w.left = w.function
}

func weightOf(events []durable.Event) (bytes int64) {
	for _, e := range events {
		bytes += int64(len(e.Body))
	}
	return bytes
}

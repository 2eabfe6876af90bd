package sqlite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// insertWait registers a wait for the events after the one with that seq. A
// wait for a signal takes it from whoever waits for it: whether it may is
// decided before.
func insertWait(c *conn, w durable.Wait, after int64) error {
	if w.Kind == durable.ForSignal {
		stmt := c.Prep(`DELETE FROM waits WHERE kind = 1 AND name = ?`)
		stmt.BindText(1, w.Name)
		if err := exec(stmt); err != nil {
			return err
		}
	}
	stmt := c.Prep(`INSERT INTO waits (run, step, kind, name, cond, path, value, exact, until, after)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	stmt.BindText(1, w.Run)
	stmt.BindText(2, w.Step)
	stmt.BindInt64(3, int64(w.Kind))
	for i, v := range []string{w.Name, w.If, w.Path, w.Value} {
		stmt.BindText(4+i, v)
	}
	stmt.BindBool(8, w.Exact)
	stmt.BindInt64(9, micros(w.Until))
	stmt.BindInt64(10, after)
	return exec(stmt)
}

func deleteWait(c *conn, run, step string) error {
	stmt := c.Prep(`DELETE FROM waits WHERE run = ? AND step = ?`)
	stmt.BindText(1, run)
	stmt.BindText(2, step)
	return exec(stmt)
}

// waitsOf returns all that a run waits for.
func waitsOf(c *conn, run string) (waits []durable.Wait, err error) {
	stmt := c.Prep(`SELECT ` + waitColumns + ` FROM waits WHERE run = ? ORDER BY step`)
	stmt.BindText(1, run)
	err = rows(stmt, func() { waits = append(waits, scanWait(stmt)) })
	return waits, err
}

// isAwaited reports whether anybody waits for events of that name.
func isAwaited(c *conn, name string) (found bool, err error) {
	stmt := c.Prep(`SELECT 1 FROM waits WHERE name = ? AND kind <> 1 LIMIT 1`)
	stmt.BindText(1, name)
	err = rows(stmt, func() { found = true })
	return found, err
}

func insertDelivery(w *write, c *conn, e durable.Event) error {
	stmt := c.Prep(`INSERT INTO deliveries (name, event) VALUES (?, ?)`)
	stmt.BindText(1, e.Name)
	stmt.BindText(2, e.ID)
	w.grown.Bytes += int64(len(e.Body))
	return exec(stmt)
}

func deleteDelivery(w *write, c *conn, event string) error {
	name, bytes := "", int64(0)
	stmt := c.Prep(`SELECT name, length(body) FROM events WHERE id = ?`)
	stmt.BindText(1, event)
	if err := rows(stmt, func() { name, bytes = stmt.ColumnText(0), stmt.ColumnInt64(1) }); err != nil {
		return err
	}
	stmt = c.Prep(`DELETE FROM deliveries WHERE name = ? AND event = ?`)
	stmt.BindText(1, name)
	stmt.BindText(2, event)
	err := exec(stmt)
	if err == nil && c.Changes() > 0 {
		w.grown.Bytes -= bytes
	}
	return err
}

const waitColumns = `waits.seq, run, step, kind, waits.name, cond, path, value, exact, until`

func scanWait(stmt *sqlite.Stmt) durable.Wait {
	return durable.Wait{
		Seq: stmt.ColumnInt64(0), Run: stmt.ColumnText(1), Step: stmt.ColumnText(2),
		Kind: durable.WaitKind(stmt.ColumnInt64(3)), Name: stmt.ColumnText(4), If: stmt.ColumnText(5),
		Path: stmt.ColumnText(6), Value: stmt.ColumnText(7), Exact: stmt.ColumnBool(8),
		Until: fromMicros(stmt.ColumnInt64(9)),
	}
}

// Paths walks the index from one path to the next. There are as many as there
// are different conditions, which are a function's, not a run's, unless a
// function makes them up; and then each of them counts.
func (s *Store) Paths(ctx context.Context, name string) (paths []string, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT path FROM waits WHERE name = $name AND kind <> 1 ORDER BY path LIMIT 1`)
		for {
			stmt.SetText("$name", name)
			if len(paths) > 0 {
				stmt.SetText("$path", paths[len(paths)-1])
			}
			n := len(paths)
			if err := rows(stmt, func() { paths = append(paths, stmt.ColumnText(0)) }); err != nil || len(paths) == n {
				return err
			}
			stmt = c.Prep(`SELECT path FROM waits WHERE name = $name AND kind <> 1 AND path > $path ORDER BY path LIMIT 1`)
		}
	})
	return paths, err
}

// Waiting returns waits that an event concerns.
func (s *Store) Waiting(ctx context.Context, event, path, value string, seq int64, limit int) (waits []durable.Wait, err error) {
	err = s.read(ctx, func(c *conn) error {
		// A limit that is bound would have the statement compiled each time.
		stmt := c.Prep(`SELECT ` + waitColumns + ` FROM events JOIN waits ON waits.name = events.name
			WHERE events.id = ? AND path = ? AND value = ? AND kind <> 1 AND waits.seq > ? AND after < events.seq
			ORDER BY waits.seq`)
		stmt.BindText(1, event)
		stmt.BindText(2, path)
		stmt.BindText(3, value)
		stmt.BindInt64(4, seq)
		return firstRows(stmt, limit, func() { waits = append(waits, scanWait(stmt)) })
	})
	return waits, err
}

// WaitsOf returns all that a run waits for.
func (s *Store) WaitsOf(ctx context.Context, run string) (waits []durable.Wait, err error) {
	err = s.read(ctx, func(c *conn) error {
		waits, err = waitsOf(c, run)
		return err
	})
	return waits, err
}

// Signal returns the wait for a signal.
func (s *Store) Signal(ctx context.Context, name string) (w durable.Wait, err error) {
	found := false
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + waitColumns + ` FROM waits WHERE kind = 1 AND name = ?`)
		stmt.BindText(1, name)
		return rows(stmt, func() { w, found = scanWait(stmt), true })
	})
	if err == nil && !found {
		err = fmt.Errorf("signal %q: %w", name, store.ErrNotFound)
	}
	return w, err
}

// Undelivered returns events that are still to be handed on.
func (s *Store) Undelivered(ctx context.Context, name string) (events []durable.Event, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + prefixed + ` FROM deliveries JOIN events ON events.id = deliveries.event
			WHERE deliveries.name = ? ORDER BY events.seq`)
		stmt.BindText(1, name)
		return rows(stmt, func() { events = append(events, scanEvent(stmt)) })
	})
	return events, err
}

// prefixed are eventColumns where another table has a column of the same name.
const prefixed = `events.id, events.key, events.name, events.at, events.received, events.body, events.edits, events.trace, events.keyed`

// strayed is how far the time in an event's id, which a sender may choose, is
// taken to be from the time of its receipt.
const strayed = time.Hour

// deliverAgain hands on once more what came between an event and runs that it
// starts late: nobody waited for that when it came.
func (s *Store) deliverAgain(w *write, e durable.Event, seq int64) error {
	names := map[string]bool{}
	for _, st := range w.fresh {
		for _, wait := range st.Waits {
			names[wait.Name] = true
		}
	}
	var from ulid.ULID
	if err := from.SetTime(ulid.Timestamp(e.Received.Add(-strayed))); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var missed []durable.Event
		stmt := s.write.Prep(`SELECT ` + eventColumns + ` FROM events WHERE name = ? AND id > ? AND seq > ? ORDER BY id`)
		stmt.BindText(1, name)
		stmt.BindText(2, from.String())
		stmt.BindInt64(3, seq)
		if err := rows(stmt, func() { missed = append(missed, scanEvent(stmt)) }); err != nil {
			return err
		}
		for _, m := range missed {
			if err := s.deliver(w, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliver queues the handing on of an event, now, unless it is queued already:
// then it begins anew.
func (s *Store) deliver(w *write, e durable.Event) error {
	item, err := selectItem(s.write, durable.Ref{Run: e.ID, Step: durable.DeliverStep})
	if err != nil {
		return err
	}
	if item == nil {
		item = &durable.Item{Run: e.ID, Step: durable.DeliverStep, Kind: durable.Deliver}
		if err := insertDelivery(w, s.write, e); err != nil {
			return err
		}
	}
	item.Due = w.now
	return s.queueItem(w, *item)
}

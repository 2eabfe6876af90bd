package sqlite

import (
	"context"
	"math"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// SaveControl writes what an operator has set, and who did it.
func (s *Store) SaveControl(ctx context.Context, control durable.Control, act durable.Act) error {
	w := newWrite(time.Time{})
	w.control, w.act = &control, &act
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
}

// NoteAct adds a line to the audit log.
func (s *Store) NoteAct(ctx context.Context, act durable.Act) error {
	w := newWrite(time.Time{})
	w.act = &act
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
}

func (s *Store) applyControl(w *write) error {
	if c := w.control; c != nil {
		stmt := s.write.Prep(`INSERT INTO controls (name, pause, limits, since, by, why) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET pause = excluded.pause, limits = excluded.limits, since = excluded.since,
			by = excluded.by, why = excluded.why`)
		if c.Pause == durable.Unpaused && c.Limits == nil {
			stmt = s.write.Prep(`DELETE FROM controls WHERE name = ?`)
			stmt.BindText(1, c.Name)
		} else {
			stmt.BindText(1, c.Name)
			stmt.BindInt64(2, int64(c.Pause))
			bindBlob(stmt, 3, c.Limits)
			stmt.BindInt64(4, micros(c.Since))
			stmt.BindText(5, c.By)
			stmt.BindText(6, c.Why)
		}
		if err := exec(stmt); err != nil {
			return err
		}
	}
	if w.act != nil {
		return insertAct(s.write, *w.act)
	}
	return nil
}

func insertAct(c *conn, a durable.Act) error {
	stmt := c.Prep(`INSERT INTO audit (at, by, what, object, detail) VALUES (?, ?, ?, ?, ?)`)
	stmt.BindInt64(1, micros(a.At))
	stmt.BindText(2, a.By)
	stmt.BindText(3, a.What)
	stmt.BindText(4, a.Object)
	bindBlob(stmt, 5, a.Detail)
	return exec(stmt)
}

// Controls returns all that operators have set.
func (s *Store) Controls(ctx context.Context) (list []durable.Control, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT name, pause, limits, since, by, why FROM controls ORDER BY name`)
		return rows(stmt, func() {
			list = append(list, durable.Control{
				Name: stmt.ColumnText(0), Pause: durable.Pause(stmt.ColumnInt64(1)), Limits: blob(stmt, 2),
				Since: fromMicros(stmt.ColumnInt64(3)), By: stmt.ColumnText(4), Why: stmt.ColumnText(5),
			})
		})
	})
	return list, err
}

// Acts reads the audit log, newest first.
func (s *Store) Acts(ctx context.Context, object string, before int64, limit int) (list []durable.Act, err error) {
	if before == 0 {
		before = math.MaxInt64
	}
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT seq, at, by, what, object, detail FROM audit WHERE seq < ? ORDER BY seq DESC`)
		if object != "" {
			stmt = c.Prep(`SELECT seq, at, by, what, object, detail FROM audit WHERE object = ? AND seq < ? ORDER BY seq DESC`)
			stmt.BindText(1, object)
			stmt.BindInt64(2, before)
		} else {
			stmt.BindInt64(1, before)
		}
		return firstRows(stmt, limit, func() {
			list = append(list, durable.Act{
				Seq: stmt.ColumnInt64(0), At: fromMicros(stmt.ColumnInt64(1)), By: stmt.ColumnText(2),
				What: stmt.ColumnText(3), Object: stmt.ColumnText(4), Detail: blob(stmt, 5),
			})
		})
	})
	return list, err
}

var _ store.Controls = (*Store)(nil)

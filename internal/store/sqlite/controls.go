package sqlite

import (
	"context"
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

func (s *Store) applyControl(w *write) error {
	c := w.control
	if c == nil {
		return nil
	}
	stmt := s.write.Prep(`INSERT INTO controls (name, pause, limits, since, by, why, refuse, key, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET pause = excluded.pause, limits = excluded.limits, since = excluded.since,
		by = excluded.by, why = excluded.why, refuse = excluded.refuse`)
	if c.Pause == durable.Unpaused && c.Limits == nil {
		stmt = s.write.Prep(`DELETE FROM controls WHERE name = ?`)
		stmt.BindText(1, c.Name)
		return exec(stmt)
	}
	stmt.BindText(1, c.Name)
	stmt.BindInt64(2, int64(c.Pause))
	bindBlob(stmt, 3, c.Limits)
	stmt.BindInt64(4, micros(c.Since))
	stmt.BindText(5, c.By)
	stmt.BindText(6, c.Why)
	stmt.BindBool(7, c.Refuse)
	stmt.BindText(8, c.Key)
	stmt.BindText(9, c.Value)
	return exec(stmt)
}

// Controls returns all that operators have set.
func (s *Store) Controls(ctx context.Context) (list []durable.Control, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT name, pause, limits, since, by, why, refuse, key, value FROM controls ORDER BY name`)
		return rows(stmt, func() {
			list = append(list, durable.Control{
				Name: stmt.ColumnText(0), Pause: durable.Pause(stmt.ColumnInt64(1)), Limits: blob(stmt, 2),
				Since: fromMicros(stmt.ColumnInt64(3)), By: stmt.ColumnText(4), Why: stmt.ColumnText(5),
				Refuse: stmt.ColumnBool(6), Key: stmt.ColumnText(7), Value: stmt.ColumnText(8),
			})
		})
	})
	return list, err
}

var _ store.Controls = (*Store)(nil)

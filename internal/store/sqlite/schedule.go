package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// AddSchedule writes a schedule and queues its first tick.
func (s *Store) AddSchedule(ctx context.Context, n durable.Schedule, first durable.Item, once *store.Once, act durable.Act) error {
	return s.also(ctx, &act, act.At, func(w *write) error {
		if known, err := s.known(w, once); err != nil || known {
			return err
		}
		stmt := s.write.Prep(`INSERT INTO schedules (id, function, cron, missed, overlap, jitter, created, data)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`)
		for i, v := range []string{n.ID, n.Function, n.Cron, n.Missed, n.Overlap} {
			stmt.BindText(i+1, v)
		}
		stmt.BindInt64(6, n.Jitter.Microseconds())
		stmt.BindInt64(7, micros(n.Created))
		bindBlob(stmt, 8, n.Data)
		if err := exec(stmt); err != nil {
			return err
		}
		if s.write.Changes() == 0 {
			w.outcome = fmt.Errorf("schedule %s: %w", n.ID, store.ErrExists)
			return nil
		}
		if err := s.take(w, once); err != nil {
			return err
		}
		return s.queueItem(w, first)
	})
}

// RemoveSchedule forgets a schedule and its items.
func (s *Store) RemoveSchedule(ctx context.Context, id string, items []durable.Ref, act durable.Act) error {
	return s.also(ctx, &act, act.At, func(w *write) error {
		stmt := s.write.Prep(`DELETE FROM schedules WHERE id = ?`)
		stmt.BindText(1, id)
		if err := exec(stmt); err != nil {
			return err
		}
		if s.write.Changes() == 0 {
			w.outcome = fmt.Errorf("schedule %s: %w", id, store.ErrNotFound)
			return nil
		}
		for _, ref := range items {
			if err := deleteItem(s.write, ref.Run, ref.Step); err != nil {
				return err
			}
			w.removed = append(w.removed, ref)
		}
		return nil
	})
}

// LoadSchedules returns all schedules, by id.
func (s *Store) LoadSchedules(ctx context.Context) (list []durable.Schedule, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT id, function, cron, missed, overlap, jitter, created, data FROM schedules ORDER BY id`)
		return rows(stmt, func() {
			list = append(list, durable.Schedule{
				ID: stmt.ColumnText(0), Function: stmt.ColumnText(1), Cron: stmt.ColumnText(2), Missed: stmt.ColumnText(3), Overlap: stmt.ColumnText(4),
				Jitter:  time.Duration(stmt.ColumnInt64(5)) * time.Microsecond,
				Created: fromMicros(stmt.ColumnInt64(6)), Data: blob(stmt, 7),
			})
		})
	})
	return list, err
}

package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// AddCancellation writes a cancellation and queues its item.
func (s *Store) AddCancellation(ctx context.Context, n durable.Cancellation, item durable.Item, once *store.Once, act durable.Act) error {
	return s.also(ctx, &act, act.At, func(w *write) error {
		if known, err := s.known(w, once); err != nil || known {
			return err
		}
		if err := s.take(w, once); err != nil {
			return err
		}
		stmt := s.write.Prep(`INSERT INTO cancellations (id, function, app, after, before, cond, created) VALUES (?, ?, ?, ?, ?, ?, ?)`)
		for i, v := range []string{n.ID, n.Function, n.App} {
			stmt.BindText(i+1, v)
		}
		stmt.BindInt64(4, micros(n.After))
		stmt.BindInt64(5, micros(n.Before))
		stmt.BindText(6, n.If)
		stmt.BindInt64(7, micros(n.Created))
		if err := exec(stmt); err != nil {
			return err
		}
		return s.queueItem(w, item)
	})
}

// RemoveCancellation forgets a cancellation.
func (s *Store) RemoveCancellation(ctx context.Context, id string, act durable.Act) error {
	return s.also(ctx, &act, act.At, func(w *write) error {
		stmt := s.write.Prep(`DELETE FROM cancellations WHERE id = ?`)
		stmt.BindText(1, id)
		if err := exec(stmt); err != nil {
			return err
		}
		if s.write.Changes() == 0 {
			w.outcome = fmt.Errorf("cancellation %s: %w", id, store.ErrNotFound)
			return nil
		}
		w.removed = append(w.removed, durable.Ref{Run: id, Step: durable.SweepStep})
		return deleteItem(s.write, id, durable.SweepStep)
	})
}

const cancellationColumns = `id, function, app, after, before, cond, created`

func scanCancellation(stmt *sqlite.Stmt) durable.Cancellation {
	return durable.Cancellation{
		ID: stmt.ColumnText(0), Function: stmt.ColumnText(1), App: stmt.ColumnText(2),
		After: fromMicros(stmt.ColumnInt64(3)), Before: fromMicros(stmt.ColumnInt64(4)),
		If: stmt.ColumnText(5), Created: fromMicros(stmt.ColumnInt64(6)),
	}
}

// Cancellation returns a cancellation.
func (s *Store) Cancellation(ctx context.Context, id string) (n durable.Cancellation, err error) {
	found := false
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + cancellationColumns + ` FROM cancellations WHERE id = ?`)
		stmt.BindText(1, id)
		return rows(stmt, func() { n, found = scanCancellation(stmt), true })
	})
	if err == nil && !found {
		err = fmt.Errorf("cancellation %s: %w", id, store.ErrNotFound)
	}
	return n, err
}

// Cancellations lists cancellations, newest first.
func (s *Store) Cancellations(ctx context.Context, p store.Page) (list []durable.Cancellation, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + cancellationColumns + ` FROM cancellations WHERE id < ? ORDER BY id DESC LIMIT ?`)
		stmt.BindText(1, cursor(p))
		stmt.BindInt64(2, int64(p.Limit))
		return rows(stmt, func() { list = append(list, scanCancellation(stmt)) })
	})
	return list, err
}

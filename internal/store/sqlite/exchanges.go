package sqlite

import (
	"context"
	"fmt"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// insertExchange keeps what was sent and answered in a try, and lets go of what is
// older than the newest few of its run.
func insertExchange(c *conn, run string, n int, data durable.JSON) error {
	stmt := c.Prep(`INSERT INTO exchanges (run, n, data) VALUES (?, ?, ?)`)
	stmt.BindText(1, run)
	stmt.BindInt64(2, int64(n))
	stmt.BindBytes(3, data)
	if err := exec(stmt); err != nil {
		return err
	}
	stmt = c.Prep(`DELETE FROM exchanges WHERE run = ?1 AND n <= (SELECT n FROM exchanges WHERE run = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)`)
	stmt.BindText(1, run)
	stmt.BindInt64(2, store.MostExchanges)
	return exec(stmt)
}

// Exchange returns what was sent and answered in a try.
func (s *Store) Exchange(ctx context.Context, run string, n int) (data durable.JSON, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT data FROM exchanges WHERE run = ? AND n = ?`)
		stmt.BindText(1, run)
		stmt.BindInt64(2, int64(n))
		return rows(stmt, func() { data = blob(stmt, 0) })
	})
	if err == nil && data == nil {
		err = fmt.Errorf("exchange %d of run %s: %w", n, run, store.ErrNotFound)
	}
	return data, err
}

// Exchanges says of which tries of a run they are kept.
func (s *Store) Exchanges(ctx context.Context, run string) (list []int, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT n FROM exchanges WHERE run = ? ORDER BY n`)
		stmt.BindText(1, run)
		return rows(stmt, func() { list = append(list, stmt.ColumnInt(0)) })
	})
	return list, err
}

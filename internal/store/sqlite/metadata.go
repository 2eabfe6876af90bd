package sqlite

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// UpdateMetadata changes the metadata of a run.
func (s *Store) UpdateMetadata(ctx context.Context, run string, now time.Time, updates []durable.MetadataUpdate) (left int, err error) {
	err = s.also(ctx, nil, now, func(w *write) error {
		there, err := hasRun(s.write, run)
		if err != nil {
			return err
		}
		if !there {
			w.outcome = fmt.Errorf("run %s: %w", run, store.ErrNotFound)
			return nil
		}
		left, err = updateMetadata(s.write, run, now, updates)
		return err
	})
	return left, err
}

// updateMetadata changes the metadata of a run that is there.
func updateMetadata(c *conn, run string, now time.Time, updates []durable.MetadataUpdate) (left int, err error) {
	if len(updates) == 0 {
		return 0, nil
	}
	weight, err := metadataWeight(c, run)
	if err != nil {
		return 0, err
	}
	for _, u := range updates {
		was, err := selectMetadata(c, run, u.MetadataKey)
		if err != nil {
			return left, err
		}
		values, kept := u.Apply(was, weight)
		if !kept {
			left++
			continue
		}
		if was != nil {
			weight -= durable.Metadata{Values: was}.Weight()
		}
		if values != nil {
			weight += durable.Metadata{Values: values}.Weight()
		}
		if err := putMetadata(c, run, u.MetadataKey, values, now); err != nil {
			return left, err
		}
	}
	return left, nil
}

// metadataWeight is what the metadata of a run weighs, of which the bounds allow a few
// thousand entries.
func metadataWeight(c *conn, run string) (weight int, err error) {
	stmt := c.Prep(`SELECT count(*), ifnull(sum(length(data)), 0) FROM metadata WHERE run = ?`)
	stmt.BindText(1, run)
	err = rows(stmt, func() { weight = stmt.ColumnInt(0)*durable.Metadata{}.Weight() + stmt.ColumnInt(1) })
	return weight, err
}

func bindMetadata(stmt *sqlite.Stmt, run string, k durable.MetadataKey) {
	stmt.BindText(1, run)
	stmt.BindText(2, k.Step)
	stmt.BindInt64(3, int64(k.Attempt))
	stmt.BindText(4, k.Span)
	stmt.BindText(5, k.Kind)
}

func selectMetadata(c *conn, run string, k durable.MetadataKey) (values durable.JSON, err error) {
	stmt := c.Prep(`SELECT data FROM metadata WHERE run = ? AND step = ? AND attempt = ? AND span = ? AND kind = ?`)
	bindMetadata(stmt, run, k)
	err = rows(stmt, func() { values = blob(stmt, 0) })
	return values, err
}

// putMetadata writes values, or removes them when they are nil.
func putMetadata(c *conn, run string, k durable.MetadataKey, values durable.JSON, now time.Time) error {
	if values == nil {
		stmt := c.Prep(`DELETE FROM metadata WHERE run = ? AND step = ? AND attempt = ? AND span = ? AND kind = ?`)
		bindMetadata(stmt, run, k)
		return exec(stmt)
	}
	stmt := c.Prep(`INSERT INTO metadata (run, step, attempt, span, kind, data, updated) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (run, step, attempt, span, kind) DO UPDATE SET data = excluded.data, updated = excluded.updated`)
	bindMetadata(stmt, run, k)
	stmt.BindBytes(6, values)
	stmt.BindInt64(7, micros(now))
	return exec(stmt)
}

// removeMetadata removes what is noted about a run.
func removeMetadata(c *conn, run string, b *budget) error {
	stmt := c.Prep(`SELECT count(*), ifnull(sum(length(data)), 0) FROM metadata WHERE run = ?`)
	stmt.BindText(1, run)
	n := 0
	if err := rows(stmt, func() {
		n = stmt.ColumnInt(0)
		b.take(n, stmt.ColumnInt(1))
	}); err != nil || n == 0 {
		return err
	}
	stmt = c.Prep(`DELETE FROM metadata WHERE run = ?`)
	stmt.BindText(1, run)
	return exec(stmt)
}

// Metadata returns what is noted about a run.
func (s *Store) Metadata(ctx context.Context, run string) (list []durable.Metadata, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT step, attempt, span, kind, data, updated FROM metadata WHERE run = ? ORDER BY step, attempt, span, kind`)
		stmt.BindText(1, run)
		return rows(stmt, func() {
			list = append(list, durable.Metadata{
				MetadataKey: durable.MetadataKey{
					Step: stmt.ColumnText(0), Attempt: stmt.ColumnInt(1), Span: stmt.ColumnText(2), Kind: stmt.ColumnText(3),
				},
				Values: blob(stmt, 4), Updated: fromMicros(stmt.ColumnInt64(5)),
			})
		})
	})
	return list, err
}

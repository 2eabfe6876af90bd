package sqlite

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// What is remembered of the audit log in meta.
const (
	metaActsGone  = "acts_gone"   // lines of then and before may have left
	metaActsSince = "audit_since" // what was done by then may have left none
)

// NoteAct adds a line to the audit log.
func (s *Store) NoteAct(ctx context.Context, act durable.Act) error {
	w := newWrite(act.At)
	w.act = &act
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
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

// Acts lists lines of the audit log, newest first: a range of one index.
func (s *Store) Acts(ctx context.Context, f store.ActFilter, p store.Page) (list []durable.Act, err error) {
	before, seq := int64(math.MaxInt64), int64(math.MaxInt64)
	if p.Cursor != "" {
		if _, err := fmt.Sscanf(p.Cursor, "%d.%d", &before, &seq); err != nil {
			return nil, fmt.Errorf("line %s: %w", p.Cursor, store.ErrNotFound)
		}
	}
	if until := micros(f.Until); until != 0 && until <= before {
		before, seq = until, 0 // no line has the number 0
	}
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT seq, at, by, what, object, detail FROM audit WHERE (at, seq) < ($before, $seq) AND at >= $from ORDER BY at DESC, seq DESC`)
		if f.Object != "" {
			stmt = c.Prep(`SELECT seq, at, by, what, object, detail FROM audit
				WHERE object = $object AND (at, seq) < ($before, $seq) AND at >= $from ORDER BY at DESC, seq DESC`)
			stmt.SetText("$object", f.Object)
		}
		stmt.SetInt64("$before", before)
		stmt.SetInt64("$seq", seq)
		stmt.SetInt64("$from", micros(f.From))
		return firstRows(stmt, p.Limit, func() {
			list = append(list, durable.Act{
				Seq: stmt.ColumnInt64(0), At: fromMicros(stmt.ColumnInt64(1)), By: stmt.ColumnText(2),
				What: stmt.ColumnText(3), Object: stmt.ColumnText(4), Detail: blob(stmt, 5),
			})
		})
	})
	return list, err
}

// oldActs reports whether there are lines of then or before.
func oldActs(c *conn, by time.Time) (found bool, err error) {
	if by.IsZero() {
		return false, nil
	}
	stmt := c.Prep(`SELECT 1 FROM audit WHERE at <= ? LIMIT 1`)
	stmt.BindInt64(1, micros(by))
	err = rows(stmt, func() { found = true })
	return found, err
}

// removeActs removes the oldest of the lines of then and before.
func removeActs(c *conn, by time.Time, b *budget) (n int, err error) {
	if by.IsZero() || b.spent() {
		return 0, nil
	}
	gone := int64(0)
	stmt := c.Prep(`DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at <= ? ORDER BY at LIMIT ?) RETURNING at`)
	stmt.BindInt64(1, micros(by))
	stmt.BindInt64(2, int64(b.rows))
	err = rows(stmt, func() {
		gone = max(gone, stmt.ColumnInt64(0))
		n++
	})
	b.take(n, 0)
	if err == nil && n > 0 {
		err = raiseMeta(c, metaActsGone, gone)
	}
	return n, err
}

var _ store.Audit = (*Store)(nil)

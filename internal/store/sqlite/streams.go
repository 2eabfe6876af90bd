package sqlite

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/internal/store"
)

// KeepStream writes pieces of streams.
func (s *Store) KeepStream(ctx context.Context, pieces []store.Piece) error {
	return s.also(ctx, nil, time.Time{}, func(*write) error {
		for _, p := range pieces {
			if err := keepPiece(s.write, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func keepPiece(c *conn, p store.Piece) error {
	if p.Void {
		stmt := c.Prep(`DELETE FROM streams WHERE run = ? AND step = ?`)
		stmt.BindText(1, p.Run)
		stmt.BindText(2, p.Step)
		if err := exec(stmt); err != nil {
			return err
		}
	}
	stmt := c.Prep(`INSERT OR REPLACE INTO streams (run, n, step, data) SELECT $run, $n, $step, $data WHERE EXISTS (SELECT 1 FROM runs WHERE id = $run)`)
	stmt.SetText("$run", p.Run)
	stmt.SetInt64("$n", p.N)
	stmt.SetText("$step", p.Step)
	stmt.SetBytes("$data", p.Data)
	return exec(stmt)
}

// KeptStream says what is kept of a stream.
func (s *Store) KeptStream(ctx context.Context, run string) (k store.Kept, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT n, step, length(data) FROM streams WHERE run = ? ORDER BY n`)
		stmt.BindText(1, run)
		seen := map[string]bool{}
		return rows(stmt, func() {
			if stmt.ColumnInt64(0) == store.LastPiece {
				k.Answer = true
				return
			}
			k.Last = stmt.ColumnInt64(0)
			k.Bytes += stmt.ColumnInt64(2)
			k.Pieces++
			if step := stmt.ColumnText(1); !seen[step] {
				seen[step] = true
				k.Steps = append(k.Steps, step)
			}
		})
	})
	return k, err
}

// Stream returns pieces of a stream.
func (s *Store) Stream(ctx context.Context, run string, after, last int64, limit int) (list []store.Piece, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT n, step, data FROM streams WHERE run = ? AND n > ? AND n <= ? ORDER BY n`)
		stmt.BindText(1, run)
		stmt.BindInt64(2, after)
		stmt.BindInt64(3, last)
		bytes, more := 0, true
		for more && bytes < limit {
			if more, err = stmt.Step(); err != nil {
				break
			}
			if more {
				p := store.Piece{Run: run, N: stmt.ColumnInt64(0), Step: stmt.ColumnText(1), Data: blob(stmt, 2)}
				list = append(list, p)
				bytes += len(p.Data)
			}
		}
		if rerr := stmt.Reset(); err == nil {
			err = rerr
		}
		return err
	})
	return list, err
}

var _ store.Streams = (*Store)(nil)

package sqlite

import (
	"context"
	"fmt"
	"math"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// read runs fn on one snapshot of what is committed.
func (s *Store) read(ctx context.Context, fn func(*conn) error) (err error) {
	c, give, err := s.reader(ctx)
	if err != nil {
		return err
	}
	defer give()
	end := sqlitex.Transaction(c.Conn)
	defer func() {
		if end(&err); err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
	}()
	return fn(c)
}

// rows calls each for every row of a prepared statement.
func rows(stmt *sqlite.Stmt, each func()) error {
	for {
		more, err := stmt.Step()
		if err != nil || !more {
			if rerr := stmt.Reset(); err == nil {
				err = rerr
			}
			return err
		}
		each()
	}
}

// firstRows calls each for up to limit rows of a prepared statement.
func firstRows(stmt *sqlite.Stmt, limit int, each func()) error {
	for range limit {
		more, err := stmt.Step()
		if err != nil || !more {
			if rerr := stmt.Reset(); err == nil {
				err = rerr
			}
			return err
		}
		each()
	}
	return stmt.Reset()
}

func selectRun(c *conn, id string) (r *durable.Run, err error) {
	stmt := c.Prep(`SELECT ` + runColumns + ` FROM runs WHERE id = ?`)
	stmt.BindText(1, id)
	err = rows(stmt, func() { r = scanRun(stmt) })
	if err == nil && r == nil {
		err = fmt.Errorf("run %s: %w", id, store.ErrNotFound)
	}
	return r, err
}

func selectEvent(c *conn, id string) (e durable.Event, err error) {
	found := false
	stmt := c.Prep(`SELECT ` + eventColumns + ` FROM events WHERE id = ?`)
	stmt.BindText(1, id)
	err = rows(stmt, func() { e, found = scanEvent(stmt), true })
	if err == nil && !found {
		err = fmt.Errorf("event %s: %w", id, store.ErrNotFound)
	}
	return e, err
}

func selectItems(c *conn, run string) (items []durable.Item, err error) {
	stmt := c.Prep(`SELECT ` + itemColumns + ` FROM queue WHERE run = ? ORDER BY step`)
	stmt.BindText(1, run)
	err = rows(stmt, func() { items = append(items, scanItem(stmt)) })
	return items, err
}

// Event returns an event.
func (s *Store) Event(ctx context.Context, id string) (e durable.Event, err error) {
	err = s.read(ctx, func(c *conn) error {
		e, err = selectEvent(c, id)
		return err
	})
	return e, err
}

// last is greater than every id.
const last = "~"

// Events lists events, newest first.
func (s *Store) Events(ctx context.Context, f store.EventFilter, p store.Page) (events []durable.Event, err error) {
	var where strings.Builder
	where.WriteString(`id < $cursor AND received >= $after AND received < $before`)
	if f.Name != "" {
		where.WriteString(` AND name = $name`)
	}
	if !f.Internal {
		where.WriteString(` AND internal = 0`)
	}
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + eventColumns + ` FROM events WHERE ` + where.String() + ` ORDER BY id DESC LIMIT $limit`)
		stmt.SetText("$cursor", cursor(p))
		stmt.SetInt64("$after", micros(f.After))
		before := int64(math.MaxInt64)
		if !f.Before.IsZero() {
			before = micros(f.Before)
		}
		stmt.SetInt64("$before", before)
		if f.Name != "" {
			stmt.SetText("$name", f.Name)
		}
		stmt.SetInt64("$limit", int64(p.Limit))
		return rows(stmt, func() { events = append(events, scanEvent(stmt)) })
	})
	return events, err
}

func cursor(p store.Page) string {
	if p.Cursor == "" {
		return last
	}
	return p.Cursor
}

// Run returns a run without its steps.
func (s *Store) Run(ctx context.Context, id string) (r *durable.Run, err error) {
	err = s.read(ctx, func(c *conn) error {
		if r, err = selectRun(c, id); err != nil {
			return err
		}
		_, err := readEvents(c, r)
		return err
	})
	return r, err
}

// Journal returns entries of a run.
func (s *Store) Journal(ctx context.Context, run string, seq int) (entries []durable.Entry, err error) {
	err = s.read(ctx, func(c *conn) error {
		entries, err = selectJournal(c, run, seq)
		return err
	})
	return entries, err
}

func selectJournal(c *conn, run string, seq int) (entries []durable.Entry, err error) {
	stmt := c.Prep(`SELECT ` + entryColumns + ` FROM journal WHERE run = ? AND n > ? ORDER BY n`)
	stmt.BindText(1, run)
	stmt.BindInt64(2, int64(seq))
	err = rows(stmt, func() { entries = append(entries, scanEntry(stmt)) })
	return entries, err
}

// Items returns what is queued for a run.
func (s *Store) Items(ctx context.Context, run string) (items []durable.Item, err error) {
	err = s.read(ctx, func(c *conn) error {
		items, err = selectItems(c, run)
		return err
	})
	return items, err
}

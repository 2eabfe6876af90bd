package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// insertLetter writes a dead letter and counts it in its group. It returns how
// many of them are open.
func insertLetter(c *conn, l durable.DeadLetter) (open int, err error) {
	stmt := c.Prep(`INSERT INTO dead_letters (run, function, app, class, fingerprint, title, reason, step, attempts, failed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	for i, v := range []string{l.Run, l.Function, l.App, string(l.Class), l.Fingerprint, l.Title, l.Reason, l.Step} {
		stmt.BindText(i+1, v)
	}
	stmt.BindInt64(9, int64(l.Attempts))
	stmt.BindInt64(10, micros(l.Failed))
	if err := exec(stmt); err != nil {
		return 0, err
	}
	if err := countTrend(c, l); err != nil {
		return 0, err
	}
	stmt = c.Prep(`INSERT INTO dead_groups
			(fingerprint, function, app, class, title, open, retried, discarded, live, first, last, newest)
		VALUES (?, ?, ?, ?, ?, 1, 0, 0, 1, ?6, ?6, ?7)
		ON CONFLICT (fingerprint) DO UPDATE SET open = open + 1, live = 1, title = excluded.title,
		newest = CASE WHEN excluded.last >= last THEN excluded.newest ELSE newest END,
		first = min(first, excluded.first), last = max(last, excluded.last) RETURNING open`)
	for i, v := range []string{l.Fingerprint, l.Function, l.App, string(l.Class), cmp.Or(l.Group, l.Title)} {
		stmt.BindText(i+1, v)
	}
	stmt.BindInt64(6, micros(l.Failed))
	stmt.BindText(7, l.Run)
	err = rows(stmt, func() { open = stmt.ColumnInt(0) })
	return open, err
}

const letterColumns = `d.run, d.function, d.app, d.class, d.fingerprint, d.title, d.reason, d.step, d.attempts, d.failed,
	d.state, d.closed, d.retried_as, d.job, d.edited, d.why, d.note, events.id, events.name, events.at, events.received,
	COALESCE((SELECT p.run FROM dead_letters AS p WHERE p.retried_as = d.run AND p.retried_as <> ''),
		(SELECT o.run FROM dead_letters AS o WHERE o.run = runs.original), '')`

// fromLetters joins letters with the events that started their runs; %s is a
// place for an index to be named.
const fromLetters = ` FROM dead_letters AS d%s LEFT JOIN runs ON runs.id = d.run LEFT JOIN events ON events.id = runs.event`

func scanLetter(stmt *sqlite.Stmt) store.Letter {
	return store.Letter{
		DeadLetter: durable.DeadLetter{
			Run: stmt.ColumnText(0), Function: stmt.ColumnText(1), App: stmt.ColumnText(2),
			Class: durable.Class(stmt.ColumnText(3)), Fingerprint: stmt.ColumnText(4), Title: stmt.ColumnText(5),
			Reason: stmt.ColumnText(6), Step: stmt.ColumnText(7), Attempts: stmt.ColumnInt(8),
			Failed: fromMicros(stmt.ColumnInt64(9)),
		},
		State: store.LetterState(stmt.ColumnInt64(10)), Closed: fromMicros(stmt.ColumnInt64(11)),
		RetriedAs: stmt.ColumnText(12), Job: stmt.ColumnText(13), Edited: stmt.ColumnText(14),
		Why: stmt.ColumnText(15), Note: stmt.ColumnText(16),
		Event: durable.Event{
			ID: stmt.ColumnText(17), Name: stmt.ColumnText(18),
			At: fromMicros(stmt.ColumnInt64(19)), Received: fromMicros(stmt.ColumnInt64(20)),
		},
		Of: stmt.ColumnText(21),
	}
}

func selectLetter(c *conn, run string) (l store.Letter, err error) {
	found := false
	stmt := c.Prep(`SELECT ` + letterColumns + fmt.Sprintf(fromLetters, "") + ` WHERE d.run = ?`)
	stmt.BindText(1, run)
	err = rows(stmt, func() { l, found = scanLetter(stmt), true })
	if err == nil && !found {
		err = fmt.Errorf("dead letter of run %s: %w", run, store.ErrNotFound)
	}
	return l, err
}

// DeadLetter returns the letter of a run.
func (s *Store) DeadLetter(ctx context.Context, run string) (l store.Letter, err error) {
	err = s.read(ctx, func(c *conn) error {
		l, err = selectLetter(c, run)
		return err
	})
	return l, err
}

// DeadLetters lists letters: those of each state are one range of an index, and
// are merged.
func (s *Store) DeadLetters(ctx context.Context, f store.LetterFilter, p store.Page) (list []store.Letter, err error) {
	states := []store.LetterState{store.Open, store.Retried, store.Discarded}
	if f.State != nil {
		states = []store.LetterState{*f.State}
	}
	err = s.read(ctx, func(c *conn) error {
		if f.Fingerprint != "" {
			// A group has one function and one class.
			g, err := selectGroup(c, f.Fingerprint)
			switch {
			case errors.Is(err, store.ErrNotFound):
				return nil
			case err != nil:
				return err
			case f.Function != "" && f.Function != g.Function, f.Class != "" && f.Class != g.Class:
				return nil
			}
		}
		from, err := letterPlace(c, f, p)
		if err != nil {
			return err
		}
		for _, state := range states {
			part, err := selectLetters(c, f, state, from, p.Limit)
			if err != nil {
				return err
			}
			list = append(list, part...)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b store.Letter) int {
		order := cmp.Or(a.Failed.Compare(b.Failed), cmp.Compare(a.Run, b.Run))
		if f.Oldest {
			return order
		}
		return -order
	})
	return list[:min(len(list), p.Limit)], err
}

// letterAt is a letter's place in a list.
type letterAt struct {
	failed int64
	run    string
}

// letterPlace is where a page begins.
func letterPlace(c *conn, f store.LetterFilter, p store.Page) (from letterAt, err error) {
	if p.Cursor == "" {
		if f.Oldest {
			return letterAt{failed: math.MinInt64}, nil
		}
		return letterAt{failed: math.MaxInt64}, nil
	}
	if at, run, ok := strings.Cut(p.Cursor, "."); ok {
		from.run = run
		from.failed, err = strconv.ParseInt(at, 10, 64)
		return from, err
	}
	found := false
	stmt := c.Prep(`SELECT failed, run FROM dead_letters WHERE run = ?`)
	stmt.BindText(1, p.Cursor)
	err = rows(stmt, func() { from, found = letterAt{stmt.ColumnInt64(0), stmt.ColumnText(1)}, true })
	if err == nil && !found {
		err = fmt.Errorf("dead letter of run %s: %w", p.Cursor, store.ErrNotFound)
	}
	return from, err
}

// lettersSQL asks for the letters of one state: a range of the index whose
// columns are what the filter names.
func lettersSQL(f store.LetterFilter) string {
	index, where := "dead_letters_all", ""
	switch {
	case f.Fingerprint != "":
		index, where = "dead_letters_group", ` AND d.fingerprint = $fingerprint`
	case f.Function != "" && f.Class != "":
		index, where = "dead_letters_both", ` AND d.function = $function AND d.class = $class`
	case f.Function != "":
		index, where = "dead_letters_function", ` AND d.function = $function`
	case f.Class != "":
		index, where = "dead_letters_class", ` AND d.class = $class`
	}
	// One bound at each end, so that what comes before the page is not read.
	order := ` AND (d.failed, d.run) < ($failed, $run) AND d.failed >= $end ORDER BY d.failed DESC, d.run DESC LIMIT $limit`
	if f.Oldest {
		order = ` AND (d.failed, d.run) > ($failed, $run) AND d.failed < $end ORDER BY d.failed, d.run LIMIT $limit`
	}
	return `SELECT ` + letterColumns + fmt.Sprintf(fromLetters, " INDEXED BY "+index) +
		` WHERE d.state = $state` + where + order
}

func selectLetters(c *conn, f store.LetterFilter, state store.LetterState, from letterAt, limit int) (list []store.Letter, err error) {
	stmt := c.Prep(lettersSQL(f))
	stmt.SetInt64("$state", int64(state))
	after, before := micros(f.After), int64(math.MaxInt64)
	if !f.Before.IsZero() {
		before = micros(f.Before)
	}
	end := after
	switch {
	case f.Oldest:
		end = before
		if after > from.failed {
			from = letterAt{failed: after} // no run's id is ""
		}
	case before <= from.failed:
		from = letterAt{failed: before}
	}
	stmt.SetInt64("$end", end)
	switch {
	case f.Fingerprint != "":
		stmt.SetText("$fingerprint", f.Fingerprint)
	default:
		if f.Function != "" {
			stmt.SetText("$function", f.Function)
		}
		if f.Class != "" {
			stmt.SetText("$class", string(f.Class))
		}
	}
	stmt.SetInt64("$failed", from.failed)
	stmt.SetText("$run", from.run)
	stmt.SetInt64("$limit", int64(limit))
	err = rows(stmt, func() { list = append(list, scanLetter(stmt)) })
	return list, err
}

const groupColumns = `fingerprint, function, app, class, title, open, retried, discarded, first, last, newest`

func scanGroup(stmt *sqlite.Stmt) store.LetterGroup {
	return store.LetterGroup{
		Fingerprint: stmt.ColumnText(0), Function: stmt.ColumnText(1), App: stmt.ColumnText(2),
		Class: durable.Class(stmt.ColumnText(3)), Title: stmt.ColumnText(4),
		Open: stmt.ColumnInt(5), Retried: stmt.ColumnInt(6), Discarded: stmt.ColumnInt(7),
		First: fromMicros(stmt.ColumnInt64(8)), Last: fromMicros(stmt.ColumnInt64(9)), Newest: stmt.ColumnText(10),
	}
}

func selectGroup(c *conn, fingerprint string) (g store.LetterGroup, err error) {
	found := false
	stmt := c.Prep(`SELECT ` + groupColumns + ` FROM dead_groups WHERE fingerprint = ?`)
	stmt.BindText(1, fingerprint)
	err = rows(stmt, func() { g, found = scanGroup(stmt), true })
	if err == nil && !found {
		err = fmt.Errorf("group %s: %w", fingerprint, store.ErrNotFound)
	}
	return g, err
}

// DeadGroup returns a group.
func (s *Store) DeadGroup(ctx context.Context, fingerprint string) (g store.LetterGroup, err error) {
	err = s.read(ctx, func(c *conn) error {
		g, err = selectGroup(c, fingerprint)
		return err
	})
	return g, err
}

// groupsSQL is as lettersSQL.
func groupsSQL(f store.GroupFilter) string {
	index, where := "dead_groups_all", ""
	switch {
	case f.Function != "" && f.Class != "":
		index, where = "dead_groups_both", ` AND function = $function AND class = $class`
	case f.Function != "":
		index, where = "dead_groups_function", ` AND function = $function`
	case f.Class != "":
		index, where = "dead_groups_class", ` AND class = $class`
	}
	return `SELECT ` + groupColumns + ` FROM dead_groups INDEXED BY ` + index + ` WHERE live = $live` + where +
		` AND (last, fingerprint) < ($last, $fingerprint) ORDER BY last DESC, fingerprint DESC LIMIT $limit`
}

// DeadGroups lists groups.
func (s *Store) DeadGroups(ctx context.Context, f store.GroupFilter, p store.Page) (list []store.LetterGroup, err error) {
	from, fingerprint := int64(math.MaxInt64), ""
	if p.Cursor != "" {
		if _, err := fmt.Sscanf(p.Cursor, "%d.%s", &from, &fingerprint); err != nil {
			return nil, fmt.Errorf("group %s: %w", p.Cursor, store.ErrNotFound)
		}
	}
	err = s.read(ctx, func(c *conn) error {
		for _, live := range []bool{true, false} {
			if !live && !f.Closed {
				continue
			}
			stmt := c.Prep(groupsSQL(f))
			stmt.SetBool("$live", live)
			if f.Function != "" {
				stmt.SetText("$function", f.Function)
			}
			if f.Class != "" {
				stmt.SetText("$class", string(f.Class))
			}
			stmt.SetInt64("$last", from)
			stmt.SetText("$fingerprint", fingerprint)
			stmt.SetInt64("$limit", int64(p.Limit))
			if err := rows(stmt, func() { list = append(list, scanGroup(stmt)) }); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b store.LetterGroup) int {
		return -cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return list[:min(len(list), p.Limit)], err
}

package sqlite

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Runs lists runs.
func (s *Store) Runs(ctx context.Context, f store.RunFilter, p store.Page) (list []*durable.Run, err error) {
	err = s.read(ctx, func(c *conn) error {
		list = nil
		ids, err := chooseRuns(c, f, p)
		if err != nil {
			return err
		}
		list, err = listRuns(c, ids)
		return err
	})
	return list, err
}

// Origins tells where runs come from.
func (s *Store) Origins(ctx context.Context, runs []*durable.Run, most int) (list []store.Origin, err error) {
	err = s.read(ctx, func(c *conn) error {
		list = make([]store.Origin, len(runs))
		for i, r := range runs {
			stmt := c.Prep(`SELECT CASE WHEN length(body) <= ? THEN body END FROM events WHERE id = ?`) // one that is long is not read
			stmt.BindInt64(1, int64(most))
			stmt.BindText(2, r.Events[0].ID)
			if err := rows(stmt, func() { list[i].Body = blob(stmt, 0) }); err != nil {
				return err
			}
			if r.Parent.Zero() {
				continue
			}
			stmt = c.Prep(`SELECT function FROM runs WHERE id = ?`)
			stmt.BindText(1, r.Parent.Run)
			if err := rows(stmt, func() { list[i].Parent = stmt.ColumnText(0) }); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// Repeats lists the runs that repeat another.
func (s *Store) Repeats(ctx context.Context, original string, limit int) (list []*durable.Run, err error) {
	err = s.read(ctx, func(c *conn) error {
		var ids []string
		stmt := c.Prep(`SELECT id FROM runs WHERE original = ? AND original <> '' ORDER BY id LIMIT ?`)
		stmt.BindText(1, original)
		stmt.BindInt64(2, int64(limit))
		if err := rows(stmt, func() { ids = append(ids, stmt.ColumnText(0)) }); err != nil {
			return err
		}
		list, err = listRuns(c, ids)
		return err
	})
	return list, err
}

// listRuns are the runs of those ids as lists have them.
func listRuns(c *conn, ids []string) (list []*durable.Run, err error) {
	for _, id := range ids {
		stmt := c.Prep(`SELECT ` + runColumns + `, events.name, events.at FROM runs
			LEFT JOIN events ON events.id = runs.event WHERE runs.id = ?`)
		stmt.BindText(1, id)
		err := rows(stmt, func() {
			r := scanRun(stmt)
			r.Events[0].Name, r.Events[0].At = stmt.ColumnText(runWidth), fromMicros(stmt.ColumnInt64(runWidth+1))
			list = append(list, r)
		})
		if err != nil {
			return nil, err
		}
		if n := len(list); n > 0 && list[n-1].ID == id {
			if err := readOthers(c, list[n-1]); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// chooseRuns returns the ids of a list, in its order.
func chooseRuns(c *conn, f store.RunFilter, p store.Page) (ids []string, err error) {
	l, err := newRunList(c, f, p)
	if err != nil {
		return nil, err
	}
	if f.Event != "" {
		return l.ofEvent(c)
	}
	err = l.parts(c, func(function string, status int64) error { return l.add(c, function, status) })
	for _, m := range l.found {
		ids = append(ids, m.id)
	}
	return ids, err
}

// mark is a run's place in a list.
type mark struct {
	at int64 // microseconds
	id string
}

func (m mark) compare(n mark) int { return cmp.Or(cmp.Compare(m.at, n.at), cmp.Compare(m.id, n.id)) }

// runList is a list that is being made.
type runList struct {
	store.RunFilter
	limit  int
	oldest bool
	time   string // the column of the list's order
	lo, hi mark   // what is listed lies between them
	found  []mark // in order, no more than limit
}

// runTimes are the columns of the times, each with an index of its name.
var runTimes = [...]string{store.ByQueued: "queued", store.ByStarted: "started", store.ByEnded: "ended"}

func newRunList(c *conn, f store.RunFilter, p store.Page) (*runList, error) {
	l := &runList{
		RunFilter: f, limit: p.Limit, oldest: p.Oldest, time: runTimes[f.Time],
		lo: mark{at: math.MinInt64}, hi: mark{at: math.MaxInt64},
	}
	if !f.From.IsZero() {
		l.lo = mark{at: micros(f.From)} // less than any run of that time: no id is empty
	}
	if !f.Until.IsZero() {
		l.hi = mark{at: micros(f.Until)}
	}
	if p.Cursor == "" {
		return l, nil
	}
	m := mark{micros(p.At), p.Cursor}
	if p.At.IsZero() {
		var err error
		if m.at, err = l.timeOf(c, p.Cursor); err != nil {
			return nil, err
		}
	}
	switch {
	case p.Oldest && m.compare(l.lo) > 0:
		l.lo = m
	case !p.Oldest && m.compare(l.hi) < 0:
		l.hi = m
	}
	return l, nil
}

// timeOf is when the run of a cursor was; of one that is gone, about when it
// was made.
func (l *runList) timeOf(c *conn, id string) (at int64, err error) {
	if parsed, err := ulid.ParseStrict(id); err == nil {
		at = ulid.Time(parsed.Time()).UnixMicro()
	}
	stmt := c.Prep(`SELECT ` + l.time + ` FROM runs WHERE id = ?`)
	stmt.BindText(1, id)
	err = rows(stmt, func() { at = stmt.ColumnInt64(0) })
	return at, err
}

// parts calls each for the functions and statuses that the list is for and that
// there are. It goes through the index in steps from one to the next: a row value
// in place of the two statements would read all runs of a part to get past it.
func (l *runList) parts(c *conn, each func(function string, status int64) error) error {
	if l.Functions != nil {
		for _, f := range l.Functions {
			if err := l.statuses(c, f, each); err != nil {
				return err
			}
		}
		return nil
	}
	function, more := "", true
	for more {
		stmt := c.Prep(`SELECT function FROM runs INDEXED BY runs_queued WHERE function > ? ORDER BY function LIMIT 1`)
		stmt.BindText(1, function)
		more = false
		if err := rows(stmt, func() { function, more = stmt.ColumnText(0), true }); err != nil {
			return err
		}
		if more {
			if err := l.statuses(c, function, each); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *runList) statuses(c *conn, function string, each func(string, int64) error) error {
	status, more := int64(math.MinInt64), true
	for more {
		stmt := c.Prep(`SELECT status FROM runs INDEXED BY runs_queued WHERE function = ? AND status > ? ORDER BY status LIMIT 1`)
		stmt.BindText(1, function)
		stmt.BindInt64(2, status)
		more = false
		if err := rows(stmt, func() { status, more = stmt.ColumnInt64(0), true }); err != nil {
			return err
		}
		if more && (l.Statuses == nil || slices.Contains(l.Statuses, durable.Status(status))) {
			if err := each(function, status); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds the runs of one function and status that belong to the page.
func (l *runList) add(c *conn, function string, status int64) error {
	stmt := c.Prep(l.query())
	stmt.SetText("$function", function)
	stmt.SetInt64("$status", status)
	stmt.SetInt64("$lo", l.lo.at)
	stmt.SetText("$loid", l.lo.id)
	stmt.SetInt64("$hi", l.hi.at)
	stmt.SetText("$hiid", l.hi.id)
	stmt.SetInt64("$limit", int64(l.limit))
	if l.Deferred != nil {
		stmt.SetText("$deferred", durable.EventDeferred)
	}
	if err := rows(stmt, func() { l.found = append(l.found, mark{stmt.ColumnInt64(0), stmt.ColumnText(1)}) }); err != nil {
		return err
	}
	slices.SortFunc(l.found, func(a, b mark) int {
		if l.oldest {
			return a.compare(b)
		}
		return b.compare(a)
	})
	if len(l.found) < l.limit {
		return nil
	}
	l.found = l.found[:l.limit]
	if edge := l.found[l.limit-1]; l.oldest { // what lies beyond is on a later page
		l.hi = edge
	} else {
		l.lo = edge
	}
	return nil
}

func (l *runList) query() string {
	var q strings.Builder
	t := "runs." + l.time
	q.WriteString(`SELECT ` + t + `, runs.id FROM runs INDEXED BY runs_` + l.time)
	if l.Deferred != nil {
		q.WriteString(` JOIN events ON events.id = runs.event AND events.name `)
		if *l.Deferred {
			q.WriteString(`= $deferred`)
		} else {
			q.WriteString(`<> $deferred`)
		}
	}
	q.WriteString(` WHERE function = $function AND status = $status`)
	if l.Time != store.ByQueued {
		q.WriteString(` AND ` + t + ` <> 0`) // as its index says
	}
	q.WriteString(` AND (` + t + `, runs.id) > ($lo, $loid) AND (` + t + `, runs.id) < ($hi, $hiid) ORDER BY `)
	if l.oldest {
		q.WriteString(t + `, runs.id LIMIT $limit`)
	} else {
		q.WriteString(t + ` DESC, runs.id DESC LIMIT $limit`)
	}
	return q.String()
}

// ofEvent lists the runs of one event, which are few, by their ids.
func (l *runList) ofEvent(c *conn) (ids []string, err error) {
	sql := `SELECT id, status FROM runs WHERE event = $event AND id < $id
		UNION ALL SELECT id, status FROM run_events JOIN runs ON id = run WHERE run_events.event = $event AND run < $id ORDER BY id DESC`
	from := cmp.Or(l.hi.id, last)
	if l.oldest {
		sql = `SELECT id, status FROM runs WHERE event = $event AND id > $id
			UNION ALL SELECT id, status FROM run_events JOIN runs ON id = run WHERE run_events.event = $event AND run > $id ORDER BY id`
		from = l.lo.id
	}
	stmt := c.Prep(sql)
	stmt.SetText("$event", l.Event)
	stmt.SetText("$id", from)
	for len(ids) < l.limit {
		more, err := stmt.Step()
		if err != nil || !more {
			return ids, cmp.Or(err, stmt.Reset())
		}
		if l.Statuses == nil || slices.Contains(l.Statuses, durable.Status(stmt.ColumnInt64(1))) {
			ids = append(ids, stmt.ColumnText(0))
		}
	}
	return ids, stmt.Reset()
}

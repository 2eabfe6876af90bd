package sqlite

import (
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
)

// micros is t as it is stored; 0 stands for no time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// dueMicros is a due time as it is stored: what is rounded is rounded up, since
// nothing may happen before its time.
func dueMicros(t time.Time) int64 {
	us := micros(t)
	if t.Nanosecond()%1000 != 0 {
		us++
	}
	return us
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return dueFromMicros(us)
}

// The times that can be written for people, the years 1 to 9999. Others can
// only come from a damaged row.
var (
	minMicros = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC).UnixMicro()
	maxMicros = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro()
)

// dueFromMicros is never the zero time: a row of the queue is always due, also
// when its time was damaged.
func dueFromMicros(us int64) time.Time {
	return time.UnixMicro(min(max(us, minMicros), maxMicros)).UTC()
}

func blob(stmt *sqlite.Stmt, col int) durable.JSON {
	if stmt.ColumnType(col) == sqlite.TypeNull {
		return nil
	}
	b := make([]byte, stmt.ColumnLen(col))
	stmt.ColumnBytes(col, b)
	return b
}

func bindBlob(stmt *sqlite.Stmt, param int, b []byte) {
	if b == nil {
		stmt.BindNull(param)
		return
	}
	stmt.BindBytes(param, b)
}

// exec runs a prepared statement that returns no rows.
func exec(stmt *sqlite.Stmt) error {
	_, err := stmt.Step()
	if rerr := stmt.Reset(); err == nil {
		err = rerr
	}
	return err
}

const (
	flagGroup = 1 << iota
	flagRace
)

func insertEntry(c *conn, run string, n int, e durable.Entry) error {
	stmt := c.Prep(`INSERT INTO journal (run, n, step, kind, op, name, attempt, at, started, took, until, flags, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	var flags int64
	if e.Group {
		flags |= flagGroup
	}
	if e.Race {
		flags |= flagRace
	}
	stmt.BindText(1, run)
	stmt.BindInt64(2, int64(n))
	stmt.BindText(3, e.Step)
	stmt.BindInt64(4, int64(e.Kind))
	stmt.BindText(5, e.Op)
	stmt.BindText(6, e.Name)
	stmt.BindInt64(7, int64(e.Attempt))
	stmt.BindInt64(8, micros(e.At))
	stmt.BindInt64(9, micros(e.Started))
	stmt.BindInt64(10, e.Took.Microseconds())
	stmt.BindInt64(11, micros(e.Until))
	stmt.BindInt64(12, flags)
	bindBlob(stmt, 13, e.Data)
	return exec(stmt)
}

const entryColumns = `step, kind, op, name, attempt, at, started, took, until, flags, data`

func scanEntry(stmt *sqlite.Stmt) durable.Entry {
	flags := stmt.ColumnInt64(9)
	return durable.Entry{
		Step: stmt.ColumnText(0), Kind: durable.EntryKind(stmt.ColumnInt64(1)),
		Op: stmt.ColumnText(2), Name: stmt.ColumnText(3), Attempt: stmt.ColumnInt(4),
		At: fromMicros(stmt.ColumnInt64(5)), Started: fromMicros(stmt.ColumnInt64(6)),
		Took:  time.Duration(stmt.ColumnInt64(7)) * time.Microsecond,
		Until: fromMicros(stmt.ColumnInt64(8)),
		Group: flags&flagGroup != 0, Race: flags&flagRace != 0,
		Data: blob(stmt, 10),
	}
}

func insertRun(c *conn, r *durable.Run) error {
	stmt := c.Prep(`INSERT INTO runs (id, function, app, version, event, status, queued, started, ended, protocol,
		parent_run, parent_step, original, cron, depth, keys, others, output) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	stmt.BindText(1, r.ID)
	stmt.BindText(2, r.Function)
	stmt.BindText(3, r.App)
	stmt.BindInt64(4, int64(r.Version))
	stmt.BindText(5, r.Events[0].ID)
	stmt.BindInt64(6, int64(r.Status))
	stmt.BindInt64(7, micros(r.Queued))
	stmt.BindInt64(8, micros(r.Started))
	stmt.BindInt64(9, micros(r.Ended))
	stmt.BindInt64(10, int64(r.Protocol))
	for i, v := range []string{r.Parent.Run, r.Parent.Step, r.Original, r.Cron} {
		stmt.BindText(11+i, v)
	}
	stmt.BindInt64(15, int64(r.Depth))
	stmt.BindText(16, r.Keys)
	stmt.BindInt64(17, int64(len(r.Events)-1))
	bindBlob(stmt, 18, r.Output)
	if err := exec(stmt); err != nil {
		return err
	}
	return insertRunEvents(c, r)
}

const runColumns = `runs.id, runs.function, runs.app, runs.version, runs.event, runs.status, runs.queued,
	runs.started, runs.ended, runs.protocol, runs.output, runs.parent_run, runs.parent_step, runs.original, runs.cron, runs.depth, runs.keys, runs.others`

// runWidth is how many columns these are: what is selected beside them follows.
const runWidth = 18

// scanRun reads a run without its journal, its items and its events but for the
// first one's id, and whether there are others.
func scanRun(stmt *sqlite.Stmt) *durable.Run {
	r := &durable.Run{
		ID: stmt.ColumnText(0), Function: stmt.ColumnText(1), App: stmt.ColumnText(2), Version: stmt.ColumnInt(3),
		Events: make([]durable.Event, 1, 2),
		Queued: fromMicros(stmt.ColumnInt64(6)),
		Head: durable.Head{
			Status:  durable.Status(stmt.ColumnInt64(5)),
			Started: fromMicros(stmt.ColumnInt64(7)), Ended: fromMicros(stmt.ColumnInt64(8)),
			Protocol: stmt.ColumnInt(9), Output: blob(stmt, 10),
		},
		Parent:   durable.Ref{Run: stmt.ColumnText(11), Step: stmt.ColumnText(12)},
		Original: stmt.ColumnText(13), Cron: stmt.ColumnText(14), Depth: stmt.ColumnInt(15), Keys: stmt.ColumnText(16),
		Steps: map[string]*durable.Step{}, Items: map[string]*durable.Item{},
	}
	r.Events[0].ID = stmt.ColumnText(4)
	if stmt.ColumnInt64(17) > 0 {
		r.Events = append(r.Events, durable.Event{}) // readOthers says which
	}
	return r
}

func hasRun(c *conn, id string) (there bool, err error) {
	stmt := c.Prep(`SELECT 1 FROM runs WHERE id = ?`)
	stmt.BindText(1, id)
	err = rows(stmt, func() { there = true })
	return there, err
}

func updateHead(c *conn, run string, h durable.Head) error {
	stmt := c.Prep(`UPDATE runs SET status = ?, started = ?, ended = ?, protocol = ?, output = ? WHERE id = ?`)
	stmt.BindInt64(1, int64(h.Status))
	stmt.BindInt64(2, micros(h.Started))
	stmt.BindInt64(3, micros(h.Ended))
	stmt.BindInt64(4, int64(h.Protocol))
	bindBlob(stmt, 5, h.Output)
	stmt.BindText(6, run)
	return exec(stmt)
}

func upsertItem(c *conn, i durable.Item) error {
	stmt := c.Prep(`INSERT INTO queue (run, step, kind, due, attempt, again, since, data, lane) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (run, step) DO UPDATE SET kind = excluded.kind, due = excluded.due,
		attempt = excluded.attempt, again = excluded.again, since = excluded.since, data = excluded.data, lane = excluded.lane`)
	stmt.BindText(1, i.Run)
	stmt.BindText(2, i.Step)
	stmt.BindInt64(3, int64(i.Kind))
	stmt.BindInt64(4, dueMicros(i.Due))
	stmt.BindInt64(5, int64(i.Attempt))
	stmt.BindBool(6, i.Again)
	stmt.BindInt64(7, micros(i.Since))
	bindBlob(stmt, 8, i.Data)
	stmt.BindText(9, i.Lane)
	return exec(stmt)
}

const itemColumns = `run, step, kind, due, attempt, again, since, data, lane`

// laneColumn is which of them is the lane.
const laneColumn = 8

func scanItem(stmt *sqlite.Stmt) durable.Item { return scanItemOf(stmt, stmt.ColumnText(laneColumn)) }

// scanItemOf reads an item whose lane is known: its name is kept once.
func scanItemOf(stmt *sqlite.Stmt, lane string) durable.Item {
	return durable.Item{
		Run: stmt.ColumnText(0), Step: stmt.ColumnText(1),
		Kind: durable.ItemKind(stmt.ColumnInt64(2)),
		Due:  dueFromMicros(stmt.ColumnInt64(3)), Attempt: stmt.ColumnInt(4), Again: stmt.ColumnBool(5),
		Since: fromMicros(stmt.ColumnInt64(6)), Data: blob(stmt, 7), Lane: lane,
	}
}

// selectItem returns an item, or nil.
func selectItem(c *conn, ref durable.Ref) (item *durable.Item, err error) {
	stmt := c.Prep(`SELECT ` + itemColumns + ` FROM queue WHERE run = ? AND step = ?`)
	stmt.BindText(1, ref.Run)
	stmt.BindText(2, ref.Step)
	err = rows(stmt, func() {
		i := scanItem(stmt)
		item = &i
	})
	return item, err
}

func deleteItem(c *conn, run, step string) error {
	stmt := c.Prep(`DELETE FROM queue WHERE run = ? AND step = ?`)
	stmt.BindText(1, run)
	stmt.BindText(2, step)
	return exec(stmt)
}

// deleteAll removes what a run that has ended has in the queue and rests for. It
// returns the gates of which the run held a slot.
func deleteAll(c *conn, run string) (gates []string, err error) {
	for _, sql := range [...]string{`DELETE FROM queue WHERE run = ?`, `DELETE FROM waits WHERE run = ?`} {
		stmt := c.Prep(sql)
		stmt.BindText(1, run)
		if err := exec(stmt); err != nil {
			return nil, err
		}
	}
	stmt := c.Prep(`DELETE FROM holders WHERE run = ? RETURNING gate`)
	stmt.BindText(1, run)
	err = rows(stmt, func() { gates = append(gates, stmt.ColumnText(0)) })
	return gates, err
}

// insertEvent reports false when an event of that id is there already.
func insertEvent(c *conn, seq int64, e durable.Event) (bool, error) {
	stmt := c.Prep(`INSERT INTO events (id, key, name, internal, at, received, body, seq, edits, trace, keyed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`)
	stmt.BindText(1, e.ID)
	stmt.BindText(2, e.Key)
	stmt.BindText(3, e.Name)
	stmt.BindBool(4, e.Internal() || e.Edits != "")
	stmt.BindInt64(5, micros(e.At))
	stmt.BindInt64(6, micros(e.Received))
	bindBlob(stmt, 7, e.Body)
	stmt.BindInt64(8, seq)
	stmt.BindText(9, e.Edits)
	stmt.BindText(10, e.Trace)
	stmt.BindBool(11, e.Keyed)
	err := exec(stmt)
	return err == nil && c.Changes() > 0, err
}

// eventSeq is the place of an event in the order of events.
func eventSeq(c *conn, id string) (seq int64, err error) {
	stmt := c.Prep(`SELECT seq FROM events WHERE id = ?`)
	stmt.BindText(1, id)
	err = rows(stmt, func() { seq = stmt.ColumnInt64(0) })
	return seq, err
}

const eventColumns = `id, key, name, at, received, body, edits, trace, keyed`

func scanEvent(stmt *sqlite.Stmt) durable.Event {
	return durable.Event{
		ID: stmt.ColumnText(0), Key: stmt.ColumnText(1), Name: stmt.ColumnText(2),
		At: fromMicros(stmt.ColumnInt64(3)), Received: fromMicros(stmt.ColumnInt64(4)), Body: blob(stmt, 5),
		Edits: stmt.ColumnText(6), Trace: stmt.ColumnText(7),
		Keyed: stmt.ColumnBool(8),
	}
}

package sqlite

import (
	"cmp"
	"math"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
)

// Rows are read ahead by a goroutine of its own, so that neither a claim nor a
// commit waits for the disk. What it has read is taken over when no group is being
// written, together with all that was committed since the reading was begun, which
// is noted for that: whatever the reading saw of those commits, the queue then knows
// what each row is.

// reading is something to be read: the next rows of a lane in memory, the next
// lanes of a group, or one lane that is apart.
type reading struct {
	lane  *lane
	group *laneGroup
	name  string // of the one lane of group; "": the next ones

	after place  // of lane: its horizon
	until int64  // of lane: no row that is due then or later
	from  string // of group: after this lane
	rows  int    // of a lane
	found []found
}

// found is what is on disk of a lane.
type found struct {
	name  string
	items []durable.Item
	until place     // all rows not after that were read
	next  time.Time // when the next one is due; zero: there is none
}

// readBatch is how many readings are done one after the other, before what they have
// found is taken over.
const readBatch = 32

// ahead is the part of a queue that has to do with reading ahead.
type ahead struct {
	asked  []*reading                // in order
	sought map[string]bool           // the single lanes among them that are apart
	kick   chan struct{}             // tells the reader that something was asked for
	log    map[slotKey]*durable.Item // what was committed since the reading began; nil when none is under way
	landed []*reading                // read, and waiting for the group that is being written
	merged chan struct{}             // closed when something that was asked for has been taken over, or has failed
	err    error                     // of the newest reading
}

// ask has something read.
func (q *queue) ask(r *reading) {
	switch {
	case r.lane != nil:
		r.lane.asked = true
	case r.name == "":
		r.group.asked = true
	}
	q.asked = append(q.asked, r)
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// reads reports whether something is being read.
func (q *queue) reads() bool { return len(q.asked) > 0 || q.log != nil }

// note remembers what an item has become, for what is being read; nil: it is gone.
func (q *queue) note(k slotKey, i *durable.Item) {
	if q.log != nil {
		q.log[k] = i
	}
}

// toRead takes what was asked for.
func (q *queue) toRead() []*reading {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.asked), readBatch)
	if n == 0 {
		return nil
	}
	batch := slices.Clone(q.asked[:n])
	q.asked = slices.Delete(q.asked, 0, n)
	for _, r := range batch {
		r.rows = q.share()
		if l := r.lane; l != nil {
			r.rows = min(max(r.rows, l.rows), window)
			r.after, r.until = l.horizon, l.ahead(q.now).due
		} else {
			r.rows, r.from = walkRows, r.group.after
			if q.crowded(r.group) {
				r.rows = 1 // it leaves again when it has had its turn
			}
		}
	}
	q.log = map[slotKey]*durable.Item{}
	return batch
}

// haveRead takes over what was read, or leaves that to whoever writes just now. It
// returns a channel that is closed then.
func (q *queue) haveRead(batch []*reading, err error) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	merged := q.merged
	q.err = err
	switch {
	case err != nil:
		q.give(batch)
	case q.inflight != nil:
		q.landed = batch
	default:
		q.merge(batch)
	}
	return merged
}

// give gives up on what could not be read: it is asked for again when somebody
// claims.
func (q *queue) give(batch []*reading) {
	q.log = nil
	for _, r := range batch {
		switch {
		case r.lane != nil && q.lanes[r.lane.name] == r.lane:
			r.lane.asked = false
			q.unknown(r.lane)
		case r.group != nil && r.name == "":
			r.group.asked, r.group.more = false, true
		case r.group != nil:
			r.group.more = true
			delete(q.sought, r.name)
		}
	}
	q.awake()
}

// unknown lets the next claim look again what a lane has.
func (q *queue) unknown(l *lane) {
	now := q.now
	q.now = time.Time{} // or it would be asked for at once
	q.seek(l)
	q.now = now
}

// awake tells those who wait for something that is read.
func (q *queue) awake() {
	close(q.merged)
	q.merged = make(chan struct{})
	q.rouse()
}

// land takes over what was read while a group was written.
func (q *queue) land() {
	if batch := q.landed; batch != nil {
		q.landed = nil
		q.merge(batch)
	}
}

// merge takes over what was read.
func (q *queue) merge(batch []*reading) {
	since := map[string][]durable.Item{} // by lane
	for _, i := range q.log {
		if i != nil {
			since[i.Lane] = append(since[i.Lane], *i)
		}
	}
	log := q.log
	q.log = nil
	for _, r := range batch {
		switch l := r.lane; {
		case l == nil:
			q.mergeGroup(r, log, since)
		case q.lanes[l.name] != l: // it was put apart meanwhile
		default:
			l.asked = false
			before := l.due.Len()
			q.extend(l, r.found[0], log, since[l.name])
			switch {
			case l.due.Len() > before:
				l.rows = 0
			default: // what was read is claimed by now, or gone
				l.rows = 2 * r.rows
			}
			q.seek(l)
		}
	}
	q.trim()
	q.awake()
}

// extend adds what was found of a lane, as it is by now.
func (q *queue) extend(l *lane, f found, log map[slotKey]*durable.Item, since []durable.Item) {
	l.horizon, l.next = f.until, f.next
	for _, i := range f.items {
		if _, changed := log[slotKey{i.Run, i.Step}]; !changed {
			q.add(l, i)
		}
	}
	for _, i := range since {
		if l.horizon.before(placeOf(i)) {
			l.later(i.Due)
		} else {
			q.add(l, i)
		}
	}
}

// mergeGroup takes over lanes that were apart.
func (q *queue) mergeGroup(r *reading, log map[slotKey]*durable.Item, since map[string][]durable.Item) {
	g := r.group
	for _, f := range r.found {
		if q.lanes[f.name] != nil {
			continue // it was not apart
		}
		l := newLane(f.name)
		l.walked = r.name == ""
		q.hold(l)
		q.extend(l, f, log, since[f.name])
		q.seek(l)
	}
	if r.name != "" {
		delete(q.sought, r.name)
		return
	}
	g.asked = false
	if len(r.found) == walkLanes {
		g.after = r.found[walkLanes-1].name
	} else {
		q.arrive(g)
	}
	q.step(g)
}

// readAheadLoop reads what is asked for until the store is closed.
func (s *Store) readAheadLoop() {
	q := &s.queue
	for {
		select {
		case <-q.kick:
		case <-s.closing:
			return
		}
		for batch := q.toRead(); batch != nil; batch = q.toRead() {
			err := s.readAhead(batch)
			select {
			case <-q.haveRead(batch, err):
			case <-s.closing:
				return
			}
			if err != nil {
				break
			}
		}
	}
}

// readAhead reads a batch, as the disk is at one moment.
func (s *Store) readAhead(batch []*reading) (err error) {
	end := sqlitex.Transaction(s.ahead.Conn)
	defer end(&err)
	for _, r := range batch {
		r.found = nil
		switch {
		case r.lane != nil:
			err = r.readLane(s.ahead)
		case r.name != "":
			err = r.readApart(s.ahead)
		default:
			err = r.readNext(s.ahead)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readLane reads the next rows of a lane.
func (r *reading) readLane(c *conn) error {
	f := found{name: r.lane.name, until: place{due: r.until}}
	stmt := c.Prep(`SELECT ` + itemColumns + ` FROM queue
		WHERE lane = ? AND (due, run, step) > (?, ?, ?) AND due < ? ORDER BY due, run, step`)
	stmt.BindText(1, f.name)
	stmt.BindInt64(2, r.after.due)
	stmt.BindText(3, r.after.run)
	stmt.BindText(4, r.after.step)
	stmt.BindInt64(5, r.until)
	if err := firstRows(stmt, r.rows, func() { f.items = append(f.items, scanItemOf(stmt, f.name)) }); err != nil {
		return err
	}
	whole := len(f.items) < r.rows
	if !whole {
		f.until = placeOf(f.items[r.rows-1])
	}
	if !whole || r.lane.timed {
		var err error
		if f.next, err = readNextDue(c, f.name, f.until); err != nil {
			return err
		}
	}
	r.found = []found{f}
	return nil
}

func readNextDue(c *conn, lane string, after place) (next time.Time, err error) {
	stmt := c.Prep(`SELECT due FROM queue WHERE lane = ? AND (due, run, step) > (?, ?, ?) ORDER BY due, run, step LIMIT 1`)
	stmt.BindText(1, lane)
	stmt.BindInt64(2, after.due)
	stmt.BindText(3, after.run)
	stmt.BindText(4, after.step)
	err = rows(stmt, func() { next = dueFromMicros(stmt.ColumnInt64(0)) })
	return next, err
}

// readApart reads the first rows of the one lane that is looked for.
func (r *reading) readApart(c *conn) error {
	stmt := c.Prep(`SELECT ` + itemColumns + ` FROM queue WHERE lane = ? ORDER BY due, run, step`)
	stmt.BindText(1, r.name)
	return r.readFirst(stmt)
}

// readNext reads the first rows of each of the next lanes of a group.
func (r *reading) readNext(c *conn) error {
	after := cmp.Or(r.from, r.group.name)
	for len(r.found) < walkLanes {
		stmt := c.Prep(`SELECT ` + itemColumns + ` FROM queue WHERE lane > ? AND lane < ? ORDER BY lane, due, run, step`)
		stmt.BindText(1, after)
		stmt.BindText(2, r.group.name+pastKeys)
		before := len(r.found)
		if err := r.readFirst(stmt); err != nil {
			return err
		}
		if len(r.found) == before {
			return nil
		}
		after = r.found[before].name
	}
	return nil
}

// pastKeys comes after all keys, in the order of names.
const pastKeys = "\x7f"

// readFirst reads the first rows of the lane that a statement comes to first.
func (r *reading) readFirst(stmt *sqlite.Stmt) error {
	var f found
	for {
		more, err := stmt.Step()
		if err != nil {
			return err // the statement has ended
		}
		if !more || f.items != nil && stmt.ColumnText(laneColumn) != f.name {
			f.until, f.next = place{due: math.MaxInt64}, time.Time{}
			break
		}
		if len(f.items) == r.rows {
			f.until, f.next = placeOf(f.items[r.rows-1]), atOnce
			break
		}
		if f.items == nil {
			f.name = stmt.ColumnText(laneColumn)
		}
		f.items = append(f.items, scanItemOf(stmt, f.name))
	}
	if f.items != nil {
		r.found = append(r.found, f)
	}
	return stmt.Reset()
}

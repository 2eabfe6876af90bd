package sqlite

import (
	"context"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
)

// queue is all lanes in memory, and the leases. A lane that has something to claim
// is offered on the board, which says whose turn it is; the others stand in the
// clock, or are being read.
type queue struct {
	mu         sync.Mutex
	byKey      map[slotKey]*slot
	lanes      map[string]*lane
	groups     map[string]*laneGroup // that have lanes in memory, or apart
	apart      map[*laneGroup]bool   // that have lanes apart
	clock      clock
	board      *flow.Board
	limits     func(lane string) (flow.Class, []flow.GateSpec) // nil: no limits
	leased     slots
	free       int // slots that are not claimed
	max        int // of those; more stay on disk alone
	keyed      int // lanes of keys in memory
	maxLanes   int // of those
	freed      int // how often a gate may have let another pass
	now        time.Time
	generation int64
	wake       chan struct{}

	ahead

	// inflight is the group that is being written. Whether what is read of it
	// meanwhile is there already, nobody can tell, so that it is taken over when the
	// group has been.
	inflight []*write
	unsure   []string // gates that were read meanwhile
}

func (q *queue) init() {
	q.byKey, q.lanes, q.groups, q.apart = map[slotKey]*slot{}, map[string]*lane{}, map[string]*laneGroup{}, map[*laneGroup]bool{}
	q.board = flow.NewBoard()
	q.wake = make(chan struct{}, 1)
	q.max, q.maxLanes = maxSlots, maxLanes
	q.sought, q.kick, q.merged = map[string]bool{}, make(chan struct{}, 1), make(chan struct{})
}

func (q *queue) offer(l *lane) {
	class, specs := flow.Continue, []flow.GateSpec(nil)
	if !l.bound && q.limits != nil {
		class, specs = q.limits(l.name)
		if l.group != nil {
			l.group.tangled = entangles(specs)
		}
	}
	l.offered, l.bound = true, true
	q.board.Offer(l.name, class, l.group.of(), specs)
}

// begin tells that the rows of group are about to change on disk. Either
// committed or failed follows.
func (q *queue) begin(group []*write) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inflight = group
}

// failed tells that the rows of the group did not change.
func (q *queue) failed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.written()
}

// written ends what begin began.
func (q *queue) written() {
	q.inflight = nil
	for _, gate := range q.unsure {
		q.board.Refresh(gate)
	}
	q.unsure = q.unsure[:0]
	q.land()
}

// add makes a slot of an item, unless it has one.
func (q *queue) add(l *lane, i durable.Item) {
	if q.byKey[slotKey{i.Run, i.Step}] != nil {
		return
	}
	n := &slot{Item: i}
	n.Claimed = false
	q.byKey[n.key()] = n
	l.due.Push(n)
	q.free++
}

func (q *queue) remove(k slotKey) {
	q.note(k, nil)
	sl := q.byKey[k]
	if sl == nil {
		return
	}
	delete(q.byKey, k)
	if sl.Claimed {
		q.leased.Remove(sl.pos)
		q.giveBack(sl)
		return
	}
	l := q.lanes[sl.Lane]
	l.due.Remove(sl.pos)
	q.free--
	q.seek(l)
}

// committed takes over what a group has written.
func (q *queue) committed(group []*write) {
	q.mu.Lock()
	defer q.mu.Unlock()
	woke := false
	for _, w := range group {
		if w.outcome != nil {
			continue // nothing of it was written
		}
		if w.begins && !w.final {
			q.began(slotKey{w.run, durable.Discovery})
		}
		for _, step := range w.change.Drop {
			q.remove(slotKey{w.run, step})
		}
		for _, ref := range w.removed {
			q.remove(slotKey(ref))
		}
		if len(w.freed) > 0 {
			q.board.Free(w.freed)
			q.frees(w.lane)
		}
		for _, p := range w.change.Put {
			woke = q.put(p) || woke
		}
		for _, item := range w.items {
			woke = q.put(durable.Put{Item: item}) || woke
		}
	}
	q.written()
	q.trim()
	if woke {
		q.rouse()
	}
}

// rouse leaves a wake-up for whoever waits.
func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// put takes over one written item and reports whether somebody may be waiting
// for it.
func (q *queue) put(p durable.Put) bool {
	k := slotKey{p.Run, p.Step}
	if old := q.byKey[k]; old != nil && old.Claimed && p.KeepClaim {
		old.Due, old.Attempt, old.Again, old.Since, old.Data, old.Lane = p.Due, p.Attempt, p.Again, p.Since, p.Data, p.Lane
		q.note(k, &p.Item)
		return false
	}
	n := p.Item
	if old := q.byKey[k]; old != nil {
		n.Generation = old.Generation
	}
	q.remove(k)
	q.note(k, &n)
	l := q.laneFor(n.Lane)
	switch {
	case l == nil:
		q.stirs(n.Lane)
	case l.horizon.before(placeOf(n)): // it stays on disk until its time comes
		l.later(n.Due)
		q.seek(l)
	default:
		q.add(l, n)
		q.seek(l)
	}
	return true
}

// laneFor returns the lane for a row that is on disk and of which nobody in memory
// knows. It is nil if the row is left there, since its lane is apart.
func (q *queue) laneFor(name string) *lane {
	if l := q.lanes[name]; l != nil {
		return l
	}
	if of := durable.LaneGroup(name); of != "" {
		if g := q.groupOf(of); g.apart || q.full(g) {
			q.leaves(g)
			return nil
		}
	}
	return q.lane(name)
}

// Limit says behind which gates lanes stand, from now on.
func (s *Store) Limit(limits func(lane string) (flow.Class, []flow.GateSpec)) {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limits = limits
	q.board.Change(func(lane string) []flow.GateSpec {
		_, specs := limits(lane)
		if g := q.lanes[lane].group; g != nil {
			g.tangled = entangles(specs)
		}
		return specs
	})
	for g := range q.apart {
		g.more, g.barren, g.rest = true, false, time.Time{}
		q.step(g)
	}
	q.rouse()
}

// Holding says which gate keeps a run's items from being claimed.
func (s *Store) Holding(_ context.Context, run, step string) (gate string) {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if sl := q.byKey[slotKey{run, step}]; sl != nil && !sl.Claimed {
		return q.board.Holding(sl.Lane)
	}
	return ""
}

// Wake tells when something may be due earlier than thought.
func (s *Store) Wake() <-chan struct{} { return s.queue.wake }

// readLanes finds the lanes that have no keys, and the groups of those that have,
// of which all are apart: a walk from one to the next, whose cost is that of the
// functions and not of the keys and rows.
func (q *queue) readLanes(c *conn) error {
	stmt := c.Prep(`SELECT lane, due FROM queue WHERE lane >= ? ORDER BY lane, due LIMIT 1`)
	for after := ""; ; {
		stmt.BindText(1, after)
		found := false
		err := rows(stmt, func() {
			found = true
			after = stmt.ColumnText(0)
			if of := durable.LaneGroup(after); of != "" {
				after = of + pastKeys
				g := q.groupOf(of)
				q.leaves(g)
				g.more = true
				return
			}
			l := newLane(after)
			l.next = dueFromMicros(stmt.ColumnInt64(1))
			q.hold(l)
			q.seek(l)
		})
		if err != nil || !found {
			return err
		}
		stmt = c.Prep(`SELECT lane, due FROM queue WHERE lane > ? ORDER BY lane, due LIMIT 1`)
	}
}

package sqlite

import (
	"context"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/heap"
	"github.com/pawlhq/pawl/internal/store"
)

// slot is a queue row in memory.
type slot struct {
	durable.Item
	until time.Time // end of the lease, while claimed
	pass  flow.Pass // what the lease holds at the gates
	pos   int       // in the heap that it is in
}

type slotKey durable.Ref

func (s *slot) key() slotKey { return slotKey{s.Run, s.Step} }

// slots is a heap, by due time or, of leases, by end.
type slots = heap.Heap[*slot, byTime]

type byTime struct{}

func (byTime) Before(a, b *slot) bool {
	x, y := a.when(), b.when()
	if x.Equal(y) {
		return a.Run < b.Run
	}
	return x.Before(y)
}

func (byTime) Moved(s *slot, to int) { s.pos = to }

func (s *slot) when() time.Time {
	if s.Claimed {
		return s.until
	}
	return s.Due
}

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

// giveBack ends what a lease holds at the gates. What it has taken of rates comes
// back as well, unless a run has begun by it.
func (q *queue) giveBack(sl *slot) {
	pass := sl.pass
	sl.pass = flow.Pass{}
	q.board.Undo(pass)
	if len(pass.Slots)+len(pass.Stays)+len(pass.Rates) > 0 {
		q.frees(sl.Lane)
	}
}

// frees says that something was given back at the gates of a lane.
func (q *queue) frees(name string) {
	q.freed++
	if len(q.apart) > 0 {
		q.stirs(name)
		q.stirs(durable.LaneBeside(name))
	}
	if q.board.Ready() {
		q.rouse()
	}
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

// began notes that a run has begun: what its lease holds for as long as the run
// lasts is the run's now, and what it took of rates is used up.
func (q *queue) began(k slotKey) {
	if sl := q.byKey[k]; sl != nil {
		sl.pass = q.board.Began(sl.pass)
	}
}

// passOf is what the lease of an item holds.
func (q *queue) passOf(k slotKey) flow.Pass {
	q.mu.Lock()
	defer q.mu.Unlock()
	if sl := q.byKey[k]; sl != nil {
		return sl.pass
	}
	return flow.Pass{}
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

// holds reports whether a lease is in force.
func (q *queue) holds(l store.Lease) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	sl := q.byKey[slotKey{l.Run, l.Step}]
	return sl != nil && sl.Claimed && sl.Generation == l.Generation
}

// mark notes in a run read from disk which of its items are claimed.
func (q *queue) mark(r *durable.Run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, item := range r.Items {
		if s := q.byKey[slotKey{r.ID, item.Step}]; s != nil {
			item.Claimed, item.Generation = s.Claimed, s.Generation
		}
	}
}

// Claim leases items that are due.
func (s *Store) Claim(ctx context.Context, now time.Time, ttl time.Duration, limit int) ([]store.Lease, error) {
	leases, err := s.queue.claim(ctx, s, now, now.Add(ttl), limit)
	for _, l := range leases {
		s.markHead(l.Item)
	}
	if len(leases) > 0 {
		return leases, nil // what could not be read is read the next time
	}
	return nil, err
}

// markHead notes a claim in the run's head, if it is in memory.
func (s *Store) markHead(i durable.Item) {
	h := s.heads.peek(i.Run)
	if h == nil {
		return
	}
	h.mu.Lock()
	if h.run != nil {
		// While a change of the item is on its way to the disk, the queue hands
		// out what it was before: such a claim ends with the change.
		item := h.run.Items[i.Step]
		if item != nil && item.Generation <= i.Generation && placeOf(*item) == placeOf(i) && item.Attempt == i.Attempt {
			item.Claimed, item.Generation = i.Claimed, i.Generation
		}
	}
	s.unload(h)
}

func (q *queue) claim(ctx context.Context, s *Store, now, until time.Time, limit int) (leases []store.Lease, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		leases, err = q.take(now, until, limit)
		if err != nil || len(leases) > 0 || !q.reads() {
			return leases, err
		}
		// What is being read may be claimed.
		merged := q.merged
		q.mu.Unlock()
		select {
		case <-merged:
		case <-ctx.Done():
			err = ctx.Err()
		case <-s.closing:
			err = store.ErrClosed
		}
		q.mu.Lock()
		if err == nil {
			err, q.err = q.err, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// take leases what is in memory, and asks for what is not.
func (q *queue) take(now, until time.Time, limit int) (leases []store.Lease, err error) {
	q.now = now
	for q.leased.Len() > 0 && !q.leased.First().until.After(now) {
		q.release(q.leased.First())
	}
	for q.clock.Len() > 0 && !q.clock.First().at.After(now) {
		q.seek(q.clock.Pop())
	}
	for len(leases) < limit {
		name, pass, ok, err := q.board.Next(now)
		if err != nil {
			return leases, err
		}
		if !ok {
			break
		}
		l := q.lanes[name]
		l.offered = false
		if !l.head(now) { // the clock was set back since it was offered
			q.board.Undo(pass)
			q.seek(l)
			continue
		}
		sl := l.due.Pop()
		q.free--
		q.generation++
		sl.Claimed, sl.Generation, sl.until, sl.pass = true, q.generation, until, pass
		q.leased.Push(sl)
		leases = append(leases, store.Lease{Item: sl.Item, Until: until})
		q.turned(l)
	}
	q.look()
	return leases, nil
}

// turned brings a lane that has had its turn to where it belongs.
func (q *queue) turned(l *lane) {
	g := l.group
	if g != nil && l.walked {
		l.walked = false
		g.turns++
	}
	if g != nil && g.apart && !l.earliest().IsZero() {
		switch {
		case q.crowded(g) && !g.barren && (!g.walks || l.name <= g.after): // or the walk would come to it again
			q.putApart(l)
			g.more = true
			return
		case g.walks:
			l.held = true
			g.held = append(g.held, l)
		}
	}
	q.seek(l)
}

// release ends the claim on a slot.
func (q *queue) release(sl *slot) {
	q.leased.Remove(sl.pos)
	sl.Claimed = false
	q.giveBack(sl)
	l := q.laneFor(sl.Lane)
	switch {
	case l == nil:
		delete(q.byKey, sl.key())
		q.stirs(sl.Lane)
	case l.horizon.before(placeOf(sl.Item)):
		delete(q.byKey, sl.key())
		l.later(sl.Due)
		q.seek(l)
	default:
		l.due.Push(sl)
		q.free++
		q.seek(l)
	}
}

// Extend keeps a lease.
func (s *Store) Extend(_ context.Context, l store.Lease, now time.Time, ttl time.Duration) (bool, error) {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	sl := q.byKey[slotKey{l.Run, l.Step}]
	if sl == nil || !sl.Claimed || sl.Generation != l.Generation {
		return false, nil
	}
	sl.until = now.Add(ttl)
	q.leased.Fix(sl.pos)
	return true, nil
}

// Settle ends an item that is no run's.
func (s *Store) Settle(ctx context.Context, l store.Lease, now time.Time, after store.Settled) error {
	w := newWrite(now)
	w.lease, w.settled, w.accepted = &l, after, after.Accepted
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
}

// Release gives items back.
func (s *Store) Release(_ context.Context, leases []store.Lease) error {
	q := &s.queue
	for _, l := range leases {
		q.mu.Lock()
		sl := q.byKey[slotKey{l.Run, l.Step}]
		held := sl != nil && sl.Claimed && sl.Generation == l.Generation
		if held {
			q.release(sl)
			q.rouse()
		}
		q.mu.Unlock()
		if held {
			l.Claimed = false
			s.markHead(l.Item)
		}
	}
	return nil
}

// NextDue is when there may be something to claim.
func (s *Store) NextDue(context.Context) (time.Time, bool, error) {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.board.Ready() {
		return atOnce, true, nil
	}
	var t time.Time
	first := func(at time.Time) {
		if !at.IsZero() && (t.IsZero() || at.Before(t)) {
			t = at
		}
	}
	first(q.board.Opens())
	if q.clock.Len() > 0 {
		first(q.clock.First().at)
	}
	if q.leased.Len() > 0 {
		first(q.leased.First().until)
	}
	for g := range q.apart {
		first(g.looks(q.freed))
	}
	return t, !t.IsZero(), nil
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

// storedGate reads what runs hold of a gate from before, and what its rate has
// admitted. The queue is locked.
func (s *Store) storedGate(gate string) (held int, taken time.Time, err error) {
	c := s.gates
	stmt := c.Prep(`SELECT count(*) FROM holders WHERE gate = ? AND gate >= 'run/' AND gate < 'run0'`)
	stmt.BindText(1, gate)
	if err := rows(stmt, func() { held = stmt.ColumnInt(0) }); err != nil {
		return 0, taken, fault(err)
	}
	stmt = c.Prep(`SELECT taken FROM rates WHERE gate = ?`)
	stmt.BindText(1, gate)
	err = rows(stmt, func() { taken = fromMicros(stmt.ColumnInt64(0)) })
	if s.queue.inflight != nil {
		s.queue.unsure = append(s.queue.unsure, gate)
	}
	return held, taken, fault(err)
}

// insertHolders writes what a run that begins holds until it ends, and what the
// rates that it passed have admitted.
func insertHolders(c *conn, run string, pass flow.Pass, now time.Time) error {
	for _, gate := range pass.Stays {
		if err := insertHolder(c, run, gate); err != nil {
			return err
		}
	}
	for _, p := range pass.Rates {
		if err := keepRate(c, p, now); err != nil {
			return err
		}
	}
	return nil
}

// keepRate writes what a rate has admitted. Each call also clears away a few
// that say nothing any more.
func keepRate(c *conn, p flow.Passed, now time.Time) error {
	stmt := c.Prep(`DELETE FROM rates WHERE gate IN (SELECT gate FROM rates WHERE taken <= ? ORDER BY taken LIMIT 3)`)
	stmt.BindInt64(1, micros(now))
	if err := exec(stmt); err != nil {
		return err
	}
	stmt = c.Prep(`INSERT INTO rates (gate, taken) VALUES (?, ?) ON CONFLICT (gate) DO UPDATE SET taken = max(taken, excluded.taken)`)
	stmt.BindText(1, p.Gate)
	stmt.BindInt64(2, dueMicros(p.Taken))
	return exec(stmt)
}

package sqlite

import (
	"container/heap"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
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
type slots []*slot

func (h slots) when(i int) time.Time {
	if h[i].Claimed {
		return h[i].until
	}
	return h[i].Due
}

func (h slots) Len() int { return len(h) }
func (h slots) Less(i, j int) bool {
	a, b := h.when(i), h.when(j)
	if a.Equal(b) {
		return h[i].Run < h[j].Run
	}
	return a.Before(b)
}

func (h slots) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *slots) Push(x any) {
	s := x.(*slot)
	s.pos = len(*h)
	*h = append(*h, s)
}

func (h *slots) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return s
}

// window is how many rows are read from disk at a time, lookahead how far
// ahead of their time, and maxSlots how many there may be in memory before the
// later ones are left to the disk again.
const (
	window    = 4096
	lookahead = 10 * time.Second
	maxSlots  = 1 << 16
)

// place is a row's place in the order of the queue.
type place struct {
	due       int64
	run, step string
}

func placeOf(i durable.Item) place { return place{dueMicros(i.Due), i.Run, i.Step} }

func (p place) before(q place) bool {
	switch {
	case p.due != q.due:
		return p.due < q.due
	case p.run != q.run:
		return p.run < q.run
	default:
		return p.step < q.step
	}
}

// A lane is the rows that are alike for every limit, such as those of one
// function and key (durable.Item.Lane). It holds in memory its rows whose place
// is not after horizon, but for those that are claimed. No row after horizon is
// due before next: until then the disk need not be asked.
type lane struct {
	name    string
	timed   bool // rows wait for their time; in other lanes it only gives the order
	due     slots
	horizon place
	next    time.Time // zero: there is no row after horizon
	offered bool      // on the board, for its turn; else in the clock
	bound   bool      // known to the board
	pos     int       // in the clock; -1 when it is not there
	at      time.Time // its place there
}

func newLane(name string) *lane {
	return &lane{name: name, timed: durable.LaneIsTimed(name), horizon: place{due: math.MinInt64}, pos: -1}
}

// earliest is when something of the lane may be claimed; zero when it is empty.
func (l *lane) earliest() time.Time {
	t := l.next
	if len(l.due) > 0 && (t.IsZero() || l.due[0].Due.Before(t)) {
		t = l.due[0].Due
	}
	if !l.timed && !t.IsZero() {
		return atOnce
	}
	return t
}

// atOnce is a time that has always passed.
var atOnce = time.Unix(0, 1)

// head reports whether the lane has a row in memory that may be claimed.
func (l *lane) head(now time.Time) bool {
	return len(l.due) > 0 && (!l.timed || !l.due[0].Due.After(now))
}

// later notes that a row after horizon is due at t.
func (l *lane) later(t time.Time) {
	if l.next.IsZero() || t.Before(l.next) {
		l.next = t
	}
}

// clock is a heap of the lanes that nothing of may be claimed yet.
type clock []*lane

func (h clock) Len() int           { return len(h) }
func (h clock) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h clock) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *clock) Push(x any) {
	l := x.(*lane)
	l.pos = len(*h)
	*h = append(*h, l)
}

func (h *clock) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.pos = -1
	return l
}

// queue is all lanes, and the leases. A lane that has something to claim is
// offered on the board, which says whose turn it is; the others stand in the
// clock.
type queue struct {
	mu         sync.Mutex
	byKey      map[slotKey]*slot
	lanes      map[string]*lane
	clock      clock
	board      *flow.Board
	limits     func(lane string) (flow.Class, []flow.GateSpec) // nil: no limits
	stays      map[string][]string                             // gates of which a run holds a slot until it ends
	leased     slots
	free       int // slots that are not claimed
	max        int // of those; more stay on disk alone
	now        time.Time
	generation int64
	wake       chan struct{}

	// inflight is the group that is being written. Whether a row of it that is
	// read meanwhile was there before or is new, nobody can tell, so refill
	// leaves those to committed, and notes the lanes that they are in.
	inflight []*write
	skipped  map[string]bool
}

func (q *queue) init() {
	q.byKey, q.lanes, q.stays, q.skipped = map[slotKey]*slot{}, map[string]*lane{}, map[string][]string{}, map[string]bool{}
	q.board = flow.NewBoard()
	q.wake = make(chan struct{}, 1)
	q.max = maxSlots
}

// lane returns a lane. One that is not in memory has no rows on disk but those
// that are claimed.
func (q *queue) lane(name string) *lane {
	l := q.lanes[name]
	if l == nil {
		l = newLane(name)
		if !q.now.IsZero() {
			l.horizon = l.ahead(q.now)
		}
		q.lanes[name] = l
	}
	return l
}

// ahead is the horizon of a lane all of whose rows that will soon be due are in
// memory.
func (l *lane) ahead(now time.Time) place {
	if !l.timed {
		return place{due: math.MaxInt64}
	}
	return place{due: micros(now.Add(lookahead)) + 1}
}

// seek brings a lane that has changed to where it belongs: onto the board, into
// the clock, or out of memory.
func (q *queue) seek(l *lane) {
	at := l.earliest()
	claimable := l.head(q.now)
	if l.bound && !claimable {
		q.board.Withdraw(l.name)
		l.offered, l.bound = false, false
	}
	switch {
	case at.IsZero():
		if l.pos >= 0 {
			heap.Remove(&q.clock, l.pos)
		}
		delete(q.lanes, l.name)
	case l.offered:
	case claimable && !q.now.IsZero():
		if l.pos >= 0 {
			heap.Remove(&q.clock, l.pos)
		}
		q.offer(l)
	default:
		l.at = at
		if l.pos >= 0 {
			heap.Fix(&q.clock, l.pos)
		} else {
			heap.Push(&q.clock, l)
		}
	}
}

func (q *queue) offer(l *lane) {
	class, specs := flow.Continue, []flow.GateSpec(nil)
	if q.limits != nil {
		class, specs = q.limits(l.name)
	}
	l.offered, l.bound = true, true
	q.board.Offer(l.name, class, specs)
}

// forget drops all of a lane that is not claimed, to be read from disk again.
func (q *queue) forget(l *lane) {
	for _, sl := range l.due {
		delete(q.byKey, sl.key())
		q.free--
	}
	l.due, l.horizon, l.next = nil, place{due: math.MinInt64}, atOnce // unknown: look at once
	q.seek(l)
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
	q.inflight = nil
	if len(q.skipped) == 0 {
		return
	}
	for name := range q.skipped {
		q.forget(q.lane(name))
	}
	clear(q.skipped)
	q.rouse()
}

// changing returns the keys of the items that the group in flight writes.
func (q *queue) changing() map[slotKey]bool {
	keys := map[slotKey]bool{}
	start := func(st durable.Start) {
		keys[slotKey{st.Run.ID, durable.ReportStep}] = true
		// By name: the run may be in memory already, and its items others' to change.
		for _, step := range []string{durable.Discovery, durable.StartStep} {
			keys[slotKey{st.Run.ID, step}] = true
		}
		if d := st.Park; d != nil {
			keys[slotKey(d.Item)], keys[slotKey(d.After(st.Run.Events[0].ID))] = true, true
		}
		if st.Dead != nil {
			keys[slotKey(tellItem)], keys[slotKey(agingItem)] = true, true
		}
	}
	for _, w := range q.inflight {
		if w.change.Dead != nil { // people may be told of it
			keys[slotKey(tellItem)], keys[slotKey(agingItem)] = true, true
		}
		for _, p := range w.change.Put {
			keys[slotKey{p.Run, p.Step}] = true
		}
		for _, a := range w.accepted {
			keys[slotKey{a.Event.ID, durable.DeliverStep}] = true
			for _, st := range a.Starts {
				start(st)
			}
		}
		for _, st := range slices.Concat(w.starts, w.settled.Starts, w.mayStart) {
			start(st)
		}
		for _, item := range w.queueing() {
			keys[slotKey{item.Run, item.Step}] = true
		}
		for _, ref := range w.rouse {
			keys[slotKey(ref)] = true
		}
	}
	return keys
}

// refill reads the first rows of a lane whose memory is empty, if there are any
// that may be claimed at now. The lock is kept while reading, so that a commit
// which removes one of these rows is seen after they were added.
func (q *queue) refill(ctx context.Context, s *Store, l *lane, now time.Time) error {
	for len(l.due) == 0 && !l.next.IsZero() && (!l.timed || !l.next.After(now)) {
		rows := min(window, max(leastWindow, q.max/2/max(len(q.lanes), 1)))
		until := l.ahead(now)
		items, err := s.readDue(ctx, l.name, l.horizon, until.due, rows)
		if err != nil {
			return err
		}
		horizon := until
		if len(items) == rows {
			horizon = placeOf(items[rows-1])
		}
		next, err := s.readNextDue(ctx, l.name, horizon)
		if err != nil {
			return err
		}
		changing := q.changing()
		for _, i := range items {
			if k := (slotKey{i.Run, i.Step}); !changing[k] {
				q.add(l, i)
			} else {
				q.skipped[l.name] = true
			}
		}
		l.horizon, l.next = horizon, next
	}
	return nil
}

// leastWindow is how many rows of a lane are read at least.
const leastWindow = 8

// add makes a slot of an item, unless it has one.
func (q *queue) add(l *lane, i durable.Item) {
	if q.byKey[slotKey{i.Run, i.Step}] != nil {
		return
	}
	n := &slot{Item: i}
	n.Claimed = false
	q.byKey[n.key()] = n
	heap.Push(&l.due, n)
	q.free++
}

func (q *queue) remove(k slotKey) {
	sl := q.byKey[k]
	if sl == nil {
		return
	}
	delete(q.byKey, k)
	if sl.Claimed {
		heap.Remove(&q.leased, sl.pos)
		q.giveBack(sl)
		return
	}
	l := q.lanes[sl.Lane]
	heap.Remove(&l.due, sl.pos)
	q.free--
	q.seek(l)
}

// giveBack ends what a lease holds at the gates. What it has taken of rates comes
// back as well, unless a run has begun by it.
func (q *queue) giveBack(sl *slot) {
	q.board.Undo(sl.pass)
	sl.pass = flow.Pass{}
	if q.board.Ready() {
		q.rouse()
	}
}

// committed takes over what a group has written.
func (q *queue) committed(group []*write) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inflight = nil
	for name := range q.skipped {
		// What was left out may be of a write that was not carried out after all.
		if slices.ContainsFunc(group, func(w *write) bool { return w.outcome != nil }) {
			q.forget(q.lane(name))
		}
	}
	clear(q.skipped)
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
		if gates := q.stays[w.run]; w.final && gates != nil {
			q.board.Return(gates)
			delete(q.stays, w.run)
			woke = woke || q.board.Ready()
		}
		for _, p := range w.change.Put {
			woke = q.put(p) || woke
		}
		for _, item := range w.items {
			woke = q.put(durable.Put{Item: item}) || woke
		}
	}
	q.trim()
	if woke {
		q.rouse()
	}
}

// began notes that a run has begun: what its lease holds for as long as the run
// lasts is the run's now, and what it took of rates is used up.
func (q *queue) began(k slotKey) {
	sl := q.byKey[k]
	if sl == nil {
		return
	}
	if len(sl.pass.Stays) > 0 {
		q.stays[k.Run] = sl.pass.Stays
	}
	sl.pass.Stays, sl.pass.Rates = nil, nil
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

// trim gives the later rows of each lane back to the disk when there are too
// many in memory.
func (q *queue) trim() {
	if q.free <= q.max {
		return
	}
	keep := max(1, q.max/2/len(q.lanes))
	for _, l := range q.lanes {
		if len(l.due) > keep {
			q.cut(l, keep)
		}
	}
}

func (q *queue) cut(l *lane, keep int) {
	slices.SortFunc(l.due, func(a, b *slot) int { // what is sorted is a heap
		if placeOf(a.Item).before(placeOf(b.Item)) {
			return -1
		}
		return 1
	})
	for i, sl := range l.due {
		sl.pos = i
		if i >= keep {
			delete(q.byKey, sl.key())
		}
	}
	l.horizon = placeOf(l.due[keep-1].Item)
	l.later(l.due[keep].Due)
	q.free -= len(l.due) - keep
	clear(l.due[keep:])
	l.due = l.due[:keep]
	q.seek(l)
}

// put takes over one written item and reports whether somebody may be waiting
// for it.
func (q *queue) put(p durable.Put) bool {
	k := slotKey{p.Run, p.Step}
	if old := q.byKey[k]; old != nil && old.Claimed && p.KeepClaim {
		old.Due, old.Attempt, old.Again, old.Since, old.Data, old.Lane = p.Due, p.Attempt, p.Again, p.Since, p.Data, p.Lane
		return false
	}
	n := p.Item
	if old := q.byKey[k]; old != nil {
		n.Generation = old.Generation
	}
	q.remove(k)
	l := q.lane(n.Lane)
	if l.horizon.before(placeOf(n)) { // it stays on disk until its time comes
		l.later(n.Due)
	} else {
		q.add(l, n)
	}
	q.seek(l)
	return true
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
	q.now = now
	for len(q.leased) > 0 && !q.leased[0].until.After(now) {
		q.release(q.leased[0])
	}
	for len(q.clock) > 0 && !q.clock[0].at.After(now) {
		l := heap.Pop(&q.clock).(*lane)
		if err := q.refill(ctx, s, l, now); err != nil {
			q.seek(l)
			return nil, err
		}
		q.seek(l)
	}
	for len(leases) < limit {
		name, pass, ok := q.board.Next(now)
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
		sl := heap.Pop(&l.due).(*slot)
		q.free--
		q.generation++
		sl.Claimed, sl.Generation, sl.until, sl.pass = true, q.generation, until, pass
		heap.Push(&q.leased, sl)
		leases = append(leases, store.Lease{Item: sl.Item, Until: until})
		err := q.refill(ctx, s, l, now)
		q.seek(l)
		if err != nil {
			return leases, err
		}
	}
	return leases, nil
}

// release ends the claim on a slot.
func (q *queue) release(sl *slot) {
	heap.Remove(&q.leased, sl.pos)
	sl.Claimed = false
	q.giveBack(sl)
	l := q.lane(sl.Lane)
	if l.horizon.before(placeOf(sl.Item)) {
		delete(q.byKey, sl.key())
		l.later(sl.Due)
	} else {
		heap.Push(&l.due, sl)
		q.free++
	}
	q.seek(l)
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
	heap.Fix(&q.leased, sl.pos)
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
	for _, at := range []time.Time{q.board.Opens(), q.clock.first(), q.leased.first()} {
		if !at.IsZero() && (t.IsZero() || at.Before(t)) {
			t = at
		}
	}
	return t, !t.IsZero(), nil
}

func (h clock) first() time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	return h[0].at
}

func (h slots) first() time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	return h.when(0)
}

// Limit says behind which gates lanes stand, from now on.
func (s *Store) Limit(limits func(lane string) (flow.Class, []flow.GateSpec)) {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limits = limits
	q.board.Change(func(lane string) []flow.GateSpec {
		_, specs := limits(lane)
		return specs
	})
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

func (s *Store) readDue(ctx context.Context, lane string, after place, until int64, limit int) ([]durable.Item, error) {
	var items []durable.Item
	err := s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + itemColumns + ` FROM queue
			WHERE lane = ? AND (due, run, step) > (?, ?, ?) AND due < ? ORDER BY due, run, step`)
		stmt.BindText(1, lane)
		stmt.BindInt64(2, after.due)
		stmt.BindText(3, after.run)
		stmt.BindText(4, after.step)
		stmt.BindInt64(5, until)
		return firstRows(stmt, limit, func() { items = append(items, scanItem(stmt)) })
	})
	return items, err
}

func (s *Store) readNextDue(ctx context.Context, lane string, after place) (next time.Time, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT due FROM queue WHERE lane = ? AND (due, run, step) > (?, ?, ?) ORDER BY due, run, step LIMIT 1`)
		stmt.BindText(1, lane)
		stmt.BindInt64(2, after.due)
		stmt.BindText(3, after.run)
		stmt.BindText(4, after.step)
		return rows(stmt, func() { next = dueFromMicros(stmt.ColumnInt64(0)) })
	})
	return next, err
}

// readLanes finds every lane that has rows, and brings it into the clock: a walk
// from one to the next, whose cost is that of the lanes and not of the rows.
func (q *queue) readLanes(c *conn) error {
	stmt := c.Prep(`SELECT lane, due FROM queue WHERE lane >= ? ORDER BY lane, due LIMIT 1`)
	for name := ""; ; {
		stmt.BindText(1, name)
		var found *lane
		err := rows(stmt, func() {
			found = newLane(stmt.ColumnText(0))
			found.next = dueFromMicros(stmt.ColumnInt64(1))
		})
		if err != nil || found == nil {
			return err
		}
		q.lanes[found.name] = found
		q.seek(found)
		stmt = c.Prep(`SELECT lane, due FROM queue WHERE lane > ? ORDER BY lane, due LIMIT 1`)
		name = found.name
	}
}

// readHolders finds what runs hold from before, and what rates have admitted.
func (q *queue) readHolders(c *conn) error {
	stmt := c.Prep(`SELECT run, gate FROM holders WHERE gate >= 'run/' AND gate < 'run0'`)
	if err := rows(stmt, func() {
		run, gate := stmt.ColumnText(0), stmt.ColumnText(1)
		q.stays[run] = append(q.stays[run], gate)
		q.board.Hold(gate)
	}); err != nil {
		return err
	}
	// The other rates are asked where runs are started.
	stmt = c.Prep(`SELECT gate, taken FROM rates WHERE gate >= 'throttle/' AND gate < 'throttle0'`)
	return rows(stmt, func() { q.board.Keep(stmt.ColumnText(0), fromMicros(stmt.ColumnInt64(1))) })
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

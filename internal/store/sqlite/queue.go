package sqlite

import (
	"container/heap"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// slot is a queue row in memory.
type slot struct {
	durable.Item
	until time.Time // end of the lease, while claimed
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

// queue holds in memory the rows whose place is not after horizon, and all
// that are claimed. No row after horizon is due before next: until then the
// disk need not be asked.
type queue struct {
	mu         sync.Mutex
	byKey      map[slotKey]*slot
	due        slots
	leased     slots
	max        int // of slots that are not claimed; more stay on disk alone
	horizon    place
	next       time.Time // zero: there is no row after horizon
	generation int64
	wake       chan struct{}

	// inflight is the group that is being written. Whether a row of it that is
	// read meanwhile was there before or is new, nobody can tell, so refill
	// leaves those to committed, and notes in skipped that there were any.
	inflight []*write
	skipped  bool
}

func (q *queue) init() {
	q.byKey = map[slotKey]*slot{}
	q.wake = make(chan struct{}, 1)
	q.max = maxSlots
	q.forget()
}

// forget drops all that is not claimed, to be read from disk again.
func (q *queue) forget() {
	for _, sl := range q.due {
		delete(q.byKey, sl.key())
	}
	q.due = nil
	q.horizon = place{due: math.MinInt64}
	q.next = time.Unix(0, 1) // unknown: look at once
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
	if q.skipped {
		q.skipped = false
		q.forget()
		q.rouse()
	}
}

// changing returns the keys of the items that the group in flight writes.
func (q *queue) changing() map[slotKey]bool {
	keys := map[slotKey]bool{}
	for _, w := range q.inflight {
		for _, p := range w.change.Put {
			keys[slotKey{p.Run, p.Step}] = true
		}
		for _, a := range w.accepted {
			keys[slotKey{a.Event.ID, durable.DeliverStep}] = true
			for _, st := range a.Starts {
				keys[slotKey{st.Run.ID, durable.ReportStep}] = true
				for step := range st.Run.Items {
					keys[slotKey{st.Run.ID, step}] = true
				}
			}
		}
		for _, st := range slices.Concat(w.starts, w.settled.Starts, w.mayStart) {
			keys[slotKey{st.Run.ID, durable.ReportStep}] = true
			for step := range st.Run.Items {
				keys[slotKey{st.Run.ID, step}] = true
			}
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

// refill sees to it that what is due at now is in memory, or at least the
// first want items of it.
func (q *queue) refill(ctx context.Context, s *Store, now time.Time, want int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.due) < want && !q.next.IsZero() && !q.next.After(now) {
		// The lock is kept while reading, so that a commit which removes one
		// of these rows is seen after they were added.
		until := now.Add(lookahead)
		items, err := s.readDue(ctx, q.horizon, until)
		if err != nil {
			return err
		}
		horizon := place{due: micros(until) + 1}
		if len(items) == window {
			horizon = placeOf(items[window-1])
		}
		next, err := s.readNextDue(ctx, horizon)
		if err != nil {
			return err
		}
		changing := q.changing()
		for _, i := range items {
			if k := (slotKey{i.Run, i.Step}); !changing[k] {
				q.add(i)
			} else {
				q.skipped = true
			}
		}
		q.horizon, q.next = horizon, next
	}
	return nil
}

// add makes a slot of an item, unless it has one.
func (q *queue) add(i durable.Item) *slot {
	old := q.byKey[slotKey{i.Run, i.Step}]
	if old != nil {
		return old
	}
	n := &slot{Item: i}
	n.Claimed = false
	q.byKey[n.key()] = n
	heap.Push(&q.due, n)
	return n
}

func (q *queue) remove(k slotKey) {
	s := q.byKey[k]
	if s == nil {
		return
	}
	delete(q.byKey, k)
	if s.Claimed {
		heap.Remove(&q.leased, s.pos)
	} else {
		heap.Remove(&q.due, s.pos)
	}
}

// committed takes over what a group has written.
func (q *queue) committed(group []*write) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inflight, q.skipped = nil, false
	woke := false
	for _, w := range group {
		if w.outcome != nil {
			continue // nothing of it was written
		}
		for _, step := range w.change.Drop {
			q.remove(slotKey{w.run, step})
		}
		for _, ref := range w.removed {
			q.remove(slotKey(ref))
		}
		for _, p := range w.change.Put {
			woke = q.put(p) || woke
		}
		for _, st := range w.fresh {
			for _, item := range st.Run.Items {
				woke = q.put(durable.Put{Item: *item}) || woke
			}
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

// rouse leaves a wake-up for whoever waits.
func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// trim gives the later half of what is not claimed back to the disk when there
// is too much of it.
func (q *queue) trim() {
	if len(q.due) <= q.max {
		return
	}
	slices.SortFunc(q.due, func(a, b *slot) int { // what is sorted is a heap
		if placeOf(a.Item).before(placeOf(b.Item)) {
			return -1
		}
		return 1
	})
	keep := q.max / 2
	for i, sl := range q.due {
		sl.pos = i
		if i >= keep {
			delete(q.byKey, sl.key())
		}
	}
	q.horizon = placeOf(q.due[keep-1].Item)
	q.later(q.due[keep].Due)
	clear(q.due[keep:])
	q.due = q.due[:keep]
}

// later notes that a row after horizon is due at t.
func (q *queue) later(t time.Time) {
	if q.next.IsZero() || t.Before(q.next) {
		q.next = t
	}
}

// put takes over one written item and reports whether somebody may be waiting
// for it.
func (q *queue) put(p durable.Put) bool {
	k := slotKey{p.Run, p.Step}
	if old := q.byKey[k]; old != nil && old.Claimed && p.KeepClaim {
		old.Due, old.Attempt, old.Again, old.Since, old.Data = p.Due, p.Attempt, p.Again, p.Since, p.Data
		return false
	}
	n := p.Item
	if old := q.byKey[k]; old != nil {
		n.Generation = old.Generation
	}
	q.remove(k)
	if q.horizon.before(placeOf(n)) { // it stays on disk until its time comes
		q.later(n.Due)
		return true
	}
	q.add(n)
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
	// What a lost lease gives back may lie behind what is in memory.
	s.queue.expire(now)
	if err := s.queue.refill(ctx, s, now, limit); err != nil {
		return nil, err
	}
	leases := s.queue.claim(now, now.Add(ttl), limit)
	for _, l := range leases {
		s.markHead(l.Item)
	}
	return leases, nil
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

// expire ends the claims whose time is over.
func (q *queue) expire(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.leased) > 0 && !q.leased[0].until.After(now) {
		q.free(q.leased[0])
	}
}

func (q *queue) claim(now, until time.Time, limit int) []store.Lease {
	q.mu.Lock()
	defer q.mu.Unlock()
	var leases []store.Lease
	for len(leases) < limit && len(q.due) > 0 && !q.due[0].Due.After(now) {
		sl := heap.Pop(&q.due).(*slot)
		q.generation++
		sl.Claimed, sl.Generation, sl.until = true, q.generation, until
		heap.Push(&q.leased, sl)
		leases = append(leases, store.Lease{Item: sl.Item, Until: until})
	}
	return leases
}

// free ends the claim on a slot.
func (q *queue) free(sl *slot) {
	heap.Remove(&q.leased, sl.pos)
	sl.Claimed = false
	if q.horizon.before(placeOf(sl.Item)) {
		delete(q.byKey, sl.key())
		q.later(sl.Due)
		return
	}
	heap.Push(&q.due, sl)
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
			q.free(sl)
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
	var t time.Time
	for _, at := range []time.Time{q.first(q.due), q.first(q.leased), q.next} {
		if !at.IsZero() && (t.IsZero() || at.Before(t)) {
			t = at
		}
	}
	return t, !t.IsZero(), nil
}

func (q *queue) first(h slots) time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	return h.when(0)
}

// Wake tells when something may be due earlier than thought.
func (s *Store) Wake() <-chan struct{} { return s.queue.wake }

func (s *Store) readDue(ctx context.Context, after place, now time.Time) ([]durable.Item, error) {
	var items []durable.Item
	err := s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + itemColumns + ` FROM queue
			WHERE (due, run, step) > (?, ?, ?) AND due <= ? ORDER BY due, run, step`)
		stmt.BindInt64(1, after.due)
		stmt.BindText(2, after.run)
		stmt.BindText(3, after.step)
		stmt.BindInt64(4, micros(now))
		return firstRows(stmt, window, func() { items = append(items, scanItem(stmt)) })
	})
	return items, err
}

func (s *Store) readNextDue(ctx context.Context, after place) (next time.Time, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT due FROM queue WHERE (due, run, step) > (?, ?, ?) ORDER BY due, run, step LIMIT 1`)
		stmt.BindInt64(1, after.due)
		stmt.BindText(2, after.run)
		stmt.BindText(3, after.step)
		return rows(stmt, func() { next = dueFromMicros(stmt.ColumnInt64(0)) })
	})
	return next, err
}

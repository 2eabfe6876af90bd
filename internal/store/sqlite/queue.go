package sqlite

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// slot is a queue row in memory.
type slot struct {
	durable.Item
	until time.Time // end of the lease, while claimed
	pos   int       // in the heap that it is in
}

type slotKey struct{ run, step string }

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
// ahead of their time, and maxSlots how many there may be in memory before new
// ones stay on disk alone.
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

func placeOf(i durable.Item) place { return place{micros(i.Due), i.Run, i.Step} }

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
// that are claimed. next is when the first row after horizon is due: until
// then the disk need not be asked.
type queue struct {
	mu         sync.Mutex
	byKey      map[slotKey]*slot
	due        slots
	leased     slots
	horizon    place
	next       time.Time // zero: there is no row after horizon
	generation int64
	wake       chan struct{}
}

func (q *queue) init() {
	q.byKey = map[slotKey]*slot{}
	q.wake = make(chan struct{}, 1)
}

// refill sees to it that what is due at now is in memory, or at least want
// items of it.
func (q *queue) refill(ctx context.Context, s *Store, now time.Time, want int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		near := q.horizon.due >= micros(now.Add(lookahead/2))
		if q.horizon != (place{}) && (near || len(q.due) >= want) {
			return nil
		}
		// The lock is kept while reading, so that a commit which removes one
		// of these rows is seen after they were added.
		until := now.Add(lookahead)
		items, err := s.readDue(ctx, q.horizon, until)
		if err != nil {
			return err
		}
		for _, i := range items {
			q.add(i)
		}
		if len(items) == window {
			q.horizon = placeOf(items[window-1])
		} else {
			q.horizon = place{due: micros(until) + 1}
		}
		if q.next, err = s.readNextDue(ctx, q.horizon); err != nil {
			return err
		}
	}
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
	woke := false
	for _, w := range group {
		for _, step := range w.change.Drop {
			q.remove(slotKey{w.run, step})
		}
		for _, p := range w.change.Put {
			woke = q.put(p) || woke
		}
		for _, r := range w.fresh {
			for _, item := range r.Items {
				woke = q.put(durable.Put{Item: *item}) || woke
			}
		}
	}
	q.mu.Unlock()
	if woke {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// put takes over one written item and reports whether somebody may be waiting
// for it.
func (q *queue) put(p durable.Put) bool {
	k := slotKey{p.Run, p.Step}
	if old := q.byKey[k]; old != nil && old.Claimed && p.KeepClaim {
		old.Due, old.Attempt, old.Again = p.Due, p.Attempt, p.Again
		return false
	}
	q.remove(k)
	if at := placeOf(p.Item); !q.horizon.before(at) && len(q.byKey) >= maxSlots {
		q.horizon = place{due: at.due, run: at.run[:len(at.run)-1]} // just before it
	}
	if q.horizon.before(placeOf(p.Item)) { // it stays on disk until its time comes
		if q.next.IsZero() || p.Due.Before(q.next) {
			q.next = p.Due
		}
		return true
	}
	q.add(p.Item)
	return true
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
		if item := h.run.Items[i.Step]; item != nil && item.Generation <= i.Generation {
			item.Claimed, item.Generation = i.Claimed, i.Generation
		}
	}
	s.unload(h)
}

func (q *queue) claim(now, until time.Time, limit int) []store.Lease {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.leased) > 0 && !q.leased[0].until.After(now) {
		q.free(q.leased[0])
	}
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

// Release gives items back.
func (s *Store) Release(_ context.Context, leases []store.Lease) error {
	q := &s.queue
	for _, l := range leases {
		q.mu.Lock()
		sl := q.byKey[slotKey{l.Run, l.Step}]
		held := sl != nil && sl.Claimed && sl.Generation == l.Generation
		if held {
			q.free(sl)
		}
		q.mu.Unlock()
		if held {
			l.Claimed = false
			s.markHead(l.Item)
		}
	}
	return nil
}

// NextDue is when there is something to claim.
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
	err := s.read(ctx, func(c *sqlite.Conn) error {
		stmt := c.Prep(`SELECT ` + itemColumns + ` FROM queue
			WHERE (due, run, step) > (?, ?, ?) AND due <= ? ORDER BY due, run, step LIMIT ?`)
		stmt.BindInt64(1, after.due)
		stmt.BindText(2, after.run)
		stmt.BindText(3, after.step)
		stmt.BindInt64(4, micros(now))
		stmt.BindInt64(5, window)
		return rows(stmt, func() { items = append(items, scanItem(stmt)) })
	})
	return items, err
}

func (s *Store) readNextDue(ctx context.Context, after place) (next time.Time, err error) {
	err = s.read(ctx, func(c *sqlite.Conn) error {
		stmt := c.Prep(`SELECT due FROM queue WHERE (due, run, step) > (?, ?, ?) ORDER BY due, run, step LIMIT 1`)
		stmt.BindInt64(1, after.due)
		stmt.BindText(2, after.run)
		stmt.BindText(3, after.step)
		return rows(stmt, func() { next = fromMicros(stmt.ColumnInt64(0)) })
	})
	return next, err
}

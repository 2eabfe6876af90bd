package sqlite

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/store"
)

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

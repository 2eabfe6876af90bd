package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Bounds of the writer: how many writes may wait before callers block, and how
// many one transaction takes.
const (
	maxWaiting = 4096
	maxGroup   = 512
)

// write is one transition on its way to the disk.
type write struct {
	head *head // the run that changes; nil for an Accept or an app
	now  time.Time

	accepted []store.Accepted
	run      string
	n        int // journal entries before the change
	change   durable.Change
	final    bool
	lane     string // in which the run, which ends, began
	rerun    bool   // the run repeats another
	app      *durable.App
	versions []durable.Function
	starts   []durable.Start // of events that are there
	lease    *store.Lease    // of an item that is no run's and is worked
	settled  store.Settled   // what follows from it
	schedule []durable.Item  // queued unless they are there
	stop     []durable.Ref   // items removed
	rouse    []durable.Ref   // items due at once

	once    *store.Once     // the key that it takes
	unless  string          // the run that must not be there; "": any may
	void    *store.KeyEntry // a key that is forgotten
	begins  bool            // the run, which was queued, or it ends without that
	waited  int64           // bytes of its events
	bounded bool            // it may be refused for what waits
	control *durable.Control
	act     *durable.Act // the line of the audit log that tells it

	also func(*write) error // what else is written

	outcome error    // why nothing was written for it, though the group was
	idle    bool     // it changed nothing: there is nothing to tell
	started []string // runs that did start
	fresh   []durable.Start
	grown   store.Backlog  // by how much more waits after it
	items   []durable.Item // that were queued, but for those of a change
	removed []durable.Ref  // of no run
	freed   []string       // gates of which the run, which has ended, held a slot
	done    chan struct{}  // closed when the write has ended, with err
	err     error
}

func newWrite(now time.Time) *write { return &write{now: now, done: make(chan struct{})} }

// submit hands w to the writer.
func (s *Store) submit(ctx context.Context, w *write) error {
	if err := s.Healthy(); err != nil {
		return err
	}
	select {
	case <-s.closing:
		return store.ErrClosed
	default:
	}
	select {
	case s.writes <- w:
		return nil
	case <-s.closing:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await waits until w is on disk; nil is on disk already. It does not end with
// a caller's context: the write happens or not whoever waits for it, and the
// answer comes soon.
func (s *Store) await(w *write) error {
	if w == nil {
		return nil
	}
	select {
	case <-w.done:
		return w.err
	case <-s.closing:
		// The writer drains what was submitted before it ends.
		s.wait.Wait()
		select {
		case <-w.done:
			return w.err
		default:
			return store.ErrClosed
		}
	}
}

func (s *Store) writeLoop() {
	group := make([]*write, 0, maxGroup)
	for {
		group = group[:0]
		select {
		case w := <-s.writes:
			group = append(group, w)
		case <-s.closing:
			select {
			case w := <-s.writes:
				group = append(group, w)
			default:
				close(s.kick)
				return
			}
		}
		// Others who are about to submit get the chance to share this fsync.
		runtime.Gosched()
		runtime.Gosched()
		group = s.gather(group)
		s.commit(group)
		clear(group)
	}
}

// gather adds what is waiting to group without blocking.
func (s *Store) gather(group []*write) []*write {
	for len(group) < maxGroup {
		select {
		case w := <-s.writes:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// commit writes a group in one transaction. When that fails for a reason that
// lies in one of the writes, each is tried alone, so that it fails alone.
func (s *Store) commit(group []*write) {
	ended := map[slotKey]bool{}
	group = slices.DeleteFunc(group, func(w *write) bool {
		err := s.outdated(w, ended)
		if err != nil {
			s.settle(w, err)
		}
		return err != nil
	})
	if len(group) == 0 {
		return
	}
	s.queue.begin(group)
	waiting, err := s.transact(group)
	if err != nil {
		s.queue.failed()
	}
	switch {
	case err == nil:
		s.commits.Add(1)
		for _, w := range group {
			for _, st := range w.fresh {
				// It will be called soon. What it knows already is read from disk,
				// unless it is folded.
				if len(st.Entries) == st.Run.Seq && !st.Run.Status.Final() {
					s.heads.add(st.Run)
				}
			}
		}
		s.queue.committed(group)
		s.backlog.Store(&waiting)
		for _, w := range group {
			if w.outcome != nil && w.head != nil {
				s.heads.kill(w.head) // it is ahead of what was written
			}
			s.settle(w, w.outcome)
		}
		select {
		case s.kick <- struct{}{}:
		default:
		}
	case len(group) > 1 && !errors.Is(fault(err), store.ErrFull) && !broken(err):
		for _, w := range group {
			s.commit([]*write{w})
		}
	default:
		s.fail(group, err)
	}
}

// outdated says why w cannot be written any more, or nil. ended are the items
// that the writes before it in its group end.
func (s *Store) outdated(w *write, ended map[slotKey]bool) error {
	for _, ref := range w.stop {
		ended[slotKey(ref)] = true
	}
	switch {
	case w.head != nil && w.head.dead.Load():
		return errDead
	case w.lease == nil:
		return nil
	}
	// Only the writer ends items of no run: a lease that is in force now is in
	// force when this is on disk.
	k := slotKey{w.lease.Run, w.lease.Step}
	if ended[k] || !s.queue.holds(*w.lease) {
		return store.ErrLeaseLost
	}
	ended[k] = true
	return nil
}

// errDead is the end of a write that was decided on a head which an earlier
// failure had made worthless.
var errDead = fmt.Errorf("%w: the write before this one failed; try again", store.ErrUnavailable)

// fail drops the heads of a group that could not be written: they are ahead of
// the disk, and so is every write that was decided on them since.
func (s *Store) fail(group []*write, err error) {
	cause := fault(err)
	s.log.Error("a write failed", "err", cause)
	if broken(err) {
		s.distrust(err)
	}
	for _, w := range group {
		if w.head != nil {
			s.heads.kill(w.head)
		}
	}
	for _, w := range group {
		s.settle(w, cause)
	}
}

// distrust ends all writing: the first failure of the disk counts, since the
// system may forget what it could not write, and say that all is well when
// asked again.
func (s *Store) distrust(err error) {
	err = fmt.Errorf("%w: %w; the disk may have lost data: check it, then start Pawl again", store.ErrUnavailable, err)
	s.broken.CompareAndSwap(nil, &err)
}

// settle tells the caller of w how it ended.
func (s *Store) settle(w *write, err error) {
	if w.head != nil {
		s.heads.release(w.head, w.final && err == nil)
	}
	w.err = err
	close(w.done)
}

// transact writes a group, and returns what waits after it.
func (s *Store) transact(group []*write) (waiting store.Backlog, err error) {
	if err := s.Healthy(); err != nil {
		return waiting, err
	}
	end, err := sqlitex.ImmediateTransaction(s.write.Conn)
	if err != nil {
		return waiting, err
	}
	waiting, err = s.applyAll(group)
	if err != nil {
		end(&err)
		return waiting, err
	}
	if end(&err); err != nil && broken(err) {
		// The log may hold the whole of it, and a restart may find it there.
		err = fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	return waiting, err
}

func (s *Store) applyAll(group []*write) (waiting store.Backlog, err error) {
	clear(s.renewed)
	before := s.Backlog()
	waiting = before
	for _, w := range group {
		if err := s.applyWithin(w, waiting); err != nil {
			return waiting, err
		}
		if w.outcome == nil {
			waiting = waiting.Plus(w.grown)
		}
	}
	if waiting.Bytes != before.Bytes {
		err = setMeta(s.write, metaBacklog, waiting.Bytes)
	}
	return waiting, err
}

// forget makes w what it was before it was applied.
func (w *write) forget() {
	w.started, w.fresh, w.items, w.removed = w.started[:0], w.fresh[:0], w.items[:0], w.removed[:0]
	w.grown, w.idle, w.freed = store.Backlog{}, false, nil
}

// apply writes the rows of w, and the line that tells it.
func (s *Store) apply(w *write) error {
	w.forget()
	w.outcome = nil
	if err := s.applyRows(w); err != nil {
		return err
	}
	if w.act == nil || w.outcome != nil || w.idle {
		return nil
	}
	return insertAct(s.write, *w.act)
}

func (s *Store) applyRows(w *write) error {
	if w.unless != "" {
		there, err := hasRun(s.write, w.unless)
		if err != nil {
			return err
		}
		if there {
			w.outcome = store.ErrExists
			return nil
		}
	}
	if w.once != nil {
		if first, err := s.applyOnce(w); err != nil || !first {
			return err
		}
	}
	if w.void != nil {
		return s.applyVoid(w)
	}
	if err := s.applyControl(w); err != nil {
		return err
	}
	if w.also != nil {
		return w.also(w)
	}
	if w.app != nil {
		if err := writeApp(s.write, *w.app, w.versions); err != nil {
			return err
		}
	}
	if w.run != "" {
		if err := s.applyChange(w); err != nil {
			return err
		}
	}
	if w.lease != nil {
		if err := s.applySettled(w); err != nil || w.outcome != nil {
			return err
		}
	}
	if err := s.applySchedule(w); err != nil {
		return err
	}
	if err := s.applyStarts(w, store.Accepted{Starts: w.starts}, s.eventSeq); err != nil {
		return err
	}
	for _, a := range w.accepted {
		if err := s.applyAccepted(w, a); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) applyChange(w *write) error {
	c := s.write
	for i, e := range w.change.Entries {
		if err := insertEntry(c, w.run, w.n+i+1, e); err != nil {
			return err
		}
	}
	if h := w.change.Head; h != nil {
		if err := updateHead(c, w.run, *h); err != nil {
			return err
		}
	}
	if w.begins {
		w.begun(w.waited)
	}
	if w.change.Began {
		if err := insertHolders(c, w.run, s.queue.passOf(slotKey{w.run, durable.Discovery}), w.now); err != nil {
			return err
		}
	}
	if w.final {
		var err error
		if w.freed, err = deleteAll(c, w.run); err != nil {
			return err
		}
	}
	for _, step := range w.change.Unwait {
		if err := deleteWait(c, w.run, step); err != nil {
			return err
		}
	}
	for _, wait := range w.change.Waits {
		if err := insertWait(c, wait, s.eventSeq); err != nil {
			return err
		}
	}
	if !w.final {
		for _, step := range w.change.Drop {
			if err := deleteItem(c, w.run, step); err != nil {
				return err
			}
		}
	}
	for _, p := range w.change.Put {
		if err := upsertItem(c, p.Item); err != nil {
			return err
		}
	}
	if l := w.change.Dead; l != nil {
		if err := s.letter(w, *l); err != nil {
			return err
		}
	}
	if w.final && w.rerun {
		return countEnd(c, w.run, w.change.Head.Status)
	}
	return nil
}

// applyAccepted writes an event and the runs that it starts.
func (s *Store) applyAccepted(w *write, a store.Accepted) error {
	s.eventSeq++
	fresh, err := insertEvent(s.write, s.eventSeq, a.Event)
	if err != nil || !fresh {
		return err
	}
	awaited, err := isAwaited(s.write, a.Event.Name)
	if err != nil {
		return err
	}
	if awaited || a.Rest != nil {
		item := durable.Item{
			Run: a.Event.ID, Step: durable.DeliverStep, Kind: durable.Deliver, Due: w.now, Data: a.Rest,
		}
		if err := insertDelivery(w, s.write, a.Event); err != nil {
			return err
		}
		if err := s.queueItem(w, item); err != nil {
			return err
		}
	}
	return s.applyStarts(w, a, s.eventSeq)
}

// applyStarts writes the runs that an event starts, but for those that were
// started for the same key before.
func (s *Store) applyStarts(w *write, a store.Accepted, seq int64) error {
	c := s.write
	for _, st := range a.Starts {
		r := st.Run
		admitted, err := s.admit(w, a.Event, st)
		if err != nil {
			return err
		}
		if !admitted {
			continue
		}
		if st.Skip != nil {
			if err := s.skip(w, st, *st.Skip); err != nil {
				return err
			}
			continue
		}
		if st.Park != nil {
			if err := s.park(w, a.Event, st); err != nil {
				return err
			}
			continue
		}
		if a.Event.Key != "" {
			was, err := takeKey(c, store.Once{
				Scope: store.StartScope(r.Function), Key: a.Event.Key, Reply: durable.JSON(r.ID), Life: keyLife,
			}, w.now)
			if err != nil {
				return err
			}
			if was != nil {
				continue
			}
		}
		if err := insertRun(c, r); err != nil {
			return err
		}
		alone, err := s.takeSingle(w, st)
		if err != nil {
			return err
		}
		if !alone {
			continue
		}
		for i, e := range st.Entries {
			if err := insertEntry(c, r.ID, i+1, e); err != nil {
				return err
			}
		}
		for _, wait := range st.Waits {
			if err := insertWait(c, wait, seq); err != nil {
				return err
			}
		}
		if st.Dead != nil {
			if err := s.letter(w, *st.Dead); err != nil {
				return err
			}
		}
		// Copies: once the run is in memory, its items are others' to change.
		for _, item := range r.Items {
			if err := s.queueItem(w, *item); err != nil {
				return err
			}
		}
		w.started = append(w.started, r.ID)
		w.fresh = append(w.fresh, st)
		if r.Status == durable.Queued { // later it is others' to read
			w.waits(r)
		}
	}
	return nil
}

// applySettled ends an item that is no run's.
func (s *Store) applySettled(w *write) error {
	l, after := w.lease, w.settled
	if s.renewed[slotKey{l.Run, l.Step}] {
		w.outcome = store.ErrLeaseLost
		return nil
	}
	if len(after.Starts) > 0 {
		seq, err := eventSeq(s.write, after.Event.ID)
		if err != nil {
			return err
		}
		if fired(l.Kind) {
			seq = s.eventSeq
		}
		if err := s.applyStarts(w, store.Accepted{Event: after.Event, Starts: after.Starts}, seq); err != nil {
			return err
		}
		if !fired(l.Kind) {
			if err := s.deliverAgain(w, after.Event, seq); err != nil {
				return err
			}
		}
	}
	for _, item := range after.Queue {
		if err := s.queueItem(w, item); err != nil {
			return err
		}
	}
	if after.Next != nil {
		return s.queueItem(w, *after.Next)
	}
	if fired(l.Kind) {
		if err := deleteParked(w, s.write, durable.Ref{Run: l.Run, Step: l.Step}); err != nil {
			return err
		}
	}
	if l.Kind == durable.Deliver {
		if err := deleteDelivery(w, s.write, l.Run); err != nil {
			return err
		}
	}
	w.removed = append(w.removed, durable.Ref{Run: l.Run, Step: l.Step})
	return deleteItem(s.write, l.Run, l.Step)
}

// applySchedule queues and removes items of schedules, and makes others due.
func (s *Store) applySchedule(w *write) error {
	for _, ref := range w.stop {
		if err := deleteItem(s.write, ref.Run, ref.Step); err != nil {
			return err
		}
		w.removed = append(w.removed, ref)
	}
	for _, item := range w.schedule {
		there, err := selectItem(s.write, durable.Ref{Run: item.Run, Step: item.Step})
		if err != nil {
			return err
		}
		if there == nil {
			if err := s.queueItem(w, item); err != nil {
				return err
			}
		}
	}
	for _, ref := range w.rouse {
		item, err := selectItem(s.write, ref)
		if err != nil {
			return err
		}
		if item != nil {
			item.Due = w.now
			if err := s.queueItem(w, *item); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) queueItem(w *write, item durable.Item) error {
	w.items = append(w.items, item)
	return upsertItem(s.write, item)
}

// checkpointEvery is how long the log may grow before it is folded into the
// file, off the path of commits.
const checkpointEvery = 50 * time.Millisecond

func (s *Store) checkpointLoop() {
	for range s.kick {
		pause := time.NewTimer(checkpointEvery)
		select {
		case <-pause.C:
		case <-s.closing:
			pause.Stop()
		}
		if s.Healthy() != nil {
			continue
		}
		err := sqlitex.ExecuteTransient(s.check.Conn, "PRAGMA wal_checkpoint(PASSIVE)", nil)
		switch {
		case err == nil:
		case broken(err):
			s.log.Error("checkpoint failed", "err", err)
			s.distrust(err)
		default:
			s.log.Warn("checkpoint failed; the log grows until one succeeds", "err", err)
		}
	}
}

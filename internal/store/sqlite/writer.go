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
	exchange *store.Exchange // of a try that the change tells of
	metadata []durable.MetadataUpdate
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

	once     *store.Once     // the key that it takes
	unless   string          // the run that must not be there; "": any may
	void     *store.KeyEntry // a key that is forgotten
	begins   bool            // the run, which was queued, or it ends without that
	waited   int64           // bytes of its events
	function string          // of that run
	bounded  bool            // it may be refused for what waits
	control  *durable.Control
	act      *durable.Act // the line of the audit log that tells it

	also func(*write) error // what else is written

	outcome error    // why nothing was written for it, though the group was
	idle    bool     // it changed nothing: there is nothing to tell
	started []string // runs that did start
	fresh   []durable.Start
	grown   store.Backlog  // by how much more waits after it
	queued  []string       // functions of the runs that wait after it
	left    string         // function of the run that waits no more after it
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
		s.depth.wrote(group)
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

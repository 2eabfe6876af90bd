package sqlite

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
)

// head is a run in memory.
type head struct {
	id   string
	mu   sync.Mutex // held while a transition is decided, and while it is read from disk
	run  *durable.Run
	last *write      // the newest one of it; what run says is on disk when this has ended
	dead atomic.Bool // a write of it failed: it is ahead of the disk

	// The rest is guarded by heads.mu.
	refs  int // users and writes on their way
	size  int
	elem  *list.Element // in heads.idle or, until it is used, heads.fresh, while refs is 0
	fresh bool
	since time.Time // when it was put there
}

// heads are the runs in memory: those in use, and the ones used last of those
// that are not. A run that rests leaves at once, so that any number of them may.
type heads struct {
	mu   sync.Mutex
	byID map[string]*head
	idle *list.List // least recently used in front
	size int        // of the idle ones
	max  int

	// fresh are runs that were just written and will soon be called, unless many
	// wait: then those that came first are called first, and the later ones are read
	// when their turn comes.
	fresh     *list.List // oldest in front
	freshSize int
	freshMax  int
}

func (hs *heads) init(maxBytes int) {
	hs.byID, hs.idle, hs.fresh = map[string]*head{}, list.New(), list.New()
	hs.freshMax = maxBytes / 8
	hs.max = maxBytes - hs.freshMax
}

// hold returns the head of a run, in use, and whether its run has yet to be
// read. Its lock is taken in that case.
func (hs *heads) hold(id string) (h *head, empty bool) {
	hs.mu.Lock()
	h = hs.byID[id]
	if h == nil {
		h = &head{id: id}
		h.mu.Lock() // nobody else has it yet
		hs.byID[id] = h
		empty = true
	}
	hs.keep(h)
	hs.mu.Unlock()
	return h, empty
}

// peek returns the head of a run if there is one, in use.
func (hs *heads) peek(id string) *head {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.byID[id]
	if h != nil {
		hs.keep(h)
	}
	return h
}

func (hs *heads) keep(h *head) {
	h.refs++
	hs.unlist(h)
}

// unlist takes a head out of the list that it is in.
func (hs *heads) unlist(h *head) {
	switch {
	case h.elem == nil:
	case h.fresh:
		hs.fresh.Remove(h.elem)
		hs.freshSize -= h.size
	default:
		hs.idle.Remove(h.elem)
		hs.size -= h.size
	}
	h.elem, h.fresh = nil, false
}

// again counts one more use of a head that is in use.
func (hs *heads) again(h *head) {
	hs.mu.Lock()
	h.refs++
	hs.mu.Unlock()
}

// add puts a run that was just written into memory, if it will soon be called.
func (hs *heads) add(r *durable.Run) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	now := time.Now()
	if hs.byID[r.ID] != nil || rests(r, now) {
		return
	}
	h := &head{id: r.ID, run: r, size: weight(r), fresh: true, since: now}
	for hs.freshSize+h.size > hs.freshMax {
		first := hs.fresh.Front()
		if first == nil || now.Sub(first.Value.(*head).since) < lookahead {
			return // those that came before it are called before it
		}
		old := first.Value.(*head)
		hs.unlist(old)
		delete(hs.byID, old.id)
	}
	hs.byID[r.ID] = h
	h.elem = hs.fresh.PushBack(h)
	hs.freshSize += h.size
}

// park keeps a head that nobody uses, as long as there is room.
func (hs *heads) park(h *head) {
	h.size = weight(h.run)
	h.elem = hs.idle.PushBack(h)
	hs.size += h.size
	hs.shrink()
}

// rests reports whether nothing is going to happen to a run for a while, as far
// as is known: it sleeps or waits, or begins later. What was called before is
// kept, since only its head knows which call was the newest, and so is what an app
// serves by itself.
func rests(r *durable.Run, now time.Time) bool {
	soon := now.Add(lookahead)
	for _, i := range r.Items {
		called := i.Kind == durable.Call && i.Generation != 0 || i.Kind == durable.Lapse
		if i.Claimed || called || !i.Due.After(soon) {
			return false
		}
	}
	return true
}

// release ends a use. forget drops the run from memory: it has ended.
func (hs *heads) release(h *head, forget bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h.refs--
	if hs.byID[h.id] != h {
		return
	}
	if forget {
		delete(hs.byID, h.id)
		return
	}
	if h.refs > 0 {
		return
	}
	// Nobody decides on it now: who does holds a reference.
	if h.run == nil || rests(h.run, time.Now()) {
		delete(hs.byID, h.id)
		return
	}
	hs.park(h)
}

func (hs *heads) shrink() {
	for hs.size > hs.max {
		h := hs.idle.Front().Value.(*head)
		hs.unlist(h)
		delete(hs.byID, h.id)
	}
}

// kill makes a head worthless; the next user reads the run from disk.
func (hs *heads) kill(h *head) {
	h.dead.Store(true)
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.byID[h.id] == h {
		delete(hs.byID, h.id)
	}
}

// evict forgets a run that is not there any more.
func (hs *heads) evict(id string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.byID[id]
	if h == nil {
		return
	}
	h.dead.Store(true)
	delete(hs.byID, id)
	hs.unlist(h)
}

// weight is about what a run takes in memory.
func weight(r *durable.Run) int {
	if r == nil {
		return 0
	}
	n := 1024 + r.Bytes + 256*(len(r.Steps)+len(r.Items))
	for _, e := range r.Events {
		n += len(e.Body)
	}
	return n
}

// load returns the head of run id, locked and in use, reading it if needed.
func (s *Store) load(ctx context.Context, id string) (*head, error) {
	for {
		h, empty := s.heads.hold(id)
		if !empty {
			h.mu.Lock()
			if !h.dead.Load() {
				return h, nil
			}
			h.mu.Unlock()
			s.heads.release(h, false)
			continue
		}
		r, err := s.readRun(ctx, id)
		if err != nil {
			s.heads.kill(h)
			h.mu.Unlock()
			s.heads.release(h, false)
			return nil, err
		}
		s.queue.mark(r)
		h.run = r
		return h, nil
	}
}

// unload ends the use of a head that load returned.
func (s *Store) unload(h *head) {
	h.mu.Unlock()
	s.heads.release(h, false)
}

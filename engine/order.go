package engine

import (
	"context"
	"sync"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
)

// Events are handed on side by side, and of two that could end the same wait
// the one that was accepted first does. So whoever hands on the later one lets
// the earlier one go first where both may find the same wait. This is about
// order alone: who waits goes on when the other is done, whatever came of it.

// handing is an event that is being handed on.
type handing struct {
	event string        // id
	known chan struct{} // closed once name and doc are set, or done is
	done  chan struct{} // closed when nobody works on it any more
	name  string        // "" if the event could not be read
	doc   *match.Doc
}

// handings are the events that are being handed on, by the generations of their
// leases, which rise.
type handings struct {
	mu           sync.Mutex
	byGeneration map[int64]*handing
}

// claimed notes an event before any that was claimed after it is worked on.
func (hs *handings) claimed(l store.Lease) {
	if l.Kind != durable.Deliver {
		return
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.byGeneration == nil {
		hs.byGeneration = map[int64]*handing{}
	}
	hs.byGeneration[l.Generation] = &handing{event: l.Run, known: make(chan struct{}), done: make(chan struct{})}
}

// of returns what claimed has noted of a lease.
func (hs *handings) of(l store.Lease) *handing {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.byGeneration[l.Generation]
}

// end forgets an event that is not worked on any more.
func (hs *handings) end(l store.Lease, h *handing) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	delete(hs.byGeneration, l.Generation)
	h.knows("", nil)
	close(h.done)
}

// knows tells which event it is. Only the first time counts.
func (h *handing) knows(name string, doc *match.Doc) {
	select {
	case <-h.known:
	default:
		h.name, h.doc = name, doc
		close(h.known)
	}
}

// before returns the events of the same name that were claimed before one that
// is being handed on.
func (hs *handings) before(ctx context.Context, ev durable.Event) (earlier []*handing) {
	hs.mu.Lock()
	own := int64(0)
	for generation, h := range hs.byGeneration {
		if h.event == ev.ID {
			own = max(own, generation)
		}
	}
	var all []*handing
	for generation, h := range hs.byGeneration {
		if generation < own && h.event != ev.ID {
			all = append(all, h)
		}
	}
	hs.mu.Unlock()
	for _, h := range all {
		select {
		case <-h.known:
		case <-ctx.Done():
			return nil
		}
		if h.name == ev.Name {
			earlier = append(earlier, h)
		}
	}
	return earlier
}

// after blocks until the events that may end the waits at one place of the index
// are done.
func after(ctx context.Context, earlier []*handing, path, value string) {
	for _, h := range earlier {
		if match.Value(h.doc, path) != value {
			continue
		}
		select {
		case <-h.done:
		case <-ctx.Done():
			return
		}
	}
}

package engine

import (
	"cmp"
	"context"
	"slices"
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

	generation int64

	mu     sync.Mutex
	values map[string]string // of doc, by path: hundreds of others may ask for one
}

// value is what the event has at a path.
func (h *handing) value(path string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.values[path]
	if !ok {
		if h.values == nil {
			h.values = map[string]string{}
		}
		v = match.Value(h.doc, path)
		h.values[path] = v
	}
	return v
}

// handings are the events that are being handed on, in the order of the
// generations of their leases, which rise.
type handings struct {
	mu   sync.Mutex
	list []*handing
}

// claimed notes an event before any that was claimed after it is worked on.
func (hs *handings) claimed(l store.Lease) {
	if l.Kind != durable.Deliver {
		return
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	at, _ := hs.find(l.Generation)
	hs.list = slices.Insert(hs.list, at, &handing{
		event: l.Run, generation: l.Generation, known: make(chan struct{}), done: make(chan struct{}),
	})
}

// find is where the event claimed under a generation is, or would be.
func (hs *handings) find(generation int64) (at int, ok bool) {
	return slices.BinarySearchFunc(hs.list, generation, func(h *handing, g int64) int { return cmp.Compare(h.generation, g) })
}

// of returns what claimed has noted of a lease.
func (hs *handings) of(l store.Lease) *handing {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	at, ok := hs.find(l.Generation)
	if !ok {
		return nil
	}
	return hs.list[at]
}

// end forgets an event that is not worked on any more.
func (hs *handings) end(l store.Lease, h *handing) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if at, ok := hs.find(l.Generation); ok {
		hs.list = slices.Delete(hs.list, at, at+1)
	}
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
	own := len(hs.list) - 1
	for own >= 0 && hs.list[own].event != ev.ID {
		own--
	}
	all := slices.Clone(hs.list[:max(own, 0)])
	hs.mu.Unlock()
	for _, h := range all {
		if h.event == ev.ID {
			continue
		}
		select {
		case <-h.known:
		default:
			select {
			case <-h.known:
			case <-ctx.Done():
				return nil
			}
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
		if h.value(path) != value {
			continue
		}
		select {
		case <-h.done:
		case <-ctx.Done():
			return
		}
	}
}

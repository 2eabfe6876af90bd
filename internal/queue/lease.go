package queue

import (
	"context"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

type itemKey struct{ run, step string }

// holding is a lease in work.
type holding struct {
	lease  store.Lease
	since  time.Time
	cancel context.CancelFunc
}

// held are the leases in work.
type held struct {
	mu     sync.Mutex
	byItem map[itemKey]*holding
	some   chan struct{} // gets a value when there is something after there was nothing
}

// add notes a lease and returns the context of the work on it.
func (h *held) add(ctx context.Context, l store.Lease) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	k := itemKey{l.Run, l.Step}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.byItem[k]; old != nil {
		old.cancel() // it lost its lease to this one
	}
	if h.byItem == nil {
		h.byItem = map[itemKey]*holding{}
	}
	if len(h.byItem) == 0 {
		select {
		case h.some <- struct{}{}:
		default: // it is known
		}
	}
	h.byItem[k] = &holding{l, time.Now(), cancel}
	return ctx
}

func (h *held) drop(l store.Lease) {
	k := itemKey{l.Run, l.Step}
	h.mu.Lock()
	defer h.mu.Unlock()
	if cur := h.byItem[k]; cur != nil && cur.lease.Generation == l.Generation {
		cur.cancel()
		delete(h.byItem, k)
	}
}

// interrupt ends the work on the items of a run that has ended. The report of
// that end is none of them: it begins when they go.
func (h *held) interrupt(run string) {
	for _, x := range h.all() {
		if x.lease.Run == run && x.lease.Kind != durable.Report {
			x.cancel()
		}
	}
}

func (h *held) of(run string) map[string]time.Time {
	since := map[string]time.Time{}
	for _, x := range h.all() {
		if x.lease.Run == run {
			since[x.lease.Step] = x.since
		}
	}
	return since
}

func (h *held) all() []*holding {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*holding, 0, len(h.byItem))
	for _, x := range h.byItem {
		list = append(list, x)
	}
	return list
}

func (h *held) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.byItem)
}

// renew keeps the leases of what is in work and ends the work on those that
// were lost: another worker has them now, or their run has ended. When nothing
// is in work it does not even look.
func (w *Worker) renew(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.held.some:
		}
		for leases := w.held.all(); len(leases) > 0; leases = w.held.all() {
			pause(ctx, renewEvery)
			if ctx.Err() != nil {
				return
			}
			for _, x := range w.held.all() {
				ok, err := w.Store.Extend(ctx, x.lease, time.Now(), leaseTTL)
				if err == nil && !ok {
					x.cancel()
				}
			}
		}
	}
}

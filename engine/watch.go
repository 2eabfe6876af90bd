package engine

import (
	"context"
	"sync"
)

// watchers are those who wait for news of a run.
type watchers struct {
	mu     sync.Mutex
	byRun  map[string]map[chan struct{}]bool
	closed bool
}

// add returns a channel that is closed at the next news of run.
func (w *watchers) add(run string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{})
	if w.closed {
		close(c)
		return c
	}
	if w.byRun == nil {
		w.byRun = map[string]map[chan struct{}]bool{}
	}
	if w.byRun[run] == nil {
		w.byRun[run] = map[chan struct{}]bool{}
	}
	w.byRun[run][c] = true
	return c
}

func (w *watchers) remove(run string, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byRun[run], c)
	if len(w.byRun[run]) == 0 {
		delete(w.byRun, run)
	}
}

func (w *watchers) notify(run string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.byRun[run] {
		close(c)
	}
	delete(w.byRun, run)
}

func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, cs := range w.byRun {
		for c := range cs {
			close(c)
		}
	}
	w.byRun = nil
}

// Await returns when the journal of run is longer than seq or the run has
// ended, or with an error when ctx has. Nothing polls: the commit wakes it.
func (e *Engine) Await(ctx context.Context, run string, seq int) error {
	for {
		c := e.watchers.add(run)
		r, err := e.store.Run(ctx, run)
		if err != nil || r.Status.Final() {
			e.watchers.remove(run, c)
			return err
		}
		entries, err := e.store.Journal(ctx, run, seq)
		if err != nil || len(entries) > 0 {
			e.watchers.remove(run, c)
			return err
		}
		select {
		case <-c:
			if e.closing.Load() {
				return ErrClosing
			}
		case <-ctx.Done():
			e.watchers.remove(run, c)
			return ctx.Err()
		}
	}
}

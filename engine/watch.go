package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// watchers are those who wait for news of a run, or for its end.
type watchers struct {
	mu     sync.Mutex
	byRun  map[string]map[chan struct{}]bool
	ends   map[string]*ending
	closed bool
}

// ending is what all who wait for the end of one run share, so that many of them
// cost little and none has to ask the store.
type ending struct {
	waiting int
	done    chan struct{} // closed at the end, or when the engine closes
	head    *durable.Head // set before done is closed, by an end
	then    map[*Ending]func()
}

// over tells all who wait. w.mu is held.
func (en *ending) over() {
	close(en.done)
	for _, f := range en.then {
		go f()
	}
	en.then = nil
}

// await returns the ending of a run. It is left when it is not waited for any more.
func (w *watchers) await(run string) *ending {
	w.mu.Lock()
	defer w.mu.Unlock()
	en := w.ends[run]
	if en == nil {
		en = &ending{done: make(chan struct{})}
		if w.closed {
			close(en.done)
			return en
		}
		if w.ends == nil {
			w.ends = map[string]*ending{}
		}
		w.ends[run] = en
	}
	en.waiting++
	return en
}

func (w *watchers) leave(run string, en *ending, x *Ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	en.waiting--
	delete(en.then, x)
	if en.waiting == 0 && w.ends[run] == en {
		delete(w.ends, run)
	}
}

func (w *watchers) end(run string, head durable.Head) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if en := w.ends[run]; en != nil {
		en.head = &head
		en.over()
		delete(w.ends, run)
	}
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
	for _, en := range w.ends {
		en.over()
	}
	w.ends = nil
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

// Ending is the end of a run, for one who waits for it.
type Ending struct {
	of  *watchers
	run string
	en  *ending
}

// Ending lets the caller wait for the end of a run. Whoever asks the store after
// this whether it has ended misses nothing. It must be closed.
func (e *Engine) Ending(run string) *Ending {
	return &Ending{&e.watchers, run, e.watchers.await(run)}
}

// Done is closed when the run has ended, or when the engine closes.
func (x *Ending) Done() <-chan struct{} { return x.en.done }

// Head is the end of the run, once Done is closed. It reports false when the
// engine has closed before.
func (x *Ending) Head() (durable.Head, bool) {
	if x.en.head == nil {
		return durable.Head{}, false
	}
	return *x.en.head, true
}

// Close ends the wait.
func (x *Ending) Close() { x.of.leave(x.run, x.en, x) }

// Then calls f when Done is closed, unless the wait was ended before, in a goroutine
// of its own, which is the caller's to wait for. It is for those who wait long in
// great numbers. It may be called once.
func (x *Ending) Then(f func()) {
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	select {
	case <-x.en.done:
		go f()
	default:
		if x.en.then == nil {
			x.en.then = map[*Ending]func(){}
		}
		x.en.then[x] = f
	}
}

// End waits for the end of a run, however long that takes. The commit of the end
// wakes it. Errors: store.ErrNotFound, ErrClosing, and that of ctx.
func (e *Engine) End(ctx context.Context, run string) (durable.Head, error) {
	r, err := e.ended(ctx, run)
	if err != nil {
		return durable.Head{}, err
	}
	return r.Head, nil
}

// ended is a run, without its steps, when it has ended.
func (e *Engine) ended(ctx context.Context, run string) (*durable.Run, error) {
	end := e.Ending(run)
	defer end.Close()
	r, err := e.store.Run(ctx, run)
	if err != nil || r.Status.Final() {
		return r, err
	}
	select {
	case <-end.Done():
		head, ok := end.Head()
		if !ok {
			return nil, ErrClosing
		}
		r.Head = head
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// RunsOf returns the ids of the runs that an event has started, oldest first.
func (e *Engine) RunsOf(ctx context.Context, event string) ([]string, error) {
	runs, err := e.store.Runs(ctx, store.RunFilter{Event: event}, store.Page{Limit: mostRunsOf})
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(runs))
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return ids, nil
}

// mostRunsOf bounds the runs of one event that are listed.
const mostRunsOf = 400

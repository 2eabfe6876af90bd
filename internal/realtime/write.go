package realtime

import (
	"context"
	"slices"
	"time"

	"github.com/pawlhq/pawl/internal/store"
)

// batchBytes is about how much is written in one transaction.
const batchBytes = 4 << 20

// Run writes what was committed, soon after it was and many at a time, until ctx
// ends and all is written that came before.
func (s *Streams) Run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	rest := func(d time.Duration, sooner <-chan struct{}) {
		pause.Reset(d)
		select {
		case <-pause.C:
		case <-sooner:
		case <-ctx.Done():
		}
	}
	for {
		select {
		case <-s.kick:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeAgain)
			defer cancel()
			s.flush(last)
			return
		}
		rest(linger, s.urgent)
		if !s.flush(ctx) {
			rest(writeAgain, nil)
			wake(s.kick)
		}
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Settle returns when what a run has committed is on disk, so that the result of a
// step is not there without what the step has streamed, nor that of an endpoint
// without the answer that it streams. done are the steps whose results have come,
// ended says that the endpoint's has: their last events, which come another way, are
// waited for, but not for long.
func (s *Streams) Settle(ctx context.Context, run string, done []string, ended bool) {
	st := s.there(run)
	if st == nil {
		return
	}
	defer s.put(st)
	st.await(ctx, func() bool {
		return !slices.ContainsFunc(st.pending, func(p part) bool { return slices.Contains(done, p.step) }) &&
			(!ended || st.answered || len(st.tees) == 0)
	})
	s.mu.Lock()
	dirty := s.dirty[st]
	s.mu.Unlock()
	if dirty {
		s.flush(ctx)
	}
}

// await returns when something is so, or after a moment.
func (st *stream) await(ctx context.Context, so func() bool) {
	var late *time.Timer
	for {
		st.mu.Lock()
		if so() {
			st.mu.Unlock()
			return
		}
		if st.news == nil {
			st.news = make(chan struct{})
		}
		news := st.news
		st.mu.Unlock()
		if late == nil {
			late = time.NewTimer(settleWait)
			defer late.Stop()
		}
		select {
		case <-news:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// flush writes what is there to be written and reports whether that went well.
// What cannot be written stays; a stream never holds up its run.
func (s *Streams) flush(ctx context.Context) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	list := make([]*stream, 0, len(s.dirty))
	for st := range s.dirty {
		list = append(list, st)
	}
	s.mu.Unlock()
	for len(list) > 0 {
		var batch []store.Piece
		size, n := 0, 0
		for n < len(list) && size < batchBytes {
			for _, p := range list[n].begin() {
				batch = append(batch, p)
				size += len(p.Data)
			}
			n++
		}
		err := s.Store.KeepStream(ctx, batch)
		for _, st := range list[:n] {
			st.wrote(err == nil)
		}
		if err != nil {
			s.Log.WarnContext(ctx, "what was streamed cannot be saved yet", "err", err)
			return false
		}
		list = list[n:]
	}
	return true
}

// begin returns what is to be written of a stream now.
func (st *stream) begin() []store.Piece {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.busy = len(st.unwritten)
	return st.unwritten[:st.busy:st.busy]
}

// wrote takes that this was written, or was not.
func (st *stream) wrote(ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !ok {
		st.busy = 0
		return
	}
	for _, p := range st.unwritten[:st.busy] {
		st.hold(-len(p.Data))
		if p.N < store.LastPiece {
			st.flushed = p.N
		}
	}
	st.unwritten = append([]store.Piece(nil), st.unwritten[st.busy:]...)
	st.busy = 0
	if len(st.unwritten) > 0 {
		return // more came meanwhile, and has kicked
	}
	if st.flushed > st.told {
		// All that readers were told is for good is on disk now: a place in between
		// would not say where they are.
		st.told = st.flushed
		st.emit(place(st.told))
	}
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.dirty, st)
	s.release(st)
}

package realtime

import (
	"bytes"
	"context"
	"time"
)

// Tee is one request in which an app sends what it streams.
type Tee struct {
	st      *stream
	seq     int // of those of its run; 1 is the first since the last start
	opened  time.Time
	last    time.Time // when something came
	split   splitter
	partial int // bytes held of an event that has not ended
	outside int // events outside of steps that it has sent

	over   bool   // nothing more is expected
	onOver func() // told of that
}

// Tee begins to take what an app streams for a run, or for any other channel:
// that is passed on and not kept. Close ends it. Errors: ErrTooManyTees and those of the
// store.
func (s *Streams) Tee(ctx context.Context, run string) (*Tee, error) {
	s.mu.Lock()
	if s.tees >= maxTees {
		s.mu.Unlock()
		return nil, ErrTooManyTees
	}
	s.tees++
	s.mu.Unlock()
	st := s.get(run)
	t, err := st.tee(ctx)
	if err != nil {
		s.gone(st)
		return nil, err
	}
	return t, nil
}

func (st *stream) tee(ctx context.Context) (*Tee, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.tees) >= maxTeesOfRun {
		return nil, ErrTooManyTees
	}
	if err := st.load(ctx); err != nil {
		return nil, err
	}
	if err := st.loadOutside(ctx); err != nil {
		return nil, err
	}
	st.entries++
	now := time.Now()
	t := &Tee{st: st, seq: st.entries, opened: now, last: now}
	st.tees[t] = true
	st.watch(teeGrace) // its call may be over already
	return t, nil
}

// gone forgets a tee of st.
func (s *Streams) gone(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tees--
	s.release(st)
}

// OnOver lets fn be called once when nothing more is expected, unless stop is
// called before. fn must not wait.
func (t *Tee) OnOver(fn func()) (stop func()) {
	t.st.mu.Lock()
	defer t.st.mu.Unlock()
	t.onOver = fn
	return func() {
		t.st.mu.Lock()
		defer t.st.mu.Unlock()
		t.onOver = nil
	}
}

// Over reports whether nothing more is expected.
func (t *Tee) Over() bool {
	t.st.mu.Lock()
	defer t.st.mu.Unlock()
	return t.over
}

func (t *Tee) stop() {
	if t.over = true; t.onOver != nil {
		t.onOver()
		t.onOver = nil
	}
}

// Write takes what has come of the request's body, whole events or not. It never
// waits for a reader.
func (t *Tee) Write(b []byte) {
	t.st.mu.Lock()
	defer t.st.mu.Unlock()
	t.last = time.Now()
	t.split.feed(b, t.event, t.st.emit, func() {
		t.st.s.Log.Warn("an event of a stream is too long and was dropped", "run", t.st.run, "limit", MaxEvent)
	})
	t.st.hold(len(t.split.buf) - t.partial) // bounded by their number
	t.partial = len(t.split.buf)
}

// Close ends the request: what it has not committed is void.
func (t *Tee) Close() {
	st := t.st
	st.mu.Lock()
	t.split.flush(st.emit)
	st.s.held.Add(-int64(t.partial))
	open := map[string]bool{}
	for _, p := range st.pending {
		if p.tee == t.seq {
			open[p.step] = true
		}
	}
	for of := range open {
		st.void(of, rollback(of))
	}
	delete(st.tees, t)
	st.tell()
	st.mu.Unlock()
	st.s.gone(st)
}

// event takes a whole event. It is called with the stream's lock held.
func (t *Tee) event(raw []byte) {
	st := t.st
	if st.answered && (st.end != nil || t.seq <= st.answerer) {
		return // a branch that is late for all
	}
	name, of, ok := read(raw)
	if !ok {
		st.emit(raw)
		return
	}
	if name == eventResponse {
		st.answer(raw, t.seq)
		return
	}
	st.answered = false // the endpoint was entered again: its answer never came home
	switch s := st.steps[of]; {
	case of == "" && name == eventStream:
		t.free(raw)
	case s == nil:
		switch {
		case name != eventStream:
		case len(st.steps) < maxPieces:
			st.steps[of] = &step{tee: t.seq, sent: true}
			st.wait(of, t.seq, raw)
		default:
			st.overflow()
		}
		st.emit(raw)
	case of == "":
		if name == eventRollback {
			st.voidOutside(raw)
			t.outside = 0
			return
		}
		st.emit(raw)
	case s.tee > t.seq:
		// It comes from an entry that is over: another does the step now.
	default:
		if s.tee < t.seq { // the step runs again
			if name != eventRollback {
				st.void(of, rollback(of))
			}
			s.tee = t.seq
		}
		switch name {
		case eventStream:
			s.sent = true
			st.wait(of, t.seq, raw)
			st.emit(raw)
		case eventCommit:
			if events := st.take(of); len(events) > 0 {
				st.keep(of, append(events, raw)...)
			}
			st.emit(raw)
		default:
			s.sent = true // the app says so to all
			st.void(of, raw)
		}
	}
}

// free takes an event that is of no step. All code outside of steps is repeated
// each time that a function is entered: what was sent before is known by its place.
func (t *Tee) free(raw []byte) {
	st := t.st
	if t.outside < len(st.outside) {
		if bytes.Equal(st.outside[t.outside], raw) {
			t.outside++
			return
		}
		if t.seq < st.owner {
			return // it comes from an entry that is over
		}
		// The code is not the same each time. What it sends now is what counts.
		again := st.outside[:t.outside:t.outside]
		st.voidOutside(rollback(""))
		for _, e := range again {
			st.say(e)
		}
	} else if st.steps[""] == nil && st.endpoint {
		// The client may have it from the app itself, which has sent it once already.
		st.emit(rollback(""))
	}
	st.owner = max(st.owner, t.seq)
	st.say(raw)
	t.outside++
}

// say sends an event that is of no step. Nothing can make it void but code that
// does something else the next time: it is kept at once.
func (st *stream) say(raw []byte) {
	if st.steps[""] == nil {
		st.steps[""] = &step{}
	}
	st.steps[""].sent = true
	st.emit(raw)
	if !st.full && st.room(len(raw)) {
		st.hold(len(raw))
		st.outside = append(st.outside, raw)
	}
	st.keep("", raw)
}

func (st *stream) voidOutside(mark []byte) {
	if st.steps[""] == nil {
		st.emit(mark)
		return
	}
	st.steps[""].sent = true
	st.void("", mark)
	st.hold(-st.weight())
	st.outside = nil
}

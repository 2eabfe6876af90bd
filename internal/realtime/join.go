package realtime

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/pawlhq/pawl/internal/store"
)

// Replay is what a reader who joins a stream gets before what comes from then on.
type Replay struct {
	st     *stream
	reader *Subscriber

	after, upTo int64           // places of what is on disk: above the one, up to the other
	without     map[string]bool // steps whose pieces on disk are void, and are about to go
	then        [][]byte
	last        [][]byte // after the answer, if that is on disk
	answer      bool     // it is
	began       bool
}

// Join lets a reader have the stream of a run: first what Next returns, then what
// the subscriber takes. after is the place up to which it has everything; 0: it has
// nothing. When the stream has ended, so does the subscriber. Leave gives it back.
// Errors: those of the store.
func (s *Streams) Join(ctx context.Context, run string, after int64, reader *Subscriber) (*Replay, error) {
	st := s.get(run)
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.load(ctx); err != nil {
		s.put(st)
		return nil, err
	}
	if after > st.flushed {
		after = 0 // it knows more than there is: that was another store's
	}
	r := &Replay{st: st, reader: reader, after: after, upTo: st.flushed, answer: st.answered}
	list := slices.Clone(st.unwritten)
	for i, p := range list {
		if p.Void {
			if r.without == nil {
				r.without = map[string]bool{}
			}
			r.without[p.Step] = true
			for j := range list[:i] {
				if list[j].Step == p.Step {
					list[j].Data = nil
				}
			}
		}
	}
	for _, p := range list {
		switch {
		case p.N == store.LastPiece && st.answered:
			r.answer, r.last = false, [][]byte{p.Data}
		case p.N != store.LastPiece && p.Data != nil:
			r.then = append(r.then, p.Data[:len(p.Data):len(p.Data)])
		}
	}
	reader.follow()
	switch {
	case st.answered:
	case st.closing != nil:
		r.last = [][]byte{st.closing}
	default:
		for _, p := range st.pending {
			r.then = append(r.then, p.raw)
		}
		st.readers[reader] = true
		return r, nil
	}
	r.last = append(r.last, place(store.LastPiece))
	reader.done()
	return r, nil
}

// Leave ends what Join began.
func (r *Replay) Leave() {
	r.st.mu.Lock()
	delete(r.st.readers, r.reader)
	r.st.mu.Unlock()
	r.st.s.put(r.st)
}

// Next returns what comes next, or nil when that is all.
func (r *Replay) Next(ctx context.Context) ([][]byte, error) {
	list, err := r.next(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream of run %s: %w", r.st.run, err)
	}
	if len(list) > 0 && !r.began {
		r.began = true
		list = append([][]byte{metadata(r.st.run)}, list...)
	}
	return list, nil
}

func (r *Replay) next(ctx context.Context) (list [][]byte, err error) {
	if r.after < r.upTo {
		pieces, err := r.st.s.Store.Stream(ctx, r.st.run, r.after, r.upTo, pageBytes)
		if err != nil {
			return nil, err
		}
		if len(pieces) > 0 {
			for _, p := range pieces {
				if !r.without[p.Step] {
					list = append(list, p.Data)
				}
			}
			if r.after = pieces[len(pieces)-1].N; r.after == r.upTo {
				list = append(list, place(r.upTo)) // not in the middle of a step
			}
			if len(list) > 0 {
				return list, nil
			}
			return r.next(ctx)
		}
		r.after = r.upTo
	}
	list, r.then = append(list, r.then...), nil
	if r.answer {
		r.answer = false
		pieces, err := r.st.s.Store.Stream(ctx, r.st.run, store.LastPiece-1, store.LastPiece, math.MaxInt)
		if err != nil {
			return nil, err
		}
		for _, p := range pieces {
			list = append(list, p.Data)
		}
	}
	list, r.last = append(list, r.last...), nil
	return list, nil
}

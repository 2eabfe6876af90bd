package pawl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
)

// saver brings the results of one call to the server while the call goes on.
// There is one request at a time; what finishes meanwhile goes with the next.
type saver struct {
	call *call
	ack  Ack
	turn chan struct{} // held by who sends

	mu      sync.Mutex
	waiting []*saving
	kept    []op  // that could not be sent
	broken  error // nothing is sent any more
	late    sync.WaitGroup
}

type saving struct {
	op   op
	done chan struct{}
	err  error
}

// errKept means that a result could not be sent, and goes with the answer.
var errKept = errors.New("pawl: the result goes with the answer")

func newSaver(c *call, ack Ack) *saver {
	return &saver{call: c, ack: ack, turn: make(chan struct{}, 1)}
}

// save returns when the result is on disk, or at once, as the call's Ack says.
func (s *saver) save(ctx context.Context, o op) error {
	w := &saving{op: o, done: make(chan struct{})}
	s.mu.Lock()
	if err := s.broken; err != nil {
		if errors.Is(err, errKept) {
			s.kept = append(s.kept, o)
		}
		s.mu.Unlock()
		return err
	}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	if s.ack > AckEachStep {
		s.late.Go(func() {
			// The function may return, which ends its context, before this is saved.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
			defer cancel()
			if s.see(ctx, w) == nil { // if not, who saves next is told, and the end of the call
				s.call.stream.commit(o.ID)
			}
		})
		return nil
	}
	err := s.see(ctx, w)
	if err == nil {
		s.call.stream.commit(o.ID)
	}
	return err
}

// see sends w, or waits until somebody else has.
func (s *saver) see(ctx context.Context, w *saving) error {
	select {
	case <-w.done:
		return w.err
	case s.turn <- struct{}{}:
	}
	defer func() { <-s.turn }()
	s.mu.Lock()
	batch := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	if len(batch) > 0 {
		err := s.send(ctx, batch)
		for _, b := range batch {
			b.err = err
			close(b.done)
		}
	}
	<-w.done
	return w.err
}

// How often a checkpoint is sent, the pause after the first failure, which
// doubles with each more, and how long all of it may take when nobody waits.
const (
	sendTries   = 5
	sendPause   = 100 * time.Millisecond
	sendTimeout = 30 * time.Second
)

func (s *saver) send(ctx context.Context, batch []*saving) error {
	ops := make([]op, len(batch))
	for i, b := range batch {
		ops[i] = b.op
	}
	steps, err := json.Marshal(ops)
	if err != nil {
		return s.stop(fmt.Errorf("steps cannot be written as JSON: %w", err), nil)
	}
	c := s.call
	if c.inline != nil {
		return s.report(ctx, steps)
	}
	cp := proto.Checkpoint{
		RunID: c.runID, FunctionID: c.functionID, ItemID: c.itemID, RequestID: c.requestID,
		Generation: c.generation, Started: c.started, Steps: steps,
	}
	for n := range sendTries {
		err = c.api.Checkpoint(ctx, cp)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, proto.ErrStale), errors.Is(err, proto.ErrGone), errors.Is(err, proto.ErrTooLarge):
			return s.stop(err, nil)
		}
		if n == sendTries-1 || sleep(ctx, sendPause<<n) != nil {
			break
		}
	}
	c.warn(ctx, "results cannot be saved while the call goes on; they go with its answer", "err", err)
	return s.stop(errKept, ops)
}

func (s *saver) stop(err error, kept []op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
	s.kept = append(s.kept, kept...)
	return err
}

// rest waits for what is under way and returns what goes with the answer.
func (s *saver) rest() []op {
	s.late.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// report sends the steps of a run that began in a request. What cannot be sent
// keeps its client from being answered.
func (s *saver) report(ctx context.Context, steps []byte) error {
	var err error
	for n := range sendTries {
		if err = s.call.inline.send(ctx, s.call.api, steps); err == nil {
			return nil
		}
		if errors.Is(err, proto.ErrGone) || errors.Is(err, proto.ErrTooLarge) || n == sendTries-1 || sleep(ctx, sendPause<<n) != nil {
			break
		}
	}
	return s.stop(err, nil)
}

// flush sends what waits, or, when nothing does, that the run goes on.
func (s *saver) flush(ctx context.Context) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.mu.Lock()
	batch, broken := s.waiting, s.broken
	s.waiting = nil
	s.mu.Unlock()
	if broken == nil {
		broken = s.send(ctx, batch)
	}
	for _, b := range batch {
		b.err = broken
		close(b.done)
	}
	return broken
}

// renewEvery is well within the lease of a run that began in a request.
const renewEvery = time.Minute

// renew tells the server now and then that the run goes on, until stop.
func (s *saver) renew(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.late.Go(func() {
		for sleep(ctx, renewEvery) == nil {
			_ = s.flush(ctx) // the end of the request tells
		}
	})
	return cancel
}

// end sends the last ops of a request, after all the others.
func (s *saver) end(ctx context.Context, ops []op) error {
	s.late.Wait()
	s.call.inline.pause = s.call.pause
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken != nil {
		return broken
	}
	batch := make([]*saving, len(ops))
	for i, o := range ops {
		batch[i] = &saving{op: o, done: make(chan struct{})}
	}
	return s.send(ctx, batch)
}

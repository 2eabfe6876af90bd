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
// When the function does not wait for that, what it has done in its last
// millisecond goes with its answer: a quick one is a single request.
type saver struct {
	call   *call
	ack    Ack
	turn   chan struct{} // held by who sends
	ending chan struct{} // closed when the call ends

	mu        sync.Mutex
	waiting   []*saving
	kept      []op  // that could not be sent
	broken    error // nothing is sent any more
	gathering bool  // somebody sends what waits in a moment
	late      sync.WaitGroup
}

type saving struct {
	op   op
	done chan struct{}
	err  error
}

// errKept means that a result could not be sent, and goes with the answer.
var errKept = errors.New("pawl: the result goes with the answer")

func newSaver(c *call, ack Ack) *saver {
	return &saver{call: c, ack: ack, turn: make(chan struct{}, 1), ending: make(chan struct{})}
}

// save returns when the result is on disk, or at once, as the call's Ack says.
func (s *saver) save(ctx context.Context, o op) error { return s.put(ctx, o, s.ack) }

// saveFirst returns when what has to be there before the call goes on is on disk,
// with all that was done before it.
func (s *saver) saveFirst(ctx context.Context, o op) error { return s.put(ctx, o, AckEachStep) }

func (s *saver) put(ctx context.Context, o op, ack Ack) error {
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
	if ack > AckEachStep {
		s.soon(ctx, gatherFor)
		return nil
	}
	err := s.see(ctx, w)
	if err == nil {
		s.call.stream.commit(o.ID) // whoever sent it may not have come to that
	}
	return err
}

// gatherFor is how long results that nobody waits for wait for others to go with.
const gatherFor = time.Millisecond

// soon sends what waits, or that the run is there, after a moment, and then what has
// come meanwhile. What is left when the call ends is not sent: it goes with the end.
func (s *saver) soon(ctx context.Context, moment time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gathering {
		return
	}
	s.gathering = true
	s.late.Go(func() {
		if moment > 0 {
			timer := time.NewTimer(moment)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-s.ending:
				return
			}
		}
		for more := true; more; {
			// The function may return, which ends its context, before this is saved.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
			err := s.flush(ctx) // if it fails, who saves next is told, and the end of the call
			cancel()
			more = err == nil && s.goesOn()
		}
	})
}

// goesOn reports whether more waits to be sent before the end.
func (s *saver) goesOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ending:
		s.gathering = false
	default:
		s.gathering = len(s.waiting) > 0
	}
	return s.gathering
}

// see sends w, or waits until somebody else has.
func (s *saver) see(ctx context.Context, w *saving) error {
	select {
	case <-w.done:
		return w.err
	case s.turn <- struct{}{}:
	}
	batch := s.take()
	if len(batch) > 0 {
		_ = s.send(ctx, batch, nil) // each is told
	}
	<-s.turn
	s.commit(batch)
	<-w.done
	return w.err
}

// take takes what waits.
func (s *saver) take() []*saving {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.waiting
	s.waiting = nil
	return batch
}

// How often a checkpoint is sent, the pause after the first failure, which
// doubles with each more, and how long all of it may take when nobody waits.
const (
	sendTries   = 5
	sendPause   = 100 * time.Millisecond
	sendTimeout = 30 * time.Second
)

// send sends a batch, and after it what ends the call.
func (s *saver) send(ctx context.Context, batch []*saving, end []op) error {
	ops := make([]op, 0, len(batch)+len(end))
	for _, b := range batch {
		ops = append(ops, b.op)
	}
	err := s.sendOps(ctx, append(ops, end...))
	for _, b := range batch {
		b.err = err
		close(b.done)
	}
	return err
}

func (s *saver) sendOps(ctx context.Context, ops []op) error {
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
	close(s.ending)
	s.late.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiting {
		s.kept = append(s.kept, w.op)
	}
	s.waiting = nil
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
	return s.all(ctx, nil)
}

// all sends what waits, and end after it, gives the turn back, and says of what was
// streamed in those steps that it is good.
func (s *saver) all(ctx context.Context, end []op) error {
	s.mu.Lock()
	err, batch := s.broken, s.waiting
	if err == nil {
		s.waiting = nil
	}
	s.mu.Unlock()
	if err == nil {
		err = s.send(ctx, batch, end)
	}
	<-s.turn
	if err != nil {
		return err
	}
	s.commit(batch)
	return nil
}

// commit says of what was streamed in steps that it is good, of those that were sent.
func (s *saver) commit(batch []*saving) {
	for _, b := range batch {
		if b.err == nil {
			s.call.stream.commit(b.op.ID)
		}
	}
}

// renewEvery is well within the lease of a run that began in a request.
const renewEvery = time.Minute

// renew tells the server now and then that the run goes on, until stop.
func (s *saver) renew(ctx context.Context) (stop func()) {
	waiting, cancel := context.WithCancel(ctx)
	s.late.Go(func() {
		for sleep(waiting, renewEvery) == nil {
			// What stops this may come while it sends the result of a step, which is not
			// to be lost by that.
			sending, done := context.WithTimeout(ctx, sendTimeout)
			_ = s.flush(sending) // the end of the request tells
			done()
		}
	})
	return cancel
}

// end sends the last ops of a request, with what waits before them.
func (s *saver) end(ctx context.Context, ops []op) error {
	close(s.ending)
	s.late.Wait()
	s.turn <- struct{}{}
	s.call.inline.pause = s.call.pause
	return s.all(ctx, ops)
}

package pawl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
)

// running is a step whose body runs.
type running struct {
	name    string
	id      string // hashed
	token   string
	attempt int // from 0
}

// body is a step's body whatever its type is.
type body func(context.Context) (json.RawMessage, error)

// step runs a step, or returns what it came to before.
func (p place) step(ctx context.Context, name string, cfg stepConfig, do, verify body) (json.RawMessage, error) {
	c := p.call
	s, memo, err := p.reach(name)
	defer c.leave(s)
	if err != nil {
		return nil, err
	}
	if memo != nil {
		return p.recall(s, memo)
	}
	if cfg.policy.retries > c.fn.retries() {
		return nil, c.misuse("step %q asks for %d retries, but its function has only %d: give the function pawl.Retries(%d)",
			name, cfg.policy.retries, c.fn.retries(), cfg.policy.retries)
	}
	if err := p.begin(s, false); err != nil {
		return nil, err
	}
	defer c.bodyEnded()
	t := &try{place: p, step: s, policy: cfg.policy.over(c.fn.config.policy), timeout: cfg.timeout, verify: verify}
	return t.run(ctx, do)
}

// recall is the outcome of a step that has ended.
func (p place) recall(s step, memo json.RawMessage) (json.RawMessage, error) {
	var m struct {
		Data  json.RawMessage `json:"data"`
		Error *errorBody      `json:"error"`
	}
	if err := json.Unmarshal(memo, &m); err != nil {
		m.Data = memo // some servers send the result bare
	}
	if m.Error != nil {
		return nil, &StepError{Step: s.name, Name: m.Error.Name, Message: m.Error.Message}
	}
	if m.Data == nil {
		m.Data = null
	}
	return m.Data, nil
}

// try is one try of a step.
type try struct {
	place
	step
	policy  policy
	timeout time.Duration
	verify  body
	begun   time.Time
	attempt int
	last    bool
}

func (t *try) run(ctx context.Context, do body) (json.RawMessage, error) {
	c := t.call
	t.attempt = c.attemptOf(t.id)
	tries := c.tries
	if n := t.policy.retries; n >= 0 {
		tries = min(tries, n+1)
	}
	t.last = t.attempt+1 >= tries && !c.blind
	t.begun = time.Now()
	exited := true
	defer func() {
		if exited && c.ctx.Err() == nil {
			_, _ = t.failed(ctx, c.exit()) // nobody is left to whom this could be returned
		}
	}()
	out, err := t.rightAway(ctx, do)
	exited = false
	return out, err
}

// rightAway is the try itself.
func (t *try) rightAway(ctx context.Context, do body) (json.RawMessage, error) {
	c := t.call
	if t.cutOff(ctx) {
		return nil, ErrRest
	}
	if cause := t.givenUp(ctx); cause != nil {
		return nil, t.giveUp(givenUpBody(cause, fmt.Errorf("the context had ended before the step began: %w", cause)))
	}
	if t.verify != nil {
		out, done, err := t.beforehand(ctx)
		if done || err != nil {
			return out, err
		}
	}
	if i := c.intercept; i != nil {
		own := do
		do = func(ctx context.Context) (json.RawMessage, error) {
			return i.Step(ctx, t.name, t.attempt, func(ctx context.Context) ([]byte, error) { return own(ctx) })
		}
	}
	out, err, gone := t.once(ctx, do)
	switch {
	case gone:
		c.stream.rollback(t.id)
		return nil, err
	case err == nil:
		return t.succeed(out)
	}
	return t.failed(ctx, err)
}

// attemptOf is which try of a step comes next, from 0.
func (c *call) attemptOf(step string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.failed == nil && c.progress:
		return 0
	case c.failed == nil:
		return c.attempt
	case c.progress:
		return c.failed[step]
	}
	return c.failed[step] + c.lost
}

// once runs a body. gone means that its error is not one of the step: nobody
// waits for it any more.
func (t *try) once(ctx context.Context, f body) (out json.RawMessage, err error, gone bool) {
	c := t.call
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // ended below, and by what it may end with
	defer cancel(nil)
	// A sibling that rests ends the context that both were given, not this step.
	defer context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); !errors.Is(cause, ErrRest) {
			cancel(cause)
		}
	})()
	defer context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })() //nolint:contextcheck // a step ends with its call
	if t.timeout > 0 {
		var stop context.CancelFunc
		inner, stop = context.WithTimeout(inner, t.timeout)
		defer stop()
	}
	inner = context.WithValue(inner, stepKey{}, &running{t.name, t.id, c.runID + "." + t.id, t.attempt})
	err = protect(func() (err error) {
		out, err = f(inner)
		return err
	})
	switch {
	case err == nil:
		return out, nil, false
	case c.ctx.Err() != nil, t.cutOff(ctx):
		return nil, ErrRest, true
	}
	return nil, err, false
}

// cutOff reports whether the context that a step was given may have ended because
// others rest or have returned, which says nothing about the step.
func (t *try) cutOff(ctx context.Context) bool {
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(cause, ErrRest) || errors.Is(cause, context.DeadlineExceeded) {
		return false // for the first and second, the step's own context has not ended
	}
	t.call.mu.Lock()
	defer t.call.mu.Unlock()
	return t.call.resting || errors.Is(cause, errAnswered)
}

// givenUp is why the program itself has ended the context that it gave a step,
// or nil. A step that ends by that has failed for good: the function must find
// the same whenever it is called, and not another outcome once it is in time.
func (t *try) givenUp(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == nil || t.call.ctx.Err() != nil || errors.Is(cause, ErrRest) || t.cutOff(ctx) {
		return nil
	}
	return cause
}

func givenUpBody(cause, err error) errorBody {
	b := bodyOf(err)
	b.Name = nameCancelled
	if errors.Is(cause, context.DeadlineExceeded) {
		b.Name = nameTimeout
	}
	return b
}

// beforehand makes sure that a step with Verify has not happened already.
func (t *try) beforehand(ctx context.Context) (out json.RawMessage, done bool, err error) {
	c := t.call
	name := t.name + proto.BegunSuffix
	id := proto.StepHash(name, t.index)
	if _, known := c.memos[id]; !known {
		// From here on a crash may hide what became of it: that it begins is on disk
		// before it does, whatever the Ack.
		_, err := t.home(op{ID: id, Op: "StepRun", Name: name, DisplayName: name, Data: null, Userland: &userland{name, t.index}}, (*saver).saveFirst)
		return nil, false, err
	}
	out, err, gone := t.once(ctx, t.verify)
	switch {
	case gone:
		return nil, true, err
	case err == nil:
		out, err = t.succeed(out)
		return out, true, err
	case errors.Is(err, ErrNotDone):
		return nil, false, nil
	case errors.Is(err, ErrUnknown), t.last, t.givenUp(ctx) != nil:
		return nil, true, t.giveUp(unknown(err))
	}
	return nil, true, t.again(err, 0)
}

// failed decides what an error of the body means.
func (t *try) failed(ctx context.Context, err error) (json.RawMessage, error) {
	if errors.Is(err, ErrRest) {
		return nil, t.call.misuse("the body of step %q has returned ErrRest, so a step was used inside of it: use that one after it", t.name)
	}
	verdict, after := classify(err, t.policy.classify)
	b, cause := bodyOf(err), t.givenUp(ctx)
	if cause != nil {
		b = givenUpBody(cause, err)
		ctx = context.WithoutCancel(ctx) // what became of it is asked all the same; the call bounds that
	}
	switch {
	case verdict == Fail:
		return nil, t.giveUp(b)
	case !t.last && cause == nil:
		return nil, t.again(err, after)
	case t.verify == nil:
		return nil, t.giveUp(b)
	}
	// There is no further try, but it may have happened after all.
	out, asked, gone := t.once(ctx, t.verify)
	switch {
	case gone:
		return nil, asked
	case asked == nil:
		return t.succeed(out)
	case errors.Is(asked, ErrNotDone):
		return nil, t.giveUp(b)
	}
	return nil, t.giveUp(unknown(errors.Join(err, asked)))
}

func unknown(err error) errorBody {
	b := bodyOf(err)
	b.Name, b.Message = nameUnknown, "whether it happened is unknown: "+b.Message
	return b
}

func (t *try) op(kind string) op {
	return op{
		ID: t.id, Op: kind, Name: t.name, DisplayName: t.name, Userland: t.userland(),
		Timing: &timing{t.begun.UnixNano(), int64(time.Since(t.begun))},
	}
}

func (t *try) succeed(out json.RawMessage) (json.RawMessage, error) {
	o := t.op("StepRun")
	o.Data = out
	if t.call.entry {
		// The server has it before the result, which waits for it.
		t.call.stream.commit(t.id)
	}
	return t.save(o)
}

// save brings a result home. It returns it when the function may go on with it.
func (t *try) save(o op) (json.RawMessage, error) { return t.home(o, (*saver).save) }

func (t *try) home(o op, save func(*saver, context.Context, op) error) (json.RawMessage, error) {
	c := t.call
	if c.saver == nil || c.target != "" {
		c.addResults([]op{o})
		return nil, t.rest()
	}
	err := save(c.saver, c.ctx, o)
	switch {
	case err == nil:
		c.mu.Lock()
		c.progress = true
		c.mu.Unlock()
		return o.Data, nil
	case errors.Is(err, proto.ErrStale), errors.Is(err, proto.ErrGone), errors.Is(err, proto.ErrTooLarge):
		return nil, t.rest() // whatever is answered is ignored
	case errors.Is(err, errKept):
		return nil, t.rest() // it goes with the answer
	}
	return nil, t.rest()
}

// again lets the server try once more.
func (t *try) again(err error, after time.Duration) error {
	t.call.stream.rollback(t.id)
	o := t.op("StepError")
	b := bodyOf(err)
	o.Error, o.Data = &b, null
	if after == 0 && t.policy.backoff != nil {
		after = t.policy.backoff(t.attempt + 1)
	}
	if after > 0 {
		o.Opts = map[string]any{proto.OptRetryAfter: retryAfter(after)}
	}
	t.call.mu.Lock()
	t.call.failing = true
	t.call.pause = max(t.call.pause, after)
	t.call.mu.Unlock()
	return t.rest(t.mark(o))
}

// giveUp makes the error the step's outcome, for the function to see when it is
// called next.
func (t *try) giveUp(b errorBody) error {
	t.call.stream.rollback(t.id)
	o := t.op("StepFailed")
	o.Error = &b
	t.call.addResults([]op{o})
	return t.rest()
}

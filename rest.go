package pawl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
)

// maxRest is the longest that a step may rest. Source: spec/03 §14.
const maxRest = 366 * 24 * time.Hour

// Sleep rests for d, at most 366 days.
func Sleep(ctx context.Context, name string, d time.Duration) error {
	since := time.Now()
	return nap(ctx, name, func() time.Duration { return d - time.Since(since) }, d)
}

// SleepUntil rests until t, at most 366 days.
func SleepUntil(ctx context.Context, name string, t time.Time) error {
	return nap(ctx, name, func() time.Duration { return time.Until(t) }, time.Until(t))
}

func nap(ctx context.Context, name string, left func() time.Duration, d time.Duration) error {
	at, err := here(ctx)
	if err != nil {
		return err
	}
	if d > maxRest {
		return at.call.misuse("step %q sleeps for %s; the most is 366 days", name, d)
	}
	_, err = at.await(name, func(s step) op {
		return op{ID: s.id, Op: "Sleep", Name: duration(left()), DisplayName: name, Opts: map[string]any{"duration": duration(left())}, Userland: s.userland()}
	})
	return err
}

// await is a step that the server ends. It returns the step's memo.
func (p place) await(name string, make func(step) op) (json.RawMessage, error) {
	c := p.call
	s, memo, err := p.reach(name)
	defer c.leave(s)
	switch {
	case err != nil:
		return nil, err
	case memo != nil:
		return memo, nil
	}
	if err := p.begin(s, true); err != nil {
		return nil, err
	}
	return nil, p.rest(p.mark(make(s)))
}

// WaitOption is an option of a wait for an event.
type WaitOption func(*waiting)

// waiting is what a wait asks for beside the name of the event.
type waiting struct {
	condition string
	same      string // a path that the run's event has to have something at
}

// If is a condition in CEL: `async` is the event that comes, `event` the one
// that started the run. See [Where] for conditions that hold values.
func If(condition string) WaitOption {
	return func(w *waiting) { w.condition = condition }
}

// Same waits for an event whose data has the same value at path as the event
// that started the run: Same("order.id"). A run whose event has nothing there fails
// for good, since it would wait for every event that has nothing there either.
func Same(path string) WaitOption {
	return func(w *waiting) {
		w.condition, w.same = "event.data"+member(path)+" == async.data"+member(path), path
	}
}

// WaitForEvent rests until an event of a kind comes, and returns its data, or
// [ErrTimeout] after timeout, at most 366 days. Events that came before do not
// count.
func WaitForEvent[T any](ctx context.Context, name string, e EventType[T], timeout time.Duration, options ...WaitOption) (T, error) {
	var data T
	r, err := WaitForReceived(ctx, name, e.name, timeout, options...)
	if err != nil {
		return data, err
	}
	at, err := here(ctx)
	if err != nil {
		return data, err
	}
	if r.Data == nil {
		r.Data = null
	}
	return data, decode(at, name, r.Data, &data)
}

// WaitForReceived is [WaitForEvent] for an event of whatever kind, by its name.
func WaitForReceived(ctx context.Context, name, event string, timeout time.Duration, options ...WaitOption) (Received, error) {
	var w waiting
	for _, o := range options {
		o(&w)
	}
	at, err := here(ctx)
	if err != nil {
		return Received{}, err
	}
	if w.same != "" && !at.call.startedWith(w.same) {
		return Received{}, at.call.misuse("step %q waits for an event with the same %s, and the event that started the run has none", name, w.same)
	}
	memo, err := wait(ctx, name, timeout, func(s step) op {
		opts := map[string]any{"event": event, "timeout": duration(timeout)}
		if w.condition != "" {
			opts["if"] = w.condition
		}
		return op{ID: s.id, Op: "WaitForEvent", Name: event, DisplayName: name, Opts: opts, Userland: s.userland()}
	})
	if err != nil {
		return Received{}, err
	}
	return received(memo)
}

// wait is await for what may come to nothing.
func wait(ctx context.Context, name string, timeout time.Duration, make func(step) op) (json.RawMessage, error) {
	at, err := here(ctx)
	if err != nil {
		return nil, err
	}
	if timeout > maxRest {
		return nil, at.call.misuse("step %q waits for %s; the most is 366 days", name, timeout)
	}
	memo, err := at.await(name, make)
	switch {
	case err != nil:
		return nil, err
	case string(memo) == "null":
		return nil, fmt.Errorf("step %q: %w", name, ErrTimeout)
	}
	return memo, nil
}

// WaitForSignal rests until a signal comes, and returns what was sent with it,
// or [ErrTimeout] after timeout, at most 366 days. One run at a time can wait
// for a signal; a second one fails.
func WaitForSignal[T any](ctx context.Context, name, signal string, timeout time.Duration) (T, error) {
	var data T
	memo, err := wait(ctx, name, timeout, func(s step) op {
		opts := map[string]any{"signal": signal, "timeout": duration(timeout), "conflict": "fail"}
		return op{ID: s.id, Op: "WaitForSignal", Name: signal, DisplayName: name, Opts: opts, Userland: s.userland()}
	})
	if err != nil {
		return data, err
	}
	at, err := here(ctx)
	if err != nil {
		return data, err
	}
	var m struct {
		Data struct {
			Data json.RawMessage `json:"data"`
		} `json:"data"`
	}
	if err := json.Unmarshal(memo, &m); err != nil || m.Data.Data == nil {
		m.Data.Data = null
	}
	return data, decode(at, name, m.Data.Data, &data)
}

// Invoke runs another function and rests until it has ended. Its error is a
// [*StepError]; errors.Is finds [ErrTimeout] in it when the function took longer
// than a year, or than was left until ctx's deadline when the step was first reached:
// the function that was invoked goes on then. In has to be an object in JSON.
func Invoke[In, Out any](ctx context.Context, name string, f *Function[In, Out], in In) (Out, error) {
	var out Out
	at, err := here(ctx)
	if err != nil {
		return out, err
	}
	payload, err := marshal(in)
	if err != nil {
		return out, at.call.misuse("step %q: %w", name, err)
	}
	memo, err := at.await(name, func(s step) op {
		opts := map[string]any{"function_id": f.slug, "payload": map[string]any{"data": payload}}
		if d, ok := at.call.deadline(ctx); ok && time.Until(d) < maxRest {
			opts["timeout"] = duration(time.Until(d))
		}
		return op{ID: s.id, Op: "InvokeFunction", Name: name, DisplayName: name, Opts: opts, Userland: s.userland()}
	})
	if err != nil {
		return out, err
	}
	raw, err := at.recall(step{name: name}, memo)
	if err != nil {
		return out, err
	}
	return out, decode(at, name, raw, &out)
}

// deadline is that of ctx, if the function itself has set one.
func (c *call) deadline(ctx context.Context) (d time.Time, ok bool) {
	d, ok = ctx.Deadline()
	if whole, bounded := c.ctx.Deadline(); bounded && !d.Before(whole) {
		return d, false // that of the call
	}
	return d, ok
}

// SendEvent sends events as a step, and returns their ids. Events without an ID
// get one, so that they are sent once however often the step is tried.
func SendEvent(ctx context.Context, name string, events ...Event) ([]string, error) {
	at, err := here(ctx)
	if err != nil {
		return nil, err
	}
	return Run(ctx, name, func(ctx context.Context) ([]string, error) {
		list := append([]Event(nil), events...)
		for i := range list {
			if list[i].ID == "" {
				list[i].ID = Token(ctx) + "." + strconv.Itoa(i)
			}
		}
		body, err := eventsJSON(list)
		if err != nil {
			return nil, Permanent(err)
		}
		return at.call.api.Send(ctx, body)
	})
}

// SendSignal sends a signal as a step. It is no error when nobody waits for it:
// waited says whether somebody did.
func SendSignal(ctx context.Context, name, signal string, data any) (waited bool, err error) {
	at, err := here(ctx)
	if err != nil {
		return false, err
	}
	return Run(ctx, name, func(ctx context.Context) (bool, error) {
		body, err := marshal(data)
		if err != nil {
			return false, Permanent(err)
		}
		switch _, err = at.call.api.Signal(ctx, signal, body); {
		case errors.Is(err, proto.ErrNobodyWaits):
			return false, nil
		case err != nil:
			return false, err
		}
		return true, nil
	})
}

// Publish tells those who listen to a topic of a channel. Whoever does not
// listen just then never hears it. It is no step: use it inside of one, or it is
// published each time the function is called.
func Publish(ctx context.Context, channel, topic string, data any) error {
	at, ok := ctx.Value(placeKey{}).(place)
	if !ok {
		return ErrNoRun
	}
	body, err := marshal(data)
	if err != nil {
		return err
	}
	if at.call.check {
		return nil
	}
	return at.call.api.Publish(ctx, channel, topic, body)
}

package pawl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
)

// StepOption is an option of a step.
type StepOption interface{ applyStep(*stepConfig) }

type stepConfig struct {
	policy  policy
	timeout time.Duration
	verify  any // func(context.Context) (T, error)
	undo    any // func(context.Context, T) error
}

type stepOption func(*stepConfig)

func (o stepOption) applyStep(c *stepConfig) { o(c) }

// Timeout bounds one try of a step: its context ends after d.
func Timeout(d time.Duration) StepOption { return stepOption(func(c *stepConfig) { c.timeout = d }) }

// Verify is asked before a further try of a step, when nobody knows what became
// of the last one: it failed in a way that may hide success, or the process died
// in the middle of it. f has the same context as the step, and looks up
// what [Token] was used for. It returns
//
//   - the result and nil: it happened, and this is the step's result;
//   - [ErrNotDone]: it did not happen, so that it may be tried;
//   - [ErrUnknown]: that cannot be found out: the step fails at once;
//   - any other error: it cannot be found out now. This uses up a try of the step,
//     which fails with ErrUnknown if it was the last.
//
// A step with Verify saves that it is about to begin before it does, and waits until
// that is on disk, whatever the [Ack]: it costs one write more than another step. T
// has to be the result of the step; for [Do] it is [None].
func Verify[T any](f func(context.Context) (T, error)) StepOption {
	return stepOption(func(c *stepConfig) { c.verify = f })
}

// Undo says how to take back what a step did; see [Compensate]. T has to be the
// result of the step; for [Do] it is [None].
func Undo[T any](f func(context.Context, T) error) StepOption {
	return stepOption(func(c *stepConfig) { c.undo = f })
}

// None is the result of a step that has none.
type None struct{}

// MarshalJSON writes null.
func (None) MarshalJSON() ([]byte, error) { return null, nil }

// UnmarshalJSON takes whatever a step returned before it had no result.
func (*None) UnmarshalJSON([]byte) error { return nil }

// Run runs a step: body, once for the run. Its result is saved, and what the
// step returns from then on is read from there. The error is [ErrRest] when the
// step is to be tried again, and a [*StepError] when it has failed for good.
//
// The context of body ends with ctx, with the step's [Timeout], and when the run
// is cancelled. A step whose ctx the function itself has ended, by a deadline of its
// own or because another goroutine failed, has failed for good, without further
// tries: errors.Is finds [context.DeadlineExceeded] or [context.Canceled] in its
// error, now and whenever the function is called. A deadline is as far away each
// time that the function is called: for how long one try may take, use Timeout. No
// step may be used inside a step.
func Run[T any](ctx context.Context, name string, body func(context.Context) (T, error), options ...StepOption) (T, error) {
	var out T
	s := stepConfig{policy: policy{retries: -1}}
	for _, o := range options {
		o.applyStep(&s)
	}
	at, err := here(ctx)
	if err != nil {
		return out, err
	}
	if err := checkTypes[T](at, name, s); err != nil {
		return out, err
	}
	switch {
	case body == nil:
		return out, at.call.misuse("step %q: its body is nil", name)
	case s.policy.problem != nil:
		return out, at.call.misuse("step %q: %w", name, s.policy.problem)
	}
	do := func(ctx context.Context) (json.RawMessage, error) { return encoded(body(ctx)) }
	var verify func(context.Context) (json.RawMessage, error)
	if f, ok := s.verify.(func(context.Context) (T, error)); ok {
		verify = func(ctx context.Context) (json.RawMessage, error) { return encoded(f(ctx)) }
	}
	raw, err := at.step(ctx, name, s, do, verify)
	if err != nil {
		return out, err
	}
	if err := decode(at, name, raw, &out); err != nil {
		return out, err
	}
	if at.call.check {
		at.call.noteLost(name, raw, &out)
	}
	if undo, ok := s.undo.(func(context.Context, T) error); ok {
		at.call.remember(name, func(ctx context.Context) error { return undo(ctx, out) })
	}
	return out, nil
}

// Do is Run for a step without a result.
func Do(ctx context.Context, name string, body func(context.Context) error, options ...StepOption) error {
	var do func(context.Context) (None, error)
	if body != nil {
		do = func(ctx context.Context) (None, error) { return None{}, body(ctx) }
	}
	_, err := Run(ctx, name, do, options...)
	return err
}

func encoded[T any](v T, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	raw, err := marshal(v)
	if err != nil {
		return nil, Permanent(err)
	}
	return raw, nil
}

// decode reads what was saved. A newer program may be unable to: the function is
// tried again, so that a program that can may take over.
func decode(at place, name string, raw json.RawMessage, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return at.call.fail(&mismatch{name, reflect.TypeOf(into).Elem(), err})
	}
	return nil
}

// mismatch is something saved that does not fit the type that it is read into.
type mismatch struct {
	step string // "": the event's data
	into reflect.Type
	err  error
}

func (m *mismatch) Error() string {
	if m.step == "" {
		return fmt.Sprintf("the event's data is no %s: %v", m.into, m.err)
	}
	return fmt.Sprintf("pawl: step %q: its saved result is no %s: %v", m.step, m.into, m.err)
}

func (m *mismatch) Unwrap() error { return m.err }
func (m *mismatch) Name() string  { return proto.NameMismatch }

func (m *mismatch) data() json.RawMessage {
	data, err := marshal(proto.Mismatch{Step: m.step, Type: m.into.String(), Why: m.err.Error()})
	if err != nil {
		return null
	}
	return data
}

// noteLost notes that a result has a field for which its type has no place. What
// the program itself has saved had one once.
func (c *call) noteLost(name string, raw json.RawMessage, into any) {
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	typ := reflect.TypeOf(into).Elem()
	err := strict.Decode(reflect.New(typ).Interface())
	if err == nil {
		return // it was read already: only a field can be wrong
	}
	m := &mismatch{name, typ, err}
	c.addResults([]op{{
		ID: proto.StepHash(name, 0), Op: "None", Name: name, DisplayName: name,
		Error: &errorBody{Name: proto.NameFieldsLost, Message: err.Error(), Data: m.data()},
	}})
}

// checkTypes finds a Verify or Undo that belongs to another step.
func checkTypes[T any](at place, name string, s stepConfig) error {
	if _, ok := s.verify.(func(context.Context) (T, error)); s.verify != nil && !ok {
		return at.call.misuse("step %q returns a %s, but its Verify is a %T", name, reflect.TypeFor[T](), s.verify)
	}
	if _, ok := s.undo.(func(context.Context, T) error); s.undo != nil && !ok {
		return at.call.misuse("step %q returns a %s, but its Undo is a %T", name, reflect.TypeFor[T](), s.undo)
	}
	return nil
}

// Token is the idempotency token of the step whose context this is: the same
// for each try of it, and of no other step. Outside of a step it is the run's.
// It is "" outside of a run.
func Token(ctx context.Context) string {
	if s, ok := ctx.Value(stepKey{}).(*running); ok {
		return s.token
	}
	if at, ok := ctx.Value(placeKey{}).(place); ok {
		return at.call.runID
	}
	return ""
}

// Attempt is which try of the step, or of the function, this is: 1 for the
// first. It is 0 outside of a run.
func Attempt(ctx context.Context) int {
	if s, ok := ctx.Value(stepKey{}).(*running); ok {
		return s.attempt + 1
	}
	if at, ok := ctx.Value(placeKey{}).(place); ok {
		return at.call.attempt + 1
	}
	return 0
}

// RunID is the id of the run whose context this is; "" outside of a run.
func RunID(ctx context.Context) string {
	if at, ok := ctx.Value(placeKey{}).(place); ok {
		return at.call.runID
	}
	return ""
}

// Events are the events that started the run: one, or those of a [Batch].
func Events(ctx context.Context) []Received {
	at, ok := ctx.Value(placeKey{}).(place)
	if !ok {
		return nil
	}
	list := make([]Received, 0, len(at.call.events))
	for _, raw := range at.call.events {
		if e, err := received(raw); err == nil {
			list = append(list, e)
		}
	}
	return list
}

package pawl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
)

var (
	// ErrRest means that a step cannot go on now. Return it; the function is
	// called again when the step can.
	ErrRest = errors.New("pawl: the run rests here; return this error from the function")
	// ErrTimeout means that nothing came in the time that a step waits.
	ErrTimeout = errors.New("pawl: nothing came in time")
	// ErrNotDone is what [Verify] returns when the last try did not happen.
	ErrNotDone = errors.New("pawl: it did not happen")
	// ErrUnknown means that nobody can tell whether a step happened. Verify
	// returns it to give up at once; errors.Is finds it in the StepError then.
	ErrUnknown = errors.New("pawl: whether it happened is unknown")
	// ErrNoRun means that a step was used outside of a function, or with a
	// context that does not come from the function's own.
	ErrNoRun = errors.New("pawl: no run in this context; use the context that the function was given")
)

// Names of errors that have a meaning here.
const (
	nameUnknown       = "OutcomeUnknown"
	nameInvokeTimeout = "InngestInvokeTimeoutError"
	nameTimeout       = "Timeout"
	nameCancelled     = "Cancelled"
)

// StepError is the error of a step that has failed for good: there are no more
// tries. It is read from the run's journal, so that it is the same whenever the
// function is called; errors.As does not find the types of errors inside it.
type StepError struct {
	Step    string // name of the step
	Name    string // of the error: its type, or what its method Name says
	Message string
}

// Error tells the step and what went wrong with it.
func (e *StepError) Error() string { return fmt.Sprintf("step %q: %s", e.Step, e.Message) }

// Is makes errors.Is find [ErrUnknown], for an invocation [ErrTimeout], and for a
// step that was out of time, or whose context the function has ended,
// [context.DeadlineExceeded] and [context.Canceled].
func (e *StepError) Is(target error) bool {
	switch target {
	case ErrUnknown:
		return e.Name == nameUnknown
	case ErrTimeout:
		return e.Name == nameInvokeTimeout
	case context.DeadlineExceeded:
		return e.Name == nameTimeout
	case context.Canceled:
		return e.Name == nameCancelled
	default:
		return false
	}
}

// Permanent marks err as one that no further try can mend.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &marked{err: err, verdict: Fail}
}

// RetryAfter asks for the next try no sooner than after d, or after a day if d is
// longer: that is the longest pause between tries. To wait longer, let the step
// return, and [Sleep] before the next one.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &marked{err: err, verdict: Retry, after: d}
}

// marked is an error with a verdict of whoever made it.
type marked struct {
	err     error
	verdict Verdict
	after   time.Duration
}

func (m *marked) Error() string { return m.err.Error() }
func (m *marked) Unwrap() error { return m.err }

// Verdict says what an error means for the next try.
type Verdict int

const (
	// Undecided leaves it to the usual rules.
	Undecided Verdict = iota
	// Retry: the next try may go better.
	Retry
	// Fail: trying again is useless.
	Fail
)

// classify is the verdict about err: of its maker, then of the user's own
// function, then by the usual rules.
func classify(err error, own func(error) Verdict) (v Verdict, after time.Duration) {
	if m, ok := errors.AsType[*marked](err); ok {
		return m.verdict, m.after
	}
	if own != nil {
		v = own(err)
	}
	if v == Undecided {
		v = usual(err)
	}
	return v, 0
}

// usual tries again whatever may go better: everything, but what says by a
// method Retryable or Temporary that it will not, and steps that failed for good.
func usual(err error) Verdict {
	if _, ok := errors.AsType[*StepError](err); ok {
		return Fail
	}
	if r, ok := errors.AsType[interface {
		error
		Retryable() bool
	}](err); ok && !r.Retryable() {
		return Fail
	}
	return Retry
}

// errorBody is an error as the protocol has it.
type errorBody struct {
	Name    string          `json:"name"`
	Message string          `json:"message"`
	Stack   string          `json:"stack,omitempty"`
	Data    json.RawMessage `json:"data"`
}

// maxErrorText bounds the message and the stack that are kept of an error, in
// bytes.
const maxErrorText = 64 << 10

func bodyOf(err error) errorBody {
	b := errorBody{Name: nameOf(err), Message: clip(err.Error()), Data: null}
	if p, ok := errors.AsType[*panicked](err); ok {
		b.Stack = clip(p.stack)
	}
	if m, ok := errors.AsType[*mismatch](err); ok {
		b.Data = m.data()
	}
	return b
}

func clip(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return s
}

// nameOf is what kind of error err is, for people and for errors.Is.
func nameOf(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return nameTimeout
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if n, ok := e.(interface{ Name() string }); ok {
			return n.Name()
		}
		t := reflect.TypeOf(e)
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.PkgPath() {
		case "errors", "fmt", "github.com/pawlhq/pawl":
		default:
			if t.Name() != "" {
				return t.Name()
			}
		}
	}
	return "Error"
}

// panicked is a panic of user code, as an error of that try.
type panicked struct {
	value any
	stack string
}

func (p *panicked) Error() string {
	if p.value == goexit {
		return string(goexit)
	}
	return fmt.Sprintf("panic: %v", p.value)
}

func (p *panicked) Name() string {
	if p.value == goexit {
		return proto.NameExit
	}
	return "Panic"
}

// ended is the value of what is no panic, but ends a goroutine as well.
type ended string

const goexit ended = "runtime.Goexit was called, as by t.FailNow"

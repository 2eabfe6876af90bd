package match

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match/expr"
)

// Doc is an event's body, decoded once however many conditions read it.
type Doc = expr.Doc

// NewDoc makes a document of an event's body.
func NewDoc(body []byte) *Doc { return expr.NewDoc(body) }

// Find fills in by what the waits for an event are found: w has its name and
// condition, and run is the event that started the run. It fails with an
// *expr.CompileError when the condition is no expression, and reports false
// when no event can ever meet it.
func Find(w *durable.Wait, run *Doc, programs *Programs) (possible bool, err error) {
	if w.If == "" {
		w.Exact = true
		return true, nil
	}
	p, err := programs.Compile(w.If, expr.EventAndAsync)
	if err != nil {
		return false, err
	}
	if index, ok := p.Index(run); ok {
		w.Path, w.Value, w.Exact = index.Path, index.Text, index.Exact
	}
	return !p.Never(run), nil
}

// Value is what the index says, at a path, of the waits that an event concerns.
// The path "" is that of waits which any event of the name may concern.
func Value(came *Doc, path string) string {
	if path == "" {
		return ""
	}
	return came.IndexText(path)
}

// Holds reports whether the condition of a wait that was found holds between
// the event that started its run and the one that came. One that cannot be
// evaluated does not.
func Holds(ctx context.Context, w durable.Wait, run durable.JSON, came *Doc, programs *Programs, now time.Time) bool {
	if w.Exact {
		return true
	}
	p, err := programs.Compile(w.If, expr.EventAndAsync)
	if err != nil {
		return false
	}
	ok, err := p.Bool(ctx, expr.Input{Event: NewDoc(run), Async: came, Now: now})
	return err == nil && ok
}

// Unique is the key of a start of f for an event, by the function's option
// "idempotency": "" when it has none, or when it is false for this event. A
// value that is missing is a value like any other. Source: spec/11 §8.
func Unique(ctx context.Context, f durable.Function, event *Doc, programs *Programs, now time.Time) (string, error) {
	if f.Once == "" {
		return "", nil
	}
	value, _, err := Key(ctx, f.Once, event, programs, now)
	return value, err
}

// Key is the value of a key expression for an event: "" without one. Other than
// for KeyText, null is a value of its own. off means that it is the boolean
// false: what the key is for does not concern the event. value is "" then.
func Key(ctx context.Context, source string, event *Doc, programs *Programs, now time.Time) (value string, off bool, err error) {
	if source == "" {
		return "", false, nil
	}
	p, err := programs.Compile(source, expr.EventOnly)
	if err != nil {
		return "", false, err
	}
	key, err := p.Key(ctx, expr.Input{Event: event, Now: now})
	switch {
	case err != nil:
		return "", false, err
	case key.False:
		return "", true, nil
	case key.Null:
		return "null", false, nil
	default:
		return "=" + key.Text, false, nil
	}
}

// KeyText is the value of a key expression for an event, as text; it reports
// false when there is none: the expression fails, or gives null.
func KeyText(ctx context.Context, source string, event *Doc, programs *Programs, now time.Time) (string, bool) {
	p, err := programs.Compile(source, expr.EventOnly)
	if err != nil {
		return "", false
	}
	key, err := p.Key(ctx, expr.Input{Event: event, Now: now})
	return key.Text, err == nil && !key.Null
}

// Priority is the value of a function's option "priority": by how much a run
// comes ahead of others. Source: spec/11 §6.
func Priority(ctx context.Context, source string, event *Doc, programs *Programs, now time.Time) time.Duration {
	if source == "" {
		return 0
	}
	p, err := programs.Compile(source, expr.EventOnly)
	if err != nil {
		return 0
	}
	v, err := p.Value(ctx, expr.Input{Event: event, Now: now})
	if err != nil {
		return 0
	}
	var seconds float64
	switch v := v.(type) {
	case float64:
		seconds = v
	case int64:
		seconds = float64(v)
	case uint64:
		seconds = float64(v)
	default:
		return 0
	}
	if seconds != seconds { // NaN
		return 0
	}
	seconds = min(max(seconds, -mostPriority), mostPriority)
	return time.Duration(seconds * float64(time.Second))
}

// mostPriority is the most seconds that a priority counts. Source: spec/11 §6.
const mostPriority = 600

// Is reports whether a condition holds for an event. Without one it does; one that
// fails does not.
func Is(ctx context.Context, source string, event *Doc, programs *Programs, now time.Time) bool {
	if source == "" {
		return true
	}
	p, err := programs.Compile(source, expr.EventOnly)
	if err != nil {
		return false
	}
	ok, err := p.Bool(ctx, expr.Input{Event: event, Now: now})
	return ok && err == nil
}

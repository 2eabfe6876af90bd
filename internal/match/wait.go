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
// *expr.CompileError when the condition is no expression.
func Find(w *durable.Wait, run *Doc, programs *Programs, now time.Time) error {
	if w.If == "" {
		w.Exact = true
		return nil
	}
	p, err := programs.Compile(w.If, expr.EventAndAsync)
	if err != nil {
		return err
	}
	w.Path, w.Value, w.Exact = index(p, expr.Input{Event: run, Now: now})
	return nil
}

// index will be replaced.
func index(*expr.Program, expr.Input) (path, value string, exact bool) { return "", "", false }

// Value is what the index says of an event at a path; waits for the same value
// are found there.
func Value(came *Doc, path string) string {
	return ""
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

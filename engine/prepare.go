package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/match/expr"
	"github.com/pawlhq/pawl/internal/store"
)

// prepare completes an answer's ops with what the run's function and events
// say, so that Next need not look anything up: which function is invoked, and
// by what a wait is found.
func (e *Engine) prepare(table *match.Table, r *durable.Run, in durable.Input) {
	ops := durable.OpsOf(in)
	var doc *match.Doc
	for i := range ops {
		op := &ops[i]
		switch op.Kind {
		case durable.OpInvoke:
			if f, ok := table.Served(op.Invoke.Function); ok && !f.Endpoint {
				op.Invoke.Slug = f.Slug
			}
		case durable.OpWait:
			if op.Wait.Kind != durable.ForEvent {
				continue
			}
			if doc == nil {
				doc = match.NewDoc(r.Events[0].Body)
			}
			if _, err := match.Find(op.Wait, doc, e.programs); err != nil {
				op.Kind, op.Err = durable.OpRefused, badCondition(op, err)
			}
		default:
		}
	}
}

// mostCondition bounds how much of a condition an error repeats, in bytes.
const mostCondition = 100

// badCondition is the failure of a run whose step waits with a condition that is
// no expression. SDKs know it by its first words. Source: spec/11 §13.
func badCondition(op *durable.Op, err error) durable.Failure {
	condition, detail := op.Wait.If, err.Error()
	if len(condition) > mostCondition {
		condition = strings.ToValidUTF8(condition[:mostCondition], "") + "…"
	}
	if bad, ok := errors.AsType[*expr.CompileError](err); ok {
		detail = bad.Detail()
	}
	return durable.Failure{
		Name:    "InvalidExpression",
		Message: fmt.Sprintf("Wait for event If expression failed to compile: step %q: %s: %s", op.Name, condition, detail),
		Stack:   err.Error(),
	}
}

// reserve looks which signals of an answer are taken. Until release is called
// nobody else can take them or send them.
func (e *Engine) reserve(ctx context.Context, run string, in durable.Input) (release func(), err error) {
	ops := durable.OpsOf(in)
	var waits []*durable.Op
	for i := range ops {
		if op := &ops[i]; op.Kind == durable.OpWait && op.Wait.Kind == durable.ForSignal {
			waits = append(waits, op)
		}
	}
	if len(waits) == 0 {
		return func() {}, nil
	}
	slices.SortStableFunc(waits, func(a, b *durable.Op) int { return strings.Compare(a.Wait.Name, b.Wait.Name) })
	var unlock []func()
	release = func() {
		for _, u := range unlock {
			u()
		}
	}
	for i, op := range waits {
		if i > 0 && waits[i-1].Wait.Name == op.Wait.Name {
			op.Taken = !op.Replace && waits[i-1].Step != op.Step
			continue
		}
		unlock = append(unlock, e.signals.lock(op.Wait.Name))
		holder, err := e.store.Signal(ctx, op.Wait.Name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			op.Taken = false
		case err != nil:
			release()
			return nil, err
		default:
			op.Taken = !op.Replace && (holder.Run != run || holder.Step != op.Step)
		}
	}
	return release, nil
}

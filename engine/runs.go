package engine

import (
	"context"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/call"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// TooLarge means that a checkpoint made a run exceed a limit: the run has
// failed, and the message says which limit.
type TooLarge struct{ Message string }

func (e *TooLarge) Error() string { return e.Message }

// Checkpoint saves steps that an app has finished while its call goes on. When
// it returns nil they are on disk, and the app may go on. A checkpoint that
// was sent before changes nothing. generation is the one of the call that the
// app is in, 0 if it does not say. Errors: store.ErrNotFound,
// durable.ErrEnded, durable.ErrStale, durable.ErrNotCheckpoint, *TooLarge, and
// those of a store that cannot write.
func (e *Engine) Checkpoint(ctx context.Context, run string, generation int64, ops []wire.Op) error {
	in := durable.Checkpoint{
		Claim: durable.Claim{Step: durable.Discovery, Generation: generation},
		Ops:   call.Ops(ops, time.Now()),
	}
	c, err := e.transition(ctx, run, in, nil)
	if err != nil {
		return err
	}
	if c.Head != nil && c.Head.Status == durable.Failed {
		return &TooLarge{Brief(c.Head.Output)}
	}
	return nil
}

// Cancel ends a run now. A call in flight is given up. Errors:
// store.ErrNotFound, durable.ErrEnded, and those of the store.
func (e *Engine) Cancel(ctx context.Context, run, by string) error {
	var act durable.Act
	_, err := e.move(ctx, run, durable.Cancel{Reason: "API"}, asked{act: &act}, func(r *durable.Run, _ durable.Function, _ durable.Change) error {
		act = newAct(time.Now(), by, durable.ActCancel, durable.RunObject(run), facts{"function": r.Function})
		return nil
	})
	if err != nil {
		return err
	}
	e.worker.Interrupt(run)
	return nil
}

// Memo returns what a call of the run would carry: its events and its memoised
// steps in the order of their end.
func (e *Engine) Memo(ctx context.Context, run string) (events []jsontext.Value, steps []wire.Memo, err error) {
	err = e.store.View(ctx, run, func(r *durable.Run) error {
		for _, ev := range r.Events {
			events = append(events, slices.Clone(ev.Body))
		}
		steps = memos(r)
		return nil
	})
	return events, steps, err
}

func unmarshal(b []byte, v any) error {
	return json.Unmarshal(b, v, jsontext.AllowDuplicateNames(true), json.MatchCaseInsensitiveNames(true))
}

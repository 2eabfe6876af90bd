package pawl

import (
	"context"
	"errors"
	"slices"
)

// undo takes back what a step did.
type undo struct {
	name string
	do   func(context.Context) error
}

func (c *call) remember(name string, do func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undos = append(c.undos, undo{name, do})
}

// Compensate takes back what the steps of this run have done, the last one
// first, by the [Undo] of each that has one and has succeeded. Each is a step
// named "undo " and the step's name. It returns cause, joined with the errors of
// those that could not be undone, and [ErrRest] when one is to be tried again or
// cause is ErrRest. Call it where the function gives up:
//
//	if err := pawl.Do(ctx, "ship", ship); err != nil {
//		return pawl.Compensate(ctx, err)
//	}
func Compensate(ctx context.Context, cause error) error {
	at, err := here(ctx)
	if err != nil {
		return err
	}
	if errors.Is(cause, ErrRest) {
		return cause
	}
	at.call.mu.Lock()
	undos := slices.Clone(at.call.undos)
	at.call.undos = nil
	at.call.mu.Unlock()
	errs := []error{cause}
	for _, u := range slices.Backward(undos) {
		err := Do(ctx, "undo "+u.name, u.do)
		if errors.Is(err, ErrRest) {
			return err
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

package pawl

import (
	"context"
	"errors"
	"sync"
)

// branch is a part of a function that rests by itself. The function itself is
// one, and Parallel makes more. The fields are guarded by the call's mutex.
type branch struct {
	parent  *branch
	ctx     context.Context
	cancel  context.CancelCauseFunc
	rested  bool
	over    bool   // it has ended, and so have those beside it: what comes now comes after it
	planned bool   // its first step waits for those of the others to be announced
	group   *group // in which it has yet to arrive
}

// isRested reports whether the branch, or one that it is part of, rests.
func (b *branch) isRested() bool {
	for ; b != nil; b = b.parent {
		if b.rested {
			return true
		}
	}
	return false
}

// follows reports whether what is used in b comes before or after what was used
// in other, and not beside it.
func (b *branch) follows(other *branch) bool {
	for other.over {
		other = other.parent
	}
	for x := b; x != nil; x = x.parent {
		if x == other {
			return true
		}
	}
	for x := other; x != nil; x = x.parent {
		if x == b {
			return true
		}
	}
	return false
}

// group is the branches of one Parallel until each of them has come to its first
// step, or to its end. If any step then waits for something, that is registered
// before another step runs, which may cause what is waited for.
type group struct {
	parent  *branch
	missing int
	arrived int
	async   bool
	plan    bool
	settled chan struct{}
}

// arrive is called with the first step of a branch that is not known yet. It
// returns when all branches of the group have one.
func (b *branch) arrive(c *call, async bool) {
	c.mu.Lock()
	g := b.group
	b.group = nil
	if g == nil {
		c.mu.Unlock()
		return
	}
	g.arrived++
	g.async = g.async || async
	last := g.missing == 1
	g.missing--
	c.mu.Unlock()
	if last {
		g.settle(c)
	}
	select {
	case <-g.settled:
	case <-c.ctx.Done():
	}
	c.mu.Lock()
	b.planned = g.plan
	c.mu.Unlock()
}

// depart is the end of a branch that has not arrived.
func (b *branch) depart(c *call) {
	c.mu.Lock()
	g := b.group
	b.group = nil
	if g == nil {
		c.mu.Unlock()
		return
	}
	last := g.missing == 1
	g.missing--
	c.mu.Unlock()
	if last {
		g.settle(c)
	}
}

func (g *group) settle(c *call) {
	c.mu.Lock()
	arrived, async := g.arrived, g.async
	c.mu.Unlock()
	if arrived > 0 {
		g.parent.arrive(c, async)
	}
	c.mu.Lock()
	g.plan = g.async || g.parent.planned
	c.mu.Unlock()
	close(g.settled)
}

// Parallel runs branches side by side and returns when each has returned or
// rests. Each gets a context of its own, in which its steps are run. It returns
// [ErrRest] when a branch rests, and otherwise the errors of all branches,
// joined.
//
// If the first steps of the branches are such that one waits, for an event or
// for a time, that wait is known to the server before any other step begins: an
// event that another branch causes is not missed.
func Parallel(ctx context.Context, branches ...func(context.Context) error) error {
	at, err := here(ctx)
	if err != nil {
		return err
	}
	c := at.call
	errs := make([]error, len(branches))
	g := &group{parent: at.branch, missing: len(branches), settled: make(chan struct{})}
	made := make([]*branch, len(branches))
	for i := range branches {
		made[i] = &branch{parent: at.branch, group: g}
		made[i].ctx, made[i].cancel = context.WithCancelCause(ctx)
	}
	var wait sync.WaitGroup
	for i, f := range branches {
		wait.Go(func() { //nolint:contextcheck // a branch has a context of its own
			b := made[i]
			c.guarded(func() error {
				return f(context.WithValue(b.ctx, placeKey{}, place{c, b}))
			}, func(err error) {
				errs[i] = err
				b.depart(c)
			})
		})
	}
	wait.Wait()
	rests := false
	c.mu.Lock()
	for _, b := range made {
		b.over = true
		rests = rests || b.rested
	}
	c.mu.Unlock()
	for _, b := range made {
		b.cancel(errAnswered)
	}
	if rests {
		return at.rest()
	}
	return errors.Join(errs...)
}

// Map runs f for each item side by side, as [Parallel] does, and returns the
// results in the order of the items. Steps in f need a name for each item.
func Map[T, R any](ctx context.Context, items []T, f func(ctx context.Context, i int, item T) (R, error)) ([]R, error) {
	results := make([]R, len(items))
	branches := make([]func(context.Context) error, len(items))
	for i, item := range items {
		branches[i] = func(ctx context.Context) (err error) {
			results[i], err = f(ctx, i, item)
			return err
		}
	}
	return results, Parallel(ctx, branches...)
}

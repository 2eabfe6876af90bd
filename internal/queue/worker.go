// Package queue works what is due: it leases items in batches, keeps their
// leases while they are worked on, and gives back what it did not get to.
// What working an item means is the caller's.
package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/store"
)

// leaseTTL is how long an item stays with a worker that is no more.
const leaseTTL = 30 * time.Second

// renewEvery is a third of a lease: it takes two lost renewals to lose one.
const renewEvery = leaseTTL / 3

// batch is how many items are claimed at a time.
const batch = 128

// Worker hands due items to Work, at most Slots at a time.
type Worker struct {
	Store store.Queue
	Log   *slog.Logger
	Slots int
	Drain time.Duration // for what is in work when Run is told to stop
	// Hurry, if given, is closed when what is in work has to end at once then.
	Hurry <-chan struct{}
	// Claimed, if given, is told of each lease, in order, before work begins on
	// it or on a later one.
	Claimed func(l store.Lease)
	// Work works one item. Its context ends when the lease is lost or, after
	// Drain or in a Hurry, when the worker stops; what the item's run becomes is then decided
	// by whoever claims it next.
	Work func(ctx context.Context, l store.Lease)

	held held
}

// Interrupt ends the work on every item of a run that has ended, except on the
// report of its end.
func (w *Worker) Interrupt(run string) { w.held.interrupt(run) }

// Since tells since when the items of a run that are in work are, by step.
func (w *Worker) Since(run string) map[string]time.Time { return w.held.of(run) }

// InWork is how many items are in work.
func (w *Worker) InWork() int { return w.held.count() }

// Run works until ctx ends, then takes no new work and gives what is in work
// Drain to finish, or less in a Hurry. When it returns, no goroutine it started is left.
func (w *Worker) Run(ctx context.Context) {
	// Work outlives ctx: to stop is to take no new work, not to drop the old.
	work, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	slots := make(chan struct{}, w.Slots)
	var inWork sync.WaitGroup
	w.held.some = make(chan struct{}, 1)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		w.renew(work)
	}()
	for w.wait(ctx, slots) {
		leases, err := w.Store.Claim(ctx, time.Now(), leaseTTL, min(batch, cap(slots)-len(slots)+1))
		if err != nil {
			if ctx.Err() == nil {
				w.Log.Error("claim failed", "err", err)
			}
			<-slots
			pause(ctx, time.Second)
			continue
		}
		<-slots // wait reserved one
		for _, l := range leases {
			slots <- struct{}{} // never blocks: no more were claimed than are free
			leased := w.held.add(work, l)
			if w.Claimed != nil {
				w.Claimed(l)
			}
			inWork.Go(func() {
				defer func() {
					w.held.drop(l)
					<-slots
				}()
				w.Work(leased, l)
			})
		}
	}
	done, drained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drained)
		timer := time.NewTimer(w.Drain)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-w.Hurry:
		case <-done:
		}
		abort()
	}()
	inWork.Wait()
	close(done)
	<-drained
	<-renewed
}

// wait blocks until there is a free slot and something may be due. It returns
// with a slot reserved, or false when ctx has ended.
func (w *Worker) wait(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		next, any, err := w.Store.NextDue(ctx)
		switch {
		case err != nil:
			w.Log.Error("the queue cannot be read", "err", err)
			timer.Reset(time.Second)
		case any && !next.After(time.Now()):
			return true
		case any:
			timer.Reset(time.Until(next))
		default:
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-w.Store.Wake():
		case <-ctx.Done():
		}
	}
	<-slots
	return false
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/pawlhq/pawl/internal/store"
)

const (
	sweepEvery = time.Minute
	// sweepRows is what one sweep removes: a few milliseconds of the writer.
	sweepRows = 200
	// sweepRest is the pause after a sweep when there is more, as a multiple of
	// what it took, so that those who work have the store for most of the time.
	sweepRest = 4
)

// sweep removes what is kept no longer until ctx ends.
func (e *Engine) sweep(ctx context.Context, r store.Retention) {
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	var round store.Swept // since there was last nothing to remove
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		swept, err := e.store.Sweep(ctx, began, r, sweepRows)
		round.Runs += swept.Runs
		round.Events += swept.Events
		round.Acts += swept.Acts
		switch {
		case err != nil:
			if ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
				e.log.WarnContext(ctx, "what is over cannot be removed; it is tried again", "err", err)
			}
			timer.Reset(sweepEvery)
		case swept.More:
			timer.Reset(max(sweepRest*time.Since(began), time.Millisecond))
		default:
			if round.Runs+round.Events+round.Acts > 0 {
				e.log.InfoContext(ctx, "what was kept for long enough was removed", "runs", round.Runs, "events", round.Events, "acts", round.Acts)
			}
			round = store.Swept{}
			timer.Reset(sweepEvery)
		}
	}
}

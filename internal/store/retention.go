package store

import (
	"context"
	"time"
)

// Retention says how long what is over is kept; 0 is for ever.
type Retention struct {
	Runs   time.Duration // completed, cancelled and skipped runs, from their end
	Failed time.Duration // failed runs with their dead letters, from their end
	Events time.Duration // events, from their receipt; one that a run came from stays as long as the run
	Acts   time.Duration // lines of the audit log
}

// Any reports whether anything ever leaves.
func (r Retention) Any() bool { return r.Runs > 0 || r.Failed > 0 || r.Events > 0 || r.Acts > 0 }

// Swept is what one sweep removed.
type Swept struct {
	Runs   int
	Events int
	Acts   int
	More   bool // there is more to remove now
}

// Keeper removes what is kept no longer.
type Keeper interface {
	// Sweep removes, in one transaction and oldest first, what r does not keep at
	// now: about limit rows at most, so that others do not wait for it. A run
	// with a long journal leaves in several sweeps, its last entries first. What
	// is still needed stays: runs whose end has yet to be told, and events that
	// have yet to be handed on. The cost does not grow with what is kept.
	Sweep(ctx context.Context, now time.Time, r Retention, limit int) (Swept, error)
}

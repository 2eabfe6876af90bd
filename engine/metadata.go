package engine

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/internal/call"
	"github.com/pawlhq/pawl/internal/wire"
)

// UpdateMetadata changes what is noted about a run, which may have ended. It reports how
// many of the updates were not kept, being malformed or beyond a bound. Errors are
// ErrClosing, store.ErrNotFound and those of the store.
func (e *Engine) UpdateMetadata(ctx context.Context, run string, updates []wire.Metadata) (left int, err error) {
	if e.closing.Load() {
		return 0, ErrClosing
	}
	left, err = e.store.UpdateMetadata(ctx, run, time.Now(), call.Metadata(updates))
	if err == nil && left < len(updates) {
		e.followers.stale(TopicMetadata)
	}
	return left, err
}

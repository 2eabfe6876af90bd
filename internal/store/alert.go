package store

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
)

// Alerts keeps what people have to be told of until they were. An alert about a
// dead letter is written in the transaction of the letter. With an alert an item
// of kind Tell is queued, its Run durable.AlertRun: it is due when others have had
// the time to join it (Watch.Gather), and not before durable.AlertRest when the
// same was told.
type Alerts interface {
	// Watch says of what dead letters make alerts, from now on; before it is called
	// of none. While letters are watched for their age, an item of the step
	// durable.AgingStep is in the queue when a letter comes.
	Watch(w durable.Watch)
	// Raise writes an alert.
	Raise(ctx context.Context, a durable.Alert) error
	// Untold returns what is to be told at now, up to limit alerts.
	Untold(ctx context.Context, now time.Time, limit int) (Untold, error)
	// Told notes that all of u was told, and ends the lease of the item: it is due
	// again when there is more to tell, or gone. ErrLeaseLost.
	Told(ctx context.Context, l Lease, now time.Time, u Untold) error
	// LookForOld works the item of the step durable.AgingStep: it writes an alert
	// when the oldest open letter is older than may be. The item is due again when
	// the next may be that old, or gone when no letter is open. ErrLeaseLost.
	LookForOld(ctx context.Context, l Lease, now time.Time) error
}

// Untold is what is to be told.
type Untold struct {
	Alerts []durable.Alert // the oldest first
	More   int             // that did not find room
	Now    time.Time       // when it was read
	UpTo   int64           // the place of the last of all of them
}

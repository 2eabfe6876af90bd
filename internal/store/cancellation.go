package store

import (
	"context"

	"github.com/pawlhq/pawl/internal/durable"
)

// Cancellations keeps what people said about runs to be cancelled, many at once.
type Cancellations interface {
	// AddCancellation writes one and queues the item that works it. once may be nil; its
	// errors are those of AcceptOnce.
	AddCancellation(ctx context.Context, c durable.Cancellation, item durable.Item, once *Once, act durable.Act) error
	// RemoveCancellation forgets one and removes its item: what it has not
	// cancelled yet stays. ErrNotFound.
	RemoveCancellation(ctx context.Context, id string, act durable.Act) error
	// Cancellation returns one, or ErrNotFound.
	Cancellation(ctx context.Context, id string) (durable.Cancellation, error)
	// Cancellations lists them, newest first.
	Cancellations(ctx context.Context, p Page) ([]durable.Cancellation, error)
}

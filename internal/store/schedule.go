package store

import (
	"context"
	"errors"

	"github.com/pawlhq/pawl/internal/durable"
)

// ErrExists means that there is something of that name already.
var ErrExists = errors.New("it exists already")

// Schedules keeps the schedules that people made.
type Schedules interface {
	// AddSchedule writes one and queues the item of its first tick. ErrExists, which
	// takes no key. once may be nil; its errors are those of AcceptOnce.
	AddSchedule(ctx context.Context, s durable.Schedule, first durable.Item, once *Once, act durable.Act) error
	// RemoveSchedule forgets one and removes its items. ErrNotFound.
	RemoveSchedule(ctx context.Context, id string, items []durable.Ref, act durable.Act) error
	// LoadSchedules returns them all.
	LoadSchedules(ctx context.Context) ([]durable.Schedule, error)
}

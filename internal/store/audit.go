package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
)

// Audit is the log of what people have done to others' work. Whatever takes an
// Act writes it in the transaction of what it tells, and not at all when that is
// refused or changes nothing.
type Audit interface {
	// NoteAct adds a line about something that the store does not do itself.
	NoteAct(ctx context.Context, act durable.Act) error
	// Acts lists lines, the newest first. The page's cursor is ActCursor of a
	// line, which need not be there any more.
	Acts(ctx context.Context, f ActFilter, p Page) ([]durable.Act, error)
}

// ActFilter chooses lines. The zero filter is for all of them.
type ActFilter struct {
	Object string
	From   time.Time // at or after
	Until  time.Time // before
}

// ActCursor is a line's place in a list.
func ActCursor(a durable.Act) string { return fmt.Sprintf("%d.%d", a.At.UnixMicro(), a.Seq) }

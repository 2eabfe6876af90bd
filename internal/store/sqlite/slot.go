package sqlite

import (
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/heap"
)

// slot is a queue row in memory.
type slot struct {
	durable.Item
	until time.Time // end of the lease, while claimed
	pass  flow.Pass // what the lease holds at the gates
	pos   int       // in the heap that it is in
}

type slotKey durable.Ref

func (s *slot) key() slotKey { return slotKey{s.Run, s.Step} }

// slots is a heap, by due time or, of leases, by end.
type slots = heap.Heap[*slot, byTime]

type byTime struct{}

func (byTime) Before(a, b *slot) bool {
	x, y := a.when(), b.when()
	if x.Equal(y) {
		return a.Run < b.Run
	}
	return x.Before(y)
}

func (byTime) Moved(s *slot, to int) { s.pos = to }

func (s *slot) when() time.Time {
	if s.Claimed {
		return s.until
	}
	return s.Due
}

package sqlite

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/store"
)

// A run can be found, and changed, from the moment of its commit on, while the
// writer still tells the queue of it. So the queue is told what was written, and
// does not look at the run.
func TestQueueIsToldWhatWasWritten(t *testing.T) {
	t.Parallel()
	s := temporary(t, Options{Durability: None})
	_, err := s.Claim(t.Context(), noon, time.Minute, 1)
	require.NoError(t, err)
	w := newWrite(noon)
	fresh := sent(noon)
	w.accepted = []store.Accepted{fresh}
	group := []*write{w}
	s.queue.begin(group)
	_, err = s.transact(group)
	require.NoError(t, err)
	run := fresh.Starts[0].Run
	clear(run.Items) // as one does who ends it just now
	s.queue.committed(group)
	leases, err := s.Claim(t.Context(), noon, time.Minute, 1)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	require.Equal(t, run.ID, leases[0].Run)
}

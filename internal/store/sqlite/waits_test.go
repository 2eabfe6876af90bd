package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// waitsFor lets a step of a run wait for events of a name.
func waitsFor(t *testing.T, s *Store, run, step, name string) {
	t.Helper()
	require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
		return store.Decision{Change: durable.Change{Waits: []durable.Wait{{Run: run, Step: step, Name: name}}}}, nil
	}))
}

// When the newest events were deleted their places are given out anew: a wait
// must not take an event that came later for one that came before it.
func TestWaitsOutliveTheEventsBeforeThem(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	s := open(t, path)
	run := startRun(t, s, noon)
	for range 5 {
		startRun(t, s, noon)
	}
	waitsFor(t, s, run, "old", "a")
	require.NoError(t, s.Close())

	for range 2 {
		s = open(t, path)
		require.NoError(t, sqlitex.ExecuteTransient(s.write.Conn, "DELETE FROM events WHERE id <> (SELECT event FROM runs WHERE id = '"+run+"')", nil))
		require.NoError(t, s.Close())
		s = open(t, path)
		event := sent(noon).Event
		event.Name = "a"
		_, err := s.Accept(t.Context(), noon, []store.Accepted{{Event: event}})
		require.NoError(t, err)
		waitsFor(t, s, run, "new", "a")
		waits, err := s.Waiting(t.Context(), event.ID, "", "", 0, 10)
		require.NoError(t, err)
		require.Len(t, waits, 1)
		require.Equal(t, "old", waits[0].Step)
		require.NoError(t, s.Transition(t.Context(), run, func(*durable.Run) (store.Decision, error) {
			return store.Decision{Change: durable.Change{Unwait: []string{"new"}}}, nil
		}))
		require.NoError(t, s.Close())
	}
}

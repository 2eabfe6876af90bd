package sqlite

import (
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// A store of before the bytes were counted has them counted once.
func TestBytesOfAnOlderStoreAreCounted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	s := open(t, path)
	accept := func(a store.Accepted) {
		t.Helper()
		_, err := s.Accept(t.Context(), noon, []store.Accepted{a})
		require.NoError(t, err)
	}
	begun := startRun(t, s, noon)
	require.NoError(t, s.Transition(t.Context(), begun, func(*durable.Run) (store.Decision, error) {
		return store.Decision{Change: durable.Change{
			Head:  &durable.Head{Status: durable.Running, Started: noon},
			Waits: []durable.Wait{{Run: begun, Step: "w", Name: "news"}},
		}}, nil
	}))
	two := sent(noon)
	two.Event.Body = durable.JSON(`{"two":2}`)
	two.Starts[0].Run.Events[0].Body = two.Event.Body
	other := two.Event
	other.ID += "x"
	accept(store.Accepted{Event: other})
	two.Starts[0].Run.Join(other)
	accept(two)
	parked := sent(noon)
	parked.Starts[0].Park = &durable.StartPark{Item: durable.Ref{Run: "debounce/x", Step: "k"}, Debounce: &durable.Debounce{Period: time.Second}}
	accept(parked)
	news := sent(noon)
	news.Starts, news.Event.Name = nil, "news"
	accept(news)
	want := s.Backlog().Bytes
	require.Equal(t, int64(2*len(two.Event.Body)+2*len(`{}`)), want)
	require.NoError(t, s.Close())

	migration, err := fs.ReadFile(migrations, "migrations/0018_backlog_bytes.sql")
	require.NoError(t, err)
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	require.NoError(t, err)
	require.NoError(t, sqlitex.ExecuteScript(c, `DELETE FROM meta WHERE key = 'backlog_bytes';`+string(migration), nil))
	require.NoError(t, c.Close())
	s = open(t, path)
	require.Equal(t, want, s.Backlog().Bytes)
	require.NoError(t, s.Close())
}

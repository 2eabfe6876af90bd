package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// TestReaderBesideAStore: whoever reads a store neither waits for the process that
// has it open, nor keeps it from writing, and sees what it has committed.
func TestReaderBesideAStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	s := open(t, path)
	first := sent(noon)
	_, err := s.Accept(t.Context(), noon, []store.Accepted{first})
	require.NoError(t, err)
	r, err := OpenReader(path)
	require.NoError(t, err)
	run, _, err := r.History(t.Context(), first.Starts[0].Run.ID)
	require.NoError(t, err)
	require.Equal(t, first.Event.Body, run.Events[0].Body)

	second := sent(noon)
	_, err = s.Accept(t.Context(), noon, []store.Accepted{second})
	require.NoError(t, err)
	runs, err := r.Runs(t.Context(), store.RunFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, runs, 2)
	_, _, err = r.History(t.Context(), "none")
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, s.Close())
	require.NoError(t, r.Close())
}

// TestReaderChangesNothing: the file of a store that nobody has open stays as it is,
// also when its owner was killed and left a log.
func TestReaderChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "pawl.db"))
	require.NoError(t, s.SaveApp(t.Context(), durable.App{Name: "shop"}, []durable.Function{shop}, nil, nil, nil))
	accepted := sent(noon)
	_, err := s.Accept(t.Context(), noon, []store.Accepted{accepted})
	require.NoError(t, err)
	killed := filepath.Join(dir, "killed.db")
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, "pawl.db"+end))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(killed+end, b, 0o600))
	}
	require.NoError(t, s.Close())
	for _, path := range []string{filepath.Join(dir, "pawl.db"), killed} {
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		r, err := OpenReader(path)
		require.NoError(t, err)
		_, _, err = r.History(t.Context(), accepted.Starts[0].Run.ID)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, before, after, path)
		again, err := Open(t.Context(), path, Options{})
		require.NoError(t, err)
		require.NoError(t, again.Close())
		wantSound(t, path)
	}
}

func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("notes.txt"), []byte(strings.Repeat("dear diary\n", 100)), 0o600))
	foreign(t, at("photos.db"), "CREATE TABLE photos (id INTEGER PRIMARY KEY);")
	require.NoError(t, open(t, at("newer.db")).Close())
	foreign(t, at("newer.db"), "PRAGMA user_version = 99;")
	require.NoError(t, open(t, at("older.db")).Close())
	foreign(t, at("older.db"), "PRAGMA user_version = 1;")
	for name, want := range map[string]string{
		"none.db": "there is no such file", ".": "it is a directory", "notes.txt": "it is not a Pawl database",
		"photos.db": "it is a database of another program", "newer.db": "run a newer pawl", "older.db": "start this pawl once on it, or on a copy",
	} {
		_, err := OpenReader(at(name))
		require.ErrorContains(t, err, want, name)
	}
	require.NoFileExists(t, at("none.db"))
}

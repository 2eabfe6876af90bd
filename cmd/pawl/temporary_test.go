package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/store/sqlite"
)

func TestSweepRemovesWhatKilledDevsLeft(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	left := func(name string, age time.Duration, running bool) string {
		dir := filepath.Join(tmp, name)
		require.NoError(t, os.Mkdir(dir, 0o700))
		s, err := sqlite.Open(t.Context(), filepath.Join(dir, temporaryFile), sqlite.Options{Durability: sqlite.None})
		require.NoError(t, err)
		if running {
			t.Cleanup(func() { require.NoError(t, s.Close()) })
		} else {
			require.NoError(t, s.Close())
		}
		at := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(dir, at, at))
		return dir
	}
	killed := left("pawl-dev-1", time.Hour, false)
	running := left("pawl-dev-2", time.Hour, true)
	young := left("pawl-dev-3", time.Second, false)
	other := left("pawl-other", time.Hour, false)
	link := filepath.Join(tmp, "pawl-dev-4")
	require.NoError(t, os.Symlink(other, link))

	sweep(tmp, time.Now())
	require.NoDirExists(t, killed)
	for _, dir := range []string{running, young, other} {
		require.DirExists(t, dir)
	}
	require.FileExists(t, filepath.Join(other, temporaryFile))
}

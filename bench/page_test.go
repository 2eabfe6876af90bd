package main

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

func TestPageFlags(t *testing.T) {
	t.Parallel()
	s, err := parseFlags([]string{"-mode", "page", "-runs", "2000", "-rows", "500"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, pageConfig{runs: 2000, steps: 10_000, rows: 500}, s.page)
	require.Equal(t, "scripts/ui-speed -runs 2000 -rows 500 -longest 10000", s.pageCommand())
	for _, bad := range [][]string{{"-runs", "1"}, {"-rows", "99999999"}, {"-longest", "10001"}} {
		_, err := parseFlags(append([]string{"-mode", "page"}, bad...), io.Discard)
		require.ErrorContains(t, err, "-runs, -rows and -longest")
	}
}

// What is written for the page is what the engine leaves of runs that have ended, but
// for the events that tell of their ends: the doctor finds nothing else wrong.
func TestFillPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long, err := fillPage(t.Context(), dir, pageConfig{runs: 100, steps: 50})
	require.NoError(t, err)
	path := filepath.Join(dir, databaseFile)
	_, err = sqlite.Examine(t.Context(), path, time.Now(), func(f store.Finding) {
		if f.Rule != "told" {
			t.Errorf("the doctor finds: %+v", f)
		}
	})
	require.NoError(t, err)
	st, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	failed, err := st.Runs(t.Context(), store.RunFilter{Statuses: []durable.Status{durable.Failed}}, store.Page{Limit: 100})
	require.NoError(t, err)
	require.Len(t, failed, 4)
	journal, err := st.Journal(t.Context(), long, 0)
	require.NoError(t, err)
	require.Len(t, journal, 50)
}

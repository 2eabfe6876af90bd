package server

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

func TestBackupIsTheWholeStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `{"fine":true}`) }))
	f.register()
	r := f.ended(`{"name":"order/paid"}`)
	w := f.post("/v1/backup", "")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/vnd.sqlite3", w.Header().Get("Content-Type"))
	require.Equal(t, strconv.Itoa(w.Body.Len()), w.Header().Get("Content-Length"))
	require.Regexp(t, `^attachment; filename="pawl-\d{8}T\d{6}Z\.db"$`, w.Header().Get("Content-Disposition"))

	dir := t.TempDir()
	file, path := filepath.Join(dir, "backup"), filepath.Join(dir, "pawl.db")
	require.NoError(t, os.WriteFile(file, w.Body.Bytes(), 0o600))
	require.NoError(t, sqlite.Restore(t.Context(), file, path, sqlite.RestoreOptions{}))
	n, err := sqlite.Examine(t.Context(), path, time.Now(), func(found store.Finding) { t.Errorf("%+v", found) })
	require.NoError(t, err)
	require.Equal(t, 1, n.Ended)
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	require.NoError(t, err)
	defer s.Close()
	restored, err := s.Run(t.Context(), r.RunID)
	require.NoError(t, err)
	require.JSONEq(t, `{"fine":true}`, string(restored.Output))
}

// bare is a store that cannot be copied.
type bare struct{ store.Store }

func TestBackupOfAStoreThatHasNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withStore(func(s store.Store) store.Store { return bare{s} }))
	require.Contains(t, wantRefusal(t, f.post("/v1/backup", ""), http.StatusNotImplemented), "that server's own tools")
}

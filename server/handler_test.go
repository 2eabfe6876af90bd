package server_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/server"
)

// TestHandler: a program that embeds an engine serves its API to who has the key.
func TestHandler(t *testing.T) {
	const key = "signkey-test-0123456789abcdef"
	nothing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Inngest-SDK", "pawl:v0")
		w.Header().Set("X-Inngest-Sync-Kind", "in_band")
		_, _ = w.Write([]byte(`{"app_id":"shop","functions":[],"url":"http://in-process.invalid/api/inngest"}`))
	})
	e, err := engine.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), nothing,
		engine.WithLogger(slog.New(slog.DiscardHandler)), engine.WithDurability(engine.Unsynced))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close(context.WithoutCancel(t.Context()))) })
	_, err = server.Handler(e, "nonsense")
	require.Error(t, err)
	h, err := server.Handler(e, key, "events")
	require.NoError(t, err)
	for _, tt := range []struct {
		bearer string
		want   int
	}{{"", http.StatusUnauthorized}, {"other", http.StatusUnauthorized}, {key, http.StatusOK}} {
		r := httptest.NewRequest(http.MethodGet, "/v1/apps", nil)
		r.Header.Set("Authorization", "Bearer "+tt.bearer)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, tt.want, w.Code, w.Body.String())
	}
}

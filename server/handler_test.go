package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
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

// TestSetupLink: the first admin of an embedded engine is made by the link that
// the program asks for, once.
func TestSetupLink(t *testing.T) {
	t.Parallel()
	app := pawl.New("shop")
	e, err := engine.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), app,
		engine.WithLogger(slog.New(slog.DiscardHandler)), engine.WithDurability(engine.Unsynced))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close(context.WithoutCancel(t.Context()))) })
	h, err := server.Handler(e, "signkey-test-0123456789abcdef")
	require.NoError(t, err)
	ask := func(path, token string) int {
		body := fmt.Sprintf(`{"token":%q,"name":"ada","password":"a long password 123"}`, token)
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, http.StatusUnauthorized, ask("/v1/setup", ""))
	link, err := h.SetupLink(t.Context(), "https://pawl.example.com/")
	require.NoError(t, err)
	again, err := h.SetupLink(t.Context(), "https://pawl.example.com")
	require.NoError(t, err)
	require.Equal(t, link, again)
	token, ok := strings.CutPrefix(link, "https://pawl.example.com/setup#")
	require.True(t, ok, link)
	require.Equal(t, http.StatusUnauthorized, ask("/v1/setup", "another"))
	require.Less(t, ask("/v1/setup", token), 300)
	require.Less(t, ask("/v1/login", ""), 300)
	require.Equal(t, http.StatusUnauthorized, ask("/v1/setup", token))
	link, err = h.SetupLink(t.Context(), "https://pawl.example.com")
	require.NoError(t, err)
	require.Empty(t, link)
}

package engine_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/wire"
)

// quiet is an engine that works on nothing and whose app is away, and its log.
func quiet(t *testing.T, dev bool) (*engine.Engine, *bytes.Buffer) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "pawl.db"), sqlite.Options{Durability: sqlite.None})
	require.NoError(t, err)
	logs := &bytes.Buffer{}
	e, err := engine.Start(t.Context(), engine.Config{
		Store: noQueue{s}, Log: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})), Dev: dev, Transport: &app{away: true},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close(context.WithoutCancel(t.Context()))) })
	return e, logs
}

func TestNamesOfThisMachine(t *testing.T) {
	t.Parallel()
	dev, _ := quiet(t, true)
	serve, _ := quiet(t, false)
	for _, tt := range []struct {
		a, b       string
		dev, serve bool
	}{
		{"http://localhost:3000/api/inngest", "http://127.0.0.1:3000/api/inngest", true, false},
		{"http://[::1]:3000/api/inngest", "http://0.0.0.0:3000/api/inngest?deployId=x", true, false},
		{"http://localhost/x", "http://127.0.0.1/x", true, false},
		{"http://LOCALHOST:3000/x", "http://localhost:3000/x", true, true},
		{"http://localhost:3000/x", "http://127.0.0.1:3001/x", false, false},
		{"http://localhost:3000/x", "http://127.0.0.1:3000/y", false, false},
		{"http://localhost:3000/x", "http://app:3000/x", false, false},
		{"http://localhost:3000/x", "https://127.0.0.1:3000/x", false, false},
		{"http://localhost:3000/x", "no URL", false, false},
	} {
		require.Equal(t, tt.dev, dev.SameURL(tt.a, tt.b), "%s and %s in dev", tt.a, tt.b)
		require.Equal(t, tt.serve, serve.SameURL(tt.a, tt.b), "%s and %s in serve", tt.a, tt.b)
	}
}

// A name of this machine under which an app does not answer is no problem of
// the app that answers under another.
func TestProblemOfAnotherName(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, true)
	reg, err := wire.ParseRegistration([]byte(`{"url":"http://localhost:3000/x","appName":"shop","functions":[]}`))
	require.NoError(t, err)
	_, err = e.Register(t.Context(), reg)
	require.NoError(t, err)
	_, err = e.SyncApp(t.Context(), "http://[::1]:3000/x", "ann")
	require.Error(t, err)
	require.Empty(t, e.Apps()[0].Problem)
	_, err = e.SyncApp(t.Context(), "http://localhost:3000/x", "ann")
	require.Error(t, err)
	require.Equal(t, err.Error(), e.Apps()[0].Problem)
}

// The sync that goes on while the engine closes is no trouble.
func TestProblemAfterTheEnd(t *testing.T) {
	t.Parallel()
	e, logs := quiet(t, true)
	reg, err := wire.ParseRegistration([]byte(`{"url":"http://localhost:3000/x","appName":"shop","functions":[]}`))
	require.NoError(t, err)
	_, err = e.Register(t.Context(), reg)
	require.NoError(t, err)
	require.NoError(t, e.Close(context.WithoutCancel(t.Context())))
	_, err = e.SyncApp(t.Context(), "http://localhost:3000/x", "")
	require.Error(t, err)
	require.NotContains(t, logs.String(), "level=ERROR")
}

// The log says what an event did start, not what it would have.
func TestRepeatedEventsAreToldAsSuch(t *testing.T) {
	t.Parallel()
	e, logs := quiet(t, true)
	reg, err := wire.ParseRegistration([]byte(`{"url":"http://app/api/inngest","appName":"shop","functions":[` + function("charge", "order/paid", 0) + `]}`))
	require.NoError(t, err)
	_, err = e.Register(t.Context(), reg)
	require.NoError(t, err)
	for _, want := range []string{"matches=1 starts=1 later=false", "matches=1 starts=0 later=false"} {
		events, err := wire.ReadEvents([]byte(`{"name":"order/paid","id":"one"}`), "", "", time.Now(), engine.NewID)
		require.NoError(t, err)
		require.NoError(t, e.Send(t.Context(), events))
		require.Contains(t, logs.String(), "id="+events[0].ID+" "+want)
	}
}

package pawl_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/proto"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/server"
)

// TestNoSuchRun: an id that is none is the id of no run, wherever the run would be.
func TestNoSuchRun(t *testing.T) {
	t.Parallel()
	inside := newApp()
	inProcess, err := engine.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), inside, engine.WithLogger(quietLog))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, inProcess.Close(context.Background())) })

	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "pawl.db"), sqlite.Options{Durability: sqlite.None})
	require.NoError(t, err)
	eng, err := engine.Start(context.WithoutCancel(t.Context()), engine.Config{Store: st, Log: quietLog, Dev: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, eng.Close(context.Background())) })
	front := httptest.NewServer(server.New(eng, server.Config{Dev: true}))
	t.Cleanup(front.Close)
	attached := pawl.New("shop", pawl.Logger(quietLog), pawl.Dev())
	_, err = pawl.Attach(t.Context(), front.URL, attached)
	require.NoError(t, err)

	for _, id := range []string{"nope", "", "01JFRUN0000000000000000001", "a/b", "../events"} {
		for _, app := range []*pawl.App{inside, attached} {
			_, err := app.Run(t.Context(), id)
			require.ErrorIs(t, err, pawl.ErrNoSuchRun, "%q", id)
		}
	}
}

// TestOneEngineEach: an app runs in one engine at a time, and says so.
func TestOneEngineEach(t *testing.T) {
	t.Parallel()
	ctx := context.WithoutCancel(t.Context())
	app := pawl.New("shop", pawl.Logger(quietLog), pawl.Dev())
	f := pawl.Func(app, "f", func(context.Context, order) (int, error) { return 1, nil })
	open := func(name string) (*engine.Engine, error) {
		return engine.Open(ctx, filepath.Join(t.TempDir(), name), app, engine.WithLogger(quietLog))
	}
	e, err := open("one.db")
	require.NoError(t, err)
	_, err = open("two.db")
	require.ErrorContains(t, err, "app shop runs in an engine of this process already")
	_, err = pawl.Attach(ctx, "http://localhost:8288", app)
	require.ErrorContains(t, err, "app shop runs in an engine of this process already")
	_, err = f.Call(ctx, order{})
	require.NoError(t, err)
	require.NoError(t, e.Close(ctx))
	e, err = open("two.db")
	require.NoError(t, err)
	_, err = f.Call(ctx, order{})
	require.NoError(t, err)
	require.NoError(t, e.Close(ctx))
}

// TestFailedOpenLeavesTheApp: an engine that could not be opened has no app.
func TestFailedOpenLeavesTheApp(t *testing.T) {
	t.Parallel()
	app := newApp()
	pawl.Func(app, "f", func(context.Context, order) (int, error) { return 1, nil }, pawl.Cron{Schedule: "never"})
	for range 2 {
		_, err := engine.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), app, engine.WithLogger(quietLog))
		require.ErrorContains(t, err, "never")
	}
}

// TestSigningKeys: each key that was current before is good still.
func TestSigningKeys(t *testing.T) {
	t.Parallel()
	keys := []string{"signkey-test-00", "signkey-test-11", "signkey-test-22"}
	app := pawl.New("shop", pawl.Logger(quietLog), pawl.SigningKey(keys[0], keys[1], "", keys[2]))
	require.NoError(t, app.Err())
	for key, want := range map[string]int{
		keys[0]: http.StatusOK, keys[1]: http.StatusOK, keys[2]: http.StatusOK, "signkey-test-33": http.StatusUnauthorized,
	} {
		k, err := proto.ParseKey(key)
		require.NoError(t, err)
		r := httptest.NewRequest(http.MethodGet, "/api/inngest", nil)
		r.Header.Set(proto.HeaderSignature, k.Sign(time.Now(), nil))
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, key)
	}
	require.Error(t, pawl.New("shop", pawl.SigningKey(keys[0], "nonsense")).Err())
}

package pawl_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
)

// TestNothingIsLeftAfterClose: functions, endpoints in each barrier, streams and
// what rests leave no goroutine behind, and what was answered for is saved.
func TestNothingIsLeftAfterClose(t *testing.T) { //nolint:paralleltest // the goroutines of other tests are not its
	before := goleak.IgnoreCurrent()
	app := newApp()
	f := pawl.Func(app, "f", func(ctx context.Context, o order) (string, error) {
		err := pawl.Parallel(ctx,
			func(ctx context.Context) error {
				return pawl.Do(ctx, "a", func(context.Context) error { return nil })
			},
			func(ctx context.Context) error {
				return pawl.Do(ctx, "b", func(context.Context) error { return nil })
			})
		return o.ID, err
	}, pawl.Pipelined)
	sleeper := pawl.Func(app, "sleeper", func(ctx context.Context, _ order) (string, error) {
		return "", pawl.Sleep(ctx, "long", time.Hour)
	})
	work := func(w http.ResponseWriter, r *http.Request) {
		err := pawl.Do(r.Context(), "work", func(ctx context.Context) error { return pawl.Stream(ctx).Send("so far") })
		if err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "done")
	}
	var endpoints []http.Handler
	for _, ack := range []pawl.Ack{pawl.AckEachStep, pawl.AckBeforeRespond, pawl.Pipelined} {
		endpoints = append(endpoints, app.Endpoint(fmt.Sprint("e", ack), work, ack))
	}
	path := filepath.Join(t.TempDir(), "pawl.db")
	e, err := engine.Open(context.Background(), path, app, engine.WithLogger(quietLog))
	require.NoError(t, err)
	_, err = sleeper.Start(t.Context(), order{}, "")
	require.NoError(t, err)
	_, err = f.Call(t.Context(), order{ID: "o1"})
	require.NoError(t, err)
	var runs []string
	for range 20 {
		for _, h := range endpoints {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
			require.Equal(t, "done", w.Body.String())
			if run := w.Header().Get("X-Run-Id"); run != "" {
				runs = append(runs, run)
			}
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("Accept", "text/event-stream")
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	require.NoError(t, e.Close(context.Background()))
	goleak.VerifyNone(t, before)

	e, err = engine.Open(context.Background(), path, app, engine.WithLogger(quietLog))
	require.NoError(t, err)
	require.Len(t, runs, 60)
	for _, run := range runs {
		info, err := app.Run(t.Context(), run)
		require.NoError(t, err)
		require.Equal(t, pawl.Completed, info.Status, "what was answered for was saved before the end")
	}
	require.NoError(t, e.Close(context.Background()))
}

package engine_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
)

// TestCloseInTime: a close that is out of time cuts off what goes on, and what was
// cut off goes on after the next start.
func TestCloseInTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	synctest.Test(t, func(t *testing.T) {
		ctx := context.WithoutCancel(t.Context())
		quiet := engine.WithLogger(slog.New(slog.DiscardHandler))
		app := sdk.New("shop")
		tries := 0
		f := sdk.Func(app, "f", func(ctx context.Context, _ struct{}) (int, error) {
			return sdk.Run(ctx, "slow", func(ctx context.Context) (int, error) {
				if tries++; tries == 1 {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return 7, nil
			})
		}, sdk.Retries(0))
		e, err := engine.Open(ctx, path, app, quiet)
		require.NoError(t, err)
		run, err := f.Start(ctx, struct{}{}, "")
		require.NoError(t, err)
		synctest.Wait()
		soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, e.Close(soon), context.DeadlineExceeded)
		require.Equal(t, 300*time.Millisecond, time.Since(began))
		require.NoError(t, e.Close(ctx))

		e, err = engine.Open(ctx, path, app, quiet)
		require.NoError(t, err)
		out, err := f.Result(ctx, run)
		require.NoError(t, err)
		require.Equal(t, 7, out)
		late, cancel := context.WithCancel(ctx)
		cancel()
		require.NoError(t, e.Close(late), "nothing was in work")
	})
}

package pawl_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
)

type order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

var placed = pawl.NewEvent[order]("shop/order.placed")

// embedded opens an engine on app that lasts as long as the test.
func embedded(t *testing.T, path string, app *pawl.App) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), path, app,
		engine.WithDurability(engine.Unsynced), engine.WithLogger(slog.New(slog.DiscardHandler)), engine.WithDrain(time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close(context.WithoutCancel(t.Context()))) })
	return e
}

func quiet() pawl.AppOption { return pawl.Logger(slog.New(slog.DiscardHandler)) }

func TestEmbedded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := pawl.New("shop", quiet())
		var charged, shipped atomic.Int32
		ship := pawl.Func(app, "ship", func(ctx context.Context, o order) (string, error) {
			token, err := pawl.Run(ctx, "charge", func(ctx context.Context) (string, error) {
				charged.Add(1)
				return pawl.Token(ctx), nil
			})
			if err != nil {
				return "", err
			}
			if err := pawl.Sleep(ctx, "wait", 72*time.Hour); err != nil {
				return "", err
			}
			if err := pawl.Do(ctx, "ship", func(ctx context.Context) error {
				if shipped.Add(1) < 3 {
					return errors.New("the van is late")
				}
				return nil
			}); err != nil {
				return "", err
			}
			return token, nil
		}, pawl.On(placed))
		path := filepath.Join(t.TempDir(), "shop.db")
		e := embedded(t, path, app)

		began := time.Now()
		run, err := ship.Start(t.Context(), order{"o1", 5}, "")
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.NoError(t, e.Close(t.Context()))

		embedded(t, path, app) // everything goes on
		out, err := ship.Result(t.Context(), run)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(out, run+"."), out)
		require.EqualValues(t, 1, charged.Load())
		require.EqualValues(t, 3, shipped.Load())
		require.GreaterOrEqual(t, time.Since(began), 72*time.Hour)
	})
}

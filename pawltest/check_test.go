package pawltest_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/pawltest"
)

// told is a test to which Check says what it has found.
type told struct {
	testing.TB
	errors, logs []string
	fatal        string
}

func (s *told) Helper() {}

func (s *told) Errorf(format string, list ...any) {
	s.errors = append(s.errors, fmt.Sprintf(format, list...))
}

func (s *told) Logf(format string, list ...any) {
	s.logs = append(s.logs, fmt.Sprintf(format, list...))
}

// stopped is how a test ends at once.
type stopped struct{}

func (s *told) Fatal(list ...any) { s.fatal = fmt.Sprint(list...); panic(stopped{}) }

func (s *told) Fatalf(format string, list ...any) { s.Fatal(fmt.Sprintf(format, list...)) }

func tell(t *testing.T, app *pawl.App, path string, accept ...string) *told {
	t.Helper()
	s := &told{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != (stopped{}) {
				panic(p)
			}
		}()
		pawltest.Check(s, app, path, accept...)
	}()
	return s
}

// paid is an app whose function pays by a step of that name, and waits for a day.
func paid(step string, ran func()) *pawl.App {
	app := pawl.New("shop")
	pawl.Func(app, "pay", func(ctx context.Context, _ struct{}) (string, error) {
		err := pawl.Do(ctx, step, func(context.Context) error { ran(); return nil })
		if err != nil {
			return "", err
		}
		return "paid", pawl.Sleep(ctx, "a day", 24*time.Hour)
	}, pawl.OnName("shop/pay"))
	return app
}

func TestCheck(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	ran := 0
	var mu sync.Mutex
	count := func() { mu.Lock(); ran++; mu.Unlock() }
	synctest.Test(t, func(t *testing.T) {
		app := paid("charge", count)
		eng, err := engine.Open(t.Context(), path, app, engine.WithDurability(engine.Unsynced), engine.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		_, err = app.Send(t.Context(), pawl.NewEvent[struct{}]("shop/pay").New(struct{}{}))
		require.NoError(t, err)
		synctest.Wait()
		// The engine has the file open, and the run rests.
		require.Empty(t, tell(t, paid("charge", count), path).errors)
		require.NoError(t, eng.Close(context.WithoutCancel(t.Context())))
	})
	require.Equal(t, 1, ran)

	pawltest.Check(t, paid("charge", count), path)
	found := tell(t, paid("charge card", count), path).errors
	require.Len(t, found, 1)
	require.True(t, strings.HasPrefix(found[0], `shop-pay: new-step: "charge card" would run, although "charge" has finished`), found[0])
	accepted := tell(t, paid("charge card", count), path, "new-step")
	require.Empty(t, accepted.errors)
	require.Len(t, accepted.logs, 1)
	require.Equal(t, 1, ran, "bodies that ran")

	other := pawl.New("mail")
	require.Contains(t, tell(t, other, path).fatal, "there is no app mail; there are shop")
	require.Contains(t, tell(t, paid("charge", count), path+".none").fatal, "there is no such file")
}

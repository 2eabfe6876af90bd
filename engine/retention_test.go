package engine_test

import (
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

// TestRunsLeaveInTheirTime: what is over leaves by status and age, what goes on
// does not, and repeated events are known all the same.
func TestRunsLeaveInTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: func(c callSeen) (int, string, http.Header) {
			switch c.Fn {
			case "shop-bad":
				return http.StatusBadRequest, `{"name":"Error","message":"no"}`, http.Header{"X-Inngest-No-Retry": {"true"}}
			case "shop-nap":
				return awaits("Sleep", "z", `,"name":"9h"`)(c)
			}
			return http.StatusOK, `1`, nil
		}}
		p := newPawl(t, a, function("ok", "ok", 4), function("bad", "bad", 4), function("nap", "nap", 4))
		require.NoError(t, p.Close(t.Context()))
		s, err := sqlite.Open(t.Context(), p.path, sqlite.Options{Durability: sqlite.None})
		require.NoError(t, err)
		p.Engine, err = engine.Start(t.Context(), engine.Config{
			Store: s, Log: slog.New(slog.DiscardHandler), Dev: true, Transport: a, Drain: time.Millisecond,
			Retention: store.Retention{Runs: 2 * time.Hour, Failed: 6 * time.Hour, Events: 2 * time.Hour, Acts: 4 * time.Hour},
		})
		require.NoError(t, err)
		require.NoError(t, p.Pause(t.Context(), "shop-nap", engine.Hold{Pause: durable.PauseAll}, "ann", ""))
		require.NoError(t, p.Pause(t.Context(), "shop-nap", engine.Hold{Pause: durable.Unpaused}, "ann", ""))
		for range 300 { // more than one sweep removes
			p.send(`{"name":"ok"}`)
		}
		bad := p.send(`{"name":"bad"}`)[0]
		p.send(`{"name":"nap"}`)
		p.send(`{"name":"ok","id":"mine"}`)
		synctest.Wait()
		require.Equal(t, 301, p.count(durable.Completed))
		time.Sleep(2*time.Hour - time.Minute)
		require.Equal(t, 301, p.count(durable.Completed))
		time.Sleep(3 * time.Minute)
		require.Zero(t, p.count(durable.Completed))
		require.Equal(t, 1, p.count(durable.Failed))
		require.Equal(t, 1, p.count(durable.Running))
		events, err := p.History().Events(t.Context(), store.EventFilter{Internal: true}, store.Page{Limit: 1000})
		require.NoError(t, err)
		require.LessOrEqual(t, len(events), 3, "of the runs that are left, and the newest")
		require.Len(t, p.acts(""), 2)
		time.Sleep(6 * time.Hour)
		require.Empty(t, p.acts(""))
		require.Zero(t, p.count(durable.Failed))
		_, err = p.History().Event(t.Context(), bad)
		require.ErrorIs(t, err, store.ErrNotFound)
		time.Sleep(6 * time.Hour)
		require.Zero(t, p.count(durable.Running), "it woke up and has left")
	})
}

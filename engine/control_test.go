package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func TestPausedFunctionKeepsItsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"10s"`)}
		p := newPawl(t, a, function("f", "x", 0), function("g", "x", 0))
		p.send(`{"name":"x"}`)
		synctest.Wait()
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.PauseStarts}, "ann", "too much"))
		p.send(`{"name":"x"}`)
		synctest.Wait()
		require.Len(t, a.seen(), 3, "two of the first event, and one of the function that is not paused")
		p.restart()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 3, p.count(durable.Completed), "what had begun goes on to its end")
		require.Equal(t, 1, p.count(durable.Queued))
		queued := durable.Queued
		list, err := p.History().Runs(t.Context(), store.RunFilter{Statuses: []durable.Status{queued}}, store.Page{Limit: 1})
		require.NoError(t, err)
		why, _, err := p.Why(t.Context(), list[0].ID)
		require.NoError(t, err)
		require.Contains(t, why.Text, "shop-f is paused since")
		require.Contains(t, why.Text, "by ann (too much); pawl resume shop-f lets it go on")
		require.Len(t, why.Times, 2, "since when it is due, and since when it is held")
		require.Contains(t, why.Text, "is paused since "+why.Times[1].Format(time.RFC3339))
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.Unpaused}, "ann", ""))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 4, p.count(durable.Completed), "resume drains what waited")
		acts, err := p.Acts(t.Context(), store.ActFilter{Object: "shop-f"}, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, acts, 2)
		require.Equal(t, "resume", acts[0].What)
		require.Empty(t, p.Controls())
	})
}

func TestPausedAppIsNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"10s"`)}
		p := newPawl(t, a, function("f", "x", 0), function("g", "x", 0))
		p.send(`{"name":"x"}`)
		synctest.Wait()
		require.NoError(t, p.Pause(t.Context(), "app/shop", engine.Hold{Pause: durable.PauseAll}, "ann", ""))
		p.send(`{"name":"x"}`)
		time.Sleep(time.Minute)
		require.Len(t, a.seen(), 2, "not even for what had begun")
		require.NoError(t, p.Pause(t.Context(), "app/shop", engine.Hold{Pause: durable.Unpaused}, "ann", ""))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 4, p.count(durable.Completed))
		require.ErrorIs(t, p.Pause(t.Context(), "app/none", engine.Hold{Pause: durable.PauseAll}, "ann", ""), store.ErrNotFound)
		require.ErrorIs(t, p.Pause(t.Context(), "shop-none", engine.Hold{Pause: durable.PauseAll}, "ann", ""), store.ErrNotFound)
	})
}

func TestLimitsAreChangedLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		p := newPawl(t, b.app(), with(function("f", "x", 0), `"concurrency":1`))
		p.send(repeat(8, plainEvent))
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, 1, b.peak("all"))
		require.NoError(t, p.SetLimits(t.Context(), "shop-f", []byte(`{"concurrency":4}`), "ann", ""))
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, 4, b.peak("all"), "it holds at once")
		p.restart()
		register(t, p, with(function("f", "x", 1), `"concurrency":1`))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 8, p.count(durable.Completed))
		f, _ := p.Function("shop-f")
		require.Equal(t, 4, f.Limits.Steps[0].Limit, "over restarts and syncs")
		require.NoError(t, p.SetLimits(t.Context(), "shop-f", []byte(`null`), "ann", ""))
		f, _ = p.Function("shop-f")
		require.Equal(t, 1, f.Limits.Steps[0].Limit)
		for limits, says := range map[string]string{
			`[]`: "must be an object", `{"retries":3}`: "retries cannot be changed live",
			`{"throttle":{"limit":1,"period":"x"}}`: "throttle period", `{"priority":{"run":"event.("}}`: "priority",
			`{"missed":{"all":3}}`: "shop-f has no cron", `{"overlap":"skip"}`: "shop-f has no cron",
		} {
			err := p.SetLimits(t.Context(), "shop-f", []byte(limits), "ann", "")
			require.ErrorContains(t, err, says)
			_, ok := engine.IsLimits(err)
			require.True(t, ok, limits)
		}
	})
}

func TestPausedKeyHoldsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"concurrency":{"limit":5,"key":"event.data.customer"}`))
		hold := engine.Hold{Pause: durable.PauseStarts, Key: "event.data.customer", Value: "c1"}
		require.NoError(t, p.Pause(t.Context(), "shop-f", hold, "ann", "does not pay"))
		p.restart()
		p.send(`[{"name":"x","data":{"customer":"c1"}},{"name":"x","data":{"customer":"c2"}},{"name":"x"}]`)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 2, p.count(durable.Completed), "those of others")
		list, err := p.History().Runs(t.Context(), store.RunFilter{Statuses: []durable.Status{durable.Queued}}, store.Page{Limit: 5})
		require.NoError(t, err)
		require.Len(t, list, 1)
		why, _, err := p.Why(t.Context(), list[0].ID)
		require.NoError(t, err)
		require.Contains(t, why.Text, "shop-f for event.data.customer = c1 is paused since")
		require.Contains(t, why.Text, "pawl resume shop-f --key 'event.data.customer' --value 'c1' lets it go on")
		require.Len(t, p.Controls(), 1)
		acts, err := p.Acts(t.Context(), store.ActFilter{Object: "shop-f"}, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Contains(t, string(acts[0].Detail), `"value":"c1"`)

		var unknown *engine.KeyError
		require.ErrorAs(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.PauseStarts, Key: "event.data.shop", Value: "1"}, "ann", ""), &unknown)
		require.Equal(t, []string{"event.data.customer"}, unknown.Have)
		var not *engine.NotPausedError
		require.ErrorAs(t, p.Pause(t.Context(), "shop-f", engine.Hold{}, "ann", ""), &not, "the whole is not")
		require.Equal(t, engine.NotPausedError{Of: "shop-f", Values: 1}, *not)
		require.ErrorAs(t, p.Pause(t.Context(), "shop-f", engine.Hold{Key: hold.Key, Value: "c2"}, "ann", ""), &not)
		require.Equal(t, engine.NotPausedError{Of: "shop-f", Key: hold.Key, Values: 1}, *not)
		require.ErrorAs(t, p.Pause(t.Context(), "shop-f", engine.Hold{Key: "event.data.shop", Value: "1"}, "ann", ""), &unknown)
		require.Len(t, p.Controls(), 1, "and nothing has changed")
		hold.Pause = durable.Unpaused
		require.NoError(t, p.Pause(t.Context(), "shop-f", hold, "ann", ""))
		synctest.Wait()
		require.Equal(t, 3, p.count(durable.Completed))
		require.Empty(t, p.Controls())
	})
}

// TestPausedKeyOutlivesTheKey: what was paused is let go also when the function is
// limited by that key no more.
func TestPausedKeyOutlivesTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"concurrency":{"limit":5,"key":"event.data.customer"}`))
		hold := engine.Hold{Pause: durable.PauseStarts, Key: "event.data.customer", Value: "c1"}
		require.NoError(t, p.Pause(t.Context(), "shop-f", hold, "ann", ""))
		require.NoError(t, p.SetLimits(t.Context(), "shop-f", []byte(`{"concurrency":2}`), "ann", ""))
		hold.Pause = durable.Unpaused
		require.NoError(t, p.Pause(t.Context(), "shop-f", hold, "ann", ""))
		require.NoError(t, p.SetLimits(t.Context(), "shop-f", []byte(`null`), "ann", ""))
		require.Empty(t, p.Controls())
		require.EqualError(t, p.Pause(t.Context(), "shop-f", engine.Hold{}, "ann", ""), "shop-f is not paused")
	})
}

func TestPauseThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, function("f", "x", 0), with(function("b", "x", 0), `"batchEvents":{"maxSize":5,"timeout":"10s"}`))
		for _, slug := range []string{"shop-f", "shop-b"} {
			require.NoError(t, p.Pause(t.Context(), slug, engine.Hold{Pause: durable.PauseStarts, Refuse: true}, "ann", ""))
		}
		p.send(`{"name":"x","id":"k1"}`)
		_, _, err := p.Invoke(t.Context(), durable.Invoke{Function: "shop-f"}, nil, "", nil)
		require.ErrorIs(t, err, engine.ErrNotStarted)
		p.restart()
		time.Sleep(time.Minute)
		require.Empty(t, a.seen())
		require.Equal(t, 3, p.count(durable.Skipped), "each says why, and none waits")
		skipped := durable.Skipped
		list, err := p.History().Runs(t.Context(), store.RunFilter{Statuses: []durable.Status{skipped}}, store.Page{Limit: 1})
		require.NoError(t, err)
		require.Contains(t, list[0].Skip(), "was paused, and refused")
		for _, slug := range []string{"shop-f", "shop-b"} {
			require.NoError(t, p.Pause(t.Context(), slug, engine.Hold{}, "ann", ""))
		}
		time.Sleep(time.Minute)
		require.Empty(t, a.seen(), "what was refused does not come back")
		p.send(`{"name":"x"}`)
		time.Sleep(time.Minute)
		require.Equal(t, 2, p.count(durable.Completed))
	})
}

package engine_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func TestMadeScheduleTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, clockwork("f", `{"cron":"*/5 * * * *"}`))
		made, err := p.AddSchedule(t.Context(), durable.Schedule{ID: "mine", Function: "shop-f", Cron: "*/5 * * * *", Data: durable.JSON(`{"tenant":7}`)}, 3, nil, "ann")
		require.NoError(t, err)
		require.Len(t, made.Next, 3)
		other, err := p.AddSchedule(t.Context(), durable.Schedule{Function: "shop-f", Cron: "*/10 * * * *"}, 0, nil, "ann")
		require.NoError(t, err)
		require.NotEmpty(t, other.ID)

		time.Sleep(11 * time.Minute)
		synctest.Wait()
		require.Equal(t, 2+2+1, p.count(durable.Completed), "each that somebody made starts runs of its own")
		tenants := 0
		for _, c := range a.seen() {
			require.Contains(t, string(c.Event.Data), `"cron":"`)
			if strings.Contains(string(c.Event.Data), `"tenant":7`) {
				tenants++
			}
		}
		require.Equal(t, 2, tenants)

		p.restart()
		require.Len(t, p.Schedules(10), 3)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, 5+2, p.count(durable.Completed), "it ticks on after a restart")

		register(t, p, function("g", "x", 0)) // f is not served
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		require.Equal(t, 7, p.count(durable.Completed))
		register(t, p, clockwork("f", `{"cron":"0 0 1 1 *"}`))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, 7+2, p.count(durable.Completed), "its schedules have waited for it, and nothing is made up for")

		require.NoError(t, p.RemoveSchedule(t.Context(), "mine", "ann"))
		require.ErrorIs(t, p.RemoveSchedule(t.Context(), "mine", "ann"), store.ErrNotFound)
		require.NoError(t, p.RemoveSchedule(t.Context(), other.ID, "ann"))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 9, p.count(durable.Completed))
	})
}

func TestMadeScheduleKeepsOneTickBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "s", `,"name":"150s"`)}
		p := newPawl(t, a, clockwork("f", `{"cron":"0 0 1 1 *"}`))
		_, err := p.AddSchedule(t.Context(), durable.Schedule{ID: "q", Function: "shop-f", Cron: "* * * * *", Overlap: "queue"}, 0, nil, "ann")
		require.NoError(t, err)
		time.Sleep(10*time.Minute + 10*time.Second)
		synctest.Wait()
		runs := slices.DeleteFunc(p.runs(), isSkipped)
		require.Len(t, runs, 4, "a tick that was held back starts at the end of the run before")
		for i := 1; i < len(runs); i++ {
			a, b := runs[i], runs[i-1]
			if a.Queued.After(b.Queued) {
				a, b = b, a
			}
			require.WithinDuration(t, a.Ended, b.Queued, time.Second)
		}
	})
}

func TestMadeScheduleRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: func(callSeen) (int, string, http.Header) { return 200, "1", nil }}, function("f", "x", 0))
		for _, m := range []durable.Schedule{
			{Function: "shop-f", Cron: "every day"},
			{Function: "shop-f", Cron: "* * * * *", Missed: `"maybe"`},
			{Function: "shop-f", Cron: "* * * * *", Overlap: "dance"},
			{Function: "shop-f", Cron: "0 0 31 2 *"},
		} {
			_, err := p.AddSchedule(t.Context(), m, 1, nil, "ann")
			var bad *engine.ScheduleError
			require.ErrorAs(t, err, &bad, "%+v", m)
		}
		_, err := p.AddSchedule(t.Context(), durable.Schedule{Function: "shop-x", Cron: "* * * * *"}, 1, nil, "ann")
		require.ErrorIs(t, err, store.ErrNotFound)
		_, err = p.AddSchedule(t.Context(), durable.Schedule{ID: "a", Function: "shop-f", Cron: "* * * * *"}, 1, nil, "ann")
		require.NoError(t, err)
		_, err = p.AddSchedule(t.Context(), durable.Schedule{ID: "a", Function: "shop-f", Cron: "* * * * *"}, 1, nil, "ann")
		require.ErrorIs(t, err, store.ErrExists)
	})
}

package engine_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func (p *pawl) acts(object string) (list []durable.Act) {
	p.t.Helper()
	list, err := p.Acts(p.t.Context(), store.ActFilter{Object: object}, store.Page{Limit: 100})
	require.NoError(p.t, err)
	return list
}

func TestWhatPeopleDoIsToldOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: func(callSeen) (int, string, http.Header) {
			return http.StatusBadRequest, `{"name":"Error","message":"no"}`, http.Header{"X-Inngest-No-Retry": {"true"}}
		}}
		p := newPawl(t, a, function("f", "x", 0))
		p.send(`{"name":"x","data":{"n":1}}`)
		failed := p.wantStatus(0, durable.Failed)
		time.Sleep(time.Hour)
		again, err := p.Rerun(t.Context(), failed.ID, engine.Rerun{Letter: true, Data: durable.JSON(`{"n":2}`), By: "ann"})
		require.NoError(t, err)
		when := time.Now()
		p.restart()
		time.Sleep(time.Hour)
		require.NoError(t, p.Discard(t.Context(), again, "we give up", ""))
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.PauseStarts}, "bob", "too much"))
		p.restart()
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.PauseStarts}, "eve", "too much")) // it is
		require.Equal(t, "bob", p.Controls()[0].By)

		acts := p.acts(durable.RunObject(failed.ID))
		require.Len(t, acts, 1)
		require.True(t, when.Equal(acts[0].At))
		require.Equal(t, "ann", acts[0].By)
		require.Equal(t, durable.ActRetry, acts[0].What)
		edited, err := p.History().Run(t.Context(), again)
		require.NoError(t, err)
		require.JSONEq(t, `{"as":"`+again+`","edited":"`+edited.Events[0].ID+`","function":"shop-f"}`, string(acts[0].Detail))
		require.Equal(t, "the program", p.acts(durable.RunObject(again))[0].By, "nobody said who")
		require.Len(t, p.acts(""), 3)
	})
}

// A job, a schedule and a cancellation do much, for one person.
func TestWhatIsDoneForSomebodyIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"9h"`)}
		p := newPawl(t, a, function("f", "x", 0))
		p.send(repeat(20, plainEvent))
		_, err := p.AddSchedule(t.Context(), durable.Schedule{ID: "s", Function: "shop-f", Cron: "* * * * *"}, 0, nil, "ann")
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		_, err = p.CancelMany(t.Context(), durable.Cancellation{Function: "shop-f", Before: time.Now()}, nil, "ann")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.GreaterOrEqual(t, p.count(durable.Cancelled), 29)
		require.Len(t, p.acts(""), 2)
	})
}

// A line is bounded, whatever somebody says.
func TestLinesOfTheAuditLogAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, function("f", "x", 0))
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.PauseStarts}, "ann", strings.Repeat("é", 40_000)))
		limits := `{"concurrency":[{"limit":1,"key":"'` + strings.Repeat("x", 3000) + `'"}]}`
		require.NoError(t, p.SetLimits(t.Context(), "shop-f", durable.JSON(limits), "ann", ""))
		for _, act := range p.acts("shop-f") {
			require.Less(t, len(act.Detail), 5000)
			require.True(t, act.Detail.IsValid())
		}
		require.ErrorIs(t, p.VoidKey(t.Context(), strings.Repeat("s", 5000), "k", "ann"), store.ErrNotFound)
	})
}

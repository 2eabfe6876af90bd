package engine_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// naps is an app whose runs sleep for ten seconds.
func naps() *app { return &app{serve: awaits("Sleep", "nap", `,"name":"10s"`)} }

func TestSingletonSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := naps()
		p := newPawl(t, a, with(function("f", "x", 0), `"singleton":{"mode":"skip"}`))
		p.send(`{"name":"x"}`)
		first := p.wantStatus(0, durable.Running)
		p.restart()
		p.send(`{"name":"x","id":"once"}`)
		p.send(`{"name":"x","id":"once"}`)
		r := p.wantStatus(1, durable.Skipped)
		require.JSONEq(t, fmt.Sprintf(`{"reason":"Singleton","run_id":%q}`, first.ID), string(r.Output), "row 101")
		require.False(t, r.Ended.IsZero())
		why, _, err := p.Why(t.Context(), r.ID)
		require.NoError(t, err)
		require.Contains(t, why.Text, first.ID)
		require.Len(t, p.runs(), 2, "a repetition of the event is none")
		require.Len(t, a.seen(), 1, "row 101: one execution")
		time.Sleep(11 * time.Second)
		p.wantStatus(0, durable.Completed)
		require.Equal(t, []string{durable.EventFinished, "x", "x"}, eventNames(t, p)[:3], "a skipped run tells nobody")
		p.send(`{"name":"x"}`)
		p.wantStatus(2, durable.Running) // row 101: after the end it runs again
		require.Error(t, p.Cancel(t.Context(), r.ID, "ann"), "it has ended")
	})
}

func TestSingletonReplacesAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, naps(), with(function("f", "x", 0), `"singleton":{"mode":"cancel"}`))
		p.send(`{"name":"x"}`)
		p.wantStatus(0, durable.Running)
		time.Sleep(time.Second)
		require.NoError(t, p.Close(t.Context()))
		p.acceptOnly(`{"name":"x"}`)
		p.start()
		p.wantStatus(0, durable.Cancelled)
		p.wantStatus(1, durable.Running) // row 111
	})
}

func TestSingletonKeepsTheLastRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, naps(), with(function("f", "x", 0), `"singleton":{"mode":"cancel"}`))
		p.send(`{"name":"x"}`)
		p.wantStatus(0, durable.Running)
		time.Sleep(time.Second)
		ids := p.send(`{"name":"x"}`)
		first := p.wantStatus(0, durable.Cancelled) // row 102
		p.wantStatus(1, durable.Running)
		entries, err := p.History().Journal(t.Context(), first.ID, 0)
		require.NoError(t, err)
		require.Contains(t, string(entries[len(entries)-1].Data), ids[0], "the reason names the event")
		require.Contains(t, eventNames(t, p), durable.EventCancelled)
		p.restart()
		last := p.send(repeat(5, plainEvent))
		time.Sleep(11 * time.Second)
		synctest.Wait()
		runs := p.runs()
		require.Len(t, runs, 7)
		for _, r := range runs {
			switch r.Events[0].ID {
			case last[4]:
				require.Equal(t, durable.Completed, r.Status, "row 102: the last one survives")
			default:
				require.Contains(t, []durable.Status{durable.Cancelled, durable.Skipped}, r.Status)
			}
		}
	})
}

func TestSingletonByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, naps(), with(function("f", "x", 0), `"singleton":{"key":"event.data.k"}`))
		p.send(`[{"name":"x","data":{"k":1}},{"name":"x","data":{"k":2}},{"name":"x","data":{"k":1}}]`)
		synctest.Wait()
		require.Equal(t, 2, p.count(durable.Running), "row 103")
		require.Equal(t, 1, p.count(durable.Skipped))
		p.send(`[{"name":"x","data":{"k":false}},{"name":"x","data":{"k":false}}]`)
		synctest.Wait()
		require.Equal(t, 4, p.count(durable.Running), "false: no singleton")
	})
}

func TestInvokeOfASingletonThatIsBusyIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := invoking("", awaits("Sleep", "nap", `,"name":"1h"`))
		p := newPawl(t, a, function("f", "x", 0), with(uninvoked, `"singleton":{"mode":"skip"}`))
		p.send(`{"name":"x"}`)
		p.wantStatus(0, durable.Running)
		p.send(`{"name":"x"}`)
		r := p.wantStatus(2, durable.Completed)
		require.Contains(t, string(r.Output), "was skipped: run "+p.runs()[1].ID)
		_, _, err := p.Invoke(t.Context(), durable.Invoke{Function: "shop-g"}, nil, "", nil)
		require.ErrorIs(t, err, engine.ErrNotStarted)
	})
}

func TestInvokeOfASingletonReplacesItsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := invoking("", awaits("Sleep", "nap", `,"name":"1h"`))
		p := newPawl(t, a, function("f", "x", 0), with(uninvoked, `"singleton":{"mode":"cancel"}`))
		p.send(`{"name":"x"}`)
		p.wantStatus(1, durable.Running)
		p.restart()
		p.send(`{"name":"x"}`)
		r := p.wantStatus(0, durable.Completed)
		require.Contains(t, string(r.Output), "was cancelled")
		_, run, err := p.Invoke(t.Context(), durable.Invoke{Function: "shop-g"}, nil, "", nil)
		require.NoError(t, err)
		synctest.Wait()
		_, err = p.History().Run(t.Context(), run)
		require.NoError(t, err)
		require.Equal(t, 1, p.count(durable.Running))
		time.Sleep(2 * time.Hour)
	})
}

func TestSingletonOfASchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"150s"`)}
		p := newPawl(t, a, with(strings.Replace(function("c", "?", 0), `"event":"?"`, `"cron":"* * * * *"`, 1), `"singleton":{"mode":"cancel"}`))
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		require.Equal(t, 4, p.count(durable.Cancelled))
		require.Equal(t, 1, p.count(durable.Running))
		require.Equal(t, "* * * * *", p.runs()[0].Cron)
	})
}

func TestRerunOfASingletonWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, naps(), with(function("f", "x", 0), `"singleton":{"mode":"cancel"}`))
		p.send(`{"name":"x"}`)
		first := p.wantStatus(0, durable.Running)
		_, err := p.Rerun(t.Context(), first.ID, engine.Rerun{})
		var busy *store.SingleError
		require.ErrorAs(t, err, &busy)
		require.Equal(t, first.ID, busy.Holder)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		_, err = p.Rerun(t.Context(), first.ID, engine.Rerun{})
		require.NoError(t, err)
		p.send(`{"name":"x"}`)
		p.wantStatus(1, durable.Cancelled)
	})
}

// TestSingletonAgainstAModel compares what becomes of random events with a model:
// for each key, whether the run that goes on now has ended.
func TestSingletonAgainstAModel(t *testing.T) {
	seeds(t, 4, func(t *testing.T, random *rand.Rand) {
		cancel := random.IntN(2) == 0
		mode := "skip"
		if cancel {
			mode = "cancel"
		}
		p := newPawl(t, naps(), with(function("f", "x", 0), fmt.Sprintf(`"singleton":{"key":"event.data.k","mode":%q}`, mode)))
		var want []durable.Status
		var begun []time.Time
		holder := map[int]int{}
		settle := func() {
			for i, s := range want {
				if s == durable.Running && !time.Now().Before(begun[i].Add(10*time.Second)) {
					want[i] = durable.Completed
				}
			}
		}
		for range 25 {
			switch random.IntN(4) {
			case 0:
				time.Sleep(4 * time.Second)
				synctest.Wait()
			case 1:
				p.restart()
				synctest.Wait()
			default:
				settle()
				k := random.IntN(3)
				h, held := holder[k]
				held = held && want[h] == durable.Running
				begun = append(begun, time.Now())
				switch {
				case held && !cancel:
					want = append(want, durable.Skipped)
				case held:
					want[h] = durable.Cancelled
					fallthrough
				default:
					holder[k] = len(want)
					want = append(want, durable.Running)
				}
				p.send(fmt.Sprintf(`{"name":"x","data":{"k":%d}}`, k))
				synctest.Wait()
			}
			settle()
			var got []durable.Status
			for _, r := range p.runs() {
				got = append(got, r.Status)
			}
			require.Equal(t, want, got)
		}
	})
}

// seeds runs a test in virtual time with several seeds; the name of one that
// fails says which.
func seeds(t *testing.T, n uint64, run func(t *testing.T, random *rand.Rand)) {
	t.Helper()
	for seed := range n {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run(t, rand.New(rand.NewPCG(seed, 0)))
			})
		})
	}
}

// TestPausedStartReplacesNoRun: what is refused does not cancel the run in its way.
func TestPausedStartReplacesNoRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, naps(), with(function("f", "x", 0), `"singleton":{"mode":"cancel"}`))
		p.send(plainEvent(0))
		p.wantStatus(0, durable.Running)
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.PauseStarts, Refuse: true}, "ann", ""))
		p.send(plainEvent(0))
		p.wantStatus(1, durable.Skipped)
		p.wantStatus(0, durable.Running)
	})
}

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ticked returns the runs of an app's clock by the tick that started them, from
// one tick on. It fails when a tick has two.
func (p *pawl) ticked(app string, from time.Time) map[time.Time]runInfo {
	p.t.Helper()
	ticks := map[time.Time]runInfo{}
	for _, run := range p.allRuns(app + "-clock") {
		tick := p.tick(run)
		if other, ok := ticks[tick]; ok {
			p.t.Fatalf("runs %s and %s are of one tick, %v", other.ID, run.ID, tick)
		}
		if !tick.Before(from) {
			ticks[tick] = run
		}
	}
	return ticks
}

// tick is the moment of the schedule that a run stands for.
func (p *pawl) tick(run runInfo) time.Time {
	p.t.Helper()
	var e struct {
		Name string
		Data struct {
			Scheduled time.Time `json:"scheduledAt"`
		}
	}
	require.NoError(p.t, p.get("/v1/events/"+run.EventID, &e))
	require.Equal(p.t, "inngest/scheduled.timer", e.Name)
	return e.Data.Scheduled.UTC()
}

// awaitTick waits until the run of a tick has ended.
func (p *pawl) awaitTick(app string, tick time.Time) runInfo {
	p.t.Helper()
	var run runInfo
	eventually(p.t, patience, func() error {
		var ok bool
		if run, ok = p.ticked(app, tick)[tick]; !ok || !run.final() {
			return fmt.Errorf("the tick of %v has no run that ended", tick)
		}
		return nil
	})
	return run
}

// TestCron waits for one tick, and lets the server be dead at the next: two
// minutes at most.
func TestCron(t *testing.T) {
	guard(t)
	t.Parallel()
	p := newPawl(t, serve)
	var apps []*app
	for _, s := range []sdk{ts4, ts3, py} {
		a := newApp(t, s, p)
		a.env = append(a.env, "APP_CRON=1")
		apps = append(apps, a)
	}
	p.startFor(apps...)
	p.restart(time.Time{}) // the next tick is pending
	began := time.Now()
	first := began.Truncate(time.Minute).Add(time.Minute).UTC()
	second := first.Add(time.Minute)

	for _, a := range apps {
		t.Run(a.sdk.name+" row 104 a run starts with the minute", func(t *testing.T) {
			p := *p
			p.t = t
			<-time.After(time.Until(first))
			run := p.awaitTick(a.sdk.name, first)
			require.Equal(t, "Completed", run.Status, "output %s", run.Output)
			require.JSONEq(t, `{"name":"inngest/scheduled.timer","cron":"* * * * *"}`, string(run.Output))
			require.False(t, run.Queued.Before(first), "started at %v", run.Queued)
			require.Less(t, run.Queued.Sub(first), late*time.Millisecond)
			require.Equal(t, []int{0}, attempts(a.log.lines(t, run.ID), "tick"))
			require.Len(t, p.ticked(a.sdk.name, first), 1)
		})
	}

	// Dead while the next tick passes.
	p.restart(second.Add(time.Second))
	back := time.Now()
	for _, a := range apps {
		t.Run(a.sdk.name+" row 111 a tick that the server missed is made up for once", func(t *testing.T) {
			p := *p
			p.t = t
			run := p.awaitTick(a.sdk.name, second)
			require.Equal(t, "Completed", run.Status, "output %s", run.Output)
			require.Equal(t, []int{0}, attempts(a.log.lines(t, run.ID), "tick"))
			if time.Now().Before(second.Add(time.Minute)) {
				require.Len(t, p.ticked(a.sdk.name, first), 2)
			}
			require.Less(t, run.Queued.Sub(back), late*time.Millisecond)
		})
	}
}

package engine_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// clockwork is the registration of shop-id, triggered by crons.
func clockwork(id, triggers string) string {
	return fmt.Sprintf(`{"id":"shop-%s","name":"%s","triggers":[%s],"steps":{"step":{"id":"step","name":"step",
		"runtime":{"type":"http","url":"http://app/api/inngest?fnId=shop-%s&stepId=step"},"retries":{"attempts":0}}}}`, id, id, triggers, id)
}

func register(t *testing.T, p *pawl, functions string) {
	t.Helper()
	registerAt(t, p, "shop", "http://app/api/inngest", functions)
}

func registerAt(t *testing.T, p *pawl, app, url, functions string) {
	t.Helper()
	reg, err := wire.ParseRegistration([]byte(`{"url":"` + url + `","appName":"` + app + `","sdk":"js:v4.24.0","functions":[` + functions + `]}`))
	require.NoError(t, err)
	_, err = p.Register(t.Context(), reg)
	require.NoError(t, err)
}

func TestCronStartsARunForEachTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, clockwork("f", `{"cron":"* * * * *"},{"cron":"*/5 * * * *"}`))
		begin := time.Now()
		for range 10 {
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		require.Equal(t, 10, p.count(durable.Completed), "row 104: one run a minute, also when two crons of the function tick at once")
		for i, c := range a.seen() {
			tick := begin.Truncate(time.Minute).Add(time.Duration(i+1) * time.Minute)
			require.False(t, c.At.Before(tick))
			require.Equal(t, "inngest/scheduled.timer", c.Event.Name)
			require.Contains(t, string(c.Event.Data), tick.UTC().Format(time.RFC3339))
		}
		require.Equal(t, "* * * * *", p.runs()[0].Cron)
	})
}

func TestCronGoesWithItsSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, clockwork("f", `{"cron":"* * * * *","jitter":"30s"}`))
		time.Sleep(61 * time.Second) // the first tick's jitter is pending, or its run has been
		n := p.count(durable.Completed)
		register(t, p, clockwork("f", `{"cron":"0 * * * *"}`))
		time.Sleep(57 * time.Minute)
		synctest.Wait()
		require.Equal(t, n, p.count(durable.Completed), "row 107: nothing is left of the old schedule")
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		require.Equal(t, n+1, p.count(durable.Completed), "and the new one ticks")
		register(t, p, function("g", "x", 0))
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		require.Equal(t, n+1, p.count(durable.Completed), "a function that is not served any more has no ticks")
		require.Empty(t, p.Schedules(1))
	})
}

func TestJitterDelaysEachTickALittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, clockwork("f", `{"cron":"* * * * *","jitter":"30s"}`))
		time.Sleep(20*time.Minute + 31*time.Second)
		p.restart()
		synctest.Wait()
		require.Len(t, a.seen(), 20, "row 106: one run for each tick")
		for i, c := range a.seen() {
			late := c.At.Sub(c.At.Truncate(time.Minute))
			require.GreaterOrEqual(t, late, time.Second, "tick %d", i)
			require.LessOrEqual(t, late, 30*time.Second, "tick %d", i)
		}
	})
}

func TestTicksThatWereMissed(t *testing.T) {
	for _, tt := range []struct {
		policy string
		want   int // runs after three days and a half of downtime of a daily job
	}{
		{``, 1}, {`,"missed":"once"`, 1}, {`,"missed":"skip"`, 0}, {`,"missed":"all"`, 3}, {`,"missed":{"policy":"all","limit":2}`, 2},
	} {
		t.Run(tt.policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &app{serve: serial()}
				p := newPawl(t, a, clockwork("f", `{"cron":"0 12 * * *"`+tt.policy+`}`))
				require.NoError(t, p.Close(t.Context()))
				time.Sleep(72 * time.Hour)
				p.start()
				synctest.Wait()
				require.Equal(t, tt.want, p.count(durable.Completed))
				p.restart()
				time.Sleep(time.Hour)
				synctest.Wait()
				require.Equal(t, tt.want, p.count(durable.Completed), "no tick runs twice")
				time.Sleep(12 * time.Hour)
				synctest.Wait()
				require.Equal(t, tt.want+1, p.count(durable.Completed), "and the next one runs")
			})
		})
	}
}

func TestTicksThatOverlap(t *testing.T) {
	for _, tt := range []struct {
		policy    string
		completed int // of runs of 150 s, three ticks of a minute and four minutes later
		cancelled int
		started   []time.Duration
	}{
		{`allow`, 3, 0, []time.Duration{1, 2, 3}},
		{`skip`, 1, 0, []time.Duration{1}},
		{`queue`, 2, 0, []time.Duration{1, 0}},
		{`replace`, 1, 2, []time.Duration{1, 2, 3}},
	} {
		t.Run(tt.policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &app{serve: awaits("Sleep", "nap", `,"name":"150s"`)}
				p := newPawl(t, a, clockwork("f", `{"cron":"1-3 0 * * *","overlap":"`+tt.policy+`"}`))
				begin := time.Now()
				time.Sleep(2*time.Minute + 30*time.Second)
				p.restart()
				time.Sleep(8 * time.Minute)
				synctest.Wait()
				require.Equal(t, tt.completed, p.count(durable.Completed))
				require.Equal(t, tt.cancelled, p.count(durable.Cancelled))
				runs := slices.DeleteFunc(p.runs(), isSkipped)
				require.Len(t, runs, len(tt.started))
				for i, minutes := range tt.started {
					want := begin.Add(minutes * time.Minute)
					if minutes == 0 { // as soon as the run before has ended
						want = runs[i-1].Ended
					}
					require.WithinDuration(t, want, runs[i].Queued, 10*time.Millisecond)
				}
			})
		})
	}
}

func TestBadSchedulesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, function("f", "x", 0))
		for triggers, says := range map[string]string{
			`{"cron":"TZ=Mars/Base 0 12 * * *"}`:       "isn't a valid cron schedule",
			`{"cron":"61 * * * *"}`:                    "isn't a valid cron schedule",
			`{"cron":"0 0 30 2 *"}`:                    "isn't a valid cron schedule",
			`{"cron":"* * * * *","missed":"never"}`:    "missed ticks",
			`{"cron":"* * * * *","overlap":"collide"}`: "overlapping ticks",
		} {
			reg, err := wire.ParseRegistration([]byte(`{"url":"http://app/api/inngest","appName":"shop","functions":[` + clockwork("g", triggers) + `]}`))
			require.NoError(t, err, triggers)
			_, err = p.Register(t.Context(), reg)
			require.ErrorContains(t, err, says, "row 105")
		}
		_, ok := p.Function("shop-g")
		require.False(t, ok)
	})
}

func TestCronOfAZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: func(callSeen) (int, string, http.Header) { return http.StatusOK, "1", nil }}
		p := newPawl(t, a, clockwork("f", `{"cron":"TZ=Europe/Paris 30 9 * * *"}`))
		require.Len(t, p.Schedules(10)[0].Next, 10)
		time.Sleep(8*time.Hour + 29*time.Minute)
		synctest.Wait()
		require.Empty(t, a.seen())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, a.seen(), 1, "row 105: 9:30 in Paris, in winter")
	})
}

func TestTicksOfAFunctionWhoseSDKSaysNothingOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, clockwork("f", `{"cron":"0 12 * * *"}`))
		require.NoError(t, p.SetLimits(t.Context(), "shop-f", []byte(`{"missed":"all:2","overlap":"skip"}`), "ann", ""))
		require.Equal(t, "skip", p.Schedules(1)[0].Overlap.String())
		require.NoError(t, p.SetLimits(t.Context(), "shop-f", []byte(`{"missed":"all:2"}`), "ann", ""))
		require.Equal(t, "all:2", p.Schedules(1)[0].Missed.String())
		require.ErrorContains(t, p.SetLimits(t.Context(), "shop-f", []byte(`{"missed":"never"}`), "ann", ""), "missed ticks")
		require.NoError(t, p.Close(t.Context()))
		time.Sleep(100 * time.Hour)
		p.start()
		synctest.Wait()
		require.Equal(t, 2, p.count(durable.Completed))
	})
}

package engine_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// busy is an app whose requests take a second; it counts how many are open at
// once, by the event's data.k.
type busy struct {
	mu   sync.Mutex
	open map[string]int
	most map[string]int
}

func (b *busy) during(key string) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		b.open, b.most = map[string]int{}, map[string]int{}
	}
	for _, k := range []string{key, "all"} {
		b.open[k]++
		b.most[k] = max(b.most[k], b.open[k])
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.open[key]--
		b.open["all"]--
	}
}

// peak is how many were open at once, at most.
func (b *busy) peak(key string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most[key]
}

// app answers with one step after a second, and then with the result.
func (b *busy) app() *app {
	return &app{serve: func(c callSeen) (int, string, http.Header) {
		defer b.during(c.Fn + string(c.Event.Data))()
		time.Sleep(time.Second)
		return serial("a")(c)
	}}
}

func repeat(n int, body func(i int) string) string {
	var parts []string
	for i := range n {
		parts = append(parts, body(i))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func plainEvent(int) string { return `{"name":"x"}` }

func TestConcurrencyOfSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		p := newPawl(t, b.app(), with(function("f", "x", 0), `"concurrency":2`))
		p.send(repeat(6, plainEvent))
		time.Sleep(2500 * time.Millisecond)
		p.restart() // what was in flight holds nothing any more
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 6, p.count(durable.Completed), "row 82")
		require.LessOrEqual(t, b.peak("all"), 4, "two, and two that the server's end cut off")
	})
}

func TestConcurrencyIsGivenBackWhileARunRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"10s"`)}
		p := newPawl(t, a, with(function("f", "x", 0), `"concurrency":1`))
		p.send(repeat(2, plainEvent))
		synctest.Wait()
		require.Len(t, a.seen(), 2, "row 83: the second is called while the first sleeps")
	})
}

func TestConcurrencyByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		p := newPawl(t, b.app(), with(function("f", "x", 0), `"concurrency":[{"limit":1,"key":"event.data.k"},{"limit":3}]`))
		p.send(repeat(12, func(i int) string { return fmt.Sprintf(`{"name":"x","data":{"k":%d}}`, i%4) }))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 12, p.count(durable.Completed))
		require.Equal(t, 3, b.peak("all"), "row 86: both limits hold, and are used")
		for i := range 4 {
			require.Equal(t, 1, b.peak(fmt.Sprintf(`shop-f{"k":%d}`, i)), "row 84")
		}
	})
}

func TestConcurrencyThatFunctionsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		shared := `"concurrency":{"limit":1,"key":"'x'","scope":"env"}`
		p := newPawl(t, b.app(), with(function("f", "x", 0), shared), with(function("g", "x", 0), shared))
		p.send(repeat(3, plainEvent))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 6, p.count(durable.Completed))
		require.Equal(t, 1, b.peak("all"), "row 85")
	})
}

func TestConcurrencyOfRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"10s"`)}
		p := newPawl(t, a, with(function("f", "x", 0), `"concurrency":{"fn":[{"limit":1}]}`))
		p.send(repeat(3, plainEvent))
		p.wantStatus(0, durable.Running)
		p.wantStatus(1, durable.Queued)
		p.restart()
		time.Sleep(9 * time.Second)
		p.wantStatus(1, durable.Queued) // row 87: it holds its slot while it sleeps, and over a restart
		time.Sleep(2 * time.Second)
		p.wantStatus(0, durable.Completed)
		second := p.wantStatus(1, durable.Running)
		require.NoError(t, p.Cancel(t.Context(), second.ID, "ann"))
		p.wantStatus(2, durable.Running) // row 88
		time.Sleep(time.Minute)
		p.wantStatus(2, durable.Completed)
	})
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("a", "b")}
		p := newPawl(t, a, with(function("f", "x", 0), `"throttle":{"limit":1,"period":"2s"}`))
		begin := time.Now()
		p.send(repeat(5, plainEvent))
		synctest.Wait()
		require.Equal(t, 1, p.count(durable.Completed), "row 91: the later steps are not held up")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Equal(t, 2, p.count(durable.Completed))
		p.restart()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 5, p.count(durable.Completed), "row 89: none is lost")
		for i, r := range p.runs() {
			require.False(t, r.Started.Before(begin.Add(time.Duration(i)*2*time.Second)), "run %d: at least two seconds apart", i)
		}
	})
}

func TestThrottleBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "x", 0), `"throttle":{"limit":3,"period":"6s","burst":2}`))
		p.send(repeat(10, plainEvent))
		synctest.Wait()
		require.Equal(t, 5, p.count(durable.Completed), "row 90")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, 6, p.count(durable.Completed))
	})
}

func TestPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		a := b.app()
		p := newPawl(t, a, with(function("f", "x", 0), `"concurrency":1,"priority":{"run":"event.data.vip ? 120 : -60"}`))
		p.send(repeat(4, plainEvent))
		time.Sleep(100 * time.Millisecond)
		p.send(`{"name":"x","data":{"vip":true}}`)
		p.restart()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 5, p.count(durable.Completed))
		runs := p.runs()
		before := 0
		for _, r := range runs[:4] {
			if r.Started.Before(runs[4].Started) {
				before++
			}
		}
		require.Equal(t, 1, before, "row 100: only the one that was called already")
	})
}

// TestAKeyWithManyWaitingDelaysNoOther is I25.
func TestAKeyWithManyWaitingDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		p := newPawl(t, b.app(), with(function("f", "x", 0), `"concurrency":[{"limit":1},{"limit":1,"key":"event.data.k"}]`))
		p.send(repeat(500, func(int) string { return `{"name":"x","data":{"k":"many"}}` }))
		synctest.Wait()
		sent := time.Now()
		p.send(`{"name":"x","data":{"k":"one"}}`)
		time.Sleep(5 * time.Second)
		r, err := p.History().Runs(t.Context(), store.RunFilter{}, store.Page{Limit: 1})
		require.NoError(t, err)
		require.NotZero(t, r[0].Started, "the newest run has started")
		// The run in work has two requests, and so has the one whose turn it was.
		require.LessOrEqual(t, r[0].Started.Sub(sent), 4*time.Second)
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, function("g", "x", 0),
			with(function("f", "x", 0), `"rateLimit":{"limit":1,"period":"1h","key":"event.data.k"}`))
		ran := func() (n int) {
			synctest.Wait()
			for _, r := range p.runs() {
				if r.Function == "shop-f" {
					n++
				}
			}
			return n
		}
		p.send(`[{"name":"x","data":{"k":1}},{"name":"x","data":{"k":1}},{"name":"x","data":{"k":2}}]`)
		require.Equal(t, 2, ran(), "row 92: one for each key")
		time.Sleep(time.Hour - time.Second)
		p.restart()
		p.send(`{"name":"x","data":{"k":1}}`)
		require.Equal(t, 2, ran(), "row 92: over a restart")
		time.Sleep(time.Second)
		p.send(`{"name":"x","data":{"k":1}}`)
		require.Equal(t, 3, ran(), "row 92: after the period")
		require.Len(t, p.runs(), 8, "other functions run for each event")
		list, err := p.History().Events(t.Context(), store.EventFilter{Name: "x"}, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, list, 5, "row 92: all are listed")

		first := p.runs()[0]
		if first.Function != "shop-f" {
			first = p.runs()[1]
		}
		_, err = p.Rerun(t.Context(), first.ID, engine.Rerun{})
		require.NoError(t, err)
		require.Equal(t, 4, ran(), "a run that is started anew is not limited")
	})
}

// TestRateLimitBurst: a time is stored as whole microseconds, rounded up.
func TestRateLimitBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "x", 0), `"rateLimit":{"limit":30,"period":"1s"}`))
		for _, after := range []time.Duration{time.Second, time.Second + 100*time.Nanosecond, time.Second + 1900*time.Nanosecond} {
			time.Sleep(after)
			before := len(p.runs())
			p.send(repeat(10, plainEvent))
			synctest.Wait()
			require.Len(t, p.runs(), before+4, "a tenth of the limit and one at once")
		}
	})
}

func TestRateLimitByAKeyThatIsFalseOrFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()},
			with(function("f", "x", 0), `"rateLimit":{"limit":1,"period":"1h","key":"event.data.k"}`),
			with(function("g", "y", 0), `"rateLimit":{"limit":1,"period":"1h","key":"int(event.data.k)"}`))
		p.send(repeat(3, func(int) string { return `{"name":"x","data":{"k":false}}` }))
		synctest.Wait()
		require.Len(t, p.runs(), 3, "false: not limited")
		p.send(repeat(2, func(int) string { return `{"name":"y","data":{"k":"no number"}}` }))
		synctest.Wait()
		require.Len(t, p.runs(), 3, "an error: not started")
	})
}

func TestRateLimitHoldsForSchedulesAndInvokes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := invoking("", serial())
		p := newPawl(t, a, function("f", "x", 0), with(uninvoked, `"rateLimit":{"limit":1,"period":"1h"}`),
			with(strings.Replace(function("c", "?", 0), `"event":"?"`, `"cron":"* * * * *"`, 1), `"rateLimit":{"limit":1,"period":"5m"}`))
		p.send(`{"name":"x"}`)
		p.send(`{"name":"x"}`)
		synctest.Wait()
		limited := 0
		for _, r := range p.runs() {
			if strings.Contains(string(r.Output), "invoked function is rate limited") {
				limited++
			}
		}
		require.Equal(t, 1, limited, "row 68")
		require.Len(t, p.runs(), 3)
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		require.Len(t, p.runs(), 5, "ten ticks, one in five minutes")
	})
}

func TestBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, function("f", "x", 0))
		require.NoError(t, p.Close(t.Context()))
		p.most.Runs = 10
		p.start()
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.PauseStarts}, "ann", ""))
		p.send(repeat(8, plainEvent))
		p.restart() // it is counted again
		refused := func(n int) error { return p.trySend(repeat(n, plainEvent)) }
		require.ErrorContains(t, refused(3), "8 runs wait to begin, the most is 10")
		require.NoError(t, refused(2))
		require.Error(t, refused(1))
		p.send(`{"name":"other"}`) // starts nothing
		require.NoError(t, p.Cancel(t.Context(), p.runs()[0].ID, "ann"))
		require.NoError(t, refused(1), "one that was cancelled waits no more")
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.Unpaused}, "ann", ""))
		synctest.Wait()
		require.Equal(t, 10, p.count(durable.Completed), "nothing that was accepted is lost")
		require.NoError(t, refused(10))
	})
}

// heavy is an event with so many bytes of data.
func heavy(name string, bytes int, more string) string {
	return fmt.Sprintf(`{"name":%q,"data":{"pad":%q%s}}`, name, strings.Repeat("x", bytes), more)
}

func TestBacklogIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: func(c callSeen) (int, string, http.Header) {
			if c.Fn == "shop-waits" {
				return awaits("WaitForEvent", "w", `,"name":"news","opts":{"timeout":"1h"}`)(c)
			}
			return serial()(c)
		}}
		p := newPawl(t, a, function("f", "x", 0), function("waits", "start", 0),
			with(function("late", "late", 0), `"debounce":{"period":"10s"}`),
			with(function("many", "many", 0), `"batchEvents":{"maxSize":100,"timeout":"30s"}`))
		require.NoError(t, p.Close(t.Context()))
		p.most.Bytes = 100_000
		p.start()
		p.send(`{"name":"start"}`)
		synctest.Wait()
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.PauseStarts}, "ann", ""))

		p.send(heavy("x", 20_000, ""))
		for range 3 {
			p.send(heavy("late", 20_000, "")) // the last one waits
			p.send(heavy("many", 10_000, "")) // all wait
		}
		p.restart()
		wantFull := func(body string) {
			t.Helper()
			before := p.Backlog()
			err := p.trySend(body)
			_, full := errors.AsType[*store.BacklogError](err)
			require.True(t, full, "%v", err)
			require.Equal(t, before, p.Backlog())
		}
		wantFull(heavy("x", 30_000, ""))
		wantFull(heavy("late", 60_000, ""))
		wantFull(heavy("many", 30_000, ""))
		wantFull(heavy("news", 30_000, ""))
		p.send(heavy("nobody", 90_000, ""))
		p.send(heavy("x", 25_000, ""))
		p.send(heavy("late", 20_000, "")) // takes the place of one that waits
		wantFull(heavy("x", 10_000, ""))
		p.restart()
		wantFull(heavy("x", 10_000, ""))

		time.Sleep(11 * time.Second) // the debounce is over
		p.send(heavy("news", 15_000, ""))
		synctest.Wait() // and the event was handed on
		p.send(heavy("x", 15_000, ""))
		time.Sleep(30 * time.Second)
		require.NoError(t, p.Pause(t.Context(), "shop-f", engine.Hold{Pause: durable.Unpaused}, "ann", ""))
		synctest.Wait()
		require.Equal(t, store.Backlog{}, p.Backlog())
		require.Equal(t, 6, p.count(durable.Completed), "nothing that was accepted is lost")
		p.send(heavy("x", 90_000, ""))
	})
}

// An invocation that replaces a run is refused before it has cancelled that.
func TestInvocationThatIsRefusedReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"1h"`)}
		p := newPawl(t, a, with(function("f", "x", 0), `"singleton":{"mode":"cancel"}`), function("g", "y", 0))
		require.NoError(t, p.Close(t.Context()))
		p.most.Runs = 1
		p.start()
		p.send(`{"name":"x"}`)
		p.wantStatus(0, durable.Running)
		require.NoError(t, p.Pause(t.Context(), "app/shop", engine.Hold{Pause: durable.PauseStarts}, "ann", ""))
		p.send(`{"name":"y"}`)
		_, _, err := p.Invoke(t.Context(), durable.Invoke{Function: "shop-f"}, nil, "", nil)
		_, full := errors.AsType[*store.BacklogError](err)
		require.True(t, full, "%v", err)
		p.wantStatus(0, durable.Running)
		require.NoError(t, p.Cancel(t.Context(), p.runs()[1].ID, "ann"))
		_, _, err = p.Invoke(t.Context(), durable.Invoke{Function: "shop-f"}, nil, "", nil)
		require.NoError(t, err)
		p.wantStatus(0, durable.Cancelled)
	})
}

// Runs with keys that begin later, and requests that are tried again, keep to their
// time and to their limits, over a restart too.
func TestKeysOfWhatWaitsForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		a := b.app()
		p := newPawl(t, a, with(function("f", "x", 4), `"concurrency":{"limit":1,"key":"event.data.k"}`))
		begin := time.Now()
		later := begin.Add(5 * time.Second)
		p.send(repeat(3, func(int) string { return fmt.Sprintf(`{"name":"x","data":{"k":1},"ts":%d}`, later.UnixMilli()) }))
		time.Sleep(2 * time.Second)
		p.restart()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Empty(t, a.seen(), "it is not yet time")
		good := a.serve
		a.become(func(callSeen) (int, string, http.Header) {
			defer b.during("k")()
			return http.StatusInternalServerError, `{"name":"Error","message":"boom"}`, nil
		})
		time.Sleep(2 * time.Second)
		require.Len(t, a.seen(), 3)
		require.False(t, a.seen()[0].At.Before(later.Truncate(time.Millisecond)))
		a.become(good)
		p.restart()
		time.Sleep(9 * time.Second)
		require.Len(t, a.seen(), 3, "they are tried again after 15 s")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, 3, p.count(durable.Completed))
		require.Equal(t, 1, b.peak(`shop-f{"k":1}`), "one at a time")
	})
}

package engine_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

func numbered(i int) string { return fmt.Sprintf(`{"name":"x","data":{"n":%d}}`, i) }

func TestDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"debounce":{"period":"2s"}`))
		begin := time.Now()
		for i := range 3 {
			p.send(numbered(i))
			time.Sleep(time.Second)
		}
		p.restart() // row 111
		synctest.Wait()
		require.Empty(t, a.seen())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Len(t, a.seen(), 1, "row 94: one run")
		require.JSONEq(t, `{"n":2}`, string(a.seen()[0].Event.Data), "row 94: with the last event")
		require.InDelta(t, 4, a.seen()[0].At.Sub(begin).Seconds(), 0.1, "row 94")
		p.send(numbered(3))
		time.Sleep(3 * time.Second)
		p.wantStatus(1, durable.Completed)
	})
}

func TestDebounceGoesByTheTimeOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"debounce":{"period":"2s"}`))
		at := func(n int, ts time.Time) string {
			return fmt.Sprintf(`{"name":"x","data":{"n":%d},"ts":%d}`, n, ts.UnixMilli())
		}
		begin := time.Now()
		p.send(at(0, begin.Add(time.Hour)))
		time.Sleep(time.Second)
		p.send(at(1, begin))
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		require.Len(t, a.seen(), 1, "row 95: it is ignored, and a time to come only counts for the order")
		require.JSONEq(t, `{"n":0}`, string(a.seen()[0].Event.Data))
		time.Sleep(time.Minute)
		require.Len(t, p.runs(), 1)
	})
}

func TestDebounceEndsWithItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"debounce":{"period":"2s","timeout":"3s"}`))
		begin := time.Now()
		for i := range 7 {
			p.send(numbered(i))
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Len(t, a.seen(), 3)
		require.InDelta(t, 3.5, a.seen()[0].At.Sub(begin).Seconds(), 0.6, "row 96")
		require.JSONEq(t, `{"n":6}`, string(a.seen()[2].Event.Data), "those after it are of a new timer")
	})
}

func TestDebounceByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"debounce":{"period":"2s","key":"event.data.k"}`))
		p.send(`[{"name":"x","data":{"k":1}},{"name":"x","data":{"k":2}},{"name":"x","data":{"k":1}},{"name":"x"},{"name":"x"}]`)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Len(t, p.runs(), 3, "row 97; those without a value are together")
	})
}

func TestDebouncedRunPassesTheOtherGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, naps(), with(function("f", "x", 0),
			`"debounce":{"period":"2s"},"singleton":{"mode":"cancel"},"rateLimit":{"limit":1,"period":"3s"},"cancel":[{"event":"stop"}]`))
		p.send(plainEvent(0))
		p.send(`{"name":"stop"}`)
		time.Sleep(3 * time.Second)
		p.wantStatus(0, durable.Running) // what came before it started does not concern it
		p.send(plainEvent(0))
		p.send(plainEvent(0))
		synctest.Wait()
		p.wantStatus(0, durable.Running) // nor does an event that waits
		time.Sleep(3 * time.Second)
		p.wantStatus(0, durable.Cancelled)
		p.wantStatus(1, durable.Running)
		p.send(`{"name":"stop"}`)
		p.wantStatus(1, durable.Cancelled)
	})
}

func TestDebounceStartsOnceForAnEventsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"debounce":{"period":"2s"}`), with(function("g", "y", 0), `"debounce":{"period":"2s"},"idempotency":"event.data.k"`))
		p.send(`{"name":"x","id":"a"}`)
		time.Sleep(1500 * time.Millisecond)
		p.send(`{"name":"x","id":"a"}`)
		time.Sleep(600 * time.Millisecond)
		p.wantStatus(0, durable.Completed)
		p.send(`[{"name":"x","id":"b"},{"name":"x","id":"a"}]`)
		p.send(`[{"name":"y","data":{"k":1}},{"name":"y","data":{"k":1}}]`)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Len(t, p.runs(), 3)
		p.restart() // and the doctor finds nothing
	})
}

func TestInvokeOfADebouncedFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := invoking(`,"timeout":"1m"`, serial())
		p := newPawl(t, a, function("f", "x", 0), with(uninvoked, `"debounce":{"period":"5s"}`))
		p.send(plainEvent(0))
		synctest.Wait()
		time.Sleep(time.Second)
		p.send(plainEvent(0))
		synctest.Wait()
		p.restart()
		time.Sleep(6 * time.Second)
		p.wantStatus(0, durable.Running)
		r := p.wantStatus(1, durable.Completed)
		require.Contains(t, string(r.Output), `{"data":0}`, "row 69")
		time.Sleep(time.Minute)
		r = p.wantStatus(0, durable.Completed)
		require.Contains(t, string(r.Output), "Timed out", "its event was replaced")
	})
}

func TestDebounceOfASchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(strings.Replace(function("c", "?", 0), `"event":"?"`, `"cron":"* * * * *"`, 1), `"debounce":{"period":"90s","timeout":"150s"}`))
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		runs := p.runs()
		require.Len(t, runs, 3)
		require.Equal(t, "* * * * *", runs[0].Cron)
	})
}

func TestDebounceOfAFunctionThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "x", 0), `"debounce":{"period":"5s"}`))
		p.send(plainEvent(0))
		_, err := p.RemoveApp(t.Context(), "http://app/api/inngest")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Empty(t, p.runs())
	})
}

// TestDebounceAgainstAModel compares the runs of random events with a model: for
// each key a list of what is pending, fired by hand.
func TestDebounceAgainstAModel(t *testing.T) {
	seeds(t, 12, func(t *testing.T, random *rand.Rand) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"debounce":{"period":"3s","timeout":"8s","key":"event.data.k"}`))
		type waiting struct {
			n                    int
			at, first, due, ends time.Time
		}
		model := map[int]*waiting{}
		var want, got []string
		start := func(k int, w *waiting) {
			want = append(want, fmt.Sprintf(`{"k":%d,"n":%d}`, k, w.n))
			delete(model, k)
		}
		for n := range 80 {
			time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
			synctest.Wait()
			if random.IntN(8) == 0 {
				p.restart()
				synctest.Wait()
			}
			k, now := random.IntN(3), time.Now()
			ts := now.Truncate(time.Millisecond).Add(time.Duration(random.IntN(5)-2) * time.Second)
			for key, w := range model {
				if !w.due.After(now) {
					start(key, w)
				}
			}
			w := model[k]
			if w == nil {
				w = &waiting{first: now, ends: now.Add(8 * time.Second)}
				model[k] = w
			}
			if !ts.Before(w.at) {
				w.n, w.at, w.due = n, ts, now.Add(3*time.Second)
				if left := w.ends.Sub(now).Truncate(time.Second); left < 3*time.Second {
					w.due = now.Add(max(left, time.Second))
				}
				if last := w.ends.Add(time.Second); w.due.After(last) {
					w.due = last
				}
			}
			p.send(fmt.Sprintf(`{"name":"x","data":{"k":%d,"n":%d},"ts":%d}`, k, n, ts.UnixMilli()))
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for k, w := range model {
			start(k, w)
		}
		for _, c := range a.seen() {
			got = append(got, string(c.Event.Data))
		}
		require.ElementsMatch(t, want, got)
	})
}

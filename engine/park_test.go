package engine_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
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
		_, err := p.RemoveApp(t.Context(), "http://app/api/inngest", "ann")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Empty(t, p.runs())
	})
}

// TestDebounceAgainstAModel compares the runs of random events with a model: for
// each key a list of what is pending, fired by hand.
func TestDebounceAgainstAModel(t *testing.T) {
	seeds(t, 4, func(t *testing.T, random *rand.Rand) {
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
		for n := range 60 {
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

// of is how many events a call is for.
func (c callSeen) of() int { return len(c.Events) }

func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("s")}
		p := newPawl(t, a, with(function("f", "x", 0), `"batchEvents":{"maxSize":3,"timeout":"2s"}`))
		ids := p.send(repeat(4, numbered))
		r := p.wantStatus(0, durable.Completed)
		require.Len(t, a.seen(), 2)
		require.Equal(t, 3, a.seen()[0].of(), "row 98: three at once")
		require.JSONEq(t, `{"n":0}`, string(a.seen()[0].Event.Data))
		require.Len(t, p.runs(), 1)
		time.Sleep(1900 * time.Millisecond)
		p.restart() // row 111
		synctest.Wait()
		require.Len(t, p.runs(), 1)
		time.Sleep(200 * time.Millisecond)
		p.wantStatus(1, durable.Completed)
		require.Equal(t, 1, a.seen()[2].of(), "row 98: one after its time")

		got, err := p.History().Run(t.Context(), r.ID)
		require.NoError(t, err)
		require.Len(t, got.Events, 3)
		for i, id := range ids[:3] {
			require.Equal(t, id, got.Events[i].ID)
			require.Equal(t, id, p.runs()[0].Events[i].ID)
			runs, err := p.History().Runs(t.Context(), store.RunFilter{Event: id}, store.Page{Limit: 10})
			require.NoError(t, err)
			require.Len(t, runs, 1, "it is a run of each of them")
			require.Equal(t, r.ID, runs[0].ID)
		}
		again, err := p.Rerun(t.Context(), r.ID, engine.Rerun{})
		require.NoError(t, err)
		synctest.Wait()
		got, err = p.History().Run(t.Context(), again)
		require.NoError(t, err)
		require.Equal(t, durable.Completed, got.Status)
		require.Len(t, got.Events, 3, "they run together again")
	})
}

// TestBatchIsFullAtAnyTime: a time is stored as whole microseconds, rounded up.
func TestBatchIsFullAtAnyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"batchEvents":{"maxSize":2,"timeout":"2s"}`))
		time.Sleep(100 * time.Nanosecond)
		p.send(repeat(7, numbered))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 4, p.count(durable.Completed))
		for _, c := range a.seen() {
			require.LessOrEqual(t, c.of(), 2)
		}
	})
}

func TestBatchThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: func(callSeen) (int, string, http.Header) {
			return http.StatusInternalServerError, `{"name":"Error","message":"boom"}`, nil
		}}
		p := newPawl(t, a, with(function("f", "x", 1), `"batchEvents":{"maxSize":2,"timeout":"2s"}`))
		p.send(repeat(2, numbered))
		synctest.Wait()
		p.restart()
		time.Sleep(time.Minute)
		p.wantStatus(0, durable.Failed)
		require.Len(t, a.seen(), 2, "it is tried again as one")
		require.Equal(t, 2, a.seen()[1].of())
		list, err := p.History().Events(t.Context(), store.EventFilter{Name: durable.EventFailed, Internal: true}, store.Page{Limit: 5})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Contains(t, string(list[0].Body), `"n":0`)
		require.Contains(t, string(list[0].Body), `"n":1`)
	})
}

func TestBatchByKeyAndCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"batchEvents":{"maxSize":2,"timeout":"2s","key":"event.data.k","if":"event.data.b != false"}`))
		p.send(`[{"name":"x","data":{"k":1}},{"name":"x","data":{"k":2}},{"name":"x","data":{"k":1}},{"name":"x","data":{"k":1,"b":false}}]`)
		synctest.Wait()
		require.Equal(t, 2, p.count(durable.Completed), "row 99: a batch for each key, and a run alone")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Equal(t, 3, p.count(durable.Completed))
	})
}

func TestBatchTakesAnEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"batchEvents":{"maxSize":5,"timeout":"2s"},"rateLimit":{"limit":1,"period":"1h"}`))
		p.send(`[{"name":"x","id":"a"},{"name":"x","id":"a"},{"name":"x","id":"b"}]`)
		time.Sleep(3 * time.Second)
		p.send(`[{"name":"x","id":"a"},{"name":"x","id":"c"}]`)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Len(t, a.seen(), 2)
		require.Equal(t, 2, a.seen()[0].of())
		require.Equal(t, 1, a.seen()[1].of())
		p.restart() // and the doctor finds nothing
	})
}

func TestInvokesJoinABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := invoking("", serial())
		p := newPawl(t, a, function("f", "x", 0), with(uninvoked, `"batchEvents":{"maxSize":5,"timeout":"5s"}`))
		_, run, err := p.Invoke(t.Context(), durable.Invoke{Function: "shop-g"}, nil, "", nil)
		require.NoError(t, err)
		p.send(repeat(3, numbered))
		synctest.Wait()
		p.restart()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		require.Equal(t, 4, p.count(durable.Completed))
		for _, r := range p.runs() {
			if r.Function == "shop-f" {
				require.Contains(t, string(r.Output), `{"data":0}`, "each is told")
			} else {
				require.Equal(t, run, r.ID)
				require.Len(t, r.Events, 4)
			}
		}
	})
}

func TestBatchLeavesByRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "x", 0), `"batchEvents":{"maxSize":2,"timeout":"5s"}`))
		p.send(repeat(2, numbered))
		p.send(`{"name":"y"}`)
		p.wantStatus(0, durable.Completed)
		require.NoError(t, p.Close(t.Context()))
		s, err := sqlite.Open(t.Context(), p.path, sqlite.Options{Durability: sqlite.None})
		require.NoError(t, err)
		for _, d := range []time.Duration{2 * time.Hour, 100 * time.Hour} { // the events are looked at before the run leaves
			_, err := s.Sweep(t.Context(), time.Now().Add(d), store.Retention{Runs: 50 * time.Hour, Events: time.Hour}, 100)
			require.NoError(t, err)
		}
		list, err := s.Events(t.Context(), store.EventFilter{Internal: true}, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, list, 1, "only the newest is left")
		require.NoError(t, s.Close())
		p.start()
	})
}

// TestBatchesAgainstAModel compares the runs of random events with a model: for
// each key a list that is emptied by hand.
func TestBatchesAgainstAModel(t *testing.T) {
	seeds(t, 4, func(t *testing.T, random *rand.Rand) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "x", 0), `"batchEvents":{"maxSize":4,"timeout":"3s","key":"event.data.k"}`))
		type open struct {
			ns  []int
			due time.Time
		}
		model := map[int]*open{}
		var want, got []string
		start := func(k int) {
			want = append(want, fmt.Sprint(model[k].ns))
			delete(model, k)
		}
		for n := range 60 {
			time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond)
			synctest.Wait()
			if random.IntN(8) == 0 {
				p.restart()
				synctest.Wait()
			}
			k, now := random.IntN(3), time.Now()
			for key, o := range model {
				if !o.due.After(now) {
					start(key)
				}
			}
			if model[k] == nil {
				model[k] = &open{due: now.Add(3 * time.Second)}
			}
			if model[k].ns = append(model[k].ns, n); len(model[k].ns) == 4 {
				start(k)
			}
			p.send(fmt.Sprintf(`{"name":"x","data":{"k":%d,"n":%d}}`, k, n))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for k := range model {
			start(k)
		}
		for _, c := range a.seen() {
			var ns []int
			for _, e := range c.Events {
				var d struct{ N int }
				require.NoError(t, json.Unmarshal(e.Data, &d, json.MatchCaseInsensitiveNames(true)))
				ns = append(ns, d.N)
			}
			got = append(got, fmt.Sprint(ns))
		}
		require.ElementsMatch(t, want, got)
	})
}

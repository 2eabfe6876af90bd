package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startFlow starts a server that knows an app of each SDK whose flow control is
// shown.
func startFlow(t *testing.T, flags ...string) (*pawl, []*app) {
	t.Helper()
	p := newPawl(t, serve, flags...)
	apps := []*app{newApp(t, ts4, p), newApp(t, py, p)}
	p.startFor(apps...)
	return p, apps
}

// work is a body of a step of a function under flow control, as the app logged it.
type work struct {
	line       // its start
	end  int64 // 0 while it goes on
}

// works are the bodies of a function's steps in the order of their starts.
func works(lines []line, fn string) (list []*work) {
	for _, ln := range lines {
		if ln.Fn != fn {
			continue
		}
		if ln.What == "start" {
			list = append(list, &work{line: ln})
			continue
		}
		i := slices.IndexFunc(list, func(w *work) bool {
			return w.end == 0 && w.Run == ln.Run && w.Step == ln.Step && w.Attempt == ln.Attempt
		})
		if i >= 0 {
			list[i].end = ln.T
		}
	}
	return list
}

// works are the bodies of a function of the stage's app; with a key, those whose
// first event has it.
func (s stage) works(fn, key string) []*work {
	s.Helper()
	list := works(s.a.log.lines(s.T, ""), fn)
	return slices.DeleteFunc(list, func(w *work) bool { return key != "" && w.Data[0].Key != key })
}

// numbers are those of the events of each body.
func numbers(list []*work) [][]int {
	all := make([][]int, len(list))
	for i, w := range list {
		for _, d := range w.Data {
			all[i] = append(all[i], d.N)
		}
	}
	return all
}

// span is a time in which something was held.
type span struct{ from, to int64 }

func spans(list []*work) []span {
	all := make([]span, len(list))
	for i, w := range list {
		all[i] = span{w.T, cmp.Or(w.end, 1<<62)}
	}
	return all
}

// peak is how many of the spans are open at once, at most. What ends in a
// millisecond ends before anything begins in it.
func peak(list []span) (most int) {
	slices.SortStableFunc(list, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for i, x := range list {
		n := 1
		for _, earlier := range list[:i] {
			if earlier.to > x.from {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// flow sends an event of a function for each of data, in one request, and returns
// their ids and a moment before.
func (s stage) flow(fn string, data ...op) (ids []string, before time.Time) {
	s.Helper()
	events := make([]event, len(data))
	for i, d := range data {
		events[i] = event{Name: s.name(fn), Data: d}
	}
	before = time.Now().Truncate(time.Millisecond) // as the app logs
	return s.p.send(events...), before
}

// counts are how many runs events have. What starts at once is there when an
// event has been acknowledged.
func (s stage) counts(ids []string) []int {
	s.Helper()
	n := make([]int, len(ids))
	for i, id := range ids {
		n[i] = len(s.p.runs(id))
	}
	return n
}

// completed waits until the run of each event has completed.
func (s stage) completed(ids ...string) (runs []runInfo) {
	s.Helper()
	for _, id := range ids {
		run := s.p.outcome(id, 1)[0]
		require.Equal(s, "Completed", run.Status, "output %s", run.Output)
		runs = append(runs, run)
	}
	return runs
}

// busy starts a run that works until its gate is opened.
func (s stage) busy(fn, gate string, data op) runInfo {
	s.Helper()
	data["hold"] = gate
	run := s.start(fn, data)
	s.working(run.ID)
	return run
}

// working waits until a run's app works for it.
func (s stage) working(run string) {
	s.Helper()
	s.a.log.await(s.T, func(ln line) bool { return ln.Run == run && ln.What == "start" })
}

// open opens a gate of the app.
func (s stage) open(gate string) {
	s.Helper()
	res, err := httpClient.Get(s.a.direct("/release?gate=" + url.QueryEscape(gate)))
	require.NoError(s, err)
	res.Body.Close()
	require.Equal(s, http.StatusOK, res.StatusCode)
}

// held waits until a limit holds a run back, and returns what pawl says of it.
func (p *pawl) held(run string) string {
	p.t.Helper()
	var why struct{ Reason, Why string }
	eventually(p.t, patience, func() error {
		if err := p.get("/v1/runs/"+run+"/why", &why); err != nil {
			return err
		}
		if why.Reason != "limit" {
			return fmt.Errorf("run %s is not held back by a limit: %s", run, why.Why)
		}
		return nil
	})
	return why.Why
}

// invoke starts a run of a function through the API.
func (s stage) invoke(fn string, data op) (run string, err error) {
	s.Helper()
	var answer struct {
		Data struct {
			Run string `json:"runId"`
		}
	}
	path := fmt.Sprintf("/v2/apps/%s/functions/%s/invoke", s.a.sdk.name, fn)
	err = s.p.call("POST", path, op{"data": data}, &answer)
	return answer.Data.Run, err
}

// call makes a request of the API with a body.
func (p *pawl) call(method, path string, body, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(string(b)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+signingKey)
	return do(req, out)
}

// refused wants an API error with this status and these words.
func refused(t *testing.T, err error, status int, words string) {
	t.Helper()
	var e *apiError
	require.True(t, errors.As(err, &e), "got %v", err)
	require.Equal(t, status, e.status, e.body)
	require.Contains(t, e.body, words)
}

// wantRate wants no more begun than a throttle allows that had not let anybody
// begin before since: so many at once, and then one each every.
func wantRate(t *testing.T, list []*work, since time.Time, every time.Duration, atOnce int) {
	t.Helper()
	for i, w := range list {
		if earliest := since.UnixMilli() + int64(i-atOnce+1)*every.Milliseconds(); w.T < earliest {
			t.Errorf("the start number %d came %d ms after the first could, %d ms too early: %+v",
				i+1, w.T-since.UnixMilli(), earliest-w.T, w.line)
		}
	}
}

// atOnce is how many may begin at once under a throttle whose user gives no burst:
// the Python SDK then sends 1.
func (s stage) atOnce(limit int) int {
	if s.a.sdk == py {
		return limit + 1
	}
	return limit
}

// apart sends events one after the other, each in a request of its own, and
// returns their ids and a moment before the last. Should that take as long as
// within, it does the same with another key.
func (s stage) apart(fn, name string, within time.Duration, data ...op) (key string, ids []string, before time.Time) {
	s.Helper()
	for try := range 10 {
		key, ids = fmt.Sprintf("%s-%d", name, try), nil
		began := time.Now()
		for _, d := range data {
			d["key"] = key
			before = time.Now().Truncate(time.Millisecond)
			e := event{Name: s.name(fn), Data: d}
			if ts, ok := d["ts"]; ok {
				e.TS = ts.(time.Time).UnixMilli()
			}
			ids = append(ids, s.p.send(e)...)
		}
		if time.Since(began) < within {
			return key, ids, before
		}
	}
	s.Fatalf("%d events could not be sent within %v", len(data), within)
	return "", nil, before
}

func each(n int, data op) (list []op) {
	for i := range n {
		d := op{"n": i + 1}
		for k, v := range data {
			d[k] = v
		}
		list = append(list, d)
	}
	return list
}

var flowTrials = []trial{
	{
		name: "row 82 concurrency: no more requests at once than the limit",
		play: func(s stage) {
			ids, _ := s.flow("flow-two", each(6, op{"ms": 200})...)
			s.completed(ids...)
			list := s.works("flow-two", "")
			require.Len(s, list, 6)
			require.Equal(s, 2, peak(spans(list)))
		},
	},
	{
		name: "row 83 concurrency: a run that sleeps holds nothing",
		play: func(s stage) {
			asleep := s.start("flow-nap", op{"n": 1, "nap": "3600s"})
			s.p.resting(asleep.ID, "nap")
			s.completed(s.p.send(event{Name: s.name("flow-nap"), Data: op{"n": 2}})...)
			require.NoError(s, s.p.cancel(asleep.ID))
			s.end(asleep).never(s.T, "after")
		},
	},
	{
		name: "rows 84 and 86 concurrency: by key, and two limits at once",
		play: func(s stage) {
			data := each(12, op{"ms": 150})
			for i, d := range data {
				d["key"] = fmt.Sprint(i % 4)
			}
			ids, _ := s.flow("flow-key", data...)
			s.completed(ids...)
			list := s.works("flow-key", "")
			require.Len(s, list, 12)
			require.LessOrEqual(s, peak(spans(list)), 3)
			require.Greater(s, peak(spans(list)), 1, "keys overlap")
			for key := range 4 {
				require.Equal(s, 1, peak(spans(s.works("flow-key", fmt.Sprint(key)))))
			}
		},
	},
	{
		name: "rows 89 and 90 throttle: none begins too early, none is lost, each key for itself",
		play: func(s stage) {
			ids, sent := s.flow("flow-throttle", each(5, nil)...)
			more, then := s.flow("flow-burst", append(each(6, op{"key": "many"}), op{"n": 7, "key": "one"})...)
			s.completed(slices.Concat(ids, more)...)
			list := s.works("flow-throttle", "")
			require.Len(s, list, 5)
			wantRate(s.T, list, sent, 500*time.Millisecond, s.atOnce(2))
			many, one := s.works("flow-burst", "many"), s.works("flow-burst", "one")
			require.Len(s, many, 6)
			wantRate(s.T, many, then, 500*time.Millisecond, 4)
			require.Less(s, one[0].T, many[5].T, "a key waits for no other")
		},
	},
	{
		name: "row 92 rate limit: one in a period, each key for itself",
		play: func(s stage) {
			ids, _ := s.flow("flow-rate", op{"n": 1, "key": "a"}, op{"n": 2, "key": "a"}, op{"n": 3, "key": "b"}, op{"n": 4, "key": "a"})
			over := time.After(time.Second)
			require.Equal(s, []int{1, 0, 1, 0}, s.counts(ids))
			var stored struct{ Name string }
			require.NoError(s, s.p.get("/v1/events/"+ids[1], &stored))
			require.Equal(s, s.name("flow-rate"), stored.Name, "the event itself is there")
			<-over
			again, _ := s.flow("flow-rate", op{"n": 5, "key": "a"})
			s.completed(ids[0], ids[2], again[0])
			require.ElementsMatch(s, [][]int{{1}, {5}}, numbers(s.works("flow-rate", "a")))
			require.Equal(s, [][]int{{3}}, numbers(s.works("flow-rate", "b")))
		},
	},
	{
		name: "rate limit: a tenth of the limit and one at once",
		play: func(s stage) {
			ids, _ := s.flow("flow-rate-many", each(10, nil)...)
			require.Equal(s, []int{1, 1, 1, 0, 0, 0, 0, 0, 0, 0}, s.counts(ids))
			s.completed(ids[:3]...)
			require.Len(s, s.works("flow-rate-many", ""), 3)
		},
	},
	{
		name: "rows 94, 95 and 97 debounce: one run for the last event, after its time, each key for itself",
		play: func(s stage) {
			now := time.Now()
			first, other, _ := s.apart("flow-debounce", "older", time.Second,
				op{"n": 1, "ts": now}, op{"n": 2, "ts": now.Add(-time.Second)})
			last, ids, before := s.apart("flow-debounce", "last", time.Second, op{"n": 1}, op{"n": 2}, op{"n": 3})
			s.completed(other[0], ids[2])
			require.Equal(s, []int{1, 0}, s.counts(other), "the second is older than the first")
			require.Equal(s, [][]int{{1}}, numbers(s.works("flow-debounce", first)))
			require.Equal(s, []int{0, 0, 1}, s.counts(ids))
			list := s.works("flow-debounce", last)
			require.Equal(s, [][]int{{3}}, numbers(list))
			require.GreaterOrEqual(s, list[0].T, before.Add(time.Second).UnixMilli(), "each event begins the time anew")
		},
	},
	{
		name: "row 96 debounce: a timeout ends it although events keep coming",
		play: func(s stage) {
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			var ids []string
			began, seen, pause := time.Time{}, time.Now(), time.Duration(0)
			for end := time.Now().Add(patience); len(s.works("flow-debounce-cap", "")) == 0; <-tick.C {
				require.True(s, time.Now().Before(end), "no run after %d events", len(ids))
				id, before := s.flow("flow-debounce-cap", op{"n": len(ids), "key": "cap"})
				if ids == nil {
					began = before
				} else {
					pause = max(pause, time.Since(seen))
				}
				ids, seen = append(ids, id...), before
			}
			first := s.works("flow-debounce-cap", "")[0]
			if pause < time.Second { // else the time may have been over between two events
				require.GreaterOrEqual(s, first.T, began.Add(2*time.Second).UnixMilli())
			}
			s.completed(ids[first.Data[0].N])
			last := len(ids) - 1
			if last > first.Data[0].N { // came after that: they have a run of their own
				s.completed(ids[last])
				require.Equal(s, [][]int{{first.Data[0].N}, {last}}, numbers(s.works("flow-debounce-cap", "")))
			}
		},
	},
	{
		name: "row 100 priority: who comes first among those that wait",
		play: func(s stage) {
			now := s.busy("flow-priority", "priority", op{"n": 0})
			ids, _ := s.flow("flow-priority", op{"n": 1}, op{"n": 2}, op{"n": 3}, op{"n": 4, "vip": true})
			for _, id := range ids {
				require.Contains(s, s.p.held(s.p.awaitRuns(id, 1)[0].ID), "as its concurrency allows")
			}
			s.open("priority")
			s.end(now).completed(s.T, "[0]")
			s.completed(ids...)
			require.Equal(s, [][]int{{0}, {4}, {1}, {2}, {3}}, numbers(s.works("flow-priority", "")))
		},
	},
	{
		name: "rows 98 and 99 batch: by size, by time, by key, and who goes alone",
		play: func(s stage) {
			data := append(each(4, op{"key": "a"}), op{"n": 5, "key": "b"}, op{"n": 6, "key": "a", "alone": true})
			ids, sent := s.flow("flow-batch", data...)
			require.Equal(s, 1, s.counts(ids[5:])[0], "a run of its own at once")
			s.completed(ids[0], ids[3], ids[4], ids[5])
			list := append(s.works("flow-batch", "a"), s.works("flow-batch", "b")...)
			require.ElementsMatch(s, [][]int{{1, 2, 3}, {4}, {5}, {6}}, numbers(list))
			for _, w := range list {
				if n := w.Data[0].N; n == 4 || n == 5 {
					require.GreaterOrEqual(s, w.T, sent.Add(time.Second).UnixMilli(), "event %d waits for others", n)
				}
			}
		},
	},
	{
		name: "rows 101 and 103 singleton: skip who comes meanwhile, each key for itself",
		play: func(s stage) {
			first := s.busy("flow-skip", "skip", op{"n": 1, "key": "a"})
			second := s.start("flow-skip", op{"n": 2, "key": "a"})
			require.Equal(s, "Skipped", second.Status)
			require.Contains(s, string(second.Output), first.ID, "it names the run in progress")
			s.end(s.start("flow-skip", op{"n": 3, "key": "b"})).completed(s.T, "[3]")
			s.open("skip")
			s.end(first).completed(s.T, "[1]")
			s.end(s.start("flow-skip", op{"n": 4, "key": "a"})).completed(s.T, "[4]")
			require.Equal(s, [][]int{{1}, {4}}, numbers(s.works("flow-skip", "a")))
		},
	},
	{
		name: "rows 102 and 103 singleton: cancel who is in the way, each key for itself",
		play: func(s stage) {
			first := s.busy("flow-cancel", "cancel", op{"n": 1, "key": "a"})
			other := s.busy("flow-cancel", "cancel", op{"n": 2, "key": "b"})
			s.end(s.start("flow-cancel", op{"n": 3, "key": "a"})).completed(s.T, "[3]")
			s.end(first).cancelled(s.T)
			s.open("cancel")
			s.end(other).completed(s.T, "[2]")
			require.Equal(s, "Cancelled", s.p.await(first.ID).Status, "its late answer changes nothing")
			require.Equal(s, [][]int{{1}, {3}}, numbers(s.works("flow-cancel", "a")))
		},
	},
	{
		name: "rows 68 and 93 idempotency: one run for a value, also invoked",
		play: func(s stage) {
			ids, _ := s.flow("flow-once", op{"n": 1, "order": "x"}, op{"n": 2, "order": "x"}, op{"n": 3, "order": "y"})
			require.Equal(s, []int{1, 0, 1}, s.counts(ids))
			_, err := s.invoke("flow-once", op{"n": 4, "order": "x"})
			refused(s.T, err, http.StatusUnprocessableEntity, "idempotency")
			run, err := s.invoke("flow-once", op{"n": 5, "order": "z"})
			require.NoError(s, err)
			require.Equal(s, "Completed", s.p.await(run).Status)
			s.end(s.start("invoke", op{"fn": "flow-once", "n": 6})).completed(s.T, `{"got":[6]}`)
			again := s.end(s.start("invoke", op{"fn": "flow-once", "n": 7}))
			require.Contains(s, string(again.run.Output), "invoked function is rate limited", "none is a value too")
			require.ElementsMatch(s, [][]int{{1}, {3}, {5}, {6}}, numbers(s.works("flow-once", "")))
		},
	},
	{
		name: "invokes stand under the same limits",
		play: func(s stage) {
			first, err := s.invoke("flow-one", op{"n": 1, "hold": "one"})
			require.NoError(s, err)
			s.working(first)
			second, err := s.invoke("flow-one", op{"n": 2})
			require.NoError(s, err)
			require.Contains(s, s.p.held(second), "as many requests of "+s.a.sdk.name+"-flow-one are open as its concurrency allows")
			third := s.start("invoke", op{"fn": "flow-one", "n": 3})
			s.p.resting(third.ID, "call")

			single, err := s.invoke("flow-skip", op{"n": 10, "key": "invoked", "hold": "one"})
			require.NoError(s, err)
			_, err = s.invoke("flow-skip", op{"n": 11, "key": "invoked"})
			refused(s.T, err, http.StatusUnprocessableEntity, "singleton")

			_, err = s.invoke("flow-rate", op{"n": 20, "key": "invoked"})
			require.NoError(s, err)
			_, err = s.invoke("flow-rate", op{"n": 21, "key": "invoked"})
			refused(s.T, err, http.StatusUnprocessableEntity, "rate limit")

			s.open("one")
			for _, run := range []string{first, second, third.ID, single} {
				require.Equal(s, "Completed", s.p.await(run).Status)
			}
			list := s.works("flow-one", "")
			require.Len(s, list, 3)
			require.Equal(s, 1, peak(spans(list)))
		},
	},
	{
		name: "row 69 invokes wait for a debounce, a batch and a throttle as events do",
		play: func(s stage) {
			invoke := func(fn string, data op) string {
				run, err := s.invoke(fn, data)
				require.NoError(s, err)
				return run
			}
			step := s.start("invoke", op{"fn": "flow-debounce", "n": 5})
			sent := time.Now().Truncate(time.Millisecond)
			for n := 6; n <= 7; n++ { // which run they become is not known yet
				_, err := s.invoke("flow-debounce", op{"n": n, "key": "invoked"})
				refused(s.T, err, http.StatusUnprocessableEntity, "function_debounced")
			}
			batch := invoke("flow-batch", op{"n": 8, "key": "invoked"})
			require.Equal(s, batch, invoke("flow-batch", op{"n": 9, "key": "invoked"}), "both get the batch's run")
			for n := range 3 {
				invoke("flow-throttle-slow", op{"n": n})
			}
			o := s.end(step)
			o.completed(s.T, `{"got":[5]}`)
			require.GreaterOrEqual(s, o.between(s.T, "before", "after"), int64(1000))
			s.awaitWorks("flow-debounce", "invoked", 1)
			require.Equal(s, [][]int{{7}}, numbers(s.works("flow-debounce", "invoked")))
			both := s.p.await(batch)
			require.Equal(s, "Completed", both.Status)
			require.JSONEq(s, "[8,9]", string(both.Output))
			s.awaitWorks("flow-throttle-slow", "", 3)
			wantRate(s.T, s.works("flow-throttle-slow", ""), sent, time.Second, s.atOnce(1))
		},
	},
	{
		name: "rate limit, throttle, concurrency by key, and priority on one function",
		play: func(s stage) {
			sent := time.Now().Truncate(time.Millisecond)
			now := s.busy("flow-mixed", "mixed", op{"n": 0, "key": "k", "order": "z"})
			ids, _ := s.flow("flow-mixed",
				op{"n": 1, "key": "k", "order": "a"}, op{"n": 2, "key": "k", "order": "a"}, op{"n": 3, "key": "k", "order": "b"},
				op{"n": 4, "key": "m", "order": "c", "ms": 200}, op{"n": 5, "key": "m", "order": "c"}, op{"n": 6, "key": "k", "order": "d", "vip": true})
			require.Equal(s, []int{1, 0, 1, 1, 0, 1}, s.counts(ids))
			s.p.held(s.p.runs(ids[5])[0].ID)
			s.completed(ids[3]) // of another key
			s.open("mixed")
			s.end(now).completed(s.T, "[0]")
			s.completed(ids[0], ids[2], ids[5])
			list := s.works("flow-mixed", "")
			require.Len(s, list, 5)
			wantRate(s.T, list, sent, 500*time.Millisecond, 3)
			require.LessOrEqual(s, peak(spans(list)), 2)
			k := s.works("flow-mixed", "k")
			require.Equal(s, 1, peak(spans(k)))
			require.Equal(s, [][]int{{0}, {6}, {1}, {3}}, numbers(k))
		},
	},
	{
		name: "batch, throttle and concurrency on one function",
		play: func(s stage) {
			ids, sent := s.flow("flow-batch-mixed", each(5, op{"ms": 100})...)
			s.completed(ids[0], ids[2], ids[4])
			list := s.works("flow-batch-mixed", "")
			require.ElementsMatch(s, [][]int{{1, 2}, {3, 4}, {5}}, numbers(list))
			wantRate(s.T, list, sent, time.Second, 2)
			require.Equal(s, 1, peak(spans(list)))
		},
	},
	{
		name: "debounce and singleton on one function",
		play: func(s stage) {
			ids, _ := s.flow("flow-debounce-mixed", op{"n": 1, "key": "a", "hold": "settled"})
			first := s.p.awaitRuns(ids[0], 1)[0]
			s.working(first.ID)
			second, _ := s.flow("flow-debounce-mixed", op{"n": 2, "key": "a"})
			require.Equal(s, []int{0}, s.counts(second))
			require.Equal(s, "Skipped", s.p.outcome(second[0], 1)[0].Status)
			s.open("settled")
			s.end(first).completed(s.T, "[1]")
			third, _ := s.flow("flow-debounce-mixed", op{"n": 3, "key": "a"})
			s.completed(third...)
			require.Equal(s, [][]int{{1}, {3}}, numbers(s.works("flow-debounce-mixed", "")))
		},
	},
}

// TestFlow plays each kind of flow control, and some together, with apps of two
// SDKs on one server. What is judged is when the apps' own code ran.
func TestFlow(t *testing.T) {
	p, apps := startFlow(t)
	t.Run("kinds", func(t *testing.T) {
		t.Run("row 85 concurrency: functions and apps that share a limit", func(t *testing.T) {
			t.Parallel()
			p := *p
			p.t = t
			sharedLimits(t, &p, apps)
		})
		for _, tr := range flowTrials {
			for _, a := range apps {
				t.Run(tr.name+"/"+a.sdk.name, func(t *testing.T) {
					t.Parallel()
					p := *p
					p.t = t
					tr.play(stage{t, &p, a})
				})
			}
		}
	})
	for _, a := range apps {
		t.Run("what the SDK registers/"+a.sdk.name, func(t *testing.T) { registered(t, p, a) })
		lines := a.log.lines(t, "")
		require.Empty(t, repeated(lines), "bodies started although their result was saved")
		require.Empty(t, forgotten(lines), "requests that lacked a saved step")
	}
	p.stop()
	p.wantSound()
}

// registered: what authors write in the same way is not sent in the same way by
// all SDKs; docs/SDKS.md says what it comes to.
func registered(t *testing.T, p *pawl, a *app) {
	for fn, want := range map[string]map[sdk]string{
		"flow-throttle":     {ts4: `{"throttle":{"limit":2,"period":"1s"}}`, py: `{"throttle":{"limit":2,"period":"1s","burst":1}}`},
		"flow-debounce-cap": {a.sdk: `{"debounce":{"period":"1s","timeout":"2s","key":"event.data.key"}}`},
		"flow-skip":         {a.sdk: `{"singleton":{"mode":"skip","key":"event.data.key"}}`},
		"flow-once":         {a.sdk: `{"idempotency":"event.data.order"}`},
		"flow-batch": {
			a.sdk: `{"eventsBatch":{"maxSize":3,"timeout":"1s","key":"event.data.key","if":"event.data.alone != true"}}`,
		},
		"flow-rate-many": {a.sdk: `{"rateLimit":{"limit":20,"period":"1m"}}`},
		"flow-one":       {a.sdk: `{"concurrency":[{"limit":{"value":1,"isPlanLimit":false}}]}`},
	} {
		var f struct{ Configuration map[string]any }
		require.NoError(t, p.get("/v2/apps/"+a.sdk.name+"/functions/"+fn, &f))
		delete(f.Configuration, "retries")
		got, err := json.Marshal(f.Configuration)
		require.NoError(t, err)
		require.JSONEq(t, want[a.sdk], string(got), fn)
	}
}

// sharedLimits: four functions of two apps have one limit of the environment,
// and four have one of the account, with which each compares its own number.
func sharedLimits(t *testing.T, p *pawl, apps []*app) {
	var events []event
	for n := range 2 {
		events = append(events, event{Name: "flow/env", Data: op{"n": n, "ms": 100}},
			event{Name: "flow/account", Data: op{"n": n, "key": "k", "ms": 100}})
	}
	for _, id := range p.send(events...) {
		for _, run := range p.outcome(id, 4) {
			require.Equal(t, "Completed", run.Status, "output %s", run.Output)
		}
	}
	var env, account, strict []*work
	for _, a := range apps {
		lines := a.log.lines(t, "")
		env = slices.Concat(env, works(lines, "flow-env-a"), works(lines, "flow-env-b"))
		account = slices.Concat(account, works(lines, "flow-account-a"), works(lines, "flow-account-b"))
		strict = append(strict, works(lines, "flow-account-b")...)
	}
	require.Len(t, env, 8)
	require.Equal(t, 1, peak(spans(env)))
	require.Len(t, account, 8)
	require.LessOrEqual(t, peak(spans(account)), 2)
	require.Equal(t, 1, peak(spans(strict)))

	one, other := stage{t, p, apps[0]}, stage{t, p, apps[1]}
	invoke := func(s stage, fn string, data op) string {
		run, err := s.invoke(fn, data)
		require.NoError(t, err)
		return run
	}
	first := invoke(one, "flow-account-a", op{"n": 1, "key": "held", "hold": "account"})
	one.working(first)
	waits := invoke(other, "flow-account-b", op{"n": 2, "key": "held"})
	require.Contains(t, p.held(waits), "the concurrency that functions share")
	for _, run := range []string{
		invoke(other, "flow-account-a", op{"n": 3, "key": "held"}),
		invoke(one, "flow-account-b", op{"n": 4, "key": "another"}),
	} {
		require.Equal(t, "Completed", p.await(run).Status, "there is room for it")
	}
	p.held(waits)
	one.open("account")
	for _, run := range []string{first, waits} {
		require.Equal(t, "Completed", p.await(run).Status)
	}
}

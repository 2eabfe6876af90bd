package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// trial is a scenario in which something must happen while the run goes on.
type trial struct {
	name string // what is shown, with the rows it covers
	not  []sdk  // SDKs that cannot express it
	main bool   // also worth a run with keys
	play func(s stage)
}

// stage is where a trial is played.
type stage struct {
	*testing.T
	p *pawl
	a *app
}

// name is an event of the stage's app.
func (s stage) name(event string) string { return s.a.sdk.name + "/" + event }

// start sends a function's event and returns the run that it starts.
func (s stage) start(fn string, data op) runInfo {
	s.Helper()
	return s.p.awaitRuns(s.p.send(event{Name: s.name(fn), Data: data})[0], 1)[0]
}

// send sends an event of the stage's app.
func (s stage) send(name string, data op) string {
	s.Helper()
	return s.p.send(event{Name: s.name(name), Data: data})[0]
}

// end waits until a run has ended.
func (s stage) end(run runInfo) outcome {
	s.Helper()
	run = s.p.await(run.ID)
	return outcome{s.p, s.a, []runInfo{run}, run, s.a.log.lines(s.T, run.ID)}
}

// settle returns when all is done that was due before.
func (s stage) settle() {
	s.Helper()
	s.end(s.start("nostep", op{"n": 1})).completed(s.T, `{"n":1}`)
}

// resting waits until a step of a run sleeps or waits for something.
func (p *pawl) resting(runID, step string) {
	p.t.Helper()
	eventually(p.t, patience, func() error {
		steps, err := p.trySteps(runID)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(steps, func(st stepInfo) bool {
			return st.Step == stepHash(step) && (st.Status == "sleeping" || st.Status == "waiting")
		}) {
			return fmt.Errorf("step %q of run %s does not rest: %+v", step, runID, steps)
		}
		return nil
	})
}

// signal sends a signal and returns the run that it reached.
func (p *pawl) signal(name string, data any) (run string, err error) {
	body, err := json.Marshal(op{"signal": name, "data": data})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequest("POST", p.url+"/v1/signals", strings.NewReader(string(body)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+signingKey)
	var answer struct {
		Data struct {
			RunID string `json:"run_id"`
		}
	}
	err = do(req, &answer)
	return answer.Data.RunID, err
}

// told waits for the run of a watcher that was told of the end of another run.
func (s stage) told(watcher, runID string) {
	s.Helper()
	var about []string
	eventually(s.T, patience, func() error {
		about = s.about(watcher)
		if !slices.Contains(about, runID) {
			return fmt.Errorf("%s was not told of the end of run %s", watcher, runID)
		}
		return nil
	})
	slices.Sort(about)
	require.Len(s, slices.Compact(slices.Clone(about)), len(about), "each end is told once, row 47")
}

// about returns the runs that the events of a function's runs are about.
func (s stage) about(fn string) (ids []string) {
	s.Helper()
	for _, run := range s.p.allRuns(s.a.sdk.name + "-" + fn) {
		var e struct {
			Data struct {
				Run string `json:"run_id"`
			}
		}
		require.NoError(s, s.p.get("/v1/events/"+run.EventID, &e))
		ids = append(ids, e.Data.Run)
	}
	return ids
}

// lasted is how long a run was there before it ended.
func (o outcome) lasted(t *testing.T) time.Duration {
	t.Helper()
	require.NotNil(t, o.run.Ended)
	return o.run.Ended.Sub(o.run.Queued)
}

// cancelled wants the run to have been cancelled.
func (o outcome) cancelled(t *testing.T) {
	t.Helper()
	require.Equal(t, "Cancelled", o.run.Status, "output %.500s", o.run.Output)
	require.NotNil(t, o.run.Ended)
}

// never wants a step's body not to have started.
func (o outcome) never(t *testing.T, step string) {
	t.Helper()
	require.Empty(t, attempts(o.log, step), "attempts of the body of %q", step)
}

// The SDKs round a sleep or timeout up or send it as it is, so that none ends
// early. What comes late is only bounded to tell a wait from a hang.
const late = 10_000

var trials = []trial{
	{
		name: "row 51 a wait ends with the whole event", main: true,
		play: func(s stage) {
			run := s.start("wait", op{"key": "whole"})
			s.p.resting(run.ID, "for")
			s.send("paid", op{"key": "another"})
			id := s.p.send(event{Name: s.name("paid"), Data: op{"key": "whole", "by": "card"}, TS: 1795312880000})[0]
			o := s.end(run)
			require.Equal(s, "Completed", o.run.Status, "output %s", o.run.Output)
			var got struct {
				Name, ID string
				Data     json.RawMessage
				TS       int64
			}
			require.NoError(s, json.Unmarshal(o.run.Output, &got))
			require.Equal(s, s.name("paid"), got.Name)
			require.Equal(s, id, got.ID)
			require.Equal(s, int64(1795312880000), got.TS)
			require.JSONEq(s, `{"key":"whole","by":"card"}`, string(got.Data))
			require.Equal(s, 2, s.a.rec.of(run.ID).calls, "requests")
		},
	},
	{
		name: "row 53 only an event that meets the condition ends a wait", main: true,
		play: func(s stage) {
			run := s.start("wait-if", op{"key": "if"})
			s.p.resting(run.ID, "for")
			s.send("paid-if", op{"key": "if", "n": 5})
			s.send("paid-if", op{"key": "other", "n": 7})
			s.send("paid-if", op{"n": 8})
			s.settle()
			s.p.resting(run.ID, "for")
			s.send("paid-if", op{"key": "if", "n": 6})
			o := s.end(run)
			o.completed(s.T, `6`)
			o.bodies(s.T, "before", 0)
			o.bodies(s.T, "after", 0)
		},
	},
	{
		name: "rows 52 and 54 an event from before the wait is not used, and it times out", main: true,
		play: func(s stage) {
			s.send("early", op{"key": "early"})
			o := s.end(s.start("wait-timeout", op{"key": "early"}))
			o.completed(s.T, `{"got":null}`)
			waited := o.between(s.T, "before", "after")
			require.GreaterOrEqual(s, waited, int64(2000))
			require.Less(s, waited, int64(2000+late))
		},
	},
	{
		name: "row 55 a run's own trigger does not end its wait",
		play: func(s stage) {
			o := s.end(s.start("wait-own", nil))
			o.completed(s.T, `{"got":null}`)
			require.GreaterOrEqual(s, o.between(s.T, "before", "after"), int64(2000))
		},
	},
	{
		name: "row 56 one event ends the waits of fifty runs, each once", main: true,
		play: func(s stage) {
			const n = 50
			var events []event
			for range n {
				events = append(events, event{Name: s.name("wait-all")})
			}
			var runs []runInfo
			for _, id := range s.p.send(events...) {
				runs = append(runs, s.p.awaitRuns(id, 1)[0])
			}
			for _, run := range runs {
				s.p.resting(run.ID, "for")
			}
			s.send("all-go", op{"n": 9})
			for _, run := range runs {
				o := s.end(run)
				o.completed(s.T, `9`)
				o.bodies(s.T, "after", 0)
			}
		},
	},
	{
		name: "row 58 a condition that does not compile fails the run at once", main: true,
		play: func(s stage) {
			o := s.end(s.start("wait-bad", op{"key": "bad"}))
			o.failed(s.T, "InvalidExpression")
			require.Equal(s, 1, s.a.rec.of(o.run.ID).calls, "requests")
		},
	},
	{
		name: "row 59 conditions that fail to evaluate hold up nobody",
		play: func(s stage) {
			const n = 100
			var events []event
			for i := range n + 1 {
				events = append(events, event{Name: s.name("wait-brittle"), Data: op{"good": i == n/2}})
			}
			var runs []runInfo
			for _, id := range s.p.send(events...) {
				runs = append(runs, s.p.awaitRuns(id, 1)[0])
			}
			for _, run := range runs {
				s.p.resting(run.ID, "for")
			}
			s.send("brittle-go", op{"text": "x"})
			s.end(runs[n/2]).completed(s.T, `"x"`)
			s.send("brittle-go", op{"text": "4"})
			for i, run := range runs {
				if i != n/2 {
					s.end(run).completed(s.T, `"4"`)
				}
			}
		},
	},
	{
		name: "row 60 a wait catches the event that a step beside it sends", main: true,
		play: func(s stage) {
			s.end(s.start("wait-beside", op{"key": "beside"})).completed(s.T, `42`)
		},
	},
	{
		name: "rows 61 and 62 a signal reaches the run that waits for it, once", not: []sdk{py}, main: true,
		play: func(s stage) {
			noWaiter := func() {
				_, err := s.p.signal("row-61", nil)
				var refused *apiError
				require.ErrorAs(s, err, &refused)
				require.Equal(s, http.StatusNotFound, refused.status)
			}
			noWaiter()
			run := s.start("signal", op{"signal": "row-61"})
			s.p.resting(run.ID, "for")
			reached, err := s.p.signal("row-61", op{"a": 1})
			require.NoError(s, err)
			require.Equal(s, run.ID, reached)
			o := s.end(run)
			o.completed(s.T, `{"got":{"signal":"row-61","data":{"a":1}}}`)
			o.bodies(s.T, "after", 0)
			noWaiter()
		},
	},
	{
		name: "row 61 a step sends the signal, also when nobody waits", not: []sdk{py}, main: true,
		play: func(s stage) {
			waiting := s.start("signal", op{"signal": "from-step"})
			s.p.resting(waiting.ID, "for")
			s.end(s.start("send-signal", op{"signal": "from-step", "data": op{"b": 2}})).completed(s.T, `"sent"`)
			s.end(waiting).completed(s.T, `{"got":{"signal":"from-step","data":{"b":2}}}`)
			s.end(s.start("send-signal", op{"signal": "from-step"})).completed(s.T, `"sent"`)
		},
	},
	{
		name: "a signal that does not come in time is null", not: []sdk{py},
		play: func(s stage) {
			o := s.end(s.start("signal", op{"signal": "never", "timeout": "2s"}))
			o.completed(s.T, `{"got":null}`)
			require.GreaterOrEqual(s, o.lasted(s.T), 2*time.Second)
		},
	},
	{
		name: "row 63 the second run that waits for a signal fails", not: []sdk{py},
		play: func(s stage) {
			first := s.start("signal", op{"signal": "mine"})
			s.p.resting(first.ID, "for")
			s.end(s.start("signal", op{"signal": "mine"})).failed(s.T, "Signal conflict; signal wait already exists for another run")
			reached, err := s.p.signal("mine", "x")
			require.NoError(s, err)
			require.Equal(s, first.ID, reached)
			s.end(first).completed(s.T, `{"got":{"signal":"mine","data":"x"}}`)
		},
	},
	{
		name: "row 63 or takes the signal over", not: []sdk{py},
		play: func(s stage) {
			first := s.start("signal", op{"signal": "taken", "timeout": "5s"})
			s.p.resting(first.ID, "for")
			second := s.start("signal", op{"signal": "taken", "conflict": "replace"})
			s.p.resting(second.ID, "for")
			reached, err := s.p.signal("taken", 1)
			require.NoError(s, err)
			require.Equal(s, second.ID, reached)
			s.end(second).completed(s.T, `{"got":{"signal":"taken","data":1}}`)
			o := s.end(first)
			o.completed(s.T, `{"got":null}`)
			require.GreaterOrEqual(s, o.lasted(s.T), 5*time.Second)
		},
	},
	{
		name: "row 64 an invoked function returns to its caller", main: true,
		play: func(s stage) {
			o := s.end(s.start("invoke", op{"fn": "double", "n": 21}))
			o.completed(s.T, fmt.Sprintf(`{"got":{"n":42,"from":%q}}`, s.a.sdk.name))
			o.bodies(s.T, "before", 0)
			o.bodies(s.T, "after", 0)
			require.GreaterOrEqual(s, o.between(s.T, "before", "after"), int64(1000), "the callee sleeps")
		},
	},
	{
		name: "row 65 a callee's error is the caller's to catch", main: true,
		play: func(s stage) {
			o := s.end(s.start("invoke", op{"fn": "no-stock", "n": 1}))
			require.Equal(s, "Completed", o.run.Status, "output %s", o.run.Output)
			require.Contains(s, string(o.run.Output), "nothing in stock")
			o.bodies(s.T, "after", 0)
		},
	},
	{
		name: "row 65 or it fails the caller, without further attempts",
		play: func(s stage) {
			o := s.end(s.start("invoke-uncaught", nil))
			o.failed(s.T, "nothing in stock")
			require.Equal(s, 2, s.a.rec.of(o.run.ID).calls, "requests")
		},
	},
	{
		name: "row 66 a caller does not wait for a slow callee longer than it says", main: true,
		play: func(s stage) {
			o := s.end(s.start("invoke", op{"fn": "unhurried", "n": 1, "timeout": "1s"}))
			require.Equal(s, "Completed", o.run.Status, "output %s", o.run.Output)
			require.Contains(s, string(o.run.Output), "Timed out waiting for invoked function to complete")
			waited := o.between(s.T, "before", "after")
			require.GreaterOrEqual(s, waited, int64(1000))
			require.Less(s, waited, int64(4000), "the callee takes 4 s")
			callee := s.callee(o.run, "unhurried")
			s.end(callee).completed(s.T, `"at last"`)
		},
	},
	{
		name: "row 67 invoking a function that is not there is an error at once",
		play: func(s stage) {
			o := s.end(s.start("invoke", op{"fn": "nobody", "n": 1}))
			require.Equal(s, "Completed", o.run.Status, "output %s", o.run.Output)
			require.Contains(s, string(o.run.Output), "could not find function with ID: "+s.a.sdk.name+"-nobody")
			require.Less(s, o.between(s.T, "before", "after"), int64(late))
		},
	},
	{
		name: "row 78 a cancelled callee ends the caller's step", main: true,
		play: func(s stage) {
			run := s.start("invoke", op{"fn": "unhurried", "n": 1})
			s.p.resting(run.ID, "call")
			callee := s.callee(run, "unhurried")
			require.NoError(s, s.p.cancel(callee.ID))
			o := s.end(run)
			require.Equal(s, "Completed", o.run.Status, "output %s", o.run.Output)
			require.Contains(s, string(o.run.Output), "was cancelled")
			require.Less(s, o.between(s.T, "before", "after"), int64(4000), "the callee would take 4 s")
			s.end(callee).cancelled(s.T)
		},
	},
	{
		name: "row 78 a cancelled caller leaves its callee alone",
		play: func(s stage) {
			run := s.start("invoke", op{"fn": "unhurried", "n": 1})
			s.p.resting(run.ID, "call")
			callee := s.callee(run, "unhurried")
			require.NoError(s, s.p.cancel(run.ID))
			s.end(callee).completed(s.T, `"at last"`)
			s.settle()
			o := s.end(run)
			o.cancelled(s.T)
			o.never(s.T, "after")
		},
	},
	{
		name: "rows 71 to 73 and 77 cancelOn with match, if and timeout", main: true,
		play: func(s stage) {
			s.send("stop", op{"key": "c"}) // row 72: too early
			a, b, c := s.start("cancel-on", op{"key": "a"}), s.start("cancel-on", op{"key": "b"}), s.start("cancel-on", op{"key": "c"})
			s.send("stop-if", op{"key": "b", "n": 5})
			for _, run := range []runInfo{a, b, c} {
				s.p.resting(run.ID, "nap")
			}
			s.send("stop", op{"key": "a"})
			s.send("stop-if", op{"key": "b", "n": 6})
			for _, run := range []runInfo{a, b} {
				o := s.end(run)
				o.cancelled(s.T)
				require.Less(s, o.lasted(s.T), 5*time.Second, "the nap takes 5 s")
			}
			<-time.After(time.Until(c.Queued.Add(1001 * time.Millisecond)))
			s.send("stop-soon", op{"key": "c"}) // row 73: too late
			o := s.end(c)
			o.completed(s.T, `"undisturbed"`)
			require.GreaterOrEqual(s, o.between(s.T, "before", "after"), int64(5000))

			// The others would have woken before c.
			s.settle()
			for _, run := range []runInfo{a, b} {
				o := s.end(run)
				o.cancelled(s.T)
				o.never(s.T, "after")
				s.told("told-cancelled", run.ID)
				s.told("told-finished", run.ID)
			}
			s.told("told-finished", c.ID)
			require.NotContains(s, s.about("told-cancelled"), c.ID)
			require.Empty(s, attempts(s.a.log.lines(s.T, ""), "handle-cancel"), "runs of the failure handler")
		},
	},
	{
		name: "row 73 cancelOn in time",
		play: func(s stage) {
			run := s.start("cancel-on", op{"key": "soon"})
			id := s.send("stop-soon", op{"key": "soon"})
			var sent struct {
				Received time.Time `json:"received_at"`
			}
			require.NoError(s, s.p.get("/v1/events/"+id, &sent))
			o := s.end(run)
			if sent.Received.Before(run.Queued.Add(time.Second)) {
				o.cancelled(s.T)
			}
		},
	},
	{
		name: "row 74 cancelled during a request, its later steps never run", main: true,
		play: func(s stage) {
			run := s.start("slow", nil)
			s.a.log.await(s.T, started(run.ID, "second"))
			require.NoError(s, s.p.cancel(run.ID))
			s.end(run).cancelled(s.T)
			s.a.log.await(s.T, func(ln line) bool { return ln.Run == run.ID && ln.What == "end" && ln.Step == "second" })
			s.settle()
			o := s.end(run)
			o.cancelled(s.T)
			require.JSONEq(s, `null`, string(o.run.Output))
			o.bodies(s.T, "first", 0)
			o.bodies(s.T, "second", 0)
			o.never(s.T, "third")
		},
	},
	{
		name: "row 79 a run that has not started in time is cancelled without a request",
		play: func(s stage) {
			due := time.Now().Add(4 * time.Second)
			run := s.p.awaitRuns(s.p.send(event{Name: s.name("timeout-start"), TS: due.UnixMilli()})[0], 1)[0]
			o := s.end(run)
			o.cancelled(s.T)
			require.GreaterOrEqual(s, o.lasted(s.T), time.Second)
			require.True(s, o.run.Ended.Before(due), "ended at %v, which is after its start", o.run.Ended)
			<-time.After(time.Until(due))
			s.settle()
			require.Zero(s, s.a.rec.of(run.ID).calls, "requests")
			s.end(s.start("timeout-start", nil)).completed(s.T, `1`)
		},
	},
	{
		name: "row 80 a run that takes too long is cancelled between its steps", main: true,
		play: func(s stage) {
			o := s.end(s.start("timeout-finish", nil))
			o.cancelled(s.T)
			require.NotNil(s, o.run.Started)
			took := o.run.Ended.Sub(*o.run.Started)
			require.GreaterOrEqual(s, took, 4*time.Second)
			require.Less(s, took, 8*time.Second, "its steps take 9 s")
			s.a.log.await(s.T, func(ln line) bool { return ln.Run == o.run.ID && ln.What == "end" && ln.Step == "t2" })
			s.settle()
			s.end(o.run).never(s.T, "t3")
		},
	},
	{
		name: "row 81 or in the middle of a sleep",
		play: func(s stage) {
			o := s.end(s.start("timeout-nap", nil))
			o.cancelled(s.T)
			require.NotNil(s, o.run.Started)
			took := o.run.Ended.Sub(*o.run.Started)
			require.GreaterOrEqual(s, took, 2*time.Second)
			require.Less(s, took, 2*time.Second+late*time.Millisecond)
		},
	},
	{
		name: "row 45 a failure handler may wait and sleep, and runs once",
		play: func(s stage) {
			failed := s.end(s.start("fail-wait", nil))
			failed.failed(s.T, "ask somebody")
			asked := s.a.log.await(s.T, started(s.handlerOf(failed.run), "ask"))
			s.p.resting(asked.Run, "for")
			s.send("advice", op{"about": "another run", "say": "no"})
			s.send("advice", op{"about": failed.run.ID, "say": "try again"})
			o := s.end(runInfo{ID: asked.Run})
			o.completed(s.T, `"try again"`)
			o.bodies(s.T, "ask", 0)
			o.bodies(s.T, "advised", 0)
			require.Len(s, s.p.allRuns(s.a.sdk.name+"-fail-wait-failure"), 1)
		},
	},
	{
		name: "row 70 an event whose acknowledgement is lost has one effect", main: true,
		play: func(s stage) {
			s.a.rec.loseAcknowledgement(s.name("told-once"))
			o := s.end(s.start("once", nil))
			o.completed(s.T, `"told"`)
			require.Equal(s, 2, s.a.rec.of(o.run.ID).sends, "times that the SDK sent the event")
			told := s.p.allRuns(s.a.sdk.name + "-told-once")
			require.Len(s, told, 1)
			s.end(told[0]).completed(s.T, `5`)
		},
	},
}

// callee waits for the run of fn that a step of caller invoked.
func (s stage) callee(caller runInfo, fn string) (found runInfo) {
	s.Helper()
	eventually(s.T, patience, func() error {
		for _, run := range s.p.allRuns(s.a.sdk.name + "-" + fn) {
			var e struct {
				Data struct {
					Meta struct {
						Correlation string `json:"correlation_id"`
					} `json:"_inngest"`
				}
			}
			if err := s.p.get("/v1/events/"+run.EventID, &e); err != nil {
				return err
			}
			if e.Data.Meta.Correlation == caller.ID+"."+stepHash("call") {
				found = run
				return nil
			}
		}
		return fmt.Errorf("run %s has invoked no run of %s", caller.ID, fn)
	})
	return found
}

// handlerOf waits for the run of the failure handler of a failed run.
func (s stage) handlerOf(failed runInfo) (id string) {
	s.Helper()
	eventually(s.T, patience, func() error {
		for _, run := range s.p.allRuns(failed.Function + "-failure") {
			var e struct {
				Data struct {
					Run string `json:"run_id"`
				}
			}
			if err := s.p.get("/v1/events/"+run.EventID, &e); err != nil {
				return err
			}
			if e.Data.Run == failed.ID {
				id = run.ID
				return nil
			}
		}
		return fmt.Errorf("the failure of run %s is not handled", failed.ID)
	})
	return id
}

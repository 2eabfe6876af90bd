package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// scenario is one function of the SDK apps and what must be seen of it.
type scenario struct {
	name  string // what is shown, with the rows it covers
	event string // without the app's prefix; also the function's name
	runs  int    // that the event starts; 0 means one
	not   []sdk  // SDKs that do not behave like this
	main  bool   // also worth a run with keys
	check func(t *testing.T, o outcome)
}

// outcome is what a scenario left behind.
type outcome struct {
	pawl *pawl
	app  *app
	runs []runInfo // all ended
	run  runInfo   // the first of them
	log  []line    // of the first run
}

// completed wants the run to have ended well with this output.
func (o outcome) completed(t *testing.T, output string) {
	t.Helper()
	require.Equal(t, "Completed", o.run.Status, "output %.500s", o.run.Output)
	require.JSONEq(t, output, string(o.run.Output))
}

// failed wants the run to have failed with these words in its error.
func (o outcome) failed(t *testing.T, message string) {
	t.Helper()
	require.Equal(t, "Failed", o.run.Status, "output %.500s", o.run.Output)
	require.Contains(t, o.run.message(), message)
}

// dead wants the run's dead letter to say why there was no further try.
func (o outcome) dead(t *testing.T, class, reason string) {
	t.Helper()
	var letter struct{ Class, Reason string }
	require.NoError(t, o.pawl.get("/v1/dead-letters/"+o.run.ID, &letter))
	require.Equal(t, class, letter.Class)
	require.Equal(t, reason, letter.Reason)
}

// bodies wants a step's body to have started once for each of these attempts.
func (o outcome) bodies(t *testing.T, step string, want ...int) {
	t.Helper()
	require.Equal(t, want, attempts(o.log, step), "attempts of the body of %q", step)
}

// between returns the milliseconds from the last end of one step's body to the
// first start of another's.
func (o outcome) between(t *testing.T, before, after string) int64 {
	t.Helper()
	ends, starts := times(o.log, before, "end"), times(o.log, after, "start")
	require.NotEmpty(t, ends, before)
	require.NotEmpty(t, starts, after)
	return starts[0] - ends[len(ends)-1]
}

var scenarios = []scenario{
	{
		name: "row 24 no steps is one request and a stored output", event: "nostep", main: true,
		check: func(t *testing.T, o outcome) {
			o.completed(t, `{"n":7}`)
			o.bodies(t, "fn", 0)
			require.Equal(t, 1, o.app.rec.of(o.run.ID).calls, "requests")
		},
	},
	{
		name: "row 25 three steps run once each and hand on their results", event: "serial", main: true,
		check: func(t *testing.T, o outcome) {
			o.completed(t, `6`)
			for _, step := range []string{"a", "b", "c"} {
				o.bodies(t, step, 0)
			}
			steps := o.pawl.steps(o.run.ID)
			require.Len(t, steps, 3)
			for i, want := range []string{"1", "2", "6"} {
				require.JSONEq(t, want, string(steps[i].Output), "output of step %d", i)
				require.Equal(t, []string{"a", "b", "c"}[i], steps[i].Name)
				require.Equal(t, stepHash(steps[i].Name), steps[i].Step)
			}
		},
	},
	{
		name: "five steps, a sleep and three steps take no more requests than they need", event: "many", main: true,
		check: func(t *testing.T, o outcome) {
			o.completed(t, `8`)
			want, checkpoints := 10, 0
			if o.app.sdk == ts4 {
				want, checkpoints = 2, 8
			}
			require.Equal(t, want, o.app.rec.of(o.run.ID).calls, "requests")
			require.Equal(t, checkpoints, o.app.rec.of(o.run.ID).checkpoints, "checkpoints")
		},
	},
	{
		name: "rows 28 and 29 parallel steps overlap and the step after them runs once", event: "parallel", main: true,
		check: func(t *testing.T, o outcome) {
			o.completed(t, `"lr"`)
			for _, step := range []string{"left", "right", "after"} {
				o.bodies(t, step, 0)
			}
			require.Less(t, times(o.log, "left", "start")[0], times(o.log, "right", "end")[0])
			require.Less(t, times(o.log, "right", "start")[0], times(o.log, "left", "end")[0])
			require.GreaterOrEqual(t, o.between(t, "left", "after"), int64(0))
			require.GreaterOrEqual(t, o.between(t, "right", "after"), int64(0))
		},
	},
	{
		name: "row 30 a failing branch is retried alone", event: "parallel-fail",
		check: func(t *testing.T, o outcome) {
			o.completed(t, `"gf"`)
			o.bodies(t, "good", 0)
			o.bodies(t, "flaky", 0, 1, 2)
			o.bodies(t, "after", 0)
		},
	},
	{
		name: "row 27 a repeated step id is another step", event: "loop",
		check: func(t *testing.T, o outcome) {
			o.completed(t, `[0,1,2,3]`)
			for _, step := range []string{"item", "item:1", "item:2", "item:3"} {
				o.bodies(t, step, 0)
			}
		},
	},
	{
		name: "row 42 the error of a last attempt can be caught", event: "caught",
		check: func(t *testing.T, o outcome) {
			o.completed(t, `{"message":"bad thing"}`)
			o.bodies(t, "bad", 0, 1)
			o.bodies(t, "plan-b", 0)
		},
	},
	{
		name: "an uncaught step error fails the run without further attempts", event: "uncaught", main: true,
		check: func(t *testing.T, o outcome) {
			o.failed(t, "bad thing")
			o.bodies(t, "bad", 0, 1)
			o.dead(t, "error", "all 2 tries failed")
		},
	},
	{
		name: "row 37 without retries one failure is final, its causes are kept", event: "cause",
		check: func(t *testing.T, o outcome) {
			o.failed(t, "outer")
			o.bodies(t, "fn", 0)
			o.dead(t, "error", "its only try failed")
			if o.app.sdk == py {
				return // the SDK does not send the cause
			}
			var e struct {
				Cause struct {
					Message string
					Cause   struct{ Message string }
				}
			}
			require.NoError(t, json.Unmarshal(o.run.Output, &e))
			require.Equal(t, "middle", e.Cause.Message)
			require.Equal(t, "inner", e.Cause.Cause.Message)
		},
	},
	{
		name: "row 43 each step has attempts of its own", event: "retry",
		check: func(t *testing.T, o outcome) {
			o.completed(t, `{"first":2,"second":0}`)
			o.bodies(t, "third-time", 0, 1, 2)
			o.bodies(t, "fresh", 0)
		},
	},
	{
		name: "row 40 a non-retriable error is final at once", event: "nonretriable", main: true,
		check: func(t *testing.T, o outcome) {
			o.failed(t, "never again")
			o.bodies(t, "fn", 0)
			o.dead(t, "non_retriable", "the function said that trying again is useless")
		},
	},
	{
		name: "row 41 a non-retriable error in a step can be caught", event: "nonretriable-step", not: []sdk{py},
		check: func(t *testing.T, o outcome) {
			o.completed(t, `{"caught":"declined"}`)
			o.bodies(t, "refused", 0)
		},
	},
	{
		name: "a non-retriable error in a step fails the run", event: "nonretriable-step", not: []sdk{ts4, ts3},
		check: func(t *testing.T, o outcome) {
			o.failed(t, "declined")
			o.bodies(t, "refused", 0)
		},
	},
	{
		name: "row 39 Retry-After is obeyed", event: "retry-after",
		check: func(t *testing.T, o outcome) {
			o.completed(t, `"came back"`)
			o.bodies(t, "later", 0, 1)
			waited := times(o.log, "later", "start")[1] - times(o.log, "later", "end")[0]
			require.GreaterOrEqual(t, waited, int64(3000))
			require.Less(t, waited, int64(6000))
		},
	},
	{
		name: "row 49 a sleep ends neither early nor late", event: "sleep", main: true,
		check: func(t *testing.T, o outcome) {
			o.completed(t, `"rested"`)
			o.bodies(t, "before", 0)
			o.bodies(t, "after", 0)
			slept := o.between(t, "before", "after")
			require.GreaterOrEqual(t, slept, int64(2000))
			require.Less(t, slept, int64(5000))
		},
	},
	{
		name: "row 49 a sleep until a date in the past goes on at once", event: "sleep-until",
		check: func(t *testing.T, o outcome) {
			o.completed(t, `"at once"`)
			require.Less(t, o.between(t, "before", "after"), int64(3000))
		},
	},
	{
		name: "F-05 one event starts three functions, one of which fails", event: "fanout", runs: 3, main: true,
		check: func(t *testing.T, o outcome) {
			var got []string
			for _, r := range o.runs {
				if r.Status == "Failed" {
					require.Contains(t, r.message(), "c is broken")
					require.Equal(t, []int{0, 1}, attempts(o.app.log.lines(t, r.ID), "work"))
					got = append(got, "failed")
					continue
				}
				require.Equal(t, []int{0}, attempts(o.app.log.lines(t, r.ID), "work"))
				got = append(got, string(r.Output))
			}
			require.ElementsMatch(t, []string{`"a"`, `"b"`, "failed"}, got)
		},
	},
	{
		name: "a state over 4 MB is fetched by the SDK", event: "big", main: true,
		check: func(t *testing.T, o outcome) {
			o.completed(t, `6000000`)
			for i := range 6 {
				o.bodies(t, fmt.Sprintf("big-%d", i), 0)
			}
			seen := o.app.rec.of(o.run.ID)
			require.Positive(t, seen.useAPI, "requests without state")
			require.Equal(t, seen.useAPI, seen.fetches, "states fetched")
		},
	},
	{
		name: "events sent from a step start their functions once", event: "send", main: true,
		check: func(t *testing.T, o outcome) {
			require.Equal(t, "Completed", o.run.Status, "output %.500s", o.run.Output)
			var ids []string
			require.NoError(t, json.Unmarshal(o.run.Output, &ids))
			require.Len(t, ids, 2)
			for i, id := range ids {
				child := o.pawl.outcome(id, 1)[0]
				require.Equal(t, "Completed", child.Status)
				require.JSONEq(t, fmt.Sprint(i+1), string(child.Output))
				require.Equal(t, []int{0}, attempts(o.app.log.lines(t, child.ID), "got"))
			}
		},
	},
	{
		name: "rows 44 and 45 the failure handler runs once and sees the event", event: "on-failure",
		check: func(t *testing.T, o outcome) {
			o.failed(t, "beyond repair")
			handled := o.app.log.await(t, func(ln line) bool { return ln.What == "start" && ln.Step == "handle" })
			handler := o.pawl.await(handled.Run)
			require.Equal(t, "Completed", handler.Status)
			require.JSONEq(t, fmt.Sprintf(`{"failed":%q,"message":"beyond repair","n":7}`, o.run.ID), string(handler.Output))
			require.Len(t, attempts(o.app.log.lines(t, ""), "handle"), 1, "runs of the handler")
		},
	},
	{
		name: "row 26 a step without result is null and done", event: "nothing",
		check: func(t *testing.T, o outcome) {
			o.completed(t, `null`)
			o.bodies(t, "void", 0)
			o.bodies(t, "null", 0)
		},
	},
	{
		name: "row 36 five attempts by default", event: "defaults",
		check: func(t *testing.T, o outcome) {
			o.failed(t, "always")
			o.bodies(t, "fn", 0, 1, 2, 3, 4)
			o.dead(t, "error", "all 5 tries failed")
		},
	},
}

// play runs scenarios and trials side by side against one server and one app, and checks of
// all of them together that no step was repeated.
func play(t *testing.T, s sdk, m mode, flags ...string) (*pawl, *app) {
	p, a := startPair(t, s, m, flags...)
	t.Run("scenarios", func(t *testing.T) {
		for _, sc := range scenarios {
			if slices.Contains(sc.not, s) || m == serve && !sc.main {
				continue
			}
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				p := *p
				p.t = t
				id := p.send(event{Name: s.name + "/" + sc.event, Data: map[string]any{"n": 7}})[0]
				runs := p.outcome(id, max(1, sc.runs))
				sc.check(t, outcome{&p, a, runs, runs[0], a.log.lines(t, runs[0].ID)})
			})
		}
		for _, tr := range trials {
			if slices.Contains(tr.not, s) || m == serve && !tr.main {
				continue
			}
			t.Run(tr.name, func(t *testing.T) {
				t.Parallel()
				p := *p
				p.t = t
				tr.play(stage{t, &p, a})
			})
		}
	})
	lines := a.log.lines(t, "")
	require.Empty(t, repeated(lines), "bodies started although their result was saved")
	require.Empty(t, forgotten(lines), "requests that lacked a saved step")
	return p, a
}

func TestDev(t *testing.T) {
	for _, s := range []sdk{ts4, ts3, py} {
		t.Run(s.name, func(t *testing.T) {
			p, a := play(t, s, dev)
			t.Run("F-04 an event sent by the SDK", func(t *testing.T) { sentBySDK(t, p, a) })
			t.Run("rows 3, 4 and 5 one id is one run of each function", func(t *testing.T) { sameID(t, p, a) })
			t.Run("SIGTERM ends pawl cleanly", func(*testing.T) { p.stop() })
		})
	}
}

// TestServe runs the main scenarios with keys: each request to the app must be
// signed, or the SDK refuses it.
func TestServe(t *testing.T) {
	for _, s := range []sdk{ts4, ts3, py} {
		t.Run(s.name, func(t *testing.T) {
			p, a := play(t, s, serve)
			t.Run("F-04 an event sent by the SDK", func(t *testing.T) { sentBySDK(t, p, a) })
			t.Run("requests and answers are signed", func(t *testing.T) {
				run := p.outcome(p.send(event{Name: s.name + "/serial"})[0], 1)[0]
				seen := a.rec.of(run.ID)
				require.Positive(t, seen.calls)
				require.Equal(t, seen.calls, seen.signed, "signed requests")
				require.Equal(t, seen.calls, seen.answers, "signed answers")
			})
			t.Run("the SDK's form of the key is accepted", func(t *testing.T) {
				want := hashedKey
				if s == py {
					want = hashedKey[len("signkey-test-"):]
				}
				require.Equal(t, []string{want}, a.rec.usedBearers())
			})
		})
	}
}

func sentBySDK(t *testing.T, p *pawl, a *app) {
	id := a.send(event{Name: a.sdk.name + "/nostep", Data: map[string]any{"n": 3}})
	run := p.outcome(id, 1)[0]
	require.Equal(t, "Completed", run.Status)
	require.JSONEq(t, `{"n":3}`, string(run.Output))
}

func sameID(t *testing.T, p *pawl, a *app) {
	e := event{Name: a.sdk.name + "/fanout", ID: "only-once"}
	first := p.send(e)[0]
	second := p.send(e)[0]
	require.NotEqual(t, first, second)
	require.NotEqual(t, e.ID, first)
	var stored struct{ ID, Name string }
	for _, id := range []string{first, second} {
		require.NoError(t, p.get("/v1/events/"+id, &stored))
		require.Equal(t, e.ID, stored.ID)
	}
	p.outcome(first, 3)
	require.Empty(t, p.runs(second), "runs of the repeated event")
}

package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rawScenario is one function of the raw app, played like the Go SDK.
type rawScenario struct {
	name    string
	retries int
	handle  func(*rawCall) rawAnswer
	check   func(t *testing.T, run runInfo, calls []*rawCall, log []line, p *pawl)
}

var rawScenarios = map[string]rawScenario{
	"registered": {
		name: "a registration without stepId still targets requests",
		handle: func(c *rawCall) rawAnswer {
			return result(c.query)
		},
		check: func(t *testing.T, run runInfo, calls []*rawCall, _ []line, _ *pawl) {
			require.JSONEq(t, `{"fnId":"raw-registered","step":"step","stepId":"step"}`, string(run.Output))
			require.Len(t, calls, 1)
			require.Equal(t, 4, calls[0].Ctx.MaxAttempts, "retries + 1")
			require.Equal(t, "step", calls[0].Ctx.Step)
			require.NotEmpty(t, calls[0].Ctx.Fn)
			require.Positive(t, calls[0].generation)
			require.NotEmpty(t, calls[0].header.Get("X-Request-ID"))
			require.Equal(t, run.ID, calls[0].header.Get("X-Run-ID"))
			require.Equal(t, "cloud", calls[0].header.Get("X-Inngest-Server-Kind"))
		},
		retries: 3,
	},
	"several": {
		name: "several results in one answer are no parallelism",
		handle: func(c *rawCall) rawAnswer {
			switch {
			case !c.has("a"):
				return ops(c.body("a", 1, nil), c.body("b", 2, nil))
			case !c.has("c"):
				return ops(c.body("c", 3, nil))
			}
			return result("done")
		},
		check: func(t *testing.T, run runInfo, calls []*rawCall, log []line, _ *pawl) {
			require.JSONEq(t, `"done"`, string(run.Output))
			require.Len(t, calls, 3)
			require.Equal(t, []string{stepHash("a"), stepHash("b")}, calls[1].Ctx.Stack.Stack)
			require.Equal(t, 2, calls[1].Ctx.Stack.Current)
			for i, c := range calls {
				require.False(t, c.Ctx.Plan, "request %d in plan mode", i)
				require.Equal(t, "step", c.query["stepId"], "request %d", i)
				require.JSONEq(t, []string{"-1", "2", "2"}[i], string(must(json.Marshal(c.Version))), "version of request %d", i)
			}
			require.JSONEq(t, `{"data":1}`, string(calls[1].Steps[stepHash("a")]))
			require.JSONEq(t, `{"data":2}`, string(calls[1].Steps[stepHash("b")]))
		},
	},
	"null-first": {
		name: "a 200 with null does not end the run when the request was aimed at a step",
		handle: func(c *rawCall) rawAnswer {
			switch targeted := c.query["stepId"] != "step"; {
			case targeted && c.app.count(c.Ctx.Run, c.query["stepId"]) == 1:
				return result(nil)
			case targeted:
				return ops(c.body(map[bool]string{true: "left", false: "right"}[c.targets("left")], 1, nil))
			case c.has("left") && c.has("right"):
				return result("both")
			}
			var plan []op
			for _, name := range []string{"left", "right"} {
				if !c.has(name) {
					plan = append(plan, stepPlanned(name))
				}
			}
			return ops(plan...)
		},
		check: func(t *testing.T, run runInfo, calls []*rawCall, log []line, _ *pawl) {
			require.JSONEq(t, `"both"`, string(run.Output))
			for _, c := range calls {
				require.Equal(t, c.query["stepId"], c.Ctx.Step, "ctx.step_id")
			}
			require.Equal(t, []int{0}, attempts(log, "left"))
			require.Equal(t, []int{0}, attempts(log, "right"))
		},
	},
	"error-data": {
		name: "an error keeps its data",
		handle: func(c *rawCall) rawAnswer {
			if c.has("bad") {
				return result(c.Steps[stepHash("bad")])
			}
			failed := stepRun("bad", nil)
			failed["op"] = "StepFailed"
			failed["error"] = op{"name": "Step failed", "message": "bad", "data": op{"part": 1}}
			a := ops(failed)
			a.noRetry = true
			return a
		},
		check: func(t *testing.T, run runInfo, _ []*rawCall, _ []line, _ *pawl) {
			require.JSONEq(t, `{"error":{"name":"Step failed","message":"bad","data":{"part":1}}}`, string(run.Output))
		},
	},
	"last-error": {
		name:    "an error on the last attempt becomes the step's result",
		retries: 1,
		handle: func(c *rawCall) rawAnswer {
			if c.has("bad") {
				return result(c.Steps[stepHash("bad")])
			}
			bad := c.body("bad", nil, nil)
			bad["op"] = "StepError"
			bad["error"] = op{"name": "Step error", "message": "bad", "data": nil}
			return ops(bad)
		},
		check: func(t *testing.T, run runInfo, calls []*rawCall, log []line, _ *pawl) {
			require.JSONEq(t, `{"error":{"name":"Step error","message":"bad","data":null}}`, string(run.Output))
			require.Equal(t, []int{0, 1}, attempts(log, "bad"))
			require.Equal(t, 0, calls[len(calls)-1].Ctx.Attempt, "attempt after the step's failure")
		},
	},
	"nap": {
		name: "a sleep is as long as its opts say, whatever its name",
		handle: func(c *rawCall) rawAnswer {
			if c.has("1h") {
				return result(string(c.Steps[stepHash("1h")]))
			}
			return ops(op{"op": "Sleep", "id": stepHash("1h"), "name": "1h", "opts": op{"duration": "1s500ms"}, "data": nil})
		},
		check: func(t *testing.T, run runInfo, calls []*rawCall, _ []line, _ *pawl) {
			require.JSONEq(t, `"null"`, string(run.Output), "memo of a sleep")
			require.Len(t, calls, 2)
			slept := calls[1].arrived.Sub(calls[0].arrived)
			require.GreaterOrEqual(t, slept, 1500*time.Millisecond)
			require.Less(t, slept, 5*time.Second)
		},
	},
	"checkpoint": {
		name: "checkpoints with the raw key and without generation, one of them twice",
		handle: func(c *rawCall) rawAnswer {
			if c.has("b") {
				return result(c.Ctx.Stack.Stack)
			}
			a := c.body("a", 1, nil)
			for range 2 {
				if err := c.checkpoint(0, a); err != nil {
					return rawAnswer{status: 500, body: op{"message": err.Error()}}
				}
			}
			other := stepRun("a", "another result")
			if err := c.checkpoint(0, other); err != nil {
				return rawAnswer{status: 500, body: op{"message": err.Error()}}
			}
			return ops(a, c.body("b", 2, nil))
		},
		check: func(t *testing.T, run runInfo, calls []*rawCall, log []line, p *pawl) {
			require.JSONEq(t, string(must(json.Marshal([]string{stepHash("a"), stepHash("b")}))), string(run.Output))
			require.Len(t, calls, 2)
			require.JSONEq(t, `{"data":1}`, string(calls[1].Steps[stepHash("a")]), "the first result stays")
			require.Equal(t, []int{0}, attempts(log, "a"))
			require.Len(t, p.steps(run.ID), 2)
		},
	},
	"progress": {
		name:    "a checkpoint gives the next failure all attempts again",
		retries: 1,
		handle: func(c *rawCall) rawAnswer {
			for _, step := range []string{"a", "b", "c"} {
				if c.has(step) {
					continue
				}
				if c.Ctx.Attempt == 0 { // the first try of each stretch dies
					if step == "a" {
						return c.cut()
					}
					return rawAnswer{status: 500, body: op{"message": "before " + step}}
				}
				if err := c.checkpoint(c.generation, c.body(step, step, nil)); err != nil {
					return rawAnswer{status: 500, body: op{"message": err.Error()}}
				}
				return ops()
			}
			return result("through")
		},
		check: func(t *testing.T, run runInfo, calls []*rawCall, log []line, _ *pawl) {
			require.JSONEq(t, `"through"`, string(run.Output))
			for _, step := range []string{"a", "b", "c"} {
				require.Equal(t, []int{1}, attempts(log, step))
			}
		},
	},
	"stale": {
		name:    "a dispatch that was given up may save nothing more",
		retries: 3,
		handle: func(c *rawCall) rawAnswer {
			if c.has("a") {
				return result(c.Steps[stepHash("a")])
			}
			first := c.app.of(c.Ctx.Run)[0]
			if c == first {
				return c.cut()
			}
			err := first.checkpoint(first.generation, stepRun("a", "from the dead"))
			var refused *apiError
			if !errors.As(err, &refused) || refused.status != http.StatusConflict {
				return rawAnswer{status: 400, noRetry: true, body: op{"message": "a stale checkpoint was not refused with 409"}}
			}
			if c.generation <= first.generation {
				return rawAnswer{status: 400, noRetry: true, body: op{"message": "the generation did not rise"}}
			}
			return ops(c.body("a", "alive", nil))
		},
		check: func(t *testing.T, run runInfo, _ []*rawCall, _ []line, _ *pawl) {
			require.JSONEq(t, `{"data":"alive"}`, string(run.Output))
		},
	},
	"complete": {
		name: "RunComplete behind an unreported step saves the step first",
		handle: func(c *rawCall) rawAnswer {
			return ops(c.body("a", 1, nil), op{"op": "RunComplete", "id": stepHash("complete"), "data": "all"})
		},
		check: func(t *testing.T, run runInfo, calls []*rawCall, _ []line, p *pawl) {
			require.JSONEq(t, `"all"`, string(run.Output))
			require.Len(t, calls, 1)
			require.Len(t, p.steps(run.ID), 1)
		},
	},
}

// count returns how many requests of a run were aimed at a step.
func (a *rawApp) count(run, stepID string) int {
	n := 0
	for _, c := range a.of(run) {
		if c.query["stepId"] == stepID {
			n++
		}
	}
	return n
}

// TestRaw plays the Go SDK against a server with keys.
func TestRaw(t *testing.T) {
	p := startPawl(t, serve)
	fns := map[string]rawFn{}
	for name, sc := range rawScenarios {
		fns[name] = rawFn{event: "raw/" + name, retries: sc.retries, handle: sc.handle, checkpts: true}
	}
	a := startRawApp(t, p, "raw", fns)
	t.Run("scenarios", func(t *testing.T) {
		for name, sc := range rawScenarios {
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				p := *p
				p.t = t
				run := p.outcome(p.send(event{Name: "raw/" + name})[0], 1)[0]
				require.Equal(t, "Completed", run.Status, "output %.500s", run.Output)
				sc.check(t, run, a.of(run.ID), a.log.lines(t, run.ID), &p)
			})
		}
	})
	require.Empty(t, repeated(a.log.lines(t, "")))
	require.Empty(t, forgotten(a.log.lines(t, "")))

	t.Run("row 109 the same functions in another order are no change", func(t *testing.T) {
		for range 5 {
			modified, err := a.register()
			require.NoError(t, err)
			require.False(t, modified)
		}
	})
}

// must returns v; it is for values that always encode.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCrash kills the server at one kind of moment after the other. What was
// promised before the kill holds after it.
func TestCrash(t *testing.T) {
	for _, s := range []sdk{ts4, ts3, py} {
		t.Run(s.name, func(t *testing.T) {
			p, a := startPair(t, s, dev)

			t.Run("row 113 right after the 200 of POST /e", func(t *testing.T) {
				id := p.send(event{Name: s.name + "/serial"})[0]
				p.kill()
				p.start()
				run := p.outcome(id, 1)[0]
				require.Equal(t, "Completed", run.Status, "output %s", run.Output)
				require.JSONEq(t, "6", string(run.Output))
			})

			t.Run("row 111 during a sleep", func(t *testing.T) {
				id := p.send(event{Name: s.name + "/sleep"})[0]
				run := p.awaitRuns(id, 1)[0]
				eventually(t, patience, func() error {
					if !slices.ContainsFunc(p.steps(run.ID), func(st stepInfo) bool { return st.Status == "sleeping" }) {
						return fmt.Errorf("run %s does not sleep", run.ID)
					}
					return nil
				})
				p.kill()
				p.start()
				run = p.await(run.ID)
				require.Equal(t, "Completed", run.Status, "output %s", run.Output)
				o := outcome{p, a, nil, run, a.log.lines(t, run.ID)}
				o.bodies(t, "before", 0)
				o.bodies(t, "after", 0)
				require.GreaterOrEqual(t, o.between(t, "before", "after"), int64(2000))
			})

			t.Run("row 111 during a retry delay", func(t *testing.T) {
				id := p.send(event{Name: s.name + "/retry-after"})[0]
				run := p.awaitRuns(id, 1)[0]
				eventually(t, patience, func() error { // the failed attempt is saved
					for _, st := range p.steps(run.ID) {
						if st.Status == "retrying" {
							return nil
						}
					}
					return fmt.Errorf("run %s has no failed attempt", run.ID)
				})
				p.kill()
				p.start()
				run = p.await(run.ID)
				require.Equal(t, "Completed", run.Status, "output %s", run.Output)
				lines := a.log.lines(t, run.ID)
				require.Equal(t, []int{0, 1}, attempts(lines, "later"))
				require.GreaterOrEqual(t, times(lines, "later", "start")[1]-times(lines, "later", "end")[0], int64(3000))
			})

			t.Run("row 112 during a step", func(t *testing.T) {
				id := p.send(event{Name: s.name + "/slow"})[0]
				run := p.awaitRuns(id, 1)[0]
				a.log.await(t, started(run.ID, "second"))
				p.kill()
				p.start()
				run = p.await(run.ID)
				require.Equal(t, "Completed", run.Status, "output %s", run.Output)
				require.JSONEq(t, `"done"`, string(run.Output))
				lines := a.log.lines(t, run.ID)
				require.Len(t, attempts(lines, "first"), 1)
				require.LessOrEqual(t, len(attempts(lines, "second")), 2)
				require.Len(t, attempts(lines, "third"), 1)
			})

			t.Run("SIGTERM during a step waits for it", func(t *testing.T) {
				id := p.send(event{Name: s.name + "/slow"})[0]
				run := p.awaitRuns(id, 1)[0]
				a.log.await(t, started(run.ID, "second"))
				p.stop()
				p.start()
				run = p.await(run.ID)
				require.Equal(t, "Completed", run.Status, "output %s", run.Output)
				for _, step := range []string{"first", "second", "third"} {
					require.Len(t, attempts(a.log.lines(t, run.ID), step), 1, step)
				}
			})

			lines := a.log.lines(t, "")
			require.Empty(t, repeated(lines), "bodies started although their result was saved")
			require.Empty(t, forgotten(lines), "requests that lacked a saved step")
			require.Empty(t, overtaken(lines), "checkpoints taken from a dispatch that was given up")
		})
	}
}

// TestFence kills the server while a run waits for its third try. Afterwards the
// first try, which its app never gave up, may save nothing: the second was newer.
func TestFence(t *testing.T) {
	guard(t)
	p := startPawl(t, serve, "--retry-interval", "4s")
	a := startRawApp(t, p, "raw", map[string]rawFn{
		"fence": {event: "raw/fence", retries: 3, handle: func(c *rawCall) rawAnswer {
			if len(c.app.of(c.Ctx.Run)) < 3 {
				return c.cut()
			}
			if c.has("a") {
				return result(c.Steps[stepHash("a")])
			}
			return ops(c.body("a", "alive", nil))
		}},
	})
	run := p.awaitRuns(p.send(event{Name: "raw/fence"})[0], 1)[0]
	eventually(t, patience, func() error {
		steps := p.steps(run.ID)
		if len(steps) != 1 || steps[0].Status != "retrying" || len(steps[0].Attempts) != 2 {
			return fmt.Errorf("two failed tries are not saved: %+v", steps)
		}
		return nil
	})
	p.kill()
	p.start()
	first := a.of(run.ID)[0]
	err := first.checkpoint(first.generation, stepRun("a", "from the dead"))
	var refused *apiError
	if !errors.As(err, &refused) || refused.status != 409 {
		t.Errorf("the checkpoint of the first try was answered with %v, want 409", err)
	}
	run = p.await(run.ID)
	require.Equal(t, "Completed", run.Status, "output %s", run.Output)
	require.JSONEq(t, `{"data":"alive"}`, string(run.Output))
}

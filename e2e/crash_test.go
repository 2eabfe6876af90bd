package e2e

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCrash kills the server at one kind of moment after the other. What was
// promised before the kill holds after it.
func TestCrash(t *testing.T) {
	for _, s := range []sdk{ts4, ts3, py} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
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

			t.Run("row 111 during a wait", func(t *testing.T) { killedWait(stage{t, p, a}) })
			t.Run("row 111 during a wait whose time passes meanwhile", func(t *testing.T) { killedTimeout(stage{t, p, a}) })
			t.Run("row 111 right after the event that a run waits for", func(t *testing.T) { killedWake(stage{t, p, a}) })
			t.Run("row 111 during an invoke", func(t *testing.T) { killedInvoke(stage{t, p, a}) })
			t.Run("row 111 with cancelOn registered", func(t *testing.T) { killedCancelOn(stage{t, p, a}) })
			t.Run("row 111 with a time to finish", func(t *testing.T) { killedFinish(stage{t, p, a}) })

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

// restart kills the server, waits until a moment if that is still to come, and
// starts it again.
func (p *pawl) restart(at time.Time) {
	p.t.Helper()
	p.kill()
	<-time.After(time.Until(at))
	p.start()
}

func killedWait(s stage) {
	run := s.start("wait-if", op{"key": "killed"})
	s.p.resting(run.ID, "for")
	s.p.restart(time.Time{})
	s.send("paid-if", op{"key": "killed", "n": 3})
	s.settle()
	s.p.resting(run.ID, "for")
	s.send("paid-if", op{"key": "killed", "n": 8})
	o := s.end(run)
	o.completed(s.T, `8`)
	o.bodies(s.T, "before", 0)
	o.bodies(s.T, "after", 0)
}

func killedTimeout(s stage) {
	run := s.start("wait-timeout", op{"key": "killed"})
	s.p.resting(run.ID, "for")
	s.p.restart(time.Now().Add(2500 * time.Millisecond))
	s.send("early", op{"key": "killed"}) // too late
	o := s.end(run)
	o.completed(s.T, `{"got":null}`)
	o.bodies(s.T, "after", 0)
	require.GreaterOrEqual(s, o.between(s.T, "before", "after"), int64(2000))

	run = s.start("wait-timeout", op{"key": "killed again"})
	s.p.resting(run.ID, "for")
	s.p.restart(time.Time{}) // back before the time is over
	o = s.end(run)
	o.completed(s.T, `{"got":null}`)
	o.bodies(s.T, "after", 0)
	require.GreaterOrEqual(s, o.between(s.T, "before", "after"), int64(2000))
}

// killedWake: the event is acknowledged, so it counts, also when the wait's time
// is over before anybody could hand it on.
func killedWake(s stage) {
	long, short := s.start("wait-if", op{"key": "woken"}), s.start("wait-timeout", op{"key": "woken"})
	s.p.resting(long.ID, "for")
	s.p.resting(short.ID, "for")
	before := time.Now()
	s.p.send(event{Name: s.name("paid-if"), Data: op{"key": "woken", "n": 9}}, event{Name: s.name("early"), Data: op{"key": "woken"}})
	acknowledged := time.Now()
	s.p.restart(before.Add(2500 * time.Millisecond))
	o := s.end(long)
	o.completed(s.T, `9`)
	o.bodies(s.T, "after", 0)
	o = s.end(short)
	o.bodies(s.T, "after", 0)
	if acknowledged.UnixMilli() < times(o.log, "before", "end")[0]+2000 {
		require.Contains(s, string(o.run.Output), s.name("early"), "the event came in time")
	}
}

func killedInvoke(s stage) {
	run := s.start("invoke", op{"fn": "unhurried", "n": 1})
	s.p.resting(run.ID, "call")
	callee := s.callee(run, "unhurried")
	s.p.restart(time.Time{})
	o := s.end(run)
	o.completed(s.T, `{"got":"at last"}`)
	o.bodies(s.T, "before", 0)
	o.bodies(s.T, "after", 0)
	require.GreaterOrEqual(s, o.between(s.T, "before", "after"), int64(4000))
	require.Equal(s, callee.ID, s.callee(run, "unhurried").ID)
	s.end(callee).bodies(s.T, "work", 0)

	// The callee ends while the server is dead, or rather: its sleep does.
	run = s.start("invoke", op{"fn": "double", "n": 3})
	s.p.resting(run.ID, "call")
	s.p.restart(time.Now().Add(1500 * time.Millisecond))
	o = s.end(run)
	require.Contains(s, string(o.run.Output), `"n":6`)
	o.bodies(s.T, "after", 0)
	s.end(s.callee(run, "double")).bodies(s.T, "work", 0)
}

func killedCancelOn(s stage) {
	later, now, not := s.start("cancel-on", op{"key": "later"}), s.start("cancel-on", op{"key": "now"}), s.start("cancel-on", op{"key": "not"})
	for _, run := range []runInfo{later, now, not} {
		s.p.resting(run.ID, "nap")
	}
	s.send("stop", op{"key": "now"}) // acknowledged right before the kill
	s.p.restart(time.Time{})
	s.send("stop", op{"key": "later"})
	o := s.end(not)
	o.completed(s.T, `"undisturbed"`)
	o.bodies(s.T, "after", 0)
	s.settle() // the others would have woken before
	for _, run := range []runInfo{later, now} {
		o := s.end(run)
		o.cancelled(s.T)
		o.bodies(s.T, "before", 0)
		o.never(s.T, "after")
	}
}

func killedFinish(s stage) {
	run := s.start("timeout-nap", nil)
	s.p.resting(run.ID, "nap")
	s.p.restart(time.Time{})
	o := s.end(run)
	o.cancelled(s.T)
	took := o.run.Ended.Sub(*o.run.Started)
	require.GreaterOrEqual(s, took, 2*time.Second)
	require.Less(s, took, 2*time.Second+late*time.Millisecond)
}

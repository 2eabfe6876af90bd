package e2e

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cancel asks for a run's cancellation through the REST API.
func (p *pawl) cancel(runID string) error {
	req, err := http.NewRequest("DELETE", p.url+"/v1/runs/"+runID, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+signingKey)
	return do(req, nil)
}

// TestCancel cancels runs at several moments of their lives.
func TestCancel(t *testing.T) {
	guard(t)
	p := startPawl(t, serve)
	release := make(chan struct{})
	a := startRawApp(t, p, "raw", map[string]rawFn{
		"quick": {event: "raw/quick", handle: func(*rawCall) rawAnswer { return result("quick") }},
		"long": {event: "raw/long", retries: 3, handle: func(c *rawCall) rawAnswer {
			if c.has("a") {
				return ops(c.body("b", 2, nil))
			}
			return ops(c.body("a", 1, func() { <-release }))
		}},
		"nap": {event: "raw/nap", handle: func(c *rawCall) rawAnswer {
			if c.has("nap") {
				return result("awake")
			}
			return ops(op{"op": "Sleep", "id": stepHash("nap"), "name": "nap", "opts": op{"duration": "2s"}})
		}},
	})

	t.Run("row 74 during a step, whose late result changes nothing", func(t *testing.T) {
		run := p.awaitRuns(p.send(event{Name: "raw/long"})[0], 1)[0]
		a.log.await(t, started(run.ID, "a"))
		require.NoError(t, p.cancel(run.ID))
		require.Equal(t, "Cancelled", p.await(run.ID).Status)
		close(release)
		a.log.await(t, func(ln line) bool { return ln.Run == run.ID && ln.What == "end" })
		// What is sent after the late answer ends after it.
		require.Equal(t, "Completed", p.outcome(p.send(event{Name: "raw/quick"})[0], 1)[0].Status)
		require.Equal(t, "Cancelled", p.await(run.ID).Status)
		require.Empty(t, attempts(a.log.lines(t, run.ID), "b"))
	})

	t.Run("during a sleep, which does not end", func(t *testing.T) {
		run := p.awaitRuns(p.send(event{Name: "raw/nap"})[0], 1)[0]
		eventually(t, patience, func() error {
			if steps := p.steps(run.ID); len(steps) == 0 || steps[0].Status != "sleeping" {
				return errNotYet
			}
			return nil
		})
		require.NoError(t, p.cancel(run.ID))
		require.Equal(t, "Cancelled", p.await(run.ID).Status)
		// A nap that begins now ends later than the cancelled one would have.
		require.Equal(t, "Completed", p.outcome(p.send(event{Name: "raw/nap"})[0], 1)[0].Status)
		require.Equal(t, "Cancelled", p.await(run.ID).Status)
		require.Len(t, a.of(run.ID), 1, "requests of the cancelled run")
	})

	t.Run("row 13 an event of the future starts its run then", func(t *testing.T) {
		due := time.Now().Add(2 * time.Second).Truncate(time.Millisecond)
		run := p.awaitRuns(p.send(event{Name: "raw/quick", TS: due.UnixMilli()})[0], 1)[0]
		require.Equal(t, "Completed", p.await(run.ID).Status)
		require.False(t, a.of(run.ID)[0].arrived.Before(due), "started before its time")
	})

	t.Run("row 75 before its time, the run never starts", func(t *testing.T) {
		due := time.Now().Add(2 * time.Second)
		run := p.awaitRuns(p.send(event{Name: "raw/quick", TS: due.UnixMilli()})[0], 1)[0]
		require.NoError(t, p.cancel(run.ID))
		later := p.send(event{Name: "raw/quick", TS: due.UnixMilli() + 100})[0]
		require.Equal(t, "Completed", p.outcome(later, 1)[0].Status)
		require.Equal(t, "Cancelled", p.await(run.ID).Status)
		require.Empty(t, a.of(run.ID))
	})

	t.Run("row 76 a run that has ended stays as it is", func(t *testing.T) {
		run := p.outcome(p.send(event{Name: "raw/quick"})[0], 1)[0]
		require.NoError(t, p.cancel(run.ID))
		require.Equal(t, "Completed", p.await(run.ID).Status)
	})
}

// TestRetryTable waits for the first row of the default table of retries.
func TestRetryTable(t *testing.T) {
	guard(t)
	if os.Getenv("PAWL_E2E_SLOW") != "1" {
		t.Skip("waits up to 45 s; set PAWL_E2E_SLOW=1 to run it")
	}
	p := startPawl(t, serve, "--retry-interval", "0s")
	a := startRawApp(t, p, "raw", map[string]rawFn{
		"flaky": {event: "raw/flaky", retries: 1, handle: func(c *rawCall) rawAnswer {
			if c.Ctx.Attempt == 0 {
				return rawAnswer{status: 500, body: op{"message": "not now"}}
			}
			return result("now")
		}},
	})
	t.Run("row 38 the first retry comes after 15 to 45 seconds", func(t *testing.T) {
		run := p.outcome(p.send(event{Name: "raw/flaky"})[0], 1)[0]
		require.Equal(t, "Completed", run.Status)
		calls := a.of(run.ID)
		require.Len(t, calls, 2)
		waited := calls[1].arrived.Sub(calls[0].arrived)
		require.GreaterOrEqual(t, waited, 15*time.Second)
		require.Less(t, waited, 47*time.Second)
	})
}

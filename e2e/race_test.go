package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// memoOf answers with an op until its memo is there, and then returns the memo.
func memoOf(step string, o op) func(*rawCall) rawAnswer {
	return func(c *rawCall) rawAnswer {
		if memo, ok := c.Steps[stepHash(step)]; ok {
			return result(memo)
		}
		return ops(o)
	}
}

// TestRaces lets things happen at the same moment, which no SDK can arrange.
func TestRaces(t *testing.T) {
	p := startPawl(t, serve)
	const same = "event.data.n == async.data.n"
	a := startRawApp(t, p, "raw", map[string]rawFn{
		"edge":    {event: "raw/edge", handle: memoOf("w", waitFor("w", "raw/edge-go", same, "1s"))},
		"pair":    {event: "raw/pair", handle: memoOf("w", waitFor("w", "raw/pair-go", same, "1h"))},
		"brief":   {event: "raw/brief", handle: memoOf("w", waitFor("w", "raw/brief-go", same, "1s"))},
		"twofold": {event: "raw/twofold", handle: twofold},
		"signal": {event: "raw/signal", handle: memoOf("s", op{
			"op": "WaitForSignal", "id": stepHash("s"), "name": "s", "opts": op{"signal": "only-one", "timeout": "1h"},
		})},
		"stoppable": {
			event: "raw/stoppable", handle: memoOf("nap", op{"op": "Sleep", "id": stepHash("nap"), "name": "nap", "opts": op{"duration": "1s"}}),
			settings: op{"cancel": []op{{"event": "raw/stop", "if": same}}},
		},
	})
	// runsOf sends n events of a name in one batch and waits until their runs rest.
	runsOf := func(t *testing.T, name, step string, n int) []runInfo {
		t.Helper()
		var events []event
		for i := range n {
			events = append(events, event{Name: name, Data: op{"n": i}})
		}
		var runs []runInfo
		for _, id := range p.send(events...) {
			runs = append(runs, p.awaitRuns(id, 1)[0])
		}
		for _, run := range runs {
			p.resting(run.ID, step)
		}
		return runs
	}
	ended := func(t *testing.T, run runInfo, requests int) runInfo {
		t.Helper()
		run = p.await(run.ID)
		require.Equal(t, "Completed", run.Status, "run %s: %s", run.ID, run.Output)
		require.Len(t, a.of(run.ID), requests, "requests of run %s", run.ID)
		return run
	}
	eventID := func(t *testing.T, memo json.RawMessage) string {
		t.Helper()
		var e *struct{ ID string }
		require.NoError(t, json.Unmarshal(memo, &e), "%s", memo)
		if e == nil {
			return ""
		}
		return e.ID
	}

	t.Run("row 57 an event at the timeout's moment resolves the step exactly once", func(t *testing.T) {
		const runs = 40
		var mu sync.Mutex
		byEvent, byTime := 0, 0
		var all sync.WaitGroup
		for i := range runs {
			run := p.awaitRuns(p.send(event{Name: "raw/edge", Data: op{"n": i}})[0], 1)[0]
			p.resting(run.ID, "w")
			until := p.steps(run.ID)[0].Until
			require.False(t, until.IsZero())
			all.Go(func() {
				<-time.After(time.Until(until) + time.Duration(i-3*runs/4)*time.Millisecond)
				_, err := p.trySend("", event{Name: "raw/edge-go", Data: op{"n": i}})
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged := time.Now()
				got, err := p.awaitErr(run.ID)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				switch woken := string(got.Output) != "null"; {
				case woken:
					byEvent++
				case acknowledged.Before(until):
					t.Errorf("run %s timed out at %v although the event was acknowledged at %v", run.ID, until, acknowledged)
				default:
					byTime++
				}
			})
		}
		all.Wait()
		t.Logf("%d ended by the event, %d by the time", byEvent, byTime)
		for _, run := range p.allRuns("raw-edge") {
			run = ended(t, run, 2)
			if string(run.Output) == "null" {
				require.False(t, run.Ended.Before(p.steps(run.ID)[0].Until), "run %s timed out early", run.ID)
			}
		}
	})

	t.Run("of two events in one batch the first ends the wait, once", func(t *testing.T) {
		const runs = 20
		waiting := runsOf(t, "raw/pair", "w", runs)
		for i, run := range waiting {
			ids := p.send(event{Name: "raw/pair-go", Data: op{"n": i, "nth": 1}}, event{Name: "raw/pair-go", Data: op{"n": i, "nth": 2}})
			run = ended(t, run, 2)
			require.Equal(t, ids[0], eventID(t, run.Output), "the event that ended run %d", i)
		}
	})

	t.Run("row 54 an event in the batch of the trigger comes before the wait", func(t *testing.T) {
		ids := p.send(event{Name: "raw/brief", Data: op{"n": 1}}, event{Name: "raw/brief-go", Data: op{"n": 1}})
		run := ended(t, p.awaitRuns(ids[0], 1)[0], 2)
		require.JSONEq(t, `null`, string(run.Output))
	})

	t.Run("one event ends two waits of one run", func(t *testing.T) {
		run := p.awaitRuns(p.send(event{Name: "raw/twofold"})[0], 1)[0]
		p.resting(run.ID, "left")
		p.resting(run.ID, "right")
		id := p.send(event{Name: "raw/twofold-go"})[0]
		run = p.await(run.ID)
		require.Equal(t, "Completed", run.Status, "output %s", run.Output)
		var memos []json.RawMessage
		require.NoError(t, json.Unmarshal(run.Output, &memos))
		for _, memo := range memos {
			require.Equal(t, id, eventID(t, memo))
		}
	})

	t.Run("row 72 a cancelling event before its run in one batch has no effect", func(t *testing.T) {
		ids := p.send(event{Name: "raw/stop", Data: op{"n": 1}}, event{Name: "raw/stoppable", Data: op{"n": 1}})
		ended(t, p.awaitRuns(ids[1], 1)[0], 2)
	})
	t.Run("behind it, it cancels the run", func(t *testing.T) {
		ids := p.send(event{Name: "raw/stoppable", Data: op{"n": 2}}, event{Name: "raw/stop", Data: op{"n": 2}})
		require.Equal(t, "Cancelled", p.await(p.awaitRuns(ids[0], 1)[0].ID).Status)
	})

	t.Run("row 63 of runs that wait for a signal at once one does, the others fail", func(t *testing.T) {
		const runs = 5
		var events []event
		for range runs {
			events = append(events, event{Name: "raw/signal"})
		}
		ids := p.send(events...)
		var holder []runInfo
		eventually(t, patience, func() error {
			holder = nil
			for _, run := range p.allRuns("raw-signal") {
				if !run.final() {
					holder = append(holder, run)
				}
			}
			if len(p.allRuns("raw-signal")) < len(ids) || len(holder) > 1 {
				return fmt.Errorf("%d runs have not ended", len(holder))
			}
			return nil
		})
		require.Len(t, holder, 1)
		for _, run := range p.allRuns("raw-signal") {
			if run.ID != holder[0].ID {
				require.Equal(t, "Failed", run.Status)
				require.Contains(t, run.message(), "Signal conflict; signal wait already exists for another run")
			}
		}
		p.resting(holder[0].ID, "s")

		// Of signals that are sent at once one is taken.
		var mu sync.Mutex
		var taken []int
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				reached, err := p.signal("only-one", i)
				var refused *apiError
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && reached == holder[0].ID:
					taken = append(taken, i)
				case errors.As(err, &refused) && refused.status == http.StatusNotFound:
				default:
					t.Errorf("signal %d reached %q, %v", i, reached, err)
				}
			})
		}
		all.Wait()
		require.Len(t, taken, 1, "signals that were taken")
		run := ended(t, holder[0], 2)
		require.JSONEq(t, fmt.Sprintf(`{"data":{"signal":"only-one","data":%d}}`, taken[0]), string(run.Output))
	})
	require.Empty(t, forgotten(a.log.lines(t, "")))
}

// twofold waits for one event with two steps.
func twofold(c *rawCall) rawAnswer {
	var waits []op
	var memos []json.RawMessage
	for _, step := range []string{"left", "right"} {
		if memo, ok := c.Steps[stepHash(step)]; ok {
			memos = append(memos, memo)
		} else {
			waits = append(waits, waitFor(step, "raw/twofold-go", "", "1h"))
		}
	}
	if waits != nil {
		return ops(waits...)
	}
	return result(memos)
}

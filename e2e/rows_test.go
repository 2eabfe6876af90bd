package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo returns the event that a function was called with.
func echo(c *rawCall) rawAnswer { return result(c.Event) }

// ran wants an event to have started one run, which completes.
func (p *pawl) ran(eventID string) runInfo {
	p.t.Helper()
	run := p.outcome(eventID, 1)[0]
	require.Equal(p.t, "Completed", run.Status, "output %.500s", run.Output)
	return run
}

// TestRowsOfEvents sends events and looks at which functions start, and with what.
func TestRowsOfEvents(t *testing.T) {
	p := startPawl(t, serve)
	startRawApp(t, p, "rows", map[string]rawFn{
		"echo":   {event: "rows/echo", handle: echo},
		"prefix": {event: "app/*", handle: echo},
		"twice":  {triggers: []op{{"event": "rows/twice"}, {"event": "rows/*"}}, handle: echo},
		"more":   {triggers: []op{{"event": "n/more", "expression": "event.data.n > 5"}}, handle: echo},
		"deep":   {triggers: []op{{"event": "n/deep", "expression": "event.data.a.b.c == 'x'"}}, handle: echo},
		"type":   {triggers: []op{{"event": "n/type", "expression": "event.data.s == 5"}}, handle: echo},
	})

	t.Run("row 10 the events before a bad one run", func(t *testing.T) {
		req, err := http.NewRequest("POST", p.url+"/e/"+eventKey, strings.NewReader(`[{"name":"app/a"},{"name":"app/b"},{"name":""},{"name":"app/d"}]`))
		require.NoError(t, err)
		res, err := httpClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		var answer struct {
			IDs   []string
			Error string
		}
		require.NoError(t, decode(res.Body, &answer))
		require.Equal(t, 400, res.StatusCode)
		require.NotEmpty(t, answer.Error)
		require.Len(t, answer.IDs, 2)
		for _, id := range answer.IDs {
			p.ran(id)
		}
	})

	t.Run("row 14 an event of the past starts at once and keeps its time", func(t *testing.T) {
		past := time.Now().Add(-72 * time.Hour).UnixMilli()
		run := p.ran(p.send(event{Name: "app/past", TS: past})[0])
		var seen event
		require.NoError(t, json.Unmarshal(run.Output, &seen))
		require.Equal(t, past, seen.TS)
	})

	t.Run("row 15 what senders put into _inngest is not passed on", func(t *testing.T) {
		run := p.ran(p.send(event{Name: "app/forged", Data: op{"_inngest": op{"fn_id": "x"}, "n": 1}})[0])
		require.NotContains(t, string(run.Output), "_inngest")
		require.Contains(t, string(run.Output), `"n":1`)
	})

	t.Run("row 18 a prefix ends at a separator", func(t *testing.T) {
		ids := p.send(event{Name: "application/x"}, event{Name: "app"}, event{Name: "app/user.created"})
		require.Empty(t, p.runs(ids[0]))
		require.Empty(t, p.runs(ids[1]))
		p.ran(ids[2])
	})

	t.Run("row 19 two triggers that match are one run", func(t *testing.T) {
		p.ran(p.send(event{Name: "rows/twice"})[0])
	})

	for _, tt := range []struct {
		row, name string
		data      any
		runs      int
	}{
		{"row 20 more", "n/more", op{"n": 6}, 1},
		{"row 20 not more", "n/more", op{"n": 5}, 0},
		{"row 20 nothing", "n/more", op{}, 0},
		{"row 21 the path is there", "n/deep", op{"a": op{"b": op{"c": "x"}}}, 1},
		{"row 21 half of the path is missing", "n/deep", op{"a": op{}}, 0},
		{"row 21 the path is missing", "n/deep", nil, 0},
		{"row 21 the path leads through a number", "n/deep", op{"a": 1}, 0},
		{"row 22 a number", "n/type", op{"s": 5}, 1},
		{"row 22 a text that looks like one", "n/type", op{"s": "5"}, 0},
	} {
		t.Run(tt.row, func(t *testing.T) {
			require.Len(t, p.runs(p.send(event{Name: tt.name, Data: tt.data})[0]), tt.runs)
		})
	}

	t.Run("row 115 the runs of all functions that an event started", func(t *testing.T) {
		runs := p.outcome(p.send(event{Name: "rows/echo"})[0], 2)
		require.NotEqual(t, runs[0].ID, runs[1].ID)
	})

	t.Run("row 114 a run reads as completed right after its end", func(t *testing.T) {
		run := p.ran(p.send(event{Name: "app/now"})[0])
		require.NotNil(t, run.Ended)
		require.Less(t, time.Since(*run.Ended), 3*time.Second)
		require.NotEmpty(t, run.Output)
	})
}

// TestRowsOfSync: a refused sync changes nothing, and a moved app is called where
// it is now.
func TestRowsOfSync(t *testing.T) {
	p := startPawl(t, serve)
	fns := map[string]rawFn{
		"old": {event: "sync/old", handle: echo},
		"nap": {event: "sync/nap", handle: func(c *rawCall) rawAnswer {
			if c.has("nap") {
				return result("awake")
			}
			return ops(op{"op": "Sleep", "id": stepHash("nap"), "name": "nap", "opts": op{"duration": "3s"}})
		}},
	}
	a := startRawApp(t, p, "rows", fns)
	for name, bad := range map[string]rawFn{
		"row 23 an expression that does not compile": {triggers: []op{{"event": "sync/new", "expression": "event.data. =="}}},
		"row 108 a function that is not valid":       {triggers: []op{{"event": "sync/new", "cron": "* * * * *"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.registerAs(a.url, map[string]rawFn{"new": {event: "sync/old"}, "bad": bad})
			var refused *apiError
			require.True(t, errors.As(err, &refused), "%v", err)
			require.Equal(t, http.StatusBadRequest, refused.status)
			require.Contains(t, refused.body, "rows-bad")
			run := p.ran(p.send(event{Name: "sync/old"})[0]) // by one function, the old one
			require.Contains(t, string(run.Output), "sync/old")
			require.Empty(t, p.runs(p.send(event{Name: "sync/new"})[0]))
		})
	}

	t.Run("row 110 a sleeping run wakes where the app is now", func(t *testing.T) {
		run := p.awaitRuns(p.send(event{Name: "sync/nap"})[0], 1)[0]
		p.awaitStep(run.ID, "sleeping")
		woken := newCounter()
		moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			woken.add(req.Method)
			a.ServeHTTP(w, req)
		}))
		t.Cleanup(moved.Close)
		modified, err := a.registerAs(moved.URL+"/moved", fns)
		require.NoError(t, err)
		require.True(t, modified)
		run = p.await(run.ID)
		require.Equal(t, "Completed", run.Status)
		require.Equal(t, 1, woken.of("POST"), "requests at the new place")
	})
}

// awaitStep waits until a step of a run has a status.
func (p *pawl) awaitStep(runID, status string) {
	p.t.Helper()
	eventually(p.t, patience, func() error {
		for _, st := range p.steps(runID) {
			if st.Status == status {
				return nil
			}
		}
		return fmt.Errorf("run %s has no step that is %s", runID, status)
	})
}

// TestRowsOfEnds looks at what is told when a run ends, and to whom.
func TestRowsOfEnds(t *testing.T) {
	p := startPawl(t, serve)
	told := newCounter()
	release := make(chan struct{})
	tell := func(kind string) func(*rawCall) rawAnswer {
		return func(c *rawCall) rawAnswer {
			var e struct {
				Data struct {
					Run      string `json:"run_id"`
					Function string `json:"function_id"`
					Result   json.RawMessage
					Error    struct{ Name, Message string }
					Event    struct{ Name string }
				}
			}
			if err := json.Unmarshal(c.Event, &e); err != nil {
				return rawAnswer{status: 500, body: op{"message": err.Error()}}
			}
			told.add(kind + " " + e.Data.Run)
			told.add(kind)
			return result(op{"fn": e.Data.Function, "result": e.Data.Result, "error": e.Data.Error.Message, "event": e.Data.Event.Name})
		}
	}
	a := startRawApp(t, p, "ends", map[string]rawFn{
		"good": {event: "ends/good", handle: func(*rawCall) rawAnswer { return result("fine") }},
		"bad": {event: "ends/bad", handle: func(*rawCall) rawAnswer {
			return rawAnswer{status: 500, body: op{"name": "Error", "message": "broken"}}
		}},
		"long": {event: "ends/long", handle: func(c *rawCall) rawAnswer {
			return ops(c.body("a", 1, func() { <-release }))
		}},
		"far": {event: "ends/far", retries: 3, handle: func(*rawCall) rawAnswer {
			return ops(op{"op": "Sleep", "id": stepHash("nap"), "name": "367d"})
		}},
		"sender": {event: "ends/send", retries: 2, handle: func(c *rawCall) rawAnswer {
			if c.has("send") {
				return result("sent")
			}
			entropy := fmt.Sprintf("%.10s", c.Ctx.Run[16:])
			seed := fmt.Sprintf("%d,%s", 1743130137367, base64.StdEncoding.EncodeToString([]byte(entropy)))
			ids, err := c.app.p.trySend(seed, event{Name: "ends/good"})
			if err != nil || c.Ctx.Attempt == 0 {
				failed := c.body("send", nil, nil)
				failed["op"], failed["error"] = "StepError", op{"name": "Error", "message": "after sending"}
				return ops(failed)
			}
			return ops(c.body("send", op{"ids": ids}, nil))
		}},
		"on-finished":  {event: "inngest/function.finished", handle: tell("finished")},
		"on-cancelled": {event: "inngest/function.cancelled", handle: tell("cancelled")},
		"on-failed":    {event: "inngest/function.failed", handle: tell("failed")},
	})
	heard := func(t *testing.T, what string) {
		eventually(t, patience, func() error {
			if told.of(what) == 0 {
				return fmt.Errorf("%s was not told", what)
			}
			return nil
		})
	}

	good := p.ran(p.send(event{Name: "ends/good"})[0])
	t.Run("row 47 the end of a good run is told as finished", func(t *testing.T) {
		heard(t, "finished "+good.ID)
		require.Zero(t, told.of("failed "+good.ID)+told.of("cancelled "+good.ID))
	})
	t.Run("row 44 the end of a failed run is told as failed", func(t *testing.T) {
		run := p.outcome(p.send(event{Name: "ends/bad"})[0], 1)[0]
		require.Equal(t, "Failed", run.Status)
		heard(t, "failed "+run.ID)
		heard(t, "finished "+run.ID)
	})
	t.Run("rows 47 and 77 a cancelled run is told as cancelled, not as failed", func(t *testing.T) {
		run := p.awaitRuns(p.send(event{Name: "ends/long"})[0], 1)[0]
		a.log.await(t, started(run.ID, "a"))
		require.NoError(t, p.cancel(run.ID))
		heard(t, "cancelled "+run.ID)
		heard(t, "finished "+run.ID)
		close(release)
		require.Zero(t, told.of("failed "+run.ID))
	})
	t.Run("row 50 a sleep of 367 days fails at once", func(t *testing.T) {
		run := p.outcome(p.send(event{Name: "ends/far"})[0], 1)[0]
		require.Equal(t, "Failed", run.Status)
		require.Contains(t, run.message(), "InngestErrTimeoutTooLong")
		require.Len(t, a.of(run.ID), 1)
		heard(t, "finished "+run.ID)
	})
	t.Run("row 70 an event that a retried step sends again has one effect", func(t *testing.T) {
		run := p.ran(p.send(event{Name: "ends/send"})[0])
		var sent struct{ IDs []string }
		for _, c := range a.of(run.ID) {
			if c.has("send") {
				var memo struct{ Data json.RawMessage }
				require.NoError(t, json.Unmarshal(c.Steps[stepHash("send")], &memo))
				require.NoError(t, json.Unmarshal(memo.Data, &sent))
			}
		}
		require.Len(t, sent.IDs, 1)
		require.Equal(t, []int{0, 1}, attempts(a.log.lines(t, run.ID), "send"))
		child := p.ran(sent.IDs[0])
		heard(t, "finished "+child.ID)
		heard(t, "finished "+run.ID)
	})
	t.Run("row 48 those who are told of ends are told once of each, and not of their own", func(t *testing.T) {
		ends := 0
		for _, run := range p.allRuns("") {
			switch p.functionOf(run.ID) {
			case "ends-on-finished", "ends-on-failed":
				require.Zero(t, told.of("finished "+run.ID))
				continue
			}
			ends++
			heard(t, "finished "+run.ID)
			require.Equal(t, 1, told.of("finished "+run.ID), "run %s", run.ID)
		}
		require.Equal(t, ends, told.of("finished"))
	})
}

// functionOf returns the slug of a run's function.
func (p *pawl) functionOf(runID string) string {
	p.t.Helper()
	var run struct{ Function string }
	require.NoError(p.t, p.get("/v1/runs/"+runID, &run))
	return run.Function
}

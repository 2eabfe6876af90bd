package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/wire"
)

const stepA = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"

func stepRun(output string) string {
	return `{"id":"` + stepA + `","op":"StepRun","name":"a","displayName":"a","data":` + output + `,"promise":{},"rawArgs":["a",null]}`
}

// calling is a run whose first call is in flight until the test ends it.
type calling struct {
	*fixture
	run        string
	generation int64
	end        chan string // the body that ends the call
}

func newCalling(t *testing.T) calling {
	t.Helper()
	c := calling{end: make(chan string, 1)}
	in := make(chan callBody, 1)
	c.fixture = newFixture(t, withApp(func(r *http.Request) *http.Response {
		var body callBody
		if err := json.UnmarshalRead(r.Body, &body); err != nil {
			panic(err)
		}
		in <- body
		select {
		case out := <-c.end:
			return sdk(200, out)
		case <-r.Context().Done():
			return sdk(500, "{}")
		}
	}))
	c.register()
	c.send(`{"name":"order/paid"}`)
	body := <-in
	c.run = body.Ctx.RunID
	of, generation, ok := strings.Cut(body.Ctx.ItemID, ".")
	require.True(t, ok, "qi_id is %q, want <run>.<generation>", body.Ctx.ItemID)
	require.Equal(t, c.run, of)
	var err error
	c.generation, err = strconv.ParseInt(generation, 10, 64)
	require.NoError(t, err)
	t.Cleanup(func() { close(c.end) }) // before the engine waits for its calls
	return c
}

type callBody struct {
	Ctx struct {
		RunID  string `json:"run_id"`
		ItemID string `json:"qi_id"`
	} `json:"ctx"`
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()
	c := newCalling(t)
	path := "/v1/checkpoint/" + c.run + "/async"
	now, old := strconv.FormatInt(c.generation, 10), strconv.FormatInt(c.generation+1, 10)
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"a stale generation", `{"generation_id":` + old + `,"qi_id":"` + c.run + "." + now + `","steps":[` + stepRun("1") + `]}`, 409},
		{"a stale queue item of an SDK without generations", `{"qi_id":"` + c.run + "." + old + `","steps":[` + stepRun("1") + `]}`, 409},
		{"another run's queue item", `{"qi_id":"01JQDAE4RQF8MBCR55T5AK4KXS.` + now + `","steps":[]}`, 400},
		{"a generation that is none", `{"generation_id":1.5,"steps":[]}`, 400},
		{"an op that belongs in an answer", `{"generation_id":` + now + `,"steps":[{"id":"` + stepA + `","op":"Sleep","name":"1s"}]}`, 400},
		{"an op without a code", `{"generation_id":` + now + `,"steps":[{"id":"` + stepA + `"}]}`, 400},
		{"no steps", `{"steps":null}`, 200},
		{"the generation in force", `{"run_id":"` + c.run + `","fn_id":"x","generation_id":` + now + `,"steps":[` + stepRun(`{"x":1}`) + `],"ts":1}`, 200},
		{"the same again", `{"generation_id":` + now + `,"steps":[` + stepRun(`{"x":2}`) + `]}`, 200},
		{"a queue item of unknown form", `{"qi_id":"q:01JF","steps":[` + stepRun(`{"x":3}`) + `]}`, 200},
	} {
		w := c.post(path, tt.body)
		require.Equal(t, tt.status, w.Code, "%s: %s", tt.name, w.Body)
		if tt.status == 200 {
			require.JSONEq(t, "{}", w.Body.String())
		} else {
			wantRefusal(t, w, tt.status)
		}
	}
	require.Equal(t, `{"`+stepA+`":{"data":{"x":1}}}`, c.get("/v0/runs/"+c.run+"/actions").Body.String(), "the first report of a step counts")
	require.Contains(t, c.get("/v0/runs/"+c.run+"/batch").Body.String(), `"name":"order/paid"`)

	wantRefusal(t, c.post("/v1/http/runs/01JQDAE4RQF8MBCR55T5AK4KXS/async", `{"steps":[]}`), http.StatusNotFound)
	wantRefusal(t, c.get("/v0/runs/01JQDAE4RQF8MBCR55T5AK4KXS/batch"), http.StatusNotFound)

	c.end <- `"done"`
	require.NoError(t, c.eng.Await(t.Context(), c.run, 1<<20))
	wantRefusal(t, c.post("/v1/http/runs/"+c.run+"/async", `{"steps":[`+stepRun("4")+`]}`), http.StatusGone)
}

func TestCheckpointOverTheLimitOfAStep(t *testing.T) {
	t.Parallel()
	c := newCalling(t)
	large := `"` + strings.Repeat("x", wire.MaxStepBytes) + `"`
	wantRefusal(t, c.post("/v1/checkpoint/"+c.run+"/async", `{"steps":[`+stepRun(large)+`]}`), http.StatusRequestEntityTooLarge)
}

func TestCheckpointWakesWhoWaits(t *testing.T) {
	t.Parallel()
	c := newCalling(t)
	got := make(chan stepsView, 1)
	go func() { got <- data[stepsView](t, c.get("/v1/runs/"+c.run+"/steps?after=0&wait=30s")) }()
	require.Equal(t, http.StatusOK, c.post("/v1/checkpoint/"+c.run+"/async", `{"steps":[`+stepRun(`1`)+`]}`).Code)
	v := <-got
	require.Equal(t, 1, v.Seq)
	require.Equal(t, "Running", v.Run.Status)
	require.Len(t, v.Steps, 1)
	require.Equal(t, "a", v.Steps[0].Name)
	require.Equal(t, "completed", v.Steps[0].Status)
	require.Equal(t, "1", string(v.Steps[0].Output))

	// Waiting is over when the time is, and when the server drains.
	require.Equal(t, 1, data[stepsView](t, c.get("/v1/runs/"+c.run+"/steps?after=1&wait=1ms")).Seq)
	stopping, stop := context.WithCancel(t.Context())
	c.s.draining = stopping
	stop()
	require.Equal(t, 1, data[stepsView](t, c.get("/v1/runs/"+c.run+"/steps?after=1&wait=30s")).Seq)
}

func FuzzReadCheckpoint(f *testing.F) {
	f.Add([]byte(`{"generation_id":1,"qi_id":"r.2","steps":[` + stepRun(`{"x":1}`) + `]}`))
	f.Add([]byte(`{"qi_id":"r.7","steps":null,"\ud800":1}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		generation, ops, err := readCheckpoint("r", body)
		if err != nil {
			return
		}
		if generation < 0 || len(ops) > wire.MaxOps {
			t.Fatalf("generation %d, %d ops", generation, len(ops))
		}
		if errors.Is(wire.CheckJSON(body), wire.ErrNesting) {
			t.Fatal("too deep, and taken")
		}
	})
}

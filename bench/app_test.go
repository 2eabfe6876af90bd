package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// start makes a run of event number n on f without driving it.
func (f *fakeServer) start(event string, n int64) *fakeRun {
	f.mu.Lock()
	defer f.mu.Unlock()
	run := &fakeRun{
		id: "RUN", event: json.RawMessage(`{"name":"` + event + `","data":{"n":` + strconv.FormatInt(n, 10) + `}}`),
		url: f.functions[event], status: "Running", steps: map[string]json.RawMessage{},
	}
	f.runs["EVENT"] = run
	return run
}

func TestAppEndsARunAsAnSDKDoes(t *testing.T) {
	t.Parallel()
	plain := []string{"206 StepRun", "206 StepRun", "206 StepRun", "206 RunComplete"}
	for _, c := range []struct {
		name       string
		event      string
		checkpoint int // status of the answers to checkpoints, 0: taken
		attempt    int
		known      int // steps that are memoised before
		calls      []string
		status     string
		tally      Tally
	}{
		{
			"each step is checkpointed and one call ends the run", steadyEvent, 0, 0, 0,
			[]string{"206 RunComplete"},
			"Completed",
			Tally{Calls: 1, Steps: 3, Checkpoints: 3, Done: 1},
		},
		{
			"a memoised step does not run again", steadyEvent, 0, 0, 2,
			[]string{"206 RunComplete"},
			"Completed",
			Tally{Calls: 1, Steps: 1, Checkpoints: 1, Done: 1},
		},
		{
			"with all steps memoised only the end is left", steadyEvent, 0, 0, 3,
			[]string{"206 RunComplete"},
			"Completed",
			Tally{Calls: 1, Done: 1},
		},
		{
			"without checkpoints each call runs one step", plainEvent, 0, 0, 0, plain, "Completed",
			Tally{Calls: 4, Steps: 3, Done: 1},
		},
		{
			"a later attempt does not checkpoint", steadyEvent, 0, 1, 0, plain, "Completed",
			Tally{Calls: 4, Steps: 3, Done: 1},
		},
		{
			"steps whose checkpoint failed go along with the end", steadyEvent, 500, 0, 0,
			[]string{"206 StepRun StepRun StepRun RunComplete"},
			"Completed",
			Tally{Calls: 1, Steps: 3, Refused: 3, Done: 1},
		},
		{
			"a stale dispatch stops at once", steadyEvent, 409, 0, 0,
			[]string{"400 "},
			"Failed",
			Tally{Calls: 1, Steps: 1, Refused: 1, Stale: 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeServer(t)
			done := make(chan int64, 8)
			a := f.serve(t, func(n int64) { done <- n })
			f.checkpoint = c.checkpoint
			run := f.start(c.event, 40)
			for i := range c.known {
				run.save(fakeOp{stepID[i], "StepRun", json.RawMessage(`{"v":` + strconv.Itoa(41+i) + `}`)})
			}
			f.drive(run, c.attempt)
			if !slices.Equal(run.calls, c.calls) {
				t.Errorf("answers %q, want %q", run.calls, c.calls)
			}
			if run.status != c.status {
				t.Errorf("run is %s, want %s", run.status, c.status)
			}
			if c.status == "Completed" { // the app tells it after its answer
				if n := <-done; n != 40 {
					t.Errorf("the app told the end of run %d, want 40", n)
				}
			}
			if got := a.tally(); got != c.tally {
				t.Errorf("tally %+v, want %+v", got, c.tally)
			}
			if len(done) > 0 {
				t.Errorf("the app told %d more ends", len(done))
			}
			if c.status == "Completed" && (string(run.output) != `{"v":43}` || !slices.Equal(run.order, stepID[:])) {
				t.Errorf("output %s, steps %v; want {\"v\":43}, %v", run.output, run.order, stepID)
			}
		})
	}
}

func TestCheckpointEchoesItsCall(t *testing.T) {
	t.Parallel()
	f := newFakeServer(t)
	f.serve(t, func(int64) {})
	f.drive(f.start(steadyEvent, 1), 0)
	if len(f.checkpoints) != stepsOfRun {
		t.Fatalf("%d checkpoints, want %d", len(f.checkpoints), stepsOfRun)
	}
	for i, got := range f.checkpoints {
		if got.RunID != "RUN" || got.FnID != "FN" || got.QiID != "QI" || got.RequestID != "REQ" || got.GenerationID != 7 || len(got.Steps) != 1 || got.Steps[0].ID != stepID[i] {
			t.Errorf("checkpoint %d is %+v", i, got)
		}
	}
}

func TestAppServesTargetedAndPlannedCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		target string
		plan   bool
		want   string
	}{
		{"the next step is run alone", stepID[0], false, "206 StepRun"},
		{"a step out of order is refused", stepID[1], false, "500 "},
		{"a plan runs nothing", "step", true, "206 StepPlanned"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeServer(t)
			f.serve(t, func(int64) {})
			run := f.start(steadyEvent, 1)
			f.call(run, 0, c.target, c.plan)
			if got := run.calls[0]; got != c.want {
				t.Errorf("answered %q, want %q", got, c.want)
			}
		})
	}
}

func TestAppRefusesAWrongMemo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, step, memo string }{
		{"another value", stepID[0], `{"v":999}`},
		{"a step that has no place yet", stepID[2], `{"v":13}`},
		{"a step nobody knows", "0000", `{"v":11}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeServer(t)
			a := f.serve(t, func(int64) {})
			run := f.start(steadyEvent, 10)
			run.save(fakeOp{c.step, "StepRun", json.RawMessage(c.memo)})
			status, _ := f.call(run, 0, "step", false)
			if status != http.StatusInternalServerError || a.tally().Wrong != 1 || a.tally().Steps != 0 {
				t.Errorf("status %d, tally %+v; want 500, one wrong, no step run", status, a.tally())
			}
		})
	}
}

func TestRegistrationIsWhatAServerReads(t *testing.T) {
	t.Parallel()
	f := newFakeServer(t)
	a := f.serve(t, func(int64) {})
	for event, fn := range map[string]string{steadyEvent: steadyFunction, plainEvent: plainFunction} {
		if got, want := f.functions[event], a.self+"?fnId="+fn+"&stepId=step"; got != want {
			t.Errorf("%s calls %s, want %s", event, got, want)
		}
	}
	if !strings.Contains(string(f.registered), `"appName":"bench"`) {
		t.Errorf("registered %s", f.registered)
	}
}

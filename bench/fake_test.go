package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// fakeServer is just enough of a server to be loaded: it takes a registration and
// events, calls the app until a run ends, and remembers the steps.
type fakeServer struct {
	*httptest.Server
	key string

	mu          sync.Mutex
	functions   map[string]string // trigger event → URL
	runs        map[string]*fakeRun
	registered  []byte
	checkpoint  int // status to answer checkpoints with, 0 for taking them
	checkpoints []fakeCheckpoint
	work        sync.WaitGroup
}

type fakeRun struct {
	id     string
	event  json.RawMessage
	url    string
	status string
	steps  map[string]json.RawMessage
	order  []string
	calls  []string // what each call was answered: the ops in order
	output json.RawMessage
}

type fakeCheckpoint struct {
	RunID        string   `json:"run_id"`
	FnID         string   `json:"fn_id"`
	QiID         string   `json:"qi_id"`
	RequestID    string   `json:"request_id"`
	GenerationID int      `json:"generation_id"`
	Steps        []fakeOp `json:"steps"`
}

type fakeOp struct {
	ID   string          `json:"id"`
	Op   string          `json:"op"`
	Data json.RawMessage `json:"data"`
}

func newFakeServer(t testing.TB) *fakeServer {
	f := &fakeServer{key: "signkey-test-00", functions: map[string]string{}, runs: map[string]*fakeRun{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /fn/register", f.register)
	mux.HandleFunc("POST /e/key", f.events)
	mux.HandleFunc("POST /v1/checkpoint/{run}/async", f.saveCheckpoint)
	mux.HandleFunc("GET /v1/events/{event}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"data":{}}`) })
	mux.HandleFunc("GET /v1/events/{event}/runs", f.runsOfEvent)
	mux.HandleFunc("GET /v1/runs", f.listRuns)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(func() { f.work.Wait(); f.Close() })
	return f
}

func (f *fakeServer) addr() string { return strings.TrimPrefix(f.URL, "http://") }

func (f *fakeServer) register(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+f.key {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	b, _ := io.ReadAll(r.Body)
	var reg struct {
		Functions []struct {
			Triggers []struct{ Event string }
			Steps    map[string]struct{ Runtime struct{ URL string } }
		}
	}
	if err := json.Unmarshal(b, &reg); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registered = b
	for _, fn := range reg.Functions {
		f.functions[fn.Triggers[0].Event] = fn.Steps["step"].Runtime.URL
	}
	io.WriteString(w, `{"ok":true,"modified":true,"status":200}`)
}

func (f *fakeServer) events(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var events []json.RawMessage
	if bytes.HasPrefix(b, []byte("[")) {
		json.Unmarshal(b, &events)
	} else {
		events = []json.RawMessage{b}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for _, e := range events {
		var name struct{ Name string }
		json.Unmarshal(e, &name)
		id := fmt.Sprintf("EVENT%d", len(f.runs))
		ids = append(ids, id)
		if url, ok := f.functions[name.Name]; ok {
			run := &fakeRun{id: "RUN" + id, event: e, url: url, status: "Running", steps: map[string]json.RawMessage{}}
			f.runs[id] = run
			f.work.Go(func() { f.drive(run, 0) })
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"ids": ids, "status": 200})
}

// drive calls the app until the run has ended.
func (f *fakeServer) drive(run *fakeRun, attempt int) {
	for range 10 {
		status, ops := f.call(run, attempt, "step", false)
		f.mu.Lock()
		if status != http.StatusPartialContent {
			run.status = "Failed"
		}
		for _, op := range ops {
			if op.Op == "RunComplete" {
				run.status, run.output = "Completed", op.Data
			} else {
				run.save(op)
			}
		}
		ended := run.status != "Running"
		f.mu.Unlock()
		if ended {
			return
		}
	}
}

// save remembers a step; one that is known stays as it was.
func (run *fakeRun) save(op fakeOp) {
	if _, known := run.steps[op.ID]; op.Op == "StepRun" && !known {
		run.steps[op.ID], _ = json.Marshal(map[string]json.RawMessage{"data": op.Data})
		run.order = append(run.order, op.ID)
	}
}

// call sends one call and returns what the app answered.
func (f *fakeServer) call(run *fakeRun, attempt int, target string, plan bool) (int, []fakeOp) {
	f.mu.Lock()
	body, _ := json.Marshal(map[string]any{
		"ctx": map[string]any{
			"run_id": run.id, "fn_id": "FN", "qi_id": "QI", "attempt": attempt, "disable_immediate_execution": plan,
			"stack": map[string]any{"stack": run.order, "current": len(run.order)},
		},
		"event": run.event, "events": []json.RawMessage{run.event}, "steps": run.steps,
	})
	f.mu.Unlock()
	req, _ := http.NewRequest("POST", strings.Replace(run.url, "stepId=step", "stepId="+target, 1), bytes.NewReader(body))
	req.Header.Set("X-Request-ID", "REQ")
	req.Header.Set("X-Inngest-Generation-ID", "7")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	var ops []fakeOp
	b, _ := io.ReadAll(resp.Body)
	json.Unmarshal(b, &ops)
	said := make([]string, len(ops))
	for i, op := range ops {
		said[i] = op.Op
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	run.calls = append(run.calls, fmt.Sprintf("%d %s", resp.StatusCode, strings.Join(said, " ")))
	return resp.StatusCode, ops
}

func (f *fakeServer) saveCheckpoint(w http.ResponseWriter, r *http.Request) {
	var c fakeCheckpoint
	err := json.NewDecoder(r.Body).Decode(&c)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+f.key:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case err != nil || c.RunID != r.PathValue("run"):
		w.WriteHeader(http.StatusBadRequest)
		return
	case f.checkpoint != 0:
		w.WriteHeader(f.checkpoint)
		return
	}
	f.checkpoints = append(f.checkpoints, c)
	for _, run := range f.runs {
		if run.id == c.RunID {
			for _, op := range c.Steps {
				run.save(op)
			}
		}
	}
	io.WriteString(w, "{}")
}

func (f *fakeServer) runsOfEvent(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := []runRow{}
	if run := f.runs[r.PathValue("event")]; run != nil {
		rows = append(rows, runRow{run.id, run.status})
	}
	json.NewEncoder(w).Encode(map[string]any{"data": rows})
}

func (f *fakeServer) listRuns(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := []runRow{}
	for _, run := range f.runs {
		if run.status == r.URL.Query().Get("status") {
			rows = append(rows, runRow{run.id, run.status})
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"data": rows})
}

// serve starts an app against f and registers it.
func (f *fakeServer) serve(t testing.TB, done func(n int64)) *app {
	t.Helper()
	var a *app
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.ServeHTTP(w, r) }))
	t.Cleanup(func() { f.work.Wait(); srv.Close() })
	synced := 0
	a = newApp(f.addr(), f.key, srv.URL+appPath, func() { synced++ }, done)
	req, err := http.NewRequestWithContext(context.Background(), "PUT", srv.URL+appPath, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Inngest-Sync-Kind") != "out_of_band" || synced != 1 {
		t.Fatalf("sync: status %d, kind %q, synced %d times; want 200, out_of_band, once", resp.StatusCode, resp.Header.Get("X-Inngest-Sync-Kind"), synced)
	}
	return a
}

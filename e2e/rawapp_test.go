package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rawApp speaks the protocol by hand the way the Go SDK does. The Go SDK cannot
// be fetched here, and it has the most ways of its own: how it registers, how it
// names a sleep, what a 200 with null means.
type rawApp struct {
	t   *testing.T
	id  string
	url string
	p   *pawl
	log *appLog
	fns map[string]rawFn

	mu    sync.Mutex
	calls map[string][]*rawCall // by run, in order of arrival
}

// rawFn is a function of a raw app.
type rawFn struct {
	event    string // its trigger
	triggers []op   // instead of event, if it is not as simple as that
	retries  int
	handle   func(*rawCall) rawAnswer
	checkpts bool // registered with checkpointing
	settings op   // registered beside the others
}

// rawCall is one request to a raw app.
type rawCall struct {
	app        *rawApp
	arrived    time.Time
	header     http.Header
	query      map[string]string
	writer     http.ResponseWriter
	generation int

	Ctx struct {
		Run         string `json:"run_id"`
		Fn          string `json:"fn_id"`
		QI          string `json:"qi_id"`
		Step        string `json:"step_id"`
		Attempt     int    `json:"attempt"`
		MaxAttempts int    `json:"max_attempts"`
		Plan        bool   `json:"disable_immediate_execution"`
		Stack       struct {
			Stack   []string
			Current int
		}
	}
	Event   json.RawMessage
	Events  []json.RawMessage
	Steps   map[string]json.RawMessage
	UseAPI  bool `json:"use_api"`
	Version int
}

// rawAnswer is what a raw function answers; cut means that the connection was
// taken over and closed instead.
type rawAnswer struct {
	status  int
	noRetry bool
	body    any
	cut     bool
}

// ids are the ops of an answer as "op id", or its status.
func (r rawAnswer) ids() []string {
	list, ok := r.body.([]op)
	if !ok {
		return []string{strconv.Itoa(r.status)}
	}
	ids := make([]string, len(list))
	for i, o := range list {
		ids[i] = fmt.Sprint(o["op"], " ", o["id"])
	}
	return ids
}

// op is one operation of a 206 answer or of a checkpoint.
type op map[string]any

func stepRun(name string, data any) op {
	return op{
		"op": "StepRun", "id": stepHash(name), "name": name, "opts": nil, "data": data,
		"displayName": nil, "userland": op{"id": name}, "timing": op{"a": time.Now().UnixNano(), "b": 0},
	}
}

func stepPlanned(name string) op {
	return op{
		"op": "StepPlanned", "id": stepHash(name), "name": name, "opts": nil, "data": nil,
		"displayName": nil, "userland": op{"id": name}, "timing": op{"a": 0, "b": 0},
	}
}

func waitFor(name, event, condition, timeout string) op {
	opts := op{"event": event, "timeout": timeout}
	if condition != "" {
		opts["if"] = condition
	}
	return op{"op": "WaitForEvent", "id": stepHash(name), "name": name, "opts": opts, "data": nil}
}

func ops(list ...op) rawAnswer {
	if list == nil {
		list = []op{} // an empty array, not null
	}
	return rawAnswer{status: http.StatusPartialContent, body: list}
}

func result(body any) rawAnswer { return rawAnswer{status: http.StatusOK, body: body} }

// startRawApp serves fns and registers them with p.
func startRawApp(t *testing.T, p *pawl, id string, fns map[string]rawFn) *rawApp {
	t.Helper()
	a := &rawApp{
		t: t, id: id, p: p, fns: fns, calls: map[string][]*rawCall{},
		log: newAppLog(t, filepath.Join(t.TempDir(), id+".jsonl")),
	}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	a.url = srv.URL + "/api/inngest"
	modified, err := a.register()
	require.NoError(t, err)
	require.True(t, modified, "first registration of %s", id)
	return a
}

// register posts the functions in the Go SDK's form: a capital Singleton that may
// be null, a runtime without type, a URL without stepId, functions in any order. It returns whether the server saw a change.
func (a *rawApp) register() (modified bool, err error) {
	return a.registerAs(a.url, a.fns)
}

// registerAs registers functions as served at url.
func (a *rawApp) registerAs(url string, fns map[string]rawFn) (modified bool, err error) {
	var functions []op
	for name, fn := range fns {
		triggers := fn.triggers
		if triggers == nil {
			triggers = []op{{"event": fn.event}}
		}
		f := op{
			"name": name, "id": a.id + "-" + name,
			"triggers":  triggers,
			"Singleton": nil, "retries": fn.retries,
			"steps": op{"step": op{
				"id": "step", "name": name,
				"runtime": op{"url": url + "?fnId=" + a.id + "-" + name + "&step=step"},
				"retries": op{"attempts": fn.retries},
			}},
		}
		if fn.checkpts {
			f["checkpoint"] = op{"max_runtime": int64(time.Minute)}
		}
		for name, value := range fn.settings {
			f[name] = value
		}
		functions = append(functions, f)
	}
	rand.Shuffle(len(functions), func(i, j int) { functions[i], functions[j] = functions[j], functions[i] })
	var answer struct{ OK, Modified bool }
	err = a.post(a.p.url+"/fn/register", hashedKey, op{
		"v": "1", "url": url, "deployType": "ping", "sdk": "go:v0.16.0", "framework": "", "appName": a.id,
		"appVersion": "1.0", "functions": functions, "headers": op{"env": "", "platform": ""},
		"idempotencyKey": "", "capabilities": op{"in_band_sync": "v1", "trust_probe": "v1", "connect": "v1"},
	}, &answer)
	if err == nil && !answer.OK {
		err = fmt.Errorf("register %s: the answer is not ok", a.id)
	}
	return answer.Modified, err
}

// post sends JSON with a key, as the Go SDK's plain HTTP client does.
func (a *rawApp) post(url, key string, body, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest("POST", url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if a.p.mode == serve {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return do(req, out)
}

func (a *rawApp) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("X-Inngest-SDK", "go:v0.16.0")
	w.Header().Set("Content-Type", "application/json")
	if req.Method == http.MethodPut {
		w.Header().Set("X-Inngest-Sync-Kind", "out_of_band")
		if _, err := a.register(); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			json.NewEncoder(w).Encode(op{"code": "unknown", "message": err.Error()})
		}
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	call := &rawCall{app: a, arrived: time.Now(), header: req.Header, writer: w, query: map[string]string{}, generation: generation(req)}
	for k := range req.URL.Query() {
		call.query[k] = req.URL.Query().Get(k)
	}
	if err := json.Unmarshal(body, call); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		json.NewEncoder(w).Encode(op{"message": err.Error()})
		return
	}
	fn, ok := a.fns[call.query["fnId"][min(len(call.query["fnId"]), len(a.id)+1):]]
	if !ok {
		w.WriteHeader(http.StatusGone)
		json.NewEncoder(w).Encode(op{"message": "function not found: " + call.query["fnId"]})
		return
	}
	a.mu.Lock()
	a.calls[call.Ctx.Run] = append(a.calls[call.Ctx.Run], call)
	a.mu.Unlock()
	a.log.append(line{Run: call.Ctx.Run, What: "memo", IDs: keys(call.Steps), Gen: call.generation})

	answer := fn.handle(call)
	if answer.cut || req.Context().Err() != nil {
		a.log.append(line{Run: call.Ctx.Run, What: "cut", Gen: call.generation})
		return
	}
	// It is told before pawl knows it: what follows from it stands after it.
	a.log.append(line{Run: call.Ctx.Run, What: "answer", IDs: answer.ids(), Gen: call.generation})
	w.Header().Set("X-Inngest-Req-Version", "2")
	if answer.noRetry {
		w.Header().Set("X-Inngest-No-Retry", "true")
	}
	w.WriteHeader(answer.status)
	json.NewEncoder(w).Encode(answer.body)
}

// of returns the requests of a run, in order of arrival.
func (a *rawApp) of(run string) []*rawCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*rawCall(nil), a.calls[run]...)
}

// has reports whether the request carries the result of a step.
func (c *rawCall) has(step string) bool {
	_, ok := c.Steps[stepHash(step)]
	return ok
}

// targets reports whether the request asks for this step alone.
func (c *rawCall) targets(step string) bool { return c.query["stepId"] == stepHash(step) }

// cut closes the connection without an answer; the handler may go on, as user
// code does that does not notice.
func (c *rawCall) cut() rawAnswer {
	conn, _, err := c.writer.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
	return rawAnswer{cut: true}
}

// body logs a step's body and returns its op.
func (c *rawCall) body(step string, data any, work func()) op {
	c.app.log.append(line{Run: c.Ctx.Run, What: "start", Step: step, Attempt: c.Ctx.Attempt})
	if work != nil {
		work()
	}
	c.app.log.append(line{Run: c.Ctx.Run, What: "end", Step: step, Attempt: c.Ctx.Attempt})
	return stepRun(step, data)
}

// checkpoint reports finished steps with the raw key, as the Go SDK does. With
// generation 0 it says nothing about the dispatch it belongs to.
func (c *rawCall) checkpoint(generation int, steps ...op) error {
	sent := op{"run_id": c.Ctx.Run, "fn_id": c.Ctx.Fn, "qi_id": c.Ctx.QI, "steps": steps}
	if generation > 0 {
		sent["generation_id"] = generation
		sent["request_id"] = c.header.Get("X-Request-ID")
		sent["request_started_at"] = c.arrived.UnixMilli()
	}
	if err := c.app.post(c.app.p.url+"/v1/checkpoint/"+c.Ctx.Run+"/async", signingKey, sent, nil); err != nil {
		return err
	}
	var ids []string
	for _, s := range steps {
		ids = append(ids, s["id"].(string))
	}
	c.app.log.append(line{Run: c.Ctx.Run, What: "ack", IDs: ids, Gen: generation})
	return nil
}

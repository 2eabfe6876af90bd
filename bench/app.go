package main

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// What the app serves. Both functions run the same three steps; only the first
// saves each by a checkpoint, the other answers each call with one step.
const (
	appName        = "bench"
	steadyEvent    = "bench/steps"
	plainEvent     = "bench/plain"
	steadyFunction = appName + "-steps"
	plainFunction  = appName + "-plain"
	appPath        = "/api/inngest"
	stepsOfRun     = 3
	maxCallBytes   = 1 << 20
)

// completeID is the id of the op that ends a run: the SHA-1 of "complete".
const completeID = "0737c22d3bfae812339732d14d8c7dbd6dc4e09c"

// padding makes a step's result about 100 bytes, the size the budgets speak of.
var padding = strings.Repeat("x", 84)

// stepName and stepID are the steps of a run and the ids they have on the wire.
var (
	stepName = [stepsOfRun]string{"first", "second", "third"}
	stepID   = [stepsOfRun]string{hashed("first"), hashed("second"), hashed("third")}
)

func hashed(name string) string {
	sum := sha1.Sum([]byte(name))
	return hex.EncodeToString(sum[:])
}

// Tally is what the app saw; the driver compares it with what it sent.
type Tally struct {
	Calls       int64 // requests that asked for a function
	Steps       int64 // step bodies run
	Checkpoints int64 // checkpoints that the server took
	Refused     int64 // checkpoints that it did not take
	Stale       int64 // of these, because another dispatch had taken over
	Wrong       int64 // calls whose memo was not what the steps had returned
	Done        int64 // runs ended
}

// app is the app under load: it speaks the protocol as an SDK does, and does
// nothing else. It does not check the server's signatures, to leave the
// processor to the server.
type app struct {
	server string        // host:port of the server
	key    string        // raw signing key, which is a valid bearer
	self   string        // URL where the server reaches the app
	synced func()        // called when the server has taken the registration
	done   func(n int64) // called when the answer that ends run n is on its way
	idle   chan *conn    // connections for checkpoints, used again

	calls, steps, checkpoints, refused, stale, wrong, ended atomic.Int64
}

func newApp(server, key, self string, synced func(), done func(n int64)) *app {
	return &app{server: server, key: key, self: self, synced: synced, done: done, idle: make(chan *conn, 1024)}
}

// tally is a snapshot of the counters.
func (a *app) tally() Tally {
	return Tally{
		Calls: a.calls.Load(), Steps: a.steps.Load(), Checkpoints: a.checkpoints.Load(),
		Refused: a.refused.Load(), Stale: a.stale.Load(), Wrong: a.wrong.Load(), Done: a.ended.Load(),
	}
}

// call is what the app reads of a call's body.
type call struct {
	Ctx struct {
		RunID            string `json:"run_id"`
		FnID             string `json:"fn_id"`
		QiID             string `json:"qi_id"`
		Attempt          int    `json:"attempt"`
		DisableImmediate bool   `json:"disable_immediate_execution"`
		UseAPI           bool   `json:"use_api"`
	} `json:"ctx"`
	Event struct {
		Data struct {
			N int64 `json:"n"`
		} `json:"data"`
	} `json:"event"`
	Steps map[string]struct {
		Data *struct {
			V int64 `json:"v"`
		} `json:"data"`
	} `json:"steps"`
}

// ServeHTTP answers a sync (PUT), a call (POST) and, for the driver, the tally.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/tally":
		_ = json.NewEncoder(w).Encode(a.tally()) // a driver that has gone needs none
	case r.URL.Path != appPath:
		http.NotFound(w, r)
	case r.Method == http.MethodPut:
		a.serveSync(w, r)
	case r.Method == http.MethodPost:
		a.serveCall(w, r)
	default:
		a.answer(w, http.StatusOK, []byte(`{"function_count":2,"has_event_key":true,"has_signing_key":true,"mode":"cloud","schema_version":"2024-05-24"}`))
	}
}

// answer writes one answer with the headers an SDK sends, and flushes it: when
// answer returns, the answer is on its way.
func (a *app) answer(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["X-Inngest-Sdk"] = headerSDK
	h["X-Inngest-Req-Version"] = headerVersion
	h["Content-Type"] = headerJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a server that has gone away sends the call again
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

var (
	headerSDK     = []string{"pawl-bench:v1.0.0"}
	headerVersion = []string{"2"}
	headerJSON    = []string{"application/json"}
	headerFinal   = []string{"true"}
)

// serveSync registers the functions with the server while the server's PUT
// waits, which is the out-of-band way of the protocol.
func (a *app) serveSync(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Inngest-Sync-Kind", "out_of_band")
	if err := a.register(r.Context()); err != nil {
		a.answer(w, http.StatusInternalServerError, errorBody("sync", err.Error()))
		return
	}
	a.answer(w, http.StatusOK, []byte(`{"message":"Successfully registered","modified":true}`))
}

// register tells the server what the app serves.
func (a *app) register(ctx context.Context) error {
	function := func(id, event string) string {
		return fmt.Sprintf(`{"id":%q,"name":%q,"triggers":[{"event":%q}],"steps":{"step":{"id":"step","name":"step",`+
			`"runtime":{"type":"http","url":"%s?fnId=%s&stepId=step"},"retries":{"attempts":3}}}}`, id, id, event, a.self, id)
	}
	body := fmt.Sprintf(`{"url":%q,"deployType":"ping","framework":"net/http","appName":%q,"sdk":%q,"v":"0.1","functions":[%s,%s]}`,
		a.self, appName, headerSDK[0], function(steadyFunction, steadyEvent), function(plainFunction, plainEvent))
	c := newConn(a.server, a.key)
	defer c.close()
	status, answer, err := c.do(ctx, "POST", "/fn/register", []byte(body))
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("POST /fn/register: status %d: %s", status, firstBytes(answer))
	}
	a.synced()
	return nil
}

// serveCall replays a run from its memo and goes on from there.
func (a *app) serveCall(w http.ResponseWriter, r *http.Request) {
	a.calls.Add(1)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxCallBytes))
	var c call
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	switch {
	case err != nil:
		a.answer(w, http.StatusInternalServerError, errorBody("internal", err.Error()))
		return
	case c.Ctx.UseAPI:
		a.answer(w, http.StatusInternalServerError, errorBody("internal", "the state of a bench run is small; use_api is not served"))
		return
	}
	from, err := replay(&c)
	if err != nil {
		a.wrong.Add(1)
		a.answer(w, http.StatusInternalServerError, errorBody("replay", err.Error()))
		return
	}
	q := r.URL.Query()
	target, plain := q.Get("stepId"), q.Get("fnId") == plainFunction
	switch {
	case target != "" && target != "step":
		// A call for one step runs that one, and only when all before it is known.
		if from == stepsOfRun || stepID[from] != target {
			a.answer(w, http.StatusInternalServerError, errorBody("target", "step "+target+" is not the next one"))
			return
		}
		a.answer(w, http.StatusPartialContent, append(a.run(&c, []byte{'['}, from), ']'))
	case from < stepsOfRun && c.Ctx.DisableImmediate:
		a.answer(w, http.StatusPartialContent, fmt.Appendf(nil,
			`[{"id":%q,"op":"StepPlanned","name":%q,"displayName":%q,"opts":{},"userland":{"id":%q},"data":null}]`,
			stepID[from], stepName[from], stepName[from], stepName[from]))
	case from < stepsOfRun && (plain || c.Ctx.Attempt > 0):
		a.answer(w, http.StatusPartialContent, append(a.run(&c, []byte{'['}, from), ']'))
	default:
		a.serveRest(w, r, &c, from)
	}
}

// serveRest runs all steps that are left, saving each, and ends the run. A step
// that the server did not take goes along with the end; a stale dispatch stops.
func (a *app) serveRest(w http.ResponseWriter, r *http.Request, c *call, from int) {
	ops := append(make([]byte, 0, 512), '[')
	if from < stepsOfRun {
		conn := a.conn()
		defer a.give(conn)
		buf := make([]byte, 0, 1024)
		started := time.Now()
		for i := from; i < stepsOfRun; i++ {
			buf = a.checkpointHead(buf[:0], r, c, started)
			at := len(buf)
			buf = a.run(c, buf, i)
			end := len(buf)
			buf = append(buf, `],"ts":`...)
			buf = strconv.AppendInt(buf, time.Now().UnixMilli(), 10)
			buf = append(buf, '}')
			status, _, err := conn.do(r.Context(), "POST", "/v1/checkpoint/"+c.Ctx.RunID+"/async", buf)
			switch {
			case err == nil && status < 300:
				a.checkpoints.Add(1)
			case status == http.StatusConflict:
				a.refused.Add(1)
				a.stale.Add(1)
				w.Header()["X-Inngest-No-Retry"] = headerFinal
				a.answer(w, http.StatusBadRequest, errorBody("StaleDispatchError", "another dispatch has taken over"))
				return
			default:
				a.refused.Add(1)
				ops = append(append(ops, buf[at:end]...), ',')
			}
		}
	}
	ops = append(ops, `{"op":"RunComplete","id":"`+completeID+`","data":{"v":`...)
	ops = strconv.AppendInt(ops, c.Event.Data.N+stepsOfRun, 10)
	ops = append(ops, `}}]`...)
	a.answer(w, http.StatusPartialContent, ops)
	a.ended.Add(1)
	a.done(c.Event.Data.N)
}

// replay returns the number of steps that are memoised, and checks that each
// holds what it returned: the n-th step of a run returns the event's number + n.
func replay(c *call) (int, error) {
	known := 0
	for known < stepsOfRun {
		memo, ok := c.Steps[stepID[known]]
		if !ok {
			break
		}
		want := c.Event.Data.N + int64(known) + 1
		switch {
		case memo.Data == nil:
			return 0, fmt.Errorf("the memo of step %s has no data", stepName[known])
		case memo.Data.V != want:
			return 0, fmt.Errorf("the memo of step %s says %d, it returned %d", stepName[known], memo.Data.V, want)
		}
		known++
	}
	if len(c.Steps) != known {
		return 0, fmt.Errorf("the memo holds %d steps, the first %d in order", len(c.Steps), known)
	}
	return known, nil
}

// run runs step i and appends its op to buf.
func (a *app) run(c *call, buf []byte, i int) []byte {
	a.steps.Add(1)
	start := time.Now()
	buf = append(buf, `{"id":"`...)
	buf = append(buf, stepID[i]...)
	buf = append(buf, `","op":"StepRun","name":"`...)
	buf = append(buf, stepName[i]...)
	buf = append(buf, `","displayName":"`...)
	buf = append(buf, stepName[i]...)
	buf = append(buf, `","opts":{},"userland":{"id":"`...)
	buf = append(buf, stepName[i]...)
	buf = append(buf, `"},"data":{"v":`...)
	buf = strconv.AppendInt(buf, c.Event.Data.N+int64(i)+1, 10)
	buf = append(buf, `,"pad":"`...)
	buf = append(buf, padding...)
	buf = append(buf, `"},"timing":{"a":`...)
	buf = strconv.AppendInt(buf, start.UnixNano(), 10)
	buf = append(buf, `,"b":`...)
	buf = strconv.AppendInt(buf, int64(time.Since(start)), 10)
	return append(buf, `}}`...)
}

// checkpointHead appends a checkpoint's body up to its list of steps, with what
// the call said about itself.
func (a *app) checkpointHead(buf []byte, r *http.Request, c *call, started time.Time) []byte {
	buf = append(buf, `{"run_id":`...)
	buf = strconv.AppendQuote(buf, c.Ctx.RunID)
	buf = append(buf, `,"fn_id":`...)
	buf = strconv.AppendQuote(buf, c.Ctx.FnID)
	buf = append(buf, `,"qi_id":`...)
	buf = strconv.AppendQuote(buf, c.Ctx.QiID)
	if id := r.Header.Get("X-Request-Id"); id != "" {
		buf = append(buf, `,"request_id":`...)
		buf = strconv.AppendQuote(buf, id)
	}
	if generation, err := strconv.ParseInt(r.Header.Get("X-Inngest-Generation-Id"), 10, 64); err == nil {
		buf = append(buf, `,"generation_id":`...)
		buf = strconv.AppendInt(buf, generation, 10)
	}
	buf = append(buf, `,"request_started_at":`...)
	buf = strconv.AppendInt(buf, started.UnixMilli(), 10)
	return append(buf, `,"steps":[`...)
}

// conn takes an idle connection to the server, or a new one; give returns it.
func (a *app) conn() *conn {
	select {
	case c := <-a.idle:
		return c
	default:
		return newConn(a.server, a.key)
	}
}

func (a *app) give(c *conn) {
	select {
	case a.idle <- c:
	default:
		c.close()
	}
}

// errorBody is an error as an SDK answers it.
func errorBody(name, message string) []byte {
	body, err := json.Marshal(map[string]string{"name": name, "message": message})
	if err != nil {
		panic(err) // two strings always encode
	}
	return body
}

// firstBytes is the start of an answer, for an error text.
func firstBytes(b []byte) string { return string(b[:min(len(b), 300)]) }

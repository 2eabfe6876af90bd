package e2e

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// goEndpoints is an app with durable endpoints that behaves as the Go SDK's
// package stephttp does, which cannot be fetched here: it runs the whole handler
// and reports all of it in one checkpoint at the end, redirects with 303, answers
// with a plain response when it is entered again, and is signed over the run's id.
// It is a process of its own, so that it can be killed: this very test binary,
// told so by its environment.
const goEndpointsEnv = "PAWL_E2E_GO_ENDPOINTS"

var goapp = sdk{name: "go"}

// goServer is that process.
type goServer struct {
	pawl, origin, key string
	log               *appLog
	mu                sync.Mutex
	failures          map[string]int
}

func serveGoEndpoints() error {
	f, err := os.OpenFile(os.Getenv("APP_LOG"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	s := &goServer{
		pawl:   os.Getenv("INNGEST_BASE_URL"),
		origin: os.Getenv("INNGEST_SERVE_ORIGIN"),
		key:    os.Getenv("INNGEST_SIGNING_KEY"),
		log:    &appLog{file: f}, failures: map[string]int{},
	}
	if at := os.Getenv("INNGEST_DEV"); at != "0" {
		s.pawl = at
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	for name, handler := range s.handlers() {
		mux.HandleFunc("/api/"+name, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, handler) })
	}
	return http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux)
}

// goRun is one request to an endpoint.
type goRun struct {
	s       *goServer
	id, key string
	again   bool   // entered by Pawl
	target  string // the one step that is asked for
	memo    map[string]json.RawMessage
	ops     []op
	failed  bool // a step has
}

// hijack ends a handler whose run goes on elsewhere.
type hijack struct{}

func (g *goRun) say(what, step string) {
	g.s.log.append(line{Run: g.id, Key: g.key, What: what, Step: step})
}

// done returns the result of a step that is known.
func (g *goRun) done(name string) (data json.RawMessage, err error, ok bool) { //nolint:revive // as the handlers need it
	raw, ok := g.memo[stepHash(name)]
	if !ok {
		return nil, nil, false
	}
	var m struct {
		Data  json.RawMessage
		Error *struct{ Message string }
	}
	if json.Unmarshal(raw, &m) == nil && m.Error != nil {
		return nil, errors.New(m.Error.Message), true
	}
	return m.Data, nil, true
}

func (g *goRun) leave(ops ...op) {
	g.ops = append(g.ops, ops...)
	panic(hijack{})
}

// step runs a step. When the endpoint was entered again, the handler ends with it.
func (g *goRun) step(name string, work func() (any, error)) (json.RawMessage, error) {
	if data, err, ok := g.done(name); ok {
		return data, err
	}
	g.say("start", name)
	data, err := work()
	if err != nil {
		failed := op{"op": "StepError", "id": stepHash(name), "name": name, "error": op{"name": "Error", "message": err.Error()}, "data": nil}
		g.failed = true
		if g.again {
			g.leave(failed)
		}
		g.ops = append(g.ops, failed)
		return nil, err
	}
	g.say("end", name)
	if g.again {
		g.leave(stepRun(name, data))
	}
	g.ops = append(g.ops, stepRun(name, data))
	return json.Marshal(data)
}

func (g *goRun) sleep(name, d string) {
	if _, _, ok := g.done(name); !ok {
		g.leave(op{"op": "Sleep", "id": stepHash(name), "name": name, "opts": op{"duration": d}})
	}
}

// wait returns the event that came, or null.
func (g *goRun) wait(name, event, condition, timeout string) json.RawMessage {
	came, ok := g.memo[stepHash(name)]
	if !ok {
		g.leave(waitFor(name, event, condition, timeout))
	}
	return came
}

func (g *goRun) invoke(name, fn string, data any) json.RawMessage {
	got, _, ok := g.done(name)
	if !ok {
		g.leave(op{"op": "InvokeFunction", "id": stepHash(name), "name": name, "opts": op{"function_id": fn, "payload": op{"data": data}}})
	}
	return got
}

// parallel plans steps, and runs the one that is asked for.
func (g *goRun) parallel(work map[string]func() (any, error)) {
	var planned []op
	for name, f := range work {
		switch _, _, ok := g.done(name); {
		case ok:
		case g.target == stepHash(name):
			g.step(name, f)
		default:
			planned = append(planned, stepPlanned(name))
		}
	}
	if len(planned) > 0 {
		g.leave(planned...)
	}
}

// kept is a response that is held back until the handler has ended.
type kept struct{ *httptest.ResponseRecorder }

// serve answers one request, of a client or of Pawl.
func (s *goServer) serve(w http.ResponseWriter, r *http.Request, handler func(*goRun, http.ResponseWriter, *http.Request)) {
	g := &goRun{s: s, id: ulid.Make().String(), key: r.URL.Query().Get("key")}
	if run := r.Header.Get("X-Run-ID"); s.signed(r, run) {
		if memo, err := s.state(run); err == nil {
			g.id, g.again, g.memo, g.target = run, true, memo, r.Header.Get("X-Inngest-Step-ID")
		}
	}
	g.say("enter", "")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	reading := &readBody{Reader: bytes.NewReader(body)}
	r.Body = reading
	k := kept{httptest.NewRecorder()}
	begun, left := time.Now(), false
	func() {
		defer func() {
			switch p := recover().(type) {
			case nil:
			case hijack:
				left = true
			default:
				panic(p)
			}
		}()
		handler(g, k, r)
	}()
	w.Header().Set("X-Inngest-SDK", "go:0.16.0")
	if g.again {
		w.Header().Set("X-Run-ID", ulid.Make().String()) // as the SDK does
		if left {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusPartialContent)
			json.NewEncoder(w).Encode(g.ops)
			return
		}
		k.send(w)
		return
	}
	w.Header().Set("X-Run-ID", g.id)
	if !left {
		k.send(w)
		http.NewResponseController(w).Flush()
		if len(g.ops) == 0 {
			return // nobody is told of a request without steps
		}
		if !g.failed {
			g.ops = append(g.ops, op{"op": "RunComplete", "id": stepHash("complete"), "data": op{
				"status": k.Code, "headers": flat(w.Header()), "body": k.Body.String(), "duration": time.Since(begun).Nanoseconds(),
			}})
		}
	}
	var text any // of a body that the handler has read there is nothing left
	if !reading.begun {
		text = body
	}
	token, err := s.report(g, r, text)
	if err != nil {
		fmt.Fprintln(os.Stderr, "checkpoint:", err)
	}
	if left {
		w.Header().Set("Location", s.pawl+"/v1/http/runs/"+g.id+"/output?token="+url.QueryEscape(token))
		w.WriteHeader(http.StatusSeeOther)
	}
}

// readBody knows whether anybody has read it.
type readBody struct {
	*bytes.Reader
	begun bool
}

func (b *readBody) Read(p []byte) (int, error) { b.begun = true; return b.Reader.Read(p) }
func (b *readBody) Close() error               { return nil }

func (k kept) send(w http.ResponseWriter) {
	for name, values := range k.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(k.Code)
	w.Write(k.Body.Bytes())
}

func flat(h http.Header) map[string]string {
	m := map[string]string{}
	for name := range h {
		m[name] = h.Get(name)
	}
	return m
}

// signed reports whether a request says that it is Pawl's, and is.
func (s *goServer) signed(r *http.Request, run string) bool {
	if _, err := ulid.ParseStrict(run); err != nil {
		return false
	}
	if s.key == "" {
		return true
	}
	sent, err := url.ParseQuery(r.Header.Get("X-Inngest-Signature"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(s.key[strings.LastIndex(s.key, "-")+1:]))
	mac.Write([]byte(run + sent.Get("t")))
	return hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(sent.Get("s")))
}

func (s *goServer) ask(method, path string, body, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, s.pawl+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	return do(req, out)
}

func (s *goServer) state(run string) (memo map[string]json.RawMessage, err error) {
	err = s.ask("GET", "/v0/runs/"+run+"/actions", nil, &memo)
	return memo, err
}

// report sends everything there is to say, five times if need be.
func (s *goServer) report(g *goRun, r *http.Request, body any) (token string, err error) {
	sent := op{
		"run_id": g.id, "idempotency": "", "steps": g.ops,
		"event": op{"name": "http/run.started", "data": op{
			"domain": cmp.Or(s.origin, "http://"+r.Host), "method": r.Method, "path": r.URL.Path, "query_params": r.URL.RawQuery,
			"content_type": r.Header.Get("Content-Type"), "ip": "", "body": body, "fn": "",
		}},
	}
	var answer struct{ Data struct{ Token string } }
	for pause := 50 * time.Millisecond; ; pause *= 2 {
		if err = s.ask("POST", "/v1/http/runs", sent, &answer); err == nil || pause > 400*time.Millisecond {
			return answer.Data.Token, err
		}
		<-time.After(pause)
	}
}

// fail fails the first n times that a request comes to a place.
func (s *goServer) fail(place string, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures[place]++; s.failures[place] <= n {
		return fmt.Errorf("%s fails, %d of %d", place, s.failures[place], n)
	}
	return nil
}

// value is a step's work that cannot fail.
func value(v any) func() (any, error) { return func() (any, error) { return v, nil } }

func after(ms int, v any) func() (any, error) {
	return func() (any, error) {
		<-time.After(time.Duration(ms) * time.Millisecond)
		return v, nil
	}
}

func answerJSON(w http.ResponseWriter, status int, v op) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is of texts and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}

// handlers are those of apps/ts/endpoints.mjs, as they would be written in Go.
func (s *goServer) handlers() map[string]func(*goRun, http.ResponseWriter, *http.Request) {
	number := func(r *http.Request, name string) int {
		n, _ := strconv.Atoi(r.URL.Query().Get(name)) // 0 if there is none
		return n
	}
	return map[string]func(*goRun, http.ResponseWriter, *http.Request){
		"plain": func(g *goRun, w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"a", "b", "c"} {
				g.step(name, value(name))
			}
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Trip", "there and back")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, "%s: 1 2 3\n", g.key)
		},
		"nothing": func(g *goRun, w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, http.StatusAccepted, op{"key": g.key})
		},
		"slow": func(g *goRun, w http.ResponseWriter, r *http.Request) {
			if d := r.URL.Query().Get("for"); d != "" {
				g.sleep("nap", d)
			}
			seen := []int{}
			for i := 1; i <= number(r, "n"); i++ {
				g.step(fmt.Sprintf("s%d", i), after(number(r, "ms"), i))
				seen = append(seen, i)
			}
			answerJSON(w, http.StatusOK, op{"key": g.key, "seen": seen})
		},
		"flaky": func(g *goRun, w http.ResponseWriter, r *http.Request) {
			g.step("a", value(1))
			if _, err := g.step("b", func() (any, error) { return 2, s.fail(g.key+" b", number(r, "n")) }); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			g.step("c", value(3))
			answerJSON(w, http.StatusCreated, op{"c": 3, "key": g.key})
		},
		"caught": func(g *goRun, w http.ResponseWriter, _ *http.Request) {
			g.step("book", value("booked"))
			if _, err := g.step("pay", func() (any, error) { return nil, s.fail(g.key+" pay", 1000) }); err != nil {
				if !g.again { // the first time, the SDK asks Pawl to try again
					http.Error(w, err.Error(), http.StatusBadGateway)
					return
				}
				g.step("undo", value("undone"))
				answerJSON(w, http.StatusConflict, op{"key": g.key, "undone": "undone"})
			}
		},
		"broken": func(g *goRun, w http.ResponseWriter, _ *http.Request) {
			g.step("a", value(1))
			http.Error(w, g.key+" is broken", http.StatusServiceUnavailable)
		},
		"nap": func(g *goRun, w http.ResponseWriter, r *http.Request) {
			g.step("a", value(1))
			g.sleep("nap", cmp.Or(r.URL.Query().Get("for"), "1s"))
			g.step("b", value(2))
			w.Header().Set("X-Trip", "there and back")
			answerJSON(w, http.StatusCreated, op{"b": 2, "key": g.key})
		},
		"approval": func(g *goRun, w http.ResponseWriter, r *http.Request) {
			g.step("ask", value(1))
			came := g.wait("approval", "trip/approval", fmt.Sprintf("async.data.key == %q", g.key), cmp.Or(r.URL.Query().Get("for"), "1h"))
			var e *struct{ Data struct{ Approved bool } }
			if json.Unmarshal(came, &e) != nil || e == nil {
				answerJSON(w, http.StatusRequestTimeout, op{"expired": true, "key": g.key})
				return
			}
			done := "decline"
			if e.Data.Approved {
				done = "book"
			}
			g.step(done, value(done))
			answerJSON(w, http.StatusOK, op{"done": done, "key": g.key})
		},
		"invoke": func(g *goRun, w http.ResponseWriter, r *http.Request) {
			g.step("a", value(1))
			got := g.invoke("double", "raw-double", op{"n": number(r, "n")})
			g.step("b", value(1))
			answerJSON(w, http.StatusOK, op{"got": got, "key": g.key})
		},
		"parallel": func(g *goRun, w http.ResponseWriter, r *http.Request) {
			g.parallel(map[string]func() (any, error){"left": after(number(r, "ms"), "l"), "right": after(number(r, "ms"), "r")})
			g.step("after", value("lr"))
			answerJSON(w, http.StatusOK, op{"after": "lr", "key": g.key})
		},
		"echo": func(g *goRun, w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("first") != "" { // read before anything is waited for
				if sent, err := io.ReadAll(r.Body); err != nil || len(sent) == 0 && !g.again {
					panic("no body")
				}
			}
			g.step("a", value(1))
			if d := r.URL.Query().Get("for"); d != "" {
				g.sleep("nap", d)
			}
			g.step("b", value(1))
			sent, err := io.ReadAll(r.Body)
			if err != nil {
				panic(err)
			}
			answerJSON(w, http.StatusOK, op{
				"key": g.key, "method": r.Method, "query": r.URL.RawQuery, "sent": string(sent), "type": r.Header.Get("Content-Type"),
			})
		},
	}
}

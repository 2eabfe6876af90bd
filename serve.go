package pawl

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
)

// Version of the SDK, as servers see it.
const sdkVersion = "v0.1.0"

const (
	sdkName = "pawl"
	sdk     = sdkName + ":" + sdkVersion
	// execution is the version of the protocol by which steps are scheduled.
	execution = "2"
	// maxCall bounds the body of a call, in bytes.
	maxCall = 100 << 20
)

// ServeHTTP answers a server: it runs functions, and tells which there are.
// With a signing key only what is signed by it is answered; without one, only
// a development server is.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = traced(r)
	if run := r.URL.Query().Get(resultParameter); run != "" && r.Method == http.MethodGet && proto.BackendOf(r) == nil {
		a.result(w, r, run)
		return
	}
	h := w.Header()
	h.Set(proto.HeaderSDK, sdk)
	h.Set("User-Agent", sdk)
	h.Set(proto.HeaderFramework, "net/http")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall))
	if err != nil {
		a.reply(w, nil, http.StatusBadRequest, failure("the request cannot be read: "+err.Error()))
		return
	}
	api, key, err := a.caller(r, body)
	if err != nil {
		a.log.Warn("a call was refused", "app", a.name, "err", err)
		a.reply(w, nil, http.StatusUnauthorized, failure(err.Error()))
		return
	}
	if proto.BackendOf(r) != nil && r.Header.Get(proto.HeaderAttempt) != "" { // calls of functions tell that in their bodies
		a.enter(w, r, body, api)
		return
	}
	switch {
	case r.Method == http.MethodGet:
		a.reply(w, key, http.StatusOK, a.introspection(key))
	case r.Method == http.MethodPut:
		a.sync(w, r, body, api, key)
	case r.Method != http.MethodPost:
		h.Set("Allow", "GET, POST, PUT")
		a.reply(w, key, http.StatusMethodNotAllowed, failure("method "+r.Method+" is not allowed here"))
	case r.URL.Query().Get("probe") == "trust":
		a.reply(w, key, http.StatusOK, map[string]any{})
	default:
		a.call(w, r, body, api, key)
	}
}

// traced is r with the trace that its headers tell of, for what is sent on.
func traced(r *http.Request) *http.Request {
	return r.WithContext(proto.WithTrace(r.Context(), proto.TraceIn(r.Header)))
}

// caller is the server that a request comes from, and the key that both share.
func (a *App) caller(r *http.Request, body []byte) (proto.Backend, *proto.Key, error) {
	if b := proto.BackendOf(r); b != nil {
		return b, nil, nil // it is in this process
	}
	ring := a.keys.Load()
	if ring == nil {
		if !a.set.dev {
			return nil, nil, errors.New("the app has no signing key, and is not in development mode: set INNGEST_SIGNING_KEY, or INNGEST_DEV=1 for a development server")
		}
		return a.api(), nil, nil
	}
	if a.set.dev && r.Header.Get(proto.HeaderSignature) == "" {
		return a.api(), nil, nil
	}
	signature, now := r.Header.Get(proto.HeaderSignature), time.Now()
	for _, k := range append([]proto.Key{ring.Current}, ring.Previous...) {
		one := proto.Keyring{Current: k}
		if one.Verify(signature, body, now) == nil {
			return a.api(), &k, nil
		}
		// Servers may send other bytes than the canonical ones that they sign.
		if canonical, err := canonicalJSON(body); err == nil && one.Verify(signature, canonical, now) == nil {
			return a.api(), &k, nil
		}
	}
	return nil, nil, errors.New("the request's signature is not accepted: the signing keys of the server and of the app differ, or their clocks do")
}

func failure(message string) map[string]any { return map[string]any{"message": message} }

// reply answers with JSON, signed by key if there is one.
func (a *App) reply(w http.ResponseWriter, key *proto.Key, status int, body any) {
	b, err := marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"message":"the answer cannot be written as JSON"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if key != nil {
		h.Set(proto.HeaderSignature, key.Sign(time.Now(), b))
	}
	w.WriteHeader(status)
	_, _ = w.Write(b) // whoever asked may be gone
}

func (a *App) introspection(key *proto.Key) map[string]any {
	mode := "cloud"
	if a.set.dev {
		mode = "dev"
	}
	m := map[string]any{
		"function_count": len(a.all()), "mode": mode, "schema_version": "2024-05-24",
		"has_event_key": a.set.eventKey != "", "has_signing_key": a.keys.Load() != nil,
	}
	if key != nil {
		m["authentication_succeeded"] = true
		m["app_id"], m["sdk_language"], m["sdk_version"] = a.name, sdkName, sdkVersion
	}
	return m
}

// sync tells a server the app's functions: in its answer if that is asked for,
// and otherwise by a request of its own.
func (a *App) sync(w http.ResponseWriter, r *http.Request, body []byte, api proto.Backend, key *proto.Key) {
	if err := a.Err(); err != nil {
		a.reply(w, key, http.StatusInternalServerError, failure(err.Error()))
		return
	}
	var in struct {
		URL string `json:"url"`
	}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			a.reply(w, key, http.StatusBadRequest, failure("the body is no JSON object with a url"))
			return
		}
	}
	url := a.servedAt(r, in.URL)
	inProcess := proto.BackendOf(r) != nil
	if inProcess {
		if err := a.belong(api, proto.InterceptorOf(r)); err != nil {
			a.reply(w, key, http.StatusConflict, failure(err.Error()))
			return
		}
	}
	if inProcess || strings.EqualFold(r.Header.Get(proto.HeaderSyncKind), proto.SyncInBand) {
		w.Header().Set(proto.HeaderSyncKind, proto.SyncInBand)
		a.reply(w, key, http.StatusOK, a.inBand(url, key))
		return
	}
	w.Header().Set(proto.HeaderSyncKind, proto.SyncOutOfBand)
	modified, err := a.register(r.Context(), url, r.Header.Get(proto.HeaderServerKind), r.URL.Query().Get("deployId"))
	if err != nil {
		a.log.Error("the app could not be registered", "app", a.name, "err", err)
		a.reply(w, key, http.StatusInternalServerError, failure(err.Error()))
		return
	}
	a.reply(w, key, http.StatusOK, map[string]any{"message": "Successfully registered", "modified": modified})
}

// servedAt is the URL by which the server is to call the app.
func (a *App) servedAt(r *http.Request, asked string) string {
	if asked != "" && (a.set.origin == "" || proto.BackendOf(r) != nil) {
		return asked
	}
	if a.set.origin != "" {
		if strings.Count(a.set.origin, "/") > 2 { // it has a path
			return a.set.origin
		}
		return a.set.origin + r.URL.Path
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + r.URL.Path
}

func (a *App) inBand(url string, key *proto.Key) map[string]any {
	return map[string]any{
		"app_id": a.name, "url": url, "functions": a.registrations(url), "framework": "net/http",
		"sdk_author": "pawl", "sdk_language": sdkName, "sdk_version": strings.TrimPrefix(sdkVersion, "v"), "sdk": sdk,
		"env": nil, "platform": nil, "inspection": a.introspection(key),
		"capabilities": map[string]any{"in_band_sync": "v1", "trust_probe": "v1"},
	}
}

func (a *App) registrations(url string) []map[string]any {
	list := []map[string]any{}
	for _, f := range a.all() {
		list = append(list, f.registration(url))
	}
	return list
}

// callBody is the body of a call. Source: spec/03 §1.
type callBody struct {
	Ctx struct {
		Attempt     int            `json:"attempt"`
		MaxAttempts int            `json:"max_attempts"`
		Tries       map[string]int `json:"tries"`
		Lost        int            `json:"lost"`
		Plan        bool           `json:"disable_immediate_execution"`
		Check       bool           `json:"check"`
		FunctionID  string         `json:"fn_id"`
		ItemID      string         `json:"qi_id"`
		RunID       string         `json:"run_id"`
		UseAPI      bool           `json:"use_api"`
	} `json:"ctx"`
	Event  json.RawMessage            `json:"event"`
	Events []json.RawMessage          `json:"events"`
	Steps  map[string]json.RawMessage `json:"steps"`
	UseAPI bool                       `json:"use_api"`
}

// call runs a function once through.
func (a *App) call(w http.ResponseWriter, r *http.Request, body []byte, api proto.Backend, key *proto.Key) {
	w.Header().Set(proto.HeaderVersion, execution)
	query := r.URL.Query()
	f := a.function(query.Get("fnId"))
	if f == nil {
		a.answer(w, key, answer{status: http.StatusGone, body: failure(fmt.Sprintf("function not found: %s", query.Get("fnId")))})
		return
	}
	var in callBody
	if err := json.Unmarshal(body, &in); err != nil {
		a.answer(w, key, answer{status: http.StatusBadRequest, body: failure("the call cannot be read: " + err.Error())})
		return
	}
	c, err := a.newCall(r, f, in, api)
	if err != nil {
		a.answer(w, key, answer{status: http.StatusInternalServerError, body: bodyOf(err)})
		return
	}
	a.answer(w, key, c.run(r.Context()))
}

func (a *App) newCall(r *http.Request, f *function, in callBody, api proto.Backend) (*call, error) {
	c := &call{
		app: a, fn: f, api: api,
		runID: in.Ctx.RunID, functionID: in.Ctx.FunctionID, itemID: in.Ctx.ItemID,
		requestID: r.Header.Get(proto.HeaderRequestID),
		check:     in.Ctx.Check,
		plan:      in.Ctx.Plan || in.Ctx.Check, attempt: in.Ctx.Attempt, failed: in.Ctx.Tries, lost: in.Ctx.Lost, tries: in.Ctx.MaxAttempts, started: time.Now(),
		events: in.Events, memos: in.Steps,
		names: map[string]*usage{}, ids: map[string]bool{}, rested: make(chan struct{}),
		intercept: proto.InterceptorOf(r),
	}
	c.generation, _ = strconv.ParseInt(r.Header.Get(proto.HeaderGenerationID), 10, 64) // 0: the server has none
	if c.tries <= 0 {
		c.tries = f.retries() + 1
	}
	if t := r.URL.Query().Get("stepId"); t != "" && t != proto.StepDiscovery && !c.check {
		c.target = t
	}
	if in.UseAPI || in.Ctx.UseAPI {
		if err := c.fetch(r.Context()); err != nil {
			return nil, err
		}
	}
	if len(c.events) == 0 && in.Event != nil {
		c.events = []json.RawMessage{in.Event}
	}
	if c.functionID != "" && c.itemID != "" && c.target == "" && !c.check {
		ack := f.config.ack
		if ack == 0 {
			ack = AckEachStep
		}
		c.saver = newSaver(c, ack)
	}
	return c, nil
}

// fetch gets the state that is too large for a call.
func (c *call) fetch(ctx context.Context) error {
	events, memos, err := c.api.State(ctx, c.runID)
	if err == nil {
		err = errors.Join(json.Unmarshal(events, &c.events), json.Unmarshal(memos, &c.memos))
	}
	if err != nil {
		return fmt.Errorf("pawl: the state of run %s: %w", c.runID, err)
	}
	return nil
}

// answer is what a call comes to.
type answer struct {
	status  int
	body    any
	noRetry bool
	after   time.Duration // 0: the server decides
}

func (a *App) answer(w http.ResponseWriter, key *proto.Key, out answer) {
	h := w.Header()
	h.Set(proto.HeaderNoRetry, strconv.FormatBool(out.noRetry))
	if out.after > 0 {
		h.Set(proto.HeaderRetryAfter, strconv.Itoa(retryAfter(out.after)))
	}
	a.reply(w, key, out.status, out.body)
}

// answer says what the function came to.
func (c *call) answer(o outcome) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.trouble != nil:
		return c.broken(c.trouble)
	case o.rests:
		return answer{
			status: http.StatusPartialContent, body: append(append([]op{}, c.results...), c.rests...),
			noRetry: !c.failing && len(c.rests) == 0 && failedIn(c.results), after: c.pause,
		}
	case o.err != nil:
		return c.broken(o.err)
	}
	done := op{ID: proto.CompleteID, Op: "RunComplete", Data: o.output}
	return answer{status: http.StatusPartialContent, body: append(append([]op{}, c.results...), done)}
}

func failedIn(ops []op) bool {
	for _, o := range ops {
		if o.Op == "StepFailed" {
			return true
		}
	}
	return false
}

// broken is the answer of a function that failed.
func (c *call) broken(err error) answer {
	own := c.fn.config.policy
	attempt := c.attempt
	if c.progress {
		attempt = 0
	}
	verdict, after := classify(err, own.classify)
	out := answer{status: http.StatusInternalServerError, noRetry: verdict == Fail || attempt+1 >= c.tries, after: after}
	if !out.noRetry && after == 0 && own.backoff != nil {
		out.after = own.backoff(attempt + 1)
	}
	out.body = bodyOf(err)
	if len(c.results) > 0 {
		out.status, out.body = http.StatusPartialContent, append(append([]op{}, c.results...), failedOp(err, out.noRetry))
	}
	return out
}

// failedOp says that a function has failed: for good, or so that it is tried again.
func failedOp(err error, noRetry bool) op {
	b := bodyOf(err)
	kind := "StepError"
	if noRetry {
		kind = "StepFailed"
	}
	return op{ID: proto.CompleteID, Op: kind, Error: &b, Data: null}
}

// resultParameter names the run whose result a client waits for.
const resultParameter = "run"

// wholeParameter says that a stream is not read before it has ended.
const wholeParameter = "whole"

// result answers a client that waits for the result of an endpoint of an engine
// in this process, however long that takes.
func (a *App) result(w http.ResponseWriter, r *http.Request, run string) {
	inside, ok := a.api().(proto.InProcess)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if !inside.MayRead(run, r.URL.Query().Get("token")) {
		http.Error(w, "the token is not one for this run", http.StatusUnauthorized)
		return
	}
	if wantsStream(r) {
		if r.URL.Query().Has(wholeParameter) {
			if _, err := a.look(r.Context(), run, forever); err != nil && r.Context().Err() != nil {
				return
			}
		}
		if err := inside.ReadStream(w, r, run); err != nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "the stream cannot be read; try again in a moment", http.StatusServiceUnavailable)
		}
		return
	}
	info, err := a.look(r.Context(), run, forever)
	switch {
	case r.Context().Err() != nil:
		return
	case errors.Is(err, ErrNoSuchRun):
		http.Error(w, "the run is not kept any more", http.StatusNotFound)
		return
	case err != nil || !info.Status.Final():
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the result cannot be read; try again in a moment", http.StatusServiceUnavailable)
		return
	}
	raw := info.Output
	if info.Status != Completed {
		var failed struct {
			Response json.RawMessage `json:"response"`
			Message  string          `json:"message"`
		}
		if json.Unmarshal(raw, &failed) != nil || failed.Response == nil {
			http.Error(w, strings.TrimSpace("the run has "+strings.ToLower(string(info.Status))+" "+failed.Message), http.StatusInternalServerError)
			return
		}
		raw = failed.Response
	}
	var out struct {
		Status   int            `json:"status"`
		Headers  map[string]any `json:"headers"`
		Body     string         `json:"body"`
		Encoding string         `json:"encoding"`
	}
	if err := json.Unmarshal(raw, &out); err != nil || out.Status < 200 || out.Status > 599 {
		http.Error(w, "the run has no answer", http.StatusInternalServerError)
		return
	}
	content := []byte(out.Body)
	if out.Encoding == "base64" {
		if content, err = base64.StdEncoding.DecodeString(out.Body); err != nil {
			http.Error(w, "the run's answer cannot be read", http.StatusInternalServerError)
			return
		}
	}
	for name, value := range out.Headers {
		switch value := value.(type) {
		case string:
			w.Header().Add(name, value)
		case []any:
			for _, v := range value {
				w.Header().Add(name, fmt.Sprint(v))
			}
		}
	}
	w.WriteHeader(out.Status)
	_, _ = w.Write(content) // whoever asked may be gone
}

// enter finds the endpoint that an engine in this process enters again.
func (a *App) enter(w http.ResponseWriter, r *http.Request, body []byte, api proto.Backend) {
	events, _, err := api.State(r.Context(), r.Header.Get(proto.HeaderRunID))
	begun, ok := readBegunBy(events)
	if err != nil || !ok {
		a.notEntered(w, http.StatusServiceUnavailable, failure("the run's request cannot be read"))
		return
	}
	a.mu.Lock()
	e := a.endpoints[begun.Data.Endpoint]
	a.mu.Unlock()
	if e == nil {
		a.notEntered(w, http.StatusNotFound, failure("there is no endpoint "+begun.Data.Endpoint+"; it was there when the run began"))
		return
	}
	begun.Data.View.on(r)
	e.again(w, r, body)
}

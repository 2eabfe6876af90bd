package pawl

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pawlhq/pawl/internal/proto"
)

// Limits of a request to a durable endpoint, of its answer, and of that as the
// result of the run, which is JSON, in bytes.
const (
	maxEndpointBody = 1 << 20
	maxEndpointOut  = 3 << 20
	maxResult       = 4 << 20 // that servers take
)

// Endpoint is an HTTP handler each of whose requests is a run. Steps are used in
// it with the request's context. To its client it is a handler like any other,
// but that nothing it did is lost when the process dies: the server enters it
// again with the same request, and steps that have finished are not repeated.
// Of the request's headers, only its Content-Type is kept for that. A server asks for
// the URL that the client has asked for, so that it comes through whatever is in front
// of the handler, which has to let it pass. An engine in this process calls the handler
// itself, with the URL, the Pattern and its path values as they were; what middleware
// puts into the context is not there then.
//
// When a step has to rest, the client is sent (303) to a URL that waits for the
// answer. What the handler has written by then is forgotten: it is called again
// from its beginning. An answer is therefore held back until the handler has
// returned. What the client is to see before that goes to [Stream].
//
// A step that fails is tried again later, which is a rest too, and so is the handler
// when it panics, be it with [http.ErrAbortHandler]: what it has written by then is no
// answer. When there are no more tries the client gets status 500, and the run is a
// dead letter. The request header Idempotency-Key makes all requests with that key one
// run, for seven days. While that run goes on, Idempotency-In-Flight says what becomes
// of the others: attach (the default) and wait get its answer, attach also what it
// streams, and reject is refused at once (409).
//
// A request has at most 1 MiB, and an answer 3 MiB; as the run's result, which is JSON
// with the headers, it has at most 4 MiB, where quotes and line ends count twice, and
// each 3 bytes of what is not UTF-8 as 4. Write returns an error beyond that, and a run
// with a larger answer fails, with no further try.
//
// options are [Retries], [Backoff], [Classify], a [KeyRule] and an [Ack], which is
// AckBeforeRespond if it is not given. In a process that opens an engine the
// app has to be served as well, at /api/inngest or at the URL that [ServedAt] says:
// that is where clients wait. Add endpoints before the engine is opened: it enters those at
// once whose requests were cut off when the last process ended.
func (a *App) Endpoint(name string, handler http.HandlerFunc, options ...FuncOption) http.Handler {
	c := funcConfig{policy: policy{retries: -1}, ack: AckBeforeRespond}
	for _, o := range options {
		o.applyFunc(&c)
	}
	e := &endpoint{app: a, name: name, handler: handler, config: c}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !validName(name):
		a.problem("endpoint %q: %s", name, nameRule)
	case a.endpoints[name] != nil:
		a.problem("endpoint %s: there are two of this name", name)
	case c.endpointProblem() != nil:
		a.problem("endpoint %s: %w", name, c.endpointProblem())
	default:
		a.endpoints[name] = e
	}
	return e
}

// endpointProblem says what is wrong with the options of an endpoint.
func (c *funcConfig) endpointProblem() error {
	switch {
	case c.triggers != nil || c.settings != nil || c.batch != nil:
		return errors.New("an endpoint has no triggers and no limits")
	case c.onFail != nil:
		return errors.New("an endpoint has no OnFailure: its client is told")
	case c.title != "":
		return errors.New("an endpoint has no Title: it goes by its name")
	case c.policy.problem != nil:
		return c.policy.problem
	default:
		return c.wrong
	}
}

// Error answers for an error of a step in an endpoint: with status 500, or not at
// all when it is ErrRest, after which the answer comes later.
func Error(w http.ResponseWriter, err error) {
	if err != nil && !errors.Is(err, ErrRest) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

type endpoint struct {
	app     *App
	name    string
	handler http.HandlerFunc
	config  funcConfig
}

// ServeHTTP answers a client, or a server that enters the endpoint again.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = traced(r)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEndpointBody))
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, fmt.Sprintf("the request cannot be read: %v", err), status)
		return
	}
	if entered(r) {
		e.again(w, r, body)
		return
	}
	e.first(w, r, body)
}

// entered reports whether a server enters an endpoint again. Source: spec/05 §1.
func entered(r *http.Request) bool {
	_, signed := r.Header[proto.HeaderSignature]
	return r.Header.Get(proto.HeaderRunID) != "" && (signed || proto.BackendOf(r) != nil)
}

// first serves the request in which a run begins.
func (e *endpoint) first(w http.ResponseWriter, r *http.Request, body []byte) {
	ctx := context.WithoutCancel(r.Context()) // the run goes on without its client
	api, served := e.app.api(), e.app.set.origin
	how := r.Header.Get(inFlight)
	if _, given := r.Header[inFlight]; given && how != attaches && how != waits && how != rejects {
		http.Error(w, inFlight+" must be wait, attach or reject", http.StatusBadRequest)
		return
	}
	in := &inline{run: newRunID(), key: r.Header.Get("Idempotency-Key"), event: e.event(r, body), retries: e.tries() - 1}
	if in.key == "" {
		switch e.config.keyRule {
		case KeyRequired:
			needsKey(w, e.name)
			return
		case KeyDerived:
			in.key = derivedKey(r, body)
		case KeyNone:
		}
	}
	if in.key != "" {
		// Whether it has begun before must be known before anything is done.
		if err := in.send(ctx, api, []byte("[]")); err != nil {
			e.refuse(w, err)
			return
		}
		if in.begun.RunID != in.run {
			repeated(w, r, api, served, in.begun, how)
			return
		}
	}
	c := e.call(in.run, in.event, body)
	c.api, c.inline, c.intercept = api, in, e.app.backend.Load().interceptor
	c.saver = newSaver(c, e.config.ack)
	if wantsStream(r) {
		c.stream = streamTo(w, in.run)
		in.onBegun = func(b proto.Begun) { c.stream.redirect(b.RunID, api.StreamURL(served, b)) }
		if in.begun.RunID != "" {
			in.onBegun(in.begun)
		}
	}
	switch { // so that the run is there while the first step runs
	case in.begun.RunID != "":
	case c.stream != nil:
		c.saver.soon(ctx, 0) // whoever reads the stream has to know where it goes on
	case e.config.ack > AckEachStep:
		c.saver.soon(ctx, gatherFor)
	}
	stop := c.saver.renew(ctx)
	out := &held{header: http.Header{}}
	o := c.through(e.inside(ctx, r, body, out, c))
	stop()
	end := c.ending(o, out)
	if e.config.ack == Pipelined && end.answered() && c.stream == nil {
		goesOn := e.app.late.begin(func() {
			if err := c.saver.end(ctx, end.ops); err != nil {
				c.warn(ctx, "a run cannot be saved whose answer was given", "err", err)
			}
		})
		if goesOn {
			w.Header().Set(proto.HeaderRunID, in.run)
			out.replay(w)
			return
		}
		// Too many are on their way: this one is waited for.
	}
	err := c.saver.end(ctx, end.ops)
	if c.stream != nil {
		c.endStream(w, end, out, err)
		return
	}
	switch {
	case err != nil:
		e.refuse(w, err)
	case end.rests:
		http.Redirect(w, r, api.ResultURL(served, in.begun), http.StatusSeeOther)
	case end.failed != nil:
		w.Header().Set(proto.HeaderRunID, in.run)
		http.Error(w, end.failed.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set(proto.HeaderRunID, in.run)
		out.replay(w)
	}
}

// inFlight is the header that says what a repetition of a request does while the run
// of the first goes on: it attaches when it says nothing.
const (
	inFlight = "Idempotency-In-Flight"
	attaches = "attach"
	waits    = "wait"
	rejects  = "reject"
)

// repeated answers a request whose key was used before.
func repeated(w http.ResponseWriter, r *http.Request, api proto.Backend, served string, first proto.Begun, how string) {
	w.Header().Set("Idempotency-Replayed", "true")
	w.Header().Set(proto.HeaderRunID, first.RunID)
	where := api.ResultURL(served, first)
	switch {
	case how == rejects && !first.Ended:
		b, err := marshal(map[string]any{
			"error":  "the first request with this key is in flight: its run " + first.RunID + " goes on; read it at " + where,
			"code":   "idempotency_in_flight",
			"data":   map[string]any{"run_id": first.RunID, "url": where},
			"status": http.StatusConflict,
		})
		if err != nil {
			panic(fmt.Sprintf("text is JSON: %v", err))
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write(b) // whoever asked may be gone
		return
	case !wantsStream(r):
	case how != waits:
		where = api.StreamURL(served, first)
	case where == api.StreamURL(served, first):
		where += "&" + wholeParameter + "=true"
	}
	http.Redirect(w, r, where, http.StatusSeeOther)
}

// endStream ends what a client reads: with the answer, or, when the run goes on
// elsewhere, without.
func (c *call) endStream(w http.ResponseWriter, end ending, out *held, err error) {
	switch {
	case errors.Is(err, proto.ErrNoKey):
		c.stream.respond(false, http.StatusBadRequest, nil, err.Error())
	case errors.Is(err, proto.ErrTooLarge):
		c.stream.respond(false, http.StatusInternalServerError, nil, err.Error())
	case err != nil:
		c.warn(c.ctx, "a request to an endpoint cannot be saved", "err", err)
		c.stream.respond(false, http.StatusServiceUnavailable, http.Header{"Retry-After": {"1"}}, "the request cannot be saved; try again in a moment")
	case end.failed != nil:
		c.stream.respond(false, http.StatusInternalServerError, nil, end.failed.Error())
	case !end.rests:
		h := out.header.Clone()
		if h.Get("Content-Type") == "" && out.body.Len() > 0 {
			h.Set("Content-Type", http.DetectContentType(out.body.Bytes()))
		}
		c.stream.respond(out.code() < http.StatusInternalServerError, out.code(), h, out.body.String())
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // the connection may serve another request
}

// refuse answers when the run cannot be saved, or a server ended it because of what
// was to be saved.
func (e *endpoint) refuse(w http.ResponseWriter, err error) {
	if errors.Is(err, proto.ErrTooLarge) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if errors.Is(err, proto.ErrNoKey) { // the server's setting says so
		needsKey(w, e.name)
		return
	}
	e.app.log.Error("a request to an endpoint cannot be saved", "app", e.app.name, "endpoint", e.name, "err", err)
	if s, ok := errors.AsType[*statusError](err); ok && s.status == http.StatusUnprocessableEntity || errors.Is(err, proto.ErrOtherRequest) {
		http.Error(w, "the Idempotency-Key was used for another request", http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, "the request cannot be saved; try again in a moment", http.StatusServiceUnavailable)
}

// again serves a server that enters the endpoint.
func (e *endpoint) again(w http.ResponseWriter, r *http.Request, body []byte) {
	h := w.Header()
	h.Set(proto.HeaderSDK, sdk)
	h.Set(proto.HeaderVersion, execution)
	run := r.Header.Get(proto.HeaderRunID)
	// Source: spec/05 §4. What is signed is the id of the run.
	api, _, err := e.app.caller(r, []byte(run))
	if err != nil {
		e.app.log.Warn("a call was refused", "app", e.app.name, "endpoint", e.name, "err", err)
		e.app.notEntered(w, http.StatusUnauthorized, failure(err.Error()))
		return
	}
	c := e.call(run, nil, body)
	c.api, c.entry, c.intercept = api, true, proto.InterceptorOf(r)
	c.requestID, c.itemID = r.Header.Get(proto.HeaderRequestID), r.Header.Get(proto.HeaderJobID)
	_, _ = fmt.Sscan(r.Header.Get(proto.HeaderGenerationID), &c.generation) // 0: the server has none
	if n, err := strconv.Atoi(r.Header.Get(proto.HeaderMaxAttempts)); err == nil && n > 0 {
		c.tries = n
		c.attempt, _ = strconv.Atoi(r.Header.Get(proto.HeaderAttempt)) // both are told
	} else {
		c.blind = true
	}
	c.target, c.plan = r.Header.Get(proto.HeaderStepID), strings.EqualFold(r.Header.Get(proto.HeaderForceStepPlan), "true")
	if err := c.fetch(r.Context()); err != nil {
		e.app.notEntered(w, http.StatusServiceUnavailable, bodyOf(err))
		return
	}
	if c.target == "" && c.generation > 0 {
		c.saver = newSaver(c, AckEachStep)
	}
	out := &held{header: http.Header{}}
	var end func()
	c.stream, end = c.tee(r.Context())
	o := c.through(e.inside(r.Context(), r, body, out, c))
	end()
	switch cause := c.cause(o, out); {
	case cause != nil:
		e.app.answer(w, nil, c.brokenEntry(cause))
	case o.rests:
		e.app.answer(w, nil, c.answer(o))
	default:
		out.replay(w)
	}
}

// cause is why a try of an endpoint has failed; nil when it has not.
func (c *call) cause(o outcome, out *held) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.trouble != nil:
		return c.trouble
	case o.rests:
		return nil
	case o.err != nil: // it panicked
		return o.err
	}
	_, err := out.result()
	return err
}

// brokenEntry is the answer of an endpoint that has failed. Any but an array of
// ops would be taken for the handler's own.
func (c *call) brokenEntry(cause error) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.broken(cause)
	out.status, out.body = http.StatusPartialContent, append(append([]op{}, c.results...), failedOp(cause, out.noRetry))
	return out
}

// ending is how the request ends in which a run began.
type ending struct {
	ops    []op  // that are reported last
	rests  bool  // the run goes on without the request
	failed error // for good
}

// answered reports whether the handler has given the run's answer.
func (e ending) answered() bool { return !e.rests && e.failed == nil }

// ending decides how a request ends. What has failed may be tried again, by a server.
func (c *call) ending(o outcome, out *held) ending {
	cause := c.cause(o, out)
	c.mu.Lock()
	defer c.mu.Unlock()
	ops := append([]op{}, c.results...)
	switch {
	case cause != nil:
		b := c.broken(cause)
		c.pause = max(c.pause, b.after)
		end := ending{ops: append(ops, failedOp(cause, b.noRetry)), rests: !b.noRetry}
		if b.noRetry {
			end.failed = cause
		}
		return end
	case o.rests:
		return ending{ops: append(ops, c.rests...), rests: true}
	}
	data, _ := out.result() // there is one, or there was a cause
	return ending{ops: append(ops, op{ID: proto.CompleteID, Op: "RunComplete", Data: data})}
}

// notEntered answers a server whose request has not come to the handler, so that it
// comes again: it says nothing of an SDK, since that would make it the handler's
// own answer.
func (a *App) notEntered(w http.ResponseWriter, status int, body any) {
	w.Header().Del(proto.HeaderSDK)
	a.reply(w, nil, status, body)
}

func (e *endpoint) tries() int {
	if n := e.config.policy.retries; n >= 0 {
		return n + 1
	}
	return defaultRetries + 1
}

// call is a call of the endpoint for one request.
func (e *endpoint) call(run string, event json.RawMessage, body []byte) *call {
	c := &call{
		app: e.app, fn: &function{name: e.name, slug: e.name, config: e.config},
		runID: run, tries: e.tries(), started: time.Now(), memos: map[string]json.RawMessage{},
		names: map[string]*usage{}, ids: map[string]bool{}, rested: make(chan struct{}),
	}
	if event != nil {
		c.events = []json.RawMessage{event}
	}
	return c
}

// inside makes the handler the body of the call.
func (e *endpoint) inside(ctx context.Context, r *http.Request, body []byte, out *held, c *call) context.Context {
	c.fn.call = func(ctx context.Context, _ []json.RawMessage) (json.RawMessage, error) {
		again := r.Clone(ctx)
		again.Body = io.NopCloser(bytes.NewReader(body))
		e.handler(out, again)
		return null, nil
	}
	return ctx
}

// event is the request in which a run begins, as the protocol tells it. The Go
// form of it keeps bodies and answers of any kind. Source: spec/04 §5.1.
func (e *endpoint) event(r *http.Request, body []byte) json.RawMessage {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	domain := scheme + "://" + r.Host
	if u, err := url.Parse(e.app.set.origin); err == nil && u.Host != "" {
		domain = u.Scheme + "://" + u.Host
	}
	path, query := asked(r)
	data := map[string]any{
		"content_type": r.Header.Get("Content-Type"), "ip": "", "method": r.Method, "path": path, "query_params": query,
		"fn": e.name, "body": base64.StdEncoding.EncodeToString(body),
	}
	if inside, ok := e.app.api().(proto.InProcess); ok {
		domain = inside.Origin(e.app.name)
		data["view"] = viewOf(r)
	}
	data["domain"] = domain
	b, err := marshal(map[string]any{"name": "http/run.started", "data": data})
	if err != nil {
		panic(fmt.Sprintf("text is JSON: %v", err))
	}
	return b
}

// inline is a run that began in a request which is being served.
type inline struct {
	run     string
	key     string
	event   json.RawMessage
	retries int
	begun   proto.Begun
	pause   time.Duration     // before the next try of what has failed; 0: the server decides
	onBegun func(proto.Begun) // nil: nobody asks
}

// send reports steps: the first time together with the request.
func (in *inline) send(ctx context.Context, api proto.Backend, steps []byte) error {
	if in.begun.RunID != "" {
		return api.Report(ctx, in.begun, steps, in.pause)
	}
	begun, err := api.Begin(ctx, proto.Begin{RunID: in.run, Event: in.event, Steps: steps, Retries: in.retries, Key: in.key, SDK: sdk, RetryAfter: in.pause})
	if err == nil {
		in.begun = begun
		if in.onBegun != nil && begun.RunID == in.run {
			in.onBegun(begun)
		}
	}
	return err
}

// held is an answer that is held back.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
	large  bool            // there is more of it than may be
	kept   json.RawMessage // what result has made
}

func (h *held) Header() http.Header { return h.header }

func (h *held) WriteHeader(status int) {
	if h.status == 0 && status >= 200 {
		h.status = status
	}
}

// answerTooLarge is the error of an endpoint whose answer is over a limit.
type answerTooLarge struct {
	what  string
	limit int
}

func (e *answerTooLarge) Error() string {
	return fmt.Sprintf("pawl: the answer of a durable endpoint has more than %d bytes%s", e.limit, e.what)
}
func (e *answerTooLarge) Name() string { return "OutputTooLarge" }

var errAnswerTooLarge = &answerTooLarge{limit: maxEndpointOut}

func (h *held) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	if h.large = h.large || h.body.Len()+len(b) > maxEndpointOut; h.large {
		return 0, errAnswerTooLarge
	}
	return h.body.Write(b)
}

func (h *held) code() int {
	if h.status == 0 {
		return http.StatusOK
	}
	return h.status
}

func (h *held) replay(w http.ResponseWriter) {
	maps.Copy(w.Header(), h.header)
	if h.header.Get("Content-Type") == "" && h.body.Len() > 0 {
		w.Header().Set("Content-Type", http.DetectContentType(h.body.Bytes()))
	}
	w.WriteHeader(h.code())
	_, _ = w.Write(h.body.Bytes()) // whoever asked may be gone
}

// result is the answer as the result of a run: the way the server keeps it.
func (h *held) result() (json.RawMessage, error) {
	if h.large {
		return nil, Permanent(errAnswerTooLarge)
	}
	if h.kept == nil {
		kept, err := marshal(h.data())
		if err != nil {
			panic(fmt.Sprintf("an answer is JSON: %v", err))
		}
		h.kept = kept
	}
	if len(h.kept) > maxResult {
		return nil, Permanent(&answerTooLarge{" as the JSON that is the run's result", maxResult})
	}
	return h.kept, nil
}

func (h *held) data() map[string]any {
	headers := map[string]any{}
	for name, values := range h.header {
		headers[name] = values
	}
	if h.header.Get("Content-Type") == "" && h.body.Len() > 0 {
		headers["Content-Type"] = http.DetectContentType(h.body.Bytes())
	}
	m := map[string]any{"status": h.code(), "headers": headers, "body": h.body.String()}
	if !utf8.Valid(h.body.Bytes()) {
		m["body"], m["encoding"] = base64.StdEncoding.EncodeToString(h.body.Bytes()), "base64"
	}
	return m
}

// newRunID is a ULID.
func newRunID() string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var b [16]byte
	ms := time.Now().UnixMilli()
	for i := range 6 {
		b[i] = byte(ms >> (8 * (5 - i)))
	}
	_, _ = rand.Read(b[6:]) // never fails
	var out [26]byte
	var rest uint
	bits, at := 0, 25
	for i := 15; i >= 0; i-- {
		rest |= uint(b[i]) << bits
		for bits += 8; bits >= 5; bits -= 5 {
			out[at] = digits[rest&31]
			rest >>= 5
			at--
		}
	}
	out[0] = digits[rest&31]
	return string(out[:])
}

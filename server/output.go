package server

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// The result of a run is read at /v1/http/runs/{run}/output, by whoever has the
// token. The request waits until the run has ended, however long that takes. What
// keeps it alive meanwhile depends on what the client can bear:
//
//   - Accept: text/event-stream: comments, then one event "result".
//   - ?wait=30s: nothing; 202 when that time is over.
//   - HEAD: it is a question whether there is a result yet, and answered at once; one
//     that an endpoint has redirected waits like any other.
//   - the endpoint of a TypeScript app, whose stored reply is always 200 with
//     JSON: white space before the document, from the first keepAlive on; in
//     HTTP/1.0, as nginx speaks it unless told otherwise, when nothing else is left.
//   - any other: the status line must be the run's, so that nothing can be sent
//     before. The client is sent to the same URL again before a proxy gives up; a
//     browser any number of times.
const (
	usualKeepAlive = 15 * time.Second // proxies give up after 60 s of silence
	mostHops       = 15               // browsers follow 20 redirects
	longestPut     = 30 * time.Second // for a client to take a few bytes
)

// patience is how long a request may go unanswered.
func (s *Server) patience() time.Duration { return 3 * s.keepAlive }

// output answers with the result of a run, whatever the method: browsers keep that of
// the endpoint when they are redirected here, with its body. Source: spec/05 §3.
func (s *Server) output(w http.ResponseWriter, r *http.Request, _ []byte) {
	letGoOf(r)
	run, query := r.PathValue("run"), r.URL.Query()
	if of, err := s.tokens.ReadResult(query.Get("token")); err != nil || of != run {
		message := "the token is not one for this run"
		if err != nil && query.Get("token") != "" {
			message = err.Error()
		}
		fail(w, http.StatusUnauthorized, message)
		return
	}
	end := s.eng.Ending(run)
	kept := false
	defer func() {
		if !kept {
			end.Close()
		}
	}()
	known, err := s.eng.History().Run(r.Context(), run)
	if errors.Is(err, store.ErrNotFound) {
		fail(w, http.StatusNotFound, "the run is not kept any more")
		return
	}
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	x := s.reader(w, r, known)
	if known.Status.Final() {
		x.ended(known.Head)
		x.close()
		return
	}
	wait, bounded, message := waitOf(query)
	switch {
	case message != "":
		fail(w, http.StatusBadRequest, message)
		return
	case r.Method == http.MethodHead && !x.head:
		x.running()
		return
	}
	x.bounded = bounded
	x.stream = accepts(r, "text/event-stream") && r.Method != http.MethodHead
	x.white = x.typeScript && !bounded && x.endIsSeen() && r.Method != http.MethodHead
	v := &vigil{reader: x, end: end}
	switch {
	case x.stream:
	case bounded:
		v.until = time.Now().Add(wait)
	case !x.white:
		v.until = time.Now().Add(s.patience())
	}
	kept = true
	v.keep() //nolint:contextcheck // it may outlive the request
}

// endIsSeen reports whether the client can tell an answer that has ended from one
// that was cut off because the server has died. In HTTP/1.0 it cannot once a part
// of it was sent: it would take white space for the result.
func (x *reader) endIsSeen() bool {
	return x.r.ProtoAtLeast(1, 1) || hopOf(x.r.URL.Query()) >= mostHops
}

// hopOf is how often a client was sent to the same place again.
func hopOf(q url.Values) int {
	n, _ := strconv.Atoi(q.Get("hop")) // 0 when there is none
	return n
}

// mostWait bounds the parameter wait.
const mostWait = time.Hour

func waitOf(q url.Values) (d time.Duration, given bool, message string) {
	text := q.Get("wait")
	if text == "" {
		return 0, false, ""
	}
	d, err := wire.ParseDuration(text)
	if text == "0" {
		d, err = 0, nil
	}
	if err != nil || d < 0 || d > mostWait {
		return 0, true, "wait must be a time up to 1h, such as 30s"
	}
	return d, true, ""
}

// accepts reports whether a request asks for a type by name.
func accepts(r *http.Request, media string) bool {
	return strings.Contains(r.Header.Get("Accept"), media)
}

// reader is one who waits for the result of a run. There may be many, and they wait
// long: of the run they keep no more than they need.
type reader struct {
	s  *Server
	w  http.ResponseWriter
	rc *http.ResponseController
	r  *http.Request

	run, function string
	typeScript    bool     // the run began in an app with that SDK
	head          bool     // the run began with a HEAD
	asked         *url.URL // of the endpoint; nil where no response can refer to it

	stream  bool // server-sent events
	white   bool // white space may come before the result
	bounded bool // the client has said how long it waits
	direct  bool // the client asked for the endpoint and not for a result
	opened  bool // the status line is sent
	broken  bool // what was sent is no answer: the connection has to be cut
}

func (s *Server) reader(w http.ResponseWriter, r *http.Request, run *durable.Run) *reader {
	x := &reader{
		s: s, w: w, r: r, rc: http.NewResponseController(w),
		run: run.ID, function: run.Function, typeScript: run.Events[0].Name == wire.EventHTTPRequest,
	}
	if e, err := wire.ReadEndpoint(run.Events[0].Body); err == nil {
		x.head = e.Method == http.MethodHead
		if !x.typeScript {
			x.asked = e.URL
		}
	}
	return x
}

// open sends the header before there is a result.
func (x *reader) open() {
	h := x.w.Header()
	h["Content-Type"] = contentJSON
	if x.stream {
		h.Set("Content-Type", "text/event-stream")
	}
	h["Cache-Control"] = noStore
	h.Set("X-Accel-Buffering", "no")
	x.opened = true
	x.w.WriteHeader(http.StatusOK)
	_ = x.rc.Flush() // whoever has gone shows with the next bytes
}

// alive sends what keeps the connection up, if anything may. It reports false when
// nobody is there any more.
func (x *reader) alive() bool {
	if !x.stream && !x.white {
		return true
	}
	if !x.opened {
		x.open()
	}
	bytes := " "
	if x.stream {
		bytes = ":\n\n"
	}
	return x.put(bytes)
}

func (x *reader) put(text string) bool {
	_ = x.rc.SetWriteDeadline(time.Now().Add(longestPut)) // recorders in tests have none
	if _, err := x.w.Write([]byte(text)); err != nil {
		return false
	}
	return x.rc.Flush() == nil
}

// running says that there is no result yet.
func (x *reader) running() {
	x.w.Header().Set("Retry-After", "1")
	raw(x.w, http.StatusAccepted, `{"status":"running","message":"the run has not ended; ask again, or ask with Accept: text/event-stream"}`)
}

// late is for a client that cannot be kept waiting on one connection.
func (x *reader) late() {
	q := x.r.URL.Query()
	hop := hopOf(q)
	// The reference is to the client's own URL: a proxy may have cut off what that
	// begins with.
	again := func() string { return path.Base(x.r.URL.Path) + "?" + q.Encode() }
	switch {
	case x.bounded:
		x.running()
	case hop < mostHops:
		q.Set("hop", strconv.Itoa(hop+1))
		x.w.Header()["Cache-Control"] = noStore
		x.w.Header().Set("Location", again())
		x.w.Header().Set("Content-Length", "0")
		x.w.WriteHeader(http.StatusTemporaryRedirect)
	case accepts(x.r, "text/html"):
		q.Del("hop")
		x.w.Header()["Cache-Control"] = noStore
		x.w.Header().Set("Refresh", "0; url="+again())
		x.s.render(x.w, x.r, http.StatusAccepted, "failed.html", page{Title: "Still at work", Data: "The result is not there yet. This page asks again by itself."})
	default:
		x.running()
	}
}

// stop is for a server that ends: the client asks the next one.
func (x *reader) stop() {
	if x.opened {
		x.broken = true // a cut connection is no result
		return
	}
	x.w.Header().Set("Retry-After", "1")
	fail(x.w, http.StatusServiceUnavailable, "the server is shutting down; ask again in a moment")
}

// close ends the answer of a handler.
func (x *reader) close() {
	if x.broken {
		panic(http.ErrAbortHandler)
	}
}

// resultView is how a run has ended, in JSON.
type resultView struct {
	Status   string         `json:"status"` // completed, failed or cancelled
	Response jsontext.Value `json:"response,omitzero"`
	Data     jsontext.Value `json:"data,omitzero"`
	Error    jsontext.Value `json:"error,omitzero"`
}

// ended answers with the result of a run.
func (x *reader) ended(head durable.Head) {
	res := resultView{Status: strings.ToLower(head.Status.String())}
	response, replay := wire.Response{}, false
	f, _ := x.s.eng.Function(x.function)
	switch head.Status {
	case durable.Completed:
		res.Data = head.Output
		response, replay = wire.ParseResponse(head.Output)
		replay = replay && f.Endpoint
	case durable.Failed:
		res.Error = head.Output
		response, replay = wire.FailedResponse(head.Output)
	default:
		res.Error = jsontext.Value(`{"name":"Cancelled","message":"the run was ` + res.Status + `"}`)
	}
	if replay && x.direct && x.typeScript && response.Status < http.StatusBadRequest { // else no SDK wrote it
		response = response.Inner()
	}
	if replay {
		res.Response, res.Data = response.JSON(), nil
	}
	switch {
	case x.stream || !x.opened && accepts(x.r, "text/event-stream") && x.r.Method != http.MethodHead:
		x.event(res)
	case replay && !x.opened:
		x.replay(response)
	case replay:
		x.put(string(response.Body))
	default:
		res.Status = ""
		x.plain(res)
	}
}

// event sends a result as a server-sent event, which has no line breaks in it.
func (x *reader) event(res resultView) {
	x.stream = true
	if !x.opened {
		x.open()
	}
	b, err := json.Marshal(res, marshalOptions)
	if err != nil {
		x.s.log.Error("a result cannot be encoded", "run", x.run, "err", err)
		x.broken = true
		return
	}
	v := jsontext.Value(b)
	_ = v.Compact(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) // it was just written
	x.put("event: result\ndata: " + string(v) + "\n\n")
}

// plain answers for a run that has no HTTP response as its result.
func (x *reader) plain(res resultView) {
	member, value := "data", res.Data
	if res.Error != nil {
		member, value = "error", res.Error
	}
	body := `{"` + member + `":` + string(value) + `}`
	status := http.StatusOK
	if x.direct {
		status = http.StatusInternalServerError
	}
	if x.opened {
		x.put(body)
		return
	}
	raw(x.w, status, body)
}

// replay gives an endpoint's response back as it was. It comes from Pawl's origin
// and is the app's: what would act on that origin is left out, and a browser runs
// what is in it as of no origin at all.
func (x *reader) replay(res wire.Response) {
	h := x.w.Header()
	for name, values := range res.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Service-Worker-Allowed", "Cache-Control":
			continue
		}
		h[http.CanonicalHeaderKey(name)] = values
	}
	if location := h.Get("Location"); location != "" {
		h.Set("Location", x.absolute(location))
	}
	h.Add("Content-Security-Policy", "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts")
	h["Cache-Control"] = noStore
	h["Content-Length"] = []string{strconv.Itoa(len(res.Body))}
	if !bodyAllowed(res.Status) {
		delete(h, "Content-Length")
		res.Body = nil
	}
	x.w.WriteHeader(res.Status)
	_, _ = x.w.Write(res.Body) // nobody is left to tell
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// absolute is a reference as the endpoint meant it.
func (x *reader) absolute(reference string) string {
	if x.asked == nil {
		return reference
	}
	u, err := x.asked.Parse(reference)
	if err != nil {
		return reference
	}
	return u.String()
}

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// AnswerKind says what an answer means for the run.
type AnswerKind int

const (
	// Failed: the function failed, or no answer of an app came. The zero kind,
	// so that an answer nobody filled in never finishes a run.
	Failed AnswerKind = iota
	// Progress: the app reports or asks for things; Ops may be empty.
	Progress
	// Returned: the function returned Output. Ops that came along are saved first.
	Returned
)

// String names the kind.
func (k AnswerKind) String() string {
	switch k {
	case Failed:
		return "failed"
	case Progress:
		return "progress"
	case Returned:
		return "returned"
	}
	return "AnswerKind(" + strconv.Itoa(int(k)) + ")"
}

// Codes of failed calls, for operators. A failure with no code is the function's
// own. Source: SDK protocol notes 11 §17; CodeBadAnswer is Pawl's.
const (
	CodeNotSDK        = "not_sdk"                   // 2xx, but no SDK wrote it
	CodeHTTPNotOK     = "http_not_ok"               // an error that no SDK wrote
	CodeSignature     = "sig_verification_failed"   // the app refused our signature
	CodeUnreachable   = "http_unreachable"          // no answer at all
	CodeCut           = "connection_lost"           // the app hung up before it answered; Pawl's
	CodeTooLarge      = "output_too_large"          // answer over MaxAnswerBytes
	CodeTooSlow       = "request_duration_too_long" // no answer in time
	CodeMissingHeader = "http_missing_header"
	CodeUnknown       = "unknown"
	CodeBadAnswer     = "invalid_answer" // an SDK wrote it, but it cannot be read
)

// Answer is what one response of an app says.
type Answer struct {
	Kind       AnswerKind
	Output     jsontext.Value // set when Returned; JSON null when the function returned nothing
	Ops        []Op           // to be saved in order; without the one that set Kind
	Err        Error          // set when Failed
	Code       string         // set when the failure is not the function's own
	Status     int            // HTTP status; of the envelope when the answer was streamed
	NoRetry    bool           // the app says that trying again is useless
	RetryAfter time.Time      // zero when the app did not ask for a delay
	Version    int            // protocol version the SDK used; 0 when it did not say
	SDK        string         // X-Inngest-SDK as sent; "" when no SDK answered
	Away       bool           // the request did not even reach the app
}

// GoSDK reports whether the Go SDK wrote the answer. To a targeted request it
// answers 200 with null when it did not reach the step; see NotReached.
func (a Answer) GoSDK() bool { return strings.HasPrefix(a.SDK, "go:") }

// NotReached reports whether the answer is the "200 null" by which the Go SDK
// says that it did not reach the step of a targeted request. To a request that
// targets no step the same bytes mean that the function returned nothing.
func (a Answer) NotReached() bool {
	return a.Kind == Returned && a.Status == http.StatusOK && len(a.Ops) == 0 && a.GoSDK() && isNull(a.Output)
}

// ReadAnswer decides what a response to a call means. It never fails: whatever
// cannot be read is a Failed answer that says why and holds the start of the
// body. now is when the answer arrived; Retry-After counts from there.
// Source: SDK protocol notes 03 §2 and §9, 11 §12.
func ReadAnswer(status int, h http.Header, body []byte, now time.Time) Answer {
	r := response{status: status, header: h, body: bytes.TrimSpace(body)}
	streamed := true
	if status == http.StatusCreated {
		streamed = r.unwrap()
	}
	a := Answer{
		Status:  r.status,
		SDK:     r.get(HeaderSDK),
		NoRetry: strings.EqualFold(r.get(HeaderNoRetry), "true") || r.noRetry,
		Version: r.answeredVersion(),
	}
	a.RetryAfter, _ = ParseRetryAfter(r.get(HeaderRetryAfter), now)
	if a.RetryAfter.IsZero() {
		a.RetryAfter, _ = ParseRetryAfter(r.retryAt, now)
	}
	switch {
	case a.SDK == "":
		return a.foreign(r)
	case !streamed:
		return a.unreadable(r.body, "the stream ended before the answer did")
	case r.status == http.StatusPartialContent:
		return a.progress(r.body)
	case r.status == http.StatusOK:
		return a.returned(r.body)
	case r.status >= 200 && r.status < 400:
		return a.unreadable(r.body, fmt.Sprintf("no SDK answers a call with status %d", r.status))
	}
	return a.failed(r.body)
}

// foreign is for responses that no SDK wrote: a proxy, a 404 page, a crash. TS
// takes its SDK header off a 401, so that status means our signature.
func (a Answer) foreign(r response) Answer {
	a.Kind, a.NoRetry, a.Version = Failed, false, 0
	var message string
	switch {
	case a.Status == http.StatusUnauthorized:
		a.Code = CodeSignature
		message = "The app refused the request's signature (status 401); its signing key and Pawl's differ"
		if r.get(HeaderSDKHandled) == "" {
			message += ", or something in front of the app wants a login"
		}
	case a.Status >= 200 && a.Status < 300:
		a.Code = CodeNotSDK
		message = fmt.Sprintf("The response did not come from an Inngest SDK (status %d)", a.Status)
	default:
		a.Code = CodeHTTPNotOK
		message = fmt.Sprintf("The app answered with status %d, and no Inngest SDK wrote that answer", a.Status)
	}
	a.Err = NewError("Error", withExcerpt(message, r.body), "", true)
	return a
}

// unreadable is for answers of an SDK that make no sense.
func (a Answer) unreadable(body []byte, why string) Answer {
	a.Kind, a.Code, a.NoRetry = Failed, CodeBadAnswer, false
	a.Err = NewError("Error", withExcerpt("The app's answer cannot be read: "+why, body), "", true)
	return a
}

func withExcerpt(message string, body []byte) string {
	if s := excerpt(body); s != "" {
		return message + ": " + s
	}
	return message
}

// returned reads a 200: the function's result.
func (a Answer) returned(body []byte) Answer {
	a.NoRetry = false
	if len(body) == 0 {
		a.Kind, a.Output = Returned, null
		return a
	}
	if err := checkNesting(body); err != nil {
		return a.unreadable(body, err.Error())
	}
	v, err := sound(body)
	if err != nil {
		return a.unreadable(body, err.Error())
	}
	a.Kind, a.Output = Returned, v
	return a
}

// progress reads a 206. An op that speaks of the function itself decides the
// kind of the answer and is taken out of Ops.
func (a Answer) progress(body []byte) Answer {
	ops, err := ParseOps(body)
	switch {
	case errors.Is(err, ErrTooManyOps):
		a.Kind, a.NoRetry = Failed, true
		a.Err = NewError("InngestErrFunctionOverflowed",
			fmt.Sprintf("The function run exceeded the limit of %d operations in one answer.", MaxOps), "", true)
		return a
	case err != nil:
		return a.unreadable(body, err.Error())
	}
	a.Kind = Progress
	for _, op := range ops {
		switch {
		case op.Op == OpRunComplete || op.Op == OpSyncRunComplete:
			if a.Kind == Progress {
				a.Kind, a.Output = Returned, orNull(op.Data)
			}
		case op.ID == CompleteID && (op.Op == OpStepError || op.Op == OpStepFailed):
			if a.Kind != Failed {
				a.Kind, a.Output = Failed, nil
				a.NoRetry = a.NoRetry || op.Op == OpStepFailed
				a.Err = op.failure()
			}
		default:
			a.Ops = append(a.Ops, op)
		}
	}
	return a
}

// failure is the error of an op, which may have come without one.
func (op Op) failure() Error {
	if op.Error == nil {
		return ParseError(nil, nil)
	}
	return *op.Error
}

// failed reads an error that an SDK wrote.
func (a Answer) failed(body []byte) Answer {
	a.Kind = Failed
	if a.Status == http.StatusUnauthorized {
		a.Code = CodeSignature
	}
	var v jsontext.Value
	if checkNesting(body) == nil {
		if fixed, err := sound(body); err == nil {
			v = fixed
		}
	}
	a.Err = ParseError(v, body)
	return a
}

// response is a response of an app, streamed or not.
type response struct {
	status  int
	header  http.Header
	inner   http.Header // of the envelope; they win
	body    []byte
	version int
	noRetry bool
	retryAt string
}

func (r response) get(name string) string {
	if v := r.inner.Get(name); v != "" {
		return v
	}
	return r.header.Get(name)
}

func (r response) answeredVersion() int {
	if n, err := strconv.Atoi(r.get(HeaderVersion)); err == nil && n > 0 {
		return n
	}
	return max(r.version, 0)
}

// unwrap replaces a streamed response by the one in its envelope:
// {"status":…,"headers":{…},"body":…} and, by SDK, "version", "noRetry" and
// "retryAt". It reports false, and leaves r as it is, when there is none.
func (r *response) unwrap() bool {
	if checkNesting(r.body) != nil {
		return false
	}
	envelope, err := sound(r.body)
	if err != nil {
		return false
	}
	u := response{header: r.header, inner: http.Header{}}
	var payload jsontext.Value
	c := newCursor(envelope)
	defer c.close()
	err = c.members(func(name []byte) error {
		switch string(name) {
		case "headers":
			return c.headers(u.inner)
		case "status", "body", "version", "noRetry", "retryAt":
		default:
			return c.skip()
		}
		v, err := c.value()
		if err != nil {
			return err
		}
		switch string(name) {
		case "status":
			n, _ := wholeNumber(v)
			u.status = int(n)
		case "body":
			payload = v
		case "version":
			n, _ := wholeNumber(v)
			u.version = int(min(n, 1<<16))
		case "noRetry":
			u.noRetry = v.Kind() == 't'
		case "retryAt":
			u.retryAt, _ = text(v)
		}
		return nil
	})
	if err != nil || u.status < 200 || u.status > 599 {
		return false
	}
	u.body = u.payload(payload)
	*r = u
	return true
}

// payload is the body inside an envelope: TS and Python put JSON into a string,
// Go puts it there as it is.
func (r response) payload(v jsontext.Value) []byte {
	if v.Kind() != '"' || strings.HasPrefix(r.get(HeaderSDK), "go:") {
		return v
	}
	s, err := text(v)
	if err != nil {
		return v
	}
	return bytes.TrimSpace([]byte(s))
}

// headers reads a header object, whose values are strings or lists of strings.
func (c cursor) headers(h http.Header) error {
	if c.kind() != '{' {
		return c.skip()
	}
	return c.members(func(name []byte) error {
		key := string(name)
		if c.kind() != '[' {
			v, err := c.value()
			if err == nil && v.Kind() == '"' {
				s, _ := text(v)
				h.Add(key, s)
			}
			return err
		}
		if err := c.open('['); err != nil {
			return err
		}
		for c.kind() != ']' {
			v, err := c.value()
			if err != nil {
				return err
			}
			if v.Kind() == '"' {
				s, _ := text(v)
				h.Add(key, s)
			}
		}
		return c.open(']')
	})
}

package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Names of the events that stand for a request in which a run began. The second
// is the Go SDK's, which carries the body as base64. Source: SDK protocol notes
// 04 §5.1.
const (
	EventHTTPRequest = "inngest/http.request"
	EventHTTPStarted = "http/run.started"
)

// Endpoint is an HTTP request to a durable endpoint, kept so that the endpoint
// can be entered with it again.
type Endpoint struct {
	Method      string
	URL         *url.URL // absolute
	ContentType string
	Body        []byte
	Name        string // as the user has named the endpoint; "" if not
	Go          bool   // the Go SDK began the run
}

// ErrNoRequest means that an event does not stand for a request.
var ErrNoRequest = errors.New("the run was not begun by an HTTP request")

// ReadEndpoint reads the request out of an event. Errors say what is wrong with it.
func ReadEndpoint(event jsontext.Value) (Endpoint, error) {
	var b struct {
		Name string `json:"name"`
		Data struct {
			ContentType string         `json:"content_type"`
			Domain      string         `json:"domain"`
			Method      string         `json:"method"`
			Path        string         `json:"path"`
			Query       string         `json:"query_params"`
			Body        jsontext.Value `json:"body"`
			Fn          string         `json:"fn"`
		} `json:"data"`
	}
	if err := decode(event, &b); err != nil {
		return Endpoint{}, fmt.Errorf("event: %w", err)
	}
	if b.Name != EventHTTPRequest && b.Name != EventHTTPStarted {
		return Endpoint{}, ErrNoRequest
	}
	e := Endpoint{
		Method: strings.ToUpper(b.Data.Method), ContentType: b.Data.ContentType, Name: b.Data.Fn,
		Go: b.Name == EventHTTPStarted,
	}
	var err error
	switch {
	case !isMethod(e.Method):
		return Endpoint{}, errors.New("event.data.method is not an HTTP method")
	case strings.ContainsFunc(e.ContentType, unicode.IsControl):
		return Endpoint{}, errors.New("event.data.content_type cannot be a header")
	}
	if e.URL, err = endpointURL(b.Data.Domain, b.Data.Path, b.Data.Query); err != nil {
		return Endpoint{}, err
	}
	text, err := text(b.Data.Body)
	if err != nil {
		return Endpoint{}, fmt.Errorf("event.data.body: %w", err)
	}
	e.Body = []byte(text)
	if e.Go {
		if e.Body, err = base64.StdEncoding.DecodeString(text); err != nil {
			return Endpoint{}, errors.New("event.data.body is not base64, which the Go SDK sends")
		}
	}
	return e, nil
}

// Data is the data of the event that stands for the request, as ReadEndpoint reads
// it. It fails when the body is not text and the SDK at the other end wants text.
func (e Endpoint) Data() (jsontext.Value, error) {
	body := string(e.Body)
	switch {
	case e.Go:
		body = base64.StdEncoding.EncodeToString(e.Body)
	case !utf8.Valid(e.Body):
		return nil, errors.New("the body is not text in UTF-8, which the SDK of a TypeScript endpoint cannot take")
	}
	var b []byte
	for i, m := range [...][2]string{
		{"body", body},
		{"content_type", e.ContentType},
		{"domain", e.URL.Scheme + "://" + e.URL.Host},
		{"fn", e.Name},
		{"ip", ""},
		{"method", e.Method},
		{"path", e.URL.EscapedPath()},
		{"query_params", e.URL.RawQuery},
	} {
		b = append(b, "{,"[min(i, 1)])
		b = append(appendText(b, m[0]), ':')
		b = appendText(b, m[1])
	}
	return append(b, '}'), nil
}

func isMethod(s string) bool {
	_, err := http.NewRequest(s, "/", nil) //nolint:noctx // it is never sent
	return err == nil && s != ""
}

func endpointURL(domain, path, query string) (*url.URL, error) {
	if !strings.Contains(domain, "://") {
		domain = "http://" + domain
	}
	u, err := url.Parse(domain)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, errors.New("event.data.domain is not the address of an app, such as https://shop.example.com")
	}
	if path == "" {
		path = "/"
	}
	full, err := url.Parse(u.Scheme + "://" + u.Host + path)
	if err != nil || !strings.HasPrefix(path, "/") || full.Host != u.Host {
		return nil, errors.New("event.data.path is not the path of a URL")
	}
	full.RawQuery, full.Fragment, full.RawFragment = strings.TrimPrefix(query, "?"), "", ""
	if strings.ContainsFunc(full.RawQuery, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, errors.New("event.data.query_params is not the query of a URL")
	}
	return full, nil
}

// Response is what an endpoint has answered.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// bodyBase64 marks a Response whose body is not text. Pawl's own.
const bodyBase64 = "base64"

// JSON is the response as the result of a run: {"status":…,"headers":{…},"body":…}
// as SDKs write it. A body that is not text is base64, and "encoding" says so.
func (r Response) JSON() jsontext.Value {
	b := []byte(`{"body":`)
	encoded := !utf8.Valid(r.Body)
	if encoded {
		b = appendText(b, base64.StdEncoding.EncodeToString(r.Body))
		b = append(b, `,"encoding":"`+bodyBase64+`"`...)
	} else {
		b = appendText(b, string(r.Body))
	}
	b = append(b, `,"headers":{`...)
	first := true
	for name, values := range r.Header {
		if !replayed(name) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendText(b, name), ':')
		if len(values) == 1 {
			b = appendText(b, values[0])
			continue
		}
		b = append(b, '[')
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, v)
		}
		b = append(b, ']')
	}
	b = fmt.Appendf(b, `},"status":%d}`, r.Status)
	v := jsontext.Value(b)
	_ = v.Canonicalize(jsontext.AllowInvalidUTF8(true)) // the order of a map is no order
	return v
}

// ParseResponse reads a response out of the result of a run; it reports false
// when the result is none.
func ParseResponse(output jsontext.Value) (r Response, ok bool) {
	if output.Kind() != '{' {
		return Response{}, false
	}
	r.Header = http.Header{}
	encoding, hasBody := "", false
	c := newCursor(output)
	defer c.close()
	err := c.members(func(name []byte) error {
		member := string(name)
		if member == "headers" {
			return c.headers(r.Header)
		}
		v, err := c.value()
		if err != nil {
			return err
		}
		switch {
		case member == "status":
			n, _ := wholeNumber(v)
			r.Status = int(n)
		case member == "body" && v.Kind() == '"':
			s, err := text(v)
			r.Body, hasBody = []byte(s), true
			return err
		case member == "encoding" && v.Kind() == '"':
			encoding, _ = text(v)
		}
		return nil
	})
	if err != nil || !hasBody || r.Status < 200 || r.Status > 599 {
		return Response{}, false
	}
	if encoding == bodyBase64 {
		if r.Body, err = base64.StdEncoding.DecodeString(string(r.Body)); err != nil {
			return Response{}, false
		}
	}
	for name := range r.Header {
		if !replayed(name) {
			delete(r.Header, name)
		}
	}
	return r, true
}

// Inner is the response that the TypeScript SDK has wrapped: it writes the body that
// the handler gave as a JSON string, and says that it is JSON. Source: SDK protocol
// notes 05 §3.
func (r Response) Inner() Response {
	body := jsontext.Value(r.Body)
	if body.Kind() != '"' || !body.IsValid() {
		return r
	}
	s, err := text(body)
	if err != nil {
		return r
	}
	r.Body = []byte(s)
	if !jsontext.Value(r.Body).IsValid() {
		r.Header = r.Header.Clone()
		r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	return r
}

// replayed reports whether a header belongs to the response, and not to the
// connection on which it came, or to the protocol between SDK and server.
func replayed(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding",
		"Upgrade", "Content-Length", "Content-Encoding", "Date", "Server", "X-Run-Id", "Access-Control-Allow-Origin":
		return false
	}
	return !strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), "X-Inngest-")
}

// ReadEndpointAnswer decides what the answer of an endpoint means that was
// entered again. It is ReadAnswer but for the Go SDK, which answers with the
// handler's own response when that has ended, and for what refuses the first request
// of a run, before any SDK has seen it: that is the run's result, as it would be the
// client's answer if it had asked the app. Source: SDK protocol notes 05 §4.1.
func ReadEndpointAnswer(e Endpoint, first bool, status int, h http.Header, body []byte, now time.Time) Answer {
	if first && refuses(status, h) {
		return Answer{Kind: Returned, Status: status, Output: Response{status, h, body}.JSON()}
	}
	if !e.Go || h.Get(HeaderSDK) == "" {
		return ReadAnswer(status, h, body, now)
	}
	if status == http.StatusPartialContent && bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		if a := ReadAnswer(status, h, body, now); a.Code == "" {
			return a
		}
	}
	return Answer{
		Kind: Returned, Status: status, SDK: h.Get(HeaderSDK),
		Output: Response{status, h, body}.JSON(),
	}
}

// refuses reports whether a response that no SDK wrote says that the request is wrong
// and will stay so: it has a status from 400 to 499, but for those that speak of the
// moment or of the way there, and the 401 of an SDK that does not accept our signature.
func refuses(status int, h http.Header) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	case http.StatusUnauthorized:
		if h.Get(HeaderSDKHandled) != "" {
			return false
		}
	}
	return status >= 400 && status < 500 && h.Get(HeaderSDK) == ""
}

// ResponseError is a response as the error of a run: {"name","message","stack",
// "response"}, where the last is what Response.JSON gives.
func ResponseError(r Response) Error {
	message := strings.TrimSpace(fmt.Sprintf("the endpoint answered %d %s", r.Status, http.StatusText(r.Status)))
	e := NewError("EndpointError", withExcerpt(message, r.Body), "", false)
	b := bytes.TrimSuffix(e.Raw, []byte("}"))
	b = append(append(b[:len(b):len(b)], `,"response":`...), r.JSON()...)
	e.Raw = append(b, '}')
	return e
}

// FailedResponse is the response in the error of a run, if it has one.
func FailedResponse(failure jsontext.Value) (Response, bool) {
	var e struct {
		Response jsontext.Value `json:"response"`
	}
	if decode(failure, &e) != nil || len(e.Response) == 0 {
		return Response{}, false
	}
	return ParseResponse(e.Response)
}

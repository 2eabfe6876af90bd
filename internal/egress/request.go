package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/wire"
)

// Limits of what a step may ask for. The body's is that of any step's input.
const (
	MaxURLBytes    = 8 << 10
	MaxHeaders     = 100
	MaxHeaderBytes = 64 << 10 // names and values together, the credential too
	MaxBodyBytes   = wire.MaxStepBytes

	maxHostBytes   = 253 // the longest name DNS knows
	maxMethodBytes = 32
)

// Request is what an op asks Pawl to send. Only Parse makes one. However it is
// printed or logged, it shows where it goes and nothing that may be a secret.
type Request struct {
	op     string
	method string
	url    *url.URL
	header http.Header
	body   []byte
	auth   string // the op's auth_key, "" for none
}

// Op is wire.OpGateway or wire.OpAIGateway.
func (r Request) Op() string { return r.op }

// Method is the HTTP method.
func (r Request) Method() string { return r.method }

// Host is where the request goes, as scheme://host:port: a path and a query can
// be secrets.
func (r Request) Host() string {
	if r.url == nil {
		return ""
	}
	return r.url.Scheme + "://" + r.url.Host
}

// String is the method and the host.
func (r Request) String() string { return strings.TrimSpace(r.method + " " + r.Host()) }

// Format writes String for every verb.
func (r Request) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(r.String())) }

// LogValue is String.
func (r Request) LogValue() slog.Value { return slog.StringValue(r.String()) }

// options are the members of an op's opts that count. They are kept raw until
// each has been looked at, since errors of a JSON decoder quote what they read.
// Source: SDK protocol notes 03 §8.
type options struct {
	URL     jsontext.Value `json:"url"`
	Method  jsontext.Value `json:"method"`
	Headers jsontext.Value `json:"headers"`
	Body    jsontext.Value `json:"body"`
	Format  jsontext.Value `json:"format"`
	AuthKey jsontext.Value `json:"auth_key"`
}

// Parse reads the opts of an op: wire.OpGateway (step.fetch) or wire.OpAIGateway
// (step.ai.infer). Members it does not know are left alone. What it refuses is
// an *Error that is final, says which option is wrong, and quotes no value.
func Parse(op string, opts []byte) (Request, error) {
	r, err := parse(op, opts)
	if err != nil {
		return Request{}, refused(op, err)
	}
	return r, nil
}

// opPost is the op of Post, which no step has.
const opPost = "post"

// Post is a request that posts JSON for Pawl itself.
func Post(to string, header http.Header, body []byte) (Request, error) {
	quoted, err := jsontext.AppendQuote(nil, to)
	if err != nil {
		return Request{}, refused(opPost, err)
	}
	r := Request{op: opPost, method: http.MethodPost, header: http.Header{"Content-Type": {"application/json"}}, body: body}
	maps.Copy(r.header, header)
	if r.url, err = parseURL(quoted); err != nil {
		return Request{}, refused(opPost, err)
	}
	return r, nil
}

func parse(op string, opts []byte) (Request, error) {
	o, err := readOptions(opts)
	if err != nil {
		return Request{}, err
	}
	r := Request{op: op, method: http.MethodPost}
	if r.url, err = parseURL(o.URL); err != nil {
		return Request{}, err
	}
	size := 0
	if r.header, size, err = parseHeaders(o.Headers); err != nil {
		return Request{}, err
	}
	switch op {
	case wire.OpGateway:
		if r.method, err = parseMethod(o.Method); err != nil {
			return Request{}, err
		}
		body, err := text("body", o.Body)
		if err != nil {
			return Request{}, err
		}
		r.body = []byte(body)
	case wire.OpAIGateway:
		if !isNull(o.Body) {
			r.body = bytes.Clone(bytes.TrimSpace(o.Body))
		}
		if r.header.Get("Content-Type") == "" {
			r.header.Set("Content-Type", "application/json")
		}
		if err := r.authorize(o, size); err != nil {
			return Request{}, err
		}
	default:
		return Request{}, errors.New("it is not an op that asks for a request")
	}
	if len(r.body) > MaxBodyBytes {
		return Request{}, fmt.Errorf("the body has %d bytes, the limit is %d", len(r.body), MaxBodyBytes)
	}
	return r, nil
}

func readOptions(opts []byte) (options, error) {
	var o options
	if len(opts) > wire.MaxAnswerBytes {
		return o, fmt.Errorf("the options have %d bytes, the limit is %d", len(opts), wire.MaxAnswerBytes)
	}
	err := wire.CheckJSON(opts)
	if err == nil {
		// A text cut in the middle of a character is no reason to refuse.
		err = json.Unmarshal(opts, &o, jsontext.AllowInvalidUTF8(true))
	}
	switch {
	case err == nil && jsontext.Value(opts).Kind() == '{':
		return o, nil
	case errors.Is(err, wire.ErrNesting), errors.Is(err, wire.ErrUTF8):
		return o, fmt.Errorf("the options are %w", err)
	case errors.Is(err, jsontext.ErrDuplicateName):
		return o, errors.New("the options have one name twice")
	case err == nil, jsontext.Value(opts).IsValid():
		return o, errors.New("the options are not an object")
	default:
		return o, errors.New("the options are not JSON")
	}
}

func parseURL(v jsontext.Value) (*url.URL, error) {
	s, err := text("url", v)
	switch {
	case err != nil:
		return nil, err
	case s == "":
		return nil, errors.New("there is no url")
	case len(s) > MaxURLBytes:
		return nil, fmt.Errorf("the url has %d bytes, the limit is %d", len(s), MaxURLBytes)
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("the url cannot be read as one")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("the url has to begin with http:// or https://")
	case u.User != nil:
		return nil, errors.New("the url has a user name or a password in it; send them in an Authorization header")
	case u.Hostname() == "":
		return nil, errors.New("the url names no host")
	case len(u.Hostname()) > maxHostBytes:
		return nil, fmt.Errorf("the url's host has %d bytes, the limit is %d", len(u.Hostname()), maxHostBytes)
	case strings.HasSuffix(u.Host, ":"):
		u.Host = strings.TrimSuffix(u.Host, ":")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the url's port is not a number from 1 to 65535")
		}
	}
	u.RawQuery = escapeQuery(u.RawQuery)
	u.ForceQuery = false
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// escapeQuery escapes what cannot stand in a query, as fetch does; package url
// leaves queries as they are.
func escapeQuery(q string) string {
	var b strings.Builder
	for i := range len(q) {
		if c := q[i]; c <= ' ' || c > '~' || c == '"' || c == '<' || c == '>' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func parseMethod(v jsontext.Value) (string, error) {
	m, err := text("method", v)
	switch {
	case err != nil:
		return "", err
	case m == "":
		return http.MethodGet, nil
	case len(m) > maxMethodBytes:
		return "", fmt.Errorf("the method has %d bytes, the limit is %d", len(m), maxMethodBytes)
	case !isToken(m):
		return "", errors.New("the method has a character that methods cannot have")
	}
	switch upper := strings.ToUpper(m); upper {
	case http.MethodConnect, http.MethodTrace, "TRACK":
		return "", fmt.Errorf("the method %s cannot be used", upper)
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return upper, nil // as fetch does; other methods are sent as they are written
	default:
		return m, nil
	}
}

// ours are the headers that belong to the connection or are computed from the
// request. Clients that were given step.fetch for their fetch set some of them;
// they are left out.
var ours = map[string]bool{
	"Accept-Encoding": true, "Connection": true, "Content-Length": true, "Expect": true, "Host": true,
	"Http2-Settings": true, "Keep-Alive": true, "Proxy-Authorization": true, "Proxy-Connection": true, "Te": true,
	"Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// parseHeaders reads an object of strings. Of names that differ only in case
// the last one counts. size is that of all names and values.
func parseHeaders(v jsontext.Value) (h http.Header, size int, err error) {
	h = http.Header{}
	if isNull(v) {
		return h, 0, nil
	}
	members, err := objectMembers(v)
	if err != nil {
		return nil, 0, errors.New("the headers are not an object of names and texts")
	}
	if len(members) > MaxHeaders {
		return nil, 0, fmt.Errorf("there are %d headers, the limit is %d", len(members), MaxHeaders)
	}
	for i, m := range members {
		if !isToken(m.name) {
			return nil, 0, fmt.Errorf("the name of header number %d is empty or has a character that names cannot have", i+1)
		}
		size += len(m.name)
		if size > MaxHeaderBytes {
			return nil, 0, fmt.Errorf("the headers have more than %d bytes", MaxHeaderBytes)
		}
		if isNull(m.value) {
			continue
		}
		value, err := text("header "+m.name, m.value)
		if err != nil {
			return nil, 0, err
		}
		value = strings.Trim(value, " \t\r\n")
		if !isFieldValue(value) {
			return nil, 0, fmt.Errorf("the value of the header %s has a line break or another control character in it", m.name)
		}
		size += len(value)
		if size > MaxHeaderBytes {
			return nil, 0, fmt.Errorf("the headers have more than %d bytes", MaxHeaderBytes)
		}
		if name := http.CanonicalHeaderKey(m.name); !ours[name] {
			h.Set(name, value)
		}
	}
	return h, size, nil
}

// The values of the option format that mean something to authorize.
const (
	formatAnthropic = "anthropic"
	formatAzure     = "azure-openai"
	formatBedrock   = "bedrock"
	formatGemini    = "gemini"
)

// authorize puts the op's credential where the provider wants it. What the op's
// own headers and URL say wins: SDKs put some credentials there already.
// Source: SDK protocol notes 03 §8.1.
func (r *Request) authorize(o options, size int) error {
	format, err := text("format", o.Format)
	if err != nil {
		return err
	}
	key, err := text("auth_key", o.AuthKey)
	if err != nil {
		return err
	}
	key = strings.Trim(key, " \t\r\n")
	switch {
	case key == "":
		return nil
	case !isFieldValue(key):
		return errors.New("the auth_key has a line break or another control character in it")
	case size+len(key) > MaxHeaderBytes:
		return fmt.Errorf("the headers and the auth_key have more than %d bytes", MaxHeaderBytes)
	}
	r.auth = key
	set := func(name, value string) {
		if r.header.Get(name) == "" {
			r.header.Set(name, value)
		}
	}
	switch format {
	case formatAnthropic:
		set("X-Api-Key", key)
	case formatBedrock:
		set("Authorization", key)
	case formatGemini:
		if !r.url.Query().Has("key") && r.header.Get("X-Goog-Api-Key") == "" {
			query := "key=" + url.QueryEscape(key)
			if r.url.RawQuery != "" {
				query = r.url.RawQuery + "&" + query
			}
			r.url.RawQuery = query
		}
	case formatAzure:
		// The TS SDK sends the key as api-key; Azure takes one of the two.
		if r.header.Get("Api-Key") == "" {
			set("Authorization", "Bearer "+key)
		}
	default:
		set("Authorization", "Bearer "+key)
	}
	return nil
}

// http makes the request that is sent. Each try needs one of its own.
func (r Request) http(ctx context.Context) (*http.Request, error) {
	if r.url == nil {
		return nil, errors.New("the request is empty")
	}
	u := *r.url
	req := (&http.Request{
		Method: r.method, URL: &u, Host: u.Host, Header: r.header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if len(r.body) > 0 {
		sent, err := http.NewRequestWithContext(ctx, r.method, "http://body", bytes.NewReader(r.body))
		if err != nil {
			return nil, errors.New("the body cannot be sent")
		}
		req.Body, req.GetBody, req.ContentLength = sent.Body, sent.GetBody, sent.ContentLength
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "pawl")
	}
	// A part of a compressed answer cannot be decompressed.
	if r.method != http.MethodHead && req.Header.Get("Range") == "" {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	return req, nil
}

// member is one name and value of a JSON object, in the order it was written.
type member struct {
	name  string
	value jsontext.Value
}

// objectMembers reads an object that has no name twice.
func objectMembers(v jsontext.Value) ([]member, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != '{' {
		return nil, errors.New("not an object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var out []member
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		m.value = value.Clone()
		out = append(out, m)
	}
	_, err := dec.ReadToken()
	return out, err
}

func isNull(v jsontext.Value) bool { return len(v) == 0 || v.Kind() == 'n' }

// text reads a JSON string; null and nothing are the empty string.
func text(what string, v jsontext.Value) (string, error) {
	if isNull(v) {
		return "", nil
	}
	if v.Kind() != '"' {
		return "", fmt.Errorf("the option %s is not a text", what)
	}
	// An error here is about lone surrogates, which have become U+FFFD.
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil && len(b) == 0 {
		return "", fmt.Errorf("the option %s cannot be read", what)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), nil
}

// isToken reports whether s is a token. Source: RFC 9110 §5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// isFieldValue reports whether s can be the value of a header.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

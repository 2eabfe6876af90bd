// Package call makes one request to an app and reads its answer: a call of a
// function, a sync, a probe. It decides nothing about runs; what an answer
// means for a run is said by durable.Next.
package call

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/proto"
	"github.com/pawlhq/pawl/internal/wire"
)

// Limits of one call. Source: spec/11 §17.
const (
	maxCall     = 2 * time.Hour
	dialTimeout = 10 * time.Second
)

// Client calls apps.
type Client struct {
	http *http.Client
	key  wire.Key
	kind string
}

// Options are the settings of a Client.
type Options struct {
	Key     wire.Key // signs requests; the zero Key: nothing is signed
	Dev     bool     // what the server calls itself
	PerHost int      // connections to one app at a time
	// Transport reaches apps; nil: over HTTP.
	Transport http.RoundTripper
}

// New returns a client.
func New(o Options) *Client {
	kind := wire.KindCloud
	if o.Dev {
		kind = wire.KindDev
	}
	if o.Transport == nil {
		o.Transport = overHTTP(o.PerHost)
	}
	return &Client{
		key: o.Key, kind: kind,
		http: &http.Client{
			Transport: o.Transport,
			// An app that moved has to sync; a redirect could lead anywhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func overHTTP(perHost int) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           4 * perHost,
		MaxIdleConnsPerHost:    perHost,
		MaxConnsPerHost:        perHost,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // an answer cannot grow on its way in
		ReadBufferSize:         8 << 10,
	}
}

// Close gives back idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// HeaderStepKey carries the idempotency key of the step that a request is for:
// the same for each try of it, and of no other step.
const HeaderStepKey = "X-Pawl-Step-Key"

// Request is one call of a function.
type Request struct {
	App        string
	URL        string // as registered; the step is set by Call
	RunID      string
	StepID     string // "" for discovery
	RequestID  string
	ItemID     string
	Generation int64
	Version    int
	Trace      proto.Trace
	Body       []byte // as wire.Call.AppendBody made it
	// Entry, of an endpoint, is the event that stands for the request with which it
	// is entered, in place of URL and Body. Plan asks it to report new steps and not
	// to run one.
	Entry jsontext.Value
	Plan  bool
	// First, of an Entry: nobody has worked on the run yet, and a client waits for
	// what this request gives. See wire.ReadEndpointAnswer.
	First bool
	// Which try it is, from 0, and how many there are, of an Entry.
	Attempt, MaxAttempts int

	// For the record of a try that fails: see Sent.
	Seq   int
	Input jsontext.Value
}

// Call sends a request and reads the answer. It never fails: what went wrong
// on the way is an answer of kind wire.Failed that says so.
func (c *Client) Call(ctx context.Context, r Request) wire.Answer {
	a, _ := c.Exchange(ctx, r)
	return a
}

// Exchange is Call, with what was sent and answered if the try has failed; nil
// otherwise.
func (c *Client) Exchange(ctx context.Context, r Request) (wire.Answer, *Exchange) {
	ctx, cancel := context.WithTimeout(ctx, maxCall)
	defer cancel()
	if r.Entry != nil {
		return c.enter(ctx, r)
	}
	u, err := wire.CallURL(r.URL, r.StepID)
	if err != nil {
		return failed(wire.CodeUnreachable, err.Error()), nil
	}
	if strings.HasPrefix(u, "ws") {
		return failed("connect_unsupported", "the app is connected over WebSocket, which this version of Pawl cannot do; serve it over HTTP"), nil
	}
	body := r.Body
	if !c.key.IsZero() {
		// What is signed is what is sent: SDKs rebuild the canonical form.
		if body, err = wire.Canonical(body); err != nil {
			return failed(wire.CodeUnknown, fmt.Sprintf("the run's state cannot be signed: %v", err)), nil
		}
	}
	req, err := c.request(ctx, http.MethodPost, u, body)
	if err != nil {
		return failed(wire.CodeUnreachable, err.Error()), nil
	}
	r.mark(req.Header)
	at := time.Now()
	status, header, answer, err := c.do(req)
	if err != nil {
		a := problem(err, r.URL)
		return a, record(r, req, r.Body, at, nil)
	}
	a := wire.ReadAnswer(status, header, answer, time.Now())
	if !broke(a) {
		return a, nil
	}
	return a, record(r, req, r.Body, at, received(status, header, answer))
}

// mark says in the headers of a request what it is.
func (r Request) mark(h http.Header) {
	h.Set(wire.HeaderRunID, r.RunID)
	h.Set(wire.HeaderRequestID, r.RequestID)
	h.Set(wire.HeaderJobID, r.ItemID)
	h.Set(wire.HeaderGenerationID, strconv.FormatInt(r.Generation, 10))
	h.Set(wire.HeaderVersion, strconv.Itoa(r.Version))
	r.Trace.Mark(h)
	if r.StepID != "" {
		h.Set(HeaderStepKey, r.RunID+"."+r.StepID)
	}
}

var errBadURL = errors.New("the app's URL cannot be parsed")

// request builds a signed request.
func (c *Client) request(ctx context.Context, method, u string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, u, bytesReader(body))
	if err != nil {
		return nil, errBadURL // err would repeat the URL, which may hold a secret
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "pawl")
	req.Header.Set(wire.HeaderServerKind, c.kind)
	if !c.key.IsZero() {
		req.Header.Set(wire.HeaderSignature, c.key.Sign(time.Now(), body))
	}
	return req, nil
}

// errTooLarge is the end of reading an answer over wire.MaxAnswerBytes.
var errTooLarge = errors.New("the answer is larger than the limit")

func (c *Client) do(req *http.Request) (int, http.Header, []byte, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	if res.ContentLength > wire.MaxAnswerBytes {
		return 0, nil, nil, errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, wire.MaxAnswerBytes+1))
	if err != nil {
		return 0, nil, nil, err
	}
	if len(body) > wire.MaxAnswerBytes {
		return 0, nil, nil, errTooLarge
	}
	return res.StatusCode, res.Header, body, nil
}

// problem says why no answer came, in words that name the way out.
func problem(err error, target string) wire.Answer {
	host := wire.PublicURL(target)
	var dns *net.DNSError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errTooLarge):
		return failed(wire.CodeTooLarge, "Your function's response body exceeds the maximum size limit")
	case errors.Is(err, context.DeadlineExceeded):
		return failed(wire.CodeTooSlow, fmt.Sprintf("%s gave no answer within %s", host, maxCall))
	case errors.As(err, &dns):
		a := failed(wire.CodeUnreachable, fmt.Sprintf("the name of %s cannot be resolved", host))
		a.Away = true
		return a
	case errors.As(err, &cert):
		return failed(wire.CodeUnreachable, fmt.Sprintf("the certificate of %s is not accepted: %v", host, cert.Err))
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return failed(wire.CodeUnreachable, host+" speaks HTTP, but its URL says https")
	default:
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		if cut(err) {
			return failed(wire.CodeCut, fmt.Sprintf("%s hung up before it answered: %v", host, err))
		}
		a := failed(wire.CodeUnreachable, fmt.Sprintf("cannot reach %s: %v", host, err))
		a.Away = errors.As(err, &op) && op.Op == "dial"
		return a
	}
}

// cut reports whether a connection broke that had been made: whoever was at its
// other end has died, or wants no more of it.
func cut(err error) bool {
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func failed(code, message string) wire.Answer {
	return wire.Answer{Kind: wire.Failed, Code: code, Err: wire.NewError(code, message, "", true)}
}

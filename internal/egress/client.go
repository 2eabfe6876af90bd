// Package egress makes the requests that steps ask the server itself to make:
// step.fetch (op Gateway) and step.ai.infer (op AIGateway), and posts alerts. URLs
// come from apps and often from their users, so it reaches only the public internet unless
// told otherwise, follows no redirect, keeps to limits of size and time, and
// shows no credential in an error. It never decides whether to try again.
package egress

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/pawlhq/pawl/internal/wire"
)

// Usual limits. An answer is a step's output; a request may take as long as one
// to an app. Source: spec/11 §13, §17.
const (
	defaultTimeout   = 2 * time.Hour
	defaultMaxAnswer = wire.MaxStepBytes

	dialTimeout       = 10 * time.Second
	maxAnswerHeaders  = 128 << 10
	maxIdle           = 64
	maxIdlePerHost    = 8
	idleTimeout       = 90 * time.Second
	keepAliveInterval = 30 * time.Second
)

// Options are the settings of a Client. The zero value is the strict one.
type Options struct {
	// AllowPrivate lets requests reach any address: those of this machine, of
	// private networks and of metadata services too.
	AllowPrivate bool
	// Timeout of one request, from dialling to the last byte; 0: two hours.
	Timeout time.Duration
	// MaxAnswer is the most bytes of an answer, unpacked, and of the memo that
	// is made of it; 0: 4 MiB.
	MaxAnswer int
	// Proxy chooses a proxy for a request, as http.ProxyFromEnvironment does;
	// nil: none is ever used. A proxy is reached wherever it is, and resolves
	// names by itself: behind one, only private addresses written as such in a
	// URL are refused here, and the rest is for the proxy to refuse.
	Proxy func(*http.Request) (*url.URL, error)
	// Resolver resolves names; nil: the system's.
	Resolver *net.Resolver
}

// Client makes requests. It may be used by many goroutines.
type Client struct {
	o       Options
	direct  *http.Transport
	proxied *http.Transport // nil without a proxy
}

// New returns a client. Close gives back what it holds.
func New(o Options) *Client {
	control := guard
	if o.AllowPrivate {
		control = nil
	}
	return newClient(o, control)
}

// newClient takes the check of addresses, so that a test can watch it.
func newClient(o Options, control func(network, address string, c syscall.RawConn) error) *Client {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxAnswer <= 0 {
		o.MaxAnswer = defaultMaxAnswer
	}
	c := &Client{o: o, direct: transport(o.Resolver, control)}
	if o.Proxy != nil {
		c.proxied = transport(o.Resolver, nil)
		c.proxied.Proxy = o.Proxy
	}
	return c
}

func transport(resolver *net.Resolver, control func(network, address string, c syscall.RawConn) error) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAliveInterval, Resolver: resolver, Control: control}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxAnswerHeaders,
		DisableCompression:     true, // unpacked in read, within a limit on both sides
	}
}

// Close gives back idle connections.
func (c *Client) Close() {
	c.direct.CloseIdleConnections()
	if c.proxied != nil {
		c.proxied.CloseIdleConnections()
	}
}

// Do sends a request and returns the memo of its answer. For wire.OpGateway any
// answer is a result, whatever its status, a redirect too. For wire.OpAIGateway
// a status up to 299 is, and so for Post, of which no memo is made. Anything else is an *Error. Only when ctx ends, which
// says nothing about the request, is it another error, which wraps ctx's cause.
// Source: SDK protocol notes 03 §8.
func (c *Client) Do(ctx context.Context, r Request) (memo []byte, err error) {
	within, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, ErrTooSlow)
	defer cancel()
	answer, err := c.send(within, r)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s was interrupted: %w", r, context.Cause(ctx))
	case errors.Is(context.Cause(within), ErrTooSlow):
		return nil, r.unanswered(fmt.Sprintf("%s gave no whole answer within %s", r.Host(), c.o.Timeout), ErrTooSlow)
	default:
		return nil, c.problem(r, err)
	}
	if r.op != wire.OpGateway {
		if answer.status > 299 {
			at, _ := wire.ParseRetryAfter(answer.header.Get(wire.HeaderRetryAfter), time.Now())
			return nil, r.unsuccessful(answer.status, statusText(answer.status), answer.body, at)
		}
		if r.op == opPost {
			return nil, nil
		}
		memo = answer.aiMemo()
	} else {
		memo = answer.fetchMemo(RedactURL(r.url.String()))
	}
	if len(memo) > c.o.MaxAnswer {
		return nil, c.problem(r, ErrTooLarge)
	}
	return memo, nil
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   []byte // unpacked
}

func (c *Client) send(ctx context.Context, r Request) (answer, error) {
	req, err := r.http(ctx)
	if err != nil {
		return answer{}, err
	}
	via, err := c.way(req)
	if err != nil {
		return answer{}, err
	}
	// A transport and not an http.Client: nothing is followed, kept or added.
	res, err := via.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return answer{}, errors.New("the server changed to another protocol, which was not asked for")
	}
	body, err := read(res, req.Header.Get("Accept-Encoding") != "", int64(c.o.MaxAnswer))
	if err != nil {
		return answer{}, err
	}
	return answer{res.StatusCode, res.Header, body}, nil
}

// way is how a request goes: straight to an address that is checked, or by a
// proxy.
func (c *Client) way(req *http.Request) (http.RoundTripper, error) {
	if c.proxied == nil {
		return c.direct, nil
	}
	proxy, err := c.o.Proxy(req)
	switch {
	case err != nil:
		return nil, errProxy // err quotes the proxy's URL, which may have a password
	case proxy == nil:
		return c.direct, nil
	}
	if addr, err := netip.ParseAddr(req.URL.Hostname()); err == nil && !c.o.AllowPrivate {
		if err := CheckAddr(addr); err != nil {
			return nil, err
		}
	}
	return c.proxied, nil
}

var errProxy = errors.New("the proxy's address in the server's settings cannot be read")

// read reads a body of at most limit bytes, packed and unpacked. Without the
// first, empty gzip members could go on for ever.
func read(res *http.Response, mayUnpack bool, limit int64) ([]byte, error) {
	if res.ContentLength > limit && res.Request.Method != http.MethodHead {
		return nil, ErrTooLarge
	}
	raw := &io.LimitedReader{R: res.Body, N: limit + 1}
	from := io.Reader(raw)
	if mayUnpack && strings.EqualFold(strings.TrimSpace(res.Header.Get("Content-Encoding")), "gzip") {
		unpacked, err := gzip.NewReader(raw)
		switch {
		case errors.Is(err, io.EOF) && raw.N == limit+1: // no body at all, as to a HEAD or with a 304
			return nil, nil
		case err != nil:
			return nil, unpackError(err)
		}
		from = unpacked
		res.Header.Del("Content-Encoding")
		res.Header.Del("Content-Length")
	}
	body, err := io.ReadAll(io.LimitReader(from, limit+1))
	switch {
	case raw.N == 0, int64(len(body)) > limit:
		return nil, ErrTooLarge
	case err != nil:
		return nil, unpackError(err)
	}
	return body, nil
}

func unpackError(err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt) {
		return errors.New("its answer says that it is packed with gzip, but cannot be unpacked")
	}
	return err
}

// problem says why no answer came, in words that name the way out.
func (c *Client) problem(r Request, err error) *Error {
	host := r.Host()
	var private *PrivateError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &private):
		return r.unanswered(fmt.Sprintf("cannot reach %s: %s", host, private), private)
	case errors.Is(err, ErrTooLarge):
		return r.unanswered(fmt.Sprintf("the answer of %s is larger than the limit of %d bytes; ask for less, or make the request in a step of the app's own",
			host, c.o.MaxAnswer), ErrTooLarge)
	case errors.As(err, &dns):
		// Its text names the server's own name servers.
		if dns.IsNotFound {
			return r.unanswered(fmt.Sprintf("there is no host with the name of %s", host), nil)
		}
		return r.unanswered(fmt.Sprintf("the name of %s cannot be resolved at the moment", host), nil)
	case errors.As(err, &cert):
		return r.unanswered(fmt.Sprintf("the certificate of %s is not accepted: %v", host, cert.Err), nil)
	case errors.As(err, &plain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return r.unanswered(host+" does not speak TLS, but its URL says https", nil)
	case errors.Is(err, syscall.ECONNREFUSED):
		return r.unanswered(fmt.Sprintf("cannot reach %s: connection refused", host), nil)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return r.unanswered(host+" closed the connection before its answer was complete", nil)
	}
	var network *net.OpError
	if errors.As(err, &network) {
		if network.Timeout() {
			return r.unanswered(fmt.Sprintf("cannot reach %s: nothing answers there", host), nil)
		}
		err = network.Err // without the server's own addresses
	}
	return r.unanswered(fmt.Sprintf("cannot reach %s: %v", host, err), nil)
}

func statusText(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

// Bounds on one answer of the server.
const (
	maxAnswerBytes   = 1 << 20
	maxHeaderLines   = 64
	requestTimeout   = 30 * time.Second
	connBufferBytes  = 4 << 10
	firstStatusDigit = len("HTTP/1.1 ")
)

// errAnswer means that what came back is not an HTTP answer this client reads.
var errAnswer = errors.New("not an HTTP answer")

// conn is one keep-alive HTTP connection for one goroutine. It stands in for
// net/http's client, which costs several times the CPU for each request
// (BenchmarkClient); on two cores the load would take them from the server.
type conn struct {
	addr   string // host:port
	bearer string // sent as Authorization unless empty
	nc     net.Conn
	r      *bufio.Reader
	out    []byte
	body   []byte
	closed bool   // the server said that it closes after the last answer
	retry  string // Retry-After of the last answer
}

func newConn(addr, bearer string) *conn { return &conn{addr: addr, bearer: bearer} }

// do sends one request and reads its answer. The body it returns is good until
// the next do. It dials when there is no connection; after an error there is
// none, and nothing is sent again: whether to repeat is for the caller to know.
func (c *conn) do(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	if c.nc == nil {
		dialer := net.Dialer{Timeout: requestTimeout}
		if c.nc, err = dialer.DialContext(ctx, "tcp", c.addr); err != nil {
			c.nc = nil
			return 0, nil, fmt.Errorf("dial %s: %w", c.addr, err)
		}
		c.r = bufio.NewReaderSize(c.nc, connBufferBytes)
		c.closed = false
	}
	if err := c.nc.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		c.close()
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	c.out = append(c.out[:0], method...)
	c.out = append(c.out, ' ')
	c.out = append(c.out, path...)
	c.out = append(c.out, " HTTP/1.1\r\nHost: "...)
	c.out = append(c.out, c.addr...)
	if c.bearer != "" {
		c.out = append(c.out, "\r\nAuthorization: Bearer "...)
		c.out = append(c.out, c.bearer...)
	}
	if method != "GET" {
		c.out = append(c.out, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	}
	c.out = append(c.out, "\r\n\r\n"...)
	c.out = append(c.out, body...)
	if _, err := c.nc.Write(c.out); err != nil {
		c.close()
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	c.retry = ""
	status, c.body, c.closed, err = readAnswerOf(c.r, c.body[:0], &c.retry)
	if err != nil {
		c.close()
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if c.closed {
		c.close()
	}
	return status, c.body, nil
}

func (c *conn) close() {
	if c.nc != nil {
		_ = c.nc.Close()
		c.nc = nil
	}
}

// readAnswer reads one answer and appends its body to buf. Its length has to be
// stated or chunked, or the connection has to end with it; last says that the
// server closes afterwards.
func readAnswer(r *bufio.Reader, buf []byte) (status int, body []byte, last bool, err error) {
	return readAnswerOf(r, buf, new(string))
}

// readAnswerOf also tells when the server wants to be asked again.
func readAnswerOf(r *bufio.Reader, buf []byte, retry *string) (status int, body []byte, last bool, err error) {
	for status < 200 { // 1xx answers come before the real one
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, buf, true, fmt.Errorf("read the status line: %w", err)
		}
		if len(line) < firstStatusDigit+3 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
			return 0, buf, true, errAnswer
		}
		status, err = strconv.Atoi(string(line[firstStatusDigit : firstStatusDigit+3]))
		if err != nil || status < 100 {
			return 0, buf, true, errAnswer
		}
		length, chunked, closes, err := readHeader(r, retry)
		if err != nil {
			return 0, buf, true, err
		}
		last = closes
		switch {
		case status < 200:
			continue
		case status == 204 || status == 304:
			return status, buf, last, nil
		case chunked:
			return readRest(status, httputil.NewChunkedReader(r), r, buf, last)
		case length < 0:
			return readRest(status, r, nil, buf, true)
		}
		start := len(buf)
		buf = append(buf, make([]byte, length)...)
		if _, err := io.ReadFull(r, buf[start:]); err != nil {
			return 0, buf[:start], true, fmt.Errorf("read the body: %w", err)
		}
	}
	return status, buf, last, nil
}

// readRest reads body to its end and, after chunks, the empty line in trailer.
func readRest(status int, body io.Reader, trailer *bufio.Reader, buf []byte, last bool) (int, []byte, bool, error) {
	all, err := io.ReadAll(io.LimitReader(body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return 0, buf, true, fmt.Errorf("read the body: %w", err)
	case len(all) > maxAnswerBytes:
		return 0, buf, true, errAnswer
	}
	if trailer != nil {
		if line, err := trailer.ReadSlice('\n'); err != nil || len(bytes.TrimSpace(line)) > 0 {
			return 0, buf, true, errAnswer // real trailers: nobody sends them here
		}
	}
	return status, append(buf, all...), last, nil
}

// readHeader reads the header lines; length is -1 when none is stated.
func readHeader(r *bufio.Reader, retry *string) (length int, chunked, last bool, err error) {
	length = -1
	for range maxHeaderLines {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, false, true, fmt.Errorf("read the header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, chunked, last, nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return 0, false, true, errAnswer
		}
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			length, err = strconv.Atoi(string(value))
			if err != nil || length < 0 || length > maxAnswerBytes {
				return 0, false, true, errAnswer
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			last = bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("retry-after")):
			*retry = string(value)
		}
	}
	return 0, false, true, errAnswer
}

// register tells a server an app's functions.
func register(ctx context.Context, server, key, body string) error {
	c := newConn(server, key)
	defer c.close()
	status, answer, err := c.do(ctx, "POST", "/fn/register", []byte(body))
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("POST /fn/register: status %d: %s", status, firstBytes(answer))
	}
	return nil
}

package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// drip is a body without end that counts what was read of it.
type drip struct{ read int64 }

func (d *drip) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '['
	}
	d.read += int64(len(p))
	return len(p), nil
}

// TestBodiesWithoutEnd (S8): each route reads as much as its limit allows and
// not more, also of a body that does not say how long it is.
func TestBodiesWithoutEnd(t *testing.T) {
	f := newFixture(t, serving, draining)
	for _, rt := range routes() {
		path := wildcards.Replace(strings.Replace(rt.pattern, "{key}", testEventKey, 1))
		if path == "/e/" {
			continue // has no key, and lets nobody in
		}
		for _, length := range []int64{-1, 1 << 40} {
			body := &drip{}
			r := httptest.NewRequest(rt.method, "http://localhost"+path, body)
			r.ContentLength = length
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+testKey)
			w := httptest.NewRecorder()
			f.s.ServeHTTP(w, r)
			name := fmt.Sprintf("%s %s of %d bytes", rt.method, path, length)
			if rt.body == 0 {
				require.Zero(t, body.read, name)
				continue
			}
			require.Equal(t, http.StatusRequestEntityTooLarge, w.Code, name)
			most := rt.body + 1
			if length > 0 {
				most = 0
			}
			require.LessOrEqual(t, body.read, most, name)
		}
	}
	require.True(t, f.s.held.TryAcquire(defaultHeldBytes), "a body was not given back")
}

// TestJSONBombs (S8): bodies that are small and mean much are refused, or taken
// for what they are, at a cost in proportion to their size.
func TestJSONBombs(t *testing.T) {
	f := newFixture(t)
	var keys strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&keys, `"k%d":1,`, i)
	}
	event := func(data string) string { return `{"name":"a","data":` + data + `}` }
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"200,000 names", event("{" + strings.TrimSuffix(keys.String(), ",") + "}"), 200},
		{"200,000 names and one of them again", event("{" + keys.String() + `"k77":1}`), 400},
		{"names that differ in their letters' case", event(`{"a":1,"A":2}`), 200},
		{"the event's own name in another case", `{"name":"a","Name":"b"}`, 200},
		{"a million levels", event(strings.Repeat(`{"a":`, 5e5)), 400},
		{"a million levels of lists", event(`{"x":` + strings.Repeat("[", 1e6) + strings.Repeat("]", 1e6) + "}"), 400},
		{"a number of 400 digits", event(`{"x":1` + strings.Repeat("0", 400) + `}`), 200},
		{"10^400", event(`{"x":1e400}`), 200},
		{"a number of a million digits", event(`{"x":1` + strings.Repeat("0", 1e6) + `}`), 200},
		{"NaN", event(`{"x":NaN}`), 400},
		{"infinity", event(`{"x":Infinity}`), 400},
		{"a text of 4 MiB", event(`{"x":"` + strings.Repeat("x", 4<<20) + `"}`), 400},
		{"a name of a megabyte", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 400},
		{"a surrogate alone", event(`{"x":"\ud800"}`), 200},
		{"overlong UTF-8", event("{\"x\":\"\xc0\xaf\"}"), 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := f.post("/e/k", tt.body)
			runtime.ReadMemStats(&after)
			require.Equal(t, tt.status, w.Code, "%.300s", w.Body)
			require.Less(t, w.Body.Len(), 1<<10)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20+90*len(tt.body)), "bytes allocated for %d", len(tt.body))
		})
	}
	for _, number := range []string{"1" + strings.Repeat("0", 400), "1e400", "12345678901234567890.10", "-0"} {
		id := f.send(event(`{"x":` + number + `}`))
		require.Equal(t, `{"x":`+number+`}`, string(data[eventView](t, f.get("/v1/events/"+id)).Data), "a number stays as it was sent")
	}
}

// line is one connection to a server, without a socket.
type line struct {
	net.Conn
	answer *bufio.Reader
}

// wired serves f over pipes, in virtual time, and returns a way to connect.
func wired(t *testing.T, f *fixture) func() line {
	t.Helper()
	conns := make(chan net.Conn)
	front := f.s.HTTPServer()
	l := &pipes{conns: conns, closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- front.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, front.Close())
		<-served
	})
	return func() line {
		mine, theirs := net.Pipe()
		conns <- theirs
		return line{mine, bufio.NewReader(mine)}
	}
}

type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

// TestSlowClients (S9): who sends a byte a second, or nothing, is cut off, and
// does not hold up anybody.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const head = "POST /e/k HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
	for _, tt := range []struct {
		name, at, then string // sent at once, and then byte by byte
		within         time.Duration
		answer         string // "" when it is only cut off
	}{
		{"a slow header", "GET /health HTTP/1.1\r\nHost: local", strings.Repeat("h", 3600), 11 * time.Second, ""},
		{"no header", "", "", 11 * time.Second, ""},
		{"a slow body", head, strings.Repeat(" ", 3600), 11 * time.Second, "408"},
		{"a slow body that nobody reads", strings.Replace(head, "POST /e/k", "GET /health", 1), strings.Repeat(" ", 3600), 11 * time.Second, "200"},
		{"a slow body for nobody", strings.Replace(head, "/e/k", "/nowhere", 1), strings.Repeat(" ", 3600), 11 * time.Second, "404"},
		{"half a body", head + "{", "", 11 * time.Second, "408"},
		{"an idle connection", "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", "", 2*time.Minute + time.Second, "200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				connect := wired(t, f)
				const many = 2
				for range many {
					c := connect()
					defer c.Close()
					go func() {
						if _, err := io.WriteString(c, tt.at); err != nil {
							return
						}
						for i := range len(tt.then) {
							time.Sleep(time.Second)
							if _, err := io.WriteString(c, tt.then[i:i+1]); err != nil {
								return
							}
						}
					}()
					begin := time.Now()
					if tt.answer != "" {
						got, err := c.answer.ReadString('\n')
						require.NoError(t, err)
						require.Contains(t, got, " "+tt.answer+" ")
					}
					_, err := io.Copy(io.Discard, c.answer) // until it is cut off
					if err != nil {
						require.ErrorIs(t, err, io.EOF)
					}
					require.LessOrEqual(t, time.Since(begin), tt.within)
				}
				time.Sleep(2 * time.Minute) // the senders have noticed
				require.True(t, f.s.held.TryAcquire(defaultHeldBytes), "a body was not given back")
			})
		})
	}
}

// TestOddRequests (S1, S9) are written by hand: other forms of a request line,
// and headers that try to change who is asked for what.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving)
	front := httptest.NewUnstartedServer(f.s)
	front.Config = f.s.HTTPServer()
	front.Start()
	t.Cleanup(front.Close)
	const host = "Host: localhost\r\n"
	for _, tt := range []struct {
		name, request string
		status        []int
	}{
		{"HTTP/1.0", "GET /v1/runs HTTP/1.0\r\n\r\n", []int{401}},
		{"HTTP/1.0, open", "GET /health HTTP/1.0\r\n\r\n", []int{200}},
		{"an absolute URL", "GET http://localhost/v1/runs HTTP/1.1\r\n" + host + "\r\n", []int{401}},
		{"an absolute URL of another host", "GET http://evil.example/v1/runs HTTP/1.1\r\n" + host + "\r\n", []int{401}},
		{"a password in the URL", "GET http://" + testKey + "@localhost/v1/runs HTTP/1.1\r\n" + host + "\r\n", []int{401}},
		{"another method in a header", "GET /v1/runs/01JQDAE4RQF8MBCR55T5AK4KXS HTTP/1.1\r\n" + host + "X-HTTP-Method-Override: DELETE\r\n\r\n", []int{401}},
		{"another path in a header", "GET /health HTTP/1.1\r\n" + host + "X-Original-URL: /v1/runs\r\nX-Rewrite-URL: /v1/runs\r\nX-Forwarded-Prefix: /v1\r\n\r\n", []int{200}},
		{"another sender in a header", "GET /v1/runs HTTP/1.1\r\n" + host + "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n\r\n", []int{401}},
		{"a dot behind the path", "GET /v1/runs. HTTP/1.1\r\n" + host + "\r\n", []int{404}},
		{"a backslash", "GET /health\\..\\v1\\runs HTTP/1.1\r\n" + host + "\r\n", []int{400, 404}},
		{"CONNECT", "CONNECT localhost:80 HTTP/1.1\r\n" + host + "\r\n", []int{404, 405}},
		{"everything", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", []int{200, 404}},
		{"two keys", "GET /v1/runs HTTP/1.1\r\n" + host + "Authorization: Bearer x\r\nAuthorization: Bearer " + testKey + "\r\n\r\n", []int{401}},
		{"two lengths", "POST /e/x HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", []int{400}},
		{"a length that is none", "POST /e/x HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", []int{400}},
		{"a megabyte of headers", "GET /health HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", []int{431}},
		{"ten thousand headers", "GET /health HTTP/1.1\r\n" + host + strings.Repeat("X-Aaaa: 1\r\n", 10_000) + "\r\n", []int{431}},
		{"a long URL", "GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\n" + host + "\r\n", []int{431}},
		{"no host", "GET /health HTTP/1.1\r\n\r\n", []int{400}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", front.Listener.Addr().String())
			require.NoError(t, err)
			defer c.Close()
			go io.WriteString(c, tt.request) // the server may stop reading half-way
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Contains(t, tt.status, resp.StatusCode)
		})
	}
}

// TestInjections (S13): texts that mean something to a database or a shell are
// texts like any other wherever a caller may put one.
func TestInjections(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	run := f.ended(`{"name":"order/paid"}`)
	before := f.get("/v1/runs").Code
	for _, text := range []string{
		`'`, `''`, `"`, `' OR '1'='1`, `'; DROP TABLE runs; --`, `") OR 1=1 --`, `1); DELETE FROM events; --`, `\'; --`, `%' OR name LIKE '%`,
		`$cursor`, `?1`, `:name`, `*/ UNION SELECT key, value FROM meta --`, `../../etc/passwd`, `$(id)`, "`id`", `{{.}}`, `%00`, "~", `_%`,
	} {
		escaped := strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
		for _, path := range []string{
			"/v1/runs/search?function=", "/v1/runs/search?event=", "/v1/runs/search?data=a=", "/v1/runs/search?error=", "/v1/runs?function=", "/v1/runs?cursor=", "/v1/runs?status=", "/v1/runs?limit=", "/v1/runs?order=", "/v1/events?name=", "/v1/events?cursor=",
			"/v1/events?received_after=", "/v1/events/", "/v1/runs/", "/v0/runs/x/actions?x=", "/runs/", "/v1/apps/x/functions?x=", "/assets/",
		} {
			w := f.get(path + escaped)
			require.Contains(t, []int{200, 400, 404}, w.Code, "%s%s: %s", path, text, w.Body)
			require.NotContains(t, strings.ToLower(w.Body.String()), "sqlite")
			if w.Code == 200 && (strings.HasPrefix(path, "/v1/runs?f") || strings.HasPrefix(path, "/v1/events?n")) {
				require.Contains(t, w.Body.String(), `"data":[]`, "%s%s matched something", path, text)
			}
		}
		quoted := string(appendText(nil, text))
		id := f.send(`{"name":` + quoted + `,"id":` + quoted + `,"data":{` + quoted + `:` + quoted + `}}`)
		require.Equal(t, text, data[eventView](t, f.get("/v1/events/"+id)).Name)
		require.Len(t, data[[]eventView](t, f.get("/v1/events?name="+escaped)), 1, text)
		w := f.post("/fn/register", strings.NewReplacer(`"appName":"shop"`, `"appName":`+quoted, `shop-charge"`, strings.Trim(quoted, `"`)+`"`).Replace(registration))
		require.Contains(t, []int{200, 400}, w.Code, w.Body)
		require.Equal(t, 404, f.do(request{method: "POST", path: "/v1/checkpoint/" + escaped + "/async", body: `{"steps":[]}`}).Code, text)
	}
	require.Equal(t, before, f.get("/v1/runs").Code)
	require.Equal(t, run, data[runView](t, f.get("/v1/runs/"+run.RunID)), "what there was is unchanged")
}

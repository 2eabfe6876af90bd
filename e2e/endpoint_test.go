package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// reply is what a client gets of an endpoint or of a result URL.
type reply struct {
	status int
	header http.Header
	body   string
}

// asClient asks like a client that sees redirects. It asks once: on a connection
// that was used before, net/http would ask again by itself when it breaks.
var asClient = &http.Client{
	Timeout:       patience,
	Transport:     &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: 10 * time.Second},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func fetch(ctx context.Context, method, url, body string, header map[string]string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := asClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(got)}, err
}

// startEndpoints starts an app with durable endpoints, and a server that knows the
// function that they invoke.
func startEndpoints(t *testing.T, s sdk, m mode, flags ...string) (*pawl, *app) {
	t.Helper()
	p := newPawl(t, m, append([]string{"--endpoint-lease", "2s", "--retry-interval", "300ms"}, flags...)...)
	return startEndpointsWith(t, s, p)
}

// pastRecorder makes Pawl enter the endpoints of an app without the recorder, which
// hangs up in place of an app that is dead.
const pastRecorder = "INNGEST_SERVE_ORIGIN=DIRECT"

// startEndpointsWith is startEndpoints for a server that does not run yet, and an
// app with settings of its own, in which DIRECT is where it listens.
func startEndpointsWith(t *testing.T, s sdk, p *pawl, env ...string) (*pawl, *app) {
	t.Helper()
	a := newApp(t, s, p)
	for i, e := range env {
		env[i] = strings.ReplaceAll(e, "DIRECT", a.direct(""))
	}
	a.env = append(a.env, env...)
	a.start()
	if s != goapp {
		p.argv = append(p.argv, "--app", a.rec.appURL+"/api/inngest")
		p.start()
		p.awaitApp(s.name, 1)
		return p, a
	}
	p.start()
	startRawApp(t, p, "raw", map[string]rawFn{"double": {event: "raw/double", handle: func(c *rawCall) rawAnswer {
		var e struct{ Data struct{ N int } }
		if err := json.Unmarshal(c.Event, &e); err != nil {
			return rawAnswer{status: 500, body: op{"message": err.Error()}}
		}
		return result(op{"n": 2 * e.Data.N})
	}}})
	return p, a
}

// ask is a client's request to an endpoint.
func (a *app) ask(ctx context.Context, path string) (reply, error) {
	return fetch(ctx, "GET", a.direct("/api/"+path), "", nil)
}

// redirects reports whether the client was sent to a result URL, and returns it as
// one of p itself, past the recorder.
func (r reply) redirects(p *pawl) (at string, ok bool) {
	if r.status != http.StatusFound && r.status != http.StatusSeeOther {
		return "", false
	}
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil || !strings.HasSuffix(u.Path, "/output") {
		return "", false
	}
	return p.url + u.RequestURI(), true
}

// runOf is the run whose result is at a URL.
func runOf(resultURL string) string {
	return strings.Split(strings.TrimPrefix(resultURL, "http://"), "/")[4]
}

// readers wait for one result at the same time.
type readers struct {
	p     *pawl
	at    string
	n     int
	ended chan readerEnd
}

type readerEnd struct {
	reply
	err error
}

// read lets n clients wait for a result.
func (p *pawl) read(at string, n int) *readers {
	r := &readers{p, at, n, make(chan readerEnd, n)}
	for range n {
		go func() {
			got, err := follow(context.Background(), at)
			r.ended <- readerEnd{got, err}
		}()
	}
	return r
}

// follow waits for a result as a client does that knows what it is doing: it goes
// where it is sent, and comes back when its connection or the server breaks.
func follow(ctx context.Context, at string) (got reply, err error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for ctx.Err() == nil {
		got, err = fetch(ctx, "GET", at, "", nil)
		switch {
		case err == nil && got.status == http.StatusTemporaryRedirect:
			from, _ := url.Parse(at)
			to, err := from.Parse(got.header.Get("Location"))
			if err != nil {
				return got, err
			}
			at = to.String()
		case err == nil && got.status != http.StatusServiceUnavailable:
			return got, nil
		default:
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	return got, fmt.Errorf("no result: %w (last: %d %.100s)", ctx.Err(), got.status, got.body)
}

// result waits for all readers, and one that comes late, and wants them to have
// got the same.
func (r *readers) result(t *testing.T) reply {
	t.Helper()
	var all []reply
	for range r.n {
		end := <-r.ended
		require.NoError(t, end.err)
		all = append(all, end.reply)
	}
	late, err := fetch(context.Background(), "GET", r.at, "", nil)
	require.NoError(t, err)
	for _, other := range all {
		require.Equal(t, late.status, other.status)
		require.Equal(t, late.body, strings.TrimLeft(other.body, " "), "the result, byte for byte, but for what kept the connection alive")
	}
	return late
}

// tour is a request to an endpoint and all that must be seen of it. KEY stands for
// its key.
type tour struct {
	name, path string
	post       string // body; "" for a GET
	not        []sdk
	main       bool // also worth a run without keys

	during func(p *pawl, run, key string) // it waits

	// What the handler answers, which reaches the client in the same request unless
	// moved is set.
	status int
	body   string
	trip   bool // with the header X-Trip
	moved  bool

	starts map[string]int // of bodies
	run    string         // how it ends; "" when there is none
	check  func(t *testing.T, p *pawl, run string, got reply)
}

// approve waits until a request waits for its approval, and answers it.
func approve(approved bool) func(p *pawl, run, key string) {
	return func(p *pawl, run, key string) {
		p.t.Helper()
		p.resting(run, "approval")
		p.send(
			event{Name: "trip/approval", Data: op{"key": "of somebody else", "approved": !approved}},
			event{Name: "trip/approval", Data: op{"key": key, "approved": approved}},
		)
	}
}

var ts = []sdk{node, next}

var tours = []tour{
	{
		name: "three steps, and the answer comes in the same request", path: "plain", main: true,
		status: 201, body: "KEY: 1 2 3\n", trip: true, starts: map[string]int{"a": 1, "b": 1, "c": 1}, run: "Completed",
	},
	{name: "no steps", path: "nothing", not: []sdk{goapp}, status: 202, body: `{"key":"KEY"}`, run: "Completed"},
	{name: "no steps, of which Go tells nobody", path: "nothing", not: ts, status: 202, body: `{"key":"KEY"}`},
	{
		name: "a failing step is tried again", path: "flaky?n=2", not: []sdk{goapp}, main: true,
		moved: true, status: 201, body: `{"key":"KEY","c":3}`, starts: map[string]int{"a": 1, "b": 3, "c": 1}, run: "Completed",
	},
	{
		name: "a failing step in Go: the client has the handler's answer, the run goes on", path: "flaky?n=2", not: ts,
		status: 502, body: "KEY b fails, 1 of 2\n", starts: map[string]int{"a": 1, "b": 3, "c": 1}, run: "Completed",
		check: func(t *testing.T, p *pawl, run string, _ reply) {
			require.Contains(t, string(p.await(run).Output), `"status":201`)
		},
	},
	{
		name: "a step that fails for good is made up for", path: "caught", not: []sdk{goapp},
		moved: true, status: 409, body: `{"key":"KEY","undone":"undone","why":"KEY pay fails, 4 of 1000"}`,
		starts: map[string]int{"book": 1, "pay": 4, "undo": 1}, run: "Completed",
	},
	{
		name: "a step that fails for good in Go is made up for", path: "caught", not: ts,
		status: 502, body: "KEY pay fails, 1 of 1000\n", starts: map[string]int{"book": 1, "pay": 5, "undo": 1}, run: "Completed",
	},
	{
		name: "a handler that throws is entered again", path: "broken?n=2", not: []sdk{goapp},
		moved: true, status: 200, body: `{"key":"KEY","b":2}`, starts: map[string]int{"a": 1, "b": 1}, run: "Completed",
	},
	{
		name: "a handler that throws for ever fails the run", path: "broken?n=1000", not: []sdk{goapp}, main: true,
		moved: true, starts: map[string]int{"a": 1}, run: "Failed",
		check: func(t *testing.T, p *pawl, run string, got reply) {
			require.Equal(t, 200, got.status)
			require.Contains(t, got.body, `"message":"`)
			require.Contains(t, got.body, `between fails, 4 of 1000"`)
			var letter struct{ Attempts int }
			require.NoError(t, p.get("/v1/dead-letters/"+run, &letter))
			require.Equal(t, 4, letter.Attempts)
		},
	},
	{
		name: "an answer of the server's kind fails a run in Go", path: "broken", not: ts,
		status: 503, body: "KEY is broken\n", starts: map[string]int{"a": 1}, run: "Failed",
	},
	{
		name: "a refusal that is final: the SDK reports it to nobody", path: "refused", not: []sdk{goapp},
		starts: map[string]int{"a": 1}, run: "Failed",
		check: func(t *testing.T, p *pawl, run string, got reply) {
			require.Equal(t, 400, got.status)
			require.Equal(t, "true", got.header.Get("X-Inngest-No-Retry"))
			require.Contains(t, p.await(run).message(), "is refused")
		},
	},
	{
		name: "a sleep", path: "nap?for=1s", main: true,
		moved: true, status: 201, body: `{"b":2,"key":"KEY"}`, trip: true, starts: map[string]int{"a": 1, "b": 1}, run: "Completed",
	},
	{
		name: "approved", path: "approval", during: approve(true), main: true,
		moved: true, status: 200, body: `{"done":"book","key":"KEY"}`, starts: map[string]int{"ask": 1, "book": 1}, run: "Completed",
	},
	{
		name: "denied", path: "approval", during: approve(false),
		moved: true, status: 200, body: `{"done":"decline","key":"KEY"}`, starts: map[string]int{"ask": 1, "decline": 1}, run: "Completed",
	},
	{
		name: "neither in time", path: "approval?for=1s",
		moved: true, status: 408, body: `{"expired":true,"key":"KEY"}`, starts: map[string]int{"ask": 1}, run: "Completed",
	},
	{
		name: "an ordinary function is invoked", path: "invoke?n=21", main: true,
		moved: true, status: 200, body: `{"got":{"n":42},"key":"KEY"}`, starts: map[string]int{"a": 1, "b": 1}, run: "Completed",
	},
	{
		name: "parallel steps", path: "parallel?ms=100", main: true,
		moved: true, status: 200, body: `{"after":"lr","key":"KEY"}`, starts: map[string]int{"left": 1, "right": 1, "after": 1}, run: "Completed",
	},
	{
		name: "a body", path: "echo?q=1&q=%2F+x", post: `{"n": 1, "text": "ä"}`, not: []sdk{goapp},
		status: 200, body: `{"key":"KEY","method":"POST","query":"q=1&q=%2F+x&key=KEY","sent":{"n":1,"text":"ä"},"type":"application/json"}`,
		starts: map[string]int{"a": 1, "b": 1}, run: "Completed",
	},
	{
		name: "a body is there when the endpoint is entered again, and so is the query", path: "echo?q=1&q=%2F+x&for=1s", post: `{"n": 1, "text": "ä"}`, not: []sdk{goapp}, main: true,
		moved: true, status: 200, body: `{"key":"KEY","method":"POST","query":"q=1&q=%2F+x&for=1s&key=KEY","sent":{"n":1,"text":"ä"},"type":"application/json"}`,
		starts: map[string]int{"a": 1, "b": 1}, run: "Completed",
	},
	{
		name: "a body in Go that is read in the end", path: "echo?q=1&q=%2F+x&for=1s", post: `{"n": 1, "text": "ä"}`, not: ts,
		moved: true, status: 200, body: `{"key":"KEY","method":"POST","query":"q=1&q=%2F+x&for=1s&key=KEY","sent":"{\"n\": 1, \"text\": \"ä\"}","type":"application/json"}`,
		starts: map[string]int{"a": 1, "b": 1}, run: "Completed",
	},
	{
		name: "a body in Go that was read before is gone", path: "echo?for=1s&first=1", post: `{"n":1}`, not: ts,
		moved: true, status: 200, body: `{"key":"KEY","method":"POST","query":"for=1s&first=1&key=KEY","sent":"","type":"application/json"}`,
		starts: map[string]int{"a": 1, "b": 1}, run: "Completed",
	},
	{
		name: "a body that a TypeScript handler reads from its own request is not there", path: "unread", post: `{"n":1}`, not: []sdk{goapp},
		moved: true, run: "Failed",
		check: func(t *testing.T, _ *pawl, _ string, got reply) { require.Contains(t, got.body, "Body is unusable") },
	},
}

// visit plays one tour.
func (tr tour) visit(t *testing.T, p *pawl, a *app, key string) {
	path := tr.path
	if strings.Contains(path, "?") {
		path += "&key=" + key
	} else {
		path += "?key=" + key
	}
	method := "GET"
	if tr.post != "" {
		method = "POST"
	}
	got, err := fetch(t.Context(), method, a.direct("/api/"+path), tr.post, nil)
	require.NoError(t, err)
	run := ""
	switch at, moved := got.redirects(p); {
	case tr.moved:
		require.True(t, moved, "the client is sent to a result URL, and not answered %d %.300s", got.status, got.body)
		run = runOf(at)
		waiting := p.read(at, 3)
		if tr.during != nil {
			tr.during(p, run, key)
		}
		got = waiting.result(t)
	case tr.run != "":
		run = a.runOf(t, key)
	default:
		require.Empty(t, a.log.acks(t, key))
	}
	if run != "" {
		require.Equal(t, tr.run, p.await(run).Status)
		require.Equal(t, run, a.runOf(t, key), "one request is one run")
	}
	lines := a.log.lines(t, run)
	for step, n := range tr.starts {
		require.Len(t, attempts(lines, step), n, "starts of the body of %q", step)
	}
	if want := strings.ReplaceAll(tr.body, "KEY", key); tr.body != "" {
		tr.wantReply(t, a.sdk, want, got)
	}
	if tr.check != nil {
		tr.check(t, p, run, got)
	}
}

// wantReply wants what the handler has answered. Of what it answers after it was
// entered again, the TypeScript SDK keeps the body alone, as a JSON text.
func (tr tour) wantReply(t *testing.T, s sdk, want string, got reply) {
	t.Helper()
	body, status, trip := got.body, tr.status, ""
	if tr.trip {
		trip = "there and back"
	}
	if tr.moved && s != goapp {
		require.Equal(t, "application/json", got.header.Get("Content-Type"))
		require.NoError(t, json.Unmarshal([]byte(got.body), &body), "%s", got.body)
		status, trip = http.StatusOK, ""
	}
	require.Equal(t, status, got.status)
	require.Equal(t, trip, got.header.Get("X-Trip"))
	if strings.HasPrefix(want, "{") {
		require.JSONEq(t, want, body)
	} else {
		require.Equal(t, want, body)
	}
}

// runOf returns the run that a request was, which is one however often it was
// entered.
func (a *app) runOf(t *testing.T, key string) string {
	t.Helper()
	runs := map[string]bool{}
	for _, ln := range a.log.lines(t, "") {
		if ln.Key == key && ln.What == "enter" {
			runs[ln.Run] = true
		}
	}
	require.Len(t, runs, 1, "runs of the request %s", key)
	for run := range runs {
		return run
	}
	return ""
}

// acks returns what was acknowledged of the runs of a request.
func (l *appLog) acks(t *testing.T, key string) (acks []line) {
	t.Helper()
	runs := map[string]bool{}
	for _, ln := range l.lines(t, "") {
		runs[ln.Run] = runs[ln.Run] || ln.Key == key
	}
	for _, ln := range l.lines(t, "") {
		if ln.What == "ack" && runs[ln.Run] {
			acks = append(acks, ln)
		}
	}
	return acks
}

// sound wants that no step of any endpoint was repeated or forgotten.
func (l *appLog) sound(t *testing.T) {
	t.Helper()
	lines := l.lines(t, "")
	require.Empty(t, repeated(lines), "bodies started although their result was saved")
	require.Empty(t, forgotten(lines), "states that lacked a saved step")
}

// TestEndpoints takes every tour with each kind of app.
func TestEndpoints(t *testing.T) {
	for _, s := range []sdk{node, next, goapp} {
		for _, m := range []mode{serve, dev} {
			t.Run(s.name+" "+string(m), func(t *testing.T) {
				t.Parallel()
				p, a := startEndpoints(t, s, m)
				t.Run("tours", func(t *testing.T) {
					for i, tr := range tours {
						if slices.Contains(tr.not, s) || m == dev && !tr.main {
							continue
						}
						t.Run(tr.name, func(t *testing.T) {
							t.Parallel()
							p := *p
							p.t = t
							tr.visit(t, &p, a, fmt.Sprintf("k%d", i))
						})
					}
				})
				a.log.sound(t)
			})
		}
	}
}

// TestEndpointOfTheBrief is an endpoint of Next.js as people write it.
func TestEndpointOfTheBrief(t *testing.T) {
	t.Parallel()
	p, a := startEndpoints(t, next, serve)
	got, err := fetch(t.Context(), "GET", a.direct("/brief?input=abc"), "", nil)
	require.NoError(t, err)
	require.Equal(t, 200, got.status)
	require.Equal(t, `{"result":"CBA"}`, got.body)

	got, err = fetch(t.Context(), "GET", a.direct("/brief?input=flaky"), "", nil)
	require.NoError(t, err)
	at, ok := got.redirects(p)
	require.True(t, ok, "%d %s", got.status, got.body)
	require.Equal(t, `"{\"result\":\"YKALF\"}"`, p.read(at, 2).result(t).body)
	starts := map[string]int{}
	for _, ln := range a.log.lines(t, "") {
		if ln.Key == "flaky" && ln.What == "start" {
			starts[ln.Step]++
		}
	}
	require.Equal(t, map[string]int{"process-input": 1, "generate-output": 2}, starts)
}

// TestEndpointProxies: a client is sent to a route of the app, which asks Pawl.
func TestEndpointProxies(t *testing.T) {
	guard(t)
	t.Parallel()
	for _, adapter := range []string{"node", "edge"} {
		t.Run(adapter, func(t *testing.T) {
			t.Parallel()
			_, a := startEndpointsWith(t, node, newPawl(t, serve, "--endpoint-lease", "2s"), "ADAPTER="+adapter, "PROXIED=1", pastRecorder)
			got, err := a.ask(t.Context(), "nap?for=1s&key=k")
			require.NoError(t, err)
			require.Equal(t, http.StatusFound, got.status)
			at := got.header.Get("Location")
			require.True(t, strings.HasPrefix(at, a.direct("/poll?")), at)
			got, err = fetch(t.Context(), "GET", at, "", nil)
			require.NoError(t, err)
			require.Equal(t, 200, got.status)
			require.Equal(t, "*", got.header.Get("Access-Control-Allow-Origin"))
			require.JSONEq(t, `{"key":"k","b":2}`, got.body, "the handler's own body")
			got, err = fetch(t.Context(), "GET", at+"x", "", nil)
			require.NoError(t, err)
			require.Equal(t, 401, got.status, "with another token")
			got, err = fetch(t.Context(), "POST", a.direct("/api/echo?key=body"), `{"n":1}`, nil)
			require.NoError(t, err)
			require.Equal(t, 200, got.status)
			require.Contains(t, got.body, `"sent":{"n":1}`, "every adapter reads a body in this way")
			a.log.sound(t)
		})
	}
}

// TestReadersOfAnEndpoint: clients come and go, and come too late.
func TestReadersOfAnEndpoint(t *testing.T) {
	t.Parallel()
	p, a := startEndpoints(t, node, serve)

	t.Run("a client that leaves before its answer does not stop the run", func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		var client sync.WaitGroup
		client.Go(func() { a.ask(ctx, "slow?n=3&ms=200&key=left") })
		a.log.await(t, func(ln line) bool { return ln.Key == "left" && ln.What == "start" && ln.Step == "s2" })
		leave()
		client.Wait()
		run := a.runOf(t, "left")
		require.Equal(t, "Completed", p.await(run).Status)
		for _, step := range []string{"s1", "s2", "s3"} {
			require.Len(t, attempts(a.log.lines(t, run), step), 1)
		}
	})

	t.Run("readers leave, come back, and come late", func(t *testing.T) {
		got, err := a.ask(t.Context(), "approval?key=many")
		require.NoError(t, err)
		at, ok := got.redirects(p)
		require.True(t, ok)
		p.resting(runOf(at), "approval")
		ctx, leave := context.WithCancel(t.Context())
		var gone sync.WaitGroup
		for range 5 {
			gone.Go(func() {
				_, err := fetch(ctx, "GET", at, "", nil)
				if err == nil {
					t.Error("a result before its time")
				}
			})
		}
		early, err := fetch(t.Context(), "GET", at+"&wait=200ms", "", nil)
		require.NoError(t, err)
		require.Equal(t, 202, early.status)
		leave()
		gone.Wait()
		waiting := p.read(at, 20)
		p.send(event{Name: "trip/approval", Data: op{"key": "many", "approved": true}})
		require.Equal(t, `"{\"key\":\"many\",\"done\":\"book\"}"`, waiting.result(t).body)
		p.kill()
		p.start()
		require.Equal(t, `"{\"key\":\"many\",\"done\":\"book\"}"`, p.read(at, 3).result(t).body, "also after a restart")
	})
	a.log.sound(t)
}

package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/realtime"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/ticket"
)

// token is a token to read topics, each given as channel and name.
func (f *fixture) token(publish bool, topics ...string) string {
	g := ticket.Grant{Publish: publish}
	for pair := range slices.Chunk(topics, 2) {
		g.Topics = append(g.Topics, ticket.Topic{Channel: pair[0], Name: pair[1]})
	}
	return f.s.tokens.Topics(g, time.Minute)
}

func TestTokenForTopics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.post("/v1/realtime/token", `[{"channel":"user:123","name":"ai","kind":"run"},{"channel":"user:123","name":"status"},{"channel":"user:123","name":"ai","more":1}]`)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var answer struct {
		JWT string `json:"jwt"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	g, err := f.s.tokens.ReadTopics(answer.JWT)
	require.NoError(t, err)
	require.Equal(t, ticket.Grant{Topics: []ticket.Topic{{Channel: "user:123", Name: "ai"}, {Channel: "user:123", Name: "status"}}}, g)

	w = f.post("/v1/realtime/token?publish=true", `[{"channel":"user:123","name":"ai"}]`)
	require.Equal(t, http.StatusCreated, w.Code)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	g, err = f.s.tokens.ReadTopics(answer.JWT)
	require.NoError(t, err)
	require.True(t, g.Publish)

	many := strings.Repeat(`{"channel":"c","name":"`+strings.Repeat("x", 400)+`"},`, maxTopics)
	for body, want := range map[string]string{
		``:                           "too early",
		`{}`:                         "array",
		`[]`:                         "1 to 100",
		`[null]`:                     "channel is missing",
		`[{"name":"a"}]`:             "channel is missing",
		`[{"channel":"a"}]`:          "no name",
		`[{"channel":"a","name":7}]`: "name",
		`[{"channel":"a","name":"` + strings.Repeat("x", 513) + `"}]`: "512 bytes",
		`[` + many + `{"channel":"c","name":"a"}]`:                    "1 to 100",
	} {
		require.Contains(t, wantRefusal(t, f.post("/v1/realtime/token", body), http.StatusBadRequest), want, "%.100s", body)
	}
	var large []string
	for i := range maxTopics {
		large = append(large, fmt.Sprintf(`{"channel":"c%d","name":"%s"}`, i, strings.Repeat("x", 300)))
	}
	require.Contains(t, wantRefusal(t, f.post("/v1/realtime/token", "["+strings.Join(large, ",")+"]"), http.StatusBadRequest), "several tokens")
	require.Contains(t, wantRefusal(t, f.post("/v1/realtime/token?publish=true", `[{"channel":"r","name":"$run"}]`), http.StatusBadRequest), "$run")
}

// socket is a WebSocket of a client.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

// front serves a fixture on a socket.
func (f *fixture) front() *httptest.Server {
	f.t.Helper()
	front := httptest.NewServer(f.s)
	f.t.Cleanup(front.Close)
	return front
}

// dial connects, and returns when messages reach the socket.
func (f *fixture) dial(t *testing.T, front *httptest.Server, token string) socket {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), front.URL+"/v1/realtime/connect?token="+token, &websocket.DialOptions{ //nolint:bodyclose // the library does
		HTTPHeader: http.Header{"Origin": {"https://other.example"}},
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Empty(t, resp.Header.Get("Sec-Websocket-Protocol"))
	t.Cleanup(func() { conn.CloseNow() })
	return socket{t, conn}
}

func (s socket) read() string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	kind, b, err := s.conn.Read(ctx)
	require.NoError(s.t, err)
	require.Equal(s.t, websocket.MessageText, kind, "browsers cannot parse binary frames")
	return string(b)
}

// message reads a message and checks that it has a time, which it takes out.
func (s socket) message() string {
	s.t.Helper()
	v := jsontext.Value(s.read())
	m := map[string]jsontext.Value{}
	require.NoError(s.t, json.Unmarshal(v, &m))
	for name, value := range m {
		require.False(s.t, name != "data" && value.Kind() == 'n', "%s is null in %s", name, v)
	}
	if at, ok := m["created_at"]; ok {
		var created time.Time
		require.NoError(s.t, json.Unmarshal(at, &created))
		require.WithinDuration(s.t, time.Now(), created, time.Hour)
		delete(m, "created_at")
	}
	b, err := json.Marshal(m, json.Deterministic(true))
	require.NoError(s.t, err)
	return string(b)
}

func (f *fixture) publish(query, contentType, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.do(request{method: "POST", path: "/v1/realtime/publish?" + query, body: body, header: map[string]string{"Content-Type": contentType}})
}

func TestPublishReachesWebSockets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	front := f.front()
	one := f.dial(t, front, f.token(false, "user:123", "ai", "user:123", "status"))
	two := f.dial(t, front, f.token(false, "user:123", "ai", "user:9", "ai"))
	for _, c := range []struct{ query, contentType, body, want string }{
		{"channel=user%3A123&topic=ai", "application/json", ` { "text" : "hello", "n": 12345678901234567890.10 } `, `{"channel":"user:123","data":{"text":"hello","n":12345678901234567890.10},"kind":"data","topic":"ai"}`},
		{"channel=user%3A123&topic=ai", "", `[1,2]`, `{"channel":"user:123","data":[1,2],"kind":"data","topic":"ai"}`},
		{"channel=user%3A123&topic=ai", "text/plain", "no\nJSON", `{"channel":"user:123","data":"no\nJSON","kind":"data","topic":"ai"}`},
		{"channel=user%3A123&topic=ai", "application/json", "", `{"channel":"user:123","data":"","kind":"data","topic":"ai"}`},
		{"channel=user%3A123&topic=ai", "application/json", "null", `{"channel":"user:123","data":null,"kind":"data","topic":"ai"}`},
		{"channel=user%3A123&topic=ai", "application/json", "\"\xff\"", `{"channel":"user:123","data":"\"�\"","kind":"data","topic":"ai"}`},
		{
			"channel=user%3A123&topic=ai&run_id=01JQDAE4RQF8MBCR55T5AK4KXS&metadata=" + url.QueryEscape(`{"content-type":"text/plain"}`), "application/json", "1",
			`{"channel":"user:123","data":1,"kind":"data","metadata":{"content-type":"text/plain"},"run_id":"01JQDAE4RQF8MBCR55T5AK4KXS","topic":"ai"}`,
		},
		{"channel=user%3A123&topic=ai&run_id=", "application/json", "1", `{"channel":"user:123","data":1,"kind":"data","topic":"ai"}`},
	} {
		w := f.publish(c.query, c.contentType, c.body)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.Equal(t, "{}", w.Body.String())
		require.Equal(t, c.want, one.message())
		require.Equal(t, c.want, two.message())
	}
	w := f.publish("channel=user:123&topic=ai&topic=status&topic=other", "application/json", "7")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, `{"channel":"user:123","data":7,"kind":"data","topic":"ai"}`, one.message())
	require.Equal(t, `{"channel":"user:123","data":7,"kind":"data","topic":"status"}`, one.message())
	require.Equal(t, `{"channel":"user:123","data":7,"kind":"data","topic":"ai"}`, two.message())
	f.publish("channel=user:123&topic=ai", "application/json", `{"a":1,"a":2}`)
	for _, s := range []socket{one, two} {
		require.Contains(t, s.read(), `"data":{"a":1,"a":2}`, "what is forwarded is not looked into")
	}
	require.Equal(t, http.StatusOK, f.publish("channel=nobody&topic=x", "application/json", "1").Code, "nobody need be there")

	// A connection may ask for more topics, and for fewer.
	send := func(text string) {
		require.NoError(t, two.conn.Write(t.Context(), websocket.MessageText, []byte(text)))
	}
	send(`not JSON`)
	send(`{"kind":"ping"}`)
	send(`{"kind":"sub","data":"no token"}`)
	send(`{"kind":"unsub","data":[{"channel":"user:123","name":"ai","kind":"run"}]}`)
	send(`{"kind":"sub","data":"` + f.token(false, "user:7", "more") + `"}`)
	require.Eventually(t, func() bool { return f.eng.Broker().Covered("user:7") }, 20*time.Second, time.Millisecond)
	f.publish("channel=user:123&topic=ai", "application/json", "8")
	f.publish("channel=user:7&topic=more", "application/json", "9")
	require.Equal(t, `{"channel":"user:7","data":9,"kind":"data","topic":"more"}`, two.message())
}

func TestPublishIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	long := "channel=" + strings.Repeat("c", 513) + "&topic=a"
	many := "channel=c" + strings.Repeat("&topic=a&topic=b", 51)
	for query, want := range map[string]string{
		"topic=ai":                     "channel is missing",
		"channel=c":                    "topic is missing",
		"channel=c&topic=":             "no name",
		"channel=c&topic=$run":         "$run",
		"channel=c&topic=a&run_id=7":   "ULID",
		"channel=c&topic=a&metadata=7": "metadata",
		"channel=c&topic=a&metadata={": "metadata",
		"channel=%ff&topic=a":          "UTF-8",
		long:                           "512 bytes",
		many:                           "100 topics",
	} {
		for _, media := range []string{"application/json", "text/stream"} {
			require.Contains(t, wantRefusal(t, f.publish(query, media, "1"), http.StatusBadRequest), want, "%.60s", query)
		}
	}
	wantRefusal(t, f.publish("channel=c&topic=a", "application/json", strings.Repeat("x", maxPublishBody+1)), http.StatusRequestEntityTooLarge)
	require.Equal(t, http.StatusOK, f.publish("channel=c&topic=a", "application/json", strings.Repeat("x", maxPublishBody)).Code)
	for _, path := range []string{"/v1/realtime/publish?channel=c&topic=a", "/v1/realtime/publish/tee?channel=c"} {
		wantRefusal(t, f.do(request{method: "POST", path: path, body: "x", header: map[string]string{"Content-Type": "text/stream", "Content-Encoding": "gzip"}}), http.StatusUnsupportedMediaType)
	}
}

func TestTokenToPublishIsForItsTopics(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving)
	publish := func(token, query string) *httptest.ResponseRecorder {
		return f.do(request{method: "POST", path: "/v1/realtime/publish?" + query, body: "1", header: map[string]string{"Authorization": "Bearer " + token}})
	}
	token := f.token(true, "c", "a", "c", "b")
	require.Equal(t, http.StatusOK, publish(token, "channel=c&topic=a&topic=b").Code)
	wantRefusal(t, publish(token, "channel=c&topic=a&topic=x"), http.StatusForbidden)
	wantRefusal(t, publish(token, "channel=x&topic=a"), http.StatusForbidden)
	wantRefusal(t, publish(f.token(false, "c", "a"), "channel=c&topic=a"), http.StatusUnauthorized)
	require.Equal(t, http.StatusOK, publish(testKey, "channel=x&topic=a").Code, "the Go SDK sends the raw key")
}

func TestConnectIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	front := f.front()
	for _, path := range []string{"/v1/realtime/connect", "/v1/realtime/sse"} {
		for _, token := range []string{"", "x", f.s.tokens.Result("r1")} {
			w := f.do(request{method: "GET", path: path + "?token=" + token, header: map[string]string{"Origin": "https://shop.example"}})
			wantRefusal(t, w, http.StatusUnauthorized)
			require.NotEmpty(t, w.Header().Get("Access-Control-Allow-Origin"), "a page is to read why")
		}
		expired := f.s.tokens.Topics(ticket.Grant{Topics: []ticket.Topic{{Channel: "c", Name: "t"}}}, -time.Hour)
		require.Contains(t, wantRefusal(t, f.get(path+"?token="+expired), http.StatusUnauthorized), "expired")
	}
	_, resp, err := websocket.Dial(t.Context(), front.URL+"/v1/realtime/connect?token=x", nil) //nolint:bodyclose // the library does
	require.Error(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	wantRefusal(t, f.get("/v1/realtime/connect?token="+f.token(false, "c", "t")), http.StatusUpgradeRequired)

	conn, _, err := websocket.Dial(t.Context(), front.URL+"/v1/realtime/connect", &websocket.DialOptions{ //nolint:bodyclose // the library does
		HTTPHeader: http.Header{"Authorization": {"Bearer " + f.token(false, "c", "t")}},
	})
	require.NoError(t, err, "the Go SDK sends the token as bearer")
	conn.CloseNow()
}

func TestDraining(t *testing.T) {
	t.Parallel()
	ctx, drain := context.WithCancel(t.Context())
	f := newFixture(t, func(c *Config, _ *engineConfig) { c.Draining = ctx })
	front := f.front()
	s := f.dial(t, front, f.token(false, "c", "t"))
	resp, err := http.Get(front.URL + "/v1/realtime/sse?token=" + f.token(false, "c", "t"))
	require.NoError(t, err)
	defer resp.Body.Close()
	drain()
	require.JSONEq(t, `{"kind":"closing","data":null}`, s.read())
	_, _, err = s.conn.Read(t.Context())
	require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "what ends in a regular way would be taken for the end")
}

// TestStreamIsPublishedAsItComes sends a body in pieces that cut characters in two.
func TestStreamIsPublishedAsItComes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	front := f.front()
	s := f.dial(t, front, f.token(false, "c", "t"))
	in, out := io.Pipe()
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Post(front.URL+"/v1/realtime/publish?channel=c&topic=t&topic=u", "text/stream; charset=utf-8", in)
		if err != nil {
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	write := func(text string) {
		_, err := out.Write([]byte(text))
		require.NoError(t, err)
	}
	write("Hel")
	var begin struct{ Kind, Channel, Topic, Data string }
	fold := json.MatchCaseInsensitiveNames(true)
	require.NoError(t, json.Unmarshal([]byte(s.read()), &begin, fold))
	require.Equal(t, "datastream-start", begin.Kind)
	require.NotEmpty(t, begin.Data)
	require.NotContains(t, begin.Data, ":")
	chunk := func(data string) string {
		return `{"channel":"c","data":` + data + `,"kind":"chunk","stream_id":"` + begin.Data + `","topic":"t"}`
	}
	require.Equal(t, chunk(`"Hel"`), s.message())
	write("lo w\xc3")
	require.Equal(t, chunk(`"lo w"`), s.message())
	write("\xb6rld\xf0\x9f")
	require.Equal(t, chunk(`"örld"`), s.message())
	long := strings.Repeat("é", 1000)
	write("\x98\x80" + long)
	got := ""
	for len(got) < len("😀"+long) {
		var c struct{ Data string }
		require.NoError(t, json.Unmarshal([]byte(s.read()), &c, fold))
		require.LessOrEqual(t, len(c.Data), chunkBytes)
		got += c.Data
	}
	require.Equal(t, "😀"+long, got)
	out.Close()
	require.Equal(t, `{"channel":"c","data":"`+begin.Data+`","kind":"datastream-end","topic":"t"}`, s.message())
	require.Equal(t, http.StatusOK, <-answered)

	// A publisher that dies ends its stream too.
	in, out = io.Pipe()
	ctx, die := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", front.URL+"/v1/realtime/publish?channel=c&topic=t", in)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "text/stream")
	go func() {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	_, err = out.Write([]byte("half"))
	require.NoError(t, err)
	require.Contains(t, s.read(), "datastream-start")
	require.Contains(t, s.read(), `"half"`)
	die()
	require.Contains(t, s.read(), "datastream-end")
}

func TestWholeRunes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 0, "a": 1, "é": 2, "\xc3": 0, "a\xc3": 1, "a\xf0\x9f\x98": 1, "\xff": 1, "a\x80\x80\x80\x80": 5, "\xe2\x82": 0, "😀": 4} {
		require.Equal(t, want, wholeRunes([]byte(text)), "%q", text)
	}
}

// live is the answer to a request that goes on, in virtual time.
type live struct {
	t      *testing.T
	mu     sync.Mutex
	buf    strings.Builder
	code   int
	header http.Header
	stop   context.CancelFunc
	over   chan struct{}
	cut    bool // it was aborted
}

func (l *live) Header() http.Header { return l.header }
func (l *live) WriteHeader(code int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.code = code
}

func (l *live) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.code == 0 {
		l.code = 200
	}
	return l.buf.Write(b)
}
func (l *live) Flush() {}

// read is what has come since, once nothing moves any more.
func (l *live) read() string {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.buf.String()
	l.buf.Reset()
	return text
}

// events are those that have come since, without places and comments.
func (l *live) events() string {
	l.t.Helper()
	var b strings.Builder
	for _, part := range strings.SplitAfter(l.read(), "\n\n") {
		if !strings.HasPrefix(part, "id: ") && !strings.HasPrefix(part, ":") {
			b.WriteString(part)
		}
	}
	return b.String()
}

func (l *live) ended() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// open sends a request that goes on. body may be nil.
func (f *fixture) open(t *testing.T, method, path string, header map[string]string, body io.Reader) *live {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &live{t: t, header: http.Header{}, stop: cancel, over: make(chan struct{})}
	r := httptest.NewRequestWithContext(ctx, method, "http://localhost:8288"+path, body)
	if body == nil {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	go func() {
		defer close(l.over)
		defer func() { l.cut = recover() != nil }()
		f.s.ServeHTTP(l, r)
	}()
	synctest.Wait()
	return l
}

// teeing is a request that brings a stream.
type teeing struct {
	*live
	out *io.PipeWriter
}

func (f *fixture) tee(t *testing.T, channel string) teeing {
	t.Helper()
	in, out := io.Pipe()
	return teeing{f.open(t, "POST", "/v1/realtime/publish/tee?channel="+channel, map[string]string{"Content-Type": "application/octet-stream"}, in), out}
}

func (x teeing) write(text string) {
	x.t.Helper()
	_, err := x.out.Write([]byte(text))
	require.NoError(x.t, err)
}

func chunkOf(step, text string) string {
	return fmt.Sprintf("event: inngest.stream\ndata: {\"data\":%q,\"hashedStepId\":%q}\n\n", text, step)
}

func markOf(name, step string) string {
	return fmt.Sprintf("event: inngest.%s\ndata: {\"hashedStepId\":%q}\n\n", name, step)
}

const teeAnswer = "event: inngest.response\ndata: {\"status\":\"succeeded\",\"response\":{\"body\":\"ok\",\"statusCode\":200,\"headers\":{}}}\n\n"

// TestStreamOfAnEndpoint follows one from its first report to its end.
func TestStreamOfAnEndpoint(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, f *fixture) {
		b := beginRun(f, tsRequest, stepRun("1"))
		v := f.open(t, "GET", "/v1/realtime/sse?token="+b.RealtimeToken, map[string]string{"Origin": "https://shop.example"}, nil)
		require.Equal(t, 200, v.code)
		require.Equal(t, http.Header{
			"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-cache"}, "X-Accel-Buffering": {"no"},
			"Access-Control-Allow-Origin": {"*"},
		}, pick(v.header, "Content-Type", "Cache-Control", "X-Accel-Buffering", "Access-Control-Allow-Origin"))
		require.Empty(t, v.read())
		time.Sleep(15 * time.Second)
		require.Equal(t, ":\n\n", v.read(), "something flows while nothing happens")

		x := f.tee(t, b.RunID)
		x.write(chunkOf("a", "1"))
		require.Equal(t, chunkOf("a", "1"), v.read(), "before the body has ended")
		large := chunkOf("a", strings.Repeat("x", 3<<20))
		x.write(large + markOf("commit", "a"))
		require.Equal(t, large+markOf("commit", "a"), v.events())
		x.out.Close()
		<-x.over
		require.Equal(t, 200, x.code)
		require.Equal(t, "{}", x.read())

		late := f.open(t, "GET", "/v1/realtime/sse?token="+b.RealtimeToken, nil, nil)
		require.Equal(t, "event: inngest.metadata\ndata: {\"runId\":\""+b.RunID+"\"}\n\n"+chunkOf("a", "1")+large+markOf("commit", "a"), late.events())
		x = f.tee(t, b.RunID)
		x.write(teeAnswer)
		require.Equal(t, teeAnswer, v.events())
		require.Equal(t, teeAnswer, late.events())
		require.True(t, v.ended() && late.ended())
		require.False(t, v.cut)
		x.out.Close()
		<-x.over

		resumed := f.open(t, "GET", "/v1/realtime/sse?token="+b.RealtimeToken, map[string]string{"Last-Event-ID": fmt.Sprint(store.LastPiece)}, nil)
		require.True(t, resumed.ended())
		require.Equal(t, http.StatusNoContent, resumed.code, "an EventSource asks no more")
	})
}

func pick(h http.Header, names ...string) http.Header {
	out := http.Header{}
	for _, name := range names {
		out[name] = h[name]
	}
	return out
}

// TestStreamInTheEndpointsPlace: who asks Pawl for an endpoint and accepts events
// gets all that it streams, and the same again with the same key.
func TestStreamInTheEndpointsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var run string
		goOn := make(chan struct{})
		f := fronting(t, func(r *http.Request, _ string) *http.Response {
			run = r.Header.Get("X-Run-Id")
			<-goOn
			return tsResponse(`{"ok":true}`)
		})
		header := map[string]string{"Accept": "text/event-stream", "Idempotency-Key": "k1"}
		one := f.open(t, "GET", "/x/app/api/book", header, nil)
		require.Equal(t, "text/event-stream", one.header.Get("Content-Type"))
		x := f.tee(t, run)
		x.write(chunkOf("a", "1") + markOf("commit", "a"))
		require.Equal(t, chunkOf("a", "1")+markOf("commit", "a"), one.events())
		again := f.open(t, "GET", "/x/app/api/book", header, nil)
		require.Contains(t, again.events(), chunkOf("a", "1")+markOf("commit", "a"))
		close(goOn)
		x.out.Close()
		<-x.over
		time.Sleep(time.Minute)
		want := "event: inngest.response\ndata: " +
			`{"status":"succeeded","response":{"body":"{\"ok\":true}","statusCode":200,"headers":{"content-type":"application/json"}}}` + "\n\n"
		require.Equal(t, want, one.events())
		require.Equal(t, want, again.events())
		require.True(t, one.ended() && again.ended())

		// An EventSource comes again by itself. It does not begin a run by that.
		runs := func() int { return len(data[[]runView](t, f.get("/v1/runs"))) }
		require.Equal(t, 1, runs())
		for _, c := range []struct{ key, place string }{{"", "1"}, {"k1", fmt.Sprint(store.LastPiece)}} {
			header := map[string]string{"Accept": "text/event-stream", "Last-Event-ID": c.place}
			if c.key != "" {
				header["Idempotency-Key"] = c.key
			}
			v := f.open(t, "GET", "/x/app/api/book", header, nil)
			require.True(t, v.ended())
			require.Equal(t, http.StatusNoContent, v.code)
		}
		v := f.open(t, "GET", "/x/app/api/book", map[string]string{"Accept": "text/event-stream", "Last-Event-ID": "1", "Idempotency-Key": "k1"}, nil)
		require.Contains(t, v.events(), want, "with its key it goes on where it was")
		require.Equal(t, 1, runs())
	})
}

// orderly notes in which order things are written.
type orderly struct {
	store.Store
	mu    sync.Mutex
	order []string
}

func (o *orderly) note(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.order = append(o.order, what)
}

func (o *orderly) KeepStream(ctx context.Context, list []store.Piece) error {
	defer o.note("stream")
	return o.Store.KeepStream(ctx, list)
}

func (o *orderly) Transition(ctx context.Context, run string, decide func(*durable.Run) (store.Decision, error)) error {
	o.note("run")
	return o.Store.Transition(ctx, run, decide)
}

// TestStreamIsKeptBeforeItsStepIsDone: a crash never leaves a step done whose
// chunks are lost.
func TestStreamIsKeptBeforeItsStepIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var o *orderly
		f := newFixture(t, withStore(func(s store.Store) store.Store {
			o = &orderly{Store: s}
			return o
		}))
		b := beginRun(f, tsRequest, stepRun("1"))
		x := f.tee(t, b.RunID)
		x.write(chunkOf("a", "1") + markOf("commit", "a"))
		require.Equal(t, 200, b.report(stepRun("2")).Code)
		x.out.Close()
		<-x.over
		require.Equal(t, []string{"stream", "run"}, o.order)
	})
}

// TestEndOfARunEndsItsStream whose app says nothing.
func TestEndOfARunEndsItsStream(t *testing.T) {
	t.Parallel()
	t.Run("completed", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, f *fixture) {
			b := beginRun(f, tsRequest, stepRun("1"))
			v := f.open(t, "GET", "/v1/realtime/sse?token="+b.RealtimeToken, nil, nil)
			require.Equal(t, 200, b.report(complete(`{"status":201,"headers":{"content-type":"text/plain","set-cookie":"a=1"},"body":"\"hi\""}`)).Code)
			time.Sleep(time.Minute)
			want := "event: inngest.response\ndata: " +
				`{"status":"succeeded","response":{"body":"hi","statusCode":201,"headers":{"content-type":"text/plain"}}}` + "\n\n"
			require.Equal(t, want, v.events())
			require.True(t, v.ended())
			late := f.open(t, "GET", "/v1/realtime/sse?token="+b.RealtimeToken, nil, nil)
			require.Contains(t, late.events(), want)
			require.True(t, late.ended())
		})
	})
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, f *fixture) {
			b := beginRun(f, tsRequest, stepRun("1"))
			v := f.open(t, "GET", "/v1/realtime/sse?token="+b.RealtimeToken, nil, nil)
			require.Equal(t, 200, b.report(`{"id":"0737c22d3bfae812339732d14d8c7dbd6dc4e09c","op":"StepFailed","error":{"name":"Error","message":"no \"luck\""}}`).Code)
			time.Sleep(time.Minute)
			require.Equal(t, "event: inngest.response\ndata: "+
				`{"status":"failed","response":{"body":"\"run failed: Error: no \\\"luck\\\"\"","statusCode":500,"headers":{"content-type":"application/json"}}}`+"\n\n", v.events())
			require.True(t, v.ended())
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, f *fixture) {
			b := beginRun(f, tsRequest, stepRun("1"))
			v := f.open(t, "GET", "/v1/realtime/sse?token="+b.RealtimeToken, nil, nil)
			require.Equal(t, 200, f.do(request{method: "DELETE", path: "/v1/runs/" + b.RunID}).Code)
			require.Equal(t, "event: inngest.response\ndata: "+
				`{"status":"failed","response":{"body":"\"run failed: it was cancelled\"","statusCode":500,"headers":{"content-type":"application/json"}}}`+"\n\n", v.events())
			require.True(t, v.ended())
		})
	})
}

// TestEndOfAFunctionIsTold to those who read its run's channel: how it ended, not
// with what.
func TestEndOfAFunctionIsTold(t *testing.T) {
	t.Parallel()
	for status, answer := range map[string]func(*http.Request) *http.Response{
		"completed": func(*http.Request) *http.Response { return sdk(200, `{"secret":1}`) },
		"failed": func(*http.Request) *http.Response {
			r := sdk(400, `{"name":"Error","message":"secret"}`)
			r.Header.Set("X-Inngest-No-Retry", "true")
			return r
		},
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				goOn := make(chan struct{})
				f := newFixture(t, withApp(func(r *http.Request) *http.Response {
					<-goOn
					return answer(r)
				}))
				f.register()
				runs := data[[]runView](t, f.get("/v1/events/"+f.send(`{"name":"order/paid"}`)+"/runs"))
				run := runs[0].RunID
				token := f.token(false, run, "log")
				v := f.open(t, "GET", "/v1/realtime/sse?token="+token, nil, nil)
				stream := f.open(t, "GET", "/v1/realtime/sse?token="+f.token(false, run, realtime.TopicStream), nil, nil)
				other := f.open(t, "GET", "/v1/realtime/sse?token="+f.token(false, "user:1", "log"), nil, nil)
				close(goOn)
				var m struct {
					Kind, Channel, Topic string
					RunID                string `json:"run_id"`
					Data                 jsontext.Value
				}
				text := v.read()
				require.NoError(t, json.Unmarshal([]byte(strings.TrimSpace(strings.TrimPrefix(text, "data: "))), &m, json.MatchCaseInsensitiveNames(true)), text)
				require.Equal(t, []string{"run", run, "$run", run, `{"status":"` + status + `"}`}, []string{m.Kind, m.Channel, m.Topic, m.RunID, string(m.Data)})
				require.Empty(t, other.read())
				time.Sleep(time.Minute)
				require.NotContains(t, stream.events(), `{\"secret`, "a function's result is for those who may read runs")
				require.True(t, stream.ended())
				v.stop()
				other.stop()
				<-v.over
				<-other.over
			})
		})
	}
}

func TestMessagesAsEvents(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, f *fixture) {
		v := f.open(t, "GET", "/v1/realtime/sse", map[string]string{"Authorization": "Bearer " + f.token(false, "c", "t", "r1", realtime.TopicStream)}, nil)
		f.publish("channel=c&topic=t", "application/json", "{\n \"a\": 1\n}")
		text := v.read()
		require.True(t, strings.HasPrefix(text, `data: {"kind":"data","channel":"c","topic":"t","data":{"a":1},"created_at":"`), text)
		require.Equal(t, 2, strings.Count(text, "\n"), "data on one line")
		x := f.tee(t, "r1")
		x.write("any bytes")
		require.Equal(t, "any bytes", v.read())
		x.out.Close()
		<-x.over
		require.False(t, v.ended())
		v.stop()
		<-v.over

		head := f.open(t, "HEAD", "/v1/realtime/sse?token="+f.token(false, "c", "t"), nil, nil)
		require.True(t, head.ended())
		require.Equal(t, "text/event-stream", head.header.Get("Content-Type"))
		require.False(t, f.eng.Broker().Covered("c"), "who has gone is forgotten")
	})
}

// TestRequestOfAnEntryThatIsOver: SDKs leave it open; it is answered.
func TestRequestOfAnEntryThatIsOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	front := f.front()
	b := beginRun(f, tsRequest, stepRun("1"))
	in, out := io.Pipe()
	defer out.Close()
	go func() { _, _ = out.Write([]byte(chunkOf("a", "1"))) }()
	resp, err := http.Post(front.URL+"/v1/realtime/publish/tee?channel="+b.RunID, "application/octet-stream", in)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
}

// TestTokensAreNotLogged: they are in URLs, and logs are read by many.
func TestTokensAreNotLogged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withEngineLog)
	token := f.token(false, "c", "t", "r1", realtime.TopicStream)
	for _, path := range []string{"/v1/realtime/sse", "/v1/realtime/connect"} {
		f.do(request{method: "GET", path: path + "?token=" + token, gone: true})
		f.do(request{method: "GET", path: path + "?token=" + token + "x"})
		f.do(request{method: "PUT", path: path + "?token=" + token})
	}
	f.do(request{method: "POST", path: "/v1/realtime/publish?channel=c&topic=t", body: "1", header: map[string]string{"Authorization": "Bearer " + token}})
	require.NotContains(t, f.logs.String(), token[:20])
}

// TestSlowReaderOfAStream takes nothing: it is cut off, and neither the app nor
// another reader notices.
func TestSlowReaderOfAStream(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	front := f.front()
	b := beginRun(f, tsRequest, stepRun("1"))
	get := func() *http.Response {
		resp, err := http.Get(front.URL + "/v1/realtime/sse?token=" + b.RealtimeToken)
		require.NoError(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	slow, quick := get(), get() //nolint:bodyclose // get sees to it
	in, out := io.Pipe()
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Post(front.URL+"/v1/realtime/publish/tee?channel="+b.RunID, "application/octet-stream", in)
		if err == nil {
			resp.Body.Close()
		}
		answered <- err
	}()
	const chunks = 128
	big := chunkOf("a", strings.Repeat("x", 256<<10)) // 32 MiB in all: more than sockets hold
	read := make(chan struct{}, chunks+1)             // by the quick one, which is given the time for it
	go func() {
		for range chunks {
			_, _ = out.Write([]byte(big))
			<-read
		}
		_, _ = out.Write([]byte(teeAnswer))
		out.Close()
	}()
	lines, n := bufio.NewReaderSize(quick.Body, 1<<20), 0
	for {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		if strings.HasPrefix(line, "data: ") {
			read <- struct{}{}
			if n++; n > chunks {
				break
			}
		}
	}
	require.NoError(t, <-answered)
	_, err := io.Copy(io.Discard, slow.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// TestUnknownRunIsRelayed: a channel need not be a run.
func TestUnknownRunIsRelayed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, f *fixture) {
		run := engine.NewID()
		v := f.open(t, "GET", "/v1/realtime/sse?token="+f.token(false, run, realtime.TopicStream), nil, nil)
		x := f.tee(t, run)
		x.write(chunkOf("a", "1") + markOf("commit", "a"))
		require.Equal(t, chunkOf("a", "1")+markOf("commit", "a"), v.events())
		x.out.Close()
		<-x.over
		v.stop()
		<-v.over
		wantRefusal(t, f.post("/v1/realtime/publish/tee", "x"), http.StatusBadRequest)
	})
}

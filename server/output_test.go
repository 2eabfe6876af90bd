package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
)

const (
	tsRequest = `{"name":"inngest/http.request","data":{"content_type":"","domain":"http://app","method":"GET","path":"/book","query_params":"","body":"","fn":""}}`
	goRequest = `{"name":"http/run.started","data":{"content_type":"","domain":"http://app","method":"GET","path":"/a/book","query_params":"","body":null,"fn":""}}`
)

func complete(data string) string {
	return `{"id":"0737c22d3bfae812339732d14d8c7dbd6dc4e09c","op":"RunComplete","data":` + data + `}`
}

// begunRun is a run that began in an endpoint.
type begunRun struct {
	*fixture
	begunView
}

func beginRun(f *fixture, event, ops string) begunRun {
	f.t.Helper()
	w := f.post("/v1/checkpoint", fmt.Sprintf(`{"run_id":%q,"event":%s,"steps":[%s],"ts":1,"request_version":2,"retries":3}`, engine.NewID(), event, ops))
	return begunRun{f, data[begunView](f.t, w)}
}

func (b begunRun) url() string { return "/v1/http/runs/" + b.RunID + "/output?token=" + b.Token }

func (b begunRun) report(ops string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.post("/v1/checkpoint/"+b.RunID+"/steps", fmt.Sprintf(`{"fn_id":%q,"app_id":%q,"run_id":%q,"steps":[%s],"ts":1}`, b.FunctionID, b.AppID, b.RunID, ops))
}

// reading is a request for the result that goes on by itself.
func (b begunRun) reading(q request) (w *httptest.ResponseRecorder, done <-chan struct{}) {
	w, over := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(over)
		defer func() { _ = recover() }() // a connection that is cut
		r := httptest.NewRequest("GET", "http://localhost:8288"+b.url()+q.path, http.NoBody)
		for name, value := range q.header {
			r.Header.Set(name, value)
		}
		b.s.ServeHTTP(w, r)
	}()
	return w, over
}

// inBubble runs a test in virtual time; the fixture is closed within it.
func inBubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newFixture(t)) })
}

func TestBeginAnswersWithAllThatSDKsAskFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"/v1/checkpoint", "/v1/http/runs"} {
		w := f.post(path, `{"run_id":"`+engine.NewID()+`","event":`+tsRequest+`,"steps":[`+stepRun("1")+`]}`)
		b := data[begunView](t, w)
		for _, v := range []string{b.RunID, b.FunctionID, b.AppID, b.Token, b.RealtimeToken} {
			require.NotEmpty(t, v)
		}
	}
}

func TestResultOfAnEndpointIsGivenBackAsItWas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := beginRun(f, goRequest, stepRun("1"))
	require.Equal(t, 200, b.report(complete(`{"status":201,"headers":{"X-Foo":"bar","Content-Type":"image/png","Set-Cookie":"a=1","Location":"next","Content-Length":"99"},"body":"AP8=","encoding":"base64"}`)).Code)
	for range 2 {
		w := f.get(b.url())
		require.Equal(t, 201, w.Code)
		require.Equal(t, []byte{0, 255}, w.Body.Bytes())
		require.Equal(t, "bar", w.Header().Get("X-Foo"))
		require.Equal(t, "image/png", w.Header().Get("Content-Type"))
		require.Equal(t, "2", w.Header().Get("Content-Length"))
		require.Equal(t, "http://app/a/next", w.Header().Get("Location"), "as the endpoint meant it")
		require.Empty(t, w.Header().Get("Set-Cookie"), "it is not Pawl's to set")
		require.Contains(t, w.Header().Get("Content-Security-Policy"), "sandbox")
	}
	w := f.do(request{method: "GET", path: b.url(), header: map[string]string{"Accept": "text/event-stream", "Origin": "https://shop.example.com"}})
	require.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
	require.NotEmpty(t, w.Header().Get("Access-Control-Allow-Origin"))
	require.True(t, strings.HasPrefix(w.Body.String(), "event: result\ndata: {\"status\":\"completed\",\"response\":{"), w.Body)
}

func TestReadersGetTheResultTheMomentItIsThere(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		b := beginRun(f, tsRequest, stepRun("1"))
		var readers []*httptest.ResponseRecorder
		var overs []<-chan struct{}
		for range 20 {
			w, over := b.reading(request{})
			readers, overs = append(readers, w), append(overs, over)
		}
		synctest.Wait()
		start := time.Now()
		require.Equal(t, 200, b.report(complete(`{"status":200,"headers":{"content-type":"application/json"},"body":"\"{\\\"a\\\":1}\"","version":2}`)).Code)
		for i, over := range overs {
			<-over
			require.Equal(t, 200, readers[i].Code)
			require.Equal(t, `"{\"a\":1}"`, readers[i].Body.String())
		}
		require.Equal(t, start, time.Now(), "nothing polls")
	})
}

func TestReaderOfATypeScriptEndpointIsKeptAliveWithWhiteSpace(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		b := beginRun(f, tsRequest, stepRun("1"))
		w, over := b.reading(request{})
		for range 13 { // the lease of the app is not to run out
			time.Sleep(2 * time.Minute)
			require.Equal(t, 200, b.report(stepRun("1")).Code)
		}
		require.Equal(t, 200, b.report(complete(`{"status":200,"headers":{},"body":"{\"a\":1}"}`)).Code)
		<-over
		require.Equal(t, 200, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		white := len(w.Body.String()) - len(strings.TrimLeft(w.Body.String(), " "))
		require.Equal(t, 26*4, white, "four in a minute")
		var body map[string]int
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), "and it is JSON all the same")
		require.Equal(t, 1, body["a"])
	})
}

func TestReaderOfAnotherEndpointIsSentToTheSamePlace(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		b := beginRun(f, goRequest, `{"id":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","op":"Sleep","name":"100h"}`)
		more := ""
		for hop := range mostHops + 1 {
			w, over := b.reading(request{path: more})
			<-over
			if hop == mostHops {
				require.Equal(t, 202, w.Code, "who follows so often should ask for a stream")
				break
			}
			require.Equal(t, 307, w.Code)
			place, query, _ := strings.Cut(w.Header().Get("Location"), "?")
			require.Equal(t, "output", place, "wherever a proxy has put it")
			require.Contains(t, query, "token=")
			more = fmt.Sprintf("&hop=%d", hop+1)
			require.Contains(t, query, more[1:])
		}
		w, over := b.reading(request{path: more, header: map[string]string{"Accept": "text/html"}})
		<-over
		require.Equal(t, 202, w.Code)
		require.NotContains(t, w.Header().Get("Refresh"), "hop=", "a browser goes on for ever")
	})
}

// TestReadersHoldLittle: whoever has the token of a run with a large request may
// come as often as they like.
func TestReadersHoldLittle(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		large := strings.Replace(tsRequest, `"body":""`, `"body":"`+strings.Repeat("x", 2<<20)+`"`, 1)
		b := beginRun(f, large, stepRun("1"))
		heap := func() int64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.GC() // what a pool holds, it holds for two
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		var overs []<-chan struct{}
		for range 100 {
			_, over := b.reading(request{path: "&wait=20s"})
			overs = append(overs, over)
		}
		synctest.Wait()
		require.Less(t, heap()-before, int64(40<<20), "of 100 readers")
		for _, over := range overs {
			<-over
		}
	})
}

// asked is a request for the result on a connection of its own.
func (b begunRun) asked(t *testing.T, connect func() line, proto, more string, header ...string) line {
	t.Helper()
	c := connect()
	_, err := io.WriteString(c, "GET "+b.url()+more+" "+proto+"\r\nHost: localhost\r\n"+strings.Join(append(header, ""), "\r\n")+"\r\n")
	require.NoError(t, err)
	return c
}

// said is an answer that was read to its end.
type said struct {
	status, minor int // minor: of the protocol's version
	header        http.Header
	length        int64 // -1 when it was not told
	chunked, last bool
	body          string
}

// heard is the answer on a connection, which ends with it.
func heard(t *testing.T, c line) said {
	t.Helper()
	defer c.Close()
	res, err := http.ReadResponse(c.answer, nil)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	_, err = c.answer.ReadByte()
	require.ErrorIs(t, err, io.EOF, "nothing comes after it")
	return said{res.StatusCode, res.ProtoMinor, res.Header, res.ContentLength, len(res.TransferEncoding) > 0, res.Close, string(body)}
}

const (
	asleepOp   = `{"id":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","op":"Sleep","name":"100h"}`
	completeOp = `{"status":200,"headers":{"X-Foo":"bar"},"body":"{\"a\":1}"}`
)

// TestReadersOnConnectionsThatAreTakenOver are answered as others are.
func TestReadersOnConnectionsThatAreTakenOver(t *testing.T) {
	for _, tt := range []struct {
		name, event, proto, more, accept string
		check                            func(t *testing.T, f *fixture, b begunRun, c line)
	}{
		{"soon", tsRequest, "HTTP/1.1", "", "", func(t *testing.T, f *fixture, b begunRun, c line) {
			require.Equal(t, 200, b.report(complete(completeOp)).Code)
			res := heard(t, c)
			require.Equal(t, 200, res.status)
			require.Equal(t, `{"a":1}`, res.body)
			require.Equal(t, int64(7), res.length)
			require.Equal(t, "bar", res.header.Get("X-Foo"))
			require.True(t, res.last)
			require.NotEmpty(t, res.header.Get("Date"))
			require.NotEmpty(t, res.header.Get("X-Content-Type-Options"), "what all answers have")
		}},
		{"white space", tsRequest, "HTTP/1.1", "", "", func(t *testing.T, f *fixture, b begunRun, c line) {
			go func() {
				time.Sleep(time.Minute)
				b.report(complete(completeOp))
			}()
			res := heard(t, c)
			require.True(t, res.chunked)
			require.Equal(t, `    {"a":1}`, res.body)
		}},
		{"a redirect", goRequest, "HTTP/1.1", "", "", func(t *testing.T, f *fixture, b begunRun, c line) {
			start := time.Now()
			res := heard(t, c)
			require.Equal(t, 307, res.status)
			require.Empty(t, res.body)
			require.Contains(t, res.header.Get("Location"), "hop=1")
			require.Equal(t, 45*time.Second, time.Since(start))
		}},
		{"one in HTTP/1.0", tsRequest, "HTTP/1.0", "", "", func(t *testing.T, f *fixture, b begunRun, c line) {
			res := heard(t, c)
			require.Equal(t, 307, res.status)
			require.Equal(t, 0, res.minor)
		}},
		{"white space in HTTP/1.0", tsRequest, "HTTP/1.0", "&hop=15", "", func(t *testing.T, f *fixture, b begunRun, c line) {
			go func() {
				time.Sleep(time.Minute)
				b.report(complete(completeOp))
			}()
			res := heard(t, c)
			require.False(t, res.chunked)
			require.Equal(t, `    {"a":1}`, res.body)
		}},
		{"events", goRequest, "HTTP/1.1", "", "Accept: text/event-stream", func(t *testing.T, f *fixture, b begunRun, c line) {
			res, err := http.ReadResponse(c.answer, nil)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"), "it is there at once")
			go func() {
				time.Sleep(31 * time.Second)
				b.report(complete(completeOp))
			}()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(body), ":\n\n:\n\nevent: result\n"), string(body))
		}},
		{"an answer in time", goRequest, "HTTP/1.1", "&wait=10s", "", func(t *testing.T, f *fixture, b begunRun, c line) {
			res := heard(t, c)
			require.Equal(t, 202, res.status)
			require.Contains(t, res.body, "running")
		}},
		{"a page that asks again", goRequest, "HTTP/1.1", "&hop=15", "Accept: text/html", func(t *testing.T, f *fixture, b begunRun, c line) {
			res := heard(t, c)
			require.Equal(t, 202, res.status)
			require.NotEmpty(t, res.header.Get("Refresh"))
			require.Contains(t, res.body, "</html>")
		}},
		{"a client that goes", tsRequest, "HTTP/1.1", "", "", func(t *testing.T, f *fixture, b begunRun, c line) {
			c.Close()
			time.Sleep(16 * time.Second)
			require.NoError(t, f.s.Wait(t.Context()), "it is not waited for any more")
		}},
		{"a client that takes nothing", tsRequest, "HTTP/1.1", "", "", func(t *testing.T, f *fixture, b begunRun, c line) {
			time.Sleep(usualKeepAlive + longestPut + time.Second)
			require.NoError(t, f.s.Wait(t.Context()))
			c.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fixture) {
				b := beginRun(f, tt.event, asleepOp)
				var header []string
				if tt.accept != "" {
					header = append(header, tt.accept)
				}
				c := b.asked(t, wired(t, f), tt.proto, tt.more, header...)
				synctest.Wait()
				tt.check(t, f, b, c)
				require.NoError(t, f.s.Wait(t.Context()))
			})
		})
	}
}

// TestServerThatStopsTellsThoseWhoseConnectionsItTookOver: one that has said nothing
// yet says that it goes, and any other is cut off in the middle.
func TestServerThatStopsTellsThoseWhoseConnectionsItTookOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		draining, stop := context.WithCancel(t.Context())
		f := newFixture(t, func(c *Config, _ *engine.Config) { c.Draining = draining })
		b := beginRun(f, tsRequest, asleepOp)
		connect := wired(t, f)
		young, old := b.asked(t, connect, "HTTP/1.1", "&wait=1h"), b.asked(t, connect, "HTTP/1.1", "")
		began, err := http.ReadResponse(old.answer, nil)
		require.NoError(t, err)
		defer began.Body.Close()
		go stop()
		res := heard(t, young)
		require.Equal(t, 503, res.status)
		_, err = io.ReadAll(began.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NoError(t, f.s.Wait(t.Context()))
	})
}

func TestReaderOfAStream(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		b := beginRun(f, goRequest, `{"id":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","op":"Sleep","name":"1h"}`)
		w, over := b.reading(request{header: map[string]string{"Accept": "text/event-stream"}})
		time.Sleep(time.Minute)
		require.NoError(t, f.eng.Cancel(t.Context(), b.RunID, "ann"))
		<-over
		require.Equal(t, strings.Repeat(":\n\n", 4)+"event: result\ndata: "+
			`{"status":"cancelled","error":{"name":"Cancelled","message":"the run was cancelled"}}`+"\n\n", w.Body.String())
	})
}

// TestReaderThatCannotSeeTheEnd: nginx asks in HTTP/1.0 unless told otherwise. There
// white space and a server that dies would look like a result.
func TestReaderThatCannotSeeTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		b := beginRun(f, tsRequest, `{"id":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","op":"Sleep","name":"100h"}`)
		old := func(more string) (*httptest.ResponseRecorder, <-chan struct{}) {
			w, over := httptest.NewRecorder(), make(chan struct{})
			go func() {
				defer close(over)
				r := httptest.NewRequest("GET", "http://localhost:8288"+b.url()+more, http.NoBody)
				r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0
				f.s.ServeHTTP(w, r)
			}()
			return w, over
		}
		w, over := old("")
		<-over
		require.Equal(t, 307, w.Code)
		require.Empty(t, w.Body.String())
		w, over = old(fmt.Sprintf("&hop=%d", mostHops))
		time.Sleep(time.Hour)
		require.NoError(t, f.eng.Cancel(t.Context(), b.RunID, ""))
		<-over
		require.Equal(t, 200, w.Code, "who follows no more is kept all the same")
		require.Contains(t, w.Body.String(), "cancelled")
	})
}

func TestReadersOfAServerWithAShorterBreath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config, _ *engine.Config) { c.KeepAlive = time.Second })
		b := beginRun(f, goRequest, `{"id":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","op":"Sleep","name":"1h"}`)
		start := time.Now()
		w, over := b.reading(request{})
		<-over
		require.Equal(t, 307, w.Code)
		require.Equal(t, 3*time.Second, time.Since(start))
		w, over = b.reading(request{header: map[string]string{"Accept": "text/event-stream"}})
		time.Sleep(2500 * time.Millisecond)
		require.NoError(t, f.eng.Cancel(t.Context(), b.RunID, ""))
		<-over
		require.True(t, strings.HasPrefix(w.Body.String(), ":\n\n:\n\nevent"), w.Body)
	})
}

func TestReaderThatDoesNotWait(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		b := beginRun(f, tsRequest, stepRun("1"))
		start := time.Now()
		for _, q := range []request{{path: "&wait=0"}, {path: "&wait=10s"}, {path: "&wait=20s"}} {
			w, over := b.reading(q)
			<-over
			require.Equal(t, 202, w.Code)
			require.JSONEq(t, `"running"`, string(decoded(t, w.Body.Bytes())["status"]))
		}
		require.Equal(t, 30*time.Second, time.Since(start))
		w := f.get(b.url() + "&wait=2d")
		require.Equal(t, "wait must be a time up to 1h, such as 30s", wantRefusal(t, w, 400))
		require.Equal(t, 202, f.do(request{method: "HEAD", path: b.url()}).Code)
	})
}

func decoded(t *testing.T, body []byte) (m map[string]jsontext.Value) {
	t.Helper()
	require.NoError(t, json.Unmarshal(body, &m))
	return m
}

func TestResultOfAFailedRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := beginRun(f, goRequest, stepRun("1"))
	require.Equal(t, 200, b.report(complete(`{"status":503,"headers":{"Retry-After":"7"},"body":"sold out"}`)).Code)
	w := f.get(b.url())
	require.Equal(t, 503, w.Code)
	require.Equal(t, "sold out", w.Body.String())
	require.Equal(t, "7", w.Header().Get("Retry-After"))

	b = beginRun(f, tsRequest, `{"id":"0737c22d3bfae812339732d14d8c7dbd6dc4e09c","op":"StepFailed","error":{"name":"Error","message":"no"}}`)
	w = f.get(b.url())
	require.Equal(t, 200, w.Code)
	require.JSONEq(t, `{"error":{"name":"Error","message":"no"}}`, w.Body.String())
}

func TestTokensForResults(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving)
	signed := func(path, body string) *httptest.ResponseRecorder {
		return f.do(request{method: "POST", path: path, body: body, header: map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + testKey}})
	}
	begin := func() begunView {
		return data[begunView](t, signed("/v1/checkpoint", `{"run_id":"`+engine.NewID()+`","event":`+tsRequest+`,"steps":[`+complete(`{"status":200,"headers":{},"body":"1"}`)+`]}`))
	}
	one, two := begin(), begin()
	path := func(run, token string) string { return "/v1/http/runs/" + run + "/output?token=" + token }
	require.Equal(t, 200, f.get(path(one.RunID, one.Token)).Code)
	for name, token := range map[string]string{
		"none": "", "of another run": two.Token, "truncated": one.Token[:len(one.Token)-3], "of the stream": one.RealtimeToken, "text": "x",
	} {
		wantRefusal(t, f.get(path(one.RunID, token)), http.StatusUnauthorized)
		require.NotContains(t, f.logs.String(), one.Token, name)
	}
	gone := f.s.tokens.Result("01JQDAE4RQF8MBCR55T5AK4KXS")
	require.Equal(t, "the run is not kept any more", wantRefusal(t, f.get(path("01JQDAE4RQF8MBCR55T5AK4KXS", gone)), http.StatusNotFound))
}

func TestReportsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := beginRun(f, tsRequest, stepRun("1"))
	steps := "/v1/checkpoint/" + b.RunID + "/steps"
	for _, tt := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/v1/checkpoint", `{"run_id":"x","event":` + tsRequest + `,"steps":[]}`, 400, "ULID"},
		{"/v1/checkpoint", `{"run_id":"` + engine.NewID() + `","steps":[]}`, 400, "event"},
		{"/v1/checkpoint", `{"run_id":"` + engine.NewID() + `","event":{"name":"a","data":{}},"steps":[]}`, 400, "not begun by an HTTP request"},
		{"/v1/checkpoint", `{"run_id":"` + b.RunID + `","event":` + goRequest + `,"steps":[]}`, 409, "another request"},
		{"/v1/checkpoint", `{"steps":`, 400, "invalid checkpoint"},
		{steps, `{"run_id":"` + engine.NewID() + `","steps":[]}`, 400, "run_id"},
		{steps, `{"fn_id":"x","steps":[]}`, 409, "fn_id"},
		{steps, `{"app_id":"x","steps":[]}`, 409, "app_id"},
		{"/v1/checkpoint/" + engine.NewID() + "/steps", `{"steps":[]}`, 404, "Unable to load function run"},
		{steps, `{"steps":[{"id":"a","op":"StepRun","data":"` + strings.Repeat("x", 5<<20) + `"}]}`, 413, "limit"},
	} {
		require.Contains(t, wantRefusal(t, f.post(tt.path, tt.body), tt.status), tt.says, tt.path)
	}
	require.Contains(t, wantRefusal(t, b.report(complete("1")), 410), "ended", "too large a step has failed it")
}

func TestReaderOfAServerThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		draining, stop := context.WithCancel(t.Context())
		f := newFixture(t, func(c *Config, _ *engine.Config) { c.Draining = draining })
		b := beginRun(f, tsRequest, stepRun("1"))
		young, over1 := b.reading(request{path: "&wait=1h"})
		old, over2 := b.reading(request{})
		time.Sleep(16 * time.Second)
		stop()
		<-over1
		<-over2
		require.Equal(t, 503, young.Code)
		require.Equal(t, " ", old.Body.String(), "it is cut, and not ended as if that were all")
	})
}

// TestResultInAnyMethod: browsers keep the method of a PUT, PATCH or DELETE, and its
// body, when they are redirected to the result. Over sockets, where a body that nobody
// reads costs the answer.
func TestResultInAnyMethod(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := beginRun(f, goRequest, stepRun("1"))
	front := httptest.NewServer(f.s)
	t.Cleanup(front.Close)
	ask := func(method string, size int) string {
		r, err := http.NewRequestWithContext(t.Context(), method, front.URL+b.url(), strings.NewReader(strings.Repeat("x", size)))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "image/png")
		r.Header.Set("Content-Encoding", "gzip") // nobody looks into it
		return answered(t, r)
	}
	var all sync.WaitGroup
	answers := make([]string, 4)
	for i, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		all.Go(func() { answers[i] = ask(method, 1<<20) })
	}
	require.Equal(t, 200, b.report(complete(`{"status":201,"headers":{},"body":"made"}`)).Code)
	all.Wait()
	require.Equal(t, []string{"201 made", "201 made", "201 made", "201 made"}, answers)
	require.Contains(t, ask("PUT", maxEndpointBody+1), "413 ")
	require.Equal(t, "201 made", ask("PUT", 0))

	w := f.do(request{method: "OPTIONS", path: b.url(), header: map[string]string{"Origin": "https://shop.example", "Access-Control-Request-Method": "PATCH"}})
	require.Equal(t, "PATCH", w.Header().Get("Access-Control-Allow-Methods"), "pages of other origins too")
}

func answered(t *testing.T, r *http.Request) string {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if !assert.NoError(t, err) {
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	assert.NoError(t, err)
	return fmt.Sprintf("%d %s", res.StatusCode, body)
}

// TestResultOfAHead: a HEAD that an endpoint has redirected waits for the result, and
// gets what it is without its body.
func TestResultOfAHead(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		b := beginRun(f, strings.Replace(goRequest, `"GET"`, `"HEAD"`, 1), stepRun("1"))
		w := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := httptest.NewRequest("HEAD", "http://localhost:8288"+b.url(), http.NoBody)
			r.Header.Set("Accept", "text/event-stream")
			f.s.ServeHTTP(w, r)
		}()
		synctest.Wait()
		require.Equal(t, 200, b.report(complete(`{"status":201,"headers":{"X-Foo":"bar"},"body":"made"}`)).Code)
		<-done
		require.Equal(t, 201, w.Code)
		require.Equal(t, "bar", w.Header().Get("X-Foo"))
		require.Equal(t, "4", w.Header().Get("Content-Length"))
	})
}

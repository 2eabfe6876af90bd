package egress

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pawlhq/pawl/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// response is the data of a step.fetch's memo.
type response struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Status  int               `json:"status_code"`
}

func fetched(t *testing.T, memo []byte) response {
	t.Helper()
	var m struct {
		Data response `json:"data"`
	}
	require.NoError(t, wire.CheckJSON(memo))
	require.NoError(t, json.Unmarshal(memo, &m, json.RejectUnknownMembers(true)), "%s", memo)
	return m.Data
}

// failure is the error of a memo.
type failure struct {
	Name    string         `json:"name"`
	Message string         `json:"message"`
	Error   string         `json:"error"`
	Stack   string         `json:"stack"`
	Data    jsontext.Value `json:"data"`
}

func failed(t *testing.T, err error) (*Error, failure) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	var m struct {
		Error failure `json:"error"`
	}
	require.NoError(t, wire.CheckJSON(e.Memo()))
	require.NoError(t, json.Unmarshal(e.Memo(), &m, json.RejectUnknownMembers(true)), "%s", e.Memo())
	require.NotEmpty(t, m.Error.Data, "the Go SDK needs data, be it null")
	require.Equal(t, e.Error(), m.Error.Message)
	require.Equal(t, m.Error.Name+": "+m.Error.Message, m.Error.Error)
	return e, m.Error
}

// serve starts a server, and a client that may reach it.
func serve(t *testing.T, o Options, h http.HandlerFunc) (*Client, string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	o.AllowPrivate = true
	client := New(o)
	t.Cleanup(client.Close)
	return client, server.URL
}

func TestFetchSendsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	client, at := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		got <- r
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Disposition", "caf\xe9\tö")
		w.Header()["Date"] = nil
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "na\xefve \u2028 <b>\"\x00")
	})
	memo, err := client.Do(t.Context(), parsed(t, wire.OpGateway,
		`{"url":"`+at+`/x%2Fy?y=1&token=abcdef","method":"POST","headers":{"x-a":"b","host":"evil.example"},"body":"{\"a\":1}"}`))
	require.NoError(t, err)

	r := <-got
	body, _ := io.ReadAll(r.Body)
	require.Equal(t, "POST", r.Method)
	require.Equal(t, "/x%2Fy?y=1&token=abcdef", r.RequestURI)
	require.Equal(t, "b", r.Header.Get("X-A"))
	require.Equal(t, "pawl", r.UserAgent())
	require.Equal(t, strings.TrimPrefix(at, "http://"), r.Host)
	require.Equal(t, `{"a":1}`, string(body))
	require.EqualValues(t, 7, r.ContentLength)

	answer := fetched(t, memo)
	require.Equal(t, 201, answer.Status)
	require.Equal(t, at+"/x%2Fy?y=1&token=***", answer.URL)
	require.Equal(t, "na\uFFFDve \u2028 <b>\"\x00", answer.Body)
	require.Equal(t, map[string]string{
		"x-two": "a,b", "content-type": "text/plain", "content-length": "15", "content-disposition": "café\tÃ¶",
	}, answer.Headers)
}

func TestEveryStatusOfAFetchIsASuccess(t *testing.T) {
	t.Parallel()
	client, at := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "x")
	})
	for _, status := range []int{200, 201, 202, 204, 205, 299, 300, 301, 304, 307, 400, 401, 403, 404, 410, 418, 429, 451, 500, 502, 503, 504, 599, 999} {
		memo, err := client.Do(t.Context(), parsed(t, wire.OpGateway, fmt.Sprintf(`{"url":"%s/%d"}`, at, status)))
		require.NoError(t, err)
		require.Equal(t, status, fetched(t, memo).Status)
		// new Response("", {status: 204}) throws in JavaScript.
		require.Equal(t, status == 204 || status == 205 || status == 304, bytes.Contains(memo, []byte(`"body":null`)), status)
	}
	memo, err := client.Do(t.Context(), parsed(t, wire.OpGateway, fmt.Sprintf(`{"url":"%s/200","method":"HEAD"}`, at)))
	require.NoError(t, err)
	require.Empty(t, fetched(t, memo).Body)
}

func TestInferenceSendsTheBodyAndKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	client, at := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Header.Set("Body", string(body))
		r.Header.Set("Uri", r.Method+" "+r.RequestURI)
		got <- r.Header
		_, _ = io.WriteString(w, " {\"id\": 1.50, \"n\": 12345678901234567890,\n \"t\":\"<é>\"} \n")
	})
	for _, tt := range []struct{ format, header, value, uri string }{
		{"openai-chat", "Authorization", "Bearer sk-1234", "POST /v1"},
		{"openai-responses", "Authorization", "Bearer sk-1234", "POST /v1"},
		{"azure-openai", "Authorization", "Bearer sk-1234", "POST /v1"},
		{"anthropic", "X-Api-Key", "sk-1234", "POST /v1"},
		{"gemini", "Authorization", "", "POST /v1?key=sk-1234"},
		{"bedrock", "Authorization", "sk-1234", "POST /v1"},
	} {
		memo, err := client.Do(t.Context(), parsed(t, wire.OpAIGateway,
			`{"type":"step.ai.infer","url":"`+at+`/v1","auth_key":"sk-1234","format":"`+tt.format+`","headers":{"x-extra":"1"},"body":{"model":"m","t":0.10}}`))
		require.NoError(t, err)
		require.Equal(t, "{\"data\":{\"id\": 1.50, \"n\": 12345678901234567890,\n \"t\":\"<é>\"}}", string(memo))
		h := <-got
		require.Equal(t, tt.value, h.Get(tt.header), tt.format)
		require.Equal(t, tt.uri, h.Get("Uri"), tt.format)
		require.Equal(t, `{"model":"m","t":0.10}`, h.Get("Body"))
		require.Equal(t, "application/json", h.Get("Content-Type"))
		require.Equal(t, "1", h.Get("X-Extra"))
	}
}

func TestWhatAnInferenceRemembers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body, want string
	}{
		{"an object", `{"a":1}`, `{"data":{"a":1}}`},
		{"a list", `[1]`, `{"data":[1]}`},
		{"null", `null`, `{"data":null}`},
		{"nothing", ``, `{"data":null}`},
		{"white space", " \n", `{"data":null}`},
		{"a stream", "data: {\"a\":1}\n\n", `{"data":"data: {\"a\":1}\n\n"}`},
		{"half of it", `{"a":`, `{"data":"{\"a\":"}`},
		{"two values", `{} {}`, `{"data":"{} {}"}`},
		{"a name twice cannot be signed", `{"a":1,"a":2}`, `{"data":"{\"a\":1,\"a\":2}"}`},
		{"half a character", `{"a":"\ud83d"}`, "{\"data\":{\"a\":\"\uFFFD\"}}"},
		{"bytes that are no text", "\xff", "{\"data\":\"\uFFFD\"}"},
		{"too deep", strings.Repeat("[", 1001), `{"data":"` + strings.Repeat("[", 1001) + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, at := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.body) })
			memo, err := client.Do(t.Context(), parsed(t, wire.OpAIGateway, `{"url":"`+at+`","body":{}}`))
			require.NoError(t, err)
			require.Equal(t, tt.want, string(memo))
			require.NoError(t, wire.CheckJSON(memo))
		})
	}
}

func TestAnswersOfProvidersThatAreErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		status     int
		message    string // after "answered "
		data       string
	}{
		{
			"OpenAI", `{"error":{"message":"Rate limit reached","type":"requests"}}`, 429, "429 Too Many Requests: Rate limit reached",
			`{"error":{"message":"Rate limit reached","type":"requests"}}`,
		},
		{
			"Anthropic", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, 529, "529: Overloaded",
			`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`,
		},
		{
			"Bedrock", `{"message":"The security token is invalid."}`, 403, "403 Forbidden: The security token is invalid.",
			`{"message":"The security token is invalid."}`,
		},
		{"an error that is a text", `{"error":"model not found"}`, 404, "404 Not Found: model not found", `{"error":"model not found"}`},
		{"a page", `<html>Bad gateway</html>`, 502, "502 Bad Gateway", `null`},
		{"a list, which Go cannot decode", `[{"error":{"message":"m"}}]`, 400, "400 Bad Request", `null`},
		{"nothing", ``, 500, "500 Internal Server Error", `null`},
		{"a redirect", ``, 302, "302 Found", `null`},
		{"a huge object", `{"message":"m","x":"` + strings.Repeat("x", maxErrorData) + `"}`, 500, "500 Internal Server Error: m", `null`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, at := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "20")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			before := time.Now()
			_, err := client.Do(t.Context(), parsed(t, wire.OpAIGateway, `{"url":"`+at+`/v1?x=1","body":{}}`))
			e, f := failed(t, err)
			require.Equal(t, tt.status, e.Status)
			require.False(t, e.NoRetry)
			require.WithinRange(t, e.RetryAt, before.Add(20*time.Second), time.Now().Add(20*time.Second))
			require.Equal(t, "AIGatewayError", f.Name)
			require.Equal(t, "Error making AI request: "+at+" answered "+tt.message, f.Message)
			require.JSONEq(t, tt.data, string(f.Data))
			if len(tt.body) <= maxErrorStack {
				require.Equal(t, tt.body, f.Stack)
			}
			require.Less(t, len(e.Memo()), maxErrorData+8*maxErrorStack)
		})
	}
	client, at := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	_, err := client.Do(t.Context(), parsed(t, wire.OpAIGateway, `{"url":"`+at+`"}`))
	e, _ := failed(t, err)
	require.Zero(t, e.RetryAt)
}

func TestLargeAnswersAreRefused(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	zeros := func(w io.Writer, n int) { _, _ = w.Write(bytes.Repeat([]byte("0"), n)) }
	packed := func(write func(io.Writer)) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		write(z)
		_ = z.Close()
		return b.Bytes()
	}
	for _, tt := range []struct {
		name  string
		large bool
		h     http.HandlerFunc
	}{
		{"just fits", false, func(w http.ResponseWriter, _ *http.Request) { zeros(w, limit-1<<10) }},
		{"one byte more, as it says", true, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(limit+1))
			zeros(w, limit+1)
		}},
		{"a length that is a lie", true, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99999999999") }},
		{"one byte more, in chunks", true, func(w http.ResponseWriter, _ *http.Request) {
			zeros(w, limit)
			_ = http.NewResponseController(w).Flush()
			zeros(w, 1)
		}},
		{"without end", true, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}},
		{"packed, just fits", false, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed(func(z io.Writer) { zeros(z, limit-1<<10) }))
		}},
		{"a bomb", true, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed(func(z io.Writer) { zeros(z, 8<<20) }))
		}},
		{"a bomb of nothing: empty members without end", true, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			member := packed(func(io.Writer) {})
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat(member, 1000)); err != nil {
					return
				}
			}
		}},
		{"text that grows when it is quoted", true, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, limit/2)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, at := serve(t, Options{MaxAnswer: limit}, tt.h)
			memo, err := client.Do(t.Context(), parsed(t, wire.OpGateway, `{"url":"`+at+`"}`))
			if !tt.large {
				require.NoError(t, err)
				require.Len(t, fetched(t, memo).Body, limit-1<<10)
				require.NotContains(t, fetched(t, memo).Headers, "content-encoding")
				return
			}
			e, f := failed(t, err)
			require.ErrorIs(t, err, ErrTooLarge)
			require.Contains(t, f.Message, "larger than the limit of 65536 bytes")
			require.Zero(t, e.Status)
		})
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	client, at := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 200 {
			w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1000))
		}
	})
	_, err := client.Do(t.Context(), parsed(t, wire.OpGateway, `{"url":"`+at+`"}`))
	_, f := failed(t, err)
	require.Contains(t, f.Message, "headers exceeded")
}

func TestSlowAnswersAreCutOff(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"headers and no body": func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"a byte at a time": func(w http.ResponseWriter, r *http.Request) {
			for tick := time.Tick(time.Millisecond); ; {
				select {
				case <-tick:
					_, _ = io.WriteString(w, "x")
					_ = http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, at := serve(t, Options{Timeout: 50 * time.Millisecond}, h)
			_, err := client.Do(t.Context(), parsed(t, wire.OpGateway, `{"url":"`+at+`/`+canary+`"}`))
			e, f := failed(t, err)
			require.ErrorIs(t, err, ErrTooSlow)
			require.Equal(t, "Error making gateway request: "+at+" gave no whole answer within 50ms", f.Message)
			require.False(t, e.NoRetry)
		})
	}
}

func TestInterruptionIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	client, at := serve(t, Options{}, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the run was cancelled")
	go func() {
		<-arrived
		cancel(cause)
	}()
	_, err := client.Do(ctx, parsed(t, wire.OpGateway, `{"url":"`+at+`/`+canary+`"}`))
	require.ErrorIs(t, err, cause)
	var e *Error
	require.NotErrorAs(t, err, &e)
	require.NotContains(t, err.Error(), canary)
}

func TestCompressionIsOurs(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, "hello")
	_ = z.Close()
	client, at := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Accepted", r.Header.Get("Accept-Encoding"))
		switch r.URL.Path {
		case "/gzip":
			w.Header().Set("Content-Encoding", "GZIP")
			_, _ = w.Write(packed.Bytes())
		case "/empty":
			w.Header().Set("Content-Encoding", "gzip")
		case "/broken":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "hello, I am not packed")
		case "/corrupt":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(append(bytes.Clone(packed.Bytes()[:10]), "\xff\xff\xff\xff\xff\xff\xff"...))
		case "/cut":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes()[:packed.Len()-4])
		}
	})
	fetch := func(path, headers string) (response, error) {
		memo, err := client.Do(t.Context(), parsed(t, wire.OpGateway, `{"url":"`+at+path+`","headers":`+headers+`}`))
		if err != nil {
			return response{}, err
		}
		return fetched(t, memo), nil
	}
	got, err := fetch("/gzip", `{"accept-encoding":"br, zstd"}`)
	require.NoError(t, err)
	require.Equal(t, "hello", got.Body)
	require.Equal(t, "gzip", got.Headers["x-accepted"])
	require.NotContains(t, got.Headers, "content-encoding")
	require.NotContains(t, got.Headers, "content-length")
	got, err = fetch("/", `{"range":"bytes=0-1"}`)
	require.NoError(t, err)
	require.Empty(t, got.Headers["x-accepted"])
	got, err = fetch("/empty", `{}`)
	require.NoError(t, err)
	require.Empty(t, got.Body)
	_, err = fetch("/broken", `{}`)
	require.ErrorContains(t, err, "cannot be unpacked")
	_, err = fetch("/corrupt", `{}`)
	require.ErrorContains(t, err, "cannot be unpacked")
	_, err = fetch("/cut", `{}`)
	require.ErrorContains(t, err, "closed the connection")
}

// raw answers each connection with the same bytes.
func raw(t *testing.T, answer func(request []byte) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 64<<10)
			n, _ := c.Read(b)
			_, _ = io.WriteString(c, answer(b[:n]))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

func TestTransportFailures(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := httptest.NewServer(nil)
	t.Cleanup(plain.Close)
	answering := func(s string) string { return raw(t, func([]byte) string { return s }) }
	client := New(Options{AllowPrivate: true, Resolver: names(func(string) []string { return nil })})
	t.Cleanup(client.Close)
	for _, tt := range []struct{ name, url, want string }{
		{"nobody listens", gone.URL, "connection refused"},
		{"no such name", "http://nowhere.example", "there is no host with the name of http://nowhere.example"},
		{"a certificate of its own", secure.URL, "certificate of " + secure.URL + " is not accepted"},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), "does not speak TLS"},
		{"hangs up", answering(""), "closed the connection"},
		{"half a body", answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "closed the connection"},
		{"half a chunk", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"), "closed the connection"},
		{"no HTTP", answering("SSH-2.0-OpenSSH\r\n"), "malformed HTTP"},
		{"another protocol", answering("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), "another protocol"},
		{"two lengths", answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "Content-Length"},
	} {
		for _, op := range []string{wire.OpGateway, wire.OpAIGateway} {
			t.Run(tt.name+" "+op, func(t *testing.T) {
				t.Parallel()
				_, err := client.Do(t.Context(), parsed(t, op, `{"url":"`+tt.url+`/`+canary+`?a=`+canary+`"}`))
				e, f := failed(t, err)
				require.Contains(t, f.Message, tt.want)
				require.Equal(t, "null", string(f.Data))
				require.False(t, e.NoRetry)
				require.Zero(t, e.Status)
				if op == wire.OpGateway {
					require.Equal(t, "GatewayError", f.Name)
					require.True(t, strings.HasPrefix(f.Message, "Error making gateway request: "), f.Message)
				} else {
					require.Equal(t, "AIGatewayError", f.Name)
					require.True(t, strings.HasPrefix(f.Message, "Error making AI request: "), f.Message)
				}
				require.NotContains(t, f.Message, canary)
			})
		}
	}
	_, err := client.Do(t.Context(), Request{})
	failed(t, err)
}

// No text of an error shows a credential, not when the other side sends it
// back either.
func TestCanariesAreNotInErrors(t *testing.T) {
	t.Parallel()
	echo := func(status string) string {
		return raw(t, func(request []byte) string {
			return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(request), request)
		})
	}
	echoJSON := raw(t, func(request []byte) string {
		b, _ := json.Marshal(map[string]any{"error": map[string]string{"message": "you sent " + string(request)}, canary: 1})
		return fmt.Sprintf("HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	})
	noHTTP := raw(t, func(request []byte) string {
		return "you sent " + strings.ReplaceAll(string(request), "\r\n", " ") + "\r\n"
	})
	client := New(Options{AllowPrivate: true})
	defer client.Close()
	strict := New(Options{})
	defer strict.Close()
	for _, at := range []string{echo("500 Internal Server Error"), echo("401 " + canary), echoJSON, noHTTP, "http://127.0.0.1:1", "https://127.0.0.1:1"} {
		for _, opts := range []string{
			`{"url":"%u/","auth_key":"%s","format":"openai-chat"}`,
			`{"url":"%u/","auth_key":"%s","format":"anthropic"}`,
			`{"url":"%u/","auth_key":"%s","format":"bedrock"}`,
			`{"url":"%u/","auth_key":"%s","format":"gemini"}`,
			`{"url":"%u/?key=%s","auth_key":"%s","format":"gemini"}`,
			`{"url":"%u/?access_token=%s"}`,
			`{"url":"%u/?sig=%s"}`,
			`{"url":"%u/","headers":{"authorization":"Bearer %s"}}`,
			`{"url":"%u/","headers":{"cookie":"%s"}}`,
			`{"url":"%u/","headers":{"X-Service-Token":"%s"}}`,
			`{"url":"%u/?` + strings.Repeat("key=%s&", 20) + `"}`,
		} {
			opts = strings.NewReplacer("%u", at, "%s", canary).Replace(opts)
			for _, op := range []string{wire.OpGateway, wire.OpAIGateway} {
				for _, c := range []*Client{client, strict} {
					_, err := c.Do(t.Context(), parsed(t, op, opts))
					if err == nil {
						continue // a fetch's answer is the app's data
					}
					e, f := failed(t, err)
					for _, s := range []string{err.Error(), fmt.Sprintf("%+v", err), f.Message, f.Stack, e.Failure.Error(), fmt.Sprint(e.Err)} {
						require.NotContains(t, s, canary, opts)
					}
					require.NotContains(t, string(e.Memo()), canary, opts)
				}
			}
		}
	}
}

func TestMoreSecretsThanAreLookedForHideTheWholeText(t *testing.T) {
	t.Parallel()
	var query strings.Builder
	for i := range maxSecrets + 1 {
		fmt.Fprintf(&query, "key=secret%d&", i)
	}
	at := raw(t, func(request []byte) string {
		return fmt.Sprintf("HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n%s", len(request), request)
	})
	client := New(Options{AllowPrivate: true})
	t.Cleanup(client.Close)
	_, err := client.Do(t.Context(), parsed(t, wire.OpAIGateway, `{"url":"`+at+`/?`+query.String()+`"}`))
	e, f := failed(t, err)
	require.Equal(t, 500, e.Status)
	require.Equal(t, mask, f.Stack)
	require.NotContains(t, string(e.Memo()), "secret256")
}

func TestManyRequestsAtOnce(t *testing.T) {
	t.Parallel()
	client, at := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Query().Get("n")) })
	errs := make(chan error)
	for i := range 50 {
		r := parsed(t, wire.OpGateway, fmt.Sprintf(`{"url":"%s/?n=%d"}`, at, i))
		go func() {
			memo, err := client.Do(t.Context(), r)
			if err == nil && !bytes.Contains(memo, fmt.Appendf(nil, `"body":"%d"`, i)) {
				err = fmt.Errorf("request %d got %s", i, memo)
			}
			errs <- err
		}()
	}
	for range 50 {
		require.NoError(t, <-errs)
	}
}

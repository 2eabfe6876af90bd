package egress

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/wire"
)

// canary is a secret that must not be seen.
const canary = "sk-CANARY-7f3a9c51e0"

func parsed(t *testing.T, op, opts string) Request {
	t.Helper()
	r, err := Parse(op, []byte(opts))
	require.NoError(t, err)
	return r
}

func TestParseFetch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, opts string
		method     string
		url        string
		header     string // name=value, joined by "; "
		body       string
	}{
		{
			"as TS sends it", `{"url":"https://example.com/x?y=1","method":"POST","headers":{"x-a":"b"},"body":"{\"a\":1}"}`,
			"POST", "https://example.com/x?y=1", "X-A=b", `{"a":1}`,
		},
		{"no more than a URL", `{"url":"http://example.com"}`, "GET", "http://example.com", "", ""},
		{"nulls", `{"url":"http://example.com","method":null,"headers":null,"body":null}`, "GET", "http://example.com", "", ""},
		{"a header that is null", `{"url":"http://a.example","headers":{"x-a":null,"x-b":""}}`, "GET", "http://a.example", "X-B=", ""},
		{"a method in small letters", `{"url":"http://a.example","method":"put"}`, "PUT", "http://a.example", "", ""},
		{"a method of its own", `{"url":"http://a.example","method":"Patch"}`, "Patch", "http://a.example", "", ""},
		{"options we do not know", `{"url":"http://a.example","x":{"y":[1]}}`, "GET", "http://a.example", "", ""},
		{"a fragment stays at home", `{"url":"http://a.example/?q#frag"}`, "GET", "http://a.example/?q", "", ""},
		{"spaces and letters in a query", `{"url":"http://a.example/p q?a=b c&d=é\"<>"}`, "GET", "http://a.example/p%20q?a=b%20c&d=%C3%A9%22%3C%3E", "", ""},
		{"a port", `{"url":"http://a.example:8080/"}`, "GET", "http://a.example:8080/", "", ""},
		{"a colon without a port", `{"url":"http://a.example:/"}`, "GET", "http://a.example/", "", ""},
		{"IPv6", `{"url":"http://[2606:4700::1]:81/"}`, "GET", "http://[2606:4700::1]:81/", "", ""},
		{"two names that differ in case", `{"url":"http://a.example","headers":{"X-A":"1","x-a":"2"}}`, "GET", "http://a.example", "X-A=2", ""},
		{"space around a value", `{"url":"http://a.example","headers":{"X-A":" 1\t\r\n"}}`, "GET", "http://a.example", "X-A=1", ""},
		{
			"headers of the connection are left out", `{"url":"http://a.example","headers":{"Host":"b","content-length":"9","Transfer-Encoding":"chunked",
			"connection":"x-a","Upgrade":"h2c","te":"trailers","Trailer":"x","keep-alive":"1","proxy-authorization":"x","accept-encoding":"br","expect":"100-continue","x-a":"b"}}`,
			"GET", "http://a.example", "X-A=b", "",
		},
		{"half a character", `{"url":"http://a.example","method":"POST","body":"a\ud83d"}`, "POST", "http://a.example", "", "a\uFFFD"},
		{"an auth_key is none of its options", `{"url":"http://a.example","auth_key":"x","format":"gemini"}`, "GET", "http://a.example", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := parsed(t, wire.OpGateway, tt.opts)
			require.Equal(t, wire.OpGateway, r.Op())
			require.Equal(t, tt.method, r.Method())
			require.Equal(t, tt.url, r.url.String())
			require.Equal(t, tt.body, string(r.body))
			require.Equal(t, tt.header, headerLine(r.header))
		})
	}
}

func headerLine(h http.Header) string {
	var lines []string
	var b bytes.Buffer
	_ = h.Write(&b)
	for line := range strings.Lines(b.String()) {
		lines = append(lines, strings.Replace(strings.TrimRight(line, "\r\n"), ": ", "=", 1))
	}
	return strings.Join(lines, "; ")
}

func TestCredentialsGoWhereTheProviderWantsThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, format, url, headers string
		wantHeader, wantQuery      string
	}{
		{"OpenAI chat", "openai-chat", "/v1", `{}`, "Authorization=Bearer K y/+; Content-Type=application/json", ""},
		{"OpenAI responses", "openai-responses", "/v1", `{}`, "Authorization=Bearer K y/+; Content-Type=application/json", ""},
		{"a format we do not know", "grok", "/v1", `{}`, "Authorization=Bearer K y/+; Content-Type=application/json", ""},
		{"no format", "", "/v1", `null`, "Authorization=Bearer K y/+; Content-Type=application/json", ""},
		{
			"Azure as TS sends it", "azure-openai", "/x?api-version=1", `{"api-key":"K y/+","Content-Type":"application/json"}`,
			"Api-Key=K y/+; Content-Type=application/json", "api-version=1",
		},
		{"Azure without its header", "azure-openai", "/x", `{}`, "Authorization=Bearer K y/+; Content-Type=application/json", ""},
		{
			"Anthropic", "anthropic", "/v1/messages", `{"anthropic-version":"2023-06-01"}`,
			"Anthropic-Version=2023-06-01; Content-Type=application/json; X-Api-Key=K y/+", "",
		},
		{"Gemini with the key in its URL", "gemini", "/m:generateContent?key=abc", `{}`, "Content-Type=application/json", "key=abc"},
		{"Gemini without", "gemini", "/m:generateContent", `{}`, "Content-Type=application/json", "key=K+y%2F%2B"},
		{"Gemini with another parameter", "gemini", "/m?alt=sse", `{}`, "Content-Type=application/json", "alt=sse&key=K+y%2F%2B"},
		{"Gemini with the key in a header", "gemini", "/m", `{"x-goog-api-key":"abc"}`, "Content-Type=application/json; X-Goog-Api-Key=abc", ""},
		{"Bedrock", "bedrock", "/model", `{}`, "Authorization=K y/+; Content-Type=application/json", ""},
		{
			"what the op says wins", "openai-chat", "/v1", `{"authorization":"Bearer own","content-type":"application/x"}`,
			"Authorization=Bearer own; Content-Type=application/x", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := parsed(t, wire.OpAIGateway, fmt.Sprintf(
				`{"type":"step.ai.infer","url":"https://ai.example%s","auth_key":"K y/+","format":%q,"headers":%s,"body":{"model":"m","n":1.50}}`,
				tt.url, tt.format, tt.headers))
			require.Equal(t, "POST", r.Method())
			require.Equal(t, tt.wantHeader, headerLine(r.header))
			require.Equal(t, tt.wantQuery, r.url.RawQuery)
			require.Equal(t, `{"model":"m","n":1.50}`, string(r.body))
		})
	}
	r := parsed(t, wire.OpAIGateway, `{"url":"http://localhost:11434/v1","format":"openai-chat","body":{}}`)
	require.Empty(t, r.header.Get("Authorization"), "a model of one's own needs no key")
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	type refusal struct{ name, op, opts, want string }
	many := map[string]string{}
	for i := range MaxHeaders + 1 {
		many[fmt.Sprint("x-", i)] = "v"
	}
	tooMany, err := json.Marshal(map[string]any{"url": "http://a.example", "headers": many})
	require.NoError(t, err)
	long := func(n int) string { return strings.Repeat("a", n) }
	g, ai := wire.OpGateway, wire.OpAIGateway
	for _, tt := range []refusal{
		{"nothing", g, ``, "not JSON"},
		{"no object", g, `["` + canary + `"]`, "not an object"},
		{"null", g, `null`, "not an object"},
		{"half", g, `{"url":"` + canary, "not JSON"},
		{"two values", g, `{"url":"http://a.example"} "` + canary + `"`, "not JSON"},
		{"a name twice", g, `{"url":"http://a.example","url":"http://` + canary + `"}`, "one name twice"},
		{"a header twice", g, `{"url":"http://a.example","headers":{"a":"` + canary + `","a":"2"}}`, "one name twice"},
		{"deep", ai, `{"url":"http://a.example","body":` + strings.Repeat("[", 1001) + strings.Repeat("]", 1001) + `}`, "nested too deeply"},
		{"broken text", g, "{\"url\":\"http://a.example/\xff\"}", "UTF-8"},
		{"huge", g, `"` + long(wire.MaxAnswerBytes) + `"`, "the options have"},
		{"another op", "StepRun", `{"url":"http://a.example"}`, "not an op"},

		{"no URL", g, `{"method":"GET"}`, "no url"},
		{"an empty URL", g, `{"url":""}`, "no url"},
		{"a number as URL", g, `{"url":1}`, "option url is not a text"},
		{"a long URL", g, `{"url":"http://a.example/` + long(MaxURLBytes) + `"}`, "the url has"},
		{"another scheme", g, `{"url":"file:///etc/` + canary + `"}`, "http:// or https://"},
		{"a socket", g, `{"url":"unix:///run/` + canary + `"}`, "http:// or https://"},
		{"gopher", g, `{"url":"gopher://a.example/` + canary + `"}`, "http:// or https://"},
		{"no scheme", g, `{"url":"a.example/` + canary + `"}`, "http:// or https://"},
		{"a path", g, `{"url":"/` + canary + `"}`, "http:// or https://"},
		{"a scheme in no URL", g, `{"url":"` + canary + `:x"}`, "http:// or https://"},
		{"no host", g, `{"url":"http:///` + canary + `"}`, "names no host"},
		{"only a port", g, `{"url":"http://:80/"}`, "names no host"},
		{"opaque", g, `{"url":"http:` + canary + `"}`, "names no host"},
		{"a password", g, `{"url":"http://u:` + canary + `@a.example"}`, "user name or a password"},
		{"a user", g, `{"url":"http://` + canary + `@a.example"}`, "user name or a password"},
		{"an empty user", g, `{"url":"http://@a.example"}`, "user name or a password"},
		{"a host with a backslash", g, `{"url":"http://a.example\\@` + canary + `"}`, "cannot be read"},
		{"a line break", g, `{"url":"http://a.example/\r\nX: ` + canary + `"}`, "cannot be read"},
		{"a line break in the host", g, `{"url":"http://a.example\r\nX: ` + canary + `"}`, "cannot be read"},
		{"a line break in the query", g, `{"url":"http://a.example/?a\r\nX: ` + canary + `"}`, "cannot be read"},
		{"NUL", g, `{"url":"http://a.example/\u0000` + canary + `"}`, "cannot be read"},
		{"a broken escape", g, `{"url":"http://a.example/%` + canary + `"}`, "cannot be read"},
		{"a space in the host", g, `{"url":"http://a ` + canary + `/"}`, "cannot be read"},
		{"a port that is none", g, `{"url":"http://a.example:` + canary + `/"}`, "cannot be read"},
		{"port 0", g, `{"url":"http://a.example:0/"}`, "port"},
		{"port 65536", g, `{"url":"http://a.example:65536/"}`, "port"},
		{"a long host", g, `{"url":"http://` + long(254) + `/"}`, "the url's host has"},

		{"a method with a space", g, `{"url":"http://a.example","method":"GET /` + canary + ` HTTP/1.1\r\n"}`, "the method has"},
		{"a long method", g, `{"url":"http://a.example","method":"` + long(33) + `"}`, "the method has"},
		{"a method that is no text", g, `{"url":"http://a.example","method":["` + canary + `"]}`, "option method is not a text"},
		{"CONNECT", g, `{"url":"http://a.example","method":"connect"}`, "CONNECT cannot be used"},
		{"TRACE", g, `{"url":"http://a.example","method":"Trace"}`, "TRACE cannot be used"},

		{"headers in a list", g, `{"url":"http://a.example","headers":[["a","` + canary + `"]]}`, "headers are not an object"},
		{"a header of numbers", g, `{"url":"http://a.example","headers":{"x-a":1}}`, "option header x-a is not a text"},
		{"a header that is a list", g, `{"url":"http://a.example","headers":{"x-a":["` + canary + `"]}}`, "option header x-a is not a text"},
		{"a name without letters", g, `{"url":"http://a.example","headers":{"":"` + canary + `"}}`, "name of header number 1"},
		{"a name with a line break", g, `{"url":"http://a.example","headers":{"b":"c","a: b\r\nX: ` + canary + `":"c"}}`, "name of header number 2"},
		{"a name with a colon", g, `{"url":"http://a.example","headers":{"a:":"` + canary + `"}}`, "name of header number 1"},
		{"a name with a space", g, `{"url":"http://a.example","headers":{"a ":"` + canary + `"}}`, "name of header number 1"},
		{"a name that is not ASCII", g, `{"url":"http://a.example","headers":{"é":"` + canary + `"}}`, "name of header number 1"},
		{"a value with a line break", g, `{"url":"http://a.example","headers":{"x-a":"` + canary + `\r\nHost: x"}}`, "the header x-a has a line break"},
		{"a value with LF", g, `{"url":"http://a.example","headers":{"x-a":"` + canary + `\nb"}}`, "the header x-a has a line break"},
		{"a value with NUL", g, `{"url":"http://a.example","headers":{"x-a":"` + canary + `\u0000b"}}`, "the header x-a has a line break"},
		{"a value with DEL", g, `{"url":"http://a.example","headers":{"x-a":"` + canary + `\u007fb"}}`, "the header x-a has a line break"},
		{"injection by a header we leave out", g, `{"url":"http://a.example","headers":{"host":"` + canary + `\r\nb"}}`, "the header host has a line break"},
		{"many headers", g, string(tooMany), "there are 101 headers"},
		{"a large header", g, `{"url":"http://a.example","headers":{"x-a":"` + long(MaxHeaderBytes) + `"}}`, "headers have more than"},
		{"a large name", g, `{"url":"http://a.example","headers":{"` + long(MaxHeaderBytes+1) + `":""}}`, "headers have more than"},
		{"a large body", g, `{"url":"http://a.example","body":"` + long(MaxBodyBytes+1) + `"}`, "the body has"},
		{"a body that is no text", g, `{"url":"http://a.example","body":{"a":"` + canary + `"}}`, "option body is not a text"},

		{"a large body for AI", ai, `{"url":"http://a.example","body":"` + long(MaxBodyBytes) + `"}`, "the body has"},
		{"a key with a line break", ai, `{"url":"http://a.example","auth_key":"` + canary + `\r\nX: y"}`, "auth_key has a line break"},
		{"a key that is no text", ai, `{"url":"http://a.example","auth_key":{"k":"` + canary + `"}}`, "option auth_key is not a text"},
		{"a format that is no text", ai, `{"url":"http://a.example","format":7,"auth_key":"` + canary + `"}`, "option format is not a text"},
		{"a large key", ai, `{"url":"http://a.example","auth_key":"` + long(MaxHeaderBytes+1) + `"}`, "auth_key have more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tt.op, []byte(tt.opts))
			var failed *Error
			require.ErrorAs(t, err, &failed)
			require.ErrorContains(t, err, tt.want)
			require.True(t, failed.NoRetry)
			require.NotContains(t, err.Error(), canary)
			require.NotContains(t, string(failed.Memo()), canary)
			require.Contains(t, string(failed.Memo()), `"data":null`)
			require.Less(t, len(err.Error()), 300)
			require.NotContains(t, string(Redact(tt.op, []byte(tt.opts[:min(len(tt.opts), 1<<16)]))), "CANARY@")
		})
	}
}

func TestRequestsPrintNoSecrets(t *testing.T) {
	t.Parallel()
	r := parsed(t, wire.OpAIGateway, `{"url":"https://a.example/`+canary+`?key=`+canary+`","auth_key":"`+canary+`","headers":{"x-`+canary+`":"`+canary+`"},"body":"`+canary+`"}`)
	var log bytes.Buffer
	l := slog.New(slog.NewJSONHandler(&log, nil))
	l.Info("request", "request", r, "pointer", &r, "in", struct{ R Request }{r})
	marshalled, _ := json.Marshal(r)
	for _, s := range []string{
		log.String(), string(marshalled), r.String(), fmt.Sprint(r), fmt.Sprintf("%v %+v %#v %s %q %x %d", r, r, r, r, r, r, r),
		fmt.Sprintf("%+v %#v", []Request{r}, &r), fmt.Sprintf("%+v", struct{ R Request }{r}),
	} {
		require.NotContains(t, s, canary)
		require.NotContains(t, s, "CANARY")
	}
	require.Equal(t, "POST https://a.example", fmt.Sprintf("%+v", r))
	require.Empty(t, Request{}.String())
}

// FuzzParse: what is accepted is within the limits, and becomes exactly one
// request with the headers that were asked for.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"url":"https://example.com/x?y=1","method":"POST","headers":{"x-a":"b"},"body":"{\"a\":1}"}`,
		`{"type":"step.ai.infer","url":"https://api.openai.com/v1/chat/completions","auth_key":"sk-1","format":"openai-chat","headers":{},"body":{"messages":[{"role":"user","content":"hi"}],"model":"gpt-4o"}}`,
		`{"url":"https://g.example/m?key=abc#f","auth_key":"a b","format":"gemini","body":null}`,
		`{"url":"http://a.example/\u2028?q=\u0080","headers":{"a":"b\r\nc: d","Content-Length":"5","X-\u017f":"v"},"method":"G\tT"}`,
		`{"url":"http://[::1%25lo]:80/%2f..//","headers":{"X":"\u00e9 \ud83d"},"method":"PROPFIND"}`,
		`{"url":"http://u:p@h"}`, `{"url":"http://é.example:/"}`, `null`, `{"auth_key":"x","format":"bedrock","url":"HTTP://H"}`,
	} {
		f.Add(true, []byte(s))
		f.Add(false, []byte(s))
	}
	f.Fuzz(func(t *testing.T, ai bool, opts []byte) {
		op := wire.OpGateway
		if ai {
			op = wire.OpAIGateway
		}
		redacted := Redact(op, opts)
		require.NoError(t, wire.CheckJSON(redacted))
		require.Equal(t, string(redacted), string(Redact(op, redacted)), "what is redacted stays as it is")
		r, err := Parse(op, opts)
		if err != nil {
			var failed *Error
			require.ErrorAs(t, err, &failed)
			require.NoError(t, wire.CheckJSON(failed.Memo()))
			return
		}
		require.Nil(t, r.url.User)
		require.Contains(t, []string{"http", "https"}, r.url.Scheme)
		require.LessOrEqual(t, len(r.header), MaxHeaders+2)
		req, err := r.http(t.Context())
		require.NoError(t, err)
		var sent bytes.Buffer
		if err := req.Write(&sent); err != nil {
			return // net/http knows better, and sent nothing
		}
		from := bufio.NewReader(&sent)
		got, err := http.ReadRequest(from)
		if err != nil {
			// A method or a host that only a server may refuse; but never two requests.
			require.NotContains(t, sent.String(), "\r\n\r\n\r\n")
			return
		}
		body, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		require.Equal(t, string(r.body), string(body))
		require.Zero(t, from.Buffered(), "one request")
		require.Equal(t, r.method, got.Method)
		for name, values := range req.Header {
			require.Equal(t, values, got.Header[name], name)
		}
		for name := range got.Header {
			require.True(t, req.Header[name] != nil || name == "Content-Length", name)
		}
	})
}

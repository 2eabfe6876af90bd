package wire

import (
	"net/http"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

func TestReadEndpoint(t *testing.T) {
	t.Parallel()
	e, err := ReadEndpoint(jsontext.Value(`{"name":"inngest/http.request","data":{"content_type":"application/json","domain":"http://localhost:3113",
		"ip":"","method":"post","path":"/trips/a%20b","query_params":"q=1&q=2","body":"{\"in\":1}","fn":"book"}}`))
	require.NoError(t, err)
	require.Equal(t, "http://localhost:3113/trips/a%20b?q=1&q=2", e.URL.String())
	require.Equal(t, "POST", e.Method)
	require.Equal(t, `{"in":1}`, string(e.Body))
	require.Equal(t, "book", e.Name)
	require.False(t, e.Go)

	e, err = ReadEndpoint(jsontext.Value(`{"name":"http/run.started","data":{"domain":"shop.example.com","method":"PUT","path":"","body":"AAH/"}}`))
	require.NoError(t, err)
	require.Equal(t, "http://shop.example.com/", e.URL.String())
	require.Equal(t, []byte{0, 1, 255}, e.Body, "the Go SDK sends bytes")
	require.True(t, e.Go)

	e, err = ReadEndpoint(jsontext.Value(`{"name":"http/run.started","data":{"domain":"http://a","method":"POST","path":"/","body":null}}`))
	require.NoError(t, err)
	require.Empty(t, e.Body, "the handler had read it")
}

func TestReadEndpointRefuses(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"domain":"http://a","path":"/"}`:                                                "method",
		`{"domain":"http://a","method":"A B","path":"/"}`:                                 "method",
		`{"domain":"","method":"GET","path":"/"}`:                                         "domain",
		`{"domain":"file:///etc/passwd","method":"GET","path":"/"}`:                       "domain",
		`{"domain":"http://u:p@a","method":"GET","path":"/"}`:                             "domain",
		`{"domain":"http://a","method":"GET","path":"@b/"}`:                               "path",
		`{"domain":"http://a","method":"GET","path":".b/"}`:                               "path",
		`{"domain":"http://a","method":"GET","path":"/","query_params":"a b"}`:            "query",
		`{"domain":"http://a","method":"GET","path":"/","content_type":"a\r\nX-Evil: 1"}`: "content_type",
		`{"domain":"http://a","method":"GET","path":"/","body":{"a":1}}`:                  "body",
	} {
		_, err := ReadEndpoint(jsontext.Value(`{"name":"inngest/http.request","data":` + data + `}`))
		require.ErrorContains(t, err, want, data)
	}
	_, err := ReadEndpoint(jsontext.Value(`{"name":"http/run.started","data":{"domain":"http://a","method":"GET","path":"/","body":"{}"}}`))
	require.ErrorContains(t, err, "base64")
	_, err = ReadEndpoint(jsontext.Value(`{"name":"shop/paid","data":{}}`))
	require.ErrorIs(t, err, ErrNoRequest)
}

func TestResponseSurvivesAsAResult(t *testing.T) {
	t.Parallel()
	for _, body := range [][]byte{nil, []byte("hello"), []byte("{\"a\": \"\\u00e4\"}\n"), {0xff, 0xfe, 0}} {
		in := Response{201, http.Header{
			"Content-Type": {"text/plain"}, "Set-Cookie": {"a=1", "b=2"}, "Connection": {"close"}, "Content-Length": {"5"}, "X-Inngest-Sdk": {"go:0.16.0"},
		}, body}
		out, ok := ParseResponse(in.JSON())
		require.True(t, ok)
		require.Equal(t, 201, out.Status)
		require.Equal(t, http.Header{"Content-Type": {"text/plain"}, "Set-Cookie": {"a=1", "b=2"}}, out.Header)
		require.Equal(t, string(body), string(out.Body))
	}
	for _, other := range []string{`null`, `{"status":200}`, `{"body":"x"}`, `{"status":99,"body":"x"}`, `{"status":200,"body":{}}`, `[1]`} {
		_, ok := ParseResponse(jsontext.Value(other))
		require.False(t, ok, other)
	}
}

func TestGoEndpointAnswers(t *testing.T) {
	t.Parallel()
	sdk := http.Header{"X-Inngest-Sdk": {"go:0.16.0"}, "Content-Type": {"text/plain"}}
	read := func(status int, h http.Header, body string) Answer {
		return ReadEndpointAnswer(Endpoint{Go: true}, false, status, h, []byte(body), time.Now())
	}
	a := read(206, sdk, `[{"id":"0123456789012345678901234567890123456789","op":"StepRun","data":1}]`)
	require.Equal(t, Progress, a.Kind)
	require.Len(t, a.Ops, 1)
	for _, status := range []int{200, 206, 302, 404, 503} {
		a = read(status, sdk, "as the handler wrote it")
		require.Equal(t, Returned, a.Kind)
		r, ok := ParseResponse(a.Output)
		require.True(t, ok)
		require.Equal(t, status, r.Status)
		require.Equal(t, "as the handler wrote it", string(r.Body))
	}
	require.Equal(t, Failed, read(200, http.Header{}, "a proxy's page").Kind, "no SDK wrote it")
}

// TestRefusalOfAFirstRequest: what an app, or what is before it, says of a request that
// no SDK has seen is the client's answer, if it is about the request.
func TestRefusalOfAFirstRequest(t *testing.T) {
	for _, tt := range []struct {
		first  bool
		status int
		header http.Header
		want   AnswerKind
	}{
		{true, 404, nil, Returned},
		{true, 400, nil, Returned},
		{true, 401, nil, Returned},
		{true, 405, http.Header{"Allow": {"GET"}}, Returned},
		{true, 499, nil, Returned},
		{true, 401, headers(HeaderSDKHandled, "true"), Failed},
		{true, 407, nil, Failed},
		{true, 408, nil, Failed},
		{true, 421, nil, Failed},
		{true, 423, nil, Failed},
		{true, 425, nil, Failed},
		{true, 429, nil, Failed},
		{true, 500, nil, Failed},
		{true, 302, nil, Failed},
		{true, 200, nil, Failed},
		{true, 400, headers(HeaderSDK, "inngest-js:v4.24.0"), Failed},
		{false, 404, nil, Failed},
	} {
		a := ReadEndpointAnswer(Endpoint{}, tt.first, tt.status, tt.header, []byte("no"), time.Now())
		if a.Kind != tt.want {
			t.Errorf("first %v, %d %v: %v, want %v", tt.first, tt.status, tt.header, a.Kind, tt.want)
		}
		if tt.want != Returned {
			continue
		}
		r, ok := ParseResponse(a.Output)
		if !ok || r.Status != tt.status || string(r.Body) != "no" || r.Header.Get("Allow") != tt.header.Get("Allow") {
			t.Errorf("%d: the response is kept as %+v", tt.status, r)
		}
	}
}

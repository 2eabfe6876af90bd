package egress

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/wire"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, op, opts, want string }{
		{
			"an inference", wire.OpAIGateway,
			`{"type":"step.ai.infer","url":"https://api.openai.com/v1","auth_key":"sk-123456","format":"openai-chat","headers":{"anthropic-version":"1"},"body":{"max_tokens":10,"key":"piano"}}`,
			`{"type":"step.ai.infer","url":"https://api.openai.com/v1","auth_key":"***","format":"openai-chat","headers":{"anthropic-version":"1"},"body":{"max_tokens":10,"key":"piano"}}`,
		},
		{
			"Gemini", wire.OpAIGateway, `{"url":"https://g.example/m:generateContent?key=sk-123456","auth_key":"sk-123456"}`,
			`{"url":"https://g.example/m:generateContent?key=***","auth_key":"***"}`,
		},
		{
			"Azure", wire.OpAIGateway, `{"url":"https://a.example/?api-version=1","headers":{"api-key":"sk-123456","Content-Type":"application/json"}}`,
			`{"url":"https://a.example/?api-version=1","headers":{"api-key":"***","Content-Type":"application/json"}}`,
		},
		{
			"a fetch", wire.OpGateway, `{"url":"https://a.example/x?y=1","method":"POST","headers":{"x-a":"b"},"body":"{\"a\":1}"}`,
			`{"url":"https://a.example/x?y=1","method":"POST","headers":{"x-a":"b"},"body":"{\"a\":1}"}`,
		},
		{
			"headers", wire.OpGateway,
			`{"url":"http://a.example","headers":{"authorization":"Bearer abcdef","X-API-Key":"k","cookie":"a=b","x-csrf-token":"1","Idempotency-Key":"order-1","x-up":"basic dTpw","accept":"*/*"}}`,
			`{"url":"http://a.example","headers":{"authorization":"***","X-API-Key":"***","cookie":"***","x-csrf-token":"***","Idempotency-Key":"order-1","x-up":"***","accept":"*/*"}}`,
		},
		{
			"a URL in a header", wire.OpGateway, `{"url":"http://a.example","headers":{"referer":"https://b.example/?token=abcdef&p=2"}}`,
			`{"url":"http://a.example","headers":{"referer":"https://b.example/?token=***&p=2"}}`,
		},
		{
			"a secret that stands elsewhere too", wire.OpGateway,
			`{"url":"http://a.example/abcdef/x","headers":{"authorization":"Bearer abcdef"},"body":"token abcdef, abcdeg","n":[1.50,{"deep":"x-abcdef-x"}]}`,
			`{"url":"http://a.example/***/x","headers":{"authorization":"***"},"body":"token ***, abcdeg","n":[1.50,{"deep":"x-***-x"}]}`,
		},
		{
			"options we do not know", wire.OpGateway, `{"url":"http://a.example","proxy":{"host":"p","proxyPassword":"abcdef"},"clientSecret":["abcdef"],"n":1,"null_token":null,"empty_token":""}`,
			`{"url":"http://a.example","proxy":{"host":"p","proxyPassword":"***"},"clientSecret":"***","n":1,"null_token":null,"empty_token":""}`,
		},
		{"headers in another form", wire.OpGateway, `{"url":"http://a.example","headers":[["authorization","abcdef"]]}`, `{"url":"http://a.example","headers":"***"}`},
		{"a URL in another form", wire.OpGateway, `{"url":["http://a.example?key=abcdef"]}`, `{"url":"***"}`},
		{"deep", wire.OpGateway, `{"a":{"a":{"a":{"a":{"token":"abcdef"}}}}}`, `{"a":{"a":{"a":{"a":"***"}}}}`},
		{"a secret of many words", wire.OpGateway, `{"headers":{"x-session-note":"` + strings.Repeat("word ", 600) + `"}}`, `{"headers":{"x-session-note":"***"}}`},
		{"no object", wire.OpGateway, `"abcdef"`, unreadable},
		{"no JSON", wire.OpGateway, `{"auth_key":"abcdef"`, unreadable},
		{"a name twice", wire.OpAIGateway, `{"auth_key":"abcdef","auth_key":"abcdeg"}`, unreadable},
		{"nothing", wire.OpGateway, ``, unreadable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, string(Redact(tt.op, []byte(tt.opts))))
			require.Equal(t, tt.want, string(Redact(tt.op, []byte(tt.want))))
		})
	}
}

func TestRedactURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://a.example/x?y=1":                             "https://a.example/x?y=1",
		"https://u:abcdef@a.example/x":                        "https://a.example/x",
		"https://abcdef@a.example/abcdef":                     "https://a.example/abcdef",
		"https://a.example/?key=abcdef&z=1":                   "https://a.example/?key=***&z=1",
		"https://a.example/?api_key=abcdef":                   "https://a.example/?api_key=***",
		"https://a.example/?API-KEY=abcdef":                   "https://a.example/?API-KEY=***",
		"https://a.example/?%61pi_key=abcdef":                 "https://a.example/?%61pi_key=***",
		"https://a.example/?access_token=abcdef;b=2":          "https://a.example/?access_token=***&b=2",
		"https://a.example/?X-Amz-Signature=a&X-Amz-Date=d":   "https://a.example/?X-Amz-Signature=***&X-Amz-Date=d",
		"https://a.example/?sv=2022&sig=abc%2Fdef":            "https://a.example/?sv=2022&sig=***",
		"https://a.example/?authKey=a&monkey=b&appid=c":       "https://a.example/?authKey=***&monkey=b&appid=***",
		"https://a.example/?code=abcdef&country_code=de":      "https://a.example/?code=***&country_code=de",
		"https://a.example/?debug":                            "https://a.example/?debug",
		"https://a.example/?0123456789abcdef0123456789abcdef": "https://a.example/?***",
		"https://a.example/?%zz=abcdef":                       "https://a.example/?***=***",
		"https://a.example/#access_token=abcdef":              "https://a.example/",
		"abcdef":                                              "***",
		"http://a b/?key=abcdef":                              "***",
		"http:u:abcdef@b":                                     "***",
	} {
		require.Equal(t, want, RedactURL(in), in)
	}
}

// Whatever the place of a secret, no form of the opts that may be shown has it.
func TestCanariesAreNotInRedactedOpts(t *testing.T) {
	t.Parallel()
	for _, opts := range []string{
		`{"url":"https://a.example","auth_key":"%"}`,
		`{"url":"https://a.example","auth_key":"%","body":{"note":"my key is %."}}`,
		`{"url":"https://a.example/v1?key=%","auth_key":"%"}`,
		`{"url":"https://a.example/%?key=%"}`,
		`{"url":"https://u:%@a.example/"}`,
		`{"url":"https://%@a.example/"}`,
		`{"url":"https://a.example/?a=1&token=%#%"}`,
		`{"url":"https://a.example/","headers":{"Authorization":"Bearer %","x-echo":"%"}}`,
		`{"url":"https://a.example/","headers":{"cookie":"sid=%"}}`,
		`{"url":"https://a.example/","headers":{"x-api-key":"%"},"body":"{\"k\":\"%\"}"}`,
		`{"url":"https://a.example/","headers":{"x-api-key":["%"]}}`,
		`{"url":"https://a.example/","headers":"x-api-key: %"}`,
		`{"url":"%"}`, `{"url":"http://[%"}`, `"%"`, `%`, `{"auth_key":{"a":"%"}}`, `{"auth_key":"%","auth_key":"%"}`,
	} {
		opts = strings.ReplaceAll(opts, "%", canary)
		for _, op := range []string{wire.OpGateway, wire.OpAIGateway} {
			require.NotContains(t, string(Redact(op, []byte(opts))), canary, opts)
		}
	}
}

// Opts that are made to be expensive cost about as much as others of their size.
func TestRedactIsNotExpensive(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", 4<<20)
	var names strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&names, `"token%d":"secret%d",`, i, i)
	}
	for name, opts := range map[string]string{
		"a long query":    `{"url":"https://a.example/?` + strings.Repeat("key=abcdef&", 300_000) + `","body":"` + text + `"}`,
		"many secrets":    `{` + names.String() + `"body":"` + text + `"}`,
		"deep":            strings.Repeat(`{"a":`, 900) + `"` + text + `"` + strings.Repeat(`}`, 900),
		"many headers":    `{"headers":{` + strings.TrimSuffix(names.String(), ",") + `},"body":"` + text + `"}`,
		"nothing to hide": `{"body":"` + text + `"}`,
	} {
		before := time.Now()
		Redact(wire.OpGateway, []byte(opts))
		require.Less(t, time.Since(before), 20*time.Second, name) // each takes well under a second; quadratic is minutes
	}
}

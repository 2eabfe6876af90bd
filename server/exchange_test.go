package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/redact"
)

// tape is an app that fails, and keeps what it was sent.
type tape struct {
	mu   sync.Mutex
	sent []string
}

func (a *tape) answer(with func() *http.Response) app {
	return func(r *http.Request) *http.Response {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.sent = append(a.sent, string(body))
		if len(a.sent) == 1 {
			return sdk(206, `[{"op":"StepRun","id":"aaaa","displayName":"one","data":{"n":1.0}}]`)
		}
		return with()
	}
}

func (f *fixture) exchange(run, step string) exchangeView {
	f.t.Helper()
	v := data[stepView](f.t, f.get("/v1/runs/"+run+"/steps/"+step))
	last := v.Attempts[len(v.Attempts)-1]
	require.True(f.t, last.Exchange)
	return data[exchangeView](f.t, f.get(fmt.Sprintf("/v1/runs/%s/exchanges/%d", run, last.Seq)))
}

// What is shown of a try that failed is what the app was sent, byte by byte, though
// the store keeps no copy of it, and what the app answered.
func TestExchange(t *testing.T) {
	t.Parallel()
	var a tape
	f := newFixture(t, withApp(a.answer(func() *http.Response {
		res := sdk(400, `{"name":"Declined","message":"no","stack":"pay.ts:7"}`)
		res.Header.Set("Set-Cookie", "session=SECRET")
		res.Header.Set("X-Trace", "t-1")
		return res
	})))
	f.register()
	run := f.ended(`{"name":"order/paid","data":{"cents":12345678901234567890}}`).RunID
	x := f.exchange(run, bodyWord)
	require.True(t, x.Request.Exact)
	require.Equal(t, a.sent[1], x.Request.Body)
	require.Equal(t, len(a.sent[1]), x.Request.Bytes)
	require.Equal(t, http.MethodPost, x.Request.Method)
	require.Equal(t, run, x.Request.Headers["X-Run-Id"])
	require.Equal(t, 400, x.Answer.Status)
	require.Contains(t, x.Answer.Body, "pay.ts:7")
	require.Equal(t, "t-1", x.Answer.Headers["X-Trace"])
	require.NotContains(t, fmt.Sprint(x), "SECRET")
	for _, n := range []string{"1", "99", "x", "-1"} {
		require.Contains(t, wantRefusal(t, f.get("/v1/runs/"+run+"/exchanges/"+n), http.StatusNotFound), "not kept")
	}

	// When the function has changed since, the page says that the body may differ.
	w := f.post("/fn/register", strings.ReplaceAll(registration, `{"attempts":0}`, `{"attempts":9}`))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	x = f.exchange(run, bodyWord)
	require.False(t, x.Request.Exact)
	require.NotEmpty(t, x.Request.Body)
}

// What an app answers is kept up to a bound, and when rules of redaction hold, half a
// document is not shown: its members cannot be found.
func TestExchangeIsBoundedAndRedacted(t *testing.T) {
	t.Parallel()
	large := `{"card":"4111","pad":"` + strings.Repeat("x", 100<<10) + `"}`
	for name, rules := range map[string][]string{"without rules": nil, "with rules": {"card"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := []string{large, `{"name":"E","message":"no","card":"4111"}`}
			for _, answer := range answers {
				var a tape
				parsed, err := redact.Parse(rules)
				require.NoError(t, err)
				f := newFixture(t, withApp(a.answer(func() *http.Response { return sdk(400, answer) })), func(c *Config, _ *engineConfig) { c.Redact = parsed })
				f.register()
				x := f.exchange(f.ended(`{"name":"order/paid","data":{"card":"4111"}}`).RunID, bodyWord)
				require.Equal(t, len(answer), x.Answer.Bytes)
				require.Less(t, len(x.Answer.Body), 17<<10)
				if rules != nil {
					b, err := json.Marshal(x)
					require.NoError(t, err)
					require.NotContains(t, string(b), "4111")
				} else if answer == large {
					require.Contains(t, x.Answer.Body, "4111")
					require.Contains(t, x.Answer.LeftOut, "after the first 16384 bytes")
				}
			}
		})
	}
}

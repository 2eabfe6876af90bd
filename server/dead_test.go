package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// refuses is an app whose function fails for good, with a message that holds
// the run's id.
func refuses(r *http.Request) *http.Response {
	resp := sdk(400, fmt.Sprintf(`{"name":"StripeError","message":"stripe: 503 for %s","stack":"at charge (pay.ts:7:9)"}`, r.Header.Get("X-Run-Id")))
	resp.Header.Set("X-Inngest-No-Retry", "true")
	return resp
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(refuses))
	f.register()
	var runs []string
	for i := range 3 {
		runs = append(runs, f.ended(fmt.Sprintf(`{"name":"order/paid","data":{"n":%d}}`, i)).RunID)
	}
	list := data[[]letterView](t, f.get("/v1/dead-letters"))
	require.Len(t, list, 3)
	l := list[0]
	require.Equal(t, runs[2], l.RunID, "newest first")
	require.Equal(t, "shop-charge", l.Function)
	require.Equal(t, "order/paid", l.EventName)
	require.Equal(t, "error", string(l.Class), "no try was left anyway")
	require.Equal(t, "its only try failed", l.Reason)
	require.Contains(t, l.Title, "StripeError: stripe: 503 for")
	require.Equal(t, "open", l.State)
	require.Equal(t, 1, l.Attempts)
	require.Equal(t, list[1:2], data[[]letterView](t, f.get("/v1/dead-letters?limit=1&cursor="+l.RunID)))
	require.Empty(t, data[[]letterView](t, f.get("/v1/dead-letters?cursor="+runs[0])))
	require.Len(t, data[[]letterView](t, f.get("/v1/dead-letters?function=shop-charge&class=error&state=all&fingerprint="+l.Fingerprint)), 3)
	for _, none := range []string{"state=retried", "class=crash", "function=x", "fingerprint=x", "failed_before=2020-01-01T00:00:00Z", "failed_after=2100-01-01T00:00:00Z"} {
		require.Empty(t, data[[]letterView](t, f.get("/v1/dead-letters?"+none)), none)
	}

	groups := data[[]letterGroupView](t, f.get("/v1/dead-letters/groups"))
	require.Len(t, groups, 1, "they look alike")
	require.Equal(t, 3, groups[0].Open)
	require.Equal(t, l.Fingerprint, groups[0].Fingerprint)
	require.Equal(t, runs[2], groups[0].NewestRun)
	require.Empty(t, data[[]letterGroupView](t, f.get("/v1/dead-letters/groups?cursor="+groups[0].Cursor)))
	require.Empty(t, data[[]letterGroupView](t, f.get("/v1/dead-letters/groups?class=crash&state=all")))

	d := data[letterDetail](t, f.get("/v1/dead-letters/"+runs[1]))
	require.Equal(t, runs[1], d.Run.RunID)
	require.JSONEq(t, `{"n":1}`, string(d.Event.Data))
	require.Equal(t, 3, d.Group.Open)
	require.Len(t, d.Steps, 1)
	require.Contains(t, string(d.Steps[0].Attempts[0].Error), "pay.ts:7:9", "where it failed")
}

func TestNoDeadLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	run := f.ended(`{"name":"order/paid"}`).RunID
	for _, id := range []string{run, "x", strings.Repeat("x", 500)} {
		require.Contains(t, wantRefusal(t, f.get("/v1/dead-letters/"+id), http.StatusNotFound), "There is no dead letter of run ")
	}
	for _, query := range []string{
		"?limit=0", "?limit=201", "?state=lost", "?class=bad", "?failed_after=yesterday", "?cursor=x", "/groups?state=retried", "/groups?class=bad", "/groups?limit=x",
	} {
		wantRefusal(t, f.get("/v1/dead-letters"+query), http.StatusBadRequest)
	}
	for _, query := range []string{"?cursor=" + run, "/groups?cursor=x"} {
		require.Contains(t, wantRefusal(t, f.get("/v1/dead-letters"+query), http.StatusNotFound), "cursor must be")
	}
}

package server

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/redact"
)

func TestPauseAndLimits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.register()
	ok := func(w *httptest.ResponseRecorder) {
		t.Helper()
		require.Equal(t, http.StatusOK, w.Code)
	}
	ok(f.post("/v1/functions/shop-charge/pause", `{"reason":"too much"}`))
	ok(f.do(request{method: "PUT", path: "/v1/functions/shop-charge/limits", body: `{"limits":{"concurrency":2}}`}))
	ok(f.post("/v1/apps/shop/pause", `{"hold":"all"}`))
	controls := data[[]controlView](t, f.get("/v1/controls"))
	require.Len(t, controls, 2)
	require.Equal(t, "app/shop", controls[0].Name)
	require.Equal(t, "all", controls[0].Paused)
	require.Equal(t, "starts", controls[1].Paused)
	require.JSONEq(t, `{"concurrency":2}`, string(controls[1].Limits))
	require.Contains(t, controls[1].By, "dev from ")
	ok(f.post("/v1/functions/shop-charge/resume", `{}`))
	ok(f.post("/v1/apps/shop/resume", `{}`))
	ok(f.do(request{method: "PUT", path: "/v1/functions/shop-charge/limits", body: `{"limits":null}`}))
	require.Empty(t, data[[]controlView](t, f.get("/v1/controls")))
	acts := data[[]actView](t, f.get("/v1/audit?object=shop-charge"))
	require.Len(t, acts, 4)
	require.Equal(t, "limit", acts[0].What)
	require.Equal(t, "pause", acts[3].What)
	require.Contains(t, string(acts[3].Detail), "too much")

	for _, tt := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/v1/functions/shop-none/pause", `{}`, http.StatusNotFound, "there is no function shop-none"},
		{"POST", "/v1/apps/none/resume", `{}`, http.StatusNotFound, "there is no app app/none"},
		{"POST", "/v1/functions/shop-charge/pause", `{"hold":"some"}`, http.StatusBadRequest, "hold must be starts or all"},
		{"POST", "/v1/functions/shop-charge/pause", `[`, http.StatusBadRequest, "JSON"},
		{"PUT", "/v1/functions/shop-charge/limits", `{}`, http.StatusBadRequest, "limits is required"},
		{"PUT", "/v1/functions/shop-charge/limits", `{"limits":{"retries":1}}`, http.StatusBadRequest, "retries cannot be changed live"},
		{"PUT", "/v1/functions/shop-charge/limits", `{"limits":{"concurrency":"x"}}`, http.StatusBadRequest, "concurrency"},
	} {
		w := f.do(request{method: tt.method, path: tt.path, body: tt.body})
		require.Contains(t, wantRefusal(t, w, tt.status), tt.says, tt.path)
	}
}

// pausedKey has shop-charge limited by a key, and paused for values of it.
func (f *fixture) pausedKey(key string, values ...string) {
	f.t.Helper()
	w := f.do(request{method: "PUT", path: "/v1/functions/shop-charge/limits", body: `{"limits":{"concurrency":{"limit":5,"key":` + strconv.Quote(key) + `}}}`})
	require.Equal(f.t, http.StatusOK, w.Code, w.Body)
	for _, value := range values {
		w := f.post("/v1/functions/shop-charge/pause", `{"key":`+strconv.Quote(key)+`,"value":"`+value+`","reason":"does not pay","refuse":true}`)
		require.Equal(f.t, http.StatusOK, w.Code, w.Body)
	}
}

func TestPausedKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.register()
	const key = "event.data.customer"
	f.pausedKey(key, "c42", strings.Repeat("é", 500))
	paused := func() (list []controlView) {
		for _, c := range data[[]controlView](t, f.get("/v1/controls")) {
			if c.Paused != "" {
				list = append(list, c)
			}
		}
		return list
	}
	for _, c := range paused() {
		require.Equal(t, "shop-charge", c.Name)
		require.Equal(t, key, c.Key)
		require.True(t, c.Refuse)
	}
	const resume = "/v1/functions/shop-charge/resume"
	said := data[resumedView](t, f.post(resume, `{}`))
	require.False(t, said.Resumed)
	require.Contains(t, said.Note, "not paused as a whole, but for 2 values of its keys")
	said = data[resumedView](t, f.post(resume, `{"key":"`+key+`","value":"c43"}`))
	require.Equal(t, resumedView{OK: true, Note: "shop-charge is not paused for that value of " + key}, said)
	require.Len(t, paused(), 2)

	require.Equal(t, http.StatusOK, f.post("/v1/functions/shop-charge/pause", `{"reason":"repair"}`).Code)
	list := data[overviewView](t, f.get("/v1/overview")).Attention
	require.Len(t, list, 3)
	require.Equal(t, "shop-charge is paused", list[0].Title, "the whole comes first")
	require.Empty(t, list[0].Key)
	for _, a := range list[1:] {
		require.Equal(t, "shop-charge", a.Name, "which the page of the function has")
		require.Equal(t, key, a.Key)
		require.Equal(t, "does not pay", a.Text)
		require.Less(t, len(a.Title), 200)
		require.NotContains(t, a.Title, "#")
	}
	require.Contains(t, []string{list[1].Title, list[2].Title}, "shop-charge is paused for "+key+" = c42")

	require.Equal(t, resumedView{OK: true, Resumed: true}, data[resumedView](t, f.post(resume, `{"key":"`+key+`","value":"c42"}`)))
	require.False(t, data[resumedView](t, f.post(resume, `{"key":"`+key+`","value":"c42"}`)).Resumed, "asked again, it is as it was wanted")
	require.Len(t, paused(), 2, "the whole, and the other value")
	require.Equal(t, http.StatusOK, f.post(resume, `{}`).Code)
	require.Len(t, paused(), 1)
}

// A value that a pattern finds is told as a digest, which stands for it.
func TestPausedValueThatAPatternFinds(t *testing.T) {
	t.Parallel()
	rules, err := redact.Parse([]string{`pattern:sk_live_\w+`})
	require.NoError(t, err)
	f := newFixture(t, func(c *Config, e *engine.Config) { c.Redact, e.Clean, e.Hides = rules, rules.Text, rules.Reads })
	f.register()
	f.pausedKey("event.data.note", "sk_live_abc", "harmless")
	var digest string
	for _, c := range data[[]controlView](t, f.get("/v1/controls")) {
		if c.Paused != "" && c.Value != "harmless" {
			digest = c.Value
		}
	}
	require.Regexp(t, `^redacted:[0-9a-f]{16}$`, digest)
	require.True(t, data[resumedView](t, f.post("/v1/functions/shop-charge/resume", `{"key":"event.data.note","value":"`+digest+`"}`)).Resumed)
	require.NotContains(t, f.get("/v1/controls").Body.String(), "redacted")
}

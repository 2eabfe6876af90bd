package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
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

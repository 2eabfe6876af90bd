package server

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

// keyRule has an operator say what becomes of a start of shop-charge without a key.
func (f *fixture) keyRule(rule string) {
	f.t.Helper()
	w := f.do(request{method: "PUT", path: "/v1/functions/shop-charge/limits", body: `{"limits":{"idempotencyKey":"` + rule + `"},"reason":"test"}`})
	require.Equal(f.t, http.StatusOK, w.Code, w.Body)
}

// TestStartsWithoutTheKeyThatIsRequired is F-36, through HTTP.
func TestStartsWithoutTheKeyThatIsRequired(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	f.keyRule("required")

	const v2 = "/v2/apps/shop/functions/charge/invoke"
	w := f.post("/invoke/shop-charge", `{"data":{"n":1}}`)
	require.Contains(t, wantRefusal(t, w, http.StatusBadRequest), "function shop-charge starts only for an idempotency key")
	require.Contains(t, w.Body.String(), `"code":"idempotency_key_required"`)
	require.Contains(t, wantRefusalV2(t, f.post(v2, `{"data":{"n":1}}`), http.StatusBadRequest, codeNoKey), "shop-charge")
	runs, _ := dataV2[[]runV2](t, f.get("/v2/runs"))
	require.Empty(t, runs, "nothing is written")
	status, _, answer := f.keyed("/invoke/shop-charge", "k1", `{"data":{"n":1}}`)
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, http.StatusOK, f.post(v2, `{"data":{"n":1},"idempotencyKey":"k2"}`).Code)

	event := f.send(`{"name":"order/paid","data":{"n":1}}`)
	list := data[[]runView](t, f.get("/v1/events/"+event+"/runs"))
	require.Len(t, list, 1)
	require.Equal(t, "Skipped", list[0].Status)
	require.Contains(t, string(list[0].Output), "NoKey")
	require.Equal(t, "Completed", f.ended(`{"name":"order/paid","id":"order-1"}`).Status)

	apps := data[[]appView](t, f.get("/v1/apps"))
	require.Equal(t, "required", apps[0].Functions[0].NoKey)
	fn, _ := dataV2[functionV2](t, f.get("/v2/apps/shop/functions/charge"))
	require.Equal(t, "required", fn.Configuration.NoKey)
	require.Contains(t, f.get("/v1/controls").Body.String(), `"idempotencyKey":"required"`)
	wantRefusal(t, f.do(request{method: "PUT", path: "/v1/functions/shop-charge/limits", body: `{"limits":{"idempotencyKey":"x"}}`}), http.StatusBadRequest)
}

func TestInvocationsWithADerivedKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	f.keyRule("derived")
	first := f.post("/invoke/shop-charge", `{"data":{"n":1,"m":2}}`)
	require.Equal(t, http.StatusOK, first.Code, first.Body)
	again := f.post("/invoke/shop-charge", `{"data":{"m": 2,"n":1.0}}`)
	require.Equal(t, first.Body.String(), again.Body.String())
	require.Equal(t, "true", again.Header().Get(headerReplayed))
	require.NotEqual(t, first.Body.String(), f.post("/invoke/shop-charge", `{"data":{"n":2}}`).Body.String())

	const v2 = "/v2/apps/shop/functions/charge/invoke"
	one, _ := dataV2[invokedV2](t, f.post(v2, `{"data":{"n":7}}`))
	w := f.post(v2, `{"data":{"n":7}}`)
	require.Equal(t, "true", w.Header().Get(headerReplayed))
	two, _ := dataV2[invokedV2](t, w)
	require.Equal(t, one, two)

	a, b := f.send(`{"name":"order/paid","data":{"n":9}}`), f.send(`{"name":"order/paid","data":{"n":9}}`)
	require.Len(t, data[[]runView](t, f.get("/v1/events/"+a+"/runs")), 1)
	require.Empty(t, data[[]runView](t, f.get("/v1/events/"+b+"/runs")))
}

// TestEndpointsThatTakeAKey is F-36 for durable endpoints: asked at Pawl, and reported
// by an app in which the run has begun.
func TestEndpointsThatTakeAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int64
		f := fronting(t, func(*http.Request, string) *http.Response { return tsResponse(fmt.Sprint(ran.Add(1))) })
		ask := func(body string, header ...string) (int, string) {
			h := map[string]string{"Content-Type": "application/json"}
			for i := 0; i+1 < len(header); i += 2 {
				h[header[i]] = header[i+1]
			}
			w := f.ask(request{method: "POST", path: "/x/app/api/book", body: body, header: h})
			return w.Code, w.Body.String()
		}
		status, _ := ask(`{"n":1}`)
		require.Equal(t, 200, status)
		slug := f.eng.Functions("app")[0].Slug
		require.NoError(t, f.eng.SetLimits(t.Context(), slug, durable.JSON(`{"idempotencyKey":"required"}`), "test", ""))
		status, answer := ask(`{"n":1}`)
		require.Equal(t, 400, status)
		require.Contains(t, answer, `"code":"idempotency_key_required"`)
		require.Contains(t, answer, slug)
		require.EqualValues(t, 1, ran.Load(), "the endpoint is not asked")
		status, _ = ask(`{"n":1}`, headerKey, "k1")
		require.Equal(t, 200, status)

		event := `{"name":"inngest/http.request","data":{"body":"","content_type":"","domain":"http://app","fn":"","ip":"","method":"POST","path":"/api/book","query_params":""}}`
		begun := func(more string) (int, string) {
			w := f.post("/v1/http/runs", `{"run_id":"`+unknownRun+`","event":`+event+`,"steps":[]`+more+`}`)
			return w.Code, w.Body.String()
		}
		status, answer = begun("")
		require.Equal(t, 400, status, answer)
		require.Contains(t, answer, `"code":"idempotency_key_required"`)
		require.Contains(t, answer, "send the request to Pawl, at /x/", "which not every SDK passes on")
		require.Equal(t, 404, f.get("/v1/runs/"+unknownRun).Code, "nothing is written")
		status, answer = begun(`,"idempotency":"k9"`)
		require.Equal(t, 200, status, answer)

		require.NoError(t, f.eng.SetLimits(t.Context(), slug, durable.JSON(`{"idempotencyKey":"derived"}`), "test", ""))
		_, first := ask(`{"n":3}`)
		_, second := ask(`{"n":3}`)
		_, third := ask(`{"n":4}`)
		require.Equal(t, first, second, "one run, one answer")
		require.NotEqual(t, first, third)
		require.False(t, strings.Contains(first, "error"), first)
	})
}

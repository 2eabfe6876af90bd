package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCancelManyOverHTTP(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(r *http.Request) *http.Response {
		<-r.Context().Done() // until it is cancelled
		return sdk(200, `1`)
	}))
	f.register()
	runs := data[[]runView](t, f.get("/v1/events/"+f.send(`{"name":"order/paid","data":{"user":"1"}}`)+"/runs"))
	before := time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)
	c := data[cancellationView](t, f.post("/v1/cancellations",
		`{"app_id":"shop","function_id":"charge","started_after":"2020-01-01T00:00:00Z","started_before":"`+before+`","if":"event.data.user == '1'"}`))
	require.Equal(t, "shop-charge", c.FunctionID)
	require.Equal(t, runs[0].FunctionID, c.FunctionInternalID)
	require.NoError(t, f.eng.Await(t.Context(), runs[0].RunID, 1<<20))
	require.Equal(t, "Cancelled", data[runView](t, f.get("/v1/runs/"+runs[0].RunID)).Status)

	require.Equal(t, []cancellationView{c}, data[[]cancellationView](t, f.get("/v1/cancellations")))
	require.Empty(t, data[[]cancellationView](t, f.get("/v1/cancellations?cursor="+c.ID)))
	require.Equal(t, doneView{true}, data[doneView](t, f.do(request{method: "DELETE", path: "/v1/cancellations/" + c.ID})))
	require.Equal(t, "Cancellation not found: "+c.ID, wantRefusal(t, f.do(request{method: "DELETE", path: "/v1/cancellations/" + c.ID}), http.StatusNotFound))
	require.Equal(t, "Invalid cancellation ID: x", wantRefusal(t, f.do(request{method: "DELETE", path: "/v1/cancellations/x"}), http.StatusBadRequest))
}

func TestCancelManyRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.register()
	for body, says := range map[string]string{
		`{}`: "app_id is required\nfunction_id is required\nstarted_before is required",
		`{"app_id":"shop","function_id":"charge","started_before":"2999-01-01T00:00:00Z"}`:                                        "started_before must be in the past",
		`{"app_id":"shop","function_id":"charge","started_before":"2020-01-01T00:00:00Z","started_after":"2020-01-01T00:00:00Z"}`: "started_after must be before started_before",
		`{"app_id":"shop","function_id":"charge","started_before":"2020-01-01T00:00:00Z","if":"event.data.("}`:                    "invalid expression: error compiling expression: line 1",
		`{"app_id":"shop","function_id":"charge","started_before":"yesterday"}`:                                                   "started_before must be a time such as",
		`{"app_id":"shop","function_id":"charge","started_before":"2020-01-01T00:00:00Z","status":"Running"}`:                     "nobody knows the member status",
		`{"app_id":"shop","function_id":"charge","started_before":"2020-01-01T00:00:00Z","if":"1+1"}`:                             "has to give true or false",
		`[]`: "JSON object",
	} {
		require.Contains(t, wantRefusal(t, f.post("/v1/cancellations", body), http.StatusBadRequest), says)
	}
	const good = `","started_before":"2020-01-01T00:00:00Z"}`
	require.Equal(t, "function not found: x of app shop", wantRefusal(t, f.post("/v1/cancellations", `{"app_id":"shop","function_id":"x`+good), http.StatusNotFound))
	wantRefusal(t, f.post("/v1/cancellations", `{"app_id":"x","function_id":"charge`+good), http.StatusNotFound)
	wantRefusal(t, f.get("/v1/cancellations?cursor=x"), http.StatusBadRequest)
}

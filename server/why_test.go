package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `{"fine":true}`) }))
	f.register()
	r := f.ended(`{"name":"order/paid"}`)
	why := data[whyView](t, f.get("/v1/runs/"+r.RunID+"/why"))
	require.Equal(t, r.RunID, why.RunID)
	require.Equal(t, "Completed", why.Status)
	require.Equal(t, "ended", why.Reason)
	require.Contains(t, why.Why, "It completed at ")
	require.Nil(t, why.Until)
	require.Len(t, why.Times, 1)
	require.Contains(t, why.Why, why.Times[0].Format(time.RFC3339))
	require.Equal(t, "Invalid run ID: nope", wantRefusal(t, f.get("/v1/runs/nope/why"), http.StatusBadRequest), "as /jobs says")
	wantRefusal(t, f.get("/v1/runs/01JQDAE4RQF8MBCR55T5AK4KXS/why"), http.StatusNotFound)
}

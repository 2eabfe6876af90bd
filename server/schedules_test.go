package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSchedules(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.post("/fn/register", strings.Replace(registration, `{"event":"order/paid"}`, `{"event":"order/paid"},{"cron":"0 12 * * *"}`, 1))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	own := data[[]scheduleView](t, f.get("/v1/schedules"))
	require.Len(t, own, 1)
	require.Equal(t, "function", own[0].Source)
	require.Len(t, own[0].Next, 10)

	made := data[scheduleView](t, f.post("/v1/schedules",
		`{"id":"nightly","function":"shop-charge","cron":"TZ=Europe/Paris 0 3 * * *","jitter":"30s","missed":"skip","overlap":"queue","data":{"a":1}}`))
	require.Equal(t, "api", made.Source)
	require.Equal(t, "30s", made.Jitter)
	require.Equal(t, "skip", made.Missed)
	require.Equal(t, "queue", made.Overlap)
	require.Equal(t, `{"a":1}`, string(made.Data))
	require.Len(t, made.Next, 10)
	all := data[[]scheduleView](t, f.get("/v1/schedules?function=shop-charge"))
	require.Len(t, all, 2)
	require.Less(t, all[0].ID, all[1].ID)
	require.Equal(t, all[1:], data[[]scheduleView](t, f.get("/v1/schedules?limit=1&cursor="+all[0].ID)))
	require.Empty(t, data[[]scheduleView](t, f.get("/v1/schedules?function=other")))

	require.Contains(t, wantRefusal(t, f.post("/v1/schedules", `{"id":"nightly","function":"shop-charge","cron":"* * * * *"}`), http.StatusConflict), "already")
	require.Contains(t, wantRefusal(t, f.do(request{method: "DELETE", path: "/v1/schedules/" + own[0].ID}), http.StatusConflict), "shop-charge has this schedule")
	require.Equal(t, doneView{true}, data[doneView](t, f.do(request{method: "DELETE", path: "/v1/schedules/nightly"})))
	wantRefusal(t, f.do(request{method: "DELETE", path: "/v1/schedules/nightly"}), http.StatusNotFound)

	wantRefusal(t, f.post("/v1/schedules", `{"function":"shop-x","cron":"* * * * *"}`), http.StatusNotFound)
	const good = `"function":"shop-charge","cron":"* * * * *"`
	for body, says := range map[string]string{
		`{}`: "function is required", `{"function":"shop-charge"}`: "cron is required", `{` + good + `,"id":"a b"}`: "id must be",
		`{` + good + `,"id":"` + strings.Repeat("x", 129) + `"}`: "id must be", `{` + good + `,"jitter":"1h"}`: "jitter must be",
		`{` + good + `,"jitter":"soon"}`: "jitter", `{` + good + `,"data":[]}`: "data must be an object", `{` + good + `,"data":{"cron":1}}`: "data.cron",
		`{` + good + `,"data":{"x":"` + strings.Repeat("x", 70<<10) + `"}}`: "more than 65536 bytes", `{` + good + `,"missed":7}`: "missed ticks: want a text",
		`{` + good + `,"missed":{"policy":"all","max":-1}}`: `nobody knows the member "max"`,
		`{` + good + `,"overlap":"dance"}`:                  "dance", `{"function":"shop-charge","cron":"hourly"}`: "", `{` + good + `,"when":1}`: "nobody knows the member when", `x`: "",
	} {
		require.Contains(t, wantRefusal(t, f.post("/v1/schedules", body), http.StatusBadRequest), says)
	}
	wantRefusal(t, f.get("/v1/schedules?limit=501"), http.StatusBadRequest)
}

package server

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRunOfAnEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `{"paid":12345678901234567890}`) }))
	f.register()
	run := f.ended(`{"name":"order/paid","id":"order-1","data":{"n":1.0},"user":{"id":7},"v":"2"}`)
	require.Equal(t, "Completed", run.Status)
	require.Equal(t, `{"paid":12345678901234567890}`, string(run.Output))
	require.Equal(t, "shop-charge", run.Function)
	require.Equal(t, "order/paid", run.EventName)
	require.NotNil(t, run.StartedAt)
	require.NotNil(t, run.EndedAt)
	require.Equal(t, data[[]appView](t, f.get("/v1/apps"))[0].Functions[0].ID, run.FunctionID)

	e := data[eventView](t, f.get("/v1/events/"+run.EventID))
	require.Equal(t, run.EventID, e.InternalID)
	require.Equal(t, "order-1", e.ID)
	require.JSONEq(t, `{"n":1}`, string(e.Data))
	require.JSONEq(t, `{"id":7}`, string(e.User))
	require.Equal(t, "2", e.V)

	list := data[[]eventView](t, f.get("/v1/events"))
	require.Len(t, list, 1, "internal events are not listed")
	require.Equal(t, e, list[0])
	require.Empty(t, data[[]eventView](t, f.get("/v1/events?name=other")))
	require.Empty(t, data[[]eventView](t, f.get("/v1/events?received_before=2020-01-02T15:04:05Z&received_after=2020-01-01T15:04:05Z")))

	runs := data[[]runView](t, f.get("/v1/runs?function=shop-charge&status=completed"))
	require.Len(t, runs, 1)
	require.Equal(t, run.RunID, runs[0].RunID)
	require.Empty(t, data[[]runView](t, f.get("/v1/runs?status=Failed")))
	require.Empty(t, data[[]runView](t, f.get("/v1/runs?cursor="+run.RunID)))
	require.Empty(t, data[[]jobView](t, f.get("/v1/runs/"+run.RunID+"/jobs")))

	w := f.do(request{method: "DELETE", path: "/v1/runs/" + run.RunID})
	require.Equal(t, http.StatusOK, w.Code, "an ended run: nothing changes")
	require.Empty(t, w.Body.String())
	require.Empty(t, w.Header().Get("Content-Type"), "nothing is not JSON")
	require.Equal(t, "Completed", data[runView](t, f.get("/v1/runs/"+run.RunID)).Status)

	id := f.send(`{"name":"nobody/cares"}`)
	require.Empty(t, data[[]runView](t, f.get("/v1/events/"+id+"/runs")))
	require.Contains(t, f.get("/v1/events/"+id+"/runs").Body.String(), `"data":[]`)
}

// TestRunsByPage covers row 117: runs that come meanwhile move no page.
func TestRunsByPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	want := map[string]bool{}
	for range 5 {
		want[f.ended(`{"name":"order/paid"}`).RunID] = true
	}
	cursor, last := "", ""
	for len(want) > 0 {
		page := data[[]runView](t, f.get("/v1/runs?limit=2"+cursor))
		require.NotEmpty(t, page)
		for _, r := range page {
			require.True(t, want[r.RunID], "%s twice", r.RunID)
			require.True(t, last == "" || r.RunID < last, "newest first")
			delete(want, r.RunID)
			last = r.RunID
		}
		cursor = "&cursor=" + last
		f.ended(`{"name":"order/paid"}`)
	}
	require.Empty(t, data[[]runView](t, f.get("/v1/runs?limit=2"+cursor)))
}

func TestCancel(t *testing.T) {
	t.Parallel()
	c := newCalling(t)
	jobs := data[[]jobView](t, c.get("/v1/runs/"+c.run+"/jobs"))
	require.Len(t, jobs, 1)
	require.Equal(t, "step", jobs[0].Step)

	w := c.do(request{method: "DELETE", path: "/v1/runs/" + c.run})
	require.Equal(t, http.StatusOK, w.Code)
	require.Empty(t, w.Body.String())
	run := data[runView](t, c.get("/v1/runs/"+c.run))
	require.Equal(t, "Cancelled", run.Status)
	require.WithinDuration(t, time.Now(), *run.EndedAt, time.Minute)

	require.Equal(t, "Invalid run ID: no-ulid", wantRefusal(t, c.do(request{method: "DELETE", path: "/v1/runs/no-ulid"}), http.StatusBadRequest))
	const unknown = "01JQDAE4RQF8MBCR55T5AK4KXS"
	require.Equal(t, "Unable to load function run: "+unknown, wantRefusal(t, c.do(request{method: "DELETE", path: "/v1/runs/" + unknown}), http.StatusNotFound))
}

func TestUnknownThings(t *testing.T) {
	t.Parallel()
	const unknown = "01JQDAE4RQF8MBCR55T5AK4KXS"
	f := newFixture(t)
	for path, want := range map[string]string{
		"/v1/apps/x/functions":                           "App not found: x",
		"/v1/events/x":                                   "Event not found: x",
		"/v1/events/x/runs":                              "Event not found: x",
		"/v1/runs/" + unknown:                            noRun(unknown),
		"/v1/runs/" + unknown + "/jobs":                  noRun(unknown),
		"/v1/runs/" + unknown + "/steps":                 noRun(unknown),
		"/v1/runs/" + unknown + "/steps?after=3&wait=9s": noRun(unknown),
		"/v0/runs/" + unknown + "/batch":                 noRun(unknown),
		"/v0/runs/" + unknown + "/actions":               noRun(unknown),
	} {
		require.Equal(t, want, wantRefusal(t, f.get(path), http.StatusNotFound), path)
	}
}

// A missing key and a wrong one are told in the same words, the protocol's first.
func TestRefusedKeysAreToldWhatIsWanted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving)
	for _, authorization := range []string{"", "Bearer " + wrongKey} {
		w := f.do(request{method: "GET", path: "/v1/runs", header: map[string]string{"Authorization": authorization}})
		require.Equal(t, "Authentication failed: this needs the server's signing key or a token, in the header Authorization: Bearer ..., or a login",
			wantRefusal(t, w, http.StatusUnauthorized))
	}
}

func TestWhatCannotBeARun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"/v1/runs/x", "/v1/runs/x/jobs", "/v1/runs/x/steps"} {
		require.Equal(t, "Invalid run ID: x", wantRefusal(t, f.get(path), http.StatusBadRequest), path)
	}
}

func TestBadParameters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, query := range []string{
		"/v1/events?limit=0", "/v1/events?limit=52", "/v1/events?limit=x", "/v1/events?cursor=x", "/v1/events?received_after=yesterday",
		"/v1/runs?limit=201", "/v1/runs?status=Happy", "/v1/runs?cursor=%27%3BDROP", "/v1/runs/x/steps?after=-1", "/v1/runs/x/steps?wait=soon",
	} {
		wantRefusal(t, f.get(query), http.StatusBadRequest)
	}
	require.Empty(t, data[[]runView](t, f.get("/v1/runs?function="+strings.Repeat("x", 1000)+"%27%20OR%201=1")))
}

// A filter that is mistyped must not show everything.
func TestParametersThatAreNotThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const event = "01JQDAE4RQF8MBCR55T5AK4KXS"
	for path, want := range map[string]string{
		"/v1/runs?fnuction=a":                   "there is no parameter fnuction here; there are limit, cursor, function, status",
		"/v1/runs?function=a&Status=Failed":     "there is no parameter Status here; there are limit, cursor, function, status",
		"/v1/runs?status=Failed&status=Queued":  "the parameter status is given more than once",
		"/v1/runs?function=a%zz":                "the query ?function=a%zz cannot be read: write what is special in a value as %XX",
		"/v1/runs?function=a;status=Failed":     "the query ?function=a;status=Failed cannot be read: write what is special in a value as %XX",
		"/v1/events?received_befor=x":           "there is no parameter received_befor here; there are limit, cursor, name, received_after, received_before",
		"/v1/events/" + event + "/runs?limit=3": "there is no parameter limit here",
		"/v1/apps?archived=true":                "there is no parameter archived here",
		"/v1/runs/" + event + "/steps?seq=3":    "there is no parameter seq here; there are after, wait",
	} {
		require.Equal(t, want, wantRefusal(t, f.get(path), http.StatusBadRequest), path)
	}
}

// TestAnEventWaitsForOthers: who looks at an event learns that its run is yet to start.
func TestAnEventWaitsForOthers(t *testing.T) {
	const option = `"singleton":{"key":"false","mode":"skip"}`
	for kind, options := range map[string]string{
		waitDebounce: `"debounce":{"period":"10s"}`,
		waitBatch:    `"batchEvents":{"maxSize":3,"timeout":"10s"}`,
	} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
				w := f.post("/fn/register", strings.Replace(registration, option, options, 1))
				require.Equal(t, http.StatusOK, w.Code, w.Body)
				first := f.send(`{"name":"order/paid"}`)
				shown := func(id string) eventDetail { return data[eventDetail](t, f.get("/v1/events/"+id)) }
				require.Equal(t, []eventWaitView{{"shop-charge", kind, time.Now().Add(10 * time.Second).UTC()}}, shown(first).Waits)
				time.Sleep(time.Second)
				second := f.send(`{"name":"order/paid"}`)
				require.Len(t, shown(second).Waits, 1)
				require.Equal(t, kind == waitBatch, len(shown(first).Waits) == 1, "a later one takes the place of what is debounced")
				time.Sleep(time.Minute)
				for _, id := range []string{first, second} {
					require.Equal(t, []eventWaitView{}, shown(id).Waits)
				}
			})
		})
	}
}

package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mendable is an app whose function fails for good until it is mended, and then
// returns its event's data.
type mendable struct{ mended atomic.Bool }

func (m *mendable) serve(r *http.Request) *http.Response {
	if m.mended.Load() {
		return sdk(200, `"mended"`)
	}
	return refuses(r)
}

func newMendable(t *testing.T) (*fixture, *mendable) {
	m := &mendable{}
	f := newFixture(t, withApp(m.serve))
	f.register()
	return f, m
}

func (f *fixture) end(run string) runView {
	f.t.Helper()
	require.NoError(f.t, f.eng.Await(f.t.Context(), run, 1<<20))
	return data[runView](f.t, f.get("/v1/runs/"+run))
}

func TestRetryALetter(t *testing.T) {
	t.Parallel()
	f, m := newMendable(t)
	failed := f.ended(`{"name":"order/paid","data":{"n":1}}`)
	m.mended.Store(true)
	path := "/v1/dead-letters/" + failed.RunID
	keyed := request{method: "POST", path: path + "/retry", header: map[string]string{"Idempotency-Key": "once"}}
	first := data[startedView](t, f.do(keyed))
	w := f.do(keyed)
	require.Equal(t, "true", w.Header().Get("Idempotency-Replayed"))
	require.Equal(t, first, data[startedView](t, w), "the same request starts nothing")
	keyed.body = `{"data":{}}`
	require.Contains(t, wantRefusal(t, f.do(keyed), http.StatusUnprocessableEntity), "another payload")
	require.Contains(t, wantRefusal(t, f.post(path+"/retry", ""), http.StatusConflict), "was retried already, as run "+first.RunID)
	require.Contains(t, wantRefusal(t, f.post(path+"/discard", `{"reason":"x"}`), http.StatusConflict), "retried already")

	run := f.end(first.RunID)
	require.Equal(t, "Completed", run.Status)
	require.Equal(t, failed.RunID, run.OriginalRunID)
	require.Equal(t, failed.EventID, run.EventID)
	d := data[letterDetail](t, f.get(path))
	require.Equal(t, "retried", d.State)
	require.Equal(t, first.RunID, d.RetriedAs)
	require.Nil(t, d.EditedEvent)
}

func TestRetryWithEditedData(t *testing.T) {
	t.Parallel()
	f, m := newMendable(t)
	failed := f.ended(`{"name":"order/paid","id":"o-1","data":{"n":1},"user":{"id":2}}`)
	m.mended.Store(true)
	path := "/v1/dead-letters/" + failed.RunID
	for body, want := range map[string]string{
		`{"data":[]}`: "data must be an object", `{"data":null}`: "data must be an object", `{"data":1`: "JSON", `{"dta":{}}`: "nobody knows the member dta", `[]`: "JSON",
	} {
		require.Contains(t, wantRefusal(t, f.post(path+"/retry", body), http.StatusBadRequest), want)
	}
	started := data[startedView](t, f.post(path+"/retry", `{"data":{"n":2}}`))
	run := f.end(started.RunID)
	require.NotEqual(t, failed.EventID, run.EventID)
	d := data[letterDetail](t, f.get(path))
	require.JSONEq(t, `{"n":1}`, string(d.Event.Data), "what it was")
	require.JSONEq(t, `{"n":2}`, string(d.EditedEvent.Data), "and what it became")
	require.JSONEq(t, `{"id":2}`, string(d.EditedEvent.User))
	require.Equal(t, d.EditedEvent.InternalID, run.EventID)
	require.Len(t, data[[]eventView](t, f.get("/v1/events")), 1, "nobody sent the edited one")
}

func TestDiscardALetter(t *testing.T) {
	t.Parallel()
	f, _ := newMendable(t)
	run := f.ended(`{"name":"order/paid"}`).RunID
	path := "/v1/dead-letters/" + run
	for _, body := range []string{"", `{"reason":" "}`, `{"reason":1}`, `{"reason":"` + strings.Repeat("x", 2001) + `"}`} {
		require.Contains(t, wantRefusal(t, f.post(path+"/discard", body), http.StatusBadRequest), "reason")
	}
	l := data[letterView](t, f.post(path+"/discard", `{"reason":"a test order"}`))
	require.Equal(t, "discarded", l.State)
	require.Equal(t, "a test order", l.Discarded)
	require.NotNil(t, l.ClosedAt)
	require.Equal(t, "see 7", data[letterView](t, f.post(path+"/note", `{"note":"see 7"}`)).Note)
	require.Empty(t, data[letterView](t, f.post(path+"/note", `{"note":""}`)).Note)
	require.Empty(t, data[[]letterView](t, f.get("/v1/dead-letters")))
	require.Equal(t, 1, data[[]letterGroupView](t, f.get("/v1/dead-letters/groups?state=all"))[0].Discarded)
	f.end(data[startedView](t, f.post(path+"/retry", "")).RunID)
	require.Equal(t, "retried", data[letterDetail](t, f.get(path)).State, "a person may change their mind")

	for action, body := range map[string]string{"retry": "", "discard": `{"reason":"x"}`, "note": ""} {
		require.Contains(t, wantRefusal(t, f.post("/v1/dead-letters/x/"+action, body), http.StatusNotFound), "x", action)
	}
	wantRefusal(t, f.post(path+"/dance", ""), http.StatusNotFound)
}

func TestRerun(t *testing.T) {
	t.Parallel()
	f, m := newMendable(t)
	m.mended.Store(true)
	run := f.ended(`{"name":"order/paid"}`)
	path := "/v1/runs/" + run.RunID + "/rerun"
	again := f.end(data[startedView](t, f.post(path, "")).RunID)
	require.Equal(t, run.RunID, again.OriginalRunID)
	third := f.end(data[startedView](t, f.post("/v1/runs/"+again.RunID+"/rerun", "{}")).RunID)
	require.Equal(t, run.RunID, third.OriginalRunID, "the first of the chain")
	require.Len(t, data[[]runView](t, f.get("/v1/events/"+run.EventID+"/runs")), 3)
	for body, want := range map[string]string{
		`{"fromStep":{"stepId":"x"}}`:                "no such step",
		`{"fromStep":{"input":[1]}}`:                 "needs fromStep.stepId",
		`{"fromStep":{}}`:                            "fromStep.stepId is required",
		`{"fromStep":{"stepID":"x"}}`:                "nobody knows the member fromStep/stepID",
		`{"fromStep":{"stepId":"x","input":{"a":1}}`: "JSON",
		`{"data":5}`:                                 "data must be an object",
		`{"data":null}`:                              "data must be an object",
	} {
		require.Contains(t, wantRefusal(t, f.post(path, body), http.StatusBadRequest), want, body)
	}
	const unknown = "01JQDAE4RQF8MBCR55T5AK4KXS"
	require.Contains(t, wantRefusal(t, f.post("/v1/runs/"+unknown+"/rerun", ""), http.StatusNotFound), "Unable to load function run: "+unknown)
	w := f.post("/fn/register", strings.ReplaceAll(registration, "shop-charge", "shop-other"))
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, wantRefusal(t, f.post(path, ""), http.StatusBadRequest), "function shop-charge is not served any more")
}

func TestRerunFromAStep(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	f := newFixture(t, withApp(func(r *http.Request) *http.Response {
		switch calls.Add(1) {
		case 1:
			return sdk(206, `[{"op":"StepRun","id":"aaaa","displayName":"charge","data":1}]`)
		case 2, 4:
			return sdk(206, `[{"op":"StepRun","id":"bbbb","displayName":"mail","data":2}]`)
		default:
			return sdk(200, `3`)
		}
	}))
	f.register()
	run := f.ended(`{"name":"order/paid"}`)
	time.Sleep(2 * time.Millisecond) // so that what is copied is older than its run
	again := f.end(data[startedView](t, f.post("/v1/runs/"+run.RunID+"/rerun", `{"fromStep":{"stepId":"mail"}}`)).RunID)
	require.EqualValues(t, 5, calls.Load(), "the first step did not run again")
	steps := data[stepsView](t, f.get("/v1/runs/"+again.RunID+"/steps")).Steps
	require.Equal(t, []string{"charge", "mail"}, []string{steps[0].Name, steps[1].Name})
	require.True(t, steps[0].Copied)
	require.False(t, steps[1].Copied)
}

// A step whose result is given does not run; the function goes on from that result.
func TestRerunWithAResult(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	f := newFixture(t, withApp(func(r *http.Request) *http.Response {
		body, _ := io.ReadAll(r.Body)
		asked.Store(string(body))
		if strings.Contains(string(body), `"aaaa"`) {
			return sdk(200, `"paid"`)
		}
		return sdk(206, `[{"op":"StepFailed","id":"aaaa","displayName":"charge","error":{"name":"Declined","message":"no"}}]`)
	}))
	f.register()
	run := f.ended(`{"name":"order/paid"}`)
	path := "/v1/runs/" + run.RunID + "/rerun"
	again := f.end(data[startedView](t, f.post(path, `{"fromStep":{"stepId":"charge","output":{"id":"ch_1","cents":12345678901234567890}}}`)).RunID)
	require.Equal(t, "Completed", again.Status)
	require.Contains(t, asked.Load(), `{"aaaa":{"data":{"id":"ch_1","cents":12345678901234567890}}}`, "as it was given")
	steps := data[stepsView](t, f.get("/v1/runs/"+again.RunID+"/steps")).Steps
	require.Len(t, steps, 1)
	require.Equal(t, "charge", steps[0].Name)
	require.Equal(t, "completed", steps[0].Status)
	require.True(t, steps[0].Given)
	require.Empty(t, steps[0].Attempts, "nobody has run it")
	require.Contains(t, f.get("/v1/audit").Body.String(), `"ch_1"`, "the audit log says what was given")

	null := f.end(data[startedView](t, f.post(path, `{"fromStep":{"stepId":"charge","output":null}}`)).RunID)
	require.Equal(t, "Completed", null.Status, "null is a result")
	for body, want := range map[string]string{
		`{"fromStep":{"output":1}}`:                                                      "fromStep.output needs fromStep.stepId",
		`{"fromStep":{"stepId":"charge","input":[],"output":1}}`:                         "input or output",
		`{"fromStep":{"stepId":"charge","output":"` + strings.Repeat("x", 5<<20) + `"}}`: "",
	} {
		w := f.post(path, body)
		require.GreaterOrEqual(t, w.Code, 400, "%.60s", body)
		require.Contains(t, w.Body.String(), want)
	}
}

func TestRetryMany(t *testing.T) {
	t.Parallel()
	f, m := newMendable(t)
	for i := range 7 {
		f.ended(fmt.Sprintf(`{"name":"order/paid","data":{"n":%d}}`, i))
	}
	m.mended.Store(true)
	const path = "/v1/dead-letters/retry"
	for body, want := range map[string]string{
		``: "say which dead letters", `{}`: "say which dead letters", `{"functoin":"x"}`: "nobody knows the member functoin",
		`{"all":true,"rate":"fast"}`: "rate must be", `{"all":true,"rate":"0/s"}`: "rate must be", `{"all":true,"rate":"NaN/s"}`: "rate must be",
		`{"all":true,"rate":"5000/s"}`: "rate must be", `{"all":true,"first":-1}`: "first must be", `{"class":"bad"}`: "class must be",
		`{"failed_after":"yesterday"}`: "failed_after",
	} {
		require.Contains(t, wantRefusal(t, f.post(path, body), http.StatusBadRequest), want, body)
	}
	keyed := request{method: "POST", path: path, body: `{"function":"shop-charge","rate":"1000/s","first":2}`, header: map[string]string{"Idempotency-Key": "k"}}
	job := data[retryJobView](t, f.do(keyed))
	require.Equal(t, "1000/s", job.Rate)
	require.Equal(t, "shop-charge", job.Filter.Function)
	require.Equal(t, job.ID, data[retryJobView](t, f.do(keyed)).ID, "the same request is the same job")
	keyed.body = `{"all":true}`
	wantRefusal(t, f.do(keyed), http.StatusUnprocessableEntity)

	require.Eventually(t, func() bool {
		job = data[retryJobView](t, f.get("/v1/dead-letters/jobs/"+job.ID))
		return job.State == "done" && job.Running == 0
	}, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, 7, job.Started)
	require.Equal(t, 7, job.Completed)
	require.Empty(t, data[[]letterView](t, f.get("/v1/dead-letters")))
	require.Equal(t, job.ID, data[[]letterView](t, f.get("/v1/dead-letters?state=retried&limit=1"))[0].Job)

	slow := data[retryJobView](t, f.post(path, `{"all":true,"rate":"1/h"}`))
	stopped := data[retryJobView](t, f.do(request{method: "DELETE", path: "/v1/dead-letters/jobs/" + slow.ID}))
	require.Contains(t, []string{"stopped", "done"}, stopped.State)
	jobs := data[[]retryJobView](t, f.get("/v1/dead-letters/jobs"))
	require.Equal(t, []string{slow.ID, job.ID}, []string{jobs[0].ID, jobs[1].ID})
	for _, method := range []string{"GET", "DELETE"} {
		require.Equal(t, "There is no job x", wantRefusal(t, f.do(request{method: method, path: "/v1/dead-letters/jobs/x"}), http.StatusNotFound))
	}
}

func TestDiscardMany(t *testing.T) {
	t.Parallel()
	f, _ := newMendable(t)
	for i := range 3 {
		f.ended(fmt.Sprintf(`{"name":"order/paid","data":{"n":%d}}`, i))
	}
	const path = "/v1/dead-letters/discard"
	for body, want := range map[string]string{
		``: "say which dead letters", `{"reason":"x"}`: `"all": true discards every open one`, `{"all":true}`: "reason is required", `{"all":true,"reason":" "}`: "reason is required",
		`{"all":true,"reason":"` + strings.Repeat("x", 2001) + `"}`: "longer than 2000", `{"class":"bad","reason":"x"}`: "class must be", `{"all":true,"reason":"x","rate":"1/s"}`: "nobody knows the member rate",
	} {
		require.Contains(t, wantRefusal(t, f.post(path, body), http.StatusBadRequest), want, body)
	}
	for _, body := range []string{`{"function":"none","reason":"x"}`, `{"fingerprint":"none","reason":"x"}`} {
		require.Contains(t, wantRefusal(t, f.post(path, body), http.StatusNotFound), "there is no ", body)
	}
	group := data[[]letterGroupView](t, f.get("/v1/dead-letters/groups"))[0]
	keyed := post(path, `{"fingerprint":"`+group.Fingerprint+`","reason":"of a test"}`).once("k")
	job := data[retryJobView](t, f.do(keyed))
	require.Equal(t, "discard", job.Kind)
	require.Equal(t, "of a test", job.Reason)
	require.Equal(t, job.ID, data[retryJobView](t, f.do(keyed)).ID, "the same request is the same job")
	require.Eventually(t, func() bool {
		job = data[retryJobView](t, f.get("/v1/dead-letters/jobs/"+job.ID))
		return job.State == "done"
	}, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, 3, job.Discarded)
	require.Empty(t, data[[]letterView](t, f.get("/v1/dead-letters")))
	l := data[[]letterView](t, f.get("/v1/dead-letters?state=discarded&limit=1"))[0]
	require.Equal(t, job.ID, l.Job)
	require.Equal(t, "of a test", l.Discarded)
}

// Whoever looks at what a job has started finds what failed again, and that says
// what it was a retry of.
func TestFailedAgain(t *testing.T) {
	t.Parallel()
	f, _ := newMendable(t)
	was := f.ended(`{"name":"order/paid"}`).RunID
	job := data[retryJobView](t, f.post("/v1/dead-letters/retry", `{"all":true,"rate":"1000/s","first":0}`))
	path := "/v1/dead-letters/jobs/" + job.ID + "/runs"
	var failed []retriedRunView
	require.Eventually(t, func() bool {
		failed = data[[]retriedRunView](t, f.get(path+"?status=Failed"))
		return len(failed) == 1
	}, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, was, failed[0].RetryOf)
	require.Equal(t, "Failed", failed[0].Status)
	l := data[letterDetail](t, f.get("/v1/dead-letters/"+failed[0].RunID))
	require.Equal(t, was, l.RetryOf)
	require.Empty(t, data[letterDetail](t, f.get("/v1/dead-letters/"+was)).RetryOf)
	require.Equal(t, failed, data[[]retriedRunView](t, f.get(path)))
	for _, none := range []string{"?status=Running", "?status=Completed", "?status=Cancelled", "?cursor=" + failed[0].RunID} {
		require.Empty(t, data[[]retriedRunView](t, f.get(path+none)), none)
	}
	wantRefusal(t, f.get(path+"?status=Odd"), http.StatusBadRequest)
	require.Contains(t, wantRefusal(t, f.get(path+"?cursor="+was), http.StatusNotFound), "cursor must be")
	require.Equal(t, "There is no job x", wantRefusal(t, f.get("/v1/dead-letters/jobs/x/runs"), http.StatusNotFound))
}

func TestRates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"10/s": 100 * time.Millisecond, "10": 100 * time.Millisecond, "100/m": 600 * time.Millisecond, "0.5/s": 2 * time.Second,
		"1/h": time.Hour, "1000/s": time.Millisecond,
		"": 0, "/s": 0, "0.1/h": 0, "1001/s": 0, "-1/s": 0, "1/d": 0, "Inf/s": 0, "1e400/s": 0,
	} {
		got, ok := parseRate(text)
		require.Equal(t, want != 0, ok, text)
		if ok {
			require.Equal(t, want, got, text)
		}
	}
	require.Equal(t, "10/s", rateText(100*time.Millisecond))
	require.Equal(t, "30/m", rateText(2*time.Second))
	require.Equal(t, "1/h", rateText(time.Hour))
}

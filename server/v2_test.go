package server

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const unknownRun = "01JQDAE4RQF8MBCR55T5AK4KXS"

// dataV2 reads the data of a good answer of the v2 API, strictly: a member that
// the type does not have is a mistake.
func dataV2[T any](t require.TestingT, w *httptest.ResponseRecorder) (T, *pageV2) {
	require.Contains(t, []int{http.StatusOK, http.StatusConflict}, w.Code, w.Body)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var envelope envelopeV2[T]
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &envelope, json.RejectUnknownMembers(true)), w.Body)
	require.WithinDuration(t, time.Now(), envelope.Metadata.FetchedAt, time.Minute)
	return envelope.Data, envelope.Page
}

// wantRefusalV2 checks an error of the v2 API and returns its message.
func wantRefusalV2(t testing.TB, w *httptest.ResponseRecorder, status int, code string) string {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var r errorsV2
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &r, json.RejectUnknownMembers(true)), w.Body)
	require.Len(t, r.Errors, 1, w.Body)
	require.Equal(t, code, r.Errors[0].Code, w.Body)
	require.NotEmpty(t, r.Errors[0].Message)
	return r.Errors[0].Message
}

func TestV2Run(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `{"paid":12345678901234567890}`) }))
	f.register()
	was := f.ended(`{"name":"order/paid","data":{"n":1.0}}`)
	for _, prefix := range v2Prefixes() {
		w := f.get(prefix + "/runs/" + was.RunID)
		run, _ := dataV2[runV2](t, w)
		require.Equal(t, was.RunID, run.ID)
		require.Equal(t, refV2{"shop"}, run.App)
		require.Equal(t, functionRefV2{"charge", "charge"}, run.Function)
		require.Equal(t, "COMPLETED", run.Status)
		require.Equal(t, []string{was.EventID}, run.Trigger.EventIDs)
		require.True(t, run.EndedAt.Equal(*was.EndedAt))
		require.Nil(t, run.Output, "nobody asked for it")
		for _, absent := range []string{"output", "isBatch", "cronSchedule", "originalRunId", "null"} {
			require.NotContains(t, w.Body.String(), absent, "members without a value are left out")
		}
		run, _ = dataV2[runV2](t, f.get(prefix+"/runs/"+was.RunID+"?includeOutput=true"))
		require.Equal(t, `{"paid":12345678901234567890}`, string(run.Output.Data))
		require.Nil(t, run.Output.Error)

		runs, page := dataV2[[]runV2](t, f.get(prefix+"/events/"+was.EventID+"/runs?includeOutput=true"))
		require.Equal(t, []runV2{run}, runs)
		require.Equal(t, &pageV2{Limit: 20}, page)
		runs, _ = dataV2[[]runV2](t, f.get(prefix+"/apps/shop/functions/charge/runs"))
		require.Len(t, runs, 1)
		require.Equal(t, was.RunID, runs[0].ID)
	}
	require.Equal(t, "Run not found: "+unknownRun, wantRefusalV2(t, f.get("/v2/runs/"+unknownRun), 404, codeNotFound))
	require.Equal(t, "Event not found: "+unknownRun, wantRefusalV2(t, f.get("/v2/events/"+unknownRun+"/runs"), 404, codeNotFound))
	wantRefusalV2(t, f.get("/v2/runs/"+unknownRun+"/trace"), 404, codeNotFound)
	wantRefusalV2(t, f.get("/v2/runs/"+was.RunID+"?includeOutput=maybe"), 400, codeFormat)
}

func TestV2FailedRunHasItsError(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(400, `{"name":"CardError","message":"declined"}`) }))
	f.register()
	was := f.ended(`{"name":"order/paid"}`)
	run, _ := dataV2[runV2](t, f.get("/v2/runs/"+was.RunID+"?includeOutput=1"))
	require.Equal(t, "FAILED", run.Status)
	require.Contains(t, string(run.Output.Error), "declined")
	require.Nil(t, run.Output.Data)
	tree, _ := dataV2[traceTreeV2](t, f.get("/v2/runs/"+was.RunID+"/trace?includeOutput=1"))
	require.Equal(t, "FAILED", tree.RootSpan.Status)
	require.Len(t, tree.RootSpan.Children, 1)
	body := tree.RootSpan.Children[0]
	require.Equal(t, "Finalization", body.Name)
	require.Contains(t, string(body.Output.Error), "declined")
	require.Empty(t, body.StepOp)
}

func TestV2Filters(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	answers := map[string]int{} // status, by event id
	f := newFixture(t, withApp(func(r *http.Request) *http.Response {
		var call struct {
			Event struct{ ID string } `json:"event"`
		}
		_ = json.UnmarshalRead(r.Body, &call, json.MatchCaseInsensitiveNames(true))
		mu.Lock()
		defer mu.Unlock()
		return sdk(answers[call.Event.ID], `{"name":"E","message":"m"}`)
	}))
	f.register()
	var ids []string
	for i := range 6 {
		key := "order-" + string(rune('a'+i))
		mu.Lock()
		answers[key] = []int{200, 400}[i%2]
		mu.Unlock()
		ids = append(ids, f.ended(`{"name":"order/paid","id":"`+key+`"}`).RunID)
	}
	list := func(query string) (got []int) {
		runs, _ := dataV2[[]runV2](t, f.get("/v2/runs?"+query))
		for _, r := range runs {
			for i, id := range ids {
				if r.ID == id {
					got = append(got, i)
				}
			}
		}
		return got
	}
	at := func(i int, field string) string {
		run, _ := dataV2[runV2](t, f.get("/v2/runs/"+ids[i]))
		return map[string]time.Time{"queuedAt": run.QueuedAt, "startedAt": run.StartedAt, "endedAt": run.EndedAt}[field].Format(time.RFC3339Nano)
	}
	require.Equal(t, []int{5, 4, 3, 2, 1, 0}, list(""))
	require.Equal(t, []int{0, 1, 2, 3, 4, 5}, list("order=asc"))
	require.Equal(t, []int{5, 3, 1}, list("status=FAILED"))
	require.Equal(t, []int{5, 4, 3, 2, 1, 0}, list("status=failed&status=COMPLETED&status=SKIPPED"))
	require.Empty(t, list("status=SKIPPED"))
	require.Empty(t, list("status=RUNNING"))
	for _, field := range []string{"queuedAt", "startedAt", "endedAt"} {
		by := "timeField=" + field
		require.Equal(t, []int{5, 4, 3, 2, 1, 0}, list(by))
		require.Equal(t, []int{3, 2}, list(by+"&from="+at(2, field)+"&until="+at(4, field)), "from is inside, until is not")
		require.Equal(t, []int{1}, list(by+"&order=asc&status=FAILED&until="+at(3, field)))
	}
	require.Equal(t, []int{5, 4, 3, 2, 1, 0}, list("appId=shop"))
	require.Equal(t, []int{5, 4, 3, 2, 1, 0}, list("appId=shop&functionId=charge"))
	require.Empty(t, list("appId=shop&functionId=ship"))
	require.Empty(t, list("appId=other"))
	require.Empty(t, list("isDeferred=true"))
	require.Len(t, list("isDeferred=false"), 6)

	for query, code := range map[string]string{
		"functionId=charge": codeMissing, "limit=0": codeFormat, "limit=101": codeFormat, "from=yesterday": codeFormat, "until=1": codeFormat,
		"timeField=createdAt": codeFormat, "status=Happy": codeFormat, "order=up": codeFormat, "isDeferred=7": codeFormat, "cursor=x": codeFormat,
		"cursor=" + ids[0]: codeFormat,
	} {
		wantRefusalV2(t, f.get("/v2/runs?"+query), http.StatusBadRequest, code)
	}
}

func TestV2Cursor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	for range 3 {
		f.ended(`{"name":"order/paid"}`)
	}
	_, page := dataV2[[]runV2](t, f.get("/v2/runs?limit=1&status=COMPLETED"))
	require.True(t, page.HasMore)
	for query, status := range map[string]int{
		"limit=1&status=COMPLETED": 200, "limit=100&status=COMPLETED": 200, "status=COMPLETED&includeOutput=true": 200,
		"limit=1": 400, "limit=1&status=FAILED": 400, "status=COMPLETED&order=asc": 400, "status=COMPLETED&timeField=endedAt": 400,
	} {
		require.Equal(t, status, f.get("/v2/runs?"+query+"&cursor="+page.Cursor).Code, "%s: a cursor belongs to its filter", query)
	}
	require.Equal(t, 400, f.get("/v2/apps/shop/functions/charge/runs?status=COMPLETED&cursor="+page.Cursor).Code, "and to its list")
	raw, err := base64.RawURLEncoding.DecodeString(page.Cursor)
	require.NoError(t, err)
	for i := range raw {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 1
		w := f.get("/v2/runs?limit=1&status=COMPLETED&cursor=" + base64.RawURLEncoding.EncodeToString(bad))
		require.Contains(t, wantRefusalV2(t, w, 400, codeFormat), "cursor", "byte %d was changed", i)
	}
}

// TestV2WalkDuringWrites is I36: whoever walks a list to its end while runs are
// added sees each run that was there throughout exactly once.
func TestV2WalkDuringWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	for range 5 {
		f.ended(`{"name":"order/paid"}`)
	}
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom([]string{"asc", "desc"}).Draw(t, "order")
		field := rapid.SampledFrom([]string{"queuedAt", "startedAt", "endedAt"}).Draw(t, "timeField")
		list := rapid.SampledFrom([]string{"/v2/runs?", "/v2/apps/shop/functions/charge/runs?", "/v2/runs?status=COMPLETED&appId=shop&"}).Draw(t, "list")
		recent, _ := dataV2[[]runV2](t, f.get("/v2/runs?limit=12"))
		filter := list + "order=" + order + "&timeField=" + field + "&from=" + recent[len(recent)-1].QueuedAt.Format(time.RFC3339Nano) + "&limit="
		all, _ := dataV2[[]runV2](t, f.get(filter+"100"))
		seen := map[string]int{}
		cursor := ""
		for range 200 {
			limit := rapid.SampledFrom([]string{"2", "5", "17"}).Draw(t, "limit")
			page, how := dataV2[[]runV2](t, f.get(filter+limit+cursor))
			for _, r := range page {
				seen[r.ID]++
			}
			if !how.HasMore {
				require.Empty(t, how.Cursor)
				break
			}
			cursor = "&cursor=" + how.Cursor
			if len(seen) < 30 && rapid.Bool().Draw(t, "another run") {
				f.ended(`{"name":"order/paid"}`)
			}
		}
		for _, r := range all {
			require.Equal(t, 1, seen[r.ID], "run %s", r.ID)
		}
		for id, n := range seen {
			require.Equal(t, 1, n, "run %s", id)
		}
	})
}

func TestV2Cancel(t *testing.T) {
	t.Parallel()
	c := newCalling(t)
	run, _ := dataV2[runV2](t, c.post("/v2/runs/"+c.run+"/cancel", ""))
	require.Equal(t, "CANCELLED", run.Status)
	wantRefusalV2(t, c.post("/v2/runs/"+c.run+"/cancel", ""), http.StatusConflict, codeCancelled)
	wantRefusalV2(t, c.post("/v2/runs/"+unknownRun+"/cancel", ""), http.StatusNotFound, codeNotFound)
	wantRefusalV2(t, c.post("/v2/runs/x/cancel", ""), http.StatusNotFound, codeNotFound)

	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	require.Equal(t, "Cannot cancel an ended run", wantRefusalV2(t, f.post("/v2/runs/"+f.ended(`{"name":"order/paid"}`).RunID+"/cancel", ""), http.StatusConflict, codeEnded))
}

func TestV2Rerun(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	was := f.ended(`{"name":"order/paid","id":"o1","data":{"n":1}}`)
	path := "/v2/runs/" + was.RunID + "/rerun"
	again, _ := dataV2[invokedV2](t, f.post(path, ""))
	require.NotEqual(t, was.RunID, again.RunID, "row 118: a new run, which its event's id does not keep from starting")
	require.NoError(t, f.eng.Await(t.Context(), again.RunID, 1<<20))
	run, _ := dataV2[runV2](t, f.get("/v2/runs/"+again.RunID))
	require.Equal(t, was.RunID, run.OriginalRunID)
	require.Equal(t, []string{was.EventID}, run.Trigger.EventIDs)

	wantRefusalV2(t, f.post("/v2/runs/"+unknownRun+"/rerun", ""), http.StatusNotFound, codeNotFound)
	for body, code := range map[string]string{
		`{"fromStep":{"stepId":"nobody"}}`: codeInvalid, `{"fromStep":{"input":[1]}}`: codeMissing, `{"from":1}`: codeInvalid, `[`: codeInvalid,
		`{"data":5}`: codeInvalid, `{"data":null}`: codeInvalid,
	} {
		wantRefusalV2(t, f.post(path, body), http.StatusBadRequest, code)
	}
	key := map[string]string{"Idempotency-Key": "k", "Content-Type": "application/json"}
	first, _ := dataV2[invokedV2](t, f.do(request{method: "POST", path: path, body: `{}`, header: key}))
	second, _ := dataV2[invokedV2](t, f.do(request{method: "POST", path: path, body: `{}`, header: key}))
	require.Equal(t, first, second)
	wantRefusalV2(t, f.do(request{method: "POST", path: path, body: `{"data":{}}`, header: key}), http.StatusUnprocessableEntity, codeConflict)
}

func TestV2SendsAnEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	sent, _ := dataV2[sentV2](t, f.post("/v2/events", `{"name":"order/paid","id":"o1","data":{"n":1},"ts":1795312421451}`))
	e := data[eventView](t, f.get("/v1/events/"+sent.EventID))
	require.Equal(t, "o1", e.ID)
	require.Equal(t, int64(1795312421451), e.Timestamp)
	for body, code := range map[string]string{
		``: codeInvalid, `[]`: codeInvalid, `{`: codeInvalid, `{"name":"a","name":"b"}`: codeInvalid,
		`{}`: codeMissing, `{"name":""}`: codeMissing, `{"name":null}`: codeMissing,
		`{"name":7}`: codeFormat, `{"name":"` + strings.Repeat("x", 513) + `"}`: codeFormat, `{"name":"inngest/function.failed"}`: codeFormat,
		`{"name":"a","ts":1}`: codeValidation, `{"name":"a","data":3}`: codeValidation,
		`{"name":"a","data":{"x":"` + strings.Repeat("x", 3<<20-20) + `"}}`: codeValidation,
	} {
		wantRefusalV2(t, f.post("/v2/events", body), http.StatusBadRequest, code)
	}
	require.Contains(t, f.do(request{method: "POST", path: "/v2/events", body: "x", header: map[string]string{"Content-Type": "text/html"}}).Body.String(), `{"errors":[`)
	wantRefusalV2(t, f.post("/v2/events", `{"name":"a","data":{"x":"`+strings.Repeat("x", 3<<20+2<<10)+`"}}`), http.StatusRequestEntityTooLarge, codeValidation)
}

func TestV2InvokesOnceForAKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	const path = "/v2/apps/shop/functions/charge/invoke"
	var first invokedV2
	fresh, again := 0, 0
	var mu sync.Mutex
	var callers sync.WaitGroup
	for range 8 { // at once
		callers.Go(func() {
			w := f.post(path, `{"data":{"n":1},"idempotencyKey":"k1"}`)
			mu.Lock()
			defer mu.Unlock()
			got, _ := dataV2[invokedV2](t, w)
			if first.RunID == "" {
				first = got
			}
			require.Equal(t, first, got, "row 116: the same run")
			if w.Code == http.StatusOK {
				fresh++
			} else {
				again++
			}
		})
	}
	callers.Wait()
	require.Equal(t, 1, fresh)
	require.Equal(t, 7, again)
	runs, _ := dataV2[[]runV2](t, f.get("/v2/runs"))
	require.Len(t, runs, 1)
	wantRefusalV2(t, f.post(path, `{"data":{"n":2},"idempotencyKey":"k1"}`), http.StatusUnprocessableEntity, codeConflict)

	other, _ := dataV2[invokedV2](t, f.post(path, `{"data":{}}`))
	require.NoError(t, f.eng.Await(t.Context(), other.RunID, 1<<20))
	third, _ := dataV2[invokedV2](t, f.post(path, `{"data":{}}`))
	require.NotEqual(t, other, third)

	for body, code := range map[string]string{
		`{}`: codeMissing, `{"data":null}`: codeMissing, `{"data":[]}`: codeFormat, `{"data":{},"user":1}`: codeFormat, `nonsense`: codeInvalid,
		`{"data":{},"idempotencyKey":"` + strings.Repeat("k", 256) + `"}`: codeFormat,
	} {
		wantRefusalV2(t, f.post(path, body), http.StatusBadRequest, code)
	}
	require.Equal(t, "Input data is required", wantRefusalV2(t, f.post(path, `{}`), 400, codeMissing))
	require.Equal(t, "Function not found: x", wantRefusalV2(t, f.post("/v2/apps/shop/functions/x/invoke", `{"data":{}}`), 404, codeNotFound))
	wantRefusalV2(t, f.post("/v2/apps/x/functions/charge/invoke", `{"data":{}}`), 404, codeNotFound)
}

func TestV2Apps(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.register()
	app, _ := dataV2[appV2](t, f.get("/v2/apps/shop"))
	require.Equal(t, "SERVE", app.Method)
	require.Equal(t, 1, app.FunctionCount)
	require.Equal(t, "js", app.LatestSync.SDKLanguage)
	require.Equal(t, "v4.24.0", app.LatestSync.SDKVersion)
	apps, page := dataV2[[]appV2](t, f.get("/v2/apps"))
	require.Equal(t, []appV2{app}, apps)
	require.False(t, page.HasMore)

	fn, _ := dataV2[functionV2](t, f.get("/v2/apps/shop/functions/charge"))
	require.Equal(t, "charge", fn.ID)
	require.Equal(t, "shop-charge", fn.Slug)
	require.Equal(t, []triggerV2{{Type: "EVENT", Value: "order/paid"}}, fn.Triggers)
	require.Equal(t, 0, fn.Configuration.Retries.Value)
	require.False(t, fn.Configuration.Retries.IsDefault)
	require.JSONEq(t, `{"key":"false","mode":"skip"}`, string(fn.Configuration.Singleton))
	fns, _ := dataV2[[]functionV2](t, f.get("/v2/apps/shop/functions"))
	require.Equal(t, []functionV2{fn}, fns)

	require.Equal(t, "App not found: x", wantRefusalV2(t, f.get("/v2/apps/x"), 404, codeNotFound))
	wantRefusalV2(t, f.get("/v2/apps/x/functions"), 404, codeNotFound)
	wantRefusalV2(t, f.get("/v2/apps/x/functions/y"), 404, codeNotFound)
	wantRefusalV2(t, f.get("/v2/apps/shop/functions/y"), 404, codeNotFound)
	wantRefusalV2(t, f.get("/v2/apps/shop/functions/y/runs"), 404, codeNotFound)
	wantRefusalV2(t, f.get("/v2/apps?archived=7"), 400, codeFormat)

	for body, code := range map[string]string{`{}`: codeMissing, `x`: codeInvalid, `{"url":"ftp://x"}`: codeFormat, `{"url":"http://127.0.0.1:1/api/inngest"}`: codeSyncFailed} {
		wantRefusalV2(t, f.post("/v2/apps/shop/syncs", body), http.StatusBadRequest, code)
	}
}

func TestV2Account(t *testing.T) {
	t.Parallel()
	dev, serves := newFixture(t), newFixture(t, serving)
	get := func(f *fixture, path string) *httptest.ResponseRecorder {
		return f.do(request{method: "GET", path: path, header: map[string]string{"Authorization": "Bearer " + testKey}})
	}
	require.JSONEq(t, `{"status":"ok"}`, string(func() jsontext.Value { v, _ := dataV2[jsontext.Value](t, dev.get("/v2/health")); return v }()))
	account, _ := dataV2[accountV2](t, dev.get("/v2/account"))
	require.Equal(t, accountID, account.ID)
	envs, _ := dataV2[[]envV2](t, dev.get("/v2/envs"))
	require.Equal(t, []envV2{{ID: environmentID, Name: "dev", Type: "TEST"}}, envs)
	envs, _ = dataV2[[]envV2](t, get(serves, "/v2/envs"))
	require.Equal(t, "PRODUCTION", envs[0].Type)

	for _, kind := range []string{"events", "signing"} {
		keys, _ := dataV2[[]keyV2](t, dev.get("/v2/keys/"+kind))
		require.Empty(t, keys)
		w := get(serves, "/v2/keys/"+kind+"?limit=1")
		keys, page := dataV2[[]keyV2](t, w)
		require.Len(t, keys, 1)
		require.True(t, page.HasMore)
		next, end := dataV2[[]keyV2](t, get(serves, "/v2/keys/"+kind+"?limit=1&cursor="+page.Cursor))
		require.Len(t, next, 1)
		require.NotEqual(t, keys, next)
		require.False(t, end.HasMore)
		for _, secret := range []string{testEventKey, testKey, testKey[13:], previousKey[13:30]} {
			require.NotContains(t, w.Body.String(), secret)
		}
	}
}

func TestV2Refusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving)
	wantRefusalV2(t, f.get("/v2/runs"), http.StatusUnauthorized, codeNoCredential)
	wantRefusalV2(t, f.do(request{method: "GET", path: "/api/v2/runs", header: map[string]string{"Authorization": "Bearer " + wrongKey}}), http.StatusUnauthorized, codeBadCredential)

	dev := newFixture(t)
	wantRefusalV2(t, dev.get("/v2/nothing"), http.StatusNotFound, codeNotFound)
	wantRefusalV2(t, dev.do(request{method: "DELETE", path: "/v2/runs"}), http.StatusMethodNotAllowed, codeInvalid)
	wantRefusalV2(t, dev.do(request{method: "GET", path: "/v2/runs", host: "evil.example"}), http.StatusMisdirectedRequest, codeOther)
	page := map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"}
	wantRefusalV2(t, dev.do(request{method: "POST", path: "/v2/events", body: `{"name":"a"}`, header: page}), http.StatusForbidden, codeDenied)
	for method, path := range map[string]string{
		"GET": "/v2/insights/tables", "POST": "/v2/runs/" + unknownRun + "/scores", "PATCH": "/api/v2/envs/x",
	} {
		require.Contains(t, wantRefusalV2(t, dev.do(request{method: method, path: path}), http.StatusNotImplemented, codeNotImplemented), "does not have")
	}
	require.Equal(t, "X-Inngest-Env header is required", wantRefusalV2(t, dev.get("/v2/env/webhooks"), 400, codeMissing))
	wantRefusalV2(t, dev.do(request{method: "GET", path: "/v2/env/webhooks", header: map[string]string{"X-Inngest-Env": "dev"}}), http.StatusNotImplemented, codeNotImplemented)
}

func FuzzCursor(f *testing.F) {
	s := newSealer(newKeyring())
	f.Add("/v2/runs?", s.cursor("/v2/runs?", place{1, "x"}))
	f.Add("", "")
	f.Fuzz(func(t *testing.T, list, text string) {
		if p, ok := s.open(list, text); ok {
			require.Equal(t, text, s.cursor(list, p), "it opens what it made, and nothing else")
		}
	})
}

func TestCursorOutlivesTheKey(t *testing.T) {
	t.Parallel()
	ring := newKeyring()
	p := place{time.Now().UnixMicro(), ulid.Make().String()}
	old := newSealer(ring).cursor("/v2/runs?", p)
	ring.Current, ring.Previous = ring.Previous[0], append(ring.Previous[:0:0], ring.Current)
	got, ok := newSealer(ring).open("/v2/runs?", old)
	require.True(t, ok)
	require.Equal(t, p, got)
	ring.Previous = nil
	_, ok = newSealer(ring).open("/v2/runs?", old)
	require.False(t, ok)
}

// TestV2InvokeSaysWhyNothingStarts: each setting that keeps a run from starting has its
// own words. Source: spec/12 §4.
func TestV2InvokeSaysWhyNothingStarts(t *testing.T) {
	const option = `"singleton":{"key":"false","mode":"skip"}`
	for name, tt := range map[string]struct {
		option, code, says string
		before             string // another invocation
		refuse             bool   // the function is paused
	}{
		"a rate limit":   {`"rateLimit":{"limit":1,"period":"1h"}`, codeRateLimited, "as often as its rate limit allows, 1 times in 1h0m0s", `{"data":{}}`, false},
		"an idempotency": {`"idempotency":"event.data.id"`, codeSkipped, "for the same idempotency key before, as run ", `{"data":{"id":7}}`, false},
		"a singleton":    {`"singleton":{"mode":"skip"}`, codeSkipped, "one at a time runs for its singleton key", `{"data":{}}`, false},
		"a pause":        {option, codeSkipped, "was paused, and refused", "", true},
		"a debounce":     {`"debounce":{"period":"10s"}`, codeDebounced, "is debounced: one run starts for the invocation that came last, once none has come for 10s", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, withApp(func(r *http.Request) *http.Response {
					time.Sleep(time.Minute)
					return sdk(200, `1`)
				}))
				w := f.post("/fn/register", strings.Replace(registration, option, tt.option, 1))
				require.Equal(t, http.StatusOK, w.Code, w.Body)
				if tt.refuse {
					require.Equal(t, http.StatusOK, f.post("/v1/functions/shop-charge/pause", `{"refuse":true}`).Code)
				}
				const path = "/v2/apps/shop/functions/charge/invoke"
				if tt.before != "" {
					require.Equal(t, http.StatusOK, f.post(path, tt.before).Code)
					synctest.Wait()
				}
				for _, again := range []string{"", "true"} { // with one key
					w := f.do(post(path, `{"data":{"id":7}}`).once("k"))
					require.Contains(t, wantRefusalV2(t, w, http.StatusUnprocessableEntity, tt.code), tt.says)
					if tt.code == codeDebounced {
						require.Equal(t, again, w.Header().Get(headerReplayed))
					}
				}
				if tt.code == codeDebounced {
					time.Sleep(2 * time.Minute)
					runs, _ := dataV2[[]runV2](t, f.get("/v2/runs"))
					require.Len(t, runs, 1, "it was taken in, once")
				}
			})
		})
	}
}

// TestBatchesAreShown: also one that closed with one event, and after the function has
// stopped to take batches.
func TestBatchesAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const option = `"singleton":{"key":"false","mode":"skip"}`
		f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
		registered := func(with string) {
			w := f.post("/fn/register", strings.Replace(registration, option, with, 1))
			require.Equal(t, http.StatusOK, w.Code, w.Body)
		}
		registered(`"batchEvents":{"maxSize":2,"timeout":"5s","if":"event.data.b"}`)
		two := f.send(`{"name":"order/paid","data":{"b":true}}`)
		f.send(`{"name":"order/paid","data":{"b":true}}`)
		one := f.send(`{"name":"order/paid","data":{"b":true}}`)
		none := f.send(`{"name":"order/paid","data":{"b":false}}`)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for range 2 {
			for event, batch := range map[string]bool{two: true, one: true, none: false} {
				v1 := data[[]runView](t, f.get("/v1/events/"+event+"/runs"))[0]
				v2, _ := dataV2[runV2](t, f.get("/v2/runs/"+v1.RunID))
				require.Equal(t, batch, v2.Trigger.IsBatch)
				require.Equal(t, batch, v2.Trigger.BatchID != "")
				require.Equal(t, v1.BatchID, v2.Trigger.BatchID)
			}
			registered(option)
		}
	})
}

// TestCronOfARunInV1: a run says which schedule has started it.
func TestCronOfARunInV1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
		w := f.post("/fn/register", strings.Replace(registration, `{"event":"order/paid"}`, `{"cron":"* * * * *"}`, 1))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, "* * * * *", data[[]runView](t, f.get("/v1/runs"))[0].Cron)
	})
}

// TestRetriesThatAreDefault: what an app says is no default, also when it is the same
// number.
func TestRetriesThatAreDefault(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]retriesV2{
		`"retries":{"attempts":3}`: {3, false}, `"retries":{"attempts":4}`: {4, false}, `"retries":{"attempts":0}`: {0, false},
		`"retries":null`: {4, true}, `"retries":{}`: {4, true}, `"note":"x"`: {4, true},
	} {
		f := newFixture(t)
		w := f.post("/fn/register", strings.Replace(registration, `"retries":{"attempts":0}`, said, 1))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		fn, _ := dataV2[functionV2](t, f.get("/v2/apps/shop/functions/charge"))
		require.Equal(t, want, fn.Configuration.Retries, said)
	}
}

// TestRetryOfLettersThatCannotBe: a job that would find nothing is refused.
func TestRetryOfLettersThatCannotBe(t *testing.T) {
	t.Parallel()
	f := newActing(t)
	run := f.failed()
	require.Contains(t, wantRefusal(t, f.post("/v1/dead-letters/retry", `{"function":"shop-chrage"}`), http.StatusNotFound), "there is no function shop-chrage")
	require.Contains(t, wantRefusal(t, f.post("/v1/dead-letters/retry", `{"fingerprint":"0123"}`), http.StatusNotFound), "there is no group 0123")
	letter := data[letterView](t, f.get("/v1/dead-letters/"+run))
	require.Equal(t, http.StatusOK, f.post("/v1/dead-letters/retry", `{"function":"shop-charge","fingerprint":"`+letter.Fingerprint+`"}`).Code)
}

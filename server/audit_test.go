package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// acted is something that a person does, once.
type acted struct {
	request
	what, object string
	detail       string // something that the line says
	again        []request
	refused      []request // before it is done
}

func post(path, body string) request {
	return request{method: "POST", path: path, body: body, header: map[string]string{"Content-Type": "application/json"}}
}

func (q request) once(key string) request {
	q.header = map[string]string{"Content-Type": "application/json", "Idempotency-Key": key}
	return q
}

// waiting is a run that does not begin.
func (f *fixture) waiting() string {
	f.t.Helper()
	require.Equal(f.t, http.StatusOK, f.post("/v1/functions/shop-charge/pause", `{}`).Code)
	return data[[]runView](f.t, f.get("/v1/events/"+f.send(`{"name":"order/paid"}`)+"/runs"))[0].RunID
}

// failed is a run that has failed for good.
func (f *fixture) failed() string { return f.ended(`{"name":"order/paid","data":{"n":1}}`).RunID }

func reran(prefix string) func(*fixture) acted {
	return func(f *fixture) acted {
		run := f.failed()
		path := prefix + "/runs/" + run + "/rerun"
		return acted{
			request: post(path, `{"data":{"n":2}}`).once("k"), what: durable.ActRerun, object: "run/" + run, detail: `"function":"shop-charge"`,
			again:   []request{post(path, `{"data":{"n":2}}`).once("k"), post(path, `{"data":{"n":3}}`).once("k")},
			refused: []request{post(path, `{"data":7}`), post(prefix+"/runs/"+unknownRun+"/rerun", ""), post(path, `{"fromStep":{"stepId":"none"}}`)},
		}
	}
}

// acts are what every marked route of the table does, by method and pattern,
// without the prefix of the v2 API.
var acts = map[string][]func(*fixture) acted{
	"DELETE /fn/remove": {func(*fixture) acted {
		q := request{method: "DELETE", path: "/fn/remove?url=" + url.QueryEscape("http://localhost:3000/api/inngest")}
		return acted{request: q, what: durable.ActRemoveApp, object: "app/shop", again: []request{q}, refused: []request{{method: "DELETE", path: "/fn/remove?url=http://none/x"}}}
	}},
	"DELETE /v1/runs/{run}": {func(f *fixture) acted {
		q := request{method: "DELETE", path: "/v1/runs/" + f.waiting()}
		return acted{
			request: q, what: durable.ActCancel, object: "run/" + q.path[len("/v1/runs/"):], detail: `"function":"shop-charge"`,
			again: []request{q}, refused: []request{{method: "DELETE", path: "/v1/runs/" + unknownRun}, {method: "DELETE", path: "/v1/runs/x"}},
		}
	}},
	"POST /runs/{run}/cancel": {func(f *fixture) acted {
		run := f.waiting()
		q := post("/v2/runs/"+run+"/cancel", "")
		return acted{request: q, what: durable.ActCancel, object: "run/" + run, again: []request{q}, refused: []request{post("/v2/runs/"+unknownRun+"/cancel", "")}}
	}},
	"POST /v1/runs/{run}/rerun": {reran("/v1")},
	"POST /runs/{run}/rerun":    {reran("/v2")},
	"POST /v1/schedules": {func(*fixture) acted {
		q := post("/v1/schedules", `{"id":"noon","function":"shop-charge","cron":"0 12 * * *"}`)
		return acted{
			request: q, what: durable.ActAddSchedule, object: "schedule/noon", detail: `"cron":"0 12 * * *"`, again: []request{q},
			refused: []request{post("/v1/schedules", `{"function":"shop-none","cron":"0 12 * * *"}`), post("/v1/schedules", `{"function":"shop-charge","cron":"x"}`)},
		}
	}},
	"DELETE /v1/schedules/{id}": {func(f *fixture) acted {
		require.Equal(f.t, 200, f.post("/v1/schedules", `{"id":"noon","function":"shop-charge","cron":"0 12 * * *"}`).Code)
		q := request{method: "DELETE", path: "/v1/schedules/noon"}
		return acted{request: q, what: durable.ActRemoveSchedule, object: "schedule/noon", again: []request{q}, refused: []request{{method: "DELETE", path: "/v1/schedules/none"}}}
	}},
	"POST /v1/cancellations": {func(*fixture) acted {
		return acted{
			request: post("/v1/cancellations", `{"app_id":"shop","function_id":"charge","started_before":"2026-01-01T00:00:00Z","if":"event.data.n == 1"}`),
			what:    durable.ActCancelMany, object: "cancellation/", detail: `"if":"event.data.n == 1"`,
			refused: []request{
				post("/v1/cancellations", `{}`), post("/v1/cancellations", `{"app_id":"shop","function_id":"none","started_before":"2026-01-01T00:00:00Z"}`),
				post("/v1/cancellations", `{"app_id":"shop","function_id":"charge","started_before":"2026-01-01T00:00:00Z","if":"("}`),
			},
		}
	}},
	"DELETE /v1/cancellations/{id}": {func(f *fixture) acted {
		c := data[cancellationView](f.t, f.post("/v1/cancellations", `{"app_id":"shop","function_id":"charge","started_before":"2026-01-01T00:00:00Z"}`))
		q := request{method: "DELETE", path: "/v1/cancellations/" + c.ID}
		return acted{request: q, what: durable.ActEndCancellation, object: "cancellation/" + c.ID, again: []request{q}, refused: []request{{method: "DELETE", path: "/v1/cancellations/" + unknownRun}}}
	}},
	"DELETE /v1/idempotency-keys": {func(f *fixture) acted {
		require.Equal(f.t, 200, f.do(post("/e/k", `{"name":"x"}`).once("order")).Code)
		q := request{method: "DELETE", path: "/v1/idempotency-keys?scope=events&key=order"}
		return acted{
			request: q, what: durable.ActVoidKey, object: "key/events", detail: `"key":"order"`, again: []request{q},
			refused: []request{{method: "DELETE", path: "/v1/idempotency-keys?scope=events&key=none"}, {method: "DELETE", path: "/v1/idempotency-keys?scope=x&key=order"}},
		}
	}},
	"POST /v1/backup": {func(*fixture) acted {
		return acted{request: post("/v1/backup", ""), what: durable.ActBackup, object: "store", detail: `"bytes":`}
	}},
	"POST /v1/dead-letters/retry": {func(f *fixture) acted {
		f.failed()
		q := post("/v1/dead-letters/retry", `{"function":"shop-charge","rate":"50/h","first":1}`).once("k")
		return acted{
			request: q, what: durable.ActRetryMany, object: "job/", detail: `"every":"1m12s"`, again: []request{q},
			refused: []request{post("/v1/dead-letters/retry", `{}`), post("/v1/dead-letters/retry", `{"all":true,"rate":"never"}`)},
		}
	}},
	"POST /v1/dead-letters/discard": {func(f *fixture) acted {
		f.failed()
		q := post("/v1/dead-letters/discard", `{"function":"shop-charge","reason":"of a test"}`).once("k")
		return acted{
			request: q, what: durable.ActDiscardMany, object: "job/", detail: `"why":"of a test"`, again: []request{q},
			refused: []request{post("/v1/dead-letters/discard", `{"all":true}`), post("/v1/dead-letters/discard", `{"reason":"x"}`)},
		}
	}},
	"DELETE /v1/dead-letters/jobs/{id}": {func(f *fixture) acted {
		for range 3 {
			f.failed()
		}
		job := data[retryJobView](f.t, f.post("/v1/dead-letters/retry", `{"all":true,"rate":"1/h"}`))
		q := request{method: "DELETE", path: "/v1/dead-letters/jobs/" + job.ID}
		return acted{request: q, what: durable.ActStopRetry, object: "job/" + job.ID, again: []request{q}, refused: []request{{method: "DELETE", path: "/v1/dead-letters/jobs/none"}}}
	}},
	"POST /v1/dead-letters/{run}/{action}": {
		func(f *fixture) acted {
			run := f.failed()
			path := "/v1/dead-letters/" + run + "/retry"
			return acted{
				request: post(path, `{"data":{"n":2}}`), what: durable.ActRetry, object: "run/" + run, detail: `"edited":"`, again: []request{post(path, "")},
				refused: []request{post(path, `{"data":[]}`), post("/v1/dead-letters/"+unknownRun+"/retry", ""), post("/v1/dead-letters/"+run+"/other", "")},
			}
		},
		func(f *fixture) acted {
			run := f.failed()
			q := post("/v1/dead-letters/"+run+"/discard", `{"reason":"a test order"}`)
			return acted{
				request: q, what: durable.ActDiscard, object: "run/" + run, detail: `"why":"a test order"`, again: []request{q},
				refused: []request{post(q.path, `{}`), post("/v1/dead-letters/"+unknownRun+"/discard", `{"reason":"x"}`)},
			}
		},
		func(f *fixture) acted {
			run := f.failed()
			require.Equal(f.t, 200, f.post("/v1/dead-letters/"+run+"/discard", `{"reason":"a test order"}`).Code)
			return acted{request: post("/v1/dead-letters/"+run+"/discard", `{"reason":"another"}`), what: durable.ActDiscard, object: "run/" + run, detail: `"why":"another"`}
		},
		func(f *fixture) acted {
			run := f.failed()
			q := post("/v1/dead-letters/"+run+"/note", `{"note":"see 7"}`)
			return acted{
				request: q, what: durable.ActNote, object: "run/" + run, detail: `"note":"see 7"`, again: []request{q},
				refused: []request{post("/v1/dead-letters/"+unknownRun+"/note", `{"note":"x"}`), post(q.path, `{"note":""}`)},
			}
		},
	},
	"POST /v1/functions/{slug}/pause": {func(*fixture) acted {
		q := post("/v1/functions/shop-charge/pause", `{"reason":"too much"}`)
		return acted{
			request: q, what: durable.ActPause, object: "shop-charge", detail: `"why":"too much"`, again: []request{q},
			refused: []request{post("/v1/functions/shop-none/pause", `{}`), post(q.path, `{"hold":"x"}`), post(q.path, `{"reason":"`+strings.Repeat("x", 2001)+`"}`)},
		}
	}},
	"POST /v1/functions/{slug}/resume": {func(f *fixture) acted {
		require.Equal(f.t, 200, f.post("/v1/functions/shop-charge/pause", `{}`).Code)
		q := post("/v1/functions/shop-charge/resume", `{}`)
		return acted{request: q, what: durable.ActResume, object: "shop-charge", again: []request{q}, refused: []request{post("/v1/functions/shop-none/resume", `{}`)}}
	}},
	"POST /v1/apps/{app}/pause": {func(*fixture) acted {
		q := post("/v1/apps/shop/pause", `{"hold":"all"}`)
		return acted{request: q, what: durable.ActPause, object: "app/shop", detail: `"pause":"all"`, again: []request{q}, refused: []request{post("/v1/apps/none/pause", `{}`)}}
	}},
	"POST /v1/apps/{app}/resume": {func(f *fixture) acted {
		require.Equal(f.t, 200, f.post("/v1/apps/shop/pause", `{}`).Code)
		q := post("/v1/apps/shop/resume", `{}`)
		return acted{request: q, what: durable.ActResume, object: "app/shop", again: []request{q}, refused: []request{post("/v1/apps/none/resume", `{}`)}}
	}},
	"PUT /v1/functions/{slug}/limits": {func(*fixture) acted {
		q := request{method: "PUT", path: "/v1/functions/shop-charge/limits", body: `{"limits":{"concurrency":2}}`}
		return acted{
			request: q, what: durable.ActLimit, object: "shop-charge", detail: `"limits":{"concurrency":2}`, again: []request{q},
			refused: []request{{method: "PUT", path: q.path, body: `{"limits":{"concurrency":"x"}}`}, {method: "PUT", path: q.path, body: `{}`}},
		}
	}},
	"POST /v1/people": {func(*fixture) acted {
		q := post("/v1/people", `{"name":"ada","role":"admin"}`)
		return acted{
			request: q, what: durable.ActAddPerson, object: "person/ada", detail: `"role":"admin"`, again: []request{q},
			refused: []request{post(q.path, `{"name":"ada"}`), post(q.path, `{"name":"ada","role":"king"}`), post(q.path, `{"name":"ada","role":"viewer","password":"x"}`)},
		}
	}},
	"PATCH /v1/people/{id}": {func(f *fixture) acted {
		p := data[personView](f.t, f.post("/v1/people", `{"name":"ada","role":"viewer"}`))
		q := request{method: "PATCH", path: "/v1/people/" + p.ID, body: `{"role":"operator"}`, header: map[string]string{"Content-Type": "application/json"}}
		bad := q
		bad.body = `{"role":"king"}`
		return acted{request: q, what: durable.ActChangePerson, object: "person/ada", detail: `"role":"operator"`, again: []request{q}, refused: []request{bad}}
	}},
	"DELETE /v1/people/{id}": {func(f *fixture) acted {
		p := data[personView](f.t, f.post("/v1/people", `{"name":"ada","role":"viewer"}`))
		q := request{method: "DELETE", path: "/v1/people/" + p.ID}
		return acted{request: q, what: durable.ActRemovePerson, object: "person/ada", again: []request{q}, refused: []request{{method: "DELETE", path: "/v1/people/x"}}}
	}},
	"POST /v1/people/{id}/link": {func(f *fixture) acted {
		p := data[personView](f.t, f.post("/v1/people", `{"name":"ada","role":"viewer"}`))
		return acted{
			request: post("/v1/people/"+p.ID+"/link", ""), what: durable.ActLinkPerson, object: "person/ada", detail: `"role":"viewer"`,
			refused: []request{post("/v1/people/x/link", "")},
		}
	}},
	"DELETE /v1/people/{id}/sessions": {func(f *fixture) acted {
		p := data[personView](f.t, f.post("/v1/people", `{"name":"ada","role":"viewer"}`))
		x := store.Session{Hash: hashed("x"), Person: p.ID, Version: 1, Created: time.Now(), Expires: time.Now().Add(time.Hour)}
		require.NoError(f.t, f.s.eng.People().AddSession(f.t.Context(), x, durable.Act{At: time.Now(), By: "x", What: durable.ActLogin, Object: "person/ada"}))
		q := request{method: "DELETE", path: "/v1/people/" + p.ID + "/sessions"}
		return acted{request: q, what: durable.ActEndLogins, object: "person/ada", again: []request{q}, refused: []request{{method: "DELETE", path: "/v1/people/x/sessions"}}}
	}},
	"POST /v1/tokens": {func(*fixture) acted {
		return acted{
			request: post("/v1/tokens", `{"name":"ci","role":"viewer"}`), what: durable.ActAddToken, object: "token/ci", detail: `"role":"viewer"`,
			refused: []request{post("/v1/tokens", `{"name":"ci"}`), post("/v1/tokens", `{"role":"viewer"}`), post("/v1/tokens", `{"name":"ci","role":"viewer","life":"x"}`)},
		}
	}},
	"DELETE /v1/tokens/{id}": {func(f *fixture) acted {
		t := data[tokenView](f.t, f.post("/v1/tokens", `{"name":"ci","role":"viewer"}`))
		q := request{method: "DELETE", path: "/v1/tokens/" + t.ID}
		return acted{request: q, what: durable.ActRemoveToken, object: "token/ci", detail: `"id":"` + t.ID + `"`, again: []request{q}, refused: []request{{method: "DELETE", path: "/v1/tokens/x"}}}
	}},
	"POST /apps/{app}/syncs": {func(f *fixture) acted {
		q := post("/v2/apps/shop/syncs", `{"url":"http://localhost:3000/api/inngest"}`)
		f.changed = true
		return acted{
			request: q, what: durable.ActSyncApp, object: "app/shop", detail: `"url":"http://localhost:3000/api/inngest"`, again: []request{q},
			refused: []request{post("/v2/apps/shop/syncs", `{"url":"http://away/x"}`), post("/v2/apps/shop/syncs", `{}`)},
		}
	}},
}

// newActing is a server whose app fails all its runs, and registers itself when
// it is asked to.
func newActing(t *testing.T) *fixture {
	var f *fixture
	f = newFixture(t, withApp(func(r *http.Request) *http.Response {
		switch {
		case r.URL.Host == "away":
			return sdk(http.StatusInternalServerError, `{"message":"away"}`)
		case r.Method == http.MethodPut:
			if f.changed {
				require.Equal(t, http.StatusOK, f.post("/fn/register", strings.Replace(registration, `"name":"charge"`, `"name":"Charge"`, 1)).Code)
			}
			return sdk(200, `{"message":"Successfully registered"}`)
		}
		return refuses(r)
	}))
	f.register()
	return f
}

func (f *fixture) acts() []actView {
	f.t.Helper()
	return data[[]actView](f.t, f.get("/v1/audit?limit=200"))
}

// Each route that changes something leaves one line in the audit log, and none
// when it is refused or repeated. A new route has to say what it does.
func TestEveryActIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	missing := map[string]bool{}
	for name := range acts {
		missing[name] = true
	}
	for _, rt := range routes() {
		pattern, isV2 := rt.pattern, false
		for _, prefix := range v2Prefixes() {
			if p, ok := strings.CutPrefix(pattern, prefix+"/"); ok {
				pattern, isV2 = "/"+p, true
			}
		}
		name := rt.method + " " + pattern
		switch {
		case rt.reads || rt.method == http.MethodGet && rt.mark != traffic:
			require.Equal(t, unmarked, rt.mark, "%s changes nothing", name)
			continue
		case rt.missing:
			continue
		case rt.mark == traffic, rt.mark == personal:
			continue
		}
		require.Equal(t, act, rt.mark, "%s: say whether it is traffic or an act", name)
		require.NotEmpty(t, acts[name], "%s is an act without a test of its line in the audit log", name)
		delete(missing, name)
		if isV2 && strings.HasPrefix(rt.pattern, "/api") {
			continue // the same handler
		}
		for _, prepare := range acts[name] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newActing(t)
				a := prepare(f)
				before := f.acts()
				for _, q := range a.refused {
					w := f.do(q)
					if q.body != `{"note":""}` { // which is so already
						require.GreaterOrEqual(t, w.Code, 400, "%s %s %s", q.method, q.path, q.body)
					}
					require.Equal(t, before, f.acts(), "%s %s %s changes nothing", q.method, q.path, q.body)
				}
				w := f.do(a.request)
				require.Equal(t, http.StatusOK, w.Code, w.Body)
				after := f.acts()
				require.Equal(t, before, after[1:], "one line")
				line := after[0]
				require.Equal(t, a.what, line.What)
				if strings.HasSuffix(a.object, "/") {
					require.True(t, strings.HasPrefix(line.Object, a.object), line.Object)
				} else {
					require.Equal(t, a.object, line.Object)
				}
				require.Equal(t, "dev from 192.0.2.1", line.By)
				require.WithinDuration(t, time.Now(), line.At, time.Minute)
				require.Contains(t, string(line.Detail), a.detail)
				for _, q := range a.again {
					f.do(q)
					require.Equal(t, after, f.acts(), "it is so already: %s %s", q.method, q.path)
				}
			})
		}
	}
	require.Empty(t, missing, "there is no such act in the table")
}

// An app that is asked with its answer in band is registered by whoever asks.
func TestSyncInBandIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response {
		resp := sdk(200, `{"app_id":"shop","env":null,"framework":"nodejs","inspection":{},"platform":null,"sdk_author":"inngest","sdk_language":"js","sdk_version":"4.24.0",
			"url":"http://localhost:3000/api/inngest","functions":[{"id":"shop-charge","name":"charge","triggers":[{"event":"order/paid"}],
			"steps":{"step":{"id":"step","name":"step","runtime":{"type":"http","url":"http://localhost:3000/api/inngest?fnId=shop-charge&stepId=step"}}}}]}`)
		resp.Header.Set("X-Inngest-Sync-Kind", "in_band")
		return resp
	}))
	for range 2 {
		w := f.post("/v2/apps/shop/syncs", `{"url":"http://localhost:3000/api/inngest"}`)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		lines := f.acts()
		require.Len(t, lines, 1)
		require.Equal(t, "app/shop", lines[0].Object)
	}
}

func TestAuditLogIsPaged(t *testing.T) {
	t.Parallel()
	f := newActing(t)
	for i, path := range []string{"/v1/functions/shop-charge/pause", "/v1/apps/shop/pause", "/v1/functions/shop-charge/resume", "/v1/apps/shop/resume"} {
		require.Equal(t, http.StatusOK, f.post(path, `{}`).Code, i)
	}
	all := f.acts()
	require.Len(t, all, 4)
	var paged []actView
	for cursor := ""; ; {
		page := data[[]actView](t, f.get("/v1/audit?limit=3&cursor="+cursor))
		paged = append(paged, page...)
		if len(page) < 3 {
			break
		}
		cursor = page[len(page)-1].Cursor
	}
	require.Equal(t, all, paged)
	require.Equal(t, []actView{all[0], all[2]}, data[[]actView](t, f.get("/v1/audit?object=app/shop")))
	at := url.QueryEscape(all[1].At.Format(time.RFC3339Nano))
	require.Equal(t, all[2:], data[[]actView](t, f.get("/v1/audit?until="+at)))
	require.Equal(t, all[:2], data[[]actView](t, f.get("/v1/audit?from="+at)))
	require.Empty(t, data[[]actView](t, f.get("/v1/audit?object=none")))
	require.Contains(t, wantRefusal(t, f.get("/v1/audit?cursor=x"), http.StatusBadRequest), "cursor must be that of the last row")
	require.Contains(t, wantRefusal(t, f.get("/v1/audit?until=x"), http.StatusBadRequest), "until must be a time")
}

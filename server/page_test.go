package server

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/redact"
)

// get asks as a browser does for a page.
func (f *fixture) browse(path string) *httptest.ResponseRecorder {
	return f.do(request{method: "GET", path: path, header: map[string]string{"Accept": "text/html,*/*;q=0.8"}})
}

// Every address that is not the API's is one of the dashboard, which is the same for
// everybody: what it may show, the API decides.
func TestDashboardIsServed(t *testing.T) {
	t.Parallel()
	for _, f := range []*fixture{newFixture(t), newFixture(t, serving)} {
		for _, path := range []string{"/", "/runs", "/runs/01JQDAE4RQF8MBCR55T5AK4KXS", "/nowhere"} {
			w := f.browse(path)
			require.Equal(t, http.StatusOK, w.Code, path)
			require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
			require.Equal(t, "no-cache", w.Header().Get("Cache-Control"))
			require.Contains(t, w.Body.String(), `<div id="root">`)
			policy := w.Header().Get("Content-Security-Policy")
			require.Contains(t, policy, "default-src 'self'")
			require.NotContains(t, policy, "unsafe")
		}
		for _, path := range []string{"/v1/nowhere", "/v3x.json", "/assets/none.js", "/api/x", "/V1/runs"} {
			wantRefusal(t, f.browse(path), http.StatusNotFound)
		}
		require.Equal(t, "there is no /nowhere here", wantRefusal(t, f.get("/nowhere"), http.StatusNotFound))
	}
	for _, path := range []string{"/favicon.ico", "/assets/pawl.png"} {
		w := newFixture(t).get(path)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "image/png", w.Header().Get("Content-Type"))
	}
}

// TestPagesAreAskedForAhead: what a page names in its head is there to be had.
func TestPagesAreAskedForAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.register()
	run := "/runs/" + f.failed()
	link := regexp.MustCompile(`^<([^>]+)>; rel=preload; as=fetch; crossorigin$`)
	for page, want := range map[string]int{
		"/": 2, "/runs": 1, run: 1, run + "?step=x": 1,
		"/runs?q=status%3Afailed": 0, "/runs/x": 0, "/runs/%3E%3B": 0, "/apps": 0,
	} {
		at, err := url.Parse(page)
		require.NoError(t, err)
		values := f.browse(page).Header().Values("Link")
		require.Len(t, values, want, page)
		for _, value := range values {
			m := link.FindStringSubmatch(value)
			require.NotNil(t, m, value)
			ahead, err := at.Parse(m[1]) // as a browser does
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, f.get(ahead.String()).Code, ahead)
		}
	}
}

func TestPortsText(t *testing.T) {
	t.Parallel()
	require.Equal(t, "80, 443, 3000–3010, 4321, 5000, 5173, 8000, 8080, 8081, 8787, 8888, 8910–8915, 9999", portsText(DiscoveryPorts(9999)))
	require.NotContains(t, strings.Split(portsText(DiscoveryPorts(3000)), ", "), "3000")
}

func TestServerTellsOfAppsThatHaveNotSynced(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config, _ *engineConfig) {
		c.Discovery = true
		c.Unsynced = func() []Unsynced {
			return []Unsynced{{URL: "http://localhost:3000/x"}, {URL: "http://localhost:3001/y", Problem: "it answered <404>"}}
		}
	})
	v := data[serverView](t, f.get("/v1/server"))
	require.Equal(t, serverView{
		Version: "v-test", Dev: true, Discovery: true, Ports: portsText(DiscoveryPorts(0)), Paths: DiscoveryPaths(),
		Unsynced: []unsyncedView{{"http://localhost:3000/x", ""}, {"http://localhost:3001/y", "it answered <404>"}},
	}, v)
}

func TestServerTellsThatNoAppsAreLookedFor(t *testing.T) {
	t.Parallel()
	v := data[serverView](t, newFixture(t).get("/v1/server"))
	require.Equal(t, serverView{Version: "v-test", Dev: true, Paths: []string{}, Unsynced: []unsyncedView{}}, v)
}

// stepHash is the id of the first step "foo".
const stepHash = "0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33"

// A row of a search says where its run comes from, as far as that is short and may be seen.
func TestSearchSaysWhereRunsComeFrom(t *testing.T) {
	t.Parallel()
	rules, err := redact.Parse([]string{"data.card"})
	require.NoError(t, err)
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }), func(c *Config, _ *engineConfig) { c.Redact = rules })
	f.register()
	f.ended(`{"name":"order/paid","data":{"card":"4242","n":12345678901234567890}}`)
	f.ended(`{"name":"order/paid","data":{"text":"` + strings.Repeat("x", mostShown) + `"}}`)
	rows := data[foundView](t, f.get("/v1/runs/search")).Runs
	require.Len(t, rows, 2)
	require.Empty(t, rows[0].Data, "it is long")
	require.Contains(t, string(rows[1].Data), "12345678901234567890")
	require.NotContains(t, string(rows[1].Data), "4242")
}

func TestSearchLooksIntoRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(r *http.Request) *http.Response {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"bad":true`) {
			return sdk(400, `{"name":"CardError","message":"card 4242 declined"}`)
		}
		return sdk(200, `1`)
	}))
	f.register()
	good := f.ended(`{"name":"order/paid","data":{"customer":{"id":"c-1"},"n":12345678901234567890}}`).RunID
	bad := f.ended(`{"name":"order/paid","data":{"customer":{"id":"c-2"},"bad":true}}`).RunID
	for query, want := range map[string][]string{
		"":                                 {bad, good},
		"status=Failed":                    {bad},
		"status=Failed&status=Completed":   {bad, good},
		"function=shop-charge":             {bad, good},
		"function=none":                    nil,
		"app=shop&status=Completed":        {good},
		"app=none":                         nil,
		"event=order/paid":                 {bad, good},
		"event=order/*":                    {bad, good},
		"event=order":                      nil,
		"data=customer.id=c-1":             {good},
		"data=customer.id!=c-1":            {bad},
		"data=customer.id~C-":              {bad, good},
		"data=customer.id~c&data=bad=true": {bad},
		"data=n=12345678901234567890":      {good},
		"data=n=12345678901234567891":      nil,
		"data=none.at.all=1":               nil,
		"error=DECLINED":                   {bad},
		"from=2020-01-01T00:00:00Z":        {bad, good},
		"until=2020-01-01T00:00:00Z":       nil,
	} {
		var ids []string
		found := data[foundView](t, f.get("/v1/runs/search?"+query))
		for _, run := range found.Runs {
			ids = append(ids, run.RunID)
		}
		require.Equal(t, want, ids, query)
		require.Empty(t, found.Cursor, query)
	}
	first := data[foundView](t, f.get("/v1/runs/search?limit=1&event=order/paid"))
	require.Len(t, first.Runs, 1)
	require.Equal(t, "CardError: card 4242 declined", first.Runs[0].Problem)
	second := data[foundView](t, f.get("/v1/runs/search?limit=1&event=order/paid&cursor="+first.Cursor))
	require.Equal(t, good, second.Runs[0].RunID)
	require.Empty(t, second.Cursor)
	for _, query := range []string{"data=x", "data==1", "data=a..b=1", "data=a!1", "status=Happy", "statsu=Failed", "cursor=x", "limit=0"} {
		wantRefusal(t, f.get("/v1/runs/search?"+query), http.StatusBadRequest)
	}
}

func TestTraceTellsWhatHasChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(r *http.Request) *http.Response {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), stepHash+`":`) {
			return sdk(400, `{"name":"Boom","message":"at the end","stack":"Error: at the end\n  at x.ts:1"}`)
		}
		return sdk(206, `[{"id":"`+stepHash+`","op":"StepRun","displayName":"foo","data":{"secret":"large"}}]`)
	}))
	f.register()
	run := f.ended(`{"name":"order/paid","data":{"a":1}}`).RunID
	v := data[traceView](t, f.get("/v1/runs/"+run+"/trace"))
	require.Len(t, v.Steps, 2)
	require.Equal(t, 2, v.Total)
	require.Equal(t, "foo", v.Steps[0].Name)
	require.Positive(t, v.Steps[0].OutputBytes)
	require.Equal(t, bodyWord, v.Steps[1].Step)
	require.Equal(t, "Boom: at the end", v.Steps[1].Problem)
	require.Equal(t, "Boom: at the end", v.Run.Problem)
	require.NotContains(t, f.get("/v1/runs/"+run+"/trace").Body.String(), "secret")

	require.Len(t, data[traceView](t, f.get("/v1/runs/"+run+"/trace?after=1")).Steps, 1)
	require.Contains(t, f.get("/v1/runs/"+run+"/steps/"+stepHash).Body.String(), `"secret":"large"`)
	require.Contains(t, f.get("/v1/runs/"+run+"/steps/"+bodyWord).Body.String(), "x.ts:1")
	wantRefusal(t, f.get("/v1/runs/"+run+"/steps/none"), http.StatusNotFound)

	links := data[linksView](t, f.get("/v1/runs/"+run+"/links"))
	require.JSONEq(t, `{"a":1}`, string(links.Events[0].Data))
	require.Equal(t, run, links.Letter.RunID)
	require.Equal(t, "shop-charge", links.Function.Slug)
	again := data[startedView](t, f.post("/v1/runs/"+run+"/rerun", "{}")).RunID
	links = data[linksView](t, f.get("/v1/runs/"+again+"/links"))
	require.Equal(t, run, links.Original.RunID)
	require.Equal(t, run, links.Reruns[0].RunID)

	// With other data the event is another, and the chain goes on; from each run of it
	// the whole is seen.
	third := data[startedView](t, f.post("/v1/runs/"+again+"/rerun", `{"data":{"a":2}}`)).RunID
	for _, id := range []string{run, again, third} {
		var chain []string
		for _, r := range data[linksView](t, f.get("/v1/runs/"+id+"/links")).Chain {
			chain = append(chain, r.RunID)
		}
		require.Equal(t, []string{run, again, third}, chain)
	}
}

func TestLinksLeadToParentAndChild(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(r *http.Request) *http.Response {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"name":"inngest/function.invoked"`) {
			return sdk(206, `[{"id":"`+stepHash+`","op":"WaitForEvent","displayName":"pay","name":"paid","opts":{"event":"paid","timeout":"1d"}}]`)
		}
		return sdk(206, `[{"id":"`+stepHash+`","op":"InvokeFunction","displayName":"call","opts":{"function_id":"shop-charge","payload":{"data":{}}}}]`)
	}))
	f.register()
	parent := data[[]runView](t, f.get("/v1/events/"+f.send(`{"name":"order/paid"}`)+"/runs"))[0].RunID
	var links linksView
	require.Eventually(t, func() bool {
		links = data[linksView](t, f.get("/v1/runs/"+parent+"/links"))
		return len(links.Children) == 1
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, stepHash, links.Children[0].Step)
	child := data[linksView](t, f.get("/v1/runs/"+links.Children[0].Run.RunID+"/links"))
	require.Equal(t, parent, child.Parent.Run.RunID)
	require.Equal(t, stepHash, child.Parent.Step)

	// Lists say it too, and that a run which somebody invoked has no parent.
	require.Equal(t, http.StatusOK, f.post("/invoke/shop-charge", `{"data":{}}`).Code)
	parents := map[string]int{}
	for _, r := range data[foundView](t, f.get("/v1/runs/search?event=inngest/function.invoked")).Runs {
		parents[r.ParentID+" "+r.ParentFunction]++
	}
	require.Equal(t, map[string]int{parent + " shop-charge": 1, " ": 1}, parents)
	ref := durable.Ref{Run: parent, Step: stepHash}
	require.Equal(t, parent, viewRow(&durable.Run{Joined: []durable.Ref{ref}}).ParentID, "a batch")
	require.Equal(t, parent, viewNews(engine.RunNews{Parent: parent}).ParentID)
}

func TestOverviewCountsAndTellsWhatNeedsAPerson(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(400, `{"name":"Boom","message":"no"}`) }))
	f.register()
	run := f.ended(`{"name":"order/paid"}`).RunID
	require.Equal(t, http.StatusOK, f.post("/v1/functions/shop-charge/pause", `{"reason":"repair"}`).Code)
	v := data[overviewView](t, f.get("/v1/overview"))
	require.Equal(t, countsView{Events: 1, Started: 1, Failed: 1}, v.Hour)
	require.Len(t, v.Buckets.Failed, 360)
	require.Equal(t, 1, v.Buckets.Failed[359]+v.Buckets.Failed[358], "just now")
	require.Positive(t, v.Run.P95)
	require.Equal(t, run, v.Failures[0].RunID)
	require.Equal(t, "shop-charge", v.Functions[0].Slug)
	var kinds []string
	for _, a := range v.Attention {
		kinds = append(kinds, a.Kind)
	}
	require.Equal(t, []string{"dead", "paused"}, kinds)
}

// followed is the stream of changes, read over a socket.
type followed struct{ lines *bufio.Scanner }

// followAs reads the stream as who shows a cookie, a token, or nothing.
func followAs(t *testing.T, f *fixture, who string) *followed {
	ts := httptest.NewServer(f.s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ts.URL+"/v1/changes", nil)
	require.NoError(t, err)
	for name, value := range shownBy(who) {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		res.Body.Close()
		ts.Close()
	})
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	return &followed{bufio.NewScanner(res.Body)}
}

// next is the next event; ok is false when the stream has ended.
func (f *followed) next() (event, data string, ok bool) {
	for f.lines.Scan() {
		switch name, value, _ := strings.Cut(f.lines.Text(), ": "); {
		case name == "event":
			event = value
		case name == "data":
			data = value
		case f.lines.Text() == "" && event != "":
			return event, data, true
		}
	}
	return "", "", false
}

// follow reads the stream of changes of a server that asks nobody for anything.
func follow(t *testing.T, f *fixture) (next func() (event, data string)) {
	stream := followAs(t, f, "")
	return func() (event, data string) {
		event, data, ok := stream.next()
		require.True(t, ok, "the stream has ended")
		return event, data
	}
}

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(400, `{"name":"Boom","message":"no"}`) }))
	f.register()
	next := follow(t, f)
	event, text := next()
	require.Equal(t, "hello", event)
	require.Regexp(t, `^{"version":"v-test","quiet_ms":\d+}$`, text)
	id := f.send(`{"name":"order/paid"}`)
	stale := map[string]bool{}
	var last changedView
	for last.Status != "Failed" {
		event, text := next()
		require.Equal(t, "news", event)
		var v newsView
		require.NoError(t, json.Unmarshal([]byte(text), &v))
		for _, word := range v.Stale {
			stale[word] = true
		}
		for _, run := range v.Runs {
			require.Equal(t, id, run.EventID)
			require.Equal(t, "order/paid", run.EventName)
			last = run
		}
	}
	require.Equal(t, "Boom: no", last.Problem)
	require.Equal(t, data[traceView](t, f.get("/v1/runs/"+last.RunID+"/trace")).Seq, last.Seq)
	require.True(t, stale["events"] && stale["letters"] && stale["counts"], "%v", stale)
}

// TestChangesSayForHowLongItWasQuiet: a page reads before it follows. Whether something has
// changed between, it can tell.
func TestChangesSayForHowLongItWasQuiet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.register()
	quiet := func() time.Duration {
		event, text, _ := followAs(t, f, "").next()
		require.Equal(t, "hello", event)
		var hello helloView
		require.NoError(t, json.Unmarshal([]byte(text), &hello))
		require.Equal(t, "v-test", hello.Version)
		return time.Duration(hello.QuietMS) * time.Millisecond
	}
	began := time.Now()
	f.send(`{"name":"order/paid"}`)
	require.LessOrEqual(t, quiet(), time.Since(began))
}

func TestChangesAreRedacted(t *testing.T) {
	t.Parallel()
	rules, err := redact.Parse([]string{`pattern:sk_live_\w+`, "card.number"})
	require.NoError(t, err)
	f := newFixture(t, func(c *Config, _ *engineConfig) { c.Redact = rules }, withApp(func(*http.Request) *http.Response {
		return sdk(400, `{"name":"Error","message":"no money for sk_live_abc {\"card\":{\"number\":6011}}"}`)
	}))
	f.register()
	next := follow(t, f)
	next()
	f.send(`{"name":"order/paid"}`)
	for {
		_, text := next()
		require.NotContains(t, text, "sk_live_abc")
		require.NotContains(t, text, "6011")
		if strings.Contains(text, "no money for "+redact.Mark) {
			return
		}
	}
}

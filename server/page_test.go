package server

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

func TestHomeTellsWhatToDoNext(t *testing.T) {
	t.Parallel()
	w := newFixture(t).get("/")
	require.Equal(t, http.StatusOK, w.Code)
	for _, want := range []string{"INNGEST_DEV=http://localhost:8288", "3000–3010", "/api/inngest", "pawl dev --app"} {
		require.Contains(t, w.Body.String(), want)
	}
}

func TestPagesShowPayloadsInert(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script>`
	f := newFixture(t, withApp(func(*http.Request) *http.Response {
		return sdk(400, `{"name":"Error","message":"`+evil+`\u202egnp","stack":"`+evil+`"}`)
	}))
	f.register()
	run := f.ended(`{"name":"order/paid","data":{"x":"` + evil + `"}}`)
	require.Equal(t, "Failed", run.Status)
	for _, path := range []string{"/", "/runs/" + run.RunID} {
		w := f.get(path)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		page := w.Body.String()
		require.NotContains(t, page, "<script")
		require.NotContains(t, page, "\u202e")
		require.NotContains(t, page, "style=")
		require.NotContains(t, page, "//fonts")
		require.Contains(t, page, `class="status Failed"`)
		policy := w.Header().Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.NotContains(t, policy, "unsafe")
	}
	home := f.get("/").Body.String()
	require.NotContains(t, home, "Not held yet by this version")
	require.Contains(t, home, "/runs/"+run.RunID)
	page := f.get("/runs/" + run.RunID).Body.String()
	require.Contains(t, page, "alert(1)")
	require.Contains(t, page, bodyName)
	require.NotContains(t, page, `http-equiv="refresh"`, "an ended run does not change")
	require.Equal(t, http.StatusNotFound, f.get("/runs/x").Code)

	css := f.get("/assets/pawl.css")
	require.Equal(t, http.StatusOK, css.Code)
	require.Contains(t, css.Header().Get("Content-Type"), "text/css")
	require.Contains(t, css.Body.String(), "prefers-color-scheme: dark")
}

func TestServePagesShowNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving)
	w := f.do(request{method: "POST", path: "/fn/register", body: registration, header: map[string]string{"Authorization": "Bearer " + testKey}})
	require.Equal(t, http.StatusOK, w.Code)
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/":                                {http.StatusOK, "Pawl serves."},
		"/runs/01JQDAE4RQF8MBCR55T5AK4KXS": {http.StatusNotFound, "pawl runs show ID"},
		"/runs/anything":                   {http.StatusNotFound, "pawl runs show ID"},
	} {
		w := f.get(path)
		require.Equal(t, want.status, w.Code, path)
		require.Contains(t, w.Body.String(), want.text)
		require.NotContains(t, w.Body.String(), "shop")
	}
	require.Equal(t, http.StatusNotFound, f.get("/dev").Code)
}

func TestPortsText(t *testing.T) {
	t.Parallel()
	require.Equal(t, "80, 443, 3000–3010, 4321, 5000, 5173, 8000, 8080, 8081, 8787, 8888, 8910–8915, 9999", portsText(DiscoveryPorts(9999)))
	require.NotContains(t, strings.Split(portsText(DiscoveryPorts(3000)), ", "), "3000")
}

func TestUnknownPathsTellWhoAsks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.Equal(t, "there is no /nowhere here", wantRefusal(t, f.get("/nowhere"), http.StatusNotFound))
	w := f.do(request{method: "GET", path: "/nowhere", header: map[string]string{"Accept": "text/html,*/*;q=0.8"}})
	require.Equal(t, http.StatusNotFound, w.Code)
	require.Contains(t, w.Header().Get("Content-Type"), "text/html")
	require.Contains(t, w.Body.String(), "There is no page /nowhere here.")
	for _, path := range []string{"/favicon.ico", "/assets/pawl.svg"} {
		w := f.get(path)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "image/svg+xml", w.Header().Get("Content-Type"))
	}
}

func TestHomeShowsRunsByPageAndStatus(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	for range latestRuns + 2 {
		f.ended(`{"name":"order/paid"}`)
	}
	first := f.get("/").Body.String()
	require.Equal(t, latestRuns, strings.Count(first, `<a href="/runs/`))
	require.NotContains(t, first, "Newest runs")
	require.Less(t, strings.Index(first, "Latest runs"), strings.Index(first, "shop-charge</code>"), "runs come before apps")
	require.Contains(t, first, `href="/?function=shop-charge"`)
	older := regexp.MustCompile(`href="(/\?cursor=[^"]*)">Older runs`).FindStringSubmatch(first)
	require.NotNil(t, older, first)
	second := f.get(older[1]).Body.String()
	require.Equal(t, 2, strings.Count(second, `<a href="/runs/`))
	require.Contains(t, second, `<a href="/">Newest runs</a>`)
	require.NotContains(t, second, "Older runs</a>")
	require.NotContains(t, second, `http-equiv="refresh"`)

	require.Contains(t, f.get("/?status=Failed").Body.String(), "No run matches.")
	filtered := f.get("/?function=shop-charge&status=Completed").Body.String()
	require.Equal(t, latestRuns, strings.Count(filtered, `<a href="/runs/`))
	require.Contains(t, filtered, `<a href="/?function=shop-charge&amp;status=Completed" aria-current="page">Completed</a>`)
	require.Contains(t, filtered, `href="/?function=shop-charge&amp;status=Failed"`)
	for _, path := range []string{"/?stauts=Failed", "/?status=Happy", "/?cursor=x"} {
		w := f.get(path)
		require.Equal(t, http.StatusBadRequest, w.Code, path)
		require.Contains(t, w.Header().Get("Content-Type"), "text/html")
	}
}

func TestHomeShowsAppsThatHaveNotSynced(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config, _ *engineConfig) {
		c.Unsynced = func() []Unsynced {
			return []Unsynced{{URL: "http://localhost:3000/x"}, {URL: "http://localhost:3001/y", Problem: "it answered <404>"}}
		}
	})
	home := f.get("/").Body.String()
	require.Contains(t, home, "http://localhost:3000/x · nothing listens there yet")
	require.Contains(t, home, "http://localhost:3001/y")
	require.Contains(t, home, "it answered &lt;404&gt;")
}

// A step that never began still has the failure that it caused.
func TestRunPageNamesTheStepThatCouldNotBegin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response {
		return sdk(206, `[{"id":"w","op":"WaitForEvent","displayName":"pay","name":"paid","opts":{"event":"paid","timeout":"1d","if":"event.data.x =="}}]`)
	}))
	f.register()
	run := f.ended(`{"name":"order/paid"}`)
	require.Equal(t, "Failed", run.Status)
	page := f.get("/runs/" + run.RunID).Body.String()
	require.Contains(t, page, "<dd>in pay</dd>")
	require.Contains(t, page, "The run failed before step pay could begin.")
	require.Contains(t, page, "event.data.x ==: line 1, column ")
}

// One failure stands in one place.
func TestRunPageTellsOneFailureOnce(t *testing.T) {
	t.Parallel()
	boom, other := jsontext.Value(`{"name":"Error","message":"boom"}`), jsontext.Value(`{"name":"Error","message":"other"}`)
	tried := func(errs ...jsontext.Value) (list []attemptView) {
		for i, err := range errs {
			list = append(list, attemptView{Attempt: i + 1, Error: err})
		}
		return list
	}
	v := stepsView{Run: runView{Status: "Failed", Output: boom}, Steps: []stepView{
		{Step: "a", Name: "fine", Attempts: tried(nil)},
		{Step: "b", Name: "pay", Attempts: tried(boom, boom, other, boom)},
		{Step: "", Name: bodyName, Attempts: tried(boom)},
	}}
	list, failed := showSteps(v)
	require.Len(t, list, 2)
	require.Empty(t, list[0].Tries)
	var again []bool
	for _, try := range list[1].Tries {
		again = append(again, try.Again)
	}
	require.Equal(t, []bool{false, true, false, false}, again)
	require.Equal(t, "pay", failed.Name)

	v.Steps[2].Attempts = tried(jsontext.Value(`{"name":"Error","message":"of its own"}`))
	v.Run.Output = v.Steps[2].Attempts[0].Error
	list, failed = showSteps(v)
	require.Len(t, list, 3)
	require.Equal(t, bodyName, failed.Name)

	v.Steps, v.Run.Output = nil, boom
	_, failed = showSteps(v)
	require.Nil(t, failed, "the page shows the error of the run")
}

// A run that waits says for what, and leads to the run that it waits for.
func TestRunPageTellsWhatTheRunWaitsFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(r *http.Request) *http.Response {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"name":"inngest/function.invoked"`) {
			return sdk(206, `[{"id":"0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33","op":"WaitForEvent","displayName":"pay","name":"paid","opts":{"event":"paid","timeout":"1d","if":"async.data.x == 1"}}]`)
		}
		return sdk(206, `[{"id":"0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33","op":"InvokeFunction","displayName":"call","opts":{"function_id":"shop-charge","payload":{"data":{}}}}]`)
	}))
	f.register()
	parent := data[[]runView](t, f.get("/v1/events/"+f.send(`{"name":"order/paid"}`)+"/runs"))[0]
	var page, child string
	require.Eventually(t, func() bool {
		page = f.get("/runs/" + parent.RunID).Body.String()
		link := regexp.MustCompile(`<p class="quiet">run <a href="/runs/(\w+)">`).FindStringSubmatch(page)
		if link == nil {
			return false
		}
		child = f.get("/runs/" + link[1]).Body.String()
		return strings.Contains(child, "for the event paid")
	}, time.Minute, 10*time.Millisecond)
	require.Contains(t, page, "for a run of shop-charge")
	require.Contains(t, page, "waits for run ")
	require.Contains(t, child, "for the event paid with async.data.x == 1")
	require.Contains(t, child, `<dt>Invoked by</dt><dd>run <a href="/runs/`+parent.RunID+`">`)
	home := f.get("/").Body.String()
	require.Contains(t, home, `href="/?status=Cancelled"`)
	require.Contains(t, home, `href="/?status=Queued"`)
}

func TestRunPageLeadsToDeferredRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(r *http.Request) *http.Response {
		if strings.Contains(r.URL.RawQuery, "fnId=shop-later") {
			return sdk(200, `1`)
		}
		return sdk(206, `[{"id":"d","op":"DeferAdd","displayName":"later","opts":{"fn_slug":"shop-later","input":{}}},`+
			`{"id":"r","op":"RunComplete","data":1}]`)
	}))
	later := strings.NewReplacer("shop-charge", "shop-later", "order/paid", "inngest/deferred.schedule", `"name":"charge"`, `"name":"later"`)
	_, function, _ := strings.Cut(registration, `"functions":[`)
	function, _, _ = strings.Cut(function, "],\n\"sdk\"")
	w := f.post("/fn/register", strings.Replace(registration, function, function+","+later.Replace(function), 1))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	run := f.ended(`{"name":"order/paid"}`)
	require.Equal(t, "Completed", run.Status)
	page := f.get("/runs/" + run.RunID).Body.String()
	link := regexp.MustCompile(`<p class="quiet">run <a href="/runs/(\w+)">`).FindStringSubmatch(page)
	require.NotNil(t, link, page)
	require.Contains(t, f.get("/runs/"+link[1]).Body.String(), "<h1>shop-later</h1>")
}

func TestRunPageSpeaksToPeople(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response {
		return sdk(206, `[{"id":"0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33","op":"Sleep","name":"1h","displayName":"nap"}]`)
	}))
	f.register()
	run := data[[]runView](t, f.get("/v1/events/"+f.send(`{"name":"order/paid"}`)+"/runs"))[0]
	require.NoError(t, f.eng.Await(t.Context(), run.RunID, 0))
	page := f.get("/runs/" + run.RunID).Body.String()
	require.Contains(t, page, "nap")
	require.Contains(t, page, `<span class="quiet">sleep</span>`)
	require.Contains(t, page, clock(run.QueuedAt))
	require.Equal(t, run.QueuedAt.Local().Format("2006-01-02 15:04:05.000 MST"), clock(run.QueuedAt), "as the command line shows it")
	require.Equal(t, "StepOfTomorrow", opWord("StepOfTomorrow"))
	require.Empty(t, opWord("StepRun"))
	var status strings.Builder
	require.NoError(t, pages.ExecuteTemplate(&status, "status", scheduled))
	require.Equal(t, `<span class="status Queued">Queued</span>`, status.String(), "the word to filter by")
}

func TestShownIsWithoutStyling(t *testing.T) {
	t.Parallel()
	require.Equal(t, "red \uFFFD", shown("\x1b[31mred\x1b[0m \x1b"))
}

package server

import (
	"net/http"
	"strings"
	"testing"

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
	require.Contains(t, home, "Not held yet by this version: throttle")
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

package server

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew")

// untold are routes that are not for people, and why.
var untold = map[string]string{
	"GET /dev":                           "SDKs look for a dev server",
	"POST /dev/traces":                   "SDKs",
	"POST /e/{$}":                        "lets nobody in",
	"POST /e":                            "lets nobody in",
	"POST /fn/register":                  "SDKs",
	"GET /v0/runs/{run}/batch":           "SDKs",
	"GET /v0/runs/{run}/actions":         "SDKs",
	"POST /v1/runs/{run}/metadata":       "SDKs",
	"POST /v1/traces/userland":           "SDKs",
	"POST /v1/checkpoint/{run}/async":    "SDKs",
	"POST /v1/http/runs/{run}/async":     "SDKs",
	"POST /v1/checkpoint":                "SDKs",
	"POST /v1/http/runs":                 "SDKs",
	"POST /v1/checkpoint/{run}/steps":    "SDKs",
	"POST /v1/http/runs/{run}/steps":     "SDKs",
	"POST /v1/checkpoint/{run}/response": "SDKs",
	"POST /v1/http/runs/{run}/response":  "SDKs",
	"GET /v1/checkpoint/{run}/output":    "as /v1/http/runs",
	"GET /v1/login/openid":               "browsers",
	"GET /v1/login/openid/callback":      "browsers",
	"POST /v1/realtime/publish/tee":      "SDKs",
	"GET /{$}":                           "the dashboard",
	"GET /assets/{file}":                 "of pages",
	"GET /assets/pawl.css":               "of pages",
	"GET /assets/pawl.png":               "of pages",
	"GET /favicon.ico":                   "of pages",
	"GET /v2/env/webhooks":               "501",
	"POST /v2/env/webhooks":              "501",
}

func TestEveryRouteIsTold(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, rt := range routes() {
		name := rt.method + " " + rt.pattern
		there[name] = true
		_, known := told()[name]
		_, excused := untold[name]
		excused = excused || rt.missing || rt.reads || // as GET
			strings.HasPrefix(rt.pattern, "/x/") || // as each endpoint is
			strings.HasPrefix(rt.pattern, "/api/v2/") // as /v2
		require.NotEqual(t, known, excused, "%s: tell people about it in told, or say in this test why not", name)
	}
	for name := range told() {
		require.True(t, there[name], "%s is told of and not there", name)
	}
}

func TestOpenAPIIsFresh(t *testing.T) {
	t.Parallel()
	const file = "../docs/openapi.json"
	made := specification(routes())
	if *update {
		require.NoError(t, os.WriteFile(file, made, 0o644))
	}
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(kept), string(made), "it has changed: go test ./server -run OpenAPI -update")
	w := newFixture(t).get("/openapi.json")
	require.Equal(t, string(made), w.Body.String(), "and it is what is served")
}

func TestOpenAPIIsWhole(t *testing.T) {
	t.Parallel()
	type operation struct {
		ID         string `json:"operationId"`
		Security   []map[string][]string
		Parameters []struct {
			Name, In string
			Required bool
			Schema   map[string]any
		}
		Responses map[string]any
	}
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]operation
		Components map[string]map[string]any
	}
	text := specification(routes())
	require.NoError(t, json.Unmarshal(text, &doc, json.MatchCaseInsensitiveNames(true)))
	require.Equal(t, "3.1.0", doc.OpenAPI)
	for _, ref := range regexp.MustCompile(`"\$ref": "#/components/(\w+)/([^"]*)"`).FindAllSubmatch(text, -1) {
		require.Contains(t, doc.Components[string(ref[1])], string(ref[2]))
	}
	who := map[string]caller{}
	for _, rt := range routes() {
		who[strings.ToLower(rt.method)+" "+rt.pattern] = rt.who
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths {
		var inPath []string
		for _, name := range regexp.MustCompile(`{(\w+)}`).FindAllStringSubmatch(path, -1) {
			inPath = append(inPath, name[1])
		}
		for method, op := range item {
			name := method + " " + path
			require.False(t, ids[op.ID], "%s is there twice", op.ID)
			ids[op.ID] = true
			require.True(t, (op.Responses["200"] == nil) != (op.Responses["201"] == nil), name)
			require.Equal(t, who[name] == signingKey, len(op.Security) == 1, name)
			require.Equal(t, who[name] != anyone, op.Responses["401"] != nil && path != "/v1/login" && path != "/v1/setup" && path != "/v1/welcome", name)
			var got []string
			seen := map[string]bool{}
			for _, p := range op.Parameters {
				require.False(t, seen[p.In+p.Name], "%s: %s", name, p.Name)
				seen[p.In+p.Name] = true
				require.NotEmpty(t, p.Schema)
				if p.In == "path" {
					require.True(t, p.Required)
					got = append(got, p.Name)
				}
			}
			require.Equal(t, inPath, got, name)
		}
	}
}

// TestOpenAPIParametersAreTheHandlers asks each route for a parameter that
// nobody knows, and is told which there are.
func TestOpenAPIParametersAreTheHandlers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	f.register()
	run := f.ended(`{"name":"order/paid"}`)
	names := strings.NewReplacer("{run}", run.RunID, "{event}", run.EventID, "{app}", "shop", "{function}", "charge")
	asked := 0
	for name, a := range told() {
		method, path, _ := strings.Cut(name, " ")
		if len(a.query) == 0 || strings.HasSuffix(path, "/output") || strings.HasPrefix(path, "/v1/realtime/") { // people hand such links on, and decorate them
			continue
		}
		asked++
		query := "?nobody=1"
		for _, p := range a.query {
			if p.required {
				query += "&" + p.name + "=x"
			}
		}
		w := f.do(request{method: method, path: names.Replace(path) + query})
		require.Equal(t, http.StatusBadRequest, w.Code, "%s: %s", name, w.Body)
		_, list, ok := strings.Cut(w.Body.String(), "there is no parameter nobody here; there are ")
		require.True(t, ok, "%s: %s", name, w.Body)
		list, _, _ = strings.Cut(list, `"`)
		known := slices.Compact(slices.Sorted(slices.Values(strings.Split(list, ", "))))
		var said []string
		for _, p := range a.query {
			said = append(said, p.name)
		}
		slices.Sort(said)
		require.Equal(t, known, said, name)
	}
	require.Greater(t, asked, 15)
}

// statusesOf are the statuses that the document has for an operation, by method and
// pattern.
var statusesOf = sync.OnceValue(func() map[string]map[string]jsontext.Value {
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]jsontext.Value `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(specification(routes()), &doc); err != nil {
		panic(err)
	}
	all := map[string]map[string]jsontext.Value{}
	for path, item := range doc.Paths {
		for method, op := range item {
			all[strings.ToUpper(method)+" "+path] = op.Responses
		}
	}
	return all
})

// everywhere are statuses that any path may answer with, whatever the operation: 405 is
// none of the operation's, 421 and 403 are about who asks, and 499 is read by nobody.
var everywhere = []int{http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusMisdirectedRequest, 499}

// documented holds the OpenAPI document to the answers that the tests of this package
// get: each status is one that the operation is said to have.
func (f *fixture) documented(r *http.Request, w *httptest.ResponseRecorder) {
	f.t.Helper()
	_, pattern := f.s.mux.Handler(r)
	for _, prefix := range v2Prefixes() {
		if p, ok := strings.CutPrefix(pattern, prefix+"/"); ok {
			pattern = "/v2/" + p
		}
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	statuses, told := statusesOf()[method+" "+pattern]
	if told && clean(r.URL.Path) && !slices.Contains(everywhere, w.Code) && statuses["default"] == nil && statuses[strconv.Itoa(w.Code)] == nil {
		f.t.Errorf("%s %s answers %d, which docs/openapi.json does not say of %s: %s", r.Method, r.URL, w.Code, pattern, w.Body)
	}
}

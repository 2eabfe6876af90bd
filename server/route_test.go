package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/ticket"
	"github.com/pawlhq/pawl/internal/wire"
)

// credential is one way to come to a route.
type credential struct {
	name, bearer, event, token string
	signed, evented            bool // it opens routes for signing keys, and for event keys
	reads, publishes           bool // it opens routes to read topics, and to publish
}

func (f *fixture) credentials() []credential {
	t := f.t
	hashed := func(raw string) string {
		key, err := wire.ParseKey(raw)
		require.NoError(t, err)
		return key.Hashed()
	}
	topics := ticket.Grant{Topics: []ticket.Topic{{Channel: "user:1", Name: "ai"}}}
	read := f.s.tokens.Topics(topics, time.Minute)
	topics.Publish = true
	publish, others := f.s.tokens.Topics(topics, time.Minute), ticket.New([]byte("others")).Topics(topics, time.Minute)
	bare := strings.TrimPrefix(hashed(testKey), "signkey-test-")
	return []credential{
		{name: "none", event: "x"},
		{name: "empty bearer", bearer: "Bearer ", event: "x"},
		{name: "undefined", bearer: "Bearer undefined", event: "x"},
		{name: "wrong", bearer: "Bearer " + hashed(wrongKey), event: "wrong"},
		{name: "event key as bearer", bearer: "Bearer " + testEventKey, event: "x"},
		{name: "signing key as event key", event: testKey},
		{name: "prefix of the event key", event: testEventKey[:len(testEventKey)-1]},
		{name: "other letter case", event: strings.ToUpper(testEventKey)},
		{name: "other scheme", bearer: "Basic " + hashed(testKey), event: "x"},
		{name: "right, hashed", bearer: "Bearer " + hashed(testKey), event: "x", signed: true},
		{name: "right, hash alone", bearer: "Bearer " + bare, event: "x", signed: true},
		{name: "right, raw", bearer: "Bearer " + testKey, event: "x", signed: true},
		{name: "previous", bearer: "Bearer " + hashed(previousKey), event: "x", signed: true},
		{name: "right event key", event: testEventKey, evented: true},
		{name: "token for a topic, as bearer", bearer: "Bearer " + read, event: "x", reads: true},
		{name: "token for a topic, in the query", token: read, event: "x", reads: true},
		{name: "token for a topic as event key", event: read},
		{name: "token to publish", bearer: "Bearer " + publish, event: "x", reads: true, publishes: true},
		{name: "token to publish, in the query", token: publish, event: "x", reads: true},
		{name: "token for a result", token: f.s.tokens.Result("01JQDAE4RQF8MBCR55T5AK4KXS"), event: "x"},
		{name: "token for a topic of another installation", token: others, bearer: "Bearer " + others, event: "x"},
		{name: "signing key in the query", token: testKey, event: "x"},
	}
}

// draining ends what would wait for something to happen.
func draining(c *Config, _ *engineConfig) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.Draining = ctx
}

var wildcards = strings.NewReplacer("{run}", "01JQDAE4RQF8MBCR55T5AK4KXS", "{event}", "01JQDAE4RQF8MBCR55T5AK4KXS",
	"{slug}", "shop-charge", "{app}", "shop", "{function}", "charge", "{rest...}", "x", "{id}", "x", "{action}", "note", "{$}", "", "{file}", "x", "{step}", "step")

// TestEveryRoute walks the table and asserts who gets past its door, for each
// method and each credential. What comes behind the door is for other tests.
func TestEveryRoute(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving, draining)
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"}
	known := map[string]map[string]caller{} // who may call, by pattern and method
	for _, rt := range routes() {
		require.NotEqual(t, nobody, rt.who, "%s %s lets nobody in", rt.method, rt.pattern)
		if known[rt.pattern] == nil {
			known[rt.pattern] = map[string]caller{}
		}
		require.NotContains(t, known[rt.pattern], rt.method, "%s %s is there twice", rt.method, rt.pattern)
		known[rt.pattern][rt.method] = rt.who
		if rt.method == "GET" {
			known[rt.pattern]["HEAD"] = rt.who
		}
	}
	for pattern, allowed := range known {
		for _, c := range f.credentials() {
			path := wildcards.Replace(strings.Replace(pattern, "{key}", c.event, 1))
			if c.token != "" {
				path += "?token=" + c.token
			}
			for _, method := range methods {
				w := f.do(request{method: method, path: path, header: map[string]string{"Authorization": c.bearer}, gone: pattern == "/v1/realtime/sse"})
				name := method + " " + path + " with " + c.name
				require.Equal(t, "cloud", w.Header().Get(wire.HeaderServerKind), name)
				switch who, ok := allowed[method]; {
				case !ok:
					require.Equal(t, http.StatusMethodNotAllowed, w.Code, name)
					require.Contains(t, w.Header().Get("Allow"), "OPTIONS", name)
				case who == anyone:
					require.NotContains(t, []int{401, 403, 405}, w.Code, name)
				case who == queryToken && strings.HasPrefix(pattern, "/v1/realtime/") && c.reads,
					who == queryToken && strings.HasSuffix(pattern, "/output") && strings.HasPrefix(c.name, "token for a result"),
					who == publisher && (c.signed || c.publishes):
					require.NotContains(t, []int{401, 403, 405}, w.Code, name)
				case who == signingKey && c.signed, who == eventKey && c.evented && strings.Contains(pattern, "{key}"):
					require.NotContains(t, []int{401, 403, 405}, w.Code, name)
				default:
					require.Equal(t, http.StatusUnauthorized, w.Code, name)
				}
			}
			w := f.do(request{method: "OPTIONS", path: path})
			require.Equal(t, http.StatusNoContent, w.Code, "OPTIONS %s", path)
		}
	}
}

func TestDevAsksNobodyForAKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, draining)
	for _, rt := range routes() {
		path := wildcards.Replace(strings.Replace(rt.pattern, "{key}", "anything", 1))
		w := f.do(request{method: rt.method, path: path, header: map[string]string{"Authorization": "Bearer undefined"}})
		require.Equal(t, "dev", w.Header().Get(wire.HeaderServerKind))
		if path == "/e/" || path == "/e" {
			require.Equal(t, "Event key is required", wantRefusal(t, w, http.StatusUnauthorized))
			continue
		}
		if rt.who == queryToken {
			wantRefusal(t, w, http.StatusUnauthorized)
			continue
		}
		require.NotContains(t, []int{401, 403, 405}, w.Code, "%s %s", rt.method, path)
	}
}

func TestZeroValueLetsNobodyIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.s.mount([]route{{method: "GET", pattern: "/secret", refuse: fail, serve: func(_ *Server, w http.ResponseWriter, _ *http.Request, _ []byte) {
		raw(w, http.StatusOK, "{}")
	}}})
	wantRefusal(t, f.get("/secret"), http.StatusForbidden)
}

// TestNoPathTricks asks for protected things under other spellings of their
// paths, without a key.
func TestNoPathTricks(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving)
	for _, path := range []string{
		"//v1/runs", "/v1//runs", "/./v1/runs", "/health/../v1/runs", "/dev/../v1/apps", "/v1/runs/", "/v1/runs/.", "/v1/runs/..",
		"/V1/runs", "/v1/runs;x=1", "/v1/runs%2f", "/v1%2fruns", "/%76%31/runs/", "/v1/runs%00", "/assets/../../etc/passwd", "/assets/..%2f..%2fgo.mod",
		"/e/x/../../v1/runs", "/health/v1/runs", "/v1/runs/x/steps/more", "/debug/pprof/", "/metrics", "/fn/register/", "/v0/runs/x/batch/..",
	} {
		w := f.get(path)
		require.Contains(t, []int{401, 404, 405}, w.Code, "%s: %s", path, w.Body)
	}
	// One spelling of a character is as good as another, and needs the key too.
	require.Equal(t, http.StatusUnauthorized, f.get("/v1/%72uns").Code)
}

func TestUnknownPathIsJSON(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.Equal(t, "there is no /v3/sandboxes/x here", wantRefusal(t, f.get("/v3/sandboxes/x"), http.StatusNotFound))
	require.Contains(t, wantRefusal(t, f.post("/v0/gql", "{}"), http.StatusNotImplemented), "/v0/gql")
	require.NotContains(t, f.get("/nothing%1b[2J").Body.String(), "\x1b")
}

func TestDevAnswersOnlyToThisMachine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8288": 200, "127.0.0.1:8288": 200, "[::1]:8288": 200, "[::1]": 200, "LOCALHOST:1": 200,
		"host.docker.internal:8288": 200,
		"evil.example":              421, "evil.example:8288": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example:8288": 421, "10.0.0.1:8288": 421,
	} {
		require.Equal(t, status, f.do(request{method: "GET", path: "/health", host: host}).Code, host)
	}
	require.Equal(t, 200, newFixture(t, serving).do(request{method: "GET", path: "/health", host: "pawl.example"}).Code)
}

// A page that has rebound its own name to this machine's address gets nothing from any
// route, and neither does one from what is no route.
func TestDevRefusesOtherHostsEverywhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t, draining)
	for _, rt := range append(routes(), route{method: "GET", pattern: "/runs"}, route{method: "POST", pattern: "/nothing"}) {
		path := wildcards.Replace(strings.Replace(rt.pattern, "{key}", "anything", 1))
		for _, host := range []string{"evil.example", "evil.example:8288", "127.0.0.1.evil.example", "192.168.0.7:8288"} {
			w := f.do(request{method: rt.method, path: path, host: host, header: map[string]string{"Accept": "text/html"}})
			require.Equal(t, http.StatusMisdirectedRequest, w.Code, "%s %s of %s", rt.method, path, host)
			require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
		}
	}
}

// hostile are the headers by which browsers say that a page of another origin asks:
// those of today, and older ones that send no Sec-Fetch-Site.
var hostile = []map[string]string{
	{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
	{"Origin": "http://localhost:9999", "Sec-Fetch-Site": "same-site"},
	{"Origin": "https://evil.example"},
	{"Origin": "null"},
}

// In dev nobody shows a key, and a browser would act for any page: each route that
// changes something refuses those of other origins, but for those that the protocol
// lets pages of any origin ask. No other answer can be read by such a page.
func TestDevRefusesOtherOriginsEverywhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t, draining)
	var open []string
	for _, rt := range routes() {
		path := wildcards.Replace(strings.Replace(rt.pattern, "{key}", "anything", 1))
		if rt.cors || rt.pattern == "/e" {
			if rt.method != "GET" {
				open = append(open, rt.method+" "+rt.pattern)
			}
			continue
		}
		for _, header := range hostile {
			w := f.do(request{method: rt.method, path: path, header: header})
			name := rt.method + " " + path
			require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"), name)
			if rt.method != "GET" {
				require.Equal(t, http.StatusForbidden, w.Code, name)
				require.Contains(t, w.Body.String(), "a page of another origin may not do this", name)
			}
		}
	}
	require.ElementsMatch(t, []string{
		"POST /v1/http/runs/{run}/output", "PUT /v1/http/runs/{run}/output", "PATCH /v1/http/runs/{run}/output", "DELETE /v1/http/runs/{run}/output",
		"POST /v1/checkpoint/{run}/output", "PUT /v1/checkpoint/{run}/output", "PATCH /v1/checkpoint/{run}/output", "DELETE /v1/checkpoint/{run}/output",
		"POST /e/{key}", "POST /e/{$}", "POST /e", "POST /x/{host}/{rest...}", "PUT /x/{host}/{rest...}", "PATCH /x/{host}/{rest...}", "DELETE /x/{host}/{rest...}",
	}, open, "what pages of any origin may do: a new one is a decision")
}

// TestOtherOriginsMaySendEventsOnly covers row 17 with its pre-flight request.
func TestOtherOriginsMaySendEventsOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	page := map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"}
	wantRefusal(t, f.do(request{method: "POST", path: "/fn/register", body: registration, header: page}), http.StatusForbidden)
	wantRefusal(t, f.do(request{method: "DELETE", path: "/v1/runs/01JQDAE4RQF8MBCR55T5AK4KXS", header: page}), http.StatusForbidden)
	require.Empty(t, f.do(request{method: "GET", path: "/v1/runs", header: page}).Header().Get("Access-Control-Allow-Origin"))

	w := f.do(request{method: "POST", path: "/e/k", body: `{"name":"a"}`, header: page})
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "https://evil.example", w.Header().Get("Access-Control-Allow-Origin"))
	require.Empty(t, w.Header().Get("Access-Control-Allow-Credentials"))

	w = f.do(request{method: "OPTIONS", path: "/e/k", header: map[string]string{
		"Origin": "https://shop.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-inngest-sdk",
	}})
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Equal(t, "https://shop.example", w.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "POST", w.Header().Get("Access-Control-Allow-Methods"))
	require.Equal(t, "content-type,x-inngest-sdk", w.Header().Get("Access-Control-Allow-Headers"))
	require.Equal(t, "3600", w.Header().Get("Access-Control-Max-Age"))
}

func TestPanicEndsOneRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.s.mount([]route{{method: "GET", pattern: "/boom", who: anyone, refuse: fail, serve: func(*Server, http.ResponseWriter, *http.Request, []byte) {
		panic("boom")
	}}})
	r := httptest.NewRequest("GET", "http://localhost/boom", nil)
	r.Header.Set("Authorization", "Bearer "+testKey)
	w := httptest.NewRecorder()
	f.s.ServeHTTP(w, r)
	wantRefusal(t, w, http.StatusInternalServerError)
	require.NotContains(t, w.Body.String(), "boom")
	require.Contains(t, f.logs.String(), "boom")
	require.NotContains(t, f.logs.String(), testKey)
	require.Equal(t, http.StatusOK, f.get("/health").Code)
}

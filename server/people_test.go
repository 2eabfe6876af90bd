package server

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/redact"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// peopled is a server in which ada, an admin, has set things up and is logged in.
type peopled struct {
	*fixture
	ada string // her cookie
}

const goodPassword = "correct horse battery"

func newPeopled(t testing.TB, options ...option) peopled {
	t.Helper()
	f := newFixture(t, append([]option{serving, func(c *Config, _ *engine.Config) { c.Setup = "the-link" }}, options...)...)
	w := f.jsonAs("", "POST", "/v1/setup", `{"token":"the-link","name":"ada","password":"`+goodPassword+`"}`)
	require.Equal(t, 200, w.Code, w.Body)
	return peopled{f, cookieOf(t, w)}
}

func cookieOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	c := cookies[0]
	require.True(t, c.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, c.SameSite)
	return c.Name + "=" + c.Value
}

// shownBy are the headers of who shows a cookie, a token, or nothing.
func shownBy(who string) map[string]string {
	switch {
	case strings.HasPrefix(who, tokenPrefix):
		return map[string]string{"Authorization": "Bearer " + who}
	case who != "":
		return map[string]string{"Cookie": who}
	default:
		return map[string]string{}
	}
}

// jsonAs sends a request as who shows a cookie, a token, or nothing.
func (f *fixture) jsonAs(who, method, path, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	h := shownBy(who)
	h["Content-Type"] = "application/json"
	return f.do(request{method: method, path: path, body: body, header: h})
}

func (p peopled) token(role, life string) string {
	p.t.Helper()
	w := p.jsonAs(p.ada, "POST", "/v1/tokens", `{"name":"ci","role":"`+role+`","life":"`+life+`"}`)
	return data[tokenView](p.t, w).Token
}

// person adds somebody and logs them in.
func (p peopled) person(name, role string) (id, cookie string) {
	p.t.Helper()
	w := p.jsonAs(p.ada, "POST", "/v1/people", `{"name":"`+name+`","role":"`+role+`","password":"`+goodPassword+`"}`)
	id = data[personView](p.t, w).ID
	w = p.jsonAs("", "POST", "/v1/login", `{"name":"`+name+`","password":"`+goodPassword+`"}`)
	require.Equal(p.t, 200, w.Code, w.Body)
	return id, cookieOf(p.t, w)
}

// registerSigned has the app register itself with the signing key.
func (p peopled) registerSigned() {
	p.t.Helper()
	w := p.do(request{method: "POST", path: "/fn/register", body: registration, header: map[string]string{
		"Content-Type": "application/json", "Authorization": "Bearer " + testKey,
	}})
	require.Equal(p.t, 200, w.Code, w.Body)
}

// TestEveryRouteForEveryRole asks each route that needs a signing key in each role,
// and asserts who gets in.
func TestEveryRouteForEveryRole(t *testing.T) {
	t.Parallel()
	p := newPeopled(t, draining)
	_, viewer := p.person("vic", "viewer")
	shown := map[string]store.Role{
		viewer: store.Viewer, p.token("viewer", "1d"): store.Viewer, p.token("operator", "1d"): store.Operator, p.token("admin", "1d"): store.Admin,
		tokenPrefix + "made-up": store.Nobody, cookiePlain + "=made-up": store.Nobody,
	}
	for _, rt := range routes() {
		if rt.who != signingKey {
			continue
		}
		need := rt.need()
		for who, role := range shown {
			path := wildcards.Replace(rt.pattern)
			w := p.jsonAs(who, rt.method, path, "")
			name := rt.method + " " + path + " as " + role.String()
			switch {
			case role == store.Nobody, need == store.Nobody:
				require.Equal(t, http.StatusUnauthorized, w.Code, name)
			case role < need:
				require.Equal(t, http.StatusForbidden, w.Code, name)
				require.Contains(t, w.Body.String(), "you are "+role.String(), name)
			default:
				require.NotContains(t, []int{401, 403, 405}, w.Code, name)
			}
		}
	}
}

func TestWhatChangesNeedsMoreThanToRead(t *testing.T) {
	t.Parallel()
	for _, rt := range routes() {
		if rt.who != signingKey || rt.need() == store.Nobody {
			continue
		}
		name := rt.method + " " + rt.pattern
		want := store.Operator
		switch {
		case adminOnly[name]:
			want = store.Admin
		case rt.method == "GET", ownOnly[name]:
			want = store.Viewer
		}
		require.Equal(t, want, rt.need(), name)
	}
	for name := range ownOnly {
		require.True(t, routeNamed(name), name)
		require.Contains(t, name, " /v1/me/", "nothing of others")
	}
	for name := range adminOnly {
		require.True(t, routeNamed(name), name)
	}
	for name := range sdkOnly {
		require.True(t, routeNamed(name), name)
	}
}

func routeNamed(name string) bool {
	for _, rt := range routes() {
		if rt.method+" "+rt.pattern == name {
			return true
		}
	}
	return false
}

func TestSetupLinkWorksOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, serving, func(c *Config, _ *engine.Config) { c.Setup = "the-link" })
	require.True(t, data[meView](t, f.get("/v1/me")).Setup)
	for _, tt := range []struct {
		body   string
		status int
	}{
		{`{"token":"","name":"eve","password":"` + goodPassword + `"}`, 401},
		{`{"token":"other","name":"eve","password":"` + goodPassword + `"}`, 401},
		{`{"token":"the-link","name":"","password":"` + goodPassword + `"}`, 400},
		{`{"token":"the-link","name":"ada","password":"short"}`, 400},
		{`{"token":"the-link","name":"ada@example.com","password":"ada@example.com"}`, 400},
		{`{"token":"the-link","name":"ada","password":"` + goodPassword + `"}`, 200},
		{`{"token":"the-link","name":"eve","password":"` + goodPassword + `"}`, 401},
	} {
		require.Equal(t, tt.status, f.jsonAs("", "POST", "/v1/setup", tt.body).Code, tt.body)
	}
	require.False(t, data[meView](t, f.get("/v1/me")).Setup)
	require.Equal(t, 401, newFixture(t, serving).jsonAs("", "POST", "/v1/setup", `{"token":"","name":"eve","password":"`+goodPassword+`"}`).Code, "no link, no setup")
}

func TestLoginAndLogout(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	require.Equal(t, "ada", data[meView](t, p.jsonAs(p.ada, "GET", "/v1/me", "")).Name)
	require.Empty(t, data[meView](t, p.get("/v1/me")).Name)
	require.Equal(t, 200, p.jsonAs(p.ada, "GET", "/v1/runs", "").Code)
	second := cookieOf(t, p.jsonAs("", "POST", "/v1/login", `{"name":"ADA","password":"`+goodPassword+`"}`))
	require.NotEqual(t, p.ada, second)
	require.Equal(t, 200, p.jsonAs(second, "POST", "/v1/logout", "").Code)
	require.Equal(t, 401, p.jsonAs(second, "GET", "/v1/runs", "").Code)
	require.Equal(t, 200, p.jsonAs(p.ada, "GET", "/v1/runs", "").Code, "the other login goes on")
	for _, body := range []string{`{"name":"ada","password":"wrong password!"}`, `{"name":"nobody","password":"` + goodPassword + `"}`} {
		require.Equal(t, "the name or the password is wrong", wantRefusal(t, p.jsonAs("", "POST", "/v1/login", body), 401))
	}
	require.NotContains(t, p.logs.String(), goodPassword)
}

func TestOtherOriginsDoNotActForWhoIsLoggedIn(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	ask := func(method, path, site string) int {
		return p.do(request{method: method, path: path, body: `{}`, header: map[string]string{
			"Cookie": p.ada, "Content-Type": "application/json", "Sec-Fetch-Site": site, "Origin": "https://evil.example.com",
		}}).Code
	}
	require.Equal(t, 403, ask("POST", "/v1/tokens", "cross-site"))
	require.Equal(t, 403, ask("POST", "/v1/tokens", "same-site"))
	require.Equal(t, 403, ask("POST", "/v1/login", "cross-site"))
	require.Equal(t, 403, ask("POST", "/v1/logout", "cross-site"))
	require.Equal(t, 400, ask("POST", "/v1/tokens", "same-origin"))
	token := p.token("admin", "1d")
	w := p.do(request{method: "POST", path: "/v1/tokens", body: `{}`, header: map[string]string{
		"Authorization": "Bearer " + token, "Content-Type": "application/json", "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com",
	}})
	require.Equal(t, 400, w.Code, "a token is not sent along by itself")
}

// A browser sends a cookie along for any page: each route that changes something, and
// each by which one logs in or out, refuses pages of other origins.
func TestOtherOriginsDoNothingByCookieEverywhere(t *testing.T) {
	t.Parallel()
	p := newPeopled(t, draining)
	asked := 0
	for _, rt := range routes() {
		if rt.method == "GET" || rt.who == anyone && rt.mark != personal || rt.who == eventKey || rt.who == queryToken {
			continue // no cookie lets in there
		}
		for _, header := range hostile {
			h := map[string]string{"Cookie": p.ada, "Content-Type": "application/json"}
			for name, value := range header {
				h[name] = value
			}
			w := p.do(request{method: rt.method, path: wildcards.Replace(rt.pattern), body: `{}`, header: h})
			want := http.StatusForbidden
			if rt.who != anyone && rt.need() == store.Nobody {
				want = http.StatusUnauthorized // for programs
			}
			require.Equal(t, want, w.Code, "%s %s by %v: %s", rt.method, rt.pattern, header, w.Body)
			require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
			asked++
		}
	}
	require.Greater(t, asked, 100)
	require.Equal(t, 200, p.jsonAs(p.ada, "GET", "/v1/runs", "").Code, "and who is logged in stays so")
}

func TestGuessingTakesEverLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t)
		try := func(password string) int {
			return p.jsonAs("", "POST", "/v1/login", `{"name":"ada","password":"`+password+`"}`).Code
		}
		for range freeTries {
			require.Equal(t, 401, try("wrong password!"))
		}
		require.Equal(t, 429, try(goodPassword), "even the right one has to wait")
		time.Sleep(time.Second)
		require.Equal(t, 401, try("wrong password!"))
		time.Sleep(time.Second)
		require.Equal(t, 429, try(goodPassword))
		time.Sleep(time.Second)
		require.Equal(t, 200, try(goodPassword))
		require.Equal(t, 401, try("wrong password!"), "and the count begins anew")
	})
}

func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t)
		id, bob := p.person("bob", "operator")
		for name, change := range map[string]string{"disabled": `{"disabled":true}`, "a new password": `{"disabled":false,"password":"another good one"}`} {
			require.Equal(t, 200, p.jsonAs(bob, "GET", "/v1/runs", "").Code)
			require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, change).Code)
			require.Equal(t, 401, p.jsonAs(bob, "GET", "/v1/runs", "").Code, name)
			require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, `{"disabled":false,"password":"`+goodPassword+`"}`).Code)
			bob = cookieOf(t, p.jsonAs("", "POST", "/v1/login", `{"name":"bob","password":"`+goodPassword+`"}`))
		}
		require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, `{"role":"viewer"}`).Code)
		require.Equal(t, 200, p.jsonAs(bob, "GET", "/v1/runs", "").Code)
		require.Equal(t, 403, p.jsonAs(bob, "DELETE", "/v1/runs/x", "").Code, "a role changes at once")
		require.Equal(t, 200, p.jsonAs(p.ada, "DELETE", "/v1/people/"+id, "").Code)
		require.Equal(t, 401, p.jsonAs(bob, "GET", "/v1/runs", "").Code, "removed")
		time.Sleep(sessionLife)
		require.Equal(t, 401, p.jsonAs(p.ada, "GET", "/v1/runs", "").Code, "after a week")
	})
}

func TestTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t)
		token := p.token("viewer", "1h")
		list := data[[]tokenView](t, p.jsonAs(p.ada, "GET", "/v1/tokens", ""))
		require.Len(t, list, 1)
		require.Empty(t, list[0].Token, "told once")
		require.Equal(t, 200, p.jsonAs(token, "GET", "/v1/runs", "").Code)
		time.Sleep(time.Hour)
		require.Equal(t, 401, p.jsonAs(token, "GET", "/v1/runs", "").Code)
		token = p.token("viewer", "1h")
		for _, x := range data[[]tokenView](t, p.jsonAs(p.ada, "GET", "/v1/tokens", "")) {
			require.Equal(t, 200, p.jsonAs(p.ada, "DELETE", "/v1/tokens/"+x.ID, "").Code)
		}
		require.Equal(t, 401, p.jsonAs(token, "GET", "/v1/runs", "").Code)
	})
}

// TestTokenScopes: a token may ask what its role says of the areas that it is for.
func TestTokenScopes(t *testing.T) {
	t.Parallel()
	p := newPeopled(t, draining)
	make := func(role, scopes string) *httptest.ResponseRecorder {
		return p.jsonAs(p.ada, "POST", "/v1/tokens", `{"name":"x","role":"`+role+`","scopes":`+scopes+`}`)
	}
	w := make("operator", `["runs","events","runs"]`)
	require.Equal(t, 200, w.Code, w.Body)
	token := data[tokenView](t, w)
	require.Equal(t, []string{"events", "runs"}, token.Scopes)
	require.Equal(t, []string{"events", "runs"}, data[[]tokenView](t, p.jsonAs(p.ada, "GET", "/v1/tokens", ""))[0].Scopes)
	own := map[string]bool{"events": true, "runs": true}
	for _, rt := range routes() {
		if rt.who != signingKey || rt.need() == store.Nobody {
			continue
		}
		require.Contains(t, scopes, rt.scope(), "%s %s has no scope", rt.method, rt.pattern)
		w := p.jsonAs(token.Token, rt.method, wildcards.Replace(rt.pattern), "")
		if own[rt.scope()] && rt.need() <= store.Operator {
			require.NotContains(t, []int{401, 403}, w.Code, "%s %s", rt.method, rt.pattern)
		} else {
			require.Equal(t, 403, w.Code, "%s %s", rt.method, rt.pattern)
		}
	}
	require.Contains(t, p.jsonAs(token.Token, "GET", "/v1/audit", "").Body.String(), "this needs a token with the scope audit; yours is for events, runs")
	viewer := data[tokenView](t, make("viewer", `["runs"]`)).Token
	require.Equal(t, 403, p.jsonAs(viewer, "POST", "/v1/runs/01JQDAE4RQF8MBCR55T5AK4KXS/rerun", "{}").Code, "the role bounds what a scope opens")
	require.Equal(t, 403, p.jsonAs(viewer, "GET", "/v1/events", "").Code)
	require.Equal(t, 404, p.jsonAs(viewer, "GET", "/v1/runs/01JQDAE4RQF8MBCR55T5AK4KXS/trace", "").Code)
	server := data[tokenView](t, make("admin", `["server"]`)).Token
	letters := data[tokenView](t, make("viewer", `["dead-letters"]`)).Token
	for path, status := range map[string]map[string]int{
		"/v1/server": {server: 200, letters: 403}, "/v1/overview": {server: 403}, "/v1/changes": {server: 403}, "/v1/backup": {server: 403},
		"/v1/dead-letters/jobs/01JQDAE4RQF8MBCR55T5AK4KXS/runs": {letters: 404, token.Token: 403},
	} {
		for who, want := range status {
			method := "GET"
			if path == "/v1/backup" {
				method = "POST"
			}
			require.Equal(t, want, p.jsonAs(who, method, path, "").Code, path)
		}
	}
	everything := data[tokenView](t, make("admin", `[]`)).Token
	require.Equal(t, 200, p.jsonAs(everything, "GET", "/v1/people", "").Code)
	wrong := make("viewer", `["run"]`)
	require.Equal(t, 400, wrong.Code)
	require.Contains(t, wrong.Body.String(), `there is no scope`)
	require.Contains(t, wrong.Body.String(), `dead-letters, events`)
}

func TestOneChangesOnesOwnPassword(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	require.Equal(t, 403, p.jsonAs(p.ada, "POST", "/v1/me/password", `{"old":"wrong password!","new":"another good one"}`).Code)
	require.Equal(t, 400, p.jsonAs(p.ada, "POST", "/v1/me/password", `{"old":"`+goodPassword+`","new":"short"}`).Code)
	w := p.jsonAs(p.ada, "POST", "/v1/me/password", `{"old":"`+goodPassword+`","new":"another good one"}`)
	require.Equal(t, 200, w.Code)
	require.Equal(t, 401, p.jsonAs(p.ada, "GET", "/v1/runs", "").Code, "logins of before end")
	require.Equal(t, 200, p.jsonAs(cookieOf(t, w), "GET", "/v1/runs", "").Code)
	require.Equal(t, 404, p.jsonAs(p.fixture.tokenOf(t), "POST", "/v1/me/password", `{"old":"a","new":"b"}`).Code, "a token has none")
}

// tokenOf makes a token with the signing key.
func (f *fixture) tokenOf(t *testing.T) string {
	t.Helper()
	w := f.do(request{method: "POST", path: "/v1/tokens", body: `{"name":"x","role":"admin"}`, header: map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + testKey}})
	return data[tokenView](t, w).Token
}

// Whoever may only read has a password too.
func TestViewerChangesTheirPassword(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	_, vic := p.person("vic", "viewer")
	require.Equal(t, 200, p.jsonAs(vic, "POST", "/v1/me/password", `{"old":"`+goodPassword+`","new":"another good one"}`).Code)
	require.Equal(t, 401, p.jsonAs(vic, "GET", "/v1/runs", "").Code)
}

func (p peopled) link(id string) string {
	p.t.Helper()
	return data[linkView](p.t, p.jsonAs(p.ada, "POST", "/v1/people/"+id+"/link", "")).Token
}

func (p peopled) come(token, password string) *httptest.ResponseRecorder {
	p.t.Helper()
	return p.jsonAs("", "POST", "/v1/welcome", `{"token":"`+token+`","password":"`+password+`"}`)
}

func TestSomebodyIsInvitedByALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t)
		bob := data[personView](t, p.jsonAs(p.ada, "POST", "/v1/people", `{"name":"bob","role":"operator"}`)).ID
		listed := func() personView {
			return data[[]personView](t, p.jsonAs(p.ada, "GET", "/v1/people", ""))[1]
		}
		require.Nil(t, listed().LinkUntil)
		require.False(t, listed().Password)
		replaced, token := p.link(bob), p.link(bob)
		require.NotNil(t, listed().LinkUntil)
		require.NotContains(t, p.jsonAs(p.ada, "GET", "/v1/people", "").Body.String(), token, "told once")
		for _, wrong := range []string{"", "made-up", replaced} {
			require.Contains(t, wantRefusal(t, p.come(wrong, goodPassword), 401), "ask an admin for a new one")
			require.Contains(t, wantRefusal(t, p.come(wrong, ""), 401), "ask an admin for a new one")
		}
		require.Equal(t, "bob", data[welcomeView](t, p.come(token, "")).Name)
		require.Contains(t, wantRefusal(t, p.come(token, "short"), 400), "12 characters", "and can be tried again")
		w := p.come(token, goodPassword)
		require.Equal(t, 200, w.Code, w.Body)
		require.Equal(t, 200, p.jsonAs(cookieOf(t, w), "GET", "/v1/runs", "").Code, "it logs in")
		require.Equal(t, 401, p.come(token, "another good one").Code, "once")
		require.Nil(t, listed().LinkUntil)
		require.True(t, listed().Password)
		require.NotNil(t, listed().SeenAt)
		require.Equal(t, 200, p.jsonAs("", "POST", "/v1/login", `{"name":"bob","password":"`+goodPassword+`"}`).Code)
	})
}

func TestPasswordIsResetByALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t)
		id, bob := p.person("bob", "viewer")
		token := p.link(id)
		require.Equal(t, 200, p.jsonAs(bob, "GET", "/v1/runs", "").Code, "the old password holds until then")
		again := cookieOf(t, p.come(token, "another good one"))
		require.Equal(t, 401, p.jsonAs(bob, "GET", "/v1/runs", "").Code, "logins of before end")
		require.Equal(t, 200, p.jsonAs(again, "GET", "/v1/runs", "").Code)

		for name, change := range map[string]string{
			"a new password": `{"password":"` + goodPassword + `"}`, "disabled": `{"disabled":true}`, "let in again": `{"disabled":false}`,
		} {
			require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, `{"disabled":false}`).Code)
			if name == "let in again" {
				token = p.link(id)
				require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, `{"disabled":true}`).Code)
				require.Equal(t, 409, p.jsonAs(p.ada, "POST", "/v1/people/"+id+"/link", "").Code)
			} else {
				token = p.link(id)
			}
			require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, change).Code)
			require.Equal(t, 401, p.come(token, "another good one").Code, name)
		}
		require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, `{"role":"operator","disabled":false}`).Code)
		token = p.link(id)
		time.Sleep(linkLife)
		require.Equal(t, 401, p.come(token, goodPassword).Code, "after three days")
		token = p.link(id)
		require.Equal(t, 200, p.jsonAs(p.ada, "DELETE", "/v1/people/"+id, "").Code)
		require.Equal(t, 401, p.come(token, goodPassword).Code, "removed")
	})
}

func TestOneSeesAndEndsOnesLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t)
		id, first := p.person("bob", "viewer")
		logIn := func(agent string) string {
			time.Sleep(time.Second)
			w := p.do(request{method: "POST", path: "/v1/login", body: `{"name":"bob","password":"` + goodPassword + `"}`, header: map[string]string{
				"Content-Type": "application/json", "User-Agent": agent,
			}})
			return cookieOf(t, w)
		}
		second, third := logIn("a\u202ebrowser\x1b[2J "+strings.Repeat("é", 400)), logIn("curl")
		list := data[[]sessionView](t, p.jsonAs(third, "GET", "/v1/me/sessions", ""))
		require.Len(t, list, 3)
		require.Equal(t, []bool{true, false, false}, []bool{list[0].Current, list[1].Current, list[2].Current}, "the newest first")
		require.Equal(t, "curl", list[0].Agent)
		require.Equal(t, "192.0.2.1", list[0].Address)
		require.LessOrEqual(t, len(list[1].Agent), mostAgent)
		require.Equal(t, "abrowser[2J "+strings.Repeat("é", (mostAgent-12)/2), list[1].Agent, "nothing that steers what shows it")

		require.Equal(t, 404, p.jsonAs(p.ada, "DELETE", "/v1/me/sessions/"+list[1].ID, "").Code, "another's")
		require.Equal(t, 200, p.jsonAs(third, "DELETE", "/v1/me/sessions/"+list[1].ID, "").Code)
		require.Equal(t, 404, p.jsonAs(third, "DELETE", "/v1/me/sessions/"+list[1].ID, "").Code, "again")
		require.Equal(t, 401, p.jsonAs(second, "GET", "/v1/me/sessions", "").Code)
		require.Equal(t, 200, p.jsonAs(first, "GET", "/v1/me/sessions", "").Code)
		require.Equal(t, 200, p.jsonAs(third, "DELETE", "/v1/me/sessions", "").Code)
		require.Equal(t, 401, p.jsonAs(first, "GET", "/v1/me/sessions", "").Code)
		require.Len(t, data[[]sessionView](t, p.jsonAs(third, "GET", "/v1/me/sessions", "")), 1)

		require.Equal(t, 403, p.jsonAs(third, "DELETE", "/v1/people/"+id+"/sessions", "").Code, "for an admin")
		require.Equal(t, 200, p.jsonAs(p.ada, "DELETE", "/v1/people/"+id+"/sessions", "").Code)
		require.Equal(t, 401, p.jsonAs(third, "GET", "/v1/me/sessions", "").Code)
		require.Equal(t, 404, p.jsonAs(p.ada, "DELETE", "/v1/people/none/sessions", "").Code)
		logIn("again")
		time.Sleep(sessionLife - time.Second)
		last := logIn("and again")
		require.Len(t, data[[]sessionView](t, p.jsonAs(last, "GET", "/v1/me/sessions", "")), 1, "what is over is not told")
	})
}

func TestTokenSaysWhenItWasUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t)
		token := p.token("viewer", "90d")
		used := func() *time.Time {
			return data[[]tokenView](t, p.jsonAs(p.ada, "GET", "/v1/tokens", ""))[0].UsedAt
		}
		require.Nil(t, used())
		first := time.Now()
		for range 3 {
			require.Equal(t, 200, p.jsonAs(token, "GET", "/v1/runs", "").Code)
			require.Equal(t, first.UnixMicro(), used().UnixMicro(), "once a minute is enough")
			time.Sleep(useEvery/2 - time.Second)
		}
		require.Equal(t, 200, p.jsonAs(token, "GET", "/v1/runs", "").Code)
		require.True(t, used().After(first))
	})
}

func TestKeysAreToldByTheirFingerprints(t *testing.T) {
	t.Parallel()
	p := newPeopled(t, func(c *Config, _ *engine.Config) {
		c.KeysFrom = map[string]string{Fingerprint(testKey): "PAWL_SIGNING_KEY", Fingerprint(testEventKey): "pawl.yaml: event-key"}
	})
	list := func() []secretView { return data[[]secretView](t, p.jsonAs(p.ada, "GET", "/v1/keys", "")) }
	keys := list()
	require.Len(t, keys, 4)
	require.Equal(t, secretView{"signing", false, Fingerprint(testKey), "PAWL_SIGNING_KEY", nil}, keys[0])
	require.Equal(t, secretView{"signing", true, Fingerprint(previousKey), "", nil}, keys[1])
	require.Equal(t, secretView{"event", false, Fingerprint(testEventKey), "pawl.yaml: event-key", nil}, keys[3])
	require.Regexp(t, "^[0-9a-f]{8}$", keys[0].Fingerprint)

	p.do(request{method: "GET", path: "/v1/runs", header: map[string]string{"Authorization": "Bearer " + previousKey}})
	require.NotNil(t, list()[1].LastUsedAt, "an app still has the key of before")
	require.Nil(t, list()[0].LastUsedAt)
	p.do(request{method: "POST", path: "/e/wrong", body: `{"name":"a"}`})
	require.Nil(t, list()[3].LastUsedAt)
	p.do(request{method: "POST", path: "/e/" + testEventKey, body: `{"name":"a"}`})
	require.NotNil(t, list()[3].LastUsedAt)
	body := p.jsonAs(p.ada, "GET", "/v1/keys", "").Body.String()
	for _, secret := range []string{testKey, testEventKey, previousKey, strings.TrimPrefix(testKey, "signkey-test-")[:16]} {
		require.NotContains(t, body, secret)
	}
	require.Empty(t, data[[]secretView](t, newFixture(t, func(c *Config, _ *engine.Config) { c.Keys, c.EventKeys = wire.Keyring{}, nil }).get("/v1/keys")), "dev has none")
}

// What is told once must be readable, whatever is redacted elsewhere.
func TestSecretsToldOnceAreNotRedacted(t *testing.T) {
	t.Parallel()
	rules, err := redact.Parse([]string{"token"})
	require.NoError(t, err)
	p := newPeopled(t, func(c *Config, _ *engine.Config) { c.Redact = rules })
	require.True(t, strings.HasPrefix(p.token("viewer", "1d"), tokenPrefix))
	id, _ := p.person("bob", "viewer")
	require.Equal(t, 200, p.come(p.link(id), "another good one").Code)
}

func TestPeopleAreInTheAuditLog(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	id, _ := p.person("bob", "viewer")
	require.Equal(t, 409, p.jsonAs(p.ada, "POST", "/v1/people", `{"name":"Bob","role":"viewer"}`).Code)
	require.Equal(t, 400, p.jsonAs(p.ada, "POST", "/v1/people", `{"name":"eve","role":"king"}`).Code)
	require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, `{"role":"operator"}`).Code)
	require.Equal(t, 404, p.jsonAs(p.ada, "PATCH", "/v1/people/x", `{"role":"operator"}`).Code)
	var whats []string
	for _, a := range data[[]actView](t, p.jsonAs(p.ada, "GET", "/v1/audit", "")) {
		whats = append(whats, a.What)
	}
	require.Equal(t, []string{"change-person", "login", "add-person", "login", "setup"}, whats)
	list := data[[]personView](t, p.jsonAs(p.ada, "GET", "/v1/people", ""))
	require.Len(t, list, 2)
	b, err := json.Marshal(list)
	require.NoError(t, err)
	require.NotContains(t, string(b), "argon2id")
	require.Equal(t, 409, p.jsonAs(p.ada, "DELETE", "/v1/people/"+list[0].ID, "").Code, "the last admin")
}

// TestAuditLogSaysWhatHasBecomeOfWhom: each change tells from what and to what, and no
// secret.
func TestAuditLogSaysWhatHasBecomeOfWhom(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	last := func() actView { return p.acts(p.ada)[0] }
	says := func(object, detail string) {
		t.Helper()
		require.Equal(t, object, last().Object)
		require.JSONEq(t, detail, string(last().Detail))
	}
	require.Equal(t, "person/ada", last().Object)
	require.JSONEq(t, `{"role":"admin","password":"new"}`, string(p.acts(p.ada)[1].Detail), "setup")
	bob := data[personView](t, p.jsonAs(p.ada, "POST", "/v1/people", `{"name":"bob","role":"viewer"}`)).ID
	says("person/bob", `{"role":"viewer"}`)
	for _, tt := range []struct{ change, object, detail string }{
		{`{"role":"operator"}`, "person/bob", `{"role":"operator","was":{"role":"viewer"}}`},
		{`{"name":"rob"}`, "person/bob", `{"role":"operator","name":"rob","was":{"name":"bob"}}`},
		{`{"disabled":true}`, "person/rob", `{"role":"operator","disabled":true,"was":{"disabled":false}}`},
		{`{"disabled":false}`, "person/rob", `{"role":"operator","disabled":false,"was":{"disabled":true}}`},
		{`{"password":"` + goodPassword + `"}`, "person/rob", `{"role":"operator","password":"new","was":{"password":"none"}}`},
		{
			`{"password":"another good one","name":"bob","role":"viewer","disabled":true}`, "person/rob",
			`{"role":"viewer","name":"bob","disabled":true,"password":"new","was":{"role":"operator","name":"rob","disabled":false,"password":"another"}}`,
		},
		{`{"disabled":false}`, "person/bob", `{"role":"viewer","disabled":false,"was":{"disabled":true}}`},
	} {
		require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+bob, tt.change).Code)
		says(tt.object, tt.detail)
	}
	p.come(p.link(bob), goodPassword)
	require.JSONEq(t, `{"role":"viewer","password":"new","was":{"password":"another"}}`, string(p.acts(p.ada)[1].Detail), "by a link")

	token := func(body string) tokenView { return data[tokenView](t, p.jsonAs(p.ada, "POST", "/v1/tokens", body)) }
	all := token(`{"name":"ci","role":"viewer"}`)
	says("token/ci", `{"id":"`+all.ID+`","role":"viewer","scopes":"all","expires":"never"}`)
	some := token(`{"name":"ci","role":"operator","scopes":["runs","events"],"life":"90d"}`)
	detail := `{"id":"` + some.ID + `","role":"operator","scopes":"events,runs","expires":"` + some.ExpiresAt.Format(time.RFC3339) + `"}`
	says("token/ci", detail)
	require.Equal(t, 200, p.jsonAs(p.ada, "DELETE", "/v1/tokens/"+some.ID, "").Code)
	says("token/ci", detail)
	body := p.jsonAs(p.ada, "GET", "/v1/audit?limit=200", "").Body.String()
	for _, secret := range []string{"argon2", goodPassword, "another good one", all.Token, some.Token} {
		require.NotContains(t, body, secret)
	}
}

func TestNamesThatMisleadAreRefused(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	add := func(name string) *httptest.ResponseRecorder {
		return p.jsonAs(p.ada, "POST", "/v1/people", `{"name":"`+name+`","role":"viewer"}`)
	}
	bob := data[personView](t, add("bob")).ID
	for _, name := range []string{
		"signing key", "Signing  Key", "dev", "DEV", "ｄｅｖ", "token", "token ci", "Token ci", "the program", "ada from 10.0.0.1", "ada From 10.0.0.1",
	} {
		require.Contains(t, wantRefusal(t, add(name), 400), "audit log", name)
		require.Equal(t, 400, p.jsonAs(p.ada, "PATCH", "/v1/people/"+bob, `{"name":"`+name+`"}`).Code, name)
	}
	require.Equal(t, 400, p.jsonAs(p.ada, "POST", "/v1/tokens", `{"name":"ci from 10.0.0.1","role":"viewer"}`).Code)
	for _, name := range []string{"devon", "dev@example.com", "tokens", "fromage", "signing keys"} {
		require.Equal(t, 200, add(name).Code, name)
	}
	old := store.Person{ID: engine.NewID(), Name: "dev", Role: store.Viewer, Created: time.Now(), Version: 1}
	require.NoError(t, p.eng.People().AddPerson(t.Context(), old, false, durable.Act{At: time.Now()}))
	require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+old.ID, `{"name":"dev","role":"operator"}`).Code, "who is there stays")

	require.Equal(t, 200, add("Émile").Code)
	for _, name := range []string{"émile", "ÉMILE", "E\u0301mile"} {
		require.Equal(t, 409, add(name).Code, name)
	}
}

func TestPasswordsAreCharacters(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	const composed, apart = "d\u00e9j\u00e0 vu encore", "de\u0301ja\u0300 vu encore"
	set := func(password string) *httptest.ResponseRecorder {
		return p.jsonAs(p.ada, "POST", "/v1/people", `{"name":"`+rand.Text()+`","role":"viewer","password":"`+password+`"}`)
	}
	for password, problem := range map[string]string{
		"éééééééébcd":                 "at least 12",
		strings.Repeat("e\u0301b", 5): "at least 12", // ten characters
		strings.Repeat("ab", 129):     "at most 256",
		"aaaaaaaaaaaaaa":              "one character again and again",
		strings.Repeat("é", 12):       "one character again and again",
		"              ":              "all spaces",
		strings.Repeat(" \u3000", 7):  "all spaces",
	} {
		require.Contains(t, wantRefusal(t, set(password), 400), problem, password)
	}
	require.Equal(t, 200, set(strings.Repeat("éà", 128)).Code, "256 characters")
	login := func(name, password string) int {
		return p.jsonAs("", "POST", "/v1/login", `{"name":"`+name+`","password":"`+password+`"}`).Code
	}
	// In whatever way it was written when it was set, or as it came when that was kept.
	now := data[personView](t, set(apart)).Name
	require.Equal(t, 200, login(now, composed))
	require.Equal(t, 200, login(now, apart))
	hash, err := argon2id.CreateHash("de\u0301ja\u0300 vu encore", argon2id.DefaultParams)
	require.NoError(t, err)
	before := store.Person{ID: engine.NewID(), Name: "of before", Role: store.Viewer, Created: time.Now(), Version: 1, Password: hash}
	require.NoError(t, p.eng.People().AddPerson(t.Context(), before, false, durable.Act{At: time.Now()}))
	require.Equal(t, 200, login("of before", apart))
	require.Equal(t, 401, login("of before", "something else"))
}

func TestDevKnowsNoPeople(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	me := data[meView](t, f.get("/v1/me"))
	require.True(t, me.Dev)
	require.Equal(t, "admin", me.Role)
	require.Equal(t, 404, f.jsonAs("", "POST", "/v1/login", `{"name":"a","password":"b"}`).Code)
}

func TestCookieOfAServerBehindTLS(t *testing.T) {
	t.Parallel()
	public, err := url.Parse("https://pawl.example.com")
	require.NoError(t, err)
	f := newFixture(t, serving, func(c *Config, _ *engine.Config) { c.Setup, c.PublicURL = "the-link", public })
	w := f.jsonAs("", "POST", "/v1/setup", `{"token":"the-link","name":"ada","password":"`+goodPassword+`"}`)
	c := w.Result().Cookies()[0]
	require.Equal(t, cookieSecure, c.Name)
	require.True(t, c.Secure)
	require.Equal(t, "/", c.Path)
	require.Empty(t, c.Domain)
}

// guest is an operator who is logged in, without the time that passwords take.
func (p peopled) guest(name string) (id, cookie string) {
	p.t.Helper()
	secret, now := newSecret(), time.Now()
	who := store.Person{ID: rand.Text(), Name: name, Role: store.Operator, Created: now}
	require.NoError(p.t, p.eng.People().AddPerson(p.t.Context(), who, false, durable.Act{At: now}))
	require.NoError(p.t, p.eng.People().AddSession(p.t.Context(), store.Session{Hash: hashed(secret), Person: who.ID, Created: now, Expires: now.Add(time.Hour)}, durable.Act{At: now}))
	return who.ID, p.s.cookieName() + "=" + secret
}

// TestStreamEndsWithWhatOpenedIt: a stream of changes tells nothing more to whoever
// would not be let in any more, and goes on for the others.
func TestStreamEndsWithWhatOpenedIt(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	for name, end := range map[string]func(p peopled, id, who string){
		"logged out":    func(p peopled, _, who string) { p.jsonAs(who, "POST", "/v1/logout", "") },
		"removed":       func(p peopled, id, _ string) { p.jsonAs(p.ada, "DELETE", "/v1/people/"+id, "") },
		"shut out":      func(p peopled, id, _ string) { p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, `{"disabled":true}`) },
		"another role":  func(p peopled, id, _ string) { p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, `{"role":"viewer"}`) },
		"logins ended":  func(p peopled, id, _ string) { p.jsonAs(p.ada, "DELETE", "/v1/people/"+id+"/sessions", "") },
		"token revoked": nil,
	} {
		t.Run(name, func(t *testing.T) {
			id, who := p.guest(name)
			if end == nil {
				who = p.token("operator", "1h")
				end = func(p peopled, _, _ string) {
					token := data[[]tokenView](t, p.jsonAs(p.ada, "GET", "/v1/tokens", ""))[0].ID
					require.Equal(t, 200, p.jsonAs(p.ada, "DELETE", "/v1/tokens/"+token, "").Code)
				}
			}
			ada, bob := followAs(t, p.fixture, p.ada), followAs(t, p.fixture, who)
			for _, f := range []*followed{ada, bob} {
				event, _, ok := f.next()
				require.True(t, ok)
				require.Equal(t, "hello", event)
			}
			end(p, id, who)
			_, text, ok := bob.next()
			require.False(t, ok, "it tells %s", text)
			require.Equal(t, 200, p.jsonAs("", "POST", "/e/"+testEventKey, `{"name":"x"}`).Code)
			_, text, ok = ada.next()
			require.True(t, ok)
			require.Contains(t, text, "events")
		})
	}
}

// TestStreamEndsWhenATokenDoes: not when the next sign of life is due.
func TestStreamEndsWhenATokenDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeopled(t, func(c *Config, _ *engine.Config) { c.KeepAlive = 20 * time.Minute })
		token := p.token("viewer", "30s")
		begun := time.Now()
		r := httptest.NewRequest("GET", "http://localhost:8288/v1/changes", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		p.s.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code)
		require.Equal(t, 30*time.Second, time.Since(begun).Round(time.Second))
	})
}

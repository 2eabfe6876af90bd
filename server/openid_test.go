package server

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store"
)

// provider is an OpenID provider that says of whoever comes what a test wants.
type provider struct {
	*httptest.Server
	key    *rsa.PrivateKey
	claims string // of the next token, with %s for its nonce
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	known := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "k", Algorithm: oidc.RS256}}}
	p := &provider{key: key}
	mux := http.NewServeMux()
	mux.Handle("/", known)
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("code") != "good" || r.FormValue("code_verifier") == "" {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"a","token_type":"Bearer","id_token":%q}`, oidctest.SignIDToken(key, "k", oidc.RS256, p.claims))
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	known.SetIssuer(p.URL)
	return p
}

// login goes the way of a browser, and returns the last answer.
func (p *provider) login(t *testing.T, f *fixture, subject, mail string, verified bool) *httptest.ResponseRecorder {
	t.Helper()
	return p.loginAs(t, f, subject, fmt.Sprintf(`"email":%q,"email_verified":%t`, mail, verified))
}

// loginAs is login with claims as they are written.
func (p *provider) loginAs(t *testing.T, f *fixture, subject, claims string) *httptest.ResponseRecorder {
	t.Helper()
	w := f.get("/v1/login/openid")
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
	to, err := url.Parse(w.Header().Get("Location"))
	require.NoError(t, err)
	q := to.Query()
	require.Equal(t, "https://pawl.example.com/v1/login/openid/callback", q.Get("redirect_uri"))
	require.Equal(t, "S256", q.Get("code_challenge_method"))
	p.claims = fmt.Sprintf(`{"iss":%q,"aud":"pawl","sub":%q,"exp":%d,"nonce":%q,%s}`,
		p.URL, subject, time.Now().Add(time.Hour).Unix(), q.Get("nonce"), claims)
	return f.do(request{
		method: "GET", path: "/v1/login/openid/callback?code=good&state=" + url.QueryEscape(q.Get("state")),
		header: map[string]string{"Cookie": stateCookieOf(t, w)},
	})
}

func stateCookieOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if c.Name == stateCookie {
			require.True(t, c.HttpOnly)
			return c.Name + "=" + c.Value
		}
	}
	t.Fatal("there is no state")
	return ""
}

func withOpenID(t *testing.T, p *provider, newcomers store.Role) *fixture {
	t.Helper()
	public, err := url.Parse("https://pawl.example.com")
	require.NoError(t, err)
	return newFixture(t, serving, func(c *Config, _ *engine.Config) {
		c.PublicURL = public
		c.OpenID = &OpenID{Name: "Acme", Issuer: p.URL, ClientID: "pawl", Secret: "s", Newcomers: newcomers}
	})
}

// welcome is the name of who is logged in after an answer; "" for nobody.
func welcome(t *testing.T, f *fixture, w *httptest.ResponseRecorder) string {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if c.Name == cookieSecure {
			return data[meView](t, f.jsonAs(c.Name+"="+c.Value, "GET", "/v1/me", "")).Name
		}
	}
	return ""
}

func TestLoginByOpenID(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	f := withOpenID(t, p, store.Nobody)
	require.Equal(t, "Acme", data[meView](t, f.get("/v1/me")).OpenID)
	require.Empty(t, welcome(t, f, p.login(t, f, "7", "ada@example.com", true)), "nobody has added her")
	f.jsonAs(f.tokenOf(t), "POST", "/v1/people", `{"name":"Ada@example.com","role":"operator"}`)
	require.Empty(t, welcome(t, f, p.login(t, f, "7", "ada@example.com", false)), "an address that anybody may write")
	require.Equal(t, "Ada@example.com", welcome(t, f, p.login(t, f, "7", "ada@example.com", true)))
	require.Equal(t, "Ada@example.com", welcome(t, f, p.login(t, f, "7", "new@example.com", true)), "who is known keeps the name")
	require.Empty(t, welcome(t, f, p.login(t, f, "8", "ada@example.com", true)), "another who has the address now")
	f.jsonAs(f.tokenOf(t), "POST", "/v1/people", `{"name":"sam@example.com","role":"admin"}`)
	require.Empty(t, welcome(t, f, p.login(t, f, "9", "ſam@example.com", true)), "an address that is another, and one name with it")
	require.Equal(t, "sam@example.com", welcome(t, f, p.login(t, f, "9", "Sam@example.com", true)))
}

func TestNewcomersByOpenID(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	f := withOpenID(t, p, store.Viewer)
	w := p.login(t, f, "7", "new@example.com", true)
	require.Equal(t, "new@example.com", welcome(t, f, w))
	added := data[[]actView](t, f.jsonAs(f.tokenOf(t), "GET", "/v1/audit?object=person/new@example.com", ""))[1]
	require.Equal(t, "add-person", added.What)
	require.JSONEq(t, `{"role":"viewer","openid":"`+p.URL+`|7"}`, string(added.Detail))
	require.Empty(t, welcome(t, f, p.login(t, f, "9", "", false)), "somebody without a name")
}

// Providers differ in what they say of a mail address: what is missing is told.
func TestClaimsOfAMailAddress(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	f := withOpenID(t, p, store.Viewer)
	for i, tt := range []struct{ claims, want string }{
		{`"email":"a@example.com"`, "whether a@example.com is your mail address (it sent no email_verified)"},
		{`"email":"a@example.com","email_verified":null`, "it sent no email_verified"},
		{`"email":"a@example.com","email_verified":false`, "nobody has verified that a@example.com is"},
		{`"email":"a@example.com","email_verified":"false"`, "nobody has verified that a@example.com is"},
		{`"email":"a@example.com","email_verified":"yes"`, "nobody has verified that a@example.com is"},
		{`"email_verified":true`, "what your mail address is (it sent no email)"},
	} {
		w := p.loginAs(t, f, fmt.Sprint(i), tt.claims)
		require.Equal(t, 403, w.Code, tt.claims)
		require.Contains(t, w.Body.String(), tt.want, tt.claims)
		require.Contains(t, w.Body.String(), `<a href="/login">`)
		require.Empty(t, welcome(t, f, w), tt.claims)
	}
	require.Equal(t, "a@example.com", welcome(t, f, p.loginAs(t, f, "a", `"email":"a@example.com","email_verified":"true"`)))
	require.Equal(t, "a@example.com", welcome(t, f, p.loginAs(t, f, "a", `"email":"a@example.com"`)), "who is known needs none")
}

func TestLoginByOpenIDThatWasNotBegunHere(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	f := withOpenID(t, p, store.Viewer)
	begun := f.get("/v1/login/openid")
	to, err := url.Parse(begun.Header().Get("Location"))
	require.NoError(t, err)
	state, cookie := to.Query().Get("state"), stateCookieOf(t, begun)
	p.claims = fmt.Sprintf(`{"iss":%q,"aud":"pawl","sub":"7","exp":%d,"email":"a@b","email_verified":true,"nonce":"of another"}`, p.URL, time.Now().Add(time.Hour).Unix())
	for name, tt := range map[string]struct {
		query, cookie string
		status        int
	}{
		"no cookie":          {"code=good&state=" + state, "", 400},
		"another state":      {"code=good&state=x", cookie, 400},
		"a bad code":         {"code=bad&state=" + state, cookie, 401},
		"a token of another": {"code=good&state=" + state, cookie, 401},
	} {
		w := f.do(request{method: "GET", path: "/v1/login/openid/callback?" + tt.query, header: map[string]string{"Cookie": tt.cookie}})
		require.Equal(t, tt.status, w.Code, name)
		require.Empty(t, welcome(t, f, w), name)
	}
	require.NotContains(t, f.logs.String(), strings.TrimPrefix(cookie, stateCookie+"="))
	require.Equal(t, 404, newFixture(t, serving).get("/v1/login/openid").Code)
}

// The last admin who can log in stays one: another counts when the provider that is set
// now knows them, and not when it only might.
func TestLastAdminIsOneWhoCanLogIn(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	f := withOpenID(t, p, store.Nobody)
	as := f.tokenOf(t)
	add := func(body string) string {
		return data[personView](t, f.jsonAs(as, "POST", "/v1/people", body)).ID
	}
	ada := add(`{"name":"ada","role":"admin","password":"` + goodPassword + `"}`)
	eve := add(`{"name":"eve@example.com","role":"admin"}`)
	require.Equal(t, 200, f.jsonAs(as, "POST", "/v1/people/"+eve+"/link", "").Code)
	for _, q := range []struct{ method, body string }{{"DELETE", ""}, {"PATCH", `{"role":"viewer"}`}, {"PATCH", `{"disabled":true}`}} {
		require.Contains(t, wantRefusal(t, f.jsonAs(as, q.method, "/v1/people/"+ada, q.body), 409), "last admin who can log in")
	}
	require.Equal(t, "eve@example.com", welcome(t, f, p.login(t, f, "7", "eve@example.com", true)))
	known := f.s.openID
	f.s.openID = &openID{OpenID: OpenID{Issuer: "https://another.example.com"}}
	require.Equal(t, 409, f.jsonAs(as, "DELETE", "/v1/people/"+ada, "").Code, "by a provider that is set no more")
	f.s.openID = nil
	require.Equal(t, 409, f.jsonAs(as, "DELETE", "/v1/people/"+ada, "").Code, "by none")
	f.s.openID = known
	require.Equal(t, 200, f.jsonAs(as, "DELETE", "/v1/people/"+ada, "").Code)
}

package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/store"
)

// Who asks. In dev everybody on this machine is an admin. In serve a program shows
// the signing key, which opens everything, or a token that an admin has made; a
// person shows the cookie of a login. Routes that are the SDKs' know the signing key
// alone (sdkOnly); what a route needs of the others is in need.

// identity is who asks, as far as it is known.
type identity struct {
	name   string // for the audit log
	role   store.Role
	scopes []string  // of a token, the areas that it is for; none: all
	person string    // id of a person who is logged in; "" for programs
	secret bool      // they have a password
	until  time.Time // when what they have shown is over; zero: never
}

type identityKey struct{}

// identified is the identity of a request that was let in.
func identified(r *http.Request) (identity, bool) {
	id, ok := r.Context().Value(identityKey{}).(identity)
	return id, ok
}

// sdkOnly are the routes that people and tokens have nothing to ask of: they speak
// for an app.
var sdkOnly = map[string]bool{
	"POST /fn/register": true, "GET /v0/runs/{run}/batch": true, "GET /v0/runs/{run}/actions": true,
	"POST /v1/runs/{run}/metadata": true, "POST /v1/traces/userland": true,
}

// sdkPrefixes are the beginnings of further ones.
var sdkPrefixes = []string{"/v1/checkpoint", "/v1/http/runs", "/v1/realtime", "/v0/connect", "/v0/gql"}

// adminOnly are the routes that an operator may not ask.
var adminOnly = map[string]bool{
	"POST /v1/backup": true,
	"GET /v1/people":  true, "POST /v1/people": true, "PATCH /v1/people/{id}": true, "DELETE /v1/people/{id}": true,
	"POST /v1/people/{id}/link": true, "DELETE /v1/people/{id}/sessions": true,
	"GET /v1/tokens": true, "POST /v1/tokens": true, "DELETE /v1/tokens/{id}": true,
	"GET /v1/keys": true,
}

// ownOnly are the routes that change only what belongs to who asks, so that whoever is
// logged in may ask.
var ownOnly = map[string]bool{
	"POST /v1/me/password": true, "DELETE /v1/me/sessions": true, "DELETE /v1/me/sessions/{id}": true,
}

// need is the least role that may ask a route which asks for a signing key; Nobody
// means that no person may.
func (rt *route) need() store.Role {
	name := rt.method + " " + rt.pattern
	switch {
	case rt.ofSDKs():
		return store.Nobody
	case adminOnly[name]:
		return store.Admin
	case rt.method == http.MethodGet, ownOnly[name]:
		return store.Viewer
	default:
		return store.Operator
	}
}

// ofSDKs reports whether a route is for what speaks for an app.
func (rt *route) ofSDKs() bool {
	if sdkOnly[rt.method+" "+rt.pattern] {
		return true
	}
	for _, p := range sdkPrefixes {
		if rt.pattern == p || strings.HasPrefix(rt.pattern, p+"/") {
			return true
		}
	}
	return false
}

// tokenPrefix begins every token, so that one which has leaked is recognised.
const tokenPrefix = "pawl_"

// newSecret is 32 random bytes as text.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashed(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// errStranger means that nobody is known by what was shown.
var errStranger = errors.New("nobody is known by that")

// identify says who asks by token or cookie. Errors are errStranger and those of the
// store.
func (s *Server) identify(ctx context.Context, r *http.Request) (id identity, byCookie bool, err error) {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "+tokenPrefix); ok {
		id, err = s.byToken(ctx, tokenPrefix+bearer)
		return id, false, err
	}
	if r.Header.Get("Authorization") != "" {
		return identity{}, false, errStranger
	}
	id, err = s.bySession(ctx, r)
	return id, true, err
}

func (s *Server) byToken(ctx context.Context, token string) (identity, error) {
	t, err := s.eng.People().TokenOf(ctx, hashed(token))
	now := time.Now()
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !t.Expires.IsZero() && !t.Expires.After(now):
		return identity{}, errStranger
	case err != nil:
		return identity{}, err
	}
	if s.used.due(t.ID, t.Used, now) {
		if err := s.eng.People().UseToken(ctx, t.ID, now); err != nil { // the request does not need it
			s.log.WarnContext(ctx, "the use of a token was not noted", "token", t.ID, "err", err)
		}
	}
	return identity{name: "token " + t.Name, role: t.Role, scopes: t.Scopes, until: t.Expires}, nil
}

// bySession finds the person who is logged in.
func (s *Server) bySession(ctx context.Context, r *http.Request) (identity, error) {
	cookie, err := r.Cookie(s.cookieName())
	if err != nil {
		return identity{}, errStranger
	}
	x, err := s.eng.People().SessionOf(ctx, hashed(cookie.Value))
	var p store.Person
	if err == nil {
		p, err = s.eng.People().Person(ctx, x.Person)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return identity{}, errStranger
	case err != nil:
		return identity{}, err
	case !x.Expires.After(time.Now()), p.Disabled, p.Version != x.Version:
		return identity{}, errStranger
	}
	return identity{name: p.Name, role: p.Role, person: p.ID, secret: p.Password != "", until: x.Expires}, nil
}

// letIn is what allowed asks about a route that needs a signing key when none was
// shown: it answers, and returns nil, when whoever asks may not.
func (s *Server) letIn(rt *route, w http.ResponseWriter, r *http.Request) *http.Request {
	if rt.need() == store.Nobody {
		s.askForKey(w, r)
		return nil
	}
	id, byCookie, err := s.identify(r.Context(), r)
	switch {
	case errors.Is(err, errStranger):
		s.askForKey(w, r)
		return nil
	case err != nil:
		s.failWith(w, r, err, "")
		return nil
	}
	if why := id.beyond(rt); why != "" {
		failAt(w, r, http.StatusForbidden, why)
		return nil
	}
	if byCookie { // which a browser sends along for any page
		if err := s.origin.Check(r); err != nil {
			failAt(w, r, http.StatusForbidden, "a page of another origin may not do this")
			return nil
		}
	}
	return r.WithContext(context.WithValue(r.Context(), identityKey{}, id))
}

// admitted returns a function that says whether who asks by r, and was let in, would
// still be let in as the same: somebody else may have ended the login, removed the
// token or changed the role meanwhile.
func (s *Server) admitted(r *http.Request) func(context.Context) bool {
	was, ok := identified(r)
	if !ok {
		return func(context.Context) bool { return true } // by a key, which holds as long as the server runs
	}
	return func(ctx context.Context) bool {
		is, _, err := s.identify(ctx, r)
		return err == nil && is.role == was.role && slices.Equal(is.scopes, was.scopes)
	}
}

// stay is how long who asks by r may stay, at most that long: a login or a token ends
// with time.
func stay(r *http.Request, longest time.Duration) time.Duration {
	if id, ok := identified(r); ok && !id.until.IsZero() {
		return min(longest, time.Until(id.until))
	}
	return longest
}

// bell wakes all who wait for something that happens now and then.
type bell struct {
	mu sync.Mutex
	c  chan struct{}
}

func newBell() *bell { return &bell{c: make(chan struct{})} }

// rung is closed at the next ring.
func (b *bell) rung() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.c
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.c)
	b.c = make(chan struct{})
}

const (
	cookiePlain  = "pawl-session"
	cookieSecure = "__Host-pawl-session"
	sessionLife  = 7 * 24 * time.Hour
)

// secure reports whether browsers reach the server over TLS alone.
func (s *Server) secure() bool { return s.public != nil && s.public.Scheme == "https" }

func (s *Server) cookieName() string {
	if s.secure() {
		return cookieSecure
	}
	return cookiePlain
}

// setCookie gives a browser its session; "" takes it away.
func (s *Server) setCookie(w http.ResponseWriter, value string) {
	c := &http.Cookie{ //nolint:gosec // it is secure where browsers come over TLS
		Name: s.cookieName(), Value: value, Path: "/", HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteStrictMode,
		MaxAge: int(sessionLife / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

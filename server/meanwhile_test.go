package server

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// meanwhile sends a request that has to hash a password, and does something else while
// it waits for its turn.
func (p peopled) meanwhile(ask func() *httptest.ResponseRecorder, do func()) *httptest.ResponseRecorder {
	p.t.Helper()
	require.NoError(p.t, p.s.logins.hashing.Acquire(p.t.Context(), hashesAtOnce))
	answer := make(chan *httptest.ResponseRecorder)
	go func() { answer <- ask() }()
	synctest.Wait()
	do()
	p.s.logins.hashing.Release(hashesAtOnce)
	return <-answer
}

// TestNothingIsLostWhileAPasswordIsHashed: that takes long, and what an admin does to
// somebody meanwhile holds.
func TestNothingIsLostWhileAPasswordIsHashed(t *testing.T) {
	for name, tt := range map[string]struct {
		ask    func(p peopled, id, eve string) *httptest.ResponseRecorder
		change string
		status int // of what was asked
	}{
		"own password, demoted":  {ownPassword, `{"role":"viewer"}`, 200},
		"own password, shut out": {ownPassword, `{"disabled":true}`, 401},
		"own password, renamed":  {ownPassword, `{"name":"other"}`, 200},
		"link, demoted":          {byLink, `{"role":"viewer"}`, 200},
		"link, shut out":         {byLink, `{"disabled":true}`, 401},
		"by an admin, demoted":   {byAdmin, `{"role":"viewer"}`, 200},
		"by an admin, shut out":  {byAdmin, `{"disabled":true}`, 200},
		"login, shut out":        {byLogin, `{"disabled":true}`, 401},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPeopled(t)
				id, eve := p.person("eve", "admin")
				before := len(p.acts(p.ada))
				w := p.meanwhile(func() *httptest.ResponseRecorder { return tt.ask(p, id, eve) }, func() {
					before = len(p.acts(p.ada)) // a link was made
					require.Equal(t, 200, p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, tt.change).Code)
				})
				require.Equal(t, tt.status, w.Code, w.Body)
				for _, is := range data[[]personView](t, p.jsonAs(p.ada, "GET", "/v1/people", "")) {
					if is.ID != id {
						continue
					}
					role, disabled := is.Role, is.Disabled
					require.Equal(t, tt.change == `{"role":"viewer"}`, role == "viewer", role)
					require.Equal(t, tt.change == `{"disabled":true}`, disabled)
					require.Equal(t, tt.change == `{"name":"other"}`, is.Name == "other", is.Name)
				}
				if tt.status != 200 {
					require.Len(t, p.acts(p.ada), before+1, "what is refused leaves no line")
				}
			})
		})
	}
}

func ownPassword(p peopled, _, eve string) *httptest.ResponseRecorder {
	return p.jsonAs(eve, "POST", "/v1/me/password", `{"old":"`+goodPassword+`","new":"another good one"}`)
}

func byLink(p peopled, id, _ string) *httptest.ResponseRecorder {
	return p.come(p.link(id), "another good one")
}

func byAdmin(p peopled, id, _ string) *httptest.ResponseRecorder {
	return p.jsonAs(p.ada, "PATCH", "/v1/people/"+id, `{"password":"another good one"}`)
}

func byLogin(p peopled, _, _ string) *httptest.ResponseRecorder {
	return p.jsonAs("", "POST", "/v1/login", `{"name":"eve","password":"`+goodPassword+`"}`)
}

// acts are the newest lines of the audit log.
func (p peopled) acts(who string) []actView {
	p.t.Helper()
	return data[[]actView](p.t, p.jsonAs(who, "GET", "/v1/audit?limit=200", ""))
}

package server

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
)

func TestClientsBehindProxies(t *testing.T) {
	t.Parallel()
	ps, err := ParseProxies([]string{"10.0.0.0/8", "192.0.2.7", "fd00::/8", "::ffff:198.51.100.9"})
	require.NoError(t, err)
	for _, tt := range []struct{ name, peer, forwarded, want string }{
		{"nobody in between", "203.0.113.5:7", "", "203.0.113.5"},
		{"a stranger is not believed", "203.0.113.5:7", "198.51.100.1", "203.0.113.5"},
		{"a proxy is", "10.1.2.3:7", "198.51.100.1", "198.51.100.1"},
		{"one that stands alone too", "192.0.2.7:7", "198.51.100.1", "198.51.100.1"},
		{"its neighbour is not", "192.0.2.8:7", "198.51.100.1", "192.0.2.8"},
		{"proxies in a row", "10.1.2.3:7", "198.51.100.1, 10.9.9.9,192.0.2.7", "198.51.100.1"},
		{"what the client made up", "10.1.2.3:7", "1.1.1.1, 10.0.0.1, 198.51.100.1", "198.51.100.1"},
		{"a proxy that says nothing", "10.1.2.3:7", "", "10.1.2.3"},
		{"or no address", "10.1.2.3:7", "198.51.100.1, unknown", "10.1.2.3"},
		{"only proxies", "10.1.2.3:7", "10.4.4.4", "10.4.4.4"},
		{"IPv6", "[fd00::1]:7", "2001:db8::5", "2001:db8::5"},
		{"IPv4 within IPv6", "[::ffff:10.1.2.3]:7", "::ffff:198.51.100.1", "198.51.100.1"},
		{"no address at all", "@", "198.51.100.1", "@"},
	} {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		require.Equal(t, tt.want, address(ps.from(r)), tt.name)
		require.Equal(t, tt.peer, r.RemoteAddr)
	}
	for _, bad := range []string{"", "10.0.0.0/33", "proxy.example.com", "10.0.0.1:80"} {
		_, err := ParseProxies([]string{bad})
		require.Error(t, err, bad)
	}
}

// Who guesses behind a proxy keeps nobody else behind it from logging in, and the audit log
// tells where somebody really came from.
func TestGuessingBehindAProxy(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p := newPeopled(t, func(c *Config, _ *engine.Config) {
				if trusted {
					c.Proxies, _ = ParseProxies([]string{"192.0.2.1"}) // where httptest's requests come from
				}
			})
			login := func(from, password string) int {
				return p.do(request{method: "POST", path: "/v1/login", body: `{"name":"ada","password":"` + password + `"}`, header: map[string]string{
					"Content-Type": "application/json", "X-Forwarded-For": from,
				}}).Code
			}
			for range freeTries {
				require.Equal(t, 401, login("198.51.100.1", "a wrong password"))
			}
			require.Equal(t, 429, login("198.51.100.1", goodPassword))
			if !trusted {
				require.Equal(t, 429, login("198.51.100.2", goodPassword), "anybody can write a header")
				return
			}
			require.Equal(t, 200, login("198.51.100.2", goodPassword))
			require.Equal(t, "ada from 198.51.100.2", data[[]actView](t, p.jsonAs(p.ada, "GET", "/v1/audit", ""))[0].By)
		})
	}
}

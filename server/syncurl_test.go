package server

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
)

// Whoever names an app's URL gets the payloads of its runs: a new one is named by an admin,
// or by who starts the server.
func TestANewURLOfAnAppNeedsAnAdmin(t *testing.T) {
	t.Parallel()
	const named = "http://127.0.0.1:1/named"
	p := newPeopled(t, func(c *Config, _ *engine.Config) {
		c.Unsynced = func() []Unsynced { return []Unsynced{{URL: named}} }
	})
	p.registerSigned()
	_, op := p.person("olga", "operator")
	sync := func(who, url string) (status int, answer string) {
		w := p.jsonAs(who, "POST", "/v2/apps/shop/syncs", `{"url":"`+url+`"}`)
		return w.Code, w.Body.String()
	}
	for _, who := range []string{op, p.token("operator", "1d")} {
		for _, url := range []string{"http://127.0.0.1:1/relay", "http://localhost.evil.example:3000/api/inngest", "http://localhost:3001/api/inngest"} {
			status, answer := sync(who, url)
			require.Equal(t, 403, status, answer)
			require.Contains(t, answer, "needs the role admin")
		}
		for _, url := range []string{named, "http://localhost:3000/api/inngest"} {
			status, answer := sync(who, url)
			require.NotEqual(t, 403, status, answer)
		}
	}
	status, answer := sync(p.ada, "http://127.0.0.1:1/relay")
	require.Equal(t, 400, status, "nothing listens there")
	require.NotContains(t, answer, "admin")
}

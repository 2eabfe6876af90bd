package server

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Who opens as many pages as may be keeps nobody else from following.
func TestOnePersonFollowsWithSoManyPages(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	_, vic := p.person("vic", "viewer")
	for range mostPages - 1 {
		followAs(t, p.fixture, vic).next()
	}
	again := cookieOf(t, p.jsonAs("", "POST", "/v1/login", `{"name":"vic","password":"`+goodPassword+`"}`))
	followAs(t, p.fixture, again).next()
	for _, who := range []string{vic, again} {
		require.Equal(t, tooManyPages, wantRefusal(t, p.jsonAs(who, "GET", "/v1/changes", ""), 429))
	}
	event, _, ok := followAs(t, p.fixture, p.ada).next()
	require.True(t, ok)
	require.Equal(t, "hello", event)
}

func TestPagesThatAreClosedCountNoMore(t *testing.T) {
	t.Parallel()
	var ws watchers
	var leave []func()
	for range mostPages {
		leave = append(leave, ws.enter("vic"))
	}
	require.Nil(t, ws.enter("vic"))
	for _, f := range leave {
		f()
	}
	require.NotNil(t, ws.enter("vic"))
	require.Len(t, ws.of, 1)
}

package server

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAppsShowTheirOpenCircuit(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	f := newFixture(t, withApp(func(*http.Request) *http.Response {
		if broken.Load() {
			return &http.Response{StatusCode: 503, ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader("out of order"))}
		}
		return sdk(200, `{"fine":true}`)
	}))
	f.register()
	circuit := func() *circuitView { return data[[]appView](t, f.get("/v1/apps"))[0].Circuit }
	require.Nil(t, circuit())
	before := time.Now()
	broken.Store(true)
	for range 8 {
		f.send(`{"name":"order/paid"}`)
	}
	require.Eventually(t, func() bool { return circuit() != nil }, 10*time.Second, time.Millisecond)
	open := circuit()
	require.False(t, open.Since.Before(before.Truncate(time.Second)))
	require.Contains(t, open.Error, "503")
	require.NotEmpty(t, open.Every)
	require.Contains(t, f.get("/v1/overview").Body.String(), "answers nothing but errors")
	broken.Store(false)
	f.send(`{"name":"order/paid"}`) // the others may all have been tried, and rest
	require.Eventually(t, func() bool { return circuit() == nil }, 10*time.Second, 10*time.Millisecond)
}

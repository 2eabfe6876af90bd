package engine_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/wire"
)

// openFetching is an engine in real time: its steps' requests go over sockets.
func openFetching(t *testing.T, a *app, private bool) *pawl {
	t.Helper()
	p := &pawl{t: t, path: filepath.Join(t.TempDir(), "pawl.db"), app: a}
	s, err := sqlite.Open(t.Context(), p.path, sqlite.Options{Durability: sqlite.None})
	require.NoError(t, err)
	p.Engine, err = engine.Start(t.Context(), engine.Config{
		Store: s, Log: slog.New(slog.DiscardHandler), Dev: true, Transport: a, AllowPrivate: private, RetryInterval: time.Millisecond,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	register(t, p, function("f", "x", 2))
	return p
}

// end waits until the only run has ended.
func (p *pawl) end() *durable.Run {
	p.t.Helper()
	id := p.runs()[0].ID
	for seq := 0; ; seq++ {
		require.NoError(p.t, p.Await(p.t.Context(), id, seq))
		r, err := p.History().Run(p.t.Context(), id)
		require.NoError(p.t, err)
		if r.Status.Final() {
			return r
		}
	}
}

func TestFetchIsMadeByTheServer(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("X-Secret"), body)
	}))
	t.Cleanup(far.Close)
	a := &app{serve: awaits("Gateway", "g", fmt.Sprintf(`,"opts":{"url":"%s/a?token=hidden","method":"PUT","headers":{"x-secret":"1","authorization":"hidden"},"body":"hello"}`, far.URL))}
	p := openFetching(t, a, true)
	p.send(`{"name":"x"}`)
	r := p.end()
	require.Equal(t, durable.Completed.String(), r.Status.String())
	require.Contains(t, string(r.Output), `"body":"PUT 1 hello"`)
	require.Contains(t, string(r.Output), `"status_code":418`)
	require.EqualValues(t, 2, tries.Load(), "a connection that breaks is tried again")
	entries, err := p.History().Journal(t.Context(), r.ID, 0)
	require.NoError(t, err)
	tried := 0
	for _, e := range entries {
		require.NotContains(t, string(e.Data), "hidden", "nothing secret stays in the journal")
		if e.Kind == durable.Tried {
			tried++
			require.Contains(t, wire.ParseError(e.Data, nil).Message, "closed the connection", "people see why it is tried again")
		}
	}
	require.Equal(t, 1, tried)
}

func TestInferenceErrorIsTheFunctionsToCatch(t *testing.T) {
	t.Parallel()
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":{"message":"no such model"}}`)
	}))
	t.Cleanup(far.Close)
	a := &app{serve: awaits("AIGateway", "g", fmt.Sprintf(`,"opts":{"type":"step.ai.infer","url":"%s","auth_key":"sk-hidden","format":"openai-chat","headers":{},"body":{"model":"x"}}`, far.URL))}
	p := openFetching(t, a, true)
	p.send(`{"name":"x"}`)
	r := p.end()
	require.Equal(t, durable.Completed.String(), r.Status.String())
	require.Contains(t, string(r.Output), `"name":"AIGatewayError"`)
	require.Contains(t, string(r.Output), "no such model")
	require.NotContains(t, string(r.Output), "sk-hidden")
}

func TestPrivateAddressesAreNotFetched(t *testing.T) {
	t.Parallel()
	far := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	t.Cleanup(far.Close)
	a := &app{serve: awaits("Gateway", "g", fmt.Sprintf(`,"opts":{"url":%q}`, far.URL))}
	p := openFetching(t, a, false)
	p.send(`{"name":"x"}`)
	r := p.end()
	require.Contains(t, string(r.Output), "--allow-private-addresses")
	require.Equal(t, 1, strings.Count(string(r.Output), `"name":"GatewayError"`))
	require.Len(t, a.seen(), 2, "it is not tried again")
	_, ok := a.seen()[1].Steps[wire.StepHash("g", 0)]
	require.True(t, ok)
}

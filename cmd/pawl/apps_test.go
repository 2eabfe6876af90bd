package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/server"
)

// local is an app on a port of its own, and how often it was asked.
type local struct {
	port           int
	probed, synced atomic.Int64
}

func newLocal(t *testing.T, name string) *local {
	t.Helper()
	a := &local{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Inngest-SDK", "inngest-js:v4.24.0")
		if r.Method != http.MethodPut {
			a.probed.Add(1)
			return
		}
		a.synced.Add(1)
		w.Header().Set("X-Inngest-Sync-Kind", "in_band")
		_, _ = fmt.Fprintf(w, `{"app_id":%q,"functions":[],"url":"http://%s/api/inngest"}`, name, r.Host)
	}))
	t.Cleanup(front.Close)
	var err error
	a.port, err = strconv.Atoi(front.URL[strings.LastIndexByte(front.URL, ':')+1:])
	require.NoError(t, err)
	return a
}

// looking is a syncer in dev that looks on the ports of some apps.
func looking(t *testing.T, urls []string, on ...*local) *syncer {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "pawl.db"), sqlite.Options{Durability: sqlite.None})
	require.NoError(t, err)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	eng, err := engine.Start(t.Context(), engine.Config{Store: st, Log: log, Dev: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, eng.Close(context.WithoutCancel(t.Context()))) })
	y := &syncer{
		eng: eng, log: log, apps: urls, every: 5 * time.Millisecond, poll: true, discover: true,
		asked: map[string]outcome{}, pause: time.Millisecond,
	}
	for _, a := range on {
		y.ports = append(y.ports, a.port)
	}
	return y
}

// until lets y run until done.
func until(t *testing.T, y *syncer, done func() bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		y.run(ctx)
	}()
	require.Eventually(t, done, 10*time.Second, time.Millisecond)
	stop()
	<-ended
}

func names(y *syncer) (list []string) {
	for _, a := range y.eng.Apps() {
		list = append(list, a.Name)
	}
	return list
}

// Source: spec/02 §7: apps are looked for only while none is known.
func TestAppsAreLookedForUntilOneIsKnown(t *testing.T) {
	t.Parallel()
	first, second := newLocal(t, "first"), newLocal(t, "second")
	y := looking(t, nil, first)
	until(t, y, func() bool { return first.synced.Load() > 3 })
	require.Equal(t, []string{"first"}, names(y))

	y.ports = append(y.ports, second.port)
	more := first.synced.Load() + 3
	until(t, y, func() bool { return first.synced.Load() > more })
	require.Equal(t, []string{"first"}, names(y))
	require.Zero(t, second.probed.Load())
}

func TestAppsAreLookedForWhileTheOneAskedForIsAway(t *testing.T) {
	t.Parallel()
	found := newLocal(t, "found")
	y := looking(t, []string{"http://127.0.0.1:1/api/inngest"}, found)
	until(t, y, func() bool { return found.synced.Load() > 0 && len(y.eng.Apps()) > 0 })
	require.Equal(t, []string{"found"}, names(y))
	require.Equal(t, []string{"http://127.0.0.1:1/api/inngest"}, y.waiting())
	require.Equal(t, []server.Unsynced{{URL: "http://127.0.0.1:1/api/inngest"}}, y.unsynced())
}

func TestTheAppAskedForHasTheFirstLook(t *testing.T) {
	t.Parallel()
	asked, other := newLocal(t, "asked"), newLocal(t, "other")
	y := looking(t, []string{fmt.Sprintf("http://127.0.0.1:%d/api/inngest", asked.port)}, other)
	until(t, y, func() bool { return asked.synced.Load() > 3 })
	require.Equal(t, []string{"asked"}, names(y))
	require.Empty(t, y.unsynced())
	require.Zero(t, other.probed.Load())
}

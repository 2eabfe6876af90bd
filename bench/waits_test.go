package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

func TestWaitsFlags(t *testing.T) {
	t.Parallel()
	s, err := parseFlags([]string{"-mode", "waits", "-waiting", "10, 1000", "-bulk", "0"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, waitsConfig{sizes: []int{10, 1000}, samples: 500, fans: 1000, rests: 100_000}, s.waits)
	require.Equal(t, "go run ./bench -mode waits -waiting 10,1000 -samples 500 -bulk 0 -fan 1000 -beside 100000 -durability full", s.waitsCommand())
	for _, bad := range [][]string{{"-waiting", "0"}, {"-waiting", "x"}, {"-samples", "0"}, {"-bulk", "-1"}, {"-fan", "999999999"}} {
		_, err := parseFlags(append([]string{"-mode", "waits"}, bad...), io.Discard)
		require.ErrorContains(t, err, bad[0])
	}
}

func TestRealtimeFlags(t *testing.T) {
	t.Parallel()
	s, err := parseFlags([]string{"-mode", "realtime", "-subscribers", "1, 20"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, realtimeConfig{readers: []int{1, 20}, samples: 500}, s.realtime)
	require.Equal(t, "go run ./bench -mode realtime -subscribers 1,20 -messages 500", s.realtimeCommand())
	for _, bad := range [][]string{{"-subscribers", "0"}, {"-subscribers", "99999999"}, {"-messages", "0"}} {
		_, err := parseFlags(append([]string{"-mode", "realtime"}, bad...), io.Discard)
		require.ErrorContains(t, err, bad[0])
	}
}

// What fill writes waits as the engine would have it wait.
func TestFill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	due := one(30, 2)
	due.due = true
	require.NoError(t, fill(t.Context(), dir, one(0, 20), anyOf(20, 3, waitsOpen), due))
	n, err := unfinished(t.Context(), dir)
	require.NoError(t, err)
	require.Equal(t, 25, n)

	st, err := sqlite.Open(t.Context(), filepath.Join(dir, databaseFile), sqlite.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	e := durable.Event{ID: "01KE0000000000000000000000", Name: waitsPaid, Body: durable.JSON(`{"data":{"n":7}}`)}
	_, err = st.Accept(t.Context(), e.At, []store.Accepted{{Event: e}})
	require.NoError(t, err)
	paths, err := st.Paths(t.Context(), waitsPaid)
	require.NoError(t, err)
	require.Equal(t, []string{"data.n"}, paths)
	paths, err = st.Paths(t.Context(), waitsOpen)
	require.NoError(t, err)
	require.Equal(t, []string{""}, paths)
}

// The app's runs wait once, and end when they are woken.
func TestWaiter(t *testing.T) {
	t.Parallel()
	w, err := startWaiter("", "", 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, w.stop()) }()
	call := func(fn, steps string) string {
		body := `{"ctx":{},"event":{"data":{"n":5}},"steps":` + steps + `}`
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.self+"?fnId="+fn, strings.NewReader(body))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		var ops []struct{ Op string }
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&ops))
		return ops[0].Op
	}
	came := func() (int64, bool) {
		a := <-w.arrivals
		return a.n, a.woken
	}
	require.Equal(t, "WaitForEvent", call(waitsOne, `{}`))
	n, woken := came()
	require.EqualValues(t, 5, n)
	require.False(t, woken)
	require.Equal(t, "RunComplete", call(waitsOne, `{"`+waitStep+`":{"name":"x"}}`))
	_, woken = came()
	require.True(t, woken)
	require.Equal(t, "RunComplete", call(waitsFan+"-3", `{}`))
}

// Each mode writes its part of the page and leaves the other's.
func TestWritePart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	for _, part := range []string{
		pageHeading + "\nnew\n", realtimeHeading + "\nold\n", "# Results\n\nold\n", waitsHeading + "\nold\n", "# Results\n\nnew\n", realtimeHeading + "\nnew\n", waitsHeading + "\nnewer\n", waitsHeading + "\nnew\n", endpointHeading + "\nnew\n",
	} {
		require.NoError(t, writePart(path, part))
	}
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "# Results\n\nnew\n\n"+waitsHeading+"\nnew\n\n"+endpointHeading+"\nnew\n\n"+realtimeHeading+"\nnew\n\n"+pageHeading+"\nnew\n", string(b))
}

func TestWaitsReport(t *testing.T) {
	t.Parallel()
	idle := int64(20 << 20)
	r := WaitsReport{
		Sizes: []WaitsAtSize{{Waiting: 10, FileBytes: 1 << 20, P50Micros: 1000, IdleBytes: &idle, StartMicros: []int64{30_000, 10_000, 20_000}}},
		Bulk:  []WaitsBulk{{What: "2 runs woken by one event", Runs: 2, AcceptMicros: 1000, AllMicros: 500_000, Missed: 1}},
	}
	var page strings.Builder
	markdownTables(&page, waitsHeading, r.header(), r.tables())
	require.Contains(t, page.String(), "| 10 | 1 | 1.00 | 0.00 | 0.00 | 20 | n/a | 20.00 | 30.00 | n/a |")
	require.Contains(t, page.String(), "| 2 runs woken by one event | 1.00 | 500.00 | 4 | n/a | 1 | n/a |")
	var text bytes.Buffer
	require.ErrorIs(t, r.publish(settings{}, &text), errProblems)
	require.Contains(t, text.String(), "2 runs woken by one event")
}

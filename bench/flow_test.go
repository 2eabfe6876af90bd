package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

func TestFlowFlags(t *testing.T) {
	t.Parallel()
	s, err := parseFlags([]string{"-mode", "flow", "-queues", "5/5, 100/10", "-burst", "2s"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []flowQueue{{5, 5}, {100, 10}}, s.flow.queues)
	require.Equal(t, "go run ./bench -mode flow -queues 5/5,100/10 -duration 10s -probes 500 -hot 1000000 -rate 400 -times 10 -burst 2s"+
		" -limit 500 -atonce 32 -call 20ms -backlog 50000 -durability full", s.flowCommand())
	for _, bad := range [][]string{
		{"-queues", "5"},
		{"-queues", "5/6"},
		{"-queues", "5/0"},
		{"-queues", "999999999/1"},
		{"-probes", "-1"},
		{"-hot", "0"},
		{"-rate", "0"},
		{"-times", "0"},
		{"-burst", "-1s"},
		{"-limit", "0"},
		{"-atonce", "0"},
		{"-call", "-1s"},
		{"-backlog", "0"},
	} {
		_, err := parseFlags(append([]string{"-mode", "flow"}, bad...), io.Discard)
		require.ErrorContains(t, err, bad[0])
	}
}

// What is written waits as it would if an event had been sent.
func TestFlowFill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, fillFlow(t.Context(), dir, flowFilling{n: 2*fillGroup + 5, keys: []string{"a", "b"}}))
	n, err := countRuns(t.Context(), dir, durable.Queued)
	require.NoError(t, err)
	require.Equal(t, 2*fillGroup+5, n)
	lane := flowRun(7, "a", time.Now()).Starts[0].Run.Items[durable.Discovery].Lane
	begins, function, keys, ok := durable.Lane(lane)
	require.True(t, begins && ok)
	require.Equal(t, flowFunction, function)
	require.Equal(t, flowHash(flowKey)+flowHash("a"), keys)
}

func TestMostInAWindow(t *testing.T) {
	t.Parallel()
	var times []time.Time
	for _, ms := range []int{0, 100, 999, 1000, 1001, 1999, 2000, 5000} {
		times = append(times, time.UnixMilli(int64(ms)))
	}
	require.Equal(t, 4, mostIn(times, time.Second), "1000 and 2000 are a second apart")
	require.Zero(t, mostIn(nil, time.Second))
}

// flowTaker is a server that takes every event but those of some numbers.
func flowTaker(refused string, after string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if refused != "" && strings.Contains(string(b), refused) {
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			w.WriteHeader(http.StatusTooManyRequests)
		}
		_, _ = io.WriteString(w, "{}")
	}))
}

func TestFlowLoad(t *testing.T) {
	t.Parallel()
	for after, problems := range map[string]int{"5": 0, "": 1} {
		server := flowTaker(`"n":7,`, after)
		defer server.Close()
		r := &flowRig{}
		r.addr = strings.TrimPrefix(server.URL, "http://")
		l := newFlowLoad(r, 30)
		var told []int
		require.NoError(t, l.run(t.Context(), []flowPhase{{rate: 100, d: 100 * time.Millisecond}, {rate: 1000, d: 20 * time.Millisecond, counts: true}}, func(phase int) error {
			told = append(told, phase)
			return nil
		}))
		require.Equal(t, []int{0, 1}, told)
		var out FlowBurst
		l.report(&out, 20*time.Millisecond)
		require.Equal(t, 29, out.Accepted)
		require.Equal(t, 1, out.Refused)
		require.InDelta(t, 1000, out.PerSecond, 1)
		require.Len(t, out.Problems, problems)
		require.False(t, l.taken[7])
		require.True(t, l.taken[29])
	}
}

func TestFlowLoadEndsWithAnError(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer server.Close()
	r := &flowRig{}
	r.addr = strings.TrimPrefix(server.URL, "http://")
	err := newFlowLoad(r, 10).run(t.Context(), []flowPhase{{rate: 1000, d: 10 * time.Millisecond}}, func(int) error { return nil })
	require.ErrorContains(t, err, "status 500")
}

// ask makes a request to the app.
func (a *flowApp) ask(ctx context.Context, n int64, key string, attempt int) (string, error) {
	c := newConn(a.addr, "")
	defer c.close()
	body := fmt.Sprintf(`{"ctx":{"attempt":%d},"event":{"data":{"n":%d,"k":%q}}}`, attempt, n, key)
	_, answer, err := c.do(ctx, "POST", appPath, []byte(body))
	return string(answer), err
}

// The app compares what came with what was accepted and declared.
func TestFlowApp(t *testing.T) {
	t.Parallel()
	a, err := startFlowApp(4, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, a.stop()) }()
	l := &flowLoad{taken: []bool{true, true, true, false}}
	c := flowConfig{limit: 10, atOnce: 1}
	report := func() (out FlowBurst) {
		a.report(&out, l, c, time.Time{})
		return out
	}
	for n := range 2 {
		answer, err := a.ask(t.Context(), int64(n), "", 0)
		require.NoError(t, err)
		require.Contains(t, answer, "RunComplete")
	}
	out := report()
	require.Equal(t, 1, out.Lost)
	require.Len(t, out.Problems, 1)
	_, err = a.ask(t.Context(), 2, "", 0)
	require.NoError(t, err)
	require.Empty(t, report().Problems)
	require.Equal(t, 3, a.distinct())
	require.Equal(t, 21, report().MayStart, "ten at once, and ten in a second and a bit")

	_, err = a.ask(t.Context(), 2, "", 1)
	require.NoError(t, err)
	out = report()
	require.Equal(t, 1, out.Repeated)
	require.Equal(t, 1, out.Attempts)
	require.Len(t, out.Problems, 2)
	c.limit = 1
	a.starts[1], a.starts[2] = a.starts[0], a.starts[0]
	require.Len(t, report().Problems, 3, "three in a second are more than a throttle of one lets begin")

	require.NoError(t, a.leave())
	_, err = a.ask(t.Context(), 3, "", 0)
	require.Error(t, err)
	require.NoError(t, a.comeBack())
	_, err = a.ask(t.Context(), 3, "", 0)
	require.NoError(t, err)
	var again FlowBurst
	a.report(&again, l, c, a.starts[2])
	require.Positive(t, again.BackMicros+1)
}

func TestFlowAppSeesWhatOverlaps(t *testing.T) {
	t.Parallel()
	a, err := startFlowApp(0, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, a.stop()) }()
	first, second := flowCall{key: "a", at: time.Now()}, flowCall{key: "a", at: time.Now()}
	a.begin(first)
	a.begin(flowCall{key: "b"})
	require.Zero(t, a.overlaps.Load())
	a.begin(second)
	require.EqualValues(t, 1, a.overlaps.Load())
	require.EqualValues(t, 3, a.most.Load())
	a.end(first)
	a.end(second)
	a.begin(first)
	require.EqualValues(t, 1, a.overlaps.Load())
	for i := range 200 {
		a.begin(flowCall{key: flowHot, at: time.UnixMilli(int64(i))})
	}
	require.Equal(t, 4, a.hotBetween(time.UnixMilli(190), time.UnixMilli(195)))
}

func TestFlowReport(t *testing.T) {
	t.Parallel()
	peak := int64(200 << 20)
	r := FlowReport{
		Queues: []FlowAtQueue{{Waiting: 10, Keys: 5, PerSecond: 100, PeakBytes: &peak}, {Waiting: 1000, Keys: 7, PerSecond: 60}},
		Probes: []FlowProbes{{Waiting: 0}, {Waiting: 9, P50Micros: 1500, Between: 2}},
		Bursts: []FlowBurst{{What: "the app is away", Accepted: 50, Refused: 3, Starts: 10, MayStart: 20, DrainedIn: 90 * time.Second, Problems: []string{"1 is lost"}, Lost: 1}},
	}
	var page strings.Builder
	markdownTables(&page, flowHeading, r.header(), r.tables())
	require.Contains(t, page.String(), "| 10 | 5 | 100 | 1.00 | n/a | 0 | 0.00 | 0.00 | 200 | n/a |")
	require.Contains(t, page.String(), "| 1000 | 7 | 60 | 0.60 |")
	require.Contains(t, page.String(), "| 9 | 1.50 | 0.00 | 0.00 | 2 | n/a |")
	require.Contains(t, page.String(), "| the app is away | 0 | 50 | 3 |")
	require.Contains(t, page.String(), "| 10 (may: 20) |")
	var text bytes.Buffer
	require.ErrorIs(t, r.publish(settings{}, &text), errProblems)
	require.Contains(t, text.String(), "WRONG: the app is away: 1 is lost")
	require.Contains(t, text.String(), "2 of them were called before one of another key")
	r.Bursts, r.Probes = nil, nil
	require.NoError(t, r.publish(settings{json: true}, &text))
}

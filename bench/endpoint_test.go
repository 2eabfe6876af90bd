package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEndpointFlags(t *testing.T) {
	t.Parallel()
	s, err := parseFlags([]string{"-mode", "endpoint", "-inflight", "1, 4", "-requests", "10", "-write", "/some/where/R.md"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, endpointConfig{requests: 10, clients: []int{1, 4}, samples: 500, readers: 10_000, idle: 30 * time.Second}, s.endpoint)
	require.Equal(t, "go run ./bench -mode endpoint -requests 10 -inflight 1,4 -samples 500 -readers 10000 -idle 30s -durability full -write R.md", s.endpointCommand())
	for _, bad := range [][]string{{"-requests", "-1"}, {"-readers", "999999"}, {"-idle", "0s"}, {"-inflight", "x"}} {
		_, err := parseFlags(append([]string{"-mode", "endpoint"}, bad...), io.Discard)
		require.ErrorContains(t, err, bad[0])
	}
}

func testEndpointReport() EndpointReport {
	cpu, more, all := 0.004, int64(30<<20), int64(130<<20)
	return EndpointReport{
		Report: testReport(),
		Requests: []EndpointCase{
			{Server: toNobody, Clients: 1, P50Micros: 500, P99Micros: 900, MaxMicros: 1000, PerSecond: 2000},
			{Server: toStub, Clients: 1, P50Micros: 2000, P99Micros: 3000, MaxMicros: 4000, PerSecond: 500},
			{Server: toPawl, Clients: 1, P50Micros: 3100, P99Micros: 5000, MaxMicros: 6000, PerSecond: 320},
		},
		Result:  EndpointResult{Ways: []EndpointWay{{Others: 7, AckP50: 300, AckP99: 900, ReaderP50: 350, ReaderP99: 1000, AfterP50: 50, AfterP99: 100}}},
		Readers: &EndpointReaders{Readers: 9, Before: &more, After: &all, Idle: time.Second, CPU: &cpu, AllMicros: 8000},
	}
}

func TestEndpointReport(t *testing.T) {
	t.Parallel()
	e := testEndpointReport()
	path := filepath.Join(t.TempDir(), "R.md")
	require.NoError(t, e.publish(settings{write: path}, io.Discard))
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, want := range []string{
		"# Durable endpoints\n",
		"| pawl | 1 | 3.10 | 5.00 | 6.00 | 320 | 2.60 | 4.10 | 1.10 | 2.00 | n/a | n/a |",
		"| " + toStub + " | 1 | 2.00 | 3.00 | 4.00 | 500 | 1.50 | 2.10 | – | – | n/a | n/a |",
		"| " + toNobody + " | 1 | 0.50 | 0.90 | 1.00 | 2000 | – | – | – | – | n/a | n/a |",
		"| 7 | 0.30 | 0.90 | 0.35 | 1.00 | 0.05 | 0.10 | n/a |",
		"| 9 | 30 | 130 | 100 | 0.004 | 1s | 8.00 | 0 | n/a |",
	} {
		require.Contains(t, string(page), want)
	}
	e.Readers.Problems = []string{"one got another's result"}
	var text strings.Builder
	require.ErrorIs(t, e.publish(settings{}, &text), errProblems)
	require.Contains(t, text.String(), "WRONG: one got another's result")
}

// A reader that gets something else than its result is a problem, and white space
// before it is none.
func TestReaderKnowsItsResult(t *testing.T) {
	t.Parallel()
	b := begunRun{"r", "t"}
	for body, right := range map[string]bool{b.result(): true, "   " + b.result(): true, "{}": false, "": false} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "/v1/http/runs/r/output?token=t", r.URL.RequestURI())
			_, _ = io.WriteString(w, body)
		}))
		r, err := b.listen(t.Context(), hostOf(srv.URL))
		require.NoError(t, err)
		_, err = r.wait(t.Context())
		require.Equal(t, right, err == nil, "%q: %v", body, err)
		srv.Close()
	}
}

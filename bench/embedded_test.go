package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEmbedded runs all of mode embedded, shortly.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "RESULTS.md")
	s, err := parseFlags([]string{"-mode", "embedded", "-inflight", "2", "-duration", "200ms", "-warmup", "50ms", "-requests", "20", "-dir", t.TempDir(), "-write", page}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []int{2}, s.embedded.inFlight)
	var out bytes.Buffer
	require.NoError(t, drive(t.Context(), s, &out, io.Discard))
	b, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, want := range []string{embeddedHeading, "| in flight | runs/s |", "\n| 2 | ", "\n| plain | 20 | ", "\n| AckEachStep | 20 | ", "\n| AckBeforeRespond | 20 | ", "\n| Pipelined | 20 | ", "fdatasync of 4 KB alone"} {
		require.Contains(t, string(b), want)
	}
	s, err = parseFlags([]string{"-mode", "embedded"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []int{1, 16, 128}, s.embedded.inFlight)
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

// piped is text as a pipe gets it.
func piped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	_, err := lipgloss.Fprintln(&b, text)
	require.NoError(t, err)
	return strings.TrimSuffix(b.String(), "\n")
}

func TestDrawnRuns(t *testing.T) {
	t.Parallel()
	at := func(s float64) *time.Time {
		v := time.Unix(1_700_000_000, 0).Add(time.Duration(s * float64(time.Second)))
		return &v
	}
	boom, other := jsontext.Value(`{"name":"Error","message":"boom"}`), jsontext.Value(`{"name":"Error","message":"other"}`)
	tried := func(err jsontext.Value) []attempt { return []attempt{{Attempt: 1, Error: err}} }
	for _, tt := range []struct {
		name string
		h    history
		want string
	}{
		{
			"a sleep that is over says how long it took",
			history{Run: run{ID: "R", Function: "f", Event: "e", Status: "Running"}, Steps: []step{
				{Step: "s", Name: "nap", Status: "completed", Started: at(0), Ended: at(5.001), Until: at(5)},
				{Step: "t", Name: "rest", Status: "sleeping", Started: at(0), Until: at(60)},
			}},
			"f  Running\n├── run R, event e\n├── nap  completed  took 5s\n└── rest  sleeping  until " + at(60).Local().Format(time.DateTime),
		},
		{
			"one failure is told once",
			history{Run: run{ID: "R", Function: "f", Event: "e", Status: "Failed", Output: boom}, Steps: []step{
				{Step: "s", Name: "pay", Status: "failed", Attempts: tried(boom)},
				{Step: "", Name: "function body", Status: "failed", Attempts: tried(boom)},
			}},
			"f  Failed\n├── run R, event e\n└── pay  failed\n    └── try 1 failed: Error: boom",
		},
		{
			"another failure of the body is another one",
			history{Run: run{ID: "R", Function: "f", Event: "e", Status: "Failed", Output: other}, Steps: []step{
				{Step: "s", Name: "pay", Status: "failed", Attempts: tried(boom)},
				{Step: "", Name: "function body", Status: "failed", Attempts: tried(other)},
			}},
			"f  Failed\n├── run R, event e\n├── pay  failed\n│   └── try 1 failed: Error: boom\n└── function body  failed\n    └── try 1 failed: Error: other",
		},
		{
			"a run that has not begun is called what --status calls it",
			history{Run: run{ID: "R", Function: "f", Event: "e", Status: "Scheduled"}},
			"f  Queued\n└── run R, event e",
		},
		{
			"a failure without a step",
			history{Run: run{ID: "R", Function: "f", Event: "e", Status: "Failed", Output: boom}},
			"f  Failed\n├── run R, event e\n└── error Error: boom",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, piped(t, drawn(tt.h)))
			var followed bytes.Buffer
			tellSteps(&followed, tt.h, map[string]string{}, map[string]bool{})
			require.LessOrEqual(t, strings.Count(followed.String(), "boom"), 1)
			require.NotRegexp(t, `(?m) $`, followed.String())
		})
	}
}

func TestOneLineIsWithoutStyling(t *testing.T) {
	t.Parallel()
	require.Equal(t, "red bold ", oneLine("\x1b[31mred\x1b[0m\n\x1b[1mbold\x1b"))
}

// What became of a letter tells all of it.
func TestLetterThatWasDiscardedAndRetried(t *testing.T) {
	t.Parallel()
	closed := time.Unix(1_700_000_000, 0)
	d := letterDetail{letter: letter{RunID: "R", State: "retried", ClosedAt: &closed, RetriedAs: "S", Discarded: "a test order"}}
	var out bytes.Buffer
	require.NoError(t, drawLetter(&out, d))
	require.Contains(t, out.String(), " as run S, after it was discarded: a test order")
}

func TestAgesKnowDays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"7d": 7 * 24 * time.Hour, "1w": 7 * 24 * time.Hour, "90m": 90 * time.Minute, "1.5h": 90 * time.Minute, "1d12h": 36 * time.Hour} {
		for _, name := range []string{"audit", "dlq list", "check"} {
			c, _, err := root().Find(strings.Fields(name))
			require.NoError(t, err)
			require.NoError(t, c.Flags().Set("newer", text), name)
			got, err := c.Flags().GetDuration("newer")
			require.NoError(t, err)
			require.Equal(t, want, got, name)
			for _, bad := range []string{"soon", "7", "-1h", ""} {
				require.Error(t, c.Flags().Set("newer", bad), bad)
			}
		}
	}
}

func TestBackupIntoADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, args := range [][]string{{"backup", dir}, {"backup", dir, "--force"}, {"backup", dir + "/new/", "--force"}} {
		_, err := pawl(t, args...)
		require.ErrorContains(t, err, "name a file")
		require.NotContains(t, err.Error(), "--force")
	}
}

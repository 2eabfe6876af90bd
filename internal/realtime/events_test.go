package realtime

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// cut feeds text in pieces of n bytes.
func cut(text string, n int) (events []string, rest string, long int) {
	var p splitter
	piece := func(b []byte) { rest += string(b) }
	for len(text) > 0 {
		m := min(n, len(text))
		p.feed([]byte(text[:m]), func(b []byte) { events = append(events, string(b)) }, piece, func() { long++ })
		text = text[m:]
	}
	p.flush(piece)
	return events, rest, long
}

func TestEventsAreCutWhereverTheBytesBreak(t *testing.T) {
	t.Parallel()
	parts := []string{
		"event: inngest.metadata\ndata: {\"runId\":\"r1\"}\n\n", "event: inngest.stream\ndata: {\"data\":\"ü\"}\n\n", ":\n\n", "\n\n",
		"event: inngest.stream\ndata: {\"data\":\"a\\n\\nb\"}\n\n",
	}
	whole := strings.Join(parts, "")
	for n := range len(whole) {
		events, rest, _ := cut(whole+"event: inngest.str", n+1)
		require.Equal(t, parts, events, "pieces of %d bytes", n+1)
		require.Empty(t, rest, "what has no end is dropped")
	}
}

func TestWhatIsNoEventsIsPassedOnAsItIs(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"hello", "e", "eventual\n\nconsistency", "{\"a\":1}\n\n", "dat", "ID: 1\n\n", "\x00\xff"} {
		for n := 1; n <= len(text); n++ {
			events, rest, _ := cut(text, n)
			require.Empty(t, events)
			require.Equal(t, text, rest)
		}
	}
}

func TestAnEventThatIsTooLongIsDropped(t *testing.T) {
	t.Parallel()
	for _, n := range []int{64 << 10, MaxEvent + 1<<20} {
		events, rest, long := cut("data: 1\n\ndata: "+strings.Repeat("x", MaxEvent)+"\n\ndata: 2\n\n", n)
		require.Equal(t, 1, long)
		require.Empty(t, rest)
		require.True(t, slices.Equal([]string{"data: 1\n\n", "data: 2\n\n"}, events))
	}
}

func TestReadEvent(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]struct {
		name, step string
		ok         bool
	}{
		"event: inngest.stream\ndata: {\"data\":{\"hashedStepId\":\"x\"},\"hashedStepId\":\"ab\"}\n\n": {eventStream, "ab", true},
		"event: inngest.stream\ndata: {\"data\":\"x\"}\n\n":                                            {eventStream, "", true},
		"event: inngest.commit\ndata: {\"hashedStepId\":null}\n\n":                                     {eventCommit, "", true},
		"event: inngest.rollback\ndata: {\"hashedStepId\":\"ab\"}\n\n":                                 {eventRollback, "ab", true},
		"event: inngest.response\ndata: {\"status\":\"failed\"}\n\n":                                   {eventResponse, "", true},
		"event: inngest.metadata\ndata: {\"runId\":\"r\"}\n\n":                                         {eventMetadata, "", false},
		"event: inngest.stream\ndata: {\"hashedStepId\":7}\n\n":                                        {eventStream, "", false},
		"event: inngest.stream\ndata: {\n\n":                                                           {eventStream, "", false},
		"event: inngest.stream\ndata: {}\ndata: {}\n\n":                                                {eventStream, "", false},
		"event: inngest.stream\n\n":                                                                    {eventStream, "", false},
		"event: tick\ndata: 1\n\n":                                                                     {"tick", "", false},
		":\n\n":                                                                                        {"", "", false},
	} {
		name, step, ok := read([]byte(raw))
		require.Equal(t, want.ok, ok, raw)
		require.Equal(t, want.name, name, raw)
		if ok {
			require.Equal(t, want.step, step, raw)
		}
	}
	_, _, ok := read([]byte("event: inngest.stream\ndata: {\"hashedStepId\":\"" + strings.Repeat("a", maxStep+1) + "\"}\n\n"))
	require.False(t, ok, "names of steps are bounded")
}

// TestEndOfFailedRun holds the bytes that the protocol notes give.
func TestEndOfFailedRun(t *testing.T) {
	t.Parallel()
	r := Response{Failed: true, Status: 500, Header: [][2]string{{"content-type", "application/json"}}, Body: `"run failed: …"`}
	require.Equal(t, "event: inngest.response\ndata: "+
		`{"status":"failed","response":{"body":"\"run failed: …\"","statusCode":500,"headers":{"content-type":"application/json"}}}`+"\n\n", string(r.event()))
	require.NotContains(t, string(Response{Body: "a\nb"}.event()[:len("event: inngest.response\n")+20]), "a\nb")
	require.Equal(t, "event: inngest.rollback\ndata: {\"hashedStepId\":null}\n\n", string(rollback("")))
	require.Equal(t, "event: inngest.metadata\ndata: {\"runId\":\"r1\"}\n\n", string(metadata("r1")))
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("event: inngest.stream\ndata: {\"data\":1}\n\nid: 1\n\n"), 3)
	f.Add([]byte("hello\n\nworld"), 1)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n <= 0 {
			return
		}
		events, rest, _ := cut(string(b), n)
		for _, e := range events {
			require.True(t, strings.HasSuffix(e, "\n\n"))
			require.Equal(t, len(e)-2, strings.Index(e, "\n\n"))
			read([]byte(e))
		}
		all := strings.Join(events, "") + rest
		require.True(t, bytes.HasPrefix(b, []byte(all)), "in order, and nothing added")
		whole, wholeRest, _ := cut(string(b), len(b)+1)
		require.Equal(t, whole, events)
		require.Equal(t, wholeRest, rest)
	})
}

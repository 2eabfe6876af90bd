package durable

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// begun turns the run of a story into one that an app began by itself.
func begun(p *play) {
	p.inline = true
	p.r = p.blank()
}

func reports(ops ...Op) move { return func(p *play) { p.feed(Inline{Ops: ops, Protocol: 2}) } }

func passes(d time.Duration) move { return func(p *play) { p.now = p.now.Add(d) } }

// lapses lets the lease of the app run out.
func lapses(p *play) { p.feed(Due{p.claim(Discovery)}) }

func TestRunsThatBeginInAnApp(t *testing.T) {
	t.Parallel()
	tell(t, []story{
		{"is on a lease from the start", []move{begun}, "Running [] *&@6m15s"},
		{"keeps its steps", []move{begun, reports(done("a")), reports(done("b"))}, "Running [a b] *&@6m15s"},
		{"renews its lease when much of it is gone", []move{begun, passes(2 * time.Minute), reports(done("a"))}, "Running [a] *&@6m15s"},
		{"has all of its lease after each report", []move{begun, passes(76 * time.Second), reports(done("a"))}, "Running [a] *&@6m15s"},
		{"does not write the lease with each step", []move{begun, passes(time.Minute), reports(done("a"))}, "Running [a] *&@5m15s"},
		{"ends in its first report", []move{begun, reports(completes(`1`))}, "Completed []"},
		{"ends with its last steps", []move{begun, reports(done("a"), done("b"), completes(`1`))}, "Completed [a b]"},
		{"a report that is sent again changes nothing", []move{begun, reports(done("a")), reports(done("a"))}, "Running [a] *&@6m15s"},

		{"sleeps in the hands of the server", []move{begun, reports(done("a"), sleeps("nap", time.Hour))}, "Running [a] nap~@1h0m0s"},
		{"is entered again after its sleep", []move{begun, reports(sleeps("nap", time.Hour)), wakes("nap")}, "Running [nap] *"},
		{"one step after another is no branch", []move{begun, reports(done("a"), done("b"), sleeps("nap", time.Hour)), wakes("nap")}, "Running [a b nap] *"},
		{"branches are called by the server", []move{begun, reports(planned("a"), planned("b"))}, "Running [] a b plan"},
		{"waits for an event", []move{begun, reports(waitsFor("w", time.Hour))}, "Running [] w~@1h0m0s"},
		{"a failed step is tried again by the server", []move{begun, reports(done("a"), throws("b"))}, "Running [a] *@15s#1"},
		{"a step that failed for good is caught by the endpoint", []move{begun, reports(fails("a"))}, "Running [a] *"},
		{"a failed body is entered again", []move{begun, reports(throws(CompleteID))}, "Running [] *@15s#1"},
		{"a body that failed for good ends the run", []move{begun, tries(1), reports(throws(CompleteID))}, "Failed []"},
		{"may ask to be entered again", []move{begun, reports(Op{Kind: OpNone, Op: "DiscoveryRequest", Step: "x"})}, "Running [] *@10ms"},

		{"an app that is not heard of loses the run", []move{begun, reports(done("a")), lapses}, "Running [a] *"},
		{"and so it does after a restart of the server", []move{begun, reports(done("a")), crashes, lapses}, "Running [a] *"},
		{"what it did meanwhile is kept", []move{begun, lapses, calls("*"), reports(done("a"))}, "Running [a] *!"},
		{"if its client has an answer, so has the run", []move{begun, lapses, calls("*"), reports(done("a"), completes(`1`))}, "Completed [a]"},
		{"also while the run rests", []move{begun, reports(sleeps("nap", time.Hour)), reports(completes(`1`))}, "Completed []"},
		{"what is to come, the server's call decides", []move{begun, lapses, calls("*"), reports(sleeps("nap", time.Hour), throws("b"))}, "Running [] *!"},
		{"the second call does not run a finished step again", []move{begun, reports(done("a")), lapses, serves("*", done("b"))}, "Running [a b] *"},
		{"a report that was late by a lost answer changes nothing", []move{begun, reports(sleeps("nap", time.Hour)), reports(sleeps("nap", time.Hour))}, "Running [] nap~@1h0m0s"},
		{"can be cancelled", []move{begun, cancels}, "Cancelled []"},
	})
}

func TestReportOfAnEndedRunThatIsKnown(t *testing.T) {
	t.Parallel()
	p := &play{world: newWorld(t, order), claims: map[string]Claim{}}
	begun(p)
	reports(done("a"), completes(`1`))(p)
	reports(done("a"), completes(`1`))(p)
	require.ErrorIs(t, p.err, ErrEnded)
	require.True(t, p.r.Knows(Inline{Ops: []Op{done("a"), completes(`1`)}}))
	require.False(t, p.r.Knows(Inline{Ops: []Op{done("b")}}))
	require.False(t, p.r.Knows(Inline{Ops: []Op{completes(`2`)}}))
	require.False(t, p.r.Knows(Inline{Ops: []Op{sleeps("nap", time.Hour)}}))
}

func TestLapseOfALeaseThatWasRenewed(t *testing.T) {
	t.Parallel()
	p := &play{world: newWorld(t, order), claims: map[string]Claim{}}
	begun(p)
	claim := p.claim(Discovery)
	reports(done("a"))(p)
	p.feed(Due{claim})
	require.True(t, errors.Is(p.err, ErrStale), "the report came first")
	require.Equal(t, "Running [a] *&@6m15s (stale)", p.String())
}

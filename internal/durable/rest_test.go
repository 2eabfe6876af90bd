package durable

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func resolves(step string) move {
	return func(p *play) { p.feed(Resolved{Step: step, Memo: JSON(`{"data":"` + step + `"}`)}) }
}

func resolvesBadly(step string) move {
	return func(p *play) { p.feed(Resolved{Step: step, Memo: JSON(`{"error":{}}`), Failed: true}) }
}

// fetched is the request of a step, made and answered.
func fetched(step string) move {
	return func(p *play) { p.feed(Fetched{Claim: p.claim(step), Memo: JSON(`{"data":"` + step + `"}`)}) }
}

func fetchFails(step string, noRetry bool) move {
	return func(p *play) {
		p.feed(Fetched{Claim: p.claim(step), Memo: JSON(`{"error":{}}`), Failed: true, NoRetry: noRetry, RetryAt: p.answer.RetryAt})
	}
}

// away is a request that does not reach the app.
func away(step string) move {
	return func(p *play) {
		calls(step)(p)
		p.feed(Refusal{Claim: p.claims[star(step)], Err: boom, Away: true})
	}
}

func awayForever(step string) move {
	return func(p *play) {
		for !p.r.Status.Final() {
			away(step)(p)
		}
	}
}

// memo is what is remembered of a step.
func (p *play) memo(step string) string { return string(p.r.Steps[step].Memo) }

func function(f func(*Function)) move {
	return func(p *play) {
		f(&p.f)
		p.r = p.blank()
	}
}

func taken(op Op) Op {
	op.Taken = true
	return op
}

func ofNobody(op Op) Op {
	op.Invoke = &Invoke{Function: "nobody"}
	return op
}

const hour = time.Hour

func TestWaitForEvent(t *testing.T) {
	t.Parallel()
	tell(t, []story{
		{"a wait rests until its timeout", []move{serves("*", waitsFor("w", hour))}, "Running [] w~@1h0m0s"},
		{"an event ends it and the function is entered", []move{serves("*", waitsFor("w", hour)), resolves("w")}, "Running [w] *"},
		{"a second event changes nothing", []move{serves("*", waitsFor("w", hour)), resolves("w"), resolves("w")}, "Running [w] * (stale)"},
		{"the timeout ends it", []move{serves("*", waitsFor("w", hour)), wakes("w")}, "Running [w] *"},
		{"an event after the timeout changes nothing", []move{serves("*", waitsFor("w", hour)), wakes("w"), resolves("w")}, "Running [w] * (stale)"},
		{"the timer after an event changes nothing", []move{
			serves("*", waitsFor("w", hour)), func(p *play) {
				claim := p.claim("w")
				resolves("w")(p)
				p.feed(Due{claim})
			},
		}, "Running [w] * (stale)"},
		{"a timeout in the past is over at once", []move{serves("*", waitsFor("w", -hour))}, "Running [w] *"},
		{"and so is one of nothing", []move{serves("*", waitsFor("w", 0))}, "Running [w] *"},
		{"a timeout of more than 366 days fails the run", []move{serves("*", waitsFor("w", 366*24*hour+1))}, "Failed []"},
		{"a wait named twice is one", []move{serves("*", waitsFor("w", hour), waitsFor("w", 2*hour))}, "Running [] w~@1h0m0s plan"},
		{"a wait that is over is not begun again", []move{
			serves("*", waitsFor("w", hour)), resolves("w"), serves("*", waitsFor("w", 2*hour)),
		}, "Running [w] *@10ms"},
		{"an event before the step is known is for nobody", []move{resolves("w")}, "Queued [] * (stale)"},
		{"nor for a step that the app runs", []move{serves("*", planned("a")), resolves("a")}, "Running [] a (stale)"},
		{"a wait survives a crash", []move{serves("*", waitsFor("w", hour)), crashes, resolves("w")}, "Running [w] *"},
		{"branches that wait enter the function after the last", []move{
			serves("*", waitsFor("w", hour), planned("a")), resolves("w"),
		}, "Running [w] a plan"},
		{"whichever that is", []move{
			serves("*", waitsFor("w", hour), planned("a")), serves("a", done("a")), resolves("w"),
		}, "Running [a w] *"},
		{"a wait may win a race", []move{
			serves("*", race(waitsFor("w", hour)), race(planned("a"))), calls("a"), resolves("w"),
		}, "Running [w] * a! plan"},
		{"and lose it", []move{
			serves("*", race(waitsFor("w", hour)), race(planned("a"))), serves("a", done("a")),
		}, "Running [a] * w~@1h0m0s plan"},
		{"by protocol 1 each branch enters the function", []move{
			protocol(1), serves("*", waitsFor("w", hour), planned("a")), resolves("w"),
		}, "Running [w] * a plan"},
		{"an event during an entry asks for another", []move{
			protocol(1), serves("*", waitsFor("w", hour), planned("a")), serves("a", done("a")), calls("*"), resolves("w"),
		}, "Running [a w] *!+ plan"},
		{"an app that says it is done ends the wait", []move{
			serves("*", waitsFor("w", hour), planned("a")), serves("a", done("a"), done("w")),
		}, "Running [a w] *"},
		{"a result that is too large fails the run", []move{
			policy(func(p *Policy) { p.MaxOutput = 5 }), serves("*", waitsFor("w", hour)), resolves("w"),
		}, "Failed []"},
		{"a run that ends waits no more", []move{serves("*", waitsFor("w", hour), planned("a")), cancels, resolves("w")}, "Cancelled [] (ended)"},
	})
}

func TestWaitForSignal(t *testing.T) {
	t.Parallel()
	tell(t, []story{
		{"a signal ends the wait", []move{serves("*", signals("w", hour)), resolves("w")}, "Running [w] *"},
		{"its timeout does", []move{serves("*", signals("w", hour)), wakes("w")}, "Running [w] *"},
		{"one that is taken fails the run", []move{serves("*", taken(signals("w", hour)))}, "Failed []"},
		{"but not when the step has it already", []move{
			serves("*", signals("w", hour), planned("a")), protocol(2), serves("a", done("a"), taken(signals("w", hour))),
		}, "Running [a] w~@1h0m0s plan"},
		{"nor when the step is over", []move{
			serves("*", signals("w", hour)), resolves("w"), serves("*", taken(signals("w", hour)), planned("a")),
		}, "Running [w] a plan"},
		{"a taken one fails the run also when its time is over", []move{serves("*", taken(signals("w", -hour)))}, "Failed []"},
	})
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	tell(t, []story{
		{"an invocation rests until the other run ends", []move{serves("*", invokes("i", hour))}, "Running [] i~@1h0m0s"},
		{"its result is the step's", []move{serves("*", invokes("i", hour)), resolves("i")}, "Running [i] *"},
		{"its failure is the step's, for the function to catch", []move{serves("*", invokes("i", hour)), resolvesBadly("i")}, "Running [i] *"},
		{"its timeout is a failure of the step", []move{serves("*", invokes("i", hour)), wakes("i")}, "Running [i] *"},
		{"a result after the timeout changes nothing", []move{serves("*", invokes("i", hour)), wakes("i"), resolves("i")}, "Running [i] * (stale)"},
		{"a function that is not there fails the step at once", []move{serves("*", ofNobody(invokes("i", hour)))}, "Running [i] *"},
		{"beside another branch it waits for that", []move{serves("*", ofNobody(invokes("i", hour)), planned("a"))}, "Running [i] a plan"},
		{"but not in a race", []move{serves("*", race(ofNobody(invokes("i", hour))), race(planned("a")))}, "Running [i] * a plan"},
		{"nor by protocol 1", []move{protocol(1), serves("*", ofNobody(invokes("i", hour)), planned("a"))}, "Running [i] * a plan"},
		{"a failed step is not failed again", []move{
			serves("*", ofNobody(invokes("i", hour))), serves("*", ofNobody(invokes("i", hour)), done("a")),
		}, "Running [i a] *"},
		{"a timeout in the past is over at once", []move{serves("*", invokes("i", -hour))}, "Running [i] *"},
		{"a crash in between starts no second run", []move{serves("*", invokes("i", hour)), crashes, resolves("i")}, "Running [i] *"},
	})
}

// TestInvokeTooDeep: the error names whom to look at.
func TestInvokeTooDeep(t *testing.T) {
	t.Parallel()
	deep := func(p *play) {
		p.event.Target = &Target{Function: "shop-pay", Parent: Ref{"R", "s"}, Depth: maxDepth}
		p.r = p.blank()
	}
	invoke := invokes("i", hour)
	p := after(t, deep, serves("*", invoke))
	require.Contains(t, p.memo("i"), invoke.Invoke.Slug+" cannot be invoked by "+p.r.Function+", which was invoked by run R: ")
	require.Contains(t, p.memo("i"), "in a circle?")

	itself := invokes("i", hour)
	itself.Invoke.Slug = p.r.Function
	p = after(t, deep, serves("*", itself))
	require.Contains(t, p.memo("i"), "; "+p.r.Function+" invokes itself")
}

func TestFetch(t *testing.T) {
	t.Parallel()
	tell(t, []story{
		{"the server makes the request", []move{serves("*", fetches("f"))}, "Running [] f^"},
		{"its answer is the step's", []move{serves("*", fetches("f")), fetched("f")}, "Running [f] *"},
		{"it is tried again when it fails", []move{serves("*", fetches("f")), fetchFails("f", false)}, "Running [] f^@15s#1"},
		{"when the other side says so", []move{serves("*", fetches("f")), retryAfter(hour), fetchFails("f", false)}, "Running [] f^@1h0m0s#1"},
		{"until it is out of tries, and the function may catch it", []move{serves("*", fetches("f")), times(5, fetchFails("f", false))}, "Running [f] *"},
		{"or at once when that is useless", []move{serves("*", fetches("f")), fetchFails("f", true)}, "Running [f] *"},
		{"a second answer changes nothing", []move{serves("*", fetches("f")), func(p *play) {
			claim := p.claim("f")
			p.feed(Fetched{Claim: claim, Memo: JSON("1")})
			p.feed(Fetched{Claim: claim, Memo: JSON("2")})
		}}, "Running [f] * (stale)"},
		{"nor does one whose lease was lost", []move{serves("*", fetches("f")), func(p *play) {
			claim := p.claim("f")
			loses("f")(p)
			p.feed(Fetched{Claim: claim, Memo: JSON("1")})
		}}, "Running [] f^! (stale)"},
		{"after a crash it is made again", []move{serves("*", fetches("f")), func(p *play) { p.claim("f") }, crashes, fetched("f")}, "Running [f] *"},
		{"a step fetched twice is one", []move{serves("*", fetches("f"), fetches("f"), planned("a"))}, "Running [] a f^ plan"},
		{"branches that fetch enter the function after the last", []move{
			serves("*", fetches("f"), fetches("g")), fetched("f"),
		}, "Running [f] g^ plan"},
		{"which is then entered once", []move{serves("*", fetches("f"), fetches("g")), fetched("f"), fetched("g")}, "Running [f g] *"},
		{"a step that ended another way is not fetched again", []move{
			serves("*", fetches("f"), planned("a")), func(p *play) { p.claims["f"] = p.claim("f") }, serves("a", done("f")), func(p *play) {
				p.feed(Fetched{Claim: p.claims["f"], Memo: JSON("2")})
			},
		}, "Running [f] *@10ms"},
		{"an answer that is too large fails the run", []move{
			policy(func(p *Policy) { p.MaxOutput = 5 }), serves("*", fetches("f")), fetched("f"),
		}, "Failed []"},
	})
}

// TestFetchTries: a failed try tells its error as those of the app do; the memo
// of the last is for SDKs.
func TestFetchTries(t *testing.T) {
	t.Parallel()
	refused := Failure{Name: "GatewayError", Message: "connection refused"}
	fails := func(noRetry bool) move {
		return func(p *play) {
			p.feed(Fetched{Claim: p.claim("f"), Memo: ErrorMemo(refused), Failed: true, NoRetry: noRetry})
		}
	}
	p := after(t, serves("*", fetches("f")), fails(false))
	tried := p.journal[len(p.journal)-1]
	require.Equal(t, Tried, tried.Kind)
	require.JSONEq(t, string(refused.JSON()), string(tried.Data))
	require.Equal(t, "GatewayError: connection refused", brief(tried.Data))
	fails(true)(p)
	require.JSONEq(t, string(ErrorMemo(refused)), p.memo("f"))
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	start := function(func(f *Function) { f.Start = 2 * hour })
	finish := policy(func(p *Policy) { p.Finish = 3 * hour })
	tell(t, []story{
		{"a run that has to start in time", []move{start}, "Queued [] * start%@2h0m0s"},
		{"is cancelled when it does not", []move{start, wakes(StartStep)}, "Cancelled []"},
		{"and is not when it has started", []move{start, calls("*")}, "Running [] *!"},
		{"also after a crash", []move{start, crashes, wakes(StartStep)}, "Cancelled []"},
		{"a run that has to end in time", []move{finish, calls("*")}, "Running [] *! finish%@3h0m0s"},
		{"has its time from its start", []move{finish, func(p *play) { p.now = p.now.Add(hour) }, calls("*")}, "Running [] *! finish%@3h0m0s"},
		{"and once only", []move{finish, serves("*", sleeps("s", hour)), wakes("s"), calls("*")}, "Running [s] *! finish%@2h0m0s"},
		{"is cancelled in the middle of a call", []move{finish, calls("*"), wakes(FinishStep)}, "Cancelled []"},
		{"is cancelled while it rests", []move{finish, serves("*", waitsFor("w", 9*hour)), wakes(FinishStep), resolves("w")}, "Cancelled [] (ended)"},
		{"is not when it has ended", []move{finish, calls("*"), returns("*", "1")}, "Completed []"},
		{"has both", []move{start, finish, serves("*", planned("a"))}, "Running [] finish%@3h0m0s a"},
	})
}

func TestAway(t *testing.T) {
	t.Parallel()
	short := policy(func(p *Policy) { p.MaxAway = hour })
	tell(t, []story{
		{"an app that is away is tried again soon", []move{away("*")}, "Running [] *@1s?0s"},
		{"after as long as it has been away", []move{away("*"), away("*"), away("*")}, "Running [] *@2s?2s"},
		{"up to a minute", []move{times(20, away("*"))}, "Running [] *@1m0s?13m4s"},
		{"and no try is used up", []move{times(100, away("*")), calls("*"), refuses("*")}, "Running [] *@15s#1"},
		{"those that were used up stay so", []move{calls("*"), refuses("*"), away("*")}, "Running [] *@1s#1?0s"},
		{"an app that is back is away anew the next time", []move{
			times(10, away("*")), serves("*", done("a")), away("*"),
		}, "Running [a] *@1s?0s"},
		{"an error shows that it is back", []move{times(10, away("*")), calls("*"), refuses("*"), away("*")}, "Running [] *@1s#1?0s"},
		{"a step waits for its app like the function", []move{serves("*", planned("a"), planned("b")), away("a")}, "Running [] a@1s?0s b plan"},
		{"how long it is away survives a crash", []move{times(5, away("*")), crashes, away("*")}, "Running [] *@16s?16s"},
		{"the run fails when it is away for too long", []move{short, awayForever("*")}, "Failed []"},
		{"a step too", []move{short, serves("*", planned("a"), planned("b")), awayForever("a")}, "Failed []"},
		{"the policy's interval bounds the pause", []move{
			policy(func(p *Policy) { p.Interval = 3 * time.Second }), times(20, away("*")),
		}, "Running [] *@3s?52s"},
	})
}

// after plays moves.
func after(t *testing.T, moves ...move) *play {
	t.Helper()
	p := &play{world: newWorld(t, order), claims: map[string]Claim{}, answer: Answer{Protocol: 2}}
	for _, m := range moves {
		m(p)
	}
	return p
}

// TestRestMemos: how steps that rest end is what SDKs expect. Source: spec/03 §3.
func TestRestMemos(t *testing.T) {
	t.Parallel()
	timeout := `{"error":{"data":null,"error":"InngestInvokeTimeoutError: Timed out waiting for invoked function to complete",` +
		`"message":"Timed out waiting for invoked function to complete","name":"InngestInvokeTimeoutError","stack":""}}`
	nobody := `{"error":{"data":null,"error":"Error: could not find function with ID: nobody",` +
		`"message":"could not find function with ID: nobody","name":"Error","stack":""}}`
	for name, c := range map[string]struct {
		op    Op
		then  move
		want  string
		fails bool
	}{
		"a sleep":                     {sleeps("x", hour), wakes("x"), `null`, false},
		"a sleep into the past":       {sleeps("x", -hour), nil, `null`, false},
		"an event":                    {waitsFor("x", hour), resolves("x"), `{"data":"x"}`, false},
		"no event":                    {waitsFor("x", hour), wakes("x"), `null`, false},
		"no event, at once":           {waitsFor("x", -hour), nil, `null`, false},
		"a signal":                    {signals("x", hour), resolves("x"), `{"data":"x"}`, false},
		"no signal":                   {signals("x", hour), wakes("x"), `null`, false},
		"an invoked run":              {invokes("x", hour), resolves("x"), `{"data":"x"}`, false},
		"an invoked run that failed":  {invokes("x", hour), resolvesBadly("x"), `{"error":{}}`, true},
		"an invoked run that is late": {invokes("x", hour), wakes("x"), timeout, true},
		"no time for an invoked run":  {invokes("x", -hour), nil, timeout, true},
		"an invocation of nobody":     {ofNobody(invokes("x", hour)), nil, nobody, true},
		"a fetch":                     {fetches("x"), fetched("x"), `{"data":"x"}`, false},
		"a fetch that fails":          {fetches("x"), fetchFails("x", true), `{"error":{}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := after(t, serves("*", c.op))
			if c.then != nil {
				c.then(p)
			}
			require.Equal(t, c.want, p.memo("x"))
			last := p.journal[len(p.journal)-1]
			require.Equal(t, c.fails, last.Kind == StepFailed)
			require.Equal(t, []any{"x", c.op.Op, "x"}, []any{last.Step, last.Op, last.Name})
			require.Equal(t, "Running [x] *", p.String())
			require.Empty(t, p.waits)
		})
	}
}

// TestWaits: a wait is registered when its step rests, and is over with it.
func TestWaits(t *testing.T) {
	t.Parallel()
	p := after(t, calls("*"))
	c := p.feed(Answer{Claim: p.claims[Discovery], Ops: []Op{waitsFor("w", hour), signals("s", 2*hour), waitsFor("past", -hour)}, Protocol: 2})
	require.Equal(t, []Wait{
		{Run: runID, Step: "w", Kind: ForEvent, Name: "paid", If: "true", Until: noon.Add(hour)},
		{Run: runID, Step: "s", Kind: ForSignal, Name: "go-s"},
	}, c.Waits)
	items := map[string]Item{}
	for _, put := range c.Put {
		items[put.Step] = put.Item
	}
	// Whoever lets the wait expire must first see whether the event has come.
	require.Equal(t, Item{Run: runID, Step: "w", Kind: Wake, Due: noon.Add(hour), Data: JSON(`"paid"`)}, items["w"])
	require.Equal(t, Item{Run: runID, Step: "s", Kind: Wake, Due: noon.Add(2 * hour)}, items["s"])
	require.Equal(t, []string{"w"}, p.feed(Resolved{Step: "w", Memo: JSON("1")}).Unwait)
	require.Equal(t, []string{"s"}, p.feed(Due{p.claim("s")}).Unwait)
	require.Empty(t, p.waits)
}

// TestInvokedEvent: an invocation is one event for one function. Source: spec/10 §8.
func TestInvokedEvent(t *testing.T) {
	t.Parallel()
	p := after(t, serves("*", invokes("i", hour), invokes("j", hour), ofNobody(invokes("k", hour)), invokes("past", -hour)))
	require.Len(t, p.emitted, 2)
	for i, step := range []string{"i", "j"} {
		e := p.emitted[i]
		require.Equal(t, EventInvoked, e.Name)
		require.Equal(t, &Target{Function: "shop-bill", Parent: Ref{runID, step}, Depth: 1}, e.Target)
		require.Equal(t, `{"data":{"_inngest":{"correlation_id":"`+runID+`.`+step+`","expire":1772370000000,"fn_id":"shop-bill","name":"`+step+`"},"n":1},`+
			`"id":"`+e.ID+`","name":"inngest/function.invoked","ts":1772366400000,"user":{}}`, string(e.Body))
	}
	require.NotEqual(t, p.emitted[0].ID, p.emitted[1].ID)
}

// TestStopped: a run that is cancelled says why, tells who waits for it, and
// leaves nothing else behind.
func TestStopped(t *testing.T) {
	t.Parallel()
	event := order
	event.Target = &Target{Function: "shop-pay", Parent: Ref{"01KE2222222222222222222222", "s"}}
	for name, stop := range map[string]struct {
		in   func(*play) Input
		want string
	}{
		"by somebody": {
			func(*play) Input { return Cancel{`by "hand"`} },
			`"by \"hand\""`,
		},
		"too late to end": {
			func(p *play) Input { return Due{p.claim(FinishStep)} },
			`"timeouts.finish: the run did not end in time"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &play{world: newWorld(t, event), claims: map[string]Claim{}, answer: Answer{Protocol: 2}}
			p.policy.Finish = 9 * hour
			serves("*", waitsFor("w", hour), invokes("i", hour), fetches("f"), planned("a"))(p)
			calls("a")(p)
			c := p.feed(stop.in(p))
			require.Equal(t, &Item{Run: runID, Step: ReportStep, Kind: Report, Due: p.now}, c.Report)
			require.Empty(t, c.Put)
			require.Empty(t, p.r.Items)
			last := p.journal[len(p.journal)-1]
			require.Equal(t, []any{Stopped, stop.want}, []any{last.Kind, string(last.Data)})
			var sent []string
			for _, e := range c.Emit {
				sent = append(sent, strings.TrimPrefix(e.Name, internalPrefix))
			}
			require.Equal(t, []string{"function.finished", "function.cancelled"}, sent)
		})
	}
}

// TestAwayIsToldOnce: the journal says when an app went away, not how often it
// was looked for.
func TestAwayIsToldOnce(t *testing.T) {
	t.Parallel()
	p := after(t, times(9, away("*")), serves("*", done("a")), times(9, away("*")))
	told := 0
	for _, e := range p.journal {
		if e.Kind == Unreachable {
			told++
		}
	}
	require.Equal(t, 2, told)

	p = after(t, policy(func(p *Policy) { p.MaxAway = time.Minute }), awayForever("*"))
	require.Equal(t, Failed, p.r.Status)
	require.Contains(t, string(p.r.Output), "it broke; it has been away for 1m4s")
}

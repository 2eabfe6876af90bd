package durable

import (
	"cmp"
	"testing"
	"time"
)

// move is one thing that happens in a test case.
type move func(*play)

// play is a test case going on: the run, and the claims of its calls in flight
// by step.
type play struct {
	*world
	claims map[string]Claim
	answer Answer // what answers carry beside their ops
}

func star(step string) string {
	if step == "*" {
		return Discovery
	}
	return step
}

// calls sends the request for each step; "*" enters the function.
func calls(steps ...string) move {
	return func(p *play) {
		for _, s := range steps {
			p.claims[star(s)] = p.claim(star(s))
			p.feed(Dispatch{p.claims[star(s)]})
		}
	}
}

func answers(step string, ops ...Op) move {
	return func(p *play) {
		in := p.answer
		in.Claim, in.Ops = p.claims[star(step)], ops
		p.feed(in)
	}
}

// serves is a call and its answer.
func serves(step string, ops ...Op) move {
	return func(p *play) {
		calls(step)(p)
		answers(step, ops...)(p)
	}
}

func returns(step, output string) move {
	return func(p *play) { p.feed(Return{Claim: p.claims[star(step)], Output: JSON(output), Protocol: 2}) }
}

func misses(step string) move {
	return func(p *play) {
		calls(step)(p)
		p.feed(Return{Claim: p.claims[step], Output: JSON("null"), Protocol: 2, Missed: true})
	}
}

func refuses(step string, ops ...Op) move {
	return func(p *play) {
		p.feed(Refusal{
			Claim: p.claims[star(step)], Ops: ops, Err: boom,
			NoRetry: p.answer.NoRetry, RetryAt: p.answer.RetryAt,
		})
	}
}

// cuts lets the connection of a call break.
func cuts(step string) move {
	return func(p *play) {
		p.feed(Refusal{Claim: p.claims[star(step)], Err: Failure{Name: "Error", Message: "cut", Class: ClassCrash}})
	}
}

func checkpoints(ops ...Op) move {
	return func(p *play) { p.feed(Checkpoint{Claim: p.claims[Discovery], Ops: ops}) }
}

// checkpointsBlindly is a checkpoint of an SDK that does not say which call it
// is in.
func checkpointsBlindly(ops ...Op) move {
	return func(p *play) { p.feed(Checkpoint{Ops: ops}) }
}

func wakes(steps ...string) move {
	return func(p *play) {
		for _, s := range steps {
			p.feed(Due{p.claim(s)})
		}
	}
}

func cancels(p *play) { p.feed(Cancel{"API"}) }

// loses lets the lease of a call run out; the next call has another.
func loses(step string) move {
	return func(p *play) { p.claim(star(step)) }
}

func crashes(p *play) { p.crash() }

func noRetry(p *play) { p.answer.NoRetry = true }

func retryAfter(d time.Duration) move {
	return func(p *play) { p.answer.RetryAt = p.now.Add(d) }
}

func protocol(n int) move { return func(p *play) { p.answer.Protocol = n } }

func policy(f func(*Policy)) move { return func(p *play) { f(&p.policy) } }

func tries(n int) move { return policy(func(p *Policy) { p.MaxAttempts = n }) }

func times(n int, m ...move) move {
	return func(p *play) {
		for range n {
			for _, f := range m {
				f(p)
			}
		}
	}
}

var boom = Failure{Name: "Boom", Message: "it broke", Raw: JSON(`{"name":"Boom","message":"it broke"}`)}

func done(id string) Op {
	return Op{Kind: OpDone, Step: id, Op: "StepRun", Name: id, Memo: JSON(`{"data":"` + id + `"}`)}
}

func gives(id, memo string) Op {
	op := done(id)
	op.Memo = JSON(memo)
	return op
}

func throws(id string) Op {
	return Op{Kind: OpError, Step: id, Op: "StepError", Name: id, Err: boom, Memo: JSON(`{"error":` + string(boom.Raw) + `}`)}
}

// in is a step's error that asks for a try of its own after a pause.
func in(op Op, pause time.Duration) Op {
	op.RetryAt = noon.Add(pause)
	return op
}

func fails(id string) Op {
	op := throws(id)
	op.Kind, op.Op = OpFailed, "StepFailed"
	return op
}

func planned(id string) Op { return Op{Kind: OpPlanned, Step: id, Op: "StepPlanned", Name: id} }

func sleeps(id string, d time.Duration) Op {
	return Op{Kind: OpSleep, Step: id, Op: "Sleep", Name: id, Until: noon.Add(d)}
}

// wordFetch is the SDKs' word for a request that the server makes.
const wordFetch = "Gateway"

func waitsFor(id string, d time.Duration) Op {
	return Op{
		Kind: OpWait, Step: id, Op: wordEvent, Name: id, Until: noon.Add(d),
		Wait: &Wait{Kind: ForEvent, Name: "paid", If: "true", Until: noon.Add(d)},
	}
}

func signals(id string, d time.Duration) Op {
	return Op{Kind: OpWait, Step: id, Op: wordSignal, Name: id, Until: noon.Add(d), Wait: &Wait{Kind: ForSignal, Name: "go-" + id}}
}

func invokes(id string, d time.Duration) Op {
	return Op{
		Kind: OpInvoke, Step: id, Op: wordInvoke, Name: id, Until: noon.Add(d),
		Invoke: &Invoke{Function: "bill", Slug: "shop-bill", Payload: JSON(`{"n":1}`)},
	}
}

func fetches(id string) Op {
	return Op{Kind: OpFetch, Step: id, Op: wordFetch, Name: id, Request: JSON(`{"url":"http://x"}`), Opts: JSON(`{"url":"x"}`)}
}

func race(op Op) Op {
	op.Race = true
	return op
}

func completes(output string) Op {
	return Op{Kind: OpComplete, Step: CompleteID, Op: "RunComplete", Memo: JSON(output)}
}

var refusedOp = Op{Kind: OpRefused, Step: "x", Op: "Teleport", Name: "x", Err: Failure{Name: "UnsupportedOp", Message: "no"}}

// story is one case: what happens, and the run after it.
type story struct {
	name  string
	moves []move
	want  string // as world.String says it
}

func tell(t *testing.T, stories []story) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := &play{world: newWorld(t, order), claims: map[string]Claim{}, answer: Answer{Protocol: 2}}
			for _, m := range s.moves {
				m(p)
			}
			if got := p.String(); got != s.want {
				t.Errorf("got  %s\nwant %s", got, s.want)
			}
		})
	}
}

func TestSerial(t *testing.T) {
	t.Parallel()
	tell(t, []story{
		{"a new run waits to be called", nil, "Queued [] *"},
		{"the first request makes it running", []move{calls("*")}, "Running [] *!"},
		{"[24] a function without steps takes one request", []move{calls("*"), returns("*", "1")}, "Completed []"},
		{"[25] each step is kept and the function entered again", []move{serves("*", done("a")), serves("*", done("b"))}, "Running [a b] *"},
		{"[26] a step that returns nothing is kept as null", []move{serves("*", gives("a", `{"data":null}`))}, "Running [a] *"},
		{"[27] two uses of one id are two steps", []move{serves("*", done("a")), serves("*", done("a:1"))}, "Running [a a:1] *"},
		{"several finished steps in one answer are not branches", []move{serves("*", done("a"), done("b"))}, "Running [a b] *"},
		{"a step that is known already changes nothing but takes a pause", []move{serves("*", done("a")), serves("*", gives("a", "2"))}, "Running [a] *@10ms"},
		{"RunComplete ends the run", []move{serves("*", completes("1"))}, "Completed []"},
		{"steps before RunComplete are kept", []move{serves("*", done("a"), done("b"), completes("1"))}, "Completed [a b]"},
		{"steps that come with a result are kept", []move{calls("*"), func(p *play) {
			p.feed(Return{Claim: p.claims[Discovery], Ops: []Op{done("a"), fails("b")}, Output: JSON("1")})
		}}, "Completed [a b]"},
		{"a result with an op that cannot be done is no success", []move{calls("*"), func(p *play) {
			p.feed(Return{Claim: p.claims[Discovery], Ops: []Op{refusedOp}, Output: JSON("1")})
		}}, "Failed []"},
		{"an op that cannot be done fails the run", []move{serves("*", done("a"), refusedOp, done("b"))}, "Failed [a]"},
		{"None asks for nothing", []move{serves("*", Op{Op: "None"}, done("a"))}, "Running [a] *"},
		{"a lone planned step is requested without plan mode", []move{serves("*", planned("a"))}, "Running [] a"},
		{"and then the function is entered", []move{serves("*", planned("a")), serves("a", done("a"))}, "Running [a] *"},
		{"a step announced and finished in one answer is not queued", []move{serves("*", planned("a"), done("a"))}, "Running [a] *"},
		{"the protocol is pinned by the first answer", []move{serves("*", done("a")), protocol(1), serves("*", planned("b"), planned("c")), serves("b", done("b")), serves("c", done("c"))}, "Running [a b c] *"},
		{"a run whose app names no protocol means the same after a reload", []move{
			protocol(0), serves("*", planned("a"), planned("b")), serves("a", done("a")), serves("b", done("b")), protocol(1), serves("*", done("c")), crashes,
		}, "Running [a b c] *"},
	})
}

func TestEmptyAnswersAreBounded(t *testing.T) {
	t.Parallel()
	tell(t, []story{
		{"an empty answer is asked again after a pause", []move{serves("*")}, "Running [] *@10ms"},
		{"the pause doubles", []move{times(3, serves("*"))}, "Running [] *@40ms"},
		{"up to its limit", []move{times(19, serves("*"))}, "Running [] *@10.24s"},
		{"the twentieth fails the run", []move{times(20, serves("*"))}, "Failed []"},
		{"a step starts the count anew", []move{times(19, serves("*")), serves("*", done("a")), times(19, serves("*"))}, "Running [a] *@10.24s"},
		{"the count survives a crash", []move{times(10, serves("*")), crashes, times(9, serves("*")), serves("*")}, "Failed []"},
		{"a target that Go did not reach is asked for anew", []move{serves("*", planned("a")), misses("a")}, "Running [] *@10ms"},
		{"and a few times only", []move{times(20, serves("*", planned("a")), misses("a"))}, "Failed []"},
		{"it can be reached later", []move{times(2, serves("*", planned("a")), misses("a")), serves("*", planned("a")), serves("a", done("a"))}, "Running [a] *"},
		{"an empty answer for a target misses it too", []move{serves("*", planned("a")), serves("a")}, "Running [] *@10ms"},
		{"a missed branch is asked for while another sleeps", []move{
			serves("*", planned("a"), sleeps("s", time.Hour)), misses("a"),
		}, "Running [] *@10ms s~@1h0m0s plan"},
		{"an answer about another step misses the target without entering at once", []move{
			serves("*", planned("a")), serves("a", planned("b")),
		}, "Running [] b plan"},
		{"a miss of a step that ended another way is no miss", []move{
			serves("*", planned("a"), planned("b")), calls("a"), serves("b", done("b"), done("a")), func(p *play) {
				p.feed(Return{Claim: p.claims["a"], Missed: true})
			},
		}, "Running [b a] *"},
		{"null for a request without a target is a result", []move{calls("*"), returns("*", "null")}, "Completed []"},
		{"a miss that brings a step starts the count anew", []move{
			times(19, serves("*")), serves("*", planned("a")), serves("a", done("b")),
		}, "Running [b] *@10ms"},
	})
}

func TestSleep(t *testing.T) {
	t.Parallel()
	tell(t, []story{
		{"[49] a sleep rests until its time", []move{serves("*", sleeps("s", 2*time.Second))}, "Running [] s~@2s"},
		{"and then the function is entered", []move{serves("*", sleeps("s", 2*time.Second)), wakes("s")}, "Running [s] *"},
		{"[49] a sleep into the past is over at once", []move{serves("*", sleeps("s", -time.Hour))}, "Running [s] *"},
		{"a sleep of nothing is over at once", []move{serves("*", sleeps("s", 0))}, "Running [s] *"},
		{"a sleep of 366 days is kept", []move{serves("*", sleeps("s", 366*24*time.Hour))}, "Running [] s~@8784h0m0s"},
		{"[50] a longer one fails the run", []move{serves("*", sleeps("s", 366*24*time.Hour+1))}, "Failed []"},
		{"a sleep named twice is one", []move{serves("*", sleeps("s", time.Second), sleeps("s", time.Hour))}, "Running [] s~@1s plan"},
		{"parallel sleeps enter the function after the last", []move{
			serves("*", sleeps("s", time.Second), sleeps("z", 3*time.Second)), wakes("s"),
		}, "Running [s] z~@2s plan"},
		{"sleeps in a row leave no plan mode behind", []move{
			serves("*", sleeps("s", time.Second), sleeps("z", 3*time.Second)), wakes("s", "z"),
		}, "Running [s z] *"},
		{"a past sleep beside a step waits for the step", []move{serves("*", sleeps("s", 0), planned("a"))}, "Running [s] a plan"},
		{"but not in a race", []move{serves("*", race(sleeps("s", 0)), race(planned("a")))}, "Running [s] * a plan"},
		{"nor by protocol 1", []move{protocol(1), serves("*", sleeps("s", 0), planned("a"))}, "Running [s] * a plan"},
		{"a sleep that is said to have failed goes on", []move{serves("*", sleeps("s", time.Hour), throws("s"))}, "Running [] s~@1h0m0s plan"},
		{"also when that is said later", []move{serves("*", sleeps("s", time.Hour), planned("a")), serves("a", done("a"), throws("s"))}, "Running [a] *@15s s~@1h0m0s plan"},
		{"and ends when there is no other try", []move{noRetry, serves("*", sleeps("s", time.Hour), throws("s"))}, "Running [s] *"},
		{"a sleep survives a crash", []move{serves("*", sleeps("s", time.Hour)), crashes, wakes("s")}, "Running [s] *"},
		{"a second wake-up is stale", []move{serves("*", sleeps("s", 1)), wakes("s"), func(p *play) { p.feed(Due{Claim{"s", p.gen}}) }}, "Running [s] * (stale)"},
	})
}

func TestParallel(t *testing.T) {
	t.Parallel()
	both := serves("*", planned("a"), planned("b"))
	tell(t, []story{
		{"[28] all branches are queued at once, in plan mode", []move{both}, "Running [] a b plan"},
		{"one branch does not enter the function", []move{both, calls("a", "b"), answers("a", done("a"))}, "Running [a] b! plan"},
		{"the last one does, and plan mode ends", []move{both, calls("a", "b"), answers("b", done("b")), answers("a", done("a"))}, "Running [b a] *"},
		{"[29] what follows the group is found by one request", []move{both, serves("a", done("a")), serves("b", done("b")), serves("*", done("c"))}, "Running [a b c] *"},
		{"a step planned twice is queued once", []move{serves("*", planned("a"), planned("a"), planned("b"))}, "Running [] a b plan"},
		{"a step planned again while in flight is left alone", []move{protocol(1), both, calls("a"), serves("b", done("b")), serves("*", planned("a"))}, "Running [b] a! plan"},
		{"a finished step planned again is left alone", []move{both, serves("a", done("a")), serves("b", done("b"), planned("a"))}, "Running [a b] *"},
		{"[30] a branch that throws is tried alone", []move{both, calls("a", "b"), answers("a", throws("a")), answers("b", done("b"))}, "Running [b] a@15s#1 plan"},
		{"a branch that fails for good joins like any other", []move{tries(1), both, serves("a", throws("a")), serves("b", done("b"))}, "Running [a b] *"},
		{"a branch that sleeps joins like any other", []move{serves("*", planned("a"), sleeps("s", time.Second)), serves("a", done("a")), wakes("s")}, "Running [a s] *"},
		{"a branch may open another", []move{both, serves("a", done("a"), planned("c")), serves("b", done("b"))}, "Running [a b] c plan"},
		{"a queued branch whose result is known is not called", []move{both, serves("a", done("a"), done("b"))}, "Running [a b] *"},
		{"a branch in flight whose result came another way ends quietly", []move{both, calls("b"), serves("a", done("a"), done("b")), loses("b"), func(p *play) {
			p.feed(Dispatch{Claim{"b", p.gen}})
		}}, "Running [a b] *"},
		{"the function fails in one branch and the rest is dropped", []move{both, calls("a", "b"), noRetry, refuses("a")}, "Failed []"},
		{"an answer is taken although the other branch crashed", []move{both, calls("a", "b"), loses("a"), answers("b", done("b"))}, "Running [b] a! plan"},
		{"a step that fails beside another is a branch, and is tried again by itself", []move{serves("*", planned("a"), throws("b"))}, "Running [] a b@15s#1 plan"},
		{"several that are due at one time are one request", []move{serves("*", throws("a"), throws("b"))}, "Running [] *@15s#1"},
		{"at the time that it asks for", []move{retryAfter(time.Hour), serves("*", in(throws("a"), time.Minute), throws("b"))}, "Running [] a@1m0s#1 b@15s#1 plan"},
		{"or that the answer asks for", []move{retryAfter(time.Hour), serves("*", throws("a"), throws("b"))}, "Running [] *@1h0m0s#1"},
		{"the function goes on when both have ended", []move{serves("*", planned("a"), throws("b")), serves("a", done("a"))}, "Running [a] b@15s#1 plan"},
		{"or in a race when one has", []move{serves("*", race(planned("a")), race(throws("b"))), serves("a", done("a"))}, "Running [a] * b@15s#1 plan"},
		{"what it names then is not held up by the pause", []move{
			serves("*", race(planned("a")), race(throws("b"))), serves("a", done("a")), serves("*", race(planned("b")), race(waitsFor("w", time.Hour))),
		}, "Running [a] b@15s#1 w~@1h0m0s plan"},
		{"a step that is tried again by itself has the tries that are left", []move{
			times(3, serves("*", throws("b"))), serves("*", throws("b"), planned("a")), serves("b", throws("b")),
		}, "Running [b] a plan"},
		{"a step that ended goes on beside one that is tried again", []move{serves("*", race(fails("x")), race(throws("a")))}, "Running [x] * a@15s#1 plan"},
		{"also one that has no tries left", []move{
			tries(2), serves("*", race(throws("x"))), serves("*", race(throws("x")), race(throws("a"))),
		}, "Running [x] * a@15s#1 plan"},
		{"a step that ended goes on beside a race", []move{serves("*", fails("x"), race(sleeps("a", time.Hour)))}, "Running [x] * a~@1h0m0s"},
		{"and beside other branches when they have ended", []move{serves("*", fails("x"), sleeps("a", time.Hour))}, "Running [x] a~@1h0m0s"},
		{"lone steps side by side are branches", []move{
			serves("*", done("x"), race(planned("a"))), serves("*", planned("b")),
		}, "Running [x] a b plan"},
	})
}

func TestParallelOne(t *testing.T) {
	t.Parallel()
	both := serves("*", planned("a"), planned("b"))
	tell(t, []story{
		{"each branch enters the function", []move{protocol(1), both, serves("a", done("a"))}, "Running [a] * b plan"},
		{"a queued entry serves two branches", []move{protocol(1), both, serves("a", done("a")), serves("b", done("b"))}, "Running [a b] * plan"},
		{"plan mode stays", []move{protocol(1), both, serves("a", done("a")), serves("b", done("b")), serves("*", planned("c")), serves("c", done("c"))}, "Running [a b c] * plan"},
		{"a branch that ends during an entry asks for another", []move{protocol(1), both, serves("a", done("a")), calls("*"), serves("b", done("b"))}, "Running [a b] *!+ plan"},
		{"which is sent when the first is answered", []move{protocol(1), both, serves("a", done("a")), calls("*"), serves("b", done("b")), answers("*", planned("c"))}, "Running [a b] * c plan"},
		{"at once, though the first brought nothing", []move{protocol(1), both, serves("a", done("a")), calls("*"), serves("b", done("b")), answers("*")}, "Running [a b] * plan"},
		{"an entry that is tried again knows all and needs no other", []move{
			protocol(1), both, serves("a", done("a")), calls("*"), serves("b", done("b")), refuses("*"),
		}, "Running [a b] *@15s#1 plan"},
		{"an entry that names only known branches rests", []move{protocol(1), both, serves("a", done("a")), serves("*", planned("b"))}, "Running [a] b plan"},
		{"entries survive a crash", []move{protocol(1), both, serves("a", done("a")), calls("*"), serves("b", done("b")), crashes}, "Running [a b] *+ plan"},
	})
}

func TestRace(t *testing.T) {
	t.Parallel()
	both := serves("*", race(planned("a")), race(planned("b")))
	tell(t, []story{
		{"the winner enters the function", []move{both, calls("b"), serves("a", done("a"))}, "Running [a] * b! plan"},
		{"a lone entry while the loser runs stays in plan mode", []move{both, calls("b"), serves("a", done("a")), serves("*", planned("c"))}, "Running [a] b! c plan"},
		{"what follows does not wait for the loser", []move{both, calls("b"), serves("a", done("a")), serves("*", planned("c")), serves("c", done("c"))}, "Running [a c] * b! plan"},
		{"nor for a loser that sleeps", []move{
			serves("*", race(planned("a")), race(sleeps("s", 720*time.Hour))), serves("a", done("a")),
			serves("*", planned("c")), serves("c", done("c")),
		}, "Running [a c] * s~@720h0m0s plan"},
		{"a sleep may win", []move{serves("*", race(planned("a")), race(sleeps("s", time.Second))), calls("a"), wakes("s")}, "Running [s] * a! plan"},
		{"when all have ended plan mode ends", []move{both, serves("a", done("a")), serves("b", done("b"))}, "Running [a b] *"},
		{"a planned step keeps plan mode when the loser ends", []move{
			both, calls("b"), serves("a", done("a")), serves("*", planned("c")), answers("b", done("b")),
		}, "Running [a b] * c plan"},
		{"the loser is told nothing when the run ends", []move{both, calls("b"), serves("a", done("a")), calls("*"), returns("*", "1"), answers("b", done("b"))}, "Completed [a] (ended)"},
		{"a target may return the result", []move{both, calls("b"), serves("a", done("a")), returns("b", "1")}, "Completed [a]"},
		{"one entry is outstanding however many branches end", []move{
			serves("*", race(planned("a")), race(planned("b")), race(planned("c"))), serves("a", done("a")), calls("*"), serves("b", done("b")), serves("c", done("c")),
		}, "Running [a b c] *!+"},
	})
}

func TestStepError(t *testing.T) {
	t.Parallel()
	one := serves("*", throws("a"))
	tell(t, []story{
		{"[38] the first failure is tried again after 15 s", []move{one}, "Running [] *@15s#1"},
		{"with jitter", []move{policy(func(p *Policy) { p.Jitter = 0.5 }), one}, "Running [] *@30s#1"},
		{"the second after 30 s", []move{one, one}, "Running [] *@30s#2"},
		{"by a fixed interval if there is one", []move{policy(func(p *Policy) { p.Interval, p.Jitter = time.Second, 0.9 }), one, one}, "Running [] *@1s#2"},
		{"[39] or when the app asks", []move{retryAfter(2 * time.Second), one}, "Running [] *@2s#1"},
		{"the last failure is the step's result", []move{times(5, one)}, "Running [a] *"},
		{"[37] one try is the last", []move{tries(1), one}, "Running [a] *"},
		{"[41] a failure that may not be tried again is the step's result", []move{noRetry, one}, "Running [a] *"},
		{"a failed step is final at once", []move{serves("*", fails("a"))}, "Running [a] *"},
		{"[42] the function goes on from attempt 0", []move{times(5, one), serves("*", done("b"))}, "Running [a b] *"},
		{"[43] the next step has its tries back", []move{times(2, one), serves("*", done("a")), serves("*", throws("b"))}, "Running [a] *@15s#1"},
		{"a step that ended before leaves the failing one its own tries", []move{times(4, one), serves("*", done("a"), throws("b"))}, "Running [a] *@15s#1"},
		{"and no more than those", []move{times(4, one), serves("*", done("b"), throws("a"))}, "Running [b a] *"},
		{"the function's own failures are no tries of a step", []move{times(4, calls("*"), refuses("*")), one}, "Running [] *@15s#5"},
		{"nor those of another step", []move{times(4, one), serves("*", throws("b"))}, "Running [] *@15s#5"},
		{"each step has its tries", []move{tries(2), calls("*"), refuses("*"), one, one}, "Running [a] *"},
		{"tries of which nothing is known are tries of any step", []move{tries(2), calls("*"), cuts("*"), one}, "Running [a] *"},
		{"a target is tried again as the same request", []move{serves("*", planned("a")), serves("a", throws("a"))}, "Running [] a@15s#1"},
		{"an error of a finished step is no news", []move{serves("*", done("a")), serves("*", throws("a"))}, "Running [a] *@10ms"},
		{"a target that ended beside a failing step is not asked for again", []move{
			serves("*", planned("a")), serves("a", throws("b"), done("a")),
		}, "Running [a] *@15s"},
		{"nor if it ended first", []move{serves("*", planned("a")), serves("a", done("a"), throws("b"))}, "Running [a] *@15s"},
		{"tries survive a crash", []move{times(3, one), crashes, one, crashes, one}, "Running [a] *"},
	})
}

func TestFunctionError(t *testing.T) {
	t.Parallel()
	broken := func(p *play) { calls("*")(p); refuses("*")(p) }
	tell(t, []story{
		{"the request is sent again", []move{broken}, "Running [] *@15s#1"},
		{"[35] it may succeed then", []move{broken, calls("*"), returns("*", "1")}, "Completed []"},
		{"[36] four failures leave a fifth try", []move{times(4, broken)}, "Running [] *@2m0s#4"},
		{"[36] the fifth fails the run", []move{times(5, broken)}, "Failed []"},
		{"[37] without retries the first does", []move{tries(1), broken}, "Failed []"},
		{"[40] as does an error that may not be tried again", []move{noRetry, broken}, "Failed []"},
		{"[39] the app may ask for a time", []move{retryAfter(24 * time.Hour), broken}, "Running [] *@24h0m0s#1"},
		{"a target is sent again as the same request", []move{serves("*", planned("a")), calls("a"), refuses("a")}, "Running [] a@15s#1"},
		{"NonRetriable in a target fails the run at once", []move{serves("*", planned("a"), planned("b")), calls("a", "b"), noRetry, refuses("a")}, "Failed []"},
		{"steps that come with the error are kept", []move{calls("*"), refuses("*", done("a"), throws("b"), planned("c"))}, "Running [a] *@15s#1"},
		{"and give the function its tries back", []move{times(4, broken), calls("*"), refuses("*", done("a"))}, "Running [a] *@15s#1"},
		{"known ones do not", []move{serves("*", done("a")), times(4, broken), calls("*"), refuses("*", done("a"))}, "Failed [a]"},
		{"a target that came with the error is not asked for again", []move{serves("*", planned("a")), calls("a"), refuses("a", done("a"))}, "Running [a] *@15s"},
		{"an op about the function is its error", []move{serves("*", throws(CompleteID))}, "Running [] *@15s#1"},
		{"with its steps kept", []move{serves("*", done("a"), throws(CompleteID))}, "Running [a] *@15s#1"},
		{"its last try fails the run", []move{times(5, serves("*", throws(CompleteID)))}, "Failed []"},
		{"so does a final one", []move{serves("*", fails(CompleteID))}, "Failed []"},
		{"so does one that may not be tried again", []move{noRetry, serves("*", throws(CompleteID))}, "Failed []"},
		{"tries of the body survive a crash", []move{times(4, broken), crashes, broken}, "Failed []"},
	})
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()
	tell(t, []story{
		{"a checkpoint keeps steps while the call goes on", []move{calls("*"), checkpoints(done("a")), checkpoints(done("b"))}, "Running [a b] *!"},
		{"a repeated one changes nothing", []move{calls("*"), checkpoints(done("a")), checkpoints(gives("a", "2"))}, "Running [a] *!"},
		{"the answer may repeat what it said", []move{calls("*"), checkpoints(done("a")), answers("*", done("a"), done("b"))}, "Running [a b] *"},
		{"a failed step is kept", []move{calls("*"), checkpoints(fails("a"))}, "Running [a] *!"},
		{"a planned step is an announcement", []move{calls("*"), checkpoints(planned("a"), done("b"))}, "Running [b] *!"},
		{"one with the claim of an older call is stale", []move{calls("*"), loses("*"), checkpoints(done("a"))}, "Running [] *! (stale)"},
		{"one that names no call is taken", []move{calls("*"), loses("*"), checkpointsBlindly(done("a"))}, "Running [a] *!"},
		{"one for a call that was lost in a crash is refused", []move{calls("*"), crashes, checkpoints(done("a"))}, "Running [] * (stale)"},
		{"but not once the run was called again", []move{calls("*"), crashes, loses("*"), checkpoints(done("a"))}, "Running [] *! (stale)"},
		{"nor when the function rests", []move{calls("*"), answers("*", sleeps("s", time.Hour)), checkpoints(done("a"))}, "Running [] s~@1h0m0s (stale)"},
		{"progress gives the call its tries back", []move{times(2, calls("*"), refuses("*")), calls("*"), checkpoints(done("a"))}, "Running [a] *!"},
		{"nothing new gives none", []move{times(2, calls("*"), refuses("*")), calls("*"), checkpoints(planned("a"))}, "Running [] *#2!"},
		{"progress keeps what was asked meanwhile", []move{
			protocol(1), serves("*", planned("a"), planned("b")), serves("a", done("a")), calls("*"), refuses("*"), calls("*"), serves("b", done("b")), checkpoints(done("c")),
		}, "Running [a b c] *!+ plan"},
		{"a step error ends a call and belongs in its answer", []move{calls("*"), checkpoints(done("a"), throws("b"))}, "Running [] *! (no checkpoint)"},
		{"so does a sleep", []move{calls("*"), checkpoints(sleeps("s", 1))}, "Running [] *! (no checkpoint)"},
		{"so does the end", []move{calls("*"), checkpoints(completes("1"))}, "Running [] *! (no checkpoint)"},
		{"an op that cannot be done fails the run", []move{calls("*"), checkpoints(done("a"), refusedOp, done("b"))}, "Failed [a]"},
		{"a queued step that is reported done is not called", []move{
			protocol(1), serves("*", planned("a"), planned("b")), serves("a", done("a")), calls("*"), checkpoints(done("b")),
		}, "Running [a b] *! plan"},
		{"a checkpoint survives a crash", []move{calls("*"), checkpoints(done("a")), crashes, serves("*", done("b"))}, "Running [a b] *"},
		{"the StaleDispatchError of an older call is dropped", []move{calls("*"), loses("*"), checkpoints(done("a")), noRetry, refuses("*")}, "Running [] *! (stale)"},
	})
}

func TestLateNews(t *testing.T) {
	t.Parallel()
	ends := map[string]move{
		"Completed": func(p *play) { calls("*")(p); returns("*", "1")(p) },
		"Failed":    func(p *play) { noRetry(p); calls("*")(p); refuses("*")(p) },
		"Cancelled": func(p *play) { calls("*")(p); cancels(p) },
	}
	for status, end := range ends {
		tell(t, []story{
			{status + " stays when a result comes", []move{end, returns("*", "2")}, status + " [] (ended)"},
			{status + " stays when a step comes", []move{end, answers("*", done("a"))}, status + " [] (ended)"},
			{status + " stays when an error comes", []move{end, refuses("*")}, status + " [] (ended)"},
			{status + " stays when a checkpoint comes", []move{end, checkpointsBlindly(done("a"))}, status + " [] (ended)"},
			{status + " stays when a timer fires", []move{end, func(p *play) { p.feed(Due{}) }}, status + " [] (ended)"},
			{status + " stays when it is cancelled", []move{end, cancels}, status + " [] (ended)"},
			{status + " is not called", []move{end, func(p *play) { p.feed(Dispatch{}) }}, status + " [] (ended)"},
		})
	}
	tell(t, []story{
		{"a result of an older call is dropped", []move{calls("*"), loses("*"), returns("*", "1")}, "Running [] *! (stale)"},
		{"so is a step", []move{calls("*"), loses("*"), answers("*", done("a"))}, "Running [] *! (stale)"},
		{"so is an error", []move{calls("*"), loses("*"), noRetry, refuses("*")}, "Running [] *! (stale)"},
		{"an answer given twice counts once", []move{serves("*", done("a")), answers("*", done("b"))}, "Running [a] * (stale)"},
		{"an answer to a call before a crash is dropped", []move{calls("*"), crashes, answers("*", done("a"))}, "Running [] * (stale)"},
		{"[74] a cancel ends the run though a call is in flight", []move{serves("*", planned("a"), sleeps("s", time.Hour)), calls("a"), cancels, answers("a", done("a"))}, "Cancelled [] (ended)"},
		{"[75] a run is cancelled before it was called", []move{cancels}, "Cancelled []"},
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	steps := func(n int) move { return policy(func(p *Policy) { p.MaxSteps = n }) }
	state := func(n int) move { return policy(func(p *Policy) { p.MaxState = n }) }
	output := func(n int) move { return policy(func(p *Policy) { p.MaxOutput = n }) }
	for _, tt := range []struct {
		story
		name string // of the error that the run ends with
	}{
		{story{"as many steps as allowed", []move{steps(2), serves("*", done("a"), done("b"))}, "Running [a b] *"}, ""},
		{story{"[31] one step more", []move{steps(2), serves("*", done("a"), done("b")), serves("*", done("c"))}, "Failed [a b]"}, "InngestErrFunctionOverflowed"},
		{story{"[31] one step more in a checkpoint", []move{steps(1), calls("*"), checkpoints(done("a"), done("b"))}, "Failed [a]"}, "InngestErrFunctionOverflowed"},
		{story{"[31] a sleep is a step", []move{steps(1), serves("*", done("a")), serves("*", sleeps("s", 1)), wakes("s")}, "Failed [a]"}, "InngestErrFunctionOverflowed"},
		{story{"a known step costs nothing", []move{steps(1), serves("*", done("a")), serves("*", done("a"))}, "Running [a] *@10ms"}, ""},
		{story{"as much state as allowed", []move{state(8), serves("*", gives("a", "1234"), gives("b", "1234"))}, "Running [a b] *"}, ""},
		{story{"[32] one byte more", []move{state(7), serves("*", gives("a", "1234"), gives("b", "1234"))}, "Failed [a]"}, "InngestErrStateOverflowed"},
		{story{"[32] one byte more after a crash", []move{state(7), serves("*", gives("a", "1234")), crashes, serves("*", gives("b", "1234"))}, "Failed [a]"}, "InngestErrStateOverflowed"},
		{story{"as large a step as allowed", []move{output(4), serves("*", gives("a", "1234"))}, "Running [a] *"}, ""},
		{story{"a larger step", []move{output(3), serves("*", gives("a", "1234"))}, "Failed []"}, "OutputTooLarge"},
		{story{"a larger result", []move{output(3), calls("*"), returns("*", "1234")}, "Failed []"}, "OutputTooLarge"},
		{story{"a larger result after its steps", []move{output(3), calls("*"), serves("*", gives("a", "1"), completes("1234"))}, "Failed [a]"}, "OutputTooLarge"},
		{story{"two larger steps beside an error end the run once", []move{output(3), calls("*"), refuses("*", gives("a", "1234"), gives("b", "1"), gives("c", "1234"))}, "Failed []"}, "OutputTooLarge"},
		{story{"too long a sleep", []move{serves("*", sleeps("s", 367*24*time.Hour))}, "Failed []"}, "InngestErrTimeoutTooLong"},
		{story{"no progress", []move{times(20, serves("*"))}, "Failed []"}, "NoProgress"},
		{story{"an op that cannot be done", []move{serves("*", refusedOp)}, "Failed []"}, "UnsupportedOp"},
	} {
		t.Run(tt.story.name, func(t *testing.T) {
			t.Parallel()
			p := &play{world: newWorld(t, order), claims: map[string]Claim{}, answer: Answer{Protocol: 2}}
			for _, m := range tt.moves {
				m(p)
			}
			if got := p.String(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := member(t, cmp.Or(string(p.r.Output), "{}"), "name"); got != tt.name {
				t.Errorf("the run ended with %q, want %q", got, tt.name)
			}
			if want := 2; tt.name != "" && len(p.emitted) != want {
				t.Errorf("the end was told by %d events, want %d", len(p.emitted), want)
			}
		})
	}
}

package durable

import (
	"testing"
	"time"
)

// FuzzNext feeds a run whatever bytes say: no sequence of inputs panics,
// revives a final run, loses a step, or leaves a run that nothing moves. Two
// bytes are one input: what it is, and its details; an answer takes one more
// for each op.
func FuzzNext(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 0x11, 0x12, 0, 1, 1, 1, 0x09, 0, 2, 1, 1, 0x0a})
	f.Add([]byte{0, 0, 1, 0, 0, 0, 2, 0})
	f.Add([]byte{0, 0, 4, 2, 0x09, 0x0a, 7, 0, 0, 0, 3, 1, 0x09})
	f.Add([]byte{0, 0, 1, 1, 0x19, 5, 1, 6, 0})
	f.Add([]byte{0, 0, 3, 0x21, 0x0a, 0, 0, 3, 0x20})
	f.Add([]byte{0, 0, 1, 2, 0x26, 0x0e, 0x2f, 0x15, 2, 0x15, 1, 5, 3, 6, 7}) // waits, resolved
	f.Add([]byte{0, 0, 1, 1, 0x00, 0, 0x08, 0, 0, 1, 0, 1, 0x83, 0})          // fetches, away
	f.Add([]byte{0, 0, 0xfd})                                                 // fetched what is no fetch
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 512 {
			return // the world is rebuilt for every input
		}
		w := newWorld(t, order)
		w.policy = Policy{MaxAttempts: 3, MaxSteps: 6, MaxState: 200, MaxOutput: 60, MaxAway: 10 * time.Minute, Finish: 100 * 24 * time.Hour}
		if len(script)%2 == 1 {
			w.keyed()
		}
		next := func() int {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return int(b)
		}
		steps := [...]string{Discovery, "a", "b", "c", "d", "e", "f", "g"}
		ops := func(n int) []Op {
			list := make([]Op, 0, n)
			for range n {
				b := next()
				kind := b & 7
				if kind == 0 { // the kinds that three bits do not hold
					kind = 8 + next()&7
				}
				list = append(list, fuzzOp(kind, b>>3&15, b>>7 == 1, w.now))
			}
			return list
		}
		for len(script) > 0 {
			what, how := next(), next()
			step := steps[how&7]
			claim := Claim{step, w.gen - int64(how>>6)} // the newest, or an older one
			if item := w.r.Items[step]; item != nil && how>>6 == 0 {
				claim.Generation = item.Generation
			}
			n, noRetry := how>>3&3, how>>5&1 == 1
			ended := w.r.Status.Final()
			switch what & 7 {
			case 0:
				if w.r.Items[step] == nil {
					continue
				}
				claim = w.claim(step)
				switch w.r.Items[step].Kind {
				case Wake, Timeout:
					w.feed(Due{claim})
				case Fetch:
					w.feed(Fetched{Claim: claim, Memo: JSON(`{"data":1}`), Failed: n > 0, NoRetry: noRetry})
				default:
					w.feed(Dispatch{claim})
				}
			case 1:
				w.feed(Answer{Claim: claim, Ops: ops(n + 1), Protocol: what >> 3 & 3, NoRetry: noRetry})
			case 2:
				w.feed(Return{Claim: claim, Ops: ops(n), Output: JSON(`1`), Protocol: what >> 3 & 3, Missed: noRetry})
			case 3:
				w.feed(Refusal{Claim: claim, Ops: ops(n), Err: boom, Protocol: what >> 3 & 3, NoRetry: noRetry, Away: what>>7 == 1})
			case 4:
				w.feed(Checkpoint{claim, ops(n + 1)})
			case 5:
				switch what >> 3 & 3 {
				case 0, 1:
					w.feed(Due{claim})
				case 2:
					w.feed(Resolved{Step: step, Memo: JSON(`{"data":1}`), Failed: noRetry})
				case 3:
					w.feed(Fetched{Claim: claim, Memo: JSON(`{"data":1}`), Failed: n > 0, NoRetry: noRetry})
				}
			case 6:
				if how&7 == 7 && w.r.Items[FinishStep] != nil {
					w.feed(Due{w.claim(FinishStep)})
					break
				}
				w.crash()
				continue
			case 7:
				if how != 0xff {
					w.now = w.now.Add(time.Duration(how) * time.Second)
					continue
				}
				w.feed(Cancel{})
			}
			if ended && w.err == nil {
				t.Fatalf("news about a final run counted: %s", w)
			}
		}
	})
}

// fuzzOp is an op of a kind about a step, or about the function itself.
func fuzzOp(kind, which int, race bool, now time.Time) Op {
	id := string(rune('a' + which%7))
	if which == 15 {
		id = CompleteID
	}
	op := Op{Kind: OpKind(kind), Step: id, Op: "Fuzz", Name: id, Err: boom, Race: race}
	switch op.Kind {
	case OpDone, OpFailed, OpError, OpComplete:
		op.Memo = JSON(`{"data":"` + string(make([]byte, which*5)) + `"}`)
	case OpSleep, OpWait, OpInvoke:
		op.Until = now.Add(time.Duration(which-3) * 24 * 40 * time.Hour)
		op.Op = map[OpKind]string{OpSleep: wordSleep, OpWait: wordEvent, OpInvoke: wordInvoke}[op.Kind]
		op.Wait = &Wait{Name: "paid"}
		if op.Kind == OpWait && which&1 == 1 {
			op.Op, op.Wait, op.Taken = wordSignal, &Wait{Kind: ForSignal, Name: id}, which == 13
		}
		op.Invoke = &Invoke{Function: "bill", Slug: "shop-bill"}
		if which == 11 {
			op.Invoke.Slug = ""
		}
	case OpFetch:
		op.Op, op.Request = wordFetch, JSON(`{}`)
	case OpDefer, OpDeferAbort:
		op.Defer = &Defer{ID: id + "-later", Function: "bill", Input: JSON(`{}`)}
	default:
	}
	return op
}

package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lives are the requests of runs to their app, by the life of the server that
// sent them: whatever an earlier life had open holds nothing any more.
func lives(lines []line, runs map[string]bool) map[int][]span {
	// A generation has the number of the life above 31 bits that count its claims.
	const claims = 31
	type key struct {
		run string
		gen int
	}
	at := map[key]int{}
	all := map[int][]span{}
	for _, ln := range lines {
		if !runs[ln.Run] || ln.Gen == 0 {
			continue
		}
		k, life := key{ln.Run, ln.Gen}, ln.Gen>>claims
		switch ln.What {
		case "memo":
			at[k] = len(all[life])
			all[life] = append(all[life], span{ln.T, 1 << 62})
		case "answer", "cut":
			if i, ok := at[k]; ok {
				all[life][i].to = ln.T
			}
		}
	}
	return all
}

// byRun are the numbers of each run's events, in the order in which the runs
// began. A run that a kill cut off has worked more than once for the same.
func byRun(t *testing.T, list []*work) (all [][]int) {
	t.Helper()
	first := map[string]*work{}
	for _, w := range list {
		if was, ok := first[w.Run]; ok {
			require.Equal(t, was.Data, w.Data, "events of run %s", w.Run)
			continue
		}
		first[w.Run] = w
		all = append(all, numbers([]*work{w})[0])
	}
	return all
}

// killedFlow has something pending when the server is killed.
type killedFlow struct {
	name   string
	before func(s stage) pendingFlow
}

// pendingFlow is what happens with it after that.
type pendingFlow struct {
	more  func(s stage)                  // as soon as the server is there again; nil: nothing
	check func(s stage, again time.Time) // again is a moment before the server was started anew
}

var killedFlows = []killedFlow{
	{"concurrency with a backlog", func(s stage) pendingFlow {
		ids, _ := s.flow("flow-two", each(8, op{"hold": "killed two"})...)
		s.awaitWorks("flow-two", "", 2)
		return pendingFlow{check: func(s stage, _ time.Time) {
			s.awaitWorks("flow-two", "", 4) // the two that were cut off work again
			s.open("killed two")
			runs := map[string]bool{}
			for _, run := range s.completed(ids...) {
				runs[run.ID] = true
			}
			all := lives(s.a.log.lines(s.T, ""), runs)
			require.Len(s, all, 2, "lives of the server that sent requests")
			for life, requests := range all {
				require.LessOrEqual(s, peak(requests), 2, "requests at once in life %d", life)
			}
			list := s.works("flow-two", "")
			require.Len(s, byRun(s.T, list), 8, "each has run")
			require.Len(s, list, 8+2, "and none twice but those that the kill cut off")
		}}
	}},
	{"debounce", func(s stage) pendingFlow {
		_, _ = s.flow("flow-debounce-slow", op{"n": 1, "key": "quiet"})
		quiet, sent := s.flow("flow-debounce-slow", op{"n": 2, "key": "quiet"})
		ids, opened := s.flow("flow-debounce-slow", op{"n": 3, "key": "going on"})
		var last []string
		inTime := false
		more := func(s stage) {
			last, _ = s.flow("flow-debounce-slow", op{"n": 4, "key": "going on"})
			inTime = time.Since(opened) < 4*time.Second
		}
		return pendingFlow{more, func(s stage, _ time.Time) {
			s.completed(quiet[0], last[0])
			list := s.works("flow-debounce-slow", "quiet")
			require.Equal(s, [][]int{{2}}, byRun(s.T, list))
			require.GreaterOrEqual(s, list[0].T, sent.Add(4*time.Second).UnixMilli())
			want := [][]int{{4}}
			if !inTime {
				s.completed(ids...)
				want = [][]int{{3}, {4}}
			}
			require.Equal(s, want, byRun(s.T, s.works("flow-debounce-slow", "going on")))
		}}
	}},
	{"batch", func(s stage) pendingFlow {
		full, _ := s.flow("flow-batch-slow", each(4, op{"key": "full"})...)
		quiet, sent := s.flow("flow-batch-slow", each(2, op{"key": "quiet"})...)
		ids, opened := s.flow("flow-batch-slow", each(2, op{"key": "going on"})...)
		var last []string
		inTime := false
		more := func(s stage) {
			last, _ = s.flow("flow-batch-slow", op{"n": 3, "key": "going on"})
			inTime = time.Since(opened) < 4*time.Second
		}
		return pendingFlow{more, func(s stage, _ time.Time) {
			s.completed(full[0], full[3], quiet[0], ids[0], last[0])
			require.ElementsMatch(s, [][]int{{1, 2, 3}, {4}}, byRun(s.T, s.works("flow-batch-slow", "full")))
			list := s.works("flow-batch-slow", "quiet")
			require.Equal(s, [][]int{{1, 2}}, byRun(s.T, list))
			require.GreaterOrEqual(s, list[0].T, sent.Add(4*time.Second).UnixMilli())
			want := [][]int{{1, 2, 3}}
			if !inTime {
				want = [][]int{{1, 2}, {3}}
			}
			require.Equal(s, want, byRun(s.T, s.works("flow-batch-slow", "going on")))
		}}
	}},
	{"singleton that skips", func(s stage) pendingFlow {
		first := s.busy("flow-skip", "killed skip", op{"n": 1, "key": "killed"})
		return pendingFlow{check: func(s stage, _ time.Time) {
			second := s.start("flow-skip", op{"n": 2, "key": "killed"})
			require.Equal(s, "Skipped", second.Status)
			require.Contains(s, string(second.Output), first.ID)
			s.open("killed skip")
			s.end(first).completed(s.T, "[1]")
			s.end(s.start("flow-skip", op{"n": 3, "key": "killed"})).completed(s.T, "[3]")
			require.Equal(s, [][]int{{1}, {3}}, byRun(s.T, s.works("flow-skip", "killed")))
		}}
	}},
	{"singleton that cancels", func(s stage) pendingFlow {
		first := s.busy("flow-cancel", "killed cancel", op{"n": 1, "key": "killed"})
		ids, _ := s.flow("flow-cancel", op{"n": 2, "key": "killed"}) // it may be handed on before the kill or after it
		return pendingFlow{check: func(s stage, _ time.Time) {
			s.completed(ids...)
			s.end(first).cancelled(s.T)
			s.open("killed cancel")
			require.Equal(s, "Cancelled", s.p.await(first.ID).Status, "its late answer changes nothing")
			require.Equal(s, [][]int{{1}, {2}}, byRun(s.T, s.works("flow-cancel", "killed")))
		}}
	}},
	{"priority", func(s stage) pendingFlow {
		now := s.busy("flow-priority", "killed priority", op{"n": 0})
		ids, _ := s.flow("flow-priority", op{"n": 1}, op{"n": 2}, op{"n": 3, "vip": true})
		return pendingFlow{check: func(s stage, _ time.Time) {
			s.open("killed priority")
			s.end(now).completed(s.T, "[0]")
			s.completed(ids...)
			require.Equal(s, [][]int{{0}, {3}, {1}, {2}}, byRun(s.T, s.works("flow-priority", "")))
		}}
	}},
	{"idempotency and rate limit", func(s stage) pendingFlow {
		once, _ := s.flow("flow-once", op{"n": 1, "order": "killed"})
		many, sent := s.flow("flow-rate-many", each(4, nil)...) // at most three at once, then one in three seconds
		require.Equal(s, []int{1, 1, 1, 0}, s.counts(many))
		return pendingFlow{check: func(s stage, _ time.Time) {
			again, _ := s.flow("flow-once", op{"n": 2, "order": "killed"})
			more, _ := s.flow("flow-rate-many", each(4, nil)...)
			since := time.Since(sent)
			require.Equal(s, []int{0}, s.counts(again))
			admitted := 0
			for _, n := range s.counts(more) {
				admitted += n
			}
			require.LessOrEqual(s, admitted, int(since/(3*time.Second)))
			s.completed(once[0], many[0], many[1], many[2])
		}}
	}},
	{"throttle", func(s stage) pendingFlow {
		ids, sent := s.flow("flow-throttle-slow", each(6, nil)...)
		s.completed(ids[0])
		return pendingFlow{check: func(s stage, again time.Time) {
			s.completed(ids...)
			list := s.works("flow-throttle-slow", "")
			require.Len(s, byRun(s.T, list), 6)
			begun := map[string]bool{} // a start that was cut off is no other when it is repeated
			list = slices.DeleteFunc(list, func(w *work) bool {
				was := begun[w.Run]
				begun[w.Run] = true
				return was
			})
			wantRate(s.T, list, sent, time.Second, s.atOnce(1))
			late := slices.IndexFunc(list, func(w *work) bool { return w.T >= again.UnixMilli() })
			if late >= 0 {
				wantRate(s.T, list[late:], again, time.Second, s.atOnce(1)) // what was missed is not made up for at once
			}
		}}
	}},
}

// TestFlowKilled kills the server while every kind of flow control has something
// pending. After it the limits hold as if nothing had happened, and nothing is
// lost.
func TestFlowKilled(t *testing.T) {
	p, apps := startFlow(t)
	type check struct {
		name string
		app  *app
		pendingFlow
	}
	var checks []check
	for _, k := range killedFlows {
		for _, a := range apps {
			checks = append(checks, check{k.name + "/" + a.sdk.name, a, k.before(stage{t, p, a})})
		}
	}
	p.kill()
	p.wantSound()
	again := time.Now().Truncate(time.Millisecond)
	p.start()
	for _, c := range checks {
		if c.more != nil {
			c.more(stage{t, p, c.app})
		}
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			p := *p
			p.t = t
			c.check(stage{t, &p, c.app}, again)
		})
	}
	for _, a := range apps {
		lines := a.log.lines(t, "")
		require.Empty(t, repeated(lines), "bodies started although their result was saved")
		require.Empty(t, forgotten(lines), "requests that lacked a saved step")
		require.Empty(t, overtaken(lines), "checkpoints taken from a dispatch that was given up")
	}
	p.stop()
	p.wantSound()
}

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What an app's log says about limits.
//
// A call is in flight from its arrival at the app until the app answers it, which
// is less than pawl counts: from the claim until the answer is saved. Three things
// end it earlier. When the server dies, its leases and its connections die with it,
// and whoever serves next calls again: what the app still does about the old call is
// not in flight any more. A request that the dead had sent may be read by the app
// even later, and never counts; the generation says which life of the server it is
// of. And a run that was cancelled holds nothing from that moment on, whenever its
// app notices.

// bound is a limit that holds for a call or a run: no more than most at a time may
// be behind the same name.
type bound struct {
	name string
	most func(at int64) int // at a time, in Unix milliseconds
}

// always is a bound that does not change.
func always(name string, most int) bound { return bound{name, func(int64) int { return most }} }

// ending is how a run ended.
type ending struct {
	cancelled bool
	at        int64 // Unix milliseconds
}

// before reports whether the run had been cancelled by then.
func (e ending) before(t int64) bool { return e.cancelled && e.at <= t }

func (e ending) String() string {
	if e.cancelled {
		return "cancelled at " + clock(e.at)
	}
	return "ended at " + clock(e.at)
}

// lifetimes say in which life of the server a dispatch was made: its generations
// begin anew in each, above those of the one before. The first life is 0.
type lifetimes struct{ first int }

const generationsOfALife = 1 << 31

func lifetimesOf(lines []line) lifetimes {
	for _, ln := range lines {
		if ln.Gen > 0 {
			return lifetimes{ln.Gen / generationsOfALife}
		}
	}
	return lifetimes{}
}

func (l lifetimes) of(generation int) int { return generation/generationsOfALife - l.first }

// peaks are how many were in flight at once, at most, by the names of bounds.
type peaks map[string]int

// crowded returns the calls with which there were more in flight than a bound
// allows. The first line that has a generation must be of the first life.
func crowded(lines []line, ends map[string]ending, bounds func(run string) []bound) (bad []string, most peaks, caught int) {
	type call struct {
		run string
		gen int
	}
	open := map[string]map[call]bool{}
	most = peaks{}
	life, now := lifetimesOf(lines), 0
	for _, ln := range lines {
		c := call{ln.Run, ln.Gen}
		switch ln.What {
		case "killed":
			now++
			flying := map[call]bool{}
			for _, calls := range open {
				for c := range calls {
					flying[c] = true
				}
			}
			if len(flying) > 0 {
				caught++
			}
			clear(open)
		case "memo":
			if life.of(ln.Gen) < now || ends[ln.Run].before(ln.T) {
				continue // it was read late
			}
			for _, b := range bounds(ln.Run) {
				calls := open[b.name]
				if calls == nil {
					calls = map[call]bool{}
					open[b.name] = calls
				}
				for other := range calls {
					if ends[other.run].before(ln.T) {
						delete(calls, other)
					}
				}
				calls[c] = true
				most[b.name] = max(most[b.name], len(calls))
				if n, limit := len(calls), b.most(ln.T); n > limit {
					var all []string
					for c := range calls {
						all = append(all, fmt.Sprintf("claim %d of run %s, %v", c.gen%generationsOfALife, c.run, ends[c.run]))
					}
					bad = append(bad, fmt.Sprintf("%d calls in flight behind %s, which allows %d, with that of run %s at %s in life %d: %s",
						n, b.name, limit, ln.Run, clock(ln.T), now, strings.Join(all, "; ")))
				}
			}
		case "answer", "cut":
			for _, calls := range open {
				delete(calls, c)
			}
		}
	}
	return bad, most, caught
}

// clock is a time of a log for people.
func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("15:04:05.000") }

// stretch is what a run is in the log: from the first of its calls to the last answer
// that ended it, or, if it was cancelled, to then. That is less than from its start
// to its end.
type stretch struct {
	run         string
	first, last int // lines; last is -1 when no answer ended it
}

func stretches(lines []line) map[string]*stretch {
	byRun := map[string]*stretch{}
	for i, ln := range lines {
		s := byRun[ln.Run]
		switch {
		case ln.What == "memo" && s == nil:
			byRun[ln.Run] = &stretch{run: ln.Run, first: i, last: -1}
		case ln.What == "answer" && s != nil && slices.Equal(ln.IDs, []string{"200"}):
			s.last = i
		}
	}
	return byRun
}

// overlapping returns the runs with whose first call more runs were under way than a
// bound allows. That a server dies changes nothing: a run that has begun goes on.
func overlapping(lines []line, ends map[string]ending, bounds func(run string) []bound) (bad []string, most peaks) {
	byRun := stretches(lines)
	most = peaks{}
	under := map[string]map[string]bool{} // runs under way by bound
	for i, ln := range lines {
		s := byRun[ln.Run]
		if s == nil {
			continue
		}
		end := ends[ln.Run]
		if i == s.last && !end.cancelled {
			for _, b := range bounds(ln.Run) {
				delete(under[b.name], ln.Run)
			}
		}
		if i != s.first {
			continue
		}
		for _, b := range bounds(ln.Run) {
			if under[b.name] == nil {
				under[b.name] = map[string]bool{}
			}
			for other := range under[b.name] {
				if ends[other].before(ln.T) {
					delete(under[b.name], other)
				}
			}
			if end.before(ln.T) {
				continue // its request was read late
			}
			under[b.name][ln.Run] = true
			n, limit := len(under[b.name]), b.most(ln.T)
			most[b.name] = max(most[b.name], n)
			if n > limit {
				bad = append(bad, fmt.Sprintf("%d runs under way behind %s, which allows %d, with run %s at %s: %v",
					n, b.name, limit, ln.Run, clock(ln.T), under[b.name]))
			}
		}
	}
	return bad, most
}

// calledLate returns the calls of cancelled runs that came more than grace after
// their end.
func calledLate(lines []line, ends map[string]ending, grace time.Duration) (bad []line) {
	for _, ln := range lines {
		if end := ends[ln.Run]; end.cancelled && ln.What == "memo" && ln.T > end.at+grace.Milliseconds() {
			bad = append(bad, ln)
		}
	}
	return bad
}

// hasty returns where more runs began within a time than a rate allows: at once
// some, and then one each every. slack is by how much later than it was admitted a
// run may be said to have begun.
func hasty(begun []time.Time, atOnce int, every, slack time.Duration) (bad []string) {
	slices.SortFunc(begun, time.Time.Compare)
	for i := range begun {
		for j := i + 1; j < len(begun); j++ {
			n, took := j-i+1, begun[j].Sub(begun[i])
			if most := atOnce + int((took+slack)/every); n > most {
				bad = append(bad, fmt.Sprintf("%d began in %v from %s on, at most %d may", n, took, begun[i].Format("15:04:05.000"), most))
			}
		}
	}
	return bad
}

// queued is a run that waits for its turn: it was accepted, has a place in the order
// of the queue, and began.
type queued struct {
	run          string
	accepted     time.Time
	place, began time.Time
}

// overtaking returns the runs that began although another one had long been before
// them in the queue.
func overtaking(runs []queued, slack time.Duration) (bad []string) {
	for _, a := range runs {
		for _, b := range runs {
			if a.place.Add(slack).Before(b.place) && a.accepted.Add(slack).Before(b.began) && b.began.Before(a.began) {
				bad = append(bad, fmt.Sprintf("run %s began at %v, before run %s, whose place was %v before its own",
					b.run, b.began.Format("15:04:05.000"), a.run, b.place.Sub(a.place)))
			}
		}
	}
	return bad
}

// set is a value that an operator set: it may be in force from the moment at which
// that was asked for, and is once it was acknowledged.
type set struct {
	asked, acked int64 // Unix milliseconds
	value        int
}

// history is what was set, one after the other. The first is from the beginning.
type history []set

// most is the greatest value that may be in force at a time, or that a claim of up to
// grace before saw.
func (h history) most(at int64, grace time.Duration) (most int) {
	for i, s := range h {
		if s.asked <= at && (i+1 == len(h) || at <= h[i+1].acked+grace.Milliseconds()) {
			most = max(most, s.value)
		}
	}
	return most
}

// holds reports whether a value is surely in force at a time, and has been for grace.
func (h history) holds(value int, at int64, grace time.Duration) bool {
	for i, s := range h {
		if s.value == value && s.acked+grace.Milliseconds() < at && (i+1 == len(h) || at < h[i+1].asked) {
			return true
		}
	}
	return false
}

// taken is an event in the order of its acceptance.
type taken struct {
	n        int
	key      string
	ts       int64     // of the event, Unix milliseconds
	received time.Time // by the server
}

// limited are the events that a rate of one in a time admits. Source: spec/11 §4.
func limited(events []taken, every time.Duration) (admitted []taken) {
	for _, e := range events {
		if n := len(admitted); n == 0 || !e.received.Before(admitted[n-1].received.Add(every)) {
			admitted = append(admitted, e)
		}
	}
	return admitted
}

// settled are the events that a debounce starts runs for, and when. Source: spec/11
// §5.
func settled(events []taken, period, timeout time.Duration) (last []taken, dues []time.Time) {
	var pending taken
	var first, due time.Time
	for _, e := range events {
		switch {
		case due.IsZero():
			first = e.received
		case !due.After(e.received): // its time was over, whether or not anybody had looked
			last, dues = append(last, pending), append(dues, due)
			first = e.received
		case e.ts < pending.ts:
			continue
		}
		pending, due = e, e.received.Add(period)
		if timeout > 0 {
			end := first.Add(timeout)
			left := max(end.Sub(e.received).Truncate(time.Second), time.Second)
			if left < period {
				due = e.received.Add(left)
			}
			if latest := end.Add(time.Second); due.After(latest) {
				due = latest
			}
		}
	}
	if !due.IsZero() {
		last, dues = append(last, pending), append(dues, due)
	}
	return last, dues
}

// gathered are the events of each batch. Source: spec/11 §7.
func gathered(events []taken, size int, timeout time.Duration) (batches [][]taken) {
	for _, e := range events {
		n := len(batches)
		if n == 0 || len(batches[n-1]) == size || !e.received.Before(batches[n-1][0].received.Add(timeout)) {
			batches = append(batches, nil)
			n++
		}
		batches[n-1] = append(batches[n-1], e)
	}
	return batches
}

// TestFlowJudges shows that the judges of flow control find what they look for.
func TestFlowJudges(t *testing.T) {
	t.Parallel()
	const first, second = 5 * generationsOfALife, 6 * generationsOfALife
	one := func(string) []bound { return []bound{always("g", 1)} }
	calls := func(ends map[string]ending, lines ...line) int {
		bad, _, _ := crowded(lines, ends, one)
		return len(bad)
	}
	call := func(run string, gen int) line { return line{Run: run, What: "memo", Gen: gen, T: 100} }
	answer := func(run string, gen int) line {
		return line{Run: run, What: "answer", Gen: gen, T: 100, IDs: []string{"200"}}
	}
	killed := line{What: "killed", T: 100}

	t.Run("calls in flight", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 0, calls(nil, call("r", first), answer("r", first), call("s", first+1)))
		require.Equal(t, 1, calls(nil, call("r", first), call("s", first+1)))
		require.Equal(t, 1, calls(nil, call("r", first), call("r", first+1)), "two of one run")
		require.Equal(t, 0, calls(nil, call("r", first), killed, call("s", second)), "the dead hold nothing")
		require.Equal(t, 1, calls(nil, call("r", first), killed, call("s", second), call("r", second+1)), "right after a restart")
		require.Equal(t, 0, calls(nil, call("r", first), killed, call("s", second), call("r", first+1)), "a call of the dead that is read late")
		require.Equal(t, 1, calls(nil, call("r", first), killed, call("s", second), answer("r", first), call("r", second+1)), "a late answer to the dead frees nothing")
		cancelled := map[string]ending{"r": {true, 90}}
		require.Equal(t, 0, calls(cancelled, call("r", first), call("s", first+1)), "cancelled before the other came")
		require.Equal(t, 0, calls(cancelled, call("s", first+1), call("r", first)), "a call that is read after its run was cancelled")
		cancelled["r"] = ending{true, 110}
		require.Equal(t, 1, calls(cancelled, call("r", first), call("s", first+1)), "cancelled later")
		require.Equal(t, 1, calls(map[string]ending{"r": {false, 90}}, call("r", first), call("s", first+1)), "only what was cancelled is excused")
		_, most, caught := crowded([]line{call("r", first), killed, killed}, nil, one)
		require.Equal(t, peaks{"g": 1}, most)
		require.Equal(t, 1, caught, "deaths that cut something off")
	})
	t.Run("runs under way", func(t *testing.T) {
		t.Parallel()
		runs := func(ends map[string]ending, lines ...line) int {
			bad, _ := overlapping(lines, ends, one)
			return len(bad)
		}
		again := line{Run: "r", What: "answer", Gen: first, T: 100, IDs: []string{"Sleep x"}}
		require.Equal(t, 0, runs(nil, call("r", first), again, call("r", first+1), answer("r", first+1), call("s", first+2)))
		require.Equal(t, 1, runs(nil, call("r", first), again, call("s", first+1), call("r", first+2), answer("r", first+2)))
		require.Equal(t, 1, runs(nil, call("r", first), killed, call("s", second)), "a death ends no run")
		require.Equal(t, 1, runs(nil, call("r", first), answer("r", first), killed, call("s", second), call("r", second+1), answer("r", second+1)),
			"an answer that nobody saved")
		require.Equal(t, 0, runs(map[string]ending{"r": {true, 90}}, call("r", first), call("s", first+1)))
		require.Equal(t, 1, runs(map[string]ending{"r": {true, 110}}, call("r", first), call("s", first+1)))
		require.Len(t, calledLate([]line{call("r", first)}, map[string]ending{"r": {true, 90}}, 9*time.Millisecond), 1)
		require.Empty(t, calledLate([]line{call("r", first)}, map[string]ending{"r": {true, 90}}, 10*time.Millisecond))
	})
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	t.Run("rates", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, hasty([]time.Time{at(0), at(0), at(1000), at(2000)}, 2, time.Second, 0))
		require.Len(t, hasty([]time.Time{at(0), at(0), at(999)}, 2, time.Second, 0), 1)
		require.Empty(t, hasty([]time.Time{at(0), at(0), at(999)}, 2, time.Second, time.Millisecond))
		require.NotEmpty(t, hasty([]time.Time{at(0), at(0), at(1000), at(1000), at(2000), at(2000)}, 2, time.Second, time.Second), "a rate that is forgotten now and then")
	})
	t.Run("order", func(t *testing.T) {
		t.Parallel()
		urgent, late := queued{"u", at(0), at(-5000), at(3000)}, queued{"l", at(0), at(0), at(2000)}
		require.Len(t, overtaking([]queued{urgent, late}, time.Second), 1)
		urgent.accepted = at(1500)
		require.Empty(t, overtaking([]queued{urgent, late}, time.Second), "it had just come")
		urgent.began = at(1900)
		require.Empty(t, overtaking([]queued{urgent, late}, 0))
	})
	t.Run("what was set", func(t *testing.T) {
		t.Parallel()
		h := history{{0, 0, 3}, {100, 200, 1}, {300, 400, 5}}
		require.Equal(t, 3, h.most(50, 0))
		require.Equal(t, 3, h.most(150, 0), "the old one may be in force")
		require.Equal(t, 3, h.most(210, 10*time.Millisecond))
		require.Equal(t, 1, h.most(211, 10*time.Millisecond))
		require.Equal(t, 5, h.most(300, 0), "the new one may be in force")
		require.False(t, h.holds(1, 205, 10*time.Millisecond))
		require.True(t, h.holds(1, 211, 10*time.Millisecond))
		require.False(t, h.holds(1, 300, 10*time.Millisecond))
	})
	numbers := func(list []taken) (n []int) {
		for _, e := range list {
			n = append(n, e.n)
		}
		return n
	}
	event := func(n int, received, ts int64) taken { return taken{n: n, ts: ts, received: at(received)} }
	t.Run("events", func(t *testing.T) {
		t.Parallel()
		events := []taken{event(0, 0, 0), event(1, 500, 500), event(2, 999, 400), event(3, 1500, 1500), event(4, 4000, 0)}
		require.Equal(t, []int{0, 3, 4}, numbers(limited(events, time.Second)))
		debounced := func(events []taken, period, timeout time.Duration) (n []int, dues []int64) {
			last, at := settled(events, period, timeout)
			for _, due := range at {
				dues = append(dues, due.UnixMilli())
			}
			return numbers(last), dues
		}
		n, dues := debounced(events, time.Second, 0)
		require.Equal(t, []int{1, 3, 4}, n, "2 is older than 1, and the time is over with 3")
		require.Equal(t, []int64{1500, 2500, 5000}, dues)
		n, dues = debounced(events, 2*time.Second, 0)
		require.Equal(t, []int{3, 4}, n)
		require.Equal(t, []int64{3500, 6000}, dues)
		n, dues = debounced([]taken{event(0, 0, 0), event(1, 900, 1), event(2, 1800, 2), event(3, 2790, 3), event(4, 4000, 4)}, 2*time.Second, 2*time.Second)
		require.Equal(t, []int{3, 4}, n, "the most that it waits")
		require.Equal(t, []int64{3000, 6000}, dues)
		var sizes []int
		for _, b := range gathered(events, 3, time.Second) {
			sizes = append(sizes, len(b))
		}
		require.Equal(t, []int{3, 1, 1}, sizes)
		require.Len(t, gathered([]taken{event(0, 0, 0), event(1, 0, 0), event(2, 0, 0)}, 2, time.Second), 2)
	})
}

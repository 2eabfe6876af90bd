package flow

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLanesTakeTurns(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	shared := []GateSpec{{Name: "fn", Slots: 1}}
	for _, l := range []string{"a", "b", "c"} {
		b.Offer(l, Begin, "", shared)
	}
	var order []string
	for range 6 { // each lane has more than enough
		l, pass, ok, _ := b.Next(noon)
		require.True(t, ok)
		order = append(order, l)
		b.Offer(l, Begin, "", shared)
		_, _, ok, _ = b.Next(noon)
		require.False(t, ok, "the only slot is taken")
		b.Undo(pass)
	}
	require.Equal(t, []string{"a", "b", "c", "a", "b", "c"}, order)
}

func TestWhatGoesOnComesBeforeWhatBegins(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	b.Offer("new", Begin, "", nil)
	b.Offer("old", Continue, "", nil)
	first, _, _, _ := b.Next(noon)
	require.Equal(t, "old", first)
}

func TestFullGateHoldsUpItsOwnLanesOnly(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	b.Offer("a1", Begin, "", []GateSpec{{Name: "a", Slots: 1}})
	_, first, _, _ := b.Next(noon)
	b.Offer("a1", Begin, "", []GateSpec{{Name: "a", Slots: 1}})
	b.Offer("b1", Begin, "", []GateSpec{{Name: "b", Slots: 1}})
	l, _, _, _ := b.Next(noon)
	require.Equal(t, "b1", l)
	_, _, ok, _ := b.Next(noon)
	require.False(t, ok)
	require.Equal(t, "a", b.Holding("a1"))
	b.Undo(first)
	l, _, _, _ = b.Next(noon)
	require.Equal(t, "a1", l)
}

func TestRunKeepsItsSlot(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	specs := []GateSpec{{Name: "run", Slots: 1, Stays: true}, {Name: "step", Slots: 5}}
	b.Offer("a", Begin, "", specs)
	_, pass, _, _ := b.Next(noon)
	b.Offer("a", Begin, "", specs)
	b.Undo(b.Began(pass)) // the request is answered
	_, _, ok, _ := b.Next(noon)
	require.False(t, ok, "the run goes on")
	b.Free(pass.Stays)
	_, _, ok, _ = b.Next(noon)
	require.True(t, ok)
}

func TestRateOpensInTime(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	specs := []GateSpec{{Name: "t", Rate: Throttle(1, 10*time.Second, 0), Stays: true}}
	b.Stored = func(string) (int, time.Time, error) { return 0, noon.Add(4 * time.Second), nil }
	b.Offer("a", Begin, "", specs)
	_, _, ok, _ := b.Next(noon)
	require.False(t, ok)
	require.Equal(t, noon.Add(4*time.Second), b.Opens())
	require.Equal(t, "t", b.Holding("a"))
	_, pass, ok, _ := b.Next(noon.Add(4 * time.Second))
	require.True(t, ok)
	require.Len(t, pass.Rates, 1)
	require.Equal(t, "t", pass.Rates[0].Gate)
	require.Equal(t, noon.Add(14*time.Second), pass.Rates[0].Taken)
}

func TestClockThatIsSetBackKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	specs := []GateSpec{{Name: "t", Rate: Throttle(2, 20*time.Second, 0), Stays: true}}
	starts := func(now time.Time) (n int) {
		b.Offer("a", Begin, "", specs)
		for {
			_, pass, ok, err := b.Next(now)
			require.NoError(t, err)
			if !ok {
				return n
			}
			n++
			b.Undo(b.Began(pass))
			b.Offer("a", Begin, "", specs)
		}
	}
	require.Equal(t, 2, starts(noon))
	back := noon.Add(-3 * time.Hour)
	require.Equal(t, 0, starts(back), "the two count as if they had begun now")
	require.Equal(t, back.Add(10*time.Second), b.Opens())
	require.Equal(t, 1, starts(back.Add(10*time.Second)))
	require.Equal(t, 2, starts(back.Add(time.Minute)))

	t.Run("while nothing ran", func(t *testing.T) {
		b := NewBoard()
		b.Stored = func(string) (int, time.Time, error) { return 0, noon.Add(20 * time.Second), nil }
		b.Offer("a", Begin, "", specs)
		_, _, ok, _ := b.Next(back)
		require.False(t, ok)
		require.Equal(t, back.Add(10*time.Second), b.Opens())
	})
}

// TestHoldingIsKnownBeforeALanesTurn: who asks why a run waits need not wait until
// the board has come to it.
func TestHoldingIsKnownBeforeALanesTurn(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	specs := []GateSpec{{Name: "own", Slots: 5}, {Name: "app", Slots: 1}}
	b.Offer("a", Begin, "", specs)
	require.Empty(t, b.Holding("a"))
	_, _, ok, _ := b.Next(noon)
	require.True(t, ok)
	b.Offer("a", Begin, "", specs)
	require.Equal(t, "app", b.Holding("a"))
	require.False(t, b.Waits("a"))
	_, _, ok, _ = b.Next(noon)
	require.False(t, ok)
	require.True(t, b.Waits("a"))
	b.Change(func(string) []GateSpec { return specs })
	require.Equal(t, "app", b.Holding("a"), "all are asked again")
}

func TestFasterRateHoldsAtOnce(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	slow, fast := []GateSpec{{Name: "t", Rate: Throttle(1, time.Hour, 0), Stays: true}}, []GateSpec{{Name: "t", Rate: Throttle(1, time.Second, 0), Stays: true}}
	b.Offer("a", Begin, "", slow)
	_, _, ok, _ := b.Next(noon)
	require.True(t, ok)
	b.Offer("a", Begin, "", slow)
	_, _, ok, _ = b.Next(noon)
	require.False(t, ok)
	require.Equal(t, noon.Add(time.Hour), b.Opens())
	b.Change(func(string) []GateSpec { return fast })
	_, _, ok, _ = b.Next(noon)
	require.False(t, ok)
	require.Equal(t, noon.Add(time.Second), b.Opens())
}

func TestClaimThatComesToNothingGivesBackItsRate(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	specs := []GateSpec{{Name: "t", Rate: Throttle(1, 10*time.Second, 0), Stays: true}, {Name: "run", Slots: 1, Stays: true}, {Name: "step", Slots: 1}}
	for _, l := range []string{"a", "b"} {
		b.Offer(l, Begin, "", specs)
	}
	_, pass, ok, _ := b.Next(noon)
	require.True(t, ok)
	_, _, ok, _ = b.Next(noon)
	require.False(t, ok)
	require.False(t, b.Ready())
	b.Undo(pass)
	require.True(t, b.Ready(), "who waits for the rate is asked again")
	l, pass, ok, _ := b.Next(noon)
	require.True(t, ok)
	require.Equal(t, "b", l)
	require.Equal(t, noon.Add(10*time.Second), pass.Rates[0].Taken, "as if it were the first")
}

func TestRateOfRequestsIsUsedUpByAClaim(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	specs := []GateSpec{{Name: "probe", Slots: 1, Rate: Rate{Every: 10 * time.Second}}}
	b.Offer("a", Continue, "", specs)
	_, pass, _, _ := b.Next(noon)
	require.Empty(t, pass.Rates)
	b.Offer("a", Continue, "", specs)
	b.Undo(pass)
	_, _, ok, _ := b.Next(noon)
	require.False(t, ok)
	require.Equal(t, noon.Add(10*time.Second), b.Opens())
}

func TestChangedLimitHoldsAtOnce(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	specs := []GateSpec{{Name: "a", Slots: 1}}
	b.Offer("a", Begin, "", specs)
	_, held, _, _ := b.Next(noon)
	b.Offer("a", Begin, "", specs)
	_, _, ok, _ := b.Next(noon)
	require.False(t, ok)
	b.Change(func(string) []GateSpec { return []GateSpec{{Name: "a", Slots: 2}} })
	_, _, ok, _ = b.Next(noon)
	require.True(t, ok)
	require.Equal(t, 2, b.Used("a"))
	b.Undo(held)
	require.Equal(t, 1, b.Used("a"))
}

// TestBoardAgainstModel offers, claims and returns at random, and compares with
// what counting alone would say.
func TestBoardAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b, now := NewBoard(), noon
		limits := map[string]int{}
		for i := range 4 {
			limits[fmt.Sprintf("g%d", i)] = rapid.IntRange(1, 3).Draw(t, "limit")
		}
		specs := map[string][]GateSpec{}
		items := map[string]int{}
		for i := range rapid.IntRange(1, 8).Draw(t, "lanes") {
			l := fmt.Sprintf("l%d", i)
			for _, g := range rapid.SliceOfNDistinct(rapid.IntRange(0, 3), 0, 3, rapid.ID).Draw(t, "gates") {
				name := fmt.Sprintf("g%d", g)
				specs[l] = append(specs[l], GateSpec{Name: name, Slots: limits[name]})
			}
		}
		used := map[string]int{}
		var held []Pass
		waited := map[string]map[string]int{} // turns of others since a lane could have had its own
		room := func(l string) bool {
			for _, s := range specs[l] {
				if used[s.Name] >= s.Slots {
					return false
				}
			}
			return true
		}
		names := rapid.Permutation([]string{"l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7"}).Draw(t, "names")
		for range rapid.IntRange(1, 300).Draw(t, "moves") {
			switch rapid.IntRange(0, 2).Draw(t, "move") {
			case 0:
				l := rapid.SampledFrom(names).Draw(t, "lane")
				items[l] += rapid.IntRange(1, 3).Draw(t, "items")
				b.Offer(l, Begin, "", specs[l])
			case 1:
				l, pass, ok, _ := b.Next(now)
				if !ok {
					for l, n := range items {
						if n > 0 && room(l) {
							t.Fatalf("%s has %d items and room, and gets no turn", l, n)
						}
					}
					continue
				}
				if items[l] == 0 || !room(l) {
					t.Fatalf("%s has %d items; room: %v", l, items[l], room(l))
				}
				for other, n := range items {
					if other == l || n == 0 {
						continue
					}
					if waited[other] == nil {
						waited[other] = map[string]int{}
					}
					waited[other][l]++
					if slices.EqualFunc(specs[other], specs[l], func(x, y GateSpec) bool { return x.Name == y.Name }) && waited[other][l] > 1 {
						t.Fatalf("%s had %d turns while %s, which is alike, waited", l, waited[other][l], other)
					}
				}
				delete(waited, l)
				items[l]--
				for _, g := range pass.Slots {
					used[g]++
				}
				held = append(held, pass)
				if items[l] > 0 {
					b.Offer(l, Begin, "", specs[l])
				}
			case 2:
				if len(held) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "held")
				for _, g := range held[i].Slots {
					used[g]--
				}
				b.Undo(held[i])
				held = slices.Delete(held, i, i+1)
			}
			for g, n := range used {
				if b.Used(g) != n || n > limits[g] {
					t.Fatalf("%s: the board says %d, counting %d, the limit is %d", g, b.Used(g), n, limits[g])
				}
			}
		}
	})
}

// A throttle by key has a gate for each value; those that say nothing any more
// are forgotten, however many there were, and none before, unless it is stored.
func TestGatesThatSayNothingAreForgotten(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	specs := func(i int) []GateSpec {
		return []GateSpec{{Name: fmt.Sprintf("throttle/%d", i), Rate: Throttle(1, 10*time.Second, 0), Stays: true}, {Name: "fn", Slots: 5000}}
	}
	var held []Pass
	for i := range 1000 {
		lane := fmt.Sprint(i)
		b.Offer(lane, Begin, "", specs(i))
		_, pass, ok, _ := b.Next(noon)
		require.True(t, ok)
		held = append(held, pass)
		b.Withdraw(lane, "")
	}
	for _, p := range held {
		b.Undo(b.Began(p))
	}
	b.Offer("7", Begin, "", specs(7))
	_, _, ok, _ := b.Next(noon.Add(9 * time.Second))
	require.False(t, ok, "what it has admitted still counts")
	require.Len(t, b.gates, 1001)
	_, _, ok, _ = b.Next(noon.Add(10 * time.Second))
	require.True(t, ok)
	b.Withdraw("7", "")
	require.Len(t, b.gates, 2, "the one that has just admitted, and the function's slot")
	b.Next(noon.Add(time.Minute))
	require.Len(t, b.gates, 2, "its lease is out")
}

// What a board does not know of a gate is asked when a lane's turn comes, and no
// more of it is kept than the lanes and leases that there are need.
func TestGatesThatAreStored(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	stored := map[string]int{"run/a": 1}
	rates := map[string]time.Time{}
	var bad error
	b.Stored = func(gate string) (int, time.Time, error) { return stored[gate], rates[gate], bad }
	specs := func(key string) []GateSpec {
		return []GateSpec{
			{Name: "throttle/" + key, Rate: Throttle(1, time.Hour, 0), Stays: true, Keyed: true},
			{Name: "run/" + key, Slots: 2, Stays: true, Keyed: true},
		}
	}
	bad = errors.New("the disk")
	b.Offer("a", Begin, "", specs("a"))
	_, _, _, err := b.Next(noon)
	require.ErrorIs(t, err, bad)
	bad = nil
	_, pass, ok, err := b.Next(noon)
	require.NoError(t, err)
	require.True(t, ok, "one of two slots is free")
	require.Equal(t, 2, b.Used("run/a"))
	b.Withdraw("a", "")
	require.Len(t, b.gates, 2, "the lease holds them")
	rates["throttle/a"], stored["run/a"] = pass.Rates[0].Taken, 2
	b.Undo(b.Began(pass))
	b.Next(noon.Add(2 * time.Hour))
	require.Empty(t, b.gates, "all that it knows is stored")

	b.Offer("a", Begin, "", specs("a"))
	_, _, ok, _ = b.Next(noon.Add(2 * time.Hour))
	require.False(t, ok)
	require.Equal(t, "run/a", b.Holding("a"))
	stored["run/a"] = 1
	b.Free([]string{"run/a", "run/of nobody"})
	_, _, ok, _ = b.Next(noon.Add(2 * time.Hour))
	require.True(t, ok, "a run has ended")
	b.Withdraw("a", "")

	for i := range maxFading + 100 {
		key := fmt.Sprint(i)
		b.Offer(key, Begin, "", specs(key))
		_, pass, ok, _ := b.Next(noon.Add(3 * time.Hour))
		require.True(t, ok)
		rates["throttle/"+key] = pass.Rates[0].Taken
		b.Withdraw(key, "")
		b.Undo(b.Began(pass))
	}
	require.LessOrEqual(t, len(b.gates), maxFading+2)
	b.Offer("0", Begin, "", specs("0"))
	_, _, ok, _ = b.Next(noon.Add(3 * time.Hour))
	require.False(t, ok, "what was forgotten is asked for again")
	require.Equal(t, "throttle/0", b.Holding("0"))
}

// A gate that was read while something was written of it is read again.
func TestGateIsReadAgain(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	held := 1
	b.Stored = func(string) (int, time.Time, error) { return held, time.Time{}, nil }
	b.Offer("a", Begin, "", []GateSpec{{Name: "run/a", Slots: 1, Stays: true}})
	_, _, ok, _ := b.Next(noon)
	require.False(t, ok)
	held = 0
	b.Refresh("run/a")
	b.Refresh("run/of nobody")
	_, _, ok, _ = b.Next(noon)
	require.True(t, ok)
}

func TestStuckGroups(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	own := func(key string) []GateSpec {
		return []GateSpec{{Name: "fn", Slots: 2}, {Name: "own/" + key, Slots: 1, Keyed: true}}
	}
	next := func() Pass {
		_, pass, ok, _ := b.Next(noon)
		require.True(t, ok)
		return pass
	}
	none := func() {
		_, _, ok, _ := b.Next(noon)
		require.False(t, ok)
	}
	require.True(t, b.Stuck("f/"), "there is nobody")
	b.Offer("f/1", Begin, "f/", own("1"))
	require.False(t, b.Stuck("f/"), "its turn comes")
	first := next()
	b.Offer("f/1", Begin, "f/", own("1"))
	none()
	require.True(t, b.Stuck("f/"), "it waits at the gate of its key")
	b.Offer("f/2", Begin, "f/", own("2"))
	second := next()
	b.Offer("f/2", Begin, "f/", own("2"))
	none()
	require.False(t, b.Stuck("f/"), "both wait at a gate that all pass")
	b.Undo(second)
	require.False(t, b.Stuck("f/"))
	b.Withdraw("f/2", "f/")
	none()
	require.True(t, b.Stuck("f/"))
	b.Undo(first)
	require.False(t, b.Stuck("f/"))

	b.Offer("g/1", Begin, "g/", []GateSpec{{Name: "own", Rate: Rate{Every: time.Hour}, Keyed: true}})
	next()
	next()
	b.Offer("g/1", Begin, "g/", nil)
	none()
	require.True(t, b.Stuck("g/"), "it waits for the rate of its key")
	require.Equal(t, noon.Add(time.Hour), b.Withdraw("g/1", "g/"))
	require.True(t, b.Stuck("g/"))
	require.Zero(t, b.Withdraw("f/1", "f/"))
	require.Empty(t, b.groups)
}

package heap

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type item struct {
	rank, at int
}

type byRank struct{}

func (byRank) Before(a, b *item) bool { return a.rank < b.rank }
func (byRank) Moved(x *item, to int)  { x.at = to }

// TestHeap does what comes to it, and compares with a list.
func TestHeap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var h Heap[*item, byRank]
		var list []*item // what is in the heap
		rank := rapid.IntRange(0, 20)
		some := func() *item { return list[rapid.IntRange(0, len(list)-1).Draw(t, "which")] }
		gone := func(x *item) {
			require.Equal(t, -1, x.at, "it is told that it is out")
			list = slices.DeleteFunc(list, func(y *item) bool { return x == y })
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				x := &item{rank: rank.Draw(t, "rank")}
				h.Push(x)
				list = append(list, x)
			},
			"pop": func(t *rapid.T) {
				if len(list) == 0 {
					t.Skip()
				}
				first := h.First()
				x := h.Pop()
				require.Same(t, first, x)
				for _, y := range list {
					require.LessOrEqual(t, x.rank, y.rank)
				}
				gone(x)
			},
			"remove": func(t *rapid.T) {
				if len(list) == 0 {
					t.Skip()
				}
				x := some()
				require.Same(t, x, h.Remove(x.at))
				gone(x)
			},
			"fix": func(t *rapid.T) {
				if len(list) == 0 {
					t.Skip()
				}
				x := some()
				x.rank = rank.Draw(t, "rank")
				h.Fix(x.at)
			},
			"cut": func(t *rapid.T) {
				n := rapid.IntRange(0, 30).Draw(t, "n")
				// By another order than the heap's: those that come last stay.
				rest := h.Cut(n, func(a, b *item) int { return cmp.Compare(b.rank, a.rank) })
				require.Len(t, rest, max(len(list)-n, 0))
				for _, x := range rest {
					gone(x)
				}
				for _, x := range list {
					for _, y := range rest {
						require.GreaterOrEqual(t, x.rank, y.rank)
					}
				}
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(list), h.Len())
				require.ElementsMatch(t, list, h.All())
				for i, x := range h.All() {
					require.Equal(t, i, x.at, "it knows its place")
					require.False(t, i > 0 && x.rank < h.All()[(i-1)/2].rank, "what comes first is in front")
				}
			},
		})
	})
}

func BenchmarkHeap(b *testing.B) {
	var h Heap[*item, byRank]
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		h.Push(&item{rank: rnd.Int()})
	}
	b.ReportAllocs()
	for b.Loop() {
		x := h.Pop()
		x.rank = rnd.Int()
		h.Push(x)
	}
}

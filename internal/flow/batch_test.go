package flow

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestBatchesHold says of random arrivals what must hold of the batches.
func TestBatchesHold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := Batch{
			Size:    rapid.IntRange(2, 6).Draw(t, "size"),
			Timeout: time.Duration(rapid.IntRange(1, 5).Draw(t, "timeout")) * time.Second,
			Bytes:   rapid.IntRange(10, 60).Draw(t, "bytes"),
		}
		type batch struct {
			sizes []int
			first time.Time
			due   time.Time
		}
		var all []batch
		var g Gathered
		now := noon
		n := rapid.IntRange(1, 60).Draw(t, "events")
		for range n {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "pause")) * time.Millisecond)
			bytes := rapid.IntRange(1, 20).Draw(t, "of")
			next, opens := b.Add(g, bytes, now)
			if opens {
				if len(all) > 0 {
					last := all[len(all)-1]
					sum := 0
					for _, s := range last.sizes {
						sum += s
					}
					require.True(t, !last.due.After(now) || sum+bytes > b.Bytes, "no batch is closed too early")
				}
				all = append(all, batch{first: now})
			}
			last := &all[len(all)-1]
			require.False(t, !opens && !last.due.After(now), "nothing is put into a batch that is closed")
			last.sizes, last.due = append(last.sizes, bytes), next.Due
			g = next
			if g.Due.Equal(now) && rapid.Bool().Draw(t, "rounded up") { // as a store may
				g.Due = now.Add(time.Microsecond)
			}
		}
		total := 0
		for _, x := range all {
			sum := 0
			for _, s := range x.sizes {
				sum += s
			}
			total += len(x.sizes)
			require.LessOrEqual(t, len(x.sizes), b.Size)
			require.True(t, sum <= b.Bytes || len(x.sizes) == 1)
			require.False(t, x.due.After(x.first.Add(b.Timeout)))
			if len(x.sizes) < b.Size && sum < b.Bytes {
				require.Equal(t, x.first.Add(b.Timeout), x.due)
			}
		}
		require.Equal(t, n, total, "each is in one batch")
	})
}

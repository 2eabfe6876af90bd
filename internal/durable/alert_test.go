package durable

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A group is told of when it is new, and each time it has grown tenfold.
func TestGroupAlert(t *testing.T) {
	t.Parallel()
	var told []int
	for open := 1; open <= 100_000; open++ {
		if a, ok := GroupAlert(DeadLetter{Function: "shop-ship", Title: "Error: no", Fingerprint: "f1"}, open); ok {
			told = append(told, open)
			require.Equal(t, open, a.Count)
			require.Contains(t, a.Text, "shop-ship")
		}
	}
	require.Equal(t, []int{1, 10, 100, 1000, 10_000, 100_000}, told)
}

package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/store"
)

func TestTrend(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 15, 30, 0, 0, time.UTC)
	at := func(ago time.Duration, n int) store.TrendPoint {
		return store.TrendPoint{Hour: now.Add(-ago).Truncate(time.Hour), Letters: n}
	}
	v := viewTrend([]store.TrendPoint{at(40*24*time.Hour, 9), at(29*24*time.Hour, 8), at(50*time.Hour, 7), at(16*time.Hour, 4), at(time.Hour, 3), at(0, 2)}, now)
	require.Len(t, v.Hours, 48)
	require.Equal(t, []int{3, 2}, v.Hours[46:])
	require.Equal(t, 4, v.Hours[47-16])
	require.Len(t, v.Days, 30)
	require.Equal(t, []int{7, 4, 5}, v.Days[27:], "16 hours ago was yesterday")
	require.Equal(t, 8, v.Days[0], "what is older is not shown")
}

func TestTrendOfAGroup(t *testing.T) {
	t.Parallel()
	f, _ := newMendable(t)
	f.ended(`{"name":"order/paid"}`)
	f.ended(`{"name":"order/paid"}`)
	groups := data[[]groupTrendView](t, f.get("/v1/dead-letters/groups"))
	sum := func(list []int) (n int) {
		for _, v := range list {
			n += v
		}
		return n
	}
	require.Equal(t, 2, sum(groups[0].Trend.Hours))
	one := data[groupTrendView](t, f.get("/v1/dead-letters/groups/"+groups[0].Fingerprint))
	require.Equal(t, 2, sum(one.Trend.Days))
	require.Equal(t, 2, one.Open)
	require.Contains(t, wantRefusal(t, f.get("/v1/dead-letters/groups/none"), http.StatusNotFound), "none")
}

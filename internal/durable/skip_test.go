package durable_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

func TestSkipSaysWhy(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	last := first.Add(2 * time.Minute)
	for _, tt := range []struct {
		skip durable.Skip
		says string
	}{
		{durable.Skip{Reason: durable.SkipOverlap, Run: "r", From: first, To: first, Ticks: 1}, "run r of an earlier tick was in progress at the tick of 2026-01-01T12:00:00Z"},
		{durable.Skip{Reason: durable.SkipOverlap, Run: "r", From: first, To: last, Ticks: 3}, "run r of an earlier tick was in progress at 3 ticks from 2026-01-01T12:00:00Z to 2026-01-01T12:02:00Z"},
		{durable.Skip{Reason: durable.SkipMissed, From: first, To: last, Ticks: 3}, "it stands for 3 ticks from 2026-01-01T12:00:00Z to 2026-01-01T12:02:00Z, missed while nobody was there to run them"},
		{durable.Skip{Reason: durable.SkipMissed, From: first, To: last, Ticks: 3, More: true}, "it stands for more than 3 ticks from 2026-01-01T12:00:00Z to 2026-01-01T12:02:00Z, missed while nobody was there to run them"},
		{durable.Skip{Reason: durable.SkipPaused}, "shop-f was paused, and refused what would start"},
		{durable.Skip{Reason: durable.SkipSingleton, Run: "r"}, "run r of shop-f was in progress, and one at a time runs for its singleton key"},
	} {
		r := durable.Run{Function: "shop-f", Head: tt.skip.Head(last)}
		require.Equal(t, tt.says, r.Skip())
	}
	require.JSONEq(t, `{"reason":"Paused"}`, string(durable.Skip{Reason: durable.SkipPaused}.Head(last).Output), "what is not told is not there")
}

package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var madeTests = []test{
	{"keeps schedules that people made, with their items", func(d *db) {
		item := func(id string) durable.Item {
			return durable.Item{Run: "cron/shop-ship", Step: "api " + id, Kind: durable.Tick, Due: noon, Data: durable.JSON(`{"n":1}`)}
		}
		a := durable.Schedule{ID: "a", Function: "shop-ship", Cron: "* * * * *", Created: noon}
		b := durable.Schedule{
			ID: "b", Function: "shop-ship", Cron: "0 * * * *", Jitter: 90 * time.Second, Missed: `{"all":3}`, Overlap: "skip",
			Data: durable.JSON(`{"n":1.0}`), Created: noon,
		}
		require.NoError(d, d.AddSchedule(d.Context(), b, item("b"), did(noon)))
		require.NoError(d, d.AddSchedule(d.Context(), a, item("a"), did(noon)))
		require.ErrorIs(d, d.AddSchedule(d.Context(), durable.Schedule{ID: "a", Cron: "other"}, item("other"), did(noon)), store.ErrExists)
		for range 2 {
			list, err := d.LoadSchedules(d.Context())
			require.NoError(d, err)
			same(d, []durable.Schedule{a, b}, list)
			d.reopen()
		}
		require.ErrorIs(d, d.RemoveSchedule(d.Context(), "c", nil, did(noon)), store.ErrNotFound)
		require.NoError(d, d.RemoveSchedule(d.Context(), "a", []durable.Ref{{Run: "cron/shop-ship", Step: "api a"}, {Run: "cron/shop-ship", Step: "held api a"}}, did(noon)))
		list, err := d.LoadSchedules(d.Context())
		require.NoError(d, err)
		same(d, []durable.Schedule{b}, list)
		leases, err := d.Claim(d.Context(), noon, time.Minute, 10)
		require.NoError(d, err)
		require.Len(d, leases, 1, "what was refused has no item, and what was removed lost its own")
		require.Equal(d, "api b", leases[0].Step)
	}},
}

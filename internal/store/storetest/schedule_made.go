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
		require.NoError(d, d.AddSchedule(d.Context(), b, item("b"), nil, did(noon)))
		require.NoError(d, d.AddSchedule(d.Context(), a, item("a"), nil, did(noon)))
		require.ErrorIs(d, d.AddSchedule(d.Context(), durable.Schedule{ID: "a", Cron: "other"}, item("other"), nil, did(noon)), store.ErrExists)
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
	{"makes a schedule once for a key", func(d *db) {
		item := durable.Item{Run: "cron/shop-ship", Step: "api a", Kind: durable.Tick, Due: noon}
		a := durable.Schedule{ID: "a", Function: "shop-ship", Cron: "* * * * *", Created: noon}
		key := func(reply, print string) *store.Once {
			return &store.Once{Scope: "schedules", Key: "k", Reply: durable.JSON(reply), Fingerprint: print, Life: time.Hour}
		}
		require.NoError(d, d.AddSchedule(d.Context(), a, item, nil, did(noon)))
		require.ErrorIs(d, d.AddSchedule(d.Context(), a, item, key("a", "1"), did(noon)), store.ErrExists)
		b := a
		b.ID, item.Step = "b", "api b"
		require.NoError(d, d.AddSchedule(d.Context(), b, item, key("b", "2"), did(noon)), "what was refused took no key")
		var again *store.RepeatedError
		c := a
		c.ID, item.Step = "c", "api c"
		require.ErrorAs(d, d.AddSchedule(d.Context(), c, item, key("c", "2"), did(noon)), &again)
		require.Equal(d, "b", string(again.Entry.Reply))
		var other *store.KeyConflictError
		require.ErrorAs(d, d.AddSchedule(d.Context(), c, item, key("c", "3"), did(noon)), &other)
		list, err := d.LoadSchedules(d.Context())
		require.NoError(d, err)
		same(d, []durable.Schedule{a, b}, list)
		leases, err := d.Claim(d.Context(), noon, time.Minute, 10)
		require.NoError(d, err)
		require.Len(d, leases, 2)
	}},
}

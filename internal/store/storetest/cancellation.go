package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var cancellationTests = []test{
	{"keeps cancellations and queues their items", func(d *db) {
		var all []durable.Cancellation
		for i := range 3 {
			c := durable.Cancellation{
				ID: newID(), Function: "shop-ship", App: "shop", Before: noon.Add(time.Duration(i) * time.Second), If: "event.data.n == 1", Created: noon,
			}
			if i > 0 {
				c.After = noon.Add(-time.Hour)
			}
			item := durable.Item{Run: c.ID, Step: durable.SweepStep, Kind: durable.Sweep, Due: noon, Data: durable.JSON(`{"n":1}`)}
			require.NoError(d, d.AddCancellation(d.Context(), c, item, nil, did(noon)))
			all = append([]durable.Cancellation{c}, all...)
		}
		_, err := d.Cancellation(d.Context(), newID())
		require.ErrorIs(d, err, store.ErrNotFound)
		require.ErrorIs(d, d.RemoveCancellation(d.Context(), newID(), did(noon)), store.ErrNotFound)
		for range 2 {
			list, err := d.Cancellations(d.Context(), store.Page{Limit: 10})
			require.NoError(d, err)
			same(d, all, list)
			list, err = d.Cancellations(d.Context(), store.Page{Limit: 1, Cursor: all[0].ID})
			require.NoError(d, err)
			same(d, all[1:2], list)
			one, err := d.Cancellation(d.Context(), all[2].ID)
			require.NoError(d, err)
			same(d, all[2], one)
			d.reopen()
		}
		require.NoError(d, d.RemoveCancellation(d.Context(), all[0].ID, did(noon)))
		require.ErrorIs(d, d.RemoveCancellation(d.Context(), all[0].ID, did(noon)), store.ErrNotFound)
		leases, err := d.Claim(d.Context(), noon, time.Minute, 10)
		require.NoError(d, err)
		require.ElementsMatch(d, []string{all[1].ID, all[2].ID}, leasedRuns(leases), "its item has gone with it")
		require.NoError(d, d.RemoveCancellation(d.Context(), all[1].ID, did(noon)), "while its item is worked")
		for _, l := range leases {
			err := d.Settle(d.Context(), l, noon, store.Settled{})
			if l.Run == all[1].ID {
				require.ErrorIs(d, err, store.ErrLeaseLost)
			} else {
				require.NoError(d, err)
			}
		}
	}},
	{"makes a cancellation once for a key", func(d *db) {
		var ids []string
		for i := range 2 {
			c := durable.Cancellation{ID: newID(), Function: "shop-ship", App: "shop", Before: noon, Created: noon}
			ids = append(ids, c.ID)
			item := durable.Item{Run: c.ID, Step: durable.SweepStep, Kind: durable.Sweep, Due: noon}
			key := &store.Once{Scope: "cancellations", Key: "k", Reply: durable.JSON(c.ID), Life: time.Hour}
			err := d.AddCancellation(d.Context(), c, item, key, did(noon))
			if i == 0 {
				require.NoError(d, err)
				continue
			}
			var again *store.RepeatedError
			require.ErrorAs(d, err, &again)
			require.Equal(d, ids[0], string(again.Entry.Reply))
		}
		list, err := d.Cancellations(d.Context(), store.Page{Limit: 10})
		require.NoError(d, err)
		require.Len(d, list, 1)
		leases, err := d.Claim(d.Context(), noon, time.Minute, 10)
		require.NoError(d, err)
		require.Equal(d, ids[:1], leasedRuns(leases))
	}},
}

package storetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// raised is an alert that came at a time.
func raised(key string, at time.Time) durable.Alert {
	return durable.Alert{Key: key, Kind: durable.AlertCircuit, Object: "shop", Text: "it is down", Count: 3, First: at, Last: at}
}

// untold are the keys of what is to be told at now, and how often it came.
func (d *db) untold(now time.Time) (keys []string, u store.Untold) {
	d.Helper()
	u, err := d.Untold(d.Context(), now, 3)
	require.NoError(d, err)
	for _, a := range u.Alerts {
		keys = append(keys, fmt.Sprintf("%s×%d", a.Key, a.Times))
	}
	return keys, u
}

// claimTell leases the item that tells, which must be due at now and not before.
func (d *db) claimTell(now time.Time) store.Lease {
	d.Helper()
	require.Empty(d, d.claim(now.Add(-time.Microsecond), 10))
	l := d.claimOne(now)
	require.Equal(d, durable.Tell, l.Kind)
	require.Equal(d, durable.TellStep, l.Step)
	return l
}

var alertTests = []test{
	{"gathers alerts, tells them, and rests", func(d *db) {
		at := func(dur time.Duration) time.Time { return noon.Add(dur) }
		raise := func(key string, now time.Time) {
			d.Helper()
			require.NoError(d, d.Raise(d.Context(), raised(key, now)))
		}
		raise("a", noon)
		raise("a", at(time.Second))
		raise("b", at(2*time.Second))
		d.reopen()
		now := noon.Add(durable.AlertGather)
		l := d.claimTell(now)
		keys, u := d.untold(now)
		require.Equal(d, []string{"a×2", "b×1"}, keys)
		same(d, durable.Alert{
			Key: "a", Kind: durable.AlertCircuit, Object: "shop", Text: "it is down", Count: 3, Times: 2, First: noon, Last: at(time.Second),
		}, u.Alerts[0])
		raise("c", now) // while they are told
		require.NoError(d, d.Told(d.Context(), l, now, u))
		require.ErrorIs(d, d.Told(d.Context(), l, now, u), store.ErrLeaseLost)

		now = now.Add(durable.AlertGather)
		l = d.claimTell(now)
		keys, u = d.untold(now)
		require.Equal(d, []string{"c×1"}, keys)
		require.NoError(d, d.Told(d.Context(), l, now, u))
		require.Empty(d, d.claim(now.Add(100*time.Hour), 10), "there is nothing to tell")

		first := noon.Add(durable.AlertGather)
		raise("a", now.Add(time.Minute))
		raise("a", now.Add(2*time.Minute))
		d.reopen()
		keys, _ = d.untold(now.Add(3 * time.Minute))
		require.Empty(d, keys, "it was told not long ago")
		l = d.claimTell(first.Add(durable.AlertRest))
		keys, u = d.untold(first.Add(durable.AlertRest))
		require.Equal(d, []string{"a×2"}, keys)
		require.NoError(d, d.Told(d.Context(), l, first.Add(durable.AlertRest), u))
	}},
	{"says how many there are beside those that find room", func(d *db) {
		for i := range 10 {
			require.NoError(d, d.Raise(d.Context(), raised(fmt.Sprint(i), noon)))
		}
		now := noon.Add(durable.AlertGather)
		l := d.claimTell(now)
		keys, u := d.untold(now)
		require.Equal(d, []string{"0×1", "1×1", "2×1"}, keys)
		require.Equal(d, 7, u.More)
		require.NoError(d, d.Told(d.Context(), l, now, u))
		keys, u = d.untold(now.Add(time.Hour))
		require.Empty(d, keys)
		require.Zero(d, u.More)
	}},
	{"alerts of dead letters that are watched", func(d *db) {
		fail := func(n int, title string, at time.Time) {
			d.Helper()
			for range n {
				d.fail("shop-ship", durable.ClassError, title, at)
			}
		}
		fail(3, "unwatched", noon)
		require.Empty(d, d.claim(noon.AddDate(1, 0, 0), 10))
		d.Watch(durable.Watch{On: true, Failures: 15})
		fail(12, "no", noon)
		keys, u := d.untold(noon.Add(time.Hour))
		require.Len(d, keys, 2)
		require.Equal(d, 1, u.Alerts[0].Count)
		require.Equal(d, 10, u.Alerts[1].Count)
		require.Equal(d, u.Alerts[0].Object, u.Alerts[1].Object)
		fail(3, "other", noon)
		keys, u = d.untold(noon.Add(time.Hour))
		require.Len(d, keys, 3, "another group")
		fail(4, "other", noon)
		_, err := d.DeadGroup(d.Context(), u.Alerts[2].Object)
		require.NoError(d, err)
		u, err = d.Untold(d.Context(), noon.Add(time.Hour), 10)
		require.NoError(d, err)
		require.Len(d, u.Alerts, 4)
		require.Equal(d, durable.AlertFailures, u.Alerts[3].Kind)
		require.Equal(d, "shop-ship", u.Alerts[3].Object)
		require.Equal(d, 4, u.Alerts[3].Times)
	}},
	{"looks for what is old", func(d *db) {
		d.Watch(durable.Watch{Age: 24 * time.Hour})
		first, second := d.fail("shop-ship", durable.ClassError, "no", noon), d.fail("shop-ship", durable.ClassError, "no", noon.Add(time.Hour))
		look := func(now time.Time) {
			d.Helper()
			require.Empty(d, d.claim(now.Add(-time.Microsecond), 10))
			l := d.claimOne(now)
			require.Equal(d, durable.AgingStep, l.Step)
			require.NoError(d, d.LookForOld(d.Context(), l, now))
			require.ErrorIs(d, d.LookForOld(d.Context(), l, now), store.ErrLeaseLost)
		}
		require.NoError(d, d.Discard(d.Context(), first.Run, "no", did(noon)))
		look(noon.Add(24 * time.Hour))
		keys, _ := d.untold(noon.Add(48 * time.Hour))
		require.Empty(d, keys, "somebody looked at it")
		d.reopen()
		d.Watch(durable.Watch{Age: 24 * time.Hour})
		now := noon.Add(25 * time.Hour)
		look(now)
		keys, u := d.untold(now.Add(time.Hour))
		require.Equal(d, []string{"old×1"}, keys)
		require.Equal(d, second.Run, u.Alerts[0].Run)
		require.NoError(d, d.Told(d.Context(), d.claimTell(now.Add(durable.AlertGather)), now.Add(durable.AlertGather), u))
		require.NoError(d, d.Discard(d.Context(), second.Run, "no", did(noon)))
		look(now.Add(durable.AlertAgain))
		require.Empty(d, d.claim(noon.AddDate(1, 0, 0), 10), "nothing is open")
	}},
}

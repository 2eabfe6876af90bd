package storetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var acceptTests = []test{
	{"writes events with their runs", func(d *db) {
		e := event("order/placed")
		e.Key = "order-7"
		ship, bill := start("shop-ship", e, noon), start("shop-bill", e, noon.Add(time.Hour))
		want := map[string]*durable.Run{ship.ID: snapshot(ship), bill.ID: snapshot(bill)}
		require.ElementsMatch(d, []string{ship.ID, bill.ID}, d.accept(store.Accepted{Event: e, Starts: starts(ship, bill)}))

		got, err := d.Event(d.Context(), e.ID)
		require.NoError(d, err)
		same(d, e, got)
		for id, r := range want {
			same(d, r, d.view(id))
			items, err := d.Items(d.Context(), id)
			require.NoError(d, err)
			same(d, []durable.Item{*r.Items[durable.Discovery]}, items)
			read, err := d.Run(d.Context(), id)
			require.NoError(d, err)
			same(d, r.Head, read.Head)
			same(d, r.Events, read.Events)
		}
		require.Equal(d, ship.ID, d.claimOne(noon).Run, "the one that is due")
	}},
	{"writes an event that starts nothing", func(d *db) {
		e := event("nobody/cares")
		require.Empty(d, d.accept(store.Accepted{Event: e}))
		got, err := d.Event(d.Context(), e.ID)
		require.NoError(d, err)
		same(d, e, got)
	}},
	{"takes an empty batch", func(d *db) {
		require.Empty(d, d.accept())
	}},
	{"skips an event id that is known, with its starts", func(d *db) {
		first := accepted(noon)
		again := store.Accepted{Event: first.Event, Starts: starts(start("shop-ship", first.Event, noon))}
		twin := store.Accepted{Event: first.Event, Starts: starts(start("shop-bill", first.Event, noon))}
		id := first.Starts[0].Run.ID
		require.Equal(d, []string{id}, d.accept(first, twin), "in one batch")
		again.Event.Name = "changed"
		require.Empty(d, d.accept(again), "in another batch")
		d.reopen()
		again.Starts = starts(start("shop-ship", first.Event, noon))
		require.Empty(d, d.accept(again), "after a restart")

		got, err := d.Event(d.Context(), first.Event.ID)
		require.NoError(d, err)
		require.Equal(d, "order/placed", got.Name, "the first one stays")
		runs, err := d.Runs(d.Context(), store.RunFilter{Event: first.Event.ID}, store.Page{Limit: 10})
		require.NoError(d, err)
		require.Equal(d, []string{id}, runIDs(runs))
		require.Equal(d, id, d.claimOne(noon.Add(time.Hour)).Run, "queued once")
	}},
	{"starts a function once for a key within a day", func(d *db) {
		send := func(now time.Time, key string, functions ...string) []string {
			e := event("order/placed")
			e.Key = key
			a := store.Accepted{Event: e}
			byID := map[string]string{}
			for _, f := range functions {
				r := start(f, e, now)
				byID[r.ID] = f
				a.Starts = append(a.Starts, starts(r)...)
			}
			started, err := d.Accept(d.Context(), now, []store.Accepted{a})
			require.NoError(d, err)
			_, err = d.Event(d.Context(), e.ID)
			require.NoError(d, err, "the event is kept, whatever it starts")
			fs := []string{}
			for _, id := range started {
				fs = append(fs, byID[id])
				delete(byID, id)
			}
			for id := range byID {
				_, err := d.Run(d.Context(), id)
				require.ErrorIs(d, err, store.ErrNotFound, "a run that did not start")
				items, err := d.Items(d.Context(), id)
				require.NoError(d, err)
				require.Empty(d, items)
			}
			return fs
		}
		require.Equal(d, []string{"a"}, send(noon, "k", "a"))
		require.Equal(d, []string{}, send(noon, "k", "a"), "at once")
		require.Equal(d, []string{"b"}, send(noon.Add(time.Hour), "k", "a", "b"), "another function starts")
		require.Equal(d, []string{"a"}, send(noon.Add(time.Hour), "other", "a"), "another key starts")
		require.Equal(d, []string{"a"}, send(noon.Add(time.Hour), "", "a"), "no key starts")
		require.Equal(d, []string{"a"}, send(noon.Add(time.Hour), "", "a"), "no key is no key")
		d.reopen()
		require.Equal(d, []string{}, send(noon.Add(store.KeyLife-time.Microsecond), "k", "a"), "to the end of the day")
		require.Equal(d, []string{"a"}, send(noon.Add(store.KeyLife), "k", "a", "b"), "a day after the first start, not after the last try")
		require.Equal(d, []string{}, send(noon.Add(store.KeyLife+time.Hour), "k", "a"), "the new run holds the key for a day")
		require.Equal(d, []string{"b"}, send(noon.Add(store.KeyLife+time.Hour), "k", "b"))
	}},
	{"takes the key of a start where the event has none", func(d *db) {
		send := func(own, key string, park *durable.StartPark) int {
			e := event("order/placed")
			a := store.Accepted{Event: e, Starts: starts(start("a", e, noon), start("b", e, noon))}
			a.Event.Key, a.Starts[0].Key, a.Starts[0].Park = own, key, park
			return len(d.accept(a))
		}
		require.Equal(d, 2, send("", "k", nil))
		require.Equal(d, 1, send("", "k", nil), "it is that of one function alone")
		d.reopen()
		require.Equal(d, 1, send("", "k", nil))
		require.Equal(d, 2, send("", "other", nil))
		require.Equal(d, 2, send("own", "k", nil), "the event's own comes first")
		batch := func() *durable.StartPark {
			return &durable.StartPark{Item: durable.Ref{Run: "batch/a", Step: "x"}, Batch: &durable.Batch{Size: 9, Timeout: time.Minute}}
		}
		require.Equal(d, 2, send("", "third", batch()))
		require.Equal(d, 1, send("", "third", batch()))
	}},
	{"keeps whether the request with an event had a key", func(d *db) {
		for _, keyed := range []bool{true, false} {
			a := accepted(noon)
			a.Event.Keyed = keyed
			d.accept(a)
			d.reopen()
			e, err := d.Event(d.Context(), a.Event.ID)
			require.NoError(d, err)
			require.Equal(d, keyed, e.Keyed)
		}
	}},
	{"sees a key that repeats within one batch", func(d *db) {
		a, b := accepted(noon), accepted(noon)
		a.Event.Key, b.Event.Key = "k", "k"
		require.Len(d, d.accept(a, b), 1)
	}},
	{"forgets old keys and keeps young ones", func(d *db) {
		keyed := func(now time.Time, key string) int {
			a := accepted(now)
			a.Event.Key = key
			started, err := d.Accept(d.Context(), now, []store.Accepted{a})
			require.NoError(d, err)
			return len(started)
		}
		for i := range 40 {
			now := noon.Add(time.Duration(i) * time.Hour)
			require.Equal(d, 1, keyed(now, now.String()))
			for back := 1; back < 24 && back <= i; back += 7 {
				require.Equal(d, 0, keyed(now, now.Add(-time.Duration(back)*time.Hour).String()), "%d h old", back)
			}
		}
	}},
	{"starts no more than a limit allows", func(d *db) {
		send := func(now time.Time, gate, key string, n int) (started int) {
			for range n {
				a := accepted(now)
				a.Event.Key = key
				a.Starts[0].Limit = &durable.StartLimit{Gate: gate, Every: time.Minute, Burst: 1}
				ids, err := d.Accept(d.Context(), now, []store.Accepted{a})
				require.NoError(d, err)
				_, err = d.Event(d.Context(), a.Event.ID)
				require.NoError(d, err, "the event is kept, whatever it starts")
				if len(ids) == 0 {
					_, err := d.Run(d.Context(), a.Starts[0].Run.ID)
					require.ErrorIs(d, err, store.ErrNotFound)
				}
				started += len(ids)
			}
			return started
		}
		require.Equal(d, 2, send(noon, "limit/f/a", "", 5))
		require.Equal(d, 2, send(noon, "limit/f/b", "", 5), "each gate has its own")
		d.reopen()
		require.Equal(d, 0, send(noon.Add(time.Minute-time.Microsecond), "limit/f/a", "", 2), "after a restart")
		require.Equal(d, 1, send(noon.Add(time.Minute), "limit/f/a", "k", 5), "a key starts once, and uses up one")
		require.Equal(d, 1, send(noon.Add(2*time.Minute), "limit/f/a", "", 5))
		require.Equal(d, 0, send(noon.Add(4*time.Minute), "limit/f/a", "k", 5))
		require.Equal(d, 2, send(noon.Add(4*time.Minute), "limit/f/a", "", 5), "a repetition has used up nothing")
		require.Equal(d, 0, send(noon.Add(-time.Hour), "limit/f/a", "", 2), "the clock was set back: as if all had been started now")
		require.Equal(d, 1, send(noon.Add(-time.Hour+time.Minute), "limit/f/a", "", 5))
		require.Equal(d, 2, send(noon.Add(-time.Hour+4*time.Minute), "limit/f/a", "", 5))
	}},
	{"takes no key for a run that is not started", func(d *db) {
		send := func(now time.Time, reply string, starting bool) ([]string, error) {
			a := accepted(now)
			a.Starts[0].Limit = &durable.StartLimit{Gate: "limit/f", Every: time.Minute}
			return d.AcceptOnce(d.Context(), now, []store.Accepted{a}, store.Once{Scope: "runs/f", Key: "k" + reply, Reply: durable.JSON(reply), Life: time.Hour, Starting: starting})
		}
		ids, err := send(noon, "first", true)
		require.NoError(d, err)
		require.Len(d, ids, 1)
		var again *store.RepeatedError
		_, err = send(noon, "first", true)
		require.ErrorAs(d, err, &again)
		for range 2 {
			ids, err = send(noon, "second", true)
			require.NoError(d, err)
			require.Empty(d, ids)
		}
		ids, err = send(noon.Add(time.Minute), "second", true)
		require.NoError(d, err)
		require.Len(d, ids, 1, "its key was free")
		ids, err = send(noon.Add(time.Minute), "third", false)
		require.NoError(d, err)
		require.Empty(d, ids)
		_, err = send(noon.Add(2*time.Minute), "third", false)
		require.ErrorAs(d, err, &again, "a key for the event is taken, whatever it starts")
	}},
	{"skips a run whose name another has", func(d *db) {
		single := func(name string, parent durable.Ref) durable.Start {
			e := event("order/placed")
			e.Target = &durable.Target{Parent: parent}
			s := starts(start("shop-ship", e, noon))[0]
			s.Single = name
			return s
		}
		send := func(s durable.Start) []string {
			return d.accept(store.Accepted{Event: s.Run.Events[0], Starts: []durable.Start{s}})
		}
		first, second := single("single/f/a", durable.Ref{}), single("single/f/a", durable.Ref{Run: "01PARENT", Step: "s"})
		_, _, err := d.Holder(d.Context(), "single/f/a", "")
		require.ErrorIs(d, err, store.ErrNotFound)
		require.Len(d, send(first), 1)
		require.Len(d, send(single("single/f/b", durable.Ref{})), 1, "another name")
		require.Empty(d, send(second))
		d.reopen()
		got, err := d.Run(d.Context(), second.Run.ID)
		require.NoError(d, err)
		require.Equal(d, durable.Skipped, got.Status)
		require.True(d, noon.Equal(got.Ended))
		require.Contains(d, got.Skip(), first.Run.ID)
		items, err := d.Items(d.Context(), second.Run.ID)
		require.NoError(d, err)
		require.Len(d, items, 1)
		require.Equal(d, durable.Report, items[0].Kind, "who waits for it is told")
		list, err := d.Runs(d.Context(), store.RunFilter{Statuses: []durable.Status{durable.Skipped}}, store.Page{Limit: 10})
		require.NoError(d, err)
		require.Equal(d, []string{second.Run.ID}, runIDs(list))

		holder, after, err := d.Holder(d.Context(), "single/f/a", second.Run.Events[0].ID)
		require.NoError(d, err)
		require.Equal(d, first.Run.ID, holder)
		require.False(d, after)
		require.ErrorAs(d, d.Rerun(d.Context(), noon, store.Rerun{Of: second.Run.ID, Start: single("single/f/a", durable.Ref{})}), new(*store.SingleError))
		d.change(first.Run.ID, durable.Change{Head: &durable.Head{Status: durable.Completed, Ended: noon}})
		third := single("single/f/a", durable.Ref{})
		require.Len(d, send(third), 1, "its end frees the name")
		_, after, err = d.Holder(d.Context(), "single/f/a", first.Run.Events[0].ID)
		require.NoError(d, err)
		require.True(d, after)
	}},
	{"is all or nothing", func(d *db) {
		taken := d.startAt(noon)
		good, bad := accepted(noon), accepted(noon)
		good.Event.Key = "k"
		bad.Starts[0].Run.ID = taken // no store can take this
		_, err := d.Accept(d.Context(), noon, []store.Accepted{good, bad})
		require.Error(d, err)
		for _, e := range []durable.Event{good.Event, bad.Event} {
			_, err := d.Event(d.Context(), e.ID)
			require.ErrorIs(d, err, store.ErrNotFound)
		}
		_, err = d.Run(d.Context(), good.Starts[0].Run.ID)
		require.ErrorIs(d, err, store.ErrNotFound)
		require.Equal(d, taken, d.claimOne(noon).Run, "nothing else is queued")

		id := good.Starts[0].Run.ID
		require.Equal(d, []string{id}, d.accept(store.Accepted{Event: good.Event, Starts: starts(start2(id, good.Event))}),
			"neither the event nor its key is taken")
	}},
	{"fails alone", func(d *db) {
		taken := d.startAt(noon)
		const n = 64
		errs := make([]error, n)
		batches := make([]store.Accepted, n)
		var wait sync.WaitGroup
		for i := range n {
			batches[i] = accepted(noon)
			if i%8 == 3 {
				batches[i].Starts[0].Run.ID = taken
			}
			wait.Go(func() { _, errs[i] = d.Accept(d.Context(), noon, []store.Accepted{batches[i]}) })
		}
		wait.Wait()
		for i, err := range errs {
			_, found := d.Event(d.Context(), batches[i].Event.ID)
			if i%8 == 3 {
				require.Error(d, err)
				require.ErrorIs(d, found, store.ErrNotFound)
				continue
			}
			require.NoError(d, err)
			require.NoError(d, found)
		}
		require.Len(d, d.claim(noon, n), n-n/8+1)
	}},
	{"takes one of many that race for an id or a key", func(d *db) {
		e := event("order/placed")
		var mu sync.Mutex
		var byID, byKey []string
		var wait sync.WaitGroup
		for range 32 {
			wait.Go(func() {
				same := store.Accepted{Event: e, Starts: starts(start("shop-ship", e, noon))}
				keyed := accepted(noon)
				keyed.Event.Key = "k"
				a, err := d.Accept(d.Context(), noon, []store.Accepted{same})
				b, err2 := d.Accept(d.Context(), noon, []store.Accepted{keyed})
				mu.Lock()
				defer mu.Unlock()
				byID, byKey = append(byID, a...), append(byKey, b...)
				if err != nil || err2 != nil {
					d.Errorf("accept: %v, %v", err, err2)
				}
			})
		}
		wait.Wait()
		require.Len(d, byID, 1)
		require.Len(d, byKey, 1)
		require.ElementsMatch(d, slices.Concat(byID, byKey), leasedRuns(d.claim(noon, 10)))
	}},
	{"saves nothing for a caller that has gone, or everything", func(d *db) {
		ctx, cancel := context.WithCancel(d.Context())
		cancel()
		for range 20 {
			a := accepted(noon)
			id := a.Starts[0].Run.ID
			_, err := d.Accept(ctx, noon, []store.Accepted{a})
			_, found := d.Event(d.Context(), a.Event.ID)
			_, ran := d.Run(d.Context(), id)
			require.Equal(d, err == nil, found == nil)
			require.Equal(d, err == nil, ran == nil)
		}
	}},
}

// start2 is a run of a given id.
func start2(id string, e durable.Event) *durable.Run {
	r := start("shop-ship", e, noon)
	r.ID, r.Items[durable.Discovery].Run = id, id
	return r
}

package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var timer = durable.Ref{Run: "debounce/shop-ship", Step: "k"}

// debounced is an event that waits ten seconds for others.
func debounced(at time.Time) store.Accepted {
	e := event("order/placed")
	e.At = at
	s := starts(start("shop-ship", e, noon))[0]
	s.Park = &durable.StartPark{Item: timer, Debounce: &durable.Debounce{Period: 10 * time.Second}}
	return store.Accepted{Event: e, Starts: []durable.Start{s}}
}

func (d *db) acceptAt(now time.Time, a store.Accepted) []string {
	d.Helper()
	ids, err := d.Accept(d.Context(), now, []store.Accepted{a})
	require.NoError(d, err)
	return ids
}

func (d *db) parked(item durable.Ref) (events []string) {
	d.Helper()
	list, err := d.Parked(d.Context(), item)
	require.NoError(d, err)
	for _, p := range list {
		events = append(events, p.Event)
	}
	return events
}

var parkedTests = []test{
	{"parks the last event of a debounce", func(d *db) {
		at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
		first, second, old := debounced(noon), debounced(at(1)), debounced(at(-5))
		target := &durable.Target{Function: "shop-ship", Parent: durable.Ref{Run: "01P", Step: "s"}, Depth: 2, Cron: "* * * * *"}
		second.Starts[0].Run.Events[0].Target = target
		require.Len(d, d.acceptAt(noon, first), 1)
		require.Equal(d, []string{first.Event.ID}, d.parked(timer))
		require.Len(d, d.acceptAt(at(4), second), 1)
		require.Empty(d, d.acceptAt(at(5), old), "it happened before")
		d.reopen()
		list, err := d.Parked(d.Context(), timer)
		require.NoError(d, err)
		require.Equal(d, []durable.Parked{{Event: second.Event.ID, Run: second.Starts[0].Run.ID, Target: target}}, list)
		for _, a := range []store.Accepted{first, second, old} {
			_, err := d.Run(d.Context(), a.Starts[0].Run.ID)
			require.ErrorIs(d, err, store.ErrNotFound)
			_, err = d.Event(d.Context(), a.Event.ID)
			require.NoError(d, err, "events are kept")
		}
		require.Empty(d, d.claim(at(14).Add(-time.Microsecond), 10))
		l := d.claimOne(at(14))
		require.Equal(d, durable.Fire, l.Kind)
		require.Equal(d, timer, durable.Ref{Run: l.Run, Step: l.Step})
		r := start("shop-ship", second.Event, at(14))
		require.NoError(d, d.Settle(d.Context(), l, at(14), store.Settled{Event: second.Event, Starts: starts(r)}))
		require.Empty(d, d.parked(timer))
		_, err = d.Run(d.Context(), r.ID)
		require.NoError(d, err)
	}},
	{"tells what an event waits for", func(d *db) {
		e := event("order/placed")
		box := durable.Ref{Run: "batch/shop-mail", Step: "k"}
		ship, mail := starts(start("shop-ship", e, noon))[0], starts(start("shop-mail", e, noon))[0]
		ship.Park = &durable.StartPark{Item: timer, Debounce: &durable.Debounce{Period: 10 * time.Second}}
		mail.Park = &durable.StartPark{Item: box, Batch: &durable.Batch{Size: 3, Timeout: time.Minute}}
		d.acceptAt(noon, store.Accepted{Event: e, Starts: []durable.Start{ship, mail}})
		batch, debounce := durable.ParkedFor{Item: box, Due: noon.Add(time.Minute)}, durable.ParkedFor{Item: timer, Due: noon.Add(10 * time.Second)}
		waits := func(event string) []durable.ParkedFor {
			list, err := d.ParkedFor(d.Context(), event)
			require.NoError(d, err)
			for i := range list {
				list[i].Due = list[i].Due.In(noon.Location())
			}
			return list
		}
		require.Equal(d, []durable.ParkedFor{batch, debounce}, waits(e.ID))
		next := debounced(noon.Add(time.Second))
		d.acceptAt(noon.Add(4*time.Second), next)
		require.Equal(d, []durable.ParkedFor{batch}, waits(e.ID), "another has taken its place")
		debounce.Due = noon.Add(14 * time.Second)
		require.Equal(d, []durable.ParkedFor{debounce}, waits(next.Event.ID))
		require.NoError(d, d.Settle(d.Context(), d.claimOne(noon.Add(14*time.Second)), noon.Add(14*time.Second), store.Settled{}))
		require.Empty(d, waits(next.Event.ID))
		require.Empty(d, waits("nobody"))
	}},
	{"opens a timer for an event that comes while another is about to start", func(d *db) {
		first, second := debounced(noon), debounced(noon)
		d.acceptAt(noon, first)
		l := d.claimOne(noon.Add(10 * time.Second))
		d.acceptAt(noon.Add(11*time.Second), second)
		require.ErrorIs(d, d.Settle(d.Context(), l, noon.Add(11*time.Second), store.Settled{}), store.ErrLeaseLost)
		require.Equal(d, []string{second.Event.ID}, d.parked(timer))
		again := d.claimOne(noon.Add(11 * time.Second))
		require.Equal(d, []string{first.Event.ID}, d.parked(durable.Ref{Run: again.Run, Step: again.Step}), "it starts by itself")
		require.NoError(d, d.Settle(d.Context(), again, noon, store.Settled{}))
		require.Equal(d, timer.Step, d.claimOne(noon.Add(21*time.Second)).Step)
	}},
	{"loses no event that comes as another starts", func(d *db) {
		now := noon
		for range 50 {
			first, second := debounced(now), debounced(now)
			d.acceptAt(now, first)
			now = now.Add(10 * time.Second)
			l := d.claimOne(now)
			var wait sync.WaitGroup
			wait.Go(func() { d.acceptAt(now, second) })
			err := d.Settle(d.Context(), l, now, store.Settled{})
			wait.Wait()
			require.Equal(d, []string{second.Event.ID}, d.parked(timer))
			if errors.Is(err, store.ErrLeaseLost) {
				again := d.claimOne(now)
				require.Equal(d, []string{first.Event.ID}, d.parked(durable.Ref{Run: again.Run, Step: again.Step}))
				err = d.Settle(d.Context(), again, now, store.Settled{})
			}
			require.NoError(d, err)
			now = now.Add(10 * time.Second)
			require.NoError(d, d.Settle(d.Context(), d.claimOne(now), now, store.Settled{}))
		}
	}},
	{"fills a batch and no more, whatever the time", func(d *db) {
		box := durable.Ref{Run: "batch/shop-ship", Step: "k"}
		now := noon.Add(time.Nanosecond) // less than what is stored of a time
		var all []store.Accepted
		for range 5 {
			s := starts(start("shop-ship", event("order/placed"), now))[0]
			s.Park = &durable.StartPark{Item: box, Batch: &durable.Batch{Size: 2, Timeout: time.Minute}}
			all = append(all, store.Accepted{Event: s.Run.Events[0], Starts: []durable.Start{s}})
		}
		ids, err := d.Accept(d.Context(), now, all[:4])
		require.NoError(d, err)
		first, second := all[0].Starts[0].Run.ID, all[2].Starts[0].Run.ID
		require.Equal(d, []string{first, first, second, second}, ids)
		require.Equal(d, []string{all[4].Starts[0].Run.ID}, d.acceptAt(now.Add(-time.Millisecond), all[4]), "one that came before, and was taken in after")
	}},
	{"gathers a batch and gives its run all events", func(d *db) {
		box := durable.Ref{Run: "batch/shop-ship", Step: "k"}
		batched := func(key string) store.Accepted {
			e := event("order/placed")
			e.Key = key
			s := starts(start("shop-ship", e, noon))[0]
			s.Park = &durable.StartPark{Item: box, Batch: &durable.Batch{Size: 3, Timeout: time.Minute}}
			return store.Accepted{Event: e, Starts: []durable.Start{s}}
		}
		all := []store.Accepted{batched(""), batched("a"), batched(""), batched("")}
		target := &durable.Target{Parent: durable.Ref{Run: "01P", Step: "s"}, Depth: 3}
		all[2].Starts[0].Run.Events[0].Target = target
		var ids []string
		for _, a := range all[:3] {
			require.Equal(d, []string{all[0].Starts[0].Run.ID}, d.acceptAt(noon, a), "the run that they will have")
			ids = append(ids, a.Event.ID)
		}
		require.Empty(d, d.acceptAt(noon, batched("a")), "a repetition")
		require.Equal(d, []string{all[3].Starts[0].Run.ID}, d.acceptAt(noon, all[3]), "the next batch")
		d.reopen()
		l := d.claimOne(noon)
		item := durable.Ref{Run: l.Run, Step: l.Step}
		require.Equal(d, ids, d.parked(item))
		r := start("shop-ship", all[0].Event, noon)
		r.Join(all[1].Event)
		third := all[2].Event
		third.Target = target
		r.Join(third)
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{Event: all[0].Event, Starts: starts(r)}))
		require.Empty(d, d.parked(item))
		require.Equal(d, []string{all[3].Event.ID}, d.parked(box))
		d.reopen()
		got, err := d.Run(d.Context(), r.ID)
		require.NoError(d, err)
		require.Len(d, got.Events, 3)
		for i, e := range got.Events {
			same(d, all[i].Event, e)
			list, err := d.Runs(d.Context(), store.RunFilter{Event: e.ID}, store.Page{Limit: 5})
			require.NoError(d, err)
			require.Equal(d, []string{r.ID}, runIDs(list))
			require.Equal(d, ids[1], list[0].Events[1].ID)
		}
		require.Equal(d, []durable.Ref{target.Parent}, got.Waiting())
		require.Equal(d, 3, got.Depth)
		view := d.view(r.ID)
		require.Equal(d, got.Joined, view.Joined)
		require.Len(d, view.Events, 3)
	}},
	{"keeps events that wait", func(d *db) {
		a := debounced(noon)
		d.acceptAt(noon, a)
		d.accept(store.Accepted{Event: event("newer")})
		later := noon.Add(48 * time.Hour)
		sweep := func() {
			_, err := d.Sweep(d.Context(), later, store.Retention{Events: time.Hour}, 100)
			require.NoError(d, err)
		}
		sweep()
		_, err := d.Event(d.Context(), a.Event.ID)
		require.NoError(d, err)
		require.NoError(d, d.Settle(d.Context(), d.claimOne(later), later, store.Settled{}))
		sweep()
		_, err = d.Event(d.Context(), a.Event.ID)
		require.ErrorIs(d, err, store.ErrNotFound)
	}},
}

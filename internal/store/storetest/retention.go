package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

const day = 24 * time.Hour

// sweep removes all that r does not keep at now, and returns what went.
func (d *db) sweep(now time.Time, r store.Retention) (total store.Swept) {
	d.Helper()
	for range 10_000 {
		s, err := d.Sweep(d.Context(), now, r, 100)
		require.NoError(d, err)
		total.Runs += s.Runs
		total.Events += s.Events
		if !s.More {
			return total
		}
	}
	d.Fatal("it never ends")
	return total
}

// over starts a run and ends it, n days after noon.
func (d *db) over(status durable.Status, n int) (run string, event durable.Event) {
	d.Helper()
	a := accepted(noon)
	at := noon.Add(time.Duration(n) * day)
	a.Event.Received = at
	ids, err := d.Accept(d.Context(), at, []store.Accepted{a})
	require.NoError(d, err)
	c := durable.Change{
		Entries: []durable.Entry{done("a"), done("b")},
		Head:    &durable.Head{Status: status, Started: at, Ended: at, Protocol: 2, Output: durable.JSON(`1`)},
	}
	if status == durable.Failed {
		c.Dead = &durable.DeadLetter{Run: ids[0], Function: "shop-ship", App: "shop", Class: durable.ClassError, Fingerprint: "f", Title: "t", Failed: at}
	}
	d.change(ids[0], c)
	return ids[0], a.Event
}

// wantGone checks that nothing is left of a run, or all of it.
func (d *db) wantGone(gone bool, run string, entries int) {
	d.Helper()
	journal, err := d.Journal(d.Context(), run, 0)
	require.NoError(d, err)
	_, err = d.Run(d.Context(), run)
	if gone {
		require.ErrorIs(d, err, store.ErrNotFound)
		require.Empty(d, journal)
		err = d.View(d.Context(), run, func(*durable.Run) error { return nil })
		require.ErrorIs(d, err, store.ErrNotFound)
		return
	}
	require.NoError(d, err)
	require.Len(d, journal, entries)
}

func (d *db) wantEventGone(gone bool, e durable.Event) {
	d.Helper()
	_, err := d.Event(d.Context(), e.ID)
	if gone {
		require.ErrorIs(d, err, store.ErrNotFound)
		return
	}
	require.NoError(d, err)
}

var retentionTests = []test{
	{"keeps runs by their status and age", func(d *db) {
		completed, _ := d.over(durable.Completed, 0)
		cancelled, _ := d.over(durable.Cancelled, 1)
		failed, _ := d.over(durable.Failed, 0)
		young, _ := d.over(durable.Completed, 5)
		waits := d.rest(forEvent("w", "paid"))
		now := noon.Add(8 * day)
		require.Zero(d, d.sweep(now, store.Retention{}), "0 is for ever")
		require.Zero(d, d.sweep(now, store.Retention{Runs: 30 * day, Failed: 30 * day}))
		require.Equal(d, store.Swept{Runs: 2}, d.sweep(now, store.Retention{Runs: 7 * day}))
		d.wantGone(true, completed, 0)
		d.wantGone(true, cancelled, 0)
		d.wantGone(false, failed, 2)
		d.wantGone(false, young, 2)
		d.wantGone(false, waits, 1)
		_, err := d.DeadLetter(d.Context(), failed)
		require.NoError(d, err)
		require.Equal(d, store.Swept{Runs: 1}, d.sweep(now, store.Retention{Failed: 7 * day}))
		d.wantGone(true, failed, 0)
		d.reopen()
		d.wantGone(true, completed, 0)
		d.wantGone(false, young, 2)
	}},
	{"takes a run's dead letter along", func(d *db) {
		old, _ := d.over(durable.Failed, 0)
		young, _ := d.over(durable.Failed, 5)
		require.Equal(d, store.Swept{Runs: 1}, d.sweep(noon.Add(8*day), store.Retention{Failed: 7 * day}))
		_, err := d.DeadLetter(d.Context(), old)
		require.ErrorIs(d, err, store.ErrNotFound)
		g, err := d.DeadGroup(d.Context(), "f")
		require.NoError(d, err)
		require.Equal(d, 1, g.Open)
		require.Equal(d, young, g.Newest)
		require.Equal(d, store.Swept{Runs: 1}, d.sweep(noon.Add(30*day), store.Retention{Failed: 7 * day}))
		_, err = d.DeadGroup(d.Context(), "f")
		require.ErrorIs(d, err, store.ErrNotFound)
	}},
	{"keeps an event as long as a run of it", func(d *db) {
		r := store.Retention{Runs: 20 * day, Events: 7 * day}
		run, e := d.over(durable.Completed, 0)
		other := start("shop-other", e, far)
		require.NoError(d, d.Start(d.Context(), noon, starts(other)))
		alone := d.send("nobody")
		d.over(durable.Completed, 100) // so that it is not the newest
		require.Equal(d, store.Swept{Events: 1}, d.sweep(noon.Add(8*day), r))
		d.wantEventGone(true, alone)
		d.wantEventGone(false, e)
		require.Equal(d, store.Swept{Runs: 1}, d.sweep(noon.Add(30*day), r))
		d.wantGone(true, run, 0)
		d.wantEventGone(false, e)
		d.change(other.ID, durable.Change{Head: &durable.Head{Status: durable.Cancelled, Ended: noon.Add(30 * day), Protocol: 2}})
		require.Equal(d, store.Swept{Runs: 1, Events: 1}, d.sweep(noon.Add(60*day), r), "the last one takes it along")
		d.wantEventGone(true, e)
	}},
	{"keeps events for longer than their runs", func(d *db) {
		_, e := d.over(durable.Completed, 0)
		d.over(durable.Completed, 100)
		require.Equal(d, store.Swept{Runs: 1}, d.sweep(noon.Add(8*day), store.Retention{Runs: 7 * day, Events: 30 * day}))
		d.wantEventGone(false, e)
		require.Equal(d, store.Swept{Events: 1}, d.sweep(noon.Add(31*day), store.Retention{Runs: 7 * day, Events: 30 * day}))
		d.wantEventGone(true, e)
	}},
	{"forgets no event when the settings change", func(d *db) {
		_, e := d.over(durable.Completed, 0)
		d.over(durable.Completed, 100)
		require.Zero(d, d.sweep(noon.Add(8*day), store.Retention{Runs: 20 * day, Events: 7 * day}))
		require.Equal(d, store.Swept{Runs: 1}, d.sweep(noon.Add(21*day), store.Retention{Runs: 20 * day, Events: 0}))
		d.wantEventGone(false, e)
		require.Equal(d, store.Swept{Events: 1}, d.sweep(noon.Add(31*day), store.Retention{Runs: 20 * day, Events: 30 * day}))
	}},
	{"keeps what is still needed", func(d *db) {
		parent := d.startAt(far)
		e := event("order/placed")
		e.Target = &durable.Target{Function: "shop-ship", Parent: durable.Ref{Run: parent, Step: "i"}}
		child := start("shop-ship", e, noon)
		d.accept(store.Accepted{Event: e, Starts: starts(child)})
		c := end(durable.Completed)
		c.Report = &durable.Item{Run: child.ID, Step: durable.ReportStep, Kind: durable.Report, Due: noon}
		d.change(child.ID, c)
		d.rest(forEvent("w", "paid"))
		paid := d.send("paid") // has yet to be handed on
		behind := d.send("nobody")
		d.send("newest")
		r := store.Retention{Runs: time.Hour, Events: time.Hour}
		require.Zero(d, d.sweep(noon.Add(day), r))
		d.wantGone(false, child.ID, 0)
		d.wantEventGone(false, paid)
		for _, l := range d.claim(noon, 10) {
			if l.Kind == durable.Report || l.Kind == durable.Deliver {
				require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}))
			}
		}
		require.Equal(d, store.Swept{Runs: 1, Events: 3}, d.sweep(noon.Add(day), r))
		d.wantGone(true, child.ID, 0)
		d.wantEventGone(true, paid)
		d.wantEventGone(true, behind)
	}},
	{"removes a little at a time", func(d *db) {
		for range 50 {
			d.over(durable.Completed, 0)
		}
		big := d.startAt(noon)
		var c durable.Change
		for i := range 120 {
			c.Entries = append(c.Entries, done(fmt.Sprint(i)))
		}
		d.change(big, c)
		d.change(big, end(durable.Completed))
		before := d.runs(store.RunFilter{}, store.Page{Limit: 100})
		r := store.Retention{Runs: time.Hour}
		var runs, sweeps, entries int
		for {
			s, err := d.Sweep(d.Context(), noon.Add(day), r, 10)
			require.NoError(d, err)
			require.LessOrEqual(d, s.Runs, 10)
			runs += s.Runs
			sweeps++
			journal, err := d.Journal(d.Context(), big, 0)
			require.NoError(d, err)
			if entries > 0 && len(journal) < entries {
				require.LessOrEqual(d, entries-len(journal), 10)
			}
			entries = len(journal)
			for i, e := range journal {
				require.Equal(d, fmt.Sprint(i), e.Step, "what is left is how it began")
			}
			if !s.More {
				break
			}
		}
		require.Equal(d, 51, runs)
		require.GreaterOrEqual(d, sweeps, 25)
		require.Len(d, before, 51)
		require.Empty(d, d.runs(store.RunFilter{}, store.Page{Limit: 100}))
	}},
	{"keeps the order of waits and events", func(d *db) {
		first := d.send("paid")
		run := d.rest(forEvent("w", "paid"))
		d.sweep(noon.Add(day), store.Retention{Events: time.Hour})
		d.reopen()
		d.sweep(noon.Add(day), store.Retention{Events: time.Hour})
		d.wantWaiting(first)
		d.wantWaiting(d.send("paid"), durable.Ref{Run: run, Step: "w"})
	}},
	{"knows a repeated event by its key though its run is gone", func(d *db) {
		a := accepted(noon)
		a.Event.Key = "mine"
		id := d.accept(a)[0]
		d.change(id, end(durable.Completed))
		require.Equal(d, store.Swept{Runs: 1}, d.sweep(noon.Add(2*time.Hour), store.Retention{Runs: time.Hour}))
		b := accepted(noon)
		b.Event.Key = "mine"
		require.Empty(d, d.accept(b))
	}},
	{"sweeps while others work", func(d *db) {
		var old []string
		for range 30 {
			id, _ := d.over(durable.Completed, 0)
			old = append(old, id)
		}
		made := make(chan string, 1000)
		go func() {
			defer close(made)
			for range 200 {
				ids, err := d.Accept(d.Context(), noon, []store.Accepted{accepted(noon)})
				if err != nil {
					d.Error(err)
					return
				}
				made <- ids[0]
			}
		}()
		gone := d.sweep(noon.Add(2*day), store.Retention{Runs: day})
		require.Equal(d, len(old), gone.Runs)
		for id := range made {
			d.wantGone(false, id, 0)
		}
		list := runIDs(d.runs(store.RunFilter{}, store.Page{Limit: 1000}))
		require.Len(d, list, 200)
		for _, id := range old {
			require.False(d, slices.Contains(list, id))
		}
	}},
}

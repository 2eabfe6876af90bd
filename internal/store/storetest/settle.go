package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// ticking is the item of a schedule.
func ticking(step string, due time.Time) durable.Item {
	return durable.Item{Run: "cron/shop-ship", Step: step, Kind: durable.Tick, Due: due, Data: durable.JSON(`{"tick":"` + step + `"}`)}
}

func ref(i durable.Item) durable.Ref { return durable.Ref{Run: i.Run, Step: i.Step} }

// tick returns the lease of an item that is no run's.
func (d *db) tick() store.Lease {
	d.Helper()
	item := ticking("* * * * *", noon)
	require.NoError(d, d.Schedule(d.Context(), []durable.Item{item}, nil))
	l := d.claimOne(noon)
	same(d, item, l.Item, unclaimed)
	return l
}

// wantTicks checks the items of the schedule that the tests use.
func (d *db) wantTicks(want ...durable.Item) {
	d.Helper()
	items, err := d.Items(d.Context(), "cron/shop-ship")
	require.NoError(d, err)
	same(d, want, items, unclaimed)
}

func isLost(err error) bool { return errors.Is(err, store.ErrLeaseLost) }

var settleTests = []test{
	{"writes all that follows from an item, and ends it", func(d *db) {
		known := event("order/placed")
		d.accept(store.Accepted{Event: known})
		child := start("shop-ship", known, noon.Add(time.Minute))
		sent := accepted(noon.Add(2 * time.Minute))
		beside := ticking("held", noon.Add(3*time.Minute))
		l := d.tick()
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{
			Event: known, Starts: starts(child), Accepted: []store.Accepted{sent}, Queue: []durable.Item{beside},
		}))
		check := func() {
			d.Helper()
			_, err := d.Event(d.Context(), sent.Event.ID)
			require.NoError(d, err)
			require.Equal(d, known.ID, d.view(child.ID).Events[0].ID)
			d.wantTicks(beside)
		}
		check()
		d.reopen()
		check()
		require.ElementsMatch(d, []string{child.ID, sent.Starts[0].Run.ID, beside.Run}, leasedRuns(d.claim(far, 10)))
	}},
	{"moves an item on", func(d *db) {
		l := d.tick()
		next := ticking(l.Step, noon.Add(time.Minute))
		next.Data, next.Attempt, next.Since = durable.JSON(`{"x":1}`), 3, noon
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{Next: &next}))
		d.wantTicks(next)
		d.wantNothingDue(noon.Add(time.Minute - time.Microsecond))
		again := d.claimOne(noon.Add(time.Minute))
		same(d, next, again.Item, unclaimed)
		require.Greater(d, again.Generation, l.Generation)
		held, err := d.Extend(d.Context(), l, noon, time.Minute)
		require.NoError(d, err)
		require.False(d, held, "the lease has ended")
		require.NoError(d, d.Settle(d.Context(), again, noon, store.Settled{}))
		d.wantTicks()
		d.reopen()
		d.wantNothingDue(far)
	}},
	{"queues in place of items of the same name", func(d *db) {
		other := ticking("other", far)
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{other}, nil))
		l := d.tick()
		other.Due, other.Data = noon, durable.JSON(`2`)
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{Queue: []durable.Item{other}}))
		d.wantTicks(other)
		same(d, other, d.claimOne(noon).Item, unclaimed)
	}},
	{"starts a function once for a key", func(d *db) {
		first := accepted(far)
		first.Event.Key = "k"
		d.accept(first)
		again := event("order/placed")
		again.Key = "k"
		d.accept(store.Accepted{Event: again})
		ship, bill := start("shop-ship", again, far), start("shop-bill", again, far)
		l := d.tick()
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{Event: again, Starts: starts(ship, bill)}))
		_, err := d.Run(d.Context(), ship.ID)
		require.ErrorIs(d, err, store.ErrNotFound)
		_, err = d.Run(d.Context(), bill.ID)
		require.NoError(d, err)
		d.wantTicks()
	}},
	{"registers the waits of the runs it starts", func(d *db) {
		e := d.send("order/placed")
		r := start("shop-ship", e, far)
		wait := durable.Wait{Run: r.ID, Step: durable.CancelStep(0), Kind: durable.ForCancel, Name: "a"}
		l := d.tick()
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{Event: e, Starts: []durable.Start{{Run: r, Waits: []durable.Wait{wait}}}}))
		d.wantWaiting(d.send("a"), durable.Ref{Run: r.ID, Step: wait.Step})
	}},
	{"saves nothing when the lease was lost", func(d *db) {
		known := event("order/placed")
		d.accept(store.Accepted{Event: known})
		l := d.tick()
		again := d.claimOne(noon.Add(time.Minute)) // it ran out
		settle := func(l store.Lease) (string, string, error) {
			r, sent, next := start("shop-ship", known, far), event("order/sent"), ticking(l.Step, far)
			err := d.Settle(d.Context(), l, noon, store.Settled{
				Event: known, Starts: starts(r), Accepted: []store.Accepted{{Event: sent}}, Queue: []durable.Item{ticking("held", far)}, Next: &next,
			})
			return r.ID, sent.ID, err
		}
		refused := func(l store.Lease) {
			d.Helper()
			run, sent, err := settle(l)
			require.ErrorIs(d, err, store.ErrLeaseLost)
			_, err = d.Run(d.Context(), run)
			require.ErrorIs(d, err, store.ErrNotFound)
			_, err = d.Event(d.Context(), sent)
			require.ErrorIs(d, err, store.ErrNotFound)
		}
		refused(l)
		d.wantTicks(l.Item)
		_, _, err := settle(again)
		require.NoError(d, err)
		refused(again)
		refused(l)
		d.reopen()
		refused(again)
		for _, i := range d.claim(far, 10) {
			require.NoError(d, d.Release(d.Context(), []store.Lease{i}))
			refused(i)
		}
	}},
	{"is all or nothing", func(d *db) {
		taken := d.startAt(far)
		l := d.tick()
		bad, good := accepted(far), accepted(far)
		bad.Starts[0].Run.ID = taken // no store can take this
		next := ticking(l.Step, far)
		require.Error(d, d.Settle(d.Context(), l, noon, store.Settled{Accepted: []store.Accepted{good, bad}, Next: &next}))
		_, err := d.Event(d.Context(), good.Event.ID)
		require.ErrorIs(d, err, store.ErrNotFound)
		d.wantTicks(l.Item)
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}), "the lease is still held")
	}},
	{"lets one of many settle a lease", func(d *db) {
		l := d.tick()
		next := ticking(l.Step, noon)
		var won atomic.Int32
		var wait sync.WaitGroup
		for range 32 {
			wait.Go(func() {
				err := d.Settle(d.Context(), l, noon, store.Settled{Accepted: []store.Accepted{accepted(far)}, Next: &next})
				if err == nil {
					won.Add(1)
				} else if !isLost(err) {
					d.Errorf("settle: %v", err)
				}
			})
		}
		wait.Wait()
		require.EqualValues(d, 1, won.Load())
		require.Len(d, d.runs(store.RunFilter{}, store.Page{Limit: 100}), 1)
	}},
	{"fails alone", func(d *db) {
		l := d.tick()
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}))
		var wait sync.WaitGroup
		for i := range 40 {
			wait.Go(func() {
				if i%4 == 0 {
					if err := d.Settle(d.Context(), l, noon, store.Settled{}); !isLost(err) {
						d.Errorf("settle: %v", err)
					}
					return
				}
				if _, err := d.Accept(d.Context(), noon, []store.Accepted{accepted(far)}); err != nil {
					d.Errorf("accept: %v", err)
				}
			})
		}
		wait.Wait()
		require.Len(d, d.runs(store.RunFilter{}, store.Page{Limit: 100}), 30)
	}},
}

var startTests = []test{
	{"writes runs of events that are there", func(d *db) {
		e := d.send("order/placed")
		a, b := start("shop-ship", e, noon), start("shop-ship", e, far)
		a.Original, a.Cron, a.Parent = newID(), "0 * * * *", durable.Ref{Run: newID(), Step: "s"}
		want := snapshot(a)
		require.NoError(d, d.Start(d.Context(), noon, starts(a, b)))
		for range 2 {
			same(d, want, d.view(a.ID))
			read, err := d.Run(d.Context(), a.ID)
			require.NoError(d, err)
			same(d, []any{want.Original, want.Cron, want.Parent}, []any{read.Original, read.Cron, read.Parent})
			listed := d.runs(store.RunFilter{Event: e.ID}, store.Page{Limit: 10})
			require.ElementsMatch(d, []string{a.ID, b.ID}, runIDs(listed))
			for _, r := range listed {
				if r.ID == a.ID {
					same(d, []any{want.Original, want.Cron, want.Parent}, []any{r.Original, r.Cron, r.Parent})
				}
			}
			d.reopen()
		}
		require.Equal(d, a.ID, d.claimOne(noon).Run)
	}},
	{"starts a run with what it knows", func(d *db) {
		e := d.send("order/placed")
		r := start("shop-ship", e, noon)
		entries := []durable.Entry{done("a"), done("b")}
		require.NoError(d, d.Start(d.Context(), noon, []durable.Start{{Run: r, Entries: entries}}))
		check := func(want ...string) {
			d.Helper()
			got := d.view(r.ID)
			require.Equal(d, want, got.Stack)
			require.Equal(d, len(want), got.Seq)
			require.Contains(d, got.Items, durable.Discovery)
			journal, err := d.Journal(d.Context(), r.ID, 0)
			require.NoError(d, err)
			require.Len(d, journal, len(want))
			same(d, entries, journal[:2])
		}
		check("a", "b")
		d.change(r.ID, durable.Change{Entries: []durable.Entry{done("c")}})
		check("a", "b", "c")
		d.reopen()
		check("a", "b", "c")
		require.Equal(d, r.ID, d.claimOne(noon).Run)
	}},
	{"accepts a run with what it knows", func(d *db) {
		a := accepted(noon)
		a.Starts[0].Entries = []durable.Entry{done("a")}
		run := a.Starts[0].Run.ID
		d.accept(a)
		require.Equal(d, []string{"a"}, d.view(run).Stack)
	}},
	{"registers what would cancel a run", func(d *db) {
		e := d.send("order/placed")
		r := start("shop-ship", e, far)
		wait := durable.Wait{Run: r.ID, Step: durable.CancelStep(0), Kind: durable.ForCancel, Name: "a"}
		before := d.send("a")
		require.NoError(d, d.Start(d.Context(), noon, []durable.Start{{Run: r, Waits: []durable.Wait{wait}}}))
		d.wantWaiting(before)
		d.wantWaiting(d.send("a"), durable.Ref{Run: r.ID, Step: wait.Step})
	}},
	{"starts all runs or none", func(d *db) {
		taken := d.startAt(far)
		e := d.send("order/placed")
		good, bad := start("shop-ship", e, noon), start("shop-ship", e, noon)
		bad.ID = taken
		require.Error(d, d.Start(d.Context(), noon, starts(good, bad)))
		_, err := d.Run(d.Context(), good.ID)
		require.ErrorIs(d, err, store.ErrNotFound)
		d.wantNothingDue(noon)
	}},
	{"keeps what an app that is away left behind", func(d *db) {
		run := d.startAt(far)
		item := durable.Item{
			Run: run, Step: "f", Kind: durable.Fetch, Due: noon, Attempt: 1, Since: noon.Add(-time.Hour), Data: durable.JSON(`{"url":"x\u0000"}`),
		}
		d.change(run, durable.Change{Put: []durable.Put{{Item: item}}})
		same(d, item, *d.view(run).Items["f"])
		d.reopen()
		same(d, item, *d.view(run).Items["f"])
		same(d, item, d.claimOne(noon).Item, unclaimed)
		item.Since, item.Data = time.Time{}, nil
		d.change(run, durable.Change{Put: []durable.Put{{Item: item, KeepClaim: true}}})
		same(d, item, d.claimOne(noon.Add(time.Minute)).Item, unclaimed)
		d.reopen()
		same(d, item, *d.view(run).Items["f"])
	}},
}

var scheduleTests = []test{
	{"queues an item unless it is there", func(d *db) {
		first, again := ticking("a", noon), ticking("a", far)
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{first}, nil))
		again.Data = nil
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{again, ticking("b", far)}, nil))
		d.wantTicks(first, ticking("b", far))
		d.reopen()
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{again}, nil))
		l := d.claimOne(noon)
		same(d, first, l.Item, unclaimed)
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{again}, nil), "while it is claimed")
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}))
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{again}, nil), "when it is gone")
		d.wantTicks(again, ticking("b", far))
	}},
	{"removes items", func(d *db) {
		a, b := ticking("a", noon), ticking("b", noon)
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{a, b}, nil))
		require.NoError(d, d.Schedule(d.Context(), nil, []durable.Ref{ref(a), {Run: "cron/unknown", Step: "x"}}))
		d.wantTicks(b)
		l := d.claimOne(noon)
		require.NoError(d, d.Schedule(d.Context(), nil, []durable.Ref{ref(b)}), "while it is claimed")
		require.ErrorIs(d, d.Settle(d.Context(), l, noon, store.Settled{Next: &b}), store.ErrLeaseLost)
		d.reopen()
		d.wantTicks()
		d.wantNothingDue(far)
	}},
	{"replaces an item that it removes and queues", func(d *db) {
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{ticking("a", far)}, nil))
		now := ticking("a", noon)
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{now}, []durable.Ref{ref(now)}))
		d.wantTicks(now)
		same(d, now, d.claimOne(noon).Item, unclaimed)
	}},
	{"changes schedules with their app", func(d *db) {
		app := durable.App{Name: "shop", Checksum: "c1", SyncedAt: noon}
		f := durable.Function{Slug: "shop-ship", App: "shop", Version: 1, Config: durable.JSON(`{}`)}
		a, b := ticking("a", noon), ticking("b", noon)
		require.NoError(d, d.SaveApp(d.Context(), app, []durable.Function{f}, []durable.Item{a}, nil, nil))
		d.wantTicks(a)
		require.Error(d, d.SaveApp(d.Context(), app, []durable.Function{f}, []durable.Item{b}, []durable.Ref{ref(a)}, nil), "a version is written once")
		d.wantTicks(a)
		f.Version = 2
		require.NoError(d, d.SaveApp(d.Context(), app, []durable.Function{f}, []durable.Item{b}, []durable.Ref{ref(a)}, nil))
		d.wantTicks(b)
		same(d, b, d.claimOne(noon).Item, unclaimed)
	}},
	{"wakes for a schedule", func(d *db) {
		d.drainWake()
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{ticking("a", noon)}, nil))
		d.wantWake()
	}},
	{"rouses an item with a run's change", func(d *db) {
		later := time.Now().Add(24 * time.Hour).Truncate(time.Second)
		a, b := ticking("a", later), ticking("b", later)
		require.NoError(d, d.Schedule(d.Context(), []durable.Item{a, b}, nil))
		run := d.startAt(later)
		rouse := func(run string, err error, refs ...durable.Ref) error {
			return d.Transition(d.Context(), run, func(*durable.Run) (store.Decision, error) {
				return store.Decision{Change: durable.Change{Entries: []durable.Entry{{Kind: durable.Nothing, At: noon}}}, Rouse: refs}, err
			})
		}
		require.ErrorIs(d, rouse(run, store.ErrFull, ref(a)), store.ErrFull, "an error of decide")
		d.wantTicks(a, b)
		d.drainWake()
		require.NoError(d, rouse(run, nil, ref(a), durable.Ref{Run: "cron/unknown", Step: "x"}))
		d.wantWake()
		l := d.claimOne(time.Now())
		require.Equal(d, a.Step, l.Step)
		same(d, a.Data, l.Data)
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}))
		require.NoError(d, rouse(run, nil, ref(a)), "what is gone stays gone")
		d.wantTicks(b)
		d.change(run, durable.Change{})
		require.NoError(d, d.Transition(d.Context(), run, func(*durable.Run) (store.Decision, error) {
			return store.Decision{Rouse: []durable.Ref{ref(b)}}, nil
		}), "with no change at all")
		require.Equal(d, b.Step, d.claimOne(time.Now()).Step)
	}},
	{"reports the end of a run, which outlives its items", func(d *db) {
		run := d.startAt(noon)
		d.change(run, put(run, "a", noon))
		held := d.claim(noon, 1)
		c := end(durable.Completed)
		c.Report = &durable.Item{Run: run, Step: durable.ReportStep, Kind: durable.Report, Due: noon}
		c.Put = put(run, "b", noon).Put
		d.change(run, c)
		l := d.claimOne(noon)
		same(d, *c.Report, l.Item, unclaimed)
		held2, err := d.Extend(d.Context(), held[0], noon, time.Minute)
		require.NoError(d, err)
		require.False(d, held2)
		d.reopen()
		items, err := d.Items(d.Context(), run)
		require.NoError(d, err)
		same(d, []durable.Item{*c.Report}, items)
		require.Equal(d, durable.Completed, d.view(run).Status)
		l = d.claimOne(noon)
		same(d, *c.Report, l.Item, unclaimed)
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}))
		d.reopen()
		d.wantNothingDue(far)
		items, err = d.Items(d.Context(), run)
		require.NoError(d, err)
		require.Empty(d, items)
	}},
}

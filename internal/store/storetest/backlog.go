package storetest

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// sized is an event whose body has that many bytes.
func sized(name string, bytes int) durable.Event {
	e := event(name)
	e.Body = durable.JSON(`{"data":"` + strings.Repeat("x", bytes-len(`{"data":""}`)) + `"}`)
	return e
}

// starting is an event of a size that starts a run of each of the functions.
func starting(bytes int, slugs ...string) store.Accepted {
	a := store.Accepted{Event: sized("order/placed", bytes)}
	for _, slug := range slugs {
		a.Starts = append(a.Starts, starts(start(slug, a.Event, noon))...)
	}
	return a
}

// parking is an event of a size that is parked with item.
func parking(bytes int, item durable.Ref, with durable.StartPark) store.Accepted {
	a := starting(bytes, "shop-ship")
	with.Item = item
	a.Starts[0].Park = &with
	return a
}

// wantBacklog checks what waits, also after a restart.
func (d *db) wantBacklog(runs, bytes int64, why string) {
	d.Helper()
	require.Equal(d, store.Backlog{Runs: runs, Bytes: bytes}, d.Backlog(), why)
	waiting := d.Queued()
	d.reopen()
	require.Equal(d, store.Backlog{Runs: runs, Bytes: bytes}, d.Backlog(), "%s; after a restart", why)
	require.Equal(d, d.Queued(), waiting, "%s: by function, what was counted is there after a restart", why)
	for _, n := range waiting {
		runs -= n
	}
	require.Zero(d, runs, "%s: each function's make all", why)
}

// begin is a change by which a run begins.
func begin() durable.Change {
	return durable.Change{Head: &durable.Head{Status: durable.Running, Started: noon, Protocol: 2}}
}

// refusedFor checks that err says that too much waits.
func (d *db) refusedFor(err error, waiting store.Backlog) {
	d.Helper()
	full, ok := errors.AsType[*store.BacklogError](err)
	require.True(d, ok, "%v", err)
	require.Equal(d, waiting, full.Waiting)
}

var backlogTests = []test{
	{"counts what waits, over restarts", func(d *db) {
		var fns []durable.Function
		for _, slug := range []string{"shop-ship", "shop-bill"} {
			fns = append(fns, durable.Function{Slug: slug, App: "shop", Version: 1})
		}
		require.NoError(d, d.SaveApp(d.Context(), durable.App{Name: "shop"}, fns, nil, nil, nil))
		d.wantBacklog(0, 0, "nothing waits")
		runs := d.accept(starting(1000, "shop-ship", "shop-bill"))
		d.wantBacklog(2, 2000, "an event counts for each run of it")
		d.accept(store.Accepted{Event: sized("nobody/cares", 500)})
		d.wantBacklog(2, 2000, "an event that starts nothing does not wait")
		d.change(runs[0], begin())
		d.wantBacklog(1, 1000, "one has begun")
		d.change(runs[0], end(durable.Completed))
		d.change(runs[1], end(durable.Cancelled))
		d.wantBacklog(0, 0, "the other was cancelled before")

		for _, bytes := range []int{100, 300, 200} {
			d.acceptAt(noon, parking(bytes, timer, durable.StartPark{Debounce: &durable.Debounce{Period: time.Second}}))
		}
		d.wantBacklog(0, 200, "the last of a debounce took the place of the others")
		box := durable.Ref{Run: "batch/shop-ship", Step: "k"}
		var batch []store.Accepted
		for _, bytes := range []int{10_000, 20_000} {
			a := parking(bytes, box, durable.StartPark{Batch: &durable.Batch{Size: 2, Timeout: time.Minute}})
			d.acceptAt(noon, a)
			batch = append(batch, a)
		}
		d.wantBacklog(0, 30_200, "a batch waits with all of its events")
		l := d.claimOne(noon)
		r := start("shop-ship", batch[0].Event, noon)
		r.Join(batch[1].Event)
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{Event: batch[0].Event, Starts: starts(r)}))
		d.wantBacklog(1, 30_200, "and then its run does")
		d.change(r.ID, begin())
		d.wantBacklog(0, 200, "which has begun")
		d.change(r.ID, end(durable.Completed))
		l = d.claimOne(noon.Add(time.Second))
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}))
		d.wantBacklog(0, 0, "nothing was started for the debounce")

		run := d.rest(forEvent("w", "order/paid"))
		d.change(run, begin())
		before := d.Backlog()
		d.accept(store.Accepted{Event: sized("order/paid", 700)})
		d.wantBacklog(before.Runs, before.Bytes+700, "an event that is awaited has yet to be handed on")
		require.NoError(d, d.Settle(d.Context(), d.claimOne(noon), noon, store.Settled{}))
		d.wantBacklog(before.Runs, before.Bytes, "it was")
	}},
	{"counts events that runs send, and reruns", func(d *db) {
		run := d.startAt(noon)
		d.change(run, begin(), starting(900, "shop-ship"))
		require.Equal(d, store.Backlog{Runs: 1, Bytes: 900}, d.Backlog())
		of, err := d.Run(d.Context(), run)
		require.NoError(d, err)
		again, err := durable.Rerun(of, nil, durable.From{}, durable.Function{Slug: "shop-ship", App: "shop"}, sized("order/placed", 400), newID(), noon)
		require.NoError(d, err)
		require.NoError(d, d.Rerun(d.Context(), noon, store.Rerun{Of: run, Start: again, Edited: again.Run.Events[0]}))
		require.Equal(d, store.Backlog{Runs: 2, Bytes: 1300}, d.Backlog())
		d.change(again.Run.ID, begin())
		require.Equal(d, store.Backlog{Runs: 1, Bytes: 900}, d.Backlog())
	}},
	{"refuses what would make too much wait, and writes nothing of it", func(d *db) {
		d.Bound(store.Backlog{Runs: 3, Bytes: 10_000})
		keyed := starting(4000, "shop-ship")
		keyed.Event.Key = "order-7"
		d.accept(keyed)
		waiting := store.Backlog{Runs: 1, Bytes: 4000}
		try := func(batch ...store.Accepted) error {
			_, err := d.Accept(d.Context(), noon, batch)
			return err
		}
		refused := func(batch ...store.Accepted) {
			d.Helper()
			d.refusedFor(try(batch...), waiting)
			require.Equal(d, waiting, d.Backlog())
			for _, a := range batch {
				_, err := d.Event(d.Context(), a.Event.ID)
				require.ErrorIs(d, err, store.ErrNotFound, "of what is refused nothing is kept")
			}
		}
		refused(starting(6001, "shop-ship"))
		refused(starting(20, "shop-ship", "shop-bill", "shop-mail"))
		refused(starting(20, "shop-ship"), starting(5981, "shop-ship"))
		unique := starting(6001, "shop-ship")
		unique.Starts[0].Unique, unique.Starts[0].UniqueFor = "k", time.Hour
		refused(unique)
		refused(parking(6001, timer, durable.StartPark{Debounce: &durable.Debounce{Period: time.Second}}))

		unique = starting(6000, "shop-ship")
		unique.Starts[0].Unique, unique.Starts[0].UniqueFor = "k", time.Hour
		require.Len(d, d.accept(unique), 1, "the key was not used up, and as much as may wait does")
		waiting = store.Backlog{Runs: 2, Bytes: 10_000}
		refused(starting(20, "shop-ship"))
		require.Empty(d, d.accept(store.Accepted{Event: sized("nobody/cares", 5000)}), "what starts nothing is taken in")
		again := starting(5000, "shop-ship")
		again.Event.Key = "order-7"
		require.Empty(d, d.accept(again), "and what was started before")
		unique = starting(6000, "shop-ship")
		unique.Starts[0].Unique, unique.Starts[0].UniqueFor = "k", time.Hour
		require.Empty(d, d.accept(unique))
		owed := starting(500, "shop-ship")
		owed.Owed = true
		require.Len(d, d.accept(owed), 1)
		waiting = store.Backlog{Runs: 3, Bytes: 10_500}
		d.Bound(store.Backlog{Runs: 3, Bytes: 20_000})
		refused(starting(20, "shop-ship"))
		d.Bound(store.Backlog{})
		require.Len(d, d.accept(starting(1_000_000, "shop-ship")), 1, "there is no bound")
	}},
	{"refuses an event that would have to be handed on", func(d *db) {
		d.change(d.rest(forEvent("w", "order/paid")), begin())
		d.Bound(store.Backlog{Bytes: 1000})
		first := sized("order/paid", 600)
		d.accept(store.Accepted{Event: first})
		_, err := d.Accept(d.Context(), noon, []store.Accepted{{Event: sized("order/paid", 401)}})
		d.refusedFor(err, store.Backlog{Bytes: 600})
		d.send("nobody/cares")
		d.wantDelivery(first, nil)
		require.Equal(d, store.Backlog{}, d.Backlog())
	}},
	{"lets a debounce go on when enough waits", func(d *db) {
		d.Bound(store.Backlog{Bytes: 1000})
		with := durable.StartPark{Debounce: &durable.Debounce{Period: time.Second}}
		d.acceptAt(noon, parking(1000, timer, with))
		d.acceptAt(noon, parking(1000, timer, with))
		_, err := d.Accept(d.Context(), noon, []store.Accepted{parking(1001, timer, with)})
		d.refusedFor(err, store.Backlog{Bytes: 1000})
		require.Len(d, d.parked(timer), 1)
	}},
	{"answers a repetition when too much waits", func(d *db) {
		d.Bound(store.Backlog{Runs: 1})
		once := func(key string) error {
			_, err := d.AcceptOnce(d.Context(), noon, []store.Accepted{starting(100, "shop-ship")}, store.Once{Scope: "events", Key: key, Life: time.Hour})
			return err
		}
		require.NoError(d, once("a"))
		d.refusedFor(once("b"), store.Backlog{Runs: 1, Bytes: 100})
		_, repeated := errors.AsType[*store.RepeatedError](once("a"))
		require.True(d, repeated)
		d.Bound(store.Backlog{Runs: 2})
		require.NoError(d, once("b"), "its key was not used up")
	}},
	{"never lets more wait than may, whoever comes at once", func(d *db) {
		d.Bound(store.Backlog{Runs: 100, Bytes: 10_000})
		var wait sync.WaitGroup
		errs := make([]error, 64)
		for i := range errs {
			wait.Go(func() {
				a := starting(1000, "shop-ship")
				a.Starts[0].Unique, a.Starts[0].UniqueFor = a.Event.ID, time.Hour // so that the writer decides
				_, errs[i] = d.Accept(d.Context(), noon, []store.Accepted{a})
			})
		}
		wait.Wait()
		taken := 0
		for _, err := range errs {
			if _, full := errors.AsType[*store.BacklogError](err); !full {
				require.NoError(d, err)
				taken++
			}
		}
		require.Equal(d, 10, taken)
		require.Equal(d, store.Backlog{Runs: 10, Bytes: 10_000}, d.Backlog())
		require.Len(d, d.claim(noon, 100), 10)
	}},
}

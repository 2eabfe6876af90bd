package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var historyTests = []test{
	{"knows nothing that is not there", func(d *db) {
		_, err := d.Event(d.Context(), newID())
		require.ErrorIs(d, err, store.ErrNotFound)
		_, err = d.Run(d.Context(), newID())
		require.ErrorIs(d, err, store.ErrNotFound)
		entries, err := d.Journal(d.Context(), newID(), 0)
		require.NoError(d, err)
		require.Empty(d, entries)
		items, err := d.Items(d.Context(), newID())
		require.NoError(d, err)
		require.Empty(d, items)
		require.Empty(d, d.events(store.EventFilter{Internal: true}, store.Page{Limit: 5}))
		require.Empty(d, d.runs(store.RunFilter{}, store.Page{Limit: 5}))
	}},
	{"filters events", func(d *db) {
		var events []durable.Event
		for i := range 12 {
			e := event([]string{"a", "b", durable.EventFinished}[i%3])
			e.Received = noon.Add(time.Duration(i) * time.Second)
			events = append(events, e)
			d.accept(store.Accepted{Event: e})
		}
		for _, c := range []struct {
			filter store.EventFilter
			want   []int // newest first
		}{
			{store.EventFilter{}, []int{10, 9, 7, 6, 4, 3, 1, 0}},
			{store.EventFilter{Internal: true}, []int{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
			{store.EventFilter{Name: "a"}, []int{9, 6, 3, 0}},
			{store.EventFilter{Name: "a' OR '1'='1"}, nil},
			{store.EventFilter{Name: durable.EventFinished}, nil},
			{store.EventFilter{Name: durable.EventFinished, Internal: true}, []int{11, 8, 5, 2}},
			{store.EventFilter{After: noon.Add(9 * time.Second)}, []int{10, 9}},
			{store.EventFilter{Before: noon.Add(3 * time.Second)}, []int{1, 0}},
			{store.EventFilter{Name: "b", After: noon.Add(4 * time.Second), Before: noon.Add(8 * time.Second), Internal: true}, []int{7, 4}},
		} {
			var want []durable.Event
			for _, i := range c.want {
				want = append(want, events[i])
			}
			same(d, want, d.events(c.filter, store.Page{Limit: 100}))
			if len(want) > 1 {
				same(d, want[1:2], d.events(c.filter, store.Page{Limit: 1, Cursor: want[0].ID}))
			}
		}
	}},
	{"filters runs", func(d *db) {
		e := event("order/placed")
		var all []*durable.Run
		for i := range 9 {
			all = append(all, start([]string{"a", "b", "c"}[i%3], e, noon))
		}
		other := accepted(noon)
		ids := runIDs(all)
		d.accept(store.Accepted{Event: e, Starts: starts(all...)}, other)
		for i, status := range []durable.Status{durable.Running, durable.Completed, durable.Failed, durable.Cancelled} {
			d.change(ids[i], durable.Change{Head: &durable.Head{Status: status, Protocol: 2}})
		}
		status := func(s durable.Status) *durable.Status { return &s }
		for _, c := range []struct {
			filter store.RunFilter
			want   []int
		}{
			{store.RunFilter{Event: e.ID}, []int{8, 7, 6, 5, 4, 3, 2, 1, 0}},
			{store.RunFilter{Event: newID()}, nil},
			{store.RunFilter{Function: "a"}, []int{6, 3, 0}},
			{store.RunFilter{Function: "a' --"}, nil},
			{store.RunFilter{Event: e.ID, Status: status(durable.Queued)}, []int{8, 7, 6, 5, 4}},
			{store.RunFilter{Status: status(durable.Running)}, []int{0}},
			{store.RunFilter{Status: status(durable.Completed)}, []int{1}},
			{store.RunFilter{Function: "a", Status: status(durable.Cancelled)}, []int{3}},
		} {
			want := []string{}
			for _, i := range c.want {
				want = append(want, ids[i])
			}
			require.Equal(d, want, runIDs(d.runs(c.filter, store.Page{Limit: 100})))
			if len(want) > 1 {
				require.Equal(d, want[1:2], runIDs(d.runs(c.filter, store.Page{Limit: 1, Cursor: want[0]})))
			}
		}
		require.Len(d, d.runs(store.RunFilter{}, store.Page{Limit: 100}), 10)
	}},
	{"lists a run as it is, without the body of its event", func(d *db) {
		a := accepted(noon)
		id := a.Starts[0].Run.ID
		d.accept(a)
		head := durable.Head{Status: durable.Completed, Started: noon, Ended: noon.Add(time.Second), Protocol: 2, Output: durable.JSON(`{"ok":true}`)}
		d.change(id, durable.Change{Head: &head})
		list := d.runs(store.RunFilter{Event: a.Event.ID}, store.Page{Limit: 1})
		require.Len(d, list, 1)
		r := list[0]
		same(d, head, r.Head)
		require.Equal(d, "shop-ship", r.Function)
		require.Equal(d, "shop", r.App)
		require.Equal(d, 3, r.Version)
		require.True(d, r.Queued.Equal(noon))
		require.Len(d, r.Events, 1)
		require.Equal(d, a.Event.ID, r.Events[0].ID)
		require.Equal(d, a.Event.Name, r.Events[0].Name)
		require.True(d, r.Events[0].At.Equal(a.Event.At))
		require.Empty(d, r.Events[0].Body)
	}},
	{"pages without gaps or repeats while rows are added", func(d *db) {
		before := d.startMany(120, func(int) time.Time { return noon })
		slices.Reverse(before)
		stop := make(chan struct{})
		var adding sync.WaitGroup
		adding.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := d.Accept(d.Context(), noon, []store.Accepted{accepted(noon)}); err != nil {
					d.Errorf("accept: %v", err)
					return
				}
			}
		})
		defer adding.Wait()
		defer close(stop)
		var runs, events []string
		var cursor, eventCursor string
		for {
			page := d.runs(store.RunFilter{}, store.Page{Limit: 7, Cursor: cursor})
			if len(page) == 0 {
				break
			}
			runs = append(runs, runIDs(page)...)
			cursor = runs[len(runs)-1]
		}
		for {
			page := d.events(store.EventFilter{}, store.Page{Limit: 7, Cursor: eventCursor})
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				events = append(events, e.ID)
			}
			eventCursor = events[len(events)-1]
		}
		for what, ids := range map[string][]string{"runs": runs, "events": events} {
			require.True(d, slices.IsSortedFunc(ids, func(a, b string) int {
				if a > b {
					return -1
				}
				return 1
			}), "%s: newest first, none twice", what)
		}
		require.Equal(d, before, runs[len(runs)-len(before):])
		require.GreaterOrEqual(d, len(events), len(before))
	}},
	{"sees only what is committed, and all of it", func(d *db) {
		run := d.startAt(noon)
		var readers sync.WaitGroup
		stop := make(chan struct{})
		for range 3 {
			readers.Go(func() {
				seen := 0
				for {
					select {
					case <-stop:
						return
					default:
					}
					entries, err := d.Journal(d.Context(), run, 0)
					if err != nil || len(entries)%3 != 0 || len(entries) < seen {
						d.Errorf("%d entries after %d, err %v", len(entries), seen, err)
						return
					}
					seen = len(entries)
				}
			})
		}
		for i := range 60 {
			var c durable.Change
			for j := range 3 {
				c.Entries = append(c.Entries, done(fmt.Sprint(i, j)))
			}
			d.change(run, c)
			entries, err := d.Journal(d.Context(), run, 3*i)
			require.NoError(d, err)
			require.Len(d, entries, 3, "what was acknowledged is read")
		}
		close(stop)
		readers.Wait()
	}},
}

func (d *db) events(f store.EventFilter, p store.Page) []durable.Event {
	d.Helper()
	events, err := d.Events(d.Context(), f, p)
	require.NoError(d, err)
	return events
}

func (d *db) runs(f store.RunFilter, p store.Page) []*durable.Run {
	d.Helper()
	runs, err := d.Runs(d.Context(), f, p)
	require.NoError(d, err)
	return runs
}

package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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
	{"tells where runs come from", func(d *db) {
		e := event("order/placed")
		parent := start("shop-parent", e, noon)
		child, orphan := start("shop-child", e, noon), start("shop-child", e, noon)
		child.Parent, orphan.Parent = durable.Ref{Run: parent.ID, Step: "a"}, durable.Ref{Run: newID(), Step: "a"}
		d.accept(store.Accepted{Event: e, Starts: starts(parent, child, orphan)})
		list := []*durable.Run{parent, child, orphan}
		got, err := d.Origins(d.Context(), list, len(e.Body))
		require.NoError(d, err)
		require.Equal(d, []store.Origin{{Body: e.Body}, {Parent: "shop-parent", Body: e.Body}, {Body: e.Body}}, got)
		got, err = d.Origins(d.Context(), list[1:2], len(e.Body)-1)
		require.NoError(d, err)
		require.Equal(d, []store.Origin{{Parent: "shop-parent"}}, got, "its event is long")
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
		for _, c := range []struct {
			filter store.RunFilter
			want   []int
		}{
			{store.RunFilter{Event: e.ID}, []int{8, 7, 6, 5, 4, 3, 2, 1, 0}},
			{store.RunFilter{Event: newID()}, nil},
			{store.RunFilter{Functions: []string{"a"}}, []int{6, 3, 0}},
			{store.RunFilter{Functions: []string{"a' --"}}, nil},
			{store.RunFilter{Event: e.ID, Statuses: []durable.Status{durable.Queued}}, []int{8, 7, 6, 5, 4}},
			{store.RunFilter{Statuses: []durable.Status{durable.Running}}, []int{0}},
			{store.RunFilter{Statuses: []durable.Status{durable.Completed}}, []int{1}},
			{store.RunFilter{Functions: []string{"a"}, Statuses: []durable.Status{durable.Cancelled}}, []int{3}},
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
	{"lists runs by each of their times", listsByTime},
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

// listsByTime compares lists with what a plain look at every run gives.
func listsByTime(d *db) {
	e, deferred := event("order/placed"), event(durable.EventDeferred)
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }
	var all []*durable.Run
	for i := range 27 {
		of := e
		if i%9 == 0 {
			of = deferred
		}
		r := start([]string{"a", "b", "c"}[i%3], of, noon)
		r.Queued = at(i * 7 % 20) // several have the same time
		all = append(all, r)
	}
	var lists [2][]*durable.Run
	for _, r := range all {
		if r.Events[0].ID == e.ID {
			lists[0] = append(lists[0], r)
		} else {
			lists[1] = append(lists[1], r)
		}
	}
	d.accept(store.Accepted{Event: e, Starts: starts(lists[0]...)}, store.Accepted{Event: deferred, Starts: starts(lists[1]...)})
	heads := map[string]durable.Head{}
	for i, r := range all {
		h := durable.Head{Protocol: 2}
		if i%4 > 0 {
			h.Status, h.Started = durable.Running, at(i*3%11)
			first := h
			d.change(r.ID, durable.Change{Head: &first, Soft: true})
		}
		if i%4 > 1 {
			h.Status, h.Ended = []durable.Status{durable.Completed, durable.Failed, durable.Cancelled}[i%3], at(i%13)
			d.change(r.ID, durable.Change{Head: &h})
		}
		heads[r.ID] = h
	}
	yes, no := true, false
	for _, by := range []store.RunTime{store.ByQueued, store.ByStarted, store.ByEnded} {
		for i, f := range []store.RunFilter{
			{},
			{Functions: []string{"b"}},
			{Functions: []string{"c", "a", "none"}},
			{Functions: []string{}},
			{Statuses: []durable.Status{durable.Failed, durable.Running}},
			{From: at(3)},
			{Until: at(9)},
			{From: at(3), Until: at(9)},
			{Functions: []string{"a", "b"}, Statuses: []durable.Status{durable.Completed}, From: at(1), Until: at(12)},
			{Deferred: &yes},
			{Deferred: &no, Functions: []string{"a"}},
			{From: at(9), Until: at(3)},
		} {
			for _, oldest := range []bool{false, true} {
				f.Time = by
				d.walks(all, heads, f, oldest, i%2 == 0)
			}
		}
	}
}

// walks reads a list page by page and compares it with what it should be. known
// says whether it gives the times of its cursors.
func (d *db) walks(all []*durable.Run, heads map[string]durable.Head, f store.RunFilter, oldest, known bool) {
	d.Helper()
	timeOf := func(r *durable.Run) time.Time {
		return [...]time.Time{r.Queued, heads[r.ID].Started, heads[r.ID].Ended}[f.Time]
	}
	var want []*durable.Run
	for _, r := range all {
		t := timeOf(r)
		switch {
		case t.IsZero(), t.Before(f.From), !f.Until.IsZero() && !t.Before(f.Until):
		case f.Functions != nil && !slices.Contains(f.Functions, r.Function):
		case f.Statuses != nil && !slices.Contains(f.Statuses, heads[r.ID].Status):
		case f.Deferred != nil && *f.Deferred != (r.Events[0].Name == durable.EventDeferred):
		default:
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b *durable.Run) int {
		n := cmp.Or(timeOf(a).Compare(timeOf(b)), strings.Compare(a.ID, b.ID))
		if !oldest {
			n = -n
		}
		return n
	})
	got := []string{}
	p := store.Page{Limit: 4, Oldest: oldest}
	for {
		page := d.runs(f, p)
		got = append(got, runIDs(page)...)
		if len(page) < p.Limit {
			break
		}
		last := page[len(page)-1]
		p.Cursor, p.At = last.ID, time.Time{}
		if known {
			p.At = [...]time.Time{last.Queued, last.Started, last.Ended}[f.Time]
		}
	}
	require.Equal(d, runIDs(want), got, "%+v oldest first %v", f, oldest)
}

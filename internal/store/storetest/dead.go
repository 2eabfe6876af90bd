package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var deadTests = []test{
	{"keeps every field of a dead letter", func(d *db) {
		l := d.fail("shop-charge", durable.ClassCrash, "boom", noon)
		got, err := d.DeadLetter(d.Context(), l.Run)
		require.NoError(d, err)
		same(d, l, got.DeadLetter)
		require.Equal(d, store.Open, got.State)
		require.Equal(d, "order/placed", got.Event.Name)
		require.Empty(d, got.Event.Body)
		d.reopen()
		again, err := d.DeadLetter(d.Context(), l.Run)
		require.NoError(d, err)
		same(d, got, again)
	}},
	{"has no letter of a run that did not fail", func(d *db) {
		run := d.startAt(noon)
		d.change(run, durable.Change{Head: &durable.Head{Status: durable.Completed, Ended: noon}})
		_, err := d.DeadLetter(d.Context(), run)
		require.ErrorIs(d, err, store.ErrNotFound)
		require.Empty(d, d.letters(store.LetterFilter{}, store.Page{Limit: 5}))
		require.Empty(d, d.groups(store.GroupFilter{Closed: true}, store.Page{Limit: 5}))
	}},
	{"writes a letter with the end of its run, or neither", func(d *db) {
		taken := d.startAt(noon)
		run := d.startAt(noon)
		before := d.view(run)
		sent := accepted(noon)
		sent.Starts[0].Run.ID = taken // cannot be written
		l := letter(run, "shop-ship", durable.ClassError, "boom", noon)
		require.Error(d, d.tryChange(run, failed(l), sent))
		same(d, before, d.view(run))
		_, err := d.DeadLetter(d.Context(), run)
		require.ErrorIs(d, err, store.ErrNotFound)
		require.Empty(d, d.groups(store.GroupFilter{}, store.Page{Limit: 5}))
	}},
	{"names a group for all of its letters, also one that is older than its title", func(d *db) {
		for _, group := range []string{"account 0 is closed", "account … is closed", "account … is closed"} {
			e := event("order/placed")
			run := d.accept(store.Accepted{Event: e, Starts: starts(start("shop-pay", e, noon))})[0]
			l := letter(run, "shop-pay", durable.ClassError, "account 7 is closed", noon)
			l.Group = group
			d.change(run, failed(l))
			g := d.groups(store.GroupFilter{}, store.Page{Limit: 5})
			require.Len(d, g, 1)
			require.Equal(d, group, g[0].Title)
			got, err := d.DeadLetter(d.Context(), run)
			require.NoError(d, err)
			require.Equal(d, "account 7 is closed", got.Title)
		}
	}},
	{"filters letters", func(d *db) {
		var all []durable.DeadLetter
		for i := range 12 {
			fn := []string{"a", "b"}[i%2]
			class := []durable.Class{durable.ClassError, durable.ClassTimeout, durable.ClassError}[i%3]
			all = append(all, d.fail(fn, class, []string{"x", "y"}[i/6], noon.Add(time.Duration(i/2)*time.Second)))
		}
		state := func(s store.LetterState) *store.LetterState { return &s }
		for _, c := range []store.LetterFilter{
			{},
			{State: state(store.Open)},
			{State: state(store.Discarded)},
			{Function: "a"},
			{Function: "a' --"},
			{Class: durable.ClassError},
			{Class: durable.ClassTimeout, Function: "b"},
			{Fingerprint: all[0].Fingerprint},
			{Fingerprint: all[0].Fingerprint, Function: "a", Class: durable.ClassError},
			{Fingerprint: all[0].Fingerprint, Function: "b"},
			{Fingerprint: all[0].Fingerprint, Class: durable.ClassLimit},
			{Fingerprint: "nothing"},
			{After: noon.Add(2 * time.Second), Before: noon.Add(4 * time.Second)},
			{Function: "a", After: noon.Add(4 * time.Second)},
		} {
			var want []string
			for _, l := range all {
				if (c.Function == "" || c.Function == l.Function) && (c.Class == "" || c.Class == l.Class) &&
					(c.Fingerprint == "" || c.Fingerprint == l.Fingerprint) && (c.State == nil || *c.State == store.Open) &&
					!l.Failed.Before(c.After) && (c.Before.IsZero() || l.Failed.Before(c.Before)) {
					want = append(want, l.Run)
				}
			}
			// The runs' ids rise with their times here.
			newest := slices.Clone(want)
			slices.Reverse(newest)
			for _, limit := range []int{1, 2, 5, 100} {
				require.Equal(d, newest, d.walk(c, limit), "%+v by %d", c, limit)
				c.Oldest = true
				require.Equal(d, want, d.walk(c, limit), "%+v by %d", c, limit)
				c.Oldest = false
			}
		}
		_, err := d.DeadLetters(d.Context(), store.LetterFilter{}, store.Page{Limit: 1, Cursor: newID()})
		require.ErrorIs(d, err, store.ErrNotFound)
	}},
	{"counts letters in groups", func(d *db) {
		var last durable.DeadLetter
		for i := range 5 {
			last = d.fail("a", durable.ClassError, "x", noon.Add(time.Duration(i)*time.Second))
		}
		d.fail("a", durable.ClassError, "x", noon.Add(time.Second)) // decided earlier, written later
		d.fail("a", durable.ClassError, "y", noon.Add(9*time.Second))
		d.fail("b", durable.ClassLimit, "x", noon.Add(7*time.Second))
		g, err := d.DeadGroup(d.Context(), last.Fingerprint)
		require.NoError(d, err)
		same(d, store.LetterGroup{
			Fingerprint: last.Fingerprint, Function: "a", App: "shop", Class: durable.ClassError, Title: "x", Open: 6,
			First: noon, Last: noon.Add(4 * time.Second), Newest: last.Run,
		}, g)
		titles := func(f store.GroupFilter) (list []string) {
			p := store.Page{Limit: 1}
			for {
				page := d.groups(f, p)
				if len(page) == 0 {
					return list
				}
				for _, g := range page {
					list = append(list, g.Function+" "+g.Title)
					p.Cursor = g.Cursor()
				}
			}
		}
		require.Equal(d, []string{"a y", "b x", "a x"}, titles(store.GroupFilter{}))
		require.Equal(d, []string{"a y", "b x", "a x"}, titles(store.GroupFilter{Closed: true}))
		require.Equal(d, []string{"a y", "a x"}, titles(store.GroupFilter{Function: "a"}))
		require.Equal(d, []string{"b x"}, titles(store.GroupFilter{Class: durable.ClassLimit}))
		require.Empty(d, titles(store.GroupFilter{Function: "a", Class: durable.ClassLimit}))
		_, err = d.DeadGroup(d.Context(), "nothing")
		require.ErrorIs(d, err, store.ErrNotFound)
	}},
}

// letter is what a failed run leaves.
func letter(run, fn string, class durable.Class, title string, at time.Time) durable.DeadLetter {
	return durable.DeadLetter{
		Run: run, Function: fn, App: "shop", Class: class, Fingerprint: fmt.Sprintf("%s-%s-%s", fn, class, title),
		Title: title, Reason: "all 5 tries failed", Step: "näme", Attempts: 5, Failed: at,
	}
}

// failed is the end of a run that leaves l.
func failed(l durable.DeadLetter) durable.Change {
	return durable.Change{
		Head: &durable.Head{Status: durable.Failed, Started: noon, Ended: l.Failed, Output: durable.JSON(`{"message":"no"}`)},
		Dead: &l,
	}
}

// fail starts a run that fails.
func (d *db) fail(fn string, class durable.Class, title string, at time.Time) durable.DeadLetter {
	d.Helper()
	e := event("order/placed")
	run := d.accept(store.Accepted{Event: e, Starts: starts(start(fn, e, noon))})[0]
	l := letter(run, fn, class, title, at)
	d.change(run, failed(l))
	return l
}

func (d *db) letters(f store.LetterFilter, p store.Page) []store.Letter {
	d.Helper()
	list, err := d.DeadLetters(d.Context(), f, p)
	require.NoError(d, err)
	return list
}

func (d *db) groups(f store.GroupFilter, p store.Page) []store.LetterGroup {
	d.Helper()
	list, err := d.DeadGroups(d.Context(), f, p)
	require.NoError(d, err)
	return list
}

// walk lists the runs of letters page by page.
func (d *db) walk(f store.LetterFilter, limit int) (runs []string) {
	d.Helper()
	p := store.Page{Limit: limit}
	for {
		page := d.letters(f, p)
		if len(page) == 0 {
			return runs
		}
		for _, l := range page {
			runs = append(runs, l.Run)
			if p.Cursor = l.Run; len(runs)%2 == 0 {
				p.Cursor = l.Place()
			}
		}
	}
}

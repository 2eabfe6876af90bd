package storetest

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var transitionTests = []test{
	{"asks decide with the run and writes its answer", func(d *db) {
		run := d.startAt(noon)
		head := durable.Head{Status: durable.Running, Started: noon.Add(time.Second), Protocol: 2}
		require.NoError(d, d.Transition(d.Context(), run, func(r *durable.Run) (store.Decision, error) {
			require.Equal(d, run, r.ID)
			require.Equal(d, durable.Queued, r.Status)
			require.Equal(d, durable.Unpinned, r.Protocol)
			require.Contains(d, r.Items, durable.Discovery)
			return store.Decision{Change: durable.Change{
				Head:    &head,
				Entries: []durable.Entry{done("a"), done("b")},
				Drop:    []string{durable.Discovery},
				Put: []durable.Put{
					{Item: durable.Item{Run: run, Step: "c", Kind: durable.Wake, Due: noon.Add(time.Hour), Attempt: 2, Again: true}},
				},
			}}, nil
		}))
		r := d.view(run)
		same(d, head, r.Head)
		require.Equal(d, []string{"a", "b"}, r.Stack)
		require.Equal(d, 2, r.Seq)
		require.Len(d, r.Items, 1)
		items, err := d.Items(d.Context(), run)
		require.NoError(d, err)
		same(d, []durable.Item{{Run: run, Step: "c", Kind: durable.Wake, Due: noon.Add(time.Hour), Attempt: 2, Again: true}}, items)
		read, err := d.Run(d.Context(), run)
		require.NoError(d, err)
		same(d, head, read.Head)
		d.wantNothingDue(noon)
		require.Equal(d, "c", d.claimOne(noon.Add(time.Hour)).Step)
	}},
	{"keeps every field of an entry", func(d *db) {
		run := d.startAt(noon)
		entries := []durable.Entry{
			{
				Step: "s", Kind: durable.StepPlanned, Op: "StepPlanned", Name: "näme \x00 '\"", Attempt: 3, At: noon, Started: noon.Add(time.Microsecond),
				Took: 1234 * time.Microsecond, Until: noon.Add(time.Hour), Data: durable.JSON(`{"a":[1,2.50,"\u0000"]}`), Group: true, Race: true,
			},
			{Step: "g", Kind: durable.StepPlanned, At: noon, Group: true},
			{Step: "s", Kind: durable.StepFailed, At: noon, Race: true, Data: durable.JSON(`null`)},
			{Kind: durable.Nothing, At: noon},
		}
		d.change(run, durable.Change{Entries: entries})
		got, err := d.Journal(d.Context(), run, 0)
		require.NoError(d, err)
		same(d, entries, got)
	}},
	{"returns an error of decide as it is and saves nothing", func(d *db) {
		run := d.startAt(noon)
		before := d.view(run)
		no := errors.New("no")
		err := d.Transition(d.Context(), run, func(*durable.Run) (store.Decision, error) {
			return store.Decision{Change: durable.Change{Entries: []durable.Entry{done("a")}, Drop: []string{durable.Discovery}}}, no
		})
		require.Same(d, no, err) //nolint:testifylint // the very same value is asked for
		same(d, before, d.view(run))
		d.reopen()
		same(d, before, d.view(run))
	}},
	{"changes nothing when nothing is decided", func(d *db) {
		run := d.startAt(noon)
		before := d.view(run)
		d.change(run, durable.Change{})
		same(d, before, d.view(run))
	}},
	{"knows no run that is not there", func(d *db) {
		id := newID()
		err := d.Transition(d.Context(), id, func(*durable.Run) (store.Decision, error) {
			d.Error("decide was asked")
			return store.Decision{}, nil
		})
		require.ErrorIs(d, err, store.ErrNotFound)
		require.ErrorIs(d, d.View(d.Context(), id, func(*durable.Run) error { return nil }), store.ErrNotFound)
	}},
	{"returns an error of a viewer as it is", func(d *db) {
		no := errors.New("no")
		require.Same(d, no, d.View(d.Context(), d.startAt(noon), func(*durable.Run) error { return no })) //nolint:testifylint // as above
	}},
	{"appends to the journal in order", func(d *db) {
		run := d.startAt(noon)
		for i := range 20 {
			d.change(run, durable.Change{Entries: []durable.Entry{done(strconv.Itoa(2 * i)), done(strconv.Itoa(2*i + 1))}})
			if i == 10 {
				d.reopen()
			}
		}
		for _, from := range []int{0, 1, 39, 40, 41} {
			entries, err := d.Journal(d.Context(), run, from)
			require.NoError(d, err)
			require.Len(d, entries, max(0, 40-from))
			for i, e := range entries {
				require.Equal(d, strconv.Itoa(from+i), e.Step)
			}
		}
	}},
	{"drops and puts items", func(d *db) {
		run := d.startAt(noon.Add(time.Hour))
		d.change(run, put(run, "a", noon))
		d.change(run, put(run, "b", noon.Add(time.Second)))
		d.change(run, durable.Change{Drop: []string{"a", "unknown"}})
		d.change(run, put(run, "b", noon.Add(2*time.Second))) // replaced
		// What one change drops and puts is there.
		c := put(run, durable.Discovery, noon.Add(3*time.Second))
		c.Drop = []string{durable.Discovery}
		d.change(run, c)
		want := []durable.Item{{Run: run, Due: noon.Add(3 * time.Second)}, {Run: run, Step: "b", Due: noon.Add(2 * time.Second)}}
		items, err := d.Items(d.Context(), run)
		require.NoError(d, err)
		same(d, want, items)
		d.wantNothingDue(noon.Add(time.Second))
		require.Equal(d, "b", d.claimOne(noon.Add(2*time.Second)).Step)
		require.Equal(d, durable.Discovery, d.claimOne(noon.Add(3*time.Second)).Step)
		d.wantNothingDue(noon.Add(30 * time.Second))
	}},
	{"removes every item of a run that ends", func(d *db) {
		for _, status := range []durable.Status{durable.Completed, durable.Failed, durable.Cancelled} {
			run := d.startAt(noon)
			lease := d.claimOne(noon)
			d.change(run, put(run, "a", noon))
			c := put(run, "b", noon)
			c.Head = &durable.Head{Status: status, Started: noon, Ended: noon.Add(time.Second), Protocol: 1, Output: durable.JSON(`{"x":1}`)}
			d.change(run, c)
			d.wantNothingDue(noon.Add(time.Hour))
			held, err := d.Extend(d.Context(), lease, noon, time.Minute)
			require.NoError(d, err)
			require.False(d, held, "the lease is gone with its item")
			r := d.view(run)
			same(d, *c.Head, r.Head)
			require.Empty(d, r.Items)
			items, err := d.Items(d.Context(), run)
			require.NoError(d, err)
			require.Empty(d, items)
		}
		d.reopen()
		d.wantNothingDue(noon.Add(time.Hour))
		_, any, err := d.NextDue(d.Context())
		require.NoError(d, err)
		require.False(d, any)
	}},
	{"decides one after the other", func(d *db) {
		run := d.startAt(noon)
		const n = 100
		var wait sync.WaitGroup
		for range n {
			wait.Go(func() {
				err := d.Transition(d.Context(), run, func(r *durable.Run) (store.Decision, error) {
					if len(r.Stack) != r.Seq || len(r.Steps) != r.Seq {
						d.Errorf("decide saw half a change: %d finished steps after %d entries", len(r.Stack), r.Seq)
					}
					return store.Decision{Change: durable.Change{Entries: []durable.Entry{done(strconv.Itoa(r.Seq))}}}, nil
				})
				if err != nil {
					d.Errorf("transition: %v", err)
				}
			})
		}
		wait.Wait()
		entries, err := d.Journal(d.Context(), run, 0)
		require.NoError(d, err)
		require.Len(d, entries, n)
		for i, e := range entries {
			require.Equal(d, strconv.Itoa(i), e.Step, "the decision saw all before it")
		}
	}},
	{"shows a soft change at once and writes it before what follows", func(d *db) {
		run := d.startAt(noon)
		soft := durable.Change{Soft: true, Head: &durable.Head{Status: durable.Running, Started: noon, Protocol: durable.Unpinned}}
		d.change(run, soft)
		require.Equal(d, durable.Running, d.view(run).Status)
		d.change(run, durable.Change{Entries: []durable.Entry{done("a")}})
		read, err := d.Run(d.Context(), run)
		require.NoError(d, err)
		require.Equal(d, durable.Running, read.Status)
	}},
	{"starts what a run sends in the same transaction", func(d *db) {
		run := d.startAt(noon)
		finished := accepted(noon.Add(time.Minute))
		finished.Event.Name = durable.EventFinished
		child := finished.Starts[0].Run.ID
		end := durable.Change{Head: &durable.Head{Status: durable.Completed, Ended: noon, Output: durable.JSON(`1`)}}
		d.change(run, end, finished)
		_, err := d.Event(d.Context(), finished.Event.ID)
		require.NoError(d, err)
		require.Equal(d, durable.Queued, d.view(child).Status)
		require.Equal(d, child, d.claimOne(noon.Add(time.Minute)).Run)

		// One that fails takes the other with it.
		run2 := d.startAt(noon)
		before := d.view(run2)
		sent := accepted(noon)
		sent.Starts[0].Run.ID = child
		require.Error(d, d.tryChange(run2, end, sent))
		_, err = d.Event(d.Context(), sent.Event.ID)
		require.ErrorIs(d, err, store.ErrNotFound)
		same(d, before, d.view(run2))
		read, err := d.Run(d.Context(), run2)
		require.NoError(d, err)
		require.Equal(d, durable.Queued, read.Status)
		require.Equal(d, run2, d.claimOne(noon).Run)
		d.change(run2, end) // it goes on from where it was
		require.Equal(d, durable.Completed, d.view(run2).Status)
	}},
	{"sends an event once", func(d *db) {
		run, run2 := d.startAt(noon), d.startAt(noon)
		a := accepted(noon)
		again := store.Accepted{Event: a.Event, Starts: starts(start("shop-ship", a.Event, noon))}
		d.change(run, durable.Change{Entries: []durable.Entry{done("a")}}, a)
		d.change(run2, durable.Change{Entries: []durable.Entry{done("a")}}, again)
		require.Equal(d, []string{"a"}, d.view(run2).Stack, "the rest of the change is written")
		require.Len(d, d.claim(noon, 10), 3, "two runs and the one that was started")
	}},
}

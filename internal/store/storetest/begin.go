package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// begun is a run that began in an app and has done what the ops say.
func begun(d *db, ops ...durable.Op) store.Accepted {
	e := event("inngest/http.request")
	f := durable.Function{Slug: "shop-post-book", App: "shop", Version: 1}
	p := durable.DefaultPolicy
	r := durable.NewInline(newID(), f, e, p, noon, noon)
	c, err := durable.Next(r, durable.Inline{Ops: ops}, p, noon)
	require.NoError(d, err)
	r.Apply(c)
	a := store.Accepted{Event: e, Starts: []durable.Start{{Run: r, Entries: c.Entries, Waits: c.Waits, Dead: c.Dead}}}
	return a
}

func ran(step string) durable.Op {
	return durable.Op{Kind: durable.OpDone, Step: step, Op: "StepRun", Name: step, Memo: durable.JSON(`{"data":1}`)}
}

var beginTests = []test{
	{"writes a run that has begun, with what it has done", func(d *db) {
		a := begun(d, ran("a"))
		run := a.Starts[0].Run
		want := snapshot(run)
		require.NoError(d, d.Begin(d.Context(), noon, []store.Accepted{a}, nil))
		for range 2 {
			same(d, want, d.view(run.ID), unclaimed)
			read, err := d.Run(d.Context(), run.ID)
			require.NoError(d, err)
			same(d, want.Head, read.Head)
			require.Zero(d, d.Backlog(), "it does not wait to begin")
			d.reopen()
		}
		d.change(run.ID, durable.Change{Entries: []durable.Entry{{Step: "b", Kind: durable.StepDone, At: noon, Data: durable.JSON(`1`)}}})
		require.Equal(d, []string{"a", "b"}, d.view(run.ID).Stack)
		lease := d.claimOne(noon.Add(2 * durable.DefaultPolicy.Lease))
		require.Equal(d, durable.Lapse, lease.Kind, "if the app is not heard of again")
	}},
	{"writes a run that rests, and finds it by what it waits for", func(d *db) {
		nap := durable.Op{Kind: durable.OpSleep, Step: "nap", Op: "Sleep", Name: "nap", Until: noon.Add(time.Hour)}
		a := begun(d, ran("a"), nap)
		id := a.Starts[0].Run.ID
		require.NoError(d, d.Begin(d.Context(), noon, []store.Accepted{a}, nil))
		require.Equal(d, "nap", d.claimOne(noon.Add(time.Hour)).Step)
		d.reopen()
		require.Equal(d, "nap", d.claimOne(noon.Add(time.Hour)).Step)
		require.Equal(d, id, d.view(id).ID)
	}},
	{"writes a run that has ended", func(d *db) {
		a := begun(d, ran("a"), durable.Op{Kind: durable.OpComplete, Step: durable.CompleteID, Memo: durable.JSON(`{"ok":true}`)})
		want := snapshot(a.Starts[0].Run)
		require.NoError(d, d.Begin(d.Context(), noon, []store.Accepted{a}, nil))
		read, err := d.Run(d.Context(), want.ID)
		require.NoError(d, err)
		same(d, want.Head, read.Head)
		items, err := d.Items(d.Context(), want.ID)
		require.NoError(d, err)
		require.Empty(d, items)
	}},
	{"writes the dead letter of a run that has failed", func(d *db) {
		failed := durable.Op{Kind: durable.OpFailed, Step: durable.CompleteID, Err: durable.Failure{Name: "Error", Message: "no"}}
		a := begun(d, failed)
		id := a.Starts[0].Run.ID
		require.NoError(d, d.Begin(d.Context(), noon, []store.Accepted{a}, nil))
		l, err := d.DeadLetter(d.Context(), id)
		require.NoError(d, err)
		require.Equal(d, id, l.Run)
	}},
	{"begins once for a key", func(d *db) {
		once := func(reply string) *store.Once {
			return &store.Once{Scope: "endpoint/x", Key: "k", Fingerprint: "f", Reply: durable.JSON(reply), Life: time.Hour}
		}
		a, b := begun(d, ran("a")), begun(d, ran("a"))
		first, second := a.Starts[0].Run.ID, b.Starts[0].Run.ID
		require.NoError(d, d.Begin(d.Context(), noon, []store.Accepted{a}, once(first)))
		var again *store.RepeatedError
		require.ErrorAs(d, d.Begin(d.Context(), noon, []store.Accepted{b}, once(second)), &again)
		require.Equal(d, first, string(again.Entry.Reply))
		_, err := d.Run(d.Context(), second)
		require.ErrorIs(d, err, store.ErrNotFound)
		require.ErrorIs(d, d.Begin(d.Context(), noon, []store.Accepted{a}, once(first)), store.ErrExists, "sent again by who was first")
	}},
	{"does not write a run twice", func(d *db) {
		a := begun(d, ran("a"))
		id := a.Starts[0].Run.ID
		require.NoError(d, d.Begin(d.Context(), noon, []store.Accepted{a}, nil))
		b := begun(d, ran("b"))
		b.Starts[0].Run.ID = id
		require.ErrorIs(d, d.Begin(d.Context(), noon, []store.Accepted{b}, nil), store.ErrExists)
		require.Equal(d, []string{"a"}, d.view(id).Stack)
		_, err := d.Event(d.Context(), b.Event.ID)
		require.ErrorIs(d, err, store.ErrNotFound, "nothing of it is written")
	}},
}

package storetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var recoveryTests = []test{
	{"finds after a restart what was there before", func(d *db) {
		seed := rand.Uint64()
		d.Logf("seed %d", seed)
		rnd := rand.New(rand.NewPCG(seed, 0))
		var runs []string
		for range 6 {
			runs = append(runs, d.startAt(noon.Add(time.Duration(rnd.IntN(5000))*time.Millisecond)))
		}
		for range 4 {
			for range 40 {
				d.randomStep(rnd, runs[rnd.IntN(len(runs))])
			}
			type state struct {
				run     *durable.Run
				read    *durable.Run
				journal []durable.Entry
				items   []durable.Item
			}
			look := func(id string) (s state) {
				s.run = d.view(id)
				var err error
				s.read, err = d.Run(d.Context(), id)
				require.NoError(d, err)
				s.journal, err = d.Journal(d.Context(), id, 0)
				require.NoError(d, err)
				s.items, err = d.Items(d.Context(), id)
				require.NoError(d, err)
				return s
			}
			before := map[string]state{}
			for _, id := range runs {
				d.change(id, durable.Change{Entries: []durable.Entry{{Kind: durable.Nothing, At: noon}}}) // what was soft is written
				before[id] = look(id)
			}
			d.reopen()
			for _, id := range runs {
				after := look(id)
				same(d, before[id].run, after.run, unclaimed)
				same(d, before[id].read, after.read, unclaimed)
				same(d, before[id].journal, after.journal)
				same(d, before[id].items, after.items, unclaimed)
				same(d, after.run.Head, after.read.Head)
			}
		}
	}},
	{"keeps its secret over a restart, and no other store has it", func(d *db) {
		before := d.Secret()
		require.Len(d, before, 32)
		d.reopen()
		require.Equal(d, before, d.Secret())
		other := &db{T: d.T, fixture: d.another(d.T)}
		other.open()
		require.NotEqual(d, before, other.Secret())
		require.NoError(d, other.Close())
	}},
	{"keeps what is due over a restart", func(d *db) {
		ids := d.startMany(300, func(i int) time.Time { return noon.Add(time.Duration(i) * time.Minute) })
		gone := d.claim(noon.Add(99*time.Minute), 100)
		for _, l := range gone[:50] {
			d.change(l.Run, durable.Change{Drop: []string{l.Step}})
		}
		d.reopen()
		// Whoever held the rest is gone; its leases have run out by then.
		require.Equal(d, ids[50:], leasedRuns(d.claim(noon.Add(400*time.Minute), 1000)))
	}},
	{"is not due early for being rounded", func(d *db) {
		due := noon.Add(1500 * time.Nanosecond)
		run := d.startAt(due)
		check := func() {
			d.Helper()
			next, any, err := d.NextDue(d.Context())
			require.NoError(d, err)
			require.True(d, any)
			require.False(d, next.Before(due), "next due %s, item %s", next, due)
			d.wantNothingDue(due.Add(-1))
		}
		check()
		d.reopen()
		check()
		require.Equal(d, run, d.claimOne(due.Add(time.Microsecond)).Run)
	}},
}

// randomStep commits one change that Next could have made, or nearly.
func (d *db) randomStep(rnd *rand.Rand, run string) {
	d.Helper()
	at := func() time.Time { return noon.Add(time.Duration(rnd.IntN(1e6)) * time.Microsecond) }
	if rnd.IntN(4) == 0 {
		_, err := d.Claim(d.Context(), at(), time.Duration(rnd.IntN(1000))*time.Microsecond, rnd.IntN(3))
		require.NoError(d, err)
		return
	}
	err := d.Transition(d.Context(), run, func(r *durable.Run) (store.Decision, error) {
		var c durable.Change
		if r.Status.Final() {
			return store.Decision{}, nil
		}
		steps := []string{"a", "b", "c", "d", "e"}
		step := func() string { return steps[rnd.IntN(len(steps))] }
		for range rnd.IntN(3) {
			e := durable.Entry{
				Step: step(), Kind: durable.EntryKind(1 + rnd.IntN(8)), Op: "Sleep", Attempt: rnd.IntN(3), At: at(), Started: at(),
				Took: time.Duration(rnd.IntN(1000)) * time.Microsecond, Until: at(), Group: rnd.IntN(2) == 0, Race: rnd.IntN(4) == 0,
			}
			if s := r.Steps[e.Step]; s != nil && s.State == durable.Done {
				continue
			}
			if rnd.IntN(2) == 0 {
				e.Data = durable.JSON(fmt.Sprintf(`{"data":%d}`, rnd.IntN(1000)))
			}
			c.Entries = append(c.Entries, e)
			if e.Kind == durable.StepDone || e.Kind == durable.StepFailed {
				break // a step ends once
			}
		}
		if rnd.IntN(3) == 0 {
			c.Head = &durable.Head{Status: durable.Running, Started: at(), Protocol: 2}
		}
		if rnd.IntN(3) == 0 {
			c.Drop = append(c.Drop, step())
		}
		for range rnd.IntN(3) {
			c.Put = append(c.Put, durable.Put{
				Item: durable.Item{Run: run, Step: step(), Kind: durable.ItemKind(rnd.IntN(2)), Due: at(), Attempt: rnd.IntN(9), Again: rnd.IntN(2) == 0},
				// Whoever keeps a claim does not move the item to another kind.
				KeepClaim: false,
			})
		}
		if rnd.IntN(40) == 0 {
			c.Head = &durable.Head{Status: durable.Failed, Started: at(), Ended: at(), Protocol: 2, Output: durable.JSON(`{"message":"no"}`)}
		}
		c.Soft = rnd.IntN(4) == 0
		return store.Decision{Change: c}, nil
	})
	require.NoError(d, err)
}

package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/store"
)

// throttled lets one run begin in a day, and makes requests one at a time.
func throttled(lane string) (flow.Class, []flow.GateSpec) {
	begins, slug, _, _ := durable.Lane(lane)
	one := flow.GateSpec{Name: "step/" + slug, Slots: 1}
	if !begins {
		return flow.Continue, []flow.GateSpec{one}
	}
	return flow.Begin, []flow.GateSpec{{Name: "throttle/" + slug, Rate: flow.Throttle(1, day, 0), Stays: true}, one}
}

// begin sends the first request of a run.
func (d *db) begin(run string, at time.Time) {
	d.Helper()
	d.change(run, durable.Change{Began: true, Head: &durable.Head{Status: durable.Running, Started: at, Protocol: durable.Unpinned}})
}

var limitTests = []test{
	{"gives back the rate of a claim by which no run begins", func(d *db) {
		first, second := d.startAt(noon), d.startAt(noon.Add(time.Second))
		d.Limit(throttled)
		l := d.claimOne(noon)
		require.Equal(d, first, l.Run)
		d.wantNothingDue(noon.Add(time.Second))
		require.NoError(d, d.Release(d.Context(), []store.Lease{l}))
		require.Equal(d, first, d.claimOne(noon.Add(time.Second)).Run, "it was given back")
		require.Equal(d, first, d.claimOne(noon.Add(2*time.Minute)).Run, "its lease ran out")
		d.change(first, durable.Change{Drop: []string{durable.Discovery}})
		require.Equal(d, second, d.claimOne(noon.Add(2*time.Minute)).Run, "it is not to begin any more")
	}},
	{"keeps a rate that a run has begun by, over a restart too", func(d *db) {
		first, second := d.startAt(noon), d.startAt(noon.Add(time.Second))
		d.Limit(throttled)
		l := d.claimOne(noon)
		d.begin(first, noon)
		require.NoError(d, d.Release(d.Context(), []store.Lease{l}))
		d.change(first, durable.Change{Drop: []string{durable.Discovery}})
		d.wantNothingDue(noon.Add(day - time.Microsecond))
		d.reopen()
		d.Limit(throttled)
		d.wantNothingDue(noon.Add(day - time.Microsecond))
		require.Equal(d, second, d.claimOne(noon.Add(day)).Run)
	}},
	{"uses up no rate when the clock is set back", func(d *db) {
		d.Limit(throttled)
		busy := d.startAt(noon.Add(-time.Hour))
		d.change(busy, durable.Change{Put: []durable.Put{{Item: durable.Item{Run: busy, Due: noon, Lane: "cshop-ship"}}}})
		require.Equal(d, busy, d.claimOne(noon).Run)
		next := d.startAt(noon)
		d.wantNothingDue(noon) // its turn has come, but for the slot
		d.change(busy, durable.Change{Drop: []string{durable.Discovery}})
		d.wantNothingDue(noon.Add(-time.Minute))
		require.Equal(d, next, d.claimOne(noon).Run)
	}},
}

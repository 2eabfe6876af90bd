package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var queueTests = []test{
	{"hands out what is due, earliest first", func(d *db) {
		ids := d.startMany(20, func(i int) time.Time { return noon.Add(time.Duration((i*7)%20) * time.Second) })
		slices.SortFunc(ids, func(a, b string) int { return d.view(a).Items[""].Due.Compare(d.view(b).Items[""].Due) })
		require.Empty(d, d.claim(noon.Add(-time.Microsecond), 100), "nothing before its time")
		require.Equal(d, ids[:3], leasedRuns(d.claim(noon.Add(9*time.Second), 3)), "no more than asked for")
		require.Equal(d, ids[3:10], leasedRuns(d.claim(noon.Add(9*time.Second), 100)), "nothing that is not due")
		require.Empty(d, d.claim(noon.Add(9*time.Second), 100), "nothing twice")
		require.Equal(d, ids[10:], leasedRuns(d.claim(noon.Add(19*time.Second), 100)), "to the very moment")
	}},
	{"hands out an item as it was put", func(d *db) {
		run := d.startAt(noon.Add(time.Hour))
		item := durable.Item{Run: run, Step: "s", Kind: durable.Wake, Due: noon, Attempt: 4, Again: true}
		d.change(run, durable.Change{Put: []durable.Put{{Item: item}}})
		l := d.claimOne(noon.Add(time.Second))
		same(d, item, l.Item, unclaimed)
		require.True(d, l.Claimed)
		require.Positive(d, l.Generation)
		require.True(d, l.Until.Equal(noon.Add(time.Second+time.Minute)))
	}},
	{"shows a claim in the run", func(d *db) {
		run := d.startAt(noon)
		require.False(d, d.view(run).Items[""].Claimed)
		l := d.claimOne(noon)
		same(d, l.Item, *d.view(run).Items[""])
		require.NoError(d, d.Release(d.Context(), []store.Lease{l}))
		require.False(d, d.view(run).Items[""].Claimed)
		l = d.claimOne(noon)
		same(d, l.Item, *d.view(run).Items[""])
		d.change(run, put(run, "", noon.Add(time.Second)))
		after := *d.view(run).Items[""]
		require.False(d, after.Claimed, "a put item is free")
		require.Equal(d, l.Generation, after.Generation, "the newest claim stays known")
	}},
	{"hands out an item again when its lease has run out", func(d *db) {
		run := d.startAt(noon)
		l := d.claimOne(noon)
		d.wantNothingDue(noon.Add(time.Minute - time.Microsecond))
		again := d.claimOne(noon.Add(time.Minute))
		require.Equal(d, run, again.Run)
		require.Greater(d, again.Generation, l.Generation)
		held, err := d.Extend(d.Context(), l, noon.Add(time.Minute), time.Minute)
		require.NoError(d, err)
		require.False(d, held, "the lease was lost")
		require.NoError(d, d.Release(d.Context(), []store.Lease{l}), "whoever lost a lease has nothing to give back")
		d.wantNothingDue(noon.Add(time.Minute))
		require.Equal(d, again.Generation, d.view(run).Items[""].Generation)
	}},
	{"keeps a lease that is extended", func(d *db) {
		d.startAt(noon)
		l := d.claimOne(noon)
		for i := range 5 {
			now := noon.Add(time.Duration(i) * 50 * time.Second)
			d.wantNothingDue(now)
			held, err := d.Extend(d.Context(), l, now, time.Minute)
			require.NoError(d, err)
			require.True(d, held)
		}
		d.wantNothingDue(noon.Add(259 * time.Second))
		require.Greater(d, d.claimOne(noon.Add(260*time.Second)).Generation, l.Generation)
	}},
	{"takes back what is released, due as it was", func(d *db) {
		ids := d.startMany(4, func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) })
		first := d.claim(noon.Add(3*time.Second), 4)
		require.NoError(d, d.Release(d.Context(), []store.Lease{first[2], first[0]}))
		d.wantNothingDue(noon.Add(-time.Microsecond))
		again := d.claim(noon.Add(3*time.Second), 4)
		require.Equal(d, []string{ids[0], ids[2]}, leasedRuns(again))
		require.Greater(d, again[0].Generation, first[3].Generation)
		require.NoError(d, d.Release(d.Context(), nil))
	}},
	{"never gives a generation twice, nor a lower one", func(d *db) {
		ids := d.startMany(8, func(int) time.Time { return noon })
		newest := int64(0)
		for round := range 5 {
			now := noon.Add(time.Duration(round) * time.Hour)
			leases := d.claim(now, 100)
			require.ElementsMatch(d, ids, leasedRuns(leases))
			seen := map[int64]bool{}
			low := leases[0].Generation
			for _, l := range leases {
				require.False(d, seen[l.Generation])
				seen[l.Generation] = true
				low = min(low, l.Generation)
			}
			require.Greater(d, low, newest, "round %d", round)
			for g := range seen {
				newest = max(newest, g)
			}
			require.Less(d, newest, int64(1)<<53, "SDKs carry it in a float")
			if round%2 == 1 {
				d.reopen()
			}
		}
	}},
	{"frees an item that is put anew while it is claimed", func(d *db) {
		run := d.startAt(noon)
		l := d.claimOne(noon)
		d.change(run, put(run, "", noon.Add(5*time.Second)))
		held, err := d.Extend(d.Context(), l, noon, time.Minute)
		require.NoError(d, err)
		require.False(d, held)
		require.NoError(d, d.Release(d.Context(), []store.Lease{l}))
		d.wantNothingDue(noon.Add(5*time.Second - time.Microsecond))
		again := d.claimOne(noon.Add(5 * time.Second))
		require.Greater(d, again.Generation, l.Generation)
		d.change(run, put(run, "", noon.Add(time.Hour*24*300)))
		d.wantNothingDue(noon.Add(24 * time.Hour))
		require.Greater(d, d.claimOne(noon.Add(time.Hour*24*300)).Generation, again.Generation)
	}},
	{"ends the lease of an item that is dropped", func(d *db) {
		run := d.startAt(noon)
		l := d.claimOne(noon)
		d.change(run, durable.Change{Drop: []string{""}})
		held, err := d.Extend(d.Context(), l, noon, time.Minute)
		require.NoError(d, err)
		require.False(d, held)
		d.wantNothingDue(noon.Add(time.Hour))
	}},
	{"leaves an item claimed when a change keeps the claim", func(d *db) {
		run := d.startAt(noon)
		l := d.claimOne(noon)
		kept := durable.Item{Run: run, Due: noon.Add(time.Second), Attempt: 3, Again: true}
		d.change(run, durable.Change{Put: []durable.Put{{Item: kept, KeepClaim: true}}})
		item := *d.view(run).Items[""]
		same(d, kept, item, unclaimed)
		require.True(d, item.Claimed)
		require.Equal(d, l.Generation, item.Generation)
		d.wantNothingDue(noon.Add(30 * time.Second))
		held, err := d.Extend(d.Context(), l, noon, time.Minute)
		require.NoError(d, err)
		require.True(d, held)
		same(d, kept, d.claimOne(noon.Add(time.Minute)).Item, unclaimed)
	}},
	{"frees an item of which nobody holds the claim to keep", func(d *db) {
		run := d.startAt(noon.Add(time.Hour))
		d.change(run, durable.Change{Put: []durable.Put{{Item: durable.Item{Run: run, Due: noon}, KeepClaim: true}}})
		require.False(d, d.view(run).Items[""].Claimed)
		require.Equal(d, run, d.claimOne(noon).Run)
	}},
	{"says when something is due next", func(d *db) {
		next := func() string {
			t, any, err := d.NextDue(d.Context())
			require.NoError(d, err)
			if !any {
				return "never"
			}
			return t.Sub(noon).String()
		}
		require.Equal(d, "never", next())
		far := d.startAt(noon.Add(300 * 24 * time.Hour))
		require.Equal(d, "7200h0m0s", next())
		run := d.startAt(noon.Add(time.Hour))
		require.Equal(d, "1h0m0s", next())
		d.reopen()
		require.Equal(d, "1h0m0s", next())
		l := d.claimOne(noon.Add(time.Hour))
		require.Equal(d, "1h1m0s", next(), "a lease ends")
		_, err := d.Extend(d.Context(), l, noon.Add(time.Hour), time.Hour)
		require.NoError(d, err)
		require.Equal(d, "2h0m0s", next())
		require.NoError(d, d.Release(d.Context(), []store.Lease{l}))
		at, _, err := d.NextDue(d.Context())
		require.NoError(d, err)
		require.False(d, at.After(noon.Add(time.Hour)), "given back, it may be claimed at once")
		d.claimOne(noon.Add(time.Hour))
		d.change(run, durable.Change{Drop: []string{""}})
		require.Equal(d, "7200h0m0s", next())
		d.change(far, durable.Change{Drop: []string{""}})
		d.wantNothingDue(noon.Add(400 * 24 * time.Hour))
		require.Equal(d, "never", next())
	}},
	{"gives each of many items out once, in order, however far ahead they were put", func(d *db) {
		const n = 5000
		seed := rand.Uint64()
		d.Logf("seed %d", seed)
		rnd := rand.New(rand.NewPCG(seed, 0))
		due := make([]time.Duration, n)
		for i := range due {
			due[i] = time.Duration(rnd.IntN(60_000)) * time.Millisecond
			if i%10 == 0 {
				due[i] *= 1000 // some hours away
			}
		}
		ids := d.startMany(n, func(i int) time.Time { return noon.Add(due[i]) })
		at := map[string]time.Duration{}
		for i, id := range ids {
			at[id] = due[i]
		}
		last := time.Duration(-1)
		for now := noon; len(at) > 0; {
			for _, l := range d.claim(now, 1+rnd.IntN(300)) {
				want, ok := at[l.Run]
				require.True(d, ok, "claimed twice: %s", l.Run)
				require.LessOrEqual(d, last, want, "out of order")
				require.False(d, now.Before(noon.Add(want)), "early")
				delete(at, l.Run)
				last = want
			}
			d.endClaimed(ids, at) // or its lease would run out
			ids = slices.Collect(maps.Keys(at))
			if len(ids) == 0 {
				break
			}
			next, any, err := d.NextDue(d.Context())
			require.NoError(d, err)
			require.True(d, any, "%d items were never due", len(ids))
			now = maxTime(now, next)
		}
	}},
	{"gives an item to one of many that ask", func(d *db) {
		const n = 400
		ids := d.startMany(n, func(i int) time.Time { return noon.Add(time.Duration(i) * time.Millisecond) })
		var mu sync.Mutex
		var got []string
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				for {
					leases, err := d.Claim(d.Context(), noon.Add(time.Second), time.Minute, 7)
					if err != nil {
						d.Errorf("claim: %v", err)
					}
					if len(leases) == 0 {
						return
					}
					mu.Lock()
					got = append(got, leasedRuns(leases)...)
					mu.Unlock()
				}
			})
		}
		wait.Wait()
		require.ElementsMatch(d, ids, got)
	}},
	{"holds several items of one run apart", func(d *db) {
		run := d.startAt(noon.Add(time.Hour))
		for i := range 10 {
			d.change(run, put(run, "s"+strconv.Itoa(i), noon))
		}
		leases := d.claim(noon, 100)
		steps := map[string]bool{}
		for _, l := range leases {
			steps[l.Step] = true
		}
		require.Len(d, steps, 10, fmt.Sprint(leases))
		require.NoError(d, d.Release(d.Context(), leases[4:5]))
		require.Equal(d, leases[4].Step, d.claimOne(noon).Step)
	}},
}

// endClaimed drops the items of the runs that are not open any more.
func (d *db) endClaimed(ids []string, open map[string]time.Duration) {
	d.Helper()
	var wait sync.WaitGroup
	for _, id := range ids {
		if _, ok := open[id]; ok {
			continue
		}
		wait.Go(func() {
			if err := d.tryChange(id, durable.Change{Drop: []string{""}}); err != nil {
				d.Errorf("transition: %v", err)
			}
		})
	}
	wait.Wait()
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

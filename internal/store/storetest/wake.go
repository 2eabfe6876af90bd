package storetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var wakeTests = []test{
	{"wakes when something is due earlier", func(d *db) {
		run := d.startAt(noon.Add(time.Hour))
		d.wantWake()
		d.change(run, put(run, "a", noon))
		d.wantWake()
		l := d.claimOne(noon)
		d.drainWake()
		require.NoError(d, d.Release(d.Context(), []store.Lease{l}))
		d.wantWake()
		d.change(run, durable.Change{Entries: []durable.Entry{done("b")}}, accepted(noon))
		d.wantWake()
	}},
	{"has what it woke for when it wakes", func(d *db) {
		for range 50 {
			d.drainWake()
			var wait sync.WaitGroup
			wait.Go(func() { d.startAt(noon) })
			<-d.Wake()
			d.claimOne(noon)
			wait.Wait()
		}
	}},
	{"delivers everything once, without anybody polling", func(d *db) {
		Deliver(d.T, d.Store, Load{Producers: 4, Each: 60, Spread: 300 * time.Millisecond, Late: 5 * time.Second})
	}},
}

// wantWake fails unless a wake-up is there or comes.
func (d *db) wantWake() {
	d.Helper()
	select {
	case <-d.Wake():
	case <-time.After(10 * time.Second):
		d.Fatal("nobody was woken")
	}
}

func (d *db) drainWake() {
	select {
	case <-d.Wake():
	default:
	}
}

// Load is what Deliver puts through a store.
type Load struct {
	Producers int
	Each      int           // items put by each of them
	Spread    time.Duration // how far ahead the items are due
	Late      time.Duration // how late an item may come
}

// Deliver lets producers put items that are due soon, and a consumer take them
// who sleeps until NextDue or until it is woken. It fails when an item comes
// early, late or twice. A wake-up that is missed is one that never comes: the
// consumer does not poll.
func Deliver(t *testing.T, st store.Store, load Load) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	pauses := time.Duration(load.Each) * load.Spread / 8
	ctx, cancel := context.WithTimeout(t.Context(), pauses+load.Spread+2*load.Late)
	defer cancel()
	total := load.Producers * load.Each
	var producers sync.WaitGroup
	for p := range load.Producers {
		producers.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(p)))
			var run string
			for i := range load.Each {
				due := time.Now().Add(time.Duration(rnd.Int64N(int64(load.Spread)))).Truncate(time.Microsecond)
				var err error
				if i%4 == 0 {
					a := accepted(due)
					run = a.Starts[0].Run.ID
					_, err = st.Accept(ctx, time.Now(), []store.Accepted{a})
				} else {
					step := string(rune('a' + i%4))
					err = st.Transition(ctx, run, func(r *durable.Run) (store.Decision, error) {
						return store.Decision{Change: put(r.ID, step, due)}, nil
					})
				}
				if err != nil {
					t.Errorf("put: %v", err)
					cancel()
					return
				}
				if rnd.IntN(8) == 0 { // a pause, so that the consumer falls asleep
					wait(ctx, nil, time.Duration(rnd.Int64N(int64(load.Spread)/8)))
				}
			}
		})
	}
	defer producers.Wait()

	type key struct{ run, step string }
	seen := map[key]bool{}
	for len(seen) < total {
		next, any, err := st.NextDue(ctx)
		if err != nil {
			t.Errorf("next due: %v", err)
			return
		}
		if sleep := time.Until(next); !any || sleep > 0 {
			if !any {
				sleep = -1
			}
			if !wait(ctx, st.Wake(), sleep) {
				t.Errorf("%d of %d items came; next due %s (%t)", len(seen), total, next, any)
				return
			}
			continue
		}
		now := time.Now()
		leases, err := st.Claim(ctx, now, 1000*24*time.Hour, 1+len(seen)%5) // nothing comes back
		if err != nil {
			t.Errorf("claim: %v", err)
			return
		}
		for _, l := range leases {
			k := key{l.Run, l.Step}
			switch late := now.Sub(l.Due); {
			case seen[k]:
				t.Errorf("item %v came twice", k)
				return
			case late < 0:
				t.Errorf("item %v came %s early", k, -late)
			case late > load.Late:
				t.Errorf("item %v came %s late", k, late)
			}
			seen[k] = true
		}
	}
}

// wait blocks until woken, or for d unless it is negative. It reports false
// when ctx has ended.
func wait(ctx context.Context, wake <-chan struct{}, d time.Duration) bool {
	var timer <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-wake:
	case <-timer:
	case <-ctx.Done():
		return false
	}
	return true
}

package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func isSkipped(r *durable.Run) bool { return r.Status == durable.Skipped }

// leftOut are the records of ticks that started no run, oldest first.
func (p *pawl) leftOut() (records []durable.Skip, runs []*durable.Run) {
	p.t.Helper()
	for _, r := range p.runs() {
		if isSkipped(r) {
			var s durable.Skip
			require.NoError(p.t, json.Unmarshal(r.Output, &s))
			records, runs = append(records, s), append(runs, r)
		}
	}
	return records, runs
}

// TestTicksThatOverlapAreRecorded (I17): a tick that is skipped leaves a run that says so.
func TestTicksThatOverlapAreRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"150s"`)}
		p := newPawl(t, a, clockwork("f", `{"cron":"1-3 0 * * *","overlap":"skip"}`))
		day := time.Now()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		records, runs := p.leftOut()
		first := p.runs()[0]
		require.Equal(t, durable.Completed, first.Status)
		require.Len(t, records, 2)
		for i, r := range records {
			tick := day.Add(time.Duration(i+2) * time.Minute).UTC()
			require.Equal(t, durable.Skip{Reason: durable.SkipOverlap, Run: first.ID, From: tick, To: tick, Ticks: 1}, r)
			require.Equal(t, "1-3 0 * * *", runs[i].Cron)
			require.WithinDuration(t, tick, runs[i].Ended, time.Second)
			w, _, err := p.Why(t.Context(), runs[i].ID)
			require.NoError(t, err)
			require.Contains(t, w.Text, "skipped at")
			require.Contains(t, w.Text, "run "+first.ID+" of an earlier tick was in progress at the tick of "+tick.Format(time.RFC3339))
		}
		require.Len(t, a.seen(), 2, "nothing is called for it")
		p.restart()
	})
}

// TestOutageIsOneRecord: a year of a tick a minute that nobody was there to run.
func TestOutageIsOneRecord(t *testing.T) {
	t.Parallel()
	for policy, c := range map[string]struct {
		runs, days int
	}{`"once"`: {1, 365}, `"skip"`: {1, 7}, `"all:3"`: {3, 7}} { // of "skip" the newest, which is less than a minute late
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPawl(t, &app{serve: serial()}, clockwork("f", `{"cron":"* * * * *","overlap":"allow","missed":`+policy+`}`))
				begin := time.Now().UTC()
				time.Sleep(time.Second)
				require.NoError(t, p.Close(t.Context()))
				time.Sleep(time.Duration(c.days)*24*time.Hour + 9*time.Second)
				minutes := int(time.Since(begin) / time.Minute)
				p.start()
				synctest.Wait()
				runs := c.runs
				require.Equal(t, runs, p.count(durable.Completed))
				records, of := p.leftOut()
				require.Equal(t, []durable.Skip{{
					Reason: durable.SkipMissed, From: begin.Add(time.Minute), To: begin.Add(time.Duration(minutes-runs) * time.Minute), Ticks: minutes - runs,
				}}, records)
				require.Contains(t, of[0].Skip(), fmt.Sprintf("%d ticks from ", minutes-runs))
				p.restart()
				synctest.Wait()
				require.Len(t, p.runs(), runs+1, "it is told once")
			})
		})
	}
}

// cutOff is a store whose answers to a tick may be lost, and what was asked too.
type cutOff struct {
	store.Store
	on     *atomic.Bool
	random *rand.Rand // the engine works one tick of a function at a time
	lost   *atomic.Int64
}

func (c cutOff) Settle(ctx context.Context, l store.Lease, now time.Time, after store.Settled) error {
	if l.Kind != durable.Tick || !c.on.Load() || c.random.IntN(3) > 0 {
		return c.Store.Settle(ctx, l, now, after)
	}
	c.lost.Add(1)
	if c.random.IntN(2) == 0 {
		if err := c.Store.Settle(ctx, l, now, after); err != nil {
			return err
		}
	}
	return store.ErrUnavailable
}

// TestEveryTickIsDecidedOnce (I17): over crashes at any place, restarts and outages
// each tick starts one run or is in one record, and in no second.
func TestEveryTickIsDecidedOnce(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"allow", "skip", "queue", "replace"} {
		for _, missed := range []string{"once", "skip", "all:2"} {
			if missed != "once" && (policy == "allow" || policy == "replace") {
				continue // nothing new
			}
			for seed := range uint64(1) {
				t.Run(fmt.Sprint(policy, " ", missed, " ", seed), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						random, settles := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
						a := &app{serve: awaits("Sleep", "nap", `,"name":"150s"`)}
						p := newPawl(t, a, clockwork("f", `{"cron":"* * * * *","overlap":"`+policy+`","missed":"`+missed+`"}`))
						begin := time.Now().UTC()
						var on atomic.Bool
						var lost atomic.Int64
						on.Store(true)
						p.between = func(s store.Store) store.Store { return cutOff{s, &on, settles, &lost} }
						p.restart()
						for range 8 {
							time.Sleep(time.Duration(random.IntN(10*60)) * time.Second)
							require.NoError(t, p.Close(t.Context()))
							if random.IntN(2) == 0 {
								time.Sleep(time.Duration(random.IntN(10*60)) * time.Second)
							}
							p.start()
						}
						on.Store(false)
						time.Sleep(10 * time.Minute)
						synctest.Wait()
						require.NotZero(t, lost.Load())
						decided := map[time.Time]int{}
						for _, r := range p.runs() {
							if !isSkipped(r) {
								decided[p.tickOf(r)]++
							}
						}
						records, _ := p.leftOut()
						for _, s := range records {
							n := 0
							for at := s.From; !at.After(s.To); at = at.Add(time.Minute) {
								decided[at]++
								n++
							}
							require.Equal(t, n, s.Ticks, "%+v", s)
						}
						held := 0 // the run before it goes on
						for tick := begin.Truncate(time.Minute).Add(time.Minute); !tick.After(time.Now().Add(-time.Minute)); tick = tick.Add(time.Minute) {
							if policy == "queue" && decided[tick] == 0 {
								held++
								continue
							}
							require.Equal(t, 1, decided[tick], "%s", tick)
						}
						require.LessOrEqual(t, held, 1, "one tick is held back")
					})
				})
			}
		}
	}
}

// tickOf is the tick that has started a run.
func (p *pawl) tickOf(r *durable.Run) time.Time {
	p.t.Helper()
	r, err := p.History().Run(p.t.Context(), r.ID) // a list has no bodies
	require.NoError(p.t, err)
	var e struct {
		Data struct{ ScheduledAt time.Time }
	}
	require.NoError(p.t, json.Unmarshal(r.Events[0].Body, &e))
	return e.Data.ScheduledAt.UTC()
}

package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// acts are the lines of the audit log, newest first, without their numbers.
func (d *db) acts(f store.ActFilter) []durable.Act {
	d.Helper()
	list, err := d.Acts(d.Context(), f, store.Page{Limit: 1000})
	require.NoError(d, err)
	for i := range list {
		list[i].Seq = 0
	}
	return list
}

// about is a line about an object.
func about(object string, at time.Time) durable.Act {
	return durable.Act{At: at, By: "ann", What: "test", Object: object}
}

var auditTests = []test{
	{"lists what was done by time and object, page by page", func(d *db) {
		at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
		want := []durable.Act{about("a", at(3)), did(at(2)), about("b", at(2)), about("a", at(1)), about("b", at(0))}
		for i := len(want) - 1; i >= 0; i-- {
			require.NoError(d, d.NoteAct(d.Context(), want[i]))
		}
		d.reopen()
		same(d, want, d.acts(store.ActFilter{}))
		var paged []durable.Act
		for p := (store.Page{Limit: 2}); ; {
			list, err := d.Acts(d.Context(), store.ActFilter{}, p)
			require.NoError(d, err)
			if len(list) == 0 {
				break
			}
			p.Cursor = store.ActCursor(list[len(list)-1])
			for _, a := range list {
				require.NotZero(d, a.Seq)
				a.Seq = 0
				paged = append(paged, a)
			}
		}
		same(d, want, paged)
		same(d, []durable.Act{want[0], want[3]}, d.acts(store.ActFilter{Object: "a"}))
		same(d, want[1:4], d.acts(store.ActFilter{From: at(1), Until: at(3)}))
		same(d, []durable.Act{want[2]}, d.acts(store.ActFilter{Object: "b", From: at(1)}))
		require.Empty(d, d.acts(store.ActFilter{Object: "c"}))
		_, err := d.Acts(d.Context(), store.ActFilter{}, store.Page{Limit: 1, Cursor: "x"})
		require.ErrorIs(d, err, store.ErrNotFound)
	}},
	{"tells each change, and none that is refused or changes nothing", func(d *db) {
		n := 0
		// told checks that one line has come, or none.
		told := func(line bool, err error) {
			d.Helper()
			_ = err // of what is refused; which one is for other tests
			if line {
				require.NoError(d, err)
				n++
			}
			require.Len(d, d.acts(store.ActFilter{}), n)
		}
		l, other := d.fail("shop-ship", durable.ClassError, "no", noon), d.fail("shop-ship", durable.ClassError, "no", noon)
		told(true, d.Annotate(d.Context(), l.Run, "see 7", did(noon)))
		told(false, d.Annotate(d.Context(), l.Run, "see 7", did(noon)))
		told(false, d.Annotate(d.Context(), newID(), "see 7", did(noon)))
		told(true, d.Discard(d.Context(), l.Run, "no", did(noon)))
		told(false, d.Discard(d.Context(), l.Run, "no", did(noon)))
		told(true, d.Discard(d.Context(), l.Run, "other", did(noon)))
		told(false, d.Discard(d.Context(), newID(), "no", did(noon)))
		act := did(noon)
		rerun := func() store.Rerun {
			r := d.rerun(other.Run)
			r.Letter, r.Act = true, &act
			return r
		}
		told(true, d.Rerun(d.Context(), noon, rerun()))
		told(false, d.Rerun(d.Context(), noon, rerun()))

		once := &store.Once{Scope: "retry", Key: "k", Life: time.Hour}
		job := store.RetryJob{ID: newID(), Created: noon}
		told(true, d.StartRetries(d.Context(), job, once, did(noon)))
		told(false, d.StartRetries(d.Context(), store.RetryJob{ID: newID(), Created: noon}, once, did(noon)))
		told(true, d.StopRetries(d.Context(), job.ID, "enough", did(noon)))
		told(false, d.StopRetries(d.Context(), job.ID, "enough", did(noon)))
		told(false, d.StopRetries(d.Context(), newID(), "enough", did(noon)))

		s := durable.Schedule{ID: "a", Function: "shop-ship", Cron: "* * * * *", Created: noon}
		tick := durable.Item{Run: "cron/shop-ship", Step: "api a", Kind: durable.Tick, Due: far}
		told(true, d.AddSchedule(d.Context(), s, tick, nil, did(noon)))
		told(false, d.AddSchedule(d.Context(), s, tick, nil, did(noon)))
		told(true, d.RemoveSchedule(d.Context(), "a", []durable.Ref{ref(tick)}, did(noon)))
		told(false, d.RemoveSchedule(d.Context(), "a", nil, did(noon)))

		c := durable.Cancellation{ID: newID(), Function: "shop-ship", App: "shop", Before: noon, Created: noon}
		sweep := durable.Item{Run: c.ID, Step: durable.SweepStep, Kind: durable.Sweep, Due: far}
		told(true, d.AddCancellation(d.Context(), c, sweep, nil, did(noon)))
		told(true, d.RemoveCancellation(d.Context(), c.ID, did(noon)))
		told(false, d.RemoveCancellation(d.Context(), c.ID, did(noon)))

		told(true, d.VoidKey(d.Context(), "retry", "k", did(noon)))
		told(false, d.VoidKey(d.Context(), "retry", "k", did(noon)))
		told(true, d.SaveControl(d.Context(), durable.Control{Name: "shop-ship", Pause: durable.PauseAll, Since: noon}, did(noon)))
		app := durable.App{Name: "shop", SyncedAt: noon}
		told(true, d.SaveApp(d.Context(), app, nil, nil, nil, &act))
		told(false, d.SaveApp(d.Context(), app, nil, nil, nil, nil))

		run := d.startAt(far)
		cancel := func() error {
			return d.Transition(d.Context(), run, func(r *durable.Run) (store.Decision, error) {
				if r.Status.Final() {
					return store.Decision{}, durable.ErrEnded
				}
				return store.Decision{Change: end(durable.Cancelled), Act: &act}, nil
			})
		}
		told(true, cancel())
		told(false, cancel())
		lines := d.acts(store.ActFilter{})
		d.reopen()
		same(d, lines, d.acts(store.ActFilter{}))
		same(d, did(noon), lines[0])
	}},
	{"forgets what was done long ago, a bit at a time", func(d *db) {
		for i := range 10 {
			require.NoError(d, d.NoteAct(d.Context(), about("a", noon.Add(time.Duration(i)*time.Hour))))
		}
		keep := store.Retention{Acts: 24 * time.Hour}
		swept, err := d.Sweep(d.Context(), noon.Add(24*time.Hour-1), keep, 100)
		require.NoError(d, err)
		require.Zero(d, swept)
		removed := 0
		for more := true; more; {
			swept, err := d.Sweep(d.Context(), noon.Add(28*time.Hour), keep, 2)
			require.NoError(d, err)
			require.LessOrEqual(d, swept.Acts, 2)
			removed, more = removed+swept.Acts, swept.More
		}
		require.Equal(d, 5, removed)
		d.reopen()
		left := d.acts(store.ActFilter{})
		require.Len(d, left, 5)
		same(d, noon.Add(5*time.Hour), left[4].At)
		swept, err = d.Sweep(d.Context(), noon.AddDate(10, 0, 0), store.Retention{Runs: time.Hour}, 100)
		require.NoError(d, err)
		require.Zero(d, swept.Acts, "for ever, unless told")
	}},
}

package sqlite

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/store"
)

// flowWard is a ward in which events wait for others, runs have several events, and
// limits hold.
type flowWard struct {
	*ward
	debounced string   // an event that waits for others
	gathering []string // two that wait for a third
	batch     string   // a run of two events that has ended; the second one's parent has yet to hear of it
	batched   []string // its events
	held      string   // a run that has begun and holds a slot
	single    string   // a run that has a name
}

const (
	debouncedAt = "debounce/shop-ship"
	gatheringAt = "batch/shop-ship"
)

func newFlowWard(t *testing.T) *flowWard {
	t.Helper()
	w := &flowWard{ward: newWard(t)}
	w.s, w.policy.Counted = open(t, w.path), true
	w.s.Limit(func(string) (flow.Class, []flow.GateSpec) {
		return flow.Begin, []flow.GateSpec{
			{Name: "run/shop-ship/", Slots: 100, Stays: true},
			{Name: "throttle/shop-ship/", Rate: flow.Throttle(100, time.Hour, 0), Stays: true},
		}
	})
	w.debounced = w.park(&durable.StartPark{
		Item: durable.Ref{Run: debouncedAt, Step: "k"}, Debounce: &durable.Debounce{Period: time.Hour},
	})
	for range 2 {
		w.gathering = append(w.gathering, w.park(&durable.StartPark{
			Item: durable.Ref{Run: gatheringAt, Step: "k"}, Batch: &durable.Batch{Size: 3, Timeout: time.Hour},
		}))
	}
	parent := w.start(nil)
	w.answer(parent, durable.Op{
		Kind: durable.OpInvoke, Op: "InvokeFunction", Step: "j", Name: "ship", Until: noon.Add(time.Hour),
		Invoke: &durable.Invoke{Slug: shop.Slug},
	})
	first, second := w.arrives(nil), w.arrives(&durable.Target{Function: shop.Slug, Parent: durable.Ref{Run: parent, Step: "j"}})
	run := durable.NewRun(ulid.Make().String(), shop, first, noon, noon)
	run.Join(second)
	w.batch, w.batched = run.ID, []string{first.ID, second.ID}
	require.NoError(t, w.s.Start(t.Context(), noon, []durable.Start{{Run: run}}))
	w.answer(w.batch, durable.Op{Kind: durable.OpComplete, Memo: durable.JSON(`1`)})
	w.held = w.begin(durable.Start{})
	w.single = w.begin(durable.Start{Single: "single/shop-ship/k"})
	limited := durable.Start{
		Run:   durable.NewRun(ulid.Make().String(), shop, w.arrives(nil), noon, noon),
		Limit: &durable.StartLimit{Gate: "limit/shop-ship/", Every: time.Minute, Burst: 100},
	}
	require.NoError(t, w.s.Start(t.Context(), noon, []durable.Start{limited}))
	for _, c := range []durable.Control{
		{Name: shop.Slug, Limits: durable.JSON(`{"concurrency":2}`)},
		{Name: shop.Slug + "#k", Pause: durable.PauseStarts, Key: "event.data.k", Value: "1"},
		{Name: "app/shop", Pause: durable.PauseAll},
	} {
		c.Since = noon
		of, _, _ := strings.Cut(c.Name, "#")
		require.NoError(t, w.s.SaveControl(t.Context(), c, durable.Act{At: noon, Object: of}))
	}
	require.NoError(t, w.s.Close())
	return w
}

// arrives accepts an event that starts nothing.
func (w *flowWard) arrives(target *durable.Target) durable.Event {
	w.t.Helper()
	e := durable.Event{ID: ulid.Make().String(), Name: "order/placed", At: noon, Received: noon, Body: durable.JSON(`{}`), Target: target}
	_, err := w.s.Accept(w.t.Context(), noon, []store.Accepted{{Event: e}})
	require.NoError(w.t, err)
	return e
}

// park accepts an event that waits for others.
func (w *flowWard) park(p *durable.StartPark) string {
	w.t.Helper()
	e := durable.Event{ID: ulid.Make().String(), Name: "order/placed", At: noon, Received: noon, Body: durable.JSON(`{}`)}
	r := durable.NewRun(ulid.Make().String(), shop, e, noon, noon)
	started, err := w.s.Accept(w.t.Context(), noon, []store.Accepted{{Event: e, Starts: []durable.Start{{Run: r, Park: p}}}})
	require.NoError(w.t, err)
	require.Len(w.t, started, 1)
	return e.ID
}

// begin starts a run of an event and sends its first request.
func (w *flowWard) begin(st durable.Start) string {
	w.t.Helper()
	st.Run = durable.NewRun(ulid.Make().String(), shop, w.arrives(nil), noon, noon)
	require.NoError(w.t, w.s.Start(w.t.Context(), noon, []durable.Start{st}))
	w.claim(st.Run.ID)
	return st.Run.ID
}

// has reports whether the store has a row.
func (w *flowWard) has(sql string, args ...any) (found bool) {
	w.t.Helper()
	c, err := sqlite.OpenConn(w.path, sqlite.OpenReadOnly)
	require.NoError(w.t, err)
	require.NoError(w.t, sqlitex.Execute(c, sql, &sqlitex.ExecOptions{Args: args, ResultFunc: func(*sqlite.Stmt) error {
		found = true
		return nil
	}}))
	require.NoError(w.t, c.Close())
	return found
}

func TestDoctorFindsNothingWrongWithFlowControl(t *testing.T) {
	t.Parallel()
	w := newFlowWard(t)
	require.Empty(t, w.examine())
	require.Empty(t, w.repair())
	require.True(t, w.has(`SELECT 1 FROM holders WHERE run = ? AND gate = 'run/shop-ship/'`, w.held))
	require.True(t, w.has(`SELECT 1 FROM holders WHERE run = ? AND gate = 'single/shop-ship/k'`, w.single))
	require.True(t, w.has(`SELECT 1 FROM rates WHERE gate = 'throttle/shop-ship/'`))
	require.True(t, w.has(`SELECT 1 FROM run_events WHERE run = ? AND parent_step = 'j'`, w.batch))
}

func TestDoctorOfFlowControl(t *testing.T) {
	t.Parallel()
	gone := ulid.Make().String()
	about := func(text string) func(*flowWard) string { return func(*flowWard) string { return text } }
	cases := []struct {
		doctorCase
		harm func(w *flowWard)
		run  func(w *flowWard) string
		left func(t *testing.T, w *flowWard) // what there is after the repair
	}{
		// parked
		{
			doctorCase: doctorCase{name: "events that nothing takes out", rule: "orphan", what: "nothing is queued that ends it", cured: true},
			harm:       func(w *flowWard) { w.harm(`DELETE FROM queue WHERE run = ?`, debouncedAt) },
			run:        about(debouncedAt),
			left:       func(t *testing.T, w *flowWard) { w.fires(t, debouncedAt, w.debounced) },
		},
		{
			doctorCase: doctorCase{name: "a batch that nothing takes out", rule: "orphan", what: "nothing is queued that ends it", cured: true, twice: true, both: true}, // each event
			harm:       func(w *flowWard) { w.harm(`DELETE FROM queue WHERE run = ?`, gatheringAt) },
			run:        about(gatheringAt),
			left:       func(t *testing.T, w *flowWard) { w.fires(t, gatheringAt, w.gathering...) },
		},
		{
			doctorCase: doctorCase{name: "an item for which no event waits", rule: "orphan", what: "there are none", cured: true},
			harm:       func(w *flowWard) { w.harm(`DELETE FROM parked WHERE run = ?`, debouncedAt) },
			run:        about(debouncedAt),
			left: func(t *testing.T, w *flowWard) {
				require.False(t, w.has(`SELECT 1 FROM queue WHERE run = ?`, debouncedAt))
			},
		},
		{
			doctorCase: doctorCase{name: "an event that waits and is gone", rule: "orphan", what: "waits for others that is not there", cured: true},
			harm:       func(w *flowWard) { w.harm(`DELETE FROM events WHERE id = ?`, w.gathering[0]) },
			run:        about(gatheringAt),
			left:       func(t *testing.T, w *flowWard) { w.fires(t, gatheringAt, w.gathering[1]) },
		},
		{
			doctorCase: doctorCase{name: "the only event that waits is gone", rule: "orphan", what: "waits for others that is not there", cured: true},
			harm:       func(w *flowWard) { w.harm(`DELETE FROM events WHERE id = ?`, w.debounced) },
			run:        about(debouncedAt),
			left: func(t *testing.T, w *flowWard) {
				require.False(t, w.has(`SELECT 1 FROM queue WHERE run = ?`, debouncedAt))
			},
		},
		{
			doctorCase: doctorCase{name: "an event that waits twice", rule: "once", what: "waits for others twice"},
			harm: func(w *flowWard) {
				w.harm(`INSERT INTO parked (run, step, n, event, start) SELECT run, step, 9, event, start FROM parked WHERE event = ?`, w.gathering[0])
			},
			run: about(gatheringAt),
		},
		{
			doctorCase: doctorCase{name: "an event that waits and was in a batch", rule: "once", what: "was started for it already"},
			harm:       func(w *flowWard) { w.harm(`UPDATE parked SET event = ? WHERE event = ?`, w.batched[1], w.gathering[0]) },
			run:        func(w *flowWard) string { return w.batch },
		},
		{
			doctorCase: doctorCase{name: "an event that waits and began a batch", rule: "once", what: "was started for it already"},
			harm:       func(w *flowWard) { w.harm(`UPDATE parked SET event = ? WHERE event = ?`, w.batched[0], w.debounced) },
			run:        func(w *flowWard) string { return w.batch },
		},
		// run_events
		{
			doctorCase: doctorCase{name: "an event of a batch that is gone", rule: "orphan", what: "event of the run's batch is not there"},
			harm:       func(w *flowWard) { w.harm(`DELETE FROM events WHERE id = ?`, w.batched[1]) },
			run:        func(w *flowWard) string { return w.batch },
		},
		{
			doctorCase: doctorCase{name: "a batch that has lost an event", rule: "orphan", what: "as many events", twice: true}, // nobody waits for its report
			harm:       func(w *flowWard) { w.harm(`DELETE FROM run_events WHERE run = ?`, w.batch) },
			run:        func(w *flowWard) string { return w.batch },
		},
		{
			doctorCase: doctorCase{name: "an event of a batch of no run", rule: "orphan", what: "a run that is not there", cured: true},
			harm: func(w *flowWard) {
				w.harm(`INSERT INTO run_events VALUES (?, 1, ?, '', '')`, gone, w.batched[1])
			},
			run: about(gone),
			left: func(t *testing.T, w *flowWard) {
				require.False(t, w.has(`SELECT 1 FROM run_events WHERE run = ?`, gone))
			},
		},
		{
			doctorCase: doctorCase{name: "an event of two batches", rule: "once", what: "is not the only one"},
			harm: func(w *flowWard) {
				w.harm(`INSERT INTO run_events VALUES (?, 1, ?, '', '')`, w.held, w.batched[1])
				w.harm(`UPDATE runs SET others = 1 WHERE id = ?`, w.held)
			},
			run: func(w *flowWard) string { return w.held }, // the later one
		},
		{
			doctorCase: doctorCase{name: "an event that began two runs", rule: "once", what: "is not the only one"},
			harm: func(w *flowWard) {
				w.harm(`UPDATE runs SET event = ? WHERE id = ?`, w.batched[0], w.held)
			},
			run: func(w *flowWard) string { return w.held },
		},
		{
			doctorCase: doctorCase{name: "a batch that does not report to all", rule: "report", what: "a run that invoked it will not learn of it", cured: true},
			harm:       func(w *flowWard) { w.harm(`DELETE FROM queue WHERE run = ?`, w.batch) },
			run:        func(w *flowWard) string { return w.batch },
			left: func(t *testing.T, w *flowWard) {
				require.True(t, w.has(`SELECT 1 FROM queue WHERE run = ? AND step = ?`, w.batch, durable.ReportStep))
			},
		},
		// holders
		{
			doctorCase: doctorCase{name: "a slot of a run that has ended", rule: "orphan", what: "holds up others", cured: true},
			harm:       func(w *flowWard) { w.harm(`INSERT INTO holders VALUES (?, 'run/shop-ship/')`, w.completed) },
			run:        func(w *flowWard) string { return w.completed },
			left: func(t *testing.T, w *flowWard) {
				require.False(t, w.has(`SELECT 1 FROM holders WHERE run = ?`, w.completed))
			},
		},
		{
			doctorCase: doctorCase{name: "a name of no run", rule: "orphan", what: "holds up others", cured: true},
			harm:       func(w *flowWard) { w.harm(`INSERT INTO holders VALUES (?, 'single/shop-ship/z')`, gone) },
			run:        about(gone),
			left:       func(t *testing.T, w *flowWard) { require.False(t, w.has(`SELECT 1 FROM holders WHERE run = ?`, gone)) },
		},
		{
			doctorCase: doctorCase{name: "a slot of a run that has not begun", rule: "orphan", what: "run/shop-ship/", cured: true},
			harm: func(w *flowWard) {
				w.harm(`INSERT INTO holders VALUES (?1, 'run/shop-ship/'), (?1, 'single/shop-ship/z')`, w.queued)
			},
			run: func(w *flowWard) string { return w.queued },
			left: func(t *testing.T, w *flowWard) {
				require.False(t, w.has(`SELECT 1 FROM holders WHERE run = ? AND gate = 'run/shop-ship/'`, w.queued))
				require.True(t, w.has(`SELECT 1 FROM holders WHERE run = ? AND gate = 'single/shop-ship/z'`, w.queued), "a name it has from its start")
			},
		},
		// rates
		{
			doctorCase: doctorCase{name: "a rate that keeps others back for ever", rule: "limit", what: "throttle/shop-ship/", cured: true},
			harm: func(w *flowWard) {
				w.harm(`UPDATE rates SET taken = ? WHERE gate = 'throttle/shop-ship/'`, int64(math.MaxInt64))
			},
			run: about(""),
			left: func(t *testing.T, w *flowWard) {
				require.False(t, w.has(`SELECT 1 FROM rates WHERE gate = 'throttle/shop-ship/'`))
				require.True(t, w.has(`SELECT 1 FROM rates WHERE gate = 'limit/shop-ship/'`), "the others stay")
			},
		},
		// controls
		{
			doctorCase: doctorCase{name: "a control of a function that is not known", rule: "limit", what: "about shop-sell, which is not known"},
			harm: func(w *flowWard) {
				w.harm(`UPDATE controls SET name = 'shop-sell' WHERE name = ?`, shop.Slug)
				w.harm(`UPDATE audit SET object = 'shop-sell' WHERE seq = (SELECT min(seq) FROM audit WHERE object = ?)`, shop.Slug)
			},
			run: about(""),
		},
		{
			doctorCase: doctorCase{name: "a control of an app that is not known", rule: "limit", what: "about app/zoo, which is not known"},
			harm: func(w *flowWard) {
				w.harm(`UPDATE controls SET name = 'app/zoo' WHERE name = 'app/shop'`)
				w.harm(`UPDATE audit SET object = 'app/zoo' WHERE object = 'app/shop'`)
			},
			run: about(""),
		},
		{
			doctorCase: doctorCase{name: "a pause that there is not", rule: "limit", what: "app/shop cannot be read"},
			harm:       func(w *flowWard) { w.harm(`UPDATE controls SET pause = 7 WHERE name = 'app/shop'`) },
			run:        about(""),
		},
		{
			doctorCase: doctorCase{name: "limits that are no JSON", rule: "limit", what: "shop-ship cannot be read"},
			harm:       func(w *flowWard) { w.harm(`UPDATE controls SET limits = CAST('{' AS BLOB) WHERE name = ?`, shop.Slug) },
			run:        about(""),
		},
		{
			doctorCase: doctorCase{name: "limits that are no object", rule: "limit", what: "shop-ship cannot be read"},
			harm:       func(w *flowWard) { w.harm(`UPDATE controls SET limits = CAST('5' AS BLOB) WHERE name = ?`, shop.Slug) },
			run:        about(""),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFlowWard(t)
			c.doctorCase.harm = func(*ward) { c.harm(w) }
			c.doctorCase.run = func(*ward) string { return c.run(w) }
			c.check(t, w.ward)
			if c.left != nil {
				c.left(t, w)
			}
		})
	}
}

// fires wants events to start one run now.
func (w *flowWard) fires(t *testing.T, item string, events ...string) {
	t.Helper()
	s := open(t, w.path)
	defer s.Close()
	leases, err := s.Claim(t.Context(), noon.Add(time.Hour), time.Minute, 100)
	require.NoError(t, err)
	for _, l := range leases {
		if l.Run != item {
			continue
		}
		require.Equal(t, durable.Fire, l.Kind)
		parked, err := s.Parked(t.Context(), durable.Ref{Run: l.Run, Step: l.Step})
		require.NoError(t, err)
		var got []string
		for _, p := range parked {
			got = append(got, p.Event)
		}
		require.Equal(t, events, got)
		return
	}
	t.Errorf("nothing is due for %s", item)
}

// TestEventsJoinWhatWasRepaired: an item that the doctor has made can be read by
// whatever comes for it.
func TestEventsJoinWhatWasRepaired(t *testing.T) {
	t.Parallel()
	w := newFlowWard(t)
	w.harm(`DELETE FROM queue WHERE kind = 9`)
	require.Len(t, w.repair(), 3)
	w.s = open(t, w.path)
	w.park(&durable.StartPark{Item: durable.Ref{Run: debouncedAt, Step: "k"}, Debounce: &durable.Debounce{Period: time.Hour}})
	w.park(&durable.StartPark{Item: durable.Ref{Run: gatheringAt, Step: "k"}, Batch: &durable.Batch{Size: 3, Timeout: time.Hour}})
	require.NoError(t, w.s.Close())
	require.Empty(t, w.examine())
	require.True(t, w.has(`SELECT 1 FROM parked WHERE event = ? AND step <> 'k'`, w.debounced), "it starts, and the new one waits")
	w.fires(t, gatheringAt, w.gathering...)
}

// TestBatchThatLostEventsIsDamaged: it is not called as if it were whole.
func TestBatchThatLostEventsIsDamaged(t *testing.T) {
	t.Parallel()
	w := newFlowWard(t)
	w.harm(`DELETE FROM run_events WHERE run = ?`, w.batch)
	w.harm(`DELETE FROM events WHERE id = (SELECT event FROM runs WHERE id = ?)`, w.queued)
	s := open(t, w.path)
	defer s.Close()
	view := func(id string) error { return s.View(t.Context(), id, func(*durable.Run) error { return nil }) }
	err := view(w.batch)
	require.ErrorIs(t, err, store.ErrDamaged)
	require.ErrorContains(t, err, "run "+w.batch+": it has 1 events and began with 2")
	err = view(w.queued)
	require.ErrorIs(t, err, store.ErrDamaged)
	require.NotErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, view(w.asleep))
	require.ErrorIs(t, view(ulid.Make().String()), store.ErrNotFound)
	r, err := s.Run(t.Context(), w.queued)
	require.NoError(t, err, "what there is of it is shown")
	require.NotEmpty(t, r.Events[0].ID)
	require.Empty(t, r.Events[0].Name)
}

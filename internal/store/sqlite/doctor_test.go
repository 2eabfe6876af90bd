package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

var shop = durable.Function{Slug: "shop-ship", App: "shop", Version: 1, Retries: 3}

// ward is a store with runs in every state, each moved by durable.Next.
type ward struct {
	t    *testing.T
	path string
	s    *Store
	// policy is by which runs move.
	policy durable.Policy

	queued, planned, asleep, waiting string // runs that have not ended
	parent, child                    string // the child has ended and has yet to tell it
	completed, failed, cancelled     string
	event                            string // that is yet to be handed on
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{t: t, path: filepath.Join(t.TempDir(), "pawl.db"), policy: durable.DefaultPolicy}
	w.s = open(t, w.path)
	require.NoError(t, w.s.SaveApp(t.Context(), durable.App{Name: "shop"}, []durable.Function{shop}, nil, nil, nil))
	w.queued = w.start(nil)
	w.planned = w.start(nil)
	w.answer(w.planned, durable.Op{Kind: durable.OpPlanned, Op: "StepPlanned", Step: "p", Name: "charge"})
	w.asleep = w.start(nil)
	w.answer(w.asleep, durable.Op{Kind: durable.OpSleep, Op: "Sleep", Step: "z", Name: "nap", Until: noon.Add(time.Hour)})
	w.waiting = w.start(nil)
	w.answer(w.waiting, durable.Op{
		Kind: durable.OpWait, Op: "WaitForEvent", Step: "w", Name: "paid?", Until: noon.Add(time.Hour), Wait: &durable.Wait{Name: "paid"},
	})
	w.parent = w.start(nil)
	w.answer(w.parent, durable.Op{
		Kind: durable.OpInvoke, Op: "InvokeFunction", Step: "i", Name: "ship", Until: noon.Add(time.Hour),
		Invoke: &durable.Invoke{Slug: shop.Slug},
	})
	w.child = w.start(&durable.Target{Function: shop.Slug, Parent: durable.Ref{Run: w.parent, Step: "i"}})
	w.answer(w.child, durable.Op{Kind: durable.OpComplete, Memo: durable.JSON(`1`)})
	w.completed = w.start(nil)
	w.answer(w.completed, durable.Op{Kind: durable.OpDone, Op: "StepRun", Step: "a", Memo: durable.JSON(`{"data":1}`)},
		durable.Op{Kind: durable.OpComplete, Memo: durable.JSON(`1`)})
	w.failed = w.start(nil)
	w.move(w.failed, durable.Refusal{Claim: w.claim(w.failed), NoRetry: true, Err: durable.Failure{Name: "Error", Message: "no"}})
	w.cancelled = w.start(nil)
	w.move(w.cancelled, durable.Cancel{Reason: "test"})
	w.event = ulid.Make().String()
	_, err := w.s.Accept(t.Context(), noon, []store.Accepted{{Event: durable.Event{ID: w.event, Name: "paid", At: noon, Received: noon, Body: durable.JSON(`{}`)}}})
	require.NoError(t, err)
	require.NoError(t, w.s.Close())
	return w
}

func (w *ward) start(target *durable.Target) string {
	w.t.Helper()
	id := ulid.Make().String()
	e := durable.Event{ID: id, Key: "k" + id, Name: "order/placed", At: noon, Received: noon, Body: durable.JSON(`{}`), Target: target}
	r := durable.NewRun(ulid.Make().String(), shop, e, noon, noon)
	_, err := w.s.Accept(w.t.Context(), noon, []store.Accepted{{Event: e, Starts: []durable.Start{{Run: r}}}})
	require.NoError(w.t, err)
	return r.ID
}

// claim leases the item that enters a run's function.
func (w *ward) claim(run string) durable.Claim {
	w.t.Helper()
	leases, err := w.s.Claim(w.t.Context(), noon, time.Minute, 100)
	require.NoError(w.t, err)
	for _, l := range leases {
		if l.Run == run {
			c := durable.Claim{Step: l.Step, Generation: l.Generation}
			w.move(run, durable.Dispatch{Claim: c})
			return c
		}
	}
	w.t.Fatalf("run %s is not due", run)
	return durable.Claim{}
}

func (w *ward) answer(run string, ops ...durable.Op) {
	w.t.Helper()
	w.move(run, durable.Answer{Claim: w.claim(run), Ops: ops, Protocol: 2})
}

func (w *ward) move(run string, in durable.Input) {
	w.t.Helper()
	require.NoError(w.t, w.s.Transition(w.t.Context(), run, func(r *durable.Run) (store.Decision, error) {
		c, err := durable.Next(r, in, w.policy, noon)
		d := store.Decision{Change: c}
		for _, e := range c.Emit {
			d.Accepted = append(d.Accepted, store.Accepted{Event: e})
		}
		return d, err
	}))
}

func (w *ward) examine() (list []store.Finding) {
	w.t.Helper()
	_, err := Examine(w.t.Context(), w.path, noon, func(f store.Finding) { list = append(list, f) })
	require.NoError(w.t, err)
	return list
}

func (w *ward) repair() (list []store.Finding) {
	w.t.Helper()
	_, err := Repair(w.t.Context(), w.path, noon, func(f store.Finding) { list = append(list, f) })
	require.NoError(w.t, err)
	return list
}

// harm changes the file behind Pawl's back.
func (w *ward) harm(sql string, args ...any) {
	w.t.Helper()
	c, err := sqlite.OpenConn(w.path, sqlite.OpenReadWrite)
	require.NoError(w.t, err)
	require.NoError(w.t, sqlitex.Execute(c, sql, &sqlitex.ExecOptions{Args: args}))
	require.Positive(w.t, c.Changes(), "the statement changes something")
	require.NoError(w.t, c.Close())
}

func TestDoctorFindsNothingInASoundStore(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	n, err := Examine(t.Context(), w.path, noon, func(f store.Finding) { t.Errorf("%+v", f) })
	require.NoError(t, err)
	require.Equal(t, store.Examined{Runs: 9, Ended: 4, Events: 9 + 1 + 4 + 2 + 1, Items: 7, Waits: 1}, n)
	require.Empty(t, w.repair())
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	gone := ulid.Make().String()
	cases := []doctorCase{
		{
			name: "a run that nothing moves", rule: "stuck", cured: true,
			harm: func(w *ward) { w.harm(`DELETE FROM queue WHERE run = ?`, w.queued) },
			run:  func(w *ward) string { return w.queued },
		},
		{
			name: "a step that nothing runs", rule: "step", cured: true,
			harm: func(w *ward) { w.harm(`DELETE FROM queue WHERE run = ?`, w.planned) },
			run:  func(w *ward) string { return w.planned },
		},
		{
			name: "a sleep that nothing ends", rule: "step", cured: true,
			harm: func(w *ward) { w.harm(`DELETE FROM queue WHERE run = ?`, w.asleep) },
			run:  func(w *ward) string { return w.asleep },
		},
		{
			name: "a wait whose row is gone", rule: "wait",
			harm: func(w *ward) { w.harm(`DELETE FROM waits WHERE run = ?`, w.waiting) },
			run:  func(w *ward) string { return w.waiting },
		},
		{
			name: "a wait of a run that has ended", rule: "ended", cured: true,
			harm: func(w *ward) { w.harm(`UPDATE waits SET run = ?, step = 'q'`, w.failed) },
			run:  func(w *ward) string { return w.failed }, twice: true,
		}, // and the one whose wait it was
		{
			name: "a wait of no run", rule: "orphan", cured: true,
			harm: func(w *ward) {
				w.harm(`INSERT INTO waits (run, step, kind, name, cond, path, value, exact, until, after) VALUES (?, 'w', 0, 'x', '', '', '', 0, 0, 0)`, gone)
			},
			run: func(*ward) string { return gone },
		},
		{
			name: "an item of a run that has ended", rule: "ended", cured: true,
			harm: func(w *ward) { w.harm(`INSERT INTO queue VALUES (?, '', 0, 1, 0, 0, 0, NULL, '')`, w.completed) },
			run:  func(w *ward) string { return w.completed },
		},
		{
			name: "an item of no run", rule: "orphan", cured: true,
			harm: func(w *ward) { w.harm(`INSERT INTO queue VALUES (?, '', 0, 1, 0, 0, 0, NULL, '')`, gone) },
			run:  func(*ward) string { return gone },
		},
		{
			name: "an exchange of no run", rule: "orphan", cured: true,
			harm: func(w *ward) { w.harm(`INSERT INTO exchanges (run, n, data) VALUES (?, 1, x'78')`, gone) },
			run:  func(*ward) string { return gone },
		},
		{
			name: "metadata of no run", rule: "orphan", cured: true,
			harm: func(w *ward) {
				w.harm(`INSERT INTO metadata (run, step, attempt, span, kind, data, updated) VALUES (?, '', -1, '', 'userland.x', x'7b7d', 1)`, gone)
			},
			run: func(*ward) string { return gone },
		},
		{
			name: "a trend of no group", rule: "orphan", cured: true,
			harm: func(w *ward) { w.harm(`INSERT INTO dead_trend VALUES (?, 1, 1)`, gone) },
			run:  func(*ward) string { return gone },
		},
		{
			name: "a stream of no run", rule: "orphan", cured: true,
			harm: func(w *ward) { w.harm(`INSERT INTO streams (run, n, step, data) VALUES (?, 1, '', x'78')`, gone) },
			run:  func(*ward) string { return gone },
		},
		{
			name: "a journal with a gap", rule: "journal",
			harm: func(w *ward) { w.harm(`UPDATE journal SET n = 5 WHERE run = ?`, w.completed) },
			run:  func(w *ward) string { return w.completed },
		},
		{
			name: "a journal of no run", rule: "orphan", cured: true,
			harm: func(w *ward) {
				w.harm(`INSERT INTO journal (run, n, step, kind, op, name, attempt, at, started, took, until, flags) VALUES (?, 1, '', 7, '', '', 0, 0, 0, 0, 0, 0)`, gone)
			},
			run: func(*ward) string { return gone },
		},
		{
			name: "an end without a time", rule: "head", twice: true, // and it was told as of another time
			harm: func(w *ward) { w.harm(`UPDATE runs SET ended = 0 WHERE id = ?`, w.child) },
			run:  func(w *ward) string { return w.child },
		},
		{
			name: "an end that was not told", rule: "told",
			harm: func(w *ward) { w.harm(`DELETE FROM events WHERE name = ?`, durable.EventCancelled) },
			run:  func(w *ward) string { return w.cancelled },
		},
		{
			name: "an end that was told twice", rule: "told",
			harm: func(w *ward) {
				w.harm(`INSERT INTO events (seq, id, key, name, internal, at, received, body) SELECT max(seq) + 9, ?, '', name, 1, at, received, body FROM events WHERE name = ? AND instr(CAST(body AS TEXT), ?)`,
					gone, durable.EventFinished, w.failed)
			},
			run: func(w *ward) string { return w.failed },
		},
		{
			name: "an end that differs from what was told", rule: "told", twice: true, // and there is its dead letter
			harm: func(w *ward) { w.harm(`UPDATE runs SET status = 2 WHERE id = ?`, w.failed) },
			run:  func(w *ward) string { return w.failed },
		},
		{
			name: "an invoked run that does not report", rule: "report", cured: true,
			harm: func(w *ward) { w.harm(`DELETE FROM queue WHERE run = ?`, w.child) },
			run:  func(w *ward) string { return w.child },
		},
		{
			name: "an event that nothing hands on", rule: "delivery", cured: true,
			harm: func(w *ward) { w.harm(`DELETE FROM queue WHERE run = ?`, w.event) },
		},
		{
			name: "an event that timers do not know of", rule: "delivery", cured: true,
			harm: func(w *ward) { w.harm(`DELETE FROM deliveries`) },
		},
		{
			name: "an event to be handed on that is gone", rule: "delivery", cured: true, twice: true, both: true,
			harm: func(w *ward) { w.harm(`DELETE FROM events WHERE id = ?`, w.event) },
		},
		{
			name: "a run whose event is gone", rule: "orphan",
			harm: func(w *ward) { w.harm(`DELETE FROM events WHERE id = (SELECT event FROM runs WHERE id = ?)`, w.queued) },
			run:  func(w *ward) string { return w.queued },
		},
		{
			name: "a letter of a run that has not failed", rule: "letter",
			harm: func(w *ward) { w.harm(`UPDATE dead_letters SET run = ?`, w.completed) },
			run:  func(w *ward) string { return w.completed },
		},
		{
			name: "a failed run without a letter", rule: "letter",
			harm: func(w *ward) {
				w.harm(`UPDATE dead_letters SET run = ?, failed = 1`, gone)
			},
			run: func(w *ward) string { return w.failed }, twice: true,
		},
		{
			name: "a group that counts wrongly", rule: "letter", cured: true,
			harm: func(w *ward) { w.harm(`UPDATE dead_groups SET open = 7`) },
			run:  func(w *ward) string { return w.failed },
		},
		{
			name: "a job that nothing goes on with", rule: "letter", cured: true,
			harm: func(w *ward) {
				w.harm(`INSERT INTO retry_jobs (id, function, class, fingerprint, after, before, every, first, created) VALUES (?, '', '', '', 0, 0, 0, 0, 0)`, gone)
			},
			run: func(*ward) string { return gone },
		},
		{
			name: "an alert that nobody is told of", rule: "alert", cured: true,
			harm: func(w *ward) {
				w.harm(`INSERT INTO alerts (key, kind, object, text, run, count, n, first, last, told) VALUES ('backlog', 'backlog', '', 'x', '', 0, 1, 1, 1, 0)`)
			},
		},
		{
			name: "bytes that wait and are counted wrongly", rule: "backlog", cured: true,
			harm: func(w *ward) { w.harm(`UPDATE meta SET value = value + 1 WHERE key = 'backlog_bytes'`) },
		},
		{
			name: "a key of no run", rule: "orphan", cured: true,
			harm: func(w *ward) {
				w.harm(`UPDATE idempotency SET reply = CAST(? AS BLOB) WHERE CAST(reply AS TEXT) = ?`, gone, w.queued)
			},
			run: func(*ward) string { return gone },
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t, newWard(t))
		})
	}
}

// doctorCase is something that is wrong, and what the doctor says of it.
type doctorCase struct {
	name  string
	harm  func(w *ward)
	rule  string
	run   func(w *ward) string // nil: it is about the ward's event
	what  string               // part of what is said
	cured bool
	twice bool // another thing is found as well
	both  bool // and cured
}

func (c doctorCase) check(t *testing.T, w *ward) {
	t.Helper()
	c.harm(w)
	found := w.examine()
	if c.rule != "backlog" { // what is gone is still counted: that follows from the rest
		found = slices.DeleteFunc(found, func(f store.Finding) bool { return f.Rule == "backlog" })
	}
	if c.twice {
		require.Len(t, found, 2)
	} else {
		require.Len(t, found, 1)
	}
	f := found[0]
	for _, other := range found {
		if c.run != nil && other.Run == c.run(w) && other.Rule == c.rule {
			f = other
		}
	}
	require.Equal(t, c.rule, f.Rule)
	require.NotEmpty(t, f.What)
	require.Contains(t, f.What, c.what)
	require.Equal(t, c.cured, f.Cure != "", f)
	require.False(t, f.Cured)
	switch {
	case c.run != nil:
		require.Equal(t, c.run(w), f.Run)
	case c.rule != "backlog" && c.rule != "alert":
		require.Equal(t, w.event, f.Event)
	}
	require.Subset(t, w.examine(), found, "looking changes nothing")
	for _, f := range w.repair() {
		require.Equal(t, f.Cure != "", f.Cured, f)
	}
	for _, f := range w.examine() {
		require.Empty(t, f.Cure, "what can be repaired is: %+v", f)
	}
	require.Equal(t, c.cured && (!c.twice || c.both), len(w.examine()) == 0)
}

// TestDoctorOfFunctionsThatAreGone: every run that has not ended needs one.
func TestDoctorOfFunctionsThatAreGone(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	w.harm(`DELETE FROM functions`)
	found := w.examine()
	require.Len(t, found, 5)
	for _, f := range found {
		require.Equal(t, "function", f.Rule)
	}
}

// TestRepairedRunsGoOn: what was repaired is due.
func TestRepairedRunsGoOn(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	w.harm(`DELETE FROM queue`)
	require.Len(t, w.repair(), 7)
	w.s = open(t, w.path)
	defer w.s.Close()
	leases, err := w.s.Claim(t.Context(), noon.Add(time.Hour), time.Minute, 100)
	require.NoError(t, err)
	got := map[string]durable.ItemKind{}
	for _, l := range leases {
		got[l.Run+l.Step] = l.Kind
	}
	require.Equal(t, map[string]durable.ItemKind{
		w.queued: durable.Call, w.planned: durable.Call, w.asleep + "z": durable.Wake, w.waiting + "w": durable.Wake,
		w.parent + "i": durable.Wake, w.event + durable.DeliverStep: durable.Deliver, w.child + durable.ReportStep: durable.Report,
	}, got)
	w.answer(w.start(nil), durable.Op{Kind: durable.OpComplete})
}

func TestDoctorRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	none := filepath.Join(dir, "none.db")
	_, err := Examine(t.Context(), none, noon, nil)
	require.EqualError(t, err, "open "+none+": there is no such file")
	require.NoFileExists(t, none+".lock")
	_, err = Examine(t.Context(), dir, noon, nil)
	require.EqualError(t, err, "open "+dir+": it is a directory")

	path := filepath.Join(dir, "pawl.db")
	s := open(t, path)
	_, err = Repair(t.Context(), path, noon, nil)
	require.EqualError(t, err, "open "+path+": another process has it open; end that one first, or use another file")
	require.NoError(t, s.Close())

	foreign(t, path, "PRAGMA user_version = 1;")
	files, err := scripts()
	require.NoError(t, err)
	_, err = Examine(t.Context(), path, noon, nil)
	require.EqualError(t, err, fmt.Sprintf(
		"%s: its schema is version 1, this pawl's is %d; start this pawl on it once, or use --fix, to bring it up to date", path, len(files)))
}

// TestDoctorOfDamagedFiles: whatever byte is wrong, the doctor ends, and says
// so when SQLite sees it.
func TestDoctorOfDamagedFiles(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	c, err := sqlite.OpenConn(w.path, sqlite.OpenReadWrite)
	require.NoError(t, err)
	require.NoError(t, sqlitex.ExecuteTransient(c, "VACUUM", nil)) // nobody misses a page that is free
	require.NoError(t, c.Close())
	whole, err := os.ReadFile(w.path)
	require.NoError(t, err)
	for page := 1; page < len(whole)/4096; page++ {
		bad := append([]byte(nil), whole...)
		for i := range 64 {
			bad[page*4096+i] = 0xa5
		}
		require.NoError(t, os.WriteFile(w.path, bad, 0o600))
		var rules []string
		_, err := Examine(t.Context(), w.path, noon, func(f store.Finding) { rules = append(rules, f.Rule) })
		if err == nil {
			require.Contains(t, rules, "file", "page %d", page)
		}
	}
}

// TestDoctorOfTheAuditLog: what people did is told, unless the line has left by
// retention.
func TestDoctorOfTheAuditLog(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	w.s = open(t, w.path)
	retried := w.start(nil)
	w.move(retried, durable.Refusal{Claim: w.claim(retried), NoRetry: true, Err: durable.Failure{Name: "Error", Message: "no"}})
	ctx, job, many := t.Context(), ulid.Make().String(), ulid.Make().String()
	act := func(what, object string) durable.Act {
		return durable.Act{At: noon, By: "ann", What: what, Object: object}
	}
	require.NoError(t, w.s.Discard(ctx, w.failed, "no", act(durable.ActDiscard, durable.RunObject(w.failed))))
	e := durable.Event{ID: ulid.Make().String(), Name: "order/placed", At: noon, Received: noon, Body: durable.JSON(`{}`)}
	rerun := act(durable.ActRerun, durable.RunObject(retried))
	again := durable.NewRun(ulid.Make().String(), shop, e, noon, noon)
	require.NoError(t, w.s.Rerun(ctx, noon, store.Rerun{Of: retried, Start: durable.Start{Run: again}, Edited: e, Act: &rerun}))
	require.NoError(t, w.s.StartRetries(ctx, store.RetryJob{ID: job, Created: noon}, nil, act(durable.ActRetryMany, durable.JobObject(job))))
	require.NoError(t, w.s.AddCancellation(ctx,
		durable.Cancellation{ID: many, Function: shop.Slug, App: "shop", Created: noon}, durable.Item{Run: many, Step: durable.SweepStep, Kind: durable.Sweep, Due: noon}, nil, act(durable.ActCancelMany, durable.CancellationObject(many))))
	require.NoError(t, w.s.AddSchedule(ctx,
		durable.Schedule{ID: "daily", Function: shop.Slug, Cron: "0 12 * * *", Created: noon}, durable.Item{Run: "cron/" + shop.Slug, Step: "api daily", Kind: durable.Tick, Due: noon}, nil, act(durable.ActAddSchedule, durable.ScheduleObject("daily"))))
	require.NoError(t, w.s.SaveControl(ctx, durable.Control{Name: shop.Slug, Pause: durable.PauseAll, Since: noon}, act(durable.ActPause, shop.Slug)))
	require.NoError(t, w.s.Close())
	require.Empty(t, w.examine())

	for _, object := range []string{"run/" + w.failed, "run/" + retried, "job/" + job, "cancellation/" + many, "schedule/daily", shop.Slug} {
		w.harm(`UPDATE audit SET object = 'lost ' || object WHERE object = ?`, object)
		found := w.examine()
		require.Len(t, found, 1, object)
		require.Equal(t, "audit", found[0].Rule)
		require.Equal(t, object[strings.Index(object, "/")+1:], found[0].Run)
		require.Empty(t, found[0].Cure, "nobody can say who it was")
		w.harm(`UPDATE audit SET object = substr(object, 6) WHERE object = ?`, "lost "+object)
	}
	w.s = open(t, w.path)
	swept, err := w.s.Sweep(ctx, noon.Add(time.Hour), store.Retention{Acts: time.Minute}, 100)
	require.NoError(t, err)
	require.Equal(t, 6, swept.Acts)
	require.NoError(t, w.s.Close())
	require.Empty(t, w.examine(), "they have left")
}

package engine_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/wire"
)

// letters returns all dead letters, oldest first.
func (p *pawl) letters() []store.Letter {
	p.t.Helper()
	list, err := p.Letters().DeadLetters(p.t.Context(), store.LetterFilter{Oldest: true}, store.Page{Limit: 10_000})
	require.NoError(p.t, err)
	return list
}

func TestEveryFailedRunLeavesOneDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{}
		a.serve = func(c callSeen) (int, string, http.Header) {
			switch c.Fn {
			case "shop-good":
				return http.StatusOK, `1`, nil
			case "shop-page":
				return http.StatusOK, `<html>`, nil
			case "shop-long":
				return ops(op("Sleep", "nap", `,"name":"3d"`))
			}
			return http.StatusInternalServerError, `{"name":"StripeError","message":"stripe: 503"}`, nil
		}
		p := newPawl(t, a, function("bad", "x", 4), function("good", "x", 4), function("page", "x", 1), function("long", "x", 4),
			`{"id":"shop-bad-failure","name":"bad (failure)","triggers":[{"event":"inngest/function.failed","expression":"event.data.function_id == 'shop-bad'"}],
			"steps":{"step":{"runtime":{"url":"http://app/api/inngest?fnId=shop-bad-failure&stepId=step"},"retries":{"attempts":0}}}}`)
		p.send(`{"name":"x"}`)
		time.Sleep(time.Second)
		for _, r := range p.runs() {
			if r.Function == "shop-long" {
				require.NoError(t, p.Cancel(t.Context(), r.ID, "ann"))
			}
		}
		p.restart()
		time.Sleep(10 * time.Minute)
		require.Equal(t, 0, p.count(durable.Running))

		failed := map[string]durable.DeadLetter{}
		for _, l := range p.letters() {
			require.NotContains(t, failed, l.Function)
			failed[l.Function] = l.DeadLetter
		}
		require.Len(t, failed, 3, "none of the run that completed, none of the one that was cancelled")
		require.Equal(t, durable.ClassError, failed["shop-bad"].Class)
		require.Equal(t, "StripeError: stripe: 503", failed["shop-bad"].Title)
		require.Equal(t, 5, failed["shop-bad"].Attempts)
		require.Equal(t, durable.ClassProtocol, failed["shop-page"].Class)
		require.Equal(t, 1, failed["shop-bad-failure"].Attempts, "a failure handler that fails is a failed run too")
		require.Equal(t, 3, p.count(durable.Failed))
	})
}

func TestPoisonRunIsParkedWithAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{dies: true}
		p := newPawl(t, a, function("f", "x", 2))
		p.send(`{"name":"x"}`)
		time.Sleep(5 * time.Minute)
		p.wantStatus(0, durable.Failed)
		l := p.letters()[0]
		require.Equal(t, durable.ClassCrash, l.Class)
		require.Equal(t, "the app died or hung up on each of 3 tries: this run may be what kills it", l.Reason)
		require.Len(t, a.seen(), 3)
	})
}

func TestAppAwayForTooLongIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{away: true}
		p := newPawl(t, a, function("f", "x", 2))
		for i := range 3 {
			p.send(fmt.Sprintf(`{"name":"x","data":{"n":%d}}`, i))
		}
		time.Sleep(23 * time.Hour)
		p.restart()
		require.Empty(t, p.letters())
		time.Sleep(2 * time.Hour)
		letters := p.letters()
		require.Len(t, letters, 3)
		require.Equal(t, durable.ClassUnreachable, letters[0].Class)
		require.Contains(t, letters[0].Reason, "the app was away for 24h")
		groups, err := p.Letters().DeadGroups(t.Context(), store.GroupFilter{}, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, groups, 1)
		require.Equal(t, 3, groups[0].Open)
	})
}

var errDied = io.EOF // what a transport says when a connection ends before the answer

// failsUntil is an app whose function fails, at its second step, until it is
// mended.
type failsUntil struct {
	app
	mended atomic.Bool
}

func newFailsUntil() *failsUntil {
	a := &failsUntil{}
	a.serve = func(c callSeen) (int, string, http.Header) {
		if _, ok := c.Steps[wire.StepHash("a", 0)]; !ok {
			return ops(op("StepRun", "a", `,"data":1`))
		}
		if memo, ok := c.Steps[wire.StepHash("b", 0)]; ok && !strings.Contains(string(memo), `"input"`) {
			return http.StatusOK, string(memo), nil
		}
		if !a.mended.Load() {
			return http.StatusInternalServerError, `{"name":"StripeError","message":"stripe: 503"}`, http.Header{"X-Inngest-No-Retry": {"true"}}
		}
		return ops(op("StepRun", "b", `,"data":`+string(c.Event.Data)))
	}
	return a
}

// fail sends n events whose runs fail.
func (p *pawl) fail(n int) {
	p.t.Helper()
	before := len(p.letters())
	for i := range n {
		p.send(fmt.Sprintf(`{"name":"x","data":{"n":%d}}`, i))
	}
	time.Sleep(time.Second)
	require.Len(p.t, p.letters(), before+n)
}

func TestRetryStartsTheRunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, with(function("f", "x", 4), `"idempotency":"event.name","cancel":[{"event":"stop"}]`))
		p.fail(1)
		l := p.letters()[0]
		a.mended.Store(true)
		id, err := p.Rerun(t.Context(), l.Run, engine.Rerun{Letter: true})
		require.NoError(t, err, "it is not deduplicated")
		p.wantStatus(1, durable.Completed)
		r, err := p.History().Run(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, l.Run, r.Original)
		require.JSONEq(t, `{"data":{"n":0}}`, string(r.Output))
		require.Equal(t, store.Retried, p.letters()[0].State)

		var closed *store.LetterClosedError
		_, err = p.Rerun(t.Context(), l.Run, engine.Rerun{Letter: true})
		require.ErrorAs(t, err, &closed)
		require.Equal(t, id, closed.As)
		second, err := p.Rerun(t.Context(), id, engine.Rerun{})
		require.NoError(t, err, "any run may be started anew")
		r, err = p.History().Run(t.Context(), second)
		require.NoError(t, err)
		require.Equal(t, l.Run, r.Original, "the first of the chain")

		a.become(func(callSeen) (int, string, http.Header) { return ops(op("Sleep", "nap", `,"name":"3d"`)) })
		third, err := p.Rerun(t.Context(), id, engine.Rerun{})
		require.NoError(t, err)
		synctest.Wait()
		p.send(`{"name":"stop"}`)
		synctest.Wait()
		r, err = p.History().Run(t.Context(), third)
		require.NoError(t, err)
		require.Equal(t, durable.Cancelled, r.Status, "what cancels its function cancels it")
		require.Len(t, p.letters(), 1)
	})
}

func TestRerunFromAStepDoesNotRepeatTheStepsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, function("f", "x", 4))
		a.mended.Store(true)
		p.send(`{"name":"x","data":{"n":1}}`)
		of := p.wantStatus(0, durable.Completed)
		time.Sleep(time.Second)
		before := len(a.seen())
		id, err := p.Rerun(t.Context(), of.ID, engine.Rerun{From: durable.From{Step: "b"}})
		require.NoError(t, err)
		p.restart()
		p.wantStatus(1, durable.Completed)
		calls := a.seen()[before:]
		require.Contains(t, calls[0].Steps, wire.StepHash("a", 0), "its first request knows the step before")
		require.Equal(t, []string{wire.StepHash("a", 0)}, calls[0].Ctx.Stack.Stack)
		steps, err := p.History().Journal(t.Context(), id, 0)
		require.NoError(t, err)
		require.Equal(t, "a", steps[0].Name)
		require.True(t, steps[0].At.Before(steps[1].At), "the copy says when it ran")

		// With another input the step alone is asked for first.
		before = len(a.seen())
		_, err = p.Rerun(t.Context(), of.ID, engine.Rerun{From: durable.From{Step: wire.StepHash("b", 0), Input: durable.JSON(`[7,"x"]`)}})
		require.NoError(t, err)
		p.wantStatus(2, durable.Completed)
		calls = a.seen()[before:]
		require.Equal(t, wire.StepHash("b", 0), calls[0].Step)
		require.JSONEq(t, `{"input":[7,"x"]}`, string(calls[0].Steps[wire.StepHash("b", 0)]))
		require.Equal(t, "step", calls[1].Step, "then the function is entered")

		var refused *engine.RerunError
		for step, why := range map[string]string{"x": `step "x": the run has no such step`} {
			_, err = p.Rerun(t.Context(), of.ID, engine.Rerun{From: durable.From{Step: step}})
			require.ErrorAs(t, err, &refused)
			require.Equal(t, why, refused.Message)
		}
		_, err = p.Rerun(t.Context(), "nothing", engine.Rerun{})
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

func TestRetryWithEditedData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, function("f", "x", 4), function("other", "x", 0))
		p.send(`{"name":"x","data":{"n":0}}`)
		time.Sleep(time.Second)
		require.Len(t, p.letters(), 2)
		events := len(eventNames(t, p))
		a.mended.Store(true)
		l := p.letters()[0]
		_, err := p.Rerun(t.Context(), l.Run, engine.Rerun{Letter: true, Data: durable.JSON(`{"n":5,"_inngest":{"x":1}}`)})
		require.NoError(t, err)
		r := p.wantStatus(2, durable.Completed)
		require.JSONEq(t, `{"data":{"n":5}}`, string(r.Output))
		require.Len(t, p.runs(), 3, "the edited event starts nothing else")
		require.Len(t, eventNames(t, p), events+2, "it, and the end of the run")
		l = p.letters()[0]
		was, err := p.History().Event(t.Context(), l.Event.ID)
		require.NoError(t, err)
		edited, err := p.History().Event(t.Context(), l.Edited)
		require.NoError(t, err)
		require.Equal(t, was.ID, edited.Edits)
		require.Equal(t, strings.Replace(string(was.Body), `{"n":0}`, `{"n":5}`, 1), string(edited.Body), "the rest of it is as it was")

		var refused *engine.RerunError
		_, err = p.Rerun(t.Context(), l.Run, engine.Rerun{Data: durable.JSON(`[1]`)})
		require.ErrorAs(t, err, &refused)
	})
}

// job starts a job over all letters.
func (p *pawl) job(every time.Duration, first int) store.RetryJob {
	p.t.Helper()
	j, err := p.StartRetries(p.t.Context(), store.LetterFilter{}, every, first, nil, "ann")
	require.NoError(p.t, err)
	return j
}

func (p *pawl) jobNow(id string) store.RetryJob {
	p.t.Helper()
	synctest.Wait()
	j, err := p.Letters().RetryJob(p.t.Context(), id)
	require.NoError(p.t, err)
	return j
}

func TestBulkRetryKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, function("f", "x", 4))
		p.fail(30)
		a.mended.Store(true)
		j := p.job(time.Second, 0)
		time.Sleep(9500 * time.Millisecond)
		require.Equal(t, 10, p.jobNow(j.ID).Started)
		time.Sleep(time.Minute)
		j = p.jobNow(j.ID)
		require.Equal(t, store.JobDone, j.State)
		require.Equal(t, 30, j.Completed)
		require.Equal(t, 30, p.count(durable.Completed))
		fast := p.job(time.Millisecond, 5)
		time.Sleep(time.Second)
		require.Equal(t, store.JobDone, p.jobNow(fast.ID).State, "there is nothing left")
		require.Equal(t, 0, p.jobNow(fast.ID).Started)
	})
}

func TestBulkDiscardGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, function("f", "x", 4), function("g", "y", 4))
		p.fail(300)
		p.send(`{"name":"y"}`)
		time.Sleep(time.Second)
		require.Len(t, p.letters(), 301)
		f := store.LetterFilter{Function: "shop-f"}
		_, err := p.StartDiscards(t.Context(), f, "", nil, "ann")
		require.Error(t, err, "nothing is retried in place of it")
		j, err := p.StartDiscards(t.Context(), f, "of a test", nil, "ann")
		require.NoError(t, err)
		p.restart()
		time.Sleep(time.Second)
		j = p.jobNow(j.ID)
		require.Equal(t, store.JobDone, j.State)
		require.Equal(t, 300, j.Discarded)
		require.Equal(t, 0, j.Started)
		for _, l := range p.letters() {
			want := store.Discarded
			if l.Function == "shop-g" {
				want = store.Open
			}
			require.Equal(t, want, l.State)
		}
		none, err := p.StartDiscards(t.Context(), f, "once more", nil, "ann")
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Equal(t, 0, p.jobNow(none.ID).Discarded, "there is nothing left")
		require.Equal(t, "of a test", p.letters()[0].Why)
	})
}

func TestBulkRetryStopsWhenTheFirstFailAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, function("f", "x", 4))
		p.fail(100)
		j := p.job(10*time.Millisecond, 5)
		time.Sleep(time.Minute)
		j = p.jobNow(j.ID)
		require.Equal(t, store.JobStopped, j.State)
		require.LessOrEqual(t, j.Started, 5)
		require.Contains(t, j.Why, "failed again")
		require.Len(t, p.letters(), 100+j.Started, "each of them left a letter of its own")

		// Runs that are tried again are waited for; when they get well, it goes on.
		a.mended.Store(true)
		serve := a.serve
		var tries atomic.Int32
		a.become(func(c callSeen) (int, string, http.Header) {
			if c.Ctx.Attempt == 0 && tries.Add(1) <= 5 {
				return http.StatusServiceUnavailable, `{"name":"Error","message":"not yet"}`, nil
			}
			return serve(c)
		})
		j = p.job(10*time.Millisecond, 5)
		time.Sleep(10 * time.Second)
		waiting := p.jobNow(j.ID)
		require.Equal(t, store.JobRunning, waiting.State)
		require.True(t, waiting.Waiting)
		require.Equal(t, 5, waiting.Started)
		time.Sleep(5 * time.Minute)
		require.Equal(t, store.JobDone, p.jobNow(j.ID).State)
		require.Equal(t, 100, p.count(durable.Completed))
	})
}

func TestBulkRetryGoesOnPastRunsThatRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, function("f", "x", 4))
		p.fail(20)
		a.become(func(callSeen) (int, string, http.Header) { return ops(op("Sleep", "nap", `,"name":"3d"`)) })
		j := p.job(10*time.Millisecond, 5)
		time.Sleep(10 * time.Second)
		require.Equal(t, 20, p.jobNow(j.ID).Started)
	})
}

func TestBulkRetryStopsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, function("f", "x", 4))
		p.fail(60)
		a.mended.Store(true)
		j := p.job(time.Second, 2)
		time.Sleep(8 * time.Second)
		a.mended.Store(false)
		time.Sleep(time.Hour)
		j = p.jobNow(j.ID)
		require.Equal(t, store.JobStopped, j.State, "more failed than completed")
		require.Less(t, j.Started, 40)

		a.mended.Store(true)
		j = p.job(time.Second, 2)
		time.Sleep(8 * time.Second)
		j, err := p.StopRetries(t.Context(), j.ID, "enough", "ann")
		require.NoError(t, err)
		started := j.Started
		time.Sleep(time.Hour)
		require.Equal(t, started, p.jobNow(j.ID).Started)
		require.Equal(t, "enough", p.jobNow(j.ID).Why)
	})
}

func TestBulkRetrySurvivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, function("f", "x", 4))
		p.fail(40)
		a.mended.Store(true)
		j := p.job(100*time.Millisecond, 3)
		for range 12 {
			time.Sleep(370 * time.Millisecond)
			p.restart()
		}
		time.Sleep(5 * time.Minute)
		require.Equal(t, store.JobDone, p.jobNow(j.ID).State)
		again := map[string]int{}
		for _, r := range p.allRuns() {
			again[r.Original]++
		}
		require.Equal(t, 40, again[""], "the first runs")
		delete(again, "")
		require.Len(t, again, 40, "none is missed")
		for of, n := range again {
			require.Equal(t, 1, n, "run %s is not doubled", of)
		}
		require.Equal(t, 40, p.jobNow(j.ID).Completed)
	})
}

// unsure is a store whose answer to Retry gets lost every second time, and that
// every third time does not even get to it.
type unsure struct {
	store.Store
	n atomic.Int32
}

func (u *unsure) Retry(ctx context.Context, l store.Lease, now time.Time, step store.RetryStep) error {
	n := u.n.Add(1)
	if n%3 == 0 {
		return store.ErrUnavailable
	}
	err := u.Store.Retry(ctx, l, now, step)
	if err == nil && n%2 == 0 {
		return store.ErrUnknown
	}
	return err
}

func TestBulkRetryNeitherMissesNorDoublesWhenAnswersGetLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFailsUntil()
		p := newPawl(t, &a.app, function("f", "x", 4))
		p.fail(50)
		a.mended.Store(true)
		require.NoError(t, p.Close(t.Context()))
		s, err := sqlite.Open(t.Context(), p.path, sqlite.Options{Durability: sqlite.None})
		require.NoError(t, err)
		p.Engine, err = engine.Start(t.Context(), engine.Config{
			Store: &unsure{Store: s}, Log: slog.New(slog.DiscardHandler), Dev: true, Transport: p.app, Drain: time.Millisecond,
		})
		require.NoError(t, err)
		j := p.job(20*time.Millisecond, 0)
		time.Sleep(10 * time.Minute)
		require.Equal(t, store.JobDone, p.jobNow(j.ID).State)
		again := map[string]int{}
		for _, r := range p.allRuns() {
			again[r.Original]++
		}
		delete(again, "")
		require.Len(t, again, 50)
		for of, n := range again {
			require.Equal(t, 1, n, of)
		}
		require.Equal(t, 50, p.jobNow(j.ID).Completed)
	})
}

func (p *pawl) allRuns() []*durable.Run {
	p.t.Helper()
	list, err := p.History().Runs(p.t.Context(), store.RunFilter{}, store.Page{Limit: 10_000})
	require.NoError(p.t, err)
	return list
}

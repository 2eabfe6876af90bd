package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// A job that retries dead letters is an item in the queue. Working it starts
// the next runs, closes their letters, counts them and moves the job on, in one
// transaction: however often that is tried, each letter is retried once. One that
// discards letters is worked in the same way.

const (
	retryTurn   = 100 * time.Millisecond // between two bits of a job, when its rate asks for more
	retryMost   = 64                     // runs started in one bit
	discardMost = 128                    // letters discarded in one bit
	retryLook   = 2 * time.Second        // between two looks at runs that are waited for
	retrySettle = time.Minute            // a run that has gone well for so long need not be waited for
)

// StartRetries starts a job that retries the open letters of f, the oldest
// first, one each every, and returns it. It waits for the first ones to do well
// before it goes on; 0 of them: it does not look. With once, that happens once
// for a key, which then stands for the job's id. Errors are those of the store
// and of once.
func (e *Engine) StartRetries(ctx context.Context, f store.LetterFilter, every time.Duration, first int, once *store.Once, by string) (store.RetryJob, error) {
	return e.startJob(ctx, store.RetryJob{Filter: f, Every: every, First: first}, durable.ActRetryMany, once, by,
		facts{"every": every.String(), "first": first})
}

// StartDiscards starts a job that discards the open letters of f, the oldest first,
// and keeps why with each, which must not be "": it is what tells such a job from one
// that retries. For the rest it is as StartRetries.
func (e *Engine) StartDiscards(ctx context.Context, f store.LetterFilter, why string, once *store.Once, by string) (store.RetryJob, error) {
	if why == "" {
		return store.RetryJob{}, errors.New("dead letters are discarded for a reason, and none was given")
	}
	return e.startJob(ctx, store.RetryJob{Filter: f, Reason: why}, durable.ActDiscardMany, once, by, facts{"why": why})
}

func (e *Engine) startJob(ctx context.Context, j store.RetryJob, what string, once *store.Once, by string, how facts) (store.RetryJob, error) {
	if e.closing.Load() {
		return store.RetryJob{}, ErrClosing
	}
	now := time.Now()
	f := &j.Filter
	// What fails from now on, such as the retried runs, is for another job.
	if f.Before.IsZero() || f.Before.After(now) {
		f.Before = now
	}
	j.ID, j.Created = NewID(), now
	if once != nil {
		once.Reply = durable.JSON(j.ID)
	}
	maps.Copy(how, facts{
		"function": f.Function, "class": string(f.Class), "fingerprint": f.Fingerprint, "failed_after": f.After, "failed_before": f.Before,
	})
	if err := e.store.StartRetries(ctx, j, once, newAct(now, by, what, durable.JobObject(j.ID), how)); err != nil {
		return store.RetryJob{}, err
	}
	e.followers.stale(TopicLetters)
	e.log.InfoContext(ctx, "a job on dead letters has started", "job", j.ID, "what", what)
	return e.store.RetryJob(ctx, j.ID)
}

// StopRetries ends a job; the runs that it has started go on. Stopping one that
// has ended changes nothing. It fails with store.ErrNotFound.
func (e *Engine) StopRetries(ctx context.Context, id, why, by string) (store.RetryJob, error) {
	act := newAct(time.Now(), by, durable.ActStopRetry, durable.JobObject(id), facts{"why": why})
	if err := e.store.StopRetries(ctx, id, why, act); err != nil {
		return store.RetryJob{}, err
	}
	e.followers.stale(TopicLetters)
	return e.store.RetryJob(ctx, id)
}

// retryMore works an item of kind Retry.
func (e *Engine) retryMore(ctx context.Context, l store.Lease) {
	err := e.retryBit(ctx, l, time.Now())
	if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrLeaseLost) {
		return
	}
	e.log.Warn("a job on dead letters cannot go on; it is tried again", "job", l.Run, "err", err)
	pause(ctx, settleAgain)
	if err := e.store.Release(ctx, []store.Lease{l}); err != nil {
		e.log.Error("an item cannot be given back; it is free when its lease has run out", "job", l.Run, "err", err)
	}
}

func (e *Engine) retryBit(ctx context.Context, l store.Lease, now time.Time) error {
	job, err := e.store.RetryJob(ctx, l.Run)
	if errors.Is(err, store.ErrNotFound) {
		return e.store.Settle(ctx, l, now, store.Settled{})
	}
	if err != nil {
		return err
	}
	step := store.RetryStep{Cursor: job.Cursor}
	n := bit(job)
	letters, err := e.lettersOf(ctx, job, n)
	if err != nil {
		return err
	}
	if len(letters) == 0 {
		step.State = store.JobDone
		return e.retryStep(ctx, l, job, step, now)
	}
	if job.Reason != "" {
		for _, letter := range letters {
			step.Discard = append(step.Discard, letter.Run)
		}
		step.Cursor, step.Next = letters[len(letters)-1].Place(), now
		return e.retryStep(ctx, l, job, step, now)
	}
	verdict, why, err := e.judge(ctx, job, now)
	if err != nil {
		return err
	}
	switch verdict {
	case stopNow:
		step.State, step.Why = store.JobStopped, why
	case waitOn:
		step.Waiting, step.Next = true, now.Add(retryLook)
	case goOn:
		for _, letter := range letters {
			step.Cursor = letter.Place()
			r, err := e.rerun(ctx, letter.Run, Rerun{Letter: true}, now)
			if _, refused := errors.AsType[*RerunError](err); refused || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
				step.Skipped++
				continue
			}
			if err != nil {
				return err
			}
			step.Reruns = append(step.Reruns, r)
		}
		step.Next = now.Add(time.Duration(len(letters)) * job.Every)
	}
	return e.retryStep(ctx, l, job, step, now)
}

func (e *Engine) retryStep(ctx context.Context, l store.Lease, job store.RetryJob, step store.RetryStep, now time.Time) error {
	if err := e.store.Retry(ctx, l, now, step); err != nil {
		return err
	}
	stale := TopicLetters
	if len(step.Reruns) > 0 {
		stale |= TopicRuns
	}
	e.followers.stale(stale)
	switch step.State {
	case store.JobDone:
		e.log.InfoContext(ctx, "a job on dead letters is done", "job", job.ID, "started", job.Started, "discarded", job.Discarded)
	case store.JobRunning:
	case store.JobStopped:
		e.log.WarnContext(ctx, "retrying dead letters stopped", "job", job.ID, "started", job.Started, "err", step.Why)
	}
	return nil
}

// bit is how many letters a job looks at now.
func bit(job store.RetryJob) int {
	n := retryMost
	if job.Reason != "" {
		return discardMost
	}
	if job.Every > 0 {
		n = min(n, max(1, int(retryTurn/job.Every)))
	}
	if job.Started < job.First {
		n = min(n, job.First-job.Started)
	}
	return n
}

// lettersOf are the next letters of a job.
func (e *Engine) lettersOf(ctx context.Context, job store.RetryJob, n int) ([]store.Letter, error) {
	f := job.Filter
	f.State, f.Oldest = new(store.LetterState), true
	return e.store.DeadLetters(ctx, f, store.Page{Limit: n, Cursor: job.Cursor})
}

// verdict is what becomes of a job.
type verdict int

const (
	goOn verdict = iota
	waitOn
	stopNow
)

// judge decides by the runs that a job has started whether it goes on: half of
// the first ones may fail again at most, and later on no more may fail than
// complete.
func (e *Engine) judge(ctx context.Context, job store.RetryJob, now time.Time) (verdict, string, error) {
	switch {
	case job.First == 0 || job.Started == 0:
		return goOn, "", nil
	case job.Started > job.First:
		if job.Failed > job.First && job.Failed > job.Completed {
			return stopNow, fmt.Sprintf("%d of the %d runs that it started failed again, and %d completed", job.Failed, job.Started, job.Completed), nil
		}
		return goOn, "", nil
	case 2*job.Failed > job.First:
		return stopNow, fmt.Sprintf("%d of the first %d runs failed again", job.Failed, job.Started), nil
	case job.Started < job.First:
		return goOn, "", nil
	}
	first, err := e.store.RetriedBy(ctx, job.ID, nil, store.Page{Limit: job.First})
	if err != nil {
		return 0, "", err
	}
	for _, r := range first {
		if r.Status.Final() {
			continue
		}
		well := false
		err := e.store.View(ctx, r.Run, func(run *durable.Run) error {
			well = goesWell(run, now)
			return nil
		})
		if errors.Is(err, store.ErrDamaged) {
			continue // nobody knows how it goes
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, "", err
		}
		if !well {
			return waitOn, "", nil
		}
	}
	return goOn, "", nil
}

// goesWell reports whether a run that has not ended need not be waited for: it
// rests, or has long been at work, and nothing of it failed since.
func goesWell(r *durable.Run, now time.Time) bool {
	calls := 0
	for _, item := range r.Items {
		if item.Kind != durable.Call && item.Kind != durable.Fetch {
			continue
		}
		if item.Attempt > 0 || !item.Since.IsZero() {
			return false
		}
		calls++
	}
	return r.Status != durable.Queued && (calls == 0 || now.Sub(r.Started) >= retrySettle)
}

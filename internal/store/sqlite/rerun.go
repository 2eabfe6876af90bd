package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// also submits a write whose rows are those of fn, which runs in the writer's
// transaction. fn may set the outcome of its write before it writes anything.
// act is the line that tells it, nil for none.
func (s *Store) also(ctx context.Context, act *durable.Act, now time.Time, fn func(*write) error) error {
	w := newWrite(now)
	w.also, w.act = fn, act
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
}

// known reports whether a key was used before; w's outcome says so then. It
// writes nothing, so that a write which is refused for another reason does not
// use up its key: take does.
func (s *Store) known(w *write, once *store.Once) (bool, error) {
	if once == nil {
		return false, nil
	}
	was, err := selectKey(s.write, once.Scope, once.Key)
	if err != nil || was == nil || !was.Expires.After(w.now) {
		return false, err
	}
	w.outcome = store.Known(*was, once.Fingerprint)
	return true, nil
}

func (s *Store) take(w *write, once *store.Once) error {
	if once == nil {
		return nil
	}
	_, err := takeKey(s.write, *once, w.now)
	return err
}

// Rerun starts a run anew.
func (s *Store) Rerun(ctx context.Context, now time.Time, r store.Rerun) error {
	return s.also(ctx, r.Act, now, func(w *write) error {
		if known, err := s.known(w, r.Once); err != nil || known {
			return err
		}
		at, err := selectState(s.write, r.Of)
		switch {
		case err != nil:
			return err
		case r.Letter && at == nil:
			w.outcome = noLetter(r.Of)
			return nil
		case r.Letter && at.State == store.Retried:
			w.outcome = at
			return nil
		}
		holder, err := selectHolder(s.write, r.Start.Single)
		if err != nil {
			return err
		}
		if holder != "" {
			w.outcome = &store.SingleError{Run: r.Of, Holder: holder}
			return nil
		}
		if err := s.take(w, r.Once); err != nil {
			return err
		}
		return s.applyRerun(w, r, at, "")
	})
}

func noLetter(run string) error {
	return fmt.Errorf("dead letter of run %s: %w", run, store.ErrNotFound)
}

// selectState is what became of a letter; nil if there is none.
func selectState(c *conn, run string) (at *store.LetterClosedError, err error) {
	stmt := c.Prep(`SELECT state, retried_as FROM dead_letters WHERE run = ?`)
	stmt.BindText(1, run)
	err = rows(stmt, func() {
		at = &store.LetterClosedError{Run: run, State: store.LetterState(stmt.ColumnInt64(0)), As: stmt.ColumnText(1)}
	})
	return at, err
}

// applyRerun writes a run that repeats another, whose letter, if it has one, is
// at at.
func (s *Store) applyRerun(w *write, r store.Rerun, at *store.LetterClosedError, job string) error {
	if r.Edited.ID != "" {
		s.eventSeq++
		if _, err := insertEvent(s.write, s.eventSeq, r.Edited); err != nil {
			return err
		}
	}
	// It is started for no key: a rerun is no repetition of a send.
	if err := s.applyStarts(w, store.Accepted{Starts: []durable.Start{r.Start}}, s.eventSeq); err != nil {
		return err
	}
	if at == nil {
		return nil
	}
	stmt := s.write.Prep(`UPDATE dead_letters SET retried_as = ?, job = ?, edited = ? WHERE run = ?`)
	for i, v := range []string{r.Start.Run.ID, job, r.Edited.ID, r.Of} {
		stmt.BindText(i+1, v)
	}
	if err := exec(stmt); err != nil {
		return err
	}
	return moveLetter(s.write, r.Of, at.State, store.Retried, w.now)
}

// moveLetter changes a letter's state, and the counts of its group.
func moveLetter(c *conn, run string, from, to store.LetterState, now time.Time) error {
	if from == to {
		return nil
	}
	stmt := c.Prep(`UPDATE dead_letters SET state = ?, closed = ? WHERE run = ?`)
	stmt.BindInt64(1, int64(to))
	stmt.BindInt64(2, micros(now))
	stmt.BindText(3, run)
	if err := exec(stmt); err != nil {
		return err
	}
	stmt = c.Prep(`UPDATE dead_groups SET open = open + $open, retried = retried + $retried, discarded = discarded + $discarded
		WHERE fingerprint = (SELECT fingerprint FROM dead_letters WHERE run = $run)`)
	for state, name := range map[store.LetterState]string{store.Open: "$open", store.Retried: "$retried", store.Discarded: "$discarded"} {
		stmt.SetInt64(name, 0)
		if state == from {
			stmt.SetInt64(name, -1)
		}
		if state == to {
			stmt.SetInt64(name, 1)
		}
	}
	stmt.SetText("$run", run)
	if err := exec(stmt); err != nil {
		return err
	}
	// live is in every index of groups: it is named only when it changes.
	stmt = c.Prep(`UPDATE dead_groups SET live = open > 0
		WHERE fingerprint = (SELECT fingerprint FROM dead_letters WHERE run = ?) AND live <> (open > 0)`)
	stmt.BindText(1, run)
	return exec(stmt)
}

// Discard closes a letter.
func (s *Store) Discard(ctx context.Context, run, why string, act durable.Act) error {
	return s.also(ctx, &act, act.At, func(w *write) error {
		at, err := selectState(s.write, run)
		switch {
		case err != nil:
			return err
		case at == nil:
			w.outcome = noLetter(run)
			return nil
		case at.State == store.Retried:
			w.outcome = at
			return nil
		}
		stmt := s.write.Prep(`UPDATE dead_letters SET why = ?1 WHERE run = ?2 AND why <> ?1`)
		stmt.BindText(1, why)
		stmt.BindText(2, run)
		if err := exec(stmt); err != nil {
			return err
		}
		w.idle = at.State == store.Discarded && s.write.Changes() == 0
		return moveLetter(s.write, run, at.State, store.Discarded, w.now)
	})
}

// Annotate replaces a letter's note.
func (s *Store) Annotate(ctx context.Context, run, note string, act durable.Act) error {
	return s.also(ctx, &act, act.At, func(w *write) error {
		at, err := selectState(s.write, run)
		switch {
		case err != nil:
			return err
		case at == nil:
			w.outcome = noLetter(run)
			return nil
		}
		stmt := s.write.Prep(`UPDATE dead_letters SET note = ?1 WHERE run = ?2 AND note <> ?1`)
		stmt.BindText(1, note)
		stmt.BindText(2, run)
		err = exec(stmt)
		w.idle = s.write.Changes() == 0
		return err
	})
}

const jobColumns = `id, function, class, fingerprint, after, before, every, first, created,
	state, waiting, cursor, why, ended, started, completed, failed, cancelled, skipped, reason, discarded`

func scanJob(stmt *sqlite.Stmt) store.RetryJob {
	return store.RetryJob{
		ID: stmt.ColumnText(0),
		Filter: store.LetterFilter{
			Function: stmt.ColumnText(1), Class: durable.Class(stmt.ColumnText(2)), Fingerprint: stmt.ColumnText(3),
			After: fromMicros(stmt.ColumnInt64(4)), Before: fromMicros(stmt.ColumnInt64(5)),
		},
		Every: time.Duration(stmt.ColumnInt64(6)) * time.Microsecond, First: stmt.ColumnInt(7), Created: fromMicros(stmt.ColumnInt64(8)),
		State: store.RetryState(stmt.ColumnInt64(9)), Waiting: stmt.ColumnBool(10), Cursor: stmt.ColumnText(11),
		Why: stmt.ColumnText(12), Ended: fromMicros(stmt.ColumnInt64(13)),
		Started: stmt.ColumnInt(14), Completed: stmt.ColumnInt(15), Failed: stmt.ColumnInt(16), Cancelled: stmt.ColumnInt(17),
		Skipped: stmt.ColumnInt(18), Reason: stmt.ColumnText(19), Discarded: stmt.ColumnInt(20),
	}
}

func selectJob(c *conn, id string) (j store.RetryJob, err error) {
	found := false
	stmt := c.Prep(`SELECT ` + jobColumns + ` FROM retry_jobs WHERE id = ?`)
	stmt.BindText(1, id)
	err = rows(stmt, func() { j, found = scanJob(stmt), true })
	if err == nil && !found {
		err = fmt.Errorf("job %s: %w", id, store.ErrNotFound)
	}
	return j, err
}

func jobItem(id string, due time.Time) durable.Item {
	return durable.Item{Run: id, Step: durable.RetryStep, Kind: durable.Retry, Due: due}
}

// StartRetries writes a job.
func (s *Store) StartRetries(ctx context.Context, j store.RetryJob, once *store.Once, act durable.Act) error {
	item := jobItem(j.ID, j.Created)
	return s.also(ctx, &act, j.Created, func(w *write) error {
		if known, err := s.known(w, once); err != nil || known {
			return err
		}
		if err := s.take(w, once); err != nil {
			return err
		}
		stmt := s.write.Prep(`INSERT INTO retry_jobs (id, function, class, fingerprint, reason, after, before, every, first, created)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		for i, v := range []string{j.ID, j.Filter.Function, string(j.Filter.Class), j.Filter.Fingerprint, j.Reason} {
			stmt.BindText(i+1, v)
		}
		for i, v := range []int64{micros(j.Filter.After), micros(j.Filter.Before), j.Every.Microseconds(), int64(j.First), micros(j.Created)} {
			stmt.BindInt64(i+6, v)
		}
		if err := exec(stmt); err != nil {
			return err
		}
		return s.queueItem(w, item)
	})
}

// endJob ends a job that is running, and removes its item.
func (s *Store) endJob(w *write, id string, state store.RetryState, why string) error {
	stmt := s.write.Prep(`UPDATE retry_jobs SET state = ?, waiting = 0, why = ?, ended = ? WHERE id = ?`)
	stmt.BindInt64(1, int64(state))
	stmt.BindText(2, why)
	stmt.BindInt64(3, micros(w.now))
	stmt.BindText(4, id)
	if err := exec(stmt); err != nil {
		return err
	}
	w.removed = append(w.removed, durable.Ref{Run: id, Step: durable.RetryStep})
	return deleteItem(s.write, id, durable.RetryStep)
}

// StopRetries ends a job.
func (s *Store) StopRetries(ctx context.Context, id, why string, act durable.Act) error {
	return s.also(ctx, &act, act.At, func(w *write) error {
		j, err := selectJob(s.write, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			w.outcome = err
			return nil
		case err != nil:
			return err
		case j.State != store.JobRunning:
			w.idle = true
			return nil
		}
		return s.endJob(w, id, store.JobStopped, why)
	})
}

// Retry takes a job a bit further.
func (s *Store) Retry(ctx context.Context, l store.Lease, now time.Time, step store.RetryStep) error {
	next := jobItem(l.Run, step.Next)
	return s.also(ctx, nil, now, func(w *write) error {
		j, err := selectJob(s.write, l.Run)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err != nil || j.State != store.JobRunning || !s.queue.holds(l) {
			w.outcome = store.ErrLeaseLost
			return nil
		}
		n, skipped := int64(j.Started), int64(step.Skipped)
		for _, r := range step.Reruns {
			at, err := selectState(s.write, r.Of)
			if err != nil {
				return err
			}
			if at == nil || at.State != store.Open {
				continue // somebody else did something about it
			}
			holder, err := selectHolder(s.write, r.Start.Single)
			if err != nil {
				return err
			}
			if holder != "" { // the letter stays open
				skipped++
				continue
			}
			if err := s.applyRerun(w, r, at, j.ID); err != nil {
				return err
			}
			stmt := s.write.Prep(`INSERT INTO retries (run, job, of, n, status) VALUES (?, ?, ?, ?, 0)`)
			for i, v := range []string{r.Start.Run.ID, j.ID, r.Of} {
				stmt.BindText(i+1, v)
			}
			n++
			stmt.BindInt64(4, n)
			if err := exec(stmt); err != nil {
				return err
			}
		}
		discarded, err := discardOpen(s.write, j, step.Discard, w.now)
		if err != nil {
			return err
		}
		stmt := s.write.Prep(`UPDATE retry_jobs SET waiting = ?, cursor = ?, started = ?, skipped = skipped + ?, discarded = discarded + ? WHERE id = ?`)
		stmt.BindBool(1, step.Waiting)
		stmt.BindText(2, step.Cursor)
		stmt.BindInt64(3, n)
		stmt.BindInt64(4, skipped)
		stmt.BindInt64(5, discarded)
		stmt.BindText(6, j.ID)
		if err := exec(stmt); err != nil {
			return err
		}
		if step.State != store.JobRunning {
			return s.endJob(w, j.ID, step.State, step.Why)
		}
		return s.queueItem(w, next)
	})
}

// discardOpen closes those letters of runs that are open, for a job, and returns
// how many they are.
func discardOpen(c *conn, j store.RetryJob, runs []string, now time.Time) (n int64, err error) {
	for _, run := range runs {
		at, err := selectState(c, run)
		if err != nil {
			return 0, err
		}
		if at == nil || at.State != store.Open {
			continue // somebody else did something about it
		}
		stmt := c.Prep(`UPDATE dead_letters SET why = ?, job = ? WHERE run = ?`)
		for i, v := range []string{j.Reason, j.ID, run} {
			stmt.BindText(i+1, v)
		}
		if err := exec(stmt); err != nil {
			return 0, err
		}
		if err := moveLetter(c, run, store.Open, store.Discarded, now); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// countEnd tells the job that started a run how it has ended.
func countEnd(c *conn, run string, status durable.Status) error {
	job := ""
	stmt := c.Prep(`UPDATE retries SET status = ? WHERE run = ? RETURNING job`)
	stmt.BindInt64(1, int64(status))
	stmt.BindText(2, run)
	if err := rows(stmt, func() { job = stmt.ColumnText(0) }); err != nil || job == "" {
		return err
	}
	stmt = c.Prep(`UPDATE retry_jobs SET completed = completed + (?2 = 2), failed = failed + (?2 = 3), cancelled = cancelled + (?2 = 4) WHERE id = ?1`)
	stmt.BindText(1, job)
	stmt.BindInt64(2, int64(status))
	return exec(stmt)
}

// RetryJob returns a job.
func (s *Store) RetryJob(ctx context.Context, id string) (j store.RetryJob, err error) {
	err = s.read(ctx, func(c *conn) error {
		j, err = selectJob(c, id)
		return err
	})
	return j, err
}

// RetryJobs lists jobs.
func (s *Store) RetryJobs(ctx context.Context, p store.Page) (list []store.RetryJob, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + jobColumns + ` FROM retry_jobs WHERE id < ? ORDER BY id DESC LIMIT ?`)
		stmt.BindText(1, cursor(p))
		stmt.BindInt64(2, int64(p.Limit))
		return rows(stmt, func() { list = append(list, scanJob(stmt)) })
	})
	return list, err
}

// retriedSQL asks for runs of a job: a range of an index.
func retriedSQL(status bool) string {
	where := ""
	if status {
		where = ` AND status = $status`
	}
	return `SELECT run, of, status FROM retries WHERE job = $job` + where + ` AND n > $n ORDER BY n LIMIT $limit`
}

// RetriedBy lists the runs that a job has started.
func (s *Store) RetriedBy(ctx context.Context, job string, status *durable.Status, p store.Page) (list []store.RetriedRun, err error) {
	err = s.read(ctx, func(c *conn) error {
		n, found := int64(0), p.Cursor == ""
		if !found {
			stmt := c.Prep(`SELECT n FROM retries WHERE run = ? AND job = ?`)
			stmt.BindText(1, p.Cursor)
			stmt.BindText(2, job)
			if err := rows(stmt, func() { n, found = stmt.ColumnInt64(0), true }); err != nil {
				return err
			}
		}
		if !found {
			return fmt.Errorf("run %s of job %s: %w", p.Cursor, job, store.ErrNotFound)
		}
		stmt := c.Prep(retriedSQL(status != nil))
		stmt.SetText("$job", job)
		stmt.SetInt64("$n", n)
		stmt.SetInt64("$limit", int64(p.Limit))
		if status != nil {
			stmt.SetInt64("$status", int64(*status))
		}
		return rows(stmt, func() {
			list = append(list, store.RetriedRun{Run: stmt.ColumnText(0), Of: stmt.ColumnText(1), Status: durable.Status(stmt.ColumnInt64(2))})
		})
	})
	return list, err
}

package sqlite

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/internal/store"
)

// What retention remembers in meta.
const (
	metaSwept      = "events_swept" // place of the last event that was looked at; its fate is that of its runs
	metaRunsGone   = "runs_gone"    // runs that ended by then may have left
	metaEventsGone = "events_gone"  // events that were received by then may have left
)

// sweptBytes bounds the payloads that one sweep removes: each page of them is
// written.
const sweptBytes = 8 << 20

// sweep is what is to leave.
type sweep struct {
	runs, failed, events, acts time.Time // what ended, was received or was done by then; zero: nothing
	limit                      int

	swept store.Swept
	gone  []string // runs
}

func newSweep(now time.Time, r store.Retention, limit int) *sweep {
	before := func(d time.Duration) time.Time {
		if d <= 0 {
			return time.Time{}
		}
		return now.Add(-d)
	}
	return &sweep{runs: before(r.Runs), failed: before(r.Failed), events: before(r.Events), acts: before(r.Acts), limit: limit}
}

// Sweep removes what is kept no longer.
func (s *Store) Sweep(ctx context.Context, now time.Time, r store.Retention, limit int) (store.Swept, error) {
	sw := newSweep(now, r, limit)
	due := false
	err := s.read(ctx, func(c *conn) error { // mostly there is nothing, and nothing is written
		runs, err := sw.nextRuns(c, 1)
		if err != nil || len(runs) > 0 {
			due = true
			return err
		}
		place, err := metaInt(c, metaSwept)
		if err != nil {
			return err
		}
		events, err := sw.nextEvents(c, place, 1)
		if err != nil || len(events) > 0 {
			due = true
			return err
		}
		due, err = oldActs(c, sw.acts)
		return err
	})
	if err != nil || !due {
		return store.Swept{}, err
	}
	w := newWrite(now)
	w.also = func(*write) error { return sw.apply(s.write) }
	if err := s.submit(ctx, w); err != nil {
		return store.Swept{}, err
	}
	if err := s.await(w); err != nil {
		return store.Swept{}, err
	}
	for _, run := range sw.gone {
		s.heads.evict(run)
	}
	return sw.swept, nil
}

// endedRun is a run that is to leave.
type endedRun struct {
	id, event string
	ended     int64
}

// nextRuns are those that leave next. A run that has something queued, such as
// a report of its end, stays.
func (sw *sweep) nextRuns(c *conn, limit int) (list []endedRun, err error) {
	for _, part := range []struct {
		by  time.Time
		sql string
	}{
		{sw.runs, `SELECT id, event, ended FROM runs INDEXED BY runs_over WHERE status IN (2, 4, 5) AND ended <= ?
			AND NOT EXISTS (SELECT 1 FROM queue WHERE run = runs.id) ORDER BY ended LIMIT ?`},
		{sw.failed, `SELECT id, event, ended FROM runs INDEXED BY runs_failed WHERE status = 3 AND ended <= ?
			AND NOT EXISTS (SELECT 1 FROM queue WHERE run = runs.id) ORDER BY ended LIMIT ?`},
	} {
		if part.by.IsZero() || len(list) >= limit {
			continue
		}
		stmt := c.Prep(part.sql)
		stmt.BindInt64(1, micros(part.by))
		stmt.BindInt64(2, int64(limit-len(list)))
		err := rows(stmt, func() {
			list = append(list, endedRun{stmt.ColumnText(0), stmt.ColumnText(1), stmt.ColumnInt64(2)})
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// oldEvent is an event that has been there for long enough.
type oldEvent struct {
	seq, received int64
	id            string
	bytes         int
	needed        bool // a run came from it
}

// nextEvents are those to look at after a place, in their order. They end
// before one that is to stay for now: one that is too young or has yet to be
// handed on, and the newest of all, whose place the next one needs.
func (sw *sweep) nextEvents(c *conn, after int64, limit int) (list []oldEvent, err error) {
	if sw.events.IsZero() {
		return nil, nil
	}
	stmt := c.Prep(`SELECT seq, received, id, length(body), EXISTS (SELECT 1 FROM runs WHERE event = events.id)
				OR EXISTS (SELECT 1 FROM run_events WHERE event = events.id),
			received <= $by AND seq < (SELECT max(seq) FROM events) AND NOT EXISTS (SELECT 1 FROM queue WHERE run = events.id)
			AND NOT EXISTS (SELECT 1 FROM parked WHERE event = events.id)
		FROM events WHERE seq > $after ORDER BY seq LIMIT $limit`)
	stmt.SetInt64("$by", micros(sw.events))
	stmt.SetInt64("$after", after)
	stmt.SetInt64("$limit", int64(limit))
	stopped := false
	err = rows(stmt, func() {
		if stopped = stopped || !stmt.ColumnBool(5); !stopped {
			list = append(list, oldEvent{
				stmt.ColumnInt64(0), stmt.ColumnInt64(1), stmt.ColumnText(2), stmt.ColumnInt(3), stmt.ColumnBool(4),
			})
		}
	})
	return list, err
}

// apply removes rows until there are as many as may go at once.
func (sw *sweep) apply(c *conn) error {
	sw.swept, sw.gone = store.Swept{}, sw.gone[:0]
	b := &budget{rows: sw.limit, bytes: sweptBytes}
	swept, err := metaInt(c, metaSwept)
	if err != nil {
		return err
	}
	runs, err := sw.nextRuns(c, sw.limit)
	if err != nil {
		return err
	}
	place, runsGone, eventsGone := swept, int64(0), int64(0)
	remove := func(e oldEvent) error {
		stmt := c.Prep(`DELETE FROM events WHERE seq = ?`)
		stmt.BindInt64(1, e.seq)
		b.take(1, e.bytes)
		sw.swept.Events++
		eventsGone = max(eventsGone, e.received)
		return exec(stmt)
	}
	for _, r := range runs {
		if b.spent() {
			break
		}
		events, err := eventsOf(c, r)
		if err != nil {
			return err
		}
		whole, err := removeRun(c, r, b)
		if err != nil {
			return err
		}
		if !whole {
			break
		}
		sw.swept.Runs++
		sw.gone = append(sw.gone, r.id)
		runsGone = max(runsGone, r.ended)
		for _, id := range events {
			e, ok, err := eventLeft(c, id, swept)
			switch {
			case err != nil:
				return err
			case !ok:
				continue
			case e.received > micros(sw.events): // Events was made longer: look at it again
				place = min(place, e.seq-1)
				continue
			}
			if err := remove(e); err != nil {
				return err
			}
		}
	}
	events, err := sw.nextEvents(c, place, sw.limit)
	if err != nil {
		return err
	}
	for _, e := range events {
		if b.spent() {
			break
		}
		place = e.seq
		if e.needed {
			b.take(1, 0)
			continue
		}
		if err := remove(e); err != nil {
			return err
		}
	}
	if sw.swept.Acts, err = removeActs(c, sw.acts, b); err != nil {
		return err
	}
	sw.swept.More = b.spent()
	if place != swept {
		if err := setMeta(c, metaSwept, place); err != nil {
			return err
		}
	}
	for key, v := range map[string]int64{metaRunsGone: runsGone, metaEventsGone: eventsGone} {
		if err := raiseMeta(c, key, v); err != nil {
			return err
		}
	}
	return nil
}

// eventsOf are the events of a run that leaves.
func eventsOf(c *conn, r endedRun) ([]string, error) {
	events := []string{r.event}
	stmt := c.Prep(`SELECT event FROM run_events WHERE run = ? ORDER BY n`)
	stmt.BindText(1, r.id)
	err := rows(stmt, func() { events = append(events, stmt.ColumnText(0)) })
	return events, err
}

// budget is what may still go in a sweep.
type budget struct{ rows, bytes int }

func (b *budget) spent() bool { return b.rows <= 0 || b.bytes <= 0 }

func (b *budget) take(rows, bytes int) {
	b.rows -= rows
	b.bytes -= bytes
}

// removeRun removes a run with its journal, its last entries first: what is
// left of a run that is too long for one sweep is the run as it was before. It
// reports whether all of it went.
func removeRun(c *conn, r endedRun, b *budget) (whole bool, err error) {
	stmt := c.Prep(`SELECT n, ifnull(length(data), 0) FROM journal WHERE run = ? ORDER BY n DESC LIMIT ?`)
	stmt.BindText(1, r.id)
	stmt.BindInt64(2, int64(b.rows+1))
	from := int64(-1)
	whole = true
	err = rows(stmt, func() {
		if whole = whole && !b.spent(); whole {
			from = stmt.ColumnInt64(0)
			b.take(1, stmt.ColumnInt(1))
		}
	})
	if err != nil {
		return false, err
	}
	if from >= 0 {
		stmt = c.Prep(`DELETE FROM journal WHERE run = ? AND n >= ?`)
		stmt.BindText(1, r.id)
		stmt.BindInt64(2, from)
		if err := exec(stmt); err != nil {
			return false, err
		}
	}
	if !whole {
		return false, nil
	}
	if whole, err := removeStream(c, r.id, b); err != nil || !whole {
		return false, err
	}
	b.take(1, 0)
	if err := removeLetter(c, r.id); err != nil {
		return false, err
	}
	if err := removeMetadata(c, r.id, b); err != nil {
		return false, err
	}
	for _, sql := range [...]string{
		`DELETE FROM retries WHERE run = ? AND EXISTS (SELECT 1 FROM retry_jobs WHERE id = job AND state <> 0)`,
		`DELETE FROM run_events WHERE run = ?`,
		`DELETE FROM exchanges WHERE run = ?`,
		`DELETE FROM runs WHERE id = ?`,
	} {
		stmt = c.Prep(sql)
		stmt.BindText(1, r.id)
		if err := exec(stmt); err != nil {
			return false, err
		}
	}
	return true, nil
}

// removeStream removes what a run has streamed, its end first, and reports whether
// all of it went.
func removeStream(c *conn, run string, b *budget) (whole bool, err error) {
	stmt := c.Prep(`SELECT n, length(data) FROM streams WHERE run = ? ORDER BY n DESC LIMIT ?`)
	stmt.BindText(1, run)
	stmt.BindInt64(2, int64(b.rows+1))
	from := int64(-1)
	whole = true
	err = rows(stmt, func() {
		if whole = whole && !b.spent(); whole {
			from = stmt.ColumnInt64(0)
			b.take(1, stmt.ColumnInt(1))
		}
	})
	if err != nil || from < 0 {
		return whole, err
	}
	stmt = c.Prep(`DELETE FROM streams WHERE run = ? AND n >= ?`)
	stmt.BindText(1, run)
	stmt.BindInt64(2, from)
	return whole, exec(stmt)
}

// removeLetter removes the dead letter of a run, if there is one, and counts
// it out of its group.
func removeLetter(c *conn, run string) error {
	fingerprint, state := "", store.LetterState(-1)
	stmt := c.Prep(`DELETE FROM dead_letters WHERE run = ? RETURNING fingerprint, state`)
	stmt.BindText(1, run)
	err := rows(stmt, func() { fingerprint, state = stmt.ColumnText(0), store.LetterState(stmt.ColumnInt64(1)) })
	if err != nil || state < 0 {
		return err
	}
	stmt = c.Prep(`UPDATE dead_groups SET open = open - ($state = 0), retried = retried - ($state = 1),
		discarded = discarded - ($state = 2), live = open - ($state = 0) > 0 WHERE fingerprint = $fingerprint`)
	stmt.SetInt64("$state", int64(state))
	stmt.SetText("$fingerprint", fingerprint)
	if err := exec(stmt); err != nil {
		return err
	}
	stmt = c.Prep(`DELETE FROM dead_groups WHERE fingerprint = ? AND open + retried + discarded <= 0`)
	stmt.BindText(1, fingerprint)
	if err := exec(stmt); err != nil || c.Changes() == 0 {
		return err
	}
	stmt = c.Prep(`DELETE FROM dead_trend WHERE fingerprint = ?`)
	stmt.BindText(1, fingerprint)
	return exec(stmt)
}

// eventLeft returns the event of a run that is gone, if it was looked at before
// and was left for its runs, of which this was the last.
func eventLeft(c *conn, event string, swept int64) (e oldEvent, ok bool, err error) {
	stmt := c.Prep(`SELECT seq, received, id, length(body) FROM events
		WHERE id = $id AND seq <= $swept AND NOT EXISTS (SELECT 1 FROM runs WHERE event = $id)
			AND NOT EXISTS (SELECT 1 FROM run_events WHERE event = $id)`)
	stmt.SetText("$id", event)
	stmt.SetInt64("$swept", swept)
	err = rows(stmt, func() {
		e, ok = oldEvent{seq: stmt.ColumnInt64(0), received: stmt.ColumnInt64(1), id: stmt.ColumnText(2), bytes: stmt.ColumnInt(3)}, true
	})
	return e, ok, err
}

// metaInt is a number that the store remembers; 0 when it does not.
func metaInt(c *conn, key string) (v int64, err error) {
	stmt := c.Prep(`SELECT value FROM meta WHERE key = ?`)
	stmt.BindText(1, key)
	err = rows(stmt, func() { v = stmt.ColumnInt64(0) })
	return v, err
}

// raiseMeta keeps a number that is greater than the one that is remembered.
func raiseMeta(c *conn, key string, v int64) error {
	was, err := metaInt(c, key)
	if err != nil || v <= was {
		return err
	}
	return setMeta(c, key, v)
}

func setMeta(c *conn, key string, v int64) error {
	stmt := c.Prep(`INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`)
	stmt.BindText(1, key)
	stmt.BindInt64(2, v)
	return exec(stmt)
}

package sqlite

import (
	"cmp"
	"context"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/store"
)

// The items of alerts. One that is there is left alone while it is due early
// enough, so that whoever works it keeps its lease.
var (
	tellItem  = durable.Ref{Run: durable.AlertRun, Step: durable.TellStep}
	agingItem = durable.Ref{Run: durable.AlertRun, Step: durable.AgingStep}
)

// Watch says of what dead letters make alerts.
func (s *Store) Watch(w durable.Watch) { s.watch.Store(&w) }

// letter writes the dead letter of a run, and what people are told of it.
func (s *Store) letter(w *write, l durable.DeadLetter) error {
	open, err := insertLetter(s.write, l)
	if err != nil {
		return err
	}
	watch := *s.watch.Load()
	if watch.On {
		if a, ok := durable.GroupAlert(l, open); ok {
			if err := s.raise(w, a); err != nil {
				return err
			}
		}
	}
	if watch.Failures > 0 {
		rate := flow.Rate{Every: time.Hour / time.Duration(watch.Failures), Burst: watch.Failures - 1}
		within, err := takeRate(s.write, durable.StartLimit{Gate: "alert/" + l.Function, Every: rate.Every, Burst: rate.Burst}, l.Failed)
		if err != nil {
			return err
		}
		if !within {
			if err := s.raise(w, durable.FailuresAlert(l, watch.Failures)); err != nil {
				return err
			}
		}
	}
	if watch.Age > 0 {
		return s.tellBy(w, agingItem, l.Failed.Add(watch.Age))
	}
	return nil
}

// tellBy queues an item of alerts that is due at a time, unless it is due before.
func (s *Store) tellBy(w *write, ref durable.Ref, due time.Time) error {
	there, err := selectItem(s.write, ref)
	if err != nil || there != nil && !there.Due.After(due) {
		return err
	}
	return s.queueItem(w, durable.Item{Run: ref.Run, Step: ref.Step, Kind: durable.Tell, Due: due})
}

// raise writes an alert.
func (s *Store) raise(w *write, a durable.Alert) error {
	stmt := s.write.Prep(`INSERT INTO alerts (key, kind, object, text, run, count, n, first, last, told) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, 0)
		ON CONFLICT (key) DO UPDATE SET kind = excluded.kind, object = excluded.object, text = excluded.text, run = excluded.run,
		count = excluded.count, first = CASE WHEN n = 0 THEN excluded.first ELSE first END, n = n + 1, last = excluded.last RETURNING told`)
	for i, v := range []string{a.Key, string(a.Kind), a.Object, a.Text, a.Run} {
		stmt.BindText(i+1, v)
	}
	stmt.BindInt64(6, int64(a.Count))
	stmt.BindInt64(7, micros(a.First))
	stmt.BindInt64(8, micros(a.Last))
	var told time.Time
	if err := rows(stmt, func() { told = fromMicros(stmt.ColumnInt64(0)) }); err != nil {
		return err
	}
	return s.tellBy(w, tellItem, s.tellAt(told, a.Last))
}

// tellAt is when an alert is told that comes at now and was told before; zero:
// never.
func (s *Store) tellAt(told, now time.Time) time.Time {
	due := now.Add(cmp.Or(s.watch.Load().Gather, durable.AlertGather))
	if rested := told.Add(durable.AlertRest); !told.IsZero() && rested.After(due) {
		return rested
	}
	return due
}

// Raise writes an alert.
func (s *Store) Raise(ctx context.Context, a durable.Alert) error {
	return s.also(ctx, nil, a.Last, func(w *write) error { return s.raise(w, a) })
}

// Untold returns what is to be told.
func (s *Store) Untold(ctx context.Context, now time.Time, limit int) (u store.Untold, err error) {
	u.Now = now
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT key, kind, object, text, run, count, n, first, last FROM alerts WHERE n > 0 AND told <= ? ORDER BY told, seq`)
		stmt.BindInt64(1, micros(now.Add(-durable.AlertRest)))
		err := firstRows(stmt, limit, func() {
			u.Alerts = append(u.Alerts, durable.Alert{
				Key: stmt.ColumnText(0), Kind: durable.AlertKind(stmt.ColumnText(1)), Object: stmt.ColumnText(2), Text: stmt.ColumnText(3),
				Run: stmt.ColumnText(4), Count: stmt.ColumnInt(5), Times: stmt.ColumnInt(6),
				First: fromMicros(stmt.ColumnInt64(7)), Last: fromMicros(stmt.ColumnInt64(8)),
			})
		})
		if err != nil {
			return err
		}
		stmt = c.Prep(`SELECT count(*), ifnull(max(seq), 0) FROM alerts WHERE n > 0 AND told <= ?`)
		stmt.BindInt64(1, micros(now.Add(-durable.AlertRest)))
		return rows(stmt, func() { u.More, u.UpTo = stmt.ColumnInt(0)-len(u.Alerts), stmt.ColumnInt64(1) })
	})
	return u, err
}

// Told notes that alerts were told.
func (s *Store) Told(ctx context.Context, l store.Lease, now time.Time, u store.Untold) error {
	return s.tell(ctx, l, now, func(w *write) (next time.Time, err error) {
		stmt := s.write.Prep(`UPDATE alerts SET told = ?, n = 0 WHERE n > 0 AND told <= ? AND seq <= ?`)
		stmt.BindInt64(1, micros(now))
		stmt.BindInt64(2, micros(u.Now.Add(-durable.AlertRest)))
		stmt.BindInt64(3, u.UpTo)
		if err := exec(stmt); err != nil {
			return next, err
		}
		// What has rested is as good as new.
		stmt = s.write.Prep(`DELETE FROM alerts WHERE n = 0 AND told <= ?`)
		stmt.BindInt64(1, micros(now.Add(-durable.AlertRest)))
		if err := exec(stmt); err != nil {
			return next, err
		}
		stmt = s.write.Prep(`SELECT told FROM alerts WHERE n > 0 AND told >= 0 ORDER BY told, seq LIMIT 1`)
		err = rows(stmt, func() { next = s.tellAt(fromMicros(stmt.ColumnInt64(0)), now) })
		return next, err
	})
}

// LookForOld raises an alert about the oldest open letter, if it is old enough.
func (s *Store) LookForOld(ctx context.Context, l store.Lease, now time.Time) error {
	return s.tell(ctx, l, now, func(w *write) (next time.Time, err error) {
		age := s.watch.Load().Age
		if age <= 0 {
			return next, nil
		}
		var oldest durable.DeadLetter
		stmt := s.write.Prep(`SELECT run, function, fingerprint, title, failed FROM dead_letters WHERE state = 0 ORDER BY failed, run LIMIT 1`)
		err = rows(stmt, func() {
			oldest = durable.DeadLetter{
				Run: stmt.ColumnText(0), Function: stmt.ColumnText(1), Fingerprint: stmt.ColumnText(2), Title: stmt.ColumnText(3),
				Failed: dueFromMicros(stmt.ColumnInt64(4)),
			}
		})
		switch old := oldest.Failed.Add(age); {
		case err != nil || oldest.Run == "":
			return next, err
		case old.After(now):
			return old, nil
		}
		return now.Add(durable.AlertAgain), s.raise(w, durable.OldAlert(oldest, now))
	})
}

// tell works an item of alerts, which becomes due at the time that do returns; at
// none it is done.
func (s *Store) tell(ctx context.Context, l store.Lease, now time.Time, do func(*write) (time.Time, error)) error {
	return s.also(ctx, nil, now, func(w *write) error {
		if !s.queue.holds(l) {
			w.outcome = store.ErrLeaseLost
			return nil
		}
		next, err := do(w)
		if err != nil {
			return err
		}
		if !next.IsZero() {
			return s.queueItem(w, durable.Item{Run: l.Run, Step: l.Step, Kind: durable.Tell, Due: next})
		}
		w.removed = append(w.removed, durable.Ref{Run: l.Run, Step: l.Step})
		return deleteItem(s.write, l.Run, l.Step)
	})
}

var _ store.Alerts = (*Store)(nil)

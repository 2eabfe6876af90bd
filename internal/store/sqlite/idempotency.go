package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/store"
)

const keyColumns = `scope, key, fingerprint, reply, created, expires`

func scanKey(stmt *sqlite.Stmt) store.KeyEntry {
	return store.KeyEntry{
		Scope: stmt.ColumnText(0), Key: stmt.ColumnText(1), Fingerprint: stmt.ColumnText(2), Reply: blob(stmt, 3),
		Created: fromMicros(stmt.ColumnInt64(4)), Expires: fromMicros(stmt.ColumnInt64(5)),
	}
}

// takeKey notes what a key stands for, and returns the entry that it stood for
// already, or nil. Each call also clears away a few keys whose time is over, so
// that they never pile up.
func takeKey(c *conn, o store.Once, now time.Time) (*store.KeyEntry, error) {
	stmt := c.Prep(`DELETE FROM idempotency WHERE (scope, key) IN
		(SELECT scope, key FROM idempotency WHERE expires <= ? ORDER BY expires LIMIT 3)`)
	stmt.BindInt64(1, micros(now))
	if err := exec(stmt); err != nil {
		return nil, err
	}
	stmt = c.Prep(`INSERT INTO idempotency (` + keyColumns + `) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (scope, key) DO UPDATE SET fingerprint = excluded.fingerprint, reply = excluded.reply,
		created = excluded.created, expires = excluded.expires WHERE idempotency.expires <= excluded.created`)
	for i, v := range []string{o.Scope, o.Key, o.Fingerprint} {
		stmt.BindText(i+1, v)
	}
	stmt.BindBytes(4, o.Reply)
	stmt.BindInt64(5, micros(now))
	stmt.BindInt64(6, micros(now.Add(o.Life)))
	if err := exec(stmt); err != nil || c.Changes() > 0 {
		return nil, err
	}
	return selectKey(c, o.Scope, o.Key)
}

func selectKey(c *conn, scope, key string) (e *store.KeyEntry, err error) {
	stmt := c.Prep(`SELECT ` + keyColumns + ` FROM idempotency WHERE scope = ? AND key = ?`)
	stmt.BindText(1, scope)
	stmt.BindText(2, key)
	err = rows(stmt, func() {
		found := scanKey(stmt)
		e = &found
	})
	return e, err
}

// Key returns an entry of the ledger.
func (s *Store) Key(ctx context.Context, scope, key string, now time.Time) (e store.KeyEntry, err error) {
	err = s.read(ctx, func(c *conn) error {
		found, err := selectKey(c, scope, key)
		if err != nil {
			return err
		}
		if found == nil || !found.Expires.After(now) {
			return fmt.Errorf("key %q of %s: %w", key, scope, store.ErrNotFound)
		}
		e = *found
		return nil
	})
	return e, err
}

// Keys lists entries of the ledger.
func (s *Store) Keys(ctx context.Context, scope string, now time.Time, p store.Page) (list []store.KeyEntry, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT ` + keyColumns + ` FROM idempotency WHERE scope = ? AND key > ? AND expires > ? ORDER BY key LIMIT ?`)
		stmt.BindText(1, scope)
		stmt.BindText(2, p.Cursor)
		stmt.BindInt64(3, micros(now))
		stmt.BindInt64(4, int64(p.Limit))
		return rows(stmt, func() { list = append(list, scanKey(stmt)) })
	})
	return list, err
}

// VoidKey forgets a key.
func (s *Store) VoidKey(ctx context.Context, scope, key string, act durable.Act) error {
	w := newWrite(act.At)
	w.void, w.act = &store.KeyEntry{Scope: scope, Key: key}, &act
	if err := s.submit(ctx, w); err != nil {
		return err
	}
	return s.await(w)
}

func (s *Store) applyVoid(w *write) error {
	err := deleteKey(s.write, w.void.Scope, w.void.Key)
	if err == nil && s.write.Changes() == 0 {
		w.outcome = fmt.Errorf("key %q of %s: %w", w.void.Key, w.void.Scope, store.ErrNotFound)
	}
	return err
}

func deleteKey(c *conn, scope, key string) error {
	stmt := c.Prep(`DELETE FROM idempotency WHERE scope = ? AND key = ?`)
	stmt.BindText(1, scope)
	stmt.BindText(2, key)
	return exec(stmt)
}

// applyOnce takes the key of w. It reports false when w has been done before:
// then w.outcome says so, and nothing more is written for it.
func (s *Store) applyOnce(w *write) (bool, error) {
	was, err := takeKey(s.write, *w.once, w.now)
	if err != nil || was == nil {
		return err == nil, err
	}
	w.outcome = store.Known(*was, w.once.Fingerprint)
	return false, nil
}

// admit reports whether a start may happen, and notes that it does: not when the
// function was started for the event before, or for its key, nor when it is
// started too often. Then a step that waits for the run is told.
func (s *Store) admit(w *write, e durable.Event, st durable.Start) (bool, error) {
	if st.Unique == "" && st.Limit == nil && st.Park == nil {
		return true, nil
	}
	if key := st.KeyFor(e); key != "" { // looked at first, so that nothing is used up for a repetition
		was, err := selectKey(s.write, store.StartScope(st.Run.Function), key)
		if err != nil || was != nil && was.Expires.After(w.now) {
			return false, err
		}
	}
	free := true
	if st.Unique != "" {
		was, err := takeKey(s.write, store.Once{
			Scope: store.UniqueScope(st.Run.Function), Key: st.Unique, Reply: startReply(st), Life: st.UniqueFor,
		}, w.now)
		if err != nil {
			return false, err
		}
		free = was == nil
	}
	if free && st.Limit != nil {
		var err error
		if free, err = takeRate(s.write, *st.Limit, w.now); err != nil {
			return false, err
		}
	}
	if free {
		return true, nil
	}
	return false, s.refuse(w, st)
}

// startReply is what the key of a start stands for: the run, unless which run it
// will be is not known yet.
func startReply(st durable.Start) durable.JSON {
	if st.Park != nil {
		return durable.JSON{}
	}
	return durable.JSON(st.Run.ID)
}

// takeRate notes one more start, and reports false when that is one too many.
func takeRate(c *conn, l durable.StartLimit, now time.Time) (bool, error) {
	// In whole microseconds, as they are stored: those who come in one moment must
	// not be refused for what was rounded up.
	now = fromMicros(dueMicros(now))
	rate := flow.Rate{Every: (l.Every + time.Microsecond - 1).Truncate(time.Microsecond), Burst: l.Burst}
	var taken time.Time
	stmt := c.Prep(`SELECT taken FROM rates WHERE gate = ?`)
	stmt.BindText(1, l.Gate)
	if err := rows(stmt, func() { taken = fromMicros(stmt.ColumnInt64(0)) }); err != nil {
		return false, err
	}
	passed := flow.Passed{Gate: l.Gate, Taken: rate.Most(now), Rate: rate}
	if taken.After(passed.Taken) { // the clock was set back
		return false, keepRate(c, passed, now)
	}
	if rate.Next(taken).After(now) {
		return false, nil
	}
	passed.Taken = rate.Take(taken, now)
	return true, keepRate(c, passed, now)
}

// refuse tells the step that waits for a run that it was not started.
func (s *Store) refuse(w *write, st durable.Start) error {
	parent := st.Run.Parent
	if parent.Zero() {
		return nil
	}
	data, err := json.Marshal(parent)
	if err != nil {
		return err
	}
	return s.queueItem(w, durable.Item{
		Run: st.Run.ID, Step: durable.ReportStep, Kind: durable.Report, Due: w.now, Data: data,
	})
}

package sqlite

import (
	"time"

	"github.com/pawlhq/pawl/internal/flow"
)

// began notes that a run has begun: what its lease holds for as long as the run
// lasts is the run's now, and what it took of rates is used up.
func (q *queue) began(k slotKey) {
	if sl := q.byKey[k]; sl != nil {
		sl.pass = q.board.Began(sl.pass)
	}
}

// passOf is what the lease of an item holds.
func (q *queue) passOf(k slotKey) flow.Pass {
	q.mu.Lock()
	defer q.mu.Unlock()
	if sl := q.byKey[k]; sl != nil {
		return sl.pass
	}
	return flow.Pass{}
}

// storedGate reads what runs hold of a gate from before, and what its rate has
// admitted. The queue is locked.
func (s *Store) storedGate(gate string) (held int, taken time.Time, err error) {
	c := s.gates
	stmt := c.Prep(`SELECT count(*) FROM holders WHERE gate = ? AND gate >= 'run/' AND gate < 'run0'`)
	stmt.BindText(1, gate)
	if err := rows(stmt, func() { held = stmt.ColumnInt(0) }); err != nil {
		return 0, taken, fault(err)
	}
	stmt = c.Prep(`SELECT taken FROM rates WHERE gate = ?`)
	stmt.BindText(1, gate)
	err = rows(stmt, func() { taken = fromMicros(stmt.ColumnInt64(0)) })
	if s.queue.inflight != nil {
		s.queue.unsure = append(s.queue.unsure, gate)
	}
	return held, taken, fault(err)
}

// insertHolders writes what a run that begins holds until it ends, and what the
// rates that it passed have admitted.
func insertHolders(c *conn, run string, pass flow.Pass, now time.Time) error {
	for _, gate := range pass.Stays {
		if err := insertHolder(c, run, gate); err != nil {
			return err
		}
	}
	for _, p := range pass.Rates {
		if err := keepRate(c, p, now); err != nil {
			return err
		}
	}
	return nil
}

// keepRate writes what a rate has admitted. Each call also clears away a few
// that say nothing any more.
func keepRate(c *conn, p flow.Passed, now time.Time) error {
	stmt := c.Prep(`DELETE FROM rates WHERE gate IN (SELECT gate FROM rates WHERE taken <= ? ORDER BY taken LIMIT 3)`)
	stmt.BindInt64(1, micros(now))
	if err := exec(stmt); err != nil {
		return err
	}
	stmt = c.Prep(`INSERT INTO rates (gate, taken) VALUES (?, ?) ON CONFLICT (gate) DO UPDATE SET taken = max(min(taken, ?), excluded.taken)`)
	stmt.BindText(1, p.Gate)
	stmt.BindInt64(2, dueMicros(p.Taken))
	stmt.BindInt64(3, dueMicros(p.Rate.Most(now)))
	return exec(stmt)
}

package sqlite

import (
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// insertRunEvents writes the events of a run beside its first.
func insertRunEvents(c *conn, r *durable.Run) error {
	for i, e := range r.Events[1:] {
		var parent durable.Ref
		if e.Target != nil {
			parent = e.Target.Parent
		}
		stmt := c.Prep(`INSERT INTO run_events (run, n, event, parent_run, parent_step) VALUES (?, ?, ?, ?, ?)`)
		stmt.BindText(1, r.ID)
		stmt.BindInt64(2, int64(i+1))
		for j, v := range []string{e.ID, parent.Run, parent.Step} {
			stmt.BindText(j+3, v)
		}
		if err := exec(stmt); err != nil {
			return err
		}
	}
	return nil
}

// readOthers reads the ids of a run's events beside its first, and who waits for
// the run by them.
func readOthers(c *conn, r *durable.Run) error {
	if len(r.Events) == 1 {
		return nil
	}
	r.Events = r.Events[:1]
	stmt := c.Prep(`SELECT event, parent_run, parent_step FROM run_events WHERE run = ? ORDER BY n`)
	stmt.BindText(1, r.ID)
	return rows(stmt, func() {
		r.Events = append(r.Events, durable.Event{ID: stmt.ColumnText(0)})
		if parent := (durable.Ref{Run: stmt.ColumnText(1), Step: stmt.ColumnText(2)}); !parent.Zero() {
			r.Joined = append(r.Joined, parent)
		}
	})
}

// readEvents reads the events of a run. flaw says what is missing of them; "" when
// nothing is.
func readEvents(c *conn, r *durable.Run) (flaw string, err error) {
	if len(r.Events) > 1 {
		others := 0
		stmt := c.Prep(`SELECT others FROM runs WHERE id = ?`)
		stmt.BindText(1, r.ID)
		if err := rows(stmt, func() { others = stmt.ColumnInt(0) }); err != nil {
			return "", err
		}
		if err := readOthers(c, r); err != nil {
			return "", err
		}
		if n := len(r.Events); n != others+1 {
			flaw = fmt.Sprintf("it has %d events and began with %d", n, others+1)
		}
	}
	for i := range r.Events {
		e, err := selectEvent(c, r.Events[i].ID)
		switch {
		case err == nil:
			r.Events[i] = e
		case errors.Is(err, store.ErrNotFound):
			flaw = "its event " + r.Events[i].ID + " is not there"
		default:
			return "", err
		}
	}
	return flaw, nil
}

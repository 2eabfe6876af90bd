package sqlite

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// runs folds the journal of each run, and asks what cannot be about it.
func (d *doctor) runs() error {
	c := d.read
	var bad error
	stmt := c.Prep(`SELECT ` + runColumns + `, events.name FROM runs LEFT JOIN events ON events.id = runs.event ORDER BY runs.seq`)
	err := rows(stmt, func() {
		if bad == nil {
			r := scanRun(stmt)
			r.Events[0].Name = stmt.ColumnText(runWidth)
			bad = d.run(r)
		}
	})
	return errors.Join(bad, err)
}

func (d *doctor) run(r *durable.Run) error {
	c := d.read
	d.n.Runs++
	if r.Status.Final() {
		d.n.Ended++
	}
	if err := readOthers(c, r); err != nil {
		return err
	}
	items, err := selectItems(c, r.ID)
	if err != nil {
		return err
	}
	for _, i := range items {
		r.Items[i.Step] = &i
	}
	audit := durable.NewAudit(r)
	// Not what steps returned: that can be a lot.
	stmt := c.Prep(`SELECT n, step, kind, op, name, until, flags FROM journal WHERE run = ? ORDER BY n`)
	stmt.BindText(1, r.ID)
	err = rows(stmt, func() {
		flags := stmt.ColumnInt64(6)
		audit.Entry(stmt.ColumnInt(0), durable.Entry{
			Step: stmt.ColumnText(1), Kind: durable.EntryKind(stmt.ColumnInt64(2)), Op: stmt.ColumnText(3), Name: stmt.ColumnText(4),
			Until: fromMicros(stmt.ColumnInt64(5)), Group: flags&flagGroup != 0, Race: flags&flagRace != 0,
		})
	})
	if err != nil {
		return err
	}
	waits, err := waitsOf(c, r.ID)
	if err != nil {
		return err
	}
	for _, f := range audit.Flaws(waits, d.now) {
		var cure func(*conn) error
		if f.Mend != nil {
			cure = func(c *conn) error { return mend(c, r, *f.Mend) }
		}
		d.found(store.Finding{Rule: f.Rule, Run: r.ID, Step: f.Step, What: f.Message, Cure: f.Cure}, cure)
	}
	return d.told(r)
}

// told: each event that the end of a run has sent is there, unless it may have
// left by retention.
func (d *doctor) told(r *durable.Run) error {
	if r.Events[0].Name == "" || !r.Ended.After(d.eventsGone) {
		return nil
	}
	for _, e := range durable.EndEvents(r) {
		stmt, found := d.read.Prep(`SELECT 1 FROM events WHERE id = ? AND name = ?`), false
		stmt.BindText(1, e.ID)
		stmt.BindText(2, e.Name)
		if err := rows(stmt, func() { found = true }); err != nil {
			return err
		}
		if !found {
			d.found(store.Finding{Rule: ruleTold, Run: r.ID, Event: e.ID, What: "the run has ended, and there is no " + e.Name}, nil)
		}
	}
	return nil
}

// retold: no event tells the end of a run that is not the one derived from it.
func (d *doctor) retold() error {
	stmt := d.read.Prep(`SELECT ` + runColumns + `, started_by.name, told.id, told.name
		FROM events AS told
		JOIN runs ON runs.id = CASE WHEN json_valid(CAST(told.body AS TEXT)) THEN json_extract(CAST(told.body AS TEXT), '$.data.run_id') END
		JOIN events AS started_by ON started_by.id = runs.event
		WHERE told.name IN (?, ?, ?)`)
	for i, name := range []string{durable.EventFinished, durable.EventFailed, durable.EventCancelled} {
		stmt.BindText(i+1, name)
	}
	return rows(stmt, func() {
		r := scanRun(stmt)
		r.Events[0].Name = stmt.ColumnText(runWidth)
		id, name := stmt.ColumnText(runWidth+1), stmt.ColumnText(runWidth+2)
		if !slices.ContainsFunc(durable.EndEvents(r), func(e durable.Event) bool { return e.ID == id && e.Name == name }) {
			d.found(store.Finding{
				Rule: ruleTold, Run: r.ID, Event: id, What: fmt.Sprintf("there is a %s that the end of the run, which is %v, did not send", name, r.Status),
			}, nil)
		}
	})
}

// mend writes the change that repairs a run, which has been folded.
func mend(c *conn, r *durable.Run, m durable.Change) error {
	for _, e := range m.Entries {
		r.Fold(e)
		if err := insertEntry(c, r.ID, r.Seq, e); err != nil {
			return err
		}
	}
	for _, step := range m.Drop {
		if err := deleteItem(c, r.ID, step); err != nil {
			return err
		}
	}
	for _, p := range m.Put {
		if err := upsertItem(c, p.Item); err != nil {
			return err
		}
	}
	for _, step := range m.Unwait {
		if err := deleteWait(c, r.ID, step); err != nil {
			return err
		}
	}
	return nil
}

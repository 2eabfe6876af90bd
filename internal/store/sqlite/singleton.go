package sqlite

import (
	"context"
	"fmt"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// selectHolder returns the run that has a name; "" when none does.
func selectHolder(c *conn, single string) (run string, err error) {
	stmt := c.Prep(`SELECT run FROM holders WHERE gate = ? AND gate >= 'single/' AND gate < 'single0'`)
	stmt.BindText(1, single)
	err = rows(stmt, func() { run = stmt.ColumnText(0) })
	return run, err
}

// Holder returns the run that has a name.
func (s *Store) Holder(ctx context.Context, single, event string) (run string, after bool, err error) {
	err = s.read(ctx, func(c *conn) error {
		if run, err = selectHolder(c, single); err != nil {
			return err
		}
		if run == "" {
			return fmt.Errorf("singleton %s: %w", single, store.ErrNotFound)
		}
		r, err := selectRun(c, run)
		if err != nil {
			return err
		}
		own, err := eventSeq(c, r.Events[0].ID)
		if err != nil {
			return err
		}
		other, err := eventSeq(c, event)
		after = other > 0 && own > other
		return err
	})
	return run, after, err
}

// takeSingle gives a run that is being started its name, and reports false when
// another has it: then the run, which is written already, is skipped.
func (s *Store) takeSingle(w *write, st durable.Start) (bool, error) {
	if st.Single == "" {
		return true, nil
	}
	holder, err := selectHolder(s.write, st.Single)
	if err != nil {
		return false, err
	}
	if holder == "" {
		return true, insertHolder(s.write, st.Run.ID, st.Single)
	}
	return false, s.skipped(w, st, durable.Skip{Reason: durable.SkipSingleton, Run: holder})
}

func insertHolder(c *conn, run, gate string) error {
	stmt := c.Prep(`INSERT INTO holders (run, gate) VALUES (?, ?) ON CONFLICT DO NOTHING`)
	stmt.BindText(1, run)
	stmt.BindText(2, gate)
	return exec(stmt)
}

// skip writes a run that is not to start.
func (s *Store) skip(w *write, st durable.Start, why durable.Skip) error {
	if err := insertRun(s.write, st.Run); err != nil {
		return err
	}
	return s.skipped(w, st, why)
}

// skipped ends a run that is written already and is not to start, and tells the step
// that waits for it.
func (s *Store) skipped(w *write, st durable.Start, why durable.Skip) error {
	if err := updateHead(s.write, st.Run.ID, why.Head(w.now)); err != nil || st.Run.Parent.Zero() {
		return err
	}
	return s.queueItem(w, durable.Item{Run: st.Run.ID, Step: durable.ReportStep, Kind: durable.Report, Due: w.now})
}

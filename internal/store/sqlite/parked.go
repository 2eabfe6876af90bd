package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
)

// pending is the data of an item of kind Fire.
type pending struct {
	Key   string `json:"key,omitempty"` // of the event
	At    int64  `json:"at"`            // microseconds, as the others
	First int64  `json:"first"`
	Due   int64  `json:"due"`
}

func (p pending) flow() flow.Pending {
	return flow.Pending{At: fromMicros(p.At), First: fromMicros(p.First), Due: fromMicros(p.Due)}
}

// debounce parks an event, or drops it for one that happened later.
func (s *Store) debounce(w *write, e durable.Event, st durable.Start) error {
	c, d := s.write, st.Debounce
	old, err := selectItem(c, d.Item)
	if err != nil {
		return err
	}
	var was pending
	if old != nil {
		if err := json.Unmarshal(old.Data, &was); err != nil {
			return fmt.Errorf("debounce %s: %w", d.Item.Run, err)
		}
		if e.Key != "" && e.Key == was.Key {
			return nil // a repetition
		}
	}
	next, step := flow.Debounce{Period: d.Period, Timeout: d.Timeout}.Next(was.flow(), fromMicros(micros(e.At)), w.now)
	switch step {
	case flow.Older:
		return nil
	case flow.Follows:
		if err := s.moveParked(w, *old, d.After(e.ID)); err != nil {
			return err
		}
	case flow.Opens, flow.Replaces:
	}
	data, err := json.Marshal(pending{Key: e.Key, At: micros(next.At), First: micros(next.First), Due: dueMicros(next.Due)})
	if err != nil {
		return err
	}
	if err := insertParked(c, d.Item, 0, st); err != nil {
		return err
	}
	w.started = append(w.started, st.Run.ID)
	s.renewed[slotKey(d.Item)] = true
	return s.queueItem(w, durable.Item{Run: d.Item.Run, Step: d.Item.Step, Kind: durable.Fire, Due: next.Due, Data: data})
}

// moveParked gives an item another step, with what waits for it. Whoever works
// it loses its lease.
func (s *Store) moveParked(w *write, item durable.Item, to durable.Ref) error {
	stmt := s.write.Prep(`UPDATE parked SET step = ? WHERE run = ? AND step = ?`)
	stmt.BindText(1, to.Step)
	stmt.BindText(2, item.Run)
	stmt.BindText(3, item.Step)
	if err := exec(stmt); err != nil {
		return err
	}
	item.Step = to.Step
	return s.queueItem(w, item)
}

func insertParked(c *conn, item durable.Ref, n int, st durable.Start) error {
	var target []byte
	e := st.Run.Events[0]
	if e.Target != nil {
		var err error
		if target, err = json.Marshal(e.Target); err != nil {
			return err
		}
	}
	stmt := c.Prep(`INSERT OR REPLACE INTO parked (run, step, n, event, start, target) VALUES (?, ?, ?, ?, ?, ?)`)
	for i, v := range []string{item.Run, item.Step} {
		stmt.BindText(i+1, v)
	}
	stmt.BindInt64(3, int64(n))
	stmt.BindText(4, e.ID)
	stmt.BindText(5, st.Run.ID)
	bindBlob(stmt, 6, target)
	return exec(stmt)
}

func deleteParked(c *conn, item durable.Ref) error {
	stmt := c.Prep(`DELETE FROM parked WHERE run = ? AND step = ?`)
	stmt.BindText(1, item.Run)
	stmt.BindText(2, item.Step)
	return exec(stmt)
}

// Parked returns what waits for an item.
func (s *Store) Parked(ctx context.Context, item durable.Ref) (list []durable.Parked, err error) {
	err = s.read(ctx, func(c *conn) error {
		var bad error
		stmt := c.Prep(`SELECT event, start, target FROM parked WHERE run = ? AND step = ? ORDER BY n`)
		stmt.BindText(1, item.Run)
		stmt.BindText(2, item.Step)
		err := rows(stmt, func() {
			p := durable.Parked{Event: stmt.ColumnText(0), Run: stmt.ColumnText(1)}
			if target := blob(stmt, 2); target != nil {
				p.Target = &durable.Target{}
				bad = json.Unmarshal(target, p.Target)
			}
			list = append(list, p)
		})
		if err == nil && bad != nil {
			err = fmt.Errorf("parked events of %s: %w", item.Run, bad)
		}
		return err
	})
	return list, err
}

// fired reports whether an item ends the waiting of events. What it starts
// begins now, and not when its event came.
func fired(k durable.ItemKind) bool { return k == durable.Fire }

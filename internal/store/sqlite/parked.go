package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/store"
)

// pending is the data of an item of kind Fire for a debounce.
type pending struct {
	Key   string `json:"key,omitempty"` // of the start
	At    int64  `json:"at"`            // microseconds, as the others
	First int64  `json:"first"`
	Due   int64  `json:"due"`
}

func (p pending) flow() flow.Pending {
	return flow.Pending{At: fromMicros(p.At), First: fromMicros(p.First), Due: fromMicros(p.Due)}
}

// gathered is the data of an item of kind Fire for a batch.
type gathered struct {
	Run   string `json:"run"` // the id that its run gets
	N     int    `json:"n"`
	Bytes int    `json:"bytes"`
	Due   int64  `json:"due"`
}

// park lets an event wait for others.
func (s *Store) park(w *write, e durable.Event, st durable.Start) error {
	old, err := selectItem(s.write, st.Park.Item)
	if err != nil {
		return err
	}
	if st.Park.Batch != nil {
		return s.join(w, e, st, old)
	}
	return s.debounce(w, e, st, old)
}

// readParked reads what is known of what waits for an item; nothing if there is
// none.
func readParked[T any](item *durable.Item) (was T, err error) {
	if item != nil {
		if err = json.Unmarshal(item.Data, &was); err != nil {
			err = fmt.Errorf("what waits for %s: %w", item.Run, err)
		}
	}
	return was, err
}

// maxBatch is how many bytes the events of a batch may have. Source: spec/11 §7.
const maxBatch = 10 << 20

// join puts an event into a batch.
func (s *Store) join(w *write, e durable.Event, st durable.Start, old *durable.Item) error {
	b := st.Park.Batch
	was, err := readParked[gathered](old)
	if err != nil {
		return err
	}
	if key := st.KeyFor(e); key != "" {
		known, err := takeKey(s.write, store.Once{Scope: store.StartScope(st.Run.Function), Key: key, Reply: startReply(st), Life: keyLife}, w.now)
		if err != nil || known != nil {
			return err
		}
	}
	g, opens := flow.Batch{Size: b.Size, Timeout: b.Timeout, Bytes: maxBatch}.
		Add(flow.Gathered{N: was.N, Bytes: was.Bytes, Due: fromMicros(was.Due)}, len(e.Body), w.now)
	run := was.Run
	if opens {
		run = st.Run.ID
		if old != nil {
			if old.Due.After(w.now) {
				old.Due = w.now
			}
			if err := s.moveParked(w, *old, st.Park.After(e.ID)); err != nil {
				return err
			}
		}
	}
	data, err := json.Marshal(gathered{Run: run, N: g.N, Bytes: g.Bytes, Due: dueMicros(g.Due)})
	if err != nil {
		return err
	}
	w.started = append(w.started, run)
	return s.putParked(w, st, run, g.N, g.Due, data)
}

// putParked writes an event that waits, and the item that it waits for.
func (s *Store) putParked(w *write, st durable.Start, run string, n int, due time.Time, data durable.JSON) error {
	item := st.Park.Item
	if err := insertParked(w, s.write, item, run, n, st); err != nil {
		return err
	}
	s.renewed[slotKey(item)] = true
	return s.queueItem(w, durable.Item{Run: item.Run, Step: item.Step, Kind: durable.Fire, Due: due, Data: data})
}

// debounce parks an event, or drops it for one that happened later.
func (s *Store) debounce(w *write, e durable.Event, st durable.Start, old *durable.Item) error {
	d := st.Park.Debounce
	was, err := readParked[pending](old)
	if err != nil {
		return err
	}
	key := st.KeyFor(e)
	if old != nil && key != "" && key == was.Key {
		return nil // a repetition
	}
	next, step := flow.Debounce{Period: d.Period, Timeout: d.Timeout}.Next(was.flow(), fromMicros(micros(e.At)), w.now)
	switch step {
	case flow.Older:
		return nil
	case flow.Follows:
		if err := s.moveParked(w, *old, st.Park.After(e.ID)); err != nil {
			return err
		}
	case flow.Opens, flow.Replaces:
	}
	data, err := json.Marshal(pending{Key: key, At: micros(next.At), First: micros(next.First), Due: dueMicros(next.Due)})
	if err != nil {
		return err
	}
	w.started = append(w.started, st.Run.ID)
	return s.putParked(w, st, st.Run.ID, 0, next.Due, data)
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

// insertParked writes an event that waits, in place of the one that has its
// number, if there is one.
func insertParked(w *write, c *conn, item durable.Ref, run string, n int, st durable.Start) error {
	stmt := c.Prep(`SELECT length(body) FROM parked JOIN events ON events.id = parked.event WHERE run = ? AND step = ? AND n = ?`)
	stmt.BindText(1, item.Run)
	stmt.BindText(2, item.Step)
	stmt.BindInt64(3, int64(n))
	if err := rows(stmt, func() { w.grown.Bytes -= stmt.ColumnInt64(0) }); err != nil {
		return err
	}
	w.grown.Bytes += int64(len(st.Run.Events[0].Body))
	var target []byte
	e := st.Run.Events[0]
	if e.Target != nil {
		var err error
		if target, err = json.Marshal(e.Target); err != nil {
			return err
		}
	}
	stmt = c.Prep(`INSERT OR REPLACE INTO parked (run, step, n, event, start, target) VALUES (?, ?, ?, ?, ?, ?)`)
	for i, v := range []string{item.Run, item.Step} {
		stmt.BindText(i+1, v)
	}
	stmt.BindInt64(3, int64(n))
	stmt.BindText(4, e.ID)
	stmt.BindText(5, run)
	bindBlob(stmt, 6, target)
	return exec(stmt)
}

func deleteParked(w *write, c *conn, item durable.Ref) error {
	stmt := c.Prep(`SELECT length(body) FROM parked JOIN events ON events.id = parked.event WHERE run = ? AND step = ?`)
	stmt.BindText(1, item.Run)
	stmt.BindText(2, item.Step)
	if err := rows(stmt, func() { w.grown.Bytes -= stmt.ColumnInt64(0) }); err != nil {
		return err
	}
	stmt = c.Prep(`DELETE FROM parked WHERE run = ? AND step = ?`)
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

// ParkedFor returns what an event waits for. The index parked_event finds it.
func (s *Store) ParkedFor(ctx context.Context, event string) (list []durable.ParkedFor, err error) {
	err = s.read(ctx, func(c *conn) error {
		stmt := c.Prep(`SELECT p.run, p.step, q.due FROM parked AS p JOIN queue AS q ON q.run = p.run AND q.step = p.step WHERE p.event = ? ORDER BY p.run, p.step`)
		stmt.BindText(1, event)
		return rows(stmt, func() {
			item := durable.Ref{Run: stmt.ColumnText(0), Step: stmt.ColumnText(1)}
			list = append(list, durable.ParkedFor{Item: item, Due: fromMicros(stmt.ColumnInt64(2))})
		})
	})
	return list, err
}

// fired reports whether an item ends the waiting of events. What it starts
// begins now, and not when its event came.
func fired(k durable.ItemKind) bool { return k == durable.Fire }

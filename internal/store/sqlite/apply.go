package sqlite

import (
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func (s *Store) applyAll(group []*write) (waiting store.Backlog, err error) {
	clear(s.renewed)
	before := s.Backlog()
	waiting = before
	for _, w := range group {
		if err := s.applyWithin(w, waiting); err != nil {
			return waiting, err
		}
		if w.outcome == nil {
			waiting = waiting.Plus(w.grown)
		}
	}
	if waiting.Bytes != before.Bytes {
		err = setMeta(s.write, metaBacklog, waiting.Bytes)
	}
	return waiting, err
}

// forget makes w what it was before it was applied.
func (w *write) forget() {
	w.started, w.fresh, w.items, w.removed = w.started[:0], w.fresh[:0], w.items[:0], w.removed[:0]
	w.queued, w.left = w.queued[:0], ""
	w.grown, w.idle, w.freed = store.Backlog{}, false, nil
}

// apply writes the rows of w, and the line that tells it.
func (s *Store) apply(w *write) error {
	w.forget()
	w.outcome = nil
	if err := s.applyRows(w); err != nil {
		return err
	}
	if w.act == nil || w.outcome != nil || w.idle {
		return nil
	}
	return insertAct(s.write, *w.act)
}

func (s *Store) applyRows(w *write) error {
	if w.unless != "" {
		there, err := hasRun(s.write, w.unless)
		if err != nil {
			return err
		}
		if there {
			w.outcome = store.ErrExists
			return nil
		}
	}
	if w.once != nil {
		if first, err := s.applyOnce(w); err != nil || !first {
			return err
		}
	}
	if w.void != nil {
		return s.applyVoid(w)
	}
	if err := s.applyControl(w); err != nil {
		return err
	}
	if w.also != nil {
		return w.also(w)
	}
	if w.app != nil {
		if err := writeApp(s.write, *w.app, w.versions); err != nil {
			return err
		}
	}
	if w.run != "" {
		if err := s.applyChange(w); err != nil {
			return err
		}
	}
	if w.lease != nil {
		if err := s.applySettled(w); err != nil || w.outcome != nil {
			return err
		}
	}
	if err := s.applySchedule(w); err != nil {
		return err
	}
	if err := s.applyStarts(w, store.Accepted{Starts: w.starts}, s.eventSeq); err != nil {
		return err
	}
	for _, a := range w.accepted {
		if err := s.applyAccepted(w, a); err != nil {
			return err
		}
	}
	if w.once != nil && w.once.Starting && len(w.started) == 0 {
		return deleteKey(s.write, w.once.Scope, w.once.Key)
	}
	return nil
}

func (s *Store) applyChange(w *write) error {
	c := s.write
	for i, e := range w.change.Entries {
		if err := insertEntry(c, w.run, w.n+i+1, e); err != nil {
			return err
		}
	}
	if x := w.exchange; x != nil {
		if err := insertExchange(c, w.run, w.n+x.Entry+1, x.Data); err != nil {
			return err
		}
	}
	if _, err := updateMetadata(c, w.run, w.now, w.metadata); err != nil {
		return err
	}
	if h := w.change.Head; h != nil {
		if err := updateHead(c, w.run, *h); err != nil {
			return err
		}
	}
	if w.begins {
		w.begun(w.waited)
	}
	if w.change.Began {
		if err := insertHolders(c, w.run, s.queue.passOf(slotKey{w.run, durable.Discovery}), w.now); err != nil {
			return err
		}
	}
	if w.final {
		var err error
		if w.freed, err = deleteAll(c, w.run); err != nil {
			return err
		}
	}
	for _, step := range w.change.Unwait {
		if err := deleteWait(c, w.run, step); err != nil {
			return err
		}
	}
	for _, wait := range w.change.Waits {
		if err := insertWait(c, wait, s.eventSeq); err != nil {
			return err
		}
	}
	if !w.final {
		for _, step := range w.change.Drop {
			if err := deleteItem(c, w.run, step); err != nil {
				return err
			}
		}
	}
	for _, p := range w.change.Put {
		if err := upsertItem(c, p.Item); err != nil {
			return err
		}
	}
	if l := w.change.Dead; l != nil {
		if err := s.letter(w, *l); err != nil {
			return err
		}
	}
	if w.final && w.rerun {
		return countEnd(c, w.run, w.change.Head.Status)
	}
	return nil
}

// applySettled ends an item that is no run's.
func (s *Store) applySettled(w *write) error {
	l, after := w.lease, w.settled
	if s.renewed[slotKey{l.Run, l.Step}] {
		w.outcome = store.ErrLeaseLost
		return nil
	}
	if len(after.Starts) > 0 {
		seq, err := eventSeq(s.write, after.Event.ID)
		if err != nil {
			return err
		}
		if fired(l.Kind) {
			seq = s.eventSeq
		}
		if err := s.applyStarts(w, store.Accepted{Event: after.Event, Starts: after.Starts}, seq); err != nil {
			return err
		}
		if !fired(l.Kind) {
			if err := s.deliverAgain(w, after.Event, seq); err != nil {
				return err
			}
		}
	}
	for _, item := range after.Queue {
		if err := s.queueItem(w, item); err != nil {
			return err
		}
	}
	if after.Next != nil {
		return s.queueItem(w, *after.Next)
	}
	if fired(l.Kind) {
		if err := deleteParked(w, s.write, durable.Ref{Run: l.Run, Step: l.Step}); err != nil {
			return err
		}
	}
	if l.Kind == durable.Deliver {
		if err := deleteDelivery(w, s.write, l.Run); err != nil {
			return err
		}
	}
	w.removed = append(w.removed, durable.Ref{Run: l.Run, Step: l.Step})
	return deleteItem(s.write, l.Run, l.Step)
}

// applySchedule queues and removes items of schedules, and makes others due.
func (s *Store) applySchedule(w *write) error {
	for _, ref := range w.stop {
		if err := deleteItem(s.write, ref.Run, ref.Step); err != nil {
			return err
		}
		w.removed = append(w.removed, ref)
	}
	for _, item := range w.schedule {
		there, err := selectItem(s.write, durable.Ref{Run: item.Run, Step: item.Step})
		if err != nil {
			return err
		}
		if there == nil {
			if err := s.queueItem(w, item); err != nil {
				return err
			}
		}
	}
	for _, ref := range w.rouse {
		item, err := selectItem(s.write, ref)
		if err != nil {
			return err
		}
		if item != nil {
			item.Due = w.now
			if err := s.queueItem(w, *item); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) queueItem(w *write, item durable.Item) error {
	w.items = append(w.items, item)
	return upsertItem(s.write, item)
}

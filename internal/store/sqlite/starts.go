package sqlite

import (
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// applyAccepted writes an event and the runs that it starts.
func (s *Store) applyAccepted(w *write, a store.Accepted) error {
	s.eventSeq++
	fresh, err := insertEvent(s.write, s.eventSeq, a.Event)
	if err != nil || !fresh {
		return err
	}
	if a.Act != nil {
		if err := insertAct(s.write, *a.Act); err != nil {
			return err
		}
	}
	awaited, err := isAwaited(s.write, a.Event.Name)
	if err != nil {
		return err
	}
	if awaited || a.Rest != nil {
		item := durable.Item{
			Run: a.Event.ID, Step: durable.DeliverStep, Kind: durable.Deliver, Due: w.now, Data: a.Rest,
		}
		if err := insertDelivery(w, s.write, a.Event); err != nil {
			return err
		}
		if err := s.queueItem(w, item); err != nil {
			return err
		}
	}
	return s.applyStarts(w, a, s.eventSeq)
}

// applyStarts writes the runs that an event starts, but for those that were
// started for the same key before.
func (s *Store) applyStarts(w *write, a store.Accepted, seq int64) error {
	c := s.write
	for _, st := range a.Starts {
		r := st.Run
		admitted, err := s.admit(w, a.Event, st)
		if err != nil {
			return err
		}
		if !admitted {
			continue
		}
		if st.Skip != nil {
			if err := s.skip(w, st, *st.Skip); err != nil {
				return err
			}
			continue
		}
		if st.Park != nil {
			if err := s.park(w, a.Event, st); err != nil {
				return err
			}
			continue
		}
		if key := st.KeyFor(a.Event); key != "" {
			was, err := takeKey(c, store.Once{
				Scope: store.StartScope(r.Function), Key: key, Reply: durable.JSON(r.ID), Life: keyLife,
			}, w.now)
			if err != nil {
				return err
			}
			if was != nil {
				continue
			}
		}
		if err := insertRun(c, r); err != nil {
			return err
		}
		alone, err := s.takeSingle(w, st)
		if err != nil {
			return err
		}
		if !alone {
			continue
		}
		for i, e := range st.Entries {
			if err := insertEntry(c, r.ID, i+1, e); err != nil {
				return err
			}
		}
		if _, err := updateMetadata(c, r.ID, w.now, st.Metadata); err != nil {
			return err
		}
		for _, wait := range st.Waits {
			if err := insertWait(c, wait, seq); err != nil {
				return err
			}
		}
		if st.Dead != nil {
			if err := s.letter(w, *st.Dead); err != nil {
				return err
			}
		}
		// Copies: once the run is in memory, its items are others' to change.
		for _, item := range r.Items {
			if err := s.queueItem(w, *item); err != nil {
				return err
			}
		}
		w.started = append(w.started, r.ID)
		w.fresh = append(w.fresh, st)
		if r.Status == durable.Queued { // later it is others' to read
			w.waits(r)
		}
	}
	return nil
}

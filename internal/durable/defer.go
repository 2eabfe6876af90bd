package durable

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// Deferred calls are runs of other functions that a run asks for and that
// start when it has ended, however it has. Source: spec/03 §12, spec/11 §18.

// Limits of a run's deferred calls. What is over them is refused softly: the
// run goes on.
const (
	maxDefers     = 20
	maxDeferBytes = 4 << 20 // of one input, and of all together
)

// Defer is a deferred call.
type Defer struct {
	ID       string // hashed id of the op that asked for it
	Function string // slug
	Input    JSON   // an object
	State    DeferState
}

// DeferState says what becomes of a deferred call.
type DeferState int8

// A call that was refused stays so, also when it is asked for again.
const (
	DeferHeld DeferState = iota
	DeferAborted
	DeferRejected
)

func (r *Run) deferred(id string) *Defer {
	i := slices.IndexFunc(r.Defers, func(d *Defer) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return r.Defers[i]
}

// foldDefer makes r what it is after an entry about a deferred call.
func (r *Run) foldDefer(e Entry) {
	d := r.deferred(e.Step)
	if d == nil {
		d = &Defer{ID: e.Step}
		r.Defers = append(r.Defers, d)
	}
	switch e.Kind {
	case Deferred:
		d.Function, d.Input = e.Op, e.Data
	case DeferredAborted:
		d.State = DeferAborted
	default:
		d.State = DeferRejected
	}
}

// lazily carries out the ops that ride along with others: aborts first, since
// an abort wins over a call that is asked for in the same answer.
func (t *turn) lazily(ops []Op) {
	for _, op := range ops {
		if op.Kind != OpDeferAbort || t.deferKnown(op.Defer.ID, DeferredAborted) {
			continue
		}
		asked := slices.ContainsFunc(ops, func(o Op) bool { return o.Kind == OpDefer && o.Defer.ID == op.Defer.ID })
		if asked || t.r.deferred(op.Defer.ID) != nil {
			t.record(Entry{Step: op.Defer.ID, Kind: DeferredAborted, Name: op.Name, At: t.now})
		}
	}
	for _, op := range ops {
		if op.Kind == OpDefer && !t.deferKnown(op.Defer.ID, Deferred) {
			t.deferCall(op)
		}
	}
}

// deferKnown reports whether an entry of that kind about a deferred call would
// be no news: the call was asked for before, or, for an abort, is not there.
func (t *turn) deferKnown(id string, kind EntryKind) bool {
	d := t.r.deferred(id)
	noted := func(k EntryKind) bool {
		return slices.ContainsFunc(t.c.Entries, func(e Entry) bool { return e.Step == id && e.Kind == k })
	}
	if kind == Deferred {
		return d != nil || noted(Deferred) || noted(DeferredAborted) || noted(DeferredRefused)
	}
	return d != nil && d.State != DeferHeld || noted(DeferredAborted)
}

func (t *turn) deferCall(op Op) {
	count, size := 0, len(op.Defer.Input)
	for _, d := range t.r.Defers {
		if d.State != DeferRejected {
			count++
			size += len(d.Input)
		}
	}
	for _, e := range t.c.Entries {
		if e.Kind == Deferred {
			count++
			size += len(e.Data)
		}
	}
	switch {
	case count >= maxDefers:
		return // refused, and not remembered
	case op.Err.Message != "" || size > maxDeferBytes:
		why := op.Err.Message
		if why == "" {
			why = fmt.Sprintf("the inputs of the run's deferred calls have more than %d bytes", maxDeferBytes)
		}
		t.record(Entry{Step: op.Defer.ID, Kind: DeferredRefused, Name: op.Name, At: t.now, Data: JSON(quote(why))})
	default:
		t.record(Entry{Step: op.Defer.ID, Kind: Deferred, Op: op.Defer.Function, Name: op.Name, At: t.now, Data: op.Defer.Input})
	}
}

// DeferredEvent is the id of the event that starts what a run has deferred under an
// id, once the run has ended.
func DeferredEvent(run, deferred string, ended time.Time) string {
	return eventID(run, EventDeferred+deferred, ended)
}

// emitDeferred sends the events that start what the run has deferred.
func (t *turn) emitDeferred() {
	known := slices.Clone(t.r.Defers)
	for _, e := range t.c.Entries { // asked for in the answer that ends the run
		switch e.Kind {
		case Deferred:
			known = append(known, &Defer{ID: e.Step, Function: e.Op, Input: e.Data})
		case DeferredAborted:
			known = slices.DeleteFunc(known, func(d *Defer) bool { return d.ID == e.Step })
		default: // not about deferred calls
		}
	}
	for _, d := range known {
		if d.State != DeferHeld {
			continue
		}
		id := t.eventID(EventDeferred + d.ID)
		var b bytes.Buffer
		fmt.Fprintf(&b, `{"data":{"_inngest":{"fn_slug":%s,"parent_fn_slug":%s,"parent_run_id":"%s"}`,
			quote(d.Function), quote(t.r.Function), t.r.ID)
		if inner := bytes.TrimSpace(d.Input[1 : len(d.Input)-1]); len(inner) > 0 {
			b.WriteByte(',')
			b.Write(inner)
		}
		fmt.Fprintf(&b, `},"id":"%s","name":"%s","ts":%d,"user":{}}`, id, EventDeferred, t.now.UnixMilli())
		t.c.Emit = append(t.c.Emit, Event{
			ID: id, Name: EventDeferred, At: t.now, Received: t.now, Body: b.Bytes(), Target: &Target{Function: d.Function},
		})
	}
}

package durable

import (
	"cmp"
	"time"
)

// A durable endpoint's run begins in an app: it serves a request, and reports
// what it has done. Until it hands the run over to the server, because something
// has to be waited for, or until it ends it, nothing is sent to the app. What
// moves the run if the app dies meanwhile is an item of kind Lapse in the place of
// the discovery: a lease that each report renews. When it has run out, the
// endpoint is entered again, with the request that began the run.

// Inline: an app reports on a run that began in a request to it. Its ops are all
// that an answer may have.
type Inline struct {
	Ops      []Op
	Protocol int       // the SDK's execution version; 0 if not told
	RetryAt  time.Time // when a step's error in Ops should be tried again; zero: by policy
}

// NewInline returns a run of f that an app has begun to serve by itself, in the
// request that e stands for.
func NewInline(id string, f Function, e Event, p Policy, began, now time.Time) *Run {
	return &Run{
		ID: id, Function: f.Slug, App: f.App, Version: f.Version,
		Events: []Event{e}, Queued: began,
		Head:  Head{Status: Running, Started: began, Protocol: Unpinned},
		Steps: map[string]*Step{},
		Items: map[string]*Item{Discovery: {Run: id, Step: Discovery, Kind: Lapse, Due: p.lapse(now)}},
	}
}

// lapse is when an app is thought dead that is heard of now. It is a little later
// than it has to be, so that not each report has to move it, and yet after any of
// them an app may be silent for all of its lease.
func (p Policy) lapse(now time.Time) time.Time { return now.Add(p.Lease + p.Lease/4) }

// Inline reports whether the run is still in the hands of the app that began it.
func (r *Run) Inline() bool {
	item := r.Items[Discovery]
	return item != nil && item.Kind == Lapse
}

func (t *turn) inline(in Inline) (Change, error) {
	if !t.r.Inline() {
		return t.straggler(in)
	}
	t.pin(cmp.Or(in.Protocol, newest))
	lease := t.r.Items[Discovery]
	t.apply(in.Ops, lease, false, in.RetryAt)
	switch {
	case t.ended:
	case handsOver(in.Ops):
		t.leave(lease, opens(in.Ops))
	case lease.Due.Sub(t.now) < t.p.Lease || lease.Claimed: // not with each report: it costs a row
		t.put(Item{Step: Discovery, Kind: Lapse, Due: t.p.lapse(t.now)})
	}
	return t.change(), nil
}

// handsOver reports whether an app that sends ops leaves the run to the server.
func handsOver(ops []Op) bool {
	for _, op := range ops {
		switch op.Kind {
		case OpDone, OpDefer, OpDeferAbort:
		default:
			return true
		}
	}
	return false
}

// straggler is a report on a run that the server has taken over meanwhile,
// because nothing was heard of the app for too long. What was done is done, and
// if its client has its answer, that is the run's; the rest is left to whoever
// serves the run now.
func (t *turn) straggler(in Inline) (Change, error) {
	t.lazily(in.Ops)
	for _, op := range in.Ops {
		switch {
		case t.ended:
		case op.Kind == OpDone:
			t.save(op, 0)
		case op.Kind == OpComplete:
			t.complete(op)
		default:
		}
	}
	return t.change(), nil
}

// lapse enters the endpoint again whose app is not heard of any more.
func (t *turn) lapse(item *Item) {
	t.record(Entry{Step: Discovery, Kind: Lapsed, At: t.now})
	t.put(Item{Step: Discovery, Kind: Call, Due: t.now})
}

// Knows reports whether a report tells nothing new about a run that has ended: it
// was sent again because its answer was lost.
func (r *Run) Knows(in Inline) bool {
	for _, op := range in.Ops {
		switch op.Kind {
		case OpDone:
			if r.state(op.Step) != Done {
				return false
			}
		case OpComplete:
			if r.Status != Completed || string(r.Output) != string(op.Memo) {
				return false
			}
		case OpDefer, OpDeferAbort:
		default:
			return false
		}
	}
	return true
}

// OpsOf are the ops that news brings.
func OpsOf(in Input) []Op {
	switch in := in.(type) {
	case Answer:
		return in.Ops
	case Inline:
		return in.Ops
	default:
		return nil
	}
}

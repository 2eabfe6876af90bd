package durable

import (
	"bytes"
	"fmt"
	"time"
)

// The SDKs' words for open steps, as journals keep them.
const (
	wordPlanned = "StepPlanned"
	wordSleep   = "Sleep"
	wordEvent   = "WaitForEvent"
	wordSignal  = "WaitForSignal"
	wordInvoke  = "InvokeFunction"
)

// maxSleep is the longest that a run may rest. Source: spec/11 §17.
const maxSleep = 366 * 24 * time.Hour

// maxDepth is how many runs may wait for each other in a chain of invocations:
// functions that invoke each other in a circle would never end.
const maxDepth = 100

// rest lets a step rest until op.Until, once, and reports whether it does. One
// whose time is over already ends at once, as it would have then.
func (t *turn) rest(op Op, group bool) bool {
	if t.state(op.Step) != Unknown {
		return false
	}
	e := Entry{
		Step: op.Step, Kind: StepAsleep, Op: op.Op, Name: op.Name, At: t.now, Until: op.Until,
		Data: op.Opts, Group: group, Race: op.Race,
	}
	switch {
	case op.Until.Sub(t.now) > maxSleep:
		t.end(Failed, nil, Failure{
			Name:    "InngestErrTimeoutTooLong",
			Message: fmt.Sprintf("step %q rests until %s, more than 366 days from now", op.Name, op.Until.UTC().Format(time.RFC3339)),
			Class:   ClassLimit,
		})
		return false
	case !op.Until.After(t.now):
		e.Kind, e.Data = expired(op.Op)
		t.atOnce(e, op.Race)
		return false
	}
	t.setState(op.Step, Asleep)
	t.record(e)
	t.put(Item{Step: op.Step, Kind: Wake, Due: op.Until})
	return true
}

// atOnce ends a step in the turn in which it was named.
func (t *turn) atOnce(e Entry, race bool) {
	t.finish(e)
	t.onward = t.onward || race || t.head.Protocol == 1
}

// expired is how a step ends for which nothing came in time. Source: spec/03 §3.
func expired(word string) (EntryKind, JSON) {
	if word == wordInvoke {
		return StepFailed, ErrorMemo(Failure{
			Name: "InngestInvokeTimeoutError", Message: "Timed out waiting for invoked function to complete",
		})
	}
	return StepDone, JSON("null")
}

// ErrorMemo is the memo of a step that failed with f.
func ErrorMemo(f Failure) JSON {
	return append(append(JSON(`{"error":`), f.JSON()...), '}')
}

// bareError is the error in the memo of a step that failed; a memo of another
// form is an error itself.
func bareError(memo JSON) JSON {
	inner, ok := bytes.CutPrefix(memo, []byte(`{"error":`))
	if !ok {
		return memo
	}
	return bytes.TrimSuffix(inner, []byte("}"))
}

// wait lets a step rest until an event or a signal comes.
func (t *turn) wait(op Op, group bool) {
	if op.Taken && t.state(op.Step) == Unknown {
		t.where = op.Name
		t.end(Failed, nil, Failure{Name: "Error", Message: fmt.Sprintf( // SDKs know the first words
			"Signal conflict; signal wait already exists for another run: signal %q, step %q", op.Wait.Name, op.Name)})
		return
	}
	if !t.rest(op, group) {
		return
	}
	w := *op.Wait
	w.Run, w.Step = t.r.ID, op.Step
	if w.Kind == ForEvent {
		// Who lets the wait expire must first see whether the event has come.
		t.c.Put[len(t.c.Put)-1].Data = JSON(quote(w.Name))
	}
	t.c.Waits = append(t.c.Waits, w)
}

// invoke starts a run of another function, and lets a step rest until it ends.
func (t *turn) invoke(op Op, group bool) {
	if op.Invoke.Slug == "" {
		if t.state(op.Step) == Unknown {
			f := Failure{Name: "Error", Message: "could not find function with ID: " + op.Invoke.Function}
			t.atOnce(Entry{Step: op.Step, Kind: StepFailed, Op: op.Op, Name: op.Name, At: t.now, Data: ErrorMemo(f)}, op.Race)
		}
		return
	}
	if t.r.Depth >= maxDepth {
		if t.state(op.Step) == Unknown {
			f := Failure{Name: "InvokeTooDeep", Message: t.tooDeep(op.Invoke.Slug)}
			t.atOnce(Entry{Step: op.Step, Kind: StepFailed, Op: op.Op, Name: op.Name, At: t.now, Data: ErrorMemo(f)}, op.Race)
		}
		return
	}
	if !t.rest(op, group) {
		return
	}
	target := Target{Function: op.Invoke.Slug, Parent: Ref{t.r.ID, op.Step}, Depth: t.r.Depth + 1}
	id := t.eventID(EventInvoked + op.Step)
	t.c.Emit = append(t.c.Emit, Event{
		ID: id, Name: EventInvoked, At: t.now, Received: t.now, Target: &target,
		Body: InvokedBody(id, target, *op.Invoke, op.Name, op.Until, t.now),
	})
}

// tooDeep says why a function cannot be invoked at the end of a long chain, and
// names those of the chain that the run knows.
func (t *turn) tooDeep(invoked string) string {
	circle := "do functions invoke each other in a circle?"
	if invoked == t.r.Function {
		circle = invoked + " invokes itself"
	}
	return fmt.Sprintf(
		"%s cannot be invoked by %s, which was invoked by run %s: it would be the end of a chain of more than %d runs that wait for each other; %s",
		invoked, t.r.Function, t.r.Parent.Run, maxDepth, circle)
}

// InvokedBody is the event with which a function is invoked. Source: spec/10 §8.
func InvokedBody(id string, target Target, in Invoke, name string, expire, now time.Time) JSON {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"data":{"_inngest":{`)
	if !target.Parent.Zero() {
		fmt.Fprintf(&b, `"correlation_id":%s,"expire":%d,`, quote(target.Parent.String()), expire.UnixMilli())
	}
	fmt.Fprintf(&b, `"fn_id":%s,"name":%s}`, quote(target.Function), quote(name))
	if data := bytes.TrimSpace(in.Payload); len(data) > 0 {
		if inner := bytes.TrimSpace(data[1 : len(data)-1]); len(inner) > 0 {
			b.WriteByte(',')
			b.Write(inner)
		}
	}
	user := in.User
	if user == nil {
		user = JSON("{}")
	}
	fmt.Fprintf(&b, `},"id":%s,"name":"%s","ts":%d,"user":%s`, quote(id), EventInvoked, now.UnixMilli(), user)
	if in.V != "" {
		fmt.Fprintf(&b, `,"v":%s`, quote(in.V))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// fetch queues the request that a step asks the server to make.
func (t *turn) fetch(op Op, group bool) {
	if t.state(op.Step) != Unknown {
		return
	}
	t.setState(op.Step, Planned)
	t.record(Entry{
		Step: op.Step, Kind: StepPlanned, Op: op.Op, Name: op.Name, At: t.now, Data: op.Opts, Group: group, Race: op.Race,
	})
	t.put(Item{Step: op.Step, Kind: Fetch, Due: t.now, Data: op.Request})
}

// due: a time has come.
func (t *turn) due(in Due) (Change, error) {
	item, err := t.held(in.Claim)
	if err != nil {
		return Change{}, err
	}
	if item.Kind == Timeout {
		what := "timeouts.finish: the run did not end in time"
		if in.Step == StartStep {
			what = "timeouts.start: the run did not start in time"
		}
		t.stop(what)
		return t.change(), nil
	}
	if item.Kind == Lapse {
		t.lapse(item)
		return t.change(), nil
	}
	if item.Early() {
		t.ripen(*item)
		return t.change(), nil
	}
	if t.state(in.Step) == Asleep {
		s := t.r.Steps[in.Step]
		kind, memo := expired(s.Op)
		t.close(in.Step, kind, memo)
	}
	if !t.ended {
		t.settle(item, 0)
	}
	return t.change(), nil
}

// ripen moves a request whose time has come into its lane.
func (t *turn) ripen(item Item) {
	kind := byte(laneContinue)
	if t.head.Status == Queued {
		kind = laneBegin
	}
	item.Lane = t.r.lane(item, kind)
	t.c.Put = append(t.c.Put, Put{Item: item})
	t.c.Soft = true
}

// resolved: what a step waits for has come.
func (t *turn) resolved(in Resolved) (Change, error) {
	item := t.r.Items[in.Step]
	if t.state(in.Step) != Asleep || item == nil {
		return Change{}, ErrStale
	}
	kind := StepDone
	if in.Failed {
		kind = StepFailed
	}
	t.close(in.Step, kind, in.Memo)
	if !t.ended {
		t.settle(item, 0)
	}
	return t.change(), nil
}

// close ends a step that rests.
func (t *turn) close(step string, kind EntryKind, memo JSON) {
	s := t.r.Steps[step]
	t.finish(Entry{Step: step, Kind: kind, Op: s.Op, Name: s.Name, At: t.now, Data: memo})
}

// fetched: the server has made the request that a step asked for, or has tried.
func (t *turn) fetched(in Fetched) (Change, error) {
	item, err := t.held(in.Claim)
	if err == nil && item.Kind != Fetch {
		err = ErrStale // the claim is on a call to the app
	}
	if err != nil {
		return Change{}, err
	}
	s := t.r.Steps[in.Step]
	if t.state(in.Step) != Planned {
		t.c.Drop = append(t.c.Drop, in.Step) // its result came another way
		return t.change(), nil
	}
	e := Entry{Step: in.Step, Kind: StepDone, Op: s.Op, Name: s.Name, Attempt: item.Attempt, At: t.now, Data: in.Memo}
	if in.Failed && !in.NoRetry && item.Attempt+1 < t.p.MaxAttempts {
		e.Kind, e.Until = Tried, t.p.nextTry(item.Attempt, in.RetryAt, t.now)
		e.Data = bareError(in.Memo) // as every other failed try tells it
		t.record(e)
		again := *item
		again.Due, again.Attempt = e.Until, item.Attempt+1
		t.put(again)
		return t.change(), nil
	}
	if in.Failed {
		e.Kind = StepFailed
	}
	t.finish(e)
	if !t.ended {
		t.settle(item, 0)
	}
	return t.change(), nil
}

// stop cancels the run.
func (t *turn) stop(reason string) {
	t.record(Entry{Step: Discovery, Kind: Stopped, At: t.now, Data: JSON(quote(reason))})
	t.end(Cancelled, nil, Failure{})
}

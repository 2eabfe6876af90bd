package server

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
)

// stepView is one step of a run, folded from its journal.
type stepView struct {
	Step      string         `json:"step"` // hashed id; "" for the function's body, which is listed once it failed
	Name      string         `json:"name"`
	Op        string         `json:"op"`
	Status    string         `json:"status"` // planned, sleeping, waiting, retrying, completed, failed, missed, cancelled, left, unreachable, deferred, aborted or refused
	Parallel  bool           `json:"parallel,omitzero"`
	Attempts  []attemptView  `json:"attempts"`
	Output    jsontext.Value `json:"output,omitzero"`
	Error     jsontext.Value `json:"error,omitzero"`
	PlannedAt *time.Time     `json:"planned_at,omitzero"` // when it was queued, unless it ran in the call that found it
	StartedAt *time.Time     `json:"started_at"`
	EndedAt   *time.Time     `json:"ended_at"`
	Until     *time.Time     `json:"until,omitzero"`     // of a sleep or a wait
	WaitsFor  jsontext.Value `json:"waits_for,omitzero"` // the event, signal or function of a wait
	TimedOut  bool           `json:"timed_out,omitzero"` // nothing came
	Reason    string         `json:"reason,omitzero"`    // why the run was cancelled, or a deferred call refused
	Copied    bool           `json:"copied,omitzero"`    // from the run that this one repeats
	Given     bool           `json:"given,omitzero"`     // whoever started the run anew gave the result; the step did not run
}

// attemptView is one try of a step, or of the function's body.
type attemptView struct {
	Attempt   int            `json:"attempt"`           // from 1
	Seq       int            `json:"seq"`               // of the journal's entry that tells of it
	Exchange  bool           `json:"exchange,omitzero"` // what was sent and answered is kept
	StartedAt *time.Time     `json:"started_at"`
	EndedAt   *time.Time     `json:"ended_at"`
	Error     jsontext.Value `json:"error,omitzero"`
	NextAt    *time.Time     `json:"next_at,omitzero"`
}

const bodyName = "function body"

// foldSteps makes the steps of a run out of its journal, in the order in which
// they first appeared. It reads what Run.Fold reads, for people instead.
func foldSteps(journal []durable.Entry, run durable.Status) []stepView {
	var order []*stepView
	byID := map[string]*stepView{}
	for i, e := range journal {
		if e.Kind == durable.Nothing {
			continue
		}
		v := byID[e.Step]
		if v == nil {
			v = &stepView{Step: e.Step}
			byID[e.Step] = v
			order = append(order, v)
		}
		if e.Data != nil {
			e.Data = readable(e.Data)
		}
		v.fold(e, i+1)
	}
	views := make([]stepView, len(order))
	for i, v := range order {
		if v.Step == durable.Discovery && run == durable.Completed {
			v.Status = "completed" // a later try of the body made it
		}
		if run.Final() {
			v.leave(run)
		}
		views[i] = *v
	}
	return views
}

// leave says of a step that was open when its run ended that nothing more comes
// of it.
func (v *stepView) leave(run durable.Status) {
	switch v.Status {
	case "retrying":
		v.Attempts[len(v.Attempts)-1].NextAt = nil
	case "planned", "sleeping", "waiting":
		v.Until = nil
	default:
		return
	}
	if v.Status = "left"; run == durable.Cancelled {
		v.Status = "cancelled"
	}
}

// fold takes in the n-th entry of the journal.
func (v *stepView) fold(e durable.Entry, n int) {
	if e.Step == durable.Discovery {
		v.Name, v.Op = bodyName, "Function"
	} else {
		if e.Name != "" {
			v.Name = e.Name
		}
		if e.Op != "" && (v.Op == "" || v.Op == "StepPlanned" || e.Kind != durable.StepPlanned) {
			v.Op = e.Op
		}
	}
	v.Parallel = v.Parallel || e.Group
	if v.StartedAt == nil {
		v.StartedAt = timeOrNull(began(e))
	}
	switch e.Kind {
	case durable.StepPlanned:
		v.Status = "planned"
		if v.PlannedAt == nil {
			v.PlannedAt = timeOrNull(e.At)
		}
	case durable.StepAsleep:
		v.Status = "sleeping"
		if e.Op != "Sleep" {
			v.Status, v.WaitsFor = "waiting", e.Data
		}
		v.StartedAt, v.Until = timeOrNull(e.At), timeOrNull(e.Until)
	case durable.Tried:
		v.Status = "retrying"
		v.try(e, n, e.Data)
	case durable.StepDone:
		v.Status = "completed"
		v.Output = inMemo(e.Data, "data")
		v.EndedAt = timeOrNull(e.At)
		if v.Until == nil && !v.Given { // a step that rests has no tries
			v.try(e, n, nil)
		}
		v.TimedOut = v.WaitsFor != nil && string(e.Data) == "null"
	case durable.StepFailed:
		v.Status = "failed"
		v.Error = inMemo(e.Data, "error")
		v.EndedAt = timeOrNull(e.At)
		if v.Until == nil {
			v.try(e, n, v.Error)
		}
	case durable.BodyFailed:
		v.Status = "failed"
		v.Error = e.Data
		v.EndedAt = timeOrNull(e.At)
		v.try(e, n, e.Data)
	case durable.StepMissed:
		v.Status = "missed"
	case durable.Given:
		v.Given, v.StartedAt = true, nil
	case durable.Stopped:
		v.Status, v.Reason, v.EndedAt = "cancelled", textOf(e.Data), timeOrNull(e.At)
	case durable.Unreachable:
		v.Status = "unreachable"
		v.try(e, n, e.Data)
	case durable.Lapsed:
		v.Status, v.Reason = "taken over", "the app was not heard of any more; Pawl has entered the endpoint again"
	case durable.Deferred:
		v.Op, v.Status, v.Output = "DeferAdd", "deferred", nil
	case durable.DeferredAborted:
		v.Status = "aborted"
	case durable.DeferredRefused:
		v.Op, v.Status, v.Reason = "DeferAdd", "refused", textOf(e.Data)
	default: // tells nothing about a step
	}
}

// textOf is a stored JSON string as text.
func textOf(v jsontext.Value) string {
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return string(v)
	}
	return string(b)
}

func (v *stepView) try(e durable.Entry, n int, err jsontext.Value) {
	v.Attempts = append(v.Attempts, attemptView{
		Attempt: e.Attempt + 1, Seq: n, StartedAt: timeOrNull(began(e)), EndedAt: timeOrNull(e.At),
		Error: err, NextAt: timeOrNull(e.Until),
	})
}

// timed fills in when work began that the app did not time, as Python does not:
// when its step was planned or due again, else when what came before it in the
// run had ended. The time includes the way to the app. started is the run's own.
func timed(journal []durable.Entry, started time.Time) []durable.Entry {
	list := slices.Clone(journal)
	before := started             // the end of what came before
	own := map[string]time.Time{} // when a step was planned, or its next try is due
	for i := range list {
		e := &list[i]
		switch e.Kind {
		case durable.Tried, durable.StepDone, durable.StepFailed, durable.BodyFailed:
			from, ok := own[e.Step]
			if !ok {
				from = before
			}
			if began(*e).IsZero() && !from.After(e.At) {
				e.Started = from
			}
		default: // tells of no work
		}
		before, own[e.Step] = e.At, e.At
		if e.Kind == durable.Tried {
			before, own[e.Step] = e.Until, e.Until
		}
	}
	return list
}

// began is when the work that an entry tells of started, as far as the app said.
func began(e durable.Entry) time.Time {
	switch {
	case !e.Started.IsZero():
		return e.Started
	case e.Took > 0:
		return e.At.Add(-e.Took)
	}
	return time.Time{}
}

// inMemo is what a memo {"data":…} or {"error":…} holds. A memo of another form,
// such as an event that was waited for, is all value.
func inMemo(memo jsontext.Value, member string) (value jsontext.Value) {
	n := 0
	for name, v := range members(memo) {
		if n++; name == member {
			value = v
		}
	}
	if n == 1 && value != nil {
		return value
	}
	return memo
}

// members ranges over the members of a stored object; over none of anything
// else.
func members(object jsontext.Value) iter.Seq2[string, jsontext.Value] {
	return func(yield func(string, jsontext.Value) bool) {
		dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
		if dec.PeekKind() != '{' {
			return
		}
		if _, err := dec.ReadToken(); err != nil {
			return
		}
		for dec.PeekKind() == '"' {
			name, err := dec.ReadToken()
			if err != nil {
				return
			}
			key := name.String()
			v, err := dec.ReadValue()
			if err != nil || !yield(key, v.Clone()) {
				return
			}
		}
	}
}

// longestWait bounds how long a request for steps may wait for news.
const longestWait = time.Minute

// stepsView is a run with its steps; seq is what to ask for news after.
type stepsView struct {
	Run   runView    `json:"run"`
	Seq   int        `json:"seq"`
	Steps []stepView `json:"steps"`
}

// steps answers with the steps of a run. With ?after=SEQ&wait=30s it first waits
// until there is more in the run's journal than SEQ entries, or the run ends, or
// the time is over.
func (s *Server) steps(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	after := q.number("after", 0, 0, 1<<30)
	wait := q.duration("wait", longestWait)
	if q.refused(w) {
		return
	}
	id, ok := runID(w, r)
	if !ok {
		return
	}
	if wait > 0 {
		if err := s.await(r.Context(), id, after, wait); err != nil {
			s.failWith(w, r, err, noRun(id))
			return
		}
	}
	v, err := s.loadSteps(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	s.reply(w, v)
}

// await returns when there is news, or nothing to wait for any more. An error
// is one of the run, never that the time is over.
func (s *Server) await(ctx context.Context, run string, after int, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(s.draining, cancel)() //nolint:contextcheck // it watches another context on purpose
	err := s.eng.Await(ctx, run, after)
	if ctx.Err() != nil || errors.Is(err, engine.ErrClosing) {
		return nil
	}
	return err
}

func (s *Server) loadSteps(ctx context.Context, id string) (stepsView, error) {
	// The run is read first: an end that comes in between shows up with its last
	// steps at the next request, never without them.
	run, err := s.eng.History().Run(ctx, id)
	if err != nil {
		return stepsView{}, err
	}
	journal, err := s.eng.History().Journal(ctx, id, 0)
	if err != nil {
		return stepsView{}, err
	}
	whole, err := s.viewWhole(ctx, run)
	if err != nil {
		return stepsView{}, err
	}
	v := stepsView{Run: whole, Seq: len(journal), Steps: foldSteps(timed(journal, run.Started), run.Status)}
	for i := range v.Steps {
		end := v.Steps[i].EndedAt
		v.Steps[i].Copied = run.Original != "" && end != nil && end.Before(run.Queued)
	}
	return v, nil
}

func (q *query) duration(name string, most time.Duration) time.Duration {
	text := q.get(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		q.refuse(name + " must be a duration such as 30s")
		return 0
	}
	return min(d, most)
}

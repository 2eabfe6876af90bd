package check

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/proto"
	"github.com/pawlhq/pawl/internal/wire"
)

// mostBytes bounds what is sent for one run.
const mostBytes = 256 << 20

// noFunction means that the app does not serve a function.
type noFunction struct{ said string }

func (e *noFunction) Error() string { return e.said }

// unchecked is why a run cannot be checked, or not to its end. Other runs may be.
type unchecked struct{ why string }

func (e *unchecked) Error() string { return e.why }

// walk is one run on its way through the new code.
type walk struct {
	rec   *Record
	steps map[string]*Step // the recorded ones, by id
	known map[string]bool  // steps whose results the code has been given
	asked map[string]bool  // recorded steps that it has asked for
	found []Finding
	noted map[string]bool // what was found on the way
	sent  int
}

// ask calls the new code with a body.
type ask func(ctx context.Context, rec *Record, body []byte) (wire.Answer, error)

// walkThrough walks a run from its beginning until nothing more that is recorded is
// asked for, and says what is different. Errors are *noFunction, *unchecked (with
// what was found until then), and those that end a check.
func walkThrough(ctx context.Context, rec *Record, call ask) ([]Finding, error) {
	w := &walk{rec: rec, steps: map[string]*Step{}, known: map[string]bool{}, asked: map[string]bool{}, noted: map[string]bool{}}
	for _, s := range rec.Steps {
		w.steps[s.ID] = s
	}
	for {
		body := w.body()
		if w.sent += len(body); w.sent > mostBytes {
			return w.found, &unchecked{fmt.Sprintf("it is too large to be walked to its end: %d of its %d results were looked at", len(w.known), len(rec.Done))}
		}
		a, err := call(ctx, rec, body)
		if err != nil {
			return w.found, err
		}
		if len(w.known) == 0 && notServed(a) {
			return w.found, &noFunction{a.Err.Message}
		}
		further, fresh := w.take(a.Ops)
		if !further {
			return w.judge(a, fresh)
		}
	}
}

// body is the body of the next call. It lacks the id of the function, and so turns
// no checkpoints on.
func (w *walk) body() []byte {
	c := wire.Call{
		RunID: w.rec.ID, MaxAttempts: 1, Check: true, Version: w.rec.Protocol, Event: w.rec.Events[0], Events: w.rec.Events,
	}
	for _, s := range w.rec.Done {
		if w.known[s.ID] {
			c.Steps = append(c.Steps, wire.Memo{ID: s.ID, Value: s.Memo})
		}
	}
	return c.AppendBody(nil)
}

// take notes what the code asks for. It reports whether there are results that it
// has not been given, and returns the steps that are not recorded.
func (w *walk) take(ops []wire.Op) (further bool, fresh []string) {
	for _, o := range ops {
		switch o.Op {
		case wire.OpNone:
			w.note(o)
			continue
		case wire.OpDiscoveryRequest, wire.OpDeferAdd, wire.OpDeferAbort:
			continue
		}
		s := w.steps[o.ID]
		if s == nil {
			fresh = append(fresh, label(o.ID, nameOf(o)))
			continue
		}
		w.asked[s.ID] = true
		if was, is := kinds[s.Op], kinds[o.Op]; was != "" && is != "" && was != is {
			w.add(Finding{Kind: OtherKind, Step: s.label(), Detail: fmt.Sprintf("it was a %s, and is a %s", was, is)})
		}
		if s.Memo != nil && !w.known[s.ID] {
			w.known[s.ID], further = true, true
		}
	}
	return further, fresh
}

func nameOf(o wire.Op) string {
	if o.DisplayName != "" {
		return o.DisplayName
	}
	return o.UserID
}

// note takes up what Pawl's own SDK has noticed.
func (w *walk) note(o wire.Op) {
	if o.Error != nil && o.Error.Name == proto.NameFieldsLost {
		m := mismatch(*o.Error)
		w.add(Finding{Kind: ResultFields, Step: m.Step, Detail: fmt.Sprintf("%s has no place for what was saved (%s)", m.Type, m.Why)})
	}
}

func mismatch(e wire.Error) (m proto.Mismatch) {
	var raw struct {
		Data proto.Mismatch `json:"data"`
	}
	if json.Unmarshal(e.Raw, &raw, jsontext.AllowDuplicateNames(true)) != nil || raw.Data.Type == "" {
		return proto.Mismatch{Type: "its type", Why: e.Message}
	}
	return raw.Data
}

// add notes a finding, once for the run.
func (w *walk) add(f Finding) {
	if key := f.key(); !w.noted[key] {
		w.noted[key] = true
		w.found = append(w.found, f)
	}
}

// judge says what the last answer means, in which nothing recorded is asked for that
// the code has not been given.
func (w *walk) judge(a wire.Answer, fresh []string) ([]Finding, error) {
	rec := w.rec
	var left, rests []string // what has ended, or is open, and was not asked for
	for _, s := range rec.Steps {
		switch {
		case s.Memo != nil && !w.known[s.ID]:
			left = append(left, s.label())
		case s.Open && !w.asked[s.ID] && rec.Live():
			rests = append(rests, s.label())
		}
	}
	f := Finding{After: w.after()}
	if left != nil {
		f.Step, f.Also = left[0], slices.Clip(left[1:])
		if len(f.Also) == 0 {
			f.Also = nil
		}
	}
	switch {
	case a.Kind == wire.Failed:
		return w.failed(a, f)
	case fresh != nil && left != nil:
		f.Kind, f.Asked = NewStep, fresh
		w.add(f)
	case left != nil:
		f.Kind = MissingStep
		f.After = ""
		if a.Kind == wire.Progress {
			f.Asked = w.pending(a)
		}
		w.add(f)
	case fresh != nil && rests != nil:
		w.add(Finding{Kind: LostWait, Step: rests[0], Asked: fresh, After: f.After})
	}
	if a.Kind == wire.Returned && rests != nil {
		w.add(Finding{Kind: Ends, Step: rests[0], After: f.After})
	}
	if a.Kind == wire.Progress && len(a.Ops) == 0 {
		return w.found, &unchecked{"the app's answer asks for nothing"}
	}
	return w.found, nil
}

// failed judges an answer that says that the function failed.
func (w *walk) failed(a wire.Answer, f Finding) ([]Finding, error) {
	if a.Err.Name == proto.NameMismatch {
		m := mismatch(a.Err)
		w.add(Finding{Kind: ResultType, Step: m.Step, Detail: m.Type + " does not fit: " + m.Why})
		return w.found, nil
	}
	asItDid := w.rec.Failing || w.rec.Status == durable.Failed
	odd := slices.ContainsFunc(w.found, func(f Finding) bool { return f.Kind == OtherKind })
	if odd || asItDid && f.Step == "" {
		return w.found, nil
	}
	f = Finding{Kind: Fails, After: f.After, Detail: clip(a.Err.Error())}
	w.add(f)
	return w.found, nil
}

// after is the last step that has ended of those that the code asks for.
func (w *walk) after() string {
	for _, s := range slices.Backward(w.rec.Done) {
		if w.known[s.ID] {
			return s.label()
		}
	}
	return ""
}

// pending are the recorded steps that an answer asks for.
func (w *walk) pending(a wire.Answer) (names []string) {
	for _, o := range a.Ops {
		if s := w.steps[o.ID]; s != nil && s.Memo == nil {
			names = append(names, s.label())
		}
	}
	return names
}

// notServed reports whether the answer to the first call of a run says that there is
// no such function. Each SDK says so in its own way; TypeScript has one form for all
// that it cannot begin.
func notServed(a wire.Answer) bool {
	if a.Kind != wire.Failed || a.Code != "" {
		return false
	}
	var said struct {
		Code string `json:"code"`
		Type string `json:"type"`
	}
	_ = json.Unmarshal(a.Err.Raw, &said, jsontext.AllowDuplicateNames(true)) // what is no object says nothing
	return a.Status == http.StatusGone || said.Code == "function_not_found" || said.Type == "internal"
}

// mostUses is how far uses of one name are counted.
const mostUses = 1000

func (s *Step) label() string { return label(s.ID, s.Name) }

// label names a step for people: one of several by one name has its number.
func label(id, name string) string {
	if name == "" {
		return id
	}
	for n := range mostUses {
		if proto.StepHash(name, n) == id {
			if n > 0 {
				return fmt.Sprintf("%s (use %d)", name, n+1)
			}
			break
		}
	}
	return name
}

// mostText bounds an error in a report, in bytes.
const mostText = 300

func clip(s string) string {
	if len(s) > mostText {
		return strings.ToValidUTF8(s[:mostText], "") + "…"
	}
	return s
}

// ranBody reports whether an answer tells of a step that has run.
func ranBody(ops []wire.Op) (string, bool) {
	for _, o := range ops {
		switch o.Op {
		case wire.OpStepRun, wire.OpStepError, wire.OpStepFailed:
			return nameOf(o), true
		}
	}
	return "", false
}

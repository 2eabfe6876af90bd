package durable

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// From is where a run that is started anew begins; the zero From is its start.
type From struct {
	Step  string // hashed id, or name if only one step of the run has it
	Input JSON   // an array: what the step is called with in place of its own arguments; nil: those
	// Output is the step's result, which it has without being run; nil: it runs.
	Output JSON
}

// Errors of a From.
var (
	// ErrNoStep means that a run knows no such step.
	ErrNoStep = errors.New("the run has no such step")
	// ErrManySteps means that a name is that of several steps.
	ErrManySteps = errors.New("several steps of the run have that name; give the step's id")
	// ErrInput means that a step's new input is not a list of arguments.
	ErrInput = errors.New("input is not a valid JSON array")
	// ErrNoInput means that a step is none that is called with something.
	ErrNoInput = errors.New("the step takes no input")
	// ErrOutput means that a step's result is none that it can have.
	ErrOutput = errors.New("output is not a valid result of the step")
	// ErrBoth means that a step is to be called with something and has its result.
	ErrBoth = errors.New("a step whose output is given does not run; give input or output")
)

// Rerun starts a run anew, as a run of f as it is now: for the same event, or
// for one that stands in for it; those of a batch run together again. From a step, the results of the steps that had
// ended before it are the new run's from its beginning; steps that ran beside it
// and ended later run again. A step whose result is given has it from the
// beginning. Nobody waits for the new run.
func Rerun(of *Run, journal []Entry, from From, f Function, e Event, id string, now time.Time) (Start, error) {
	e.Target = nil
	r := NewRun(id, f, e, now, now)
	for _, other := range of.Events[1:] {
		other.Target = nil
		r.Join(other)
	}
	r.Keys = of.Keys // those of its event
	r.Enqueue(now, now, 0)
	r.Cron = of.Cron
	if r.Original = of.Original; r.Original == "" {
		r.Original = of.ID
	}
	s := Start{Run: r}
	if from.Step == "" {
		return s, nil
	}
	step, err := findStep(journal, from.Step)
	if err != nil {
		return Start{}, err
	}
	for _, en := range journal {
		final := en.Kind == StepDone || en.Kind == StepFailed
		if final && en.Step == step.Step {
			break
		}
		if final && en.Step != Discovery {
			s.Entries = append(s.Entries, en)
		}
	}
	switch {
	case from.Input != nil && from.Output != nil:
		return Start{}, ErrBoth
	case from.Output != nil:
		memo, err := given(step.Op, from.Output)
		if err != nil {
			return Start{}, err
		}
		done := Entry{Step: step.Step, Kind: StepDone, Op: step.Op, Name: step.Name, At: now, Data: memo}
		if takesInput(step.Op) {
			done.Op = "StepRun" // whatever became of it before
		}
		s.Entries = append(s.Entries, Entry{Step: step.Step, Kind: Given, Op: done.Op, Name: step.Name, At: now}, done)
	case from.Input != nil:
		switch {
		case from.Input.Kind() != '[' || !from.Input.IsValid():
			return Start{}, ErrInput
		case !takesInput(step.Op):
			return Start{}, fmt.Errorf("%s: %w", step.Op, ErrNoInput)
		}
		// SDKs take an input only in a request for that very step. Source: spec/03 §3.3.
		s.Entries = append(s.Entries, Entry{Step: step.Step, Kind: StepPlanned, Op: step.Op, Name: step.Name, At: now, Data: from.Input})
		delete(r.Items, Discovery)
		r.Items[step.Step] = &Item{Run: id, Step: step.Step, Kind: Call, Due: now, Data: from.Input}
	}
	for _, en := range s.Entries {
		r.Fold(en)
	}
	return s, nil
}

// findStep returns what a journal calls the step of that id or name.
func findStep(journal []Entry, name string) (found Entry, err error) {
	for _, byID := range []bool{true, false} {
		for _, e := range journal {
			switch e.Kind {
			case StepPlanned, StepAsleep, Tried, StepDone, StepFailed:
			default:
				continue
			}
			if e.Step == Discovery || byID && e.Step != name || !byID && e.Name != name {
				continue
			}
			if found.Step != "" && found.Step != e.Step {
				return Entry{}, ErrManySteps
			}
			found = Entry{Step: e.Step, Op: cmp.Or(e.Op, found.Op), Name: cmp.Or(e.Name, found.Name)}
		}
		if found.Step != "" {
			return found, nil
		}
	}
	return Entry{}, ErrNoStep
}

// given is the memo of a step, by the SDK's word for it, that has a result without
// having been run.
func given(word string, output JSON) (JSON, error) {
	if !output.IsValid() {
		return nil, ErrOutput
	}
	none := output.Kind() == 'n'
	switch word {
	case wordSleep:
		return nil, fmt.Errorf("%w: a sleep has none", ErrOutput)
	case wordEvent: // null: none came in time
		if !none && !isEvent(output) {
			return nil, fmt.Errorf("%w: it waits for an event, an object with a name; or null: none came in time", ErrOutput)
		}
		return output, nil
	case wordSignal:
		if none {
			return output, nil
		}
	}
	return slices.Concat(JSON(`{"data":`), output, JSON("}")), nil
}

// isEvent reports whether v is an object with a name.
func isEvent(v JSON) bool {
	var e struct {
		Name string `json:"name"`
	}
	return v.Kind() == '{' && json.Unmarshal(v, &e, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) == nil && e.Name != ""
}

// takesInput reports whether a step, by the SDK's word for it, is a function
// with arguments.
func takesInput(word string) bool {
	switch word {
	case "Step", "StepRun", "StepPlanned", "StepError", "StepFailed":
		return true
	default:
		return false
	}
}

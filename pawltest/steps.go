package pawltest

import (
	"encoding/json"

	"github.com/pawlhq/pawl/internal/durable"
)

// Step is a step of a run, as its journal has it.
type Step struct {
	Name  string
	Kind  string // Run, Sleep, WaitForEvent, WaitForSignal or Invoke
	State State
	Tries int             // that failed, and the one that did not
	Data  json.RawMessage // the result, or the error
}

// State says where a step is.
type State string

// The states of steps.
const (
	Planned  State = "planned"  // it is about to run
	Resting  State = "resting"  // it sleeps or waits
	Retrying State = "retrying" // it has failed and is tried again
	Done     State = "done"
	Failed   State = "failed" // for good
)

var kinds = map[string]string{
	"StepRun": "Run", "StepError": "Run", "StepFailed": "Run", "StepPlanned": "Run", "InvokeFunction": "Invoke",
}

// Steps are the steps of a run so far, in the order in which they were first
// heard of.
func (p *Pawl) Steps(run string) []Step {
	p.t.Helper()
	entries, err := p.current().History().Journal(p.t.Context(), run, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	var list []Step
	at := map[string]int{}
	for _, e := range entries {
		if e.Step == durable.Discovery {
			continue
		}
		i, known := at[e.Step]
		if !known {
			i = len(list)
			at[e.Step] = i
			list = append(list, Step{})
		}
		list[i].add(e)
	}
	return list
}

func (s *Step) add(e durable.Entry) {
	if e.Name != "" {
		s.Name = e.Name
	}
	if kind := kinds[e.Op]; kind != "" {
		s.Kind = kind
	} else if e.Op != "" {
		s.Kind = e.Op
	}
	switch e.Kind {
	case durable.StepPlanned:
		s.State = Planned
	case durable.StepAsleep:
		s.State = Resting
	case durable.Tried:
		s.State, s.Tries, s.Data = Retrying, s.Tries+1, json.RawMessage(e.Data)
	case durable.StepDone:
		s.State, s.Tries, s.Data = Done, s.Tries+1, json.RawMessage(e.Data)
	case durable.StepFailed:
		s.State, s.Tries, s.Data = Failed, s.Tries+1, json.RawMessage(e.Data)
	default: // it concerns the run
	}
}

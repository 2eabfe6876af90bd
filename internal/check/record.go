package check

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/proto"
	"github.com/pawlhq/pawl/internal/wire"
)

// ErrLeft means that a run is not kept any more.
var ErrLeft = errors.New("the run is not kept any more")

// Source is where recorded runs come from.
type Source interface {
	// Functions are those that were ever registered.
	Functions(ctx context.Context) ([]Function, error)
	// Runs returns the ids of the newest runs of a function, at most limit.
	Runs(ctx context.Context, f Filter, limit int) ([]string, error)
	// Load reads a run. Errors: ErrLeft.
	Load(ctx context.Context, id string) (*Record, error)
}

// Function is a function that has recorded runs.
type Function struct {
	Slug     string
	App      string // its name
	URL      string // of the app, as it may be shown
	Endpoint bool   // which cannot be called
}

// Filter chooses runs of one function.
type Filter struct {
	Function string
	Statuses []durable.Status
	Since    time.Time // queued at or after; zero: any
}

// Record is what is known about a run.
type Record struct {
	ID       string
	Function string // slug
	Status   durable.Status
	Protocol int
	Events   []jsontext.Value
	Steps    []*Step // in the order in which they were first heard of
	Done     []*Step // in the order of their end
	Failing  bool    // the function's own code failed, last time
}

// Live reports whether the run goes on.
func (r *Record) Live() bool { return !r.Status.Final() }

// Step is a step of a recorded run.
type Step struct {
	ID   string // hashed
	Name string
	Op   string         // the protocol's word for what it is; "" if nobody has said
	Memo jsontext.Value // nil until it has ended
	Open bool           // planned, or at rest
}

// NewRecord is the record of a run, of which the head and the events are read, and
// its journal.
func NewRecord(r *durable.Run, journal []durable.Entry) *Record {
	r.Steps, r.Items = map[string]*durable.Step{}, map[string]*durable.Item{}
	rec := &Record{ID: r.ID, Function: r.Function, Status: r.Status, Protocol: r.Protocol}
	for _, e := range r.Events {
		rec.Events = append(rec.Events, e.Body)
	}
	steps := map[string]*Step{}
	for _, e := range journal {
		r.Fold(e)
		switch e.Kind {
		case durable.Nothing, durable.Deferred, durable.DeferredAborted, durable.DeferredRefused:
			continue
		default:
		}
		if e.Step == durable.Discovery {
			rec.Failing = e.Kind == durable.Tried
			continue
		}
		s := steps[e.Step]
		if s == nil {
			s = &Step{ID: e.Step}
			steps[e.Step] = s
			rec.Steps = append(rec.Steps, s)
		}
		s.told(e)
		if e.Kind == durable.StepDone || e.Kind == durable.StepFailed {
			rec.Failing = false
		}
	}
	for id, s := range r.Steps {
		steps[id].Memo = s.Memo
		steps[id].Open = s.State == durable.Planned || s.State == durable.Asleep
	}
	for _, id := range r.Stack {
		rec.Done = append(rec.Done, steps[id])
	}
	return rec
}

func (s *Step) told(e durable.Entry) {
	if e.Name != "" {
		s.Name = e.Name
	}
	if e.Op != "" && (s.Op == "" || s.Op == wire.OpStepPlanned) {
		s.Op = e.Op
	}
}

// forget leaves out what an SDK saves beside its steps and asks for in no replay.
func (r *Record) forget(sdk string) {
	if !strings.HasPrefix(sdk, "pawl:") {
		return
	}
	names := map[string]bool{}
	for _, s := range r.Steps {
		names[s.Name] = true
	}
	beside := func(s *Step) bool {
		of, ok := strings.CutSuffix(s.Name, proto.BegunSuffix)
		return ok && names[of]
	}
	r.Steps, r.Done = slices.DeleteFunc(r.Steps, beside), slices.DeleteFunc(r.Done, beside)
}

// kinds are words for what a step is.
var kinds = map[string]string{
	wire.OpStepRun: "step", wire.OpStepPlanned: "step", wire.OpStepError: "step", wire.OpStepFailed: "step", "Step": "step",
	wire.OpSleep: "sleep", wire.OpWaitForEvent: "wait for an event", wire.OpWaitForSignal: "wait for a signal",
	wire.OpInvokeFunction: "call of a function", wire.OpGateway: "fetch", wire.OpAIGateway: "inference",
}

package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// A page shows a run by its trace, which leaves out what is large: results and
// stacks are asked for step by step. After news of the run only the steps that have
// changed are asked for.

// spanView is a step in a trace.
type spanView struct {
	Step        string         `json:"step"` // hashed id; "step" for the function's body
	Name        string         `json:"name"`
	Op          string         `json:"op"`
	Status      string         `json:"status"`
	Parallel    bool           `json:"parallel,omitzero"`
	PlannedAt   *time.Time     `json:"planned_at,omitzero"` // when it was queued, unless it ran in the call that found it
	StartedAt   *time.Time     `json:"started_at"`
	EndedAt     *time.Time     `json:"ended_at"`
	Until       *time.Time     `json:"until,omitzero"`
	WaitsFor    jsontext.Value `json:"waits_for,omitzero"` // unless it is large
	TimedOut    bool           `json:"timed_out,omitzero"`
	Reason      string         `json:"reason,omitzero"`
	Copied      bool           `json:"copied,omitzero"`
	Given       bool           `json:"given,omitzero"`   // whoever started the run anew gave the result
	Problem     string         `json:"problem,omitzero"` // the error in a line
	OutputBytes int            `json:"output_bytes"`
	Tries       []tryView      `json:"tries"`
}

// tryView is a try of a step.
type tryView struct {
	Attempt   int        `json:"attempt"` // from 1
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	NextAt    *time.Time `json:"next_at,omitzero"`
	Problem   string     `json:"problem,omitzero"`
}

// traceView is a run with the steps that have changed since after.
type traceView struct {
	Run   rowView    `json:"run"`
	Seq   int        `json:"seq"`
	Total int        `json:"total"` // steps in all
	Steps []spanView `json:"steps"`
}

// mostWaitsFor bounds what is told of a wait in a trace, in bytes.
const mostWaitsFor = 2 << 10

func viewSpan(v stepView) spanView {
	s := spanView{
		Step: stepWord(v.Step), Name: v.Name, Op: v.Op, Status: v.Status, Parallel: v.Parallel, PlannedAt: v.PlannedAt, StartedAt: v.StartedAt, EndedAt: v.EndedAt,
		Until: v.Until, TimedOut: v.TimedOut, Reason: v.Reason, Copied: v.Copied, Given: v.Given, OutputBytes: len(v.Output), Tries: make([]tryView, len(v.Attempts)),
	}
	if len(v.WaitsFor) <= mostWaitsFor {
		s.WaitsFor = v.WaitsFor
	}
	if len(v.Error) > 0 {
		s.Problem = engine.Brief(v.Error)
	}
	for i, a := range v.Attempts {
		s.Tries[i] = tryView{Attempt: a.Attempt, StartedAt: a.StartedAt, EndedAt: a.EndedAt, NextAt: a.NextAt}
		if len(a.Error) > 0 {
			s.Tries[i].Problem = engine.Brief(a.Error)
		}
	}
	return s
}

// bodyWord is what the function's body is called where a path needs a word.
const bodyWord = "step"

func stepWord(id string) string {
	if id == durable.Discovery {
		return bodyWord
	}
	return id
}

func (s *Server) trace(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	after := q.number("after", 0, 0, 1<<30)
	if q.refused(w) {
		return
	}
	id, ok := runID(w, r)
	if !ok {
		return
	}
	run, err := s.eng.History().Run(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	journal, err := s.eng.History().Journal(r.Context(), id, 0)
	if err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	changed := map[string]bool{}
	for _, e := range journal[min(after, len(journal)):] {
		changed[e.Step] = true
	}
	v := traceView{Run: viewRow(run), Seq: len(journal), Steps: []spanView{}}
	for _, step := range foldSteps(timed(journal, run.Started), run.Status) {
		v.Total++
		// The end of a run ends what was open in it, without an entry for each.
		if after == 0 || changed[step.Step] || run.Status.Final() && step.EndedAt == nil {
			step.Copied = copied(step, run)
			v.Steps = append(v.Steps, viewSpan(step))
		}
	}
	s.reply(w, v)
}

func copied(step stepView, run *durable.Run) bool {
	return run.Original != "" && step.EndedAt != nil && step.EndedAt.Before(run.Queued)
}

func noStep(run, step string) string {
	return "There is no step " + printable(step) + " in run " + printable(run)
}

// showStep answers with one step, with all that is known of it.
func (s *Server) showStep(w http.ResponseWriter, r *http.Request, _ []byte) {
	id, ok := runID(w, r)
	if !ok {
		return
	}
	v, err := s.loadSteps(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	for _, step := range v.Steps {
		if stepWord(step.Step) != r.PathValue("step") {
			continue
		}
		kept, err := s.eng.History().Exchanges(r.Context(), id)
		if err != nil {
			s.failWith(w, r, err, noRun(id))
			return
		}
		for i, a := range step.Attempts {
			step.Attempts[i].Exchange = slices.Contains(kept, a.Seq)
		}
		s.reply(w, step)
		return
	}
	fail(w, http.StatusNotFound, noStep(id, r.PathValue("step")))
}

// linksView is what belongs to a run.
type linksView struct {
	Run      runView     `json:"run"`    // with its metadata
	Events   []eventView `json:"events"` // that started it
	Parent   *childView  `json:"parent"` // the run and step that wait for it
	Children []childView `json:"children"`
	Original *rowView    `json:"original"` // the first run of the chain that this one repeats
	Reruns   []rowView   `json:"reruns"`   // of the same event, beside this one
	// Chain is the first run and all that repeat it, this one among them, in the order
	// in which they were started; empty when there is but one.
	Chain    []rowView     `json:"chain"`
	Letter   *letterView   `json:"dead_letter"`
	Function *functionView `json:"function"` // null: it is not known any more
}

// childView is a run that belongs to a step.
type childView struct {
	Step string  `json:"step"` // of the run that waits
	Run  rowView `json:"run"`
}

// What a page is told of at most.
const (
	mostEvents   = 100
	mostReruns   = 50
	mostChain    = 100
	mostChildren = 50
)

func (s *Server) links(w http.ResponseWriter, r *http.Request, _ []byte) {
	id, ok := runID(w, r)
	if !ok {
		return
	}
	run, err := s.eng.History().Run(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	v, err := s.loadLinks(r.Context(), run)
	if err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	s.reply(w, v)
}

func (s *Server) loadLinks(ctx context.Context, run *durable.Run) (v linksView, err error) {
	v = linksView{Reruns: []rowView{}, Chain: []rowView{}, Children: []childView{}}
	if v.Run, err = s.viewWhole(ctx, run); err != nil {
		return v, err
	}
	for _, e := range run.Events[:min(len(run.Events), mostEvents)] {
		v.Events = append(v.Events, viewEvent(e))
	}
	if f, ok := s.eng.Function(run.Function); ok {
		view := viewFunction(f)
		v.Function = &view
	}
	if !run.Parent.Zero() {
		parent, err := s.row(ctx, run.Parent.Run)
		if err != nil {
			return v, err
		}
		if parent != nil {
			v.Parent = &childView{Step: run.Parent.Step, Run: *parent}
		}
	}
	if run.Original != "" {
		if v.Original, err = s.row(ctx, run.Original); err != nil {
			return v, err
		}
	}
	if v.Chain, err = s.chain(ctx, run, v.Original); err != nil {
		return v, err
	}
	if len(run.Events) > 0 {
		same, err := s.eng.History().Runs(ctx, store.RunFilter{Event: run.Events[0].ID}, store.Page{Limit: mostReruns})
		if err != nil {
			return v, err
		}
		for _, r := range same {
			if r.ID != run.ID && r.Function == run.Function {
				v.Reruns = append(v.Reruns, viewRow(r))
			}
		}
	}
	if letter, err := s.eng.Letters().DeadLetter(ctx, run.ID); err == nil {
		view := viewLetter(letter)
		v.Letter = &view
	} else if !errors.Is(err, store.ErrNotFound) {
		return v, err
	}
	v.Children, err = s.children(ctx, run)
	return v, err
}

// chain is what a run repeats and what repeats it, of which original is the first; it
// is nil when it is not kept any more.
func (s *Server) chain(ctx context.Context, run *durable.Run, original *rowView) ([]rowView, error) {
	if run.Original == "" {
		v := viewRow(run)
		original = &v
	}
	repeats, err := s.eng.History().Repeats(ctx, cmp.Or(run.Original, run.ID), mostChain)
	list := []rowView{}
	if err != nil || len(repeats) == 0 {
		return list, err
	}
	if original != nil {
		list = append(list, *original)
	}
	for _, r := range repeats {
		list = append(list, viewRow(r))
	}
	return list, nil
}

// row is a run in a list; nil when it is not kept any more.
func (s *Server) row(ctx context.Context, id string) (*rowView, error) {
	run, err := s.eng.History().Run(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := viewRow(run)
	return &v, nil
}

// children are the runs that a run has invoked or deferred.
func (s *Server) children(ctx context.Context, run *durable.Run) ([]childView, error) {
	list := []childView{}
	journal, err := s.eng.History().Journal(ctx, run.ID, 0)
	if err != nil {
		return nil, err
	}
	looked := 0
	for _, step := range foldSteps(journal, run.Status) {
		var event string
		switch {
		case step.Op == wire.OpInvokeFunction && step.StartedAt != nil:
			event = durable.Invoked(run.ID, step.Step, *step.StartedAt)
		case step.Op == wire.OpDeferAdd && step.Status == "deferred" && run.Status.Final():
			event = durable.DeferredEvent(run.ID, step.Step, run.Ended)
		}
		if event == "" || looked == mostChildren {
			continue
		}
		looked++
		runs, err := s.eng.History().Runs(ctx, store.RunFilter{Event: event}, store.Page{Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(runs) > 0 {
			list = append(list, childView{Step: stepWord(step.Step), Run: viewRow(runs[0])})
		}
	}
	return list, nil
}

// serverView is what a page must know of the server.
type serverView struct {
	Version   string         `json:"version"`
	Dev       bool           `json:"dev"`
	Unsynced  []unsyncedView `json:"unsynced"`  // URLs where no app has told its functions
	Discovery bool           `json:"discovery"` // apps are looked for, while none is known
	Ports     string         `json:"ports"`     // where
	Paths     []string       `json:"paths"`
}

type unsyncedView struct {
	URL     string `json:"url"`
	Problem string `json:"problem"` // "" while nothing listens there
}

func (s *Server) describe(w http.ResponseWriter, r *http.Request, _ []byte) {
	if q := readQuery(r); q.refused(w) {
		return
	}
	v := serverView{Version: s.version, Dev: s.dev, Paths: []string{}, Unsynced: []unsyncedView{}}
	if s.discovery {
		v.Discovery, v.Ports, v.Paths = true, portsText(DiscoveryPorts(0)), DiscoveryPaths()
	}
	if s.unsynced != nil {
		for _, u := range s.unsynced() {
			v.Unsynced = append(v.Unsynced, unsyncedView(u))
		}
	}
	s.reply(w, v)
}

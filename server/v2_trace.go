package server

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
)

// traceTreeV2 is what happened in a run, as a tree of spans.
type traceTreeV2 struct {
	RunID    string `json:"runId"`
	RootSpan spanV2 `json:"rootSpan"`
}

// spanV2 is the run, a step of it, the function's body, or one try.
type spanV2 struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	StepID     string    `json:"stepId,omitzero"` // hashed
	StepOp     string    `json:"stepOp,omitzero"` // RUN, SLEEP, WAIT_FOR_EVENT, WAIT_FOR_SIGNAL, INVOKE or AI_GATEWAY
	Status     string    `json:"status"`          // of a run, or WAITING
	QueuedAt   time.Time `json:"queuedAt,omitzero"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	EndedAt    time.Time `json:"endedAt,omitzero"`
	DurationMs int64     `json:"durationMs,omitzero,string"`
	Input      *resultV2 `json:"input,omitzero"`  // of the run: its events
	Output     *resultV2 `json:"output,omitzero"` // when it is asked for
	Metadata   []noteV2  `json:"metadata,omitzero"`
	Children   []spanV2  `json:"children,omitzero"`
}

// noteV2 is one kind of metadata of a span.
type noteV2 struct {
	Kind      string         `json:"kind"`
	Scope     string         `json:"scope"` // run, step, step_attempt or extended_trace
	UpdatedAt time.Time      `json:"updatedAt"`
	Values    jsontext.Value `json:"values"` // an object
}

// annotate puts metadata to the spans that it is about: that of a try to its step, when
// tries have no spans of their own, and that of no step, or of one that is not there, to
// the run.
func annotate(root *spanV2, notes []durable.Metadata) {
	for _, m := range notes {
		to := root
		for i := range root.Children {
			child := &root.Children[i]
			if m.Step == "" || child.StepID != m.Step {
				continue
			}
			to = child
			if m.Attempt != durable.NoAttempt && m.Attempt < len(child.Children) {
				to = &child.Children[m.Attempt]
			}
		}
		to.Metadata = append(to.Metadata, noteV2{m.Kind, scopeOf(m.MetadataKey), m.Updated.UTC(), readable(m.Values)})
	}
}

// traceV2 answers with the tree of a run. It is made from the journal: there is
// no second record that could say something else.
func (s *Server) traceV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	run, output, ok := s.runOfPath(w, r)
	if !ok {
		return
	}
	journal, err := s.eng.History().Journal(r.Context(), run.ID, 0) // after the run, as in loadSteps
	if err != nil {
		s.failWithV2(w, r, err, noRunV2(run.ID))
		return
	}
	notes, err := s.eng.History().Metadata(r.Context(), run.ID)
	if err != nil {
		s.failWithV2(w, r, err, "")
		return
	}
	root := trace(run, journal, output)
	annotate(&root, notes)
	s.replyV2(w, traceTreeV2{RunID: run.ID, RootSpan: root})
}

func trace(r *durable.Run, journal []durable.Entry, output bool) spanV2 {
	root := spanV2{
		ID: spanID(r.ID, "run"), Name: "Run", Status: strings.ToUpper(r.Status.String()),
		QueuedAt: r.Queued.UTC(), StartedAt: r.Started.UTC(), EndedAt: r.Ended.UTC(), DurationMs: lasted(r.Started, r.Ended),
	}
	if output {
		root.Input, root.Output = &resultV2{Data: events(r)}, result(r)
	}
	queued := map[string]time.Time{} // when the run came to know of each step
	for _, e := range journal {
		if _, known := queued[e.Step]; !known {
			queued[e.Step] = e.At
		}
	}
	for _, v := range foldSteps(journal, r.Status) {
		if v.Op == "DeferAdd" {
			continue // no step, but a run that follows this one
		}
		root.Children = append(root.Children, span(r, v, queued[v.Step], output))
	}
	return root
}

// events are the events of a run as one JSON array.
func events(r *durable.Run) jsontext.Value {
	list := jsontext.Value{'['}
	for i, e := range r.Events {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, readable(e.Body)...)
	}
	return append(list, ']')
}

// spanID gives a span the same id each time that it is shown.
func spanID(run string, parts ...string) string {
	sum := sha256.Sum256([]byte(run + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

func span(r *durable.Run, v stepView, queued time.Time, output bool) spanV2 {
	at := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return *t
	}
	sp := spanV2{
		ID: spanID(r.ID, "step", v.Step), Name: v.Name, StepID: v.Step, StepOp: stepOp(v.Op), Status: spanStatus(v.Status),
		QueuedAt: queued.UTC(), StartedAt: at(v.StartedAt), EndedAt: at(v.EndedAt),
	}
	if v.Step == durable.Discovery {
		sp.Name, sp.StepOp = "Finalization", ""
	}
	sp.DurationMs = lasted(sp.StartedAt, sp.EndedAt)
	if output && v.Status == "completed" && v.Step != durable.Discovery {
		sp.Output = &resultV2{Data: readable(v.Output)}
	}
	if output && v.Status == "failed" {
		sp.Output = &resultV2{Error: readable(v.Error)}
	}
	if len(v.Attempts) < 2 && sp.Status != "RUNNING" {
		return sp
	}
	for i, a := range v.Attempts {
		try := spanV2{
			ID: spanID(r.ID, "step", v.Step, strconv.Itoa(i)), Name: "Attempt " + strconv.Itoa(a.Attempt-1),
			StepID: v.Step, StepOp: sp.StepOp, Status: "FAILED", StartedAt: at(a.StartedAt), EndedAt: at(a.EndedAt),
		}
		try.DurationMs = lasted(try.StartedAt, try.EndedAt)
		switch {
		case a.Error == nil:
			try.Status = "COMPLETED"
		case output:
			try.Output = &resultV2{Error: readable(a.Error)}
		}
		sp.Children = append(sp.Children, try)
	}
	return sp
}

// stepOp is the v2 API's word for an SDK's word for a step.
func stepOp(word string) string {
	switch word {
	case "Sleep":
		return "SLEEP"
	case "WaitForEvent":
		return "WAIT_FOR_EVENT"
	case "WaitForSignal":
		return "WAIT_FOR_SIGNAL"
	case "InvokeFunction":
		return "INVOKE"
	case "AIGateway":
		return "AI_GATEWAY"
	default:
		return "RUN"
	}
}

func spanStatus(of string) string {
	switch of {
	case "planned":
		return "QUEUED"
	case "sleeping", "waiting":
		return "WAITING"
	case "retrying", "unreachable":
		return "RUNNING"
	case "missed", "left":
		return "SKIPPED"
	default:
		return strings.ToUpper(of) // completed, failed, cancelled
	}
}

package server

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// mostChildren bounds the invoked runs that one page looks up.
const mostChildren = 50

// relatives adds to a page what a run waits for now, the runs that it has
// invoked or deferred, and the one that waits for it. What cannot be read is left out.
func (s *Server) relatives(ctx context.Context, run *durable.Run, data *runPage) {
	if why, _, err := s.eng.Why(ctx, run.ID); err == nil && !run.Status.Final() {
		data.Why = why.Text
	}
	data.Parent = run.Parent.Run
	looked := 0
	for i := range data.Shown {
		step := &data.Shown[i]
		step.For = waitedFor(step.WaitsFor)
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
		children, err := s.eng.History().Runs(ctx, store.RunFilter{Event: event}, store.Page{Limit: 1})
		if err == nil && len(children) > 0 {
			step.Child = children[0].ID
		}
	}
}

// waitedFor says for people what a step waits for; "" when it does not wait.
func waitedFor(opts jsontext.Value) string {
	var what, condition string
	for name, v := range members(opts) {
		switch name {
		case "event":
			what = "for the event " + textOf(v)
		case "signal":
			what = "for the signal " + textOf(v)
		case "function_id":
			what = "for a run of " + textOf(v)
		case "if":
			if text := textOf(v); text != "" {
				condition = " with " + text
			}
		}
	}
	if what == "" {
		return ""
	}
	return what + condition
}

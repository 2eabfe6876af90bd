package engine

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/realtime"
	"github.com/pawlhq/pawl/internal/wire"
)

// Broker hands on what is published.
func (e *Engine) Broker() *realtime.Broker { return e.broker }

// Streams hands on what endpoints stream.
func (e *Engine) Streams() *realtime.Streams { return e.streams }

// newRealtime makes both.
func (e *Engine) newRealtime() {
	e.broker = realtime.NewBroker()
	e.streams = realtime.NewStreams(realtime.Config{Broker: e.broker, Store: e.store, Log: e.log, Look: e.outcome, Since: e.inFlight})
}

// inFlight tells since when the oldest item of a run that is in work is.
func (e *Engine) inFlight(run string) (oldest time.Time, any bool) {
	for _, t := range e.worker.Since(run) {
		if !any || t.Before(oldest) {
			oldest, any = t, true
		}
	}
	return oldest, any
}

// endedBy are the steps whose results news brings, and whether it brings that of the
// run.
func endedBy(in durable.Input) (steps []string, run bool) {
	_, run = in.(durable.Return)
	for _, op := range durable.OpsOf(in) {
		switch op.Kind {
		case durable.OpDone:
			steps = append(steps, op.Step)
		case durable.OpComplete:
			run = true
		default:
		}
	}
	return steps, run
}

// announce tells those who read a run's channel that it has ended, and how: not
// with what.
func (e *Engine) announce(ctx context.Context, run string, head durable.Head) {
	e.streams.Ended(ctx, run)
	if e.broker.Covered(run) {
		e.broker.Publish(realtime.Message{
			Kind: realtime.KindRun, Channel: run, Topic: realtime.TopicRun, Run: run, At: head.Ended,
			Data: jsontext.Value(`{"status":"` + strings.ToLower(head.Status.String()) + `"}`),
		})
	}
}

// outcome is what the stream of a run has to know about it.
func (e *Engine) outcome(ctx context.Context, run string) (realtime.Outcome, error) {
	r, err := e.store.Run(ctx, run)
	if err != nil {
		return realtime.Outcome{}, err
	}
	f, _ := e.Function(r.Function)
	o := realtime.Outcome{Endpoint: f.Endpoint, Silent: r.Events[0].Name == wire.EventHTTPStarted} // Go's SDK says nothing after its answer
	if r.Status.Final() {
		o.Ended, o.Cancelled = r.Ended, r.Status == durable.Cancelled
		o.Response = streamedEnd(r, f)
	}
	return o, nil
}

// streamedEnd is how the stream of a run ends whose app did not say it. The
// result of a function is for those who may read runs: only an endpoint's answers
// its client.
func streamedEnd(r *durable.Run, f durable.Function) realtime.Response {
	switch r.Status {
	case durable.Completed:
		if res, ok := wire.ParseResponse(r.Output); ok && f.Endpoint {
			return streamedResponse(r, res)
		}
		return realtime.Response{Status: 200, Header: jsonHeader, Body: "null"}
	case durable.Failed:
		if res, ok := wire.FailedResponse(r.Output); ok && f.Endpoint {
			end := streamedResponse(r, res)
			end.Failed = true
			return end
		}
		return failedEnd("run failed: " + Brief(r.Output))
	default:
		return failedEnd("run failed: it was " + strings.ToLower(r.Status.String()))
	}
}

var jsonHeader = [][2]string{{"content-type", "application/json"}}

// failedEnd is how the SDK says that a run has failed. Source: spec/05 §5.1.
func failedEnd(message string) realtime.Response {
	body, err := jsontext.AppendQuote(nil, message)
	if err != nil {
		body = []byte(`"run failed"`) // a message is text
	}
	return realtime.Response{Failed: true, Status: 500, Header: jsonHeader, Body: string(body)}
}

// streamedResponse is an endpoint's response in a stream. The TypeScript SDK
// stores the text of a response as a JSON string, and streams it as it is.
func streamedResponse(r *durable.Run, res wire.Response) realtime.Response {
	end := realtime.Response{Status: res.Status, Body: string(res.Body)}
	if text := ""; r.Events[0].Name == wire.EventHTTPRequest && json.Unmarshal(res.Body, &text) == nil {
		end.Body = text
	}
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		values := res.Header[name]
		if name != "Set-Cookie" {
			end.Header = append(end.Header, [2]string{strings.ToLower(name), strings.Join(values, ", ")})
		}
	}
	return end
}

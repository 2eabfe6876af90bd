package engine

import (
	"container/list"
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/proto"
	"github.com/pawlhq/pawl/internal/wire"
)

// An event remembers where in a trace it was sent, over restarts, and so its runs
// belong to that trace: each request to an app carries it on (W3C Trace Context),
// and what a run sends, invokes or ends with belongs to it too. That holds without
// a tracer. With one there are spans besides:
//
//	whoever sent the event
//	└── run f                   from when it was queued to its end
//	    ├── call f              a request to the app, which the app's own spans are in
//	    │   ├── step a          a try of a step, with the app's times
//	    │   └── step b
//	    └── call f
//
// A span is sent when it ends, and so the span of a run is kept in memory until
// then: that of the run which began first ends early when there are too many, and
// all of them when the engine is closed. A run that goes on has another one then.

// WithTracing makes spans of runs, of tries of steps and of requests to the app.
func WithTracing(p trace.TracerProvider) Option { return func(c *openConfig) { c.Traces = p } }

// Traced is r with the trace that its headers tell of, unless its context is in one.
func Traced(r *http.Request) *http.Request {
	t := proto.TraceIn(r.Header)
	if t.Parent == "" || trace.SpanContextFromContext(r.Context()).IsValid() {
		return r
	}
	return r.WithContext(proto.WithTrace(r.Context(), t))
}

var w3c propagation.TraceContext

// traceText is where in a trace ctx is, as events keep it; "" if nowhere.
func traceText(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		t := proto.TraceOf(ctx)
		if t.Parent == "" {
			return ""
		}
		ctx = within(ctx, t) // which is not valid if the headers say nonsense
	}
	h := propagation.MapCarrier{}
	w3c.Inject(ctx, h)
	if state := h["tracestate"]; state != "" {
		return h["traceparent"] + " " + state
	}
	return h["traceparent"]
}

// traceIn reads what traceText has written.
func traceIn(text string) proto.Trace {
	parent, state, _ := strings.Cut(text, " ")
	return proto.Trace{Parent: parent, State: state}
}

func within(ctx context.Context, t proto.Trace) context.Context {
	return w3c.Extract(ctx, propagation.MapCarrier{"traceparent": t.Parent, "tracestate": t.State})
}

// mostOpen bounds the spans of runs that are kept until the run has ended.
const mostOpen = 10_000

// Attributes of spans.
const (
	attrRun      = attribute.Key("pawl.run.id")
	attrFunction = attribute.Key("pawl.function")
	attrApp      = attribute.Key("pawl.app")
	attrStatus   = attribute.Key("pawl.run.status")
	attrOpen     = attribute.Key("pawl.run.open")    // the run went on when its span ended
	attrResumed  = attribute.Key("pawl.run.resumed") // it had begun before
	attrStep     = attribute.Key("pawl.step")
	attrAttempt  = attribute.Key("pawl.attempt") // from 1
)

// tracer makes spans. A nil *tracer makes none.
type tracer struct {
	spans trace.Tracer
	clean func(string) string // takes out what people must not see

	mu    sync.Mutex
	order *list.List // of *runSpan, the oldest first
	runs  map[string]*list.Element
	calls map[durable.Ref]trace.SpanContext // in flight
}

type runSpan struct {
	run  string
	span trace.Span
}

const tracerName = "github.com/pawlhq/pawl/engine"

func newTracer(p trace.TracerProvider, clean func(string) string) *tracer {
	if p == nil {
		return nil
	}
	return &tracer{
		spans: p.Tracer(tracerName), clean: clean, order: list.New(),
		runs: map[string]*list.Element{}, calls: map[durable.Ref]trace.SpanContext{},
	}
}

// origin is what spans tell of a run.
type origin struct {
	run, function, app string
	trace              string // of its event
	queued             time.Time
	began              bool // before
}

func originOf(r *durable.Run) origin {
	return origin{r.ID, r.Function, r.App, r.Events[0].Trace, r.Queued, r.Status != durable.Queued}
}

func (o origin) attributes() trace.SpanStartEventOption {
	return trace.WithAttributes(attrRun.String(o.run), attrFunction.String(o.function), attrApp.String(o.app))
}

// run returns ctx with the span of a run, which it makes unless there is one.
func (t *tracer) run(ctx context.Context, o origin) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if el := t.runs[o.run]; el != nil {
		return trace.ContextWithSpan(ctx, el.Value.(*runSpan).span)
	}
	ctx = within(trace.ContextWithSpanContext(ctx, trace.SpanContext{}), traceIn(o.trace))
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), o.attributes()}
	if o.began {
		options = append(options, trace.WithAttributes(attrResumed.Bool(true)))
	} else {
		options = append(options, trace.WithTimestamp(o.queued))
	}
	ctx, span := t.spans.Start(ctx, "run "+o.function, options...)
	for t.order.Len() >= mostOpen {
		t.closeLocked(t.order.Front())
	}
	t.runs[o.run] = t.order.PushBack(&runSpan{o.run, span})
	return ctx
}

// closeLocked ends the span of a run that goes on.
func (t *tracer) closeLocked(el *list.Element) {
	s := t.order.Remove(el).(*runSpan)
	delete(t.runs, s.run)
	s.span.SetAttributes(attrOpen.Bool(true))
	s.span.End()
}

// ended ends the span of a run.
func (t *tracer) ended(run string, h durable.Head) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	el := t.runs[run]
	if el == nil {
		return
	}
	s := t.order.Remove(el).(*runSpan)
	delete(t.runs, run)
	s.span.SetAttributes(attrStatus.String(h.Status.String()))
	if h.Status == durable.Failed {
		s.span.SetStatus(codes.Error, t.clean(Brief(h.Output)))
	}
	s.span.End(trace.WithTimestamp(h.Ended))
}

// close ends all spans.
func (t *tracer) close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.order.Len() > 0 {
		t.closeLocked(t.order.Front())
	}
}

// traceOf is where in a trace is what a run sends.
func (t *tracer) traceOf(ctx context.Context, r *durable.Run) string {
	if t != nil {
		t.mu.Lock()
		el := t.runs[r.ID]
		t.mu.Unlock()
		if el != nil {
			return traceText(trace.ContextWithSpan(ctx, el.Value.(*runSpan).span))
		}
	}
	return r.Events[0].Trace
}

// call begins the span of a request to an app. It returns the request's context,
// the trace to tell the app, and what ends the span.
func (t *tracer) call(ctx context.Context, o origin, step string, attempt int) (context.Context, proto.Trace, func(*wire.Answer)) {
	if t == nil {
		return ctx, traceIn(o.trace), func(*wire.Answer) {}
	}
	ctx, span := t.spans.Start(t.run(ctx, o), "call "+o.function, trace.WithSpanKind(trace.SpanKindClient), o.attributes(),
		trace.WithAttributes(attrAttempt.Int(attempt+1)))
	at := durable.Ref{Run: o.run, Step: step}
	t.mu.Lock()
	t.calls[at] = span.SpanContext()
	t.mu.Unlock()
	return ctx, traceIn(traceText(ctx)), func(a *wire.Answer) {
		t.mu.Lock()
		if t.calls[at].Equal(span.SpanContext()) {
			delete(t.calls, at)
		}
		t.mu.Unlock()
		switch {
		case a == nil:
			span.SetStatus(codes.Error, "given up")
		case a.Kind == wire.Failed:
			span.SetStatus(codes.Error, t.clean(a.Err.Name+": "+a.Err.Message))
		}
		span.End()
	}
}

// stepped makes the spans of what a change of a run tells of its steps.
func (t *tracer) stepped(run string, entries []durable.Entry) {
	if t == nil {
		return
	}
	for _, en := range entries {
		tried := en.Kind == durable.Tried || en.Kind == durable.StepDone || en.Kind == durable.StepFailed
		if !tried || en.Step == durable.Discovery || en.Started.IsZero() {
			continue // of what rests, and of the function's body, there is nothing that a try was
		}
		parent := t.at(run, en.Step)
		if !parent.IsValid() {
			continue // it was not begun in this life: nothing is known of its trace
		}
		ctx := trace.ContextWithSpanContext(context.Background(), parent) // it is no more than a value
		name := t.clean(en.Name)
		_, span := t.spans.Start(ctx, "step "+name, trace.WithTimestamp(en.Started),
			trace.WithAttributes(attrRun.String(run), attrStep.String(name), attrAttempt.Int(en.Attempt+1)))
		if en.Kind != durable.StepDone {
			span.SetStatus(codes.Error, t.clean(Brief(en.Data)))
		}
		span.End(trace.WithTimestamp(en.Started.Add(en.Took)))
	}
}

// at is the span in which a step of a run is tried.
func (t *tracer) at(run, step string) trace.SpanContext {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range []string{step, durable.Discovery} {
		if sc, ok := t.calls[durable.Ref{Run: run, Step: s}]; ok {
			return sc
		}
	}
	if el := t.runs[run]; el != nil {
		return el.Value.(*runSpan).span.SpanContext()
	}
	return trace.SpanContext{}
}

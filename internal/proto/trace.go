package proto

import (
	"context"
	"net/http"
)

// Header names of W3C Trace Context.
const (
	HeaderTraceParent = "Traceparent"
	HeaderTraceState  = "Tracestate"
)

// Bounds of W3C Trace Context, in bytes.
const (
	traceParentBytes = 55
	maxTraceState    = 512
)

// Trace is where in a distributed trace something happens, in the words of W3C
// Trace Context. The zero Trace is nowhere.
type Trace struct{ Parent, State string }

// TraceIn reads the headers of a request or an answer. What is too long is left out.
func TraceIn(h http.Header) (t Trace) {
	if t.Parent = h.Get(HeaderTraceParent); len(t.Parent) != traceParentBytes {
		return Trace{}
	}
	if t.State = h.Get(HeaderTraceState); len(t.State) > maxTraceState {
		t.State = ""
	}
	return t
}

// Mark says it in the headers of a request, unless they say something already.
func (t Trace) Mark(h http.Header) {
	if t.Parent == "" || h.Get(HeaderTraceParent) != "" {
		return
	}
	h.Set(HeaderTraceParent, t.Parent)
	if t.State != "" {
		h.Set(HeaderTraceState, t.State)
	}
}

type traceKey struct{}

// WithTrace returns a context of what happens at t.
func WithTrace(ctx context.Context, t Trace) context.Context {
	if t.Parent == "" {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceOf returns where ctx belongs to.
func TraceOf(ctx context.Context) Trace {
	t, _ := ctx.Value(traceKey{}).(Trace)
	return t
}

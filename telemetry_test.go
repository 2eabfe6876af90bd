package pawl_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
)

// openAt opens an engine in virtual time.
func openAt(t *testing.T, path string, app http.Handler, options ...engine.Option) *engine.Engine {
	t.Helper()
	e, err := engine.Open(context.WithoutCancel(t.Context()), path, app,
		append([]engine.Option{engine.WithDurability(engine.Unsynced), engine.WithLogger(quietLog), engine.WithDrain(time.Millisecond)}, options...)...)
	require.NoError(t, err)
	return e
}

// recorded is a tracer provider whose spans are there as soon as they end.
func recorded() (*tracetest.InMemoryExporter, *sdktrace.TracerProvider) {
	spans := tracetest.NewInMemoryExporter()
	return spans, sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
}

func named(t *testing.T, spans tracetest.SpanStubs, name string) (found tracetest.SpanStubs) {
	t.Helper()
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	require.NotEmpty(t, found, "there is no span %q", name)
	return found
}

func attribution(s tracetest.SpanStub, key string) attribute.Value {
	for _, kv := range s.Attributes {
		if string(kv.Key) == key {
			return kv.Value
		}
	}
	return attribute.Value{}
}

// TestOneTrace (F-33): a request is one trace, from whoever sent the event through
// each request to the app, each try of a step, and what the run sends.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	synctest.Test(t, func(t *testing.T) {
		exported, provider := recorded()
		app := newApp()
		told := pawl.NewEvent[order]("shop/told")
		var inStep trace.SpanContext
		pawl.Func(app, "f", func(ctx context.Context, o order) (string, error) {
			err := pawl.Do(ctx, "flaky", func(ctx context.Context) error {
				inStep = trace.SpanContextFromContext(ctx)
				if pawl.Attempt(ctx) == 1 {
					return errors.New("not now")
				}
				return nil
			}, pawl.Constant(time.Second))
			if err != nil {
				return "", err
			}
			_, err = pawl.SendEvent(ctx, "tell", told.New(o))
			return "", err
		}, pawl.On(placed))
		pawl.Func(app, "g", func(context.Context, order) (string, error) {
			return "", pawl.Permanent(errors.New("no"))
		}, pawl.On(told))
		e := openAt(t, path, app, engine.WithTracing(provider))
		ctx, request := provider.Tracer("test").Start(t.Context(), "request")
		_, err := app.Send(ctx, placed.New(order{ID: "o1"}))
		require.NoError(t, err)
		request.End()
		time.Sleep(time.Hour)
		require.NoError(t, e.Close(t.Context()))

		spans := exported.GetSpans()
		for _, s := range spans {
			require.Equal(t, request.SpanContext().TraceID(), s.SpanContext.TraceID(), s.Name)
			require.False(t, s.EndTime.Before(s.StartTime), s.Name)
		}
		run := named(t, spans, "run shop-f")
		require.Len(t, run, 1)
		require.Equal(t, request.SpanContext().SpanID(), run[0].Parent.SpanID())
		require.Equal(t, "Completed", attribution(run[0], "pawl.run.status").AsString())
		calls := map[trace.SpanID]bool{}
		for _, c := range named(t, spans, "call shop-f") {
			require.Equal(t, run[0].SpanContext.SpanID(), c.Parent.SpanID())
			calls[c.SpanContext.SpanID()] = true
		}
		require.Len(t, calls, 2)
		require.True(t, calls[inStep.SpanID()], "a step is in the span of its call")
		tries := named(t, spans, "step flaky")
		require.Len(t, tries, 2)
		for i, s := range tries {
			require.True(t, calls[s.Parent.SpanID()])
			require.EqualValues(t, i+1, attribution(s, "pawl.attempt").AsInt64())
			require.Equal(t, i == 0, s.Status.Code == codes.Error)
		}
		named(t, spans, "step tell")
		failed := named(t, spans, "run shop-g")[0]
		require.True(t, calls[failed.Parent.SpanID()], "what a run sends belongs to its trace")
		require.Equal(t, codes.Error, failed.Status.Code)
		require.Contains(t, failed.Status.Description, "no")
	})
}

// TestTraceOutlivesRestart: what goes on later does so in the same trace.
func TestTraceOutlivesRestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	synctest.Test(t, func(t *testing.T) {
		app := newApp()
		pawl.Func(app, "f", func(ctx context.Context, _ order) (string, error) {
			return "", pawl.Sleep(ctx, "rest", 24*time.Hour)
		}, pawl.On(placed))
		before, provider := recorded()
		ctx, request := provider.Tracer("test").Start(t.Context(), "request")
		e := openAt(t, path, app, engine.WithTracing(provider))
		_, err := app.Send(ctx, placed.New(order{}))
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.NoError(t, e.Close(t.Context()))
		run := named(t, before.GetSpans(), "run shop-f")[0]
		require.True(t, attribution(run, "pawl.run.open").AsBool())

		after, provider := recorded()
		e = openAt(t, path, app, engine.WithTracing(provider))
		time.Sleep(48 * time.Hour)
		require.NoError(t, e.Close(t.Context()))
		run = named(t, after.GetSpans(), "run shop-f")[0]
		require.Equal(t, request.SpanContext().TraceID(), run.SpanContext.TraceID())
		require.True(t, attribution(run, "pawl.run.resumed").AsBool())
		require.Equal(t, "Completed", attribution(run, "pawl.run.status").AsString())
	})
}

// TestTraceIsCarried: without a tracer of its own the engine carries the trace of
// others on, to what a step asks.
func TestTraceIsCarried(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	heard := make(chan http.Header, 1)
	far := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.Header }))
	t.Cleanup(far.Close)
	app := newApp()
	ask := app.Endpoint("ask", func(w http.ResponseWriter, r *http.Request) {
		_, err := pawl.SendEvent(r.Context(), "place", placed.New(order{}))
		pawl.Error(w, err)
	})
	pawl.Func(app, "f", func(ctx context.Context, _ order) (string, error) {
		return "", pawl.Do(ctx, "ask", func(ctx context.Context) error {
			res, err := pawl.HTTP(ctx).Get(far.URL)
			if err != nil {
				return err
			}
			return res.Body.Close()
		})
	}, pawl.On(placed))
	e := openAt(t, filepath.Join(t.TempDir(), "pawl.db"), app)
	r := httptest.NewRequest(http.MethodPost, "/ask", nil)
	r.Header.Set("Traceparent", parent)
	r.Header.Set("Tracestate", "a=b")
	ask.ServeHTTP(httptest.NewRecorder(), r)
	h := <-heard
	require.Equal(t, parent, h.Get("Traceparent"))
	require.Equal(t, "a=b", h.Get("Tracestate"))
	require.NoError(t, e.Close(context.Background()))
}

// TestQueueDepthByFunction (F-45): what waits, over a restart, and what waits no more.
func TestQueueDepthByFunction(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	synctest.Test(t, func(t *testing.T) {
		open := func() (*engine.Engine, *pawl.App, func(free, held int)) {
			registry, app := prometheus.NewPedanticRegistry(), newApp()
			for _, name := range []string{"free", "held"} {
				pawl.Func(app, name, func(context.Context, order) (string, error) { return "", nil }, pawl.On(placed))
			}
			return openAt(t, path, app, engine.WithMetrics(registry)), app, func(free, held int) {
				t.Helper()
				time.Sleep(time.Hour)
				want := "# HELP pawl_runs_waiting Runs that have not begun: the depth of the queue.\n# TYPE pawl_runs_waiting gauge\n"
				if free >= 0 {
					want += fmt.Sprintf("pawl_runs_waiting{function=\"shop-free\"} %d\n", free)
				}
				want += fmt.Sprintf("pawl_runs_waiting{function=\"shop-held\"} %d\n", held)
				require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(want), "pawl_runs_waiting"))
			}
		}
		e, app, want := open()
		require.NoError(t, e.Pause(t.Context(), "shop-held", engine.Hold{Pause: durable.PauseStarts}, "ann", ""))
		_, err := app.Send(t.Context(), placed.New(order{Cents: 1}), placed.New(order{Cents: 2}))
		require.NoError(t, err)
		want(0, 2)
		require.NoError(t, e.Close(t.Context()))
		e, _, want = open()
		want(-1, 2) // nothing was heard of the other yet
		require.NoError(t, e.Pause(t.Context(), "shop-held", engine.Hold{}, "ann", ""))
		want(-1, 0)
		require.NoError(t, e.Close(t.Context()))
	})
}

// TestMetrics (F-45): depth, tries, times and reasons of failures, by function.
func TestMetrics(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		app := newApp()
		pawl.Func(app, "f", func(ctx context.Context, o order) (string, error) {
			err := pawl.Do(ctx, "flaky", func(ctx context.Context) error {
				if pawl.Attempt(ctx) == 1 {
					return errors.New("not now")
				}
				return nil
			}, pawl.Constant(time.Second))
			if err == nil && o.Cents == 0 {
				err = pawl.Permanent(errors.New("for nothing"))
			}
			return "", err
		}, pawl.On(placed))
		e := openAt(t, path, app, engine.WithMetrics(registry))
		_, err := engine.Open(t.Context(), filepath.Join(t.TempDir(), "other.db"), newApp(), engine.WithLogger(quietLog), engine.WithMetrics(registry))
		require.ErrorContains(t, err, "another engine")
		_, err = app.Send(t.Context(), placed.New(order{Cents: 1}), placed.New(order{Cents: 0}))
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP pawl_calls_total Requests to apps, by what became of them.
# TYPE pawl_calls_total counter
pawl_calls_total{function="shop-f",outcome="error"} 1
pawl_calls_total{function="shop-f",outcome="ok"} 3
# HELP pawl_dead_letters_total Runs that failed for good, by the class of their failure.
# TYPE pawl_dead_letters_total counter
pawl_dead_letters_total{class="non_retriable",function="shop-f"} 1
# HELP pawl_retries_total Tries that failed and are made again.
# TYPE pawl_retries_total counter
pawl_retries_total{function="shop-f"} 2
# HELP pawl_runs_ended_total Runs that have ended, by how.
# TYPE pawl_runs_ended_total counter
pawl_runs_ended_total{function="shop-f",status="cancelled"} 0
pawl_runs_ended_total{function="shop-f",status="completed"} 1
pawl_runs_ended_total{function="shop-f",status="failed"} 1
pawl_runs_ended_total{function="shop-f",status="skipped"} 0
# HELP pawl_runs_waiting Runs that have not begun: the depth of the queue.
# TYPE pawl_runs_waiting gauge
pawl_runs_waiting{function="shop-f"} 0
# HELP pawl_steps_ended_total Steps that have ended, by how.
# TYPE pawl_steps_ended_total counter
pawl_steps_ended_total{function="shop-f",status="completed"} 2
pawl_steps_ended_total{function="shop-f",status="failed"} 0
`), "pawl_calls_total", "pawl_dead_letters_total", "pawl_retries_total", "pawl_runs_ended_total", "pawl_runs_waiting", "pawl_steps_ended_total"))
		for _, name := range []string{"pawl_run_wait_seconds", "pawl_run_seconds", "pawl_call_seconds"} {
			n, err := testutil.GatherAndCount(registry, name)
			require.NoError(t, err)
			require.Equal(t, 1, n, name)
		}
		_, _, err = e.Invoke(t.Context(), durable.Invoke{Function: "shop-f", Slug: "shop-f", Payload: []byte(`{"cents":1}`)}, nil, "", func(_, _ string) []byte { return nil })
		require.NoError(t, err)
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP pawl_events_received_total Events taken in.
# TYPE pawl_events_received_total counter
pawl_events_received_total 3
`), "pawl_events_received_total"), "an invocation is an event too")
		problems, err := testutil.GatherAndLint(registry)
		require.NoError(t, err)
		require.Empty(t, problems)
		require.NoError(t, e.Close(t.Context()))
		left, err := registry.Gather()
		require.NoError(t, err)
		require.Empty(t, left, "a closed engine tells nothing")
	})
}

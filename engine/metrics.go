package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pawlhq/pawl/internal/call"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// WithMetrics counts what the engine does in r, from Open to Close. Two engines
// in one registry need r wrapped with a label each
// (prometheus.WrapRegistererWith).
func WithMetrics(r prometheus.Registerer) Option { return func(c *openConfig) { c.Metrics = r } }

// A function has a label of its own up to mostCounted; the others share one.
const otherFunctions = "other"

// metrics are the engine's metrics. A nil *metrics counts nothing.
type metrics struct {
	to  prometheus.Registerer
	all []prometheus.Collector

	events  prometheus.Counter
	started *prometheus.CounterVec
	ended   *prometheus.CounterVec
	steps   *prometheus.CounterVec
	retries *prometheus.CounterVec
	dead    *prometheus.CounterVec
	calls   *prometheus.CounterVec
	waited  *prometheus.HistogramVec
	took    *prometheus.HistogramVec
	called  *prometheus.HistogramVec

	mu         sync.RWMutex
	byFunction map[string]*functionMetrics
}

// functionMetrics are those of one function, found once.
type functionMetrics struct {
	name                 string
	started, retries     prometheus.Counter
	done, failed         prometheus.Counter // steps
	waited, took, called prometheus.Observer
	ended                [durable.Skipped + 1]prometheus.Counter
}

// Buckets of durations, in seconds, for those who do not read native histograms.
var (
	callBuckets = []float64{.001, .005, .025, .1, .5, 1, 5, 15, 60, 300, 1800, 7200}
	runBuckets  = []float64{.005, .025, .1, .5, 1, 5, 30, 60, 300, 1800, 3600, 21600, 86400, 604800}
)

// nativeFactor makes native histograms right to a tenth.
const nativeFactor = 1.1

// newMetrics registers the metrics of e.
func newMetrics(to prometheus.Registerer, e *Engine) (*metrics, error) {
	if to == nil {
		return nil, nil //nolint:nilnil // nothing is counted
	}
	m := &metrics{to: to, byFunction: map[string]*functionMetrics{}}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.all = append(m.all, c)
		return c
	}
	times := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"function"})
		m.all = append(m.all, h)
		return h
	}
	gauge := func(name, help string, f func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	m.events = prometheus.NewCounter(prometheus.CounterOpts{Name: "pawl_events_received_total", Help: "Events taken in."})
	m.all = append(m.all, m.events, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "pawl_store_fsyncs_total", Help: "Transactions of the store: with full durability, each has one fsync.",
	}, func() float64 { return float64(e.Commits()) }))
	m.all = append(m.all, &depths{m, func() map[string]int64 { return e.store.Queued() }, prometheus.NewDesc(
		"pawl_runs_waiting", "Runs that have not begun: the depth of the queue.", []string{"function"}, nil)})
	gauge("pawl_events_waiting_bytes", "Bytes of events that something has yet to be done about.", func() float64 { return float64(e.Backlog().Bytes) })
	gauge("pawl_items_in_work", "Requests to apps and the like that are in flight.", func() float64 { return float64(e.worker.InWork()) })
	m.started = vec("pawl_runs_started_total", "Runs whose first request was sent.", "function")
	m.ended = vec("pawl_runs_ended_total", "Runs that have ended, by how.", "function", "status")
	m.steps = vec("pawl_steps_ended_total", "Steps that have ended, by how.", "function", "status")
	m.retries = vec("pawl_retries_total", "Tries that failed and are made again.", "function")
	m.dead = vec("pawl_dead_letters_total", "Runs that failed for good, by the class of their failure.", "function", "class")
	m.calls = vec("pawl_calls_total", "Requests to apps, by what became of them.", "function", "outcome")
	m.waited = times("pawl_run_wait_seconds", "From when a run was queued to its first request.", runBuckets)
	m.took = times("pawl_run_seconds", "From a run's first request to its end, with all that it waited for.", runBuckets)
	m.called = times("pawl_call_seconds", "What requests to apps took.", callBuckets)
	for i, c := range m.all {
		if err := to.Register(c); err != nil {
			for _, c := range m.all[:i] {
				to.Unregister(c)
			}
			if _, twice := errors.AsType[prometheus.AlreadyRegisteredError](err); twice {
				err = errors.New("the registry has metrics of another engine; give each its own by prometheus.WrapRegistererWith")
			}
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// close takes the metrics out of the registry: what they tell of is no more.
func (m *metrics) close() {
	if m == nil {
		return
	}
	for _, c := range m.all {
		m.to.Unregister(c)
	}
}

func (m *metrics) of(function string) *functionMetrics {
	m.mu.RLock()
	f := m.byFunction[function]
	m.mu.RUnlock()
	if f != nil {
		return f
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f = m.byFunction[function]; f != nil {
		return f
	}
	if len(m.byFunction) >= mostCounted {
		if f = m.byFunction[otherFunctions]; f != nil {
			return f
		}
		function = otherFunctions
	}
	f = &functionMetrics{
		name:    function,
		started: m.started.WithLabelValues(function), retries: m.retries.WithLabelValues(function),
		done: m.steps.WithLabelValues(function, "completed"), failed: m.steps.WithLabelValues(function, "failed"),
		waited: m.waited.WithLabelValues(function), took: m.took.WithLabelValues(function), called: m.called.WithLabelValues(function),
	}
	for s := durable.Completed; s <= durable.Skipped; s++ {
		f.ended[s] = m.ended.WithLabelValues(function, strings.ToLower(s.String()))
	}
	m.byFunction[function] = f
	return f
}

// depths tells how many runs wait to begin, by function. It asks when it is asked.
type depths struct {
	m       *metrics
	waiting func() map[string]int64
	desc    *prometheus.Desc
}

func (d *depths) Describe(to chan<- *prometheus.Desc) { to <- d.desc }

func (d *depths) Collect(to chan<- prometheus.Metric) {
	by := map[string]float64{}
	for function, n := range d.waiting() {
		by[d.m.of(function).name] += float64(n)
	}
	// A queue that is empty again says so.
	d.m.mu.RLock()
	for _, f := range d.m.byFunction {
		by[f.name] += 0
	}
	d.m.mu.RUnlock()
	for function, n := range by {
		to <- prometheus.MustNewConstMetric(d.desc, prometheus.GaugeValue, n, function)
	}
}

func (m *metrics) received(n int) {
	if m != nil {
		m.events.Add(float64(n))
	}
}

// changed counts what a change of a run means. began is whether the run was
// queued before.
func (m *metrics) changed(function string, queued time.Time, began bool, c durable.Change) {
	if m == nil || c.Empty() {
		return
	}
	f := m.of(function)
	for _, en := range c.Entries {
		switch en.Kind {
		case durable.Tried:
			f.retries.Inc()
		case durable.StepDone:
			f.done.Inc()
		case durable.StepFailed:
			f.failed.Inc()
		default:
		}
	}
	if c.Dead != nil {
		m.dead.WithLabelValues(f.name, string(c.Dead.Class)).Inc() // there are seven classes
	}
	if c.Head == nil {
		return
	}
	if began && !c.Head.Started.IsZero() {
		f.started.Inc()
		f.waited.Observe(c.Head.Started.Sub(queued).Seconds())
	}
	if c.Head.Status.Final() {
		f.ended[c.Head.Status].Inc()
		if !c.Head.Started.IsZero() {
			f.took.Observe(c.Head.Ended.Sub(c.Head.Started).Seconds())
		}
	}
}

// answered counts a request to an app.
func (m *metrics) answered(function string, a wire.Answer, took time.Duration) {
	if m == nil {
		return
	}
	f := m.of(function)
	f.called.Observe(took.Seconds())
	m.calls.WithLabelValues(f.name, outcome(a)).Inc()
}

// outcome is what became of a request, as one of a few words: ok, error when the
// function failed, and otherwise the class of the failure.
func outcome(a wire.Answer) string {
	if a.Kind != wire.Failed {
		return "ok"
	}
	if class := call.Class(a); class != "" {
		return string(class)
	}
	return string(durable.ClassError)
}

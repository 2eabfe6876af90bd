package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
)

// Mode embedded measures package pawl on an engine in this process.

// embeddedConfig are the settings of mode embedded.
type embeddedConfig struct {
	inFlight         []int
	duration, warmup time.Duration
	requests         int // that count, of each kind of handler
}

// EmbeddedReport is what mode embedded found.
type EmbeddedReport struct {
	Report
	Runs     []EmbeddedRuns
	Handlers []EmbeddedHandler
}

// EmbeddedRuns are runs of three steps, from their acceptance until whoever started
// them has the result.
type EmbeddedRuns struct {
	InFlight                        int
	Runs                            int64
	Seconds                         float64
	P50Micros, P99Micros, MaxMicros int64
	Load                            *float64
}

// EmbeddedHandler are requests to a handler of three steps, one after the other.
type EmbeddedHandler struct {
	Name                            string
	Requests                        int64
	P50Micros, P99Micros, MaxMicros int64
	Load                            *float64
}

// embeddedSteps are the steps of a run and of a request.
var embeddedSteps = []string{"first", "second", "third"}

func threeSteps(ctx context.Context) error {
	for _, name := range embeddedSteps {
		if err := pawl.Do(ctx, name, func(context.Context) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// embeddedRequests warm a handler up.
const embeddedRequests = 200

// driveEmbedded measures and reports.
func driveEmbedded(ctx context.Context, s settings, work string, out, log io.Writer) error {
	if s.durability != "full" {
		return fmt.Errorf("-durability is %s: mode embedded measures full, which is what users get", s.durability)
	}
	commit := commitUnknown
	if info, ok := debug.ReadBuildInfo(); ok {
		commit = commitOf(info)
	}
	if commit == commitUnknown {
		commit = checkoutCommit(ctx)
	}
	r := &EmbeddedReport{Report: Report{Time: time.Now(), Command: s.embeddedCommand(), Durability: s.durability, Duration: s.duration}}
	r.machine(work, commit)
	var err error
	if r.Disk, err = measureDisk(ctx, work, time.Second); err != nil {
		return err
	}
	fmt.Fprintf(log, "fdatasync alone: p50 %s ms, p99 %s ms\n", millis(r.Disk.P50Micros), millis(r.Disk.P99Micros))
	for _, n := range s.embedded.inFlight {
		var m EmbeddedRuns
		err := profiled(s.pprof, fmt.Sprint("embedded-", n), func() (err error) {
			m, err = embeddedRuns(ctx, s.embedded, n, work)
			return err
		})
		if err != nil {
			return fmt.Errorf("%d runs in flight: %w", n, err)
		}
		fmt.Fprintf(log, "%d in flight: %.0f runs/s, p50 %s ms, p99 %s ms\n", n, m.perSecond(), millis(m.P50Micros), millis(m.P99Micros))
		r.Runs = append(r.Runs, m)
	}
	for _, h := range []struct {
		name string
		ack  pawl.Ack
	}{{handlerPlain, 0}, {"AckEachStep", pawl.AckEachStep}, {"AckBeforeRespond", pawl.AckBeforeRespond}, {"Pipelined", pawl.Pipelined}} {
		m, err := embeddedHandler(ctx, s.embedded, h.name, h.ack, work)
		if err != nil {
			return fmt.Errorf("handler %s: %w", h.name, err)
		}
		fmt.Fprintf(log, "%s: p50 %s ms, p99 %s ms\n", h.name, millis(m.P50Micros), millis(m.P99Micros))
		r.Handlers = append(r.Handlers, m)
	}
	return r.publish(s, out)
}

// profiled writes a CPU profile of f into dir, unless that is empty.
func profiled(dir, name string, f func() error) (err error) {
	if dir == "" {
		return f()
	}
	file, err := os.Create(filepath.Join(dir, name+".pprof"))
	if err != nil {
		return fmt.Errorf("make a file for a profile: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return f()
}

func openEmbedded(ctx context.Context, work, name string, app *pawl.App) (*engine.Engine, error) {
	return engine.Open(ctx, filepath.Join(work, name+".db"), app, engine.WithLogger(slog.New(slog.DiscardHandler)))
}

func embeddedApp() *pawl.App {
	return pawl.New("bench", pawl.Logger(slog.New(slog.DiscardHandler)))
}

// embeddedRuns starts runs, each as soon as one of so many has ended.
func embeddedRuns(ctx context.Context, c embeddedConfig, inFlight int, work string) (m EmbeddedRuns, err error) {
	if v, err := loadAverage(); err == nil {
		m.Load = &v
	}
	app := embeddedApp()
	type in struct{ N int }
	f := pawl.Func(app, "run", func(ctx context.Context, i in) (int, error) { return i.N, threeSteps(ctx) })
	e, err := openEmbedded(ctx, work, fmt.Sprint("runs-", inFlight), app)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, e.Close(ctx)) }()
	latency := hdrhistogram.New(1, runTimeout.Microseconds(), latencyDigits)
	var mu sync.Mutex
	var failed error
	var clients sync.WaitGroup
	counts := time.Now().Add(c.warmup)
	end := counts.Add(c.duration)
	for n := range inFlight {
		clients.Go(func() {
			for ctx.Err() == nil && time.Now().Before(end) {
				began := time.Now()
				got, err := f.Call(ctx, in{n})
				if err == nil && got != n {
					err = fmt.Errorf("a run has the result of another: %d for %d", got, n)
				}
				done := time.Now()
				mu.Lock()
				switch {
				case err != nil:
					failed = err
				case !began.Before(counts) && done.Before(end):
					m.Runs++
					err = latency.RecordValue(max(1, done.Sub(began).Microseconds()))
					failed = errors.Join(failed, err)
				}
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	clients.Wait()
	if err := errors.Join(ctx.Err(), failed); err != nil {
		return m, err
	}
	m.InFlight, m.Seconds = inFlight, c.duration.Seconds()
	m.P50Micros, m.P99Micros, m.MaxMicros = latency.ValueAtQuantile(50), latency.ValueAtQuantile(99), latency.Max()
	return m, nil
}

func (m EmbeddedRuns) perSecond() float64 { return float64(m.Runs) / m.Seconds }

// handlerPlain is the same handler without Pawl.
const handlerPlain = "plain"

// embeddedHandler asks a handler one time after the other, without a network.
func embeddedHandler(ctx context.Context, c embeddedConfig, name string, ack pawl.Ack, work string) (m EmbeddedHandler, err error) {
	if v, err := loadAverage(); err == nil {
		m.Load = &v
	}
	answer := func(w http.ResponseWriter) { _, _ = io.WriteString(w, "done") }
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) })
	if name != handlerPlain {
		app := embeddedApp()
		h = app.Endpoint("handler", func(w http.ResponseWriter, r *http.Request) {
			if err := threeSteps(r.Context()); err != nil {
				pawl.Error(w, err)
				return
			}
			answer(w)
		}, ack)
		e, err := openEmbedded(ctx, work, name, app)
		if err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, e.Close(ctx)) }()
	}
	latency := hdrhistogram.New(1, runTimeout.Nanoseconds(), latencyDigits)
	for n := range embeddedRequests + c.requests {
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
		w := httptest.NewRecorder()
		began := time.Now()
		h.ServeHTTP(w, r)
		took := time.Since(began)
		if w.Code != http.StatusOK || w.Body.String() != "done" {
			return m, fmt.Errorf("the handler answered %d: %s", w.Code, w.Body)
		}
		if n >= embeddedRequests {
			if err := latency.RecordValue(max(1, took.Nanoseconds())); err != nil {
				return m, err
			}
		}
	}
	micros := func(ns int64) int64 { return (ns + 500) / 1000 }
	m.Name, m.Requests = name, int64(c.requests)
	m.P50Micros, m.P99Micros, m.MaxMicros = micros(latency.ValueAtQuantile(50)), micros(latency.ValueAtQuantile(99)), micros(latency.Max())
	return m, nil
}

// embeddedCommand is what repeats a report of mode embedded.
func (s settings) embeddedCommand() string {
	numbers := make([]string, len(s.embedded.inFlight))
	for i, n := range s.embedded.inFlight {
		numbers[i] = fmt.Sprint(n)
	}
	text := fmt.Sprintf("go run ./bench -mode embedded -inflight %s -duration %v -warmup %v -requests %d",
		strings.Join(numbers, ","), s.embedded.duration, s.embedded.warmup, s.embedded.requests)
	if s.write != "" {
		text += " -write " + published(s.write)
	}
	return text
}

// publish prints the report and writes its part of the page.
func (r *EmbeddedReport) publish(s settings, out io.Writer) error {
	header := r.header()
	header = header[:len(header)-1] // the durations are in the command
	return publishTables(s, out, r, embeddedHeading, header, r.tables())
}

func (r *EmbeddedReport) tables() []table {
	sync := r.Disk.P50Micros
	runs := table{columns: []string{"in flight", "runs/s", "steps/s", "p50 ms", "p99 ms", "max ms", "p50 in fsyncs", "load"}}
	times := func(us int64) string {
		if sync == 0 {
			return "n/a"
		}
		return fmt.Sprintf("%.1f", float64(us)/float64(sync))
	}
	for _, m := range r.Runs {
		runs.rows = append(runs.rows, []string{
			fmt.Sprint(m.InFlight), fmt.Sprintf("%.0f", m.perSecond()), fmt.Sprintf("%.0f", m.perSecond()*float64(len(embeddedSteps))),
			millis(m.P50Micros), millis(m.P99Micros), millis(m.MaxMicros), times(m.P50Micros), known(m.Load, "%.1f"),
		})
	}
	handlers := table{columns: []string{"handler of 3 steps", "requests", "p50 ms", "p99 ms", "max ms", "more than plain: p50 ms", "p99 ms", "p50 in fsyncs", "load"}}
	var plain EmbeddedHandler
	for _, m := range r.Handlers {
		more50, more99, fsyncs := "–", "–", "–"
		if m.Name == handlerPlain {
			plain = m
		} else {
			more50, more99, fsyncs = millis(m.P50Micros-plain.P50Micros), millis(m.P99Micros-plain.P99Micros), times(m.P50Micros-plain.P50Micros)
		}
		handlers.rows = append(handlers.rows, []string{
			m.Name, fmt.Sprint(m.Requests), millis(m.P50Micros), millis(m.P99Micros), millis(m.MaxMicros), more50, more99, fsyncs, known(m.Load, "%.1f"),
		})
	}
	return []table{runs, handlers}
}

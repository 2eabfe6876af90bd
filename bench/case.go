package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Kind is what a case sends and what it waits for.
type Kind string

// The kinds of case, in the order they are run.
const (
	Accept Kind = "accept" // one event in a request, which no function wants
	Batch  Kind = "batch"  // batchEvents of these in a request
	Steps  Kind = "steps"  // an event that starts a run of 3 checkpointed steps
	Plain  Kind = "plain"  // the same without checkpoints: a call for each step
)

const batchEvents = 100

// kinds are all kinds, each with the numbers of clients it is run with.
var kinds = []struct {
	kind     Kind
	inFlight []int
}{
	{Accept, []int{1, 16, 64, 128}},
	{Batch, []int{1, 16}},
	{Steps, []int{1, 16, 128}},
	{Plain, []int{1, 16, 128}},
}

// Case is one kind with one number of clients.
type Case struct {
	Kind     Kind
	InFlight int
}

// event is the name of the events whose runs the case waits for, "" when it
// waits for none.
func (c Case) event() string {
	switch c.Kind {
	case Steps:
		return steadyEvent
	case Plain:
		return plainEvent
	default:
		return ""
	}
}

// load is the case's load, not yet aimed at a server.
func (c Case) load() *load {
	event, batch := c.event(), 1
	if event == "" {
		event = "bench/unwanted"
	}
	if c.Kind == Batch {
		batch = batchEvents
	}
	return newLoad(event, c.InFlight, batch, c.event() != "")
}

// Result is what a case measured. A pointer is nil where a figure is not known.
type Result struct {
	Case    Case
	Seconds float64 // that counted
	Events  int64   // accepted, or whose run ended
	Steps   int64   // that these had

	P50Micros int64 // of one event (batch: one request): from sending it to its end
	P99Micros int64
	MaxMicros int64

	ServerCPU *float64 // cores
	DriverCPU *float64 // cores
	AppCPU    *float64 // cores
	Fsyncs    *float64 // a second
	Written   *float64 // bytes a second that reached the disk layer
	PeakBytes *int64   // of the server's memory
	Load      *float64 // load average of the machine before the case

	Checked  int      // events looked at afterwards
	Problems []string // anything that was not as promised
}

// PerSecond is events or runs a second.
func (r Result) PerSecond() float64 { return float64(r.Events) / r.Seconds }

// work is the unit in which the server's cost is counted: steps, or events when
// the case has no steps.
func (r Result) work() float64 {
	if r.Steps > 0 {
		return float64(r.Steps)
	}
	return float64(r.Events)
}

// CPUPer1000 is the server's processor time in seconds for 1,000 steps, or 1,000
// events when the case has no steps.
func (r Result) CPUPer1000() *float64 {
	if r.ServerCPU == nil || r.Events == 0 {
		return nil
	}
	v := *r.ServerCPU * r.Seconds / r.work() * 1000
	return &v
}

// WrittenEach is the bytes written for one step, or event.
func (r Result) WrittenEach() *float64 {
	if r.Written == nil || r.Events == 0 {
		return nil
	}
	v := *r.Written * r.Seconds / r.work()
	return &v
}

// caseConfig is how long and how a case is run.
type caseConfig struct {
	rig      rigConfig
	warmup   time.Duration
	duration time.Duration
	strace   bool
	pprof    string // directory for CPU profiles, "" for none
	keep     bool
}

// runCase runs one case on a fresh rig, and stops the rig.
func runCase(ctx context.Context, c Case, cfg caseConfig) (res Result, err error) {
	l := c.load()
	r, err := startRig(ctx, cfg.rig, l.runEnded)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, r.stop(cfg.keep)) }()
	l.aim(r.addr, r.eventKey)
	res = Result{Case: c}
	if v, err := loadAverage(); err == nil {
		res.Load = &v
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.run(ctx)
	}()
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-finished:
			return fmt.Errorf("%s: every client gave up: %w", c, l.rec.firstErr)
		case <-r.server.gone:
			return r.server.failure()
		case <-r.app.gone:
			return r.app.failure()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	abort := func(err error) (Result, error) {
		cancel()
		<-finished
		return res, err
	}
	if err := wait(cfg.warmup); err != nil {
		return abort(err)
	}
	watch, err := r.startWatch(ctx, c, cfg)
	if err != nil {
		return abort(err)
	}
	before := r.sample(ctx)
	l.rec.setOpen(true)
	if err := wait(cfg.duration); err != nil {
		return abort(errors.Join(err, watch.stop()))
	}
	l.rec.setOpen(false)
	after := r.sample(ctx)
	if err := watch.stop(); err != nil {
		return abort(err)
	}
	l.stop()
	select {
	case <-finished:
	case <-r.server.gone:
		return abort(r.server.failure())
	case <-time.After(runTimeout + requestTimeout):
		return abort(fmt.Errorf("%s: clients did not end", c))
	}

	res.fill(l, before, after)
	if cfg.strace {
		perSecond := float64(watch.fsyncs) / res.Seconds
		res.Fsyncs = &perSecond
	}
	res.Checked, res.Problems = r.check(ctx, l, c)
	return res, ctx.Err()
}

// String names the case.
func (c Case) String() string { return fmt.Sprintf("%s/%d", c.Kind, c.InFlight) }

// fill computes the figures from what was recorded and sampled.
func (r *Result) fill(l *load, before, after sample) {
	r.Seconds = after.at.Sub(before.at).Seconds()
	r.Events = l.rec.count
	if l.waits {
		r.Steps = r.Events * stepsOfRun
	}
	r.P50Micros = l.rec.latency.ValueAtQuantile(50)
	r.P99Micros = l.rec.latency.ValueAtQuantile(99)
	r.MaxMicros = l.rec.latency.Max()
	rate := func(before, after *float64) *float64 {
		if before == nil || after == nil {
			return nil
		}
		v := (*after - *before) / r.Seconds
		return &v
	}
	r.ServerCPU = rate(before.server, after.server)
	r.DriverCPU = rate(before.driver, after.driver)
	r.AppCPU = rate(before.app, after.app)
	r.Fsyncs = rate(before.fsyncs, after.fsyncs)
	r.Written = rate(before.written, after.written)
	r.PeakBytes = after.peak
}

// sample is the state of all counters at one time; nil is unknown.
type sample struct {
	at                  time.Time
	server, driver, app *float64 // seconds of processor time
	fsyncs, written     *float64
	peak                *int64
}

// sample reads all counters.
func (r *rig) sample(ctx context.Context) (s sample) {
	seconds := func(pid int) *float64 {
		d, err := cpuTime(pid)
		if err != nil {
			return nil
		}
		v := d.Seconds()
		return &v
	}
	if page, err := r.get(ctx, r.debug, "/metrics"); err == nil {
		if n, ok := parseFsyncs(string(page)); ok {
			s.fsyncs = &n
		}
	}
	if n, err := writtenBytes(r.server.pid()); err == nil {
		v := float64(n)
		s.written = &v
	}
	if n, err := peakMemory(r.server.pid()); err == nil {
		s.peak = &n
	}
	s.server, s.driver = seconds(r.server.pid()), seconds(os.Getpid())
	if r.app != nil {
		s.app = seconds(r.app.pid())
	}
	s.at = time.Now()
	return s
}

// watch is what looks at the server from outside while a case counts.
type watch struct {
	strace  *exec.Cmd
	table   string // file that strace writes
	fsyncs  int64
	profile chan error // nil without a profile
}

// startWatch attaches strace and asks for a CPU profile, as configured.
func (r *rig) startWatch(ctx context.Context, c Case, cfg caseConfig) (*watch, error) {
	w := &watch{}
	if cfg.strace {
		w.table = filepath.Join(r.dir, "strace.txt")
		w.strace = exec.CommandContext(ctx, "strace", "-c", "-f", "-e", "trace=fsync,fdatasync", "-o", w.table, "-p", strconv.Itoa(r.server.pid()))
		w.strace.SysProcAttr = childAttr()
		if err := w.strace.Start(); err != nil {
			return nil, fmt.Errorf("start strace: %w", err)
		}
	}
	if cfg.pprof != "" {
		w.profile = make(chan error, 1)
		seconds := max(1, int(cfg.duration.Seconds()))
		path := filepath.Join(cfg.pprof, fmt.Sprintf("cpu-%s-%d.pprof", c.Kind, c.InFlight))
		go func() { w.profile <- r.saveProfile(ctx, seconds, path) }()
	}
	return w, nil
}

// stop ends the watching and reads what it saw.
func (w *watch) stop() error {
	var errs []error
	if w.strace != nil {
		_ = w.strace.Process.Signal(os.Interrupt)
		_ = w.strace.Wait() // it ends with the signal, so always with an error
		table, err := os.ReadFile(w.table)
		errs = append(errs, err)
		w.fsyncs = parseStrace(string(table))
	}
	if w.profile != nil {
		errs = append(errs, <-w.profile)
	}
	return errors.Join(errs...)
}

// saveProfile fetches a CPU profile from the server's debug listener.
func (r *rig) saveProfile(ctx context.Context, seconds int, path string) error {
	client := rig{client: &http.Client{Timeout: time.Duration(seconds)*time.Second + 10*time.Second}, signKey: r.signKey}
	b, err := client.get(ctx, r.debug, "/debug/pprof/profile?seconds="+strconv.Itoa(seconds))
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// Package engine runs durable functions inside one process: it takes events,
// starts the runs that they match, calls the apps, and keeps everything in a
// store. A server in front of it speaks HTTP; the engine itself listens to
// nothing.
//
// Who feeds whom:
//
//	Send ─▶ match ─▶ store.Accept ─┐
//	                               ▼            ┌─▶ call ─▶ app
//	                  worker ◀── queue (due) ──▶ work
//	                                            └─▶ Next ─▶ store.Transition ─▶ queue, watchers
//	Checkpoint, Cancel ─────────────────────────────▲
//
// The worker is a long-lived goroutine that the engine starts, with one goroutine
// for each item in work; another removes what is kept no longer (Config.Retention),
// and one writes what endpoints have streamed (package realtime).
// Close ends them all.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/singleflight"

	"github.com/pawlhq/pawl/internal/call"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/egress"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/queue"
	"github.com/pawlhq/pawl/internal/realtime"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Config is what an engine is made of.
type Config struct {
	Store store.Store   // required; the engine closes it
	Log   *slog.Logger  // required
	Keys  *wire.Keyring // signs calls and checks answers; nil: nothing is signed
	Dev   bool          // what the server calls itself to apps
	// RetryInterval is the pause between tries; 0: the table of the protocol,
	// 15 s rising to 2 h, with up to 30 s of jitter.
	RetryInterval time.Duration
	MaxCalls      int // calls in flight in all; default 1024
	MaxAppCalls   int // calls in flight to one host; default 512
	MaxBacklog    int // runs that wait to begin; more are refused; default 1,000,000
	// MaxBacklogBytes bounds the events that wait, in bytes, as store.Backlog
	// counts them; more are refused; default 4 GiB.
	MaxBacklogBytes int64
	MaxSteps        int           // finished steps of one run, up to MostSteps; more fail it; default 1,000
	MaxAway         time.Duration // how long an app may be away before its runs fail; default 24 h
	// EndpointLease is how long an app may be silent that serves a request in which
	// a run began, before the endpoint is entered again: longer than its longest
	// step; default 5 min.
	EndpointLease time.Duration
	Drain         time.Duration // for calls in flight at Close; default 30 s
	Retention     store.Retention
	Alerts        Alerts
	// Clean takes out of a text what people must not see, where it leaves in alerts,
	// in spans and in titles of dead letters; nil: nothing.
	Clean func(string) string
	// Hides reports whether an expression reads what people must not see: values of it
	// are not shown then; nil: none does.
	Hides func(expression string) bool
	// AllowPrivate lets the requests that steps ask the server to make reach
	// addresses that are not public: this machine, private networks.
	AllowPrivate bool
	// Transport reaches apps; nil: over HTTP.
	Transport http.RoundTripper
	// Metrics count what the engine does, until it is closed; nil: nothing is counted.
	Metrics prometheus.Registerer
	// Traces makes spans; nil: there are none, and traces of others are only carried on.
	Traces trace.TracerProvider
}

// MostSteps bounds Config.MaxSteps. Source: spec/11 §17.
const MostSteps = 10_000

// ErrClosing means that the engine takes no more work.
var ErrClosing = errors.New("the server is shutting down; try again in a moment")

// Engine runs functions.
type Engine struct {
	store store.Store
	log   *slog.Logger
	keys  *wire.Keyring
	dev   bool
	retry time.Duration

	maxAway     time.Duration
	maxSteps    int // 0: the usual number
	lease       time.Duration
	maxAppCalls int
	most        store.Backlog // that waits
	alerts      Alerts
	clean       func(string) string
	hides       func(expression string) bool
	noted       atomic.Int64 // when it was last noted that too much waits

	client    *call.Client
	egress    *egress.Client
	programs  *match.Programs
	worker    *queue.Worker
	broker    *realtime.Broker
	streams   *realtime.Streams
	watchers  watchers
	followers followers
	recent    recent
	metrics   *metrics
	tracer    *tracer
	signals   locks // by name, held while one is taken or sent
	singles   locks // by name, held while a run takes it from another
	ticking   locks // by what its items have as run, held while a tick of a function is decided

	circuits   circuits
	timetable  timetable
	making     sync.Mutex                         // held while schedules are made and removed
	made       atomic.Pointer[[]durable.Schedule] // by people
	delivering singleflight.Group                 // events that are handed on just now
	handings   handings                           // the same, in order

	syncing sync.Mutex // held while what is registered changes
	apps    atomic.Pointer[registry]

	drains interface {
		Drain(ctx context.Context) error
	} // the app in this process; nil: none has anything to drain
	stop    context.CancelFunc
	hurry   func()          // cuts off what is in work once it was told to stop
	ending  <-chan struct{} // closed by Close, before it waits for anything
	stopped chan struct{}
	closing atomic.Bool
}

// Start loads what is registered and starts to work.
func Start(ctx context.Context, c Config) (*Engine, error) { return start(ctx, c, nil) }

// start is Start with something to do before the work begins.
func start(ctx context.Context, c Config, before func(context.Context, *Engine) error) (*Engine, error) {
	if c.MaxCalls == 0 {
		c.MaxCalls = 1024
	}
	if c.MaxAppCalls == 0 {
		c.MaxAppCalls = 512
	}
	if c.MaxBacklog == 0 {
		c.MaxBacklog = 1_000_000
	}
	if c.MaxBacklogBytes == 0 {
		c.MaxBacklogBytes = 4 << 30
	}
	if c.MaxSteps < 0 || c.MaxSteps > MostSteps {
		return nil, fmt.Errorf("MaxSteps is %d, and must be from 1 to %d, or 0 for the usual number", c.MaxSteps, MostSteps)
	}
	if c.Drain == 0 {
		c.Drain = 30 * time.Second
	}
	if c.Clean == nil {
		c.Clean = func(text string) string { return text }
	}
	if c.Hides == nil {
		c.Hides = func(string) bool { return false }
	}
	o := call.Options{Dev: c.Dev, PerHost: c.MaxAppCalls, Transport: c.Transport}
	if c.Keys != nil {
		o.Key = c.Keys.Current
	}
	e := &Engine{
		store: c.Store, log: c.Log, keys: c.Keys, dev: c.Dev, retry: c.RetryInterval, maxAway: c.MaxAway, maxSteps: c.MaxSteps, lease: c.EndpointLease, maxAppCalls: c.MaxAppCalls,
		most: store.Backlog{Runs: int64(c.MaxBacklog), Bytes: c.MaxBacklogBytes}, alerts: c.Alerts, clean: c.Clean, hides: c.Hides,
		client: call.New(o), egress: egress.New(egress.Options{AllowPrivate: c.AllowPrivate}), programs: newPrograms(), stopped: make(chan struct{}), tracer: newTracer(c.Traces, c.Clean),
	}
	e.recent.since = time.Now() // before anything can happen
	e.newRealtime()
	if err := e.loadApps(ctx); err != nil {
		return nil, fmt.Errorf("load apps: %w", err)
	}
	e.store.Bound(e.most)
	e.followers.news() // whoever read before knows nothing of what has changed since
	e.store.Watch(e.alerts.Watch)
	e.store.Limit(e.gates)
	if err := e.startSchedules(ctx); err != nil {
		return nil, fmt.Errorf("start schedules: %w", err)
	}
	if e.alerts.Age > 0 { // letters of before it was asked for
		item := durable.Item{Run: durable.AlertRun, Step: durable.AgingStep, Kind: durable.Tell, Due: time.Now()}
		if err := e.store.Schedule(ctx, []durable.Item{item}, nil); err != nil {
			return nil, fmt.Errorf("watch dead letters: %w", err)
		}
	}
	hurry := make(chan struct{})
	e.hurry = sync.OnceFunc(func() { close(hurry) })
	e.worker = &queue.Worker{Store: c.Store, Log: c.Log, Slots: c.MaxCalls, Drain: c.Drain, Hurry: hurry, Claimed: e.handings.claimed, Work: e.work}
	var err error
	if e.metrics, err = newMetrics(c.Metrics, e); err != nil {
		return nil, err
	}
	if before != nil {
		if err := before(ctx, e); err != nil {
			e.closing.Store(true) // an app that belongs to it is free again
			e.metrics.close()
			return nil, err
		}
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx)) // ended by Close
	e.stop, e.ending = stop, work.Done()
	var running sync.WaitGroup
	keep, kept := context.WithCancel(context.WithoutCancel(ctx)) // ended when nothing is in work any more
	running.Go(func() {
		defer kept()
		e.worker.Run(work)
	})
	running.Go(func() { e.streams.Run(keep) })
	began := e.recent.since // before remember changes it
	running.Go(func() { e.remember(work, began, c.Retention) })
	if c.Retention.Any() {
		running.Go(func() { e.sweep(work, c.Retention) })
	}
	go func() {
		defer close(e.stopped)
		running.Wait()
	}()
	return e, nil
}

// Close refuses new events, gives calls in flight time to end, and closes the
// store. What is not finished goes on after the next start. When ctx ends, calls in
// flight are cut off, and the error says so if there were any; a call that does not
// heed that is waited for a few seconds more, so that nothing of it is left behind.
func (e *Engine) Close(ctx context.Context) error {
	if e.drains != nil { // what it answered for is still taken in
		drain, cancel := context.WithTimeout(ctx, e.worker.Drain)
		if err := e.drains.Drain(drain); err != nil {
			e.log.Error("the app is not done", "err", err)
		}
		cancel()
	}
	var cut error
	hurried := make(chan struct{})
	unhurried := context.AfterFunc(ctx, func() {
		defer close(hurried)
		if n := e.worker.InWork(); n > 0 {
			cut = fmt.Errorf("%d calls or timers in work were cut off, to go on after the next start: %w", n, context.Cause(ctx))
		}
		e.hurry()
	})
	first := !e.closing.Swap(true)
	if first {
		e.stop()
	}
	<-e.stopped
	if !unhurried() {
		<-hurried
	}
	if !first {
		return cut
	}
	e.watchers.close()
	e.broker.Close()
	e.streams.Close()
	e.metrics.close()
	e.tracer.close()
	e.client.Close()
	e.egress.Close()
	if e.alerts.To != nil {
		e.alerts.To.Close()
	}
	return errors.Join(cut, e.store.Close())
}

// Healthy says why the engine cannot serve, or nil.
func (e *Engine) Healthy() error {
	if e.closing.Load() {
		return ErrClosing
	}
	if h, ok := e.store.(interface{ Healthy() error }); ok {
		return h.Healthy()
	}
	return nil
}

// Backlog is what waits to begin.
func (e *Engine) Backlog() store.Backlog { return e.store.Backlog() }

// Commits is how many transactions the store has committed since it was
// opened: with full durability, its fsyncs.
func (e *Engine) Commits() int64 {
	if c, ok := e.store.(interface{ Commits() int64 }); ok {
		return c.Commits()
	}
	return 0
}

// ErrNoBackup means that the store cannot be copied by Pawl.
var ErrNoBackup = errors.New("this store belongs to a database server: back it up with that server's own tools")

// Backup returns the whole store as it is now, for whoever asks for it. Errors:
// ErrNoBackup and those of the store.
func (e *Engine) Backup(ctx context.Context, by string) (*store.Snapshot, error) {
	b, ok := e.store.(store.Backups)
	if !ok {
		return nil, ErrNoBackup
	}
	snap, err := b.Backup(ctx)
	if err != nil {
		return nil, err
	}
	act := newAct(time.Now(), by, durable.ActBackup, durable.StoreObject, facts{"bytes": snap.Bytes})
	if err := e.store.NoteAct(ctx, act); err != nil {
		// It may be what saves a store that cannot be written to any more.
		e.log.WarnContext(ctx, "a backup was given out, and the audit log cannot tell it", "by", act.By, "err", err)
	}
	return snap, nil
}

// History is for reading what happened.
func (e *Engine) History() store.History { return e.store }

// Ledger is for reading idempotency keys.
func (e *Engine) Ledger() store.Ledger { return e.store }

// People keeps who may do what.
func (e *Engine) People() store.People { return e.store }

// Secret seals what this installation hands out and takes back, such as tokens.
func (e *Engine) Secret() []byte { return e.store.Secret() }

// NewID returns a ULID that no other event or run has.
func NewID() string { return ulid.Make().String() }

// policy is what Next needs to know about a function.
func (e *Engine) policy(f durable.Function) durable.Policy {
	p := durable.DefaultPolicy
	p.MaxAttempts, p.Finish, p.Counted, p.Clean = f.MaxAttempts(), f.Finish, f.Limits.Counted(), e.clean
	if e.maxAway > 0 {
		p.MaxAway = e.maxAway
	}
	if e.maxSteps > 0 {
		p.MaxSteps = e.maxSteps
	}
	if e.lease > 0 {
		p.Lease = e.lease
	}
	p.Interval = e.retry
	p.Jitter = rand.Float64() //nolint:gosec // spreads load; nothing is secured by it
	return p
}

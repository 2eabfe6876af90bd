package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Mode waits measures runs that rest: what they cost while they do, how soon
// one is woken among many, and how many at once.

// Bounds of mode waits.
const (
	maxRests     = 5_000_000
	waitsWarmup  = 50 // wake-ups before those that count
	waitsStarts  = 5  // of the server after a kill
	waitsClients = 16 // who send the events that wake runs one by one
	waitsEvents  = 10 // in each of their requests
	settlePause  = 30 * time.Millisecond
	idlePause    = 3 * time.Second // before memory is read
	waitsPatient = 3 * time.Minute
	databaseFile = "pawl.db"
)

// waitsConfig is what mode waits measures.
type waitsConfig struct {
	sizes   []int
	samples int // wake-ups that count at each size
	bulk    int // runs that are woken at once
	fans    int // functions that one event starts
	rests   int // runs that rest beside them
}

// WaitsReport is what mode waits measured.
type WaitsReport struct {
	Report
	Sizes []WaitsAtSize
	Due   *WaitsAtSize // as many runs due at once, with no app to take them
	Bulk  []WaitsBulk
}

// WaitsAtSize is what was measured with a number of runs waiting.
type WaitsAtSize struct {
	Waiting     int
	FileBytes   int64
	P50Micros   int64 // from sending the event to the run's request at the app
	P99Micros   int64
	MaxMicros   int64
	IdleBytes   *int64 // resident, after the start
	AfterBytes  *int64 // resident, after all wake-ups
	StartMicros []int64
	Load        *float64
}

// WaitsBulk is what was measured of many runs that move at once.
type WaitsBulk struct {
	What         string
	Runs         int
	AcceptMicros int64    // until the last event was accepted
	AllMicros    int64    // from the first event until the app had the last request
	CPU          *float64 // seconds of processor time of the server
	Load         *float64
	Missed       int // runs that did not end
}

// runWaits measures and reports.
func runWaits(ctx context.Context, s settings, rc rigConfig, r Report, log io.Writer) (WaitsReport, error) {
	out := WaitsReport{Report: r}
	for _, n := range s.waits.sizes {
		at, err := waitsAt(ctx, s.waits, rc, n, log)
		if err != nil {
			return out, fmt.Errorf("%d runs waiting: %w", n, err)
		}
		out.Sizes = append(out.Sizes, at)
	}
	if s.waits.rests > 0 {
		due, err := waitsDue(ctx, s.waits, rc, log)
		if err != nil {
			return out, fmt.Errorf("%d runs due: %w", s.waits.rests, err)
		}
		out.Due = &due
	}
	if s.waits.bulk > 0 {
		bulk, err := waitsInBulk(ctx, s.waits, rc, log)
		if err != nil {
			return out, err
		}
		out.Bulk = bulk
	}
	return out, nil
}

// one is the runs that wait each for an event of its own.
func one(first int64, n int) filling {
	f := filling{function: waitsOne, first: first, n: n}
	f.wait.Name, f.wait.If = waitsPaid, waitsMatch
	return f
}

// anyOf is the runs that all wait for the same event.
func anyOf(first int64, n int, event string) filling {
	f := filling{function: waitsAll, first: first, n: n}
	f.wait.Name = event
	return f
}

// waitsRig is a server over a filled database, and the app.
type waitsRig struct {
	rig
	rc     rigConfig
	waiter *waiter
	conn   *conn
}

// startWaits fills a database and starts a server on it.
func startWaits(ctx context.Context, rc rigConfig, fans int, log io.Writer, fillings ...filling) (r *waitsRig, err error) {
	r = &waitsRig{rc: rc, rig: rig{
		client: &http.Client{Timeout: 10 * time.Second}, eventKey: "bench-" + randomHex(8), signKey: "signkey-test-" + randomHex(32),
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stopAll(false))
		}
	}()
	if r.dir, err = os.MkdirTemp(rc.dir, "rig-*"); err != nil {
		return r, fmt.Errorf("make a directory for the database: %w", err)
	}
	began := time.Now()
	if err := fill(ctx, r.dir, fillings...); err != nil {
		return r, err
	}
	fmt.Fprintf(log, "filled in %v\n", time.Since(began).Round(time.Second))
	if r.addr, err = freeAddr(); err != nil {
		return r, err
	}
	if rc.debug {
		if r.debug, err = freeAddr(); err != nil {
			return r, err
		}
	}
	if r.waiter, err = startWaiter(r.addr, r.signKey, fans); err != nil {
		return r, err
	}
	if _, err := r.serve(ctx); err != nil {
		return r, err
	}
	r.conn = newConn(r.addr, "")
	return r, r.waiter.register(ctx)
}

// serve starts the server and returns how long it took until it was healthy.
func (r *waitsRig) serve(ctx context.Context) (time.Duration, error) { return r.launch(ctx, r.rc) }

// launch starts a server on the rig's database, with further flags, and returns how
// long it took until it was healthy.
func (r *rig) launch(ctx context.Context, rc rigConfig, extra ...string) (time.Duration, error) {
	args := append([]string{
		"serve", "--listen", r.addr, "--db", "sqlite:" + filepath.Join(r.dir, databaseFile), "--signing-key", r.signKey,
		"--event-key", r.eventKey, "--durability", rc.durability,
	}, extra...)
	if r.debug != "" {
		args = append(args, "--debug-listen", r.debug)
	}
	drop := func(out io.Reader) error { _, err := io.Copy(io.Discard, out); return err }
	began := time.Now()
	var err error
	if r.server, err = startChild(ctx, "server", nil, drop, rc.server, args...); err != nil {
		return 0, err
	}
	for time.Since(began) < startTimeout {
		if r.healthy(ctx) {
			return time.Since(began), nil
		}
		select {
		case <-r.server.gone:
			return 0, r.server.failure()
		case <-time.After(time.Millisecond):
		}
	}
	return 0, fmt.Errorf("the server was not healthy in %v; it said last: %s", startTimeout, r.server.tail)
}

// kill ends the server without a warning.
func (r *waitsRig) kill() {
	_ = r.server.cmd.Process.Kill() // an error means that it has ended already
	<-r.server.gone
}

func (r *waitsRig) stopAll(keep bool) error {
	var errs []error
	if r.conn != nil {
		r.conn.close()
	}
	errs = append(errs, r.stop(keep))
	if r.waiter != nil {
		errs = append(errs, r.waiter.stop())
	}
	return errors.Join(errs...)
}

// send posts events on a connection.
func (r *waitsRig) send(ctx context.Context, c *conn, body string) error {
	status, answer, err := c.do(ctx, "POST", "/e/"+r.eventKey, []byte(body))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("POST an event: status %d: %s", status, firstBytes(answer))
	}
	return err
}

func numbered(name string, n int64) string {
	return fmt.Sprintf(`{"name":%q,"data":{"n":%d,"pad":%q}}`, name, n, padding)
}

// arrives waits for a request of those that are wanted at the app. Others may
// come: what was answered just before a kill is asked again.
func (r *waitsRig) arrives(ctx context.Context, wanted func(arrival) bool) (arrival, error) {
	late := time.NewTimer(waitsPatient)
	defer late.Stop()
	for {
		select {
		case a := <-r.waiter.arrivals:
			if wanted(a) {
				return a, nil
			}
		case <-r.server.gone:
			return arrival{}, r.server.failure()
		case <-late.C:
			return arrival{}, fmt.Errorf("no request came in %v", waitsPatient)
		case <-ctx.Done():
			return arrival{}, context.Cause(ctx)
		}
	}
}

// wake wakes run n, and returns how long it took until the app had its request.
func (r *waitsRig) wake(ctx context.Context, n int64) (time.Duration, error) {
	sent := time.Now()
	if err := r.send(ctx, r.conn, numbered(waitsPaid, n)); err != nil {
		return 0, err
	}
	a, err := r.arrives(ctx, func(a arrival) bool { return a.n == n && a.woken })
	if err != nil {
		return 0, fmt.Errorf("wake run %d: %w", n, err)
	}
	return a.at.Sub(sent), nil
}

// begin starts run n, and returns when it waits.
func (r *waitsRig) begin(ctx context.Context, n int64) error {
	if err := r.send(ctx, r.conn, numbered(waitsStart, n)); err != nil {
		return err
	}
	if _, err := r.arrives(ctx, func(a arrival) bool { return a.n == n }); err != nil {
		return fmt.Errorf("begin run %d: %w", n, err)
	}
	pause(ctx, settlePause) // until its answer is saved
	return nil
}

// waitsAt measures with n runs waiting, all the time: one that was woken is
// replaced. Those that are woken are any of them, so that most are on disk.
func waitsAt(ctx context.Context, c waitsConfig, rc rigConfig, n int, log io.Writer) (out WaitsAtSize, err error) {
	r, err := startWaits(ctx, rc, 0, log, one(0, n))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.stopAll(false)) }()
	out.Waiting = n
	out.FileBytes = fileBytes(r.dir)
	pause(ctx, idlePause)
	out.IdleBytes = resident(r.server.pid())
	if v, err := loadAverage(); err == nil {
		out.Load = &v
	}
	waiting := make([]int64, n)
	for i := range waiting {
		waiting[i] = int64(i)
	}
	latency := hdrhistogram.New(1, waitsPatient.Microseconds(), latencyDigits)
	for i := range waitsWarmup + c.samples {
		if i == waitsWarmup {
			latency.Reset()
		}
		at := rand.IntN(n)
		took, err := r.wake(ctx, waiting[at])
		if err != nil {
			return out, err
		}
		if err := latency.RecordValue(max(1, took.Microseconds())); err != nil {
			return out, err
		}
		waiting[at] = int64(n + i)
		if err := r.begin(ctx, waiting[at]); err != nil {
			return out, err
		}
	}
	out.P50Micros, out.P99Micros, out.MaxMicros = latency.ValueAtQuantile(50), latency.ValueAtQuantile(99), latency.Max()
	pause(ctx, idlePause)
	out.AfterBytes = resident(r.server.pid())
	for range waitsStarts {
		r.kill()
		took, err := r.serve(ctx)
		if err != nil {
			return out, err
		}
		out.StartMicros = append(out.StartMicros, took.Microseconds())
		r.conn.close()
		at := rand.IntN(n)
		if _, err := r.wake(ctx, waiting[at]); err != nil {
			return out, fmt.Errorf("after a kill: %w", err)
		}
		waiting[at] = int64(n + waitsWarmup + c.samples + len(out.StartMicros))
		if err := r.begin(ctx, waiting[at]); err != nil {
			return out, err
		}
	}
	fmt.Fprintf(log, "%d waiting: p50 %s ms, p99 %s ms, start %s ms\n", n, millis(out.P50Micros), millis(out.P99Micros), millis(slices.Max(out.StartMicros)))
	return out, nil
}

// waitsDue measures the start of a server that finds as many runs due at once,
// and no app that takes them.
func waitsDue(ctx context.Context, c waitsConfig, rc rigConfig, log io.Writer) (out WaitsAtSize, err error) {
	f := one(0, c.rests)
	f.due = true
	r, err := startWaits(ctx, rc, 0, log, f)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.stopAll(false)) }()
	if err := r.waiter.stop(); err != nil {
		return out, err
	}
	out.Waiting, out.FileBytes = c.rests, fileBytes(r.dir)
	for range waitsStarts {
		r.kill()
		took, err := r.serve(ctx)
		if err != nil {
			return out, err
		}
		out.StartMicros = append(out.StartMicros, took.Microseconds())
		pause(ctx, idlePause)
	}
	out.AfterBytes = resident(r.server.pid())
	fmt.Fprintf(log, "%d due: start %s ms\n", c.rests, millis(slices.Max(out.StartMicros)))
	return out, nil
}

// waitsInBulk measures many runs that move at once, beside others that rest.
func waitsInBulk(ctx context.Context, c waitsConfig, rc rigConfig, log io.Writer) (all []WaitsBulk, err error) {
	again := waitsOpen + ".again"
	r, err := startWaits(ctx, rc, c.fans, log,
		one(int64(c.bulk), c.rests), one(0, c.bulk), anyOf(0, c.bulk, waitsOpen), anyOf(int64(c.bulk), c.bulk, again))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stopAll(false)) }()
	pause(ctx, idlePause)
	serving := ctx // for a server that goes on after what is measured
	const killed = ", server killed in between"
	measure := func(what string, runs int, send func() error) error {
		kill := strings.HasSuffix(what, killed)
		b := WaitsBulk{What: what, Runs: runs}
		if v, err := loadAverage(); err == nil {
			b.Load = &v
		}
		stop := func() error { return nil }
		if r.debug != "" && !kill {
			stop = r.profile(ctx, what)
		}
		before := r.sample(ctx)
		began := time.Now()
		var accepted time.Time
		sent := make(chan error, 1)
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		go func() {
			err := send()
			if accepted = time.Now(); err != nil {
				cancel(err) // nothing will come
			}
			sent <- err
		}()
		came := map[string]bool{}
		var last time.Time
		for len(came) < runs {
			a, err := r.arrives(ctx, func(a arrival) bool { return a.woken || strings.HasPrefix(a.fn, waitsFan) })
			if err != nil {
				return fmt.Errorf("%s: %d of %d came: %w", what, len(came), runs, err)
			}
			came[fmt.Sprint(a.fn, a.n)] = true
			last = a.at
			if kill && len(came) >= runs/4 {
				kill = false
				r.kill()
				r.conn.close()
				if _, err := r.serve(serving); err != nil {
					return err
				}
			}
		}
		if err := <-sent; err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		after := r.sample(ctx)
		b.CPU = difference(before.server, after.server)
		if strings.HasSuffix(what, killed) {
			b.CPU = nil // of two processes
		}
		if err := stop(); err != nil {
			return err
		}
		b.AcceptMicros, b.AllMicros = accepted.Sub(began).Microseconds(), last.Sub(began).Microseconds()
		fmt.Fprintf(log, "%s: accepted in %s ms, all came in %s ms\n", what, millis(b.AcceptMicros), millis(b.AllMicros))
		all = append(all, b)
		pause(ctx, idlePause)
		return nil
	}
	single := func(event string, n int64) func() error {
		return func() error { return r.send(ctx, r.conn, numbered(event, n)) }
	}
	byOne, fans := fmt.Sprintf("%d runs woken by one event", c.bulk), fmt.Sprintf("%d functions started by one event", c.fans)
	steps := []struct {
		what string
		runs int
		send func() error
	}{
		{fmt.Sprintf("%d runs woken by %d events", c.bulk, c.bulk), c.bulk, func() error { return r.sendEach(ctx, c.bulk) }},
		{byOne, c.bulk, single(waitsOpen, 1)},
		{byOne + killed, c.bulk, single(again, 1)},
		{fans, c.fans, single(waitsFanned, 1)},
		{fans + killed, c.fans, single(waitsFanned, 2)},
	}
	for _, x := range steps {
		if x.runs == 0 {
			continue
		}
		if err := measure(x.what, x.runs, x.send); err != nil {
			return nil, err
		}
	}
	if err := r.server.stop(); err != nil {
		return nil, err
	}
	left, err := unfinished(ctx, r.dir)
	if err != nil {
		return nil, err
	}
	all[len(all)-1].Missed = left - c.rests
	return all, nil
}

// sendEach sends the events that wake the runs from 0 to n, each once.
func (r *waitsRig) sendEach(ctx context.Context, n int) error {
	errs := make(chan error, waitsClients)
	numbers := make(chan int)
	var clients sync.WaitGroup
	for range waitsClients {
		clients.Go(func() {
			c := newConn(r.addr, "")
			defer c.close()
			for first := range numbers {
				var events []string
				for i := first; i < min(first+waitsEvents, n); i++ {
					events = append(events, numbered(waitsPaid, int64(i)))
				}
				if err := r.send(ctx, c, "["+strings.Join(events, ",")+"]"); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for first := 0; first < n; first += waitsEvents {
		select {
		case numbers <- first:
		case err := <-errs:
			close(numbers)
			return err
		}
	}
	close(numbers)
	clients.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// profile begins to write a CPU profile of the server; stop waits for it.
func (r *waitsRig) profile(ctx context.Context, what string) (stop func() error) {
	path := filepath.Join(r.rc.pprof, strings.ReplaceAll(what, " ", "_")+".pprof")
	done := make(chan error, 1)
	go func() { done <- r.saveProfile(ctx, profileSeconds, path) }()
	return func() error { return <-done }
}

// profileSeconds is how long a profile of mode waits takes.
const profileSeconds = 5

func difference(before, after *float64) *float64 {
	if before == nil || after == nil {
		return nil
	}
	v := *after - *before
	return &v
}

func resident(pid int) *int64 {
	n, err := residentMemory(pid)
	if err != nil {
		return nil
	}
	return &n
}

// fileBytes is the size of a database with its log.
func fileBytes(dir string) (n int64) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

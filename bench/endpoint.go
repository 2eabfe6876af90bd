package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/pawlhq/pawl/internal/durable"
)

// Mode endpoint measures durable endpoints: what they add to a request of an app
// that uses the TypeScript SDK, and what those cost who wait for results.

// Bounds of mode endpoint.
const (
	maxReaders     = 20_000 // there are not many more ports on one address
	maxRequests    = 1_000_000
	endpointWarmup = 200 // requests of each case that do not count
	nodeDir        = "bench/node"
)

// endpointConfig is what mode endpoint measures.
type endpointConfig struct {
	requests int   // that count, of each case
	clients  []int // at once
	samples  int   // results whose way to a reader is timed
	readers  int   // that wait at once
	idle     time.Duration
}

// EndpointReport is what mode endpoint measured.
type EndpointReport struct {
	Report
	Requests []EndpointCase
	Result   EndpointResult
	Readers  *EndpointReaders
}

// EndpointCase is the latency of one handler with a number of clients.
type EndpointCase struct {
	Server    string // what the app reports to
	Clients   int
	P50Micros int64
	P99Micros int64
	MaxMicros int64
	PerSecond float64
	ServerCPU *float64 // seconds for 1,000 requests
	Load      *float64
	Problems  []string
}

// What an app reports to.
const (
	toNobody = "none: the handler without the SDK"
	toStub   = "one that answers at once and keeps nothing"
	toPawl   = "pawl"
)

// endpointRig is a server, if there is one, and a Node app.
type endpointRig struct {
	rig
	app *child
	url string // of the endpoint, host:port
}

// runEndpoint measures and reports.
func runEndpoint(ctx context.Context, s settings, rc rigConfig, r Report, log io.Writer) (EndpointReport, error) {
	out := EndpointReport{Report: r}
	if s.endpoint.requests > 0 {
		if err := installNode(ctx); err != nil {
			return out, err
		}
		for _, clients := range s.endpoint.clients {
			for _, to := range []string{toNobody, toStub, toPawl} {
				c, err := endpointCase(ctx, rc, to, clients, s.endpoint.requests)
				if err != nil {
					return out, fmt.Errorf("%d clients, %s: %w", clients, to, err)
				}
				fmt.Fprintf(log, "%d clients, %s: p50 %s ms, p99 %s ms\n", clients, to, millis(c.P50Micros), millis(c.P99Micros))
				out.Requests = append(out.Requests, c)
			}
		}
	}
	if err := measureReaders(ctx, s.endpoint, rc, &out, log); err != nil {
		return out, err
	}
	return out, nil
}

// installNode installs the SDK for the app, unless that was done with the same
// lock file.
func installNode(ctx context.Context) error {
	lock, err := os.ReadFile(filepath.Join(nodeDir, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("run this in the checkout: %w", err)
	}
	marker, want := filepath.Join(nodeDir, "node_modules", ".installed"), fmt.Sprintf("%x", sha256.Sum256(lock))
	got, err := os.ReadFile(marker)
	if err == nil && string(got) == want {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--silent")
	install.Dir = nodeDir
	if output, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("install the SDK (it needs Node 20): %w\n%s", err, output)
	}
	return os.WriteFile(marker, []byte(want), 0o644)
}

// startEndpoint starts a server of one kind and an app that reports to it.
func startEndpoint(ctx context.Context, rc rigConfig, to string) (r *endpointRig, err error) {
	r = &endpointRig{rig: rig{client: &http.Client{Timeout: 10 * time.Second}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stopAll())
		}
	}()
	env := []string{"INNGEST_DEV=0"}
	switch to {
	case toNobody:
		env = append(env, "BARE=1")
	case toStub:
		at, err := startURL(ctx, "stub", nil, &r.server, rc.self, "-mode", "stub")
		if err != nil {
			return r, err
		}
		r.addr, r.signKey = hostOf(at), "signkey-test-"+randomHex(32)
	case toPawl:
		if err := r.serve(ctx, rc); err != nil {
			return r, err
		}
	}
	if r.addr != "" {
		env = append(env, "INNGEST_BASE_URL=http://"+r.addr, "INNGEST_SIGNING_KEY="+r.signKey)
	}
	at, err := startURL(ctx, "app", env, &r.app, "node", filepath.Join(nodeDir, "app.mjs"))
	r.url = hostOf(at)
	return r, err
}

// startURL starts a process that says where it listens, and returns that.
func startURL(ctx context.Context, name string, env []string, c **child, path string, args ...string) (at string, err error) {
	said := make(chan string, 1)
	news := appNews{url: func(u string) { said <- u }}
	if *c, err = startChild(ctx, name, env, news.hear, path, args...); err != nil {
		return "", err
	}
	select {
	case at = <-said:
		return at, nil
	case <-(*c).gone:
		return "", (*c).failure()
	case <-time.After(startTimeout):
		return "", fmt.Errorf("%s did not listen in %v: %s", name, startTimeout, (*c).tail)
	}
}

// serve starts a server with an empty database.
func (r *rig) serve(ctx context.Context, rc rigConfig) (err error) {
	r.eventKey, r.signKey = "bench-"+randomHex(8), "signkey-test-"+randomHex(32)
	if r.dir, err = os.MkdirTemp(rc.dir, "rig-*"); err != nil {
		return fmt.Errorf("make a directory for the database: %w", err)
	}
	if r.addr, err = freeAddr(); err != nil {
		return err
	}
	args := []string{
		"serve", "--listen", r.addr, "--db", "sqlite:" + filepath.Join(r.dir, databaseFile),
		"--signing-key", r.signKey, "--event-key", r.eventKey, "--durability", rc.durability, "--log-level", "warn",
	}
	if rc.debug {
		if r.debug, err = freeAddr(); err != nil {
			return err
		}
		args = append(args, "--debug-listen", r.debug)
	}
	drop := func(out io.Reader) error { _, err := io.Copy(io.Discard, out); return err }
	if r.server, err = startChild(ctx, "server", nil, drop, rc.server, args...); err != nil {
		return err
	}
	late := time.After(startTimeout)
	for !r.healthy(ctx) {
		select {
		case <-r.server.gone:
			return r.server.failure()
		case <-late:
			return fmt.Errorf("the server was not healthy in %v; it said last: %s", startTimeout, r.server.tail)
		case <-time.After(startInterval):
		}
	}
	return nil
}

// stopAll ends what startEndpoint started, the app first, which may still report.
func (r *endpointRig) stopAll() error {
	var errs []error
	if r.app != nil {
		errs = append(errs, r.app.stop())
	}
	return errors.Join(append(errs, r.stop(false))...)
}

// serveStub answers reports at once and keeps nothing: what a request costs then is
// what the SDK costs. It is a program of its own, as the server is, until ctx or in
// ends.
func serveStub(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	go func() { // ends with the process: nothing can interrupt a read of stdin
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	srv := &http.Server{Handler: http.HandlerFunc(answerAtOnce), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	if _, err := fmt.Fprintf(out, "%shttp://%s/\n", wordURL, l.Addr()); err != nil {
		return fmt.Errorf("tell the driver: %w", err)
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func answerAtOnce(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // what it is, nobody wants to know
	w.Header().Set("Content-Type", "application/json")
	body := "{}"
	if r.URL.Path == "/v1/checkpoint" {
		body = `{"data":{"run_id":"01JQDAE4RQF8MBCR55T5AK4KXS","fn_id":"0f5d8f2e-0000-4000-8000-000000000000",` +
			`"app_id":"0f5d8f2e-0000-4000-8000-000000000001","token":"t","realtime_token":"t"},"metadata":{"fetched_at":"2026-01-02T03:04:05Z","cached_until":null}}`
	}
	_, _ = io.WriteString(w, body)
}

// endpointCase measures requests to an app that reports to one kind of server.
func endpointCase(ctx context.Context, rc rigConfig, to string, clients, requests int) (out EndpointCase, err error) {
	r, err := startEndpoint(ctx, rc, to)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.stopAll()) }()
	out = EndpointCase{Server: to, Clients: clients}
	if v, err := loadAverage(); err == nil {
		out.Load = &v
	}
	ask := func(n int, record func(time.Duration)) error {
		var next atomic.Int64
		failures := make(chan error, clients)
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				c := newConn(r.url, "")
				defer c.close()
				for i := next.Add(1); i <= int64(n); i = next.Add(1) {
					sent := time.Now()
					status, answer, err := c.do(ctx, "GET", fmt.Sprintf("/book?n=%d", i), nil)
					took := time.Since(sent)
					if err == nil && (status != http.StatusOK || string(answer) != fmt.Sprintf(`{"n":%d}`, i+2)) {
						err = fmt.Errorf("request %d: status %d: %s", i, status, firstBytes(answer))
					}
					if err != nil {
						failures <- err
						return
					}
					record(took)
				}
			})
		}
		all.Wait()
		select {
		case err := <-failures:
			return err
		default:
			return nil
		}
	}
	if err := ask(endpointWarmup, func(time.Duration) {}); err != nil {
		return out, err
	}
	latency := hdrhistogram.New(1, runTimeout.Microseconds(), latencyDigits)
	var mu sync.Mutex
	before := r.processorTime()
	began := time.Now()
	err = ask(requests, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		_ = latency.RecordValue(max(1, d.Microseconds())) // a request is cut off before the highest value
	})
	if err != nil {
		return out, err
	}
	out.PerSecond = float64(requests) / time.Since(began).Seconds()
	if used := difference(before, r.processorTime()); used != nil {
		v := *used / float64(requests) * 1000
		out.ServerCPU = &v
	}
	out.P50Micros, out.P99Micros, out.MaxMicros = latency.ValueAtQuantile(50), latency.ValueAtQuantile(99), latency.Max()
	if to == toPawl {
		out.Problems = r.checkRuns(ctx, endpointWarmup+requests)
	}
	return out, nil
}

// processorTime is what the server has used, in seconds; nil without one.
func (r *rig) processorTime() *float64 {
	if r.server == nil {
		return nil
	}
	d, err := cpuTime(r.server.pid())
	if err != nil {
		return nil
	}
	v := d.Seconds()
	return &v
}

// checkRuns wants each request to have been one run, which has completed with its
// three steps. It stops the server.
func (r *rig) checkRuns(ctx context.Context, want int) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if err := r.drained(ctx); err != nil {
		say("%v", err)
		return problems
	}
	some, err := r.runs(ctx, "/v1/runs?limit=100")
	if err != nil {
		say("%v", err)
	}
	for _, run := range some {
		b, err := r.get(ctx, r.addr, "/v1/runs/"+run.ID+"/steps")
		if err != nil {
			say("%v", err)
			break
		}
		if n := strings.Count(string(b), `"status":"completed"`); n != stepsOfRun {
			say("run %s has %d steps that have completed, want %d", run.ID, n, stepsOfRun)
			break // the others tell the same
		}
	}
	if err := r.server.stop(); err != nil {
		say("%v", err)
	}
	if n, err := countRuns(ctx, r.dir, durable.Completed); err != nil || n != want {
		say("%d requests are %d runs that have completed (%v)", want, n, err)
	}
	return problems
}

// added is what a case costs more than another with as many clients.
func (e *EndpointReport) added(c EndpointCase, than string) (p50, p99 string) {
	i := slices.IndexFunc(e.Requests, func(o EndpointCase) bool { return o.Server == than && o.Clients == c.Clients })
	if i < 0 || c.Server == than {
		return "–", "–"
	}
	o := e.Requests[i]
	return millis(c.P50Micros - o.P50Micros), millis(c.P99Micros - o.P99Micros)
}

// problems are those of all cases.
func (e *EndpointReport) problems() (all []string) {
	for _, c := range e.Requests {
		for _, p := range c.Problems {
			all = append(all, fmt.Sprintf("%d clients: %s", c.Clients, p))
		}
	}
	if e.Readers != nil {
		all = append(all, e.Readers.Problems...)
	}
	return all
}

// endpointCommand is what repeats a report of mode endpoint.
func (s settings) endpointCommand() string {
	clients := make([]string, len(s.endpoint.clients))
	for i, n := range s.endpoint.clients {
		clients[i] = fmt.Sprint(n)
	}
	text := fmt.Sprintf("go run ./bench -mode endpoint -requests %d -inflight %s -samples %d -readers %d -idle %v -durability %s",
		s.endpoint.requests, strings.Join(clients, ","), s.endpoint.samples, s.endpoint.readers, s.endpoint.idle, s.durability)
	if s.write != "" {
		text += " -write " + published(s.write)
	}
	return text
}

package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	mode       string
	serverAddr string

	cases      []Case
	duration   time.Duration
	warmup     time.Duration
	durability string
	binary     string
	dir        string
	pprof      string
	write      string
	json       bool
	keep       bool
	strace     bool

	waits    waitsConfig    // of mode waits
	endpoint endpointConfig // of mode endpoint
	flow     flowConfig     // of mode flow
	realtime realtimeConfig // of mode realtime
	embedded embeddedConfig // of mode embedded
	page     pageConfig     // of mode page
}

// Bounds of the flags.
const (
	maxDuration = 10 * time.Minute
	maxInFlight = 1024
)

// errProblems means that a case ran but not all was as promised.
var errProblems = errors.New("not all was as promised")

func main() {
	s, err := parseFlags(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	switch s.mode {
	case "app":
		err = serveApp(ctx, s.serverAddr, os.Stdin, os.Stdout)
	case "stub":
		err = serveStub(ctx, os.Stdin, os.Stdout)
	default:
		err = drive(ctx, s, os.Stdout, os.Stderr)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parseFlags reads the command line; help and errors of its form go to out.
func parseFlags(args []string, out io.Writer) (settings, error) {
	var s settings
	var which, inFlight, waiting, readers, queues string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&which, "cases", "accept,batch,steps,plain", "kinds of case to run")
	f.StringVar(&inFlight, "inflight", "", "numbers of clients for every kind, such as 1,16 (default: each kind's own)")
	f.DurationVar(&s.duration, "duration", 10*time.Second, "time that counts, for each case")
	f.DurationVar(&s.warmup, "warmup", 2*time.Second, "time before it that does not count")
	f.StringVar(&s.durability, "durability", "full", "durability of the server")
	f.StringVar(&s.binary, "server-binary", "", "run this pawl instead of building ./cmd/pawl")
	f.StringVar(&s.dir, "dir", "", "directory for the databases; its disk is what is measured (default: the temporary directory)")
	f.StringVar(&s.pprof, "pprof", "", "write a CPU profile of the server for each case into this directory; with -mode embedded: of the process, for each of -inflight")
	f.BoolVar(&s.strace, "strace", false, "count fsyncs with strace, which makes the server slower")
	f.BoolVar(&s.keep, "keep", false, "keep the databases and the built binary")
	f.BoolVar(&s.json, "json", false, "print JSON")
	f.StringVar(&s.write, "write", "", "also write the report as Markdown to this file")
	f.StringVar(&s.mode, "mode", "drive", "drive; waits: runs that rest; endpoint: durable endpoints; realtime: what is published; flow: flow control; embedded: an engine in one's own process; page: the dashboard in a browser, see README.md; or app and stub, which the others start by themselves")
	f.StringVar(&readers, "subscribers", "1,100,10000", "with -mode realtime: numbers of readers of what is published")
	f.IntVar(&s.realtime.samples, "messages", 500, "with -mode realtime: messages that count, for each of -subscribers")
	f.StringVar(&waiting, "waiting", "10,100000,1000000", "with -mode waits: numbers of waiting runs among which one is woken")
	f.IntVar(&s.waits.samples, "samples", 500, "with -mode waits: wake-ups that count, for each of -waiting; with -mode endpoint: results")
	f.IntVar(&s.waits.bulk, "bulk", 10_000, "with -mode waits: runs that are woken at once; 0 for none")
	f.IntVar(&s.waits.fans, "fan", 1000, "with -mode waits: functions that one event starts; 0 for none")
	f.IntVar(&s.waits.rests, "beside", 100_000, "with -mode waits: runs that rest beside those of -bulk and -fan, and that are due at a start; 0 for none")
	f.IntVar(&s.endpoint.requests, "requests", 3000, "with -mode endpoint: requests that count, of each case; 0 for none")
	f.IntVar(&s.endpoint.readers, "readers", 10_000, "with -mode endpoint: clients that wait at once, each for a result; 0 for none")
	f.DurationVar(&s.endpoint.idle, "idle", 30*time.Second, "with -mode endpoint: time over which the processor time is taken that those cost")
	f.StringVar(&queues, "queues", "128/128,1000000/10000,1000000/1000000", "with -mode flow: numbers of waiting runs and of their keys among which runs are served")
	f.IntVar(&s.flow.probes, "probes", 500, "with -mode flow: runs of other keys beside those of -hot; 0 for none")
	f.IntVar(&s.flow.hot, "hot", 1_000_000, "with -mode flow: runs of one key that wait")
	f.IntVar(&s.flow.rate, "rate", 400, "with -mode flow: events a second before and after a burst")
	f.IntVar(&s.flow.times, "times", 10, "with -mode flow: a burst is so many times as many")
	f.DurationVar(&s.flow.burst, "burst", time.Minute, "with -mode flow: how long a burst lasts; 0s for none")
	f.IntVar(&s.flow.limit, "limit", 500, "with -mode flow: runs a second that the app declares to take")
	f.IntVar(&s.flow.atOnce, "atonce", 32, "with -mode flow: requests at once that it declares to take")
	f.DurationVar(&s.flow.call, "call", 20*time.Millisecond, "with -mode flow: time that a request takes in a burst")
	f.IntVar(&s.flow.backlog, "backlog", 50_000, "with -mode flow: --max-backlog of the burst that is refused in part")
	f.IntVar(&s.page.runs, "runs", 1_000_000, "with -mode page: runs in the store")
	f.IntVar(&s.page.rows, "rows", 100_000, "with -mode page: rows that are scrolled through")
	f.IntVar(&s.page.steps, "longest", 10_000, "with -mode page: steps of the longest run")
	f.StringVar(&s.serverAddr, "server", "", "with -mode app: host:port of the server")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if f.NArg() > 0 {
		bad("unexpected argument %q", f.Arg(0))
	}
	switch s.mode {
	case "drive", "stub":
	case "waits":
		if s.waits.samples < 1 || s.waits.samples > 1_000_000 {
			bad("-samples is %d; want 1 to 1000000", s.waits.samples)
		}
		for name, n := range map[string]int{"bulk": s.waits.bulk, "fan": s.waits.fans, "beside": s.waits.rests} {
			if n < 0 || n > maxRests {
				bad("-%s is %d; want 0 to %d", name, n, maxRests)
			}
		}
	case "endpoint":
		s.endpoint.samples = s.waits.samples
		for name, n := range map[string][2]int{"requests": {s.endpoint.requests, maxRequests}, "samples": {s.endpoint.samples, maxRequests}, "readers": {s.endpoint.readers, maxReaders}} {
			if n[0] < 0 || n[0] > n[1] {
				bad("-%s is %d; want 0 to %d", name, n[0], n[1])
			}
		}
		if s.endpoint.idle < time.Second || s.endpoint.idle > maxDuration {
			bad("-idle is %v; want 1s to %v", s.endpoint.idle, maxDuration)
		}
	case "embedded":
		if s.endpoint.requests < 1 || s.endpoint.requests > maxRequests {
			bad("-requests is %d; want 1 to %d", s.endpoint.requests, maxRequests)
		}
	case "page":
		if s.page.runs < 1000 || s.page.runs > maxPageRuns || s.page.rows < 100 || s.page.rows > s.page.runs || s.page.steps < 1 || s.page.steps > maxPageSteps {
			bad("-runs, -rows and -longest are %d, %d and %d; want 1000 to %d, 100 to -runs, and 1 to %d", s.page.runs, s.page.rows, s.page.steps, maxPageRuns, maxPageSteps)
		}
	case "realtime":
		if s.realtime.samples < 1 || s.realtime.samples > 1_000_000 {
			bad("-messages is %d; want 1 to 1000000", s.realtime.samples)
		}
	case "flow":
		for name, n := range map[string][3]int{
			"probes": {s.flow.probes, 0, 1_000_000}, "hot": {s.flow.hot, 1, maxFlowEvents}, "rate": {s.flow.rate, 1, 100_000}, "times": {s.flow.times, 1, 1000},
			"limit": {s.flow.limit, 1, 100_000}, "atonce": {s.flow.atOnce, 1, 1000}, "backlog": {s.flow.backlog, 1, maxFlowEvents},
		} {
			if n[0] < n[1] || n[0] > n[2] {
				bad("-%s is %d; want %d to %d", name, n[0], n[1], n[2])
			}
		}
		if s.flow.burst < 0 || s.flow.burst > maxDuration {
			bad("-burst is %v; want 0s to %v", s.flow.burst, maxDuration)
		}
		if s.flow.call < 0 || s.flow.call > time.Minute {
			bad("-call is %v; want 0s to 1m", s.flow.call)
		}
	case "app":
		if s.serverAddr == "" {
			bad("-mode app needs -server")
		}
	default:
		bad("-mode is %q; want drive, waits, endpoint, realtime, flow, embedded, page or app", s.mode)
	}
	if s.duration < 100*time.Millisecond || s.duration > maxDuration {
		bad("-duration is %v; want 100ms to %v", s.duration, maxDuration)
	}
	if s.warmup < 0 || s.warmup > maxDuration {
		bad("-warmup is %v; want 0s to %v", s.warmup, maxDuration)
	}
	var err error
	if s.cases, err = parseCases(which, inFlight); err != nil {
		errs = append(errs, err)
	}
	if s.flow.queues, err = parseQueues(queues); err != nil {
		errs = append(errs, err)
	}
	usual := inFlight == ""
	if usual {
		inFlight = "1,16"
	}
	for _, text := range strings.FieldsFunc(inFlight, isComma) {
		if n, err := strconv.Atoi(text); err == nil { // parseCases has complained otherwise
			s.endpoint.clients = append(s.endpoint.clients, n)
		}
	}
	s.embedded = embeddedConfig{inFlight: s.endpoint.clients, duration: s.duration, warmup: s.warmup, requests: s.endpoint.requests}
	if usual {
		s.embedded.inFlight = []int{1, 16, 128}
	}
	for _, text := range strings.FieldsFunc(waiting, isComma) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRests {
			bad("-waiting has %q; want numbers from 1 to %d", text, maxRests)
		}
		s.waits.sizes = append(s.waits.sizes, n)
	}
	for _, text := range strings.FieldsFunc(readers, isComma) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxReaders {
			bad("-subscribers has %q; want numbers from 1 to %d", text, maxSubscribers)
		}
		s.realtime.readers = append(s.realtime.readers, n)
	}
	return s, errors.Join(errs...)
}

// parseCases makes the list of cases from the flags.
func parseCases(which, inFlight string) ([]Case, error) {
	var all []int
	for _, text := range strings.FieldsFunc(inFlight, isComma) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxInFlight {
			return nil, fmt.Errorf("-inflight has %q; want numbers from 1 to %d", text, maxInFlight)
		}
		all = append(all, n)
	}
	wanted := strings.FieldsFunc(which, isComma)
	var cases []Case
	for _, k := range kinds {
		at := slices.Index(wanted, string(k.kind))
		if at < 0 {
			continue
		}
		wanted = slices.Delete(wanted, at, at+1)
		numbers := all
		if len(numbers) == 0 {
			numbers = k.inFlight
		}
		for _, n := range numbers {
			cases = append(cases, Case{k.kind, n})
		}
	}
	if len(wanted) > 0 || len(cases) == 0 {
		return nil, fmt.Errorf("-cases is %q; want some of accept, batch, steps and plain", which)
	}
	return cases, nil
}

func isComma(r rune) bool { return r == ',' || r == ' ' }

// drive measures the disk, then runs each case, and reports. What a case got
// wrong is in the report and makes the error errProblems.
func drive(ctx context.Context, s settings, out, log io.Writer) (err error) {
	work, err := os.MkdirTemp(s.dir, "pawl-bench-*")
	if err != nil {
		return fmt.Errorf("make a directory to work in: %w", err)
	}
	if s.keep {
		fmt.Fprintln(log, "databases are kept in", work)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	}
	if s.pprof != "" {
		if err := os.MkdirAll(s.pprof, 0o755); err != nil {
			return fmt.Errorf("make the directory for profiles: %w", err)
		}
	}
	if s.mode == "embedded" {
		return driveEmbedded(ctx, s, work, out, log)
	}
	built := s.binary == ""
	if built {
		s.binary = filepath.Join(work, "pawl")
		build := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "github.com/pawlhq/pawl/cmd/pawl")
		if output, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build pawl (run this in its checkout): %w\n%s", err, output)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	info, err := buildinfo.ReadFile(s.binary)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.binary, err)
	}
	commit := commitOf(info)
	if built && commit == commitUnknown { // built with -buildvcs=false
		commit = checkoutCommit(ctx)
	}
	r := Report{Time: time.Now(), Command: s.command(), Durability: s.durability, Duration: s.duration}
	r.machine(work, commit)
	if r.Disk, err = measureDisk(ctx, work, time.Second); err != nil {
		return err
	}
	fmt.Fprintf(log, "fdatasync alone: p50 %s ms, p99 %s ms\n", millis(r.Disk.P50Micros), millis(r.Disk.P99Micros))
	rc := rigConfig{server: s.binary, self: self, dir: work, durability: s.durability, debug: s.pprof != "", pprof: s.pprof, keep: s.keep}
	if s.mode == "waits" {
		r.Command = s.waitsCommand()
		w, err := runWaits(ctx, s, rc, r, log)
		if err != nil {
			return err
		}
		return w.publish(s, out)
	}
	if s.mode == "endpoint" {
		r.Command = s.endpointCommand()
		e, err := runEndpoint(ctx, s, rc, r, log)
		if err != nil {
			return err
		}
		return e.publish(s, out)
	}
	if s.mode == "flow" {
		r.Command = s.flowCommand()
		w, err := runFlow(ctx, s, rc, r, log)
		if err != nil {
			return err
		}
		return w.publish(s, out)
	}
	if s.mode == "page" {
		r.Command = s.pageCommand()
		w, err := runPage(ctx, s, rc, r, log)
		if len(w.Figures) == 0 {
			return err
		}
		return errors.Join(w.publish(s, out), err)
	}
	if s.mode == "realtime" {
		r.Command = s.realtimeCommand()
		w, err := runRealtime(ctx, s, rc, r, log)
		if err != nil {
			return err
		}
		return w.publish(s, out)
	}
	cfg := caseConfig{
		rig:    rc,
		warmup: s.warmup, duration: s.duration, strace: s.strace, pprof: s.pprof, keep: s.keep,
	}
	for _, c := range s.cases {
		res, err := runCase(ctx, c, cfg)
		if err != nil {
			return fmt.Errorf("case %s: %w", c, err)
		}
		fmt.Fprintf(log, "%s: %.0f/s, p50 %s ms, p99 %s ms\n", c, res.PerSecond(), millis(res.P50Micros), millis(res.P99Micros))
		r.Results = append(r.Results, res)
	}
	return r.publish(s, out)
}

// publish prints the report, writes the page, and says whether all was right.
func (r *Report) publish(s settings, out io.Writer) error {
	print := r.writeText
	if s.json {
		print = func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(r)
		}
	}
	if err := print(out); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if s.write != "" {
		var page strings.Builder
		if err := r.writeMarkdown(&page); err != nil {
			return err
		}
		if err := writePart(s.write, page.String()); err != nil {
			return err
		}
	}
	if n := len(r.problems()); n > 0 {
		return fmt.Errorf("%w: %d problems", errProblems, n)
	}
	return nil
}

// command is what repeats this report, without paths of this machine.
func (s settings) command() string {
	names := make([]string, len(s.cases))
	for i, c := range s.cases {
		names[i] = c.String()
	}
	text := fmt.Sprintf("go run ./bench -duration %v -warmup %v -durability %s", s.duration, s.warmup, s.durability)
	if s.strace {
		text += " -strace"
	}
	if s.write != "" {
		text += " -write " + published(s.write)
	}
	return text + " (cases " + strings.Join(names, " ") + ")"
}

// published is a path as it may be printed in a page: relative, or only its name.
func published(path string) string {
	if filepath.IsAbs(path) {
		path = filepath.Base(path)
	}
	return filepath.ToSlash(path)
}

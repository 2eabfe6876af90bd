package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Mode flow measures flow control: what runs that wait behind limits cost, whether
// keys delay each other, and what a burst does that the app cannot take.

// Bounds of mode flow.
const (
	flowWarmup    = 2 * time.Second
	flowSenders   = 4  // who replace runs that have ended
	flowReplace   = 64 // events in each of their requests, at most
	flowClients   = 64 // who send the events of a burst
	flowSteady    = 10 * time.Second
	flowSample    = 250 * time.Millisecond
	flowPatient   = 30 * time.Minute // for a backlog to drain
	flowStuck     = 2 * time.Minute  // nothing ends for so long: it does not drain
	maxFlowEvents = 5_000_000
	flowHot       = "hot"
	probeWarmup   = 20
)

// maxFlowMemory is what a server may have resident in mode flow, whatever waits.
const maxFlowMemory = 256 << 20

// flowConfig is what mode flow measures.
type flowConfig struct {
	queues   []flowQueue
	probes   int // of each queue of one key; 0 for none
	hot      int // runs of that key
	rate     int // events a second that the app can take
	times    int // the burst is so many times as many
	burst    time.Duration
	limit    int // starts a second that the app declares
	atOnce   int // requests at once that it declares
	call     time.Duration
	backlog  int // --max-backlog of the burst that is refused in part
	duration time.Duration
}

// flowQueue is a number of runs that wait, evenly over keys.
type flowQueue struct{ waiting, keys int }

func (q flowQueue) String() string { return fmt.Sprintf("%d/%d", q.waiting, q.keys) }

// parseQueues reads a list such as 128/128,1000000/10000.
func parseQueues(text string) (list []flowQueue, err error) {
	for _, part := range strings.FieldsFunc(text, isComma) {
		n, k, ok := strings.Cut(part, "/")
		var q flowQueue
		var err, err2 error
		q.waiting, err = strconv.Atoi(n)
		q.keys, err2 = strconv.Atoi(k)
		if !ok || err != nil || err2 != nil || q.keys < 1 || q.waiting < q.keys || q.waiting > maxFlowEvents {
			return nil, fmt.Errorf("-queues has %q; want runs/keys, such as 1000000/10000, of at most %d runs", part, maxFlowEvents)
		}
		list = append(list, q)
	}
	return list, nil
}

// FlowReport is what mode flow measured.
type FlowReport struct {
	Report
	Queues []FlowAtQueue
	Probes []FlowProbes
	Bursts []FlowBurst
}

// FlowAtQueue is what was measured with so many runs waiting.
type FlowAtQueue struct {
	Waiting, Keys int
	FileBytes     int64
	StartMicros   int64 // of the server, until it is healthy
	FirstMicros   int64 // until the app has the first request
	PerSecond     float64
	CPU           *float64 // s for 1,000 runs
	PeakBytes     *int64   // of the server's memory
	Load          *float64
	Problems      []string
}

// FlowProbes is how runs of other keys fare beside one key.
type FlowProbes struct {
	Waiting   int   // of that key
	P50Micros int64 // from sending the event to the run's request
	P99Micros int64
	MaxMicros int64
	Between   int // requests of that key that began after a probe was accepted and before its own, at most
	Load      *float64
}

// FlowBurst is what a burst did.
type FlowBurst struct {
	What       string
	PerSecond  float64 // accepted while it lasted
	Accepted   int
	Refused    int
	P50Micros  int64 // of an acknowledgement while it lasted, from when it was to be sent
	P99Micros  int64
	MaxMicros  int64
	Starts     int // the most in any second
	MayStart   int
	AtOnce     int // requests, the most
	Before     *int64
	PeakBytes  *int64
	After      *int64
	FileBytes  int64 // when all was over
	DrainedIn  time.Duration
	Lost       int // accepted, and no run of it has completed
	Repeated   int // calls for what had been done already
	Attempts   int // calls that said that others had failed before
	Load       *float64
	Problems   []string
	BackMicros int64 // from when the app was back until its first request; 0 when it was never away
}

// runFlow measures and reports.
func runFlow(ctx context.Context, s settings, rc rigConfig, r Report, log io.Writer) (FlowReport, error) {
	out := FlowReport{Report: r}
	c := s.flow
	c.duration = s.duration
	for _, q := range c.queues {
		at, err := flowAt(ctx, c, rc, q, log)
		if err != nil {
			return out, fmt.Errorf("%s runs and keys: %w", q, err)
		}
		out.Queues = append(out.Queues, at)
	}
	if c.probes > 0 {
		for _, hot := range []int{0, c.hot} {
			p, err := flowProbes(ctx, c, rc, hot, log)
			if err != nil {
				return out, fmt.Errorf("probes beside %d: %w", hot, err)
			}
			out.Probes = append(out.Probes, p)
		}
	}
	if c.burst > 0 {
		for _, kind := range []burstKind{{what: "the app takes what it declares"}, {what: "with --max-backlog", backlog: c.backlog}, {what: "the app is away meanwhile", away: true}} {
			b, err := flowBurst(ctx, c, rc, kind, log)
			if err != nil {
				return out, fmt.Errorf("burst, %s: %w", kind.what, err)
			}
			out.Bursts = append(out.Bursts, b)
		}
	}
	return out, nil
}

// flowRig is a server, and the app of mode flow.
type flowRig struct {
	rig
	rc    rigConfig
	app   *flowApp
	extra []string // flags of the server
}

// startFlow starts a server that knows the function of the app, with runs of it in
// its database. The first requests may come before it returns.
func startFlow(ctx context.Context, rc rigConfig, app *flowApp, options string, extra []string, fillings ...flowFilling) (r *flowRig, at FlowAtQueue, err error) {
	r = &flowRig{rc: rc, app: app, extra: extra, rig: rig{
		client: &http.Client{Timeout: 10 * time.Second}, eventKey: "bench-" + randomHex(8), signKey: "signkey-test-" + randomHex(32),
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stopAll())
		}
	}()
	if r.dir, err = os.MkdirTemp(rc.dir, "rig-*"); err != nil {
		return r, at, fmt.Errorf("make a directory for the database: %w", err)
	}
	if r.addr, err = freeAddr(); err != nil {
		return r, at, err
	}
	if rc.debug {
		if r.debug, err = freeAddr(); err != nil {
			return r, at, err
		}
	}
	if _, err := r.launch(ctx, rc, extra...); err != nil {
		return r, at, err
	}
	if err := app.register(ctx, r.addr, r.signKey, options); err != nil {
		return r, at, err
	}
	if len(fillings) == 0 {
		return r, at, nil
	}
	if err := r.server.stop(); err != nil {
		return r, at, err
	}
	if err := fillFlow(ctx, r.dir, fillings...); err != nil {
		return r, at, err
	}
	at.FileBytes = fileBytes(r.dir)
	began := time.Now()
	took, err := r.launch(ctx, rc, extra...)
	if err != nil {
		return r, at, err
	}
	at.StartMicros = took.Microseconds()
	select {
	case first := <-app.first:
		at.FirstMicros = first.Sub(began).Microseconds()
	case <-time.After(waitsPatient):
		return r, at, fmt.Errorf("no request came in %v: %s", waitsPatient, r.server.tail)
	case <-ctx.Done():
		return r, at, ctx.Err()
	}
	return r, at, nil
}

// roomFor lets more runs wait than those that there are.
func roomFor(waiting int) []string {
	return []string{"--max-backlog", strconv.Itoa(2*waiting + 10_000)}
}

func (r *flowRig) stopAll() error { return errors.Join(r.stop(r.rc.keep), r.app.stop()) }

// flowAt measures how many runs a second are served while so many wait: each that
// has ended is replaced by one of its key.
func flowAt(ctx context.Context, c flowConfig, rc rigConfig, q flowQueue, log io.Writer) (out FlowAtQueue, err error) {
	app, err := startFlowApp(0, 0)
	if err != nil {
		return out, err
	}
	ended := make(chan string, 1<<14)
	app.ended = func(key string) {
		select {
		case ended <- key:
		default: // the senders are behind; fewer wait then
		}
	}
	var keys []string
	for i := range q.keys {
		keys = append(keys, strconv.Itoa(i))
	}
	r, out, err := startFlow(ctx, rc, app, `"concurrency":{"limit":1,"key":"event.data.k"}`, roomFor(q.waiting), flowFilling{n: q.waiting, keys: keys})
	if err != nil {
		return out, err
	}
	stop, cancel := context.WithCancel(ctx)
	failed := make(chan error, flowSenders)
	var senders sync.WaitGroup
	for range flowSenders {
		senders.Go(func() {
			if err := r.replace(stop, ended); err != nil && stop.Err() == nil {
				failed <- err
			}
		})
	}
	defer func() {
		cancel()
		senders.Wait()
		err = errors.Join(err, r.stopAll())
	}()
	out.Waiting, out.Keys = q.waiting, q.keys
	pause(ctx, flowWarmup)
	if v, err := loadAverage(); err == nil {
		out.Load = &v
	}
	profiled := func() error { return nil }
	if r.debug != "" {
		path := filepath.Join(rc.pprof, "flow_"+strings.ReplaceAll(q.String(), "/", "_")+".pprof")
		done := make(chan error, 1)
		go func() { done <- r.saveProfile(ctx, int(c.duration.Seconds()), path) }()
		profiled = func() error { return <-done }
	}
	before, cpu, began := app.calls.Load(), r.processorTime(), time.Now()
	select {
	case <-time.After(c.duration):
	case err := <-failed:
		return out, err
	case <-r.server.gone:
		return out, r.server.failure()
	case <-ctx.Done():
		return out, ctx.Err()
	}
	n := app.calls.Load() - before
	out.PerSecond = float64(n) / time.Since(began).Seconds()
	if used := difference(cpu, r.processorTime()); used != nil && n > 0 {
		v := *used / float64(n) * 1000
		out.CPU = &v
	}
	if v, err := peakMemory(r.server.pid()); err == nil {
		out.PeakBytes = &v
		if v > maxFlowMemory {
			out.Problems = append(out.Problems, fmt.Sprintf("%s waiting: the server had %s MB resident, more than %d", q, mega(&v), maxFlowMemory>>20))
		}
	}
	if r.debug != "" {
		if err := r.saveHeap(ctx, filepath.Join(rc.pprof, "flow_"+strings.ReplaceAll(q.String(), "/", "_")+"-heap.pprof")); err != nil {
			return out, err
		}
	}
	if n := app.overlaps.Load(); n > 0 {
		out.Problems = append(out.Problems, fmt.Sprintf("%s waiting: %d times two runs of one key were called at once", q, n))
	}
	fmt.Fprintf(log, "%s waiting: %.0f runs/s, start %s ms, first request %s ms, peak %s MB\n", q, out.PerSecond, millis(out.StartMicros), millis(out.FirstMicros), mega(out.PeakBytes))
	return out, errors.Join(profiled())
}

// replace sends an event for each key of a run that has ended.
func (r *flowRig) replace(ctx context.Context, ended <-chan string) error {
	c := newConn(r.addr, "")
	defer c.close()
	for {
		var events []string
		select {
		case k := <-ended:
			events = append(events, flowEventOf(0, k))
		case <-ctx.Done():
			return nil
		}
	more:
		for len(events) < flowReplace {
			select {
			case k := <-ended:
				events = append(events, flowEventOf(0, k))
			default:
				break more
			}
		}
		status, answer, err := c.do(ctx, "POST", "/e/"+r.eventKey, []byte("["+strings.Join(events, ",")+"]"))
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("POST events: status %d: %s", status, firstBytes(answer))
		}
		if err != nil {
			return err
		}
	}
}

// flowProbes measures how long a run of another key waits while one key has so many
// waiting, and all share one slot.
func flowProbes(ctx context.Context, c flowConfig, rc rigConfig, hot int, log io.Writer) (out FlowProbes, err error) {
	app, err := startFlowApp(0, time.Millisecond)
	if err != nil {
		return out, err
	}
	came := make(chan flowCall, 16)
	app.began = func(call flowCall) {
		if call.key != flowHot {
			came <- call
		}
	}
	var fillings []flowFilling
	if hot > 0 {
		fillings = append(fillings, flowFilling{n: hot, keys: []string{flowHot}})
	}
	r, _, err := startFlow(ctx, rc, app, `"concurrency":[{"limit":1},{"limit":1,"key":"event.data.k"}]`, roomFor(hot), fillings...)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.stopAll()) }()
	out.Waiting = hot
	if v, err := loadAverage(); err == nil {
		out.Load = &v
	}
	conn := newConn(r.addr, "")
	defer conn.close()
	latency := newHistogram()
	for i := range probeWarmup + c.probes {
		sent := time.Now()
		status, answer, err := conn.do(ctx, "POST", "/e/"+r.eventKey, []byte(flowEventOf(int64(i), "probe"+strconv.Itoa(i))))
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("POST an event: status %d: %s", status, firstBytes(answer))
		}
		if err != nil {
			return out, err
		}
		accepted := time.Now()
		select {
		case call := <-came:
			if i < probeWarmup {
				continue
			}
			_ = latency.RecordValue(max(1, call.at.Sub(sent).Microseconds())) // it ends below the highest value
			out.Between = max(out.Between, app.hotBetween(accepted, call.at))
		case <-r.server.gone:
			return out, r.server.failure()
		case <-time.After(waitsPatient):
			return out, fmt.Errorf("probe %d was not called in %v", i, waitsPatient)
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
	out.P50Micros, out.P99Micros, out.MaxMicros = latency.ValueAtQuantile(50), latency.ValueAtQuantile(99), latency.Max()
	fmt.Fprintf(log, "probes beside %d: p50 %s ms, p99 %s ms, at most %d others between\n", hot, millis(out.P50Micros), millis(out.P99Micros), out.Between)
	return out, nil
}

// burstKind is one way in which a burst is met.
type burstKind struct {
	what    string
	backlog int  // --max-backlog; 0: the usual one
	away    bool // the app is not there while it lasts
}

// flowBurst sends events at a rate that the app can take, then many times as many,
// then as before, and waits until all runs have ended.
func flowBurst(ctx context.Context, c flowConfig, rc rigConfig, kind burstKind, log io.Writer) (out FlowBurst, err error) {
	steady := int(flowSteady.Seconds()) * c.rate
	n := 2*steady + int(c.burst.Seconds()*float64(c.rate*c.times))
	app, err := startFlowApp(n, c.call)
	if err != nil {
		return out, err
	}
	var extra []string
	out.What = kind.what
	if kind.backlog > 0 {
		extra = append(extra, "--max-backlog", strconv.Itoa(kind.backlog))
		out.What += " " + strconv.Itoa(kind.backlog)
	}
	options := fmt.Sprintf(`"throttle":{"limit":%d,"period":"1s"},"concurrency":%d`, c.limit, c.atOnce)
	r, _, err := startFlow(ctx, rc, app, options, extra)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, r.stopAll()) }()
	if v, err := loadAverage(); err == nil {
		out.Load = &v
	}
	out.Before = resident(r.server.pid())
	watching := r.watchMemory(ctx)

	l := newFlowLoad(r, n)
	var back time.Time
	err = l.run(ctx, []flowPhase{{rate: c.rate, d: flowSteady}, {rate: c.rate * c.times, d: c.burst, counts: true}, {rate: c.rate, d: flowSteady}}, func(phase int) error { //nolint:contextcheck // the app ends in its own time
		switch {
		case kind.away && phase == 1:
			return app.leave()
		case kind.away && phase == 2:
			back = time.Now()
			return app.comeBack()
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	sent := time.Now()
	if err := r.drains(ctx, app, l.accepted()); err != nil {
		out.Problems = append(out.Problems, err.Error())
	}
	out.DrainedIn = time.Since(sent)
	pause(ctx, idlePause)
	peak := watching()
	out.PeakBytes, out.After, out.FileBytes = &peak, resident(r.server.pid()), fileBytes(r.dir)
	l.report(&out, c.burst)
	app.report(&out, l, c, back)
	if peak > maxFlowMemory {
		out.Problems = append(out.Problems, fmt.Sprintf("the server had %s MB resident, more than %d", mega(&peak), maxFlowMemory>>20))
	}
	if err := r.server.stop(); err != nil {
		return out, err
	}
	left, err := unfinished(ctx, r.dir)
	if err != nil {
		return out, err
	}
	if left > 0 {
		out.Problems = append(out.Problems, fmt.Sprintf("%d runs have not completed", left))
	}
	fmt.Fprintf(log, "burst, %s: accepted %d, refused %d, p99 %s ms, %d starts in a second, peak %s MB, lost %d\n",
		out.What, out.Accepted, out.Refused, millis(out.P99Micros), out.Starts, mega(out.PeakBytes), out.Lost)
	for _, p := range out.Problems {
		fmt.Fprintln(log, "WRONG:", p)
	}
	return out, nil
}

// watchMemory notes the most that the server has resident until its result is
// called.
func (r *flowRig) watchMemory(ctx context.Context) (peak func() int64) {
	ctx, stop := context.WithCancel(ctx)
	most := make(chan int64, 1)
	go func() {
		var m int64
		tick := time.NewTicker(flowSample)
		defer tick.Stop()
		for {
			if v := resident(r.server.pid()); v != nil {
				m = max(m, *v)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				most <- m
				return
			}
		}
	}()
	return func() int64 {
		stop()
		return <-most
	}
}

// drains waits until the app has ended as many runs as were accepted.
func (r *flowRig) drains(ctx context.Context, app *flowApp, accepted int) error {
	last, since := -1, time.Now()
	for end := time.Now().Add(flowPatient); time.Now().Before(end); {
		done := app.distinct()
		switch {
		case done >= accepted:
			return nil
		case done != last:
			last, since = done, time.Now()
		case time.Since(since) > flowStuck:
			return fmt.Errorf("%d of %d runs were called, and none for %v", done, accepted, flowStuck)
		}
		select {
		case <-time.After(flowSample):
		case <-r.server.gone:
			return r.server.failure()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("the backlog did not drain in %v", flowPatient)
}

// mostIn is the most of sorted times that lie in any window of a length.
func mostIn(times []time.Time, window time.Duration) (most int) {
	from := 0
	for to := range times {
		for times[to].Sub(times[from]) >= window {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Of the functions of TestKillFlow.
const (
	flowGrace     = time.Second // after which what an operator sets must be seen
	ratePeriod    = 3 * time.Second
	quiet         = time.Second // of a debounce
	quietAtMost   = 4 * time.Second
	batchSize     = 4
	batchTimeout  = time.Second
	throttleEvery = 1500 * time.Millisecond
	throttleBurst = 2
)

// flowData is the data of an event.
type flowData struct {
	N int    `json:"n"` // which one of its function and key
	K string `json:"k"` // the key
	V string `json:"v"` // a value that comes several times
	P int    `json:"p"` // the priority in seconds
	T string `json:"t"` // the tenant, whom several functions serve
	// Meet is where its first call waits for others, until there are as many as Of.
	Meet string `json:"meet,omitempty"`
	Of   int    `json:"of,omitempty"`
}

// flowFn is a function of TestKillFlow and what is sent to it.
type flowFn struct {
	settings op
	steps    []string // a name alone is worked; "nap" sleeps for a while
	falters  bool     // the first call of some runs fails
	atOnce   bool     // the steps are run in one call, each reported by a checkpoint
	senders  int      // each sends events of a key of its own
	burst    int      // events in a request, at most
	pause    int      // between requests, in milliseconds, at most
	// bounds hold for its calls, runs and names for its runs.
	bounds func(f *flow, d flowData) []bound
	runs   func(f *flow, d flowData) []bound
}

func perKey(name string, most int) func(*flow, flowData) []bound {
	return func(_ *flow, d flowData) []bound { return []bound{always(name+"/"+d.K, most)} }
}

// tenants is the concurrency that functions share.
var tenants = op{"limit": 2, "key": "event.data.t", "scope": "env"}

func ofTenant(d flowData) bound { return always("tenant/"+d.T, 2) }

// flowFns are the functions: each kind of flow control by itself, and together.
var flowFns = map[string]flowFn{
	"steps": {
		settings: op{"concurrency": stepLimits(3)}, steps: []string{"a", "nap", "b", "c"},
		senders: 4, burst: 3, pause: 1500,
		bounds: func(f *flow, d flowData) []bound {
			return []bound{always("steps/"+d.K, 1), {"steps", f.most("steps")}}
		},
	},
	"share": {
		settings: op{"concurrency": []op{tenants}}, steps: []string{"a", "b"}, senders: 2, burst: 3, pause: 700,
		bounds: func(_ *flow, d flowData) []bound { return []bound{ofTenant(d)} },
	},
	"partake": {
		settings: op{"concurrency": []op{tenants, {"limit": 3}}}, steps: []string{"a", "b", "c"}, atOnce: true,
		senders: 2, burst: 3, pause: 700,
		bounds: func(f *flow, d flowData) []bound { return []bound{ofTenant(d), {"partake", f.most("partake")}} },
	},
	"runs": {
		settings: op{"concurrency": op{"fn": []op{{"limit": 2, "key": "event.data.k"}}, "step": []op{{"limit": 2}}}},
		steps:    []string{"a", "nap", "b"}, senders: 2, burst: 3, pause: 1500,
		bounds: func(_ *flow, _ flowData) []bound { return []bound{always("runs", 2)} },
		runs:   perKey("runs", 2),
	},
	"throttle": {
		settings: op{"throttle": op{"limit": throttleBurst, "period": "3s", "key": "event.data.k"}, "concurrency": 2},
		steps:    []string{"a", "b"}, falters: true, senders: 2, burst: 3, pause: 10_000,
		bounds: func(_ *flow, _ flowData) []bound { return []bound{always("throttle", 2)} },
	},
	"rate": {
		settings: op{"rateLimit": op{"limit": 1, "period": "3s", "key": "event.data.k"}, "concurrency": 1},
		steps:    []string{"a"}, senders: 3, burst: 2, pause: 1500,
		bounds: func(_ *flow, _ flowData) []bound { return []bound{always("rate", 1)} },
	},
	"once": {
		settings: op{"idempotency": "event.data.v"}, steps: []string{"a"}, senders: 2, burst: 2, pause: 1000,
	},
	"debounce": {
		settings: op{"debounce": op{"period": "1s", "timeout": "4s", "key": "event.data.k"}, "concurrency": 1},
		steps:    []string{"a", "b"}, senders: 3, burst: 2, pause: 1800,
		bounds: func(_ *flow, _ flowData) []bound { return []bound{always("debounce", 1)} },
	},
	"batch": {
		settings: op{
			"batchEvents": op{"maxSize": batchSize, "timeout": "1s", "key": "event.data.k"},
			"concurrency": []op{{"limit": 1, "key": "event.data.k"}},
		},
		steps: []string{"a", "b"}, senders: 3, burst: 4, pause: 900, bounds: perKey("batch", 1),
	},
	"skip": {
		settings: op{"Singleton": op{"mode": "skip", "key": "event.data.k"}, "concurrency": 2},
		steps:    []string{"a", "nap", "b"}, senders: 3, burst: 1, pause: 900,
		bounds: func(_ *flow, _ flowData) []bound { return []bound{always("skip", 2)} },
		runs:   perKey("skip", 1),
	},
	"cancel": {
		settings: op{"Singleton": op{"mode": "cancel", "key": "event.data.k"}},
		steps:    []string{"a", "nap", "b", "c"}, senders: 3, burst: 2, pause: 1400, runs: perKey("cancel", 1),
	},
	"order": {
		settings: op{"priority": op{"run": "event.data.p"}, "concurrency": 1}, steps: []string{"a"},
		senders: 3, burst: 4, pause: 1500, bounds: func(_ *flow, _ flowData) []bound { return []bound{always("order", 1)} },
	},
	"refuse": {
		settings: op{"concurrency": 2}, steps: []string{"a", "nap", "b"}, senders: 2, burst: 2, pause: 700,
		bounds: func(_ *flow, _ flowData) []bound { return []bound{always("refuse", 2)} },
	},
	// All that go together. Its runs are gathered by their keys, replace each other,
	// begin by a rate and in an order, and share what they may do at once with others.
	"all": {
		settings: op{
			"debounce":    op{"period": "1s", "timeout": "4s", "key": "event.data.k"},
			"Singleton":   op{"mode": "cancel", "key": "event.data.k"},
			"throttle":    op{"limit": throttleBurst, "period": "3s"},
			"priority":    op{"run": "event.data.p"},
			"concurrency": []op{tenants, {"limit": 1}},
		},
		steps: []string{"a", "nap", "b"}, senders: 3, burst: 2, pause: 1800,
		bounds: func(_ *flow, d flowData) []bound { return []bound{ofTenant(d), always("all", 1)} },
		runs:   perKey("all", 1),
	},
	// What others call: a batch that tells each caller, and runs that are skipped.
	"joined": {
		settings: op{"batchEvents": op{"maxSize": 3, "timeout": "1s"}, "concurrency": 1}, steps: []string{"a", "b"},
		bounds: func(_ *flow, _ flowData) []bound { return []bound{always("joined", 1)} },
	},
	"ask": {steps: []string{"a", "call", "b"}, senders: 2, burst: 2, pause: 1800},
}

// stepLimits are the limits of "steps", of which an operator changes one.
func stepLimits(most int) []op { return []op{{"limit": most}, {"limit": 1, "key": "event.data.k"}} }

// serve runs the steps of a function one after the other.
func (f *flow) serve(fn flowFn, c *rawCall) rawAnswer {
	data := c.flowData()
	if data.Meet != "" && len(c.Steps) == 0 {
		f.meet(data.Meet, data.Of)
	}
	if fn.falters && data.N%4 == 0 && c.Ctx.Attempt == 0 && len(c.Steps) == 0 {
		return rawAnswer{status: http.StatusInternalServerError, body: op{"name": "Error", "message": "not yet"}}
	}
	last := func() any { return op{"n": data.N} }
	long := func(i int) time.Duration { return time.Duration(10+(data.N*7+i*13)%40) * time.Millisecond }
	if fn.atOnce {
		return c.atOnce(last, len(fn.steps), func(i int) (string, time.Duration) { return fn.steps[i-1], long(i) })
	}
	var steps []func() op
	for i, step := range fn.steps {
		switch step {
		case "nap":
			steps = append(steps, c.nap("nap", fmt.Sprintf("%dms", 200+data.N*53%300)))
		case "call":
			steps = append(steps, c.unless("call", func() op {
				return op{"op": "InvokeFunction", "id": stepHash("call"), "name": "call", "opts": op{
					"function_id": "flow-joined", "payload": op{"data": data},
				}}
			}))
		default:
			steps = append(steps, c.unless(step, func() op {
				return c.body(step, i, func() { <-time.After(long(i)) })
			}))
		}
	}
	return inTurn(c, last, steps...)
}

func (c *rawCall) flowData() (d flowData) {
	var e struct{ Data *flowData }
	e.Data = &d
	_ = json.Unmarshal(c.Event, &e) // what is no such event has no number
	return d
}

// sent is an event that was acknowledged.
type sent struct {
	fn string
	d  flowData
	id string
	ts int64

	received time.Time
	runs     []runInfo
}

// flow is a run of TestKillFlow.
type flow struct {
	p    *pawl
	raw  *rawApp
	seed int
	end  chan struct{} // nobody tries any longer

	mu     sync.Mutex
	sent   map[string]map[string][]*sent // by function and key, in the order of their acceptance
	set    map[string]history            // what an operator has set, by what it is about
	cancel map[string]bool               // runs that were cancelled by request
	met    map[string]*meeting
	errs   []error
}

// meeting is where calls wait for each other.
type meeting struct {
	here int
	all  chan struct{} // closed when all are
}

// meet waits until that many calls of a meeting are in flight.
func (f *flow) meet(name string, of int) {
	f.mu.Lock()
	m := f.met[name]
	if m == nil {
		m = &meeting{all: make(chan struct{})}
		f.met[name] = m
	}
	if m.here++; m.here == of {
		close(m.all)
	}
	f.mu.Unlock()
	select {
	case <-m.all:
	case <-time.After(patience / 2):
		f.fail(fmt.Errorf("%d calls may be in flight at once for %s, and no more than %d came", of, name, m.here))
	}
}

func (f *flow) until(try func() error) error { return (&driver{p: f.p, end: f.end}).until(try) }

func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

func (f *flow) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.errs...)
}

// most is what limits a function as an operator has set it.
func (f *flow) most(about string) func(int64) int {
	return func(at int64) int { return f.set[about].most(at, flowGrace) }
}

// drive sends the events of one key, one request after the other, until stop.
func (f *flow) drive(name string, sender int, stop <-chan struct{}) {
	fn := flowFns[name]
	random := rand.New(rand.NewPCG(uint64(f.seed), uint64(sender)<<32+uint64(len(name)<<8)+uint64(name[0])))
	for n := 0; ; {
		size := 1 + random.IntN(fn.burst)
		n += size
		if err := f.send(name, sender, n-size, size, random, nil); err != nil {
			f.fail(fmt.Errorf("%s, key %d: %w", name, sender, err))
			return
		}
		select {
		case <-time.After(time.Duration(random.IntN(fn.pause)) * time.Millisecond):
		case <-stop:
			return
		}
	}
}

// send sends events from a number on in one request, which it repeats until it is
// acknowledged. with, unless nil, changes them.
func (f *flow) send(name string, sender, from, size int, random *rand.Rand, with func(*flowData)) error {
	var events []event
	var list []*sent
	for n := from; n < from+size; n++ {
		d := flowData{
			N: n, K: fmt.Sprintf("k%d", sender), V: fmt.Sprintf("v%d-%d", sender, n/3),
			P: random.IntN(9) - 2, T: fmt.Sprintf("t%d", random.IntN(2)),
		}
		if with != nil {
			with(&d)
		}
		ts := time.Now().UnixMilli()
		if random.IntN(6) == 0 {
			ts -= 3_600_000
		}
		events = append(events, event{Name: "flow/" + name, TS: ts, Data: d})
		list = append(list, &sent{fn: name, d: d, ts: ts})
	}
	entropy := sha256.Sum256(fmt.Appendf(nil, "%d %s %d %d", f.seed, name, sender, from))
	header := fmt.Sprintf("%d,%s", time.Now().UnixMilli(), base64.StdEncoding.EncodeToString(entropy[:10]))
	err := f.until(func() error {
		ids, err := f.p.trySend(header, events...)
		if err != nil {
			return err
		}
		for i, id := range ids {
			list[i].id = id
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sent[name] == nil {
		f.sent[name] = map[string][]*sent{}
	}
	key := list[0].d.K
	f.sent[name][key] = append(f.sent[name][key], list...)
	return nil
}

// change asks for something to be set until that is acknowledged, and notes it.
func (f *flow) change(about string, value int, ask func() error) {
	s := set{asked: time.Now().UnixMilli(), value: value}
	if err := f.until(ask); err != nil {
		f.fail(fmt.Errorf("set %s: %w", about, err))
		return
	}
	s.acked = time.Now().UnixMilli()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set[about] = append(f.set[about], s)
}

// operate changes limits, and holds back and lets go, until stop. At the end
// everything goes on.
func (f *flow) operate(random *rand.Rand, stop <-chan struct{}) {
	rest := func(most int) bool {
		select {
		case <-time.After(time.Duration(200+random.IntN(most)) * time.Millisecond):
			return true
		case <-stop:
			return false
		}
	}
	pause := func(about, path string, how op, most int) {
		f.change(about, 1, func() error { return f.p.call("POST", path+"/pause", how, nil) })
		rest(most)
		back := maps.Clone(how)
		delete(back, "hold")
		delete(back, "refuse")
		f.change(about, 0, func() error { return f.p.call("POST", path+"/resume", back, nil) })
	}
	for rest(1200) {
		switch random.IntN(7) {
		case 0:
			most := 1 + random.IntN(4)
			f.change("steps", most, func() error {
				return f.p.call("PUT", "/v1/functions/flow-steps/limits", op{"limits": op{"concurrency": stepLimits(most)}}, nil)
			})
		case 1: // by a sync
			most := 1 + random.IntN(3)
			fns := maps.Clone(f.raw.fns)
			fn := fns["partake"]
			fn.settings = op{"concurrency": []op{tenants, {"limit": most}}}
			fns["partake"] = fn
			f.change("partake", most, func() error {
				_, err := f.raw.registerAs(f.raw.url, fns)
				return err
			})
		case 2:
			pause("pause runs", "/v1/functions/flow-runs", op{"hold": "starts"}, 2500)
		case 3:
			pause("pause order", "/v1/functions/flow-order", op{"hold": "all"}, 2500)
		case 4:
			pause("pause app", "/v1/apps/flow", op{"hold": "all"}, 1500)
		case 5: // one value of a key
			pause("pause throttle k0", "/v1/functions/flow-throttle", op{"hold": "starts", "key": "event.data.k", "value": "k0"}, 2500)
		case 6: // what would start meanwhile is left out
			pause("refuse", "/v1/functions/flow-refuse", op{"hold": "all", "refuse": true}, 2500)
		}
	}
}

// interfere cancels a run of "runs" now and then until stop.
func (f *flow) interfere(random *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-time.After(time.Duration(300+random.IntN(700)) * time.Millisecond):
		case <-stop:
			return
		}
		var runs []runInfo
		if err := f.p.get("/v1/runs?limit=20&function=flow-runs", &runs); err != nil {
			continue
		}
		runs = slices.DeleteFunc(runs, runInfo.final)
		if len(runs) == 0 {
			continue
		}
		run := runs[random.IntN(len(runs))].ID
		f.mu.Lock()
		f.cancel[run] = true // though it may come too late
		f.mu.Unlock()
		if err := f.until(func() error { return f.p.cancel(run) }); err != nil {
			f.fail(fmt.Errorf("cancel run %s: %w", run, err))
			return
		}
	}
}

// inOrder are events as the judges want them.
func inOrder(list []*sent) (events []taken) {
	for _, e := range list {
		events = append(events, taken{n: e.d.N, key: e.d.K, ts: e.ts, received: e.received})
	}
	return events
}

// starting says which of the events of a function and key have a run.
func starting(name string, list []*sent) map[int]bool {
	var with []taken
	switch name {
	case "rate":
		with = limited(inOrder(list), ratePeriod)
	case "debounce", "all":
		with, _ = settled(inOrder(list), quiet, quietAtMost)
	case "once":
		seen := map[string]bool{}
		for i, e := range inOrder(list) {
			if v := list[i].d.V; !seen[v] {
				seen[v] = true
				with = append(with, e)
			}
		}
	default:
		with = inOrder(list)
	}
	starts := map[int]bool{}
	for _, e := range with {
		starts[e.n] = true
	}
	return starts
}

// await waits until every event that has a run has one that has ended.
func (f *flow) await(t *testing.T) {
	t.Helper()
	var all []*sent
	f.each(func(_, _ string, list []*sent) { all = append(all, list...) })
	limit := patience + time.Duration(len(all))*50*time.Millisecond
	f.inParallel(t, limit, all, func(e *sent) error {
		if !e.received.IsZero() {
			return nil
		}
		var got struct {
			Received time.Time `json:"received_at"`
		}
		if err := f.p.get("/v1/events/"+e.id, &got); err != nil {
			return fmt.Errorf("an event that was acknowledged: %w", err)
		}
		e.received = got.Received
		return nil
	})
	var with []*sent
	f.each(func(name, _ string, list []*sent) {
		starts := starting(name, list)
		for _, e := range list {
			if starts[e.d.N] {
				with = append(with, e)
			}
		}
	})
	f.inParallel(t, limit, with, func(e *sent) error {
		if len(e.runs) == 1 && e.runs[0].final() {
			return nil
		}
		if err := f.p.get("/v1/events/"+e.id+"/runs", &e.runs); err != nil {
			return err
		}
		if len(e.runs) != 1 || !e.runs[0].final() {
			return fmt.Errorf("event %s (%s %s %d) has runs %+v", e.id, e.fn, e.d.K, e.d.N, e.runs)
		}
		return nil
	})
}

// inParallel does something for each event until that has gone well for all.
func (f *flow) inParallel(t *testing.T, limit time.Duration, list []*sent, each func(*sent) error) {
	t.Helper()
	eventually(t, limit, func() error {
		errs := make([]error, 8)
		var workers sync.WaitGroup
		for i := range errs {
			workers.Go(func() {
				for j := i; j < len(list) && errs[i] == nil; j += len(errs) {
					errs[i] = each(list[j])
				}
			})
		}
		workers.Wait()
		return errors.Join(errs...)
	})
}

// each visits what was sent, by function and key.
func (f *flow) each(visit func(name, key string, list []*sent)) {
	for _, name := range slices.Sorted(maps.Keys(f.sent)) {
		for _, key := range slices.Sorted(maps.Keys(f.sent[name])) {
			visit(name, key, f.sent[name][key])
		}
	}
}

// TestKillFlow kills a server at random moments that holds limits of every kind, by
// themselves and together, while an operator changes them, pauses and resumes. What
// the app has seen says that they held at every moment, that nothing was lost and
// that nothing was done twice. A failure prints the seed that repeats it.
func TestKillFlow(t *testing.T) {
	guard(t)
	t.Parallel()
	kills := setting(t, "PAWL_KILL_KILLS", 10)
	seed := setting(t, "PAWL_KILL_SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("PAWL_KILL_KILLS=%d PAWL_KILL_SEED=%d", kills, seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))

	p := startPawl(t, serve, "--durability", "full")
	f := &flow{
		p: p, seed: seed, end: make(chan struct{}),
		sent: map[string]map[string][]*sent{}, cancel: map[string]bool{}, met: map[string]*meeting{},
		set: map[string]history{"steps": {{value: 3}}, "partake": {{value: 3}}, "pause runs": {{}}, "pause order": {{}}, "pause app": {{}}, "pause throttle k0": {{}}, "refuse": {{}}},
	}
	fns := map[string]rawFn{}
	for name, fn := range flowFns {
		fns[name] = rawFn{
			event: "flow/" + name, retries: 20, settings: fn.settings, checkpts: fn.atOnce,
			handle: func(c *rawCall) rawAnswer { return f.serve(fn, c) },
		}
	}
	f.raw = startRawApp(t, p, "flow", fns)
	stop := make(chan struct{})
	var at sync.WaitGroup
	for name, fn := range flowFns {
		for sender := range fn.senders {
			at.Go(func() { f.drive(name, sender, stop) })
		}
	}
	f.raw.log.await(t, func(ln line) bool { return ln.What == "memo" })
	at.Go(func() { f.operate(rand.New(rand.NewPCG(uint64(seed), 1)), stop) })
	at.Go(func() { f.interfere(rand.New(rand.NewPCG(uint64(seed), 2)), stop) })
	for range kills {
		<-time.After(time.Duration(300+random.IntN(1700)) * time.Millisecond)
		p.kill()
		f.raw.log.append(line{What: "killed"})
		p.wantSound()
		p.start()
	}
	<-time.After(2 * time.Second) // what is not given back from now on is missed
	close(stop)
	time.AfterFunc(patience, func() { close(f.end) })
	at.Wait()
	require.NoError(t, f.failed())
	f.await(t)
	f.probe(t, random)
	f.judge(t)
	p.stop()
	p.wantSound()
	p.wantIdle()
}

// probe shows that nothing holds a slot, a name or a place any more: each key has one
// more run, and as many calls are in flight at once as may be.
func (f *flow) probe(t *testing.T, random *rand.Rand) {
	t.Helper()
	more := func(name string, sender, n int, with func(*flowData)) {
		list := f.sent[name][fmt.Sprintf("k%d", sender)]
		require.NoError(t, f.send(name, sender, list[len(list)-1].d.N+1, n, random, with))
	}
	for name, fn := range flowFns {
		for sender := range fn.senders {
			more(name, sender, 1, nil)
		}
	}
	f.await(t)
	f.change("steps", 3, func() error {
		return f.p.call("PUT", "/v1/functions/flow-steps/limits", op{"limits": op{"concurrency": stepLimits(3)}}, nil)
	})
	apart := map[string]int{"steps": 3, "throttle": 2, "skip": 2} // by keys
	for name, n := range apart {
		for sender := range n {
			more(name, sender, 1, func(d *flowData) { d.Meet, d.Of = name, n })
		}
	}
	for sender := range flowFns["runs"].senders {
		more("runs", sender, 2, func(d *flowData) { d.Meet, d.Of = "runs of "+d.K, 2 })
		f.await(t) // the other key has its calls out of the same two
	}
	for _, tenant := range []string{"t0", "t1"} {
		more("share", 0, 2, func(d *flowData) { d.T, d.Meet, d.Of = tenant, "tenant "+tenant, 2 })
	}
	f.await(t)
	require.NoError(t, f.failed())
}

// wantIdle wants nothing queued and nobody waiting in the store of a server that does
// not run.
func (p *pawl) wantIdle() {
	p.t.Helper()
	out, err := exec.Command(p.argv[0], "doctor", "--json", "--db", "sqlite:"+p.db).Output()
	require.NoError(p.t, err)
	var found struct{ Examined struct{ Items, Waits int } }
	require.NoError(p.t, json.Unmarshal(out, &found))
	require.Zero(p.t, found.Examined.Items, "items in the queue")
	require.Zero(p.t, found.Examined.Waits, "waits")
}

// judge looks at what became of all events, and at all that the app saw.
func (f *flow) judge(t *testing.T) {
	runs := map[string]runInfo{}
	ends := map[string]ending{}
	for _, run := range f.p.allRuns("") {
		require.True(t, run.final(), "run %s of %s is %s", run.ID, run.Function, run.Status)
		runs[run.ID] = run
		ends[run.ID] = ending{run.Status == "Cancelled", run.Ended.UnixMilli()}
	}
	count := map[string]int{} // what there was of each kind
	f.outcomes(t, runs, count)
	f.batches(t, runs, count)
	f.beginnings(t, runs)

	lines := f.raw.log.lines(t, "")
	require.Empty(t, repeated(lines), "bodies started although their result was saved")
	require.Empty(t, forgotten(lines), "requests that lacked a saved step")
	require.Empty(t, overtaken(lines), "checkpoints taken from a dispatch that was given up")
	f.raw.unchanging(t)
	bad, most, caught := crowded(lines, ends, f.bounds(func(fn flowFn) func(*flow, flowData) []bound { return fn.bounds }))
	require.Empty(t, bad, "calls in flight")
	bad, under := overlapping(lines, ends, f.bounds(func(fn flowFn) func(*flow, flowData) []bound { return fn.runs }))
	require.Empty(t, bad, "runs under way")
	require.Empty(t, calledLate(lines, ends, flowGrace), "calls of runs that were cancelled")
	f.pauses(t, lines, runs)

	// None of it is of worth if nothing was held back, or nothing was cut off.
	t.Logf("%d runs; %v; %d kills cut calls off; %d calls were read after their run had been cancelled; most in flight: %v; most under way: %v",
		len(runs), count, caught, len(calledLate(lines, ends, 0)), most, under)
	for _, name := range []string{"runs", "skip", "throttle", "tenant/t0", "tenant/t1"} {
		require.Equal(t, 2, most[name], "calls of %s that were in flight at once: its limit was not met", name)
	}
	require.Equal(t, 2, under["runs/k0"], "runs of a key under way at once: their limit was not met")
	for _, kind := range []string{"rate dropped", "once dropped", "debounce dropped", "all dropped", "skip Skipped", "cancel Cancelled", "cancel Completed", "batch full", "batch part"} {
		require.NotZero(t, count[kind], kind)
	}
	require.NotZero(t, caught, "kills that cut calls off")
}

// call is the first call of a run: it says what the run is of.
func (f *flow) call(run string) (name string, d flowData, ok bool) {
	calls := f.raw.of(run)
	if len(calls) == 0 {
		return "", d, false
	}
	return strings.TrimPrefix(calls[0].query["fnId"], "flow-"), calls[0].flowData(), true
}

// bounds are those of a run's function for its event.
func (f *flow) bounds(which func(flowFn) func(*flow, flowData) []bound) func(run string) []bound {
	known := map[string][]bound{}
	return func(run string) []bound {
		list, ok := known[run]
		if !ok {
			name, d, _ := f.call(run)
			if of := which(flowFns[name]); of != nil {
				list = of(f, d)
			}
			known[run] = list
		}
		return list
	}
}

// outcomes: every event has the run that it should have, which ended as it should,
// and there is no other run.
func (f *flow) outcomes(t *testing.T, runs map[string]runInfo, count map[string]int) {
	t.Helper()
	of := map[string]int{} // events by run
	f.each(func(name, key string, list []*sent) {
		starts := starting(name, list)
		place := map[string]int{} // of runs
		for i, e := range list {
			if starts[e.d.N] {
				place[e.runs[0].ID] = i
			}
		}
		for i, e := range list {
			what := fmt.Sprintf("event %s (%s %s %d)", e.id, name, key, e.d.N)
			if !starts[e.d.N] {
				require.Empty(t, f.p.runs(e.id), "%s should have started nothing", what)
				count[name+" dropped"]++
				continue
			}
			run, ok := runs[e.runs[0].ID]
			require.True(t, ok, "run %s of %s is not in the list of runs", e.runs[0].ID, what)
			require.Equal(t, "flow-"+name, run.Function, what)
			what = fmt.Sprintf("run %s of %s: %s %s", run.ID, what, run.Status, run.Output)
			of[run.ID]++
			count[name+" "+run.Status]++
			require.Contains(t, f.mayEnd(name, run, i == len(list)-1), run.Status, what)
			switch {
			case name == "refuse":
				f.refused(t, e, run, what)
			case run.Status == "Skipped":
				holder := f.skipped(t, run, runs, what)
				if name != "skip" { // the run of the later event survives
					require.Greater(t, place[holder], i, "%s: in its way was run %s of an earlier event", what, holder)
				}
			case run.Status == "Completed" && name != "batch":
				require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, e.d.N), string(run.Output), what)
			}
		}
		if name == "debounce" || name == "all" {
			f.due(t, list)
		}
	})
	for id, run := range runs {
		if run.Function != "flow-joined" {
			require.NotZero(t, of[id], "run %s of %s is of no event that was sent", id, run.Function)
		}
		if run.Function != "flow-batch" {
			require.LessOrEqual(t, of[id], 1, "run %s of %s is of several events", id, run.Function)
		}
	}
}

// refused: a run of an event that came while its function was paused, and refused what
// would start, was skipped, and no other.
func (f *flow) refused(t *testing.T, e *sent, run runInfo, what string) {
	t.Helper()
	h, at := f.set["refuse"], e.received.UnixMilli()
	during := func(value int) bool { // when it came, and until it was surely decided
		return h.holds(value, at, 0) && h.holds(value, at+flowGrace.Milliseconds(), 0)
	}
	if run.Status == "Skipped" {
		require.False(t, during(0), "%s came at %s, when nothing was refused", what, clock(at))
		require.JSONEq(t, `{"reason":"Paused"}`, string(run.Output), what)
		return
	}
	require.False(t, during(1), "%s came at %s, when all was refused", what, clock(at))
	require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, e.d.N), string(run.Output), what)
}

// due: runs of events that wait for others begin in their time.
func (f *flow) due(t *testing.T, list []*sent) {
	t.Helper()
	byNumber := map[int]*sent{}
	for _, e := range list {
		byNumber[e.d.N] = e
	}
	last, dues := settled(inOrder(list), quiet, quietAtMost)
	for i, e := range last {
		run := byNumber[e.n].runs[0]
		require.False(t, run.Queued.Before(dues[i]), "run %s of %s was started at %v, and was due at %v", run.ID, run.Function, run.Queued, dues[i])
	}
}

// mayEnd are the states in which a run of a function may end. last says that it is
// of the last event of its key.
func (f *flow) mayEnd(name string, run runInfo, last bool) []string {
	ways := []string{"Completed"}
	switch {
	case (name == "cancel" || name == "all") && !last:
		ways = append(ways, "Cancelled", "Skipped")
	case name == "skip", name == "refuse":
		ways = append(ways, "Skipped")
	case f.cancel[run.ID]:
		ways = append(ways, "Cancelled")
	}
	return ways
}

// skipped: a run that was skipped names the one that was in its way then, which is
// returned.
func (f *flow) skipped(t *testing.T, run runInfo, runs map[string]runInfo, what string) (holder string) {
	t.Helper()
	var skip struct {
		Reason string
		Run    string `json:"run_id"`
	}
	require.NoError(t, json.Unmarshal(run.Output, &skip), what)
	require.Equal(t, "Singleton", skip.Reason, what)
	h, ok := runs[skip.Run]
	require.True(t, ok, "%s: it names no run", what)
	require.Equal(t, run.Function, h.Function, what)
	require.False(t, h.Queued.After(run.Queued.Add(flowGrace)) || h.Ended.Before(run.Queued.Add(-flowGrace)),
		"%s: run %s was not in its way: it went from %v to %v", what, h.ID, h.Queued, h.Ended)
	return h.ID
}

// batches: every event is in one batch, with those that came with it, and every call
// of a run has all events of its batch.
func (f *flow) batches(t *testing.T, runs map[string]runInfo, count map[string]int) {
	t.Helper()
	seen := func(run string) []int {
		var first []int
		for i, c := range f.raw.of(run) {
			var numbers []int
			for _, e := range c.Events {
				var of struct{ Data flowData }
				require.NoError(t, json.Unmarshal(e, &of))
				numbers = append(numbers, of.Data.N)
			}
			slices.Sort(numbers)
			if i == 0 {
				first = numbers
			}
			require.Equal(t, first, numbers, "events in the calls of run %s", run)
		}
		return first
	}
	for key, list := range f.sent["batch"] {
		byNumber := map[int]*sent{}
		for _, e := range list {
			byNumber[e.d.N] = e
		}
		for _, b := range gathered(inOrder(list), batchSize, batchTimeout) {
			var numbers []int
			run := byNumber[b[0].n].runs[0]
			for _, e := range b {
				numbers = append(numbers, e.n)
				require.Equal(t, run.ID, byNumber[e.n].runs[0].ID, "the run of event %d of key %s, which came with event %d", e.n, key, b[0].n)
			}
			require.Equal(t, numbers, seen(run.ID), "events of run %s", run.ID)
			if len(b) == batchSize {
				count["batch full"]++
				continue
			}
			count["batch part"]++
			require.GreaterOrEqual(t, run.Queued.Sub(b[0].received), batchTimeout, "run %s of part of a batch came early", run.ID)
		}
	}
	// Each call of "ask" is in one batch of "joined", and was told of its end.
	callers := map[string]string{}
	for id, run := range runs {
		if run.Function != "flow-joined" {
			continue
		}
		require.Equal(t, "Completed", run.Status, "run %s", id)
		events := f.raw.of(id)[0].Events
		require.LessOrEqual(t, len(events), 3, "events of run %s", id)
		for _, e := range events {
			var of struct {
				Data struct {
					Meta struct {
						Correlation string `json:"correlation_id"`
					} `json:"_inngest"`
				}
			}
			require.NoError(t, json.Unmarshal(e, &of))
			caller, _, _ := strings.Cut(of.Data.Meta.Correlation, ".")
			require.Empty(t, callers[caller], "the call of run %s is in two batches", caller)
			callers[caller] = id
		}
	}
	for _, list := range f.sent["ask"] {
		for _, e := range list {
			caller := e.runs[0].ID
			joined, ok := runs[callers[caller]]
			require.True(t, ok, "the call of run %s is in no batch", caller)
			require.False(t, joined.Ended.After(*e.runs[0].Ended), "run %s ended before what it had called", caller)
		}
	}
	count["joined"] = len(callers)
}

// beginnings: runs began by their rates, and in their order.
func (f *flow) beginnings(t *testing.T, runs map[string]runInfo) {
	t.Helper()
	begun := map[string][]time.Time{}
	var order []queued
	for _, run := range runs {
		name, d, called := f.call(run.ID)
		if !called || run.Started == nil {
			continue
		}
		switch name {
		case "throttle":
			begun[name+" "+d.K] = append(begun[name+" "+d.K], *run.Started)
		case "all":
			begun[name] = append(begun[name], *run.Started)
		case "order":
			order = append(order, queued{run.ID, run.Queued, run.Queued.Add(-time.Duration(d.P) * time.Second), *run.Started})
		}
	}
	for key, times := range begun {
		require.Empty(t, hasty(times, throttleBurst, throttleEvery, flowGrace), "runs of %s that began", key)
	}
	require.NotEmpty(t, order)
	require.Empty(t, overtaking(order, flowGrace), "runs that began before their turn")
}

// pauses: nothing that was held back happened.
func (f *flow) pauses(t *testing.T, lines []line, runs map[string]runInfo) {
	t.Helper()
	life, now := lifetimesOf(lines), 0
	for _, ln := range lines {
		if ln.What == "killed" {
			now++
		}
		if ln.What != "memo" || life.of(ln.Gen) < now {
			continue
		}
		name, _, _ := f.call(ln.Run)
		require.False(t, f.set["pause app"].holds(1, ln.T, flowGrace), "a call of run %s at %s, while its app was paused", ln.Run, clock(ln.T))
		about, ok := map[string]string{"order": "pause order", "refuse": "refuse"}[name]
		if ok {
			require.False(t, f.set[about].holds(1, ln.T, flowGrace), "a call of run %s at %s, while its function was paused", ln.Run, clock(ln.T))
		}
	}
	for _, run := range runs {
		name, d, called := f.call(run.ID)
		about, ok := map[string]string{"runs": "pause runs", "throttle": "pause throttle " + d.K}[name]
		if called && ok && run.Started != nil {
			require.False(t, f.set[about].holds(1, run.Started.UnixMilli(), flowGrace), "run %s of %s began at %v, while starts were paused", run.ID, name, run.Started)
		}
	}
}

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inTurn runs the first op whose memo the request lacks; after the last of them
// the function returns.
func inTurn(c *rawCall, last func() any, steps ...func() op) rawAnswer {
	for _, step := range steps {
		if o := step(); o != nil {
			return ops(o)
		}
	}
	return result(last())
}

// unless makes an op of a step that the request lacks.
func (c *rawCall) unless(step string, make func() op) func() op {
	return func() op {
		if c.has(step) {
			return nil
		}
		return make()
	}
}

func (c *rawCall) work(step string) func() op {
	return c.unless(step, func() op {
		return c.body(step, 1, func() { <-time.After(20 * time.Millisecond) })
	})
}

func (c *rawCall) nap(step, duration string) func() op {
	return c.unless(step, func() op {
		return op{"op": "Sleep", "id": stepHash(step), "name": step, "opts": op{"duration": duration}, "data": nil}
	})
}

// number is data.n of the run's event.
func (c *rawCall) number() int {
	var e struct{ Data struct{ N int } }
	if err := json.Unmarshal(c.Event, &e); err != nil {
		return -1
	}
	return e.Data.N
}

// mixed are the raw functions of TestKillMix; ../apps/ts/waits.mjs has the same.
func mixed() map[string]rawFn {
	return map[string]rawFn{
		"mix-wait": {event: "raw/mix-wait", retries: 20, handle: func(c *rawCall) rawAnswer {
			return inTurn(c, func() any {
				var e struct {
					ID   string
					Data struct{ N int }
				}
				if err := json.Unmarshal(c.Steps[stepHash("for")], &e); err != nil {
					return err.Error()
				}
				return op{"n": e.Data.N, "go": e.ID}
			}, c.work("k1"),
				c.unless("for", func() op { return waitFor("for", "mix/go", "event.data.n == async.data.n", "1h") }), c.work("k2"))
		}},
		"mix-invoke": {event: "raw/mix-invoke", retries: 20, handle: func(c *rawCall) rawAnswer {
			return inTurn(c, func() any {
				var memo struct{ Data json.RawMessage }
				if err := json.Unmarshal(c.Steps[stepHash("call")], &memo); err != nil {
					return err.Error()
				}
				return memo.Data
			}, c.work("k1"), c.unless("call", func() op {
				return op{"op": "InvokeFunction", "id": stepHash("call"), "name": "call", "opts": op{
					"function_id": "ts4-mix-child", "payload": op{"data": op{"n": c.number()}},
				}}
			}), c.work("k2"))
		}},
		"mix-child": {event: "raw/mix-child", retries: 20, handle: func(c *rawCall) rawAnswer {
			return inTurn(c, func() any { return op{"n": 2 * c.number()} }, c.work("k1"), c.nap("nap", "300ms"), c.work("k2"))
		}},
		"mix-cancel": {
			event: "raw/mix-cancel", retries: 20,
			settings: op{"cancel": []op{{"event": "mix/stop", "if": "event.data.n == async.data.n"}}},
			handle: func(c *rawCall) rawAnswer {
				var steps []func() op
				for i := 1; i <= 400; i++ {
					steps = append(steps, c.work(fmt.Sprintf("k%d", i)), c.nap(fmt.Sprintf("nap%d", i), "400ms"))
				}
				return inTurn(c, func() any { return "was not cancelled" }, steps...)
			},
		},
	}
}

// mixRun is one of the runs of TestKillMix, and what its driver knows of it.
type mixRun struct {
	n       int
	app     string
	kind    string // mix-wait, mix-invoke, mix-cancel
	event   string // its trigger's id, once acknowledged
	run     string
	other   string // id of the event that wakes or cancels it, once acknowledged
	stopped time.Time
	err     error
}

// driver makes the events and calls of a mix. The server may be dead at any
// time, so everything is repeated until it is acknowledged.
type driver struct {
	p    *pawl
	seed int
	end  <-chan struct{} // gives up
}

// until repeats try until it returns nil.
func (d *driver) until(try func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.end:
			return fmt.Errorf("gave up: %w", err)
		}
	}
}

// send sends an event under a seed of its own until it is acknowledged.
func (d *driver) send(name string, n int, salt string) (id string, err error) {
	entropy := []byte(fmt.Sprintf("%s%03d%06d", salt, n, d.seed))[:10]
	header := fmt.Sprintf("%d,%s", time.Now().UnixMilli(), base64.StdEncoding.EncodeToString(entropy))
	err = d.until(func() error {
		ids, err := d.p.trySend(header, event{Name: name, Data: op{"n": n}})
		if err == nil {
			id = ids[0]
		}
		return err
	})
	return id, err
}

// drive does what a run needs from outside.
func (d *driver) drive(r *mixRun, random *rand.Rand) error {
	id, err := d.send(r.app+"/"+r.kind, r.n, "t")
	if err != nil {
		return err
	}
	r.event = id
	err = d.until(func() error {
		var runs []runInfo
		if err := d.p.get("/v1/events/"+id+"/runs", &runs); err != nil {
			return err
		}
		if len(runs) != 1 {
			return fmt.Errorf("event %s has %d runs", id, len(runs))
		}
		r.run = runs[0].ID
		return nil
	})
	if err != nil {
		return err
	}
	pause := time.Duration(random.IntN(4000)) * time.Millisecond
	switch r.kind {
	case "mix-wait":
		err = d.until(func() error {
			steps, err := d.p.trySteps(r.run)
			if err == nil && !slices.ContainsFunc(steps, func(st stepInfo) bool { return st.Status == "waiting" }) {
				err = fmt.Errorf("run %s does not wait yet", r.run)
			}
			return err
		})
		if err != nil {
			return err
		}
		<-time.After(pause)
		r.other, err = d.send("mix/go", r.n, "g")
	case "mix-cancel":
		<-time.After(time.Second + pause)
		if r.n%3 == 0 { // by API
			err = d.until(func() error { return d.p.cancel(r.run) })
			r.stopped = time.Now()
			break
		}
		r.other, err = d.send("mix/stop", r.n, "s")
	default: // goes on by itself
	}
	return err
}

// TestKillMix kills a server at random moments that has waits, invokes,
// cancellations and a clock to look after, and once when the clock ticks. In
// between, pawl doctor looks at what it left. A failure prints the seed that
// repeats it.
func TestKillMix(t *testing.T) {
	guard(t)
	t.Parallel()
	runs := setting(t, "PAWL_KILL_RUNS", 60)
	kills := setting(t, "PAWL_KILL_KILLS", 12)
	seed := setting(t, "PAWL_KILL_SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("PAWL_KILL_RUNS=%d PAWL_KILL_KILLS=%d PAWL_KILL_SEED=%d", runs, kills, seed)
	random := rand.New(rand.NewPCG(uint64(seed), 1))

	p := newPawl(t, serve, "--durability", "full")
	a := newApp(t, ts4, p)
	a.env = append(a.env, "APP_CRON=1")
	p.startFor(a)
	raw := startRawApp(t, p, "raw", mixed())
	began := time.Now()
	tick := began.Add(20 * time.Second).Truncate(time.Minute).Add(time.Minute).UTC()
	aimed := tick.Add(time.Duration(random.IntN(600)-300) * time.Millisecond)

	end := make(chan struct{})
	d := &driver{p, seed, end}
	var list []*mixRun
	var drivers sync.WaitGroup
	starts := make(chan struct{})
	for n := range runs {
		r := &mixRun{n: n, app: []string{"raw", "ts4"}[n%2], kind: []string{"mix-wait", "mix-invoke", "mix-cancel"}[n/2%3]}
		list = append(list, r)
		own := rand.New(rand.NewPCG(uint64(seed), uint64(n)+2))
		drivers.Go(func() {
			<-starts
			r.err = d.drive(r, own)
		})
	}
	// The runs start over the time until the tick.
	var starter sync.WaitGroup
	starter.Go(func() {
		pace := time.NewTicker(time.Until(tick) / time.Duration(runs))
		defer pace.Stop()
		for range runs {
			starts <- struct{}{}
			<-pace.C
		}
	})

	mean := max(500*time.Millisecond, time.Until(tick)/time.Duration(max(1, kills)))
	for i := 0; i < kills || time.Now().Before(aimed); i++ {
		next := time.Now().Add(time.Duration(200+random.IntN(int(2*mean.Milliseconds()))) * time.Millisecond)
		if time.Now().Before(aimed) && next.After(aimed) {
			next = aimed
		}
		<-time.After(time.Until(next))
		p.kill()
		p.examine()
		p.start()
	}
	starter.Wait()
	time.AfterFunc(patience, func() { close(end) })
	drivers.Wait()

	// Every run ends as it should: no acknowledged event is lost.
	children := map[string]int{} // invoked runs by function
	for _, r := range list {
		require.NoError(t, r.err, "%s/%s %d", r.app, r.kind, r.n)
		run := p.await(r.run)
		what := fmt.Sprintf("run %s (%s/%s %d): %s", run.ID, r.app, r.kind, r.n, run.Output)
		log := a.log
		if r.app == "raw" {
			log = raw.log
		}
		lines := log.lines(t, run.ID)
		switch r.kind {
		case "mix-wait":
			require.Equal(t, "Completed", run.Status, what)
			require.JSONEq(t, fmt.Sprintf(`{"n":%d,"go":%q}`, r.n, r.other), string(run.Output), what)
		case "mix-invoke":
			require.Equal(t, "Completed", run.Status, what)
			require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, 2*r.n), string(run.Output), what)
			children[map[string]string{"raw": "ts4", "ts4": "raw"}[r.app]+"-mix-child"]++
		case "mix-cancel":
			require.Equal(t, "Cancelled", run.Status, what)
			require.NotNil(t, run.Ended, what)
			if !r.stopped.IsZero() {
				require.False(t, run.Ended.After(r.stopped), "%s ended at %v, after %v", what, run.Ended, r.stopped)
			}
			// A request that was on its way when the run ended may still arrive.
			ended := run.Ended.UnixMilli() + 1000
			for _, ln := range lines {
				require.False(t, (ln.What == "memo" || ln.What == "start") && ln.T > ended, "%s ended at %v, then came %+v", what, run.Ended, ln)
			}
		}
		require.Len(t, p.runs(r.event), 1, what)
	}

	// Each invoke started one run, and was told of one end.
	for fn, want := range children {
		parents := map[string]bool{}
		for _, run := range p.allRuns(fn) {
			require.Equal(t, "Completed", run.Status, "invoked run %s", run.ID)
			var e struct {
				Data struct {
					Meta struct {
						Correlation string `json:"correlation_id"`
					} `json:"_inngest"`
				}
			}
			require.NoError(t, p.get("/v1/events/"+run.EventID, &e))
			require.False(t, parents[e.Data.Meta.Correlation], "%s was invoked twice", e.Data.Meta.Correlation)
			parents[e.Data.Meta.Correlation] = true
		}
		require.Len(t, parents, want, "runs of %s", fn)
	}
	raw.unchanging(t)

	// Each tick has one run, also those at which the server was dead.
	for at := began.Truncate(time.Minute).Add(time.Minute).UTC(); !at.After(tick); at = at.Add(time.Minute) {
		run := p.awaitTick("ts4", at)
		require.Equal(t, "Completed", run.Status, "the tick of %v", at)
		require.False(t, run.Queued.Before(at), "the tick of %v came at %v", at, run.Queued)
	}

	for _, log := range []*appLog{a.log, raw.log} {
		lines := log.lines(t, "")
		require.Empty(t, repeated(lines), "bodies started although their result was saved")
		require.Empty(t, forgotten(lines), "requests that lacked a saved step")
		require.Empty(t, overtaken(lines), "checkpoints taken from a dispatch that was given up")
	}
	p.stop()
	p.examine()
}

// unchanging wants each step to have had one memo in all requests of its run.
func (a *rawApp) unchanging(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for run, calls := range a.calls {
		memos := map[string]string{}
		for _, c := range calls {
			for id, memo := range c.Steps {
				if was, ok := memos[id]; ok {
					require.Equal(t, was, string(memo), "memo of step %s of run %s", id, run)
				}
				memos[id] = string(memo)
			}
		}
	}
}

// examine lets pawl doctor look at the store of a server that is not running.
func (p *pawl) examine() {
	p.t.Helper()
	i := slices.Index(p.argv, "--db")
	out, err := exec.Command(p.argv[0], "doctor", "--db", p.argv[i+1]).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		p.t.Fatalf("pawl doctor: %v\n%s", err, strings.TrimSpace(string(out)))
	}
	require.NoError(p.t, err)
}

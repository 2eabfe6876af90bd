package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// setting reads a number from the environment.
func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err, name)
	return n
}

// finished is what the raw app's watcher saw: for each run that ended, the runs
// of the watcher that were told so.
type finished struct {
	mu   sync.Mutex
	seen map[string]map[string]bool
}

func (f *finished) handle(c *rawCall) rawAnswer {
	var e struct {
		Data struct {
			Run string `json:"run_id"`
		}
	}
	if err := json.Unmarshal(c.Event, &e); err != nil {
		return rawAnswer{status: 500, body: op{"message": err.Error()}}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[e.Data.Run] == nil {
		f.seen[e.Data.Run] = map[string]bool{}
	}
	f.seen[e.Data.Run][c.Ctx.Run] = true
	return result(nil)
}

func (f *finished) runs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

// fiveSteps runs five steps in one request and reports each by a checkpoint.
func fiveSteps(c *rawCall) rawAnswer {
	n := c.number()
	return c.atOnce(func() any { return map[string]int{"n": n} }, 5, func(i int) (string, time.Duration) {
		return fmt.Sprintf("k%d", i), time.Duration((n*7+i*13)%60) * time.Millisecond
	})
}

// atOnce runs n steps in one request, reports each by a checkpoint, and then returns.
// of says what step i, from 1, is called and how long it takes.
func (c *rawCall) atOnce(last func() any, n int, of func(i int) (string, time.Duration)) rawAnswer {
	for i := 1; i <= n; i++ {
		name, work := of(i)
		if c.has(name) {
			continue
		}
		done := c.body(name, i, func() { <-time.After(work) })
		err := c.checkpoint(c.generation, done)
		var refused *apiError
		switch {
		case errors.As(err, &refused) && refused.status == 409:
			return rawAnswer{status: 400, noRetry: true, body: op{"name": "StaleDispatchError", "message": "stale dispatch"}}
		case err != nil:
			return ops(done) // report it in the answer, if anybody still listens
		}
	}
	return result(last())
}

// TestKill: every run ends, and a checkpointed step never runs again, however
// often the server dies. A failure prints the seed that repeats it.
func TestKill(t *testing.T) {
	guard(t)
	runs := setting(t, "PAWL_KILL_RUNS", 60)
	kills := setting(t, "PAWL_KILL_KILLS", 6)
	seed := setting(t, "PAWL_KILL_SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("PAWL_KILL_RUNS=%d PAWL_KILL_KILLS=%d PAWL_KILL_SEED=%d", runs, kills, seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))

	p, a := startPair(t, ts4, serve, "--durability", "full")
	watch := &finished{seen: map[string]map[string]bool{}}
	raw := startRawApp(t, p, "raw", map[string]rawFn{
		"kill":  {event: "raw/kill", retries: 20, handle: fiveSteps, checkpts: true},
		"watch": {event: "inngest/function.finished", retries: 20, handle: watch.handle},
	})

	// The sender repeats an event under the same seed until it reads a 200.
	ids := make([]string, runs)
	pace := time.Duration(kills) * 400 * time.Millisecond / time.Duration(max(1, runs))
	var sender sync.WaitGroup
	sender.Go(func() {
		tick := time.NewTicker(max(time.Millisecond, pace))
		defer tick.Stop()
		for n := range runs {
			name := []string{"raw/kill", "ts4/kill"}[n%2]
			entropy := []byte(fmt.Sprintf("%04d%06d", n, seed))[:10]
			header := fmt.Sprintf("%d,%s", time.Now().UnixMilli(), base64.StdEncoding.EncodeToString(entropy))
			for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); <-tick.C {
				got, err := p.trySend(header, event{Name: name, Data: op{"n": n}})
				if err == nil {
					ids[n] = got[0]
					break
				}
			}
			<-tick.C
		}
	})
	for range kills {
		<-time.After(time.Duration(50+random.IntN(600)) * time.Millisecond)
		p.kill()
		p.wantSound()
		p.start()
	}
	sender.Wait()

	// Every acknowledged event has exactly one run, and it completes.
	limit := patience + time.Duration(runs)*100*time.Millisecond
	byID := map[string]runInfo{}
	eventually(t, limit, func() error {
		for n, id := range ids {
			if id == "" {
				t.Fatalf("event %d was never acknowledged", n)
			}
			if _, ok := byID[id]; ok {
				continue
			}
			var got []runInfo
			if err := p.get("/v1/events/"+id+"/runs", &got); err != nil {
				return err
			}
			if len(got) != 1 || !got[0].final() {
				return fmt.Errorf("event %d (%s) has runs %+v", n, id, got)
			}
			byID[id] = got[0]
		}
		return nil
	})
	started := map[string]bool{}
	for n, id := range ids {
		run := byID[id]
		require.Equal(t, "Completed", run.Status, "run %s of event %d: %s", run.ID, n, run.Output)
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, n), string(run.Output))
		require.False(t, started[run.ID], "run %s belongs to two events", run.ID)
		started[run.ID] = true
		steps := slices.DeleteFunc(p.steps(run.ID), func(st stepInfo) bool { return st.Step == "" }) // the body, if a call failed
		require.Len(t, steps, 5, "steps of run %s: %+v", run.ID, steps)
		for i, st := range steps {
			require.Equal(t, stepHash(fmt.Sprintf("k%d", i+1)), st.Step, "step %d of run %s", i, run.ID)
			require.JSONEq(t, strconv.Itoa(i+1), string(st.Output), "step %d of run %s", i, run.ID)
		}
	}

	// No body started again once its result was acknowledged, and no request
	// came without a result that had been.
	for _, log := range []*appLog{a.log, raw.log} {
		lines := log.lines(t, "")
		require.Empty(t, repeated(lines), "bodies started although their result was saved")
		require.Empty(t, forgotten(lines), "requests that lacked a saved step")
		require.Empty(t, overtaken(lines), "checkpoints taken from a dispatch that was given up")
	}

	// Each end was told exactly once.
	eventually(t, limit, func() error {
		if got := watch.runs(); got < runs {
			return fmt.Errorf("%d of %d ends were told", got, runs)
		}
		return nil
	})
	watch.mu.Lock()
	defer watch.mu.Unlock()
	require.Len(t, watch.seen, runs, "runs that ended")
	for run, told := range watch.seen {
		require.True(t, started[run], "the end of run %s, which no event started", run)
		require.Len(t, told, 1, "times that the end of run %s was told", run)
	}

	// The list of runs agrees.
	listed := map[string]bool{}
	eventually(t, limit, func() error {
		clear(listed)
		for _, run := range p.allRuns("") {
			if listed[run.ID] {
				return fmt.Errorf("run %s is listed twice", run.ID)
			}
			listed[run.ID] = true
			if run.Status != "Completed" || run.Ended == nil {
				return fmt.Errorf("run %s is %s, ended at %v", run.ID, run.Status, run.Ended)
			}
		}
		return nil
	})
	require.Len(t, listed, 2*runs, "runs of the events and of the watcher")
	p.stop()
	p.wantSound()
}

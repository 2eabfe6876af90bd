package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// saved waits until the server has the result of a step of a request's run, and
// returns the run.
func (a *app) saved(key, step string) (run string) {
	a.t.Helper()
	eventually(a.t, patience, func() error {
		lines := a.log.lines(a.t, "")
		at := slices.IndexFunc(lines, func(ln line) bool { return ln.Key == key })
		if at < 0 {
			return fmt.Errorf("nobody has entered the endpoint for %s", key)
		}
		run = lines[at].Run
		if !slices.ContainsFunc(lines, func(ln line) bool {
			return ln.Run == run && (ln.What == "ack" || ln.What == "memo") && slices.Contains(ln.IDs, stepHash(step))
		}) {
			return fmt.Errorf("step %s of %s is not saved", step, key)
		}
		return nil
	})
	return run
}

// TestEndpointsKilled kills the app, and then the server, after each step of an
// endpoint in turn: in the client's own request, and after it was entered again.
// PAWL_ENDPOINT_STEPS is the number of steps.
func TestEndpointsKilled(t *testing.T) {
	guard(t)
	n := setting(t, "PAWL_ENDPOINT_STEPS", 2)
	for _, s := range []sdk{node, next, goapp} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPawl(t, serve, "--endpoint-lease", "2s", "--retry-interval", "300ms", "--durability", "full")
			p, a := startEndpointsWith(t, s, p, pastRecorder)
			victims := []struct {
				name        string
				kill, start func()
			}{{"the app", a.kill, a.start}, {"the server", p.kill, p.start}}
			for _, v := range victims {
				for k := 1; k <= n && s != goapp; k++ { // Go reports at the end of its request
					t.Run(fmt.Sprintf("%s after step %d of the client's request", v.name, k), func(t *testing.T) {
						key := fmt.Sprintf("%s %d", v.name, k)
						var client sync.WaitGroup
						var got reply
						var err error
						client.Go(func() { got, err = a.ask(context.Background(), slow(n, key, "")) })
						run := a.saved(key, fmt.Sprintf("s%d", k))
						v.kill()
						v.start()
						client.Wait()
						require.Equal(t, "Completed", p.await(run).Status)
						if err == nil && got.status == 200 {
							require.JSONEq(t, slowResult(n, key), got.body, "what the client has got")
						} else {
							t.Logf("the client: %d %.100s %v", got.status, got.body, err)
						}
						a.ranOnce(t, run, n, k)
					})
				}
				for k := 1; k <= n; k++ {
					t.Run(fmt.Sprintf("%s after step %d of an endpoint that was entered again", v.name, k), func(t *testing.T) {
						key := fmt.Sprintf("%s again %d", v.name, k)
						got, err := a.ask(t.Context(), slow(n, key, "100ms"))
						require.NoError(t, err)
						at, ok := got.redirects(p)
						require.True(t, ok, "%d %s", got.status, got.body)
						waiting := p.read(at, 3)
						run := a.saved(key, fmt.Sprintf("s%d", k))
						v.kill()
						v.start()
						wantSlow(t, s, n, key, waiting.result(t))
						require.Equal(t, "Completed", p.await(run).Status)
						a.ranOnce(t, run, n, k)
					})
				}
			}
			a.log.sound(t)
			p.stop()
			p.wantSound()
		})
	}
}

// slow is a request to an endpoint with n steps, which sleeps before them if it
// is told how long.
func slow(n int, key, nap string) string {
	path := fmt.Sprintf("slow?n=%d&ms=200&key=%s", n, strings.ReplaceAll(key, " ", "+"))
	if nap != "" {
		path += "&for=" + nap
	}
	return path
}

func slowResult(n int, key string) string {
	seen := make([]string, n)
	for i := range seen {
		seen[i] = fmt.Sprint(i + 1)
	}
	return fmt.Sprintf(`{"key":%q,"seen":[%s]}`, key, strings.Join(seen, ","))
}

// wantSlow wants the result of such an endpoint at its result URL.
func wantSlow(t *testing.T, s sdk, n int, key string, got reply) {
	t.Helper()
	tour{status: 200, moved: true}.wantReply(t, s, slowResult(n, key), got)
}

// ranOnce wants that none of the first k steps of n began twice, and that all have
// ended.
func (a *app) ranOnce(t *testing.T, run string, n, k int) {
	t.Helper()
	lines := a.log.lines(t, run)
	for i := 1; i <= n; i++ {
		step := fmt.Sprintf("s%d", i)
		require.NotEmpty(t, times(lines, step, "end"), "ends of %s", step)
		if i <= k {
			require.Len(t, attempts(lines, step), 1, "starts of %s, which was saved when the process died", step)
		}
	}
}

// TestEndpointKillMix kills server and app at random moments under many requests.
// A client that was sent to a result URL gets a result, whatever dies; what began
// ends; and no step runs again once its result was acknowledged. PAWL_KILL_SEED
// repeats a failure, PAWL_ENDPOINT_KILLS sizes it.
func TestEndpointKillMix(t *testing.T) {
	guard(t)
	t.Parallel()
	kills := setting(t, "PAWL_ENDPOINT_KILLS", 4)
	seed := setting(t, "PAWL_KILL_SEED", int(time.Now().UnixNano()%1_000_000))
	t.Logf("PAWL_ENDPOINT_KILLS=%d PAWL_KILL_SEED=%d", kills, seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	p := newPawl(t, serve, "--endpoint-lease", "4s", "--retry-interval", "300ms", "--durability", "full")
	p, a := startEndpointsWith(t, node, p, "RETRIES=1000") // the recorder in front of a dead app hangs up, which costs tries

	const steps = 4
	var clients sync.WaitGroup
	var requests atomic.Int64
	counts, stop := newCounter(), make(chan struct{})
	for range 6 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := requests.Add(1)
				what, err := visitSlow(p, a, steps, fmt.Sprintf("m%d", n), []string{"", "50ms", "1s"}[n%3])
				if err != nil {
					t.Errorf("request m%d: %v", n, err)
				}
				counts.add(what)
			}
		})
	}
	for range kills {
		<-time.After(time.Duration(100+random.IntN(1500)) * time.Millisecond)
		if random.IntN(2) == 0 {
			p.kill()
			p.wantSound()
			p.start()
		} else {
			a.kill()
			a.start()
		}
	}
	close(stop)
	clients.Wait()
	begun, byKey := map[string]bool{}, map[string]string{}
	for _, ln := range a.log.lines(t, "") {
		if ln.What == "ack" || ln.What == "memo" {
			begun[ln.Run] = true
		}
		if ln.Key != "" {
			if run, ok := byKey[ln.Key]; ok {
				require.Equal(t, run, ln.Run, "the one run of the request %s", ln.Key)
			}
			byKey[ln.Key] = ln.Run
		}
	}
	require.NotEmpty(t, begun)
	for run := range begun {
		require.Equal(t, "Completed", p.await(run).Status, "run %s, of which the server knew, after %+v", run, p.steps(run))
		a.ranOnce(t, run, steps, 0)
	}
	t.Logf("%d requests answered by the app, %d by a result URL, %d lost on the way; %d runs",
		counts.of("answered"), counts.of("moved"), counts.of("lost"), len(begun))
	a.log.sound(t)
	p.stop()
	p.wantSound()
}

// visitSlow asks an endpoint with n steps, and follows it to its result. A request
// may be lost with the process that serves it; then the client knows nothing.
func visitSlow(p *pawl, a *app, n int, key, nap string) (what string, err error) {
	got, err := a.ask(context.Background(), slow(n, key, nap))
	for errors.Is(err, syscall.ECONNREFUSED) { // nobody has seen it
		<-time.After(50 * time.Millisecond)
		got, err = a.ask(context.Background(), slow(n, key, nap))
	}
	if err != nil || got.status == http.StatusInternalServerError { // the SDK could not reach the server
		return "lost", nil
	}
	what = "answered"
	if at, ok := got.redirects(p); ok {
		what = "moved"
		if got, err = follow(context.Background(), at); err != nil {
			return what, err
		}
		var text string
		if json.Unmarshal([]byte(got.body), &text) == nil {
			got.body = text
		}
	}
	if got.status != http.StatusOK || got.body != slowResult(n, key) {
		return what, fmt.Errorf("the result is %d %.300s", got.status, got.body)
	}
	return what, nil
}

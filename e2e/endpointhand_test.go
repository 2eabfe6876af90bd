package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// tell posts to the API of people, and returns the data of the answer.
func (p *pawl) tell(path string, body op, out any) {
	p.t.Helper()
	req, err := http.NewRequest("POST", p.url+path, strings.NewReader(string(encoded(body))))
	require.NoError(p.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+signingKey)
	envelope := struct{ Data any }{out}
	require.NoError(p.t, do(req, &envelope))
}

// TestEndpointsInHand does to runs of endpoints what people do to runs: cancel them,
// ask why they do not go on, and run them again.
func TestEndpointsInHand(t *testing.T) {
	t.Parallel()
	p, a := startEndpoints(t, node, serve)
	moved := func(t *testing.T, path string) (at, run string) {
		t.Helper()
		got, err := a.ask(t.Context(), path)
		require.NoError(t, err)
		at, ok := got.redirects(p)
		require.True(t, ok, "%d %s", got.status, got.body)
		return at, runOf(at)
	}

	t.Run("cancelled in a sleep, of which its readers are told", func(t *testing.T) {
		at, run := moved(t, "nap?for=1h&key=asleep")
		p.resting(run, "nap")
		waiting := p.read(at, 3)
		require.NoError(t, p.cancel(run))
		got := waiting.result(t)
		require.Equal(t, 200, got.status)
		require.JSONEq(t, `{"error":{"name":"Cancelled","message":"the run was cancelled"}}`, got.body)
		require.Equal(t, "Cancelled", p.await(run).Status)
		require.Empty(t, attempts(a.log.lines(t, run), "b"))
	})

	t.Run("cancelled while its app serves it, which starts no further step", func(t *testing.T) {
		var client sync.WaitGroup
		var got reply
		var err error
		client.Go(func() { got, err = a.ask(t.Context(), "slow?n=3&ms=500&key=served") })
		run := a.saved("served", "s1")
		require.NoError(t, p.cancel(run))
		client.Wait()
		require.NoError(t, err)
		require.Equal(t, 500, got.status, "the SDK is told with its next report")
		require.Equal(t, "Cancelled", p.await(run).Status)
		require.Empty(t, attempts(a.log.lines(t, run), "s3"))
		got, err = fetch(t.Context(), "GET", p.url+"/v1/runs/"+run, "", map[string]string{"Authorization": "Bearer " + signingKey})
		require.NoError(t, err)
		require.Contains(t, got.body, `"Cancelled"`)
	})

	t.Run("why it does not go on", func(t *testing.T) {
		var client sync.WaitGroup
		client.Go(func() { a.ask(t.Context(), "slow?n=2&ms=1000&key=why") })
		run := a.saved("why", "s1")
		out := p.cli("why", run)
		require.Contains(t, out, "serves the request in which it began")
		var why struct{ Reason string }
		require.NoError(t, p.get("/v1/runs/"+run+"/why", &why))
		require.Equal(t, "inline", why.Reason)
		client.Wait()
		require.Contains(t, p.cli("why", run), "It completed at")

		_, run = moved(t, "approval?key=why2")
		p.resting(run, "approval")
		require.Contains(t, p.cli("why", run), "trip/approval")
	})

	t.Run("a dead letter is shown, and run again with the same request", func(t *testing.T) {
		at, run := moved(t, "broken?n=4&key=dead&say=a+b")
		require.Equal(t, "Failed", p.await(run).Status)
		require.Contains(t, p.read(at, 1).result(t).body, "between fails, 4 of 4")
		require.Contains(t, p.cli("dlq", "show", run), "between fails, 4 of 4")
		require.Contains(t, p.cli("dlq"), "get-api-broken")
		p.cli("dlq", "retry", run)
		again := p.rerunOf(t, run)
		require.Equal(t, "Completed", p.await(again).Status)
		require.Contains(t, string(p.await(again).Output), `dead`)
		require.Len(t, attempts(a.log.lines(t, again), "a"), 1, "from its start")
		require.Len(t, attempts(a.log.lines(t, run), "a"), 1)
	})

	t.Run("run again from a step, which repeats none before it", func(t *testing.T) {
		got, err := a.ask(t.Context(), "plain?key=again")
		require.NoError(t, err)
		require.Equal(t, 201, got.status)
		run := a.runOf(t, "again")
		require.Equal(t, "Completed", p.await(run).Status)
		var whole, part struct {
			RunID string `json:"run_id"`
		}
		p.tell("/v1/runs/"+run+"/rerun", op{}, &whole)
		p.tell("/v1/runs/"+run+"/rerun", op{"fromStep": op{"stepId": "b"}}, &part)
		for _, again := range []string{whole.RunID, part.RunID} {
			require.Equal(t, "Completed", p.await(again).Status)
			require.Contains(t, string(p.await(again).Output), "again: 1 2 3")
		}
		require.Len(t, attempts(a.log.lines(t, whole.RunID), "a"), 1)
		require.Empty(t, attempts(a.log.lines(t, part.RunID), "a"))
		require.Len(t, attempts(a.log.lines(t, part.RunID), "b"), 1)
		require.Len(t, attempts(a.log.lines(t, part.RunID), "c"), 1)
	})

	t.Run("asked for at Pawl", func(t *testing.T) {
		q := newPawl(t, serve, "--endpoint-lease", "2s", "--retry-interval", "300ms")
		b := newApp(t, node, q)
		q.argv = append(q.argv, "--endpoint", b.rec.appURL+"/api")
		b.start()
		q.start()
		host := strings.TrimPrefix(b.rec.appURL, "http://")
		key := map[string]string{"Idempotency-Key": "k1"}
		var all sync.WaitGroup
		bodies := make([]string, 10)
		for i := range bodies {
			all.Go(func() {
				got, err := fetch(t.Context(), "POST", q.url+"/x/"+host+"/api/echo?key=front", `{"n":1}`, key)
				if err == nil && got.status == http.StatusOK {
					bodies[i] = got.body
				}
			})
		}
		all.Wait()
		for _, body := range bodies {
			require.Equal(t, bodies[0], body)
		}
		require.JSONEq(t, `{"key":"front","method":"POST","query":"key=front","sent":{"n":1},"type":"application/json"}`, bodies[0])
		run := b.runOf(t, "front")
		for _, step := range []string{"a", "b"} {
			require.Len(t, attempts(b.log.lines(t, run), step), 1)
		}
	})
	a.log.sound(t)
}

// rerunOf returns the run that was started anew for another.
func (p *pawl) rerunOf(t *testing.T, run string) string {
	t.Helper()
	for _, r := range p.allRuns("") {
		var shown struct {
			Original string `json:"original_run_id"`
		}
		require.NoError(t, p.get("/v1/runs/"+r.ID, &shown))
		if shown.Original == run && r.ID != run {
			return r.ID
		}
	}
	t.Fatalf("no run was started anew for %s", run)
	return ""
}

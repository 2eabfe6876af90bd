package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cli runs a command of the binary as an operator does, and returns what it says.
func (p *pawl) cli(args ...string) string {
	p.t.Helper()
	cmd := exec.Command(p.argv[0], append(args, "--url", p.url, "--signing-key", signingKey)...)
	out, err := cmd.CombinedOutput()
	require.NoError(p.t, err, "pawl %s: %s", strings.Join(args, " "), out)
	return string(out)
}

// slug is the full name of a function of the stage's app.
func (s stage) slug(fn string) string { return s.a.sdk.name + "-" + fn }

// awaitWorks waits until as many bodies of a function have started.
func (s stage) awaitWorks(fn, key string, n int) {
	s.Helper()
	eventually(s.T, patience, func() error {
		if got := len(s.works(fn, key)); got < n {
			return fmt.Errorf("%d bodies of %s have started, want %d", got, fn, n)
		}
		return nil
	})
}

// operatedFlows is what operators do while the apps of two SDKs run.
var operatedFlows = []trial{
	{
		name: "a paused function keeps what comes, and resume lets it go",
		play: func(s stage) {
			fn := s.slug("flow-free")
			require.Contains(s, s.p.cli("pause", fn, "--reason", "the bank is down"), fn+": paused")
			ids, _ := s.flow("flow-free", each(3, nil)...)
			invoked, err := s.invoke("flow-free", op{"n": 4})
			require.NoError(s, err)
			for _, run := range []string{s.p.runs(ids[0])[0].ID, invoked} {
				require.Contains(s, s.p.held(run), fn+" is paused since ")
				require.Contains(s, s.p.cli("why", run), "(the bank is down); pawl resume "+fn+" lets it go on")
			}
			s.end(s.start("flow-once", op{"n": 1, "order": "while paused"})).completed(s.T, "[1]")
			require.Empty(s, s.works("flow-free", ""))
			s.p.cli("resume", fn)
			s.completed(ids...)
			require.Equal(s, "Completed", s.p.await(invoked).Status)
			require.Len(s, s.works("flow-free", ""), 4)
			var acts []struct{ What, By string }
			require.NoError(s, s.p.get("/v1/audit?object="+fn, &acts))
			require.Len(s, acts, 2)
			require.Equal(s, "resume", acts[0].What)
			require.Equal(s, "pause", acts[1].What)
		},
	},
	{
		name: "a pause lets runs in progress end, or holds them too",
		play: func(s stage) {
			fn := s.slug("flow-nap")
			first := s.start("flow-nap", op{"n": 1})
			s.p.resting(first.ID, "nap")
			s.p.cli("pause", fn)
			second := s.start("flow-nap", op{"n": 2})
			s.end(first).completed(s.T, "[1]")
			s.p.held(second.ID)
			s.p.cli("resume", fn)
			s.p.resting(second.ID, "nap")
			s.p.cli("pause", fn, "--all")
			require.Contains(s, s.p.held(second.ID), fn+" is paused since ", "its nap is over")
			s.p.cli("resume", fn)
			s.end(second).completed(s.T, "[2]")

			// Row 87, with an option that these SDKs do not have: while a run naps, the
			// next does not begin. Row 88: when it is cancelled, it does.
			s.p.cli("limit", fn, `{"concurrency":{"fn":[{"limit":1}]}}`)
			third := s.start("flow-nap", op{"n": 3, "nap": "3600s"})
			s.p.resting(third.ID, "nap")
			fourth := s.start("flow-nap", op{"n": 4})
			require.Contains(s, s.p.held(fourth.ID), fn+" runs as often at once as its limit of 1 allows")
			require.NoError(s, s.p.cancel(third.ID))
			s.end(fourth).completed(s.T, "[4]")
			s.p.cli("limit", fn, "--clear")
		},
	},
	{
		name: "a limit is changed while runs wait, by command and by API",
		play: func(s stage) {
			fn := s.slug("flow-one")
			path := "/v1/functions/" + fn + "/limits"
			var ids []string
			for n := range 5 {
				id, _ := s.flow("flow-one", op{"n": n, "key": "live", "hold": fmt.Sprint("live-", n)})
				ids = append(ids, id...)
			}
			s.awaitWorks("flow-one", "live", 1)
			s.p.held(s.p.runs(ids[1])[0].ID)
			s.p.cli("limit", fn, `{"concurrency": 3}`, "--reason", "more room")
			s.awaitWorks("flow-one", "live", 3)
			s.p.held(s.p.runs(ids[3])[0].ID)

			require.NoError(s, s.p.call("PUT", path, op{"limits": op{"concurrency": 1}}, nil))
			s.open("live-0")
			s.open("live-1")
			eventually(s.T, patience, func() error {
				for _, w := range s.works("flow-one", "live") {
					if w.Data[0].N < 2 && w.end == 0 {
						return errNotYet
					}
				}
				return nil
			})
			s.p.held(s.p.runs(ids[3])[0].ID)
			s.open("live-2")
			s.awaitWorks("flow-one", "live", 4)
			list := s.works("flow-one", "live")
			for _, w := range list[:3] {
				require.NotZero(s, w.end)
				require.LessOrEqual(s, w.end, list[3].T, "the limit is 1 again")
			}
			err := s.p.call("PUT", path, op{"limits": op{"concurrency": "many"}}, nil)
			refused(s.T, err, http.StatusBadRequest, "concurrency")
			require.NoError(s, s.p.call("PUT", path, op{"limits": nil}, nil))
			s.open("live-3")
			s.open("live-4")
			s.completed(ids...)
			require.Equal(s, 3, peak(spans(s.works("flow-one", "live"))))
		},
	},
	{
		name: "a throttle is put on a function and taken off it",
		play: func(s stage) {
			fn := s.slug("flow-priority")
			s.p.cli("limit", fn, `{"throttle":{"limit":1,"period":"1h"}}`)
			ids, _ := s.flow("flow-priority", each(4, nil)...)
			s.completed(ids[0])
			require.Contains(s, s.p.held(s.p.runs(ids[1])[0].ID), "the throttle of "+fn+" lets 1 begin in 1h")
			require.Len(s, s.works("flow-priority", ""), 1)
			s.p.cli("limit", fn, "--clear")
			s.completed(ids...)
			require.Len(s, s.works("flow-priority", ""), 4)
		},
	},
}

// TestFlowOperated changes what holds while apps run.
func TestFlowOperated(t *testing.T) {
	p, apps := startFlow(t)
	t.Run("functions", func(t *testing.T) {
		for _, tr := range operatedFlows {
			for _, a := range apps {
				t.Run(tr.name+"/"+a.sdk.name, func(t *testing.T) {
					t.Parallel()
					p := *p
					p.t = t
					tr.play(stage{t, &p, a})
				})
			}
		}
	})
	for i, a := range apps {
		t.Run("a paused app, and limits, over a kill/"+a.sdk.name, func(t *testing.T) {
			s, other := stage{t, p, a}, stage{t, p, apps[1-i]}
			name := "app/" + a.sdk.name
			p.cli("pause", name, "--reason", "moves house")
			p.cli("limit", s.slug("flow-one"), `{"concurrency": 2}`)
			before := s.start("flow-free", op{"n": 10, "key": "paused"})
			p.kill()
			p.start()
			after := s.start("flow-free", op{"n": 11, "key": "paused"})
			for _, run := range []runInfo{before, after} {
				require.Contains(t, p.held(run.ID), name+" is paused since ")
			}
			other.end(other.start("flow-free", op{"n": 12})).completed(t, "[12]")
			require.Empty(t, s.works("flow-free", "paused"))
			var controls []struct{ Name, Paused, Reason string }
			require.NoError(t, p.get("/v1/controls", &controls))
			require.Contains(t, controls, struct{ Name, Paused, Reason string }{name, "starts", "moves house"})
			p.cli("resume", name)
			s.end(before).completed(t, "[10]")
			s.end(after).completed(t, "[11]")

			ids, _ := s.flow("flow-one", each(3, op{"key": "killed", "hold": "two of three"})...)
			s.awaitWorks("flow-one", "killed", 2)
			waiting := slices.DeleteFunc([]string{ids[0], ids[1], ids[2]}, func(id string) bool {
				run := p.runs(id)[0].ID
				return slices.ContainsFunc(s.works("flow-one", "killed"), func(w *work) bool { return w.Run == run })
			})
			require.Len(t, waiting, 1)
			p.held(p.runs(waiting[0])[0].ID)
			s.open("two of three")
			s.completed(ids...)
			require.Equal(t, 2, peak(spans(s.works("flow-one", "killed"))), "the limit outlives the server")
		})
	}
	p.stop()
	p.wantSound()
}

// circuit is the open circuit of an app as the API shows it; nil: it is closed.
func (p *pawl) circuit(app string) *struct{ Error, Every string } {
	p.t.Helper()
	var apps []struct {
		Name    string
		Circuit *struct{ Error, Every string }
	}
	require.NoError(p.t, p.get("/v1/apps", &apps))
	for _, a := range apps {
		if a.Name == app {
			return a.Circuit
		}
	}
	p.t.Fatalf("there is no app %s", app)
	return nil
}

// awaitCircuit waits until the circuit of an app is open, or closed.
func (p *pawl) awaitCircuit(app string, open bool) {
	p.t.Helper()
	eventually(p.t, patience, func() error {
		if c := p.circuit(app); (c != nil) != open {
			return fmt.Errorf("the circuit of %s is %+v", app, c)
		}
		return nil
	})
}

// TestFlowCircuit breaks apps, one by answering 503 to everything and the other by
// not being there, while a third goes on.
func TestFlowCircuit(t *testing.T) {
	p := newPawl(t, serve)
	apps := []*app{newApp(t, ts4, p), newApp(t, py, p)}
	for _, a := range apps { // so that nothing listens where pawl calls when the app is away
		origin := strings.TrimSuffix(a.direct("/"), "/")
		a.env = append(a.env, "INNGEST_SERVE_ORIGIN="+origin, "INNGEST_SERVE_HOST="+origin)
	}
	p.startFor(apps...)
	healthy := startRawApp(t, p, "raw", map[string]rawFn{
		"fine": {event: "raw/fine", handle: func(*rawCall) rawAnswer { return result("fine") }},
	})
	for i, a := range apps {
		t.Run(fmt.Sprintf("%s answers 503, %s is away", a.sdk.name, apps[1-i].sdk.name), func(t *testing.T) {
			p := *p
			p.t = t
			broken, away := stage{t, &p, a}, stage{t, &p, apps[1-i]}
			breakApp := func(status int) {
				res, err := httpClient.Get(a.direct("/break?" + url.Values{"status": {fmt.Sprint(status)}}.Encode()))
				require.NoError(t, err)
				res.Body.Close()
			}
			asked := func() (n int) {
				for _, ln := range a.log.lines(t, "") {
					if ln.What == "broken" {
						n++
					}
				}
				return n
			}
			breakApp(http.StatusServiceUnavailable)
			require.NoError(t, away.a.proc.signal(syscall.SIGTERM))
			key := fmt.Sprint("circuit-", i)
			const first, more = 6, 30
			var ids [2][]string
			for j, s := range []stage{broken, away} {
				ids[j], _ = s.flow("flow-free", each(first, op{"key": key})...)
			}
			for _, s := range []stage{broken, away} {
				p.awaitCircuit(s.a.sdk.name, true)
			}
			require.Contains(t, p.circuit(a.sdk.name).Error, "503")

			since, before := time.Now(), asked()
			for j, s := range []stage{broken, away} {
				then, _ := s.flow("flow-free", each(more, op{"key": key})...)
				last := p.awaitRuns(then[more-1], 1)[0].ID
				for _, why := range []string{p.held(last), p.cli("why", last)} {
					require.Contains(t, why, "its app "+s.a.sdk.name+" answers nothing but errors since ")
				}
				ids[j] = append(ids[j], then...)
			}
			run := p.outcome(p.send(event{Name: "raw/fine"})[0], 1)[0]
			require.Equal(t, "Completed", run.Status)
			require.Len(t, healthy.of(run.ID), 1, "another app is called as ever")
			eventually(t, patience, func() error {
				if asked() < before+1 {
					return errNotYet
				}
				return nil
			})
			// Those that were on their way when it opened, and one each second.
			require.LessOrEqual(t, asked()-before, first+1+int(time.Since(since)/time.Second))

			breakApp(0)
			away.a.start()
			for j, s := range []stage{broken, away} {
				s.completed(ids[j]...)
				require.Nil(t, p.circuit(s.a.sdk.name), "it is closed by an answer")
				require.Len(t, s.works("flow-free", key), first+more, "each has run once")
			}
			for _, id := range ids[1] {
				for _, st := range p.steps(p.runs(id)[0].ID) {
					require.LessOrEqual(t, len(st.Attempts), 1, "an app that is away uses up no tries")
				}
			}
		})
	}
}

// TestFlowBacklog sends more with each SDK than may wait.
func TestFlowBacklog(t *testing.T) {
	p, apps := startFlow(t, "--max-backlog", "3")
	for _, a := range apps {
		t.Run(a.sdk.name, func(t *testing.T) {
			p := *p
			p.t = t
			s := stage{t, &p, a}
			send := func(n int) (id string, err error) {
				body, err := json.Marshal(event{Name: s.name("flow-free"), Data: op{"n": n}})
				require.NoError(t, err)
				req, err := http.NewRequest("POST", a.direct("/send"), strings.NewReader(string(body)))
				require.NoError(t, err)
				req.Header.Set("Content-Type", "application/json")
				var sent struct{ IDs []string }
				if err := do(req, &sent); err != nil {
					return "", err
				}
				return sent.IDs[0], nil
			}
			p.cli("pause", s.slug("flow-free"))
			var ids []string
			for n := range 3 {
				id, err := send(n)
				require.NoError(t, err)
				ids = append(ids, id)
			}
			accepted := len(a.rec.sendAnswers())
			_, err := send(3)
			require.Error(t, err)
			require.Contains(t, err.Error(), "3 runs wait to begin, the most is 3; nothing was saved, send it again later")
			answers := a.rec.sendAnswers()[accepted:]
			tries := map[sdk]int{ts4: 5, py: 1}[a.sdk]
			require.Len(t, answers, tries, "the TypeScript SDK tries again, within seconds; the Python SDK leaves it to its user")
			for _, answer := range answers {
				require.Equal(t, sendAnswer{http.StatusTooManyRequests, "5"}, answer)
			}
			_, err = s.invoke("flow-free", op{"n": 4})
			refused(t, err, http.StatusTooManyRequests, "3 runs wait to begin")

			p.cli("resume", s.slug("flow-free"))
			s.completed(ids...)
			id, err := send(5)
			require.NoError(t, err, "there is room again")
			s.completed(id)
			require.ElementsMatch(t, [][]int{{0}, {1}, {2}, {5}}, numbers(s.works("flow-free", "")))
			require.Len(t, p.allRuns(s.slug("flow-free")), 4)
		})
	}
}

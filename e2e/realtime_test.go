package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script starts a program of an SDK's directory with Node, and returns its port,
// if it serves, and the file that it writes lines to.
func script(t *testing.T, s sdk, name string, serves bool, p *pawl, env ...string) (origin, out string, proc *process) {
	t.Helper()
	s.command(t) // installs
	dir, err := filepath.Abs(s.dir)
	require.NoError(t, err)
	out = filepath.Join(t.TempDir(), "out.jsonl")
	require.NoError(t, os.WriteFile(out, nil, 0o644))
	env = append(env, "OUT="+out, "APP_LOG="+out, "INNGEST_EVENT_KEY="+eventKey)
	if p.mode == dev {
		env = append(env, "INNGEST_DEV="+p.url)
	} else {
		env = append(env, "INNGEST_DEV=0", "INNGEST_BASE_URL="+p.url, "INNGEST_SIGNING_KEY="+signingKey)
	}
	if serves {
		port := freePort(t)
		origin = fmt.Sprintf("http://127.0.0.1:%d", port)
		env = append(env, fmt.Sprintf("PORT=%d", port), "INNGEST_SERVE_ORIGIN="+origin, "INNGEST_SERVE_HOST="+origin)
	}
	// Node 20 has WebSockets only when it is told so.
	proc = startProcess(t, s.name+"-"+strings.TrimSuffix(name, ".mjs"), env, "node", "--experimental-websocket", filepath.Join(dir, name))
	if serves {
		eventually(t, 30*time.Second, func() error {
			if proc.ended() {
				t.Fatalf("%s ended while starting:\n%s", name, proc.tail(4<<10))
			}
			res, err := httpClient.Get(origin + "/ready")
			if err == nil {
				res.Body.Close()
			}
			return err
		})
	}
	return origin, out, proc
}

// told reads the lines of a file that a script writes.
func told[T any](t *testing.T, path string) (list []T) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	for text := range bytes.Lines(b) {
		if !bytes.HasSuffix(text, []byte("\n")) {
			break // it is being written
		}
		var v T
		require.NoError(t, json.Unmarshal(text, &v), "%s", text)
		list = append(list, v)
	}
	return list
}

// heard is a message as an SDK hands it on.
type heard struct {
	Kind, Channel, Topic string
	Data                 json.RawMessage
	RunID                string
	StreamID             string
}

// awaitHeard waits until n messages have come to a subscriber.
func awaitHeard(t *testing.T, path string, n int) (list []heard) {
	t.Helper()
	eventually(t, patience, func() error {
		if list = told[heard](t, path); len(list) < n {
			return fmt.Errorf("%d of %d messages: %v", len(list), n, list)
		}
		return nil
	})
	return list
}

func (h heard) String() string {
	return fmt.Sprintf("%s %s/%s %s", h.Kind, h.Channel, h.Topic, h.Data)
}

func texts(list []heard) (out []string) {
	for _, h := range list {
		out = append(out, h.String())
	}
	return out
}

// TestRealtime lets functions of two SDKs publish, and both SDKs' clients read it.
// Data streams are not among it: at these versions both clients fail on the first
// message of one ("Cannot access 'stream' before initialization").
func TestRealtime(t *testing.T) {
	for _, m := range []mode{dev, serve} {
		t.Run(string(m), func(t *testing.T) {
			p := newPawl(t, m)
			for _, s := range []sdk{ts4, ts3} {
				origin, _, _ := script(t, s, "live.mjs", true, p)
				p.argv = append(p.argv, "--app", origin+"/api/inngest")
			}
			p.start()
			p.awaitApp("live4", 2)
			p.awaitApp("live3", 1)
			_, four, _ := script(t, ts4, "subscribe.mjs", false, p, "CHANNEL=user:7", "TOPICS=ai,status")
			_, three, _ := script(t, ts3, "subscribe.mjs", false, p, "CHANNEL=user:7", "TOPICS=ai,status")
			_, other, _ := script(t, ts4, "subscribe.mjs", false, p, "CHANNEL=user:8", "TOPICS=ai")
			for _, path := range []string{four, three, other} {
				require.Equal(t, "open", awaitHeard(t, path, 1)[0].Kind)
			}

			run := p.outcome(p.send(event{Name: "live4/chat", Data: map[string]any{"user": 7}})[0], 1)[0]
			require.Equal(t, "Completed", run.Status, "output %s", run.Output)
			want := []string{
				`data user:7/ai {"n":1,"text":"hello"}`, `data user:7/status "working"`, `data user:7/ai {"n":2,"of":{"n":1,"text":"hello"}}`,
			}
			for _, path := range []string{four, three} {
				list := awaitHeard(t, path, 4)[1:]
				require.Equal(t, want, texts(list), "each once, in order")
				for _, h := range list {
					require.Equal(t, run.ID, h.RunID)
				}
			}
			run = p.outcome(p.send(event{Name: "live3/chat", Data: map[string]any{"user": 7}})[0], 1)[0]
			require.Equal(t, "Completed", run.Status, "output %s", run.Output)
			want = []string{`data user:7/ai {"n":1,"text":"hello"}`, `data user:7/status "working"`}
			for _, path := range []string{four, three} {
				require.Equal(t, want, texts(awaitHeard(t, path, 6)[4:]))
			}

			require.Len(t, told[heard](t, other), 1, "another channel hears nothing")

			// The end of a run is told on its channel, without its result.
			waiting := p.send(event{Name: "live4/wait"})[0]
			var runs []runInfo
			eventually(t, patience, func() error {
				if runs = p.runs(waiting); len(runs) == 0 {
					return errNotYet
				}
				return nil
			})
			_, end, _ := script(t, ts4, "subscribe.mjs", false, p, "CHANNEL="+runs[0].ID, "TOPICS=any")
			awaitHeard(t, end, 1)
			eventually(t, patience, func() error { // it waits for the event by then
				if steps := p.steps(runs[0].ID); len(steps) == 0 {
					return errNotYet
				}
				return nil
			})
			p.send(event{Name: "live4/go"})
			require.Equal(t, []string{`run ` + runs[0].ID + `/$run {"status":"completed"}`}, texts(awaitHeard(t, end, 2)[1:]))
			p.stop()
		})
	}
}

// TestPythonPublishes with the SDK's own code, which sends its signing key's hash.
func TestPythonPublishes(t *testing.T) {
	p := startPawl(t, serve)
	py.command(t)
	_, out, _ := script(t, ts4, "subscribe.mjs", false, p, "CHANNEL=user:7", "TOPICS=ai")
	awaitHeard(t, out, 1)
	dir, err := filepath.Abs(py.dir)
	require.NoError(t, err)
	code := `
import os, inngest, logging
from inngest.experimental import realtime
client = inngest.Inngest(app_id="live", is_production=True, api_base_url=os.environ["PAWL"], event_api_base_url=os.environ["PAWL"])
realtime.publish_sync(client, "user:7", "ai", {"n": 1})
token = realtime.get_subscription_token_sync(client, "user:7", ["ai"])
assert token["key"], token
`
	proc := startProcess(t, "python", []string{"PAWL=" + p.url, "INNGEST_SIGNING_KEY=" + signingKey}, filepath.Join(dir, ".venv/bin/python"), "-c", code)
	<-proc.done
	require.Zero(t, proc.cmd.ProcessState.ExitCode(), proc.tail(4<<10))
	require.Equal(t, `data user:7/ai {"n":1}`, awaitHeard(t, out, 2)[1].String())
}

// seen is what the SDK's client of a streaming endpoint was told.
type seen struct {
	What, Step, Data string
	Status           int
	Type, Of, Next   string
	T                int64
}

// screen is what a client shows which does what it is told, since it connected.
type screen struct {
	from  string // endpoint or stream
	texts []seen
}

// screens replays what clients were told. None may show anything twice.
func screens(t *testing.T, list []seen) (all []*screen) {
	t.Helper()
	for i, e := range list {
		if e.What == "open" {
			all = append(all, &screen{from: e.Data})
			continue
		}
		s := all[len(all)-1]
		switch e.What {
		case "data":
			for _, shown := range s.texts {
				require.False(t, shown.Data == e.Data, "%q came twice: %+v", e.Data, list[:i+1])
			}
			s.texts = append(s.texts, e)
		case "rollback":
			s.texts = slices.DeleteFunc(s.texts, func(shown seen) bool { return shown.Step == e.Step })
		}
	}
	return all
}

// of is what a screen shows of a step; "" outside of steps.
func (s *screen) of(step string) (list []string) {
	id := ""
	if step != "" {
		id = stepHash(step)
	}
	for _, e := range s.texts {
		if e.Step == id {
			list = append(list, e.Data)
		}
	}
	return list
}

// speech is what a run of a step streams.
func speech(step string, run, tokens int) (list []string) {
	for i := range tokens {
		list = append(list, fmt.Sprintf("%s run %d token %d", step, run, i+1))
	}
	for _, word := range []string{"and", "so", "on"} {
		list = append(list, fmt.Sprintf("%s run %d %s", step, run, word))
	}
	return list
}

// awaitResult waits until a reader has the endpoint's answer.
func awaitResult(t *testing.T, out string) (list []seen, result seen) {
	t.Helper()
	eventually(t, patience, func() error {
		list = told[seen](t, out)
		if len(list) == 0 || list[len(list)-1].What != "result" {
			return fmt.Errorf("no result: %+v", list)
		}
		return nil
	})
	return list, list[len(list)-1]
}

// TestStreamingEndpoint follows the stream of an endpoint with the SDK's own client:
// from the app, over the redirect, past steps that fail, to the answer.
func TestStreamingEndpoint(t *testing.T) {
	for _, m := range []mode{dev, serve} {
		t.Run(string(m), func(t *testing.T) {
			p := startPawl(t, m)
			origin, _, _ := script(t, ts4, "endpoint.mjs", true, p)
			_, out, _ := script(t, ts4, "reader.mjs", false, p, "URL="+origin+"/talk?of=one")
			list, result := awaitResult(t, out)
			require.Equal(t, 201, result.Status)
			require.Equal(t, "one", result.Of, "the header of the endpoint's own response")
			require.JSONEq(t, `{"of":"one","runs":[1,2,1]}`, result.Data)

			all := screens(t, list)
			require.Len(t, all, 1, "one connection to the endpoint, and the client followed it")
			for step, want := range map[string][]string{
				"":       {"one begins", "one goes on", "one ends"},
				"direct": speech("direct", 1, 4), "flaky": speech("flaky", 2, 4), "left": speech("left", 1, 6), "right": speech("right", 2, 6), "last": speech("last", 1, 4),
			} {
				require.Equal(t, want, all[0].of(step), step)
			}
			marks := func(what, step string) (n int) {
				for _, e := range list {
					if e.What == what && e.Step == stepHash(step) {
						n++
					}
				}
				return n
			}
			require.Equal(t, 1, marks("rollback", "flaky"))
			require.Equal(t, 1, marks("rollback", "right"))
			for _, step := range []string{"direct", "flaky", "left", "right", "last"} {
				require.Equal(t, 1, marks("commit", step), step)
			}
			first, last := slices.IndexFunc(list, func(e seen) bool { return e.Data == "last run 1 token 1" }), slices.IndexFunc(list, func(e seen) bool { return e.Data == "last run 1 token 4" })
			require.GreaterOrEqual(t, list[last].T-list[first].T, int64(40), "tokens come as they are produced, 20 ms apart, and not all at the end")

			// Who comes later gets what went through the server: all but what the app
			// sent its client itself.
			_, out, _ = script(t, ts4, "reader.mjs", false, p, "URL="+result.Next)
			list, again := awaitResult(t, out)
			require.Equal(t, result.Data, again.Data)
			require.Equal(t, result.Status, again.Status)
			late := screens(t, list)
			require.Len(t, late, 1)
			for _, step := range []string{"", "flaky", "left", "right", "last"} {
				require.Equal(t, all[0].of(step), late[0].of(step), step)
			}
			require.Empty(t, late[0].of("direct"))
			require.NotContains(t, p.proc.tail(1<<20), result.Next[strings.Index(result.Next, "token=")+6:], "tokens are not logged")
			p.stop()
			p.wantSound()
		})
	}
}

// TestStreamingEndpointFails: the client is told by the app or, when that says
// nothing, by the server.
func TestStreamingEndpointFails(t *testing.T) {
	p := startPawl(t, dev)
	origin, _, app := script(t, ts4, "endpoint.mjs", true, p)
	_, out, _ := script(t, ts4, "reader.mjs", false, p, "URL="+origin+"/talk?of=two&fail=1&ms=5")
	_, result := awaitResult(t, out)
	require.Equal(t, 500, result.Status)
	require.Contains(t, result.Data, "it was all for nothing")

	_, out, _ = script(t, ts4, "reader.mjs", false, p, "URL="+origin+"/talk?of=three&ms=5")
	run := ""
	eventually(t, patience, func() error {
		for _, e := range told[seen](t, out) {
			if e.What == "run" {
				run = e.Data
			}
			if e.What == "data" && e.Data == "flaky run 1 token 1" {
				return nil
			}
		}
		return errNotYet
	})
	req, err := http.NewRequest("DELETE", p.url+"/v1/runs/"+run, nil)
	require.NoError(t, err)
	require.NoError(t, do(req, nil))
	_, result = awaitResult(t, out)
	require.Equal(t, 500, result.Status)
	require.Equal(t, `"run failed: it was cancelled"`, result.Data)
	require.False(t, app.ended())
}

// TestStreamingEndpointOutlivesKills kills the server while an endpoint streams.
// The reader comes again each time. Whatever it was told on a connection, it never
// shows anything twice, and in the end it has all that was streamed, once.
func TestStreamingEndpointOutlivesKills(t *testing.T) {
	t.Run("asked at the app", func(t *testing.T) { outliveKills(t, false) })
	t.Run("asked at Pawl", func(t *testing.T) { outliveKills(t, true) })
}

func outliveKills(t *testing.T, atPawl bool) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	p := newPawl(t, dev, "--durability", "full", "--endpoint-lease", "5s")
	origin, log, _ := script(t, ts4, "endpoint.mjs", true, p)
	p.argv = append(p.argv, "--endpoint", origin+"/talk")
	p.start()
	ask, steps := []string{"URL=" + origin + "/talk?of=kill&ms=100"}, map[string]int{"flaky": 4, "left": 6, "right": 6, "last": 4}
	if atPawl {
		ask = []string{"URL=" + p.url + "/x/" + strings.TrimPrefix(origin, "http://") + "/talk?of=kill&ms=100", "KEY=once"}
		steps["direct"] = 4 // which the app sends its client itself otherwise
	}
	_, out, _ := script(t, ts4, "reader.mjs", false, p, ask...)
	awaitLine := func(of string) {
		eventually(t, patience, func() error {
			for _, e := range told[seen](t, out) {
				if strings.HasPrefix(e.Data, of) {
					return nil
				}
			}
			return fmt.Errorf("nothing of %s yet", of)
		})
	}
	for _, of := range []string{"flaky run", "left run", "last run"} {
		awaitLine(of)
		time.Sleep(time.Duration(r.IntN(700)) * time.Millisecond)
		p.kill()
		p.wantSound()
		p.start()
	}
	list, result := awaitResult(t, out)
	require.Equal(t, 201, result.Status)
	all := screens(t, list)
	require.Greater(t, len(all), 1, "the reader came again")
	last := all[len(all)-1]
	require.Equal(t, []string{"kill begins", "kill goes on", "kill ends"}, last.of(""))
	said := map[string][]int{} // runs of a step that have succeeded, of which one counts
	for _, ln := range told[line](t, log) {
		said[ln.Step] = append(said[ln.Step], ln.Attempt)
	}
	for step, tokens := range steps {
		require.True(t, slices.ContainsFunc(said[step], func(run int) bool {
			return slices.Equal(speech(step, run, tokens), last.of(step))
		}), "%s succeeded in runs %v, and the screen shows %q", step, said[step], last.of(step))
	}
	p.stop()
	p.wantSound()
}

// TestEventSourceGoesOnWhereItWas: a reader that says what it has gets the rest,
// over a kill, and is told to ask no more when it has all.
func TestEventSourceGoesOnWhereItWas(t *testing.T) {
	p := startPawl(t, serve, "--durability", "full")
	origin, _, _ := script(t, ts4, "endpoint.mjs", true, p)
	_, out, _ := script(t, ts4, "reader.mjs", false, p, "URL="+origin+"/talk?of=es&ms=30")
	_, result := awaitResult(t, out)
	u, err := url.Parse(result.Next)
	require.NoError(t, err)
	read := func(after string) (status int, ids []string, texts []string) {
		req, err := http.NewRequest("GET", u.String(), nil)
		require.NoError(t, err)
		if after != "" {
			req.Header.Set("Last-Event-ID", after)
		}
		res, err := httpClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		scan := bufio.NewScanner(res.Body)
		for scan.Scan() {
			if id, ok := strings.CutPrefix(scan.Text(), "id: "); ok {
				ids = append(ids, id)
			} else if data, ok := strings.CutPrefix(scan.Text(), "data: "); ok {
				texts = append(texts, data)
			}
		}
		return res.StatusCode, ids, texts
	}
	_, ids, whole := read("")
	require.GreaterOrEqual(t, len(ids), 2)
	p.kill()
	p.start()
	_, _, again := read("")
	require.Equal(t, whole, again, "over a restart")
	status, more, rest := read(ids[0])
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, ids[len(ids)-1], more[len(more)-1])
	require.Less(t, len(rest), len(whole))
	require.Contains(t, strings.Join(rest, "\n"), `"status":"succeeded"`)
	status, _, rest = read(ids[len(ids)-1])
	require.Equal(t, http.StatusNoContent, status)
	require.Empty(t, rest)
}

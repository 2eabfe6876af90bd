package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCanaries (S14) gives Pawl secrets of every kind, lets everything go wrong
// with the log at its loudest, and looks for them wherever Pawl writes.
func TestCanaries(t *testing.T) {
	guard(t)
	bin, err := binary()
	require.NoError(t, err)
	dir := t.TempDir()
	hex := func(n int) string { return strings.Repeat(fmt.Sprintf("c0ffee%02d", n), 8) }
	// Those of an app's URL are needed to call it: they may stand in the database.
	secrets := map[string]string{
		"signing key": hex(1), "previous signing key": hex(2), "event key": "CANARY-event-key", "another event key": "CANARY-other-key",
		"a wrong signing key": hex(3), "a wrong event key": "CANARY-wrong-event-key", "a bearer that is no key": "CANARY-bearer",
		"basic credentials": "CANARY-basic", "a cookie": "CANARY-cookie",
	}
	inURLs := map[string]string{"user of an app": "CANARY-user", "password of an app": "CANARY-password", "token of an app": "CANARY-token"}

	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		if user, password, _ := req.BasicAuth(); user != "CANARY-user" || password != "CANARY-password" || req.URL.Query().Get("token") != "CANARY-token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		switch req.URL.Query().Get("fnId") {
		case "canary-html":
			io.WriteString(w, "<html>")
		case "canary-cut":
			panic(http.ErrAbortHandler)
		case "canary-good":
			w.Header().Set("X-Inngest-SDK", "inngest-js:v4.24.0")
			io.WriteString(w, `"well"`)
		default:
			w.Header().Set("X-Inngest-SDK", "inngest-js:v4.24.0")
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"name":"Error","message":"broken"}`)
		}
	}))
	t.Cleanup(app.Close)
	withSecrets := func(at, path string) string {
		return strings.Replace(at, "://", "://CANARY-user:CANARY-password@", 1) + path + "?token=CANARY-token"
	}
	appURL := withSecrets(app.URL, "/api/inngest")
	gone := withSecrets(fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), "/api")

	for _, m := range []mode{serve, dev} {
		t.Run(string(m), func(t *testing.T) {
			addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
			db := filepath.Join(dir, string(m)+".db")
			p := &pawl{t: t, mode: m, url: "http://" + addr}
			p.argv = []string{bin, string(m), "--listen", addr, "--db", "sqlite:" + db, "--retry-interval", "20ms", "--poll-interval", "50ms", "--log-level", "debug"}
			env := []string{"PAWL_APP=" + appURL + "," + gone}
			if m == serve {
				env = append(env, "PAWL_SIGNING_KEY=signkey-test-"+hex(1), "PAWL_SIGNING_KEY_PREVIOUS=signkey-test-"+hex(2), "PAWL_EVENT_KEY=CANARY-event-key,CANARY-other-key")
			} else {
				p.argv = append(p.argv, "--no-discovery")
			}
			p.startWith(env)

			var answers bytes.Buffer
			ask := func(method, path, body string, header map[string]string) {
				req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
				require.NoError(t, err)
				req.Header.Set("Content-Type", "application/json")
				for k, v := range header {
					req.Header.Set(k, v)
				}
				res, err := httpClient.Do(req)
				require.NoError(t, err)
				defer res.Body.Close()
				fmt.Fprintf(&answers, "%s %v\n", res.Status, res.Header)
				_, err = io.Copy(&answers, res.Body)
				require.NoError(t, err)
			}
			right := map[string]string{"Authorization": "Bearer signkey-test-" + hex(1), "Cookie": "session=CANARY-cookie"}
			functions := []op{}
			for _, name := range []string{"good", "html", "cut", "broken", "gone"} {
				at := appURL
				if name == "gone" {
					at = gone
				}
				functions = append(functions, op{"id": "canary-" + name, "name": name, "triggers": []op{{"event": "canary/all"}}, "steps": op{"step": op{
					"runtime": op{"url": at + "&fnId=canary-" + name + "&stepId=step"}, "retries": op{"attempts": 1},
				}}})
			}
			registration := string(must(json.Marshal(op{"url": appURL, "appName": "canary", "sdk": "js:v4.24.0", "functions": functions})))
			ask("POST", "/fn/register", registration, right)
			ask("POST", "/fn/register", strings.Replace(registration, `"triggers"`, `"throttle":{"limit":0},"triggers"`, 1), right)
			ask("POST", "/fn/register", strings.ReplaceAll(registration, "http://", "ftp://"), right)
			for _, header := range []map[string]string{
				{"Authorization": "Bearer signkey-test-" + hex(3)}, {"Authorization": "Bearer CANARY-bearer"}, {"Authorization": "Basic CANARY-basic"}, right,
			} {
				for _, path := range []string{"/v1/runs", "/v1/nothing", "/fn/register", "/v1/runs/x/steps?wait=x"} {
					ask("GET", path, "", header)
				}
				ask("POST", "/v1/checkpoint/01JQDAE4RQF8MBCR55T5AK4KXS/async", "{", header)
			}
			ask("POST", "/e/CANARY-wrong-event-key", `{"name":"x"}`, nil)
			ask("POST", "/e/CANARY-event-key", `{"name":`, nil)
			ask("DELETE", "/e/CANARY-event-key", "", nil)
			ask("POST", "/e/CANARY-other-key", `{"name":"canary/all"}`, nil)

			// Every run has ended but the one that waits for an app that is gone.
			var apps []struct{ Problem string }
			eventually(t, patience, func() error {
				var runs []runInfo
				if err := p.getWith(right, "/v1/runs", &runs); err != nil {
					return err
				}
				ended := 0
				for _, run := range runs {
					if run.final() {
						ended++
					}
				}
				if ended < len(functions)-1 {
					return fmt.Errorf("%d runs have ended", ended)
				}
				if !strings.Contains(p.proc.tail(1<<20), "cannot be synced") {
					return errNotYet
				}
				return p.getWith(right, "/v1/apps", &apps)
			})
			require.Len(t, apps, 1)
			var runs []runInfo
			require.NoError(t, p.getWith(right, "/v1/runs", &runs))
			for _, path := range []string{"/", "/dev", "/health", "/v1/apps", "/v1/apps/canary/functions", "/v1/runs", "/v1/events"} {
				ask("GET", path, "", right)
			}
			for _, run := range runs {
				for _, path := range []string{"/v1/runs/" + run.ID, "/v1/runs/" + run.ID + "/steps", "/runs/" + run.ID, "/v0/runs/" + run.ID + "/batch", "/v1/runs/" + run.ID + "/jobs"} {
					ask("GET", path, "", right)
				}
			}
			cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.proc.cmd.Process.Pid))
			require.NoError(t, err)
			files, err := filepath.Glob(db + "*")
			require.NoError(t, err)
			var kept bytes.Buffer
			for _, name := range files {
				b, err := os.ReadFile(name)
				require.NoError(t, err)
				kept.Write(b)
			}
			p.stop()
			log := []byte(p.proc.tail(64 << 20))
			require.Contains(t, string(log), "Error: broken", "the failures that were forced did not happen")

			for kind, secret := range secrets {
				for where, text := range map[string][]byte{"the log": log, "an answer": answers.Bytes(), "the process list": cmdline, "the database": kept.Bytes()} {
					require.False(t, bytes.Contains(text, []byte(secret)), "%s shows the %s: %s", where, kind, around(text, secret))
				}
			}
			for kind, secret := range inURLs {
				for where, text := range map[string][]byte{"the log": log, "an answer": answers.Bytes(), "the process list": cmdline} {
					require.False(t, bytes.Contains(text, []byte(secret)), "%s shows the %s: %s", where, kind, around(text, secret))
				}
			}
		})
	}
}

// around is a secret with what stands about it.
func around(text []byte, secret string) string {
	i := bytes.Index(text, []byte(secret))
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("%.300q", text[max(0, i-200):min(len(text), i+100)])
}

// TestNothingToDebugWith (S17): profiles, metrics and debug pages are not on the
// listener of the server. Theirs shows no command line, and only to this machine, to
// whoever has a key.
func TestNothingToDebugWith(t *testing.T) {
	debug := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	for _, m := range []mode{dev, serve} {
		p := startPawl(t, m, "--debug-listen", debug)
		status := func(url, host string, keys ...string) int {
			req, err := http.NewRequest("GET", url, nil)
			require.NoError(t, err)
			req.Host = host
			for _, key := range append(keys, signingKey)[:1] {
				req.Header.Set("Authorization", "Bearer "+key)
			}
			res, err := httpClient.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			res.Body.Close()
			if res.StatusCode == 200 && strings.HasSuffix(url, "/metrics") {
				require.Contains(t, string(body), "pawl_items_in_work")
			}
			return res.StatusCode
		}
		for _, path := range []string{
			"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/pprof/cmdline", "/debug/vars", "/debug/requests",
			"/debug", "/metrics", "/varz", "/statusz", "/.git/config", "/swagger", "/graphiql", "/console",
		} {
			require.Equal(t, 404, status(p.url+path, ""), "%s %s", m, path)
		}
		strangers := map[mode]int{dev: 200, serve: 401}[m]
		for _, path := range []string{"/debug/pprof/", "/metrics"} {
			require.Equal(t, 200, status("http://"+debug+path, ""))
			require.Equal(t, strangers, status("http://"+debug+path, "", "nonsense"), "%s %s", m, path)
			require.Equal(t, 421, status("http://"+debug+path, "evil.example"), "a page that has rebound its name")
		}
		require.Equal(t, 404, status("http://"+debug+"/debug/pprof/cmdline", ""))
		require.Equal(t, 404, status("http://"+debug+"/", ""))
		p.stop()
	}
}

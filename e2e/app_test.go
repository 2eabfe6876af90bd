package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// app is one SDK app in its own process, with a recorder between it and pawl.
type app struct {
	t    *testing.T
	sdk  sdk
	port int
	argv []string
	env  []string
	proc *process
	log  *appLog
	rec  *recorder
}

// startPair starts an app and a server that knows it.
func startPair(t *testing.T, s sdk, m mode, flags ...string) (*pawl, *app) {
	t.Helper()
	p := newPawl(t, m, flags...)
	a := newApp(t, s, p)
	p.startFor(a)
	return p, a
}

// startFor starts apps, and then the server, which knows them.
func (p *pawl) startFor(apps ...*app) {
	p.t.Helper()
	for _, a := range apps {
		a.start()
		p.argv = append(p.argv, "--app", a.rec.appURL+"/api/inngest")
	}
	p.start()
	for _, a := range apps {
		p.awaitApp(a.sdk.name, 20)
	}
}

// newApp makes an app that will talk to p through a recorder.
func newApp(t *testing.T, s sdk, p *pawl) *app {
	t.Helper()
	guard(t)
	argv := s.command(t)
	port := freePort(t)
	log := newAppLog(t, filepath.Join(t.TempDir(), "app.jsonl"))
	rec := newRecorder(t, log, fmt.Sprintf("127.0.0.1:%d", port), p.url)
	env := []string{
		fmt.Sprintf("PORT=%d", port),
		"APP_LOG=" + log.path,
		"INNGEST_SERVE_ORIGIN=" + rec.appURL,
		"INNGEST_SERVE_HOST=" + rec.appURL,
		"INNGEST_EVENT_KEY=" + eventKey,
	}
	if p.mode == dev {
		env = append(env, "INNGEST_DEV="+rec.pawlURL)
	} else {
		env = append(env, "INNGEST_DEV=0", "INNGEST_BASE_URL="+rec.pawlURL, "INNGEST_SIGNING_KEY="+signingKey)
	}
	return &app{t: t, sdk: s, port: port, argv: argv, env: env, log: log, rec: rec}
}

// start starts the app's process, or starts it again, and waits until it serves.
func (a *app) start() {
	a.t.Helper()
	a.proc = startProcess(a.t, a.sdk.name, a.env, a.argv...)
	eventually(a.t, 30*time.Second, func() error {
		if a.proc.ended() {
			a.t.Fatalf("%s ended while starting:\n%s", a.sdk.name, a.proc.tail(4<<10))
		}
		res, err := httpClient.Get(a.direct("/ready"))
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("GET /ready: %s", res.Status)
		}
		return nil
	})
}

// kill ends the app's process with SIGKILL.
func (a *app) kill() {
	a.t.Helper()
	require.NoError(a.t, a.proc.signal(syscall.SIGKILL))
}

// direct is an address of the app itself, past the recorder.
func (a *app) direct(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", a.port, path)
}

// send makes the app send an event with its SDK and returns the event's id.
func (a *app) send(e event) string {
	a.t.Helper()
	body, err := json.Marshal(e)
	require.NoError(a.t, err)
	req, err := http.NewRequest("POST", a.direct("/send"), bytes.NewReader(body))
	require.NoError(a.t, err)
	req.Header.Set("Content-Type", "application/json")
	var sent struct{ IDs []string }
	require.NoError(a.t, do(req, &sent))
	require.Len(a.t, sent.IDs, 1)
	return sent.IDs[0]
}

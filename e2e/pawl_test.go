package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	signingKey = "signkey-test-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	hashedKey  = "signkey-test-4884fdaafea47c29fea7159d0daddd9c085d6200e1359e85bb81736af6b7c837"
	eventKey   = "e2e-event-key"

	// patience bounds every wait for a run: far above what a run takes, so that
	// it is only met when the run hangs.
	patience = 60 * time.Second
)

// httpClient is for calls to pawl and the apps; none of them may take long.
var httpClient = &http.Client{Timeout: 30 * time.Second}

// mode is how pawl is started.
type mode string

const (
	dev   mode = "dev"   // no keys
	serve mode = "serve" // signing and event keys
)

// pawl is a running server, always at the same address and on the same data.
type pawl struct {
	t    *testing.T
	mode mode
	url  string
	argv []string
	db   string
	proc *process
}

// newPawl picks an address and a data file; start starts it.
func newPawl(t *testing.T, m mode, flags ...string) *pawl {
	t.Helper()
	guard(t)
	bin, err := binary()
	require.NoError(t, err)
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	db := filepath.Join(t.TempDir(), "pawl.db")
	argv := []string{bin, string(m), "--listen", addr, "--db", "sqlite:" + db, "--retry-interval", "1s"}
	if m == dev {
		argv = append(argv, "--no-discovery")
	} else {
		argv = append(argv, "--signing-key", signingKey, "--event-key", eventKey)
	}
	return &pawl{t: t, mode: m, url: "http://" + addr, argv: append(argv, flags...), db: db}
}

// startPawl starts a server that knows no app yet.
func startPawl(t *testing.T, m mode, flags ...string) *pawl {
	t.Helper()
	p := newPawl(t, m, flags...)
	p.start()
	return p
}

// start starts the server, or starts it again after kill or stop, and waits
// until it serves.
func (p *pawl) start() {
	p.t.Helper()
	p.startWith(nil)
}

// startWith is start with settings in the environment.
func (p *pawl) startWith(env []string) {
	p.t.Helper()
	p.proc = startProcess(p.t, "pawl", env, p.argv...)
	eventually(p.t, 20*time.Second, func() error {
		if p.proc.ended() {
			p.t.Fatalf("pawl ended while starting:\n%s", p.proc.tail(4<<10))
		}
		res, err := httpClient.Get(p.url + "/health")
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("GET /health: %s", res.Status)
		}
		return nil
	})
}

// kill ends the server with SIGKILL.
func (p *pawl) kill() {
	p.t.Helper()
	require.NoError(p.t, p.proc.signal(syscall.SIGKILL))
}

// wantSound asks the doctor about the store of a server that does not run. It
// looks at a copy: the next start has to find what the last one left.
func (p *pawl) wantSound() {
	p.t.Helper()
	at := filepath.Join(p.t.TempDir(), "pawl.db")
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(p.db + end)
		if end != "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(p.t, err)
		require.NoError(p.t, os.WriteFile(at+end, b, 0o600))
	}
	out, err := exec.Command(p.argv[0], "doctor", "--db", "sqlite:"+at).CombinedOutput()
	require.NoError(p.t, err, "pawl doctor: %s", out)
}

// stop ends the server with SIGTERM and wants a clean exit.
func (p *pawl) stop() {
	p.t.Helper()
	require.NoError(p.t, p.proc.signal(syscall.SIGTERM))
	require.Equal(p.t, 0, p.proc.cmd.ProcessState.ExitCode(), "exit status after SIGTERM")
}

// event is what a test sends.
type event struct {
	Name string `json:"name"`
	ID   string `json:"id,omitempty"`
	TS   int64  `json:"ts,omitempty"`
	Data any    `json:"data,omitempty"`
}

// send posts events and returns the ids that pawl gave them.
func (p *pawl) send(events ...event) []string {
	p.t.Helper()
	ids, err := p.trySend("", events...)
	require.NoError(p.t, err)
	return ids
}

// trySend posts events, with a seed header unless seed is empty. An error says
// that no 200 was read.
func (p *pawl) trySend(seed string, events ...event) ([]string, error) {
	body, err := json.Marshal(events)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest("POST", p.url+"/e/"+eventKey, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if seed != "" {
		req.Header.Set("X-Inngest-Event-ID-Seed", seed)
	}
	var answer struct {
		IDs    []string
		Status int
		Error  string
	}
	if err := do(req, &answer); err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK || len(answer.IDs) != len(events) {
		return nil, fmt.Errorf("POST /e: %d ids, status %d, %s", len(answer.IDs), answer.Status, answer.Error)
	}
	return answer.IDs, nil
}

// do sends req and decodes a 2xx answer into out.
func do(req *http.Request, out any) error {
	res, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return &apiError{req.Method + " " + req.URL.Path, res.StatusCode, string(body)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: %w in %.300s", req.Method, req.URL.Path, err, body)
	}
	return nil
}

// apiError is an answer of pawl's API that is not 2xx.
type apiError struct {
	request string
	status  int
	body    string
}

func (e *apiError) Error() string {
	return fmt.Sprintf("%s: %d %.300s", e.request, e.status, e.body)
}

// get reads one resource of the REST API; out receives its data member.
func (p *pawl) get(path string, out any) error {
	header := map[string]string{}
	if p.mode == serve {
		header["Authorization"] = "Bearer " + signingKey
	}
	return p.getWith(header, path, out)
}

// getWith is get with other credentials.
func (p *pawl) getWith(header map[string]string, path string, out any) error {
	req, err := http.NewRequest("GET", p.url+path, nil)
	if err != nil {
		return err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	envelope := struct{ Data any }{out}
	return do(req, &envelope)
}

// runInfo is a run as the REST API shows it.
type runInfo struct {
	ID       string          `json:"run_id"`
	Function string          `json:"function"`
	EventID  string          `json:"event_id"`
	Status   string          `json:"status"`
	Queued   time.Time       `json:"queued_at"`
	Started  *time.Time      `json:"run_started_at"`
	Ended    *time.Time      `json:"ended_at"`
	Output   json.RawMessage `json:"output"`
}

func (r runInfo) final() bool {
	switch r.Status {
	case "Completed", "Failed", "Cancelled", "Skipped":
		return true
	}
	return false
}

// message returns the text of a failed run's error.
func (r runInfo) message() string {
	var e struct{ Name, Message, Error string }
	if err := json.Unmarshal(r.Output, &e); err != nil {
		return string(r.Output)
	}
	return strings.TrimSpace(strings.Join([]string{e.Name, e.Message, e.Error}, " "))
}

// stepInfo is a step as the REST API shows it.
type stepInfo struct {
	Step     string          `json:"step"` // hashed id, "" for the function's body
	Name     string          `json:"name"`
	Op       string          `json:"op"`
	Status   string          `json:"status"`
	Error    json.RawMessage `json:"error"`
	Output   json.RawMessage `json:"output"`
	Until    time.Time       `json:"until"` // of a sleep or a wait
	Attempts []struct {
		Attempt int             `json:"attempt"` // from 1
		Error   json.RawMessage `json:"error"`
	} `json:"attempts"`
}

// runs returns the runs that an event started.
func (p *pawl) runs(eventID string) []runInfo {
	p.t.Helper()
	var runs []runInfo
	require.NoError(p.t, p.get("/v1/events/"+eventID+"/runs", &runs))
	return runs
}

// steps returns the steps of a run.
func (p *pawl) steps(runID string) []stepInfo {
	p.t.Helper()
	steps, err := p.trySteps(runID)
	require.NoError(p.t, err)
	return steps
}

func (p *pawl) trySteps(runID string) ([]stepInfo, error) {
	var run struct{ Steps []stepInfo }
	err := p.get("/v1/runs/"+runID+"/steps", &run)
	return run.Steps, err
}

// awaitRuns waits until an event has started n runs, whatever their state.
func (p *pawl) awaitRuns(eventID string, n int) []runInfo {
	p.t.Helper()
	var runs []runInfo
	eventually(p.t, patience, func() error {
		if err := p.get("/v1/events/"+eventID+"/runs", &runs); err != nil {
			return err
		}
		if len(runs) < n {
			return fmt.Errorf("event %s started %d runs, want %d", eventID, len(runs), n)
		}
		return nil
	})
	require.Len(p.t, runs, n, "runs of event %s", eventID)
	return runs
}

// await waits until a run has ended.
func (p *pawl) await(runID string) runInfo {
	p.t.Helper()
	var run runInfo
	eventually(p.t, patience, func() error {
		if err := p.get("/v1/runs/"+runID, &run); err != nil {
			return err
		}
		if !run.final() {
			return fmt.Errorf("run %s is %s", runID, run.Status)
		}
		return nil
	})
	return run
}

// awaitErr is await for goroutines that may not end the test.
func (p *pawl) awaitErr(runID string) (run runInfo, err error) {
	deadline := time.After(patience)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = p.get("/v1/runs/"+runID, &run); err == nil && run.final() {
			return run, nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return run, fmt.Errorf("run %s is %q after %v: %w", runID, run.Status, patience, cmp.Or(err, errNotYet))
		}
	}
}

// outcome waits until the n runs of an event have ended.
func (p *pawl) outcome(eventID string, n int) []runInfo {
	p.t.Helper()
	runs := p.awaitRuns(eventID, n)
	for i := range runs {
		runs[i] = p.await(runs[i].ID)
	}
	return runs
}

// allRuns pages through every run, or through those of one function.
func (p *pawl) allRuns(function string) []runInfo {
	p.t.Helper()
	var all []runInfo
	for cursor := ""; ; {
		query := url.Values{"limit": {"100"}}
		if function != "" {
			query.Set("function", function)
		}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		var page []runInfo
		require.NoError(p.t, p.get("/v1/runs?"+query.Encode(), &page))
		all = append(all, page...)
		if len(page) < 100 {
			return all
		}
		next := page[len(page)-1].ID
		require.NotEqual(p.t, cursor, next, "the list of runs does not move on")
		cursor = next
	}
}

// awaitApp waits until pawl knows at least n functions of an app.
func (p *pawl) awaitApp(name string, n int) {
	p.t.Helper()
	eventually(p.t, 30*time.Second, func() error {
		req, err := http.NewRequest("GET", p.url+"/v1/apps/"+name+"/functions", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+hashedKey)
		var functions []json.RawMessage
		if err := do(req, &functions); err != nil {
			if a := (*apiError)(nil); errors.As(err, &a) && a.status == http.StatusUnauthorized {
				p.t.Fatalf("the hashed signing key was refused: %v", err)
			}
			return err
		}
		if len(functions) < n {
			return fmt.Errorf("pawl knows %d functions of %s, want %d", len(functions), name, n)
		}
		return nil
	})
}

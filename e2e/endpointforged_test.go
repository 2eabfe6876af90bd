package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	zsqlite "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// rows returns what every table of the store has, hashed row by row. It reads a
// copy of the files, as they are on disk.
func (p *pawl) rows() map[string]string {
	p.t.Helper()
	at := filepath.Join(p.t.TempDir(), fmt.Sprintf("rows-%d.db", time.Now().UnixNano()))
	for _, end := range []string{"-wal", ""} { // what is folded into the file in between is in both
		b, err := os.ReadFile(p.db + end)
		if end != "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(p.t, err)
		require.NoError(p.t, os.WriteFile(at+end, b, 0o600))
	}
	db, err := zsqlite.OpenConn(at, zsqlite.OpenReadWrite)
	require.NoError(p.t, err)
	defer db.Close()
	var tables []string
	collect := func(into *[]string) *sqlitex.ExecOptions {
		return &sqlitex.ExecOptions{ResultFunc: func(s *zsqlite.Stmt) error {
			*into = append(*into, s.ColumnText(0))
			return nil
		}}
	}
	require.NoError(p.t, sqlitex.Execute(db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'", collect(&tables)))
	require.NotEmpty(p.t, tables)
	sums := map[string]string{}
	for _, table := range tables {
		sum, n := sha256.New(), 0
		require.NoError(p.t, sqlitex.Execute(db, fmt.Sprintf("SELECT * FROM %q", table), &sqlitex.ExecOptions{ResultFunc: func(s *zsqlite.Stmt) error {
			n++
			for i := range s.ColumnCount() {
				fmt.Fprintf(sum, "%d %q\n", s.ColumnType(i), s.ColumnText(i))
			}
			return nil
		}}))
		sums[table] = fmt.Sprintf("%d rows %x", n, sum.Sum(nil)[:8])
	}
	return sums
}

// caller asks a server for what apps and strangers ask it.
type caller struct {
	*pawl
	t *testing.T
}

// call returns the status, and the text of the error if the answer has one.
func (c caller) call(method, path, key string, body []byte, header map[string]string) (int, string, http.Header) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, bytes.NewReader(body))
	require.NoError(c.t, err)
	req.Header.Set("Content-Type", "application/json")
	if len(body) > 1<<20 {
		req.Header.Set("Expect", "100-continue") // or the refusal is lost when the rest is not taken
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := asClient.Do(req)
	require.NoError(c.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return res.StatusCode, string(b), res.Header
}

// begun is what an app is told of a run that began in it.
type begun struct {
	Run      string `json:"run_id"`
	Function string `json:"fn_id"`
	App      string `json:"app_id"`
	Token    string
	Realtime string `json:"realtime_token"`
}

func createBody(run, domain, path string, steps ...op) op {
	return op{"run_id": run, "steps": steps, "request_version": 2, "retries": 3, "ts": 1, "event": op{
		"name": "inngest/http.request",
		"data": op{"content_type": "", "domain": domain, "ip": "", "method": "GET", "path": path, "query_params": "", "body": "", "fn": ""},
	}}
}

func encoded(v any) []byte { return must(json.Marshal(v)) }

// begin reports the first steps of a run.
func (c caller) begin(domain, path string, steps ...op) (b begun) {
	c.t.Helper()
	status, body, _ := c.call("POST", "/v1/checkpoint", signingKey, encoded(createBody(ulid.Make().String(), domain, path, steps...)), nil)
	require.Equal(c.t, 200, status, body)
	var answer struct{ Data begun }
	require.NoError(c.t, json.Unmarshal([]byte(body), &answer))
	return answer.Data
}

func complete(body string) op {
	return op{"op": "RunComplete", "id": stepHash("complete"), "data": op{"status": 200, "headers": op{}, "body": body, "version": 2}}
}

// jwt makes a token as whoever does not know the secret can.
func jwt(header, claims, secret string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestEndpointsRefuse asks for what must not be given, over real HTTP: each refusal
// has its status and says why, and leaves no trace.
func TestEndpointsRefuse(t *testing.T) {
	t.Parallel()
	entered := new(atomic.Int64)
	theApp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered.Add(1)
		w.Header().Set("X-Inngest-SDK", "inngest-js:v4.24.0")
		w.WriteHeader(206)
		w.Write(encoded(complete("1")))
	}))
	t.Cleanup(theApp.Close)
	host := strings.TrimPrefix(theApp.URL, "http://")
	p := startPawl(t, serve, "--endpoint", theApp.URL+"/api/book", "--endpoint-lease", "1h")
	c := caller{p, t}
	other := caller{startPawl(t, serve), t}
	raw := startRawApp(t, p, "raw", map[string]rawFn{"held": {event: "raw/held", handle: func(c *rawCall) rawAnswer {
		return ops(op{"op": "Sleep", "id": stepHash("nap"), "name": "nap", "opts": op{"duration": "1h"}})
	}}})
	_ = raw
	queued := p.awaitRuns(p.send(event{Name: "raw/held"})[0], 1)[0]
	p.resting(queued.ID, "nap")

	inline := c.begin(theApp.URL, "/api/inline", stepRun("a", 1))
	asleep := c.begin(theApp.URL, "/api/asleep", stepRun("a", 1), op{"op": "Sleep", "id": stepHash("nap"), "name": "1h"})
	ended := c.begin(theApp.URL, "/api/ended", stepRun("a", 1), complete(`"done"`))
	cancelled := c.begin(theApp.URL, "/api/cancelled", stepRun("a", 1))
	require.NoError(t, p.cancel(cancelled.Run))
	foreign := other.begin(theApp.URL, "/api/ended", complete(`"of another server"`))
	unknown := ulid.Make().String()

	steps := func(b begun, list ...op) []byte {
		return encoded(op{"run_id": b.Run, "fn_id": b.Function, "app_id": b.App, "steps": list, "ts": 1})
	}
	at := func(run string) string { return "/v1/checkpoint/" + run + "/steps" }
	output := func(run, token string) string { return "/v1/http/runs/" + run + "/output?wait=0&token=" + token }
	parts := strings.Split(ended.Token, ".")
	claims := func(run string) string { return fmt.Sprintf(`{"iss":"pawl","sub":%q}`, run) }
	const hs256, none = `{"alg":"HS256","typ":"JWT"}`, `{"alg":"none","typ":"JWT"}`
	big := strings.Repeat("x", 5<<20)

	type refusal struct {
		name, method, path, key string
		body                    []byte
		header                  map[string]string
		status                  int
		says                    string
	}
	list := []refusal{
		{name: "the keys are asked for first", method: "POST", path: "/v1/checkpoint", body: []byte("{"), status: 401},
		{name: "a wrong key", method: "POST", path: "/v1/checkpoint", key: "signkey-test-" + strings.Repeat("ab", 32), body: encoded(createBody(unknown, theApp.URL, "/x", stepRun("a", 1))), status: 401},
		{name: "the event key", method: "POST", path: at(inline.Run), key: eventKey, body: steps(inline, stepRun("b", 1)), status: 401},
		{name: "no key for steps", method: "POST", path: at(inline.Run), body: steps(inline, stepRun("b", 1)), status: 401},
		{name: "the token of a result is no key", method: "POST", path: at(inline.Run), key: inline.Token, body: steps(inline, stepRun("b", 1)), status: 401},
		{name: "no key for a state", method: "GET", path: "/v0/runs/" + inline.Run + "/actions", status: 401},
		{name: "nor with the token", method: "GET", path: "/v0/runs/" + inline.Run + "/batch?token=" + inline.Token, status: 401},

		{name: "no token", method: "GET", path: output(ended.Run, ""), status: 401},
		{name: "text", method: "GET", path: output(ended.Run, "x"), status: 401, says: "not valid"},
		{name: "truncated", method: "GET", path: output(ended.Run, ended.Token[:len(ended.Token)-4]), status: 401, says: "not valid"},
		{name: "without its signature", method: "GET", path: output(ended.Run, parts[0]+"."+parts[1]+"."), status: 401, says: "not valid"},
		{name: "unsigned", method: "GET", path: output(ended.Run, base64.RawURLEncoding.EncodeToString([]byte(none))+"."+parts[1]+"."), status: 401, says: "not valid"},
		{name: "signed by somebody else", method: "GET", path: output(ended.Run, jwt(hs256, claims(ended.Run), "secret")), status: 401, says: "not valid"},
		{name: "signed with the signing key", method: "GET", path: output(ended.Run, jwt(hs256, claims(ended.Run), signingKey)), status: 401, says: "not valid"},
		{name: "for another run, under an old signature", method: "GET", path: output(inline.Run, parts[0]+"."+base64.RawURLEncoding.EncodeToString([]byte(claims(inline.Run)))+"."+parts[2]), status: 401, says: "not valid"},
		{name: "of another run", method: "GET", path: output(ended.Run, inline.Token), status: 401, says: "not one for this run"},
		{name: "for the stream of the run", method: "GET", path: output(ended.Run, ended.Realtime), status: 401, says: "not valid"},
		{name: "of another server", method: "GET", path: output(foreign.Run, foreign.Token), status: 401, says: "not valid"},
		{name: "endless", method: "GET", path: output(ended.Run, strings.Repeat("a", 20<<10)), status: 401, says: "not valid"},
		{name: "the signing key is no token", method: "GET", path: output(ended.Run, signingKey), key: signingKey, status: 401, says: "not valid"},
		{name: "not to be changed, and read by any method", method: "DELETE", path: output(ended.Run, ended.Token), status: 200, says: `"done"`},

		{name: "no ULID", method: "POST", path: "/v1/checkpoint", key: signingKey, body: encoded(createBody("../x", theApp.URL, "/x")), status: 400, says: "ULID"},
		{name: "no event", method: "POST", path: "/v1/checkpoint", key: signingKey, body: encoded(op{"run_id": unknown, "steps": []op{}}), status: 400, says: "event"},
		{name: "no address of an app", method: "POST", path: "/v1/checkpoint", key: signingKey, body: encoded(createBody(unknown, "file:///etc/passwd", "/x")), status: 400, says: "event.data.domain"},
		{name: "a login in the address", method: "POST", path: "/v1/checkpoint", key: signingKey, body: encoded(createBody(unknown, "http://u:p@app", "/x")), status: 400, says: "event.data.domain"},
		{name: "another host in the path", method: "POST", path: "/v1/checkpoint", key: signingKey, body: encoded(createBody(unknown, theApp.URL, "@elsewhere/x")), status: 400, says: "event.data.path"},
		{name: "half a document", method: "POST", path: "/v1/checkpoint", key: signingKey, body: []byte(`{"run_id":`), status: 400, says: "invalid checkpoint"},
		{name: "a thousand levels", method: "POST", path: at(inline.Run), key: signingKey, body: []byte(`{"steps":` + strings.Repeat("[", 100_000)), status: 400},
		{name: "too many steps", method: "POST", path: at(inline.Run), key: signingKey, body: steps(inline, slices.Repeat([]op{stepRun("b", 1)}, 1001)...), status: 413, says: "1000"},
		{name: "too large a request", method: "POST", path: "/v1/checkpoint", key: signingKey, body: encoded(createBody(unknown, theApp.URL, "/"+big)), status: 413, says: "limit"},
		{name: "too large a body", method: "POST", path: at(inline.Run), key: signingKey, body: bytes.Repeat([]byte(" "), 41<<20), status: 413},
		{name: "packed", method: "POST", path: at(inline.Run), key: signingKey, body: []byte("x"), header: map[string]string{"Content-Encoding": "gzip"}, status: 415},
		{name: "no JSON", method: "POST", path: at(inline.Run), key: signingKey, body: []byte("a=b"), header: map[string]string{"Content-Type": "text/plain"}, status: 415},

		{name: "an unknown run", method: "POST", path: at(unknown), key: signingKey, body: encoded(op{"run_id": unknown, "steps": []op{stepRun("b", 1)}}), status: 404, says: unknown},
		{name: "a run of another server", method: "POST", path: at(foreign.Run), key: signingKey, body: steps(foreign, stepRun("b", 1)), status: 404},
		{name: "another run in the body", method: "POST", path: at(inline.Run), key: signingKey, body: steps(ended, stepRun("b", 1)), status: 400, says: "run_id"},
		{name: "another function", method: "POST", path: at(inline.Run), key: signingKey, body: encoded(op{"run_id": inline.Run, "fn_id": ended.Function, "app_id": inline.App, "steps": []op{stepRun("b", 1)}}), status: 409, says: "fn_id"},
		{name: "a run of a function", method: "POST", path: at(queued.ID), key: signingKey, body: encoded(op{"run_id": queued.ID, "steps": []op{stepRun("b", 1)}}), status: 409, says: "did not begin in an endpoint"},
		{name: "the id of a run of a function", method: "POST", path: "/v1/checkpoint", key: signingKey, body: encoded(createBody(queued.ID, theApp.URL, "/api/inline", stepRun("b", 1))), status: 409},
		{name: "the id of another request", method: "POST", path: "/v1/checkpoint", key: signingKey, body: encoded(createBody(inline.Run, theApp.URL, "/api/ended", stepRun("b", 1))), status: 409, says: "another request"},
		{name: "a run that has ended", method: "POST", path: at(ended.Run), key: signingKey, body: steps(ended, stepRun("late", 1)), status: 410, says: "ended"},
		{name: "another result of it", method: "POST", path: at(ended.Run), key: signingKey, body: steps(ended, complete(`"other"`)), status: 410, says: "ended"},
		{name: "a run that was cancelled", method: "POST", path: at(cancelled.Run), key: signingKey, body: steps(cancelled, stepRun("b", 1)), status: 410, says: "ended"},
		{name: "its result", method: "POST", path: at(cancelled.Run), key: signingKey, body: steps(cancelled, complete("1")), status: 410, says: "ended"},
		{name: "a response for a run that has ended", method: "POST", path: "/v1/http/runs/" + ended.Run + "/response", key: signingKey, body: encoded(op{"status": 201, "body": "x", "headers": op{}}), status: 410},
		{name: "a checkpoint of a call for a run without one", method: "POST", path: "/v1/checkpoint/" + ended.Run + "/async", key: signingKey, body: encoded(op{"run_id": ended.Run, "fn_id": ended.Function, "qi_id": "x", "steps": []op{stepRun("b", 1)}}), status: 410},

		{name: "an endpoint that may not be asked for", method: "GET", path: "/x/" + host + "/api/admin", status: 404, says: "--endpoint"},
		{name: "nor by a way around", method: "GET", path: "/x/" + host + "/api/book/%2e%2e/admin", status: 404},
		{name: "nor by another", method: "GET", path: "/x/" + host + "/api/book%2f..%2fadmin", status: 404},
		{name: "nor by a third", method: "GET", path: "/x/" + host + "/api/book/..%5cadmin", status: 404},
		{name: "nor another host", method: "GET", path: "/x/169.254.169.254/api/book", status: 404},
		{name: "nor with too large a body", method: "POST", path: "/x/" + host + "/api/book", body: []byte(big), status: 413},

		// What was sent before is no mistake, and changes nothing either.
		{name: "steps sent twice", method: "POST", path: at(inline.Run), key: signingKey, body: steps(inline, stepRun("a", 1)), status: 200},
		{name: "with another result, which is not taken", method: "POST", path: at(inline.Run), key: signingKey, body: steps(inline, stepRun("a", "other")), status: 200},
		{name: "a first report sent twice", method: "POST", path: "/v1/http/runs", key: signingKey, body: encoded(createBody(inline.Run, theApp.URL, "/api/inline", stepRun("a", 1))), status: 200, says: inline.Token},
		{name: "a sleep sent twice", method: "POST", path: at(asleep.Run), key: signingKey, body: steps(asleep, op{"op": "Sleep", "id": stepHash("nap"), "name": "1h"}), status: 200},
		{name: "an end sent twice", method: "POST", path: at(ended.Run), key: signingKey, body: steps(ended, complete(`"done"`)), status: 200},
		{name: "a result read", method: "GET", path: output(ended.Run, ended.Token), status: 200, says: `"done"`},
		{name: "a result that is not there yet", method: "GET", path: output(asleep.Run, asleep.Token), status: 202, says: "running"},
		{name: "a cancelled run's", method: "GET", path: output(cancelled.Run, cancelled.Token), status: 200, says: "cancelled"},
	}
	before, calls := p.rows(), entered.Load()
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) {
			c := caller{p, t}
			status, body, header := c.call(r.method, r.path, r.key, r.body, r.header)
			require.Equal(t, r.status, status, "%.300s", body)
			require.Contains(t, body, r.says)
			if status >= 400 {
				require.Equal(t, "application/json", header.Get("Content-Type"))
				var e struct{ Error string }
				require.NoError(t, json.Unmarshal([]byte(body), &e), body)
				require.NotEmpty(t, e.Error)
				require.Less(t, len(body), 2000, "what was sent is not sent back")
			}
			now := p.rows()
			for table, rows := range before {
				if now[table] != rows {
					t.Errorf("the table %s was changed, from %s to %s", table, rows, now[table])
				}
			}
			before = now
		})
	}
	require.Equal(t, calls, entered.Load(), "no endpoint was entered")
	for _, secret := range []string{ended.Token, inline.Token, signingKey} {
		require.NotContains(t, p.proc.tail(1<<20), secret, "what opens something is not in the log")
	}
	p.stop()
	p.wantSound()
}

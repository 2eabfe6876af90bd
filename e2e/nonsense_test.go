package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// nonsense is an answer that no SDK gives.
type nonsense struct {
	name, id string
	sdk      bool // with the header that proves an SDK
	status   int
	kind     string // content type
	body     func() io.Reader
	cut      bool // close the connection in the middle of the answer
	calls    int  // tries before the run fails, of the two it has
	message  string
}

func text(s string) func() io.Reader {
	return func() io.Reader { return strings.NewReader(s) }
}

var nonsenses = []nonsense{
	{name: "row 33 a web page", id: "html", status: 200, kind: "text/html", body: text("<html>Welcome to nginx</html>"), calls: 2, message: `(?i)sdk`},
	{name: "row 33 JSON that is not an SDK's", id: "json", status: 200, kind: "application/json", body: text(`{"ok":true}`), calls: 2, message: `(?i)sdk`},
	{name: "a 206 that is not an SDK's", id: "ops", status: 206, kind: "application/json", body: text(`[{"op":"RunComplete","id":"0737c22d3bfae812339732d14d8c7dbd6dc4e09c","data":1}]`), calls: 2, message: `(?i)sdk`},
	{name: "a proxy's error", id: "proxy", status: 502, kind: "text/plain", body: text("upstream is gone"), calls: 2, message: `502|upstream is gone`},
	{name: "a server error in plain text", id: "text", sdk: true, status: 500, kind: "text/plain", body: text("segmentation fault"), calls: 2, message: `segmentation fault`},
	{name: "row 34 a body over 8 MiB", id: "huge", sdk: true, status: 200, kind: "application/json", body: func() io.Reader {
		return io.MultiReader(strings.NewReader(`"`), strings.NewReader(strings.Repeat("x", 9<<20)), strings.NewReader(`"`))
	}, calls: 2, message: `(?i)too.?large`},
	{name: "operations that are no JSON", id: "broken", sdk: true, status: 206, kind: "application/json", body: text(`[{"op":"StepRun","id":"86f7`), calls: 2, message: `(?i)json|decode|read|parse|unexpected`},
	{name: "a result that is no JSON", id: "noresult", sdk: true, status: 200, kind: "application/json", body: text(`{"a":`), calls: 2, message: `(?i)json|decode|read|parse|unexpected`},
	{name: "an unknown operation", id: "opcode", sdk: true, status: 206, kind: "application/json", body: text(`[{"op":"StepTeleport","id":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","name":"a"}]`), calls: 1, message: `StepTeleport`},
	{name: "a connection cut in the middle", id: "cut", sdk: true, status: 200, kind: "application/json", body: text(`{"half":`), cut: true, calls: 2, message: `.`},
}

// TestNonsense gives answers that no SDK gives. Each must fail its own run with
// a reason that a person can act on, after the retries it is due, and nothing else.
func TestNonsense(t *testing.T) {
	p := startPawl(t, dev)
	counts := newCounter()
	byID := map[string]nonsense{}
	functions := []op{}
	var url string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut { // polled by a dev server: nothing has changed
			w.Header().Set("X-Inngest-SDK", "inngest-js:v4.24.0")
			w.Header().Set("X-Inngest-Sync-Kind", "out_of_band")
			io.WriteString(w, `{"message":"Successfully registered","modified":false}`)
			return
		}
		id := strings.TrimPrefix(req.URL.Query().Get("fnId"), "nonsense-")
		counts.add(id)
		n, ok := byID[id]
		if !ok { // the healthy function
			n = nonsense{sdk: true, status: 200, kind: "application/json", body: text(`"well"`)}
		}
		if n.sdk {
			w.Header().Set("X-Inngest-SDK", "inngest-js:v4.24.0")
			w.Header().Set("X-Inngest-Req-Version", "2")
		}
		w.Header().Set("Content-Type", n.kind)
		if n.cut {
			w.Header().Set("Content-Length", "1000")
		}
		w.WriteHeader(n.status)
		io.Copy(w, n.body())
		if n.cut {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(srv.Close)
	url = srv.URL + "/api/inngest"
	add := func(id string) {
		functions = append(functions, op{
			"id": "nonsense-" + id, "name": id, "triggers": []op{{"event": "nonsense/" + id}},
			"steps": op{"step": op{
				"id": "step", "name": "step", "retries": op{"attempts": 1},
				"runtime": op{"type": "http", "url": fmt.Sprintf("%s?fnId=nonsense-%s&stepId=step", url, id)},
			}},
		})
	}
	for _, n := range nonsenses {
		byID[n.id] = n
		add(n.id)
	}
	add("healthy")
	registrar := rawApp{t: t, p: p}
	require.NoError(t, registrar.post(p.url+"/fn/register", "", op{
		"url": url, "deployType": "ping", "framework": "nodejs",
		"appName": "nonsense", "functions": functions, "sdk": "js:v4.24.0", "v": "0.1",
	}, nil))

	t.Run("answers", func(t *testing.T) {
		for _, n := range nonsenses {
			t.Run(n.name, func(t *testing.T) {
				t.Parallel()
				p := *p
				p.t = t
				run := p.outcome(p.send(event{Name: "nonsense/" + n.id})[0], 1)[0]
				require.Equal(t, "Failed", run.Status, "output %.500s", run.Output)
				require.Regexp(t, n.message, run.message())
				require.Equal(t, n.calls, counts.of(n.id), "requests")
				require.Less(t, len(run.Output), 64<<10, "bytes of the stored error")
			})
		}
	})
	t.Run("a healthy function of the same app still runs", func(t *testing.T) {
		run := p.outcome(p.send(event{Name: "nonsense/healthy"})[0], 1)[0]
		require.Equal(t, "Completed", run.Status)
		require.JSONEq(t, `"well"`, string(run.Output))
	})
}

// TestEvents sends events that are refused, and some that look wrong but are not.
func TestEvents(t *testing.T) {
	p := startPawl(t, dev)
	for _, tt := range []struct {
		name, kind, body string
		status           int
	}{
		{"row 1 an object", "application/json", `{"name":"a/b"}`, 200},
		{"row 2 an array", "application/json", `[{"name":"a/b"},{"name":"a/c"}]`, 200},
		{"row 8 no name", "application/json", `{"data":{}}`, 400},
		{"row 9 a reserved name", "application/json", `{"name":"Inngest/function.failed"}`, 400},
		{"row 11 an event over 3 MiB", "application/json", `{"name":"a/b","data":{"x":"` + strings.Repeat("x", 3<<20) + `"}}`, 400},
		{"row 11 an event of 600 KiB", "application/json", `{"name":"a/b","data":{"x":"` + strings.Repeat("x", 600<<10) + `"}}`, 200},
		{"row 12 another content type", "text/plain", `{"name":"a/b"}`, 200},
		{"no JSON", "application/json", `name=a/b`, 400},
		{"data that is no object", "application/json", `{"name":"a/b","data":1}`, 400},
		{"ts with a fraction", "application/json", `{"name":"a/b","ts":1.5}`, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res, err := httpClient.Post(p.url+"/e/any", tt.kind, strings.NewReader(tt.body))
			require.NoError(t, err)
			defer res.Body.Close()
			var answer struct {
				IDs    []string
				Status int
				Error  string
			}
			require.NoError(t, decode(res.Body, &answer))
			require.Equal(t, tt.status, res.StatusCode, "%+v", answer)
			require.Equal(t, tt.status, answer.Status, "status in the body")
			require.Equal(t, tt.status != 200, answer.Error != "", "error %q", answer.Error)
			require.Equal(t, tt.status == 200, len(answer.IDs) > 0, "ids %v", answer.IDs)
		})
	}
	t.Run("row 6 the same seed gives the same ids", func(t *testing.T) {
		seed := "1743130137367,eii2YKXRVTJPuA=="
		for range 2 {
			ids, err := p.trySend(seed, event{Name: "a/b"}, event{Name: "a/b"})
			require.NoError(t, err)
			require.Equal(t, []string{"01JQDAE4RQF8MBCR55T5AK4KXS", "01JQDAE4RQF8MBCR55T5AK4KXT"}, ids)
		}
	})
	t.Run("row 7 a malformed seed is ignored", func(t *testing.T) {
		ids, err := p.trySend("yesterday,xyz", event{Name: "a/b"})
		require.NoError(t, err)
		require.Len(t, ids[0], 26)
	})
}

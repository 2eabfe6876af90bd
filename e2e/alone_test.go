package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAppsAlone calls each app by hand, without a server. When it fails, the
// other tests have nothing to say about pawl.
func TestAppsAlone(t *testing.T) {
	guard(t)
	for _, s := range []sdk{ts4, ts3, py} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			nobody := &pawl{t: t, mode: dev, url: fmt.Sprintf("http://127.0.0.1:%d", freePort(t))}
			a := newApp(t, s, nobody)
			a.start()
			for i, tt := range []struct {
				fn   string
				want []string // ops of the answer
			}{
				{"parallel", []string{"StepPlanned " + stepHash("left"), "StepPlanned " + stepHash("right")}},
				{"caught", []string{"StepError " + stepHash("bad")}},
				{"wait", []string{"WaitForEvent " + stepHash("for")}},
				{"serial", []string{"StepRun " + stepHash("a")}},
			} {
				run := fmt.Sprintf("01JFRUN0000000000000000%03d", i)
				trigger := op{"name": s.name + "/" + tt.fn, "data": op{"n": 1}, "id": "e", "ts": 1795312880000, "user": op{}}
				body, err := json.Marshal(op{
					"ctx": op{
						"attempt": 0, "max_attempts": 4, "run_id": run, "qi_id": "", "step_id": "step", "env": "dev",
						"stack": op{"stack": []string{}, "current": 0}, "disable_immediate_execution": false, "use_api": false,
					},
					"event": trigger, "events": []op{trigger}, "steps": op{}, "use_api": false, "version": -1,
				})
				require.NoError(t, err)
				url := fmt.Sprintf("%s/api/inngest?fnId=%s-%s&stepId=step", a.rec.appURL, s.name, tt.fn)
				req, err := http.NewRequest("POST", url, bytes.NewReader(body))
				require.NoError(t, err)
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("X-Inngest-Server-Kind", "dev")
				req.Header.Set("X-Run-ID", run)
				res, err := httpClient.Do(req)
				require.NoError(t, err)
				answer, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				res.Body.Close()
				require.Equal(t, http.StatusPartialContent, res.StatusCode, "%s: %s", tt.fn, answer)
				require.NotEmpty(t, res.Header.Get("X-Inngest-SDK"))
				lines := a.log.lines(t, run)
				require.Equal(t, "memo", lines[0].What)
				require.Equal(t, "answer", lines[len(lines)-1].What)
				require.Equal(t, tt.want, lines[len(lines)-1].IDs, tt.fn)
				require.Equal(t, 1, a.rec.of(run).calls)
			}
		})
	}
}

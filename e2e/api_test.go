package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRowsOfAPIs plays the rows of the newer API against the binary.
func TestRowsOfAPIs(t *testing.T) {
	t.Parallel()
	p := startPawl(t, serve)
	a := startRawApp(t, p, "raw", map[string]rawFn{
		"steps": {event: "api/steps", handle: func(c *rawCall) rawAnswer {
			if !c.has("a") {
				return ops(c.body("a", 1, nil))
			}
			return result("done")
		}},
	})
	type started struct {
		Data struct {
			RunID string `json:"runId"`
		}
	}

	t.Run("row 116 an invoke with a key is one run", func(t *testing.T) {
		body := op{"data": op{"n": 1}, "idempotencyKey": "k1"}
		var first started
		require.NoError(t, a.post(p.url+"/v2/apps/raw/functions/steps/invoke", signingKey, body, &first))
		err := a.post(p.url+"/v2/apps/raw/functions/steps/invoke", signingKey, body, nil)
		var again *apiError
		require.True(t, errors.As(err, &again), "got %v", err)
		require.Equal(t, http.StatusConflict, again.status)
		require.Contains(t, again.body, first.Data.RunID)
		p.kill()
		p.start()
		err = a.post(p.url+"/v2/apps/raw/functions/steps/invoke", signingKey, body, nil)
		require.True(t, errors.As(err, &again))
		require.Contains(t, again.body, first.Data.RunID, "also over kill -9")
		require.Equal(t, "Completed", p.await(first.Data.RunID).Status)
		require.Len(t, p.allRuns("raw-steps"), 1)
	})

	t.Run("row 117 pages have each run once while others arrive", func(t *testing.T) {
		want := map[string]bool{}
		for range 7 {
			want[p.outcome(p.send(event{Name: "api/steps"})[0], 1)[0].ID] = true
		}
		for cursor := ""; ; {
			var page struct {
				Data []struct{ ID string }
				Page struct {
					Cursor  string
					HasMore bool
				}
			}
			req, err := http.NewRequest("GET", p.url+"/v2/runs?limit=3&cursor="+cursor, nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+signingKey)
			require.NoError(t, do(req, &page))
			seen := map[string]bool{}
			for _, r := range page.Data {
				require.False(t, seen[r.ID], "%s twice", r.ID)
				seen[r.ID] = true
				delete(want, r.ID)
			}
			p.send(event{Name: "api/steps"})
			if cursor = page.Page.Cursor; !page.Page.HasMore {
				break
			}
		}
		require.Empty(t, want, "never listed")
	})

	t.Run("row 118 a rerun is a new run of the same event", func(t *testing.T) {
		first := p.outcome(p.send(event{Name: "api/steps", ID: "once"})[0], 1)[0]
		var again started
		require.NoError(t, a.post(fmt.Sprintf("%s/v2/runs/%s/rerun", p.url, first.ID), signingKey, op{}, &again))
		require.NotEqual(t, first.ID, again.Data.RunID)
		run := p.await(again.Data.RunID)
		require.Equal(t, "Completed", run.Status)
		require.Equal(t, first.EventID, run.EventID)
		require.Len(t, a.of(run.ID), 2, "from the start, with its step")

		var fromStep started
		require.NoError(t, a.post(fmt.Sprintf("%s/v2/runs/%s/rerun", p.url, first.ID), signingKey,
			op{"fromStep": op{"stepId": "a"}}, &fromStep))
		require.Equal(t, "Completed", p.await(fromStep.Data.RunID).Status)
	})
}

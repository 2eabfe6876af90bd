package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMetadata lets a function of the TypeScript SDK note what it does: it is told with
// the run, and survives the server.
func TestMetadata(t *testing.T) {
	for _, m := range []mode{dev, serve} {
		t.Run(string(m), func(t *testing.T) {
			p := newPawl(t, m)
			origin, _, _ := script(t, ts4, "metadata.mjs", true, p)
			p.argv = append(p.argv, "--app", origin+"/api/inngest")
			p.start()
			p.awaitApp("noted", 1)
			run := p.outcome(p.send(event{Name: "noted/order"})[0], 1)[0]
			require.Equal(t, "Completed", run.Status, "output %s", run.Output)

			type note struct {
				Scope, Step, Kind string
				Attempt           int
				Values            map[string]any
			}
			charge := stepHash("charge")
			want := []note{
				{Scope: "run", Kind: "userland.state", Values: map[string]any{"done": true}},
				{Scope: "run", Kind: "userland.who", Values: map[string]any{"customer": "c42"}},
				{Scope: "step", Step: charge, Kind: "userland.cost", Values: map[string]any{"cents": 5.0}},
				{Scope: "step", Step: charge, Kind: "userland.tax", Values: map[string]any{"tax": 1.0}},
				{Scope: "step_attempt", Step: charge, Attempt: 1, Kind: "userland.time", Values: map[string]any{"ms": 12.0}},
			}
			told := func() []note {
				var r struct{ Metadata []note }
				require.NoError(t, p.get("/v1/runs/"+run.ID, &r))
				return r.Metadata
			}
			require.ElementsMatch(t, want, told())
			p.kill()
			p.start()
			require.ElementsMatch(t, want, told(), "over kill -9")
		})
	}
}

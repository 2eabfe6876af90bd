package e2e

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAppAway takes the app away from a server that has work for it.
func TestAppAway(t *testing.T) {
	for _, s := range []sdk{ts4, ts3, py} {
		t.Run(s.name, func(t *testing.T) {
			p, a := startPair(t, s, dev)

			t.Run("row 35 away at the first request, back before the retry", func(t *testing.T) {
				require.NoError(t, a.proc.signal(syscall.SIGTERM))
				id := p.send(event{Name: s.name + "/serial"})[0]
				run := p.awaitRuns(id, 1)[0]
				eventually(t, patience, func() error {
					if a.rec.of(run.ID).calls == 0 {
						return errNotYet
					}
					return nil
				})
				a.start()
				run = p.await(run.ID)
				require.Equal(t, "Completed", run.Status, "output %s", run.Output)
				require.JSONEq(t, "6", string(run.Output))
			})

			t.Run("killed in the middle of a step, the steps before it are kept", func(t *testing.T) {
				id := p.send(event{Name: s.name + "/slow"})[0]
				run := p.awaitRuns(id, 1)[0]
				a.log.await(t, started(run.ID, "second"))
				require.NoError(t, a.proc.signal(syscall.SIGKILL))
				a.start()
				run = p.await(run.ID)
				require.Equal(t, "Completed", run.Status, "output %s", run.Output)
				lines := a.log.lines(t, run.ID)
				require.Len(t, attempts(lines, "first"), 1)
				require.Len(t, attempts(lines, "second"), 2)
				require.Len(t, attempts(lines, "third"), 1)
				require.Empty(t, repeated(lines))
			})

			t.Run("away for good, the run fails and names the reason", func(t *testing.T) {
				require.NoError(t, a.proc.signal(syscall.SIGTERM))
				run := p.outcome(p.send(event{Name: s.name + "/uncaught"})[0], 1)[0]
				require.Equal(t, "Failed", run.Status)
				require.NotEmpty(t, run.message())
				require.Equal(t, 2, a.rec.of(run.ID).calls, "one try and one retry")
			})
		})
	}
}

// started matches the start of a step's body.
func started(run, step string) func(line) bool {
	return func(ln line) bool { return ln.Run == run && ln.What == "start" && ln.Step == step }
}

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAcrossApps lets functions of apps in different languages invoke and wake
// each other.
func TestAcrossApps(t *testing.T) {
	p := newPawl(t, serve)
	a, b, c := newApp(t, ts4, p), newApp(t, py, p), newApp(t, ts3, p)
	p.startFor(a, b, c)
	t.Run("pairs", func(t *testing.T) {
		for _, pair := range [][2]*app{{a, b}, {b, a}, {c, b}, {a, c}} {
			from, to := pair[0], pair[1]
			t.Run(from.sdk.name+" invokes "+to.sdk.name, func(t *testing.T) {
				t.Parallel()
				p := *p
				p.t = t
				s := stage{t, &p, from}
				o := s.end(s.start("invoke", op{"of": to.sdk.name, "fn": "double", "n": 4}))
				o.completed(t, fmt.Sprintf(`{"got":{"n":8,"from":%q}}`, to.sdk.name))
				o.bodies(t, "after", 0)
				o = s.end(s.start("invoke", op{"of": to.sdk.name, "fn": "no-stock", "n": 4}))
				require.Equal(t, "Completed", o.run.Status, "output %s", o.run.Output)
				require.Contains(t, string(o.run.Output), "nothing in stock")
				o = s.end(s.start("invoke", op{"of": to.sdk.name, "fn": "unhurried", "n": 4, "timeout": "1s"}))
				require.Equal(t, "Completed", o.run.Status, "output %s", o.run.Output)
				require.Contains(t, string(o.run.Output), "Timed out waiting for invoked function to complete")
			})
		}
	})
}

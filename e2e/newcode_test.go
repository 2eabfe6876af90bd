package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkReport is what pawl check says as JSON, as far as it is looked at.
type checkReport struct {
	SDK                              string
	Live, Ended, Findings, Unchecked int
	Functions                        []struct {
		Function string
		Findings []struct {
			Kind, Step, After, Example string
			Asked                      []string
			Live, Ended                int
		}
	}
}

// check runs pawl check against an app and returns its exit status.
func (p *pawl) check(a *app, args ...string) (r checkReport, status int) {
	p.t.Helper()
	args = append([]string{"check", "--json", "--app", a.direct("/api/inngest")}, args...)
	if p.mode == serve {
		args = append(args, "--signing-key", signingKey)
	}
	cmd := exec.Command(p.argv[0], args...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else {
		require.NoError(p.t, err)
	}
	require.NoError(p.t, json.Unmarshal(out, &r), "exit status %d: %s", status, out)
	return r, status
}

// newVersion starts an app with other code beside one that the server knows. The
// server does not know it.
func newVersion(t *testing.T, s sdk, p *pawl, code string) *app {
	t.Helper()
	a := newApp(t, s, p)
	a.env = append(a.env, "APP_CODE="+code)
	a.start()
	return a
}

// noBodies wants no step of an app to have run.
func (a *app) noBodies() {
	a.t.Helper()
	for _, l := range a.log.lines(a.t, "") {
		require.NotEqual(a.t, "start", l.What, "a body ran: %+v", l)
	}
}

// TestCheckNewCode: pawl check tells code that fits the recorded runs from code that
// does not, for each SDK, by the server's API and by its file, and no step runs.
func TestCheckNewCode(t *testing.T) {
	guard(t)
	for _, tt := range []struct {
		sdk  sdk
		mode mode
	}{{ts4, serve}, {ts3, dev}, {py, serve}} {
		t.Run(tt.sdk.name, func(t *testing.T) {
			t.Parallel()
			p, a := startPair(t, tt.sdk, tt.mode)
			s := stage{t, p, a}
			first := s.start("deploy", op{"n": 1})
			p.resting(first.ID, "handed over")
			s.send("handed-over", op{})
			s.end(first).completed(t, `"thanked"`)
			second := s.start("deploy", op{"n": 2})
			p.resting(second.ID, "handed over")

			same, other := newVersion(t, tt.sdk, p, "old"), newVersion(t, tt.sdk, p, "new")
			for _, from := range [][]string{{"--url", p.url}, {"--db", "sqlite:" + p.db}} {
				r, status := p.check(same, from...)
				require.Equal(t, 0, status, "%+v", r)
				require.Equal(t, []int{1, 1, 0, 0}, []int{r.Live, r.Ended, r.Findings, r.Unchecked})

				r, status = p.check(other, from...)
				require.Equal(t, 1, status)
				require.Equal(t, 1, r.Findings, "%+v", r)
				found := r.Functions[0].Findings[0]
				require.Equal(t, "new-step", found.Kind)
				require.Equal(t, "charge", found.Step)
				require.Equal(t, []string{"charge card"}, found.Asked)
				require.Equal(t, "reserve", found.After)
				require.Equal(t, second.ID, found.Example)
				require.Equal(t, []int{1, 1}, []int{found.Live, found.Ended})
			}
			same.noBodies()
			other.noBodies()
			var still runInfo
			require.NoError(t, p.get("/v1/runs/"+second.ID, &still))
			require.Equal(t, "Running", still.Status)
		})
	}
}

// TestCheckSameCode: of code that is the same nothing is found, whatever its
// functions do.
func TestCheckSameCode(t *testing.T) {
	guard(t)
	for _, sdk := range []sdk{ts4, ts3, py} {
		t.Run(sdk.name, func(t *testing.T) {
			t.Parallel()
			p, a := startPair(t, sdk, dev)
			s := stage{t, p, a}
			fns := []string{
				"serial", "many", "parallel", "parallel-fail", "loop", "caught", "uncaught", "retry", "nonretriable-step",
				"sleep", "sleep-until", "big", "send", "nothing", "wait-timeout", "invoke", "wait-all",
			}
			for _, fn := range fns {
				s.start(fn, op{"n": 1, "key": "k"})
			}
			for _, fn := range fns {
				if fn == "wait-all" {
					continue // it goes on
				}
				for _, r := range p.allRuns(s.slug(fn)) {
					p.await(r.ID)
				}
			}
			same := newVersion(t, sdk, p, "")
			r, status := p.check(same, "--db", "sqlite:"+p.db)
			var told strings.Builder
			for _, f := range r.Functions {
				for _, found := range f.Findings {
					told.WriteString(f.Function + ": " + found.Kind + " " + found.Step + " " + strings.Join(found.Asked, ",") + "\n")
				}
			}
			require.Equal(t, 0, status, "%s%+v", told.String(), r)
			require.GreaterOrEqual(t, len(r.Functions), len(fns))
			same.noBodies()
		})
	}
}

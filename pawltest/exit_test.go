package pawltest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/pawltest"
)

// TestFailNow: a function or a step that fails its test at once ends that test,
// and no other.
func TestFailNow(t *testing.T) {
	t.Parallel()
	const asked = "PAWLTEST_FAIL_NOW"
	if os.Getenv(asked) != "" {
		for _, where := range []string{"function", "step"} {
			t.Run(where, func(t *testing.T) { failNow(t, where) })
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFailNow$", "-test.v")
	cmd.Env = append(os.Environ(), asked+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("the tests have not failed")
	}
	for _, line := range []string{"--- FAIL: TestFailNow/function", "--- FAIL: TestFailNow/step"} {
		if !strings.Contains(string(out), line) {
			t.Errorf("no line %q", line)
		}
	}
	if n := strings.Count(string(out), "no good"); n != 2 || strings.Contains(string(out), "went on") {
		t.Errorf("each test should have said once what is no good, and ended; %d did", n)
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

func failNow(t *testing.T, where string) {
	t.Helper()
	app := pawl.New("shop")
	var inside *testing.T
	f := pawl.Func(app, "f", func(ctx context.Context, _ struct{}) (any, error) {
		if where == "function" {
			inside.Fatal("no good")
		}
		return nil, pawl.Do(ctx, "step", func(context.Context) error {
			inside.Fatal("no good")
			return nil
		})
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		inside = t
		_, err := pawltest.Start(p, f, struct{}{}).Result()
		t.Log("the test went on", err)
	})
}

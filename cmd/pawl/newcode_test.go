package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/check"
	"github.com/pawlhq/pawl/internal/durable"
)

func TestCheckReport(t *testing.T) {
	t.Parallel()
	r := &check.Report{
		App: "shop", SDK: "inngest-js:v4.24.0", Live: 2, Ended: 20, Findings: 1, Unchecked: 1,
		Functions: []check.FunctionReport{
			{Function: "shop-cancel", Note: "the app does not serve it any more, and none of its runs goes on", Ended: 1},
			{Function: "shop-checkout", Live: 2, Ended: 18, Findings: []*check.Finding{
				{Kind: check.NewStep, Step: "charge", Also: []string{"ship"}, Asked: []string{"charge card"}, After: "reserve", Live: 2, Ended: 18, Example: "01K7Q3V6ZB8M4C0T9N5R2W1XYD"},
				{Kind: check.MissingStep, Step: "mail\x1b[2J", Ended: 1, Example: "01K7Q3V6ZB8M4C0T9N5R2W1XYE", Accepted: true},
			}},
			{Function: "shop-remind", Ended: 1, Unchecked: []check.Unchecked{{Run: "01K7Q3V6ZB8M4C0T9N5R2W1XYF", Why: "no answer within 30s"}}},
		},
	}
	require.Equal(t, `shop-cancel  1 run checked, 0 that go on
  the app does not serve it any more, and none of its runs goes on
shop-checkout  20 runs checked, 2 that go on

  new-step  "charge card" would run, although "charge" has finished
    in 2 runs that go on and 18 runs that have ended, such as 01K7Q3V6ZB8M4C0T9N5R2W1XYD
    After "reserve", the recorded runs went on with "charge" and "ship"; the new code
    asks for "charge card". If that is the same work under another name, it would be
    done a second time. Give the step its old name, put new steps behind those that runs
    have finished, or keep the old function for its runs and give the new one another
    id.

  missing-step (accepted)  "mail" has finished, and is not asked for any more
    in 1 run that has ended, such as 01K7Q3V6ZB8M4C0T9N5R2W1XYE
shop-remind  1 run checked, 0 that go on
  could not check run 01K7Q3V6ZB8M4C0T9N5R2W1XYF: no answer within 30s

shop: 22 runs checked, 2 that go on against inngest-js:v4.24.0; 1 finding, and 1 run could not be checked.
`, durable.Unstyled(checkReport(r)))
}

package server

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

func TestFoldSteps(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Date(2026, 1, 2, 15, 4, s, 0, time.UTC) }
	p := func(s int) *time.Time { v := at(s); return &v }
	boom := durable.JSON(`{"name":"Error","message":"boom"}`)
	for _, tt := range []struct {
		name    string
		journal []durable.Entry
		status  durable.Status
		want    []stepView
	}{
		{"nothing", []durable.Entry{{Kind: durable.Nothing}}, durable.Running, []stepView{}},
		{
			"a step that finished",
			[]durable.Entry{{Step: "a", Kind: durable.StepDone, Op: "StepRun", Name: "A", At: at(3), Started: at(1), Took: time.Second, Data: durable.JSON(`{"data":[1]}`)}},
			durable.Running,
			[]stepView{{Step: "a", Name: "A", Op: "StepRun", Status: "completed", Output: durable.JSON(`[1]`), StartedAt: p(1), EndedAt: p(3), Attempts: []attemptView{{Attempt: 1, Seq: 1, StartedAt: p(1), EndedAt: p(3)}}}},
		},
		{
			"a branch that is planned",
			[]durable.Entry{{Step: "a", Kind: durable.StepPlanned, Op: "StepPlanned", Name: "A", At: at(1), Group: true}},
			durable.Running,
			[]stepView{{Step: "a", Name: "A", Op: "StepPlanned", Status: "planned", Parallel: true, PlannedAt: p(1)}},
		},
		{
			"a step that is tried again, and then fails",
			[]durable.Entry{
				{Step: "a", Kind: durable.Tried, Op: "StepError", Name: "A", At: at(1), Until: at(2), Data: boom},
				{Step: "a", Kind: durable.StepFailed, Op: "StepFailed", Name: "A", Attempt: 1, At: at(3), Data: durable.JSON(`{"error":` + string(boom) + `}`)},
			},
			durable.Failed,
			[]stepView{{Step: "a", Name: "A", Op: "StepFailed", Status: "failed", Error: boom, EndedAt: p(3), Attempts: []attemptView{
				{Attempt: 1, Seq: 1, EndedAt: p(1), Error: boom, NextAt: p(2)}, {Attempt: 2, Seq: 2, EndedAt: p(3), Error: boom},
			}}},
		},
		{
			"a step that is tried again",
			[]durable.Entry{{Step: "a", Kind: durable.Tried, Op: "StepError", Name: "A", At: at(1), Until: at(2), Data: boom}},
			durable.Running,
			[]stepView{{Step: "a", Name: "A", Op: "StepError", Status: "retrying", Attempts: []attemptView{{Attempt: 1, Seq: 1, EndedAt: p(1), Error: boom, NextAt: p(2)}}}},
		},
		{
			"a sleep",
			[]durable.Entry{{Step: "s", Kind: durable.StepAsleep, Op: "Sleep", Name: "S", At: at(1), Until: at(9)}},
			durable.Running,
			[]stepView{{Step: "s", Name: "S", Op: "Sleep", Status: "sleeping", StartedAt: p(1), Until: p(9)}},
		},
		{
			"a sleep that is over",
			[]durable.Entry{
				{Step: "s", Kind: durable.StepAsleep, Op: "Sleep", Name: "S", At: at(1), Until: at(9)},
				{Step: "s", Kind: durable.StepDone, Op: "Sleep", At: at(9), Data: durable.JSON(`null`)},
			},
			durable.Running,
			[]stepView{{Step: "s", Name: "S", Op: "Sleep", Status: "completed", Output: durable.JSON(`null`), StartedAt: p(1), EndedAt: p(9), Until: p(9)}},
		},
		{
			"a body that failed once and then returned",
			[]durable.Entry{{Kind: durable.Tried, Name: "Error", At: at(1), Until: at(2), Data: boom}},
			durable.Completed,
			[]stepView{{Name: bodyName, Op: "Function", Status: "completed", Attempts: []attemptView{{Attempt: 1, Seq: 1, EndedAt: p(1), Error: boom, NextAt: p(2)}}}},
		},
		{
			"a body that failed for good",
			[]durable.Entry{{Kind: durable.BodyFailed, Name: "Error", At: at(1), Data: boom}},
			durable.Failed,
			[]stepView{{Name: bodyName, Op: "Function", Status: "failed", Error: boom, EndedAt: p(1), Attempts: []attemptView{{Attempt: 1, Seq: 1, EndedAt: p(1), Error: boom}}}},
		},
		{
			"steps that were open when the run was cancelled",
			[]durable.Entry{
				{Step: "s", Kind: durable.StepAsleep, Op: "Sleep", Name: "S", At: at(1), Until: at(9)},
				{Step: "a", Kind: durable.Tried, Op: "StepError", Name: "A", At: at(1), Until: at(9), Data: boom},
				{Kind: durable.Stopped, At: at(2), Data: durable.JSON(`"enough"`)},
			},
			durable.Cancelled,
			[]stepView{
				{Step: "s", Name: "S", Op: "Sleep", Status: "cancelled", StartedAt: p(1)},
				{Step: "a", Name: "A", Op: "StepError", Status: "cancelled", Attempts: []attemptView{{Attempt: 1, Seq: 2, EndedAt: p(1), Error: boom}}},
				{Name: bodyName, Op: "Function", Status: "cancelled", Reason: "enough", EndedAt: p(2)},
			},
		},
		{
			"a branch that lost a race",
			[]durable.Entry{{Step: "a", Kind: durable.StepPlanned, Op: "StepPlanned", Name: "A", At: at(1)}},
			durable.Completed,
			[]stepView{{Step: "a", Name: "A", Op: "StepPlanned", Status: "left", PlannedAt: p(1)}},
		},
		{
			"a branch that was not reached",
			[]durable.Entry{
				{Step: "a", Kind: durable.StepPlanned, Op: "StepPlanned", Name: "A", At: at(1)}, {Step: "a", Kind: durable.StepMissed, At: at(2)},
			},
			durable.Completed,
			[]stepView{{Step: "a", Name: "A", Op: "StepPlanned", Status: "missed", PlannedAt: p(1)}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, foldSteps(tt.journal, tt.status)); diff != "" {
				t.Errorf("steps differ (-want +got):\n%s", diff)
			}
		})
	}
}

// Python tells no times; what is known of them is told all the same.
func TestStepsThatTheAppDidNotTime(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0).UTC() }
	journal := []durable.Entry{
		{Step: "a", Kind: durable.StepDone, At: at(3)},
		{Step: "b", Kind: durable.Tried, At: at(5), Until: at(10)},
		{Step: "b", Kind: durable.StepFailed, Attempt: 1, At: at(12)},
		{Step: "c", Kind: durable.StepPlanned, At: at(13)},
		{Step: "d", Kind: durable.StepPlanned, At: at(13)},
		{Step: "c", Kind: durable.StepDone, At: at(15)},
		{Step: "d", Kind: durable.StepDone, At: at(20)},
		{Step: "e", Kind: durable.StepDone, At: at(30), Started: at(28)},
		{Step: "f", Kind: durable.StepDone, At: at(32), Took: time.Second},
		{Kind: durable.BodyFailed, At: at(33)},
	}
	want := []time.Time{at(1), at(3), at(10), {}, {}, at(13), at(13), at(28), at(31), at(32)}
	for i, e := range timed(journal, at(1)) {
		require.Equal(t, want[i], began(e), "entry %d", i)
	}
	require.Zero(t, journal[0].Started, "the journal is left alone")
	require.Zero(t, began(timed(journal, time.Time{})[0]), "nothing is made up")
}

func TestInMemo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ memo, member, want string }{
		{`{"data":1}`, "data", `1`},
		{`{"data":null}`, "data", `null`},
		{`{"error":{"name":"x"}}`, "error", `{"name":"x"}`},
		{`null`, "data", `null`},
		{`{"data":{"n":1},"id":"1","name":"a"}`, "data", `{"data":{"n":1},"id":"1","name":"a"}`},
		{`{"data":`, "data", `{"data":`},
	} {
		if got := string(inMemo(durable.JSON(tt.memo), tt.member)); got != tt.want {
			t.Errorf("inMemo(%s, %s) = %s, want %s", tt.memo, tt.member, got, tt.want)
		}
	}
}

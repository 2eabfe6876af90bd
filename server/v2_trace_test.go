package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

func TestTraceIsTheJournal(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	run := &durable.Run{
		ID: "R", Queued: noon, Events: []durable.Event{{Body: durable.JSON(`{"name":"a"}`)}},
		Head: durable.Head{Status: durable.Running, Started: at(1)},
	}
	journal := []durable.Entry{
		{Step: "a", Kind: durable.StepPlanned, Op: "StepPlanned", Name: "charge", At: at(1)},
		{Step: "a", Kind: durable.Tried, Op: "StepError", Name: "charge", At: at(2), Took: time.Second, Until: at(3), Data: durable.JSON(`{"message":"503"}`)},
		{Step: "a", Kind: durable.StepDone, Op: "StepRun", Name: "charge", Attempt: 1, At: at(4), Took: time.Second, Data: durable.JSON(`{"data":7}`)},
		{Step: "b", Kind: durable.StepAsleep, Op: "Sleep", Name: "1m", At: at(4), Until: at(64)},
		{Step: "b", Kind: durable.StepDone, Op: "Sleep", Name: "1m", At: at(64), Data: durable.JSON(`null`)},
		{Step: "c", Kind: durable.StepAsleep, Op: "WaitForEvent", Name: "w", At: at(64), Until: at(99), Data: durable.JSON(`{"event":"x"}`)},
		{Step: "d", Kind: durable.StepAsleep, Op: "WaitForSignal", Name: "s", At: at(64), Until: at(99)},
		{Step: "e", Kind: durable.StepAsleep, Op: "InvokeFunction", Name: "i", At: at(64), Until: at(99)},
		{Step: "f", Kind: durable.StepPlanned, Op: "AIGateway", Name: "ask", At: at(65)},
		{Step: "g", Kind: durable.StepDone, Op: "StepRun", Name: "quick", At: at(65), Data: durable.JSON(`{"data":null}`)},
		{Step: "", Kind: durable.Tried, At: at(70), Until: at(80), Data: durable.JSON(`{"message":"boom"}`)},
	}
	root := trace(run, journal, true)
	require.Equal(t, "Run", root.Name)
	require.Equal(t, "RUNNING", root.Status)
	require.JSONEq(t, `[{"name":"a"}]`, string(root.Input.Data))
	require.Nil(t, root.Output)
	var got [][3]string
	ids := map[string]bool{root.ID: true}
	for _, c := range root.Children {
		got = append(got, [3]string{c.Name, c.StepOp, c.Status})
		require.False(t, ids[c.ID], "each span has its own id")
		ids[c.ID] = true
	}
	require.Equal(t, [][3]string{
		{"charge", "RUN", "COMPLETED"},
		{"1m", "SLEEP", "COMPLETED"},
		{"w", "WAIT_FOR_EVENT", "WAITING"},
		{"s", "WAIT_FOR_SIGNAL", "WAITING"},
		{"i", "INVOKE", "WAITING"},
		{"ask", "AI_GATEWAY", "QUEUED"},
		{"quick", "RUN", "COMPLETED"},
		{"Finalization", "", "RUNNING"},
	}, got)
	charge := root.Children[0]
	require.Equal(t, at(1), charge.QueuedAt)
	require.Equal(t, at(1), charge.StartedAt)
	require.Equal(t, int64(3000), charge.DurationMs)
	require.Equal(t, "7", string(charge.Output.Data))
	require.Len(t, charge.Children, 2)
	require.Equal(t, "Attempt 0", charge.Children[0].Name)
	require.Equal(t, "FAILED", charge.Children[0].Status)
	require.JSONEq(t, `{"message":"503"}`, string(charge.Children[0].Output.Error))
	require.Equal(t, "Attempt 1", charge.Children[1].Name)
	require.Equal(t, "COMPLETED", charge.Children[1].Status)
	require.Empty(t, root.Children[6].Children, "one try needs no span of its own")
	require.Equal(t, root, trace(run, journal, true), "ids stay")
	require.Nil(t, trace(run, journal, false).Children[0].Output)
}

package storetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// past is what Past tells, in a line each, in order.
func (d *db) past(span store.Span) (list []string, since time.Time) {
	d.Helper()
	kinds := [...]string{"received", "started", "ended", "tried", "step"}
	since, err := d.Past(d.Context(), span, func(h store.Happening) {
		line := fmt.Sprintf("%s %s", h.At.Sub(noon), kinds[h.Kind])
		switch h.Kind {
		case store.RunEnded:
			line += fmt.Sprintf(" %s %s after %s", h.Function, h.Status, h.Took)
		case store.RunStarted:
			line += fmt.Sprintf(" %s after %s", h.Function, h.Took)
		default:
			line += " " + h.Function
		}
		list = append(list, line)
	})
	require.NoError(d, err)
	slices.Sort(list)
	return list, since
}

var pastTests = []test{
	{"tells what happened in a span of time", func(d *db) {
		at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
		run := func(fn string, started, ended int, status durable.Status, kinds ...durable.EntryKind) {
			e := event("order/placed")
			e.Received = at(started)
			id := d.accept(store.Accepted{Event: e, Starts: starts(start(fn, e, noon))})[0]
			c := durable.Change{Head: &durable.Head{Status: status, Started: at(started), Protocol: durable.Unpinned}}
			if status.Final() {
				c.Head.Ended = at(ended)
			}
			for _, k := range kinds {
				c.Entries = append(c.Entries, durable.Entry{Kind: k, Step: "a", At: at(ended)})
			}
			d.change(id, c)
		}
		internal := event(durable.EventFinished)
		internal.Received = at(30)
		d.startAt(noon) // and waits
		run("c", 2, 40, durable.Cancelled)
		run("a", 5, 9, durable.Completed, durable.StepDone) // before it
		run("a", 10, 10, durable.Completed, durable.StepDone, durable.Nothing)
		run("a", 9, 20, durable.Failed, durable.Tried)
		d.accept(store.Accepted{Event: internal})
		run("b", 30, 31, durable.Running, durable.StepDone)
		run("a", 69, 70, durable.Completed) // its end is after it

		want := []string{
			"10m0s ended a Completed after 0s", "10m0s received ", "10m0s started a after 10m0s", "10m0s step a",
			"20m0s ended a Failed after 11m0s", "20m0s tried a",
			"30m0s received ", "30m0s started b after 30m0s", "31m0s step b",
			"40m0s ended c Cancelled after 38m0s",
			"1h9m0s received ", "1h9m0s started a after 1h9m0s",
		}
		slices.Sort(want)
		whole := store.Span{From: at(10), Until: at(70), Most: 1000}
		got, since := d.past(whole)
		require.Equal(d, want, got)
		require.Equal(d, whole.From, since)

		// With less to look at, it is all from some minute on.
		reached := at(70)
		for most := range 40 {
			part := whole
			part.Most = most
			got, since := d.past(part)
			require.False(d, since.After(reached), "more is never less")
			reached = since
			told := map[string]int{}
			for _, line := range got {
				told[line]++
			}
			for _, line := range want {
				var ago time.Duration
				ago, err := time.ParseDuration(line[:slices.Index([]byte(line), ' ')])
				require.NoError(d, err)
				if !noon.Add(ago).Before(since) {
					require.Equal(d, 1, told[line], "%s, known since %s", line, since)
				}
			}
		}
		require.Equal(d, whole.From, reached)

		ctx, cancel := context.WithTimeout(d.Context(), -1)
		defer cancel()
		since, err := d.Past(ctx, whole, func(store.Happening) {})
		require.NoError(d, err)
		require.Equal(d, whole.Until, since, "there was no time")
	}},
	{"knows that there was nothing", func(d *db) {
		got, since := d.past(store.Span{From: noon, Until: noon.Add(time.Hour), Most: 1})
		require.Empty(d, got)
		require.Equal(d, noon, since)
	}},
}

package engine_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

const deferrable = `{"id":"shop-later","name":"later","triggers":[{"event":"inngest/deferred.schedule"}],"steps":{"step":{
	"runtime":{"url":"http://app/api/inngest?fnId=shop-later&stepId=step"},"retries":{"attempts":0}}}}`

func deferAdd(id, opts string) string { return op("DeferAdd", id, `,"opts":`+opts) }

func TestDeferredCallsStartWhenTheRunHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		add := func(id string, n int) string {
			return deferAdd(id, fmt.Sprintf(`{"fn_slug":"shop-later","input":{"n":%d}}`, n))
		}
		a := &app{}
		a.serve = func(c callSeen) (int, string, http.Header) {
			switch {
			case c.Fn == "shop-later":
				return http.StatusOK, "1", nil
			case len(c.Steps) == 0:
				return ops(op("StepRun", "a", ""), add("d1", 1), add("d2", 2), deferAdd("bad", `{"fn_slug":"shop-later","input":[]}`))
			case len(c.Steps) == 1:
				return ops(op("Sleep", "nap", `,"name":"1h"`), add("d1", 9), op("DeferAbort", "x",
					`,"opts":{"target_hashed_id":"`+wire.StepHash("d2", 0)+`"}`), add("d3", 3))
			default:
				return http.StatusOK, "null", nil
			}
		}
		p := newPawl(t, a, function("f", "x", 0), deferrable)
		p.send(`{"name":"x"}`)
		p.wantStatus(0, durable.Running)
		p.restart()
		require.Len(t, p.runs(), 1, "nothing starts before the end")
		time.Sleep(time.Hour)
		p.wantStatus(0, durable.Completed)
		runs := p.runs()
		require.Len(t, runs, 3, "once each; not the one that was aborted, nor the one that makes no sense")
		var data []string
		for _, c := range a.seen() {
			if c.Fn == "shop-later" {
				data = append(data, string(c.Event.Data))
			}
		}
		all := strings.Join(data, "\n")
		require.Contains(t, all, `"n":1`)
		require.Contains(t, all, `"n":3`)
		require.Contains(t, data[0], fmt.Sprintf(`"_inngest":{"fn_slug":"shop-later","parent_fn_slug":"shop-f","parent_run_id":"%s"}`, runs[0].ID))
	})
}

func TestTooManyDeferredCallsAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{}
		a.serve = func(c callSeen) (int, string, http.Header) {
			if c.Fn == "shop-later" || len(c.Steps) > 0 {
				return http.StatusOK, "1", nil
			}
			list := []string{op("StepRun", "a", "")}
			for i := range 25 {
				list = append(list, deferAdd(fmt.Sprintf("d%d", i), `{"fn_slug":"shop-later"}`))
			}
			return ops(list...)
		}
		p := newPawl(t, a, function("f", "x", 0), deferrable)
		p.send(`{"name":"x"}`)
		p.wantStatus(0, durable.Completed)
		require.Len(t, p.runs(), 21)
	})
}

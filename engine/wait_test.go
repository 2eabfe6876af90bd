package engine_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/wire"
)

// awaits is a function that returns the memo of one op.
func awaits(kind, id, more string) func(c callSeen) (int, string, http.Header) {
	return func(c callSeen) (int, string, http.Header) {
		memo, ok := c.Steps[wire.StepHash(id, 0)]
		if !ok {
			return ops(op(kind, id, more))
		}
		return http.StatusOK, string(memo), nil
	}
}

// waitsForPaid waits a day for the payment of its own order.
var waitsForPaid = awaits("WaitForEvent", "w", `,"name":"paid","opts":{"timeout":"1d","if":"event.data.id == async.data.id"}`)

// with is a registration with more settings.
func with(f, settings string) string { return strings.TrimSuffix(f, "}") + "," + settings + "}" }

func TestWaitEndsWithTheEventThatMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: waitsForPaid}
		p := newPawl(t, a, function("f", "order", 4))
		p.send(`{"name":"paid","data":{"id":1}}`) // row 54: too early
		p.send(`{"name":"order","data":{"id":1}}`)
		p.wantStatus(0, durable.Running)
		p.send(`{"name":"paid","data":{"id":2}}`) // row 53: another order
		p.wantStatus(0, durable.Running)
		p.restart()
		id := p.send(`{"name":"paid","data":{"id":1,"by":"card"},"ts":1795312880000}`)[0]
		r := p.wantStatus(0, durable.Completed)
		require.JSONEq(t, `{"name":"paid","data":{"id":1,"by":"card"},"id":"`+id+`","ts":1795312880000,"user":{}}`,
			string(r.Output), "row 51: the whole event, unwrapped")
		require.Len(t, a.seen(), 2)
		p.send(`{"name":"paid","data":{"id":1}}`)
		time.Sleep(48 * time.Hour)
		require.Len(t, a.seen(), 2, "nothing is left of the wait")
	})
}

func TestWaitEndsInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: waitsForPaid}
		p := newPawl(t, a, function("f", "order", 4))
		p.send(`{"name":"order","data":{"id":1}}`)
		synctest.Wait()
		p.restart()
		time.Sleep(24*time.Hour - time.Second)
		p.wantStatus(0, durable.Running)
		time.Sleep(time.Second)
		r := p.wantStatus(0, durable.Completed)
		require.Equal(t, "null", string(r.Output), "row 52")
	})
}

func TestTriggerDoesNotEndItsOwnRunsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("WaitForEvent", "w", `,"name":"order","opts":{"timeout":"1h"}`)}
		p := newPawl(t, a, function("f", "order", 4))
		p.send(`{"name":"order","data":{"id":1}}`)
		p.wantStatus(0, durable.Running)
		time.Sleep(time.Hour)
		r := p.wantStatus(0, durable.Completed)
		require.Equal(t, "null", string(r.Output), "row 55")
	})
}

func TestEventInTimeWinsOverTheTimeoutThatComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: waitsForPaid}
		p := newPawl(t, a, function("f", "order", 4))
		p.send(`{"name":"order","data":{"id":1}}`)
		synctest.Wait()
		require.NoError(t, p.Close(t.Context()))
		// The event is accepted by a server that dies before it hands it on; the
		// next one starts when the wait's time is over as well.
		p.acceptOnly(`{"name":"paid","data":{"id":1}}`)
		time.Sleep(48 * time.Hour)
		p.start()
		r := p.wantStatus(0, durable.Completed)
		require.Contains(t, string(r.Output), `"paid"`, "row 57")
		require.Len(t, a.seen(), 2, "it resumes once")
	})
}

func TestOneEventWakesAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const runs = 300 // more than a page
		a := &app{serve: awaits("WaitForEvent", "w", `,"name":"go","opts":{"timeout":"1d"}`)}
		p := newPawl(t, a, function("f", "x", 4))
		p.send("[" + strings.TrimSuffix(strings.Repeat(`{"name":"x"},`, runs), ",") + "]")
		synctest.Wait()
		require.Equal(t, runs, p.count(durable.Running))
		p.send(`{"name":"go"}`)
		synctest.Wait()
		require.Equal(t, runs, p.count(durable.Completed), "row 56")
		require.Len(t, a.seen(), 2*runs, "each once")
	})
}

func TestOfTwoEventsInABatchTheFirstEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const runs = 50
		a := &app{serve: waitsForPaid}
		p := newPawl(t, a, function("f", "order", 4))
		for id := range runs {
			p.send(fmt.Sprintf(`{"name":"order","data":{"id":%d}}`, id))
		}
		synctest.Wait()
		first := map[string]bool{}
		for id := range runs {
			first[p.send(fmt.Sprintf(`[{"name":"paid","data":{"id":%d}},{"name":"paid","data":{"id":%d}}]`, id, id))[0]] = true
		}
		synctest.Wait()
		require.Equal(t, runs, p.count(durable.Completed))
		for _, r := range p.runs() {
			var memo struct{ ID string }
			require.NoError(t, json.Unmarshal(r.Output, &memo))
			require.True(t, first[memo.ID], "run %s was woken by the second of two events", r.ID)
		}
		require.Len(t, a.seen(), 2*runs)
	})
}

func TestBadConditionFailsTheRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("WaitForEvent", "w", `,"name":"go","opts":{"timeout":"1d","if":"async.data === 1"}`)}
		p := newPawl(t, a, function("f", "x", 4))
		p.send(`{"name":"x"}`)
		r := p.wantStatus(0, durable.Failed)
		require.Contains(t, string(r.Output), `"name":"InvalidExpression"`, "row 58")
		why := wire.ParseError(r.Output, nil).Message
		require.Regexp(t, `^Wait for event If expression failed to compile: step "w": async\.data === 1: line 1, column \d+: `, why)
		require.Len(t, a.seen(), 1)
	})
}

func TestConditionsThatFailHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: func(c callSeen) (int, string, http.Header) {
			cond := `int(async.data.text) > 3`
			if strings.Contains(string(c.Event.Data), "good") {
				cond = `async.data.text == 'x'`
			}
			return awaits("WaitForEvent", "w", fmt.Sprintf(`,"name":"go","opts":{"timeout":"1d","if":%q}`, cond))(c)
		}}
		p := newPawl(t, a, function("f", "x", 4))
		p.send("[" + strings.Repeat(`{"name":"x"},`, 100) + `{"name":"x","data":{"good":true}}]`)
		synctest.Wait()
		p.send(`{"name":"go","data":{"text":"x"}}`)
		synctest.Wait()
		require.Equal(t, 1, p.count(durable.Completed), "row 59")
		require.Equal(t, 100, p.count(durable.Running))
	})
}

func TestWaitBesideAStepThatSendsTheEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{}
		var p *pawl
		a.serve = func(c callSeen) (int, string, http.Header) {
			switch {
			case c.Step == wire.StepHash("send", 0):
				p.send(`{"name":"go","data":{"n":1}}`)
				return ops(op("StepRun", "send", ""))
			case len(c.Steps) < 2:
				return ops(op("StepPlanned", "send", ""), op("WaitForEvent", "w", `,"name":"go","opts":{"timeout":"1h"}`))
			default:
				return http.StatusOK, string(c.Steps[wire.StepHash("w", 0)]), nil
			}
		}
		p = newPawl(t, a, function("f", "x", 4))
		p.send(`{"name":"x"}`)
		time.Sleep(time.Second)
		r := p.wantStatus(0, durable.Completed)
		require.Contains(t, string(r.Output), `"go"`, "row 60")
	})
}

func TestSignalReachesTheRunThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("WaitForSignal", "s", `,"name":"S1","opts":{"signal":"S1","timeout":"1d"}`)}
		p := newPawl(t, a, function("f", "x", 4))
		_, err := p.Signal(t.Context(), "S1", nil, nil, "")
		require.ErrorIs(t, err, store.ErrNotFound, "row 62")
		p.send(`{"name":"x"}`)
		waiting := p.wantStatus(0, durable.Running)
		p.restart()

		p.send(`{"name":"x"}`)
		r := p.wantStatus(1, durable.Failed)
		require.Equal(t, `Signal conflict; signal wait already exists for another run: signal "S1", step "s"`,
			wire.ParseError(r.Output, nil).Message, "row 63")
		letter, err := p.Letters().DeadLetter(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, "s", letter.Step)

		run, err := p.Signal(t.Context(), "S1", []byte(`{"a":1}`), nil, "ann")
		require.NoError(t, err)
		require.Equal(t, waiting.ID, run)
		r = p.wantStatus(0, durable.Completed)
		require.JSONEq(t, `{"data":{"signal":"S1","data":{"a":1}}}`, string(r.Output), "row 61")
		_, err = p.Signal(t.Context(), "S1", nil, nil, "")
		require.ErrorIs(t, err, store.ErrNotFound, "it is delivered once")
		told, err := p.Acts(t.Context(), store.ActFilter{}, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, told, 1, "a person sent one; what a program sends is traffic")
		require.Equal(t, []string{"ann", durable.ActSignal, durable.SignalObject("S1")}, []string{told[0].By, told[0].What, told[0].Object})
	})
}

func TestSignalCanBeTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("WaitForSignal", "s", `,"name":"S1","opts":{"signal":"S1","timeout":"1d","conflict":"replace"}`)}
		p := newPawl(t, a, function("f", "x", 4))
		p.send(`{"name":"x"}`)
		synctest.Wait()
		p.send(`{"name":"x"}`)
		synctest.Wait()
		_, err := p.Signal(t.Context(), "S1", []byte("1"), nil, "")
		require.NoError(t, err)
		p.wantStatus(1, durable.Completed)
		p.wantStatus(0, durable.Running)
		time.Sleep(24 * time.Hour)
		r := p.wantStatus(0, durable.Completed)
		require.Equal(t, "null", string(r.Output), "row 63: the first waits until its time is over")
	})
}

// invoking is an app of two functions: shop-f invokes shop-g, which answers as
// callee says.
func invoking(more string, callee func(c callSeen) (int, string, http.Header)) *app {
	caller := awaits("InvokeFunction", "i", `,"opts":{"function_id":"shop-g","payload":{"data":{"q":1,"_inngest":{"fn_id":"shop-x"}}}`+more+`}`)
	return &app{serve: func(c callSeen) (int, string, http.Header) {
		if c.Fn == "shop-g" {
			return callee(c)
		}
		return caller(c)
	}}
}

const uninvoked = `{"id":"shop-g","name":"g","triggers":[],"steps":{"step":{
	"runtime":{"url":"http://app/api/inngest?fnId=shop-g&stepId=step"},"retries":{"attempts":0}}}}`

func TestInvokedFunctionReturnsToItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := invoking("", func(c callSeen) (int, string, http.Header) {
			if _, ok := c.Steps[wire.StepHash("nap", 0)]; !ok {
				return ops(op("Sleep", "nap", `,"name":"1h"`))
			}
			return http.StatusOK, `{"got":` + string(c.Event.Data) + `}`, nil
		})
		p := newPawl(t, a, function("f", "x", 4), uninvoked)
		p.send(`{"name":"x"}`)
		caller := p.wantStatus(0, durable.Running)
		p.restart()
		time.Sleep(time.Hour)
		r := p.wantStatus(0, durable.Completed)
		hash := wire.StepHash("i", 0)
		require.JSONEq(t, fmt.Sprintf(`{"data":{"got":{"q":1,"_inngest":{"correlation_id":"%s.%s","expire":%d,"fn_id":"shop-g","name":"i"}}}}`,
			caller.ID, hash, a.seen()[0].At.Add(365*24*time.Hour).UnixMilli()), string(r.Output), "row 64")
		callee := p.wantStatus(1, durable.Completed)
		require.Equal(t, durable.Ref{Run: caller.ID, Step: hash}, callee.Parent)
	})
}

func TestInvokedFunctionsErrorIsItsCallersToCatch(t *testing.T) {
	for _, tt := range []struct {
		name, more, want string
		callee           func(c callSeen) (int, string, http.Header)
		status           durable.Status // of the callee
	}{
		{
			"row 65: the callee throws", "", `"message":"no stock"`,
			func(callSeen) (int, string, http.Header) {
				return http.StatusInternalServerError, `{"name":"Error","message":"no stock"}`, nil
			}, durable.Failed,
		},
		{
			"row 66: the callee is slow", `,"timeout":"1s"`, `"name":"InngestInvokeTimeoutError"`,
			awaits("Sleep", "nap", `,"name":"1h"`), durable.Completed,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPawl(t, invoking(tt.more, tt.callee), function("f", "x", 4), uninvoked)
				p.send(`{"name":"x"}`)
				time.Sleep(2 * time.Second)
				r := p.wantStatus(0, durable.Completed)
				require.Contains(t, string(r.Output), `{"error":{`)
				require.Contains(t, string(r.Output), tt.want)
				time.Sleep(time.Hour)
				p.wantStatus(1, tt.status)
			})
		})
	}
}

func TestInvokesInACircleEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := awaits("InvokeFunction", "i", `,"opts":{"function_id":"shop-f"}`)
		p := newPawl(t, &app{serve: caller}, function("f", "x", 0))
		p.send(`{"name":"x"}`)
		r := p.wantStatus(0, durable.Completed)
		require.Contains(t, string(r.Output), "shop-f invokes itself")
		require.Contains(t, string(r.Output), "shop-f cannot be invoked by shop-f")
		require.Equal(t, 101, p.count(durable.Completed))
	})
}

func TestInvokeOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, invoking("", nil), function("f", "x", 4))
		p.send(`{"name":"x"}`)
		time.Sleep(time.Second)
		r := p.wantStatus(0, durable.Completed)
		require.Contains(t, string(r.Output), "could not find function with ID: shop-g", "row 67")
	})
}

func TestCancelledCalleeAndCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, invoking("", awaits("Sleep", "nap", `,"name":"1h"`)), function("f", "x", 4), uninvoked)
		p.send(`{"name":"x"}`)
		callee := p.wantStatus(1, durable.Running)
		require.NoError(t, p.Cancel(t.Context(), callee.ID, "ann"))
		r := p.wantStatus(0, durable.Completed)
		require.Contains(t, string(r.Output), "was cancelled", "row 78: the caller does not hang")

		p.send(`{"name":"x"}`)
		caller := p.wantStatus(2, durable.Running)
		require.NoError(t, p.Cancel(t.Context(), caller.ID, "ann"))
		p.wantStatus(3, durable.Running)
		time.Sleep(time.Hour)
		p.wantStatus(3, durable.Completed)
		p.wantStatus(2, durable.Cancelled)
	})
}

func TestCancelOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"1h"`)}
		p := newPawl(t, a, with(function("f", "order", 4),
			`"cancel":[{"event":"gone","if":"event.data.id == async.data.id","timeout":"10m"},{"event":"stop"}]`))
		p.send(`{"name":"gone","data":{"id":1}}`) // row 72
		p.send(`[{"name":"order","data":{"id":1}},{"name":"order","data":{"id":2}},{"name":"order","data":{"id":3}}]`)
		synctest.Wait()
		p.restart()
		p.send(`{"name":"gone","data":{"id":1}}`)
		p.wantStatus(0, durable.Cancelled) // row 71
		p.wantStatus(1, durable.Running)
		time.Sleep(11 * time.Minute)
		p.send(`{"name":"gone","data":{"id":2}}`)
		p.wantStatus(1, durable.Running) // row 73
		p.send(`{"name":"stop"}`)
		p.wantStatus(1, durable.Cancelled)
		p.wantStatus(2, durable.Cancelled)
		require.Len(t, a.seen(), 3)
		time.Sleep(2 * time.Hour)
		require.Len(t, a.seen(), 3, "no further request")
	})
}

func TestCancelOnBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial()}
		p := newPawl(t, a, with(function("f", "order", 4), `"cancel":[{"event":"stop"}]`))
		p.send(fmt.Sprintf(`{"name":"order","ts":%d}`, time.Now().Add(time.Hour).UnixMilli()))
		p.wantStatus(0, durable.Queued)
		p.send(`{"name":"stop"}`)
		p.wantStatus(0, durable.Cancelled) // row 75
		time.Sleep(2 * time.Hour)
		require.Empty(t, a.seen())
	})
}

func TestEventThatStartsARunDoesNotCancelIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"1h"`)}
		p := newPawl(t, a, with(function("f", "order", 4), `"cancel":[{"event":"order"}]`))
		p.send(`{"name":"order"}`)
		p.wantStatus(0, durable.Running)
		p.send(`{"name":"order"}`)
		p.wantStatus(0, durable.Cancelled)
		p.wantStatus(1, durable.Running)
	})
}

func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("Sleep", "nap", `,"name":"1h"`)}
		p := newPawl(t, a, with(function("f", "x", 4), `"timeouts":{"start":"2s","finish":"3s"}`))
		p.send(`{"name":"x"}`)
		p.wantStatus(0, durable.Running)
		p.restart()
		time.Sleep(2900 * time.Millisecond)
		p.wantStatus(0, durable.Running)
		time.Sleep(200 * time.Millisecond)
		p.wantStatus(0, durable.Cancelled) // row 81

		p.send(fmt.Sprintf(`{"name":"x","ts":%d}`, time.Now().Add(5*time.Second).UnixMilli()))
		time.Sleep(2100 * time.Millisecond)
		p.wantStatus(1, durable.Cancelled) // spec/11 §11: start counts a future ts
		time.Sleep(time.Hour)
		require.Len(t, a.seen(), 1)
		entries, err := p.History().Journal(t.Context(), p.runs()[0].ID, 0)
		require.NoError(t, err)
		require.Contains(t, string(entries[len(entries)-1].Data), "timeouts.finish")
	})
}

func TestRunThatStartsInTimeIsCalledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("a")}
		p := newPawl(t, a, with(function("f", "x", 4), `"timeouts":{"start":"2s","finish":"1h"}`))
		p.send(`{"name":"x"}`)
		r := p.wantStatus(0, durable.Completed)
		require.Less(t, r.Ended.Sub(r.Queued), time.Second)
	})
}

func TestOneEventStartsManyFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 150
		var fns []string
		for i := range n {
			fns = append(fns, function(fmt.Sprintf("f%d", i), "x", 0))
		}
		a := &app{serve: serial()}
		p := newPawl(t, a, fns...)
		synctest.Wait()
		require.NoError(t, p.Close(t.Context()))
		p.acceptOnly(`{"name":"x","id":"k1"}`)
		p.start()
		synctest.Wait()
		require.Equal(t, n, p.count(durable.Completed), "also those that the server had not started when it died")
		p.send(`{"name":"x","id":"k1"}`)
		synctest.Wait()
		require.Equal(t, n, p.count(durable.Completed), "a repetition starts nothing")
	})
}

func TestAppThatIsAwayCostsNoTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("a")}
		p := newPawl(t, a, function("f", "x", 0))
		a.setAway(true)
		p.send(`{"name":"x"}`)
		time.Sleep(5 * time.Hour)
		r := p.wantStatus(0, durable.Running)
		entries, err := p.History().Journal(t.Context(), r.ID, 0)
		require.NoError(t, err)
		require.Len(t, entries, 1, "hours of trying leave one line")
		require.Less(t, len(a.seen()), 400, "about once a minute")
		p.restart()
		a.setAway(false)
		time.Sleep(2 * time.Minute)
		p.wantStatus(0, durable.Completed)
		a.setAway(true)
		p.send(`{"name":"x"}`)
		time.Sleep(25 * time.Hour)
		r = p.wantStatus(1, durable.Failed)
		require.Contains(t, string(r.Output), "it has been away for 24h")
	})
}

func TestItemOfNoRunLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, function("f", "x", 0))
		require.NoError(t, p.Close(t.Context()))
		s, err := sqlite.Open(t.Context(), p.path, sqlite.Options{Durability: sqlite.None})
		require.NoError(t, err)
		var lost []durable.Item
		run := engine.NewID()
		for i, kind := range []durable.ItemKind{durable.Call, durable.Wake, durable.Fetch, durable.Timeout} {
			lost = append(lost, durable.Item{Run: run, Step: fmt.Sprint(i), Kind: kind, Due: time.Now()})
		}
		require.NoError(t, s.Schedule(t.Context(), lost, nil))
		require.NoError(t, s.Close())
		p.start()
		synctest.Wait()
		items, err := p.History().Items(t.Context(), run)
		require.NoError(t, err)
		require.Empty(t, items, "of no kind")
	})
}

func TestCancelThatComesBeforeALateStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100 // more than start with their event
		var fns []string
		for i := range n {
			fns = append(fns, with(function(fmt.Sprintf("f%d", i), "x", 0), `"cancel":[{"event":"stop","if":"event.data.id == async.data.id"}]`))
		}
		p := newPawl(t, &app{serve: awaits("Sleep", "nap", `,"name":"1h"`)}, fns...)
		synctest.Wait()
		require.NoError(t, p.Close(t.Context()))
		p.acceptOnly(`{"name":"stop","data":{"id":1}}`) // too early for all
		p.acceptOnly(`{"name":"x","data":{"id":1}}`)
		p.acceptOnly(`{"name":"stop","data":{"id":1}}`)
		p.acceptOnly(`{"name":"stop","data":{"id":2}}`)
		p.start()
		synctest.Wait()
		require.Equal(t, n, p.count(durable.Cancelled), "also those that had not been started when it came")
	})
}

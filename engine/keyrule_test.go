package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// sendKeyed sends events in a request with an idempotency key.
func (p *pawl) sendKeyed(key, body string) {
	p.t.Helper()
	events, err := wire.ReadEvents([]byte(body), "", "", time.Now(), engine.NewID)
	require.NoError(p.t, err)
	require.NoError(p.t, p.SendOnce(p.t.Context(), events, &store.Once{Scope: "events", Key: key, Fingerprint: body, Life: time.Hour}, ""))
}

// statuses are those of the runs of a function, oldest first.
func (p *pawl) statuses(slug string) (list []string) {
	p.t.Helper()
	synctest.Wait()
	for _, r := range p.runs() {
		if r.Function == slug {
			list = append(list, r.Status.String())
		}
	}
	return list
}

func invoked(_, run string) []byte { return []byte(run) }

// TestKeyIsRequired is F-36: the one function that requires a key is not started
// without, which is recorded; the event and what else it starts go on.
func TestKeyIsRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "x", 0), `"idempotencyKey":"required"`), function("g", "x", 0))
		id := p.send(`{"name":"x","data":{"n":1}}`)[0]
		require.Equal(t, []string{"Skipped"}, p.statuses("shop-f"))
		require.Equal(t, []string{"Completed"}, p.statuses("shop-g"))
		_, err := p.History().Event(t.Context(), id)
		require.NoError(t, err)
		skipped := p.runs()[0]
		if skipped.Function != "shop-f" {
			skipped = p.runs()[1]
		}
		require.Contains(t, skipped.Skip(), "shop-f starts only for an idempotency key")
		require.Contains(t, skipped.Skip(), "send the event with an id")
		why, _, err := p.Why(t.Context(), skipped.ID)
		require.NoError(t, err)
		require.Contains(t, why.Text, "starts only for an idempotency key")

		p.send(`{"name":"x","id":"order-1"}`)
		p.sendKeyed("k1", `[{"name":"x"},{"name":"x"}]`)
		require.Equal(t, []string{"Skipped", "Completed", "Completed", "Completed"}, p.statuses("shop-f"), "the event's id, and the request's key")
		p.sendKeyed("retry:1", `{"name":"x"}`)
		require.Equal(t, "Skipped", p.statuses("shop-f")[4], "a key for a client's own retries is none")
	})
}

func TestInvokeWithoutTheKeyThatIsRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "x", 0), `"idempotencyKey":"required"`))
		in := durable.Invoke{Function: "shop-f", Payload: []byte(`{"n":1}`)}
		for _, once := range []*store.Once{nil, {Scope: "runs/shop-f"}, {Scope: "runs/shop-f", Key: "retry:1", Life: time.Hour}} {
			_, _, err := p.Invoke(t.Context(), in, once, "", invoked)
			var refused *durable.KeyRequiredError
			require.ErrorAs(t, err, &refused)
			require.ErrorContains(t, err, "function shop-f starts only for an idempotency key")
			require.ErrorContains(t, err, "header Idempotency-Key")
		}
		events, err := p.History().Events(t.Context(), store.EventFilter{Internal: true}, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Empty(t, events, "nothing is written")
		require.Empty(t, p.runs())
		_, _, err = p.Invoke(t.Context(), in, &store.Once{Scope: "runs/shop-f", Key: "k", Life: time.Hour}, "", invoked)
		require.NoError(t, err)
		require.Equal(t, []string{"Completed"}, p.statuses("shop-f"))
	})
}

// TestPawlsOwnStartsHaveKeys: what Pawl starts itself happens once each, and needs none.
func TestPawlsOwnStartsHaveKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := invoking("", serial())
		ticks := with(`{"id":"shop-c","name":"c","triggers":[{"cron":"0 * * * *"}],"steps":{"step":{"id":"step","name":"step",
			"runtime":{"type":"http","url":"http://app/api/inngest?fnId=shop-c&stepId=step"},"retries":{"attempts":0}}}}`, `"idempotencyKey":"required"`)
		p := newPawl(t, a, function("f", "x", 0), with(uninvoked, `"idempotencyKey":"required"`), ticks)
		p.send(`{"name":"x"}`)
		p.wantStatus(0, durable.Completed)
		p.wantStatus(1, durable.Completed)
		time.Sleep(61 * time.Minute)
		require.Equal(t, []string{"Completed"}, p.statuses("shop-c"))
	})
}

// TestKeyIsDerived is F-36: what says the same starts no second run within 24 hours.
func TestKeyIsDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "*", 0), `"idempotencyKey":"derived"`), with(function("h", "x", 0), `"idempotencyKey":"derived"`), function("g", "x", 0))
		p.send(`[{"name":"x","data":{"n":1,"m":[1.0,"a"]}},{"name":"x","data":{"m":[1,"a"],"n":1},"ts":1795312880000}]`)
		require.Len(t, p.statuses("shop-h"), 1, "however it is written, and whenever it happened")
		require.Len(t, p.statuses("shop-g"), 2, "a function without the rule")
		p.send(`[{"name":"x","data":{"n":2}},{"name":"x"}]`)
		require.Len(t, p.statuses("shop-h"), 3)
		p.send(`[{"name":"x","data":{"n":2},"id":"a"},{"name":"x","data":{"n":2},"id":"b"}]`)
		require.Len(t, p.statuses("shop-h"), 5, "who gives a key says himself what is a repetition")
		p.sendKeyed("k", `{"name":"x","data":{"n":2}}`)
		require.Len(t, p.statuses("shop-h"), 6)

		time.Sleep(24*time.Hour - time.Minute)
		p.restart()
		p.send(`{"name":"x","data":{"n":2}}`)
		require.Len(t, p.statuses("shop-h"), 6)
		time.Sleep(2 * time.Minute)
		p.send(`{"name":"x","data":{"n":2}}`)
		require.Len(t, p.statuses("shop-h"), 7)
		keys, err := p.Ledger().Keys(t.Context(), store.StartScope("shop-h"), time.Now(), store.Page{Limit: 10})
		require.NoError(t, err)
		require.Contains(t, fmt.Sprint(keys), "derived:", "they are listed, and can be voided")
	})
}

func TestInvokeWithADerivedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "x", 0), `"idempotencyKey":"derived"`))
		invoke := func(payload, key string) (string, error) {
			_, run, err := p.Invoke(t.Context(), durable.Invoke{Function: "shop-f", Payload: []byte(payload)}, &store.Once{Scope: "runs/shop-f", Key: key, Fingerprint: payload, Life: time.Hour}, "", invoked)
			return run, err
		}
		first, err := invoke(`{"n":1}`, "")
		require.NoError(t, err)
		for _, key := range []string{"", "retry:2"} {
			_, err = invoke(`{"n": 1}`, key)
			var again *store.RepeatedError
			require.ErrorAs(t, err, &again)
			require.Equal(t, first, string(again.Entry.Reply), "it is told of the first run")
		}
		_, err = invoke(`{"n":2}`, "")
		require.NoError(t, err)
		_, err = invoke(`{"n":1}`, "own")
		require.NoError(t, err)
		require.Len(t, p.statuses("shop-f"), 3)
	})
}

// TestOptionIdempotencyIsAKey: but an event that lacks its value has none, where all
// such events would be one otherwise.
func TestOptionIdempotencyIsAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()},
			with(function("f", "x", 0), `"idempotency":"event.data.id","idempotencyKey":"required"`),
			with(function("g", "x", 0), `"idempotency":"event.data.id","idempotencyKey":"derived"`))
		p.send(`[{"name":"x","data":{"id":1}},{"name":"x","data":{"id":1,"n":2}},{"name":"x","data":{"n":3}},{"name":"x","data":{"n":4}},{"name":"x","data":{"n":4}}]`)
		require.Equal(t, []string{"Completed", "Skipped", "Skipped", "Skipped"}, p.statuses("shop-f"))
		require.Equal(t, []string{"Completed", "Completed", "Completed"}, p.statuses("shop-g"), "one for the id, and one for each content without")
	})
}

// TestKeyRuleOfWhatIsStartedLater: an event whose starts are left to the queue, or wait
// for other events, is known to have come with a key, over a restart too.
func TestKeyRuleOfWhatIsStartedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fns []string
		for i, options := range []string{`"singleton":{"mode":"cancel"}`, `"debounce":{"period":"10s"}`, `"batchEvents":{"maxSize":9,"timeout":"10s"}`} {
			fns = append(fns, with(function(fmt.Sprint("required", i), "x", 0), options+`,"idempotencyKey":"required"`),
				with(function(fmt.Sprint("derived", i), "x", 0), options+`,"idempotencyKey":"derived"`))
		}
		p := newPawl(t, &app{serve: serial()}, fns...)
		p.sendKeyed("k1", `{"name":"x"}`)
		synctest.Wait()
		p.restart()
		p.send(`{"name":"x"}`) // without a key: skipped, or what says the same as nothing before
		time.Sleep(time.Minute)
		p.sendKeyed("k2", `{"name":"x"}`)
		time.Sleep(time.Minute)
		p.send(`{"name":"x"}`)
		time.Sleep(time.Minute)
		for i, want := range []struct {
			kind              string
			required, derived []string
		}{
			{"singleton", []string{"Completed", "Skipped", "Completed", "Skipped"}, []string{"Completed", "Completed", "Completed"}},
			{"debounce", []string{"Completed", "Skipped", "Completed", "Skipped"}, []string{"Completed", "Completed"}},
			{"batch", []string{"Completed", "Skipped", "Completed", "Skipped"}, []string{"Completed", "Completed"}},
		} {
			require.ElementsMatch(t, want.required, p.statuses(fmt.Sprint("shop-required", i)), want.kind)
			require.ElementsMatch(t, want.derived, p.statuses(fmt.Sprint("shop-derived", i)), want.kind)
		}
	})
}

// TestStartWithoutAKeyReplacesNoRun: a singleton in the mode "cancel" keeps the run that
// it has.
func TestStartWithoutAKeyReplacesNoRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, naps(), with(function("f", "x", 0), `"singleton":{"mode":"cancel"},"idempotencyKey":"required"`))
		p.send(`{"name":"x","id":"1"}`)
		synctest.Wait()
		p.send(`{"name":"x"}`)
		require.Equal(t, []string{"Running", "Skipped"}, p.statuses("shop-f"))
	})
}

// TestKeyRuleIsSetByAnOperator: in place of the app's, at once, over restarts and syncs.
func TestKeyRuleIsSetByAnOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "x", 0), `"idempotencyKey":"derived"`))
		set := func(limits string) error {
			return p.SetLimits(t.Context(), "shop-f", []byte(limits), "ann", "double charges")
		}
		require.NoError(t, set(`{"idempotencyKey":"required"}`))
		p.restart()
		register(t, p, with(function("f", "x", 1), `"idempotencyKey":"derived"`))
		p.send(`{"name":"x"}`)
		require.Equal(t, []string{"Skipped"}, p.statuses("shop-f"))
		acts, err := p.Acts(t.Context(), store.ActFilter{Object: "shop-f"}, store.Page{Limit: 1})
		require.NoError(t, err)
		require.Equal(t, "ann", acts[0].By)
		require.Contains(t, string(acts[0].Detail), `"idempotencyKey":"required"`)
		require.NoError(t, set(`{"idempotencyKey":"none"}`))
		p.send(`[{"name":"x"},{"name":"x"}]`)
		require.Len(t, p.statuses("shop-f"), 3)
		require.NoError(t, set(`null`))
		f, _ := p.Function("shop-f")
		require.Equal(t, durable.KeyDerived, f.Limits.NoKey, "the app's own again")
		for limits, says := range map[string]string{
			`{"idempotencyKey":"always"}`: `"always" is none of none, required and derived`, `{"idempotencyKey":7}`: "idempotencyKey",
		} {
			err := set(limits)
			require.ErrorContains(t, err, says)
			_, ok := engine.IsLimits(err)
			require.True(t, ok, limits)
		}
	})
}

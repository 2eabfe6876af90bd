package engine_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// why explains the run of an event.
func (p *pawl) why(event string) durable.Why {
	p.t.Helper()
	synctest.Wait()
	runs, err := p.History().Runs(p.t.Context(), store.RunFilter{Event: event}, store.Page{Limit: 2})
	require.NoError(p.t, err)
	require.Len(p.t, runs, 1)
	why, status, err := p.Why(p.t.Context(), runs[0].ID)
	require.NoError(p.t, err)
	require.Equal(p.t, runs[0].Status, status)
	return why
}

func (p *pawl) wantWhy(event, reason, text string) {
	p.t.Helper()
	why := p.why(event)
	require.Equal(p.t, reason, why.Reason, why.Text)
	require.Contains(p.t, why.Text, text)
}

func TestWhyARunIsNotRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait, nap := awaits("WaitForEvent", "w", `,"name":"paid","opts":{"timeout":"1d","if":"async.data.id == 1"}`), awaits("Sleep", "z", `,"name":"1h"`)
		signal, call := awaits("WaitForSignal", "s", `,"name":"s","opts":{"signal":"go","timeout":"1d"}`),
			awaits("InvokeFunction", "i", `,"name":"i","opts":{"function_id":"shop-nap","payload":{},"timeout":"1d"}`)
		a := &app{serve: func(c callSeen) (int, string, http.Header) {
			switch c.Fn {
			case "shop-wait":
				return wait(c)
			case "shop-nap":
				return nap(c)
			case "shop-signal":
				return signal(c)
			case "shop-call":
				return call(c)
			}
			return http.StatusInternalServerError, `{"name":"StripeError","message":"503"}`, nil
		}}
		p := newPawl(t, a, function("wait", "wait", 4), function("nap", "nap", 4), function("signal", "signal", 4),
			function("call", "call", 4), function("bad", "bad", 4))
		p.wantWhy(p.send(`{"name":"wait"}`)[0], durable.WhyEvent, `waits for an event "paid" with async.data.id == 1, until 2000-01-02T`)
		p.wantWhy(p.send(`{"name":"nap"}`)[0], durable.WhyAsleep, `sleeps until 2000-01-01T01:00:00Z.`)
		p.wantWhy(p.send(`{"name":"signal"}`)[0], durable.WhySignal, `waits for the signal "go"`)
		why := p.why(p.send(`{"name":"call"}`)[0])
		require.Equal(t, durable.WhyInvoke, why.Reason)
		require.Contains(t, why.Text, "waits for run "+why.Run+" of shop-nap, which is running")
		require.NotEmpty(t, why.Run)

		bad := p.send(`{"name":"bad"}`)[0]
		p.wantWhy(bad, durable.WhyRetry, "try 2 of 5 after StripeError: 503")
		later := p.send(`{"name":"nap","ts":` + "946695600000" + `}`)[0] // 03:00
		p.wantWhy(later, durable.WhyQueued, "It is queued for 2000-01-01T03:00:00Z, when its event says that it happens.")

		a.setAway(true)
		away := p.send(`{"name":"nap"}`)[0]
		p.wantWhy(away, durable.WhyAway, "Its app shop at http://app/api/inngest cannot be reached since 2000-01-01T00:00:00Z, and is tried again at ")
		a.setAway(false)

		hold := make(chan struct{})
		a.mu.Lock()
		a.hold = hold
		a.mu.Unlock()
		p.wantWhy(p.send(`{"name":"nap"}`)[0], durable.WhyCalled, "It is running: its app shop is called since 2000-01-01T00:00:00Z.")
		close(hold)
		time.Sleep(50 * time.Hour)
		p.wantWhy(away, durable.WhyEnded, "It completed at ")
		p.wantWhy(bad, durable.WhyEnded, "StripeError: 503.")

		_, _, err := p.Why(t.Context(), "nobody")
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

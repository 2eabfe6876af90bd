package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// TestKeyHoldsForItsLife is F-38.
func TestKeyHoldsForItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, function("f", "x", 0))
		begin := time.Now()
		send := func() error {
			events, err := wire.ReadEvents([]byte(`{"name":"x"}`), "", "", time.Now(), engine.NewID)
			require.NoError(t, err)
			return p.SendOnce(t.Context(), events, &store.Once{Scope: "events", Key: "k", Fingerprint: "1", Reply: []byte("first"), Life: 168 * time.Hour}, "")
		}
		require.NoError(t, send())
		time.Sleep(168*time.Hour - time.Minute)
		p.restart()
		err := send()
		var again *store.RepeatedError
		require.ErrorAs(t, err, &again)
		require.Equal(t, "first", string(again.Entry.Reply))
		time.Sleep(time.Until(begin.Add(168*time.Hour + time.Minute)))
		require.NoError(t, send())
		synctest.Wait()
		require.Equal(t, 2, p.count(durable.Completed))
	})
}

func TestFunctionStartsOnceForItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPawl(t, &app{serve: serial()}, with(function("f", "x", 0), `"idempotency":"event.data.id"`))
		p.send(`[{"name":"x","data":{"id":1}},{"name":"x","data":{"id":1}},{"name":"x","data":{"id":2}},{"name":"x"},{"name":"x"}]`)
		synctest.Wait()
		require.Equal(t, 3, p.count(durable.Completed), "row 93; a value that is missing is one like any other")
		time.Sleep(23 * time.Hour)
		p.restart()
		p.send(`{"name":"x","data":{"id":1}}`)
		synctest.Wait()
		require.Equal(t, 3, p.count(durable.Completed))
		time.Sleep(2 * time.Hour)
		p.send(`{"name":"x","data":{"id":1}}`)
		synctest.Wait()
		require.Equal(t, 4, p.count(durable.Completed))
	})
}

func TestInvokeThatStartsNothingIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := invoking("", serial())
		p := newPawl(t, a, function("f", "x", 0), with(uninvoked, `"idempotency":"event.data.q"`))
		p.send(`{"name":"x"}`)
		p.wantStatus(0, durable.Completed)
		p.send(`{"name":"x"}`)
		synctest.Wait()
		r := p.runs()[2]
		require.Equal(t, durable.Completed, r.Status)
		require.Contains(t, string(r.Output), "invoked function is rate limited", "row 68")
	})
}

func TestSignalIsSentOnceForItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: awaits("WaitForSignal", "s", `,"name":"S1","opts":{"signal":"S1","timeout":"1d"}`)}
		p := newPawl(t, a, function("f", "x", 4))
		p.send(`{"name":"x"}`)
		first := p.wantStatus(0, durable.Running)
		key := func() *store.Once { return &store.Once{Scope: "signals", Key: "k", Fingerprint: "1", Life: time.Hour} }
		run, err := p.Signal(t.Context(), "S1", nil, key(), "")
		require.NoError(t, err)
		require.Equal(t, first.ID, run)
		synctest.Wait()
		p.send(`{"name":"x"}`)
		p.wantStatus(1, durable.Running)
		_, err = p.Signal(t.Context(), "S1", nil, key(), "")
		var again *store.RepeatedError
		require.ErrorAs(t, err, &again)
		require.Equal(t, first.ID, string(again.Entry.Reply))
		p.wantStatus(1, durable.Running)
	})
}

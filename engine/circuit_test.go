package engine_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

func TestCircuitOfAnAppThatIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("a")}
		good := a.serve
		bad := func(callSeen) (int, string, http.Header) {
			return http.StatusBadGateway, "<html>", http.Header{"X-Inngest-Sdk": nil}
		}
		p := newPawl(t, a, function("f", "x", 20))
		a.become(bad)
		p.send(repeat(1000, plainEvent))
		synctest.Wait()
		burst := len(a.seen()) // were on their way when the first failed
		require.LessOrEqual(t, burst, 512+5, "what one app may have in flight, and what took the places of the first five")
		require.Len(t, p.Circuits(), 1)
		require.Equal(t, time.Second, p.Circuits()[0].Probe, "hundreds that fail at once are one failure")
		time.Sleep(10 * time.Minute)
		require.Less(t, len(a.seen())-burst, 40, "hundreds of runs wait, and the app is asked now and then")
		require.Len(t, p.Circuits(), 1)
		queued, err := p.History().Runs(t.Context(), store.RunFilter{Statuses: []durable.Status{durable.Queued}}, store.Page{Limit: 1000})
		require.NoError(t, err)
		require.Greater(t, len(queued), 400, "and use up no tries")
		why, _, err := p.Why(t.Context(), queued[0].ID)
		require.NoError(t, err)
		require.Contains(t, why.Text, "its app shop answers nothing but errors since")

		a.become(good)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		require.Empty(t, p.Circuits(), "it closes with the first answer of the app")
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		require.Equal(t, 1000, p.count(durable.Completed))
	})
}

func TestCircuitOfOneAppHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{serve: serial("a")}
		p := newPawl(t, a, function("f", "x", 20))
		registerAt(t, p, "zoo", "http://zoo/api/inngest", strings.ReplaceAll(strings.ReplaceAll(function("g", "x", 0), "shop-", "zoo-"), "http://app/", "http://zoo/"))
		good := a.serve
		a.become(func(c callSeen) (int, string, http.Header) {
			if strings.HasPrefix(c.Fn, "shop-") {
				return http.StatusBadGateway, "", http.Header{"X-Inngest-Sdk": nil}
			}
			return good(c)
		})
		p.send(repeat(50, plainEvent))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 50, p.count(durable.Completed), "those of the app that works")
	})
}

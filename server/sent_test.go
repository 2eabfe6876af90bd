package server

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

// What programs send is traffic. What a person sends by hand, the audit log tells.
func TestWhatAPersonSendsIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	p := newPeopled(t)
	p.registerSigned()
	lines := func() (list []actView) {
		for _, a := range data[[]actView](t, p.jsonAs(p.ada, "GET", "/v1/audit?limit=200", "")) {
			switch a.What {
			case durable.ActSend, durable.ActInvoke:
				list = append(list, a)
			}
		}
		return list
	}
	token := p.token("operator", "1d")
	require.Equal(t, 200, p.jsonAs(token, "POST", "/v2/events", `{"name":"order/paid"}`).Code)
	require.Equal(t, 404, p.jsonAs(p.ada, "POST", "/invoke/shop-nobody", `{}`).Code)
	require.Equal(t, 200, p.jsonAs(token, "POST", "/invoke/shop-charge", `{"data":{"n":1}}`).Code)
	require.Empty(t, lines())
	once := shownBy(p.ada)
	once["Content-Type"], once["Idempotency-Key"] = "application/json", "k"
	var sent sentV2
	for range 2 { // the second is a repetition, and changes nothing
		sent, _ = dataV2[sentV2](t, p.do(request{method: "POST", path: "/v2/events", body: `{"name":"order/paid"}`, header: once}))
	}
	invoked, _ := dataV2[invokedV2](t, p.jsonAs(p.ada, "POST", "/v2/apps/shop/functions/charge/invoke", `{"data":{"n":1}}`))
	require.Equal(t, 200, p.jsonAs(p.ada, "POST", "/invoke/shop-charge", `{"data":{"n":2}}`).Code)
	got := lines()
	require.Len(t, got, 3)
	for _, a := range got {
		require.Equal(t, "ada from 192.0.2.1", a.By)
	}
	require.Equal(t, "shop-charge", got[0].Object)
	require.Equal(t, durable.ActInvoke, got[1].What)
	require.Contains(t, string(got[1].Detail), `"run":"`+invoked.RunID+`"`)
	require.Equal(t, durable.EventObject("order/paid"), got[2].Object)
	require.Contains(t, string(got[2].Detail), `"id":"`+sent.EventID+`"`)
}

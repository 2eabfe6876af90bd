package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/wire"
)

func TestRegister(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, modified := range []bool{true, false} {
		w := f.post("/fn/register?deployId=x", registration)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var got map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		require.Equal(t, modified, got["modified"])
		require.InDelta(t, 200, got["status"], 0)
		require.NotContains(t, got, "error", "SDKs show it, even null")
		require.NotEmpty(t, got["app_id"])
	}
	apps := data[[]appView](t, f.get("/v1/apps"))
	require.Len(t, apps, 1)
	require.Equal(t, "shop", apps[0].Name)
	require.Equal(t, "shop-charge", apps[0].Functions[0].Slug)
	require.Empty(t, apps[0].Functions[0].NotHeld)

	var bare []functionView
	require.NoError(t, json.Unmarshal(f.get("/v1/apps/shop/functions").Body.Bytes(), &bare))
	require.Equal(t, apps[0].Functions, bare)
	wantRefusal(t, f.get("/v1/apps/other/functions"), http.StatusNotFound)
	require.Contains(t, f.get("/dev").Body.String(), `"shop-charge"`)
}

func TestRegisterRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, tt := range []struct {
		name, body string
		header     map[string]string
		want       []string
	}{
		{name: "no app", body: `{"url":"http://x/","functions":[]}`, want: []string{"App ID required"}},
		{
			name: "every problem", want: []string{"throttle period", "rate limit of 0", "rate limit period"},
			body: strings.Replace(registration, `"singleton":{"key":"false","mode":"skip"}`, `"throttle":{"limit":1,"period":"x"},"rateLimit":{"limit":0,"period":"y"}`, 1),
		},
		{
			name: "row 23 an expression that does not compile", want: []string{"shop-charge"},
			body: strings.Replace(registration, `{"event":"order/paid"}`, `{"event":"order/paid","expression":"event.data. =="}`, 1),
		},
		{name: "another server's sync", body: registration, header: map[string]string{wire.HeaderExpectedKind: "cloud"}, want: []string{"Expected server kind dev, got cloud"}},
		{name: "another kind", body: registration, header: map[string]string{wire.HeaderServerKind: "cloud"}, want: []string{"Expected server kind dev, got cloud"}},
	} {
		w := f.do(request{method: "POST", path: "/fn/register", body: tt.body, header: tt.header})
		message := wantRefusal(t, w, http.StatusBadRequest)
		for _, want := range tt.want {
			require.Contains(t, message, want, tt.name)
		}
		require.Contains(t, w.Body.String(), `"ok":false`, tt.name)
	}
	require.Empty(t, data[[]appView](t, f.get("/v1/apps")), "a refused sync changed something")
}

// A registration that is nothing but mistakes is refused in a few words.
func TestRegisterRefusesBriefly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.post("/fn/register", `{"functions":[`+strings.Repeat("{},", 999_999)+`{}],"url":"http://x/","appName":"a"}`)
	require.Contains(t, wantRefusal(t, w, http.StatusBadRequest), "at most 5000 functions")
	require.Less(t, w.Body.Len(), 1000)
}

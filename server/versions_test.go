package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each sync that changed a function is told, with what it changed.
func TestVersions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.register()
	f.register() // changes nothing
	for _, change := range [][2]string{{`{"attempts":0}`, `{"attempts":4}`}, {`"name":"charge"`, `"name":"Charge","concurrency":[{"limit":5}]`}} {
		w := f.post("/fn/register", strings.Replace(registration, change[0], change[1], 1))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
	}
	list := data[[]versionView](t, f.get("/v1/functions/shop-charge/versions"))
	require.Len(t, list, 3)
	require.Equal(t, 3, list[0].Version)
	require.NotNil(t, list[0].MadeAt)
	changed := map[string]string{}
	for _, c := range list[0].Changes {
		changed[c.Path] = string(c.From) + " → " + string(c.To)
	}
	require.Equal(t, ` → [{"limit":5}]`, changed["concurrency"])
	require.Equal(t, `"charge" → "Charge"`, changed["name"])
	require.Equal(t, `4 → 0`, changed["steps.step.retries.attempts"])
	require.Equal(t, []changeView{}, list[2].Changes, "the first has nothing before it")
	require.NotContains(t, f.get("/v1/functions/shop-charge/versions").Body.String(), "SECRET")
	wantRefusal(t, f.get("/v1/functions/none/versions"), http.StatusNotFound)
}

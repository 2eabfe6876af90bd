package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/redact"
)

// TestNobodyGuessesWhatIsRedacted: a search finds nothing by what it would not show.
func TestNobodyGuessesWhatIsRedacted(t *testing.T) {
	t.Parallel()
	rules, err := redact.Parse([]string{"card.number", `pattern:sk_live_\w+`, "data.pin"})
	require.NoError(t, err)
	f := newFixture(t, func(c *Config, e *engine.Config) { c.Redact, e.Clean, e.Hides = rules, rules.Text, rules.Reads }, withApp(func(*http.Request) *http.Response {
		return sdk(400, `{"name":"Error","message":"no money for sk_live_abc {\"card\":{\"number\":\"4111-1111\"}}","stack":"Error: {\"card\":{\"number\":\"4111-1111\"}}\n at"}`)
	}))
	f.register()
	f.ended(`{"name":"order/paid","data":{"card":{"number":"4111-1111"},"note":"key sk_live_abc","pin":1234,"id":7}}`)
	found := func(query string) int {
		return len(data[foundView](t, f.get("/v1/runs/search?"+query)).Runs)
	}
	for _, hidden := range []string{
		"data=card.number%3D4111-1111", "data=card.number~41", "data=card~4111", "data=note~sk_live_a", "data=pin%3D1234", "data=pin~1",
		"error=sk_live_abc", "error=sk_live_a", "error=4111-1111", "error=41",
	} {
		require.Zero(t, found(hidden), hidden)
	}
	require.Equal(t, 1, found("data=card.number!%3D4111-1111"), "as any other number")
	for _, open := range []string{"data=id%3D7", "data=note~key", "error=no+money", "data=card.number~redacted"} {
		require.Equal(t, 1, found(open), open)
	}
}

// TestNobodyReadsWhatIsRedacted asks each route that people may read for a run whose
// event, step, result and error have what must not be seen.
func TestNobodyReadsWhatIsRedacted(t *testing.T) {
	t.Parallel()
	rules, err := redact.Parse([]string{"card", `pattern:sk_live_\w+`, `pattern:\b\d{16}\b`})
	require.NoError(t, err)
	for name, message := range map[string]string{
		"text":          `no money for sk_live_abc`,
		"a document":    `{"card":"4111-1111"}`,
		"with a prefix": `refused: {"order":7,"card":"4111-1111"}`,
		"two documents": "{\"card\":\"4111-1111\"}\n{\"card\":{\"number\":\"4111-1111\"}}",
		// The short texts of errors, and the titles of letters.
		"cut in a number":   strings.Repeat("y ", 89) + "4012888888881881",
		"cut in a title":    strings.Repeat("y ", 52) + "4012888888881881",
		"cut in a document": `{"a":"` + strings.Repeat("y ", 90) + `","card":"4111-1111 is good"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readsNothing(t, rules, message)
		})
	}
}

func readsNothing(t *testing.T, rules redact.Rules, message string) {
	secrets := []string{"4111-1", "sk_live_abc", "40128888"} // no part of a time
	answer, err := json.Marshal(map[string]string{"name": "Error", "message": message, "stack": "Error: " + message + "\n at sk_live_abc"})
	require.NoError(t, err)
	f := newFixture(t, func(c *Config, e *engine.Config) { c.Redact, e.Clean, e.Hides = rules, rules.Text, rules.Reads }, withApp(func(*http.Request) *http.Response {
		return sdk(400, string(answer))
	}))
	f.register()
	run := f.ended(`{"name":"order/paid","data":{"card":"4111-1111","note":"key sk_live_abc"}}`)
	// A run that waits, since the value of its key is paused, which tells of the value.
	f.pausedKey("event.data.card")
	require.Equal(t, 200, f.post("/v1/functions/shop-charge/pause", `{"key":"event.data.card","value":"4111-1111"}`).Code)
	held := f.send(`{"name":"order/paid","data":{"card":"4111-1111"}}`)
	waits := data[[]runView](t, f.get("/v1/events/"+held+"/runs"))[0].RunID
	require.Eventually(t, func() bool {
		return strings.Contains(f.get("/v1/runs/"+waits+"/why").Body.String(), "is paused since")
	}, time.Minute, 10*time.Millisecond)
	why := f.get("/v1/runs/" + waits + "/why").Body.String()
	require.Regexp(t, `shop-charge for event.data.card = redacted:[0-9a-f]{16} is paused since`, why)
	require.Regexp(t, `--value 'redacted:[0-9a-f]{16}' lets it go on`, why)
	require.NotContains(t, why, secrets[0])
	names := strings.NewReplacer("{step}", bodyWord, "{run}", run.RunID, "{event}", run.EventID, "{slug}", "shop-charge", "{app}", "shop", "{function}", "charge", "{id}", run.RunID, "{action}", "note")
	seen := 0
	for _, rt := range routes() {
		if rt.method != "GET" || rt.who != signingKey || rt.pattern == "/v1/changes" { // TestChangesAreRedacted
			continue
		}
		w := f.get(names.Replace(rt.pattern))
		if w.Code == 200 && strings.Contains(w.Body.String(), redact.Mark) {
			seen++
		}
		for _, secret := range secrets {
			if !rt.ofSDKs() {
				require.NotContains(t, w.Body.String(), secret, "%s", rt.pattern)
			}
		}
	}
	require.Greater(t, seen, 5, "the answers have what is to be taken out")
	require.Contains(t, f.get("/v0/runs/"+run.RunID+"/batch").Body.String(), "4111-1111", "the app reads what it needs")
}

func TestWhatWasRedactedIsNotWrittenBack(t *testing.T) {
	t.Parallel()
	rules, err := redact.Parse([]string{"card"})
	require.NoError(t, err)
	f := newFixture(t, func(c *Config, _ *engine.Config) { c.Redact = rules })
	w := f.post("/v1/signals", `{"signal":"s","data":{"card":"[redacted]"}}`)
	require.Contains(t, wantRefusal(t, w, http.StatusUnprocessableEntity), "may not see")
}

// TestKeysThatReadWhatIsRedacted: a value that the server made of what must not be seen
// is shown as a digest, which stands for it.
func TestKeysThatReadWhatIsRedacted(t *testing.T) {
	t.Parallel()
	rules, err := redact.Parse([]string{"card.number"})
	require.NoError(t, err)
	f := newFixture(t, func(c *Config, e *engine.Config) {
		c.Redact, e.Clean, e.Hides = rules, rules.Text, rules.Reads
	}, withApp(func(*http.Request) *http.Response { return sdk(200, `1`) }))
	const key = "event.data.card.number"
	register := func(once string) {
		w := f.post("/fn/register", strings.Replace(registration, `"singleton":{"key":"false","mode":"skip"}`,
			`"idempotency":"`+once+`","concurrency":[{"limit":1,"key":"`+key+`"}]`, 1))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
	}
	register(key)
	for _, number := range []string{`"6011-1"`, `"6011-2"`, `"6011-3"`, `null`} {
		f.ended(`{"name":"order/paid","data":{"card":{"number":` + number + `}}}`)
	}
	all := func(what string) string {
		w := f.get(what)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.NotContains(t, w.Body.String(), "6011", what)
		return w.Body.String()
	}
	const path = "/v1/idempotency-keys?scope=unique/shop-charge"
	keys := func(more string) (list []string) {
		all(path + more)
		for _, k := range data[[]keyView](t, f.get(path+more)) {
			list = append(list, k.Key)
		}
		return list
	}
	list := keys("")
	require.Len(t, list, 4)
	require.Equal(t, "null", list[3])
	require.NotEqual(t, list[0], list[1], "they are told apart")
	require.Regexp(t, `^redacted:[0-9a-f]{16}$`, list[0])
	register("event.data.id")
	require.Equal(t, list, keys(""), "the keys of before are shown as they were")
	require.Equal(t, list[2:], keys("&cursor="+list[1]))
	wantRefusal(t, f.get(path+"&cursor=6011-1"), http.StatusBadRequest) // what comes behind it would tell of digits

	void := func(key string) int {
		return f.do(request{method: "DELETE", path: path + "&key=" + key}).Code
	}
	require.Equal(t, http.StatusOK, void(list[1]), "the digest stands for the value")
	require.Equal(t, http.StatusOK, void("6011-1"), "who knows the value says it")
	require.Equal(t, http.StatusNotFound, void("6011-"))
	require.Equal(t, list[2:], keys(""))
	require.Contains(t, all("/v1/audit"), list[1])

	const pause, resume = "/v1/functions/shop-charge/pause", "/v1/functions/shop-charge/resume"
	w := f.post(pause, `{"hold":"all","key":"`+key+`","value":"6011-3"}`)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	id := f.send(`{"name":"order/paid","data":{"id":1,"card":{"number":"6011-3"}}}`)
	run := data[[]runView](t, f.get("/v1/events/"+id+"/runs"))[0].RunID
	controls := data[[]controlView](t, f.get("/v1/controls"))
	require.Len(t, controls, 1)
	for _, what := range []string{"/v1/controls", "/v1/audit", "/v1/overview", "/v1/runs/" + run + "/why"} {
		require.Contains(t, all(what), controls[0].Value, what)
	}
	w = f.post(resume, `{"key":"`+key+`","value":"`+controls[0].Value+`"}`)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Empty(t, data[[]controlView](t, f.get("/v1/controls")))
	require.NoError(t, f.eng.Await(t.Context(), run, 1<<20))
}

package wire

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func readTestdata(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestParseRegistrationOfEachSDK(t *testing.T) {
	t.Parallel()
	everyOption := []string{"cancel", "concurrency", "debounce", "idempotency", "priority", "rateLimit", "singleton", "throttle", "timeouts"}
	for _, tt := range []struct {
		file     string
		inBand   bool
		header   string
		app, sdk string
		slugs    []string
		options  [][]string
		retries  []int
		urls     []string
	}{
		{
			file: "register_ts.json", app: "shop", sdk: "js:v4.24.0",
			slugs:   []string{"shop-cfg", "shop-cfg-failure", "shop-later"},
			options: [][]string{everyOption, nil, nil},
			retries: []int{7, 1, 4},
			urls:    []string{"http://localhost:3111/api/inngest?fnId=shop-cfg&stepId=step", "wss://connect/?fnId=shop-cfg-failure&stepId=step", "http://localhost:3111/api/inngest?fnId=shop-later&stepId=step"},
		},
		{
			file: "register_go.json", app: "go-app", sdk: "go:v0.16.0",
			slugs:   []string{"go-app-cfg", "go-app-ck"},
			options: [][]string{everyOption, nil},
			retries: []int{7, 4},
			urls:    []string{"http://localhost:3115/api/inngest?fnId=go-app-cfg&step=step", "http://localhost:3115/api/inngest?fnId=go-app-ck&step=step"},
		},
		{
			file: "register_py.json", app: "py-app", sdk: "py:v0.5.18",
			slugs:   []string{"py-app-a", "py-app-a-failure"},
			options: [][]string{{"batchEvents", "concurrency"}, nil},
			retries: []int{3, 0},
			urls:    []string{"http://localhost:8000/api/inngest?fnId=py-app-a&stepId=step", "wss://connect?fnId=py-app-a-failure&stepId=step"},
		},
		{
			file: "inband_ts.json", inBand: true, app: "shop", sdk: "js:v4.24.0",
			slugs: []string{"shop-a"}, options: [][]string{nil}, retries: []int{4},
			urls: []string{"http://app.internal:3000/api/inngest?fnId=shop-a&stepId=step"},
		},
		{
			file: "inband_go.json", inBand: true, app: "shop", sdk: "go:v0.16.0",
		},
		{
			file: "inband_py.json", inBand: true, header: "inngest-py:v0.5.18", app: "shop", sdk: "py:v0.5.18",
		},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			parse := ParseRegistration
			if tt.inBand {
				parse = func(b []byte) (Registration, error) { return ParseInBand(b, tt.header) }
			}
			r, err := parse(readTestdata(t, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if r.App != tt.app || r.SDK != tt.sdk {
				t.Errorf("app %q by %q, want %q by %q", r.App, r.SDK, tt.app, tt.sdk)
			}
			if len(r.Functions) != len(tt.slugs) {
				t.Fatalf("%d functions, want %d", len(r.Functions), len(tt.slugs))
			}
			for i, f := range r.Functions {
				if f.Slug != tt.slugs[i] || f.Retries != tt.retries[i] || f.URL != tt.urls[i] {
					t.Errorf("function %d is %q with %d retries at %q, want %q, %d, %q",
						i, f.Slug, f.Retries, f.URL, tt.slugs[i], tt.retries[i], tt.urls[i])
				}
				if !slices.Equal(f.Options, tt.options[i]) {
					t.Errorf("%s: options %v, want %v", f.Slug, f.Options, tt.options[i])
				}
			}
		})
	}
}

func TestTriggersOfARegistration(t *testing.T) {
	t.Parallel()
	r, err := ParseRegistration(readTestdata(t, "register_ts.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Trigger{
		{Event: "demo/cfg", Expression: "event.data.amount > 5"},
		{Cron: "TZ=Europe/Berlin 0 9 * * 1", Jitter: 30 * time.Second},
	}
	if got := r.Functions[0].Triggers; !slices.Equal(got, want) {
		t.Errorf("triggers %+v, want %+v", got, want)
	}
}

// fn is a registration of one function with extra members.
func fn(extra string) string {
	if extra != "" {
		extra = "," + extra
	}
	return `{"url":"http://a/api","appName":"a","sdk":"js:v4.24.0","functions":[{"id":"a-f","steps":{"step":{"runtime":{"url":"http://a/api?fnId=a-f&stepId=step"}}}` + extra + `}]}`
}

func TestRegistrationProblems(t *testing.T) {
	t.Parallel()
	eleven := `"triggers":[` + strings.Repeat(`{"event":"x"},`, 10) + `{"event":"x"}]`
	for _, tt := range []struct{ name, body, code, text string }{
		{"no JSON", `{`, "invalid_request", "Invalid request"},
		{"not an object", `[]`, "invalid_request", "Invalid request: want an object, got an array"},
		{"cut off", `{"appName":`, "invalid_request", "Invalid request: it ends too early"},
		{"bytes that are not UTF-8", "{\"appName\":\"bad\xff\",\"url\":\"http://a\"}", "invalid_request", "Invalid request: not valid UTF-8"},
		{"functions are no list", `{"appName":"a","url":"http://a","functions":{}}`, "invalid_request", "functions: want an array, got an object"},
		{"two members of one name", `{"url":"http://a","url":"http://b"}`, "invalid_request", "Invalid request"},
		{"no app name", `{"url":"http://a"}`, "app_id_required", "App ID required"},
		{"app name of another type", `{"appName":5}`, "invalid_request", "appName cannot be a number; want a string"},
		{"no URL", `{"appName":"a"}`, "invalid_request", "scheme"},
		{"URL of another scheme", `{"appName":"a","url":"ftp://a"}`, "invalid_request", `"ftp"`},
		{"function is no object", `{"appName":"a","url":"http://a","functions":[3]}`, "function_invalid", "function 1 of 1: want an object, got a number"},
		{"function has no id", `{"appName":"a","url":"http://a","functions":[{"id":"z","steps":{"step":{"runtime":{"url":"http://a"}}}},{"steps":{"step":{"runtime":{"url":"http://a"}}}}]}`, "function_invalid", "function 2 of 2: it has no id"},
		{"function has no step", `{"appName":"a","url":"http://a","functions":[{"id":"f"}]}`, "function_invalid", "one step"},
		{"function has two steps", `{"appName":"a","url":"http://a","functions":[{"id":"f","steps":{"a":{"runtime":{"url":"http://a"}},"b":{"runtime":{"url":"http://a"}}}}]}`, "function_invalid", "one step, got 2"},
		{"two functions of one id", `{"appName":"a","url":"http://a","functions":[{"id":"f","steps":{"step":{"runtime":{"url":"http://a"}}}},{"id":"f","steps":{"step":{"runtime":{"url":"http://a"}}}}]}`, "function_invalid", "two functions"},
		{"eleven triggers", fn(eleven), "trigger_invalid", "limit is 10"},
		{"trigger of nothing", fn(`"triggers":[{}]`), "trigger_invalid", "neither"},
		{"trigger of null", fn(`"triggers":[null]`), "trigger_invalid", "null"},
		{"trigger of both", fn(`"triggers":[{"event":"x","cron":"* * * * *"}]`), "trigger_invalid", "both"},
		{"long event name", fn(`"triggers":[{"event":"` + strings.Repeat("x", 256) + `"}]`), "trigger_invalid", "255"},
		{"repeated event", fn(`"triggers":[{"event":"x"},{"event":"x"}]`), "trigger_invalid", "repeats"},
		{"repeated cron with other jitter", fn(`"triggers":[{"cron":"* * * * *"},{"cron":"* * * * *","jitter":"2s"}]`), "trigger_invalid", "repeats"},
		{"six fields", fn(`"triggers":[{"cron":"0 * * * * *"}]`), "schedule_invalid", "'0 * * * * *' isn't a valid cron schedule: expected exactly 5 fields, found 6"},
		{"word for a schedule", fn(`"triggers":[{"cron":"@daily"}]`), "schedule_invalid", "found 1"},
		{"odd character", fn(`"triggers":[{"cron":"* * * * $"}]`), "schedule_invalid", "unexpected character"},
		{"empty zone", fn(`"triggers":[{"cron":"TZ= * * * * *"}]`), "schedule_invalid", "zone"},
		{"short jitter", fn(`"triggers":[{"cron":"* * * * *","jitter":"500ms"}]`), "schedule_invalid", "jitter"},
		{"long jitter", fn(`"triggers":[{"cron":"* * * * *","jitter":"6m"}]`), "schedule_invalid", "jitter"},
		{"deferred and more", fn(`"triggers":[{"event":"inngest/deferred.schedule"},{"event":"x"}]`), "trigger_invalid", "deferred"},
		{"three limits", fn(`"concurrency":[{"limit":1},{"limit":1,"key":"a"},{"limit":1,"key":"b"}]`), "concurrency_invalid", "There are more concurrency limits specified than the allowed max of: 2"},
		{"two unkeyed limits", fn(`"concurrency":[{"limit":1},{"limit":2}]`), "concurrency_invalid", "Only one function concurrency limit is allowed"},
		{"unkeyed env limit", fn(`"concurrency":{"limit":1,"scope":"env"}`), "concurrency_invalid", "A concurrency key must be specified"},
		{"unknown scope", fn(`"concurrency":{"limit":1,"scope":"galaxy"}`), "concurrency_invalid", "galaxy does not belong to ConcurrencyScope values"},
		{"two run limits", fn(`"concurrency":{"fn":[{"limit":1},{"limit":2}]}`), "concurrency_invalid", "concurrent runs"},
		{"concurrency in words", fn(`"concurrency":"five"`), "concurrency_invalid", "concurrency"},
		{"throttle without period", fn(`"throttle":{"limit":1}`), "throttle_invalid", "missing"},
		{"throttle of half a second", fn(`"throttle":{"limit":1,"period":"500ms"}`), "throttle_invalid", "less than the min"},
		{"rate limit of two days", fn(`"rateLimit":{"limit":1,"period":"2d"}`), "rate_limit_invalid", "greater than the max of: 24h0m0s"},
		{"rate limit of nothing", fn(`"rateLimit":{"limit":0,"period":"1h"}`), "rate_limit_invalid", "less than"},
		{"short debounce", fn(`"debounce":{"period":"10ms"}`), "debounce_invalid", "The debounce period of '10ms' is less than the min of: 1s"},
		{"long debounce", fn(`"debounce":{"period":"8d"}`), "debounce_invalid", "The debounce period of '8d' is greater than the max of: 168h0m0s"},
		{"debounce in words", fn(`"debounce":{"period":"soon"}`), "debounce_invalid", "The debounce period of 'soon' is invalid"},
		{"small batch", fn(`"batchEvents":{"maxSize":1}`), "batch_size_invalid", "batch size cannot be smaller than 2: 1"},
		{"batch timeout in days", fn(`"batchEvents":{"maxSize":2,"timeout":"1d"}`), "batch_timeout_invalid", "invalid timeout string: 1d"},
		{"short batch timeout", fn(`"batchEvents":{"maxSize":2,"timeout":"10ms"}`), "batch_timeout_invalid", "batch timeout should be more than 1s"},
		{"batch and cancel", fn(`"batchEvents":{"maxSize":2},"cancel":[{"event":"x"}]`), "combo_unsupported", "Batching and cancellation are mutually exclusive"},
		{"batch and debounce", fn(`"batchEvents":{"maxSize":2},"debounce":{"period":"5s"}`), "combo_unsupported", "Batching and debouncing"},
		{"batch and singleton", fn(`"batchEvents":{"maxSize":2},"Singleton":{"mode":"skip"}`), "combo_unsupported", "Batching and singletons"},
		{"batch and priority", fn(`"batchEvents":{"maxSize":2},"priority":{"run":"1"}`), "combo_unsupported", "Batching and priorities"},
		{"unknown singleton mode", fn(`"singleton":{"mode":"x"}`), "singleton_invalid", "x does not belong to SingletonMode values"},
		{"six cancellations", fn(`"cancel":[{"event":"a"},{"event":"a"},{"event":"a"},{"event":"a"},{"event":"a"},{"event":"a"}]`), "cancel_invalid", "limit is 5"},
		{"cancellation by nothing", fn(`"cancel":[{}]`), "cancel_invalid", "no event"},
		{"priority in numbers", fn(`"priority":{"run":5}`), "priority_invalid", "run"},
		{"idempotency in numbers", fn(`"idempotency":5`), "idempotency_invalid", "number"},
		{"unknown rule for keys", fn(`"idempotencyKey":"always"`), "idempotency_key_invalid", "none of none, required and derived"},
		{"rule for keys in numbers", fn(`"idempotencyKey":5`), "idempotency_key_invalid", "number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseRegistration([]byte(tt.body))
			refused, ok := errors.AsType[*RegistrationError](err)
			if !ok {
				t.Fatalf("error is %v, want a RegistrationError", err)
			}
			if strings.Contains(err.Error(), "jsontext") {
				t.Errorf("the text names a library: %s", err)
			}
			for _, p := range refused.Problems {
				if p.Code == tt.code && strings.Contains(p.Message, tt.text) {
					return
				}
			}
			t.Errorf("problems %+v, want %s: …%s…", refused.Problems, tt.code, tt.text)
		})
	}
}

// However much is wrong, little of it is kept and told.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	list := func(n int, f string) string {
		return `{"url":"http://x/","appName":"a","functions":[` + strings.Repeat(f+",", n-1) + f + `]}`
	}
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct{ name, body, text string }{
		{"a million functions", list(1_000_000, `{}`), "an app can have at most 5000 functions"},
		{"one function too many", list(MaxFunctions+1, `{}`), "an app can have at most 5000 functions"},
		{"functions that are wrong, each in several ways", list(MaxFunctions, `{}`), "function 1 of 5000: it has no id"},
		{"long ids", list(2, `{"id":"`+long+`"}`), "too long"},
		{"long texts", list(2, `{"id":"a","singleton":{"mode":"`+long+`"},"retries":"`+long+`"}`), "SingletonMode"},
		{"a long name", `{"url":"http://x/","appName":{"` + long + `":1}}`, "appName"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseRegistration([]byte(tt.body))
			refused, ok := errors.AsType[*RegistrationError](err)
			if !ok || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("error is %.500v, want …%s…", err, tt.text)
			}
			_, body := RegisterRefusal(err)
			if len(refused.Problems) > 50 || len(err.Error()) > 10_000 || len(body) > 64<<10 {
				t.Errorf("%d problems, a text of %d bytes, an answer of %d bytes", len(refused.Problems), len(err.Error()), len(body))
			}
			if refused.More > 0 && (!strings.Contains(err.Error(), "; and ") || !strings.Contains(string(body), `more problems"`)) {
				t.Errorf("%d problems more, which are not told: %s", refused.More, body)
			}
		})
	}
	// What is told of what others found is bounded too.
	many := &RegistrationError{Problems: make([]Problem, 10_000)}
	if _, body := RegisterRefusal(many); !strings.Contains(string(body), "and 9950 more problems") {
		t.Errorf("the answer has %d bytes", len(body))
	}
	if !strings.HasSuffix(many.Error(), "; and 9990 more") {
		t.Errorf("the text has %d bytes", len(many.Error()))
	}
}

func TestRegistrationOfTheMostFunctions(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"url":"http://a/","appName":"a","functions":[`)
	for i := range MaxFunctions {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"a-%d","triggers":[{"event":"x/%[1]d"}],"steps":{"step":{"runtime":{"url":"http://a/?fnId=a-%[1]d&stepId=step"}}}}`, i)
	}
	b.WriteString(`]}`)
	r, err := ParseRegistration([]byte(b.String()))
	if err != nil || len(r.Functions) != MaxFunctions {
		t.Errorf("%d functions, error %v", len(r.Functions), err)
	}
}

func TestRegistrationAcceptsWithAWarning(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, text string }{
		{"retries above 20", fn(`"steps2":1,"retries":21`), "retries: 21"},
		{"retries below 0", fn(`"retries":-1`), "retries: -1"},
		{"negative concurrency", fn(`"concurrency":-1`), "concurrency"},
		{"throttle limit 0", fn(`"throttle":{"limit":0,"period":"1m"}`), "throttle"},
		{"long throttle", fn(`"throttle":{"limit":1,"period":"8d"}`), "7 days"},
		{"debounce timeout below period", fn(`"debounce":{"period":"10s","timeout":"5s"}`), "shorter"},
		{"timeouts in words", fn(`"timeouts":{"start":"soon"}`), "timeouts: start"},
		{"cancel timeout in words", fn(`"cancel":[{"event":"x","timeout":"soon"}]`), "cancel"},
		{"singleton without mode", fn(`"singleton":{}`), "singleton"},
		{"idempotency and rate limit", fn(`"idempotency":"event.data.id","rateLimit":{"limit":1,"period":"1h"}`), "replaces"},
		{"denied SDK", strings.Replace(fn(""), "js:v4.24.0", "js:v3.53.1", 1), "sdk_version_denied"},
		{"first denied SDK", strings.Replace(fn(""), "js:v4.24.0", "js:v3.22.0-beta.1", 1), "sdk_version_denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := ParseRegistration([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, tt.text) }) {
				t.Errorf("warnings %q, want one with %q", r.Warnings, tt.text)
			}
			if got := r.Functions[0].Retries; got > MaxRetries || got < 0 {
				t.Errorf("retries are %d", got)
			}
		})
	}
}

func TestRegistrationAcceptsQuietly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		options    []string
	}{
		{"no options", fn(""), nil},
		{"no triggers", fn(`"triggers":[]`), nil},
		{"nulls", fn(`"Singleton":null,"concurrency":null,"cancel":null,"throttle":null,"triggers":null,"name":null,"retries":null`), nil},
		{"empty lists", fn(`"concurrency":[],"cancel":[],"timeouts":{},"priority":{},"idempotency":""`), nil},
		{"empty lists of Go", fn(`"concurrency":{"fn":[],"step":null}`), nil},
		{"no limit", fn(`"concurrency":0`), nil},
		{"no rule for keys", fn(`"idempotencyKey":"none"`), nil},
		{"a rule for keys", fn(`"idempotencyKey":"derived"`), []string{"idempotencyKey"}},
		{"run limit", fn(`"concurrency":{"fn":[{"limit":5,"hash":""}]}`), []string{"concurrency"}},
		{"one limit", fn(`"concurrency":{"limit":5}`), []string{"concurrency"}},
		{"account limit in capitals", fn(`"concurrency":[{"limit":5,"key":"a","scope":"Account"}]`), []string{"concurrency"}},
		{"nanoseconds", fn(`"debounce":{"period":5000000000}`), []string{"debounce"}},
		{"checkpoint settings", fn(`"checkpoint":{"max_runtime":1000000000}`), nil},
		{"cancel until a date", fn(`"cancel":[{"event":"x","timeout":"2030-01-01T00:00:00Z"}]`), []string{"cancel"}},
		{"batch by default timeout", fn(`"batchEvents":{"maxSize":2,"timeout":""}`), []string{"batchEvents"}},
		{"two triggers of one event", fn(`"triggers":[{"event":"x"},{"event":"x","expression":"true"}]`), nil},
		{"zone", fn(`"triggers":[{"cron":"CRON_TZ=Europe/Berlin 0 9 * * MON-FRI"}]`), nil},
		{"fixed SDK", strings.Replace(fn(""), "js:v4.24.0", "js:v3.54.0", 1), nil},
		{"old SDK", strings.Replace(fn(""), "js:v4.24.0", "js:v3.21.9", 1), nil},
		{"no functions", `{"url":"http://a/api?","appname":"a","functions":[]}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := ParseRegistration([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Warnings) > 0 {
				t.Errorf("warnings: %q", r.Warnings)
			}
			for _, f := range r.Functions {
				if !slices.Equal(f.Options, tt.options) {
					t.Errorf("options %v, want %v", f.Options, tt.options)
				}
				if f.Name != "a-f" {
					t.Errorf("name %q, want the id", f.Name)
				}
			}
		})
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	r, err := ParseRegistration([]byte(`{"appName":"a","url":"http://a","functions":[` +
		`{"id":"a-one","steps":{},"debounce":{"period":"1ms"},"rateLimit":{"limit":0,"period":"1h"}},` +
		`{"id":"a-two","triggers":[{"cron":"x"}],"steps":{"step":{"runtime":{"url":"http://a"}}}}]}`))
	refused, ok := errors.AsType[*RegistrationError](err)
	if !ok {
		t.Fatalf("error is %v", err)
	}
	var got []string
	for _, p := range refused.Problems {
		got = append(got, p.Function+" "+p.Code)
	}
	want := []string{"a-one function_invalid", "a-one debounce_invalid", "a-one rate_limit_invalid", "a-two schedule_invalid"}
	if !slices.Equal(got, want) {
		t.Errorf("problems %q, want %q", got, want)
	}
	if r.App != "a" || r.URL != "http://a" {
		t.Errorf("app %q at %q is lost", r.App, r.URL)
	}
	if !strings.HasPrefix(err.Error(), "At least one function is invalid: a-one: ") {
		t.Errorf("error reads %q", err)
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	const f1 = `{"id":"a-1","steps":{"step":{"runtime":{"url":"http://a?fnId=a-1"},"id":"step"}},"retries":null}`
	const f1other = `{"retries":null,"steps":{"step":{"id":"step","runtime":{"url":"http://a?fnId=a\u002d1"}}}, "id":"a-1"}`
	const f2 = `{"id":"a-2","steps":{"step":{"runtime":{"url":"http://a?fnId=a-2"}}}}`
	sum := func(body string) string {
		r, err := ParseRegistration([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return r.Checksum
	}
	base := sum(`{"appName":"a","url":"http://a","functions":[` + f1 + `,` + f2 + `]}`)
	for name, body := range map[string]string{
		"other order of functions":  `{"appName":"a","url":"http://a","functions":[` + f2 + `,` + f1 + `]}`,
		"other order of members":    `{"url":"http://a","functions":[` + f1other + `,` + f2 + `],"appname":"a"}`,
		"diagnostics and deploy id": `{"appName":"a","url":"http://a","deployId":"d","featureObservations":{"x":1},"functions":[` + f1 + `,` + f2 + `]}`,
	} {
		if got := sum(body); got != base {
			t.Errorf("%s: checksum differs", name)
		}
	}
	for name, body := range map[string]string{
		"a function gone": `{"appName":"a","url":"http://a","functions":[` + f1 + `]}`,
		"other URL":       `{"appName":"a","url":"http://b","functions":[` + f1 + `,` + f2 + `]}`,
		"other version":   `{"appName":"a","appVersion":"2","url":"http://a","functions":[` + f1 + `,` + f2 + `]}`,
		"other option":    `{"appName":"a","url":"http://a","functions":[` + strings.Replace(f1, `"retries":null`, `"retries":3`, 1) + `,` + f2 + `]}`,
	} {
		if got := sum(body); got == base {
			t.Errorf("%s: checksum is the same", name)
		}
	}
}

func TestRegisterReplies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{
			"success", RegisterReply{true, "s", "a"}.Body(),
			`{"app_id":"a","modified":true,"ok":true,"skipped":false,"status":200,"sync_id":"s"}`,
		},
		{
			"failure", RegisterFailure(401, "sig", `no "key"`, nil),
			`{"code":"sig","data":null,"error":"no \"key\"","ok":false,"status":401}`,
		},
		{
			"problems", RegisterFailure(400, "config_invalid", "bad", []Problem{{"a-f", "c", "m"}, {"", "d", "n"}}),
			`{"code":"config_invalid","data":[{"code":"c","function":"a-f","message":"m"},{"code":"d","function":"","message":"n"}],"error":"bad","ok":false,"status":400}`,
		},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
		if err := CheckJSON(tt.got); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	_, err := ParseRegistration([]byte(`{}`))
	status, body := RegisterRefusal(err)
	if status != 400 || !strings.Contains(string(body), `"status":400`) || !strings.Contains(string(body), "App ID required") {
		t.Errorf("refusal is %d %s", status, body)
	}
}

func FuzzParseRegistration(f *testing.F) {
	for _, name := range []string{"register_ts.json", "register_go.json", "register_py.json", "inband_ts.json", "inband_go.json", "inband_py.json"} {
		f.Add(readTestdata(f, name))
	}
	f.Add([]byte(fn(`"concurrency":{"fn":[{"limit":1}]},"triggers":[{"cron":"TZ=UTC * * * * *"}]`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRegistration(body)
		if err != nil {
			if _, ok := errors.AsType[*RegistrationError](err); !ok {
				t.Fatalf("error is %T: %v", err, err)
			}
			return
		}
		again, err := ParseRegistration(body)
		if err != nil || again.Checksum != r.Checksum {
			t.Fatalf("not stable: %v", err)
		}
		for _, f := range r.Functions {
			if err := CheckJSON(f.Config); err != nil {
				t.Fatalf("config of %q: %v", f.Slug, err)
			}
			if _, err := CallURL(f.URL, ""); err != nil {
				t.Fatalf("URL of %q: %v", f.Slug, err)
			}
		}
	})
}

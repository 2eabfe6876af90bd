package wire

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	ts := func(more ...string) http.Header {
		return headers(append([]string{HeaderSDK, "inngest-js:v4.24.0", HeaderVersion, "2"}, more...)...)
	}
	golang := func(more ...string) http.Header {
		return headers(append([]string{HeaderSDK, "go:v0.16.0", HeaderVersion, "2"}, more...)...)
	}
	py := func(more ...string) http.Header {
		return headers(append([]string{HeaderSDK, "inngest-py:v0.5.18", HeaderVersion, "2"}, more...)...)
	}
	const run = `{"op":"StepRun","id":"a","data":1}`

	for _, tt := range []struct {
		name   string
		status int
		h      http.Header
		body   string

		// What Answer says, in one line: kind output [ops] name: message code flags.
		want string
	}{
		// §2: results and progress
		{"result", 200, ts(), `{"a": 1.0}`, `returned {"a": 1.0}`},
		{"result of Go ends in a newline", 200, golang(), "\"x\"\n", `returned "x"`},
		{"result with broken Unicode", 200, ts(), `"\ud800"`, "returned \"\uFFFD\""},
		{"no result", 200, ts(), ``, `returned null`},
		{"result that is no JSON", 200, ts(), `hello`, `failed Error: …hello invalid_answer`},
		{"200 null of Go", 200, golang(), "null\n", `returned null not-reached`},
		{"200 null of TS", 200, ts(), "null", `returned null`},
		{"progress", 206, ts(), `[` + run + `]`, `progress [StepRun]`},
		{"progress as one object", 206, ts(), run, `progress [StepRun]`},
		{"empty progress", 206, ts(), `[]`, `progress`},
		{"progress that is no ops", 206, ts(), `{"a":1}`, `failed Error: …{"a":1} invalid_answer`},
		{"progress cut off", 206, ts(), `[` + run, `failed Error: …[` + run + ` invalid_answer`},
		{"too many ops", 206, ts(), `[` + strings.Repeat(run+`,`, 1000) + run + `]`, `failed InngestErrFunctionOverflowed: … no-retry`},
		{"unknown opcode is for the caller", 206, ts(), `[{"op":"Teleport","id":"a"}]`, `progress [Teleport]`},
		{"step error without retry", 206, ts(HeaderNoRetry, "true"), `[{"op":"StepFailed","id":"a","error":{}}]`, `progress [StepFailed] no-retry`},
		{"step error with a delay", 206, ts(HeaderNoRetry, "false", HeaderRetryAfter, "30"), `[{"op":"StepError","id":"a","error":{}}]`, `progress [StepError] after 30s`},
		{"function complete", 206, ts(), `[{"op":"RunComplete","id":"` + CompleteID + `","data":{"a":1}}]`, `returned {"a":1}`},
		{"function complete after steps", 206, ts(), `[` + run + `,{"op":"RunComplete","id":"` + CompleteID + `"}]`, `returned null [StepRun]`},
		{"function failed after a lazy op", 206, ts(), `[{"op":"DeferAdd","id":"d"},{"op":"StepError","id":"` + CompleteID + `","error":{"name":"E","message":"m"},"data":null}]`, `failed [DeferAdd] E: m`},
		{"function failed for good", 206, ts(), `[{"op":"StepFailed","id":"` + CompleteID + `","error":{}}]`, `failed Error: unknown error no-retry`},

		// §2.3: errors that an SDK wrote
		{"error of TS", 500, ts(HeaderNoRetry, "false"), `{"name":"TypeError","message":"bad","stack":"s","__serialized":true}`, `failed TypeError: bad`},
		{"final error of TS", 400, ts(HeaderNoRetry, "true"), `{"name":"NonRetriableError","message":"nope","__serialized":true}`, `failed NonRetriableError: nope no-retry`},
		{"400 that says nothing about retries", 400, ts(), `{"message":"m"}`, `failed Error: m`},
		{"error of TS with a date", 500, ts(HeaderRetryAfter, "2026-11-22T12:00:10.000Z"), `{"name":"RetryAfterError","message":"m"}`, `failed RetryAfterError: m after 10s`},
		{"step not found by TS", 500, ts(HeaderNoRetry, "false"), `{"error":"Could not find step","requestedStep":"0000"}`, `failed Error: Could not find step`},
		{"error of Go", 500, golang(), `{"message":"fnbad"}` + "\n", `failed Error: fnbad`},
		{"function unknown to Go", 410, golang(), `{"message":"function not found: x"}`, `failed Error: function not found: x`},
		{"final error of Python", 500, py(HeaderNoRetry, "true"), `{"code":"unknown","message":"m","name":"ValueError","stack":"s"}`, `failed ValueError: m no-retry`},
		{"error in words", 500, ts(), `oh no`, `failed Error: oh no`},
		{"401 of Python", 401, py(), `{"code":"sig_verification_failed","message":"m"}`, `failed Error: m sig_verification_failed`},

		// somebody else answered
		{"401 of TS has lost its SDK header", 401, headers(HeaderSDKHandled, "true"), `{"message":"Unauthorized"}`, `failed Error: …{"message":"Unauthorized"} sig_verification_failed`},
		{"200 of a page", 200, headers(), `<html>hi`, `failed Error: …<html>hi not_sdk`},
		{"206 of nobody", 206, headers(), `[` + run + `]`, `failed Error: …[` + run + `] not_sdk`},
		{"201 of nobody", 201, headers(), `{}`, `failed Error: …{} not_sdk`},
		{"bad gateway", 502, headers(HeaderNoRetry, "true"), `bad gateway`, `failed Error: …bad gateway http_not_ok`},
		{"unavailable for a while", 503, headers(HeaderRetryAfter, "7"), ``, `failed Error: … http_not_ok after 7s`},
		{"redirect", 302, headers("Location", "/login"), ``, `failed Error: … http_not_ok`},
		{"redirect by an SDK", 302, ts(), ``, `failed Error: … invalid_answer`},
		{"204 by an SDK", 204, ts(), ``, `failed Error: … invalid_answer`},

		// §9: streams
		{
			"stream of TS", 201, headers(HeaderSDK, "inngest-js:v4.24.0"),
			`   {"status":206,"headers":{"x-inngest-req-version":"2","x-inngest-no-retry":"false"},"body":"[{\"op\":\"StepRun\",\"id\":\"a\",\"data\":1}]","version":2}`, `progress [StepRun]`,
		},
		{"stream of TS that gives its version apart", 201, headers(HeaderSDK, "inngest-js:v4.24.0"), ` {"status":200,"headers":{},"body":"\"5\"","version":2}`, `returned "5"`},
		{"stream of Go", 201, golang(), `  {"status":206,"body":[` + run + `],"retryAt":null,"noRetry":false,"headers":{}}`, `progress [StepRun]`},
		{"stream of Go that returns a text", 201, golang(), ` {"status":200,"body":"5","headers":null}`, `returned "5"`},
		{"stream of Go that fails", 201, golang(), ` {"status":500,"body":{"message":"m"},"retryAt":"2026-11-22T12:00:20Z","noRetry":true,"headers":{}}`, `failed Error: m no-retry after 20s`},
		{"stream of Go, lists of headers", 201, headers(), `{"status":200,"body":1,"headers":{"X-Inngest-Sdk":["go:v0.16.0"],"X-Inngest-Req-Version":["2"]}}`, `returned 1`},
		{"stream of Python", 201, headers(), ` {"body":"{\"message\":\"m\",\"name\":\"ValueError\"}","headers":{"X-Inngest-SDK":"inngest-py:v0.5.18","X-Inngest-No-Retry":"true","X-Inngest-Req-Version":"2"},"status":500}`, `failed ValueError: m no-retry`},
		{"inner headers win", 201, ts(HeaderNoRetry, "true"), `{"status":500,"headers":{"x-inngest-no-retry":"false"},"body":"{\"message\":\"m\"}"}`, `failed Error: m`},
		{"stream that was cut", 201, ts(), `    `, `failed Error: … invalid_answer`},
		{"stream that was cut late", 201, ts(), `    {"status":206,"bo`, `failed Error: …{"status":206,"bo invalid_answer`},
		{"stream without a status", 201, ts(), `{"body":"[]"}`, `failed Error: …{"body":"[]"} invalid_answer`},
		{"stream in a stream", 201, ts(), `{"status":201,"body":"{}"}`, `failed Error: …{} invalid_answer`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := ReadAnswer(tt.status, tt.h, []byte(tt.body), noon)
			if got := summary(a, tt.want); got != tt.want {
				t.Errorf("got  %s\nwant %s\nerror %s", got, tt.want, a.Err.Message)
			}
			if a.Kind == Failed && !a.Err.Raw.IsValid() {
				t.Errorf("the error object is not JSON: %s", a.Err.Raw)
			}
			if a.SDK != "" && a.Version != 2 && tt.h.Get(HeaderVersion) != "" {
				t.Errorf("version is %d", a.Version)
			}
		})
	}
}

// summary writes an answer in the form of the table. Where the table cuts a
// message short with …, it keeps what comes after.
func summary(a Answer, want string) string {
	parts := []string{a.Kind.String()}
	if a.Kind == Returned {
		parts = append(parts, string(a.Output))
	}
	if len(a.Ops) > 0 {
		var ops []string
		for _, op := range a.Ops {
			ops = append(ops, op.Op)
		}
		parts = append(parts, fmt.Sprint(ops))
	}
	if a.Kind == Failed {
		message := a.Err.Message
		if _, tail, ok := strings.Cut(want, "…"); ok && a.Code != "" {
			tail = strings.TrimSuffix(strings.Split(tail, " "+a.Code)[0], " ")
			if strings.HasSuffix(message, ": "+tail) || tail == "" {
				message = "…" + tail
			}
		} else if ok {
			message = "…"
		}
		parts = append(parts, a.Err.Name+": "+message)
	}
	if a.Code != "" {
		parts = append(parts, a.Code)
	}
	if a.NoRetry {
		parts = append(parts, "no-retry")
	}
	if !a.RetryAfter.IsZero() {
		parts = append(parts, "after "+a.RetryAfter.Sub(noon).String())
	}
	if a.NotReached() {
		parts = append(parts, "not-reached")
	}
	return strings.Join(parts, " ")
}

func TestAnswerOfAStreamTellsItsInside(t *testing.T) {
	t.Parallel()
	a := ReadAnswer(201, headers(HeaderSDK, "inngest-js:v4.24.0"), []byte(` {"status":500,"headers":{},"body":"{\"message\":\"m\"}","version":2}`), noon)
	if a.Status != 500 || a.Version != 2 || a.SDK != "inngest-js:v4.24.0" {
		t.Errorf("status %d, version %d, SDK %q", a.Status, a.Version, a.SDK)
	}
	if string(a.Err.Raw) != `{"message":"m"}` {
		t.Errorf("error object is %s", a.Err.Raw)
	}
}

func TestNonsenseKeepsItsFirstKilobyte(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("<p>nonsense</p>", 1000)
	a := ReadAnswer(404, headers(), []byte(body), noon)
	if !strings.Contains(a.Err.Message, body[:excerptBytes]) || strings.Contains(a.Err.Message, body[:excerptBytes+1]) {
		t.Errorf("message of %d bytes: %s", len(a.Err.Message), a.Err.Message)
	}
	if !strings.Contains(a.Err.Message, "404") {
		t.Errorf("message does not name the status: %s", a.Err.Message)
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add(206, "inngest-js:v4.24.0", "30", []byte(checkpointOps))
	f.Add(201, "go:v0.16.0", "", []byte(` {"status":206,"body":[{"op":"None"}],"retryAt":"2026-11-22T12:00:20Z","headers":{"a":["b"]}}`))
	f.Add(201, "", "", []byte(`{"body":"{\"message\":\"m\"}","headers":{"X-Inngest-SDK":"inngest-py:v0.5.18"},"status":500}`))
	f.Add(200, "go:v0.16.0", "", []byte("null\n"))
	f.Add(500, "", "later", []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, sdk, retryAfter string, body []byte) {
		a := ReadAnswer(status, headers(HeaderSDK, sdk, HeaderRetryAfter, retryAfter), body, noon)
		switch a.Kind {
		case Failed:
			if !a.Err.Raw.IsValid() || a.Err.Message == "" {
				t.Fatalf("error %+v", a.Err)
			}
		case Returned:
			if !a.Output.IsValid() {
				t.Fatalf("output %q", a.Output)
			}
		case Progress:
		}
		if a.Kind != Failed && a.SDK == "" {
			t.Fatal("took an answer that no SDK wrote")
		}
		if !a.RetryAfter.IsZero() && (a.RetryAfter.Before(noon.Add(time.Second)) || a.RetryAfter.After(noon.Add(24*time.Hour))) {
			t.Fatalf("retry at %v", a.RetryAfter)
		}
	})
}

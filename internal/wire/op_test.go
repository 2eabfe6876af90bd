package wire

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const stepA = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"

func TestStepHash(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		n    int
		want string
	}{
		{"a", 0, stepA},
		{"complete", 0, CompleteID},
		{"a:1", 0, StepHash("a", 1)},
		{"a:2", 0, StepHash("a", 2)},
	} {
		if got := StepHash(tt.name, tt.n); got != tt.want {
			t.Errorf("StepHash(%q, %d) = %s, want %s", tt.name, tt.n, got, tt.want)
		}
	}
}

func TestParseOps(t *testing.T) {
	t.Parallel()
	opts, data := jsontext.Value(`{}`), jsontext.Value(`{"x":1.0}`)
	step := Op{
		ID: stepA, Op: OpStepRun, Name: "a", DisplayName: "a", Opts: opts, Data: data, UserID: "a",
		Started: time.Unix(0, 1795311797610000000).UTC(), Took: 7 * time.Millisecond,
	}
	goError := Error{Name: "Step error", Message: "bad", Raw: jsontext.Value(`{"name":"Step error","message":"bad","data":{"part":1}}`)}
	for _, tt := range []struct {
		name, body string
		want       []Op
	}{
		{"step of TS", `[{"id":"` + stepA + `","op":"StepRun","name":"a","opts":{},"displayName":"a","userland":{"id":"a"},` +
			`"data":{"x":1.0},"timing":{"a":1795311797610000000,"b":7000000}}]`, []Op{step}},
		{"one op without a list", ` {"id":"` + stepA + `","op":"StepRun","name":"a","opts":{},"displayName":"a","userland":{"id":"a","index":0},` +
			`"data":{"x":1.0},"timing":{"a":1795311797610000000,"b":7000000}} `, []Op{step}},
		{"bookkeeping is ignored", `[{"mode":"sync","rawArgs":["secret",{"id":"no"}],"hashedId":"x","promise":{},"id":"` + stepA + `","op":"step","name":"a",` +
			`"opts":{},"displayName":"a","userland":{"id":"a"},"data":{"x":1.0},"timing":{"a":1795311797610000000,"b":7000000.5}}]`, []Op{step}},
		{
			"error of Go", `[{"op":"StepError","id":"a","name":"a","opts":null,"data":null,"error":{"name":"Step error","message":"bad","data":{"part":1}},` +
				`"displayName":null,"timing":{"a":0,"b":0},"userland":{"id":"a"}}]`,
			[]Op{{ID: "a", Op: OpStepError, Name: "a", DisplayName: "a", Data: null, Error: &goError, UserID: "a"}},
		},
		{
			"second use of an id", `[{"op":"StepPlanned","id":"a","userland":{"id":"u","index":1},"displayName":"shown"}]`,
			[]Op{{ID: "a", Op: OpStepPlanned, DisplayName: "shown", UserID: "u", UserIndex: 1}},
		},
		{"nothing that people named", `[{"op":"StepPlanned","id":"a"}]`, []Op{{ID: "a", Op: OpStepPlanned}}},
		{
			"optional members of other types", `[{"op":"StepPlanned","id":"a","displayName":5,"userland":"u","timing":[],"opts":[],"name":null,"error":null}]`,
			[]Op{{ID: "a", Op: OpStepPlanned}},
		},
		{"end of a run", `[{"op":"RunComplete","id":"` + CompleteID + `","data":{"a":1}}]`, []Op{{ID: CompleteID, Op: OpRunComplete, Data: jsontext.Value(`{"a":1}`)}}},
		{"end of a run without an id", `{"op":"RunComplete","data":1}`, []Op{{ID: CompleteID, Op: OpRunComplete, Data: jsontext.Value(`1`)}}},
		{"no op", `[{"op":"none"}]`, []Op{{Op: OpNone}}},
		{"unknown opcode stays", `[{"op":"Teleport","id":"a"}]`, []Op{{ID: "a", Op: "Teleport"}}},
		{"member names may be escaped", `[{"\u006fp":"Sleep","id":"a","n\u0061me":"1s"}]`, []Op{{ID: "a", Op: OpSleep, Name: "1s", DisplayName: "1s"}}},
		{"lone surrogate is repaired", `[{"op":"StepRun","id":"a","data":"x\ud83d"}]`, []Op{{ID: "a", Op: OpStepRun, Data: jsontext.Value("\"x\uFFFD\"")}}},
		{"no ops", ` [ ] `, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseOps([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestParseOpsRefuses(t *testing.T) {
	t.Parallel()
	many := func(n int) string { return "[" + strings.Repeat(`{"op":"None"},`, n-1) + `{"op":"None"}]` }
	for _, tt := range []struct {
		name, body string
		want       error
	}{
		{"nothing", ``, nil},
		{"null", `null`, nil},
		{"a text", `"x"`, nil},
		{"a page", `<html>`, nil},
		{"half a list", `[{"op":"None"}`, nil},
		{"more behind the list", `[] []`, nil},
		{"list of numbers", `[1]`, nil},
		{"no opcode", `[{"id":"a"}]`, nil},
		{"opcode of another type", `[{"id":"a","op":1}]`, nil},
		{"no id", `[{"op":"StepRun"}]`, nil},
		{"id of another type", `[{"op":"StepRun","id":5}]`, nil},
		{"id that is no id", `[{"op":"StepRun","id":"a\"b"}]`, nil},
		{"long id", `[{"op":"StepRun","id":"` + strings.Repeat("a", 256) + `"}]`, nil},
		{"a member twice", `[{"op":"StepRun","id":"a","id":"b"}]`, nil},
		{"1001 ops", many(1001), ErrTooManyOps},
		{"deep data", `[{"op":"StepRun","id":"a","data":` + strings.Repeat("[", 999) + strings.Repeat("]", 999) + `}]`, ErrNesting},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ops, err := ParseOps([]byte(tt.body))
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("ParseOps = %v, %v, want error %v", ops, err, tt.want)
			}
		})
	}
	if ops, err := ParseOps([]byte(many(1000))); err != nil || len(ops) != 1000 {
		t.Errorf("1000 ops: %d, %v", len(ops), err)
	}
}

func TestOpcodesInAnyCase(t *testing.T) {
	t.Parallel()
	for _, op := range []string{
		OpNone, OpStepRun, OpStepError, OpStepFailed, OpStepPlanned, OpSleep, OpWaitForEvent, OpInvokeFunction,
		OpWaitForSignal, OpAIGateway, OpGateway, OpRunComplete, OpSyncRunComplete, OpDiscoveryRequest, OpDeferAdd, OpDeferAbort,
	} {
		for _, sent := range []string{op, strings.ToLower(op), strings.ToUpper(op)} {
			ops, err := ParseOps(fmt.Appendf(nil, `[{"id":"a","op":%q}]`, sent))
			if err != nil || ops[0].Op != op {
				t.Errorf("%q reads as %v, %v", sent, ops, err)
			}
			if lazy := op == OpDeferAdd || op == OpDeferAbort; len(ops) == 1 && ops[0].Lazy() != lazy {
				t.Errorf("%s: lazy is %v", op, ops[0].Lazy())
			}
		}
	}
}

func TestRace(t *testing.T) {
	t.Parallel()
	for opts, want := range map[string]bool{
		`{"parallelMode":"race"}`:       true,
		`{"a":1,"parallelMode":"RACE"}`: true,
		`{"parallelMode":"wait"}`:       false,
		`{"parallelMode":null}`:         false,
		`{"parallelMode":1}`:            false,
		`{"x":{"parallelMode":"race"}}`: false,
		`{}`:                            false,
		``:                              false,
	} {
		if got := (Op{Opts: jsontext.Value(opts)}).Race(); got != want {
			t.Errorf("Race with %s = %v", opts, got)
		}
	}
}

func TestRetryAfterOfAStep(t *testing.T) {
	t.Parallel()
	for opts, want := range map[string]time.Duration{
		`{"retryAfter":60}`:                         time.Minute,
		`{"parallelMode":"race","retryAfter":3600}`: time.Hour,
		`{"retryAfter":0}`:                          time.Second,
		`{"retryAfter":999999}`:                     24 * time.Hour,
		`{"retryAfter":-1}`:                         0,
		`{"retryAfter":"soon"}`:                     0,
		`{"input":["retryAfter"]}`:                  0,
		`{}`:                                        0,
		``:                                          0,
	} {
		at, ok := (Op{Opts: jsontext.Value(opts)}).RetryAfter(noon)
		if ok != (want > 0) || ok && at.Sub(noon) != want {
			t.Errorf("with %s: %v, %v; want %v", opts, at, ok, want)
		}
	}
}

func TestParseError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, raw, body, wantName, message, stack string }{
		{"of TS", `{"name":"TypeError","message":"bad","stack":"TypeError: bad\n at","cause":{"name":"x"},"__serialized":true}`, "", "TypeError", "bad", "TypeError: bad\n at"},
		{"of Go", `{"message":"fnbad"}`, "", "Error", "fnbad", ""},
		{"only error", `{"error":"Could not find step"}`, "", "Error", "Could not find step", ""},
		{"with no words", `{}`, "", "Error", "unknown error", ""},
		{"lost when it was encoded", `{}`, `{}`, "Error", "unknown error", ""},
		{"with no words, from a body", `{"x":1}`, `{"x":1}`, "Error", `{"x":1}`, ""},
		{"members of other types", `{"name":5,"message":{},"stack":null}`, "", "Error", "unknown error", ""},
	} {
		e := ParseError(jsontext.Value(tt.raw), []byte(tt.body))
		if e.Name != tt.wantName || e.Message != tt.message || e.Stack != tt.stack || string(e.Raw) != tt.raw {
			t.Errorf("%s: got %+v", tt.name, e)
		}
	}
	for _, tt := range []struct{ name, raw, body, message string }{
		{"a text", `"boom"`, "", "boom"},
		{"no JSON", ``, "<html>bad gateway", "<html>bad gateway"},
		{"a list", `[1]`, "[1]", "[1]"},
		{"nothing", ``, "", "unknown error"},
	} {
		e := ParseError(jsontext.Value(tt.raw), []byte(tt.body))
		if e.Message != tt.message || e.Raw.Kind() != '{' || !e.Raw.IsValid() {
			t.Errorf("%s: got %+v, want an object with message %q", tt.name, e, tt.message)
		}
	}
	long := ParseError(nil, []byte(strings.Repeat("ä", 5000)))
	if n := len(long.Message); n > excerptBytes+len("…") || strings.Contains(long.Message, "\uFFFD") {
		t.Errorf("an excerpt of %d bytes: %s", n, long.Message)
	}
}

// The error of a timed-out invoke is a vector of the protocol notes 03 §3.
func TestMemos(t *testing.T) {
	t.Parallel()
	const timedOut = "Timed out waiting for invoked function to complete"
	for _, tt := range []struct {
		name string
		got  jsontext.Value
		want string
	}{
		{"data", MemoData(jsontext.Value(`{"x": 1.0}`)), `{"data":{"x": 1.0}}`},
		{"no data", MemoData(nil), `{"data":null}`},
		{"error verbatim", MemoError(ParseError(jsontext.Value(`{"name":"E", "message":"m","data":null}`), nil)), `{"error":{"name":"E", "message":"m","data":null}}`},
		{
			"own error", MemoError(NewError("InngestInvokeTimeoutError", timedOut, "", false)),
			`{"error":{"error":"InngestInvokeTimeoutError: ` + timedOut + `","message":"` + timedOut + `","name":"InngestInvokeTimeoutError"}}`,
		},
		{"own error for Go", MemoError(NewError("Error", "m", "at x", true)), `{"error":{"data":null,"error":"Error: m","message":"m","name":"Error","stack":"at x"}}`},
		{"error without its object", MemoError(Error{Name: "E", Message: "m"}), `{"error":{"error":"E: m","message":"m","name":"E"}}`},
		{"null", MemoNull, `null`},
		{"actions keep their order", AppendActions(nil, []Memo{{"b", MemoNull}, {"a", jsontext.Value(`{"data":1}`)}, {"c", nil}}), `{"b":null,"a":{"data":1},"c":null}`},
		{"batch", AppendBatch(nil, []jsontext.Value{[]byte(`{"a":1}`), []byte(`{}`)}), `[{"a":1},{}]`},
		{"empty batch", AppendBatch(nil, nil), `[]`},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func FuzzParseOps(f *testing.F) {
	f.Add([]byte(checkpointOps))
	f.Add([]byte(`{"op":"RunComplete","data":null}`))
	f.Add([]byte(`[{"op":"StepRun","id":"a","data":"x\ud83d"}]`))
	f.Add([]byte(`[{"op":"Sleep","id":"a","name":"","opts":{"duration":1,"parallelMode":"race"}}]`))
	f.Add([]byte(`[{"op":"StepError","id":"a","error":{}},{"op":"None"}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		ops, err := ParseOps(body)
		if err != nil {
			return
		}
		if len(ops) > MaxOps {
			t.Fatalf("%d ops", len(ops))
		}
		for _, op := range ops {
			_, _ = op.Race(), op.Lazy()
			_, _ = op.SleepUntil(noon)
			_, _ = op.RetryAfter(noon)
			_, _, _ = op.Timeout(noon)
			// What is accepted can be remembered, and sent again.
			memos := []Memo{{op.ID, MemoData(op.Data)}, {"e", MemoError(op.failure())}}
			if op.ID == "e" {
				memos = memos[:1]
			}
			sent := Call{RunID: "r", Event: []byte(`{}`), Steps: memos}.AppendBody(nil)
			if err := CheckJSON(sent); err != nil {
				t.Fatalf("%v in %s", err, sent)
			}
			if _, err := Canonical(sent); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// checkpointOps is a checkpoint of about 1 KB, as the TypeScript SDK sends it.
const checkpointOps = `[{"id":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","op":"StepRun","name":"load the order","displayName":"load the order",` +
	`"userland":{"id":"load the order"},"opts":{"input":[1,2]},"data":{"id":"ord_0001","total":129.95,"currency":"EUR","lines":[` +
	`{"sku":"A-100","count":1,"price":29.95,"title":"Kettle, 1.7 l, brushed steel"},{"sku":"B-200","count":2,"price":50,"title":"Toaster, two slots"}],` +
	`"customer":{"id":"cus_9","name":"Zoë","mail":"zoe@example.com","address":{"street":"Hauptstraße 1","city":"Köln","zip":"50667"}},` +
	`"notes":"Leave with the neighbour on the second floor if nobody answers; ring twice."},"timing":{"a":1795311864890000000,"b":1200000},` +
	`"mode":"sync","rawArgs":["load the order",null],"hashedId":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","promise":{},"fulfilled":true,` +
	`"hasStepState":false,"handled":true,"middleware":{},"memoizationDeferred":{"promise":{}},"transformedResultPromise":{}}]`

func BenchmarkParseOps(b *testing.B) {
	body := []byte(checkpointOps)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseOps(body); err != nil {
			b.Fatal(err)
		}
	}
}

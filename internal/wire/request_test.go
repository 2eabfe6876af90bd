package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

const testEvent = `{"data":{"n":1},"id":"01JF","name":"order/paid","ts":1795312880000,"user":{}}`

func TestAppendBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		call Call
		want string
	}{
		{
			"first discovery",
			Call{
				RunID: "01RUN", FunctionID: "1111", ItemID: "q:1", MaxAttempts: 5, Env: "dev", Version: VersionUnknown,
				Event: []byte(testEvent), Events: []jsontext.Value{[]byte(testEvent)},
			},
			`{"ctx":{"attempt":0,"disable_immediate_execution":false,"env":"dev","fn_id":"1111","max_attempts":5,"qi_id":"q:1","run_id":"01RUN",` +
				`"stack":{"current":0,"stack":[]},"step_id":"step","use_api":false},"defers":{},"event":` + testEvent + `,"events":[` + testEvent + `],` +
				`"steps":{},"use_api":false,"version":-1}`,
		},
		{
			"stack in completion order, steps in key order",
			Call{
				RunID: "01RUN", StepID: "c", Attempt: 2, MaxAttempts: 4, DisableImmediate: true, Version: 2, Event: []byte(`{}`),
				Steps:  []Memo{{"b", []byte(`{"data":1}`)}, {"a", MemoNull}},
				Defers: []Defer{{"y", false}, {"x", true}},
			},
			`{"ctx":{"attempt":2,"disable_immediate_execution":true,"max_attempts":4,"qi_id":"","run_id":"01RUN",` +
				`"stack":{"current":2,"stack":["b","a"]},"step_id":"c","use_api":false},"defers":{"x":{"abortable":true},"y":{"abortable":false}},"event":{},"events":[],` +
				`"steps":{"a":null,"b":{"data":1}},"use_api":false,"version":2}`,
		},
		{
			"large state stays out but its order is told",
			Call{
				RunID: "01RUN", MaxAttempts: 1, UseAPI: true, Version: 2, Event: []byte(`{}`), Events: []jsontext.Value{[]byte(`{}`)},
				Steps: []Memo{{"b", []byte(`{"data":1}`)}},
			},
			`{"ctx":{"attempt":0,"disable_immediate_execution":false,"max_attempts":1,"qi_id":"","run_id":"01RUN",` +
				`"stack":{"current":1,"stack":["b"]},"step_id":"step","use_api":true},"defers":{},"event":{},"events":[],"steps":{},"use_api":true,"version":2}`,
		},
		{
			"a check turns plan mode on, and no checkpoints",
			Call{RunID: "01RUN", MaxAttempts: 1, Check: true, Version: 2, Event: []byte(`{}`)},
			`{"ctx":{"attempt":0,"check":true,"disable_immediate_execution":true,"max_attempts":1,"qi_id":"","run_id":"01RUN",` +
				`"stack":{"current":0,"stack":[]},"step_id":"step","use_api":false},"defers":{},"event":{},"events":[],"steps":{},"use_api":false,"version":2}`,
		},
		{
			"what is known of tries",
			Call{RunID: "01RUN", Attempt: 2, MaxAttempts: 3, Version: 2, Event: []byte(`{}`), Lost: 1, Tries: map[string]int{"b": 1, "a": 2}},
			`{"ctx":{"attempt":2,"disable_immediate_execution":false,"lost":1,"max_attempts":3,"qi_id":"","run_id":"01RUN",` +
				`"stack":{"current":0,"stack":[]},"step_id":"step","tries":{"a":2,"b":1},"use_api":false},"defers":{},"event":{},"events":[],"steps":{},"use_api":false,"version":2}`,
		},
		{
			"input for the targeted step",
			Call{
				RunID: "01RUN", StepID: "a", MaxAttempts: 1, Version: 2, Event: []byte(`{}`),
				Steps: []Memo{{"b", MemoNull}}, Input: []byte(`[10,20]`),
			},
			`{"ctx":{"attempt":0,"disable_immediate_execution":false,"max_attempts":1,"qi_id":"","run_id":"01RUN",` +
				`"stack":{"current":1,"stack":["b"]},"step_id":"a","use_api":false},"defers":{},"event":{},"events":[],"steps":{"a":{"input":[10,20]},"b":null},"use_api":false,"version":2}`,
		},
		{
			"no input in a discovery",
			Call{RunID: "01RUN", MaxAttempts: 1, Version: 2, Input: []byte(`[10,20]`)},
			`{"ctx":{"attempt":0,"disable_immediate_execution":false,"max_attempts":1,"qi_id":"","run_id":"01RUN",` +
				`"stack":{"current":0,"stack":[]},"step_id":"step","use_api":false},"defers":{},"event":{},"events":[],"steps":{},"use_api":false,"version":2}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			steps := fmt.Sprint(tt.call.Steps)
			got := tt.call.AppendBody([]byte("#"))
			if string(got) != "#"+tt.want {
				t.Errorf("got  %s\nwant #%s", got, tt.want)
			}
			canonical, err := Canonical(got[1:])
			if err != nil || string(canonical) != string(got[1:]) {
				t.Errorf("not canonical: %v, %s", err, canonical)
			}
			if fmt.Sprint(tt.call.Steps) != steps {
				t.Error("the caller's steps were reordered")
			}
		})
	}
}

func TestCallURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, step, want string }{
		{"TS", "http://localhost:3111/api/inngest?fnId=a&stepId=step", stepA, "http://localhost:3111/api/inngest?fnId=a&stepId=" + stepA},
		{"Go has no stepId", "http://localhost:3115/api/inngest?fnId=a&step=step", stepA, "http://localhost:3115/api/inngest?fnId=a&step=step&stepId=" + stepA},
		{"discovery", "https://h/p?stepId=old&x=%2F+y", "", "https://h/p?stepId=step&x=%2F+y"},
		{"twice becomes once", "https://h/p?stepId=1&a=2&stepId=3", "s", "https://h/p?stepId=s&a=2"},
		{"escaped name", "https://h/p?step%49d=1", "s", "https://h/p?stepId=s"},
		{"no query", "https://h/p", "s", "https://h/p?stepId=s"},
		{"bare question mark", "https://h/p?", "s", "https://h/p?stepId=s"},
		{"Connect", "wss://connect/?fnId=a&stepId=step", "s", "wss://connect/?fnId=a&stepId=s"},
		{"Connect of Go", "ws://connect?fnId=a&step=step", "s", "ws://connect?fnId=a&step=step&stepId=s"},
		{"fragment", "https://h/p?a=b#frag", "s", "https://h/p?a=b&stepId=s"},
		{"path is kept", "https://h/p%2Fq/ä", "s", "https://h/p%2Fq/ä?stepId=s"},
	} {
		got, err := CallURL(tt.in, tt.step)
		if err != nil || got != tt.want {
			t.Errorf("%s: CallURL(%q) = %q, %v, want %q", tt.name, tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", "/api", "ftp://h/p", "file:///etc/passwd", "http://", "http://a b/", "http://h/%zz?secret=1", "localhost:3000/api"} {
		got, err := CallURL(in, "s")
		if err == nil {
			t.Errorf("CallURL(%q) = %q", in, got)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats the query: %v", err)
		}
	}
}

func TestNormalizeURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://LocalHost:3000/Api?":                            "http://localhost:3000/Api",
		"http://h/p?fnId=a&stepId=b&step=c&deployId=d&keep=1#f": "http://h/p?keep=1",
		"https://h/p?keep=1&keep=2":                             "https://h/p?keep=1&keep=2",
		"wss://connect/?fnId=a&stepId=step":                     "wss://connect/",
	} {
		if got, err := NormalizeURL(in); err != nil || got != want {
			t.Errorf("NormalizeURL(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func BenchmarkAppendBody(b *testing.B) {
	c := Call{
		RunID: "01JFRUN0000000000000000001", FunctionID: "11111111-1111-4111-8111-111111111111", ItemID: "q:01JF", MaxAttempts: 5,
		Env: "dev", Version: 2, Event: []byte(testEvent), Events: []jsontext.Value{[]byte(testEvent)},
	}
	for i := range 10 {
		c.Steps = append(c.Steps, Memo{StepHash("a", i), []byte(`{"data":{"id":"ord_0001","total":129.95}}`)})
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = c.AppendBody(dst[:0])
	}
	b.SetBytes(int64(len(dst)))
}

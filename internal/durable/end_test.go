package durable

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"
)

// member is a string inside a JSON object; "" if there is none.
func member(t *testing.T, object string, path ...string) string {
	t.Helper()
	v := jsontext.Value(object)
	for _, name := range path {
		var o map[string]jsontext.Value
		if err := json.Unmarshal(v, &o); err != nil {
			t.Fatalf("%s: %v", object, err)
		}
		v = o[name]
	}
	if v.Kind() != '"' {
		return string(v)
	}
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

func TestEnd(t *testing.T) {
	t.Parallel()
	started := func(name string) Event {
		e := order
		e.Name = name
		return e
	}
	give := func(in func(Claim) Input) func(*world) {
		return func(w *world) {
			c := w.claim(Discovery)
			w.feed(Dispatch{c})
			w.feed(in(c))
		}
	}
	complete := give(func(c Claim) Input { return Return{Claim: c, Output: JSON(`{"ok":1}`)} })
	empty := give(func(c Claim) Input { return Return{Claim: c} })
	fail := give(func(c Claim) Input { return Refusal{Claim: c, Err: boom, NoRetry: true} })
	server := give(func(c Claim) Input { return Answer{Claim: c, Ops: []Op{refusedOp}} })
	broken := give(func(c Claim) Input {
		return Refusal{Claim: c, Err: Failure{Name: "E\xff", Message: "a\"\xffb", Stack: "at x"}, NoRetry: true}
	})
	cancel := func(w *world) { w.feed(Cancel{}) }

	for _, tt := range []struct {
		name    string
		trigger Event
		end     func(*world)
		output  string // stored as the run's
		want    []string
		status  string
		result  string // member of the events; "" if absent
		message string // of the error in the events; "" if absent
	}{
		{"[47] a completed run is finished, with its result", order, complete, `{"ok":1}`, []string{EventFinished}, "Completed", `{"ok":1}`, ""},
		{"a function that returned nothing has null for a result", order, empty, `null`, []string{EventFinished}, "Completed", `null`, ""},
		{"[44] a failed run is finished and failed, with the app's error", order, fail, string(boom.Raw), []string{EventFinished, EventFailed}, "Failed", string(boom.Raw), "it broke"},
		{
			"a failure of the server's own has the members that SDKs know", order, server,
			`{"data":null,"error":"UnsupportedOp: no","message":"no","name":"UnsupportedOp","stack":""}`,
			[]string{EventFinished, EventFailed},
			"Failed", `{"data":null,"error":"UnsupportedOp: no","message":"no","name":"UnsupportedOp","stack":""}`, "no",
		},
		{
			"an error that is not UTF-8 makes valid events", order, broken,
			`{"data":null,"error":"E�: a\"�b","message":"a\"�b","name":"E�","stack":"at x"}`,
			[]string{EventFinished, EventFailed},
			"Failed", `{"data":null,"error":"E�: a\"�b","message":"a\"�b","name":"E�","stack":"at x"}`, `a"` + "\uFFFDb",
		},
		{"[47] a cancelled run is finished and cancelled, without a result", order, cancel, "", []string{EventFinished, EventCancelled}, "Cancelled", "", ""},
		{"[48] a run started by finished is silent", started(EventFinished), complete, `{"ok":1}`, nil, "", "", ""},
		{"[46] a run started by failed is silent", started(EventFailed), fail, string(boom.Raw), nil, "", "", ""},
		{"also when it is cancelled", started(EventFailed), cancel, "", nil, "", "", ""},
		{"a run started by cancelled is not", started(EventCancelled), complete, `{"ok":1}`, []string{EventFinished}, "Completed", `{"ok":1}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.trigger)
			tt.end(w)
			if got := string(w.r.Output); got != tt.output {
				t.Errorf("output %s, want %s", got, tt.output)
			}
			if !w.r.Ended.Equal(w.now) {
				t.Errorf("ended at %v, want %v", w.r.Ended, w.now)
			}
			if len(w.emitted) != len(tt.want) {
				t.Fatalf("%d events, want %q", len(w.emitted), tt.want)
			}
			for i, e := range w.emitted {
				body := string(e.Body)
				if !e.Body.IsValid() {
					t.Fatalf("event %s is no JSON: %s", e.Name, body)
				}
				key, id := "", e.ID // the sender's id, and the one that the function sees
				if e.Name != EventFinished {
					key, id = runID, runID // so that a failure handler runs once
				}
				for _, c := range []struct{ what, got, want string }{
					{"name", e.Name, tt.want[i]},
					{"name in the body", member(t, body, "name"), tt.want[i]},
					{"key", e.Key, key},
					{"id in the body", member(t, body, "id"), id},
					{"function", member(t, body, "data", "function_id"), "shop-pay"},
					{"run", member(t, body, "data", "run_id"), runID},
					{"event", member(t, body, "data", "event"), string(tt.trigger.Body)},
					{"events", member(t, body, "data", "events"), "[" + string(tt.trigger.Body) + "]"},
					{"status", member(t, body, "data", "_inngest", "status"), tt.status},
					{"result", member(t, body, "data", "result"), tt.result},
				} {
					if c.got != c.want {
						t.Errorf("%s: %s is %s, want %s", e.Name, c.what, c.got, c.want)
					}
				}
				if tt.message != "" {
					if got := member(t, body, "data", "error", "message"); got != tt.message {
						t.Errorf("%s: error %q, want %q", e.Name, got, tt.message)
					}
				} else if got := member(t, body, "data", "error"); got != "" {
					t.Errorf("%s: there is an error: %s", e.Name, got)
				}
				if _, err := ulid.ParseStrict(e.ID); err != nil {
					t.Errorf("%s: id %s: %v", e.Name, e.ID, err)
				}
				if !e.Internal() {
					t.Errorf("%s is not internal", e.Name)
				}
			}
		})
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		want Status
		ok   bool
	}{
		{"Queued", Queued, true},
		{"RUNNING", Running, true},
		{"completed", Completed, true},
		{"Failed", Failed, true},
		{"CANCELLED", Cancelled, true},
		{"", 0, false},
		{"SKIPPED", Skipped, true},
		{"skipping", 0, false},
	} {
		if got, ok := ParseStatus(tt.name); got != tt.want || ok != tt.ok {
			t.Errorf("ParseStatus(%q) = %v, %v, want %v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

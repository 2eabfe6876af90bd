package durable

import (
	"errors"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestRerun(t *testing.T) {
	t.Parallel()
	f := Function{Slug: "shop-pay", App: "shop", Version: 4, Start: time.Hour}
	later := noon.Add(time.Hour)
	entry := func(kind EntryKind, step, name, op string) Entry {
		return Entry{Step: step, Kind: kind, Name: name, Op: op, At: noon, Data: JSON(`{"data":"` + step + `"}`)}
	}
	done := func(step string) Entry { return entry(StepDone, step, step+"-name", "StepRun") }
	journal := []Entry{
		{Kind: Tried, At: noon, Name: "Error"},
		done("a"),
		entry(StepPlanned, "b", "b-name", "StepPlanned"), entry(StepPlanned, "c", "twice", "StepPlanned"),
		entry(StepAsleep, "nap", "nap-name", "Sleep"),
		entry(Deferred, "d", "later", "shop-x"),
		done("c"), entry(StepFailed, "b", "b-name", "StepFailed"),
		{Kind: Nothing},
		entry(StepDone, "nap", "", ""),
		entry(StepPlanned, "e", "twice", "StepPlanned"), entry(StepPlanned, "never", "never", "StepPlanned"),
		entry(StepAsleep, "ev", "ev-name", "WaitForEvent"),
		{Kind: BodyFailed},
	}
	of := newWorld(t, order).r
	of.Cron = "* * * * *"
	for _, tt := range []struct {
		name  string
		from  From
		stack []string
		items []string
		err   error
	}{
		{"from the start", From{}, nil, []string{" start", Discovery}, nil},
		{"from the first step", From{Step: "a"}, nil, []string{" start", Discovery}, nil},
		{"from a step", From{Step: "b"}, []string{"a", "c"}, []string{" start", Discovery}, nil},
		{"from a step by its name", From{Step: "b-name"}, []string{"a", "c"}, []string{" start", Discovery}, nil},
		{"a branch that ended later runs again", From{Step: "c"}, []string{"a"}, []string{" start", Discovery}, nil},
		{"from a sleep", From{Step: "nap"}, []string{"a", "c", "b"}, []string{" start", Discovery}, nil},
		{"from a step that was not reached", From{Step: "never"}, []string{"a", "c", "b", "nap"}, []string{" start", Discovery}, nil},
		{"with another input", From{Step: "b", Input: JSON(`[1]`)}, []string{"a", "c"}, []string{" start", "b"}, nil},
		{"a name of two steps", From{Step: "twice"}, nil, nil, ErrManySteps},
		{"a step that is not there", From{Step: "x"}, nil, nil, ErrNoStep},
		{"a deferred call is no step", From{Step: "d"}, nil, nil, ErrNoStep},
		{"an input that is no array", From{Step: "b", Input: JSON(`{}`)}, nil, nil, ErrInput},
		{"an input that is no JSON", From{Step: "b", Input: JSON(`[1`)}, nil, nil, ErrInput},
		{"an input for a sleep", From{Step: "nap", Input: JSON(`[]`)}, nil, nil, ErrNoInput},
		{"with a result for a step", From{Step: "a", Output: JSON(`7`)}, []string{"a"}, []string{" start", Discovery}, nil},
		{"with a result for one that failed", From{Step: "b", Output: JSON(`null`)}, []string{"a", "c", "b"}, []string{" start", Discovery}, nil},
		{"with a result that is no JSON", From{Step: "a", Output: JSON(`{`)}, nil, nil, ErrOutput},
		{"with a result for a sleep", From{Step: "nap", Output: JSON(`1`)}, nil, nil, ErrOutput},
		{"with an event for a wait", From{Step: "ev", Output: JSON(`{"name":"paid"}`)}, []string{"a", "c", "b", "nap", "ev"}, []string{" start", Discovery}, nil},
		{"with no event for a wait", From{Step: "ev", Output: JSON(`null`)}, []string{"a", "c", "b", "nap", "ev"}, []string{" start", Discovery}, nil},
		{"with what is no event for a wait", From{Step: "ev", Output: JSON(`{"data":1}`)}, nil, nil, ErrOutput},
		{"with both", From{Step: "a", Input: JSON(`[]`), Output: JSON(`1`)}, nil, nil, ErrBoth},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := Rerun(of, journal, tt.from, f, order, "new", later)
			if !errors.Is(err, tt.err) {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			r := s.Run
			var items []string
			for step, i := range r.Items {
				items = append(items, step)
				if i.Run != "new" {
					t.Errorf("an item of run %s", i.Run)
				}
			}
			slices.Sort(items)
			slices.Sort(tt.items)
			if diff := gocmp.Diff(tt.stack, r.Stack); diff != "" {
				t.Errorf("steps: %s", diff)
			}
			if diff := gocmp.Diff(tt.items, items); diff != "" {
				t.Errorf("items: %s", diff)
			}
			if r.ID != "new" || r.Original != runID || r.Cron != of.Cron || r.Version != 4 || r.Status != Queued || !r.Parent.Zero() {
				t.Errorf("%+v", r)
			}
			if r.Seq != len(s.Entries) {
				t.Errorf("%d entries folded of %d", r.Seq, len(s.Entries))
			}
		})
	}
	again := *of
	again.Original = "first"
	s, err := Rerun(&again, nil, From{}, f, Event{Target: &Target{Parent: Ref{"p", "s"}}}, "new", later)
	if err != nil || s.Run.Original != "first" || !s.Run.Parent.Zero() {
		t.Errorf("a rerun of a rerun: %+v, %v", s.Run, err)
	}
}

// A result that is given is what the function gets, in the form in which SDKs read it,
// and the journal says that nobody ran the step for it.
func TestRerunWithOutput(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ op, output, memo string }{
		{"StepRun", `{"a":1.0}`, `{"data":{"a":1.0}}`},
		{"StepFailed", `null`, `{"data":null}`},
		{"InvokeFunction", `7`, `{"data":7}`},
		{"WaitForEvent", `{"name":"x","data":{}}`, `{"name":"x","data":{}}`},
		{"WaitForEvent", `null`, `null`},
		{"WaitForSignal", `{"signal":"s","data":1}`, `{"data":{"signal":"s","data":1}}`},
		{"WaitForSignal", `null`, `null`},
	} {
		w := newWorld(t, order)
		was := []Entry{{Step: "a", Kind: StepFailed, Op: tt.op, Name: "charge", At: noon, Data: JSON(`{"error":{}}`)}}
		s, err := Rerun(w.r, was, From{Step: "a", Output: JSON(tt.output)}, Function{Slug: "shop-pay", App: "shop"}, order, runID, noon)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(s.Run.Steps["a"].Memo); got != tt.memo {
			t.Errorf("%s %s: the memo is %s", tt.op, tt.output, got)
		}
		if len(s.Entries) != 2 || s.Entries[0].Kind != Given || s.Entries[1].Kind != StepDone {
			t.Errorf("%s: the journal is %v", tt.op, s.Entries)
		}
		if s.Run.Open != 0 || s.Run.Items[Discovery] == nil {
			t.Errorf("%s: the function is not entered: %+v", tt.op, s.Run)
		}
		audit := NewAudit(s.Run)
		if flaws := audit.Flaws(nil, noon); len(flaws) > 0 {
			t.Errorf("%s: %v", tt.op, flaws)
		}
	}
}

// TestRerunWithInput lets a step be tried with its new input until it ends, and
// then enters the function.
func TestRerunWithInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, order)
	s, err := Rerun(w.r, []Entry{{Step: "a", Kind: StepDone, Op: "StepRun", At: noon}}, From{Step: "a", Input: JSON(`[7]`)},
		Function{Slug: "shop-pay", App: "shop", Version: 3}, order, runID, noon)
	if err != nil {
		t.Fatal(err)
	}
	s.Run.Original = ""
	w.r, w.journal = s.Run, s.Entries
	c := w.claim("a")
	w.feed(Dispatch{c})
	w.feed(Answer{Claim: c, Ops: []Op{{Kind: OpError, Step: "a", Err: boom, Memo: ErrorMemo(boom)}}, Protocol: 2})
	if got := string(w.r.Items["a"].Data); got != `[7]` {
		t.Fatalf("the next try has the input %q", got)
	}
	c = w.claim("a")
	w.feed(Dispatch{c})
	w.feed(Answer{Claim: c, Ops: []Op{{Kind: OpDone, Step: "a", Memo: JSON(`{"data":1}`)}}, Protocol: 2})
	if got := w.String(); got != "Running [a] *" {
		t.Errorf("then %s", got)
	}
}

package durable

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Why says why a run is not running just now, or since when it is.
type Why struct {
	Reason string    // one of the words below
	Text   string    // the same as one sentence for people
	Step   string    // hashed id of the step that it is about; "" for the run
	Until  time.Time // when that ends by itself; zero when it does not
	Run    string    // the run that is waited for; "" when none is
	// Times are those that the text has, in its order; there they are
	// written by RFC 3339, in UTC and to the second.
	Times []time.Time
}

// The reasons, for programs.
const (
	WhyEnded    = "ended"
	WhyCalled   = "called"   // it is running
	WhyAway     = "away"     // its app cannot be reached
	WhyRetry    = "retry"    // after a failed try
	WhyLimit    = "limit"    // it is due, and a limit or a pause holds it back
	WhyTurn     = "turn"     // it is due and has not been taken up
	WhyQueued   = "queued"   // its time has not come
	WhyAsleep   = "asleep"   // a sleep
	WhyEvent    = "event"    // a wait for an event
	WhySignal   = "signal"   // a wait for a signal
	WhyInvoke   = "invoke"   // a wait for another run
	WhyFunction = "function" // its function is not known
	WhyStuck    = "stuck"    // nothing will move it
	WhyInline   = "inline"   // its app serves the request in which it began
)

// Around is what is known beside a run that explains it.
type Around struct {
	Journal  []Entry              // all of the run's
	Waits    []Wait               // all of the run's
	Function *Function            // nil: it is not known
	App      App                  // of the function
	Children map[string]*Run      // those that the run has invoked, by step
	Held     map[string]Why       // what keeps its items that are due from being called, by step: Text is a sentence's end
	Called   map[string]time.Time // since when its items are in work, by step
}

// Explain says why r, folded and with its items, is not running at now. It is
// pure.
func (r *Run) Explain(a Around, now time.Time) Why {
	x := explanation{r, a, now}
	switch {
	case r.Status.Final():
		return x.ended()
	case a.Function == nil:
		return Why{Reason: WhyFunction, Text: fmt.Sprintf("Its function %s is not known here: sync its app.", r.Function)}
	}
	var all []Why
	for step, item := range r.Items {
		if w := x.item(step, item); w.Reason != "" {
			all = append(all, w)
		}
	}
	if len(all) == 0 {
		return Why{Reason: WhyStuck, Text: "Nothing is queued that would move it, which is an error of Pawl: stop it and run pawl doctor --fix."}
	}
	slices.SortFunc(all, func(a, b Why) int { // what is called first, then what moves first
		if called := a.Reason == WhyCalled; called != (b.Reason == WhyCalled) {
			if called {
				return -1
			}
			return 1
		}
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Step, b.Step))
	})
	w := all[0]
	if n := len(all) - 1; n > 0 {
		w.Text += fmt.Sprintf("; %d more %s open", n, plural(n, "step is", "steps are"))
	}
	if a.Function.Archived {
		w.Text += fmt.Sprintf("; its app %s does not serve %s any more, and runs in progress go on", r.App, r.Function)
	}
	w.Text += "."
	return w
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

type explanation struct {
	r   *Run
	a   Around
	now time.Time
}

func (x explanation) ended() Why {
	w := Why{Reason: WhyEnded}
	at := w.Moment(x.r.Ended)
	w.Text = fmt.Sprintf("It was %s at %s", strings.ToLower(x.r.Status.String()), at)
	switch x.r.Status {
	case Completed:
		w.Text = "It completed at " + at
	case Failed:
		w.Text = fmt.Sprintf("It failed at %s: %s", at, brief(x.r.Output))
	case Cancelled:
		for _, e := range x.a.Journal {
			var why string
			if e.Kind == Stopped && json.Unmarshal(e.Data, &why) == nil {
				w.Text += ": " + why
			}
		}
	case Skipped:
		w.Text += ": " + x.r.Skip()
	default:
	}
	w.Text = strings.TrimSuffix(w.Text, ".") + "."
	return w
}

// item says what an item waits for; nothing when it is not one that moves the
// run onward.
func (x explanation) item(step string, item *Item) Why {
	w := Why{Step: step, Until: item.Due}
	if since, ok := x.a.Called[step]; ok && (item.Kind == Call || item.Kind == Fetch) {
		w.Reason, w.Until = WhyCalled, time.Time{}
		switch {
		case item.Kind == Fetch:
			w.Text = fmt.Sprintf("The request of %s is under way since %s", x.name(step), w.Moment(since))
		case step == Discovery:
			w.Text = fmt.Sprintf("It is running: its app %s is called since %s", x.r.App, w.Moment(since))
		default:
			w.Text = fmt.Sprintf("It is running: its app %s is called for %s since %s", x.r.App, x.name(step), w.Moment(since))
		}
		return w
	}
	switch item.Kind {
	case Call, Fetch:
		x.call(&w, item)
	case Wake:
		x.rest(&w, item)
	case Lapse:
		w.Reason = WhyInline
		w.Text = fmt.Sprintf("It is running: its app %s serves the request in which it began; if nothing is heard of it until %s, the endpoint is entered again",
			x.r.App, w.Moment(item.Due))
	default:
		return Why{} // a limit of the run, or its end
	}
	return w
}

// call: a request that has not been sent.
func (x explanation) call(w *Why, item *Item) {
	last := x.lastTry(item)
	what := "It"
	if item.Step != Discovery {
		what = "Its " + x.name(item.Step)
	}
	switch {
	case !item.Since.IsZero():
		w.Reason = WhyAway
		w.Text = fmt.Sprintf("Its app %s at %s cannot be reached since %s, and is tried again at %s",
			x.r.App, x.a.App.URL, w.Moment(item.Since), w.Moment(item.Due))
		if e := x.last(Unreachable); e != nil {
			w.Text += " (" + brief(e.Data) + ")"
		}
	case item.Attempt > 0 && item.Due.After(x.now):
		w.Reason = WhyRetry
		w.Text = fmt.Sprintf("%s is tried again at %s: try %d of %d", what, w.Moment(item.Due), item.Attempt+1, x.a.Function.MaxAttempts())
		if last != nil {
			w.Text += " after " + brief(last.Data)
		}
	case item.Due.After(x.now):
		w.Reason = WhyQueued
		w.Text = fmt.Sprintf("%s is queued for %s", what, w.Moment(item.Due))
		if x.r.Status == Queued && x.r.Events[0].At.Equal(item.Due) {
			w.Text += ", when its event says that it happens"
		}
	default:
		w.Reason, w.Until = WhyTurn, time.Time{}
		since := w.Moment(item.Due)
		w.Text = fmt.Sprintf("%s is due since %s and waits for its turn", what, since)
		if held := x.a.Held[item.Step]; held.Text != "" {
			w.Reason, w.Text = WhyLimit, fmt.Sprintf("%s is due since %s and waits: %s", what, since, held.Text)
			w.Times = append(w.Times, held.Times...)
		}
	}
}

// rest: a step that rests.
func (x explanation) rest(w *Why, item *Item) {
	s := x.r.Steps[item.Step]
	if s == nil {
		s = &Step{}
	}
	name, until := x.name(item.Step), w.Moment(item.Due)
	if !item.Due.After(x.now) {
		w.Reason = WhyTurn
		w.Text = fmt.Sprintf("The time of %s is over since %s, and is about to be seen to", name, until)
		return
	}
	switch s.Op {
	case wordEvent, wordSignal:
		for _, wait := range x.a.Waits {
			if wait.Step != item.Step {
				continue
			}
			if wait.Kind == ForSignal {
				w.Reason = WhySignal
				w.Text = fmt.Sprintf("Its %s waits for the signal %q, until %s", name, wait.Name, until)
				return
			}
			w.Reason = WhyEvent
			w.Text = fmt.Sprintf("Its %s waits for an event %q", name, wait.Name)
			if wait.If != "" {
				w.Text += fmt.Sprintf(" with %s", wait.If)
			}
			w.Text += ", until " + until
			return
		}
		w.Reason = WhyEvent
		if s.Op == wordSignal {
			w.Reason = WhySignal
		}
		w.Text = fmt.Sprintf("Its %s waits until %s, for something that another run has taken from it", name, until)
	case wordInvoke:
		w.Reason = WhyInvoke
		child := x.a.Children[item.Step]
		if child == nil {
			w.Text = fmt.Sprintf("Its %s waits for a run of another function that did not start, until %s", name, until)
			return
		}
		w.Run = child.ID
		w.Text = fmt.Sprintf("Its %s waits for run %s of %s, which is %s, until %s",
			name, child.ID, child.Function, strings.ToLower(child.Status.String()), until)
	default:
		w.Reason = WhyAsleep
		w.Text = fmt.Sprintf("Its %s sleeps until %s", name, until)
	}
}

// name is a step for people.
func (x explanation) name(step string) string {
	if s := x.r.Steps[step]; s != nil && s.Name != "" {
		return fmt.Sprintf("step %q", s.Name)
	}
	for _, e := range slices.Backward(x.a.Journal) {
		if e.Step == step && e.Name != "" {
			return fmt.Sprintf("step %q", e.Name)
		}
	}
	return "step " + step
}

func (x explanation) last(kind EntryKind) *Entry {
	for i := len(x.a.Journal) - 1; i >= 0; i-- {
		if x.a.Journal[i].Kind == kind {
			return &x.a.Journal[i]
		}
	}
	return nil
}

// lastTry is the failed try after which an item is due; its own step's, unless
// it enters the function, which runs steps too.
func (x explanation) lastTry(item *Item) *Entry {
	for i := len(x.a.Journal) - 1; i >= 0; i-- {
		e := &x.a.Journal[i]
		// Due times are rounded up when they are stored.
		if e.Kind == Tried && (e.Step == item.Step || item.Step == Discovery) && item.Due.Sub(e.Until).Abs() <= time.Microsecond {
			return e
		}
	}
	return nil
}

// Moment is a time in the text of w, for people and for programs, which is noted
// in it.
func (w *Why) Moment(t time.Time) string {
	t = t.UTC().Truncate(time.Second)
	w.Times = append(w.Times, t)
	return t.Format(time.RFC3339)
}

// brief is what an error says, shortened.
func brief(raw JSON) string {
	var e struct{ Name, Message string }
	_ = json.Unmarshal(raw, &e, json.MatchCaseInsensitiveNames(true)) // what is no error has no words
	text := e.Message
	switch {
	case e.Name != "" && e.Message != "":
		text = e.Name + ": " + e.Message
	case text == "":
		text = cmp.Or(e.Name, "an error without words")
	}
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// Invoked is the id of the event with which a run invoked another function in a
// step that began to rest at that time.
func Invoked(run, step string, at time.Time) string { return eventID(run, EventInvoked+step, at) }

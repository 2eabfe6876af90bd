package durable

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	var (
		soon   = noon.Add(time.Minute)
		before = noon.Add(-time.Hour)
		failed = func(step, name string) Entry {
			return Entry{Step: step, Kind: Tried, Name: name, Until: soon, Data: JSON(`{"name":"StripeError","message":"503"}`)}
		}
		invoking = Entry{Step: "i", Kind: StepAsleep, Op: wordInvoke, Name: "bill", Until: tomorrow}
		signal   = Entry{Step: "w", Kind: StepAsleep, Op: wordSignal, Name: "ok?", Until: tomorrow}
		wakeW    = Item{Step: "w", Kind: Wake, Due: tomorrow}
		order2   = Event{Name: "order/paid", At: tomorrow}
	)
	cases := []struct {
		name  string
		run   stored
		want  string
		why   Why // without its text
		event *Event
		more  func(*Around)
	}{
		{
			name: "completed", run: stored{head: completed},
			want: "It completed at 2026-03-01T12:00:00Z.", why: Why{Reason: WhyEnded},
		},
		{
			name: "failed", run: stored{head: Head{Status: Failed, Ended: noon, Output: JSON(`{"name":"CardError","message":"card refused.","stack":"x"}`)}},
			want: "It failed at 2026-03-01T12:00:00Z: CardError: card refused.", why: Why{Reason: WhyEnded},
		},
		{
			name: "failed without words", run: stored{head: Head{Status: Failed, Ended: noon, Output: JSON(`7`)}},
			want: "It failed at 2026-03-01T12:00:00Z: an error without words.", why: Why{Reason: WhyEnded},
		},
		{
			name: "cancelled", run: stored{
				head:    Head{Status: Cancelled, Ended: noon},
				journal: []Entry{{Kind: Stopped, Data: JSON(`"cancelOn: event stop (01X)"`)}},
			},
			want: "It was cancelled at 2026-03-01T12:00:00Z: cancelOn: event stop (01X).", why: Why{Reason: WhyEnded},
		},
		{
			name: "queued for later", event: &order2, run: stored{items: []Item{{Due: tomorrow}}},
			want: "It is queued for 2026-03-02T12:00:00Z, when its event says that it happens.", why: Why{Reason: WhyQueued, Until: tomorrow},
		},
		{
			name: "due and not taken up", run: stored{items: []Item{{Due: before}}},
			want: "It is due since 2026-03-01T11:00:00Z and waits for its turn.", why: Why{Reason: WhyTurn},
		},
		{
			name: "called", run: stored{head: running, items: []Item{{Due: before}}},
			more: func(a *Around) { a.Called = map[string]time.Time{"": before} },
			want: "It is running: its app shop is called since 2026-03-01T11:00:00Z.", why: Why{Reason: WhyCalled},
		},
		{
			name: "called for a step, while another sleeps",
			run:  stored{head: running, journal: []Entry{thePlan, theNap}, items: []Item{{Step: "a", Due: noon}, {Step: "w", Kind: Wake, Due: tomorrow}}},
			more: func(a *Around) { a.Called = map[string]time.Time{"a": before} },
			want: `It is running: its app shop is called for step "charge" since 2026-03-01T11:00:00Z; 1 more step is open.`,
			why:  Why{Reason: WhyCalled, Step: "a"},
		},
		{
			name: "a request is under way", run: stored{head: running, journal: []Entry{thePlan}, items: []Item{{Step: "a", Kind: Fetch, Due: noon}}},
			more: func(a *Around) { a.Called = map[string]time.Time{"a": before} },
			want: `The request of step "charge" is under way since 2026-03-01T11:00:00Z.`, why: Why{Reason: WhyCalled, Step: "a"},
		},
		{
			name: "away", run: stored{
				head: running, items: []Item{{Due: soon, Since: before}},
				journal: []Entry{{Kind: Unreachable, Data: JSON(`{"name":"Error","message":"connection refused"}`)}},
			},
			want: "Its app shop at http://shop/api cannot be reached since 2026-03-01T11:00:00Z, and is tried again at 2026-03-01T12:01:00Z (Error: connection refused).",
			why:  Why{Reason: WhyAway, Until: soon},
		},
		{
			name: "the function is tried again", run: stored{head: running, journal: []Entry{failed("", "")}, items: []Item{{Due: soon, Attempt: 2}}},
			want: "It is tried again at 2026-03-01T12:01:00Z: try 3 of 5 after StripeError: 503.", why: Why{Reason: WhyRetry, Until: soon},
		},
		{
			name: "a step in the function is tried again", run: stored{head: running, journal: []Entry{failed("a", "charge")}, items: []Item{{Due: soon, Attempt: 1}}},
			want: "It is tried again at 2026-03-01T12:01:00Z: try 2 of 5 after StripeError: 503.", why: Why{Reason: WhyRetry, Until: soon},
		},
		{
			name: "a planned step is tried again", run: stored{
				head: running, journal: []Entry{thePlan, failed("a", "charge")}, items: []Item{{Step: "a", Due: soon, Attempt: 1}},
			},
			want: `Its step "charge" is tried again at 2026-03-01T12:01:00Z: try 2 of 5 after StripeError: 503.`,
			why:  Why{Reason: WhyRetry, Step: "a", Until: soon},
		},
		{
			name: "asleep", run: stored{head: running, journal: []Entry{theNap}, items: []Item{wakeW, {Step: FinishStep, Kind: Timeout, Due: soon}}},
			want: `Its step "nap" sleeps until 2026-03-02T12:00:00Z.`, why: Why{Reason: WhyAsleep, Step: "w", Until: tomorrow},
		},
		{
			name: "waits for an event", run: stored{
				head: running, journal: []Entry{theWait}, items: []Item{wakeW},
				waits: []Wait{{Step: CancelStep(0), Kind: ForCancel, Name: "stop"}, {Step: "w", Name: "paid", If: "async.data.id == 1"}},
			},
			want: `Its step "paid?" waits for an event "paid" with async.data.id == 1, until 2026-03-02T12:00:00Z.`,
			why:  Why{Reason: WhyEvent, Step: "w", Until: tomorrow},
		},
		{
			name: "waits for a signal", run: stored{
				head: running, journal: []Entry{signal}, items: []Item{wakeW}, waits: []Wait{{Step: "w", Kind: ForSignal, Name: "go"}},
			},
			want: `Its step "ok?" waits for the signal "go", until 2026-03-02T12:00:00Z.`, why: Why{Reason: WhySignal, Step: "w", Until: tomorrow},
		},
		{
			name: "waits for a signal that was taken", run: stored{head: running, journal: []Entry{signal}, items: []Item{wakeW}},
			want: `Its step "ok?" waits until 2026-03-02T12:00:00Z, for something that another run has taken from it.`,
			why:  Why{Reason: WhySignal, Step: "w", Until: tomorrow},
		},
		{
			name: "waits for another run", run: stored{head: running, journal: []Entry{invoking}, items: []Item{{Step: "i", Kind: Wake, Due: tomorrow}}},
			more: func(a *Around) { a.Children = map[string]*Run{"i": {ID: "01R", Function: "shop-bill", Head: running}} },
			want: `Its step "bill" waits for run 01R of shop-bill, which is running, until 2026-03-02T12:00:00Z.`,
			why:  Why{Reason: WhyInvoke, Step: "i", Until: tomorrow, Run: "01R"},
		},
		{
			name: "waits for a run that did not start", run: stored{head: running, journal: []Entry{invoking}, items: []Item{{Step: "i", Kind: Wake, Due: tomorrow}}},
			want: `Its step "bill" waits for a run of another function that did not start, until 2026-03-02T12:00:00Z.`,
			why:  Why{Reason: WhyInvoke, Step: "i", Until: tomorrow},
		},
		{
			name: "a sleep is over", run: stored{head: running, journal: []Entry{theNap}, items: []Item{{Step: "w", Kind: Wake, Due: before}}},
			want: `The time of step "nap" is over since 2026-03-01T11:00:00Z, and is about to be seen to.`,
			why:  Why{Reason: WhyTurn, Step: "w", Until: before},
		},
		{
			name: "what comes first", run: stored{
				head: running, journal: []Entry{thePlan, theNap, invoking},
				items: []Item{{Step: "a", Due: soon}, {Step: "w", Kind: Wake, Due: tomorrow}, {Step: "i", Kind: Wake, Due: tomorrow}},
			},
			want: `Its step "charge" is queued for 2026-03-01T12:01:00Z; 2 more steps are open.`, why: Why{Reason: WhyQueued, Step: "a", Until: soon},
		},
		{
			name: "archived", run: stored{head: running, journal: []Entry{theNap}, items: []Item{wakeW}},
			more: func(a *Around) { a.Function.Archived = true },
			want: `Its step "nap" sleeps until 2026-03-02T12:00:00Z; its app shop does not serve shop-pay any more, and runs in progress go on.`,
			why:  Why{Reason: WhyAsleep, Step: "w", Until: tomorrow},
		},
		{
			name: "not known", run: stored{head: running, items: []Item{{Due: before}}},
			more: func(a *Around) { a.Function = nil },
			want: "Its function shop-pay is not known here: sync its app.", why: Why{Reason: WhyFunction},
		},
		{
			name: "stuck", run: stored{head: running, items: []Item{{Step: FinishStep, Kind: Timeout, Due: tomorrow}}},
			want: "Nothing is queued that would move it, which is an error of Pawl: stop it and run pawl doctor --fix.", why: Why{Reason: WhyStuck},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, r := c.run.audit(1)
			if c.event != nil {
				r.Events[0] = *c.event
			}
			a := Around{
				Journal: c.run.journal, Waits: c.run.waits, Function: &Function{Slug: "shop-pay", Retries: 4}, App: App{URL: "http://shop/api"},
			}
			if c.more != nil {
				c.more(&a)
			}
			got := r.Explain(a, noon)
			require.Equal(t, c.want, got.Text)
			var times []string
			for _, at := range got.Times {
				times = append(times, at.Format(time.RFC3339))
			}
			require.Equal(t, times, regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:]+Z`).FindAllString(c.want, -1), "every time of the text, in its order")
			got.Text, got.Times = "", nil
			require.Equal(t, c.why, got)
		})
	}
}

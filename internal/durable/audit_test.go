package durable

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stored is a run as a store has it.
type stored struct {
	head    Head
	parent  Ref
	journal []Entry
	items   []Item
	waits   []Wait
}

func (s stored) audit(from int) ([]Flaw, *Run) {
	r := NewRun(runID, Function{Slug: "shop-pay", App: "shop"}, order, noon, noon)
	r.Head, r.Parent, r.Items = s.head, s.parent, map[string]*Item{}
	for _, i := range s.items {
		r.Items[i.Step] = &i
	}
	a := NewAudit(r)
	for i, e := range s.journal {
		a.Entry(from+i, e)
	}
	return a.Flaws(s.waits, noon), r
}

var (
	running   = Head{Status: Running, Started: noon, Protocol: 2}
	completed = Head{Status: Completed, Started: noon, Ended: noon, Protocol: 2}
	tomorrow  = noon.Add(24 * time.Hour)

	thePlan = Entry{Step: "a", Kind: StepPlanned, Op: "StepPlanned", Name: "charge"}
	theEnd  = Entry{Step: "a", Kind: StepDone, Op: "StepRun", Name: "charge", Data: JSON(`{"data":1}`)}
	theNap  = Entry{Step: "w", Kind: StepAsleep, Op: wordSleep, Name: "nap", Until: tomorrow}
	theWait = Entry{Step: "w", Kind: StepAsleep, Op: wordEvent, Name: "paid?", Until: tomorrow}
	forPaid = Wait{Run: runID, Step: "w", Name: "paid", Until: tomorrow}
)

func TestAudit(t *testing.T) {
	t.Parallel()
	enter := Item{Run: runID, Step: Discovery, Due: noon}
	cases := []struct {
		name string
		run  stored
		want []string // rule and step
	}{
		{"a run that is queued", stored{items: []Item{enter}}, nil},
		{"a run that is called", stored{head: running, items: []Item{enter}}, nil},
		{"a run behind its limits", stored{items: []Item{inLane(enter, "bshop-pay")}}, nil},
		{"a run that was called from the lane of those that begin", stored{head: running, items: []Item{inLane(enter, "bshop-pay")}}, nil},
		{"a run with all that it may have", stored{
			head: running, journal: []Entry{theEnd, thePlanOf("b"), theWait},
			items: []Item{
				{Step: "a"},
				{Step: "b"},
				{Step: "w", Kind: Wake, Due: tomorrow, Data: JSON(`"paid"`)},
				{Step: FinishStep, Kind: Timeout},
				{Step: " new", Kind: 99},
			},
			waits: []Wait{forPaid, {Step: CancelStep(2), Kind: ForCancel, Name: "stop"}, {Step: "x", Kind: 77}},
		}, nil},
		{"a run that has ended", stored{head: completed, journal: []Entry{theEnd}}, nil},
		{"a run that has ended and tells it", stored{
			head: completed, parent: Ref{"other", "s"}, items: []Item{{Step: ReportStep, Kind: Report}},
		}, nil},
		{"a step that is missed and planned again", stored{
			head: running, journal: []Entry{thePlan, {Step: "a", Kind: StepMissed}, thePlan}, items: []Item{{Step: "a"}},
		}, nil},

		{"nothing moves it", stored{head: running, journal: []Entry{theEnd}}, []string{"stuck "}},
		{"only a timeout moves it", stored{head: running, items: []Item{{Step: FinishStep, Kind: Timeout, Due: tomorrow}}}, []string{"stuck "}},
		{"only an item of a step that has ended is left", stored{head: running, journal: []Entry{theEnd}, items: []Item{{Step: "a"}}}, []string{"stuck "}},
		{"a planned step without its item", stored{head: running, journal: []Entry{thePlan}}, []string{"step a"}},
		{"a sleeping step without its item", stored{head: running, journal: []Entry{theNap}}, []string{"step w"}},
		{"a waiting step without its item", stored{head: running, journal: []Entry{theWait}, waits: []Wait{forPaid}}, []string{"step w"}},
		{"a waiting step without its wait", stored{
			head: running, journal: []Entry{theWait}, items: []Item{{Step: "w", Kind: Wake, Due: tomorrow}},
		}, []string{"wait w"}},
		{"a wait of a step that has ended", stored{
			head: running, journal: []Entry{theWait, {Step: "w", Kind: StepDone}}, items: []Item{enter}, waits: []Wait{forPaid},
		}, []string{"wait w"}},
		{"an item for no step", stored{head: running, items: []Item{enter, {Step: "z"}}}, []string{"item z"}},
		{"only an item for no step", stored{head: running, items: []Item{{Step: "z"}}}, []string{"item z", "stuck "}},
		{"an item of a wrong kind", stored{head: running, journal: []Entry{theNap}, items: []Item{{Step: "w"}}}, []string{"item w"}},
		{"an item behind limits of another function", stored{items: []Item{inLane(enter, "bshop-ship")}}, []string{"item "}},
		{"an item behind limits of another key", stored{head: running, items: []Item{inLane(enter, "cshop-pay\x1fk")}}, []string{"item "}},
		{"an item that begins a run behind limits of those that go on", stored{items: []Item{inLane(enter, "cshop-pay")}}, []string{"item "}},
		{"a timer behind limits", stored{
			head: running, items: []Item{enter, inLane(Item{Step: FinishStep, Kind: Timeout}, "cshop-pay")},
		}, []string{"item  finish"}},
		{"the report of a run that has not ended", stored{head: running, items: []Item{enter, {Step: ReportStep, Kind: Report}}}, []string{"item  report"}},
		{"a run that has ended and is queued", stored{head: completed, items: []Item{enter, {Step: "a"}}}, []string{"ended ", "ended a"}},
		{"a run that has ended and waits", stored{head: completed, waits: []Wait{forPaid}}, []string{"ended w"}},
		{"a report that nobody waits for", stored{head: completed, items: []Item{{Step: ReportStep, Kind: Report}}}, []string{"ended  report"}},
		{"an end without a time", stored{head: Head{Status: Failed, Started: noon}}, []string{"head "}},
		{"a time without an end", stored{head: Head{Status: Running, Started: noon, Ended: noon}, items: []Item{enter}}, []string{"head "}},
		{"running since never", stored{head: Head{Status: Running}, items: []Item{enter}}, []string{"head "}},
		{"queued and started", stored{head: Head{Started: noon}, items: []Item{enter}}, []string{"head "}},
		{"no such status", stored{head: Head{Status: 9, Ended: noon}}, []string{"head "}},
		{"negative status", stored{head: Head{Status: -3}, items: []Item{enter}}, []string{"head "}},
		{"a step that ends twice", stored{head: completed, journal: []Entry{theEnd, theEnd}}, []string{"journal a"}},
		{"a step that begins after its end", stored{head: completed, journal: []Entry{theEnd, thePlan}}, []string{"journal a"}},
		{"a step that begins twice", stored{head: running, journal: []Entry{thePlan, thePlan}, items: []Item{{Step: "a"}}}, []string{"journal a"}},
		{"a step that is missed and never began", stored{head: completed, journal: []Entry{{Step: "a", Kind: StepMissed}}}, []string{"journal a"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			flaws, _ := c.run.audit(1)
			require.Equal(t, c.want, names(flaws))
			for _, f := range flaws {
				require.Equal(t, f.Mend == nil, f.Cure == "")
				if f.Mend != nil {
					c.run.apply(*f.Mend)
				}
			}
			again, _ := c.run.audit(1)
			for _, f := range again {
				require.Nil(t, f.Mend, "what can be mended is mended: %+v", f)
			}
		})
	}
}

func inLane(i Item, lane string) Item { i.Lane = lane; return i }

func thePlanOf(step string) Entry { e := thePlan; e.Step = step; return e }

func names(flaws []Flaw) (list []string) {
	for _, f := range flaws {
		list = append(list, f.Rule+" "+f.Step)
	}
	return list
}

func (s *stored) apply(c Change) {
	s.journal = append(s.journal, c.Entries...)
	drop := func(step string) {
		s.items = slices.DeleteFunc(s.items, func(i Item) bool { return i.Step == step })
	}
	for _, step := range c.Drop {
		drop(step)
	}
	for _, p := range c.Put {
		drop(p.Step)
		s.items = append(s.items, p.Item)
	}
	s.waits = slices.DeleteFunc(s.waits, func(w Wait) bool { return slices.Contains(c.Unwait, w.Step) })
}

func TestAuditSeesGaps(t *testing.T) {
	t.Parallel()
	s := stored{head: completed, journal: []Entry{theEnd, thePlanOf("b")}}
	flaws, r := s.audit(3)
	require.Equal(t, []string{"journal a"}, names(flaws), "the gap is told once")
	require.Equal(t, 4, r.Seq)
}

// TestMendedTimer: a timer that was lost is due when it was, and an event that
// came in time still wins over it.
func TestMendedTimer(t *testing.T) {
	t.Parallel()
	flaws, _ := stored{head: running, journal: []Entry{theWait}, waits: []Wait{forPaid}}.audit(1)
	require.Equal(t, []Put{{Item: Item{Run: runID, Step: "w", Kind: Wake, Due: tomorrow, Data: JSON(`"paid"`)}}}, flaws[0].Mend.Put)
}

// TestMendedRunStandsBehindItsLimits: what has a function entered stands in the lane
// of those that begin, or of those that go on.
func TestMendedRunStandsBehindItsLimits(t *testing.T) {
	t.Parallel()
	for lane, s := range map[string]stored{"bshop-pay": {}, "cshop-pay": {head: running}} {
		flaws, _ := s.audit(1)
		require.Equal(t, lane, flaws[0].Mend.Put[0].Lane)
	}
}

// TestWaitGoesWhenTheAppEndsItsStep: an app that reports a step as done that
// rests leaves no wait behind.
func TestWaitGoesWhenTheAppEndsItsStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, order)
	wait := Op{Kind: OpWait, Op: wordEvent, Step: "w", Until: tomorrow, Wait: &Wait{Name: "paid"}}
	plan := Op{Kind: OpPlanned, Op: "StepPlanned", Step: "p"}
	c := w.claim(Discovery)
	w.feed(Dispatch{Claim: c})
	w.feed(Answer{Claim: c, Ops: []Op{wait, plan}, Protocol: 2})
	require.Len(t, w.waits, 1)
	w.feed(Answer{Claim: w.claim("p"), Ops: []Op{
		{Kind: OpDone, Step: "p", Memo: JSON(`{"data":1}`)}, {Kind: OpDone, Step: "w", Memo: JSON(`{"data":2}`)},
	}})
	require.Empty(t, w.waits)
	require.Equal(t, "Running [p w] *", w.String())
}

package durable

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Flaw is something about a stored run that cannot be when every change was
// written whole: a record was damaged, or Pawl has an error.
type Flaw struct {
	Rule    string // one of the rules below
	Step    string // hashed id; "" when it is about the run
	Message string // a sentence, without the run
	// Mend is a change that lets the run go on without losing anything, and Cure
	// says what it does; nil and "" when no change can do that.
	Mend *Change
	Cure string
}

// The rules that a run can break.
const (
	RuleHead    = "head"    // status, start and end agree
	RuleJournal = "journal" // no gap, and no step begins or ends a second time
	RuleStuck   = "stuck"   // something will move a run that has not ended
	RuleStep    = "step"    // every open step has the item that moves it
	RuleItem    = "item"    // every item has a step that it can move
	RuleWait    = "wait"    // every wait belongs to a step that rests, and every such step has its wait
	RuleEnded   = "ended"   // nothing is left of a run that has ended
)

// Audit examines one run as it is stored: its entries one after the other, and
// then what is queued for it and what it waits for. It changes nothing.
type Audit struct {
	r     *Run
	rests map[string]Entry // of the steps asleep
	flaws []Flaw
}

// NewAudit begins with a run that has its head and its items, and no entries.
func NewAudit(r *Run) *Audit { return &Audit{r: r, rests: map[string]Entry{}} }

func (a *Audit) found(rule, step, format string, args ...any) *Flaw {
	a.flaws = append(a.flaws, Flaw{Rule: rule, Step: step, Message: fmt.Sprintf(format, args...)})
	return &a.flaws[len(a.flaws)-1]
}

func (f *Flaw) mend(cure string, c Change) { f.Cure, f.Mend = cure, &c }

// Entry examines the next entry, which the journal has as its n-th, and folds
// it in.
func (a *Audit) Entry(n int, e Entry) {
	if n != a.r.Seq+1 {
		a.found(RuleJournal, e.Step, "entry %d of the journal follows entry %d", n, a.r.Seq)
		a.r.Seq = n - 1
	}
	if e.Step != Discovery {
		state := a.r.state(e.Step)
		open := state == Planned || state == Asleep
		switch e.Kind {
		case StepPlanned, StepAsleep:
			if state != Unknown {
				a.found(RuleJournal, e.Step, "step %q begins a second time in entry %d", e.Name, n)
			}
		case StepDone, StepFailed:
			if state == Done {
				a.found(RuleJournal, e.Step, "step %q ends a second time in entry %d", e.Name, n)
			}
		case StepMissed:
			if !open {
				a.found(RuleJournal, e.Step, "a step that was not open is given up in entry %d", n)
			}
		default:
		}
	}
	a.r.Fold(e)
	if e.Kind == StepAsleep {
		a.rests[e.Step] = e
	}
}

// Flaws is what is wrong with the run, given all that it waits for; what mends
// it is written at now.
func (a *Audit) Flaws(waits []Wait, now time.Time) []Flaw {
	a.head()
	if a.r.Status.Final() {
		a.leftOver(waits)
		return a.flaws
	}
	byStep := map[string]Wait{}
	for _, w := range waits {
		byStep[w.Step] = w
	}
	a.items(now)
	a.steps(byStep, now)
	a.waits(waits)
	if a.r.Items[Discovery] == nil && a.r.Open == 0 {
		a.found(RuleStuck, "", "the run has not ended, and nothing will ever move it").
			mend("its function is entered again", a.enter(now))
	}
	return a.flaws
}

func (a *Audit) head() {
	r := a.r
	switch {
	case r.Status < Queued || r.Status > Skipped:
		a.found(RuleHead, "", "the run has a status that there is not, number %d", int(r.Status))
	case r.Status.Final() != !r.Ended.IsZero():
		a.found(RuleHead, "", "the run is %v, and its end is %s", r.Status, stamp(r.Ended))
	case r.Status == Running && r.Started.IsZero(), r.Status == Queued && !r.Started.IsZero():
		a.found(RuleHead, "", "the run is %v, and its start is %s", r.Status, stamp(r.Started))
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// leftOver: a run that has ended keeps one item at most, which tells its end.
func (a *Audit) leftOver(waits []Wait) {
	for _, step := range slices.Sorted(maps.Keys(a.r.Items)) {
		if item := a.r.Items[step]; step != ReportStep || item.Kind != Report || len(a.r.Waiting()) == 0 {
			a.found(RuleEnded, step, "the run has ended, and something is still queued for it").
				mend("the item is removed", Change{Drop: []string{step}})
		}
	}
	for _, w := range waits {
		a.found(RuleEnded, w.Step, "the run has ended, and still waits for %q", w.Name).
			mend("the wait is removed", Change{Unwait: []string{w.Step}})
	}
}

// enter is a change that has the function entered.
func (a *Audit) enter(now time.Time) Change {
	return Change{Put: []Put{{Item: a.placed(Item{Run: a.r.ID, Step: Discovery, Kind: Call, Due: now}, now)}}}
}

// placed is an item in the lane where it belongs.
func (a *Audit) placed(i Item, now time.Time) Item {
	switch {
	case a.r.Status != Queued:
		i.Lane = a.r.lane(i, laneContinue)
	case i.Due.After(now):
		i.Lane = a.r.lane(i, laneDelayed)
	default:
		i.Lane = a.r.lane(i, laneBegin)
	}
	return i
}

// misplaced reports whether an item stands behind limits that are not its run's.
// Items of before there were lanes stand in none.
func (a *Audit) misplaced(i Item) bool {
	begins, function, keys, ok := Lane(i.Lane)
	if !ok {
		return false
	}
	return i.Kind != Call && i.Kind != Fetch || function != a.r.Function || keys != a.r.Keys || !begins && a.r.Status == Queued
}

// items: each item can move something.
func (a *Audit) items(now time.Time) {
	for _, step := range slices.Sorted(maps.Keys(a.r.Items)) {
		item := a.r.Items[step]
		fits := true
		switch {
		case step == Discovery:
			fits = item.Kind == Call || item.Kind == Lapse
		case step == StartStep, step == FinishStep:
			fits = item.Kind == Timeout
		case step == ReportStep:
			fits = false
		case strings.HasPrefix(step, " "): // the run's own
		default:
			switch a.r.state(step) {
			case Planned:
				fits = item.Kind == Call || item.Kind == Fetch
			case Asleep:
				fits = item.Kind == Wake
			case Done: // it ended by other news; the item goes when its request is answered
			default:
				a.found(RuleItem, step, "an item is queued for a step that the run does not have").
					mend("the item is removed", Change{Drop: []string{step}})
				continue
			}
		}
		switch {
		case !fits:
			a.found(RuleItem, step, "an item of kind %d is queued, which has no place there", int(item.Kind))
		case a.misplaced(*item):
			a.found(RuleItem, step, "an item stands in the lane %q, behind limits that are not the run's", item.Lane).
				mend("it is put where it belongs", Change{Put: []Put{{Item: a.placed(*item, now)}}})
		}
	}
}

// steps: each open step has an item.
func (a *Audit) steps(waits map[string]Wait, now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(a.r.Steps)) {
		s := a.r.Steps[id]
		wait, waiting := waits[id]
		if s.State == Asleep && s.Op == wordEvent && !waiting {
			// Its condition was in the row that is gone.
			a.found(RuleWait, id, "step %q rests until an event comes, and nothing looks out for one: only its timeout will end it", s.Name)
		}
		if a.r.Items[id] != nil {
			continue
		}
		switch s.State {
		case Planned:
			c := Change{Entries: []Entry{{Step: id, Kind: StepMissed, At: now}}}
			if a.r.Items[Discovery] == nil {
				c.Put = a.enter(now).Put
			}
			a.found(RuleStep, id, "step %q is to be run, and no request for it is queued", s.Name).
				mend("the function is entered again and plans the step anew", c)
		case Asleep:
			item := Item{Run: a.r.ID, Step: id, Kind: Wake, Due: a.rests[id].Until}
			if waiting && wait.Kind == ForEvent {
				item.Data = JSON(quote(wait.Name))
			}
			a.found(RuleStep, id, "step %q rests until %s, and nothing is queued that will wake it", s.Name, stamp(item.Due)).
				mend("its timer is set again", Change{Put: []Put{{Item: item}}})
		default:
		}
	}
}

// waits: each wait belongs to a step that rests, or would cancel the run.
func (a *Audit) waits(waits []Wait) {
	for _, w := range waits {
		switch w.Kind {
		case ForEvent, ForSignal:
			s := a.r.Steps[w.Step]
			if s != nil && s.State == Asleep && (s.Op == wordEvent || s.Op == wordSignal) {
				continue
			}
		case ForCancel:
			if strings.HasPrefix(w.Step, cancelPrefix) {
				continue
			}
		default:
			continue
		}
		a.found(RuleWait, w.Step, "the run waits for %q in a step that does not rest", w.Name).
			mend("the wait is removed", Change{Unwait: []string{w.Step}})
	}
}

package durable

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// noon is when every test begins.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var order = Event{
	ID: "01KE0000000000000000000000", Name: "order/paid", At: noon, Received: noon,
	Body: JSON(`{"name":"order/paid","data":{},"user":{}}`),
}

const runID = "01KE1111111111111111111111"

// world is one run in the smallest store there is: its journal, its items and
// a clock that only moves to what is due. All that must always hold is checked
// after every input.
type world struct {
	t       tester
	r       *Run
	policy  Policy
	start   time.Time
	now     time.Time
	event   Event
	f       Function
	journal []Entry
	waits   []Wait
	gen     int64 // the newest generation that was given out
	emitted []Event
	letters []DeadLetter
	err     error // of the last input
	inline  bool  // the run began in an app
	keys    string
}

func newWorld(t tester, event Event) *world {
	w := &world{
		t: t, policy: DefaultPolicy, start: noon, now: noon, event: event,
		f: Function{Slug: "shop-pay", App: "shop", Version: 3},
	}
	w.r = w.blank()
	return w
}

func (w *world) blank() *Run {
	if w.inline {
		return NewInline(runID, w.f, w.event, w.policy, w.start, w.start)
	}
	r := NewRun(runID, w.f, w.event, w.start, w.start)
	if w.keys != "" {
		r.Keys = w.keys
		r.Enqueue(w.start, w.start, 0)
	}
	return r
}

// keyed gives the run the values of its function's limits.
func (w *world) keyed() {
	w.keys = "k"
	w.r = w.blank()
}

// claim leases the item of step, when it is due.
func (w *world) claim(step string) Claim {
	w.t.Helper()
	item := w.r.Items[step]
	if item == nil {
		w.t.Fatalf("nothing is queued for %q in %s", step, w)
	}
	if item.Due.After(w.now) {
		w.now = item.Due
	}
	if item.Early() { // it goes into its lane first
		w.gen++
		item.Claimed, item.Generation = true, w.gen
		w.feed(Due{Claim{step, w.gen}})
		if item = w.r.Items[step]; item.Early() {
			w.t.Fatalf("%q stays outside of its lane", step)
		}
	}
	w.gen++
	item.Claimed, item.Generation = true, w.gen
	return Claim{step, w.gen}
}

// crash is a restart of the server: leases are gone, and the run is what its
// journal, its head and its items say.
func (w *world) crash() {
	w.r = w.reload()
	for _, item := range w.r.Items {
		item.Claimed, item.Generation = false, 0
	}
}

func (w *world) reload() *Run {
	r := w.blank()
	r.Head, r.Items = w.r.Head, map[string]*Item{}
	for _, e := range w.journal {
		r.Fold(e)
	}
	for step, item := range w.r.Items {
		same := *item
		r.Items[step] = &same
	}
	return r
}

// feed gives the run news and writes what it means.
func (w *world) feed(in Input) Change {
	w.t.Helper()
	before := w.reload()
	c, err := Next(w.r, in, w.policy, w.now)
	if diff := w.differs(before); diff != "" {
		w.t.Fatalf("%T: Next changed its run:\n%s", in, diff)
	}
	w.err = err
	if err != nil {
		if !c.Empty() {
			w.t.Fatalf("%T: %v, and yet %+v", in, err, c)
		}
		return c
	}
	overlay := newTurn(w.r, w.policy, w.now)
	if again, _ := overlay.decide(in); !reflect.DeepEqual(c, again) {
		w.t.Fatalf("%T: equal arguments, other answers:\n%s", in, gocmp.Diff(c, again))
	}
	for _, p := range c.Put {
		if slices.Contains(c.Drop, p.Step) {
			w.t.Fatalf("%T: an item is put and dropped: %+v", in, c)
		}
	}
	w.balance(in, c)
	w.journal = append(w.journal, c.Entries...)
	w.emitted = append(w.emitted, c.Emit...)
	w.waits = slices.DeleteFunc(w.waits, func(x Wait) bool { return slices.Contains(c.Unwait, x.Step) })
	w.waits = append(w.waits, c.Waits...)
	w.r.Apply(c)
	if w.r.Status.Final() {
		w.waits = nil
	}
	if (c.Dead != nil) != (c.Head != nil && c.Head.Status == Failed) {
		w.t.Fatalf("%T: a run leaves a dead letter when it fails, and only then: %+v", in, c)
	}
	if c.Dead != nil {
		w.letters = append(w.letters, *c.Dead)
	}
	if overlay.open != w.r.Open || overlay.bytes != w.r.Bytes || overlay.done != len(w.r.Stack) {
		w.t.Fatalf("%T: Next counts %d open, %d bytes, %d done; the fold %d, %d, %d",
			in, overlay.open, overlay.bytes, overlay.done, w.r.Open, w.r.Bytes, len(w.r.Stack))
	}
	w.check(in, before)
	return c
}

// balance checks what a change says of waits and of what it sends.
func (w *world) balance(in Input, c Change) {
	w.t.Helper()
	for _, step := range c.Unwait {
		if !slices.ContainsFunc(w.waits, func(x Wait) bool { return x.Step == step }) {
			w.t.Fatalf("%T: what %s does not wait for is over: %+v", in, step, c)
		}
	}
	for _, x := range c.Waits {
		if x.Run != runID || slices.ContainsFunc(w.waits, func(old Wait) bool { return old.Step == x.Step }) {
			w.t.Fatalf("%T: %+v waits twice, or for another run", in, x)
		}
	}
	for i, e := range c.Emit {
		if slices.ContainsFunc(slices.Concat(w.emitted, c.Emit[:i]), func(old Event) bool { return old.ID == e.ID }) {
			w.t.Fatalf("%T: %s is sent twice", in, e.Name)
		}
	}
	ends := c.Head != nil && c.Head.Status.Final()
	if ends && len(c.Put)+len(c.Waits)+len(c.Drop)+len(c.Unwait) > 0 {
		w.t.Fatalf("%T ends the run and still queues: %+v", in, c)
	}
	if (c.Report != nil) != (ends && !w.r.Parent.Zero()) {
		w.t.Fatalf("%T: the end of a run is reported to who waits for it, and only then: %+v", in, c)
	}
}

// resting checks that whatever rests will be woken, and that a step rests once.
func (w *world) resting(in Input) {
	w.t.Helper()
	begun, ended := map[string]int{}, map[string]int{}
	for _, e := range w.journal {
		switch e.Kind {
		case StepAsleep:
			begun[e.Step]++
		case StepDone, StepFailed:
			ended[e.Step]++
		default:
		}
	}
	for step := range w.r.Steps {
		if begun[step] > 1 || ended[step] > 1 {
			w.t.Fatalf("%T: %s began to rest %d times and ended %d times", in, step, begun[step], ended[step])
		}
	}
	if w.r.Status.Final() {
		return
	}
	waits, invokes := 0, 0
	for id, s := range w.r.Steps {
		if s.State == Asleep && w.r.Items[id].Kind != Wake {
			w.t.Fatalf("%T: %s rests without a timer: %+v", in, id, w.r.Items[id])
		}
		if s.State == Asleep && (s.Op == wordEvent || s.Op == wordSignal) {
			waits++
		}
	}
	for _, e := range w.journal {
		if e.Kind == StepAsleep && e.Op == wordInvoke {
			invokes++
		}
	}
	for _, e := range w.emitted {
		if e.Name == EventInvoked {
			invokes--
		}
	}
	if waits != len(w.waits) || invokes != 0 {
		w.t.Fatalf("%T: %d steps wait, by %+v; %d invocations were not sent", in, waits, w.waits, invokes)
	}
}

// check states what holds after every input.
func (w *world) check(in Input, before *Run) {
	w.t.Helper()
	r := w.r
	if diff := w.differs(w.reload()); diff != "" {
		w.t.Fatalf("%T: a reload gives another run (-applied +folded):\n%s", in, diff)
	}
	if before.Status.Final() {
		w.t.Fatalf("%T moved a run that was %v", in, before.Status)
	}
	if r.Status < before.Status || len(r.Stack) < len(before.Stack) || !slices.Equal(r.Stack[:len(before.Stack)], before.Stack) {
		w.t.Fatalf("%T turned %v %q into %v %q", in, before.Status, before.Stack, r.Status, r.Stack)
	}
	for id, s := range before.Steps {
		if s.State == Done && (r.Steps[id].State != Done || !slices.Equal(r.Steps[id].Memo, s.Memo)) {
			w.t.Fatalf("%T changed the memo of %s: %s is now %+v", in, id, s.Memo, r.Steps[id])
		}
	}
	open, racing, done, size := 0, 0, 0, 0
	for id, s := range r.Steps {
		switch s.State {
		case Planned, Asleep:
			open++
			if s.Race {
				racing++
			}
			if !r.Status.Final() && r.Items[id] == nil {
				w.t.Fatalf("%T: %s is open and nothing is queued for it", in, id)
			}
		case Done:
			done++
			size += len(s.Memo)
			if item := r.Items[id]; item != nil && !item.Claimed {
				w.t.Fatalf("%T: %s is done and still queued", in, id)
			}
			if !slices.Contains(r.Stack, id) {
				w.t.Fatalf("%T: %s is done and not in the stack %q", in, id, r.Stack)
			}
		case Unknown:
		}
	}
	if open != r.Open || racing != r.Racing || done != len(r.Stack) || size != r.Bytes {
		w.t.Fatalf("%T: counted %d open, %d racing, %d done, %d bytes; the run says %d, %d, %d, %d",
			in, open, racing, done, size, r.Open, r.Racing, len(r.Stack), r.Bytes)
	}
	if r.Status.Final() != (len(r.Items) == 0) {
		w.t.Fatalf("%T left a run that is %v with %d items: %s", in, r.Status, len(r.Items), w)
	}
	for step, i := range r.Items {
		if LaneGroup(i.Lane) != "" && i.Due.After(w.now) {
			w.t.Fatalf("%T: %q waits for its time in the lane %q", in, step, i.Lane)
		}
	}
	w.resting(in)
	if flaws := w.audit(); len(flaws) > 0 {
		w.t.Fatalf("%T left a run that has flaws: %+v", in, flaws)
	}
	if r.Status.Final() != !r.Ended.IsZero() {
		w.t.Fatalf("%T left a run that is %v, ended at %v", in, r.Status, r.Ended)
	}
}

// audit is what the checker of stored runs has to say.
func (w *world) audit() []Flaw {
	r := w.blank()
	r.Head, r.Items = w.r.Head, w.r.Items
	a := NewAudit(r)
	for i, e := range w.journal {
		a.Entry(i+1, e)
	}
	return a.Flaws(w.waits, w.now)
}

func (w *world) differs(r *Run) string {
	if reflect.DeepEqual(w.r, r) {
		return ""
	}
	return gocmp.Diff(w.r, r)
}

// String is the run on one line, such as
//
//	Running [a b] c:open *@15s#1 plan
//
// that is: the status, the finished steps in order, what is open, each item as
// the step it is for (* enters the function) with the time until it is due, its
// attempt (#), and whether it is claimed (!) or will be followed by another (+).
// What ends a rest has ~, a request that the server makes ^, and what ends a run
// that takes too long %; & is the lease of an app in which the run began. An app that is away has the time since when as ?.
func (w *world) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %v", w.r.Status, w.r.Stack)
	for _, id := range slices.Sorted(maps.Keys(w.r.Items)) {
		i := w.r.Items[id]
		fmt.Fprintf(&b, " %s", cmp.Or(strings.TrimSpace(id), "*"))
		b.WriteString(map[ItemKind]string{Wake: "~", Fetch: "^", Timeout: "%", Lapse: "&"}[i.Kind])
		if d := i.Due.Sub(w.now); d > 0 {
			fmt.Fprintf(&b, "@%v", d)
		}
		if i.Attempt > 0 {
			fmt.Fprintf(&b, "#%d", i.Attempt)
		}
		if !i.Since.IsZero() {
			fmt.Fprintf(&b, "?%v", w.now.Sub(i.Since))
		}
		if i.Claimed {
			b.WriteString("!")
		}
		if i.Again {
			b.WriteString("+")
		}
	}
	if w.r.Plan && !w.r.Status.Final() {
		b.WriteString(" plan")
	}
	switch {
	case errors.Is(w.err, ErrStale):
		b.WriteString(" (stale)")
	case errors.Is(w.err, ErrEnded):
		b.WriteString(" (ended)")
	case errors.Is(w.err, ErrNotCheckpoint):
		b.WriteString(" (no checkpoint)")
	case w.err != nil:
		b.WriteString(" (" + w.err.Error() + ")")
	}
	return b.String()
}

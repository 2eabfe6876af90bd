package flow

import (
	"slices"
	"time"

	"github.com/pawlhq/pawl/internal/heap"
)

// GateSpec is a limit that the items of a lane pass when they are claimed. Lanes
// that name the same gate share it.
type GateSpec struct {
	Name string
	// Slots is how many may be held at once; 0: any number; Closed: none.
	Slots int
	// Rate is how often one may pass; zero: at any time.
	Rate Rate
	// Stays means that what is taken is not the lease's but the run's: the slot is
	// given back when the run has ended, and the rate is used up when it begins. It
	// is stored.
	Stays bool
	// Keyed means that it is that of a key: other lanes of the group stand behind
	// another one in its place. Shared means that lanes of other groups stand behind
	// it for a reason of their own.
	Keyed, Shared bool
}

// Closed are the slots of a gate that lets nobody pass.
const Closed = -1

func (s GateSpec) full(used int) bool { return s.Slots == Closed || s.Slots > 0 && used >= s.Slots }

// Class orders lanes that want the same: those that go on come before those
// that begin.
type Class int

// The classes.
const (
	Continue Class = iota
	Begin
	classes
)

// Board says which lane's turn it is. A lane is a queue of items that are alike
// for every limit: of one function and the same keys. The board knows only
// which lanes have something that is due; in what order the items of one lane
// are claimed is the caller's.
//
// Lanes of a class take turns, an item at each turn. One whose gate is full
// waits at that gate, and is asked again when a slot comes back, so that the
// cost of a turn grows neither with the lanes that wait nor with their items.
// It keeps the gates of the lanes that it knows and of the leases that there
// are; what others have admitted is Stored. It may not be used by several
// goroutines at once.
type Board struct {
	// Stored, if given, says what is stored of a gate: how many runs hold a slot
	// of it, and what its rate has admitted. It is asked when a lane's turn comes
	// and the board does not know the gate; an error of it ends Next.
	Stored func(gate string) (held int, taken time.Time, err error)

	lanes  map[string]*lane
	gates  map[string]*gate
	groups map[string]*group
	ready  [classes]line
	clock  heap.Heap[*lane, byOpening] // those that wait for a rate
	turns  uint64                      // that were given out
	now    time.Time                   // of the newest Next

	// fading are gates that nobody names or holds, and that are kept only for what
	// their rate has admitted, until that says nothing any more.
	fading heap.Heap[faded, byFading]
}

// group are lanes that differ by their keys alone.
type group struct {
	lanes  int
	ready  int // whose turn comes
	common int // that wait at a gate which is not keyed: no other lane of the group could pass it either
}

type lane struct {
	name  string
	class Class
	group *group // nil: of none
	specs []GateSpec
	gates []*gate

	turn  uint64    // who has waited longest has the least
	at    *line     // where it waits; nil when it does not, or in the clock
	full  *gate     // that it waits for; nil: ready
	keyed bool      // full is a gate of its key
	open  time.Time // when it is asked again, in the clock
	pos   int       // in the line or the clock; -1 when in neither
}

// count adds n to what the lane's group knows of where the lane waits.
func (l *lane) count(n int) {
	switch {
	case l.group == nil:
	case l.full == nil:
		l.group.ready += n
	case !l.keyed:
		l.group.common += n
	}
}

// line are lanes that wait, those first that have waited longest.
type line = heap.Heap[*lane, byTurn]

type byTurn struct{}

func (byTurn) Before(a, b *lane) bool { return a.turn < b.turn }
func (byTurn) Moved(l *lane, to int)  { l.pos = to }

type byOpening struct{}

func (byOpening) Before(a, b *lane) bool { return a.open.Before(b.open) }
func (byOpening) Moved(l *lane, to int)  { l.pos = to }

type gate struct {
	name   string
	known  bool      // what is stored of it was asked
	leased int       // slots that leases hold
	stored int       // slots that runs hold, as far as they are stored
	taken  time.Time // as Rate.Take returned it
	rate   Rate      // that it was last taken of
	lanes  int       // that name it
	passed int       // leases by which its rate may come to be used up
	// undone is how much earlier taken is than what Rate.Take returned, over all
	// claims that came to nothing.
	undone time.Duration
	fades  bool // it is among the board's fading
	// waiting are the lanes that found it full, by the slots that they may use:
	// functions that share a gate may have limits of their own.
	waiting []*queue
}

// queue are lanes that wait at a gate for fewer than slots to be used.
type queue struct {
	slots int
	lanes [classes]line
}

func (g *gate) used() int { return g.leased + g.stored }

func (g *gate) queue(slots int) *queue {
	for _, q := range g.waiting {
		if q.slots == slots {
			return q
		}
	}
	q := &queue{slots: slots}
	g.waiting = append(g.waiting, q)
	return q
}

// NewBoard returns an empty board.
func NewBoard() *Board {
	return &Board{lanes: map[string]*lane{}, gates: map[string]*gate{}, groups: map[string]*group{}}
}

// Offer says that a lane, of a group or "", has an item that is due. It is put
// behind the lanes of its class that have been offered before; one that waits
// already stays where it is. Its gates are those of its first Offer, until
// Withdraw or Change.
func (b *Board) Offer(name string, class Class, of string, specs []GateSpec) {
	l := b.lanes[name]
	if l == nil {
		l = &lane{name: name, class: class, pos: -1}
		if of != "" {
			if l.group = b.groups[of]; l.group == nil {
				l.group = &group{}
				b.groups[of] = l.group
			}
			l.group.lanes++
		}
		b.lanes[name] = l
		b.bind(l, specs)
	}
	if l.pos < 0 {
		b.turns++
		l.turn = b.turns
		b.wait(l, &b.ready[l.class])
	}
}

// Withdraw says that a lane has nothing due any more, or that it is not to be
// kept. It returns the time until which a rate would have made it wait; zero if
// none did.
func (b *Board) Withdraw(name, of string) (open time.Time) {
	l := b.lanes[name]
	if l == nil {
		return open
	}
	if l.pos >= 0 && l.at == nil {
		open = l.open
	}
	b.lift(l)
	b.unbind(l)
	delete(b.lanes, name)
	if l.group != nil {
		if l.group.lanes--; l.group.lanes == 0 {
			delete(b.groups, of)
		}
	}
	return open
}

// Stuck reports whether no lane of a group can have a turn until something
// happens at the gate of its own key.
func (b *Board) Stuck(of string) bool {
	g := b.groups[of]
	return g == nil || g.ready == 0 && g.common == 0
}

func (b *Board) bind(l *lane, specs []GateSpec) {
	l.specs, l.gates = specs, l.gates[:0]
	for _, s := range specs {
		g := b.gate(s.Name)
		g.lanes++
		l.gates = append(l.gates, g)
	}
}

func (b *Board) unbind(l *lane) {
	for _, g := range l.gates {
		g.lanes--
		b.drop(g)
	}
	l.gates = nil
}

func (b *Board) gate(name string) *gate {
	g := b.gates[name]
	if g == nil {
		g = &gate{name: name}
		b.gates[name] = g
	}
	return g
}

// maxFading bounds the gates that are kept for what their rate has admitted:
// the rest is Stored.
const maxFading = 1 << 14

// drop forgets a gate that says nothing: nobody holds or asks for it, and its
// rate is what a new one's would be. If that is still to come, it fades.
func (b *Board) drop(g *gate) {
	switch {
	case g.lanes > 0 || g.leased > 0 || g.passed > 0 || g.stored > 0 && b.Stored == nil:
	case g.fades: // it is looked at when its time has come
	case !g.taken.After(b.now):
		delete(b.gates, g.name)
	default:
		g.fades = true
		b.fading.Push(faded{g, g.taken})
		if b.fading.Len() > maxFading && b.fading.First().gate.known {
			b.forget(b.fading.Pop().gate)
		}
	}
}

// forget drops a gate whose rate says something still, and is stored.
func (b *Board) forget(g *gate) {
	g.fades = false
	if g.lanes == 0 && g.leased == 0 && g.passed == 0 {
		delete(b.gates, g.name)
	}
}

// fade forgets what has faded by now.
func (b *Board) fade() {
	for b.fading.Len() > 0 && !b.fading.First().at.After(b.now) {
		g := b.fading.Pop().gate
		g.fades = false
		b.drop(g) // in use again, it stays; used again since, it fades anew
	}
}

// faded is a gate with the time at which to look at it.
type faded struct {
	gate *gate
	at   time.Time
}

type byFading struct{}

func (byFading) Before(a, b faded) bool { return a.at.Before(b.at) }
func (byFading) Moved(faded, int)       {} // it stays until its time has come

// wait puts a lane into a line, by its turn.
func (b *Board) wait(l *lane, at *line) {
	l.at = at
	at.Push(l)
	l.count(1)
}

// lift takes a lane out of wherever it waits.
func (b *Board) lift(l *lane) {
	switch {
	case l.pos < 0:
		return
	case l.at != nil:
		l.at.Remove(l.pos)
	default:
		b.clock.Remove(l.pos)
	}
	l.count(-1)
	l.at, l.full, l.keyed = nil, nil, false
}

// Pass is what a claim holds, until it is given back with Undo.
type Pass struct {
	// Slots are the names of the gates of which it holds a slot. Stays are those
	// of which the run does, from Began on.
	Slots, Stays []string
	// Rates are those of which the run has a part, with the time to keep for each.
	Rates []Passed
}

// Passed is a gate with a rate, and what Rate.Take returned for it.
type Passed struct {
	Gate  string
	Taken time.Time

	Rate Rate

	// For Undo.
	undone time.Duration // at the gate, before
}

// rewind is by how much the clock must have been set back for a board to notice.
const rewind = 5 * time.Second

// rewind is called when the clock was set back: nobody waits for a rate until the
// time that it was.
func (b *Board) rewind(now time.Time) {
	for _, g := range b.gates {
		g.bound(g.rate, now)
	}
	for _, l := range slices.Clone(b.clock.All()) {
		b.lift(l)
		b.wait(l, &b.ready[l.class])
	}
}

// bound forgets of a rate what cannot have been taken of it by now.
func (g *gate) bound(r Rate, now time.Time) {
	if most := r.Most(now); r.Every > 0 && g.taken.After(most) {
		g.taken = most
	}
}

// Next returns the lane whose first item is to be claimed now, and what the claim
// holds. The lane is not offered any more: if there is more in it, offer it again.
func (b *Board) Next(now time.Time) (name string, pass Pass, ok bool, err error) {
	if now.Before(b.now.Add(-rewind)) {
		b.rewind(now)
	}
	b.now = now
	b.fade()
	for b.clock.Len() > 0 && !b.clock.First().open.After(now) {
		l := b.clock.First()
		b.lift(l)
		b.wait(l, &b.ready[l.class])
	}
	for class := range b.ready {
		for b.ready[class].Len() > 0 {
			l := b.ready[class].First()
			if err := b.know(l); err != nil {
				return "", Pass{}, false, err
			}
			b.lift(l)
			if b.blocked(l, now) {
				continue
			}
			return l.name, b.take(l, now), true, nil
		}
	}
	return "", Pass{}, false, nil
}

// know asks what is stored of a lane's gates.
func (b *Board) know(l *lane) error {
	for i, g := range l.gates {
		if !l.specs[i].Stays || g.known || b.Stored == nil {
			continue
		}
		if err := b.read(g); err != nil {
			return err
		}
		g.bound(l.specs[i].Rate, b.now)
	}
	return nil
}

func (b *Board) read(g *gate) error {
	held, taken, err := b.Stored(g.name)
	if err != nil {
		return err
	}
	g.known, g.stored = true, held
	if taken.After(g.taken) {
		g.taken = taken
	}
	return nil
}

// Refresh asks again how many runs hold a slot of a gate, if the board knows it.
func (b *Board) Refresh(name string) {
	g := b.gates[name]
	if g == nil || !g.known {
		return
	}
	held, _, err := b.Stored(name)
	if err != nil {
		g.known = false // to be asked when it matters
		return
	}
	g.stored = held
	b.admit(g)
}

// blocked puts a lane to wait at the first gate that does not let it pass. The
// room that it leaves at the others is for whoever waits there.
func (b *Board) blocked(l *lane, now time.Time) bool {
	for i, g := range l.gates {
		s := l.specs[i]
		switch {
		case s.full(g.used()):
			l.full, l.keyed = g, s.Keyed
			b.wait(l, &g.queue(s.Slots).lanes[l.class])
		case s.Rate.Every > 0 && s.Rate.Next(g.taken).After(now):
			l.open, l.full, l.keyed = s.Rate.Next(g.taken), g, s.Keyed
			b.clock.Push(l)
			l.count(1)
		default:
			continue
		}
		for j, other := range l.gates {
			if j != i {
				b.admit(other)
			}
		}
		return true
	}
	return false
}

// admit lets the next lane that waits at a gate with room try again.
func (b *Board) admit(g *gate) {
	for class := range classes {
		for _, q := range g.waiting {
			if q.lanes[class].Len() > 0 && g.used() < q.slots {
				l := q.lanes[class].First()
				b.lift(l)
				b.wait(l, &b.ready[l.class])
				return
			}
		}
	}
}

func (b *Board) take(l *lane, now time.Time) (p Pass) {
	for i, g := range l.gates {
		s := l.specs[i]
		if s.Rate.Every > 0 {
			g.taken, g.rate = s.Rate.Take(g.taken, now), s.Rate
			if s.Stays {
				g.passed++
				p.Rates = append(p.Rates, Passed{Gate: g.name, Taken: g.taken, Rate: s.Rate, undone: g.undone})
			}
		}
		if s.Slots == 0 {
			continue // nobody counts
		}
		g.leased++
		if s.Stays {
			p.Stays = append(p.Stays, g.name)
		} else {
			p.Slots = append(p.Slots, g.name)
		}
	}
	return p
}

// Undo gives back what a claim holds: its slots, and its part of rates, if no run
// has begun by it. Who waits for those is asked again.
func (b *Board) Undo(p Pass) {
	for _, r := range p.Rates {
		g := b.gates[r.Gate] // a claim keeps it
		back := r.Rate.Undo(r.Taken, g.undone-r.undone, b.now)
		g.taken, g.undone = g.taken.Add(-back), g.undone+back
		g.passed--
		b.reopen(g)
		b.drop(g)
	}
	for _, names := range [...][]string{p.Slots, p.Stays} {
		for _, name := range names {
			g := b.gates[name]
			g.leased--
			b.admit(g)
			b.drop(g)
		}
	}
}

// reopen lets the lanes that wait for a gate's rate try again. It looks at all
// that wait for a rate: a claim seldom comes to nothing.
func (b *Board) reopen(g *gate) {
	for _, l := range slices.Clone(b.clock.All()) {
		if l.full == g {
			b.lift(l)
			b.wait(l, &b.ready[l.class])
		}
	}
}

// Began says that a claim's run has begun, and that this is stored: what stays
// with the run is the run's from now on, and what it took of rates is used up. It
// returns what the claim still holds.
func (b *Board) Began(p Pass) Pass {
	for _, name := range p.Stays {
		g := b.gates[name]
		g.leased--
		g.stored++
		b.drop(g)
	}
	for _, r := range p.Rates {
		g := b.gates[r.Gate]
		g.passed--
		b.drop(g)
	}
	return Pass{Slots: p.Slots}
}

// Free says that a run holds slots no longer, and that this is stored.
func (b *Board) Free(gates []string) {
	for _, name := range gates {
		if g := b.gates[name]; g != nil && g.stored > 0 {
			g.stored--
			b.admit(g)
			b.drop(g)
		}
	}
}

// Used is how many slots of a gate are held.
func (b *Board) Used(gate string) int {
	if g := b.gates[gate]; g != nil {
		return g.used()
	}
	return 0
}

// Waits reports whether a lane was found to wait at a gate.
func (b *Board) Waits(name string) bool {
	l := b.lanes[name]
	return l != nil && l.full != nil
}

// Holding says which gate keeps a lane from its turn, or will when it comes; ""
// when none does.
func (b *Board) Holding(name string) string {
	l := b.lanes[name]
	switch {
	case l == nil:
		return ""
	case l.full != nil:
		return l.full.name
	}
	for i, g := range l.gates {
		if s := l.specs[i]; s.full(g.used()) || s.Rate.Every > 0 && s.Rate.Next(g.taken).After(b.now) {
			return g.name
		}
	}
	return ""
}

// Opens is when the first of the lanes that wait for a rate may be claimed; zero
// when none does.
func (b *Board) Opens() time.Time {
	if b.clock.Len() == 0 {
		return time.Time{}
	}
	return b.clock.First().open
}

// Ready reports whether a turn may come now: Next will look.
func (b *Board) Ready() bool {
	for class := range b.ready {
		if b.ready[class].Len() > 0 {
			return true
		}
	}
	return false
}

// Change replaces the gates of every lane by what specs says, for limits that
// have changed. Who waited is asked again, and waits for a faster rate no longer
// than if it had always been that; who holds a slot keeps it.
func (b *Board) Change(specs func(lane string) []GateSpec) {
	for _, l := range b.lanes {
		waits := l.pos >= 0
		b.lift(l)
		old := l.gates
		l.gates = nil
		b.bind(l, specs(l.name))
		for i, g := range l.gates {
			g.bound(l.specs[i].Rate, b.now) // nobody has taken since
		}
		for _, g := range old {
			g.lanes--
			b.drop(g)
		}
		if waits {
			b.wait(l, &b.ready[l.class])
		}
	}
}

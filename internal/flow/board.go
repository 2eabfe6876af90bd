package flow

import (
	"container/heap"
	"slices"
	"time"
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
	// given back when the run has ended, and the rate is used up when it begins.
	Stays bool
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
// It may not be used by several goroutines at once.
type Board struct {
	lanes map[string]*lane
	gates map[string]*gate
	ready [classes]line
	clock lanesByTime // those that wait for a rate
	turns uint64      // that were given out
	now   time.Time   // of the newest Next

	// fading are gates that nobody names or holds, and that are kept only for what
	// their rate has admitted, until that says nothing any more.
	fading fading
}

type lane struct {
	name  string
	class Class
	specs []GateSpec
	gates []*gate

	turn uint64    // who has waited longest has the least
	at   *line     // where it waits; nil when it does not, or in the clock
	full *gate     // that it waits for; nil: ready
	open time.Time // when it is asked again, in the clock
	pos  int       // in the line or the clock; -1 when in neither
}

// line are lanes that wait, those first that have waited longest.
type line []*lane

type gate struct {
	name  string
	used  int
	taken time.Time // as Rate.Take returned it
	lanes int       // that name it
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
func NewBoard() *Board { return &Board{lanes: map[string]*lane{}, gates: map[string]*gate{}} }

// Offer says that a lane has an item that is due. It is put behind the lanes of
// its class that have been offered before; one that waits already stays where
// it is. The gates are as they hold from now on.
func (b *Board) Offer(name string, class Class, specs []GateSpec) {
	l := b.lanes[name]
	if l == nil {
		l = &lane{name: name, class: class, pos: -1}
		b.lanes[name] = l
		b.bind(l, specs)
	}
	if l.pos < 0 {
		b.turns++
		l.turn = b.turns
		b.wait(l, &b.ready[l.class], nil)
	}
}

// Withdraw says that a lane has nothing due any more.
func (b *Board) Withdraw(name string) {
	l := b.lanes[name]
	if l == nil {
		return
	}
	b.lift(l)
	b.unbind(l)
	delete(b.lanes, name)
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

// drop forgets a gate that says nothing: nobody holds or asks for it, and its
// rate is what a new one's would be. If that is still to come, it fades.
func (b *Board) drop(g *gate) {
	switch {
	case g.lanes > 0 || g.used > 0:
	case g.fades: // it is looked at when its time has come
	case !g.taken.After(b.now):
		delete(b.gates, g.name)
	default:
		g.fades = true
		heap.Push(&b.fading, faded{g, g.taken})
	}
}

// fade forgets what has faded by now.
func (b *Board) fade() {
	for len(b.fading) > 0 && !b.fading[0].at.After(b.now) {
		g := heap.Pop(&b.fading).(faded).gate
		g.fades = false
		b.drop(g) // in use again, it stays; used again since, it fades anew
	}
}

// faded is a gate with the time at which to look at it.
type faded struct {
	gate *gate
	at   time.Time
}

// fading is a heap by time.
type fading []faded

func (h fading) Len() int           { return len(h) }
func (h fading) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h fading) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *fading) Push(x any)        { *h = append(*h, x.(faded)) }

func (h *fading) Pop() any {
	old := *h
	f := old[len(old)-1]
	old[len(old)-1] = faded{}
	*h = old[:len(old)-1]
	return f
}

// wait puts a lane into a line, by its turn.
func (b *Board) wait(l *lane, at *line, full *gate) {
	l.at, l.full = at, full
	heap.Push(at, l)
}

// lift takes a lane out of wherever it waits.
func (b *Board) lift(l *lane) {
	switch {
	case l.pos < 0:
	case l.at != nil:
		heap.Remove(l.at, l.pos)
	default:
		heap.Remove(&b.clock, l.pos)
	}
	l.at, l.full = nil, nil
}

// Pass is what a claim holds.
type Pass struct {
	// Slots are the names of the gates of which it holds a slot until Return,
	// Stays those of which the run does.
	Slots, Stays []string
	// Rates are those of which the run has a part, with the time to keep for each.
	Rates []Passed
}

// Passed is a gate with a rate, and what Rate.Take returned for it.
type Passed struct {
	Gate  string
	Taken time.Time

	// For Undo.
	rate   Rate
	gate   *gate
	undone time.Duration // at the gate, before
}

// Next returns the lane whose first item is to be claimed now, and what the claim
// holds. The lane is not offered any more: if there is more in it, offer it again.
func (b *Board) Next(now time.Time) (name string, pass Pass, ok bool) {
	b.now = now
	b.fade()
	for len(b.clock) > 0 && !b.clock[0].open.After(now) {
		l := heap.Pop(&b.clock).(*lane)
		b.wait(l, &b.ready[l.class], nil)
	}
	for class := range b.ready {
		for len(b.ready[class]) > 0 {
			l := b.ready[class][0]
			b.lift(l)
			if b.blocked(l, now) {
				continue
			}
			return l.name, b.take(l, now), true
		}
	}
	return "", Pass{}, false
}

// blocked puts a lane to wait at the first gate that does not let it pass. The
// room that it leaves at the others is for whoever waits there.
func (b *Board) blocked(l *lane, now time.Time) bool {
	for i, g := range l.gates {
		s := l.specs[i]
		switch {
		case s.full(g.used):
			b.wait(l, &g.queue(s.Slots).lanes[l.class], g)
		case s.Rate.Every > 0 && s.Rate.Next(g.taken).After(now):
			l.open, l.full = s.Rate.Next(g.taken), g
			heap.Push(&b.clock, l)
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
			if len(q.lanes[class]) > 0 && g.used < q.slots {
				l := q.lanes[class][0]
				b.lift(l)
				b.wait(l, &b.ready[l.class], nil)
				return
			}
		}
	}
}

func (b *Board) take(l *lane, now time.Time) (p Pass) {
	for i, g := range l.gates {
		s := l.specs[i]
		if s.Rate.Every > 0 {
			g.taken = s.Rate.Take(g.taken, now)
			if s.Stays {
				p.Rates = append(p.Rates, Passed{Gate: g.name, Taken: g.taken, rate: s.Rate, gate: g, undone: g.undone})
			}
		}
		if s.Slots == 0 {
			continue // nobody counts
		}
		g.used++
		if s.Stays {
			p.Stays = append(p.Stays, g.name)
		} else {
			p.Slots = append(p.Slots, g.name)
		}
	}
	return p
}

// Hold counts a slot that is held from before, such as by a run of an earlier
// life of the process.
func (b *Board) Hold(gate string) { b.gate(gate).used++ }

// Keep sets what a rate is known to have admitted, as it was stored.
func (b *Board) Keep(gate string, taken time.Time) {
	g := b.gate(gate)
	if taken.After(g.taken) {
		g.taken = taken
	}
	b.drop(g)
}

// Return gives slots back.
func (b *Board) Return(gates []string) {
	for _, name := range gates {
		g := b.gates[name]
		if g == nil || g.used == 0 {
			continue
		}
		g.used--
		b.admit(g)
		b.drop(g)
	}
}

// Undo gives back what a claim holds by which no run has begun: its slots and its
// part of rates. Who waits for those is asked again.
func (b *Board) Undo(p Pass) {
	for _, r := range p.Rates {
		g := r.gate
		if b.gates[g.name] != g {
			continue // it was forgotten: nothing that it admitted counts any more
		}
		back := r.rate.Undo(r.Taken, g.undone-r.undone, b.now)
		g.taken, g.undone = g.taken.Add(-back), g.undone+back
		b.reopen(g)
		b.drop(g)
	}
	b.Return(p.Slots)
	b.Return(p.Stays)
}

// reopen lets the lanes that wait for a gate's rate try again. It looks at all
// that wait for a rate: a claim seldom comes to nothing.
func (b *Board) reopen(g *gate) {
	for _, l := range slices.Clone(b.clock) {
		if l.full == g {
			b.lift(l)
			b.wait(l, &b.ready[l.class], nil)
		}
	}
}

// Used is how many slots of a gate are held.
func (b *Board) Used(gate string) int {
	if g := b.gates[gate]; g != nil {
		return g.used
	}
	return 0
}

// Holding says which gate keeps a lane from its turn; "" when none does.
func (b *Board) Holding(name string) string {
	if l := b.lanes[name]; l != nil && l.full != nil {
		return l.full.name
	}
	return ""
}

// Opens is when the first of the lanes that wait for a rate may be claimed; zero
// when none does.
func (b *Board) Opens() time.Time {
	if len(b.clock) == 0 {
		return time.Time{}
	}
	return b.clock[0].open
}

// Ready reports whether a turn may come now: Next will look.
func (b *Board) Ready() bool {
	for class := range b.ready {
		if len(b.ready[class]) > 0 {
			return true
		}
	}
	return false
}

// Change replaces the gates of every lane by what specs says, for limits that
// have changed. Who waited is asked again; who holds a slot keeps it.
func (b *Board) Change(specs func(lane string) []GateSpec) {
	for _, l := range b.lanes {
		waits := l.pos >= 0
		b.lift(l)
		old := l.gates
		l.gates = nil
		b.bind(l, specs(l.name))
		for _, g := range old {
			g.lanes--
			b.drop(g)
		}
		if waits {
			b.wait(l, &b.ready[l.class], nil)
		}
	}
}

func (h line) Len() int           { return len(h) }
func (h line) Less(i, j int) bool { return h[i].turn < h[j].turn }
func (h line) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *line) Push(x any) {
	l := x.(*lane)
	l.pos = len(*h)
	*h = append(*h, l)
}

func (h *line) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.pos = -1
	return l
}

// lanesByTime is a heap of lanes by open.
type lanesByTime []*lane

func (h lanesByTime) Len() int           { return len(h) }
func (h lanesByTime) Less(i, j int) bool { return h[i].open.Before(h[j].open) }
func (h lanesByTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *lanesByTime) Push(x any) {
	l := x.(*lane)
	l.pos = len(*h)
	*h = append(*h, l)
}

func (h *lanesByTime) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.pos = -1
	return l
}

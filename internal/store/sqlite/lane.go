package sqlite

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/heap"
)

// place is a row's place in the order of its lane.
type place struct {
	due       int64
	run, step string
}

func placeOf(i durable.Item) place { return place{dueMicros(i.Due), i.Run, i.Step} }

func (p place) before(q place) bool { return p.compare(q) < 0 }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.due, q.due), strings.Compare(p.run, q.run), strings.Compare(p.step, q.step))
}

// A lane is the rows that are alike for every limit, such as those of one
// function and key (durable.Item.Lane). It holds in memory its rows whose place
// is not after horizon, but for those that are claimed. No row after horizon is
// due before next: until then the disk need not be asked.
type lane struct {
	name    string
	group   *laneGroup // nil: it has no keys
	timed   bool       // rows wait for their time; in other lanes it only gives the order
	due     slots
	horizon place
	next    time.Time // zero: there is no row after horizon
	rows    int       // to be read from disk the next time, if that is more than its share
	asked   bool      // they are being read
	walked  bool      // a walk has brought it, and it has had no turn since
	held    bool      // it has had its turn, and waits for a walk to come round
	offered bool      // on the board, for its turn
	bound   bool      // known to the board
	pos     int       // in the clock; -1 when it is not there
	at      time.Time // its place there
}

func newLane(name string) *lane {
	return &lane{name: name, timed: durable.LaneIsTimed(name), horizon: place{due: math.MinInt64}, pos: -1}
}

// earliest is when something of the lane may be claimed; zero when it is empty.
func (l *lane) earliest() time.Time {
	t := l.next
	if l.due.Len() > 0 && (t.IsZero() || l.due.First().Due.Before(t)) {
		t = l.due.First().Due
	}
	if !l.timed && !t.IsZero() {
		return atOnce
	}
	return t
}

// atOnce is a time that has always passed.
var atOnce = time.Unix(0, 1)

// head reports whether the lane has a row in memory that may be claimed.
func (l *lane) head(now time.Time) bool {
	return l.due.Len() > 0 && (!l.timed || !l.due.First().Due.After(now))
}

// later notes that a row after horizon is due at t.
func (l *lane) later(t time.Time) {
	if l.next.IsZero() || t.Before(l.next) {
		l.next = t
	}
}

// ahead is the horizon of a lane all of whose rows that will soon be due are in
// memory.
func (l *lane) ahead(now time.Time) place {
	if !l.timed {
		return place{due: math.MaxInt64}
	}
	return place{due: micros(now.Add(lookahead)) + 1}
}

// clock is a heap of the lanes that nothing of may be claimed yet.
type clock = heap.Heap[*lane, byClaim]

type byClaim struct{}

func (byClaim) Before(a, b *lane) bool { return a.at.Before(b.at) }
func (byClaim) Moved(l *lane, to int)  { l.pos = to }

// Bounds of what the queue has in memory. The rows of a lane are read window at a
// time at most, leastRows at least, and lookahead before their time; there may be
// maxSlots rows before the later ones are left to the disk again.
const (
	window    = 4096
	leastRows = 2
	lookahead = 10 * time.Second
	maxSlots  = 1 << 15
)

// lane returns a lane in memory. One that is not there has no rows on disk but
// those that are claimed: the caller knows that it is not apart.
func (q *queue) lane(name string) *lane {
	l := q.lanes[name]
	if l == nil {
		l = newLane(name)
		if !q.now.IsZero() {
			l.horizon = l.ahead(q.now)
		}
		q.hold(l)
	}
	return l
}

// hold brings a lane into memory.
func (q *queue) hold(l *lane) {
	q.lanes[l.name] = l
	if name := durable.LaneGroup(l.name); name != "" {
		l.group = q.groupOf(name)
		l.group.lanes[l] = true
		q.keyed++
	}
}

// drop takes a lane out of memory. If it waited for a rate, it returns until when.
func (q *queue) drop(l *lane) (opens time.Time) {
	if l.pos >= 0 {
		q.clock.Remove(l.pos)
	}
	if l.bound {
		opens = q.board.Withdraw(l.name, l.group.of())
		l.offered, l.bound = false, false
	}
	for _, sl := range l.due.All() {
		delete(q.byKey, sl.key())
	}
	q.free -= l.due.Len()
	l.due = slots{}
	if q.lanes[l.name] == l {
		delete(q.lanes, l.name)
	}
	if g := l.group; g != nil {
		delete(g.lanes, l)
		q.keyed--
		q.forget(g)
	}
	return opens
}

// seek brings a lane that has changed to where it belongs: onto the board, into
// the clock, or out of memory. What it is short of is asked for.
func (q *queue) seek(l *lane) {
	claimable := l.head(q.now) && !q.now.IsZero() && !l.held
	if l.bound && !claimable {
		q.board.Withdraw(l.name, l.group.of())
		l.offered, l.bound = false, false
	}
	if !l.asked && !q.now.IsZero() && q.short(l) {
		q.ask(&reading{lane: l})
	}
	switch at := l.earliest(); {
	case at.IsZero() && !l.asked:
		q.drop(l)
		if l.group != nil {
			q.step(l.group)
		}
	case claimable:
		if l.pos >= 0 {
			q.clock.Remove(l.pos)
		}
		if !l.offered {
			q.offer(l)
		}
	case l.asked || l.held: // it is sought again then
		if l.pos >= 0 {
			q.clock.Remove(l.pos)
		}
	default:
		l.at = at
		if l.pos >= 0 {
			q.clock.Fix(l.pos)
		} else {
			q.clock.Push(l)
		}
	}
}

// share is how many rows of a lane are read at a time.
func (q *queue) share() int {
	return min(window, max(leastRows, q.max/2/max(len(q.lanes), 1)))
}

// short reports whether rows of a lane that may be claimed are on disk, and few in
// memory.
func (q *queue) short(l *lane) bool {
	return !l.next.IsZero() && (!l.timed || !l.next.After(q.now)) && l.due.Len() <= q.share()/4
}

// trim gives the later rows of each lane back to the disk when there are too
// many in memory.
func (q *queue) trim() {
	if q.free <= q.max {
		return
	}
	keep := max(1, q.max/2/len(q.lanes))
	for _, l := range q.lanes {
		if l.due.Len() > keep && !l.asked {
			q.cut(l, keep)
		}
	}
}

// cut keeps the first rows of a lane.
func (q *queue) cut(l *lane, keep int) {
	rest := l.due.Cut(keep, func(a, b *slot) int { return placeOf(a.Item).compare(placeOf(b.Item)) })
	for _, sl := range rest {
		delete(q.byKey, sl.key())
	}
	q.free -= len(rest)
	last := slices.MaxFunc(l.due.All(), func(a, b *slot) int { return placeOf(a.Item).compare(placeOf(b.Item)) })
	l.horizon = placeOf(last.Item)
	l.later(rest[0].Due)
	q.seek(l)
}

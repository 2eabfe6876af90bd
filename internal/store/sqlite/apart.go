package sqlite

import (
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
)

// A laneGroup is the lanes that differ by their keys alone. There may be any
// number of them, and memory holds only so many. Those that have rows on disk and
// are not in memory are apart: while there are any, a walk over the names of all
// lanes, round and round, brings the next ones in. A lane that has had its turn waits
// until the walk has come round, and leaves memory for that if others need the room.
// So lanes still take turns, and none costs anything while it waits on disk.
//
// When most lanes that a walk brings only wait at gates of their own keys, it is
// barren. Then a lane that is apart is looked for by its name when something happens
// at its gate, or rows are added to it, in the order in which that happens; those
// that wait leave memory when room is needed. Which lanes a gate concerns cannot
// always be told: if lanes share gates with those of other keys, or wait for a rate,
// the group is walked all the same, but not without pause.
type laneGroup struct {
	name  string
	lanes map[*lane]bool // in memory

	apart bool    // there may be lanes that are apart
	more  bool    // one of them may have a turn, as far as is known
	left  bool    // one has become apart since the walk has begun
	walks bool    // a walk is on its way
	after string  // it has come to this lane
	asked bool    // its next lanes are being read
	held  []*lane // lanes in memory that have had their turn in it

	began   time.Time // the walk
	turns   int       // that lanes had which it has brought
	blocked int       // how many lanes made room for others while they waited at a gate
	freed   int       // queue.freed when it began
	barren  bool      // the last one brought hardly any turns
	rest    time.Time // no other begins before
	opens   time.Time // when the first of those that wait for a rate is let through; zero: none does
	tangled bool      // its lanes share gates with those of other keys, or of other groups
}

// Bounds of a group: there may be maxLanes lanes of keys in memory, in all, but
// leastLanes of each group. A walk reads walkLanes at a time, and up to walkRows of each. It is barren
// when of walkShare lanes that it has brought not even one had a turn; the next one
// begins leastRest later then, or walkShare times as long as it took.
const (
	maxLanes   = 1 << 14
	leastLanes = 64
	walkLanes  = 64
	walkRows   = 4
	leastRest  = 100 * time.Millisecond
	walkShare  = 8
)

// maxSought is how many lanes may be looked for by their names before the group is
// walked instead.
const maxSought = 256

// of is the name of a group, also of none.
func (g *laneGroup) of() string {
	if g == nil {
		return ""
	}
	return g.name
}

func (q *queue) groupOf(name string) *laneGroup {
	g := q.groups[name]
	if g == nil {
		g = &laneGroup{name: name, lanes: map[*lane]bool{}}
		q.groups[name] = g
	}
	return g
}

// forget drops a group of which nothing is there.
func (q *queue) forget(g *laneGroup) {
	if len(g.lanes) == 0 && !g.apart {
		delete(q.groups, g.name)
	}
}

// most is how many lanes of a group may be in memory, but for those that a walk has
// just brought: its share, or what the other groups leave of all.
func (q *queue) most(g *laneGroup) int {
	return max(leastLanes, q.maxLanes/len(q.groups), q.maxLanes-(q.keyed-len(g.lanes)))
}

// full reports whether a group has as many lanes in memory as it may.
func (q *queue) full(g *laneGroup) bool { return len(g.lanes) >= q.most(g) }

// crowded reports whether a lane of a group has to leave when it has had its turn.
func (q *queue) crowded(g *laneGroup) bool { return g.apart && q.full(g) }

// leaves notes that rows of a group were left to the disk whose lane is apart.
func (q *queue) leaves(g *laneGroup) {
	g.apart, g.left = true, true
	q.apart[g] = true
}

// putApart takes a lane out of memory that has rows on disk.
func (q *queue) putApart(l *lane) {
	g := l.group
	q.leaves(g)
	if opens := q.drop(l); !opens.IsZero() && (g.opens.IsZero() || opens.Before(g.opens)) {
		g.opens = opens
	}
}

// makeRoom puts lanes apart that have had their turn, or wait at gates.
func (q *queue) makeRoom(g *laneGroup, n int) {
	for l := range g.lanes {
		switch {
		case n == 0:
			return
		case l.held:
			q.putApart(l)
			g.more = true
		case q.board.Waits(l.name):
			q.putApart(l)
			g.blocked++
		default:
			continue
		}
		n--
	}
}

// stirs says that the lane of that name may have a turn now, if it is apart.
func (q *queue) stirs(name string) {
	if len(q.apart) == 0 || q.lanes[name] != nil || q.sought[name] {
		return
	}
	g := q.groups[durable.LaneGroup(name)]
	if g == nil || !g.apart {
		return
	}
	if g.barren && q.crowded(g) {
		q.makeRoom(g, 1)
	}
	if !g.barren || len(q.sought) >= maxSought || len(g.lanes) >= q.most(g)+maxSought {
		g.barren, g.more = false, true // a walk will come to it
		q.step(g)
		return
	}
	q.sought[name] = true
	q.ask(&reading{group: g, name: name})
}

// step lets the walk of a group go on, if it may bring a lane that has a turn.
func (q *queue) step(g *laneGroup) {
	switch {
	case !g.apart || g.asked || q.now.IsZero():
		return
	case !g.walks && (!g.more || q.now.Before(g.rest)):
		return
	}
	full := q.full(g)
	if full && !q.board.Stuck(g.name) {
		return // turns make room
	}
	if !g.walks {
		g.walks, g.left, g.more, g.turns, g.blocked = true, false, false, 0, 0
		g.began, g.freed = time.Now(), q.freed
	}
	if full {
		q.makeRoom(g, walkLanes)
	}
	q.ask(&reading{group: g})
}

// arrive ends a walk, which has come by all lanes.
func (q *queue) arrive(g *laneGroup) {
	g.after, g.walks = "", false
	held := g.held
	g.held = nil
	for _, l := range held {
		if l.held && q.lanes[l.name] == l {
			l.held = false
			q.seek(l)
		}
	}
	again := g.barren // what was stirred before it was known to be barren is not left for later
	if g.barren = g.blocked > walkShare*g.turns; g.barren && again {
		g.rest = q.now.Add(max(leastRest, walkShare*time.Since(g.began)))
	}
	if g.apart = g.left; !g.apart {
		g.more, g.barren, g.opens = false, false, time.Time{}
		delete(q.apart, g)
		q.forget(g)
	}
}

// look sees to the groups of which lanes are apart.
func (q *queue) look() {
	for g := range q.apart {
		if t := g.looks(q.freed); !t.IsZero() && !t.After(q.now) {
			g.more = true
			if !g.opens.After(q.now) {
				g.opens = time.Time{}
			}
		}
		q.step(g)
	}
}

// looks is when a group is to be walked, as far as is known; zero: something must
// happen first.
func (g *laneGroup) looks(freed int) (t time.Time) {
	switch {
	case g.walks || g.asked:
		return t
	case g.more || g.tangled && g.freed != freed:
		t = atOnce
	default:
		t = g.opens
	}
	if !t.IsZero() && t.Before(g.rest) {
		t = g.rest
	}
	return t
}

// entangles reports whether what happens at the gates of a lane may concern lanes
// of other keys.
func entangles(specs []flow.GateSpec) bool {
	keyed := 0
	for _, s := range specs {
		if s.Keyed {
			keyed++
		}
		if s.Shared {
			return true
		}
	}
	return keyed > 1
}

package durable

import (
	"strings"
	"time"
)

// A lane is a queue within the queue: the items of one function and the same
// keys, which are alike for every limit. Requests stand in the lanes of their
// function; whatever costs no request stands in the lane "".

// Kinds of lanes, as their first byte. The letters are stored.
const (
	laneBegin    = 'b' // runs that begin, in the order of their time and priority
	laneDelayed  = 'd' // runs that begin at a time that is still to come
	laneContinue = 'c' // requests of runs that have begun
)

// laneSep stands between the parts of a lane's name. No id has it.
const laneSep = "\x1f"

// Lane takes a lane's name apart: whether its items begin a run, of which
// function, and the run's Keys. It reports false for a lane without limits.
func Lane(name string) (begins bool, function, keys string, ok bool) {
	if name == "" {
		return false, "", "", false
	}
	function, keys, _ = strings.Cut(name[1:], laneSep)
	return name[0] != laneContinue, function, keys, true
}

// LaneIsTimed reports whether the items of a lane wait for their time; in the
// others it only gives their order.
func LaneIsTimed(name string) bool { return name == "" || name[0] != laneBegin }

// Later is the item, due at due and not before, behind the same limits.
func (i Item) Later(due time.Time) Item {
	i.Due = due
	if i.Lane != "" && i.Lane[0] == laneBegin {
		i.Lane = string(laneDelayed) + i.Lane[1:]
	}
	return i
}

// lane is where an item of the run stands.
func (r *Run) lane(i Item, kind byte) string {
	if i.Kind != Call && i.Kind != Fetch {
		return ""
	}
	if r.Keys == "" {
		return string(kind) + r.Function
	}
	return string(kind) + r.Function + laneSep + r.Keys
}

package durable

import (
	"strings"
	"time"
)

// A lane is a queue within the queue: the items of one function and the same
// keys, which are alike for every limit. Requests stand in the lanes of their
// function; whatever costs no request stands in the lane "".
//
// A request of a run with keys stands in their lane only when it is due; until
// then it is in the lane "" too, which its run leaves by the input Due. So there
// may be any number of lanes of keys: none of them has to be asked for its time.

// Kinds of lanes, as their first byte. The letters are stored.
const (
	laneBegin    = 'b' // runs that begin, in the order of their time and priority
	laneDelayed  = 'd' // runs without keys that begin at a time that is still to come
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
func LaneIsTimed(name string) bool {
	return name == "" || name[0] != laneBegin && !strings.Contains(name, laneSep)
}

// LaneGroup is what the names of all lanes begin with that differ from a lane by
// its keys alone; "" for a lane without keys.
func LaneGroup(name string) string { return name[:strings.Index(name, laneSep)+1] }

// LaneBeside is the lane of the same keys in which runs go on, for one in which
// they begin, and the other way round; "" for a lane without keys.
func LaneBeside(name string) string {
	switch {
	case LaneGroup(name) == "":
		return ""
	case name[0] == laneBegin:
		return string(laneContinue) + name[1:]
	default:
		return string(laneBegin) + name[1:]
	}
}

// Early reports whether an item is a request that waits for its time outside of
// the lane of its run. Once it is due, it is moved there by the input Due.
func (i Item) Early() bool { return (i.Kind == Call || i.Kind == Fetch) && i.Lane == "" }

// Lane is the lane in which the run begins, if it has not to wait for its time.
func (r *Run) Lane() string { return r.lane(Item{}, laneBegin) }

// Later is the item, due at due and not before, behind the same limits.
func (i Item) Later(due time.Time) Item {
	i.Due = due
	switch {
	case LaneGroup(i.Lane) != "":
		i.Lane = ""
	case i.Lane != "" && i.Lane[0] == laneBegin:
		i.Lane = string(laneDelayed) + i.Lane[1:]
	}
	return i
}

// lane is where an item of the run stands.
func (r *Run) lane(i Item, kind byte) string {
	switch {
	case i.Kind != Call && i.Kind != Fetch:
		return ""
	case r.Keys == "":
		return string(kind) + r.Function
	case kind == laneDelayed:
		return ""
	default:
		return string(kind) + r.Function + laneSep + r.Keys
	}
}

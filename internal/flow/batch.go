package flow

import "time"

// Batch starts one run for several events. Source: spec/11 §7.
type Batch struct {
	Size    int           // events at most
	Timeout time.Duration // from the first of them
	Bytes   int           // of all of them; one event alone may have more
}

// Gathered is a batch that is being filled.
type Gathered struct {
	N, Bytes int
	Due      time.Time // when its run starts
}

// Add puts an event that came at now into a batch; the zero Gathered is none. It
// reports whether the event opens a new one: then the old one, if there is one,
// is closed and starts now.
func (b Batch) Add(g Gathered, bytes int, now time.Time) (next Gathered, opens bool) {
	if g.N == 0 || b.full(g) || !g.Due.After(now) || g.Bytes+bytes > b.Bytes {
		g, opens = Gathered{Due: now.Add(b.Timeout)}, true
	}
	g.N++
	g.Bytes += bytes
	if b.full(g) {
		g.Due = now
	}
	return g, opens
}

// full reports whether a batch takes no more, whatever the time: that it is due
// does not say so to who comes in the same moment, once its time was rounded up.
func (b Batch) full(g Gathered) bool { return g.N >= b.Size || g.Bytes >= b.Bytes }

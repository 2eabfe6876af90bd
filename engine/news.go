package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
)

// News is for whoever looks on: a page that shows what happens as it happens. It
// is told after commits and kept nowhere. A follower that does not keep up costs
// a bounded amount of memory and delays nobody: it is told to read anew.

// Topic names things of which a reader has an old picture.
type Topic uint16

const (
	// TopicRuns means that there are runs, or statuses of them, which a list may not have.
	TopicRuns Topic = 1 << iota
	TopicEvents
	TopicLetters // dead letters, their groups, and the jobs that retry them
	TopicApps    // apps, their functions and schedules
	TopicControls
	// TopicCounts means that Recent has changed.
	TopicCounts
	// TopicMetadata means that somebody has noted something about a run, other than by
	// a step of it.
	TopicMetadata
	// TopicUnnamed means that runs have changed which Take does not name.
	TopicUnnamed
)

// RunNews is a run as it has become.
type RunNews struct {
	ID, Function, App  string
	EventID, EventName string
	Original, Cron     string
	Parent             string // the run that invoked it; "" if none did
	Queued             time.Time
	Status             durable.Status
	Started, Ended     time.Time // zero: not yet
	Problem            string    // why it failed, in a line; "" if it did not
	Seq                int       // entries in its journal
}

// Bounds of what looks on.
const (
	mostFollowers = 256
	mostNews      = 500 // runs that a follower has not taken yet; more are TopicUnnamed
)

// ErrTooMany means that as many look on as may.
var ErrTooMany = errors.New("too many pages follow this server already; close some of them")

// followers are those who look on.
type followers struct {
	mu  sync.Mutex
	all map[*Follower]bool
	n   atomic.Int32 // of all, for those who have news
	// last is when there were news the last time; at first, when the engine began.
	last atomic.Pointer[time.Time]
}

// any reports whether anybody looks on: news need not be put together for nobody.
func (fs *followers) any() bool { return fs.n.Load() > 0 }

// news notes that there are some, and reports whether anybody is to be told.
func (fs *followers) news() bool {
	now := time.Now()
	fs.last.Store(&now)
	return fs.any()
}

// Quiet returns for how long there have been no news, as far as this engine knows: what
// was before it began is news too.
func (e *Engine) Quiet() time.Duration { return time.Since(*e.followers.last.Load()) }

func (fs *followers) each(tell func(*Follower)) {
	if !fs.news() {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.all {
		tell(f)
	}
}

// stale says that what is read about t is not what it was.
func (fs *followers) stale(t Topic) {
	fs.each(func(f *Follower) { f.add(nil, t) })
}

func (fs *followers) run(n *RunNews, t Topic) {
	fs.each(func(f *Follower) { f.add(n, t) })
}

// Follower gathers news until they are taken.
type Follower struct {
	of   *followers
	wake chan struct{}

	mu     sync.Mutex
	runs   map[string]RunNews
	topics Topic
}

// Follow lets the caller look on until Close. It fails with ErrTooMany.
func (e *Engine) Follow() (*Follower, error) {
	fs := &e.followers
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.all) >= mostFollowers {
		return nil, ErrTooMany
	}
	if fs.all == nil {
		fs.all = map[*Follower]bool{}
	}
	f := &Follower{of: fs, wake: make(chan struct{}, 1)}
	fs.all[f] = true
	fs.n.Add(1)
	return f, nil
}

// Close ends it. It may be called more than once.
func (f *Follower) Close() {
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	if f.of.all[f] {
		delete(f.of.all, f)
		f.of.n.Add(-1)
	}
}

// Wake receives when there is something to take.
func (f *Follower) Wake() <-chan struct{} { return f.wake }

// Take returns what is new since it was called the last time: each run once, as
// it is now.
func (f *Follower) Take() (runs []RunNews, stale Topic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.runs {
		runs = append(runs, n)
	}
	stale = f.topics
	f.runs, f.topics = nil, 0
	return runs, stale
}

func (f *Follower) add(n *RunNews, t Topic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.topics |= t
	if n != nil {
		known, there := f.runs[n.ID]
		switch {
		case there && (known.Seq > n.Seq || known.Status > n.Status): // two branches told of at once
		case there || len(f.runs) < mostNews:
			if f.runs == nil {
				f.runs = map[string]RunNews{}
			}
			f.runs[n.ID] = *n
		default:
			f.topics |= TopicRuns | TopicUnnamed
		}
	}
	select {
	case f.wake <- struct{}{}:
	default: // it is awake
	}
}

// newsOfStart is a run that was started just now. It is the store's, and may have
// gone on since: nothing of it is read that changes.
func newsOfStart(st durable.Start) *RunNews {
	n := unchanging(st.Run)
	n.Status, n.Seq = durable.Queued, len(st.Entries)
	return n
}

// unchanging is what a run is as long as it is there.
func unchanging(r *durable.Run) *RunNews {
	n := &RunNews{ID: r.ID, Function: r.Function, App: r.App, Original: r.Original, Cron: r.Cron, Queued: r.Queued}
	if len(r.Events) > 0 {
		n.EventID, n.EventName = r.Events[0].ID, r.Events[0].Name
	}
	if by := r.Waiting(); len(by) > 0 {
		n.Parent = by[0].Run
	}
	return n
}

// newsOf is a run after a change. Nobody else may change it meanwhile.
func newsOf(r *durable.Run, c durable.Change) *RunNews {
	n := unchanging(r)
	n.Seq = r.Seq + len(c.Entries)
	head := r.Head
	if c.Head != nil {
		head = *c.Head
	}
	n.Status, n.Started, n.Ended = head.Status, head.Started, head.Ended
	if head.Status == durable.Failed {
		n.Problem = Brief(head.Output)
	}
	return n
}

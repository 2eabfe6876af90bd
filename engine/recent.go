package engine

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// What happened in the last hour is counted in memory, so that a page can show it
// without reading anything. It costs a few additions for each transition, and always
// the same memory. What happened before the engine started is read from the store
// once, beside the work; until then, and as far as there was too much of it, it is
// told as not known.

// The grain of what is counted.
const (
	RecentSpan   = time.Hour
	RecentBucket = 10 * time.Second
	recentLen    = int(RecentSpan / RecentBucket)
	// mostCounted bounds the functions that are counted apart.
	mostCounted = 512
	perMinute   = int(time.Minute / RecentBucket)
	minutes     = int(RecentSpan / time.Minute)

	// What is read at the start: the newest things, and for so long.
	mostRemembered  = 200_000
	rememberingTime = 10 * time.Second
)

// Counts are how often things happened.
type Counts struct {
	Events    int // taken in
	Started   int // runs whose first request was sent
	Completed int
	Failed    int // for good
	Cancelled int
	Retried   int // tries that failed and are made again
	Steps     int // that have ended well
}

func (c *Counts) add(o Counts) {
	c.Events += o.Events
	c.Started += o.Started
	c.Completed += o.Completed
	c.Failed += o.Failed
	c.Cancelled += o.Cancelled
	c.Retried += o.Retried
	c.Steps += o.Steps
}

// end counts a run that has ended.
func (c *Counts) end(s durable.Status) {
	switch s {
	case durable.Completed:
		c.Completed++
	case durable.Failed:
		c.Failed++
	case durable.Cancelled:
		c.Cancelled++
	default:
	}
}

// spread counts durations in four bins for each doubling, from a millisecond to
// about a month: what is read from it is right to a fifth, and never longer than the
// longest of them or a millisecond.
type spread struct {
	bins [spreadBins]uint32
	most time.Duration
}

const (
	spreadBins   = 128
	binsPerTwice = 4
)

func (s *spread) note(d time.Duration) {
	s.bins[binOf(d)]++
	s.most = max(s.most, d, time.Millisecond)
}

func binOf(d time.Duration) int {
	if d <= time.Millisecond {
		return 0
	}
	bin := int(math.Ceil(math.Log2(float64(d)/float64(time.Millisecond)) * binsPerTwice))
	return min(bin, spreadBins-1)
}

func (s *spread) add(o *spread) {
	for i := range s.bins {
		s.bins[i] += o.bins[i]
	}
	s.most = max(s.most, o.most)
}

// quantile is the time that a share q of what was noted took at most; 0 when
// nothing was.
func (s *spread) quantile(q float64) time.Duration {
	var all uint64
	for _, n := range s.bins {
		all += uint64(n)
	}
	if all == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(all)))
	var seen uint64
	for bin, n := range s.bins {
		if seen += uint64(n); seen >= rank && n > 0 {
			return min(s.most, time.Duration(math.Exp2(float64(bin)/binsPerTwice)*float64(time.Millisecond)))
		}
	}
	return 0
}

type recentBucket struct {
	at  int64 // which one it is, counted from the epoch; the ring is used again
	sum Counts
	// Durations are kept by the minute: their quantiles of ten seconds say little.
	wait, run spread
}

type functionCounts struct {
	at  [minutes]int64
	sum [minutes]Counts
}

// recent counts the last hour.
type recent struct {
	mu         sync.Mutex
	since      time.Time // from when on all was counted
	ring       [recentLen]recentBucket
	byFunction map[string]*functionCounts
}

func (rc *recent) bucket(now time.Time) *recentBucket {
	at := now.UnixNano() / int64(RecentBucket)
	b := &rc.ring[at%int64(recentLen)]
	if b.at != at {
		*b = recentBucket{at: at}
	}
	return b
}

// of returns the counts of a function in this minute; nil when there are too many
// functions.
func (rc *recent) of(function string, now time.Time) *Counts {
	f := rc.byFunction[function]
	if f == nil {
		if len(rc.byFunction) >= mostCounted {
			return nil
		}
		if rc.byFunction == nil {
			rc.byFunction = map[string]*functionCounts{}
		}
		f = &functionCounts{}
		rc.byFunction[function] = f
	}
	at := now.UnixNano() / int64(time.Minute)
	i := at % int64(minutes)
	if f.at[i] != at {
		f.at[i], f.sum[i] = at, Counts{}
	}
	return &f.sum[i]
}

// received counts events.
func (rc *recent) received(n int, now time.Time) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.bucket(now).sum.Events += n
}

// changed counts what a change of a run means. began is whether the run was
// queued before.
func (rc *recent) changed(function string, queued time.Time, began bool, c durable.Change, now time.Time) {
	var n Counts
	for _, en := range c.Entries {
		switch en.Kind {
		case durable.Tried:
			n.Retried++
		case durable.StepDone:
			n.Steps++
		default:
		}
	}
	ended := c.Head != nil && c.Head.Status.Final()
	if began && c.Head != nil && !c.Head.Started.IsZero() {
		n.Started++
	}
	if ended {
		n.end(c.Head.Status)
	}
	if n == (Counts{}) {
		return
	}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	b := rc.bucket(now)
	b.sum.add(n)
	if n.Started > 0 {
		b.wait.note(c.Head.Started.Sub(queued))
	}
	if ended && !c.Head.Started.IsZero() {
		b.run.note(c.Head.Ended.Sub(c.Head.Started))
	}
	if f := rc.of(function, now); f != nil {
		f.add(n)
	}
}

// remember reads what happened in the last hour before the engine began.
func (e *Engine) remember(ctx context.Context, began time.Time, kept store.Retention) {
	span := store.Span{From: began.Add(-RecentSpan), Until: began, Most: mostRemembered}
	for _, keep := range []time.Duration{kept.Runs, kept.Failed, kept.Events} {
		if keep > 0 && keep < RecentSpan { // what is not there any more would be missing
			span.From = later(span.From, began.Add(-keep))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, rememberingTime)
	defer cancel()
	since, err := e.store.Past(ctx, span, e.recent.remember)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
			e.log.WarnContext(ctx, "what happened before the start cannot be counted", "err", err)
		}
		return
	}
	e.recent.mu.Lock()
	e.recent.since = since
	e.recent.mu.Unlock()
	e.followers.stale(TopicCounts)
}

// remember counts something from before the engine started, in the place of what
// is older.
func (rc *recent) remember(h store.Happening) {
	n := Counts{}
	switch h.Kind {
	case store.EventReceived:
		n.Events++
	case store.RunStarted:
		n.Started++
	case store.RunEnded:
		n.end(h.Status)
	case store.TryFailed:
		n.Retried++
	case store.StepEnded:
		n.Steps++
	}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if b := &rc.ring[h.At.UnixNano()/int64(RecentBucket)%int64(recentLen)]; b.at*int64(RecentBucket) > h.At.UnixNano() {
		return // an hour has passed since
	}
	b := rc.bucket(h.At)
	b.sum.add(n)
	switch {
	case h.Kind == store.RunStarted:
		b.wait.note(h.Took)
	case h.Kind == store.RunEnded && h.Took >= 0:
		b.run.note(h.Took)
	}
	if h.Function == "" {
		return
	}
	if f := rc.byFunction[h.Function]; f != nil && f.at[h.At.UnixNano()/int64(time.Minute)%int64(minutes)]*int64(time.Minute) > h.At.UnixNano() {
		return
	}
	if f := rc.of(h.Function, h.At); f != nil {
		f.add(n)
	}
}

// Quantiles are how long things took: half of them at most P50, and so on. 0 when
// there were none. They are right to a fifth.
type Quantiles struct{ P50, P95, P99 time.Duration }

func (s *spread) quantiles() Quantiles {
	return Quantiles{s.quantile(.5), s.quantile(.95), s.quantile(.99)}
}

// FunctionRecent is a function of which something happened in the last hour.
type FunctionRecent struct {
	Slug   string
	Sum    Counts
	Minute []Counts // of the last hour, the oldest first
}

// Recent is what happened in the last hour.
type Recent struct {
	End time.Time // of the last bucket
	// Since is from when on everything is counted: before that nothing is known. It
	// is the beginning of the first bucket when everything is.
	Since   time.Time
	Buckets []Counts // of RecentBucket each, the oldest first
	Sum     Counts
	// How long runs waited for their beginning, and how long they took from there,
	// with all that they waited for.
	Wait, Run     Quantiles
	WaitBy, RunBy []Quantiles // the same by minute, the oldest first
	Functions     []FunctionRecent
	Waiting       int64 // runs that have not begun
	InWork        int   // requests and the like just now
}

// Recent tells what happened in the last hour.
func (e *Engine) Recent() Recent {
	out := e.recent.read(time.Now())
	out.Waiting, out.InWork = e.store.Backlog().Runs, e.worker.InWork()
	return out
}

func (rc *recent) read(now time.Time) Recent {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	last := now.UnixNano() / int64(RecentBucket)
	out := Recent{End: time.Unix(0, (last+1)*int64(RecentBucket))}
	out.Since = later(rc.since, out.End.Add(-RecentSpan))
	var wait, run, waitMinute, runMinute spread
	for i := range recentLen {
		at := last - int64(recentLen) + 1 + int64(i)
		b := &rc.ring[((at%int64(recentLen))+int64(recentLen))%int64(recentLen)]
		if b.at != at || (at+1)*int64(RecentBucket) <= out.Since.UnixNano() {
			b = &recentBucket{}
		}
		out.Buckets = append(out.Buckets, b.sum)
		out.Sum.add(b.sum)
		waitMinute.add(&b.wait)
		runMinute.add(&b.run)
		if (i+1)%perMinute == 0 {
			out.WaitBy, out.RunBy = append(out.WaitBy, waitMinute.quantiles()), append(out.RunBy, runMinute.quantiles())
			wait.add(&waitMinute)
			run.add(&runMinute)
			waitMinute, runMinute = spread{}, spread{}
		}
	}
	out.Wait, out.Run = wait.quantiles(), run.quantiles()
	minute := now.UnixNano() / int64(time.Minute)
	for slug, f := range rc.byFunction {
		view := FunctionRecent{Slug: slug}
		for i := range minutes {
			at := minute - int64(minutes) + 1 + int64(i)
			var c Counts
			if j := at % int64(minutes); f.at[j] == at && (at+1)*int64(time.Minute) > out.Since.UnixNano() {
				c = f.sum[j]
			}
			view.Minute = append(view.Minute, c)
			view.Sum.add(c)
		}
		if view.Sum == (Counts{}) {
			delete(rc.byFunction, slug) // makes room
			continue
		}
		out.Functions = append(out.Functions, view)
	}
	slices.SortFunc(out.Functions, func(a, b FunctionRecent) int {
		return cmp.Or(cmp.Compare(b.Sum.Failed, a.Sum.Failed), cmp.Compare(b.Sum.Started, a.Sum.Started), cmp.Compare(a.Slug, b.Slug))
	})
	return out
}

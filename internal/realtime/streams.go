package realtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/internal/store"
)

// Bounds of streams.
const (
	maxKept      = 4 << 20   // bytes kept of one run's stream, without its answer
	maxPieces    = 4096      // rows kept of one run's stream
	pieceBytes   = 64 << 10  // what is committed together is cut into rows of about so much
	maxHeld      = 128 << 20 // bytes in memory that wait for their commit or the disk, of all runs
	maxTees      = 10_000    // requests that bring streams, at a time
	maxTeesOfRun = 256
	pageBytes    = 256 << 10 // read at once for a reader who comes late
)

const (
	// linger is how long what was committed waits for others to be written with.
	linger = 20 * time.Millisecond
	// settleWait is how long a result waits for the last events that belong to it.
	// Both come at the same time, by two connections.
	settleWait = 250 * time.Millisecond
	// writeAgain is the pause after a write that failed.
	writeAgain = time.Second
	// patience is how long the stream of a run that has ended waits for the answer
	// that the app may still be sending; while something comes, up to maxPatience.
	patience    = 2 * time.Second
	maxPatience = 30 * time.Second
	// teeGrace is how long a request may be silent after the call that it belongs to
	// has been answered, before it is ended. SDKs leave them open.
	teeGrace = 5 * time.Second
)

// ErrTooManyTees means that an app streams in too many requests at a time.
var ErrTooManyTees = errors.New("too many requests bring streams at a time; try again soon")

// Outcome is what a stream has to know about its run.
type Outcome struct {
	Endpoint  bool      // it began in an app, which may have streamed to its client itself
	Ended     time.Time // zero: it has not
	Cancelled bool
	Silent    bool     // its app never streams: nothing is waited for
	Response  Response // of a run that has ended: what readers are told, unless the app did
}

// Config is what Streams need.
type Config struct {
	Broker *Broker
	Store  store.Streams
	Log    *slog.Logger
	// Look tells about a run, or fails with store.ErrNotFound.
	Look func(ctx context.Context, run string) (Outcome, error)
	// Since tells since when the oldest call of a run is in flight, if one is.
	Since func(run string) (time.Time, bool)
}

// Streams are the streams of all runs.
type Streams struct {
	Config

	mu    sync.Mutex
	runs  map[string]*stream
	dirty map[*stream]bool // with something to write; each holds its stream
	tees  int

	kick    chan struct{} // something is dirty; has room for one
	urgent  chan struct{} // it should be written at once; likewise
	writing sync.Mutex    // held while pieces are written
	held    atomic.Int64
}

// NewStreams returns streams that nobody sends or reads yet.
func NewStreams(c Config) *Streams {
	return &Streams{Config: c, runs: map[string]*stream{}, dirty: map[*stream]bool{}, kick: make(chan struct{}, 1), urgent: make(chan struct{}, 1)}
}

// stream is that of one run, while somebody sends or reads it.
type stream struct {
	s    *Streams
	run  string
	refs int // tees, readers, and one if it is dirty; guarded by s.mu

	mu       sync.Mutex
	loaded   bool // what follows was read from the store
	known    bool // there is such a run: what is committed is kept
	endpoint bool

	steps   map[string]*step
	pending []part   // what is not committed yet, in the order of its coming
	waiting int      // its bytes
	outside [][]byte // what came outside of steps, in order
	whole   bool     // outside was read from the store
	owner   int      // the newest tee that sent something new outside of steps

	next      int64         // place of the next piece
	flushed   int64         // pieces up to here are on disk
	told      int64         // the place that readers were told last
	unwritten []store.Piece // in order; the first busy of them are being written
	busy      int
	bytes     int64 // kept, and to be kept
	pieces    int
	full      bool // nothing more is kept

	tees    map[*Tee]bool
	entries int // tees that there were
	readers map[*Subscriber]bool

	news chan struct{} // closed when a step or the endpoint has ended; nil: nobody waits for that

	answered bool     // the app has sent its answer
	answerer int      // the tee that did; 0: one before the last start
	end      *Outcome // the run has ended
	closing  []byte   // the answer that was made for it
	deadline time.Time
	watched  bool // a timer looks after tees that may be over
}

// step is what is known of a step that has streamed.
type step struct {
	tee  int  // the newest that sent something of it; 0: one before the last start
	sent bool // readers have something of it
	kept bool // so has the store, or will

	bytes  int64 // kept since the stream was loaded
	pieces int
}

// part is an event of a step that has yet to be committed.
type part struct {
	step string
	tee  int
	raw  []byte
}

// get returns the stream of a run and holds it until put.
func (s *Streams) get(run string) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.runs[run]
	if st == nil {
		st = &stream{s: s, run: run, steps: map[string]*step{}, next: 1, tees: map[*Tee]bool{}, readers: map[*Subscriber]bool{}}
		s.runs[run] = st
	}
	st.refs++
	return st
}

func (s *Streams) put(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(st)
}

func (s *Streams) release(st *stream) {
	if st.refs--; st.refs == 0 {
		delete(s.runs, st.run)
		s.held.Add(-int64(st.weight()))
	}
}

// weight is what a stream that nobody holds has left in memory.
func (st *stream) weight() (n int) {
	for _, e := range st.outside {
		n += len(e)
	}
	return n
}

// Close ends all requests that bring streams, when nothing is in work any more.
func (s *Streams) Close() {
	s.mu.Lock()
	var all []*stream
	for _, st := range s.runs {
		st.refs++
		all = append(all, st)
	}
	s.mu.Unlock()
	for _, st := range all {
		st.mu.Lock()
		for t := range st.tees {
			t.stop()
		}
		st.mu.Unlock()
		s.put(st)
	}
}

// there returns the stream of a run if somebody sends or reads it.
func (s *Streams) there(run string) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.runs[run]
	if st != nil {
		st.refs++
	}
	return st
}

// Active reports whether anybody sends or reads the stream of a run.
func (s *Streams) Active(run string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[run] != nil
}

// load reads what the store knows of the stream and its run. It is called with st.mu held.
func (st *stream) load(ctx context.Context) error {
	if st.loaded && st.known {
		return nil
	}
	o, err := st.s.Look(ctx, st.run)
	switch {
	case errors.Is(err, store.ErrNotFound):
		st.loaded = true // the channel is no run's: what comes is relayed
		return nil
	case err != nil:
		return fmt.Errorf("stream of run %s: %w", st.run, err)
	}
	k, err := st.s.Store.KeptStream(ctx, st.run)
	if err != nil {
		return fmt.Errorf("stream of run %s: %w", st.run, err)
	}
	st.loaded, st.known, st.endpoint = true, true, o.Endpoint
	st.next, st.flushed, st.bytes, st.pieces, st.answered = k.Last+1, k.Last, k.Bytes, k.Pieces, k.Answer
	st.full = st.bytes >= maxKept || st.pieces >= maxPieces
	for _, name := range k.Steps {
		st.steps[name] = &step{sent: true, kept: true}
	}
	if !o.Ended.IsZero() {
		st.ended(o)
	}
	return nil
}

// loadOutside reads what was streamed outside of steps, so that it is known when
// it comes again. It is called with st.mu held.
func (st *stream) loadOutside(ctx context.Context) error {
	if st.whole || st.steps[""] == nil {
		st.whole = true
		return nil
	}
	after := int64(0)
	for {
		list, err := st.s.Store.Stream(ctx, st.run, after, st.flushed, pageBytes)
		if err != nil {
			return fmt.Errorf("stream of run %s: %w", st.run, err)
		}
		if len(list) == 0 {
			st.whole = true
			return nil
		}
		for _, p := range list {
			after = p.N
			if p.Step != "" {
				continue
			}
			var sp splitter
			sp.feed(p.Data, func(raw []byte) {
				if name, _, _ := read(raw); name == eventStream { // not the mark that all before is void
					st.outside = append(st.outside, raw)
					st.hold(len(raw))
				}
			}, func([]byte) {}, func() {})
		}
	}
}

// hold counts bytes that stay in memory, or that leave it.
func (st *stream) hold(n int) { st.s.held.Add(int64(n)) }

// room reports whether more may stay.
func (st *stream) room(n int) bool { return st.s.held.Load()+int64(n) <= maxHeld }

// emit gives raw to all readers.
func (st *stream) emit(raw []byte) {
	for r := range st.readers {
		r.put(Item{Text: raw, Raw: true})
	}
}

// keep adds events to what is kept, as one piece or several that are written
// together.
func (st *stream) keep(of string, events ...[]byte) {
	if !st.known || st.full {
		return
	}
	n := 0
	for _, raw := range events {
		n += len(raw)
	}
	if st.bytes+int64(n) > maxKept || st.pieces >= maxPieces || !st.room(n) {
		st.overflow()
		return
	}
	s := st.steps[of]
	s.kept = true
	s.bytes += int64(n)
	st.bytes += int64(n)
	for _, raw := range events {
		if last := len(st.unwritten) - 1; last >= st.busy {
			p := &st.unwritten[last]
			if !p.Void && p.Step == of && len(p.Data) < pieceBytes {
				p.Data = append(p.Data, raw...) // who has a copy has its old length
				st.hold(len(raw))
				continue
			}
		}
		s.pieces++
		st.pieces++
		st.add(store.Piece{Run: st.run, Step: of, Data: bytes.Clone(raw)})
	}
}

// add puts a piece where the writer finds it, at the next place if it has none.
func (st *stream) add(p store.Piece) {
	if p.N == 0 {
		p.N = st.next
		st.next++
	}
	st.unwritten = append(st.unwritten, p)
	st.hold(len(p.Data))
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty[st] {
		s.dirty[st] = true
		st.refs++
	}
	wake(s.kick)
	if p.N == store.LastPiece {
		wake(s.urgent) // its run is over, or about to be
	}
}

// overflow ends the keeping. Whoever comes later is told.
func (st *stream) overflow() {
	if st.full {
		return
	}
	st.full = true
	st.hold(-st.waiting)
	st.pending, st.waiting = nil, 0
	st.tell()
	if !st.known {
		return
	}
	st.s.Log.Warn("a run has streamed more than is kept of one; who reads it later does not get all", "run", st.run, "kept", st.bytes)
	st.add(store.Piece{Run: st.run, Step: "-", Data: build(eventIncomplete, []byte("{}"))})
}

// wait holds an event of a step until it is committed.
func (st *stream) wait(of string, tee int, raw []byte) {
	if st.full {
		return
	}
	if st.waiting+len(raw) > maxKept || !st.room(len(raw)) {
		st.overflow()
		return
	}
	st.hold(len(raw))
	st.waiting += len(raw)
	st.pending = append(st.pending, part{of, tee, raw})
}

// take removes what is pending of a step and returns it.
func (st *stream) take(of string) (events [][]byte) {
	rest := st.pending[:0]
	for _, p := range st.pending {
		if p.step != of {
			rest = append(rest, p)
			continue
		}
		st.hold(-len(p.raw))
		st.waiting -= len(p.raw)
		events = append(events, p.raw)
	}
	clear(st.pending[len(rest):])
	st.pending = rest
	if len(events) > 0 {
		st.tell()
	}
	return events
}

// tell wakes those who wait for news.
func (st *stream) tell() {
	if st.news != nil {
		close(st.news)
		st.news = nil
	}
}

// void says that what came of a step is nothing: it runs again, or has failed.
func (st *stream) void(of string, mark []byte) {
	s := st.steps[of]
	st.take(of)
	if s.sent {
		st.emit(mark)
	}
	if s.kept {
		st.add(store.Piece{Run: st.run, Step: of, Data: mark, Void: true})
	}
	st.bytes -= s.bytes
	st.pieces -= s.pieces
	s.sent, s.kept, s.bytes, s.pieces = false, false, 0, 0
}

// answer takes the answer of the endpoint, with which the stream ends.
func (st *stream) answer(raw []byte, tee int) {
	st.answered, st.answerer = true, tee
	st.tell()
	if st.known {
		st.add(store.Piece{Run: st.run, N: store.LastPiece, Step: store.AnswerStep, Data: raw})
	}
	st.emit(raw)
	st.finish()
}

// finish lets all readers go.
func (st *stream) finish() {
	st.emit(place(store.LastPiece)) // who comes again has all
	for r := range st.readers {
		r.done()
	}
	clear(st.readers)
}

// ended takes that the run has ended. If the app has not sent an answer and may
// still do, it is waited for.
func (st *stream) ended(o Outcome) {
	switch {
	case st.end != nil:
		return
	case st.answered:
		st.end = &o
		st.finish()
		return
	}
	st.end = &o
	st.deadline = o.Ended.Add(maxPatience)
	rest := time.Until(o.Ended.Add(patience))
	if o.Cancelled || o.Silent || rest <= 0 && len(st.tees) == 0 {
		st.close()
		return
	}
	time.AfterFunc(max(rest, 0), st.settle)
}

// settle ends the stream of a run whose app sends nothing any more.
func (st *stream) settle() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.answered || st.closing != nil {
		return
	}
	now := time.Now()
	var last time.Time
	for t := range st.tees {
		if t.last.After(last) {
			last = t.last
		}
	}
	if wait := last.Add(patience).Sub(now); wait > 0 && now.Before(st.deadline) {
		time.AfterFunc(wait, st.settle)
		return
	}
	st.close()
}

// close ends the stream with an answer of the server's own.
func (st *stream) close() {
	st.closing = st.end.Response.event()
	st.emit(st.closing)
	st.finish()
}

// Ended takes that a run has ended. It is called after the commit.
func (s *Streams) Ended(ctx context.Context, run string) {
	st := s.there(run)
	if st == nil {
		return // who comes later sees it
	}
	defer s.put(st)
	o, err := s.Look(ctx, run)
	if err != nil || o.Ended.IsZero() {
		s.Log.WarnContext(ctx, "the readers of a run's stream cannot be told that it has ended", "run", run, "err", err)
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.known = true
	st.ended(o)
}

// Moved takes that something has happened to a run: a call of it may be over, and
// with it the requests that it has streamed in.
func (s *Streams) Moved(run string) {
	st := s.there(run)
	if st == nil {
		return
	}
	defer s.put(st)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.watch(teeGrace)
}

// watch looks after the tees once d is over.
func (st *stream) watch(d time.Duration) {
	if st.watched || len(st.tees) == 0 {
		return
	}
	st.watched = true
	time.AfterFunc(d, st.prune)
}

// prune ends the tees that belong to calls which are over and that have been
// silent since: SDKs do not end them all. A tee is always younger than its call.
func (st *stream) prune() {
	since, any := st.s.Since(st.run)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.watched = false
	now, again := time.Now(), time.Duration(0)
	for t := range st.tees {
		if any && !t.opened.Before(since) {
			continue // when its call is over, Moved comes
		}
		if wait := t.last.Add(teeGrace).Sub(now); wait > 0 {
			again = max(again, wait)
			continue
		}
		t.stop()
	}
	if again > 0 {
		st.watch(again)
	}
}

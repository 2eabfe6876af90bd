package realtime

import (
	"errors"
	"io"
	"sync"
)

// Bounds of what a subscriber has not taken yet.
const (
	maxWaiting      = 1024    // messages
	maxWaitingBytes = 4 << 20 // of messages, unless it is a single one
	// maxBufferedBytes bounds what all of them together have not taken, a message
	// counted once for each: who is behind then is closed.
	maxBufferedBytes = 256 << 20
)

// ErrSlow is why a subscriber was closed that did not keep up.
var ErrSlow = errors.New("the reader did not keep up")

// Item is one thing for a subscriber.
type Item struct {
	Text []byte // shared: not to be changed
	// Raw is a piece of a stream of server-sent events; otherwise Text is a message,
	// one JSON object on one line.
	Raw bool
}

// Subscriber is one connection that reads topics and streams.
type Subscriber struct {
	b *Broker

	mu      sync.Mutex
	waiting []Item
	bytes   int
	err     error         // why nothing more comes
	open    int           // streams that have not ended
	streams bool          // it reads streams and no topics: it ends with them
	ready   chan struct{} // has room for one

	topics map[string]names // by channel; guarded by b.mu
}

// Ready receives when Take may have something new.
func (s *Subscriber) Ready() <-chan struct{} { return s.ready }

// Take returns all that has come since, and why nothing more will: io.EOF when all
// is said, ErrSlow, or nil.
func (s *Subscriber) Take() ([]Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := s.waiting
	s.waiting = nil
	s.b.buffered.Add(-int64(s.bytes))
	s.bytes = 0
	return items, s.err
}

// put gives the subscriber one more thing, or closes it when it has too much. It
// never waits.
func (s *Subscriber) put(item Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(item.Text)
	switch {
	case s.err != nil:
		return
	case len(s.waiting) >= maxWaiting,
		len(s.waiting) > 0 && s.bytes+n > maxWaitingBytes,
		len(s.waiting) > 0 && s.b.buffered.Load()+int64(n) > maxBufferedBytes:
		s.fail(ErrSlow)
		return
	}
	s.waiting = append(s.waiting, item)
	s.bytes += n
	s.b.buffered.Add(int64(n))
	s.wake()
}

// fail ends it at once: what waits is dropped.
func (s *Subscriber) fail(err error) {
	s.waiting = nil
	s.b.buffered.Add(-int64(s.bytes))
	s.bytes = 0
	s.err = err
	s.wake()
}

func (s *Subscriber) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// follow says that one more stream is read, done that one has ended.
func (s *Subscriber) follow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
}

func (s *Subscriber) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.open == 0 && s.streams && s.err == nil {
		s.err = io.EOF // after what waits
		s.wake()
	}
}

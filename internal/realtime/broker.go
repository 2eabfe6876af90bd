package realtime

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxSubscribers is how many connections may read at a time.
const MaxSubscribers = 50_000

// ErrTooMany means that no more connections may read just now.
var ErrTooMany = errors.New("too many readers are connected; try again soon")

// Topic names a topic of a channel.
type Topic struct{ Channel, Name string }

// Broker knows who reads which topic.
type Broker struct {
	mu       sync.RWMutex
	channels map[string]map[*Subscriber]map[string]bool // topics by channel and subscriber
	readers  int

	buffered atomic.Int64 // bytes that subscribers have not taken
}

// NewBroker returns a broker that nobody reads from.
func NewBroker() *Broker {
	return &Broker{channels: map[string]map[*Subscriber]map[string]bool{}}
}

// Subscribe returns a reader of topics; with none it reads the streams that it
// joins, and ends with them. Leave gives it back. Errors: ErrTooMany.
func (b *Broker) Subscribe(topics []Topic) (*Subscriber, error) {
	s := &Subscriber{b: b, ready: make(chan struct{}, 1), streams: len(topics) == 0}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.readers >= MaxSubscribers {
		return nil, ErrTooMany
	}
	b.readers++
	b.add(s, topics)
	return s, nil
}

// Add lets s read more topics, Remove fewer.
func (b *Broker) Add(s *Subscriber, topics []Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(s, topics)
}

func (b *Broker) add(s *Subscriber, topics []Topic) {
	if s.topics == nil && len(topics) > 0 {
		s.topics = map[string]map[string]bool{}
	}
	for _, t := range topics {
		if s.topics[t.Channel] == nil {
			s.topics[t.Channel] = map[string]bool{}
		}
		s.topics[t.Channel][t.Name] = true
		if b.channels[t.Channel] == nil {
			b.channels[t.Channel] = map[*Subscriber]map[string]bool{}
		}
		b.channels[t.Channel][s] = s.topics[t.Channel]
	}
}

// Remove is the opposite of Add.
func (b *Broker) Remove(s *Subscriber, topics []Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range topics {
		delete(s.topics[t.Channel], t.Name)
		if len(s.topics[t.Channel]) == 0 {
			b.drop(s, t.Channel)
		}
	}
}

func (b *Broker) drop(s *Subscriber, channel string) {
	delete(s.topics, channel)
	delete(b.channels[channel], s)
	if len(b.channels[channel]) == 0 {
		delete(b.channels, channel)
	}
}

// Leave forgets a reader.
func (b *Broker) Leave(s *Subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for channel := range s.topics {
		b.drop(s, channel)
	}
	b.readers--
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.fail(errLeft)
	}
}

var errLeft = errors.New("the reader has left")

// Topics is how many topics s reads.
func (b *Broker) Topics(s *Subscriber) (n int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, names := range s.topics {
		n += len(names)
	}
	return n
}

// Covered reports whether anybody reads a topic of channel.
func (b *Broker) Covered(channel string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.channels[channel]) > 0
}

// Publish gives m to all who read its topic; one of KindRun to all who read any
// topic of its channel, since no SDK asks for that topic by its name. Messages that
// are published one after the other arrive in that order.
func (b *Broker) Publish(m Message) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var item Item
	for s, names := range b.channels[m.Channel] {
		if !names[m.Topic] && m.Kind != KindRun {
			continue
		}
		if item.Text == nil {
			item.Text = m.encode() // once, and only when somebody reads it
		}
		s.put(item)
	}
}

// Feed is a data stream that is being published. Only those get it who read its
// topic when it began: a chunk means nothing without the ones before it.
type Feed struct {
	b    *Broker
	head Message // without kind and data
	to   []*Subscriber
}

// Open begins a data stream of a topic. m.Stream is its id.
func (b *Broker) Open(m Message) *Feed {
	b.mu.RLock()
	defer b.mu.RUnlock()
	f := &Feed{b: b, head: Message{Channel: m.Channel, Topic: m.Topic, Run: m.Run, Stream: m.Stream}}
	for s, names := range b.channels[m.Channel] {
		if names[m.Topic] {
			f.to = append(f.to, s)
		}
	}
	m.Kind, m.Data, m.Stream = KindBegin, quote(m.Stream), ""
	f.send(m)
	return f
}

// Write publishes the next chunk.
func (f *Feed) Write(text []byte) {
	f.b.mu.RLock()
	defer f.b.mu.RUnlock()
	m := f.head
	m.Kind, m.Data = KindChunk, quote(text)
	f.send(m)
}

// Close says that no more chunks come.
func (f *Feed) Close(at time.Time) {
	f.b.mu.RLock()
	defer f.b.mu.RUnlock()
	m := f.head
	m.Kind, m.Data, m.Stream, m.At = KindEnd, quote(f.head.Stream), "", at
	f.send(m)
}

// send gives m to those who still read the topic.
func (f *Feed) send(m Message) {
	f.to = slices.DeleteFunc(f.to, func(s *Subscriber) bool { return !s.topics[f.head.Channel][f.head.Topic] })
	if len(f.to) == 0 {
		return
	}
	item := Item{Text: m.encode()}
	for _, s := range f.to {
		s.put(item)
	}
}

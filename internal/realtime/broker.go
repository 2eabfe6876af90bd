package realtime

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxSubscribers is how many connections may read at a time, if there are twice as
// many open files: readers leave half of them to others.
const MaxSubscribers = 50_000

// ErrTooMany means that no more connections may read just now.
var ErrTooMany = errors.New("too many readers are connected; try again soon")

// Topic names a topic of a channel.
type Topic struct{ Channel, Name string }

// Broker knows who reads which topic.
type Broker struct {
	mu       sync.RWMutex
	channels map[string]*channel
	readers  int
	most     int // of readers

	buffered   atomic.Int64 // bytes that subscribers have not taken
	delivering sync.WaitGroup
}

// channel is a channel that somebody reads.
type channel struct {
	readers map[*Subscriber]names
	list    atomic.Pointer[[]target] // of readers; nil: to be made anew

	turn  sync.Mutex
	queue []delivery // to be given to readers, in order
	busy  bool       // somebody does
	room  *sync.Cond
}

// delivery is a message on its way to those who read a topic.
type delivery struct {
	channel, topic string
	all            bool // to all who read the channel
	item           Item
}

// names are the topics of a channel that one reads. They are replaced, and never
// changed.
type names map[string]bool

type target struct {
	reader *Subscriber
	topics names
}

const (
	// crowd is how many readers a publisher gives a message to by itself. To more it
	// is given beside, so that whoever publishes does not wait for a thousand writes.
	crowd = 64
	// maxQueue bounds what waits for that: a publisher that is faster is held up.
	maxQueue = 1024
)

// NewBroker returns a broker that nobody reads from.
func NewBroker() *Broker {
	return &Broker{channels: map[string]*channel{}, most: min(MaxSubscribers, openFiles()/2)}
}

// Close returns when everything that was published is with those who read it.
func (b *Broker) Close() { b.delivering.Wait() }

// Subscribe returns a reader of topics; with none it reads the streams that it
// joins, and ends with them. Leave gives it back. Errors: ErrTooMany.
func (b *Broker) Subscribe(topics []Topic) (*Subscriber, error) {
	s := &Subscriber{b: b, ready: make(chan struct{}, 1), streams: len(topics) == 0}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.readers >= b.most {
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
		s.topics = map[string]names{}
	}
	for _, t := range topics {
		more := maps.Clone(s.topics[t.Channel])
		if more == nil {
			more = names{}
		}
		more[t.Name] = true
		b.set(s, t.Channel, more)
	}
}

// Remove is the opposite of Add.
func (b *Broker) Remove(s *Subscriber, topics []Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range topics {
		if fewer := maps.Clone(s.topics[t.Channel]); fewer != nil {
			delete(fewer, t.Name)
			b.set(s, t.Channel, fewer)
		}
	}
}

// set says which topics of a channel s reads.
func (b *Broker) set(s *Subscriber, of string, topics names) {
	c := b.channels[of]
	if c == nil {
		c = &channel{readers: map[*Subscriber]names{}}
		c.room = sync.NewCond(&c.turn)
		b.channels[of] = c
	}
	s.topics[of], c.readers[s] = topics, topics
	if len(topics) == 0 {
		delete(s.topics, of)
		delete(c.readers, s)
	}
	c.list.Store(nil)
	if len(c.readers) == 0 {
		delete(b.channels, of)
	}
}

// Leave forgets a reader.
func (b *Broker) Leave(s *Subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for of := range s.topics {
		b.set(s, of, nil)
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
	for _, topics := range s.topics {
		n += len(topics)
	}
	return n
}

// Covered reports whether anybody reads a topic of channel.
func (b *Broker) Covered(channel string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.channels[channel] != nil
}

// reading returns a channel with all who read it; nil: nobody does.
func (b *Broker) reading(of string) (*channel, []target) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	c := b.channels[of]
	if c == nil {
		return nil, nil
	}
	if list := c.list.Load(); list != nil {
		return c, *list
	}
	list := make([]target, 0, len(c.readers))
	for s, topics := range c.readers {
		list = append(list, target{s, topics})
	}
	c.list.Store(&list)
	return c, list
}

// Publish gives m to all who read its topic; one of KindRun to all who read any
// topic of its channel, since no SDK asks for that topic by its name. Messages of a
// channel that are published one after the other arrive in that order. Publish waits
// for no reader, and when there are many, not until all have it.
func (b *Broker) Publish(m Message) {
	c, list := b.reading(m.Channel)
	if c == nil {
		return
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	for len(c.queue) >= maxQueue {
		c.room.Wait()
	}
	c.queue = append(c.queue, delivery{m.Channel, m.Topic, m.Kind == KindRun, Item{Text: m.encode()}})
	switch {
	case c.busy:
	case len(list) > crowd:
		c.busy = true
		b.delivering.Go(func() {
			c.turn.Lock()
			defer c.turn.Unlock()
			b.deliver(c)
		})
	default:
		c.busy = true
		b.deliver(c)
	}
}

// deliver gives what is queued to readers until nothing is. It is called with the
// turn held, by the one who has made the channel busy.
func (b *Broker) deliver(c *channel) {
	for len(c.queue) > 0 {
		d := c.queue[0]
		c.queue = c.queue[1:]
		c.room.Signal()
		c.turn.Unlock()
		_, list := b.reading(d.channel)
		for _, to := range list {
			if d.all || to.topics[d.topic] {
				to.reader.put(d.item)
			}
		}
		c.turn.Lock()
	}
	c.queue, c.busy = nil, false
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
	if c := b.channels[m.Channel]; c != nil {
		for s, topics := range c.readers {
			if topics[m.Topic] {
				f.to = append(f.to, s)
			}
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

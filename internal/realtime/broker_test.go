package realtime

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)

// reader is a subscriber of topics.
func reader(t *testing.T, b *Broker, topics ...Topic) *Subscriber {
	t.Helper()
	s, err := b.Subscribe(topics)
	require.NoError(t, err)
	return s
}

// got is what has come since.
func got(t *testing.T, s *Subscriber) (list []string) {
	t.Helper()
	items, err := s.Take()
	require.NoError(t, err)
	for _, i := range items {
		list = append(list, string(i.Text))
	}
	return list
}

func data(channel, topic, v string) Message {
	return Message{Kind: KindData, Channel: channel, Topic: topic, Data: jsontext.Value(v)}
}

func TestMessageHasNoNullAndNoEmptyID(t *testing.T) {
	t.Parallel()
	require.Equal(t, `{"kind":"data","channel":"user:1","topic":"ai","data":{"n":1.50}}`, string(data("user:1", "ai", `{"n":1.50}`).encode()))
	full := Message{Kind: KindData, Channel: `a"b`, Topic: "ü", Run: "01JQDAE4RQF8MBCR55T5AK4KXS", Data: jsontext.Value(`null`), Metadata: jsontext.Value(`{"a":1}`), At: noon}
	require.JSONEq(t, `{"kind":"data","channel":"a\"b","topic":"ü","run_id":"01JQDAE4RQF8MBCR55T5AK4KXS","data":null,"metadata":{"a":1},"created_at":"2026-03-01T12:00:00.005Z"}`, string(full.encode()))
}

func TestMessagesReachThoseWhoReadTheirTopic(t *testing.T) {
	t.Parallel()
	b := NewBroker()
	one := reader(t, b, Topic{"user:1", "ai"}, Topic{"user:1", "status"}, Topic{"user:2", "ai"})
	two := reader(t, b, Topic{"user:1", "ai"})
	b.Publish(data("user:1", "ai", `1`))
	b.Publish(data("user:1", "status", `2`))
	b.Publish(data("user:2", "ai", `3`))
	b.Publish(data("user:3", "ai", `4`))
	require.Len(t, got(t, one), 3)
	require.Equal(t, []string{`{"kind":"data","channel":"user:1","topic":"ai","data":1}`}, got(t, two))

	b.Add(two, []Topic{{"user:3", "ai"}})
	b.Remove(two, []Topic{{"user:1", "ai"}})
	b.Publish(data("user:1", "ai", `5`))
	b.Publish(data("user:3", "ai", `6`))
	require.Equal(t, []string{`{"kind":"data","channel":"user:3","topic":"ai","data":6}`}, got(t, two))
	b.Leave(one)
	b.Leave(two)
	require.Empty(t, b.channels)
	require.Zero(t, b.readers)
	require.Zero(t, b.buffered.Load())
}

func TestMessageIsEncodedOnceForAll(t *testing.T) {
	t.Parallel()
	b := NewBroker()
	one, two := reader(t, b, Topic{"c", "t"}), reader(t, b, Topic{"c", "t"})
	b.Publish(data("c", "t", `1`))
	first, err := one.Take()
	require.NoError(t, err)
	second, err := two.Take()
	require.NoError(t, err)
	require.Same(t, &first[0].Text[0], &second[0].Text[0])
}

func TestEndOfRunIsToldToAllWhoReadItsChannel(t *testing.T) {
	t.Parallel()
	b := NewBroker()
	one, other := reader(t, b, Topic{"r1", "log"}), reader(t, b, Topic{"user:1", "log"})
	require.True(t, b.Covered("r1"))
	require.False(t, b.Covered("r2"))
	b.Publish(Message{Kind: KindRun, Channel: "r1", Topic: TopicRun, Data: jsontext.Value(`{"status":"failed"}`)})
	require.Len(t, got(t, one), 1)
	require.Empty(t, got(t, other))
}

// TestSlowReaderIsClosed: what a reader has not taken is bounded, in messages and
// in bytes, and neither the publisher nor another reader notices.
func TestSlowReaderIsClosed(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string]string{"messages": `1`, "bytes": `"` + string(bytes.Repeat([]byte("x"), 64<<10)) + `"`} {
		b := NewBroker()
		slow, quick := reader(t, b, Topic{"c", "t"}), reader(t, b, Topic{"c", "t"})
		for range maxWaiting + 1 {
			b.Publish(data("c", "t", payload))
			require.Len(t, got(t, quick), 1)
		}
		items, err := slow.Take()
		require.ErrorIs(t, err, ErrSlow, name)
		require.Empty(t, items, name)
		require.Zero(t, b.buffered.Load(), name)
		b.Publish(data("c", "t", payload))
		require.Len(t, got(t, quick), 1, name)
	}
}

func TestOneLargeMessageIsTaken(t *testing.T) {
	t.Parallel()
	b := NewBroker()
	r := reader(t, b, Topic{"c", "t"})
	b.Publish(data("c", "t", `"`+string(bytes.Repeat([]byte("x"), maxWaitingBytes))+`"`))
	require.Len(t, got(t, r), 1)
}

// TestDataStream has a reader that comes when the stream has begun: it must not
// get the tail.
func TestDataStream(t *testing.T) {
	t.Parallel()
	b := NewBroker()
	early := reader(t, b, Topic{"c", "t"})
	f := b.Open(Message{Channel: "c", Topic: "t", Stream: "s1", At: noon})
	late := reader(t, b, Topic{"c", "t"})
	f.Write([]byte("Hel"))
	f.Write([]byte("lo\n"))
	f.Close(noon)
	require.Empty(t, got(t, late))
	require.Equal(t, []string{
		`{"kind":"datastream-start","channel":"c","topic":"t","data":"s1","created_at":"2026-03-01T12:00:00.005Z"}`,
		`{"kind":"chunk","channel":"c","topic":"t","stream_id":"s1","data":"Hel"}`,
		`{"kind":"chunk","channel":"c","topic":"t","stream_id":"s1","data":"lo\n"}`,
		`{"kind":"datastream-end","channel":"c","topic":"t","data":"s1","created_at":"2026-03-01T12:00:00.005Z"}`,
	}, got(t, early))
	b.Leave(early)
	f.Write([]byte("more")) // to nobody
}

// TestOrderOfEachPublisher has several publishers at once, and readers that come
// and go.
func TestOrderOfEachPublisher(t *testing.T) {
	t.Parallel()
	b := NewBroker()
	r := reader(t, b, Topic{"c", "t"})
	const publishers, messages = 4, 200
	done := make(chan struct{})
	for p := range publishers {
		go func() {
			for n := range messages {
				b.Publish(data("c", "t", fmt.Sprintf(`[%d,%d]`, p, n)))
				s, err := b.Subscribe([]Topic{{"c", "t"}})
				if err == nil {
					b.Leave(s)
				}
			}
			b.Close()
			done <- struct{}{}
		}()
	}
	for range publishers {
		<-done
	}
	next := [publishers]int{}
	for _, text := range got(t, r) {
		var p, n int
		_, err := fmt.Sscanf(text, `{"kind":"data","channel":"c","topic":"t","data":[%d,%d]}`, &p, &n)
		require.NoError(t, err, text)
		require.Equal(t, next[p], n)
		next[p]++
	}
	require.Equal(t, [publishers]int{messages, messages, messages, messages}, next)
}

// TestManyReaders: a message is given to them beside, in order, and by the time that
// the broker has closed all have it.
func TestManyReaders(t *testing.T) {
	t.Parallel()
	b := NewBroker()
	var all []*Subscriber
	for range 10 * crowd {
		all = append(all, reader(t, b, Topic{"c", "t"}))
	}
	const messages = maxWaiting
	for n := range messages {
		b.Publish(data("c", "t", fmt.Sprint(n)))
		if n == messages/2 {
			for _, r := range all[:5*crowd] {
				b.Leave(r)
			}
		}
	}
	b.Close()
	for _, r := range all[5*crowd:] {
		list := got(t, r)
		require.Len(t, list, messages)
		for n, text := range list {
			require.Equal(t, fmt.Sprintf(`{"kind":"data","channel":"c","topic":"t","data":%d}`, n), text)
		}
	}
}

func TestReadersAreBounded(t *testing.T) {
	t.Parallel()
	b := NewBroker()
	require.Positive(t, b.most)
	b.most = 2
	one, two := reader(t, b), reader(t, b)
	_, err := b.Subscribe(nil)
	require.ErrorIs(t, err, ErrTooMany)
	b.Leave(one)
	three := reader(t, b)
	b.Leave(two)
	b.Leave(three)
}

func TestStreamReaderEndsWithItsStreams(t *testing.T) {
	t.Parallel()
	b := NewBroker()
	r := reader(t, b)
	r.follow()
	r.follow()
	r.done()
	_, err := r.Take()
	require.NoError(t, err)
	r.put(Item{Text: []byte("last")})
	r.done()
	items, err := r.Take()
	require.ErrorIs(t, err, io.EOF)
	require.Len(t, items, 1)
}

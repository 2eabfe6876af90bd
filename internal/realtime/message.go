package realtime

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Kinds of messages. SDKs drop a message of a kind that they do not know.
// Source: spec/07 §2.1.
const (
	KindData  = "data"
	KindRun   = "run"
	KindBegin = "datastream-start"
	KindChunk = "chunk"
	KindEnd   = "datastream-end"
)

// Topics with a meaning of their own. Nobody else publishes to names that begin
// with "$".
const (
	TopicStream = "$stream" // of a run's channel: what its endpoint streams
	TopicRun    = "$run"    // of a run's channel: that it has ended
)

// Message is one message of a topic.
type Message struct {
	Kind, Channel, Topic string
	Run                  string         // the run that it comes from; "" for none
	Stream               string         // of chunks: the id of their data stream
	Data                 jsontext.Value // valid JSON
	Metadata             jsontext.Value // nil: none
	At                   time.Time
}

// quote writes text as a JSON string; what is not UTF-8 in it is replaced.
func quote[T string | []byte](text T) jsontext.Value {
	b, _ := jsontext.AppendQuote(nil, text) // its error only says that something was replaced
	return b
}

// encode writes m as one line of JSON. What is not there is left out: SDKs refuse
// null where they expect text.
func (m Message) encode() []byte {
	b := make([]byte, 0, 160+len(m.Channel)+len(m.Topic)+len(m.Data)+len(m.Metadata))
	text := func(name, value string) {
		if value == "" {
			return
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), `":`...)
		b, _ = jsontext.AppendQuote(b, value) // its error only says that something was replaced
	}
	b = append(b, '{')
	text("kind", m.Kind)
	text("channel", m.Channel)
	text("topic", m.Topic)
	text("run_id", m.Run)
	text("stream_id", m.Stream)
	b = append(append(b, `,"data":`...), m.Data...)
	if m.Metadata != nil {
		b = append(append(b, `,"metadata":`...), m.Metadata...)
	}
	if !m.At.IsZero() {
		text("created_at", m.At.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	}
	return append(b, '}')
}

package pawl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// EventType is a kind of event: its name, and what its data looks like.
type EventType[T any] struct{ name string }

// NewEvent names a kind of event. T is what its data is read from and written
// to; its JSON has to be an object.
func NewEvent[T any](name string) EventType[T] { return EventType[T]{name} }

// Name is the event's name, such as "contact/form.submitted".
func (e EventType[T]) Name() string { return e.name }

// New is an event of this kind.
func (e EventType[T]) New(data T) Event { return Event{Name: e.name, Data: data} }

// Event is a fact that happened, to be sent.
type Event struct {
	Name string
	Data any // its JSON has to be an object
	// ID tells repetitions apart: of the events with one ID, each function is
	// started by the first alone. They are remembered for 24 hours.
	ID string
	// At is when it happens; the zero Time: now. Functions start no sooner.
	At time.Time
}

// WithID is e with an ID.
func (e Event) WithID(id string) Event { e.ID = id; return e }

func (e Event) json() ([]byte, error) {
	data, err := marshal(e.Data)
	if err != nil {
		return nil, fmt.Errorf("pawl: event %s: %w", e.Name, err)
	}
	body := struct {
		Name string          `json:"name"`
		Data json.RawMessage `json:"data"`
		ID   string          `json:"id,omitempty"`
		At   int64           `json:"ts,omitempty"`
	}{e.Name, data, e.ID, 0}
	if !e.At.IsZero() {
		body.At = e.At.UnixMilli()
	}
	return marshal(body)
}

// Received is an event as a function got it.
type Received struct {
	ID   string
	Name string
	At   time.Time
	Data json.RawMessage
}

func received(raw json.RawMessage) (r Received, err error) {
	var body struct {
		ID   string          `json:"id"`
		Name string          `json:"name"`
		At   int64           `json:"ts"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return r, fmt.Errorf("the event cannot be read: %w", err)
	}
	return Received{body.ID, body.Name, time.UnixMilli(body.At), body.Data}, nil
}

// Where is a condition for [Trigger.If], [If] and [CancelOn]: the event that
// comes has value at path in its data. Whatever value holds, it is compared and
// never read as part of the condition.
func Where(path string, value any) string {
	v, err := json.Marshal(value)
	if err != nil {
		v = null
	}
	return "async.data." + path + " == " + string(v)
}

var null = json.RawMessage("null")

// marshal is the JSON of v, as short as it is.
func marshal(v any) (json.RawMessage, error) {
	if raw, ok := v.(json.RawMessage); ok {
		if raw == nil {
			return null, nil
		}
		return raw, nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("%T cannot be written as JSON: %w", v, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// duration is how the protocol writes d.
func duration(d time.Duration) string { return max(d, 0).String() }

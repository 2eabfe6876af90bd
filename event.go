package pawl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
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

// Where is a condition for [If] and [CancelOn]: the event that comes has value at
// path in its data, such as order.id or items[0].id. Whatever value holds, it is
// compared and never read as part of the condition. nil is equal to what is not
// there. A value that JSON cannot hold is equal to nothing.
func Where(path string, value any) string {
	v, err := json.Marshal(value)
	if err != nil {
		return "false"
	}
	if n, err := strconv.ParseUint(string(v), 10, 64); err == nil && n > math.MaxInt64 {
		v = append(v, 'u') // as CEL writes such a number
	}
	return "async.data" + member(path) + " == " + string(v)
}

// reserved are the words that CEL does not take for a name.
var reserved = map[string]bool{
	"as": true, "break": true, "const": true, "continue": true, "else": true, "false": true, "for": true, "function": true, "if": true,
	"import": true, "in": true, "let": true, "loop": true, "namespace": true, "null": true, "package": true, "return": true, "true": true,
	"var": true, "void": true, "while": true,
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// member is the way to path in CEL, from what has it: .order.id, or ["order-id"]
// for what is no name there.
func member(path string) string {
	var way strings.Builder
	for _, part := range strings.Split(path, ".") {
		name, index, _ := strings.Cut(part, "[")
		switch {
		case identifier.MatchString(name) && !reserved[name]:
			way.WriteString("." + name)
		case name != "" || index == "":
			quoted, _ := json.Marshal(name) // text always has JSON, which CEL reads
			way.WriteString("[" + string(quoted) + "]")
		}
		if index != "" {
			way.WriteString("[" + index)
		}
	}
	return way.String()
}

// lying is what lies at path in data; nil when nothing does.
func lying(data any, path string) any {
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		switch v := data.(type) {
		case map[string]any:
			data = v[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			data = v[i]
		default:
			return nil
		}
	}
	return data
}

// startedWith reports whether the event that started the run has something at path.
func (c *call) startedWith(path string) bool {
	if len(c.events) == 0 {
		return false
	}
	var event struct {
		Data any `json:"data"`
	}
	return json.Unmarshal(c.events[0], &event) == nil && lying(event.Data, path) != nil
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

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of the event API. Source: SDK protocol notes 10 §3.
const (
	MaxEvents         = 5000    // in one request
	MaxEventBytes     = 3 << 20 // of raw JSON, each
	MaxEventNameBytes = 512
	MaxEventKeyBytes  = 512 // Pawl's own: of the id a sender sets
)

// The times an event may carry, in Unix milliseconds: 1980 up to 2100.
const (
	minEventMillis = 315_532_800_000
	maxEventMillis = 4_102_444_800_000
)

// Event is one event as it enters the server.
type Event struct {
	ID        string // internal ULID
	Key       string // the id the sender set, "" if none: the deduplication key
	Name      string
	Timestamp int64          // Unix milliseconds
	Body      jsontext.Value // as functions see it; keys sorted, numbers as they were sent
}

// EventError says which event of a request was refused, and why. Its message is
// for the sender.
type EventError struct {
	Index   int // of the event in the request; -1 when it is the request itself
	Message string
	Status  int // HTTP status to answer with
}

// Error is the message.
func (e *EventError) Error() string { return e.Message }

func requestError(status int, format string, args ...any) *EventError {
	return &EventError{Index: -1, Message: fmt.Sprintf(format, args...), Status: status}
}

var errShape = errors.New("Request body must contain an event object or an array of event objects") //nolint:staticcheck // part of the protocol

// ReadEvents reads the body of POST /e/{key}: one event or an array of them. An
// empty body and an empty array are no events. now dates events that have no ts
// of their own. Ids come from the seed header when it is well formed, so that a
// retried request gets the same ones, else from newID.
//
// A lone surrogate (\ud800), as JavaScript writes for a text that was cut in the
// middle of a character, becomes U+FFFD; bytes that are not UTF-8 are refused.
//
// On a bad event it returns those before it and an *EventError: they are to be
// stored, and the sender is told which one was refused. When the request as a
// whole is refused (its type, its shape, more than MaxEvents) there are no
// events. Source: SDK protocol notes 10 §3 to §5 and §9.
func ReadEvents(body []byte, contentType, seed string, now time.Time, newID func() string) ([]Event, error) {
	body = bytes.TrimSpace(body)
	if err := checkType(contentType, body); err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, nil
	}
	in := intake{now: now.UnixMilli(), newID: newID}
	in.seed, in.seeded = parseSeed(seed)

	if body[0] == '{' {
		e, err := in.read(body, 0)
		if err != nil {
			return nil, &EventError{0, err.Error(), 400}
		}
		return []Event{e}, nil
	}
	if body[0] != '[' {
		return nil, requestError(400, "%s", errShape)
	}
	return in.readAll(body)
}

// checkType lets JSON through, and types under which clients send JSON without
// meaning anything by them. Whatever else a browser can be made to post has to
// look like JSON already.
func checkType(contentType string, body []byte) error {
	if contentType == "" {
		return nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return requestError(415, "Content-Type cannot be parsed; send application/json")
	}
	switch {
	case media == "application/json", media == "text/plain", strings.HasSuffix(media, "+json"):
		return nil
	case media == "application/x-www-form-urlencoded": // what curl -d says unless it is told otherwise
		if len(body) > 0 && body[0] != '{' && body[0] != '[' {
			return requestError(400, "%s; what came is a form", errShape)
		}
		return nil
	}
	return requestError(415, "Content-Type %s is not supported; send application/json", clip(media))
}

// intake reads the events of one request.
type intake struct {
	now    int64
	newID  func() string
	seed   seed
	seeded bool
}

func (in intake) readAll(body []byte) ([]Event, error) {
	// Broken Unicode is looked for in each event, so that it costs that one only.
	c := newCursor(body, jsontext.AllowInvalidUTF8(true))
	defer c.close()
	if err := c.open('['); err != nil {
		return nil, requestError(400, "%s", errShape)
	}
	var events []Event
	for c.kind() != ']' {
		if len(events) == MaxEvents {
			return nil, errTooManyEvents()
		}
		at := len(events) + 1 // as people count
		raw, err := c.value()
		if err != nil {
			return events, &EventError{at - 1, fmt.Sprintf("event %d: invalid JSON: %s", at, err), 400}
		}
		e, err := in.read(raw, at-1)
		if err != nil {
			all := at + c.left(MaxEvents-at)
			if all > MaxEvents {
				return nil, errTooManyEvents()
			}
			return events, &EventError{at - 1, fmt.Sprintf("event %d of %d: %s", at, all, err), 400}
		}
		events = append(events, e)
	}
	if err := c.open(']'); err != nil {
		return events, &EventError{len(events), "invalid JSON: " + err.Error(), 400}
	}
	if err := c.end(); err != nil {
		return nil, requestError(400, "invalid JSON: %s", err)
	}
	return events, nil
}

func errTooManyEvents() *EventError {
	return requestError(400, "Cannot have more than %d events in a batch", MaxEvents)
}

// left is how many elements the array that c is in still has, or most+1 when it
// has more than most. What cannot be read counts as the end.
func (c cursor) left(most int) (n int) {
	for n <= most && c.kind() != ']' && c.skip() == nil {
		n++
	}
	return n
}

// read makes event number index of its raw JSON.
func (in intake) read(raw []byte, index int) (Event, error) {
	switch {
	case len(raw) > MaxEventBytes:
		return Event{}, fmt.Errorf("Event is over the max size: Max %d bytes / Size %d bytes", MaxEventBytes, len(raw))
	case raw[0] != '{':
		return Event{}, errShape
	case !utf8.Valid(raw):
		return Event{}, fmt.Errorf("invalid JSON: %w", ErrUTF8)
	}
	if err := checkNesting(raw); err != nil {
		return Event{}, fmt.Errorf("invalid JSON: %w", err)
	}
	f, err := readFields(raw)
	if err != nil {
		// A lone surrogate is repaired; everything else is refused.
		fixed, bad := sound(raw)
		if bad != nil || bytes.Equal(fixed, raw) {
			return Event{}, err
		}
		if f, err = readFields(fixed); err != nil {
			return Event{}, err
		}
	}
	if err := f.check(); err != nil {
		return Event{}, err
	}
	if f.ts == 0 {
		f.ts = in.now
	}
	e := Event{Key: f.id, Name: f.name, Timestamp: f.ts}
	if in.seeded {
		e.ID = in.seed.id(index + 1)
	} else {
		e.ID = in.newID()
	}
	e.Body, err = f.body(e)
	return e, err
}

// fields are the members of an event that mean something.
type fields struct {
	id, name, v string
	hasV        bool
	ts          int64
	data, user  jsontext.Value
	sessions    sessions
}

func readFields(raw []byte) (fields, error) {
	var f fields
	c := newCursor(raw)
	defer c.close()
	err := c.members(func(name []byte) error {
		switch string(name) {
		case "id", "name", "v", "ts", "data", "user", "meta":
		default:
			return c.skip()
		}
		v, err := c.value()
		if err != nil {
			return err
		}
		if isNull(v) {
			return nil
		}
		return f.set(string(name), v)
	})
	if err == nil {
		if err := c.end(); err != nil {
			return f, fmt.Errorf("invalid JSON: %w", err)
		}
		return f, nil
	}
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return f, fmt.Errorf("invalid JSON: %w", err)
	}
	return f, err
}

func (f *fields) set(name string, v jsontext.Value) (err error) {
	switch name {
	case "id":
		f.id, err = text(v)
	case "name":
		f.name, err = text(v)
	case "v":
		f.v, err = text(v)
		f.hasV = true
	case "ts":
		if v.Kind() == '0' {
			f.ts, err = strconv.ParseInt(string(v), 10, 64)
		}
		if v.Kind() != '0' || err != nil {
			return errors.New("event ts must be a whole number of milliseconds")
		}
	case "data", "user":
		if v.Kind() != '{' {
			return fmt.Errorf("event %s: want an object, got %s", name, kindName(v.Kind()))
		}
		if name == "data" {
			f.data = v
		} else {
			f.user = v
		}
	case "meta":
		f.sessions, err = readSessions(v)
		return err // which says what it is about
	}
	if err != nil {
		return fmt.Errorf("event %s: %w", name, err)
	}
	return nil
}

func (f fields) check() error {
	if err := ValidateName(f.name); err != nil {
		return err
	}
	if len(f.id) > MaxEventKeyBytes {
		return fmt.Errorf("event id is longer than %d bytes", MaxEventKeyBytes)
	}
	if strings.ContainsFunc(f.id, unicode.IsControl) {
		return errors.New("event id contains a control character")
	}
	if f.ts != 0 && (f.ts < minEventMillis || f.ts > maxEventMillis) {
		return errors.New("event ts must lie between the years 1980 and 2100, in milliseconds")
	}
	return nil
}

// body builds the event as functions see it.
func (f fields) body(e Event) (jsontext.Value, error) {
	p := EventParts{ID: e.Key, Name: e.Name, Timestamp: e.Timestamp, Data: f.data, User: f.user}
	if p.ID == "" {
		p.ID = e.ID
	}
	if f.hasV {
		p.V = &f.v
	}
	if bytes.Contains(f.data, []byte("inngest")) || bytes.Contains(f.data, []byte(`\`)) {
		data, err := withoutMember(f.data, "_inngest")
		if err != nil {
			return nil, err
		}
		p.Data = data
	}
	p.Meta = f.sessions.meta()
	return p.AppendBody(make([]byte, 0, len(p.Data)+len(p.User)+len(p.Meta)+len(p.Name)+len(p.ID)+96))
}

// WithoutReserved returns the data of an event without the member that only the
// server may write. It shares no memory with data.
func WithoutReserved(data jsontext.Value) (jsontext.Value, error) {
	return withoutMember(data, "_inngest")
}

// withoutMember returns v without one of its members.
func withoutMember(v jsontext.Value, name string) (jsontext.Value, error) {
	out := append(make([]byte, 0, len(v)), '{')
	c := newCursor(v)
	defer c.close()
	err := c.members(func(n []byte) error {
		drop := string(n) == name
		member := string(n)
		val, err := c.value()
		if err != nil || drop {
			return err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(appendText(out, member), ':')
		out = append(out, val...)
		return nil
	})
	return append(out, '}'), err
}

// ReplaceData returns the body of an event with other data. The member that only
// the server may write stays as it was. data must be an object.
func ReplaceData(body, data jsontext.Value) (jsontext.Value, error) {
	const reserved = "_inngest"
	data, err := withoutMember(data, reserved)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(body)+len(data)), '{')
	c := newCursor(body)
	defer c.close()
	err = c.members(func(n []byte) error {
		name := string(n)
		v, err := c.value()
		if err != nil {
			return err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(appendText(out, name), ':')
		if name != "data" {
			out = append(out, v...)
			return nil
		}
		kept, err := member(v, reserved)
		if err != nil {
			return err
		}
		if kept == nil {
			out = append(out, data...)
			return nil
		}
		out = append(append(out, `{"_inngest":`...), kept...)
		if len(data) > len("{}") {
			out = append(out, ',')
		}
		out = append(out, data[1:]...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out = append(out, '}')
	return appendSorted(make([]byte, 0, len(out)), out)
}

// member is the value of one of an object's members; nil if it has none of that
// name, or is no object.
func member(v jsontext.Value, name string) (found jsontext.Value, err error) {
	if v.Kind() != '{' {
		return nil, nil
	}
	c := newCursor(v)
	defer c.close()
	err = c.members(func(n []byte) error {
		match := string(n) == name
		value, err := c.value()
		if match {
			found = value
		}
		return err
	})
	return found, err
}

// EventParts are the members of an event body, for events that Pawl makes.
type EventParts struct {
	ID        string
	Name      string
	Timestamp int64          // Unix milliseconds
	Data      jsontext.Value // an object; nil is {}
	User      jsontext.Value // an object; nil is {}
	Meta      jsontext.Value // nil when there is none
	V         *string        // nil when there is none
}

// AppendBody appends the event with its keys sorted on every level and its
// numbers as they are. It fails when a part is not valid JSON.
func (p EventParts) AppendBody(dst []byte) ([]byte, error) {
	var err error
	dst = append(dst, `{"data":`...)
	if dst, err = appendObject(dst, p.Data); err != nil {
		return nil, fmt.Errorf("event data: %w", err)
	}
	dst = append(dst, `,"id":`...)
	dst = appendText(dst, p.ID)
	if len(p.Meta) > 0 {
		dst = append(dst, `,"meta":`...)
		if dst, err = appendSorted(dst, p.Meta); err != nil {
			return nil, fmt.Errorf("event meta: %w", err)
		}
	}
	dst = append(dst, `,"name":`...)
	dst = appendText(dst, p.Name)
	dst = append(dst, `,"ts":`...)
	dst = strconv.AppendInt(dst, p.Timestamp, 10)
	dst = append(dst, `,"user":`...)
	if dst, err = appendObject(dst, p.User); err != nil {
		return nil, fmt.Errorf("event user: %w", err)
	}
	if p.V != nil {
		dst = append(dst, `,"v":`...)
		dst = appendText(dst, *p.V)
	}
	return append(dst, '}'), nil
}

func appendObject(dst []byte, v jsontext.Value) ([]byte, error) {
	if isNull(v) || len(v) == len("{}") {
		return append(dst, "{}"...), nil
	}
	return appendSorted(dst, v)
}

// ValidateName checks the name of an event that comes from outside: not empty,
// at most MaxEventNameBytes of UTF-8 without control characters, and not under
// inngest/, whatever the letter case, which is for events the server makes.
func ValidateName(name string) error {
	const reserved = "inngest/"
	switch {
	case name == "":
		return errors.New("event name is empty")
	case len(name) > MaxEventNameBytes:
		return fmt.Errorf("event name is longer than %d bytes", MaxEventNameBytes)
	case !utf8.ValidString(name):
		return errors.New("event name is not valid UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("event name contains a control character")
	case len(name) >= len(reserved) && strings.EqualFold(name[:len(reserved)], reserved):
		return errors.New("event name is reserved for internal use: inngest/")
	}
	return nil
}

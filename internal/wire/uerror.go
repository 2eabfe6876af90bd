package wire

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Error is an error of user code, or one that Pawl makes in its place. Name,
// Message and Stack are for people; Raw is the object the SDK sent, byte for
// byte, because SDKs rebuild the exception from it and Go needs its "data".
type Error struct {
	Name    string
	Message string
	Stack   string
	Raw     jsontext.Value // always an object when made by ParseError or NewError
}

// Error makes it a Go error.
func (e Error) Error() string {
	if e.Name == "" {
		return e.Message
	}
	return e.Name + ": " + e.Message
}

// excerptBytes is how much of a body that makes no sense an error keeps.
const excerptBytes = 1 << 10

// ParseError reads the error object of an op or of a failed answer. The name
// falls back to "Error"; the message to the member "error", then to the start
// of fallbackBody if that says anything, then to "unknown error". A raw that is no object is wrapped
// into one. It never fails. Source: SDK protocol notes 03 §2.3.
func ParseError(raw jsontext.Value, fallbackBody []byte) Error {
	e := Error{Raw: raw}
	var other string // the member "error", which some answers use for the message
	switch raw.Kind() {
	case '{':
		c := newCursor(raw)
		defer c.close()
		err := c.members(func(name []byte) error {
			v, err := c.value()
			if err != nil || v.Kind() != '"' {
				return err
			}
			s, err := text(v)
			if err != nil {
				return err
			}
			switch string(name) {
			case "name":
				e.Name = s
			case "message":
				e.Message = s
			case "stack":
				e.Stack = s
			case "error":
				other = s
			}
			return nil
		})
		if err != nil {
			e.Raw = nil
		}
	case '"':
		other, _ = text(raw)
		e.Raw = nil
	default:
		e.Raw = nil
	}
	if e.Name == "" {
		e.Name = "Error"
	}
	if e.Message == "" {
		e.Message = other
	}
	if e.Message == "" {
		if e.Message = excerpt(fallbackBody); e.Message == "{}" || e.Message == "null" {
			e.Message = "" // an error that was lost when the SDK encoded it
		}
	}
	if e.Message == "" {
		e.Message = "unknown error"
	}
	if e.Raw == nil {
		e.Raw = NewError(e.Name, e.Message, e.Stack, false).Raw
	}
	return e
}

// NewError makes an error of Pawl's own. With data its object has "data":null,
// which the Go SDK needs in an error memo; others do not mind it.
func NewError(name, message, stack string, data bool) Error {
	b := []byte{'{'}
	if data {
		b = append(b, `"data":null,`...)
	}
	b = append(b, `"error":`...)
	b = appendText(b, name+": "+message)
	b = append(b, `,"message":`...)
	b = appendText(b, message)
	b = append(b, `,"name":`...)
	b = appendText(b, name)
	if stack != "" {
		b = append(b, `,"stack":`...)
		b = appendText(b, stack)
	}
	return Error{Name: name, Message: message, Stack: stack, Raw: append(b, '}')}
}

// excerpt is the start of a body as text, cut between characters.
func excerpt(body []byte) string {
	body = bytes.TrimSpace(body)
	if len(body) <= excerptBytes {
		return strings.ToValidUTF8(string(body), "\uFFFD")
	}
	cut := excerptBytes
	for cut > excerptBytes-utf8.UTFMax && !utf8.RuneStart(body[cut]) {
		cut--
	}
	return strings.ToValidUTF8(string(body[:cut]), "\uFFFD") + "…"
}

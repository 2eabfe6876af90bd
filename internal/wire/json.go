package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrNesting means a body has more than MaxNesting levels of objects and arrays.
var ErrNesting = errors.New("nested too deeply: more than 1000 levels")

// ErrUTF8 means a body holds bytes that are not UTF-8.
var ErrUTF8 = errors.New("not valid UTF-8")

var null = jsontext.Value("null")

// CheckJSON reports why b is not one JSON value that Pawl takes from outside:
// not JSON, not UTF-8 (ErrUTF8), an object with the same name twice, or nested
// deeper than MaxNesting (ErrNesting). Depth is looked at first, so a bomb costs
// one pass over its bytes and no memory. A lone surrogate written as an escape
// passes: JavaScript writes those for a text cut in the middle of a character.
func CheckJSON(b []byte) error {
	if err := checkNesting(b); err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return ErrUTF8
	}
	_, err := sound(b)
	return err
}

// CheckBody says what makes a body unfit to be read as JSON at all: too many
// brackets in each other, or text that is not UTF-8.
func CheckBody(b []byte) error {
	if !utf8.Valid(b) {
		return ErrUTF8
	}
	return checkNesting(b)
}

// checkNesting counts brackets outside strings. It is exact for valid JSON and
// stops at the first bracket too many for anything else.
func checkNesting(b []byte) error {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			if depth++; depth > MaxNesting {
				return ErrNesting
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		}
	}
	return nil
}

// sound returns b when it is one strictly valid JSON value. When all that is
// wrong with b is its Unicode (a lone surrogate, a stray byte), sound returns a
// copy with U+FFFD in those places, so that nothing behind it meets such text
// again. Numbers stay as they are.
func sound(b []byte) (jsontext.Value, error) {
	v := jsontext.Value(b)
	if v.IsValid() {
		return v, nil
	}
	fixed := v.Clone()
	if err := fixed.Format(jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, inWords(err)
	}
	return fixed, nil
}

// syntaxError is a mistake in JSON, in words for whoever wrote it.
type syntaxError struct{ err error }

func (e syntaxError) Error() string {
	if errors.Is(e.err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	return strings.TrimPrefix(e.err.Error(), "jsontext: ")
}

func (e syntaxError) Unwrap() error { return e.err }

// inWords makes an error of the JSON library one for a person. The end of the
// input in the middle of a value is io.ErrUnexpectedEOF.
func inWords(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return syntaxError{io.ErrUnexpectedEOF}
	}
	return syntaxError{err}
}

// cursor walks JSON without copying: values are slices of src.
type cursor struct {
	*walker
	src []byte
}

// walker is the part of a cursor that is worth using again: a decoder keeps the
// tables in which it looks for repeated names.
type walker struct {
	dec jsontext.Decoder
	buf bytes.Buffer
}

var walkers = sync.Pool{New: func() any { return new(walker) }}

// newCursor starts at the beginning of src. It is closed when it is done with.
func newCursor(src []byte, opts ...jsontext.Options) cursor {
	w := walkers.Get().(*walker)
	w.buf = *bytes.NewBuffer(src)
	w.dec.Reset(&w.buf, opts...)
	return cursor{w, src}
}

// close gives the walker back, without the source.
func (c cursor) close() {
	c.buf = bytes.Buffer{}
	c.dec.Reset(&c.buf)
	walkers.Put(c.walker)
}

// kind says what comes next; 0 when nothing readable does.
func (c cursor) kind() jsontext.Kind { return c.dec.PeekKind() }

// value reads the next value whole.
func (c cursor) value() (jsontext.Value, error) {
	v, err := c.dec.ReadValue()
	if err != nil {
		return nil, inWords(err)
	}
	end := int(c.dec.InputOffset())
	return c.src[end-len(v) : end : end], nil
}

// skip reads the next value away.
func (c cursor) skip() error { return inWords(c.dec.SkipValue()) }

// open reads the bracket that starts an object or an array.
func (c cursor) open(want jsontext.Kind) error {
	if k := c.kind(); k != want && k != 0 {
		return fmt.Errorf("want %s, got %s", kindName(want), kindName(k))
	}
	_, err := c.dec.ReadToken()
	return inWords(err)
}

// members walks one object. visit must read exactly the value of the name it is
// given; the name is valid only during the call.
func (c cursor) members(visit func(name []byte) error) error {
	if err := c.open('{'); err != nil {
		return err
	}
	for c.kind() != '}' {
		quoted, err := c.value()
		if err != nil {
			return err
		}
		name, err := unquote(quoted)
		if err != nil {
			return err
		}
		if err := visit(name); err != nil {
			return err
		}
	}
	_, err := c.dec.ReadToken()
	return inWords(err)
}

// end makes sure that nothing but white space is left.
func (c cursor) end() error {
	switch _, err := c.dec.ReadToken(); {
	case err == nil:
		return errors.New("more than one JSON value")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return inWords(err)
	}
}

// unquote returns the text of a JSON string, without copying when it has no
// escapes.
func unquote(quoted []byte) ([]byte, error) {
	if n := len(quoted); n >= 2 && bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : n-1], nil
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	return text, inWords(err)
}

// text reads a JSON string; null and nothing are the empty string.
func text(v jsontext.Value) (string, error) {
	switch k := v.Kind(); {
	case isNull(v):
		return "", nil
	case k != '"':
		return "", fmt.Errorf("want a string, got %s", kindName(k))
	}
	b, err := unquote(bytes.TrimSpace(v))
	return string(b), err
}

// isNull reports whether v says nothing.
func isNull(v jsontext.Value) bool { return len(v) == 0 || v.Kind() == 'n' }

// orNull makes a missing value an explicit null.
func orNull(v jsontext.Value) jsontext.Value {
	if len(v) == 0 {
		return null
	}
	return v
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{', '}':
		return "an object"
	case '[', ']':
		return "an array"
	default:
		return "no JSON"
	}
}

// appendText writes s as a JSON string. Broken UTF-8 becomes U+FFFD.
func appendText(dst []byte, s string) []byte {
	dst, err := jsontext.AppendQuote(dst, s)
	_ = err // it only says that s had broken UTF-8, which is replaced all the same
	return dst
}

// Package redact takes what must not be seen out of JSON and out of text. It works
// on whole documents, so that no part of one can be forgotten: a rule names members
// by the end of their path, or text by a pattern.
package redact

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Mark stands in the place of what was taken out.
const Mark = "[redacted]"

// Bounds of rules.
const (
	mostRules = 200
	mostRule  = 500 // bytes
)

// Rules say what is taken out. The zero Rules take out nothing.
type Rules struct {
	paths    map[string][][]string // of member names from the end, by the last name
	patterns []*regexp.Regexp
}

// patternPrefix begins a rule that is a pattern.
const patternPrefix = "pattern:"

// Parse reads rules: "card.number" is every member number of a member card, in
// whatever depth and through arrays, in any letter case; "pattern:\b\d{16}\b" is all
// text that the expression matches (RE2 syntax).
func Parse(rules []string) (Rules, error) {
	r := Rules{paths: map[string][][]string{}}
	if len(rules) > mostRules {
		return Rules{}, fmt.Errorf("there are %d rules; the most is %d", len(rules), mostRules)
	}
	for _, rule := range rules {
		switch expr, isPattern := strings.CutPrefix(rule, patternPrefix); {
		case len(rule) > mostRule:
			return Rules{}, fmt.Errorf("rule %.40q… has more than %d bytes", rule, mostRule)
		case isPattern:
			p, err := regexp.Compile(expr)
			if err != nil {
				return Rules{}, fmt.Errorf("rule %q: %w", rule, err)
			}
			if p.MatchString("") {
				return Rules{}, fmt.Errorf("rule %q matches any text", rule)
			}
			r.patterns = append(r.patterns, p)
		default:
			path := strings.Split(strings.ToLower(strings.TrimPrefix(rule, "$.")), ".")
			for _, name := range path {
				if name == "" {
					return Rules{}, fmt.Errorf("rule %q: want names of members with dots between them, such as card.number", rule)
				}
			}
			last := path[len(path)-1]
			r.paths[last] = append(r.paths[last], path)
		}
	}
	return r, nil
}

// Any reports whether there are rules.
func (r Rules) Any() bool { return len(r.paths)+len(r.patterns) > 0 }

// Text takes out of text what the patterns match.
func (r Rules) Text(s string) string {
	for _, p := range r.patterns {
		s = p.ReplaceAllLiteralString(s, Mark)
	}
	return s
}

// JSON takes out of a document what the rules name. Numbers and the order of members
// stay as they are. A text that holds JSON itself, as bodies of HTTP do, is looked
// into as well. It fails when src is no JSON.
func (r Rules) JSON(src []byte) ([]byte, error) {
	if !r.Any() {
		return src, nil
	}
	out, _, err := r.document(src, nil, 0)
	return out, err
}

// deepest is how many texts that hold JSON are looked into, one in the other.
const deepest = 3

// document copies a document and reports whether anything was taken out.
func (r Rules) document(src []byte, path []string, depth int) (copied []byte, hit bool, err error) {
	lenient := jsontext.AllowDuplicateNames(true)
	dec := jsontext.NewDecoder(bytes.NewReader(src), lenient, jsontext.AllowInvalidUTF8(true))
	var out bytes.Buffer
	enc := jsontext.NewEncoder(&out, lenient, jsontext.AllowInvalidUTF8(true))
	w := walk{rules: r, dec: dec, enc: enc, path: path, depth: depth}
	if err := w.value(); err != nil {
		return nil, false, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, false, errors.New("more than one JSON value")
	}
	return bytes.TrimRight(out.Bytes(), "\n"), w.hit, nil
}

// walk copies one document.
type walk struct {
	rules Rules
	dec   *jsontext.Decoder
	enc   *jsontext.Encoder
	path  []string // names of the members on the way here, in lower case
	depth int
	hit   bool // something was taken out
}

// without is text without what the patterns match.
func (w *walk) without(s string) string {
	clean := w.rules.Text(s)
	w.hit = w.hit || clean != s
	return clean
}

func (w *walk) value() error {
	switch w.dec.PeekKind() {
	case '{':
		return w.object()
	case '[':
		return w.array()
	case '"':
		return w.text()
	case '0':
		if len(w.rules.patterns) > 0 {
			return w.number()
		}
	default:
	}
	v, err := w.dec.ReadValue()
	if err != nil {
		return err
	}
	return w.enc.WriteValue(v)
}

func (w *walk) object() error {
	if err := w.copyToken(); err != nil {
		return err
	}
	for w.dec.PeekKind() != '}' {
		name, err := w.dec.ReadToken()
		if err != nil {
			return err
		}
		lower := strings.ToLower(name.String())
		if err := w.enc.WriteToken(jsontext.String(w.without(name.String()))); err != nil {
			return err
		}
		w.path = append(w.path, lower)
		if w.named() {
			if err := w.dec.SkipValue(); err != nil {
				return err
			}
			w.hit = true
			err = w.enc.WriteToken(jsontext.String(Mark))
		} else {
			err = w.value()
		}
		if err != nil {
			return err
		}
		w.path = w.path[:len(w.path)-1]
	}
	return w.copyToken()
}

func (w *walk) array() error {
	if err := w.copyToken(); err != nil {
		return err
	}
	for w.dec.PeekKind() != ']' {
		if err := w.value(); err != nil {
			return err
		}
	}
	return w.copyToken()
}

func (w *walk) copyToken() error {
	t, err := w.dec.ReadToken()
	if err != nil {
		return err
	}
	return w.enc.WriteToken(t)
}

func (w *walk) text() error {
	t, err := w.dec.ReadToken()
	if err != nil {
		return err
	}
	s := t.String()
	if inner := strings.TrimSpace(s); w.depth < deepest && inner != "" && strings.ContainsRune(`{["`, rune(inner[0])) {
		if b, hit, err := w.rules.document([]byte(inner), w.path, w.depth+1); err == nil && hit {
			s, w.hit = string(b), true
		}
	}
	return w.enc.WriteToken(jsontext.String(w.without(s)))
}

// number takes out a number that a pattern matches, such as that of a card.
func (w *walk) number() error {
	v, err := w.dec.ReadValue()
	if err != nil {
		return err
	}
	if s := string(v); w.without(s) != s {
		return w.enc.WriteToken(jsontext.String(Mark))
	}
	return w.enc.WriteValue(v)
}

// named reports whether a rule names the member that was just reached.
func (w *walk) named() bool {
	for _, rule := range w.rules.paths[w.path[len(w.path)-1]] {
		if len(rule) > len(w.path) {
			continue
		}
		tail := w.path[len(w.path)-len(rule):]
		same := true
		for i := range rule {
			same = same && rule[i] == tail[i]
		}
		if same {
			return true
		}
	}
	return false
}

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
	"slices"
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
	paths    map[string][]string // in lower case, by the last name
	compare  *regexp.Regexp      // of conditions over paths; nil: there are no paths
	patterns []*regexp.Regexp
	begun    []*regexp.Regexp // how what those match begins, where a text was cut
}

// patternPrefix begins a rule that is a pattern.
const patternPrefix = "pattern:"

// Parse reads rules: "card.number" is every member number of a member card, in
// whatever depth and through arrays, in any letter case; "pattern:\b\d{16}\b" is all
// text that the expression matches (RE2 syntax).
func Parse(rules []string) (Rules, error) {
	r := Rules{}
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
			r.patterns, r.begun = append(r.patterns, p), append(r.begun, cutOff(p))
		default:
			path := strings.ToLower(strings.TrimPrefix(rule, "$."))
			names := strings.Split(path, ".")
			if slices.Contains(names, "") {
				return Rules{}, fmt.Errorf("rule %q: want names of members with dots between them, such as card.number", rule)
			}
			if r.paths == nil {
				r.paths = map[string][]string{}
			}
			last := names[len(names)-1]
			r.paths[last] = append(r.paths[last], path)
		}
	}
	var err error
	if r.compare, err = comparison(r.paths); err != nil {
		return Rules{}, fmt.Errorf("the paths among the rules: %w", err)
	}
	return r, nil
}

// Any reports whether there are rules.
func (r Rules) Any() bool { return len(r.paths)+len(r.patterns) > 0 }

// Text takes out of text what the patterns match, and the members of the documents in
// it: of errors, of logs, whether they are whole or were cut.
func (r Rules) Text(s string) string { return r.text(s, nil, 0) }

// text is Text for the text of a member.
func (r Rules) text(s string, path []byte, depth int) string {
	if !r.Any() {
		return s
	}
	inner, whole := strings.TrimSpace(s), false
	if depth < deepest && inner != "" && strings.IndexByte(`{["`, inner[0]) >= 0 {
		b, hit, err := r.document([]byte(inner), path, depth+1)
		if whole = err == nil; hit && whole {
			s = string(b)
		}
	}
	if !whole {
		s = r.inText(s, path, depth)
	}
	return r.matched(r.compared(s))
}

// matched is text without what the patterns match.
func (r Rules) matched(s string) string {
	for _, p := range r.patterns {
		s = p.ReplaceAllLiteralString(s, Mark)
	}
	return r.withoutBegun(s)
}

// JSON takes out of a document what the rules name. Numbers and the order of members
// stay as they are. A text that holds JSON itself, as bodies of HTTP and errors do, is
// looked into as well. It fails when src is no JSON.
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
func (r Rules) document(src, path []byte, depth int) (copied []byte, hit bool, err error) {
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
	path  []byte // names of the members on the way here, as rules have them
	depth int
	hit   bool // something was taken out
}

// without is text without what the patterns match.
func (w *walk) without(s string) string {
	clean := w.rules.matched(s)
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
		was := len(w.path)
		w.path = join(w.path, name.String())
		if err := w.enc.WriteToken(jsontext.String(w.without(name.String()))); err != nil {
			return err
		}
		if w.rules.named(w.path) {
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
		w.path = w.path[:was]
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
	clean := w.rules.text(s, w.path, w.depth)
	w.hit = w.hit || clean != s
	return w.enc.WriteToken(jsontext.String(clean))
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

// join is a path with one more name.
func join(path []byte, name string) []byte {
	if len(path) > 0 {
		path = append(path, '.')
	}
	return append(path, strings.ToLower(name)...)
}

// last is the last name of a path. A name may have dots in it: {"card.number": 1} is
// what {"card": {"number": 1}} is.
func last(path []byte) []byte { return path[bytes.LastIndexByte(path, '.')+1:] }

// named reports whether a rule names the member of a path.
func (r Rules) named(path []byte) bool {
	for _, rule := range r.paths[string(last(path))] {
		if ends(path, rule) {
			return true
		}
	}
	return false
}

// knows reports whether a rule may name the member of a path whose beginning is not
// known.
func (r Rules) knows(path []byte) bool { return len(r.paths[string(last(path))]) > 0 }

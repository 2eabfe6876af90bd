package redact

import (
	"math/bits"
	"sort"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Errors, logs and the like have documents within their text: after a word, one after
// the other, cut in the middle, or as text of a program with a backslash before each
// quote. A scan finds the members of such a document without knowing where it begins
// and whether it is whole. What it cannot make sense of it takes for a document as far
// as that goes: rather too much is taken out than too little.
//
// A scan is linear. It begins at a bracket, and where nothing can follow as it does it
// begins anew, after the quote of the last string: that may have been the end of one.
// So each byte is looked at a few times at most.

// scan looks for documents in a text.
type scan struct {
	rules Rules
	s     string
	base  []byte // the path of the text itself
	depth int    // of texts in texts
	lost  bool   // a document was broken off: what follows may be a part of it
	edits []edit
}

// edit puts something in the place of a part of the text.
type edit struct {
	from, to int
	with     string
}

// frame is an object or an array that is open.
type frame struct {
	object bool
	path   int // length of its path
}

// inText takes members out of the documents within a text.
func (r Rules) inText(s string, path []byte, depth int) string {
	if len(r.paths) == 0 || strings.IndexByte(s, ':') < 0 || strings.IndexByte(s, '"') < 0 && strings.IndexByte(s, '{') < 0 {
		return s
	}
	x := scan{rules: r, s: s, base: path, depth: depth}
	for at := 0; at < len(s); {
		next := strings.IndexAny(s[at:], `{["`)
		if next < 0 {
			break
		}
		at += next
		if s[at] == '"' {
			at = x.stray(at)
		} else {
			at = x.document(at)
		}
	}
	return x.result()
}

func (x *scan) result() string {
	if len(x.edits) == 0 {
		return x.s
	}
	var b strings.Builder
	at := 0
	for _, e := range x.edits {
		b.WriteString(x.s[at:e.from])
		b.WriteString(e.with)
		at = e.to
	}
	b.WriteString(x.s[at:])
	return b.String()
}

// put notes an edit. What was read in two ways is taken out whole, with all between.
func (x *scan) put(from, to int, with string) {
	i := sort.Search(len(x.edits), func(i int) bool { return x.edits[i].to > from })
	if i == len(x.edits) {
		x.edits = append(x.edits, edit{from, to, with})
		return
	}
	if e := x.edits[i]; e.from != from || e.to != to {
		x.edits[i] = edit{min(e.from, from), max(x.edits[len(x.edits)-1].to, to), Mark}
		x.edits = x.edits[:i+1]
	}
}

// take takes out a value.
func (x *scan) take(from, to, level int) {
	quote := strings.Repeat(`\`, 1<<level-1) + `"`
	x.put(from, to, quote+Mark+quote)
}

// mostLevel is how often a document may be quoted: a quote of level 1 is \", one of
// level 2 \\\", and so on.
const mostLevel = deepest

// quote reads an opening quote at i with its backslashes.
func (x *scan) quote(i int) (level, end int, ok bool) {
	run := 0
	for i+run < len(x.s) && run < 1<<mostLevel && x.s[i+run] == '\\' {
		run++
	}
	level = bits.TrailingZeros(^uint(run))
	ok = run == 1<<level-1 && i+run < len(x.s) && x.s[i+run] == '"'
	return level, i + run + 1, ok
}

// closing finds the quote that ends a string of a level whose text begins at i. A
// string is not ended when the one that it is in is: that is at text then, or there is
// no end at all.
func (x *scan) closing(i, level int) (text, end int, ok bool) {
	start := i
	for {
		n := strings.IndexByte(x.s[i:], '"')
		if n < 0 {
			return len(x.s), len(x.s), false
		}
		i += n
		run := i
		for run > start && x.s[run-1] == '\\' {
			run--
		}
		is := bits.TrailingZeros(^uint(i - run))
		if is <= level {
			return i - 1<<is + 1, i + 1, is == level
		}
		i++
		start = i
	}
}

// space skips white space, quoted or not.
func (x *scan) space(i int) int {
	for i < len(x.s) {
		switch x.s[i] {
		case ' ', '\t', '\n', '\r':
			i++
		case '\\':
			j := i
			for j < len(x.s) && j-i < 1<<mostLevel && x.s[j] == '\\' {
				j++
			}
			if j == len(x.s) || !strings.ContainsRune("nrt", rune(x.s[j])) {
				return i
			}
			i = j + 1
		default:
			return i
		}
	}
	return i
}

// bare skips what is no string and no bracket: a number, a word of JavaScript.
func (x *scan) bare(i int, name bool) int {
	for i < len(x.s) {
		switch x.s[i] {
		case '{', '}', '[', ']', ',', '"', '\\', ' ', '\t', '\n', '\r':
			return i
		case ':':
			if name {
				return i
			}
		case cutMark[0]:
			if strings.HasPrefix(x.s[i:], cutMark) {
				return i
			}
		}
		i++
	}
	return i
}

// stray reads a quote outside of any document. What looks like a member there is one
// of a document whose beginning is not here.
func (x *scan) stray(i int) (next int) {
	run := 0
	for i-run > 0 && run < 1<<mostLevel && x.s[i-run-1] == '\\' {
		run++
	}
	level := bits.TrailingZeros(^uint(run))
	if level > mostLevel {
		return i + 1
	}
	text, end, ok := x.closing(i+1, level)
	if !ok {
		return i + 1
	}
	colon := x.space(end)
	if colon == len(x.s) || x.s[colon] != ':' || !x.rules.knows(x.named(nil, x.s[i+1:text], level)) {
		return i + 1
	}
	return x.value(x.space(colon+1), level)
}

// named is a path with the name of one more member.
func (x *scan) named(path []byte, raw string, level int) []byte {
	if strings.IndexByte(raw, '\\') >= 0 {
		if plain, ok := unquote(raw, level); ok {
			raw = plain
		}
	}
	return join(path, raw)
}

// unquote reads the text of a string of a level.
func unquote(raw string, level int) (string, bool) {
	for range level + 1 {
		b, err := jsontext.AppendUnquote(nil, `"`+raw+`"`)
		if err != nil {
			return "", false
		}
		raw = string(b)
	}
	return raw, true
}

// requote is what unquote reads.
func requote(plain string, level int) string {
	for range level + 1 {
		b, _ := jsontext.AppendQuote(nil, plain) // what is not UTF-8 is replaced
		plain = string(b[1 : len(b)-1])
	}
	return plain
}

// value takes out the value at i, and says where it ends.
func (x *scan) value(i, level int) (end int) {
	if l, text, ok := x.quote(i); ok {
		to, end, closed := x.closing(text, l)
		if !closed {
			end = to
		}
		x.take(i, end, l)
		return end
	}
	if i == len(x.s) || x.cut(i) {
		return i
	}
	switch c := x.s[i]; c {
	case '{', '[':
		return x.nested(i, level)
	case '\'':
		end = len(x.s)
		if n := strings.IndexByte(x.s[i+1:], c); n >= 0 {
			end = i + 1 + n + 1
		}
	case ',', '}', ']':
		return i
	default:
		end = max(x.bare(i, false), i+1)
	}
	x.take(i, end, level)
	return end
}

func (x *scan) cut(i int) bool { return strings.HasPrefix(x.s[i:], cutMark) }

// nested takes out the object or array at i. Where it makes no sense, all that
// follows may be a part of it.
func (x *scan) nested(i, level int) (end int) {
	of := scan{s: x.s} // without rules: it is looked for the end alone
	end, ending := of.walk(i)
	if ending == broken {
		end = len(x.s)
	}
	x.take(i, end, level)
	return end
}

// document reads a document that may begin at i, and says where to go on.
func (x *scan) document(i int) (next int) {
	next, _ = x.walk(i)
	return max(next, i+1)
}

// What a walk is in want of.
type want int8

const (
	wantAny   want = iota // in an array: a value; in an object: a name
	wantColon             // after a name
	wantValue             // after a colon
)

// How a document ends.
type ending int8

const (
	closed ending = iota
	cut           // the text ends, or the string that it is in, or it was cut there
	broken        // it makes no sense
)

// walk reads the document at i, and says where to go on.
func (x *scan) walk(i int) (next int, how ending) {
	var stack []frame
	path := append(make([]byte, 0, 64), x.base...)
	level, last := -1, -1 // of its quotes; where the text of its last string begins
	var at want
	again := func(how ending) (int, ending) {
		if x.rules.paths == nil || last < 0 {
			return i, how
		}
		x.lost = true
		return last, how
	}
	for {
		was := i
		if i = x.space(i); i == len(x.s) {
			return i, cut
		}
		in := frame{}
		if len(stack) > 0 {
			in = stack[len(stack)-1]
		}
		if x.cut(i) {
			if was > 0 && x.s[was-1] == '{' {
				return x.nameless(i, len(stack))
			}
			return i, cut
		}
		c := x.s[i]
		if at == wantValue && c != ':' && (x.rules.named(path) || x.lost && x.rules.knows(path)) {
			if _, text, ok := x.quote(i); ok {
				last = text
			}
			i = x.value(i, max(level, 0))
			at, path = wantAny, path[:in.path]
			if c == '"' && !x.follows(i, level) {
				return again(broken)
			}
			continue
		}
		switch c {
		case '{', '[':
			stack = append(stack, frame{c == '{', len(path)})
			at = wantAny
			i++
		case '}', ']':
			if in.object != (c == '}') {
				return again(broken)
			}
			stack = stack[:len(stack)-1]
			i++
			if len(stack) == 0 {
				return i, closed
			}
			at, path = wantAny, path[:stack[len(stack)-1].path]
		case ',':
			i++
			at, path = wantAny, path[:in.path]
		case ':':
			if at != wantColon {
				return again(broken)
			}
			at = wantValue
			i++
		case '"', '\\':
			l, text, ok := x.quote(i)
			switch {
			case !ok || l > level && level >= 0:
				return again(broken)
			case l < level:
				return i, cut
			}
			level = l
			to, end, ok := x.closing(text, level)
			if !ok {
				last, i = text, to
				return again(cut)
			}
			last, i = text, end
			if !x.follows(end, level) {
				return again(broken)
			}
			if in.object && at != wantValue {
				path = x.named(path[:in.path], x.s[text:to], level)
				at = wantColon
				continue
			}
			x.inside(text, to, path, level)
			at, path = wantAny, path[:in.path]
		default:
			word := max(x.bare(i, in.object && at != wantValue), i+1)
			if in.object && at != wantValue {
				path = join(path[:in.path], strings.Trim(x.s[i:word], "'"))
				at = wantColon
			} else {
				at, path = wantAny, path[:in.path]
			}
			i = word
		}
	}
}

// nameless reads a document that was not cut but lost what stood in quotes, as the
// titles of groups of dead letters do. A word in it may be the value of any member.
func (x *scan) nameless(i, open int) (next int, how ending) {
	for i < len(x.s) {
		rest := x.s[i:]
		if strings.HasPrefix(rest, Mark) {
			i += len(Mark)
			continue
		}
		switch x.s[i] {
		case '{', '[':
			open++
		case '}', ']':
			if open--; open == 0 {
				return i + 1, closed
			}
		case ':', ',', ' ':
		default:
			part := cutMark
			for _, word := range []string{"true", "false", "null"} {
				if strings.HasPrefix(rest, word) {
					part = word
				}
			}
			if !strings.HasPrefix(rest, part) {
				x.put(i, len(x.s), Mark)
				return len(x.s), broken
			}
			i += len(part) - 1
		}
		i++
	}
	return i, cut
}

// follows reports whether i may be behind a string. A quote with anything else after
// it is the beginning of one: it was a mistake to take it for an end.
func (x *scan) follows(i, level int) bool {
	if x.space(i) > i || i == len(x.s) || x.cut(i) {
		return true
	}
	switch x.s[i] {
	case ',', ':', '}', ']':
		return true
	case '"', '\\': // the end of the string that the document is in
		return level > 0
	}
	return false
}

// inside looks into a string for documents.
func (x *scan) inside(from, to int, path []byte, level int) {
	raw := x.s[from:to]
	if x.depth >= deepest || strings.IndexByte(raw, ':') < 0 {
		return
	}
	if plain, ok := unquote(raw, level); ok {
		if clean := x.rules.inText(plain, path, x.depth+1); clean != plain {
			x.put(from, to, requote(clean, level))
		}
	} else if clean := x.rules.inText(raw, path, x.depth+1); clean != raw {
		x.put(from, to, clean)
	}
}

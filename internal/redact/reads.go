package redact

import "strings"

// Reads reports whether an expression (CEL) over an event may give what a rule names:
// a member, what is in it, or what it is in. It knows members by how they are written,
// and where that does not tell, as of an index that is computed, it says yes.
func (r Rules) Reads(expression string) bool {
	if len(r.paths) == 0 {
		return false
	}
	p := pathReader{s: expression}
	for p.next() {
		if p.computed || r.reads(p.path, p.ofEvent) {
			return true
		}
	}
	return false
}

// reads is Reads for one path; one that does not begin with the event is of a part of
// it, as the variables of macros are.
func (r Rules) reads(names []string, ofEvent bool) bool {
	var path []byte
	for _, name := range names {
		path = join(path, name)
		if r.named(path) || !ofEvent && r.knows(path) {
			return true
		}
	}
	for _, rules := range r.paths {
		for _, rule := range rules {
			for i := range len(rule) {
				if rule[i] == '.' && ends(path, rule[:i]) {
					return true // the object that the member is in
				}
			}
		}
	}
	return false
}

// ends reports whether the last names of a path are those of another.
func ends(path []byte, of string) bool {
	before := len(path) - len(of)
	return before >= 0 && string(path[before:]) == of && (before == 0 || path[before-1] == '.')
}

// pathReader reads the paths in an expression.
type pathReader struct {
	s        string
	path     []string
	ofEvent  bool
	computed bool // a name in the path is computed
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (p *pathReader) space() { p.s = strings.TrimLeft(p.s, " \t\r\n?") } // optional members have a "?"

func (p *pathReader) word() string {
	i := 0
	for i < len(p.s) && (letter(p.s[i]) || i > 0 && p.s[i] >= '0' && p.s[i] <= '9') {
		i++
	}
	w := p.s[:i]
	p.s = p.s[i:]
	return w
}

// text reads a string, whose quote is next.
func (p *pathReader) text() string {
	quote := p.s[0]
	for i := 1; i < len(p.s); i++ {
		switch p.s[i] {
		case '\\':
			i++
		case quote:
			t := p.s[1:i]
			p.s = p.s[i+1:]
			return t
		}
	}
	t := p.s[1:]
	p.s = ""
	return t
}

// next goes to the next path, and reports false when there is none.
func (p *pathReader) next() bool {
	for p.s != "" {
		switch c := p.s[0]; {
		case c == '"' || c == '\'':
			p.text()
		case letter(c):
			w := p.word()
			if p.s != "" && (p.s[0] == '"' || p.s[0] == '\'') { // as of r"text"
				p.text()
				continue
			}
			p.path = append(p.path[:0], w)
			p.rest()
			return true
		default:
			p.s = p.s[1:]
		}
	}
	return false
}

// rest reads the members after the first word of a path.
func (p *pathReader) rest() {
	p.ofEvent, p.computed = p.path[0] == "event", false
	for {
		p.space()
		if p.s == "" {
			return
		}
		switch p.s[0] {
		case '.':
			p.s = p.s[1:]
			p.space()
			p.path = append(p.path, strings.Trim(p.word(), "`"))
		case '(': // what was called is no member
			p.path = p.path[:len(p.path)-1]
			return
		case '[':
			p.s = p.s[1:]
			p.space()
			switch {
			case p.s != "" && (p.s[0] == '"' || p.s[0] == '\''):
				name := p.text()
				p.path = append(p.path, name)
				p.space()
				p.computed = p.computed || strings.Contains(name, `\`) || !strings.HasPrefix(p.s, "]")
			case strings.TrimLeft(p.s, "0123456789") != p.s:
				p.s = strings.TrimLeft(p.s, "0123456789")
				p.space()
				p.computed = p.computed || !strings.HasPrefix(p.s, "]")
			default:
				p.computed = true
				return
			}
			p.s = strings.TrimPrefix(p.s, "]")
		default:
			return
		}
	}
}

package redact

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// cutMark is what texts end with that were cut, in Pawl and in apps. It may stand
// within a sentence that such a text is a part of.
const cutMark = "…"

// cutOff is an expression for how that what p matches may begin, where the mark of a
// cut follows: of the number of a card, the digits before the cut. An expression for
// which there is none, because it would be too large, takes out all before the mark.
func cutOff(p *regexp.Regexp) *regexp.Regexp {
	if parsed, err := syntax.Parse(p.String(), syntax.Perl); err == nil {
		if re, err := regexp.Compile("(?:" + begin(parsed) + ")" + cutMark); err == nil {
			return re
		}
	}
	return regexp.MustCompile(`(?s).*` + cutMark)
}

// begin is an expression for the beginnings of what re matches, and for "".
func begin(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		var b strings.Builder
		for _, c := range re.Rune {
			b.WriteString("(?:" + (&syntax.Regexp{Op: syntax.OpLiteral, Flags: re.Flags, Rune: []rune{c}}).String())
		}
		return b.String() + strings.Repeat(")?", len(re.Rune))
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return whole(re) + "?"
	case syntax.OpCapture, syntax.OpQuest:
		return begin(re.Sub[0])
	case syntax.OpStar, syntax.OpPlus:
		return whole(re.Sub[0]) + "*" + begin(re.Sub[0])
	case syntax.OpRepeat:
		// As often as it may be there, less the one that was cut.
		often := &syntax.Regexp{Op: syntax.OpRepeat, Max: re.Max - 1, Sub: re.Sub}
		switch re.Max {
		case 0:
			return ""
		case -1:
			often.Op = syntax.OpStar
		}
		return whole(often) + begin(re.Sub[0])
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString("(?:" + begin(sub) + "|" + whole(sub))
		}
		return b.String() + strings.Repeat(")", len(re.Sub))
	case syntax.OpAlternate:
		parts := make([]string, len(re.Sub))
		for i, sub := range re.Sub {
			parts[i] = begin(sub)
		}
		return "(?:" + strings.Join(parts, "|") + ")"
	default: // what matches no character
		return ""
	}
}

func whole(re *syntax.Regexp) string { return "(?:" + re.String() + ")" }

// withoutBegun is s without what may be the beginning of what a pattern matches, where
// s was cut.
func (r Rules) withoutBegun(s string) string {
	if len(r.begun) == 0 || !strings.Contains(s, cutMark) {
		return s
	}
	for _, p := range r.begun {
		s = p.ReplaceAllStringFunc(s, func(found string) string {
			if found == cutMark {
				return found
			}
			return Mark + cutMark
		})
	}
	return s
}

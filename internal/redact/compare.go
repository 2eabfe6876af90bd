package redact

import (
	"regexp"
	"slices"
	"strings"
)

// Conditions compare members with values that an app wrote into them, such as
// async.data.card.number == '4111'. They are shown alone and within sentences.

// value is what a member is compared with: a text, whose quotes may be those of a text
// within a text and whose end may be cut off, or a word.
const value = `\\*"[^"]*(?:"|$)|'[^']*(?:'|$)|[\w.+-]+`

// comparison finds such values: the second or the third group. It is nil without paths.
func comparison(paths map[string][]string) (*regexp.Regexp, error) {
	var members []string
	for _, rules := range paths {
		for _, rule := range rules {
			var b strings.Builder
			if ofWord(rule[0]) {
				b.WriteString(`\b`)
			}
			for i, name := range strings.Split(rule, ".") {
				if i > 0 {
					b.WriteString(`["'\]\\]*(?:\?|\.|\[)+["'\\]*`) // a.b, a["b"], a?.b
				}
				b.WriteString(regexp.QuoteMeta(name))
			}
			if ofWord(rule[len(rule)-1]) {
				b.WriteString(`\b`)
			}
			members = append(members, b.String())
		}
	}
	if members == nil {
		return nil, nil //nolint:nilnil // as it says
	}
	slices.Sort(members)
	member := `(?:` + strings.Join(members, "|") + `)`
	return regexp.Compile(`(?i)` + member + `["'\]\\]*[\w.()]*\s*[=!]=\s*(` + value + `)|(` + value + `)\s*[=!]=\s*[\w.\[\]"'\\?(]*` + member)
}

// compared is s without the values that its conditions compare members with.
func (r Rules) compared(s string) string {
	if r.compare == nil || !strings.Contains(s, "==") && !strings.Contains(s, "!=") {
		return s
	}
	var b strings.Builder
	at := 0
	for _, m := range r.compare.FindAllStringSubmatchIndex(s, -1) {
		from, to := max(m[2], m[4]), max(m[3], m[5])
		quote := ""
		if end := strings.IndexAny(s[from:to], `"'`); end >= 0 {
			quote = s[from : from+end+1]
		}
		b.WriteString(s[at:from] + quote + Mark + quote)
		at = to
	}
	b.WriteString(s[at:])
	return b.String()
}

// ofWord reports whether an expression takes c for a part of a word.
func ofWord(c byte) bool { return c < 0x80 && (letter(c) || c >= '0' && c <= '9') }

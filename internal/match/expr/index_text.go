package expr

import (
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Index texts are equal for values that == calls equal, and different for all
// others but for collisions of SHA-256:
//
//	null true false   a missing value is null
//	12.5              a number by its value (number.go): 1 and 1.0, 0 and -0 are the same
//	"text             a text, with this one quotation mark
//	#hash             a long text, a text with NUL, a list or a map
//	!                 a value that no event has, or none
const (
	textNull  = "null"
	textTrue  = "true"
	textFalse = "false"
	textNever = "!"
	textMark  = '"'
	hashMark  = '#'

	// maxIndexText is the longest text that stands for itself, in bytes.
	maxIndexText = 128
)

// IndexText returns the text of the value at path, which is the Path of an
// Index. It has at most 129 bytes, and is "" for a document that is not JSON:
// no Index has that text, and no program that reads such a document is true.
func (d *Doc) IndexText(path string) string {
	v, _, err := d.load()
	if err != nil {
		return ""
	}
	v, ok := walk(v, path)
	if !ok {
		return ""
	}
	return indexText(v)
}

// indexText returns the text of a value that is plain, as Program.Value says.
func indexText(v any) string {
	switch v := v.(type) {
	case nil:
		return textNull
	case bool:
		return strconv.FormatBool(v)
	case float64:
		if v != v {
			return textNever // NaN equals nothing
		}
		return formatFloat(v)
	case int64:
		return numberText(types.Int(v))
	case uint64:
		return numberText(types.Uint(v))
	case string:
		if len(v) <= maxIndexText && strings.IndexByte(v, 0) < 0 {
			return string(textMark) + v
		}
	}
	h := sha256.New()
	digest(h, v)
	return string(hashMark) + base64.RawStdEncoding.EncodeToString(h.Sum(nil))
}

// literalText returns the text of a literal of CEL.
func literalText(v ref.Val) string {
	if _, ok := v.(types.Bytes); ok {
		return textNever
	}
	p, err := plain(v)
	if err != nil {
		return textNever
	}
	return indexText(p)
}

// digest writes v so that no two different values are written alike.
func digest(h hash.Hash, v any) {
	write := func(s string) { _, _ = io.WriteString(h, s) } // a hash takes all
	switch v := v.(type) {
	case string:
		write(string(textMark) + strconv.Itoa(len(v)) + ":")
		write(v)
	case []any:
		write("[")
		for _, element := range v {
			digest(h, element)
		}
		write("]")
	case map[string]any:
		write("{")
		for _, name := range slices.Sorted(maps.Keys(v)) {
			digest(h, name)
			digest(h, v[name])
		}
		write("}")
	default:
		write(indexText(v) + ";")
	}
}

// walk follows path through decoded JSON: name.name, name["a name"] and
// name[0]. What is not there is nil. It reports false for what is no path.
func walk(v any, path string) (found any, ok bool) {
	for path != "" {
		if path[0] != '[' {
			path = strings.TrimPrefix(path, ".")
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			v, path = field(v, path[:end]), path[end:]
			continue
		}
		step := path[1:]
		if quoted, err := strconv.QuotedPrefix(step); err == nil {
			name, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, false
			}
			v, step = field(v, name), step[len(quoted):]
		} else {
			digits, _, _ := strings.Cut(step, "]")
			i, err := strconv.Atoi(digits)
			if err != nil {
				return nil, false
			}
			v, step = element(v, i), step[len(digits):]
		}
		if path, ok = strings.CutPrefix(step, "]"); !ok {
			return nil, false
		}
	}
	return v, true
}

func field(v any, name string) any {
	fields, _ := v.(map[string]any)
	return fields[name]
}

func element(v any, i int) any {
	if list, ok := v.([]any); ok && i >= 0 && i < len(list) {
		return list[i]
	}
	return nil
}

// fieldStep writes one step of a path.
func fieldStep(name string) string {
	special := func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '.' || r == '[' || r == utf8.RuneError
	}
	if name == "" || strings.ContainsFunc(name, special) {
		return "[" + strconv.Quote(name) + "]"
	}
	return "." + name
}

func elementStep(i int64) string { return "[" + strconv.FormatInt(i, 10) + "]" }

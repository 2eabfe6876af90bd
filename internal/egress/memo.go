package egress

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/wire"
)

// fetchMemo is what a run remembers of a step.fetch:
// {"data":{"url","headers","body","status_code"}}. Source: SDK protocol notes 03
// §3, §8.2. The TS SDK builds a Response of the last three, which throws when it
// finds a body, even an empty one, with a status that has none, or a header that
// is not one.
func (a answer) fetchMemo(u string) []byte {
	b := quote([]byte(`{"data":{"url":`), u)
	b = append(b, `,"headers":{`...)
	first := true
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		if !isToken(name) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(quote(b, strings.ToLower(name)), ':')
		b = quote(b, headerText(strings.Join(a.header[name], ",")))
	}
	b = append(b, `},"body":`...)
	switch a.status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusNotModified:
		b = append(b, `null`...)
	default:
		b = quote(b, string(a.body))
	}
	b = append(b, `,"status_code":`...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	return append(b, `}}`...)
}

// headerText reads a header as fetch does, a character for each byte, and
// without those that no header can have.
func headerText(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			out[i] = ' '
		}
	}
	return string(out)
}

// aiMemo is what a run remembers of a successful step.ai.infer: {"data":…}. An
// answer that is not JSON, as one that was streamed, is kept as text.
func (a answer) aiMemo() []byte {
	if v, ok := asJSON(a.body); ok {
		return wire.MemoData(v)
	}
	if len(bytes.TrimSpace(a.body)) == 0 {
		return wire.MemoData(nil)
	}
	return wire.MemoData(quote(nil, string(a.body)))
}

// asJSON returns a body as JSON that can be stored and signed: no name twice, and
// no broken text. Numbers stay as they are.
func asJSON(body []byte) (jsontext.Value, bool) {
	v := jsontext.Value(bytes.TrimSpace(body))
	if wire.CheckJSON(v) != nil {
		return nil, false
	}
	if !v.IsValid() {
		v = v.Clone()
		if v.Format(jsontext.AllowInvalidUTF8(true)) != nil {
			return nil, false
		}
	}
	return v, true
}

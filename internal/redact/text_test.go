package redact

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDocumentsInText(t *testing.T) {
	t.Parallel()
	r, err := Parse([]string{"password", "card.number"})
	require.NoError(t, err)
	for in, want := range map[string]string{
		`no document: "at" 12:30`:                                               `no document: "at" 12:30`,
		`Error: {"card":{"number":"6011"},"n":1.10}`:                            `Error: {"card":{"number":"[redacted]"},"n":1.10}`,
		`Error: {"card":{"number":6011, "a":1}} twice`:                          `Error: {"card":{"number":"[redacted]", "a":1}} twice`,
		"{\"a\":1}\n{\"card\":[{\"number\":\"6011\"}]}\n":                       "{\"a\":1}\n{\"card\":[{\"number\":\"[redacted]\"}]}\n",
		`x {"number":1,"card":{"other":{"number":2}}}`:                          `x {"number":1,"card":{"other":{"number":2}}}`,
		`x {"card.number":"6011"}`:                                              `x {"card.number":"[redacted]"}`,
		`x {"Card":{"NUMBER":"60\"11"}}`:                                        `x {"Card":{"NUMBER":"[redacted]"}}`,
		`x {"card":{"n\u0075mber":"6011"}}`:                                     `x {"card":{"n\u0075mber":"[redacted]"}}`,
		`x {"password":{"a":["]",{"b":"}"}]},"c":1}`:                            `x {"password":"[redacted]","c":1}`,
		`x {"body":"{\"card\":{\"number\":\"6011\"}}","c":1}`:                   `x {"body":"{\"card\":{\"number\":\"[redacted]\"}}","c":1}`,
		`x {"card":"{\"number\":\"6011\"}"}`:                                    `x {"card":"{\"number\":\"[redacted]\"}"}`,
		`x {"body":"{\u0022card\u0022:{\u0022number\u0022:\u00226011\u0022}}"}`: `x {"body":"{\"card\":{\"number\":\"[redacted]\"}}"}`,
		`err="Error: {\"card\":{\"number\":\"6011\"}}" run=01J`:                 `err="Error: {\"card\":{\"number\":\"[redacted]\"}}" run=01J`,
		`err="{\n  \"card\": {\n    \"number\": \"6011\"\n  }\n}" run=01J`:      `err="{\n  \"card\": {\n    \"number\": \"[redacted]\"\n  }\n}" run=01J`,
		`he said "hi {"card":{"number":"6011"}}`:                                `he said "hi {"card":{"number":"[redacted]"}}`,
		`["hi {"card":{"number":"6011"}} x`:                                     `["hi {"card":{"number":"[redacted]"}} x`,
		`{ card: { number: '6011 22' }, x: 1 }`:                                 `{ card: { number: "[redacted]" }, x: 1 }`,
		`{"a": undefined, "card": {"number": 6011}}`:                            `{"a": undefined, "card": {"number": "[redacted]"}}`,
		// What was cut.
		`Error: {"card":{"number":"6011222`:                   `Error: {"card":{"number":"[redacted]"`,
		`Error: {"card":{"number":6011222…`:                   `Error: {"card":{"number":"[redacted]"…`,
		`Error: {"card":{"number":6011222…; tried again`:      `Error: {"card":{"number":"[redacted]"…; tried again`,
		`Error: {"password":{"a":"6011222…`:                   `Error: {"password":"[redacted]"`,
		`Error: {"password":{"a":1,…; tried again`:            `Error: {"password":"[redacted]"…; tried again`,
		`err="Error: {\"card\":{\"number\":\"60112…" run=01J`: `err="Error: {\"card\":{\"number\":\"[redacted]\"" run=01J`,
		`Error: {"body":"{\"card\":{\"number\":\"6011222…`:    `Error: {"body":"{\"card\":{\"number\":\"[redacted]\"`,
		// Titles of groups, whose quotes and numbers were taken out by other means.
		`refused {…:{…:…}}, {…:…true}, {…:…`:         `refused {…:{…:…}}, {…:…true}, {…:…`,
		`refused {…:…card…number…6011 a"}} and more`: `refused {…:…[redacted]`,
		`… umber":1,"number":"6011"}}`:               `… umber":1,"number":"[redacted]"}}`,
	} {
		require.Equal(t, want, r.Text(in), in)
		require.Equal(t, want, r.Text(want), "once more: %s", in)
		// The same as a member, and as a line of a log.
		quoted, err := r.JSON([]byte(strconv.Quote(in)))
		if err == nil {
			require.NotContains(t, string(quoted), "6011", in)
		}
		require.NotContains(t, r.Text("err="+strconv.Quote(in)+" a=1"), "6011", in)
	}
}

func TestValuesInConditions(t *testing.T) {
	t.Parallel()
	r, err := Parse([]string{"card.number", "pin"})
	require.NoError(t, err)
	for in, want := range map[string]string{
		`async.data.card.number == '6011'`:                                    `async.data.card.number == '[redacted]'`,
		`it waits for x with event.data.Card["number"] != "6011", until noon`: `it waits for x with event.data.Card["number"] != "[redacted]", until noon`,
		`a == 1 && async.data.card.number==6011 && async.data.b == 'c'`:       `a == 1 && async.data.card.number==[redacted] && async.data.b == 'c'`,
		`'6011' == async.data.card.number`:                                    `'[redacted]' == async.data.card.number`,
		`event.data.card.number.lowerAscii() == '6011…`:                       `event.data.card.number.lowerAscii() == '[redacted]'`,
		`if="async.data.pin == \"6011\""`:                                     `if="async.data.pin == \"[redacted]\""`,
		`async.data.spin == 5 && async.data.discard.number == 5`:              `async.data.spin == 5 && async.data.discard.number == 5`,
	} {
		require.Equal(t, want, r.Text(in))
		quoted, err := r.JSON([]byte(`{"if":` + strconv.Quote(in) + `}`))
		if err == nil {
			require.NotContains(t, string(quoted), "6011")
		}
	}
}

func TestFlatNames(t *testing.T) {
	t.Parallel()
	r, err := Parse([]string{"card.number"})
	require.NoError(t, err)
	for in, want := range map[string]string{
		`{"card.number":1}`:                  `{"card.number":"[redacted]"}`,
		`{"a":{"My.Card":{"number":1}}}`:     `{"a":{"My.Card":{"number":"[redacted]"}}}`,
		`{"a.card":[{"number":1}]}`:          `{"a.card":[{"number":"[redacted]"}]}`,
		`{"a.card.number":1,"number":2}`:     `{"a.card.number":"[redacted]","number":2}`,
		`{"discard.number":1,"card.a":1}`:    `{"discard.number":1,"card.a":1}`,
		`{"card":{"number.":1,".number":1}}`: `{"card":{"number.":1,".number":1}}`,
	} {
		got, err := r.JSON([]byte(in))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestBeginningsAreTakenOutWhereATextWasCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, in, want string }{
		{`\b\d{16}\b`, `paid with 411122223333444… today`, `paid with [redacted]… today`},
		{`\b\d{16}\b`, `paid with 4… and 411122223333444`, `paid with [redacted]… and 411122223333444`},
		{`\b\d{16}\b`, `paid with 4111222233334444…`, `paid with [redacted]…`},
		{`\b\d{16}\b`, `paid with a card…`, `paid with a card…`},
		{`\d{4}( \d{4}){3}`, `paid with 4111 2222 33…`, `paid with [redacted]…`},
		{`(?i)secret: .*?;`, `a SECRET: x y…`, `a [redacted]…`},
		{`sk_(live|test)_\w+`, `key sk_te… and sk_live_a…`, `key [redacted]… and [redacted]…`},
		{`a{0}b{2,}c+[xy]*`, `bbbbcx…, bb…, aa…`, `[redacted]…, [redacted]…, aa…`},
		{`^card \w{8}$`, `card ab…`, `[redacted]…`},
		{`\w{2}(\w{20}){10}`, `xx` + strings.Repeat("y", 150) + `…`, `[redacted]…`},
		{strings.Repeat("a", 490), `bb aa… bb`, `bb [redacted]… bb`},
	} {
		r, err := Parse([]string{"pattern:" + c.rule})
		require.NoError(t, err)
		require.Equal(t, c.want, r.Text(c.in), c.rule)
	}
}

// hostile are texts that would cost much if anything were read over and over.
func hostile(n int) map[string]string {
	all := map[string]string{}
	for _, part := range []string{
		`{`, `[`, `"`, `\`, `["`, `{"`, `{"a":`, `{"a" `, `["[`, `["a" [ b `, `{"card":{`, `{"card":{"card":`, `{"card":[1,`, `\"`, `[\"`, `"\\\"`, `{"card":"a" x`,
		`["s" {card: 1,`, `{"a":"{\"card\":`, `":`, `"card":`, `"card":{`, `"card":'`, `{"card":1}`, `…`, `{…`, ` `, `[ `, `{card:`, `{"card":{"card":{}}`, `\n`, `{"a":"\n`,
	} {
		all[part] = strings.Repeat(part, n/len(part))
	}
	for open, end := range map[string]string{`{"card":`: `}x`, `["`: `"x]`, `{"a":[`: `}`, `{"card":{`: `}}:`} {
		all[open+end] = strings.Repeat(open, n/8) + strings.Repeat(end, n/8)
	}
	all["levels"] = strings.Repeat(`["`+`\"`+`\\\"`+`\\\\\\\"`, n/16)
	return all
}

// TestHostileTextsAreReadInOneGo would not end if anything were read over and over.
func TestHostileTextsAreReadInOneGo(t *testing.T) {
	t.Parallel()
	r, err := Parse([]string{"card"})
	require.NoError(t, err)
	for name, text := range hostile(1 << 20) {
		clean := r.Text(text)
		require.LessOrEqual(t, len(clean), 4*len(text), name)
	}
}

func BenchmarkHostile(b *testing.B) {
	r, err := Parse([]string{"card"})
	require.NoError(b, err)
	for name, text := range hostile(1 << 20) {
		b.Run(strconv.Quote(name), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r.Text(text)
			}
		})
	}
}

// FuzzText puts a document into any text.
func FuzzText(f *testing.F) {
	r, err := Parse([]string{"card.number", "pin"})
	require.NoError(f, err)
	for _, s := range []string{``, `Error: `, `["x `, `{"a":"`, `{"a":"\`, `[1:`, `{a: '`, `{"card":{`, `err="`, `…`, `{"a"`, `"pin":`} {
		f.Add(s, ` tail`, 30)
	}
	f.Fuzz(func(t *testing.T, before, after string, cut int) {
		const doc = `{"a":[1,{"b":"c"}],"card":{"x":"{\"pin\":5555}","number":"60116011"},"pin":7777}`
		clean := r.Text(before + doc + after)
		for _, secret := range []string{"60116011", "5555", "7777"} {
			if !strings.Contains(before+after, secret) {
				require.NotContains(t, clean, secret)
			}
		}
		if cut >= 0 && cut <= len(doc) && !strings.Contains(before, "60") {
			require.NotContains(t, r.Text(before+doc[:cut]), "60116")
			require.NotContains(t, r.Text(before+doc[:cut]+"…"), "60116")
		}
		require.NotContains(t, r.Text("err="+strconv.Quote("x "+doc)+after), "60116011")
	})
}

package expr

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cel.dev/cel-go/common/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestIndex(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, src string
		want      Index
	}{
		{"the event's field", `event.data.s == async.data.id`, Index{"data.id", `"5`, true}},
		{"the other way round", `async.data.id == event.data.s`, Index{"data.id", `"5`, true}},
		{"a literal", `async.data.id == "a"`, Index{"data.id", `"a`, true}},
		{"the empty text", `async.data.id == ""`, Index{"data.id", `"`, true}},
		{"indexing by name", `async["data"]["id"] == event["data"].s`, Index{"data.id", `"5`, true}},
		{"a leading dot", `.async.data.id == .event.data.s`, Index{"data.id", `"5`, true}},
		{"a name with a dot", `async.data["a.b"].c == "x"`, Index{`data["a.b"].c`, `"x`, true}},
		{"a name with quotes first", `async["[\"\n"].c == "x"`, Index{`["[\"\n"].c`, `"x`, true}},
		{"the empty name", `async.data[""] == "x"`, Index{`data[""]`, `"x`, true}},
		{"an element", `async.data.list[1].id == event.data.tags[1]`, Index{"data.list[1].id", `"b`, true}},
		{"the whole of the first event", `async.data.id == event && async.data.n == 1`, Index{"data.id", "#2dc+L9rzINqIYRN4Gq1AFpVwgMO75bLjDio7srATyLA", false}},
		{"an integer", `async.data.n == 6`, Index{"data.n", "6", true}},
		{"a double", `async.data.n == 6.0`, Index{"data.n", "6", true}},
		{"an unsigned integer", `async.data.n == 6u`, Index{"data.n", "6", true}},
		{"a number of the event", `async.data.n == event.data.n`, Index{"data.n", "6", true}},
		{"an integer that no double has", `async.data.n == 9007199254740993`, Index{"data.n", "9007199254740993", true}},
		{"minus zero", `async.data.n == -0.0`, Index{"data.n", "0", true}},
		{"a negative number", `async.data.n == -5`, Index{"data.n", "-5", true}},
		{"a boolean", `async.data.ok == true`, Index{"data.ok", "true", true}},
		{"null", `async.data.x == null`, Index{"data.x", "null", true}},
		{"a missing field of the event", `async.data.x == event.data.x.y`, Index{"data.x", "null", true}},
		{"a null field of the event", `async.data.x == event.data.nil`, Index{"data.x", "null", true}},
		{"bytes, which no event has", `async.data.x == b"a"`, Index{"data.x", "!", true}},
		{"a text with NUL", `async.data.x == "\x00"`, Index{"data.x", "#Da6pfZR8GCf7cvQVAADE0U8rMK/tSkItLMbbl1p08Fk", false}},

		{"computed", `async.data.id == "x-" + event.data.n`, Index{"data.id", `"x-6`, false}},
		{"computed without the event", `async.data.id == "x" + "y"`, Index{"data.id", `"xy`, false}},
		{"converted", `async.data.id == string(event.data.n)`, Index{"data.id", `"6`, false}},
		{"an evaluation that fails", `async.data.id == int(event.data.word)`, Index{"data.id", "!", false}},
		{"not a number", `async.data.id == 0.0 / 0.0`, Index{"data.id", "!", false}},

		{"and", `event.data.s == async.data.id && async.data.ok == true`, Index{"data.id", `"5`, false}},
		{"and, in the other order", `async.data.ok == true && event.data.s == async.data.id`, Index{"data.id", `"5`, false}},
		{"a chain", `async.a > 1 && async.b == 1 && (event.data.yes && async.c == event.data.s) && has(async.d)`, Index{"c", `"5`, false}},
		{"a field rather than a literal", `async.b == "x" && async.c == event.data.s`, Index{"c", `"5`, false}},
		{"a literal rather than a missing field", `async.c == event.data.x && async.b == "x"`, Index{"b", `"x`, false}},
		{"a boolean rather than null", `async.c == null && async.b == false`, Index{"b", "false", false}},
		{"the first of equals", `async.b == "x" && async.c == "y"`, Index{"b", `"x`, false}},
		{"what never holds, above all", `async.c == event.data.s && async.b == b"x"`, Index{"b", "!", false}},
		{"macros beside it", `async.tags.exists(x, x == async.b) && async.c == event.data.s`, Index{"c", `"5`, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, ok := compile(t, c.src).Index(input().Event)
			require.True(t, ok)
			require.Equal(t, c.want, got)
		})
	}
}

func TestNoIndex(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		`true`, `event.data.s == "5"`, `async.data.ok`, `!async.data.ok`, `async.data.id != "a"`, `async.data.n > 5`, `async.data.id in ["a"]`,
		`async.data.id == "a" || async.data.id == "b"`, `!(async.data.id == "a")`, `!(async.data.id != "a")`,
		`(async.data.id == "a") == true`, `(async.data.id == "a") == event.data.no`, `async.data.id == "a" ? true : true`,
		`true ? async.data.id == "a" : false`, `(async.data.id == "a" && async.ok) || true`, `async.data.id == async.data.other`,
		`async.data.id == "a" + async.data.other`, `async.data.id + "a" == "ba"`, `size(async.data.list) == 1`, `has(async.data.id) == true`,
		`async == "x"`, `event == async`, `async.data[event.data.s] == "a"`, `async.data[-1] == "a"`, `async.data[0.0] == "a"`, `async.data[true] == "a"`, `async.data.t == now()`,
		`async.data.t == now_plus("1h")`, `[1].all(i, async.data.id == "a")`, `["a"].exists(async, async == "a")`,
		`async.data.list == event.data.nums.map(n, n + 1)`, `{"async": 1}.async == 1`, `[async.data.id == "a"][0]`,
	} {
		t.Run(src, func(t *testing.T) {
			t.Parallel()
			got, ok := compile(t, src).Index(input().Event)
			require.False(t, ok, "got %+v", got)
		})
	}
	p, err := Compile(`event.data.id == "a"`, EventOnly)
	require.NoError(t, err)
	_, ok := p.Index(input().Event)
	require.False(t, ok)
}

// TestIndexText finds the event by what is in it, however it is written.
func TestIndexText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", maxIndexText)
	d := NewDoc([]byte(`{"n":1, "one":1.0, "e":1e0, "minus":-0, "zero":0.0, "big":9007199254740993, "near":9007199254740992, "s":"1",
		"yes":true, "text":"true", "nil":null, "nulltext":"null", "hash":"#a", "quote":"\"a",
		"long":"` + long + `", "longer":"` + long + `b", "longest":"` + long + `c", "nul":"\u0000", "a.b":{"":{"c":"x"}},
		"list":[1,{"b":2,"a":null}], "same":[1.0,{"a":null,"b":2e0}], "less":[1,{"b":2}], "flat":[1,2,["3"]], "nested":[1,[2,"3"]], "in":[[1,1]], "out":[[1],1], "ten":[10], "digits":[1,0],
		"names":{"a":"b","c":"d"}, "name":{"a":"b\"c","d":1}}`))
	for path, want := range map[string]string{
		"n": "1", "one": "1", "e": "1", "minus": "0", "zero": "0", "big": "9007199254740993", "near": "9007199254740992", "s": `"1`,
		"yes": "true", "text": `"true`, "nil": "null", "x": "null", "x.y": "null", "n.x": "null", "nulltext": `"null`, "hash": `"#a`, "quote": `""a`,
		`["a.b"][""].c`: `"x`, "list[0]": "1", "list[2]": "null", "list[1].b": "2", "n[0]": "null", "list.a": "null", "long": `"` + long,
		"[": "", "[1": "", `["a`: "", `["a"`: "", "[x]": "", "[0]x": "null",
	} {
		require.Equal(t, want, d.IndexText(path), path)
	}
	hashed := map[string]string{}
	for _, path := range []string{"longer", "longest", "nul", "list", "less", "flat", "nested", "in", "out", "ten", "digits", "names", "name", ""} {
		text := d.IndexText(path)
		require.Len(t, text, 44, path)
		require.Equal(t, byte('#'), text[0], path)
		require.NotContains(t, hashed, text, "%s and %s", path, hashed[text])
		hashed[text] = path
	}
	require.Equal(t, d.IndexText("list"), d.IndexText("same"))

	require.Equal(t, "null", (*Doc)(nil).IndexText("data.id"), "no document is null")
	require.Empty(t, NewDoc([]byte(`{"data":`)).IndexText("data.id"), "bad JSON has no text")
	got, ok := compile(t, `async.data.id == event.data.id`).Index(NewDoc([]byte(`{`)))
	require.True(t, ok)
	require.Equal(t, textNever, got.Text, "nothing equals the field of an event that cannot be read")
}

// TestIndexMissesNoEvent compares the index with what it stands for: whatever
// the condition, an event for which it is true is found; the texts decide where
// they are said to; and nothing that never holds does.
func TestIndexMissesNoEvent(t *testing.T) {
	t.Parallel()
	var indexed, found, exact, never int
	rapid.Check(t, func(t *rapid.T) {
		src := condition(2).Draw(t, "src")
		p, err := Compile(src, EventAndAsync)
		if err != nil {
			t.Fatalf("Compile(%s): %v", src, err)
		}
		for range 20 {
			event, async := someEvent().Draw(t, "event"), someEvent().Draw(t, "async")
			index, ok, holds := checkIndex(t, p, event, async)
			if ok {
				indexed++
				if holds {
					found++
					if index.Exact {
						exact++
					}
				}
			}
			if p.Never(NewDoc([]byte(event))) {
				never++
			}
		}
	})
	t.Logf("%d indexed, %d of them true, %d of those exact; %d never true", indexed, found, exact, never)
	require.NotZero(t, found)
	require.NotZero(t, exact)
	require.NotZero(t, never)
}

type failer interface {
	Context() context.Context
	Fatalf(format string, args ...any)
}

// checkIndex holds the index of p against the evaluation of p.
func checkIndex(t failer, p *Program, event, async string) (index Index, ok, holds bool) {
	in := Input{Event: NewDoc([]byte(event)), Async: NewDoc([]byte(async)), Now: now}
	holds, err := p.Bool(t.Context(), in)
	index, ok = p.Index(in.Event)
	if p.Never(in.Event) && holds {
		t.Fatalf("%s is never true for %s, but is for %s", p, event, async)
	}
	if !ok {
		return index, ok, holds
	}
	text := in.Async.IndexText(index.Path)
	switch {
	case holds && text != index.Text:
		t.Fatalf("%s is true for %s and %s, but %+v misses the text %q", p, event, async, index, text)
	case index.Exact && holds != (text == index.Text):
		t.Fatalf("%s = %v, %v for %s and %s, but %+v and the text %q are said to decide", p, holds, err, event, async, index, text)
	case index.Path == "" || index.Text == "" || len(index.Text) > maxIndexText+1 || len(text) > maxIndexText+1:
		t.Fatalf("%s: the texts %q and %q have no good size", p, index.Text, text)
	}
	return index, ok, holds
}

var (
	// somePaths are few, and someValues alike, so that equalities hold often.
	somePaths  = []string{".a", ".data.a", `["data"].b`, ".data", `.data["a.b"].c`, ".data.list[0]", ".data.x.y", ""}
	someValues = []string{
		`null`, `true`, `false`, `0`, `-0`, `0.0`, `1`, `1.0`, `1e0`, `-1`, `2`, `0.5`, `9007199254740992`, `9007199254740993`, `1e300`, `1e999`, `18446744073709551615`,
		`""`, `"a"`, `"\u0061"`, `"1"`, `"1s"`, `"null"`, `"true"`, `"#a"`, `"\u0000"`, `"é"`, `"\ud800"`, `[]`, `{}`, `[1]`, `[1.0,null]`, `["a",[1]]`, `{"a":1}`, `{"a":null}`,
		`{"b":1,"a":[{}]}`, `{"a":[{}],"b":1.0}`, `"` + strings.Repeat("long", 40) + `"`, `"` + strings.Repeat("long", 40) + `!"`,
	}
	someLiterals = []string{
		`null`, `true`, `false`, `0`, `-0.0`, `1`, `1u`, `1.0`, `-1`, `9007199254740993`, `9223372036854775807`, `18446744073709551615u`, `1e300`, `0.5`,
		`""`, `"a"`, `"1"`, `"true"`, `"\x00"`, `b"a"`, `'é'`, `[]`, `[1]`, `[1u, null]`, `["a", [1.0]]`, `{}`, `{"a": 1}`, `{"a": null}`, `{1: 1}`,
		`{"b": 1, "a": [{}]}`, `0.0 / 0.0`, `[0.0 / 0.0]`, `1.0 / 0.0`, `"\uFFFD"`, `"` + strings.Repeat("long", 40) + `"`, `duration("1s")`, `int`,
	}
)

// someEvent draws an event, rarely one that is not JSON.
func someEvent() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		value := rapid.SampledFrom(someValues)
		fields := func(names ...string) string {
			var list []string
			for _, name := range names {
				if rapid.IntRange(0, 4).Draw(t, "has "+name) > 0 {
					list = append(list, fmt.Sprintf("%q:%s", name, value.Draw(t, name)))
				}
			}
			return strings.Join(list, ",")
		}
		switch rapid.IntRange(0, 20).Draw(t, "kind") {
		case 0:
			return value.Draw(t, "event")
		case 1:
			return `{"data":`
		case 2:
			return fmt.Sprintf(`{"a":%s,"data":%s}`, value.Draw(t, "a"), value.Draw(t, "data"))
		default:
			return fmt.Sprintf(`{"a":%s,"data":{"a.b":{%s},"list":[%s],"x":{%s},"o":{%s}}}`, value.Draw(t, "a"),
				fields("c"), value.Draw(t, "element"), fields("y"), fields("a", "b")) // o is in nobody's path
		}
	})
}

// condition draws a condition over two events, mostly a chain of equalities.
func condition(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if depth == 0 || rapid.IntRange(0, 2).Draw(t, "leaf") == 0 {
			return comparison(t)
		}
		left, right := condition(depth-1).Draw(t, "left"), condition(depth-1).Draw(t, "right")
		return fmt.Sprintf(rapid.SampledFrom([]string{
			`%s && %s`, `(%s && %s)`, `(%s && %s)`, `(%s || %s)`, `(!(%s) && %s)`, `(%s ? %s : true)`, `((%s) == (%s))`, `((%s) != (%s))`,
		}).Draw(t, "shape"), left, right)
	})
}

func comparison(t *rapid.T) string {
	async := "async" + rapid.SampledFrom(somePaths).Draw(t, "async path")
	event := "event" + rapid.SampledFrom(somePaths).Draw(t, "event path")
	literal := rapid.SampledFrom(someLiterals).Draw(t, "literal")
	shape := rapid.SampledFrom([]string{
		"A == L", "L == A", "A == E", "E == A", "A == E", "A == E", "A == E + L", "A == string(E)", "A == [E, L]", `A == {"a": E}`, "A == (E || L)", "A == (L == E)",
		"A != L", "E == L", "E != L", "A < L", "A >= E", "A", "!A", "E", "A == async.a", "A in [L, E]", "has(async.data.a)", "L", "true", "false", "A == [A]",
	}).Draw(t, "comparison")
	return strings.NewReplacer("A", async, "E", event, "L", literal).Replace(shape)
}

// TestIndexTextIsEquality compares the texts of values with what == says.
func TestIndexTextIsEquality(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(jsonValue(3), 30, 30).Draw(t, "values")
		var left, right []*Doc // two of each, so that maps are walked anew
		for _, doc := range list {
			left, right = append(left, NewDoc([]byte(doc))), append(right, NewDoc([]byte(doc)))
		}
		for i, l := range left {
			for j, r := range right {
				_, lv, err := l.load()
				require.NoError(t, err)
				_, rv, err := r.load()
				require.NoError(t, err)
				equal := types.Equal(lv, rv) == types.True
				if same := l.IndexText("") == r.IndexText(""); same != equal {
					t.Fatalf("%s == %s is %v, but the texts are %q and %q", list[i], list[j], equal, l.IndexText(""), r.IndexText(""))
				}
			}
		}
	})
}

func jsonValue(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{`null`, `true`, `0`, `-0`, `1`, `1.0`, `10`, `"a"`, `"1"`, `"a1"`, `""`, `"true"`})
	if depth == 0 {
		return leaf
	}
	inner := jsonValue(depth - 1)
	return rapid.OneOf(leaf, rapid.Custom(func(t *rapid.T) string {
		list := rapid.SliceOfN(inner, 0, 2).Draw(t, "list")
		return "[" + strings.Join(list, ",") + "]"
	}), rapid.Custom(func(t *rapid.T) string {
		var list []string
		for name, value := range rapid.MapOfN(rapid.SampledFrom([]string{"", "a", "b"}), inner, 0, 2).Draw(t, "map") {
			list = append(list, fmt.Sprintf("%q:%s", name, value))
		}
		return "{" + strings.Join(list, ",") + "}"
	}))
}

// TestIndexPathsReadBack finds each name by the path made of it.
func TestIndexPathsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("ab.[]\"\\0'`\x00\n")))), 1, 3).Draw(t, "names")
		path := ""
		var v any = "found"
		for _, name := range names {
			path += fieldStep(name)
		}
		for i := len(names) - 1; i >= 0; i-- {
			v = map[string]any{names[i]: v}
		}
		got, ok := walk(v, strings.TrimPrefix(path, "."))
		if !ok || got != "found" {
			t.Fatalf("%s gave %v, %v", path, got, ok)
		}
	})
}

func FuzzIndex(f *testing.F) {
	for _, src := range []string{
		`event.data.id == async.data.id && async.data.ok == true`, `async["data"]["a.b"][0] == {"a": [1u, null]}`, `!(async.a == 1) || async.b == "x"`,
		`async.data.id == "x-" + event.data.n && (event.data.yes || false)`, `async == event`, `async.n == 0.0 / -event.n`, `async.t == now()`, `1 == 2 && async.a == b"x"`,
	} {
		f.Add(src, eventJSON, `{"data":{"id":"x-6","ok":true,"a.b":[{"a":[1,null]}]}}`)
	}
	f.Fuzz(func(t *testing.T, src, event, async string) {
		p, err := Compile(src, EventAndAsync)
		if err != nil {
			return
		}
		checkIndex(t, p, event, async)
	})
}

func FuzzIndexText(f *testing.F) {
	f.Add(`data["a.b"][0].c`, `{"data":{"a.b":[{"c":"x"}]}}`)
	f.Add(`["\u00e9"][99999999999999999999]`, `{"é":[]}`)
	f.Add("", `[1,"\u0000",{"a":null}]`)
	f.Fuzz(func(t *testing.T, path, doc string) {
		d := NewDoc([]byte(doc))
		text := d.IndexText(path)
		if len(text) > maxIndexText+1 || text == textNever || strings.Contains(text, "\x00") {
			t.Errorf("IndexText(%q) of %q = %q", path, doc, text)
		}
		if _, _, err := d.load(); (text == "") != (err != nil) && path == "" {
			t.Errorf("the whole of %q has the text %q", doc, text)
		}
	})
}

func BenchmarkIndex(b *testing.B) {
	for _, c := range []struct{ name, src string }{
		{"field", `event.data.s == async.data.id && async.data.ok == true`},
		{"literal", `async.data.id == "abcd" && async.data.ok == true`},
		{"number", `event.data.n == async.data.n`},
		{"map", `event.data.map == async.data.map`},
		{"computed", `async.data.id == "x-" + event.data.n`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, event := compile(b, c.src), input().Event
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := p.Index(event); !ok {
					b.Fatal("there is no index")
				}
			}
		})
	}
}

func BenchmarkIndexText(b *testing.B) {
	for _, path := range []string{"data.word", "data.n", "data.x", `data["word"]`, "data.items[1].id", "data.map"} {
		b.Run(path, func(b *testing.B) {
			event := input().Event
			b.ReportAllocs()
			for b.Loop() {
				event.IndexText(path)
			}
		})
	}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			input().Event.IndexText("data.word")
		}
	})
}

func BenchmarkNever(b *testing.B) {
	p, event := compile(b, `event.data.yes == true && event.data.s == async.data.id`), input().Event
	b.ReportAllocs()
	for b.Loop() {
		if p.Never(event) {
			b.Fatal("it could be true")
		}
	}
}

func BenchmarkCompileWait(b *testing.B) {
	for _, c := range []struct{ name, src string }{
		{"plain", `event.data.s == async.data.id`},
		{"parts", `event.data.yes == true && async.data.id == "x-" + event.data.n`},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				compile(b, c.src)
			}
		})
	}
}

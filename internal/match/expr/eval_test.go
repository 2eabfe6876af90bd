package expr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEvaluationIsBounded(t *testing.T) {
	t.Parallel()
	big := Input{Event: NewDoc([]byte(`{"data":{
		"list":[` + strings.Repeat("1,", 99_999) + `1],
		"text":"` + strings.Repeat("a", 3<<20) + `",
		"b64":"` + strings.Repeat("YWFh", 100_000) + `"}}`)), Now: now}
	doubled := "[1, 1]"
	for i := range 24 { // each level holds the one below twice
		doubled = fmt.Sprintf("[%s].map(v%d, [v%d, v%d])", doubled, i, i, i)
	}
	for _, c := range []struct{ name, src string }{
		{"nested loops", `event.data.list.exists(a, event.data.list.exists(b, a + b == 3))`},
		{"a loop over loops", `event.data.list.map(a, event.data.list.map(b, b)).size() == 0`},
		{"a loop over large text", `event.data.list.all(a, event.data.text.contains("b") || true)`},
		{"comparing large text", `event.data.list.all(a, event.data.text == event.data.text)`},
		{"joining large text", "size(" + strings.TrimSuffix(strings.Repeat("event.data.text+", 60), "+") + ") == 1"},
		{"converting large text", `event.data.list.all(a, bytes(event.data.text) != b"a")`},
		{"decoding large text", `event.data.list.all(a, b64decode(event.data.b64) != "a")`},
		{"comparing large lists", `event.data.list.all(a, event.data.list == event.data.list)`},
		{"looking in large lists", `event.data.list.all(a, 1 in event.data.list)`},
		{"patterns from the event", `event.data.list.all(a, "a".matches("(a{99}){9}" + "b" + a) || true)`},
		{"time zones", `event.data.list.all(a, now().getHours("Europe/Rome") < 99)`},
		{"comparing lists that hold one list many times", doubled + " == " + doubled},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := compile(t, c.src)
			start := time.Now()
			got, err := p.Bool(t.Context(), big)
			if got || err == nil {
				t.Errorf("Bool = %v, %v; want an error", got, err)
			}
			took := time.Since(start)
			t.Logf("%v: %.120v", took, err)
			if took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestResultIsBounded(t *testing.T) {
	t.Parallel()
	src := "[1, 1]"
	for i := range 12 {
		src = fmt.Sprintf("[%s].map(v%d, [v%d, v%d, v%d, v%d])", src, i, i, i, i, i)
	}
	if _, err := compile(t, src).Value(t.Context(), input()); err == nil {
		t.Error("Value of a list of 4^12 lists gave no error")
	}
	src = `event.data.list.map(a, event.data.text)`
	in := Input{Event: NewDoc([]byte(`{"data":{"list":[` + strings.Repeat("1,", 99) + `1],"text":"` + strings.Repeat("a", 1<<10) + `"}}`))}
	if _, err := compile(t, src).Key(t.Context(), in); !errors.Is(err, errLongKey) {
		t.Errorf("Key of 100 KiB: %v, want %v", err, errLongKey)
	}
	if _, err := compile(t, `event.data.text + event.data.text`).Key(t.Context(), in); err != nil {
		t.Errorf("Key of 2 KiB: %v", err)
	}
}

func TestBoolEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	p := compile(t, `event.data.list.all(a, a == 1)`)
	in := Input{Event: NewDoc([]byte(`{"data":{"list":[` + strings.Repeat("1,", 9_999) + `1]}}`))}
	if got, err := p.Bool(t.Context(), in); !got || err != nil {
		t.Fatalf("Bool = %v, %v; want true", got, err)
	}
	if got, err := p.Bool(ctx, in); got || !errors.Is(err, cause) {
		t.Errorf("Bool after the end of its context = %v, %v; want %v", got, err, cause)
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, src string
		event     *Doc
		want      bool
		fails     bool
	}{
		{"no document is null", `event == null`, nil, true, false},
		{"no document, the simple shape", `event.data.x == "a"`, nil, false, false},
		{"a document that is a list", `event.data.x == "a"`, NewDoc([]byte(`[1]`)), false, false},
		{"bad JSON", `event.data.n == 1`, NewDoc([]byte(`{"data":`)), false, true},
		{"bad JSON, the simple shape", `event.data.x == "a"`, NewDoc([]byte(`{"data":`)), false, true},
		{"bad JSON that nobody reads", `1 == 1`, NewDoc([]byte(`{"data":`)), true, false},
		{"bad JSON an operand makes up for", `event.data.n == 1 || true`, NewDoc([]byte(`{"data":`)), true, false},
		{"no bytes", `event.data.n == 1`, NewDoc(nil), false, true},
		{"the last of two equal names", `event.a == 2`, NewDoc([]byte(`{"a":1,"a":2}`)), true, false},
		{"bad UTF-8", `event.a == "\uFFFD"`, NewDoc([]byte("{\"a\":\"\xff\"}")), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for range 2 { // an error must last
				got, err := compile(t, c.src).Bool(t.Context(), Input{Event: c.event})
				if got != c.want || (err != nil) != c.fails {
					t.Errorf("Bool = %v, %v; want %v, an error: %v", got, err, c.want, c.fails)
				}
			}
		})
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		src  string
		want Key
	}{
		{`event.data.word`, Key{Text: "Abc"}},
		{`event.data.n`, Key{Text: "6"}},
		{`event.data.ms`, Key{Text: "1700000000000"}},
		{`event.data.half`, Key{Text: "0.5"}},
		{`1e21`, Key{Text: "1e+21"}},
		{`0.0 / 0.0`, Key{Text: "NaN"}},
		{`-0.0`, Key{Text: "0"}},
		{`3`, Key{Text: "3"}},
		{`3u`, Key{Text: "3"}},
		{`event.data.yes`, Key{Text: "true"}},
		{`event.data.no`, Key{Text: "false", False: true}},
		{`"false"`, Key{Text: "false"}},
		{`event.data.x`, Key{Text: "null", Null: true}},
		{`event.data.x.y`, Key{Text: "null", Null: true}},
		{`event.data.nil`, Key{Text: "null", Null: true}},
		{`event.data.word + "-" + event.data.n`, Key{Text: "Abc-6"}},
		{`event.data.x + "-" + event.data.n`, Key{Text: "-6"}},
		{`event.data.nums`, Key{Text: "[1,2,3]"}},
		{`{"b": event.data.x, "a": event.data.word}`, Key{Text: `{"a":"Abc","b":null}`}},
		{`now()`, Key{Text: "2030-04-05T06:07:08Z"}},
	} {
		t.Run(c.src, func(t *testing.T) {
			t.Parallel()
			got, err := compile(t, c.src).Key(t.Context(), input())
			if got != c.want || err != nil {
				t.Errorf("Key = %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	if _, err := compile(t, `int(event.data.word)`).Key(t.Context(), input()); err == nil {
		t.Error("Key of an evaluation that fails gave no error")
	}
}

// TestConcurrentUse runs one program on one document from many goroutines; the
// race detector is the judge, also over errors, into which cel-go writes.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	in := input()
	bad := Input{Event: NewDoc([]byte(`{`))}
	good, fails := compile(t, `event.data.items.exists(i, i.id == 2)`), compile(t, `event.data.word < 5 || event.data.map < 1`)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if got, err := good.Bool(t.Context(), in); !got || err != nil {
					t.Errorf("Bool = %v, %v; want true", got, err)
				}
				if _, err := fails.Bool(t.Context(), in); err == nil {
					t.Error("comparing a map with a number gave no error")
				}
				if _, err := good.Bool(t.Context(), bad); err == nil {
					t.Error("bad JSON gave no error")
				}
			}
		})
	}
	all.Wait()
}

// TestEqualityIsWhatCELSays compares the short way for event.data.x == "text"
// with the evaluation of the same program, over documents of every shape.
func TestEqualityIsWhatCELSays(t *testing.T) {
	t.Parallel()
	programs := map[string]*Program{}
	rapid.Check(t, func(t *rapid.T) {
		root := rapid.SampledFrom([]string{"event", "async"}).Draw(t, "root")
		path := rapid.SampledFrom([]string{"", ".data", ".data.x", ".data.x.y", ".data.x.y.z"}).Draw(t, "path")
		text := rapid.SampledFrom([]string{`"a"`, `""`, `"1"`, `"null"`, `'true'`, `"\u00e9"`}).Draw(t, "text")
		src := root + path + " == " + text
		if rapid.Bool().Draw(t, "turned") {
			src = text + " == " + root + path
		}
		p := programs[src]
		if p == nil {
			var err error
			if p, err = Compile(src, EventAndAsync); err != nil {
				t.Fatal(err)
			}
			programs[src] = p
		}
		if p.equal == nil {
			t.Fatalf("%s was not seen to be an equality", src)
		}
		in := Input{Event: NewDoc([]byte(document().Draw(t, "event"))), Async: NewDoc([]byte(document().Draw(t, "async")))}
		short, shortErr := p.Bool(t.Context(), in)

		long := *p
		long.equal = nil
		want, wantErr := long.Bool(t.Context(), in)
		if short != want || (shortErr == nil) != (wantErr == nil) {
			t.Fatalf("%s = %v, %v; CEL says %v, %v", src, short, shortErr, want, wantErr)
		}
	})
}

// document draws JSON, sometimes broken, in which the paths above mostly exist.
func document() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		doc := rapid.SampledFrom([]string{
			`"a"`, `""`, `"1"`, `1`, `0`, `1e999`, `null`, `"null"`, `true`, `"true"`, `"é"`, `"\u00e9"`, `[]`, `["a"]`, `{}`, `{"y":"a","y":"b"}`, `{`,
		}).Draw(t, "leaf")
		names := []string{"data", "x", "y", "z"}
		for i := rapid.IntRange(0, 4).Draw(t, "depth") - 1; i >= 0; i-- {
			doc = fmt.Sprintf(`{"other":1,%q:%s}`, names[i], doc)
		}
		return doc
	})
}

func TestShapesThatAreNoEquality(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		`event.data.x == 1`, `event.data.x == null`, `event.data.x != "a"`, `event.data["x"] == "a"`, `"a" == "a"`,
		`event.data.x == async.data.x`, `has(event.data.x) == "a"`, `event.data.x == b"a"`, `event.data.x == "a" && true`,
		`size(event.data.x) == "a"`,
	} {
		if p := compile(t, src); p.equal != nil {
			t.Errorf("%s was taken for an equality", src)
		}
	}
}

// TestAnyExpressionKeepsItsPromises evaluates expressions put together at
// random: none panics, true comes without an error, and Bool and Value agree.
func TestAnyExpressionKeepsItsPromises(t *testing.T) {
	t.Parallel()
	event := NewDoc([]byte(eventJSON))
	rapid.Check(t, func(t *rapid.T) {
		src := expression(3).Draw(t, "src")
		p, err := Compile(src, EventOnly)
		var compileErr *CompileError
		if errors.As(err, &compileErr) && !strings.Contains(compileErr.Reason, "cannot be compiled") {
			return // a literal of a wrong type
		} else if err != nil {
			t.Fatalf("Compile(%s): %v", src, err)
		}
		in := Input{Event: event, Now: now}
		got, err := p.Bool(t.Context(), in)
		v, valueErr := p.Value(t.Context(), in)
		if panicked(err) || panicked(valueErr) {
			t.Fatalf("%s: %v, %v", src, err, valueErr)
		}
		if valueErr != nil && err == nil || err == nil && got != (v == true) || err != nil && got {
			t.Fatalf("%s: Bool = %v, %v; Value = %v, %v", src, got, err, v, valueErr)
		}
	})
}

func panicked(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "internal error") || strings.Contains(err.Error(), "broke off"))
}

// expression draws well-formed source of at most depth levels.
func expression(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{
		`event`, `event.data.n`, `event.data.s`, `event.data.word`, `event.data.x`, `event.data.x.y`, `event.data.nil`, `event.data.yes`,
		`event.data.tags`, `event.data.items`, `event.data.map`, `event.ts`, `1`, `-2`, `0.5`, `3u`, `"a"`, `"1"`, `b"a"`, `null`, `true`, `false`,
		`[1, "a", null]`, `{"a": 1, 2: [3]}`, `now()`, `duration("1h")`, `int`, `9223372036854775807`, `-9223372036854775808`, `1e308`,
	})
	if depth == 0 {
		return leaf
	}
	shapes := []string{
		`(%s == %s)`, `(%s != %s)`, `(%s < %s)`, `(%s >= %s)`, `(%s + %s)`, `(%s - %s)`, `(%s * %s)`, `(%s / %s)`, `(%s %% %s)`,
		`(%s || %s)`, `(%s && %s)`, `(%s in %s)`, `%s[%s]`, `(%s ? %s : 1)`, `[%s, %s]`, `{"a": %s, "b": %s}.a`,
		`%s.exists(i, i == %s)`, `%s.all(i, %s)`, `%s.map(i, [i, %s])`, `%s.filter(i, %s || i)`, `%s.exists_one(i, i != %s)`,
		`%s.contains(%s)`, `%s.matches(%s)`, `(!%s || -%s)`, `(size(%s) + int(%s))`, `(string(%s) + double(%s))`,
		`(date(%s) < now_plus(%s))`, `(lowercase(%s) + b64decode(%s))`, `(json_parse(%s) == type(%s))`, `(timestamp(%s) - duration(%s))`,
		`{%s: %s}`, `(dyn(%s).a == bytes(%s))`,
	}
	return rapid.OneOf(leaf, rapid.Custom(func(t *rapid.T) string {
		inner := expression(depth - 1)
		return fmt.Sprintf(rapid.SampledFrom(shapes).Draw(t, "shape"), inner.Draw(t, "left"), inner.Draw(t, "right"))
	}))
}

func FuzzBool(f *testing.F) {
	for _, src := range []string{
		`event.data.x == "a"`, `event.data.n > 5 && !event.data.x`, `event.data.tags.exists(t, t == "b") ? 1 : "b"`,
		`size(event.data.map.filter(k, k in [1, "k"])) + 1.5 >= -event.data.n % 2`, `has(event.data.x.y) || now_plus("1h") < date(event.ts)`,
		`json_parse(event.data.json).a[1] - 1u`, `{"a": [b"\xff", duration("1s"), now()]}.a.map(x, string(x))`, `[1,2].all(x, x > 0) == type(1)`,
		`event.data.word.matches("(a{9}){9}") ? timestamp(0) : null`, `event.data.items.map(i, i.id).exists_one(i, i == 2)`, `now().getHours("UTC")`,
	} {
		f.Add(src, eventJSON)
	}
	f.Fuzz(func(t *testing.T, src, event string) {
		p, err := Compile(src, EventOnly)
		var compileErr *CompileError
		if err != nil && !errors.As(err, &compileErr) {
			t.Fatalf("Compile(%q): %v is no *CompileError", src, err)
		}
		if err != nil {
			if strings.Contains(compileErr.Reason, "cannot be compiled") {
				t.Fatalf("Compile(%q) panicked: %v", src, err)
			}
			return
		}
		in := Input{Event: NewDoc([]byte(event)), Now: now}
		got, err := p.Bool(t.Context(), in)
		if got && err != nil {
			t.Errorf("Bool(%q) = true, %v", src, err)
		}
		_, valueErr := p.Value(t.Context(), in)
		for _, err := range []error{err, valueErr} {
			if panicked(err) {
				t.Errorf("evaluating %q panicked: %v", src, err)
			}
		}
	})
}

func BenchmarkBool(b *testing.B) {
	for _, c := range []struct{ name, src string }{
		{"equality", `event.data.function_id == "shop-order"`},
		{"number", `event.data.n > 5`},
		{"match", `event.data.s == async.data.s`},
		{"three", `event.data.n > 5 && event.data.word == "Abc" && event.data.yes`},
		{"missing", `event.data.x.y == 1`},
		{"loop", `event.data.tags.exists(t, t == "b")`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, in := compile(b, c.src), input()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Bool(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("decode", func(b *testing.B) {
		p := compile(b, `event.data.s == "5"`)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Bool(b.Context(), input()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(`event.data.n > 5 && event.data.word == "Abc"`, EventOnly); err != nil {
			b.Fatal(err)
		}
	}
}

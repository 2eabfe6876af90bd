package expr

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

var now = time.Date(2030, 4, 5, 6, 7, 8, 0, time.UTC)

const eventJSON = `{"name":"shop/order","ts":1700000000000,"data":{
	"n":6, "half":0.5, "zero":0, "s":"5", "word":"Abc", "empty":"", "yes":true, "no":false, "nil":null,
	"tags":["a","b"], "nums":[1,2,3], "items":[{"id":1,"ok":true},{"id":2}], "map":{"k":"v","n":null},
	"b64":"aGVsbG8=", "json":"{\"a\":[1,2]}", "date":"2030-01-02T03:04:05Z", "ms":1700000000000, "i":1}}`

func input() Input {
	return Input{
		Event: NewDoc([]byte(eventJSON)),
		Async: NewDoc([]byte(`{"name":"shop/paid","data":{"n":6,"s":"5"}}`)),
		Now:   now,
	}
}

func compile(t testing.TB, src string) *Program {
	t.Helper()
	p, err := Compile(src, EventAndAsync)
	if err != nil {
		t.Fatalf("Compile(%q): %v", src, err)
	}
	return p
}

// TestValue is the table of loose typing, a group for each of its rows, and
// what it leaves to standard CEL.
func TestValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		src  string
		want any
	}{
		// missing or null == null
		{`event.data.x == null`, true},
		{`null == event.data.x`, true},
		{`event.data.nil == null`, true},
		{`event.data.x.y.z == null`, true},
		{`event.data.s == null`, false},
		{`event.data.x == event.data.y`, true},
		{`event.data.x != null`, false},
		{`event.data.s != null`, true},

		// missing == x, != x
		{`event.data.x == "a"`, false},
		{`event.data.x == 1`, false},
		{`event.data.x == false`, false},
		{`event.data.x != "a"`, true},
		{`"a" != event.data.x`, true},
		{`event.data.x == event.data.s`, false},
		{`event.data.s.y == "a"`, false}, // text has no fields
		{`event.data.nums.y == "a"`, false},

		// missing < x, <= x
		{`event.data.x < 5`, true},
		{`event.data.x <= 5`, true},
		{`event.data.x < "a"`, true},
		{`event.data.x < -5`, true},
		{`event.data.x < event.data.y`, true},

		// missing > x, >= x; known against missing
		{`event.data.x > 5`, false},
		{`event.data.x >= 5`, false},
		{`event.data.n > event.data.x`, true},
		{`5 > event.data.x`, true},
		{`5 >= event.data.x`, true},
		{`5 < event.data.x`, false},
		{`5 <= event.data.x`, false},

		// text compared with a number
		{`event.data.s == 5`, false},
		{`5 == event.data.s`, false},
		{`event.data.s != 5`, true},
		{`event.data.s < 6`, false},
		{`event.data.s <= 6`, false},
		{`event.data.s > 4`, false},
		{`4 >= event.data.s`, false},
		{`"5" == 5`, false},
		{`"5" < 6`, false},

		// integers and doubles by value
		{`event.data.n == 6`, true},
		{`event.data.n == 6.0`, true},
		{`event.data.n > 5`, true},
		{`event.data.n >= 6`, true},
		{`event.data.n < 7`, true},
		{`event.data.half < 1`, true},
		{`1 == 1.0`, true},
		{`event.data.n in [5, 6]`, true},
		{`event.data.nums == [1, 2, 3]`, true},
		{`event.data.n == async.data.n`, true},

		// a + b
		{`"a" + "b"`, "ab"},
		{`"a" + event.data.n`, "a6"},
		{`event.data.n + "a"`, "6a"},
		{`"a" + 1`, "a1"},
		{`1 + "a"`, "1a"},
		{`"a" + event.data.half`, "a0.5"},
		{`"a" + event.data.ms`, "a1700000000000"},
		{`event.data.x + "a"`, "a"},
		{`"a" + event.data.x`, "a"},
		{`event.data.x + 1`, int64(1)},
		{`event.data.x + event.data.y`, nil},
		{`event.data.n + 1`, 7.0},
		{`1 + 2`, int64(3)},
		{`[1] + [2]`, []any{int64(1), int64(2)}},

		// a || b, a && b
		{`event.data.word || "other"`, "Abc"},
		{`event.data.x || "other"`, "other"},
		{`event.data.empty || event.data.zero || "last"`, "last"},
		{`event.data.x || event.data.y`, nil},
		{`event.data.x || event.data.no`, false},
		{`event.data.word && event.data.n`, 6.0},
		{`event.data.zero && event.data.n`, 0.0},
		{`event.data.x && event.data.n`, nil},
		{`event.data.yes && event.data.word`, "Abc"},
		{`event.data.tags && true`, true},
		{`true || int(event.data.word) == 1`, true},
		{`int(event.data.word) == 1 || true`, true},
		{`false && int(event.data.word) == 1`, false},
		{`int(event.data.word) == 1 && false`, false},

		// c ? x : y
		{`event.data.word ? 1 : 2`, int64(1)},
		{`event.data.empty ? 1 : 2`, int64(2)},
		{`event.data.zero ? 1 : 2`, int64(2)},
		{`event.data.n ? 1 : 2`, int64(1)},
		{`event.data.x ? 1 : 2`, int64(2)},
		{`event.data.nil ? 1 : 2`, int64(2)},
		{`event.data.map ? 1 : "b"`, int64(1)},
		{`event.data.x ? int(event.data.word) : 2`, int64(2)},
		{`(0.0 / 0.0) ? 1 : 2`, int64(2)},
		{`0u ? 1 : 2`, int64(2)},

		// size(missing)
		{`size(event.data.x)`, int64(0)},
		{`event.data.x.size()`, int64(0)},
		{`size(event.data.x) == 0`, true},
		{`size(event.data.tags)`, int64(2)},
		{`event.data.word.size()`, int64(3)},
		{`size({"a": 1})`, int64(1)},

		// !missing
		{`!event.data.x`, false},
		{`!event.data.x.y`, false},
		{`!event.data.yes`, false},
		{`!event.data.no`, true},
		{`!has(event.data.x)`, true},

		// other calls on a missing value
		{`event.data.x.contains("a")`, false},
		{`event.data.x.startsWith("a")`, false},
		{`event.data.x.endsWith("a")`, false},
		{`event.data.x.matches("a")`, false},
		{`"abc".contains(event.data.x)`, false},
		{`matches(event.data.x, "a")`, false},
		{`int(event.data.x)`, false},
		{`double(event.data.x)`, false},
		{`string(event.data.x)`, false},
		{`timestamp(event.data.x)`, false},
		{`duration(event.data.x)`, false},
		{`lowercase(event.data.x)`, false},
		{`uppercase(event.data.x)`, false},
		{`b64decode(event.data.x)`, false},
		{`json_parse(event.data.x)`, false},
		{`date(event.data.x)`, false},
		{`now_plus(event.data.x)`, false},
		{`now_minus(event.data.x)`, false},
		{`lowercase(event.data.x) == "abc"`, false},
		{`event.data.x in ["a"]`, false},
		{`"a" in event.data.x`, false},
		{`-event.data.x`, false},
		{`event.data.x - 1`, false},
		{`1 * event.data.x`, false},
		{`event.data.x / 2`, false},
		{`event.data.x % 2`, false},
		{`event.data.x.all(i, i > 0)`, false},
		{`event.data.x.exists(i, i > 0)`, false},
		{`event.data.x.exists_one(i, i > 0)`, false},
		{`event.data.x.map(i, i)`, nil},
		{`event.data.x.filter(i, i > 0)`, nil},
		{`size(event.data.x.filter(i, i > 0))`, int64(0)},

		// has
		{`has(event.data.s)`, true},
		{`has(event.data.nil)`, true},
		{`has(event.data.x)`, false},
		{`has(event.data.x.y)`, false},
		{`has(event.data.s.y)`, false},
		{`has(event.data.map.k)`, true},

		// standard functions and macros
		{`event.data.tags.exists(t, t == "b")`, true},
		{`event.data.tags.exists(t, t == "c")`, false},
		{`event.data.nums.all(n, n > 0)`, true},
		{`event.data.nums.all(n, n > 1)`, false},
		{`event.data.nums.exists_one(n, n == 2)`, true},
		{`event.data.nums.exists_one(n, n > 1)`, false},
		{`event.data.nums.map(n, n * 2)`, []any{2.0, 4.0, 6.0}},
		{`event.data.nums.map(n, n > 1, n + 1)`, []any{3.0, 4.0}},
		{`event.data.nums.filter(n, n > 1)`, []any{2.0, 3.0}},
		{`event.data.items.exists(i, i.ok)`, true}, // a missing ok is no error
		{`event.data.items.all(i, i.ok)`, false},
		{`event.data.items.filter(i, i.ok).map(i, i.id)`, []any{1.0}},
		{`event.data.items.exists(i, event.data.nums.exists(n, n == i.id + 1))`, true},
		{`event.data.map.exists(k, event.data.map[k] == "v")`, true},
		{`event.data.word.contains("b")`, true},
		{`event.data.word.startsWith("A")`, true},
		{`event.data.word.endsWith("c")`, true},
		{`event.data.word.matches("^[A-Z]bc$")`, true},
		{`"a" in event.data.tags`, true},
		{`"z" in event.data.tags`, false},
		{`"k" in event.data.map`, true},
		{`null in [null]`, true},
		{`int(event.data.s) + 1`, int64(6)},
		{`string(event.data.n)`, "6"},
		{`double(event.data.s)`, 5.0},
		{`timestamp(event.data.date) < now()`, true},
		{`duration("90m") > duration("1h")`, true},
		{`type(event.data.s) == string`, true},

		// selecting and indexing
		{`event.data["n"]`, 6.0},
		{`event["data"].tags[0]`, "a"},
		{`event.data.tags[event.data.i]`, "b"},
		{`event.data.tags[7]`, nil},
		{`event.data.tags[-1]`, nil},
		{`event.data.tags[0.5]`, nil},
		{`event.data.map[event.data.x]`, nil},
		{`event.data.map[3]`, nil},
		{`event.data.map[b"k"]`, nil},
		{`event.data.tags in event.data.map`, false},
		{`{"a": {"b": 1}}.a.b`, int64(1)},
		{`{1: "one"}[1]`, "one"},
		{`event.ts`, 1.7e12},
		{`event.data.function || event.data.package || event.data.type || "words CEL reserves"`, "words CEL reserves"},

		// arithmetic
		{`event.data.n - 1`, 5.0},
		{`event.data.n * event.data.half`, 3.0},
		{`event.data.n / 4`, 1.5},
		{`event.data.n % 2 == 0`, true},
		{`7 / 2`, int64(3)},
		{`7 % 2`, int64(1)},
		{`-event.data.n`, -6.0},

		// functions beyond CEL
		{`lowercase(event.data.word)`, "abc"},
		{`uppercase(event.data.word)`, "ABC"},
		{`b64decode(event.data.b64)`, "hello"},
		{`b64decode("_-8")`, "\uFFFD"},
		{`json_parse(event.data.json).a[1]`, 2.0},
		{`json_parse(event.data.json).b == null`, true},
		{`date(event.data.date)`, "2030-01-02T03:04:05Z"},
		{`date(event.data.ms)`, "2023-11-14T22:13:20Z"},
		{`date("2030-01-02")`, "2030-01-02T00:00:00Z"},
		{`date(event.data.date).getMonth()`, int64(0)},
		{`now()`, "2030-04-05T06:07:08Z"},
		{`now_plus("1h")`, "2030-04-05T07:07:08Z"},
		{`now_plus("1d1h")`, "2030-04-06T07:07:08Z"},
		{`now_minus("2m")`, "2030-04-05T06:05:08Z"},
		{`now_minus(duration("2m"))`, "2030-04-05T06:05:08Z"},
		{`date(event.data.date) < now_plus("1h")`, true},
		{`now() - date(event.data.date) > duration("24h")`, true},
		{`duration("90s")`, "90s"},
		{`bytes("hi")`, "aGk="},
		{`event.data.map`, map[string]any{"k": "v", "n": nil}},
	} {
		t.Run(c.src, func(t *testing.T) {
			t.Parallel()
			got, err := compile(t, c.src).Value(t.Context(), input())
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("Value = %#v, %v; want %#v", got, err, c.want)
			}
		})
	}
}

func TestBool(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, src string
		want      bool
	}{
		{"a true condition", `event.data.n > 5`, true},
		{"a false condition", `event.data.n > 6`, false},
		{"a missing field does not exceed", `event.data.x > 5`, false},
		{"a missing path is false, no error", `event.data.a.b.c`, false},
		{"a missing path compares, no error", `event.data.a.b.c == "d"`, false},
		{"text is not the number it spells", `event.data.s == 5`, false},
		{"not of a missing field does not start", `!event.data.x`, false},
		{"two events are compared", `event.data.s == async.data.s`, true},
		{"the simple shape", `event.data.word == "Abc"`, true},
		{"the simple shape turned round", `"5" == async.data.s`, true},
		{"an explicit null is false", `event.data.nil`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := compile(t, c.src).Bool(t.Context(), input())
			if got != c.want || err != nil {
				t.Errorf("Bool(%s) = %v, %v; want %v", c.src, got, err, c.want)
			}
		})
	}
}

func TestBoolFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, src string
		notBool   bool
	}{
		{"text is no boolean", `event.data.s`, true},
		{"an operand of && is no boolean", `event.data.yes && event.data.s`, true},
		{"a number is no boolean", `1 + 1`, true},
		{"text is no number", `int(event.data.word) == 1`, false},
		{"a number has no contains", `event.data.n.contains("a")`, false},
		{"a map does not order", `event.data.map < 1`, false},
		{"not of text", `!event.data.word`, false},
		{"size of a number", `size(event.data.n) == 1`, false},
		{"not base64", `b64decode("%") == ""`, false},
		{"not JSON", `json_parse("{").a == 1`, false},
		{"not a date", `date("soon") < now()`, false},
		{"a date out of range", `date(1e300) < now()`, false},
		{"not a duration", `now_plus("soon") < now()`, false},
		{"a time past the last year", `now_plus("100000000h") < now()`, false},
		{"division by zero", `1 / 0 == 1`, false},
		{"modulus by zero", `event.data.n % 0 == 1`, false},
		{"a list as a name", `{[1]: 1}.a == 1`, false},
		{"bytes as a name", `{b"a": 1}.a == 1`, false},
		{"in a number", `1 in event.data.n`, false},
		{"the error of an operand that decides", `int(event.data.word) == 1 || false`, false},
		{"the error of a condition", `int(event.data.word) == 1 ? true : true`, false},
		{"a loop over a number", `event.data.n.exists(i, i == 1)`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := compile(t, c.src).Bool(t.Context(), input())
			if got || err == nil || errors.Is(err, ErrNotBool) != c.notBool {
				t.Errorf("Bool(%s) = %v, %v; want false and an error, ErrNotBool %v", c.src, got, err, c.notBool)
			}
		})
	}
}

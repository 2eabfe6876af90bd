package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
)

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []struct {
		name, body string
		ok         bool
		want       error
	}{
		{"a value", ` {"a":[1,"x",null]} `, true, nil},
		{"lone surrogate as an escape", `"\ud800"`, true, nil},
		{"brackets in a string", `"` + strings.Repeat("[", 2000) + `"`, true, nil},
		{"brackets after an escaped quote", `"\"` + strings.Repeat("[", 2000) + `"`, true, nil},
		{"1000 levels", nested(1000), true, nil},
		{"1001 levels", nested(1001), false, ErrNesting},
		{"a million levels and no end", strings.Repeat(`{"a":[`, 1_000_000), false, ErrNesting},
		{"bytes that are not UTF-8", "\"\xff\"", false, ErrUTF8},
		{"a name twice", `{"a":1,"a":2}`, false, nil},
		{"a name twice, once escaped", `{"a":1,"\u0061":2}`, false, nil},
		{"a name twice, deep", `[{"b":{"a":1,"a":2}}]`, false, nil},
		{"two values", `{} {}`, false, nil},
		{"half a value", `{"a":`, false, nil},
		{"nothing", ``, false, nil},
		{"NaN", `NaN`, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := CheckJSON([]byte(tt.body))
			if (err == nil) != tt.ok || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("CheckJSON = %v, want ok %v, %v", err, tt.ok, tt.want)
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"empty stays empty", "", ""},
		{"white space is empty", " \n", ""},
		{"keys by UTF-16 code units", `{"\ufb33":1,"\ud83d\ude00":2,"a":3,"":4}`, "{\"\":4,\"a\":3,\"\U0001F600\":2,\"\uFB33\":1}"},
		{
			"numbers as JavaScript prints them", `[1.0,1e21,1E400,-0,0.000001,1e-7,9007199254740993,333333333.33333329]`,
			`[1,1e+21,1.7976931348623157e+308,0,0.000001,1e-7,9007199254740992,333333333.3333333]`,
		},
		{"shortest strings", `"\u0061\/\u0007\u000a\u20ac\""`, `"a/\u0007\n€\""`},
		{"lone surrogate", `"a\ud800b"`, `"a` + "\uFFFD" + `b"`},
		{"no white space", " { \"b\" : [ 1 , 2 ] ,\n\"a\" : { } } ", `{"a":{},"b":[1,2]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := []byte(tt.in)
			got, err := Canonical(in)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if string(in) != tt.in {
				t.Errorf("the input was changed to %s", in)
			}
			again, err := Canonical(got)
			if err != nil || string(again) != tt.want {
				t.Errorf("a second time gives %s, %v", again, err)
			}
		})
	}
	for _, bad := range []string{"{", `{"a":1,"a":2}`, "x", "{} {}"} {
		if got, err := Canonical([]byte(bad)); err == nil {
			t.Errorf("Canonical(%s) = %s, want an error", bad, got)
		}
	}
}

// FuzzCanonical holds Canonical against another implementation of RFC 8785, for
// what both take.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `{"b":1.0,"a":[1e21,-0,"\u00e9"]}`, `[1E400]`, `"\ud800"`, `{"\ufb33":1,"\ud83d\ude00":2}`, `[5e-324]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Canonical(in)
		if err != nil {
			if json.Valid(in) && len(got) > 0 {
				t.Fatalf("an error and %s", got)
			}
			return
		}
		again, err := Canonical(got)
		if err != nil || string(again) != string(got) {
			t.Fatalf("Canonical(%s) = %s, %v: not stable", got, again, err)
		}
		if len(got) == 0 || got[0] != '{' && got[0] != '[' {
			return // the oracle wants an object or an array
		}
		if v, err := sound(in); err != nil || string(v) != string(in) {
			return // broken Unicode: the oracle refuses or mangles it in its own way
		}
		if want, err := jcs.Transform(in); err == nil && string(want) != string(got) {
			t.Fatalf("Canonical(%s) = %s, the oracle says %s", in, got, want)
		}
	})
}

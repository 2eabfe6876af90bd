package expr

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, src    string
		vars         Vars
		line, column int
		reason       string // a part of it
	}{
		{"JavaScript's equality", `event.data.x === 1`, EventOnly, 1, 16, "Syntax error"},
		{"an unbalanced bracket", `size(event.data.x`, EventOnly, 1, 18, "Syntax error"},
		{"an operand too few", `event.data.x ==`, EventOnly, 1, 16, "Syntax error"},
		{"the second line", "event.data.x == 1 &&\n  foo == 1", EventOnly, 2, 3, `unknown variable "foo"`},
		{"an unknown variable", `steps.a == 1`, EventOnly, 1, 1, `unknown variable "steps"; an expression here knows event`},
		{"vars is reserved", `vars.a == 1`, EventAndAsync, 1, 1, `knows event and async`},
		{"async where there is one event", `event.data.id == async.data.id`, EventOnly, 1, 18, `unknown variable "async"`},
		{"a macro's variable outside of it", `[1].exists(i, i == 1) && i == 1`, EventOnly, 1, 26, `unknown variable "i"`},
		{"a variable of ours", `@now`, EventOnly, 1, 1, "Syntax error"},
		{"an unknown function", `foo(event.data.x)`, EventOnly, 1, 4, "'foo'"},
		{"an unknown method", `event.data.x.foo()`, EventOnly, 1, 17, "'foo'"},
		{"an argument too many", `lowercase("a", "b")`, EventOnly, 1, 10, "lowercase"},
		{"a literal of the wrong type", `lowercase(1)`, EventOnly, 1, 10, "lowercase"},
		{"a constant that does not convert", `int("x") == 1`, EventOnly, 0, 0, "'string' to 'int'"},
		{"a pattern that is none", `event.data.x.matches("(")`, EventOnly, 0, 0, "missing closing )"},
		{"a pattern that is too large", `event.data.x.matches("(a{900}){1,900}")`, EventOnly, 0, 0, ""},
		{"a message", `Foo{a: 1}`, EventOnly, 1, 4, `no message type "Foo"`},
		{"nothing", " \n", EventOnly, 0, 0, "empty"},
		{"a long source", strings.Repeat("1+", maxSourceBytes) + "1", EventOnly, 0, 0, "limit is 4096"},
		{"deep brackets", strings.Repeat("(", 200) + "1" + strings.Repeat(")", 200), EventOnly, 1, 101, "nested"},
		{"a deep tree", strings.Repeat("1+", 200) + "1", EventOnly, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Compile(c.src, c.vars)
			var got *CompileError
			if !errors.As(err, &got) {
				t.Fatalf("Compile = %v, want a *CompileError", err)
			}
			if !strings.HasPrefix(err.Error(), "error compiling expression: ") {
				t.Errorf("the text %q starts wrong", err)
			}
			if got.Line != c.line || got.Column != c.column || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("got %d:%d %q, want %d:%d and %q", got.Line, got.Column, got.Reason, c.line, c.column, c.reason)
			}
		})
	}
}

// TestCompileIsQuick holds against sources that would make a parser with
// backtracking, or a tree walk, take long or run out of stack.
func TestCompileIsQuick(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{
		"(", "[", "{", "!", "-", "a?", "a?b:", "a.", "a[", "f(", "a.map(x,", "[1].map(x,", "[[", "{1:", "a||", "a&&b||", "1+", "\"", "`",
		"((a)", "()", "[]+", "(-", "!(", "a==", "?:", "..", ",", "}", "event.data.x==\"a\"&&", "b\"\"+", "1 in [", "size(",
	} {
		t.Run(unit, func(t *testing.T) {
			src := strings.Repeat(unit, maxSourceBytes/len(unit))
			for _, s := range []string{src, src[:len(src)/8], src[:min(len(src), 40*len(unit))] + "1"} {
				start := time.Now()
				_, err := Compile(s, EventAndAsync)
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("%d bytes took %v (%v)", len(s), took, err)
				} else {
					t.Logf("%d bytes took %v (%.90s)", len(s), took, err)
				}
			}
		})
	}
}

func TestCompileTakesLongConditions(t *testing.T) {
	t.Parallel()
	src := strings.TrimSuffix(strings.Repeat(`event.data.id == "abcd" || `, 150), " || ")
	p, err := Compile(src, EventOnly)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Bool(t.Context(), Input{Event: NewDoc([]byte(`{"data":{"id":"abcd"}}`))}); !got || err != nil {
		t.Errorf("Bool = %v, %v; want true", got, err)
	}
}

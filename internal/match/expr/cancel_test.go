package expr

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompileCancel(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		`event.data.id == async.data.id`, `event.data["id"] != async.data.list[0]`, `async.data.n < 5 && async.data.n >= -5 || !async.data.ok`,
		`async.data.id in [event.data.id, "a", 1.5]`, `int(async.data.n) == 1 || uint(async.data.n) == 1u || double(async.data.n) == 1.0`,
		`async.data.ok ? true : event.data.ok`, `async.data in {"a": 1}`, `null == async.data.x`, `false`,
	} {
		p, err := CompileCancel(src)
		require.NoError(t, err, src)
		require.Equal(t, src, p.String())
	}
}

func TestCompileCancelRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, src    string
		line, column int
		reason       string // a part of it
	}{
		{"a function", `size(async.data.list) == 1`, 1, 5, "cannot use size;"},
		{"a function of ours", `lowercase(async.data.id) == "a"`, 1, 10, "cannot use lowercase;"},
		{"another conversion", `string(async.data.n) == "1"`, 1, 7, "cannot use string;"},
		{"the time", `async.data.ok && now() > timestamp(async.data.at)`, 1, 21, "cannot use now;"},
		{"a method", `async.data.id.startsWith("a")`, 1, 25, "cannot use startsWith;"},
		{"a method with an allowed name", `async.data.n.contains("a")`, 1, 22, "cannot use contains;"},
		{"arithmetic", `async.data.n + 1 == 2`, 1, 14, "cannot use +;"},
		{"a negative field", `-async.data.n == 2`, 1, 1, "cannot use -;"},
		{"has", `event.data.ok && has(async.data.id)`, 1, 21, "cannot use has;"},
		{"exists", `async.data.list.exists(i, i == 1)`, 1, 23, "cannot use macros"},
		{"map", `async.data.list.map(i, i) == [1]`, 1, 20, "cannot use macros"},
		{"within a list", "async.data.id in\n [event.data.a, size(event.data.b)]", 2, 21, "cannot use size;"},
		{"within an index", `async.data[lowercase("A")] == 1`, 1, 21, "cannot use lowercase;"},
		{"bad syntax, first of all", `size(async.data.list) ===`, 1, 25, "Syntax error"},
		{"an unknown variable", `foo.id == async.data.id`, 1, 1, "unknown variable"},
		{"nothing", ``, 0, 0, "empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := CompileCancel(c.src)
			var got *CompileError
			require.ErrorAs(t, err, &got)
			require.Contains(t, got.Reason, c.reason)
			require.Equal(t, [2]int{c.line, c.column}, [2]int{got.Line, got.Column}, got.Reason)
		})
	}
}

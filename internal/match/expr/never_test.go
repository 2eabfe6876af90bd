package expr

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNever(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, src string
		want      bool
	}{
		{"false", `false`, true},
		{"null", `null`, true},
		{"a constant comparison", `1 == 2`, true},
		{"text is no number", `"1" == 1`, true},
		{"a constant beside async", `async.data.id == "a" && 1 > 2`, true},
		{"a constant before async", `(1 > 2 && async.data.id == "a") && async.data.ok`, true},
		{"a constant deep in a chain", `async.a && (async.b && (async.c && false))`, true},
		{"what the event has", `event.data.word == "other" && async.data.id == event.data.s`, true},
		{"what the event lacks", `event.data.x && async.data.ok`, true},
		{"only what the event has", `event.data.n > 6`, true},
		{"an evaluation that fails", `int(event.data.word) == 1 && async.data.ok`, true},
		{"an equality that fails", `async.data.id == int(event.data.word)`, true},
		{"an equality with what no event has", `async.data.id == b"a"`, true},
		{"neither of two", `(false && async.a) || (event.data.no && async.b)`, true},

		{"true", `true`, false},
		{"what the event has, rightly", `event.data.word == "Abc" && async.data.id == event.data.s`, false},
		{"one of two may hold", `(false && async.a) || async.b`, false},
		{"a constant on the other side of or", `async.a || false`, false},
		{"a constant under not", `!(false && async.a)`, false},
		{"a constant in a choice", `async.a ? false : true`, false},
		{"the time is not yet known", `now() > timestamp("2000-01-01T00:00:00Z") && async.a`, false},
		{"loops are not looked into", `[1].all(i, i == 2) && async.a`, false},
		{"an open condition", `event.data.s == async.data.id`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, compile(t, c.src).Never(input().Event))
		})
	}
}

func TestNeverOfAnUnreadableEvent(t *testing.T) {
	t.Parallel()
	bad := NewDoc([]byte(`{`))
	require.True(t, compile(t, `event.data.n == 1 && async.ok`).Never(bad))
	require.True(t, compile(t, `event.data.n == async.data.n`).Never(bad))
	require.False(t, compile(t, `async.data.n == 1`).Never(bad))
	require.True(t, compile(t, `event.data.n == 1 && async.ok`).Never(nil), "no event is null")
}

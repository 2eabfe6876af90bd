package expr

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestLargeIDs: two ids are never one, however large; what JavaScript writes for
// a number is that number.
func TestLargeIDs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		event, async string
		want         bool
	}{
		{"1800000000000000001", "1800000000000000001", true},
		{"1800000000000000000", "1800000000000000001", false},
		{"1800000000000000001", "1800000000000000002", false},
		{"1800000000000000002", "1800000000000000002.0", false}, // a double, which has a name of its own: ...000
		{"-1800000000000000001", "-1800000000000000001", true},
		{"-1800000000000000001", "1800000000000000001", false},
		{"9007199254740993", "9007199254740992", false},
		{"9007199254740993", "9007199254740994", false},
		{"18446744073709551615", "18446744073709551615", true},
		{"18446744073709551614", "18446744073709551615", false},
		{"1152921504606846976", "1152921504606847000", true}, // 2^60, and as JavaScript writes it
		{"1152921504606846976", "1152921504606846976.0", true},
		{"1152921504606846976", "1152921504606847001", false},
		{"100000000000000000000", "100000000000000000001", true}, // doubles, beyond 64 bits
	} {
		in := Input{Event: NewDoc([]byte(`{"data":{"n":` + c.event + `}}`)), Async: NewDoc([]byte(`{"data":{"n":` + c.async + `}}`)), Now: time.Unix(0, 0)}
		for source, want := range map[string]bool{
			`event.data.n == async.data.n`:                                 c.want,
			`async.data.n == event.data.n`:                                 c.want,
			`event.data.n != async.data.n`:                                 !c.want,
			`event.data.n in [0, async.data.n]`:                            c.want,
			`event.data.n <= async.data.n && event.data.n >= async.data.n`: c.want,
			`event.data.n < async.data.n || event.data.n > async.data.n`:   !c.want,
		} {
			got, err := compile(t, source).Bool(t.Context(), in)
			require.NoError(t, err)
			require.Equal(t, want, got, "%s of %s and %s", source, c.event, c.async)
		}
		key := func(doc *Doc) string {
			k, err := compile(t, `event.data.n`).Key(t.Context(), Input{Event: doc})
			require.NoError(t, err)
			return k.Text
		}
		require.Equal(t, c.want, key(in.Event) == key(in.Async), "keys of %s and %s", c.event, c.async)
		require.Equal(t, c.want, in.Event.IndexText("data.n") == in.Async.IndexText("data.n"))
	}
	got, err := compile(t, `event.data.n == 1800000000000000001`).Bool(t.Context(), Input{Event: NewDoc([]byte(`{"data":{"n":1800000000000000000}}`))})
	require.NoError(t, err)
	require.False(t, got, "a literal is what it says")
}

// TestNumbersOrder: whole numbers and doubles have one order.
func TestNumbersOrder(t *testing.T) {
	t.Parallel()
	number := rapid.OneOf(
		rapid.Map(rapid.Int64(), func(n int64) string { return strconv.FormatInt(n, 10) }),
		rapid.Map(rapid.Uint64(), func(n uint64) string { return strconv.FormatUint(n, 10) }),
		rapid.Map(rapid.Int64Range(-3, 3), func(n int64) string { return strconv.FormatInt(1<<60+n, 10) }),
		rapid.Map(rapid.Float64Range(-1e20, 1e20), func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) + ".0"[:2*b2i(f == math.Trunc(f))] }),
		rapid.SampledFrom([]string{"0", "-0.0", "1152921504606846976.0", "9223372036854775808.0", "-9223372036854775808", "18446744073709551616.0", "0.5"}),
	)
	less, equal := compile(t, `event.data.a < event.data.b`), compile(t, `event.data.a == event.data.b`)
	rapid.Check(t, func(r *rapid.T) {
		a, b, c := number.Draw(r, "a"), number.Draw(r, "b"), number.Draw(r, "c")
		holds := func(p *Program, a, b string) bool {
			got, err := p.Bool(t.Context(), Input{Event: NewDoc([]byte(`{"data":{"a":` + a + `,"b":` + b + `}}`))})
			require.NoError(r, err)
			return got
		}
		n := b2i(holds(less, a, b)) + b2i(holds(less, b, a)) + b2i(holds(equal, a, b))
		require.Equal(r, 1, n, "one of less, equal and greater")
		require.Equal(r, holds(equal, a, b), holds(equal, b, a))
		if holds(less, a, b) && holds(less, b, c) {
			require.True(r, holds(less, a, c))
		}
		if holds(equal, a, b) && holds(equal, b, c) {
			require.True(r, holds(equal, a, c))
		}
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

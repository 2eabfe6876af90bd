package durable_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
)

func TestKeyRuleIsAboutStartsWithoutAKey(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rule   durable.KeyRule
		keyed  bool
		unique string
		want   durable.KeyRule
	}{
		{"no rule, no key", durable.KeyNone, false, "", durable.KeyNone},
		{"required, and none came", durable.KeyRequired, false, "", durable.KeyRequired},
		{"required, and the event or request has one", durable.KeyRequired, true, "", durable.KeyNone},
		{"required, and the option idempotency has a value", durable.KeyRequired, false, "=7", durable.KeyNone},
		{"required, and that value is empty text, which is a value", durable.KeyRequired, false, "=", durable.KeyNone},
		{"required, and the event lacks the value of the option", durable.KeyRequired, false, durable.NullKey, durable.KeyRequired},
		{"derived, and none came", durable.KeyDerived, false, "", durable.KeyDerived},
		{"derived, and the event lacks the value of the option", durable.KeyDerived, false, durable.NullKey, durable.KeyDerived},
		{"derived, and one came", durable.KeyDerived, true, durable.NullKey, durable.KeyNone},
	} {
		require.Equal(t, tt.want, tt.rule.About(tt.keyed, tt.unique), tt.name)
	}
}

func TestKeyRulesByName(t *testing.T) {
	t.Parallel()
	for _, name := range durable.KeyRuleNames() {
		r, ok := durable.ParseKeyRule(name)
		require.True(t, ok)
		require.Equal(t, name, r.String())
	}
	_, ok := durable.ParseKeyRule("Required")
	require.False(t, ok)
	require.Empty(t, durable.KeyRule(9).String())
}

func TestWhatCountsAsAKey(t *testing.T) {
	t.Parallel()
	require.False(t, durable.Event{Name: "x"}.HasKey())
	require.True(t, durable.Event{Name: "x", Key: "k"}.HasKey(), "the sender's id")
	require.True(t, durable.Event{Name: "x", Keyed: true}.HasKey(), "the request's")
	require.True(t, durable.Event{Name: durable.EventTimer}.HasKey(), "Pawl sends each of its own once")
	require.True(t, durable.GivenKey("order-7"))
	require.False(t, durable.GivenKey(""))
	require.False(t, durable.GivenKey("retry:ABC"), "a client's own, for the retries of one request")

	key := durable.DerivedKey("x", []byte(`{"n":1}`))
	require.True(t, durable.IsDerivedKey(key))
	require.Equal(t, key, durable.DerivedKey("x", []byte(`{"n":1}`)))
	require.NotEqual(t, key, durable.DerivedKey("y", []byte(`{"n":1}`)))
	require.NotEqual(t, durable.DerivedKey("xy", nil), durable.DerivedKey("x", []byte("y")))
}

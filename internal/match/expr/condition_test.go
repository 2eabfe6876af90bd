package expr

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckCondition(t *testing.T) {
	t.Parallel()
	for src, ok := range map[string]bool{
		"true": true, "event.data.n == 1": true, "event.data.ok": true, "event.data.a > event.data.b": true, "1 == 1.0": true,
		`"a" in event.data.list`: true, "event.data.list.exists(i, i == 1)": true, "event.data.a ? true : event.data.b": true,
		"1+1": false, `"a"`: false, "[true]": false, "null": false, "event.data.ok ? 1 : 2": false, "now": false,
	} {
		if _, err := Compile(src, EventOnly); err != nil {
			require.False(t, ok, "%s: %v", src, err)
			continue
		}
		err := CheckCondition(src, EventOnly)
		require.Equal(t, ok, err == nil, "%s: %v", src, err)
	}
}

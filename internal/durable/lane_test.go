package durable

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What waits for its time stands in no lane of a key: there may be any number of
// those, and nobody asks them for the time.
func TestLaneOfARequestThatWaitsForItsTime(t *testing.T) {
	t.Parallel()
	p := &play{world: newWorld(t, order), claims: map[string]Claim{}, answer: Answer{Protocol: 2}}
	p.keyed()
	lane := func() string { return p.r.Items[Discovery].Lane }
	require.Equal(t, "bshop-pay\x1fk", lane())
	require.Equal(t, lane(), p.r.Lane())
	serves("*", throws("a"))(p)
	require.Empty(t, lane(), "it is tried again later")
	require.True(t, p.r.Items[Discovery].Early())
	retry := *p.r.Items[Discovery]
	calls("*")(p) // world.claim moves it
	require.Equal(t, "cshop-pay\x1fk", lane())
	require.Equal(t, retry.Attempt, p.r.Items[Discovery].Attempt)
	require.Equal(t, retry.Due, p.r.Items[Discovery].Due)

	p = &play{world: newWorld(t, order), claims: map[string]Claim{}}
	p.keyed()
	p.r.Enqueue(p.now.Add(time.Hour), p.now, 0)
	require.Empty(t, lane(), "it begins later")
	due := p.claim(Discovery)
	require.Equal(t, "bshop-pay\x1fk", lane(), "and is held up then as others are that begin")
	p.feed(Dispatch{due})
	require.Equal(t, Running, p.r.Status)
}

func TestNamesOfLanes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, group, beside string
		timed               bool
	}{
		{"", "", "", true},
		{"bshop-pay", "", "", false},
		{"dshop-pay", "", "", true},
		{"cshop-pay", "", "", true},
		{"bshop-pay\x1fk", "bshop-pay\x1f", "cshop-pay\x1fk", false},
		{"cshop-pay\x1fk", "cshop-pay\x1f", "bshop-pay\x1fk", false},
	} {
		require.Equal(t, tt.group, LaneGroup(tt.name), tt.name)
		require.Equal(t, tt.beside, LaneBeside(tt.name), tt.name)
		require.Equal(t, tt.timed, LaneIsTimed(tt.name), tt.name)
	}
}

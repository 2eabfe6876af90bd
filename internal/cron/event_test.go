package cron

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEventIsTheProtocols(t *testing.T) {
	t.Parallel()
	require.Equal(t,
		`{"data":{"cron":"0 12 * * *","fireAt":"2026-11-22T12:00:07Z","scheduledAt":"2026-11-22T12:00:00Z"},`+
			`"id":"2026-11-22T12:00:00Z","name":"inngest/scheduled.timer","ts":1795348807000,"user":{}}`,
		string(Event(Key(noon), "0 12 * * *", noon, noon.Add(7*time.Second), nil)))
	require.Equal(t,
		`{"data":{"a":[1],"cron":"0 12 * * *","fireAt":"2026-11-22T12:00:00Z","scheduledAt":"2026-11-22T12:00:00Z"},`+
			`"id":"k","name":"inngest/scheduled.timer","ts":1795348800000,"user":{}}`,
		string(Event("k", "0 12 * * *", noon, noon, []byte(` { "a":[1] } `))))
	require.Equal(t, Event("k", "0 12 * * *", noon, noon, nil), Event("k", "0 12 * * *", noon, noon, []byte("{ }")))

	paris := mustParse(t, "TZ=Europe/Paris 0 12 * * *")
	require.Equal(t,
		`{"data":{"cron":"TZ=Europe/Paris 0 12 * * *","fireAt":"2026-11-22T11:00:01.25Z","scheduledAt":"2026-11-22T11:00:00Z"},`+
			`"id":"2026-11-22T11:00:00Z","name":"inngest/scheduled.timer","ts":1795345201250,"user":{}}`,
		string(Event(Key(noon.Add(-time.Hour)), paris.String(), noon.Add(-time.Hour).In(paris.Zone()), noon.Add(-time.Hour+1250*time.Millisecond), nil)))
}

func TestKeyIsTheSameForSchedulesThatTickTogether(t *testing.T) {
	t.Parallel()
	a, _ := mustParse(t, "*/15 * * * *").Next(noon)
	b, _ := mustParse(t, "TZ=Europe/Paris 15 13 * * *").Next(noon)
	require.Equal(t, "2026-11-22T12:15:00Z", Key(a))
	require.Equal(t, Key(a), Key(b))
}

func TestJitterIsFixedAndInside(t *testing.T) {
	t.Parallel()
	require.Zero(t, Jitter("app-fn", noon, 0))
	require.Equal(t, time.Second, Jitter("app-fn", noon, time.Second))
	require.Equal(t, 500*time.Millisecond, Jitter("app-fn", noon, 500*time.Millisecond))

	// These must never change: servers of different versions have to agree.
	require.Equal(t, 16364*time.Millisecond, Jitter("app-fn", noon, 30*time.Second))
	require.Equal(t, 16364*time.Millisecond, Jitter("app-fn", noon.In(time.FixedZone("", 3600)), 30*time.Second))
	require.NotEqual(t, Jitter("app-fn", noon, 30*time.Second), Jitter("app-fn2", noon, 30*time.Second))
	require.NotEqual(t, Jitter("app-fn", noon, 30*time.Second), Jitter("app-fn", noon.Add(time.Minute), 30*time.Second))

	var seconds [31]int
	for i := range 30_000 {
		d := Jitter("app-fn", noon.Add(time.Duration(i)*time.Minute), 30*time.Second)
		require.GreaterOrEqual(t, d, time.Second)
		require.LessOrEqual(t, d, 30*time.Second)
		seconds[d/time.Second]++
	}
	for s, n := range seconds[1:30] {
		require.InDelta(t, 1034, n, 200, "second %d", s+1)
	}
}

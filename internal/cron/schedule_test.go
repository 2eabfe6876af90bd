package cron

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNextAtChangesOfTheClock is the doc comment of Next, case by case. Ticks are
// as clocks in the zone show them, with their distance from UTC.
func TestNextAtChangesOfTheClock(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text, after string
		want        []string
	}{
		"Paris, a time that is left out has no tick": {
			"TZ=Europe/Paris 30 2 * * *", "2026-03-27T12:00:00Z",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00"},
		},
		"Paris, the times around those left out": {
			"TZ=Europe/Paris 0,59 1-3 29 3 *", "2026-03-27T12:00:00Z",
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-29T01:59:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:59:00+02:00"},
		},
		"Paris, an interval goes on over the gap": {
			"TZ=Europe/Paris */15 * * * *", "2026-03-29T00:30:00Z",
			[]string{"2026-03-29T01:45:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00"},
		},
		"Paris, a weekly tick in the gap waits a week": {
			"TZ=Europe/Paris 0 2 * * SUN", "2026-03-27T12:00:00Z",
			[]string{"2026-04-05T02:00:00+02:00"},
		},
		"Paris, a yearly tick in the gap waits a year": {
			"TZ=Europe/Paris 0 2 29 3 *", "2026-01-01T00:00:00Z",
			[]string{"2027-03-29T02:00:00+02:00"},
		},
		"Paris, a doubled time has the first tick": {
			"TZ=Europe/Paris 30 2 * * *", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
		},
		"Paris, asked between the two": {
			"TZ=Europe/Paris 30 2 * * *", "2026-10-25T00:45:00Z", // 02:45 for the first time
			[]string{"2026-10-26T02:30:00+01:00"},
		},
		"Paris, the end of the doubled hour": {
			"TZ=Europe/Paris 0 2,3 * * *", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"},
		},
		"Paris, minutes of a fixed hour run once": {
			"TZ=Europe/Paris */30 2 * * *", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"},
		},
		"Paris, every second hour is fixed hours": {
			"TZ=Europe/Paris 0 */2 * * *", "2026-10-24T22:30:00Z",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T04:00:00+01:00"},
		},
		"Paris, an interval runs in both hours": {
			"TZ=Europe/Paris */30 * * * *", "2026-10-24T23:30:00Z",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"},
		},
		"Paris, each hour is an interval however it is written": {
			"TZ=Europe/Paris 0 0-11,12-23 * * *", "2026-10-24T23:30:00Z",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"},
		},
		"New York, spring": {
			"TZ=America/New_York 15 2 * * *", "2026-03-07T12:00:00Z",
			[]string{"2026-03-09T02:15:00-04:00"},
		},
		"New York, autumn": {
			"CRON_TZ=America/New_York 15 1 * * *", "2026-10-31T12:00:00Z",
			[]string{"2026-11-01T01:15:00-04:00", "2026-11-02T01:15:00-05:00"},
		},
		"New York, hourly in autumn": {
			"CRON_TZ=America/New_York 15 * * * *", "2026-11-01T04:30:00Z",
			[]string{"2026-11-01T01:15:00-04:00", "2026-11-01T01:15:00-05:00", "2026-11-01T02:15:00-05:00"},
		},
		"Lord Howe, half an hour is left out": {
			"TZ=Australia/Lord_Howe 15,45 2 * * *", "2026-10-03T00:00:00Z",
			[]string{"2026-10-04T02:45:00+11:00", "2026-10-05T02:15:00+11:00"},
		},
		"Lord Howe, the hour after the gap is not disturbed": {
			"TZ=Australia/Lord_Howe 15 3 * * *", "2026-10-03T00:00:00Z",
			[]string{"2026-10-04T03:15:00+11:00"},
		},
		"Lord Howe, half an hour is doubled": {
			"TZ=Australia/Lord_Howe 15,45 1 * * *", "2026-04-04T00:00:00Z",
			[]string{"2026-04-05T01:15:00+11:00", "2026-04-05T01:45:00+11:00", "2026-04-06T01:15:00+10:30"},
		},
		"Lord Howe, an interval in the doubled half hour": {
			"TZ=Australia/Lord_Howe */15 * * * *", "2026-04-04T14:30:00Z",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-05T01:30:00+10:30", "2026-04-05T01:45:00+10:30", "2026-04-05T02:00:00+10:30"},
		},
		"Apia, a day is left out": {
			"TZ=Pacific/Apia 0 12 * * *", "2011-12-29T00:00:00Z",
			[]string{"2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00"},
		},
		"Apia, the day that never was": {
			"TZ=Pacific/Apia 0 12 30 12 *", "2011-12-29T00:00:00Z",
			[]string{"2012-12-30T12:00:00+14:00"},
		},
		"Apia, the day after it": {
			"TZ=Pacific/Apia 0 0 31 12 *", "2011-12-29T00:00:00Z",
			[]string{"2011-12-31T00:00:00+14:00"},
		},
		"Apia, each minute over the date line": {
			"TZ=Pacific/Apia * * * * *", "2011-12-30T09:58:30Z",
			[]string{"2011-12-29T23:59:00-10:00", "2011-12-31T00:00:00+14:00"},
		},
		"Beirut, midnight is left out": {
			"TZ=Asia/Beirut 0 0 * * *", "2026-03-28T12:00:00Z",
			[]string{"2026-03-30T00:00:00+03:00"},
		},
		"Paris, the last day of a leap year far ahead": {
			"TZ=Europe/Paris 0 0,12 * * *", "2040-12-30T12:00:00Z",
			[]string{"2040-12-31T00:00:00+01:00", "2040-12-31T12:00:00+01:00", "2041-01-01T00:00:00+01:00", "2041-01-01T12:00:00+01:00"},
		},
		"Sydney, the last day of a leap year far ahead": {
			"TZ=Australia/Sydney 0 * * 1,12 *", "2040-12-31T11:30:00Z",
			[]string{"2040-12-31T23:00:00+11:00", "2041-01-01T00:00:00+11:00"},
		},
		"Havana, midnight is doubled": {
			"TZ=America/Havana 30 0 1 11 *", "2026-10-30T12:00:00Z",
			[]string{"2026-11-01T00:30:00-04:00", "2027-11-01T00:30:00-04:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after, err := time.Parse(time.RFC3339, tt.after)
			require.NoError(t, err)
			s := mustParse(t, tt.text)
			var got []string
			for _, tick := range s.NextN(after, len(tt.want)) {
				require.Equal(t, time.UTC, tick.Location())
				got = append(got, tick.In(s.Zone()).Format("2006-01-02T15:04:05-07:00"))
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestNextIsStrictlyAfter(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "0 12 * * *")
	for after, want := range map[time.Time]time.Time{
		noon.Add(-1):              noon,
		noon:                      noon.AddDate(0, 0, 1),
		noon.Add(1):               noon.AddDate(0, 0, 1),
		noon.Add(time.Second / 2): noon.AddDate(0, 0, 1),
		noon.In(time.FixedZone("", -3600)).Add(-time.Second / 2): noon,
	} {
		tick, ok := s.Next(after)
		require.True(t, ok)
		require.Equal(t, want, tick, after)
	}
}

func TestNextEnds(t *testing.T) {
	t.Parallel()
	_, ok := Schedule{}.Next(noon)
	require.False(t, ok, "of the zero Schedule")

	s := mustParse(t, "0 0 29 2 *")
	tick, ok := s.Next(time.Date(2096, 3, 1, 0, 0, 0, 0, time.UTC))
	require.True(t, ok, "over a century without a leap year")
	require.Equal(t, time.Date(2104, 2, 29, 0, 0, 0, 0, time.UTC), tick)

	require.Len(t, s.NextN(time.Date(9990, 1, 1, 0, 0, 0, 0, time.UTC), 5), 2, "9992, 9996")
	_, ok = s.Next(time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC))
	require.False(t, ok)

	tick, ok = mustParse(t, "0 0 1 * *").Next(time.Date(-500, 1, 1, 0, 0, 0, 0, time.UTC))
	require.True(t, ok)
	require.Equal(t, time.Date(1, 2, 1, 0, 0, 0, 0, time.UTC), tick)
}

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"* * * * *", "TZ=Europe/Paris 30 2 * * *", "TZ=Europe/Paris 0 0 29 2 *", "TZ=Africa/Casablanca 0 0 29 2 *"} {
		s := mustParse(b, text)
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				s.Next(noon.AddDate(2, 0, 0))
			}
		})
	}
}

package cron

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) // a Sunday

func mustParse(t testing.TB, text string) Schedule {
	t.Helper()
	s, err := Parse(text)
	require.NoError(t, err)
	return s
}

func texts(ticks []time.Time) []string {
	all := []string{}
	for _, t := range ticks {
		all = append(all, t.Format(time.RFC3339))
	}
	return all
}

func TestParseReadsTheGrammar(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{ // ticks after noon
		"* * * * *":                           {"2026-11-22T12:01:00Z", "2026-11-22T12:02:00Z"},
		"? ? ? ? ?":                           {"2026-11-22T12:01:00Z", "2026-11-22T12:02:00Z"},
		" 0\t*  * * * ":                       {"2026-11-22T13:00:00Z", "2026-11-22T14:00:00Z"},
		"*/1 12 * * *":                        {"2026-11-22T12:01:00Z", "2026-11-22T12:02:00Z"},
		"*/20 * * * *":                        {"2026-11-22T12:20:00Z", "2026-11-22T12:40:00Z"},
		"5/50 * * * *":                        {"2026-11-22T12:05:00Z", "2026-11-22T12:55:00Z"},
		"10-20/10,59 * * * *":                 {"2026-11-22T12:10:00Z", "2026-11-22T12:20:00Z", "2026-11-22T12:59:00Z", "2026-11-22T13:10:00Z"},
		"*/60 * * * *":                        {"2026-11-22T13:00:00Z", "2026-11-22T14:00:00Z"},
		"0 */24 * * *":                        {"2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"},
		"7 7-9/99 * * *":                      {"2026-11-23T07:07:00Z", "2026-11-24T07:07:00Z"},
		"0 0 29 2 *":                          {"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"},
		"0 0 31 * *":                          {"2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z", "2027-03-31T00:00:00Z"},
		"0 0 1 JAN-mar,Jun *":                 {"2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z", "2027-06-01T00:00:00Z"},
		"0 0 * * mon-FRI/2":                   {"2026-11-23T00:00:00Z", "2026-11-25T00:00:00Z", "2026-11-27T00:00:00Z", "2026-11-30T00:00:00Z"},
		"0 0 * * 7":                           {"2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"},
		"0 0 * * SUN":                         {"2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"},
		"0 0 * * 5-7":                         {"2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z", "2026-12-04T00:00:00Z"},
		"0 0 * * 1/2":                         {"2026-11-23T00:00:00Z", "2026-11-25T00:00:00Z", "2026-11-27T00:00:00Z", "2026-11-30T00:00:00Z"},
		"0 0 * * */7":                         {"2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"},
		"0 0 * * 7/2":                         {"2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z"},
		"0 0 25 * MON":                        {"2026-11-23T00:00:00Z", "2026-11-25T00:00:00Z", "2026-11-30T00:00:00Z"}, // either day is enough
		"0 0 */15 * MON":                      {"2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
		"0 0 */1 * MON":                       {"2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
		"0 0 30 2 MON":                        {"2027-02-01T00:00:00Z", "2027-02-08T00:00:00Z"},
		"TZ=Europe/Paris 0 9 * *":             nil,
		"TZ=Europe/Paris 0 9 * * *":           {"2026-11-23T08:00:00Z", "2026-11-24T08:00:00Z"},
		"CRON_TZ=America/New_York 30 8 * * 1": {"2026-11-23T13:30:00Z", "2026-11-30T13:30:00Z"},
		"TZ=UTC 0 0 * * *":                    {"2026-11-23T00:00:00Z"},
		"TZ=Etc/GMT+5 0 0 * * *":              {"2026-11-23T05:00:00Z"},
		"TZ=Asia/Kathmandu 0 0 * * *":         {"2026-11-22T18:15:00Z"},
	} {
		s, err := Parse(text)
		if want == nil {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, text, s.String())
		require.Equal(t, want, texts(s.NextN(noon, len(want))), text)
	}
}

func TestParseKnowsTheZone(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Europe/Paris", mustParse(t, "TZ=Europe/Paris 0 9 * * *").Zone().String())
	require.Equal(t, time.UTC, mustParse(t, "0 9 * * *").Zone())
	require.Nil(t, Schedule{}.Zone())
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "expected exactly 5 fields, found 0",
		"* * * *":                       "expected exactly 5 fields, found 4",
		"0 * * * * *":                   "expected exactly 5 fields, found 6",
		"TZ=Europe/Paris":               "expected exactly 5 fields, found 0",
		"tz=Europe/Paris 0 0 * * *":     "expected exactly 5 fields, found 6",
		"TZ=UTC TZ=UTC 0 0 * *":         `minute: "TZ=UTC" is not a number from 0 to 59`,
		"@daily":                        "words such as @daily are not supported; write five fields, such as 0 0 * * *",
		"@every 5m":                     "words such as @daily are not supported; write five fields, such as 0 0 * * *",
		"TZ=UTC @hourly":                "words such as @daily are not supported; write five fields, such as 0 0 * * *",
		"TZ=Nowhere/Atlantis * * * * *": `unknown time zone "Nowhere/Atlantis"; write it as the IANA database does, such as Europe/Paris`,
		"TZ= * * * * *":                 "its time zone is empty",
		"TZ=Local * * * * *":            `unknown time zone "Local"; write it as the IANA database does, such as Europe/Paris`,
		"TZ=localtime * * * * *":        `unknown time zone "localtime"; write it as the IANA database does, such as Europe/Paris`,
		"TZ=right/UTC * * * * *":        `unknown time zone "right/UTC"; write it as the IANA database does, such as Europe/Paris`,
		"TZ=../etc/passwd * * * * *":    `unknown time zone "../etc/passwd"; write it as the IANA database does, such as Europe/Paris`,
		"60 * * * *":                    `minute: "60" is not a number from 0 to 59`,
		"* 24 * * *":                    `hour: "24" is not a number from 0 to 23`,
		"* * 0 * *":                     `day of month: "0" is not a number from 1 to 31`,
		"* * 32 * *":                    `day of month: "32" is not a number from 1 to 31`,
		"* * L * *":                     `day of month: "L" is not a number from 1 to 31`,
		"* * * 13 *":                    `month: "13" is not a number from 1 to 12`,
		"* * * january *":               `month: "january" is not a number from 1 to 12`,
		"* * * * 8":                     `day of week: "8" is not a number from 0 to 7`,
		"* * * * MON#1":                 `day of week: "MON#1" is not a number from 0 to 7`,
		"H * * * *":                     `minute: "H" is not a number from 0 to 59`,
		"+5 * * * *":                    `minute: "+5" is not a number from 0 to 59`,
		"-5 * * * *":                    `minute: "" is not a number from 0 to 59`,
		"1,,2 * * * *":                  `minute: "" is not a number from 0 to 59`,
		"1-2-3 * * * *":                 `minute: "2-3" is not a number from 0 to 59`,
		"*-5 * * * *":                   `minute: "*" is not a number from 0 to 59`,
		"100/5 * * * *":                 `minute: "100" is not a number from 0 to 59`,
		"99999999999999999999 * * * *":  `minute: "99999999999999999999" is not a number from 0 to 59`,
		"*/0 * * * *":                   `minute: the step of "*/0" is not a number above 0`,
		"*/ * * * *":                    `minute: the step of "*/" is not a number above 0`,
		"*/5/5 * * * *":                 `minute: the step of "*/5/5" is not a number above 0`,
		"* 22-2 * * *":                  `hour: "22-2" runs backwards; write two ranges, such as 22-23,0-2`,
		"* * * * fri-mon":               `day of week: "fri-mon" runs backwards; write two ranges, such as 5-6,0-1`,
		"0 0 30 2 *":                    "it never comes: none of its months has such a day",
		"0 0 31 4,6,9,11 *":             "it never comes: none of its months has such a day",
		"0 0 * * *\x00":                 `day of week: "*\x00" is not a number from 0 to 7`,
	} {
		_, err := Parse(text)
		require.EqualError(t, err, "'"+text+"' isn't a valid cron schedule: "+want)
	}
}

func TestParseLimitsTheLength(t *testing.T) {
	t.Parallel()
	fits := strings.Repeat("0,", 123) + "0 * * * *"
	require.Len(t, fits, 255)
	mustParse(t, fits)
	_, err := Parse(fits + " ")
	require.EqualError(t, err, "'"+fits[:64]+"…' isn't a valid cron schedule: longer than 255 bytes")
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"* * * * *", "TZ=Europe/Paris */15 2-4 1,15 jan-mar MON", "CRON_TZ=Pacific/Apia 30 0 30 12 ?",
		"0 0 30 2 *", "@daily", "100/5 * * * *", "*/60 */24 */31 */12 */7", "TZ=Australia/Lord_Howe 1-59/2 * * * 7", "é * * * *",
	} {
		f.Add(text, int64(1_774_742_400))
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		s, err := Parse(text)
		if err != nil {
			require.Contains(t, err.Error(), "' isn't a valid cron schedule: ")
			require.Zero(t, s)
			return
		}
		require.Equal(t, text, s.String())
		after := time.Unix(seconds, 0)
		for range 3 {
			tick, ok := s.Next(after)
			if !ok {
				break
			}
			require.Greater(t, tick.Unix(), after.Unix())
			require.Equal(t, time.UTC, tick.Location())
			again, ok := s.Next(tick.Add(-1))
			require.True(t, ok)
			require.Equal(t, tick, again)
			after = tick
		}
		ticks, next := Due(s, time.Unix(0, 0), time.Unix(seconds, 0), MissedOnce)
		require.LessOrEqual(t, len(ticks), 2)
		require.Equal(t, time.UTC, next.Location())
	})
}

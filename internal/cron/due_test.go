package cron

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

func TestDueFollowsThePolicy(t *testing.T) {
	t.Parallel()
	at := func(clock string) time.Time {
		d, err := time.Parse("15:04:05", clock)
		require.NoError(t, err)
		return noon.Truncate(24 * time.Hour).Add(d.Sub(d.Truncate(24 * time.Hour)))
	}
	for name, tt := range map[string]struct {
		text, last, now string
		missed          Missed
		want            []string
		next            string
	}{
		"nothing has passed":                               {"0 * * * *", "12:00:00", "12:59:59", MissedAll(9), nil, "13:00:00"},
		"a tick at last is decided already":                {"0 * * * *", "12:00:00", "12:00:01", MissedAll(9), nil, "13:00:00"},
		"a tick at now runs":                               {"0 * * * *", "12:00:00", "13:00:00", MissedOnce, []string{"13:00:00"}, "14:00:00"},
		"a tick that is a little late runs under skip":     {"0 * * * *", "12:00:00", "13:00:59", MissedSkip, []string{"13:00:00"}, "14:00:00"},
		"skip leaves out what is a minute late":            {"0 * * * *", "12:00:00", "13:01:00", MissedSkip, nil, "14:00:00"},
		"skip leaves out what is more than that":           {"0 * * * *", "12:00:00", "13:01:01", MissedSkip, nil, "14:00:00"},
		"skip runs the late one and leaves out the missed": {"0 * * * *", "08:30:00", "13:00:10", MissedSkip, []string{"13:00:00"}, "14:00:00"},
		"once runs the newest of the missed":               {"0 * * * *", "08:30:00", "13:30:00", MissedOnce, []string{"13:00:00"}, "14:00:00"},
		"once is satisfied by one that is a little late":   {"0 * * * *", "08:30:00", "13:00:10", MissedOnce, []string{"13:00:00"}, "14:00:00"},
		"once runs a single missed tick however late":      {"0 1 * * *", "00:30:00", "23:59:00", MissedOnce, []string{"01:00:00"}, "01:00:00"},
		"all runs each, oldest first":                      {"0 * * * *", "08:30:00", "11:30:00", MissedAll(9), []string{"09:00:00", "10:00:00", "11:00:00"}, "12:00:00"},
		"all runs the newest up to its limit":              {"0 * * * *", "08:30:00", "13:30:00", MissedAll(2), []string{"12:00:00", "13:00:00"}, "14:00:00"},
		"ticks each minute, of which one is a little late": {"* * * * *", "11:00:30", "12:02:59", MissedSkip, []string{"12:02:00"}, "12:03:00"},
		"a clock that was set back decides nothing twice":  {"0 * * * *", "15:00:00", "13:30:00", MissedAll(9), nil, "16:00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ticks, next := Due(mustParse(t, tt.text), at(tt.last), at(tt.now), tt.missed)
			var got []string
			for _, tick := range ticks {
				got = append(got, tick.Format("15:04:05"))
			}
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.next, next.Format("15:04:05"))
		})
	}
}

// TestDueAfterYears: a tick each minute, and nobody there since 1970.
func TestDueAfterYears(t *testing.T) {
	t.Parallel()
	long := time.Unix(0, 0)
	for _, text := range []string{"* * * * *", "TZ=Europe/Paris 30 2 * * *", "* * 1 1 *", "0 0 29 2 *"} {
		s := mustParse(t, text)
		for _, last := range []time.Time{long, {}, time.Date(-1<<30, 1, 1, 0, 0, 0, 0, time.UTC)} {
			ticks, next := Due(s, last, noon, MissedOnce)
			require.Len(t, ticks, 1, text)
			after, ok := s.Next(ticks[0])
			require.True(t, ok)
			require.Equal(t, next, after, "nothing between the newest tick and the next")
		}
	}
	ticks, _ := Due(mustParse(t, "* * * * *"), long, noon, MissedAll(1<<30))
	require.Len(t, ticks, 1000)
	require.Equal(t, noon.Add(-999*time.Minute), ticks[0])
	require.Equal(t, noon, ticks[999])

	ticks, _ = Due(mustParse(t, "0 0 29 2 *"), long, noon, MissedAll(1000))
	require.Len(t, ticks, 14, "1972 to 2024")

	ticks, next := Due(mustParse(t, "* * * * *"), noon, time.Date(1<<30, 1, 1, 0, 0, 0, 0, time.UTC), MissedOnce)
	require.Len(t, ticks, 1)
	require.Zero(t, next, "there are no ticks any more")
	ticks, next = Due(Schedule{}, long, noon, MissedAll(9))
	require.Empty(t, ticks)
	require.Zero(t, next)
}

// TestDueOneAfterTheOther: whenever Due is asked, each tick is decided once.
func TestDueOneAfterTheOther(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "TZ=Europe/Paris */5 * * * *")
	want := s.NextN(time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC), 500)
	last := want[0].Add(-time.Second)
	var got []time.Time
	for i := 0; len(got) < len(want); i++ {
		now := last.Add(time.Duration(i*i*977%1000-100) * time.Second) // at times back
		ticks, _ := Due(s, last, now, MissedAll(1000))
		got = append(got, ticks...)
		if now.After(last) {
			last = now
		}
	}
	require.Equal(t, texts(want), texts(got[:len(want)]))
}

func TestParseMissed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Missed{
		"": MissedOnce, "once": MissedOnce, "skip": MissedSkip, "all": MissedAll(100), "all:1": MissedAll(1), "all:1000": MissedAll(1000),
	} {
		got, err := ParseMissed(text)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
		again, err := ParseMissed(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
	for text, want := range map[string]string{
		"never":     `missed ticks: "never" is none of once, skip and all`,
		"all:":      `missed ticks: the limit of "all:" is not a number`,
		"all:-1":    `missed ticks: the limit of "all:-1" is not a number`,
		"all:0":     "missed ticks: a limit of 0 is outside 1 to 1000",
		"all:1001":  "missed ticks: a limit of 1001 is outside 1 to 1000",
		"once:5":    `missed ticks: only all has a limit, "once" has none`,
		"ALL":       `missed ticks: "ALL" is none of once, skip and all`,
		"all:1 day": `missed ticks: the limit of "all:1 day" is not a number`,
	} {
		_, err := ParseMissed(text)
		require.EqualError(t, err, want)
	}
}

func TestMissedInJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Missed{
		`{}`:                                     MissedSkip, // as it was
		`{"missed":null}`:                        MissedOnce,
		`{"missed":"once"}`:                      MissedOnce,
		`{"missed":"all:7"}`:                     MissedAll(7),
		`{"missed":{"policy":"skip"}}`:           MissedSkip,
		`{"missed":{"policy":"all"}}`:            MissedAll(100),
		`{"missed":{"limit":20,"policy":"all"}}`: MissedAll(20),
	} {
		o := struct {
			Missed Missed `json:"missed"`
		}{MissedSkip}
		require.NoError(t, json.Unmarshal([]byte(text), &o), text)
		require.Equal(t, want, o.Missed, text)

		back, err := json.Marshal(o)
		require.NoError(t, err)
		require.Equal(t, `{"missed":"`+want.String()+`"}`, string(back))
	}
	for _, text := range []string{`7`, `true`, `[]`, `"often"`, `{"policy":"all","limit":0}`, `{"policy":"once","limit":2}`, `{"policy":"all","most":2}`, `{"policy":"all","limit":1.5}`, `{`} {
		m := MissedSkip
		require.Error(t, json.Unmarshal([]byte(text), &m), text)
		require.Equal(t, MissedSkip, m)
	}
}

// TestMissedThatIsWrong: what is said is for who wrote the option.
func TestMissedThatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"policy":"all","max":-1}`:    `missed ticks: nobody knows the member "max"; there are policy and limit`,
		`{"policy":"all","limit":1.5}`: `missed ticks: want an object such as {"policy":"all","limit":20}`,
		`{"policy":7}`:                 `missed ticks: want an object such as {"policy":"all","limit":20}`,
		`"often"`:                      `missed ticks: "often" is none of once, skip and all`,
	} {
		var m Missed
		require.EqualError(t, m.UnmarshalJSON([]byte(text)), want)
	}
}

func FuzzMissed(f *testing.F) {
	for _, text := range []string{`"all:7"`, `{"policy":"all","limit":20}`, `null`, `"skip"`, `7`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var m, again Missed
		if json.Unmarshal(text, &m) != nil {
			return
		}
		back, err := json.Marshal(m)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(back, &again))
		require.Equal(t, m, again)
	})
}

func TestParseOverlap(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Overlap{
		"": OverlapAllow, "allow": OverlapAllow, "skip": OverlapSkip, "queue": OverlapQueue, "replace": OverlapReplace,
	} {
		var o Overlap
		require.NoError(t, o.UnmarshalText([]byte(text)))
		require.Equal(t, want, o)
		back, err := o.MarshalText()
		require.NoError(t, err)
		require.Equal(t, o.String(), string(back))
		again, err := ParseOverlap(o.String())
		require.NoError(t, err)
		require.Equal(t, o, again)
	}
	_, err := ParseOverlap("cancel")
	require.EqualError(t, err, `overlapping ticks: "cancel" is none of allow, skip, queue and replace`)
	_, err = Overlap(9).MarshalText()
	require.Error(t, err)
}

func BenchmarkDue(b *testing.B) {
	for _, text := range []string{"* * * * *", "TZ=Europe/Paris 30 2 * * *", "* * 1 1 *", "TZ=Europe/Paris 0 0 29 2 *"} {
		s := mustParse(b, text)
		for _, m := range []Missed{MissedOnce, MissedAll(1000)} {
			b.Run(text+" "+m.String(), func(b *testing.B) {
				for b.Loop() {
					Due(s, time.Unix(0, 0), noon, m)
				}
			})
		}
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		cron          string
		after, before time.Time
		want          Span
	}{
		{"* * * * *", noon, noon, Span{}},
		{"* * * * *", noon, noon.Add(time.Minute), Span{}},
		{"* * * * *", noon, noon.Add(time.Minute + 1), Span{First: noon.Add(time.Minute), Last: noon.Add(time.Minute), Ticks: 1}},
		{"0 * * * *", noon, noon.Add(24 * time.Hour), Span{First: noon.Add(time.Hour), Last: noon.Add(23 * time.Hour), Ticks: 23}},
		{"* * * * *", noon, noon.AddDate(10, 0, 0), Span{First: noon.Add(time.Minute), Last: noon.AddDate(10, 0, 0).Add(-time.Minute), Ticks: mostCounted, More: true}},
	} {
		s, err := Parse(tt.cron)
		if err != nil {
			t.Fatal(err)
		}
		got := Between(s, tt.after, tt.before)
		got.First, got.Last = got.First.UTC(), got.Last.UTC()
		if got != tt.want {
			t.Errorf("%s from %s to %s: got %+v, want %+v", tt.cron, tt.after, tt.before, got, tt.want)
		}
	}
}

package cron

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// plain is a schedule as five sets of numbers, understood by looking at each
// minute in turn: slow, and hard to get wrong.
type plain struct {
	zone   *time.Location
	sets   [5][]bool
	either bool // both day fields are restricted
}

func (p plain) shows(local time.Time) bool {
	dom, dow := p.sets[2][local.Day()], p.sets[4][local.Weekday()]
	day := dom && dow
	if p.either {
		day = dom || dow
	}
	return day && p.sets[0][local.Minute()] && p.sets[1][local.Hour()] && p.sets[3][local.Month()]
}

// ticks are those after from, up to to.
func (p plain) ticks(from, to time.Time) []time.Time {
	return p.ticksSeen(from.Add(-farthestBack), from, to)
}

// ticksSeen is ticks for somebody who has watched the clocks since start.
func (p plain) ticksSeen(start, from, to time.Time) []time.Time {
	var all []time.Time
	seen := map[int64]bool{}
	hourly := !slices.Contains(p.sets[1], false)
	for at := start.Truncate(time.Minute); !at.After(to); at = at.Add(time.Minute) {
		local := at.In(p.zone)
		_, offset := local.Zone()
		shown := at.Unix() + int64(offset)
		if at.After(from) && p.shows(local) && (hourly || !seen[shown]) {
			all = append(all, at.UTC())
		}
		seen[shown] = true
	}
	return all
}

// drawField draws a field's text and what it means.
func drawField(t *rapid.T, name string, lo, hi int, names []string) (text string, set []bool, star bool) {
	set = make([]bool, hi+1)
	for i := range lo {
		set[i] = true // no such number: not left out
	}
	number := func(label string, lo int) (int, string) {
		n := rapid.IntRange(lo, hi).Draw(t, label)
		if names != nil && rapid.Bool().Draw(t, "named") {
			return n, names[n-len(set)+len(names)]
		}
		return n, strconv.Itoa(n)
	}
	if rapid.IntRange(0, 2).Draw(t, name+" is a star") == 0 {
		for i := range set {
			set[i] = true
		}
		return rapid.SampledFrom([]string{"*", "?", "*/1"}).Draw(t, name), set, true
	}
	var parts []string
	for range rapid.IntRange(1, 3).Draw(t, name+" parts") {
		from, end := lo, hi
		var part string
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			from, part = number(name, lo)
			end = from
		case 1:
			var high string
			from, part = number(name+" from", lo)
			end, high = number(name+" to", from)
			part += "-" + high
		case 2:
			part = "*/2"
			for i := from; i <= end; i += 2 {
				set[i] = true
			}
			parts = append(parts, part)
			continue
		default:
			from, part = number(name+" from", lo)
		}
		step := 1
		if strings.Contains(part, "-") && rapid.Bool().Draw(t, "stepped") || from != end && !strings.Contains(part, "-") {
			step = rapid.IntRange(1, 70).Draw(t, "step")
			part += "/" + strconv.Itoa(step)
		}
		for i := from; i <= end; i += step {
			set[i] = true
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ","), set, false
}

func drawSchedule(t *rapid.T, zone string) (string, plain) {
	var p plain
	var words [5]string
	var stars [5]bool
	limits := [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}
	for i, f := range fields {
		words[i], p.sets[i], stars[i] = drawField(t, f.name, limits[i][0], limits[i][1], f.names)
	}
	p.either = !stars[2] && !stars[4]
	var err error
	p.zone, err = time.LoadLocation(zone)
	require.NoError(t, err)
	return "TZ=" + zone + " " + strings.Join(words[:], " "), p
}

// drawNear draws a time near a change of the zone's clocks, or any time.
func drawNear(t *rapid.T, zone *time.Location) time.Time {
	at := time.Date(rapid.IntRange(1973, 2050).Draw(t, "year"), 1, 1, 0, 0, rapid.IntRange(0, 365*24*3600).Draw(t, "second"), 0, time.UTC)
	if _, end := at.In(zone).ZoneBounds(); !end.IsZero() && rapid.IntRange(0, 3).Draw(t, "near") > 0 {
		at = end.Add(time.Duration(rapid.IntRange(-30*3600, 3*3600).Draw(t, "off")) * time.Second)
	}
	return at.UTC()
}

var wildZones = []string{
	"UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Beirut",
	"America/Havana", "America/Sao_Paulo", "Asia/Kathmandu", "Europe/Dublin", "Antarctica/Troll", "Pacific/Kwajalein", "America/Caracas",
}

func TestNextAgreesWithLookingAtEachMinute(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, slow := drawSchedule(t, rapid.SampledFrom(wildZones).Draw(t, "zone"))
		from := drawNear(t, slow.zone)
		to := from.Add(time.Duration(rapid.IntRange(60, 4*24*60).Draw(t, "minutes")) * time.Minute)
		want := slow.ticks(from, to)

		s, err := Parse(text)
		if err != nil {
			require.ErrorContains(t, err, "it never comes", text)
			require.Empty(t, want, text)
			return
		}
		got := []time.Time{}
		for at := from; ; {
			tick, ok := s.Next(at)
			if !ok || tick.After(to) {
				break
			}
			got = append(got, tick)
			at = tick
		}
		require.Equal(t, texts(want), texts(got), "%s after %s", text, from)
	})
}

func TestDueAgreesWithLookingAtEachMinute(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, slow := drawSchedule(t, rapid.SampledFrom(wildZones).Draw(t, "zone"))
		s, err := Parse(text)
		if err != nil {
			t.Skip("never comes")
		}
		last := drawNear(t, slow.zone)
		now := last.Add(time.Duration(rapid.IntRange(-3600, 3*24*3600).Draw(t, "seconds")) * time.Second)
		m := rapid.SampledFrom([]Missed{MissedOnce, MissedSkip, MissedAll(1), MissedAll(7), MissedAll(1000)}).Draw(t, "missed")

		passed := slow.ticks(last, now)
		keep := map[Missed]int{MissedOnce: 1, MissedSkip: 0, 1: 1, 7: 7, 1000: 1000}[m]
		var want []time.Time
		for i, tick := range passed {
			if len(passed)-i <= keep || now.Sub(tick) < Grace {
				want = append(want, tick)
			}
		}
		ticks, next := Due(s, last, now, m)
		require.Equal(t, texts(want), texts(ticks), "%s after %s to %s, %s", text, last, now, m)
		from := now
		if last.After(now) {
			from = last
		}
		wantNext, _ := s.Next(from)
		require.Equal(t, wantNext, next)
	})
}

// TestNextInAllZones goes over the clock changes of twenty years in every zone
// that there is.
func TestNextInAllZones(t *testing.T) {
	t.Parallel()
	z, err := zip.OpenReader(filepath.Join(runtime.GOROOT(), "lib", "time", "zoneinfo.zip")) //nolint:staticcheck // the tests run where Go is
	if err != nil {
		t.Skip("no zone database beside the Go tools: ", err)
	}
	defer z.Close()
	var known [][]byte // zones with two names need one look
	for _, f := range z.File {
		r, err := f.Open()
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		if !bytes.HasPrefix(data, []byte("TZif")) || slices.ContainsFunc(known, func(b []byte) bool { return bytes.Equal(b, data) }) {
			continue
		}
		known = append(known, data)
		zone, err := time.LoadLocation(f.Name)
		require.NoError(t, err)
		for _, fields := range []string{"*/15 0-4,22,23 * * *", "7,37 * * * *"} {
			s := mustParse(t, "TZ="+f.Name+" "+fields)
			slow := plain{zone: zone}
			for i, n := range []int{60, 24, 32, 13, 7} {
				slow.sets[i] = slices.Repeat([]bool{true}, n)
			}
			for i := range 60 {
				if s.hourly {
					slow.sets[0][i] = i == 7 || i == 37
				} else {
					slow.sets[0][i] = i%15 == 0
				}
			}
			for i := 5; i < 22 && !s.hourly; i++ {
				slow.sets[1][i] = false
			}
			for at := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2030; {
				_, change := at.In(zone).ZoneBounds()
				if change.IsZero() || !change.After(at) {
					break
				}
				want := slow.ticksSeen(change.Add(-3*time.Hour), change.Add(-time.Hour), change.Add(2*time.Hour))
				got := s.NextN(change.Add(-time.Hour), len(want))
				require.Equal(t, texts(want), texts(got), s)
				at = change
			}
		}
	}
	require.Greater(t, len(known), 300)
}

func ExampleSchedule_Next() {
	s, _ := Parse("TZ=Europe/Paris 0 9 * * MON-FRI")
	tick, _ := s.Next(time.Date(2026, 3, 27, 9, 0, 0, 0, time.UTC)) // a Friday, in winter time
	fmt.Println(tick)
	// Output: 2026-03-30 07:00:00 +0000 UTC
}

package wire

import (
	"errors"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tt := range []struct {
		in   string // JSON
		want time.Duration
		ok   bool
	}{
		{`"90s"`, 90 * time.Second, true},
		{`"1w2d"`, 9 * day, true},
		{`"1d12h"`, 36 * time.Hour, true},
		{`"1h30m500ms"`, 90*time.Minute + 500*time.Millisecond, true},
		{`"1.5s"`, 1500 * time.Millisecond, true},
		{`"1us2ns"`, 1002, true},
		{`"1µs"`, 1000, true},
		{`"0"`, 0, true},
		{`"-5s"`, -5 * time.Second, true},
		{`10000000000`, 10 * time.Second, true},
		{`"1 hour"`, 0, false},
		{`"1M"`, 0, false},
		{`"5"`, 0, false},
		{`""`, 0, false},
		{`"s"`, 0, false},
		{`"99999999999w"`, 0, false},
		{`1.5`, 0, false},
		{`1e30`, 0, false},
		{`null`, 0, false},
		{`true`, 0, false},
		{`{}`, 0, false},
	} {
		got, err := ParseDurationValue(jsontext.Value(tt.in))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParseDurationValue(%s) = %v, %v, want %v, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func TestParseWhen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want time.Time
		ok   bool
	}{
		{"", noon, true},
		{"10m", noon.Add(10 * time.Minute), true},
		{"-10m", noon.Add(-10 * time.Minute), true},
		{"2027-01-15T08:00:00.123Z", time.Date(2027, 1, 15, 8, 0, 0, 123e6, time.UTC), true},
		{"2027-01-15T08:00:00+02:00", time.Date(2027, 1, 15, 6, 0, 0, 0, time.UTC), true},
		{"2027-01-15T08:00:00.123456", time.Date(2027, 1, 15, 8, 0, 0, 123456e3, time.UTC), true},
		{"2027-01-15 08:00:00", time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC), true},
		{"2027-01-15", time.Date(2027, 1, 15, 0, 0, 0, 0, time.UTC), true},
		{"tomorrow", time.Time{}, false},
		{"2027-13-15", time.Time{}, false},
	} {
		got, err := ParseWhen(tt.in, noon)
		if !got.Equal(tt.want) || (err == nil) != tt.ok {
			t.Errorf("ParseWhen(%q) = %v, %v, want %v, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     time.Duration // from noon
		ok       bool
	}{
		{"seconds", "30", 30 * time.Second, true},
		{"no seconds is one", "0", time.Second, true},
		{"row 39 too many seconds is a day", "9999999", 24 * time.Hour, true},
		{"HTTP date", "Sun, 22 Nov 2026 12:01:00 GMT", time.Minute, true},
		{"RFC 3339", "2026-11-22T12:00:02.5Z", 2500 * time.Millisecond, true},
		{"ISO with an offset", "2026-11-22T13:00:10.000000+01:00", 10 * time.Second, true},
		{"ISO without a zone", "2026-11-22T12:00:10", 10 * time.Second, true},
		{"date in the past", "2020-01-01T00:00:00Z", time.Second, true},
		{"date far ahead", "2030-01-01T00:00:00Z", 24 * time.Hour, true},
		{"eight digits", "12345678", 0, false},
		{"negative", "-5", 0, false},
		{"words", "later", 0, false},
		{"nothing", "", 0, false},
	} {
		got, ok := ParseRetryAfter(tt.in, noon)
		if ok != tt.ok || ok && !got.Equal(noon.Add(tt.want)) {
			t.Errorf("%s: ParseRetryAfter(%q) = %v, %v, want noon+%v, %v", tt.name, tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestSleepUntil(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, op string
		want     time.Time
		tooLong  bool
		bad      bool
	}{
		{name: "duration by name", op: `{"op":"Sleep","id":"a","name":"10m"}`, want: noon.Add(10 * time.Minute)},
		{name: "weeks and days", op: `{"op":"Sleep","id":"a","name":"2w3d"}`, want: noon.Add(17 * 24 * time.Hour)},
		{name: "date by name", op: `{"op":"Sleep","id":"a","name":"2027-01-15T08:00:00.000Z"}`, want: time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC)},
		{name: "fraction of a second is kept", op: `{"op":"Sleep","id":"a","name":"2026-11-22T12:00:01.999Z"}`, want: noon.Add(1999 * time.Millisecond)},
		{name: "duration in opts wins over a name", op: `{"op":"Sleep","id":"a","name":"nap","opts":{"duration":"1h30m500ms"}}`, want: noon.Add(90*time.Minute + 500*time.Millisecond)},
		{name: "nanoseconds in opts", op: `{"op":"Sleep","id":"a","name":"nap","opts":{"duration":1000000000}}`, want: noon.Add(time.Second)},
		{name: "empty name", op: `{"op":"Sleep","id":"a","name":""}`, want: noon},
		{name: "no name", op: `{"op":"Sleep","id":"a"}`, want: noon},
		{name: "negative", op: `{"op":"Sleep","id":"a","name":"-5s"}`, want: noon},
		{name: "past", op: `{"op":"Sleep","id":"a","name":"2020-01-01T00:00:00Z"}`, want: noon},
		{name: "366 days", op: `{"op":"Sleep","id":"a","name":"366d"}`, want: noon.Add(MaxSleep)},
		{name: "366 days and a bit", op: `{"op":"Sleep","id":"a","name":"366d1ms"}`, tooLong: true},
		{name: "far date", op: `{"op":"Sleep","id":"a","name":"2030-01-01T00:00:00Z"}`, tooLong: true},
		{name: "many nanoseconds", op: `{"op":"Sleep","id":"a","opts":{"duration":9000000000000000000}}`, tooLong: true},
		{name: "words", op: `{"op":"Sleep","id":"a","name":"a while"}`, bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ops, err := ParseOps([]byte(tt.op))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ops[0].SleepUntil(noon)
			_, tooLong := errors.AsType[*TooLongError](err)
			if tooLong != tt.tooLong || (err != nil) != (tt.bad || tt.tooLong) || !got.Equal(tt.want) {
				t.Errorf("SleepUntil = %v, %v, want %v, too long %v, bad %v", got, err, tt.want, tt.tooLong, tt.bad)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, opts string
		want       time.Time
		ok, bad    bool
	}{
		{"absent", `{}`, time.Time{}, false, false},
		{"null", `{"timeout":null}`, time.Time{}, false, false},
		{"empty is now", `{"timeout":""}`, noon, true, false},
		{"duration", `{"timeout":"1d1h"}`, noon.Add(25 * time.Hour), true, false},
		{"date", `{"timeout":"2026-11-22T12:00:05Z"}`, noon.Add(5 * time.Second), true, false},
		{"nanoseconds", `{"timeout":5000000000}`, noon.Add(5 * time.Second), true, false},
		{"too long", `{"timeout":"367d"}`, time.Time{}, false, true},
		{"another type", `{"timeout":true}`, time.Time{}, false, true},
	} {
		got, ok, err := (Op{Op: OpWaitForEvent, Opts: jsontext.Value(tt.opts)}).Timeout(noon)
		if !got.Equal(tt.want) || ok != tt.ok || (err != nil) != tt.bad {
			t.Errorf("%s: Timeout = %v, %v, %v", tt.name, got, ok, err)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"1w2d", "1h30m500ms", "-1.5s", "0", "2027-01-15T08:00:00.000Z", "9999999", ".s", "99999999999w"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err == nil && d >= 0 {
			if again, err := ParseDuration(d.String()); err != nil || again != d {
				t.Fatalf("%q is %v, which reads as %v, %v", s, d, again, err)
			}
		}
		if at, ok := ParseRetryAfter(s, noon); ok && (at.Before(noon.Add(minRetryAfter)) || at.After(noon.Add(maxRetryAfter))) {
			t.Fatalf("ParseRetryAfter(%q) = %v", s, at)
		}
		at, err := (Op{Name: s}).SleepUntil(noon)
		if err == nil && (at.Before(noon) || at.After(noon.Add(MaxSleep))) {
			t.Fatalf("SleepUntil(%q) = %v", s, at)
		}
	})
}

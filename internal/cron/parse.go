package cron

import (
	"errors"
	"fmt"
	"strings"
	"time"

	calendar "github.com/netresearch/go-cron"
)

// maxTextBytes limits the text of a schedule. Source: SDK protocol notes 11 §15.
const maxTextBytes = 255

// rareYears is how far ahead a calendar is searched for its next minute. The
// longest that five fields can wait is 8 years: 29 February over a year such as
// 2100.
const rareYears = 10

// Parse reads a cron text: minute, hour, day of month, month and day of week,
// separated by white space, with "TZ=Area/City " or "CRON_TZ=Area/City " in
// front if the ticks go by another clock than UTC.
//
// A field is a list of parts with commas between them. A part is *, a number, a
// range such as 1-5, or one of these with a step: */15, 1-30/2, and 5/20, which
// is 5 up to the end. Months and days of the week have names too (jan, MON), and
// 7 is Sunday like 0. A question mark means the same as *. A step that is wider
// than its range takes the first number only.
//
// When both day fields say something other than * (which */2 does, too), a day
// that either of them names is enough: "0 0 13 * FRI" ticks on each 13th and on
// each Friday.
//
// Refused are a field for seconds, words such as @daily, ranges that run
// backwards, zones that the database does not have or that depend on the
// machine, more than 255 bytes, and dates that never come, such as 30 February.
// The text of an error begins "'<cron>' isn't a valid cron schedule: ".
//
// Parse looks the zone up in the system's files each time; keep the result.
func Parse(text string) (Schedule, error) {
	s, err := parse(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("'%s' isn't a valid cron schedule: %w", clip(text), err)
	}
	return s, nil
}

func parse(text string) (Schedule, error) {
	if len(text) > maxTextBytes {
		return Schedule{}, fmt.Errorf("longer than %d bytes", maxTextBytes)
	}
	words := strings.Fields(text)
	zone := time.UTC
	if len(words) > 0 {
		if name, ok := strings.CutPrefix(strings.TrimPrefix(words[0], "CRON_"), "TZ="); ok {
			var err error
			if zone, err = loadZone(name); err != nil {
				return Schedule{}, err
			}
			words = words[1:]
		}
	}
	switch {
	case len(words) > 0 && words[0][0] == '@':
		return Schedule{}, errors.New("words such as @daily are not supported; write five fields, such as 0 0 * * *")
	case len(words) != len(fields):
		return Schedule{}, fmt.Errorf("expected exactly %d fields, found %d", len(fields), len(words))
	}
	for i, f := range fields {
		var err error
		if words[i], err = f.normal(words[i]); err != nil {
			return Schedule{}, err
		}
	}

	const options = calendar.Minute | calendar.Hour | calendar.Dom | calendar.Month | calendar.Dow | calendar.DowOrDom
	parser, err := calendar.TryNewParser(options)
	if err != nil {
		return Schedule{}, err
	}
	days, err := parser.WithMaxSearchYears(rareYears).Parse("TZ=UTC " + strings.Join(words, " "))
	if err != nil {
		return Schedule{}, err
	}
	// Any rareYears do; what does not come in these never comes.
	if days.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, errors.New("it never comes: none of its months has such a day")
	}
	return Schedule{text: text, zone: zone, days: days, hourly: everyHour(days)}, nil
}

// everyHour reports whether no hour is left out.
func everyHour(days calendar.Schedule) bool {
	const all = 1<<24 - 1
	spec, ok := days.(*calendar.SpecSchedule)
	return ok && spec.Hour&all == all
}

// clip keeps a text short enough to be quoted.
func clip(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxTextBytes {
		return text
	}
	return strings.ToValidUTF8(text[:64], "") + "…"
}

package wire

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/xhit/go-str2duration/v2"
)

// MaxSleep is the longest a sleep, a wait or an invoke may last.
const MaxSleep = 366 * 24 * time.Hour

// Bounds of a retry delay that an app asks for.
const (
	minRetryAfter = time.Second
	maxRetryAfter = 24 * time.Hour
)

// TooLongError means a sleep or a timeout lies more than MaxSleep ahead.
type TooLongError struct {
	What string // "sleep" or "<opcode> timeout"
	When string // what the app asked for
}

// Error says what was asked and what the limit is.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("%s of %q is longer than the limit of 366 days", e.What, e.When)
}

// ParseDuration reads the duration grammar of the SDKs: numbers, fractions
// allowed, each with one of the units w d h m s ms us ns, as in "1w2d" or
// "1h30m500ms". Months and years are no units.
func ParseDuration(s string) (time.Duration, error) {
	d, err := str2duration.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration such as 30s, 1h30m or 2w", clip(s))
	}
	return d, nil
}

// ParseDurationValue reads a duration out of JSON: a string as ParseDuration
// takes it, or a whole number of nanoseconds, which Go sends in a few places.
func ParseDurationValue(v jsontext.Value) (time.Duration, error) {
	switch v.Kind() {
	case '"':
		s, err := text(v)
		if err != nil {
			return 0, err
		}
		return ParseDuration(s)
	case '0':
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is no whole number of nanoseconds", clip(string(v)))
		}
		return time.Duration(n), nil
	default:
		return 0, fmt.Errorf("want a duration, got %s", kindName(v.Kind()))
	}
}

// ParseWhen reads a point in time: a duration from now, or a date as RFC 3339
// or ISO 8601 write it. A date without a zone is UTC. The empty string is now.
func ParseWhen(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return now, nil
	}
	if d, err := ParseDuration(s); err == nil {
		return now.Add(d), nil
	}
	if t, ok := parseDate(s); ok {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is neither a duration nor a date", clip(s))
}

// within is ParseWhen between now and MaxSleep ahead.
func within(what, when string, now time.Time) (time.Time, error) {
	t, err := ParseWhen(when, now)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("%s: %w", what, err)
	case t.After(now.Add(MaxSleep)):
		return time.Time{}, &TooLongError{what, clip(when)}
	case t.Before(now):
		return now, nil
	}
	return t, nil
}

func capped(what string, d time.Duration, now time.Time) (time.Time, error) {
	if d > MaxSleep {
		return time.Time{}, &TooLongError{what, d.String()}
	}
	return now.Add(max(d, 0)), nil
}

// parseDate reads the date forms that SDKs send. Dates keep their fractions of
// a second: rounding them would wake a run early.
func parseDate(s string) (time.Time, bool) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
		"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", time.DateOnly,
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// ParseRetryAfter reads a Retry-After header: up to seven digits are seconds,
// counted from now; anything else is an HTTP, RFC 3339 or ISO date. The answer
// is kept between one second and 24 hours ahead. ok is false when the header is
// missing or makes no sense.
func ParseRetryAfter(s string, now time.Time) (at time.Time, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, false
	}
	if len(s) <= 7 && strings.Trim(s, "0123456789") == "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			return time.Time{}, false
		}
		at = now.Add(time.Duration(n) * time.Second)
	} else if at, ok = parseDate(s); !ok {
		t, err := http.ParseTime(s)
		if err != nil {
			return time.Time{}, false
		}
		at = t.UTC()
	}
	if first := now.Add(minRetryAfter); at.Before(first) {
		return first, true
	}
	if last := now.Add(maxRetryAfter); at.After(last) {
		return last, true
	}
	return at, true
}

// clip keeps a value that goes into an error text short.
func clip(s string) string { return cut(s, 64) }

// cut is s, or its first most bytes with a mark that there is more.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

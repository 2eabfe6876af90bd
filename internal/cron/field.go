package cron

import (
	"fmt"
	"strconv"
	"strings"
)

// field is one of the five.
type field struct {
	name     string
	min, max int
	last     int // where * and an open step end; below max for a day of week, whose 7 is 0 again
	names    []string
}

var fields = [5]field{
	{"minute", 0, 59, 59, nil},
	{"hour", 0, 23, 23, nil},
	{"day of month", 1, 31, 31, nil},
	{"month", 1, 12, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of week", 0, 7, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// normal checks the text of a field and returns it in the form that every
// reader of cron texts understands alike: numbers for names, ranges that have
// an end, no step that is wider than its range. What the library makes of
// anything else is its own affair: it takes 100/5 for a minute, and refuses */60.
func (f field) normal(text string) (string, error) {
	parts := strings.Split(text, ",")
	for i, part := range parts {
		var err error
		if parts[i], err = f.part(part); err != nil {
			return "", fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return strings.Join(parts, ","), nil
}

func (f field) part(text string) (string, error) {
	span, stepText, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		var err error
		if step, err = digits(stepText); err != nil || step == 0 {
			return "", fmt.Errorf("the step of %q is not a number above 0", text)
		}
	}
	if span == "*" || span == "?" {
		if step == 1 {
			return "*", nil
		}
		return stepping(f.min, f.last, step), nil
	}

	lowText, highText, ranged := strings.Cut(span, "-")
	low, err := f.number(lowText)
	if err != nil {
		return "", err
	}
	high := low
	switch {
	case ranged:
		if high, err = f.number(highText); err != nil {
			return "", err
		}
	case stepped:
		high = max(low, f.last)
	}
	if high < low {
		return "", fmt.Errorf("%q runs backwards; write two ranges, such as %d-%d,%d-%d", text, low, f.last, f.min, high)
	}
	return stepping(low, high, step), nil
}

// stepping writes the numbers from low to high, each step-th of them.
func stepping(low, high, step int) string {
	switch {
	case low == high || step > high-low:
		return strconv.Itoa(low)
	case step == 1:
		return fmt.Sprintf("%d-%d", low, high)
	default:
		return fmt.Sprintf("%d-%d/%d", low, high, step)
	}
}

// number reads a number or a name.
func (f field) number(text string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.min + i, nil
		}
	}
	n, err := digits(text)
	if err != nil || n < f.min || n > f.max {
		return 0, fmt.Errorf("%q is not a number from %d to %d", text, f.min, f.max)
	}
	return n, nil
}

// digits reads a number without a sign. Nine digits are more than any field has
// a use for.
func digits(text string) (int, error) {
	if len(text) > 9 {
		return 0, strconv.ErrRange
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return int(n), err
}

package wire

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of triggers. Source: SDK protocol notes 11 §15.
const (
	maxTriggers     = 10
	maxTriggerBytes = 255
	minJitter       = time.Second
	maxJitter       = 5 * time.Minute
)

// deferredEvent starts deferred functions; a function that has it as a trigger
// has no other.
const deferredEvent = "inngest/deferred.schedule"

type triggerBody struct {
	Event      string         `json:"event"`
	Expression string         `json:"expression"`
	Cron       string         `json:"cron"`
	Jitter     jsontext.Value `json:"jitter"`
	Missed     jsontext.Value `json:"missed"`
	Overlap    string         `json:"overlap"`
}

// triggers reads a function's triggers. None at all is fine: such a function is
// only ever invoked.
func (k *checker) triggers(v jsontext.Value) []Trigger {
	var raw []jsontext.Value
	k.read(codeTrigger, "triggers", v, &raw)
	if len(raw) > maxTriggers {
		k.problem(codeTrigger, "function has %d triggers, the limit is %d", len(raw), maxTriggers)
		return nil
	}
	var all []Trigger
	seen := map[Trigger]bool{}
	deferred := false
	for i, r := range raw {
		t, ok := k.trigger(r, i)
		if !ok {
			continue
		}
		same := t
		same.Jitter, same.Missed, same.Overlap = 0, "", ""
		if seen[same] {
			k.problem(codeTrigger, "trigger %d repeats an earlier one", i+1)
			continue
		}
		seen[same] = true
		deferred = deferred || t.Event == deferredEvent
		all = append(all, t)
	}
	if deferred && len(raw) > 1 {
		k.problem(codeTrigger, "a deferred function can have no other triggers")
	}
	return all
}

func (k *checker) trigger(v jsontext.Value, i int) (Trigger, bool) {
	var b triggerBody
	before := len(k.problems)
	if !k.read(codeTrigger, fmt.Sprintf("trigger %d", i+1), v, &b) {
		if len(k.problems) == before {
			k.problem(codeTrigger, "trigger %d is null", i+1)
		}
		return Trigger{}, false
	}
	switch {
	case b.Event == "" && b.Cron == "":
		k.problem(codeTrigger, "trigger %d has neither an event nor a cron", i+1)
	case b.Event != "" && b.Cron != "":
		k.problem(codeTrigger, "trigger %d has both an event and a cron", i+1)
	case len(b.Event) > maxTriggerBytes:
		k.problem(codeTrigger, "trigger %d: event name is longer than %d bytes", i+1, maxTriggerBytes)
	case strings.ContainsFunc(b.Event, unicode.IsControl):
		k.problem(codeTrigger, "trigger %d: event name contains a control character", i+1)
	case b.Cron != "":
		if why := cronShape(b.Cron); why != "" {
			k.problem(codeSchedule, "'%s' isn't a valid cron schedule: %s", clip(b.Cron), why)
		}
	}
	t := Trigger{Event: b.Event, Expression: b.Expression, Cron: b.Cron, Overlap: b.Overlap}
	if !isNull(b.Missed) {
		t.Missed = string(b.Missed)
	}
	if b.Cron == "" && (t.Missed != "" || t.Overlap != "") {
		k.warn("missed and overlap of an event trigger have no effect")
	}
	if !isNull(b.Jitter) {
		d, err := ParseDurationValue(b.Jitter)
		switch {
		case err != nil:
			k.problem(codeSchedule, "jitter: %s", err)
		case b.Cron == "":
			k.warn("jitter of an event trigger has no effect")
		case d < minJitter || d > maxJitter:
			k.problem(codeSchedule, "jitter of %s is outside %s to %s", d, minJitter, maxJitter)
		}
		t.Jitter = d
	}
	return t, len(k.problems) == before
}

// cronShape says what keeps s from looking like a cron schedule: five fields,
// with "TZ=Area/City " or "CRON_TZ=Area/City " in front if the author likes.
// Whether the fields and the zone make sense is for the scheduler to say.
func cronShape(s string) string {
	if len(s) > maxTriggerBytes {
		return fmt.Sprintf("longer than %d bytes", maxTriggerBytes)
	}
	fields := strings.Fields(s)
	if len(fields) > 0 {
		zone, ok := strings.CutPrefix(strings.TrimPrefix(fields[0], "CRON_"), "TZ=")
		if ok {
			if zone == "" {
				return "its time zone is empty"
			}
			fields = fields[1:]
		}
	}
	if len(fields) != 5 {
		return fmt.Sprintf("expected exactly 5 fields, found %d", len(fields))
	}
	for _, f := range fields {
		if strings.ContainsFunc(f, notCronRune) {
			return fmt.Sprintf("unexpected character in %q", f)
		}
	}
	return ""
}

func notCronRune(r rune) bool {
	return !strings.ContainsRune("*/,-?#", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

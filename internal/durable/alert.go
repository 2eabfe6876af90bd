package durable

import (
	"fmt"
	"time"
)

// Alert tells people of something that they may have to do something about.
type Alert struct {
	Key    string // alerts of one key are one
	Kind   AlertKind
	Object string // a group's fingerprint, a function's slug or an app's name
	Text   string // a sentence
	Run    string // the newest run that shows it; "" if none does
	Count  int    // such as the open letters of a group
	Times  int    // how often it came since it was last told
	First  time.Time
	Last   time.Time
}

// AlertKind says what an alert is about.
type AlertKind string

// The kinds. The words are stored; they never change.
const (
	AlertGroup    AlertKind = "group"    // a group of dead letters is new, or has grown tenfold
	AlertFailures AlertKind = "failures" // more runs of a function fail than may
	AlertOld      AlertKind = "old"      // nobody does anything about a dead letter
	AlertCircuit  AlertKind = "circuit"  // an app answers nothing but errors
	AlertBacklog  AlertKind = "backlog"  // too much waits: events are refused
)

// Watch says of what people are alerted. The zero Watch is of nothing.
type Watch struct {
	On       bool          // groups of dead letters, circuits and a full backlog
	Failures int           // dead letters that one function may have in an hour; 0: any number
	Age      time.Duration // of an open dead letter; 0: it may be of any
	Gather   time.Duration // how long an alert waits for others; 0: AlertGather
}

// How alerts are spread, so that there is never more than one message in the
// time that they wait for others, and nobody hears the same again within AlertRest.
const (
	AlertGather = 30 * time.Second
	AlertRest   = time.Hour
	AlertAgain  = 24 * time.Hour // between two looks at what is old
)

// The items that alerts have in the queue.
const (
	AlertRun  = "alerts"
	TellStep  = "tell" // what there is to tell is told
	AgingStep = "age"  // the oldest open letter is looked at
)

// GroupAlert is the alert about a group that a letter has come to, which has so
// many open ones now. It reports false when that is none to be told of: a group
// is told of when it is new, and each time it has grown tenfold.
func GroupAlert(l DeadLetter, open int) (Alert, bool) {
	for n := open; n > 1; n /= 10 {
		if n%10 != 0 {
			return Alert{}, false
		}
	}
	text := fmt.Sprintf("%s failed for good in a new way: %s", l.Function, l.Title)
	if open > 1 {
		text = fmt.Sprintf("%d runs of %s failed for good in the same way: %s", open, l.Function, l.Group)
	}
	return Alert{
		Key: fmt.Sprintf("group/%s/%d", l.Fingerprint, open), Kind: AlertGroup, Object: l.Fingerprint,
		Text: text, Run: l.Run, Count: open, First: l.Failed, Last: l.Failed,
	}, true
}

// FailuresAlert is the alert that more runs of a letter's function fail than may
// in an hour.
func FailuresAlert(l DeadLetter, most int) Alert {
	return Alert{
		Key: "failures/" + l.Function, Kind: AlertFailures, Object: l.Function,
		Text: fmt.Sprintf("more than %d runs of %s fail for good in an hour; the newest: %s", most, l.Function, l.Title),
		Run:  l.Run, First: l.Failed, Last: l.Failed,
	}
}

// OldAlert is the alert that nobody has done anything about a letter, the oldest.
func OldAlert(l DeadLetter, now time.Time) Alert {
	return Alert{
		Key: "old", Kind: AlertOld, Object: l.Fingerprint,
		Text: fmt.Sprintf("a dead letter of %s is open since %s: %s", l.Function, l.Failed.UTC().Format(time.DateTime), l.Title),
		Run:  l.Run, First: now, Last: now,
	}
}

// CircuitAlert is the alert that an app answers nothing but errors.
func CircuitAlert(app, last string, now time.Time) Alert {
	return Alert{
		Key: "circuit/" + app, Kind: AlertCircuit, Object: app,
		Text: fmt.Sprintf("app %s answers nothing but errors, its runs wait: %s", app, last), First: now, Last: now,
	}
}

// BacklogAlert is the alert that events are refused.
func BacklogAlert(why string, now time.Time) Alert {
	return Alert{Key: "backlog", Kind: AlertBacklog, Text: "events are refused: " + why, First: now, Last: now}
}

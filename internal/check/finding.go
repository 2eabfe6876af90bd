package check

import (
	"fmt"
	"strings"
)

// Kind says what a finding is about.
type Kind string

// The kinds of findings.
const (
	// NewStep: the code asks for a step that is not recorded, before one that is.
	NewStep Kind = "new-step"
	// MissingStep: a step has ended, and the code does not ask for it any more.
	MissingStep Kind = "missing-step"
	// OtherKind: a step is of another kind, such as a sleep.
	OtherKind Kind = "other-kind"
	// LostWait: a live run rests at a step that the code does not ask for.
	LostWait Kind = "lost-wait"
	// ResultType: a result cannot be read into its type.
	ResultType Kind = "result-type"
	// ResultFields: a result has a field for which its type has no place.
	ResultFields Kind = "result-fields"
	// Fails: the function's own code fails with the recorded results.
	Fails Kind = "fails"
	// Ends: a live run that rests would end at once.
	Ends Kind = "ends"
	// NoFunction: the app does not serve the function of a live run.
	NoFunction Kind = "no-function"
)

// Kinds are all kinds, in the order of a report.
func Kinds() []Kind {
	return []Kind{NoFunction, NewStep, LostWait, Ends, Fails, ResultType, OtherKind, MissingStep, ResultFields}
}

// Finding is something that is different in a number of runs.
type Finding struct {
	Kind     Kind     `json:"kind"`
	Step     string   `json:"step,omitzero"`   // that is recorded
	Also     []string `json:"also,omitzero"`   // steps recorded after it that are not asked for either
	Asked    []string `json:"asked,omitzero"`  // what the code asks for
	After    string   `json:"after,omitzero"`  // the last step on which both agree
	Detail   string   `json:"detail,omitzero"` // an error, or a type
	Live     int      `json:"live"`            // runs that go on
	Ended    int      `json:"ended"`           // runs that have ended
	Example  string   `json:"example"`         // id of a run, one that goes on if there is any
	Accepted bool     `json:"accepted,omitzero"`
}

// key is the same for findings that are told as one: what comes after a step
// differs from run to run.
func (f *Finding) key() string {
	return strings.Join([]string{string(f.Kind), f.Step, strings.Join(f.Asked, "\x01"), f.After, f.Detail}, "\x00")
}

// Title is what was found, in a line.
func (f *Finding) Title() string {
	switch f.Kind {
	case NewStep:
		return fmt.Sprintf("%s would run, although %s has finished", quoted(f.Asked), quote(f.Step))
	case MissingStep:
		if f.Asked != nil {
			return fmt.Sprintf("%s has finished, and is not asked for before %s", quote(f.Step), quoted(f.Asked))
		}
		return fmt.Sprintf("%s has finished, and is not asked for any more", quote(f.Step))
	case OtherKind:
		return fmt.Sprintf("%s is something else now: %s", quote(f.Step), f.Detail)
	case LostWait:
		return fmt.Sprintf("runs wait at %s, and the new code begins %s instead", quote(f.Step), quoted(f.Asked))
	case ResultType:
		return fmt.Sprintf("the result of %s cannot be read: %s", f.of(), f.Detail)
	case ResultFields:
		return fmt.Sprintf("a part of the result of %s is lost: %s", f.of(), f.Detail)
	case Fails:
		return "the function fails: " + f.Detail
	case Ends:
		return fmt.Sprintf("runs wait at %s, and would end at once", quote(f.Step))
	default:
		return "the app does not serve this function: " + f.Detail
	}
}

func (f *Finding) of() string {
	if f.Step == "" {
		return "the event"
	}
	return quote(f.Step)
}

// Text tells more of it, and the way out.
func (f *Finding) Text() string {
	var s []string
	after := "At its beginning"
	if f.After != "" {
		after = "After " + quote(f.After)
	}
	switch f.Kind {
	case NewStep:
		s = append(s, fmt.Sprintf("%s, the recorded runs went on with %s; the new code asks for %s.", after, quoted(append([]string{f.Step}, f.Also...)), quoted(f.Asked)),
			"If that is the same work under another name, it would be done a second time.",
			"Give the step its old name, put new steps behind those that runs have finished, or keep the old function for its runs and give the new one another id.")
	case MissingStep:
		if f.Also != nil {
			s = append(s, "Nor are "+quoted(f.Also)+".")
		}
		s = append(s, "Its result would not be used.", "If that is meant, give --accept "+string(f.Kind)+".")
	case OtherKind:
		s = append(s, "What was saved for the one would be taken for the result of the other.", "Give the new step a name of its own.")
	case LostWait:
		s = append(s, after+", the new code does not ask for it: what it waits for would come to nothing, and the other begins anew.",
			"Give it its old name, or let these runs end first.")
	case ResultType:
		s = append(s, "Runs would fail there, and be tried until they fail for good.", "Let the type read what was saved, or give the step another name if it may run again.")
	case ResultFields:
		s = append(s, "The step returned it when these runs recorded it; what reads it now sees a zero value.",
			"Keep the field's name, or give --accept "+string(f.Kind)+" if nothing needs it.")
	case Fails:
		s = append(s, after+" it fails with the results that are recorded; the recorded runs did not.")
	case Ends:
		s = append(s, after+" the new code returns.", "Keep the wait until these runs have ended, if they need it.")
	default:
		s = append(s, "Its runs would fail. Serve it until they have ended, or cancel them.")
	}
	return strings.Join(s, " ")
}

// mostNames bounds how many steps a sentence names.
const mostNames = 4

func quoted(names []string) string {
	var list []string
	for i, n := range names {
		if i == mostNames {
			list = append(list, fmt.Sprintf("%d more", len(names)-i))
			break
		}
		list = append(list, quote(n))
	}
	if n := len(list); n > 1 {
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	}
	return strings.Join(list, "")
}

func quote(name string) string { return `"` + name + `"` }

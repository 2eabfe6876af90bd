package durable

import (
	"strings"
	"time"
)

// Control is what an operator has set about a function, or about all functions
// of an app, beside what the app registered. It holds until it is taken back,
// over restarts and syncs.
type Control struct {
	// Name is a function's slug, or "app/" and an app's name.
	// Key and Value are those of what is held back of a function, if that is not all
	// of it: after the slug, the name has # and what stands for them then. People are
	// told Of.
	Name  string
	Pause Pause
	// Refuse means that what would start meanwhile is skipped, and does not wait.
	Refuse     bool
	Key, Value string
	// Limits replace the flow control options of the same names in what the app
	// registered: an object such as {"concurrency":5}; nil: none.
	Limits JSON
	Since  time.Time // of the newest change
	By     string    // who made it
	Why    string    // as they said
}

// Of is the function or the app that c is about: a slug, or "app/" and an app's name.
func (c Control) Of() string {
	if i := strings.LastIndexByte(c.Name, '#'); c.Key != "" && i >= 0 {
		return c.Name[:i]
	}
	return c.Name
}

// Pause says what of a function is held back.
type Pause int8

// The numbers are stored; they never change.
const (
	Unpaused    Pause = 0
	PauseStarts Pause = 1 // runs that have not begun wait; those in progress go on
	PauseAll    Pause = 2 // no request is made at all
)

var pauseNames = [...]string{"", "starts", "all"}

func (p Pause) String() string {
	if p < 0 || int(p) >= len(pauseNames) {
		return ""
	}
	return pauseNames[p]
}

// ParsePause knows "starts" and "all".
func ParsePause(name string) (Pause, bool) {
	switch name {
	case pauseNames[PauseStarts]:
		return PauseStarts, true
	case pauseNames[PauseAll]:
		return PauseAll, true
	}
	return 0, false
}

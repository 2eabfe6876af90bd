package wire

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Settings are the options of a function that say how its runs begin and end,
// read from a registration that was found good: what does not make sense in it
// was warned about then, and counts as not set.
type Settings struct {
	Cancel []CancelOn
	Once   string        // the option "idempotency": an expression; "" if not set
	Start  time.Duration // 0: none
	Finish time.Duration // 0: none
	// Endpoint means that the function is an HTTP handler, which is entered by a
	// request like the one in which its run began.
	Endpoint bool
}

// CancelOn is one entry of the option "cancel". Source: SDK protocol notes 11 §10.
type CancelOn struct {
	Event string
	If    string
	After time.Duration // how long it holds; 0: as long as the run
	Date  time.Time     // until when it holds, when it was given as a date
}

// maxCancelTimeout caps how long a cancellation holds.
const maxCancelTimeout = 365 * 24 * time.Hour

// ParseSettings reads them from Function.Config.
func ParseSettings(config jsontext.Value) Settings {
	var b struct {
		Idempotency string `json:"idempotency"`
		Cancel      []struct {
			Event   string         `json:"event"`
			If      string         `json:"if"`
			Timeout jsontext.Value `json:"timeout"`
		} `json:"cancel"`
		Timeouts struct {
			Start  jsontext.Value `json:"start"`
			Finish jsontext.Value `json:"finish"`
		} `json:"timeouts"`
		Endpoint bool `json:"endpoint"` // Pawl's own: no SDK registers it
	}
	if err := decode(config, &b); err != nil {
		return Settings{}
	}
	s := Settings{Once: b.Idempotency, Endpoint: b.Endpoint}
	for _, c := range b.Cancel {
		on := CancelOn{Event: c.Event, If: c.If}
		if !blank(c.Timeout) {
			if d, err := ParseDurationValue(c.Timeout); err == nil {
				on.After = min(d, maxCancelTimeout)
			} else if text, err := text(c.Timeout); err == nil {
				on.Date, _ = parseDate(text)
			}
		}
		s.Cancel = append(s.Cancel, on)
	}
	s.Start, s.Finish = timeout(b.Timeouts.Start), timeout(b.Timeouts.Finish)
	return s
}

func timeout(v jsontext.Value) time.Duration {
	if blank(v) {
		return 0
	}
	d, err := ParseDurationValue(v)
	if err != nil {
		return 0
	}
	return max(d, 0)
}

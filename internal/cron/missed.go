package cron

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Missed says what becomes of ticks that passed while nobody was there to run
// them. The zero Missed is MissedOnce.
type Missed int

const (
	// MissedOnce runs the newest tick, however many there were and however long
	// ago: one run makes up for all. It is what an app gets that says nothing
	// ("not made up for; at most the pending one runs on restart"), because a
	// daily job must not leave out a day for a restart at the wrong minute.
	MissedOnce Missed = 0
	// MissedSkip runs none.
	MissedSkip Missed = -1
)

// Limits of MissedAll.
const (
	maxMissed     = 1000
	defaultMissed = 100
)

// MissedAll runs each tick, and the newest limit of them when there are more.
// The limit is 1 to 1000; what is outside is brought inside.
func MissedAll(limit int) Missed { return Missed(min(max(limit, 1), maxMissed)) }

// newest is how many of the newest ticks run, however late it is.
func (m Missed) newest() int {
	switch {
	case m == MissedOnce:
		return 1
	case m < 0:
		return 0
	}
	return min(int(m), maxMissed)
}

// String is the form that ParseMissed reads: once, skip, or all:100.
func (m Missed) String() string {
	switch {
	case m == MissedOnce:
		return "once"
	case m < 0:
		return "skip"
	}
	return "all:" + strconv.Itoa(m.newest())
}

// ParseMissed reads once, skip, all (100 at most) or all:N. Nothing is once.
func ParseMissed(text string) (Missed, error) {
	kind, limitText, limited := strings.Cut(text, ":")
	if !limited {
		return missedOf(kind, nil)
	}
	limit, err := digits(limitText)
	if err != nil {
		return 0, fmt.Errorf("missed ticks: the limit of %q is not a number", clip(text))
	}
	return missedOf(kind, &limit)
}

func missedOf(kind string, limit *int) (Missed, error) {
	switch {
	case kind != "all" && limit != nil:
		return 0, fmt.Errorf("missed ticks: only all has a limit, %q has none", clip(kind))
	case kind == "", kind == "once":
		return MissedOnce, nil
	case kind == "skip":
		return MissedSkip, nil
	case kind != "all":
		return 0, fmt.Errorf("missed ticks: %q is none of once, skip and all", clip(kind))
	case limit == nil:
		return MissedAll(defaultMissed), nil
	case *limit < 1 || *limit > maxMissed:
		return 0, fmt.Errorf("missed ticks: a limit of %d is outside 1 to %d", *limit, maxMissed)
	}
	return MissedAll(*limit), nil
}

// MarshalText is String, for stores, flags and JSON.
func (m Missed) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMissed.
func (m *Missed) UnmarshalText(text []byte) error {
	p, err := ParseMissed(string(text))
	if err == nil {
		*m = p
	}
	return err
}

// UnmarshalJSON reads the text that ParseMissed reads, or an object:
// {"policy":"all","limit":20}. A null is once.
func (m *Missed) UnmarshalJSON(v []byte) error {
	switch jsontext.Value(v).Kind() {
	case 'n':
		*m = MissedOnce
		return nil
	case '"':
		var text string
		if err := json.Unmarshal(v, &text); err != nil {
			return err
		}
		return m.UnmarshalText([]byte(text))
	case '{':
		var o struct {
			Policy string `json:"policy"`
			Limit  *int   `json:"limit"`
		}
		if err := json.Unmarshal(v, &o, json.RejectUnknownMembers(true)); err != nil {
			if bad, ok := errors.AsType[*json.SemanticError](err); ok && errors.Is(err, json.ErrUnknownName) {
				return fmt.Errorf("missed ticks: nobody knows the member %q; there are policy and limit", clip(bad.JSONPointer.LastToken()))
			}
			return errors.New(`missed ticks: want an object such as {"policy":"all","limit":20}`)
		}
		p, err := missedOf(o.Policy, o.Limit)
		if err == nil {
			*m = p
		}
		return err
	default:
		return errors.New(`missed ticks: want a text, such as "once", or an object with policy and limit`)
	}
}

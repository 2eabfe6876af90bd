package wire

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of meta.sessions. Source: SDK protocol notes 10 §9.
const (
	maxSessions        = 5
	maxSessionKeyBytes = 128
	maxSessionIDBytes  = 512
)

type session struct{ key, id string }

// sessions are the labels of one event, after folding.
type sessions []session

// readSessions folds the two layers of an event's meta. What the user set wins;
// free places go to what the sending run passed on, in byte order of the keys. A
// null cuts one inherited key, and null for the whole map cuts all of them.
func readSessions(meta jsontext.Value) (sessions, error) {
	if meta.Kind() != '{' {
		return nil, fmt.Errorf("event meta: want an object, got %s", kindName(meta.Kind()))
	}
	var user, inherited sessions
	cut := map[string]bool{} // keys the user set or cut
	cutAll := false
	c := newCursor(meta)
	defer c.close()
	err := c.members(func(name []byte) (err error) {
		switch string(name) {
		case "sessions":
			if c.kind() == 'n' {
				cutAll = true
				return c.skip()
			}
			user, err = c.sessions(cut)
		case "propagated_sessions":
			if c.kind() == 'n' {
				return c.skip()
			}
			inherited, err = c.sessions(nil)
		default:
			err = c.skip()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(user) > maxSessions {
		return nil, fmt.Errorf("event sessions can include at most %d entries", maxSessions)
	}
	all := user
	for _, s := range inherited {
		if len(all) < maxSessions && !cutAll && !cut[s.key] {
			all = append(all, s)
		}
	}
	return all, nil
}

// sessions reads one layer, sorted by key. Every key it meets, nulls included,
// goes into seen if there is one.
func (c cursor) sessions(seen map[string]bool) (sessions, error) {
	var all sessions
	err := c.members(func(name []byte) error {
		key := string(name)
		v, err := c.value()
		if err != nil {
			return err
		}
		if seen != nil {
			seen[key] = true
		}
		id := string(v)
		switch v.Kind() {
		case 'n':
			return checkSessionKey(key)
		case '"':
			if id, err = text(v); err != nil {
				return err
			}
		case '0':
		default:
			return fmt.Errorf("event session %q must be a string, number, or null", clip(key))
		}
		all = append(all, session{key, id})
		return checkSession(key, id)
	})
	slices.SortFunc(all, func(a, b session) int { return strings.Compare(a.key, b.key) })
	return all, err
}

func checkSessionKey(key string) error {
	switch {
	case key == "":
		return errors.New("event session keys cannot be empty")
	case len(key) > maxSessionKeyBytes:
		return fmt.Errorf("event session key %q exceeds %d bytes", clip(key), maxSessionKeyBytes)
	case strings.ContainsFunc(key, unicode.IsControl):
		return errors.New("event session keys cannot contain control characters")
	}
	return nil
}

func checkSession(key, id string) error {
	if err := checkSessionKey(key); err != nil {
		return err
	}
	switch {
	case id == "":
		return fmt.Errorf("event session %q cannot have an empty ID", clip(key))
	case len(id) > maxSessionIDBytes:
		return fmt.Errorf("event session %q exceeds %d bytes", clip(key), maxSessionIDBytes)
	case strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("event session %q contains a control character", clip(key))
	}
	return nil
}

// meta is the only form in which sessions are stored and delivered; nil when
// there are none.
func (s sessions) meta() jsontext.Value {
	if len(s) == 0 {
		return nil
	}
	b := []byte(`{"sessions":{`)
	for i, e := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, e.key), ':')
		b = appendText(b, e.id)
	}
	return append(b, "}}"...)
}

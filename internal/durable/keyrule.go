package durable

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// KeyRule says what becomes of a start that comes without an idempotency key.
type KeyRule int8

const (
	KeyNone     KeyRule = iota // it starts as it is
	KeyRequired                // it is refused
	KeyDerived                 // its key is derived from what it says
)

var keyRuleNames = [...]string{"none", "required", "derived"}

func (r KeyRule) String() string {
	if r < 0 || int(r) >= len(keyRuleNames) {
		return ""
	}
	return keyRuleNames[r]
}

// ParseKeyRule knows "none", "required" and "derived".
func ParseKeyRule(name string) (KeyRule, bool) {
	for i, known := range keyRuleNames {
		if name == known {
			return KeyRule(i), true
		}
	}
	return KeyNone, false
}

// KeyRuleNames are the rules by name, the usual one first.
func KeyRuleNames() []string { return keyRuleNames[:] }

// NullKey is what the option "idempotency" makes of an event that lacks the value.
const NullKey = "null"

// About is what the rule says of a start: KeyNone when it has a key. keyed means that
// whoever asks gave one with the request, and unique is the key that the function's
// option "idempotency" gives: neither "" nor NullKey is one.
func (r KeyRule) About(keyed bool, unique string) KeyRule {
	if keyed || unique != "" && unique != NullKey {
		return KeyNone
	}
	return r
}

// HasKey reports whether an event came with a key: its own, its request's, or that of
// the server, which sends each of its events once.
func (e Event) HasKey() bool { return e.Key != "" || e.Keyed || e.Internal() }

// KeyRequiredError refuses a start that has no idempotency key, of a function that
// requires one.
type KeyRequiredError struct {
	Function string
	InApp    bool // the start was a request to the app, which has told of it
}

func (e *KeyRequiredError) Error() string {
	text := "function " + e.Function + " starts only for an idempotency key, and none was given; send the header Idempotency-Key, with the same value each time that the request is repeated"
	if e.InApp {
		text += "; if the app's SDK does not pass it on, send the request to Pawl, at /x/ with the endpoint's host and path"
	}
	return text
}

// derivedPrefix begins the keys that are derived from what a start says, retryPrefix
// those that a client makes up for its own retries of one request.
const (
	derivedPrefix = "derived:"
	retryPrefix   = "retry:"
)

// DerivedLife is how long a derived key holds.
const DerivedLife = 24 * time.Hour

// DerivedKey is the key of what a start says: the name of its event, and its data in
// canonical form. Senders may use it as a key of their own: it means the same.
func DerivedKey(name string, data []byte) string {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write(data)
	return derivedPrefix + hex.EncodeToString(h.Sum(nil))
}

// IsDerivedKey reports whether a key is derived.
func IsDerivedKey(key string) bool { return strings.HasPrefix(key, derivedPrefix) }

// GivenKey reports whether a key tells one start from another. One that a client makes
// up so that it can repeat one request does not.
func GivenKey(key string) bool { return key != "" && !strings.HasPrefix(key, retryPrefix) }

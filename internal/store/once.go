package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
)

// Once makes a write happen once for a key: the key is taken in the write's own
// transaction.
type Once struct {
	Scope       string // what the key is for, such as "events"
	Key         string
	Fingerprint string        // of what was asked for; a repetition has the same
	Reply       durable.JSON  // what whoever repeats it is told
	Life        time.Duration // of the key, from now
	// Starting, of AcceptOnce: the key is for the run that is started. When none is, it
	// is not taken.
	Starting bool
}

// KeyEntry is a line of the ledger of keys.
type KeyEntry struct {
	Scope, Key, Fingerprint string
	Reply                   []byte
	Created, Expires        time.Time
}

// RepeatedError means that a key was used before for the same thing: nothing
// was done, and Reply of the entry is the answer.
type RepeatedError struct{ Entry KeyEntry }

func (e *RepeatedError) Error() string {
	return fmt.Sprintf("the key %q was used before, at %s", e.Entry.Key, e.Entry.Created.UTC().Format(time.RFC3339))
}

// KeyConflictError means that a key was used before for something else.
// Nothing was done.
type KeyConflictError struct {
	Entry KeyEntry
	Given string // the fingerprint of what was asked for now
}

func (e *KeyConflictError) Error() string {
	return fmt.Sprintf("the idempotency key %q was used at %s with another payload (fingerprint %s, now %s): use a new key for a new request",
		e.Entry.Key, e.Entry.Created.UTC().Format(time.RFC3339), e.Entry.Fingerprint, e.Given)
}

// Known is the error for a key that is in the ledger: a *RepeatedError, or a
// *KeyConflictError when it was used for something else.
func Known(was KeyEntry, fingerprint string) error {
	if was.Fingerprint != fingerprint {
		return &KeyConflictError{Entry: was, Given: fingerprint}
	}
	return &RepeatedError{Entry: was}
}

// StartScope is the scope of the keys with which a function was started; the
// reply of such an entry is the run's id.
func StartScope(function string) string { return "start/" + function }

// UniqueScope is the scope of the values of a function's option "idempotency".
func UniqueScope(function string) string { return "unique/" + function }

// Ledger reads and voids keys.
type Ledger interface {
	// Key returns an entry that has not expired at now, or ErrNotFound.
	Key(ctx context.Context, scope, key string, now time.Time) (KeyEntry, error)
	// Keys lists the entries of a scope that have not expired, in order of their
	// keys; Page.Cursor is the key of the last row.
	Keys(ctx context.Context, scope string, now time.Time, p Page) ([]KeyEntry, error)
	// VoidKey forgets a key, so that it can be used anew. ErrNotFound.
	VoidKey(ctx context.Context, scope, key string, act durable.Act) error
}

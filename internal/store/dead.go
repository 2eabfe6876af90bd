package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
)

// Letters reads dead letters: what is left of the runs that failed for good. A
// letter is written by the transition that ends its run (durable.Change.Dead),
// in one transaction with the counts of its group. It sees only what is
// committed.
type Letters interface {
	// DeadLetter returns the letter of a run.
	DeadLetter(ctx context.Context, run string) (Letter, error)
	// DeadLetters lists letters, the one that failed last first.
	DeadLetters(ctx context.Context, f LetterFilter, p Page) ([]Letter, error)
	// DeadGroup returns the group of a fingerprint.
	DeadGroup(ctx context.Context, fingerprint string) (LetterGroup, error)
	// DeadGroups lists groups, the one that grew last first. The page's cursor
	// is LetterGroup.Cursor.
	DeadGroups(ctx context.Context, f GroupFilter, p Page) ([]LetterGroup, error)
}

// LetterState says what became of a dead letter.
type LetterState int8

// The numbers are stored; they never change.
const (
	Open      LetterState = 0 // nobody did anything about it yet
	Retried   LetterState = 1 // its run was started anew
	Discarded LetterState = 2 // somebody said that it need not be
)

var letterStates = [...]string{"open", "retried", "discarded"}

func (s LetterState) String() string { return letterStates[s] }

// ParseLetterState finds the state of that name.
func ParseLetterState(name string) (LetterState, bool) {
	for i, n := range letterStates {
		if n == name {
			return LetterState(i), true
		}
	}
	return 0, false
}

// Letter is a dead letter with what became of it.
type Letter struct {
	durable.DeadLetter
	Event     durable.Event // that started the run, without its body
	State     LetterState
	Closed    time.Time // when it left the state Open; zero before
	RetriedAs string    // the newest run that repeats this one; "" if none does
	Job       string    // the job that retried it; "" when a person did
	Edited    string    // id of the event that stood in for the run's own when it was retried; ""
	Why       string    // it was discarded
	Note      string    // what people keep with it
}

// LetterFilter chooses letters. The zero filter is for all of them.
type LetterFilter struct {
	Function    string // slug
	Class       durable.Class
	Fingerprint string
	State       *LetterState
	After       time.Time // failed at or after
	Before      time.Time // failed before
	Oldest      bool      // the one that failed first comes first
}

// LetterGroup is what letters of one fingerprint have in common.
type LetterGroup struct {
	Fingerprint string
	Function    string
	App         string
	Class       durable.Class
	Title       string // of the first of them
	Open        int
	Retried     int
	Discarded   int
	First       time.Time // when the first of them failed
	Last        time.Time // and the last
	Newest      string    // the run that failed last
}

// Cursor is the group's place in a list of groups.
func (g LetterGroup) Cursor() string { return fmt.Sprintf("%d.%s", g.Last.UnixMicro(), g.Fingerprint) }

// GroupFilter chooses groups.
type GroupFilter struct {
	Function string // slug; "" for all
	Class    durable.Class
	Closed   bool // also those without an open letter
}

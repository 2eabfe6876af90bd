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
	// DeadLetters lists letters, the one that failed last first. The page's cursor
	// is a run whose letter is there, or Letter.Place, which outlives its letter.
	DeadLetters(ctx context.Context, f LetterFilter, p Page) ([]Letter, error)
	// DeadGroup returns the group of a fingerprint.
	DeadGroup(ctx context.Context, fingerprint string) (LetterGroup, error)
	// DeadGroups lists groups, the one that grew last first. The page's cursor
	// is LetterGroup.Cursor.
	DeadGroups(ctx context.Context, f GroupFilter, p Page) ([]LetterGroup, error)
	// Trend returns, hour by hour from the one that from is in, how many letters came
	// to a group, as far back as TrendSpan; hours without one are left out.
	Trend(ctx context.Context, fingerprint string, from time.Time) ([]TrendPoint, error)
	// RetryJob returns a job, and RetryJobs lists them, the newest first.
	RetryJob(ctx context.Context, id string) (RetryJob, error)
	RetryJobs(ctx context.Context, p Page) ([]RetryJob, error)
	// RetriedBy returns the runs that a job has started, the first of them first;
	// with a status only those that have it, Queued being that of all that have not
	// ended. The page's cursor is a run of the job.
	RetriedBy(ctx context.Context, job string, status *durable.Status, p Page) ([]RetriedRun, error)
}

// Reruns starts runs anew and closes dead letters.
type Reruns interface {
	// Rerun starts a run anew, in one transaction with what that makes of its
	// dead letter. It fails with a *LetterClosedError, with ErrNotFound when the
	// letter is not there that should be, and with the errors of Once.
	Rerun(ctx context.Context, now time.Time, r Rerun) error
	// Discard closes the letter of a run that need not be run again, at the time
	// of act, and keeps why. It fails with ErrNotFound, and a *LetterClosedError
	// when the run was retried.
	Discard(ctx context.Context, run, why string, act durable.Act) error
	// Annotate replaces the note that people keep with a letter. ErrNotFound.
	Annotate(ctx context.Context, run, note string, act durable.Act) error

	// StartRetries writes a job and queues the item that works it: of kind Retry,
	// its Run the job's ID. once may be nil; its errors are those of AcceptOnce.
	StartRetries(ctx context.Context, job RetryJob, once *Once, act durable.Act) error
	// StopRetries ends a job; one that has ended stays as it is. ErrNotFound.
	StopRetries(ctx context.Context, id, why string, act durable.Act) error
	// Retry takes a job a bit further, in one transaction: the reruns whose
	// letters are still open are started and counted, or the letters discarded
	// that are still open, and the item is due again
	// at step.Next, or gone when the job has ended. It fails with ErrLeaseLost,
	// also when the job was stopped meanwhile.
	Retry(ctx context.Context, l Lease, now time.Time, step RetryStep) error
}

// TrendSpan is how far back a trend is kept.
const TrendSpan = 30 * 24 * time.Hour

// TrendPoint is how many letters came to a group in one hour.
type TrendPoint struct {
	Hour    time.Time // its beginning, UTC
	Letters int
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
	Of        string    // the run that this one repeats, if that has a letter as well; ""
	Job       string    // the job that retried or discarded it; "" when a person did
	Edited    string    // id of the event that stood in for the run's own when it was retried; ""
	Why       string    // it was discarded; kept when it is retried after all
	Note      string    // what people keep with it
}

// Place is the letter's place in a list of letters.
func (l Letter) Place() string { return fmt.Sprintf("%d.%s", l.Failed.UnixMicro(), l.Run) }

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
	Title       string // of all of them: "…" stands for what differs
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

// LetterClosedError means that something was done about a letter already.
type LetterClosedError struct {
	Run   string
	State LetterState
	As    string // the run that repeats it, when it was retried
}

func (e *LetterClosedError) Error() string {
	if e.State == Retried {
		return fmt.Sprintf("run %s was retried already, as run %s", e.Run, e.As)
	}
	return fmt.Sprintf("the dead letter of run %s is %s already", e.Run, e.State)
}

// Rerun is a run that is started anew.
type Rerun struct {
	Of    string // the run that is repeated
	Start durable.Start
	// Edited, if it has an ID, is written along: the event that stands in for
	// the run's own. It starts and wakes nothing else.
	Edited durable.Event
	// Letter means that it is the dead letter that is acted on: it must be there
	// and not be retried yet. Otherwise an open one is closed along the way.
	Letter bool
	Once   *Once        // nil: each rerun is another
	Act    *durable.Act // nil: a job does it
}

// SingleError means that a run cannot be started anew while another goes on:
// the function runs once at a time for its key.
type SingleError struct{ Run, Holder string }

func (e *SingleError) Error() string {
	return fmt.Sprintf("run %s cannot be started anew while run %s goes on: one at a time runs for its singleton key; cancel that one, or wait for its end",
		e.Run, e.Holder)
}

// RetryState says where a job is in its life.
type RetryState int8

// The numbers are stored; they never change.
const (
	JobRunning RetryState = 0
	JobDone    RetryState = 1 // every letter was retried, or discarded
	JobStopped RetryState = 2 // by somebody, or because too much failed again
)

var retryStates = [...]string{"running", "done", "stopped"}

func (s RetryState) String() string { return retryStates[s] }

// RetryJob retries letters that were there when it was made, the oldest first,
// at a rate; or, with a Reason, discards them.
type RetryJob struct {
	ID      string       // ULID
	Filter  LetterFilter // State and Oldest mean nothing: only open ones are worked on
	Reason  string       // why the letters are discarded; "": they are retried
	Every   time.Duration
	First   int // how many are retried, and waited for, before the others; 0: none
	Created time.Time

	State   RetryState
	Waiting bool   // for the first ones to end
	Cursor  string // the place of the last letter that was looked at
	Why     string // it was stopped
	Ended   time.Time

	Started   int // runs
	Completed int // of those: how they ended
	Failed    int
	Cancelled int
	Skipped   int // letters that were looked at and could not be retried

	Discarded int // letters
}

// RetryStep is what a bit of work on a job changes.
type RetryStep struct {
	Reruns  []Rerun
	Discard []string // runs whose letters are discarded, for the job's reason
	Skipped int
	Cursor  string
	Waiting bool
	Next    time.Time  // when the next bit is due, while State is JobRunning
	State   RetryState // what the job becomes
	Why     string
}

// RetriedRun is a run that a job has started.
type RetriedRun struct {
	Run    string
	Of     string         // the run that it repeats
	Status durable.Status // Queued until it has ended
}

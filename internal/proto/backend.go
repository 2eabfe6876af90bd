package proto

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Errors of a Backend, as HTTP statuses say them.
var (
	// ErrStale: the call was given up, and the function is called again (409).
	ErrStale = errors.New("the call was given up; the function is called again")
	// ErrGone: there is no such run, or it has ended (404, 410).
	ErrGone = errors.New("there is no such run, or it has ended")
	// ErrTooLarge: what was reported exceeds a limit of the run, which has failed (413).
	ErrTooLarge = errors.New("the run exceeds a limit")
	// ErrOtherRequest: the idempotency key was used for another request (422).
	ErrOtherRequest = errors.New("the idempotency key was used for another request")
	// ErrNoKey: the endpoint requires an idempotency key, and there was none (400 with
	// the code idempotency_key_required).
	ErrNoKey = errors.New("an idempotency key is required")
	// ErrNobodyWaits: nobody waits for the signal (404).
	ErrNobodyWaits = errors.New("nobody waits for the signal")
)

// Backend is a server as an app sees it: over HTTP, or in the same process.
// Payloads are JSON.
type Backend interface {
	// Send takes an array of events in and returns an id for each.
	Send(ctx context.Context, events []byte) (ids []string, err error)
	// Checkpoint saves finished steps of a run. Errors: ErrStale, ErrGone,
	// ErrTooLarge, and those of a server that cannot be reached or cannot write.
	Checkpoint(ctx context.Context, c Checkpoint) error
	// State returns the events of a run, an array, and its memos, an object.
	State(ctx context.Context, run string) (events, memos []byte, err error)
	// Signal wakes who waits for a signal and returns its run, or ErrNobodyWaits.
	Signal(ctx context.Context, name string, data []byte) (run string, err error)
	// Invoke starts a run of the function with a slug and returns it. A key that
	// is not empty makes a repetition return the run of the first time.
	Invoke(ctx context.Context, slug string, data []byte, key string) (run string, err error)
	// Run returns how a run stands, at the latest after wait; sooner if it ends.
	Run(ctx context.Context, id string, wait time.Duration) (RunState, error)
	// Begin tells of a run that began in a request to the app. Errors: ErrGone,
	// ErrTooLarge, ErrOtherRequest.
	Begin(ctx context.Context, b Begin) (Begun, error)
	// Report tells what such a run has done since. What failed is tried again after
	// retryAfter; 0: when the server decides. Errors as Begin.
	Report(ctx context.Context, b Begun, steps []byte, retryAfter time.Duration) error
	// ResultURL is where the client of such a request waits for the run's answer.
	// served is the URL at which the app is; "" when nobody has said.
	ResultURL(served string, b Begun) string
	// StreamURL is where what the run's endpoint streams is read.
	StreamURL(served string, b Begun) string
	// Tee takes what an endpoint streams that was entered again. Close returns when
	// the server has it all.
	Tee(ctx context.Context, run string) (io.WriteCloser, error)
	// Publish tells those who listen to a topic of a channel.
	Publish(ctx context.Context, channel, topic string, data []byte) error
}

// InProcess is a Backend that is an engine in the app's own process.
type InProcess interface {
	Backend
	// Origin is where the endpoints of an app are, for nobody but the engine.
	Origin(app string) string
	// MayRead reports whether a token is the one for the result of a run.
	MayRead(run, token string) bool
	// ReadStream answers with what the endpoint of a run streams, from its beginning,
	// or from where the reader says it was.
	ReadStream(w http.ResponseWriter, r *http.Request, run string) error
}

// Checkpoint is what an app reports while a call goes on.
type Checkpoint struct {
	RunID      string
	FunctionID string
	ItemID     string
	RequestID  string
	Generation int64
	Started    time.Time // of the call
	Steps      []byte    // an array of ops
}

// Begin is the first report on a run that began in a request to an app.
type Begin struct {
	RunID      string
	Event      []byte // the request
	Steps      []byte // an array of ops
	Retries    int
	Key        string        // idempotency key; "" for none
	RetryAfter time.Duration // as of Report
	SDK        string
}

// Begun is what an app is told about such a run. RunID is another one when the
// key was used before.
type Begun struct {
	RunID, FunctionID, AppID, Token string
	RealtimeToken                   string // opens the run's stream
	Ended                           bool   // such a run has ended
}

// RunState is how a run stands.
type RunState struct {
	ID       string
	Function string // slug
	Status   string // Queued, Running, Completed, Failed, Cancelled or Skipped
	Output   []byte // the result, or the error; nil while it goes on
	Started  time.Time
	Ended    time.Time
}

// Final reports whether nothing more can happen to the run.
func (s RunState) Final() bool {
	switch s.Status {
	case "Completed", "Failed", "Cancelled", "Skipped":
		return true
	default:
		return false
	}
}

type backendKey struct{}

// WithBackend makes a request one of a server in the same process, which is
// trusted and reached by b.
func WithBackend(r *http.Request, b Backend) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), backendKey{}, b))
}

// BackendOf returns the server in this process that r comes from, or nil.
func BackendOf(r *http.Request) Backend {
	b, _ := r.Context().Value(backendKey{}).(Backend)
	return b
}

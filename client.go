package pawl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
)

// RunStatus says where a run is in its life.
type RunStatus string

// The statuses of runs.
const (
	Queued    RunStatus = "Queued"
	Running   RunStatus = "Running"
	Completed RunStatus = "Completed"
	Failed    RunStatus = "Failed"
	Cancelled RunStatus = "Cancelled"
	Skipped   RunStatus = "Skipped"
)

// Final reports whether nothing more can happen to the run.
func (s RunStatus) Final() bool { return s != Queued && s != Running }

// RunInfo is how a run stands.
type RunInfo struct {
	ID       string
	Function string // slug
	Status   RunStatus
	Output   json.RawMessage // the result, or the error; nil while it goes on
	Started  time.Time
	Ended    time.Time
}

// RunFailed is the error of a run that has not completed.
type RunFailed struct {
	RunID   string
	Status  RunStatus
	Name    string // of the error
	Message string
}

// Error tells which run it was, and why it failed.
func (e *RunFailed) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("run %s: %s", e.RunID, e.Status)
	}
	return fmt.Sprintf("run %s: %s: %s", e.RunID, e.Status, e.Message)
}

// ErrNoSuchRun means that there is no run of that id, or none any more.
var ErrNoSuchRun = errors.New("pawl: there is no such run")

// Run returns how a run stands now.
func (a *App) Run(ctx context.Context, id string) (RunInfo, error) { return a.look(ctx, id, 0) }

// look returns how a run stands when it has ended, or after wait.
func (a *App) look(ctx context.Context, id string, wait time.Duration) (RunInfo, error) {
	s, err := a.api().Run(ctx, id, wait)
	if errors.Is(err, proto.ErrGone) {
		return RunInfo{}, fmt.Errorf("run %s: %w", id, ErrNoSuchRun)
	}
	if err != nil {
		return RunInfo{}, fmt.Errorf("pawl: run %s: %w", id, err)
	}
	return RunInfo{s.ID, s.Function, RunStatus(s.Status), s.Output, s.Started, s.Ended}, nil
}

// Start starts a run of the function, from outside of a function, and returns
// its id. With a key that is not empty a repetition returns the run of the
// first time, for seven days.
func (f *Function[In, Out]) Start(ctx context.Context, in In, key string) (run string, err error) {
	if f.app == nil {
		return "", fmt.Errorf("pawl: %s is a function of another app: use Invoke in a function, or send an event", f.slug)
	}
	data, err := marshal(in)
	if err != nil {
		return "", err
	}
	if run, err = f.app.api().Invoke(ctx, f.slug, data, key); err != nil {
		return "", fmt.Errorf("pawl: start %s: %w", f.slug, err)
	}
	return run, nil
}

// forever is longer than anybody waits.
const forever = 100 * 365 * 24 * time.Hour

// Result waits until a run of the function has ended, and returns what it
// returned. The error of a run that has not completed is a [*RunFailed].
func (f *Function[In, Out]) Result(ctx context.Context, run string) (out Out, err error) {
	if f.app == nil {
		return out, fmt.Errorf("pawl: %s is a function of another app", f.slug)
	}
	for {
		info, err := f.app.look(ctx, run, forever)
		switch {
		case err != nil:
			return out, err
		case !info.Status.Final():
			continue
		case info.Status != Completed:
			return out, info.failed()
		}
		raw := info.Output
		if raw == nil {
			raw = null
		}
		if err := json.Unmarshal(raw, &out); err != nil {
			return out, fmt.Errorf("pawl: run %s: its result is no %T: %w", run, out, err)
		}
		return out, nil
	}
}

// Call starts a run of the function and waits for its result.
func (f *Function[In, Out]) Call(ctx context.Context, in In) (out Out, err error) {
	run, err := f.Start(ctx, in, "")
	if err != nil {
		return out, err
	}
	return f.Result(ctx, run)
}

func (i RunInfo) failed() error {
	e := &RunFailed{RunID: i.ID, Status: i.Status}
	var body struct {
		Name    string `json:"name"`
		Message string `json:"message"`
	}
	if json.Unmarshal(i.Output, &body) == nil {
		e.Name, e.Message = body.Name, body.Message
	}
	return e
}

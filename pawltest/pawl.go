package pawltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/proto"
)

// Pawl is an engine that runs an app in a test.
type Pawl struct {
	t    *testing.T
	app  *pawl.App
	path string
	log  *slog.Logger

	mu     sync.Mutex
	engine *engine.Engine
	mocks  map[string][]func(int) (any, error)
	bodies map[string]int
	trap   *trap // nil: nothing crashes
}

// Run calls test with an engine that runs app, in virtual time. The t that test
// is given is the one to use inside of it.
func Run(t *testing.T, app *pawl.App, test func(t *testing.T, p *Pawl)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pawl.db")
	synctest.Test(t, func(t *testing.T) {
		p := open(t, app, path, nil)
		defer p.close()
		test(t, p)
	})
}

func open(t *testing.T, app *pawl.App, path string, trap *trap) *Pawl {
	t.Helper()
	p := &Pawl{
		t: t, app: app, path: path, log: slog.New(slog.DiscardHandler),
		mocks: map[string][]func(int) (any, error){}, bodies: map[string]int{}, trap: trap,
	}
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// drain is how long calls may go on when an engine is closed.
const drain = time.Millisecond

func (p *Pawl) start() error {
	e, err := engine.Open(context.WithoutCancel(p.t.Context()), p.path, http.HandlerFunc(p.serve),
		engine.WithDurability(engine.Unsynced), engine.WithLogger(p.log), engine.WithDrain(drain), engine.WithRetention(0, 0, 0))
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.engine = e
	return nil
}

func (p *Pawl) close() {
	p.t.Helper()
	if err := p.current().Close(context.WithoutCancel(p.t.Context())); err != nil {
		p.t.Errorf("close: %v", err)
	}
}

func (p *Pawl) current() *engine.Engine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.engine
}

// Restart closes the engine and opens it again on the same file. Calls in flight
// are cut off, as in the end of a process.
func (p *Pawl) Restart() {
	p.t.Helper()
	if err := p.restart(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *Pawl) restart() error {
	if err := p.current().Close(context.WithoutCancel(p.t.Context())); err != nil {
		return err
	}
	return p.start()
}

// serve is the app with what the test puts between.
func (p *Pawl) serve(w http.ResponseWriter, r *http.Request) {
	if p.trap != nil {
		p.trap.serve(p, w, r) //nolint:contextcheck // the next process begins by itself
		return
	}
	p.app.ServeHTTP(w, proto.WithInterceptor(r, p))
}

// Step runs the body of a step, or what a test has put in its place. It is not
// for tests to call.
func (p *Pawl) Step(ctx context.Context, name string, attempt int, body func(context.Context) ([]byte, error)) ([]byte, error) {
	p.mu.Lock()
	p.bodies[name]++
	var mock func(int) (any, error)
	if list := p.mocks[name]; len(list) > 0 {
		if mock = list[0]; len(list) > 1 {
			p.mocks[name] = list[1:]
		}
	}
	p.mu.Unlock()
	if mock == nil {
		return body(ctx)
	}
	out, err := mock(attempt + 1)
	if errors.Is(err, errReal) {
		return body(ctx)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// errReal makes a mock run the step itself.
var errReal = errors.New("the step itself")

// Mock runs f in place of the body of each step of a name. try is 1 for the
// first try.
func (p *Pawl) Mock(step string, f func(try int) (any, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mocks[step] = []func(int) (any, error){f}
}

// Fail makes the next tries of a step fail with errs, one after the other.
// Later ones run the body, or the mock that there is.
func (p *Pawl) Fail(step string, errs ...error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	after := p.mocks[step]
	if len(after) == 0 {
		after = []func(int) (any, error){func(int) (any, error) { return nil, errReal }}
	}
	var list []func(int) (any, error)
	for _, err := range errs {
		list = append(list, func(int) (any, error) { return nil, err })
	}
	p.mocks[step] = append(list, after...)
}

// Bodies is how often the body of a step of a name, or its mock, has run, in all
// runs together.
func (p *Pawl) Bodies(step string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bodies[step]
}

// Settle returns when all that can happen now has happened: every run has ended,
// or waits for a time or an event.
func (p *Pawl) Settle() { synctest.Wait() }

// Advance lets d pass, and all that happens meanwhile happen.
func (p *Pawl) Advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Send sends events, and settles.
func (p *Pawl) Send(events ...pawl.Event) (ids []string) {
	p.t.Helper()
	ids, err := p.app.Send(p.t.Context(), events...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Settle()
	return ids
}

// Runs are the runs that an event has started, by the time of their beginning.
func (p *Pawl) Runs(event string) (ids []string) {
	p.t.Helper()
	runs, err := p.current().RunsOf(p.t.Context(), event)
	if err != nil {
		p.t.Fatal(err)
	}
	return runs
}

// Status is how a run stands.
func (p *Pawl) Status(run string) pawl.RunStatus {
	p.t.Helper()
	info, err := p.app.Run(p.t.Context(), run)
	if err != nil {
		p.t.Fatal(err)
	}
	return info.Status
}

// Cancel ends a run.
func (p *Pawl) Cancel(run string) {
	p.t.Helper()
	if err := p.current().Cancel(p.t.Context(), run, ""); err != nil {
		p.t.Fatal(err)
	}
	p.Settle()
}

// Started is a run of a function that returns an Out.
type Started[Out any] struct {
	ID     string
	p      *Pawl
	result func(context.Context, string) (Out, error)
}

// Start starts a run of a function, and settles.
func Start[In, Out any](p *Pawl, f *pawl.Function[In, Out], in In) *Started[Out] {
	p.t.Helper()
	id, err := f.Start(p.t.Context(), in, "")
	if err != nil {
		p.t.Fatal(err)
	}
	p.Settle()
	return &Started[Out]{id, p, f.Result}
}

// forever is how long a result is waited for: longer than any run can take whose
// steps rest for less than a year.
const forever = 10 * 366 * 24 * time.Hour

// Result lets time pass until the run has ended, and returns what the function
// returned. The error of a run that has not completed is a *pawl.RunFailed. If the
// function or a step of it has failed the test at once, by t.FailNow or what calls
// that, the test ends here.
func (s *Started[Out]) Result() (Out, error) {
	s.p.t.Helper()
	ctx, cancel := context.WithTimeout(s.p.t.Context(), forever)
	defer cancel()
	for again := true; ; {
		out, err := s.result(ctx, s.ID)
		failed, ended := errors.AsType[*pawl.RunFailed](err)
		switch {
		case err == nil, ended:
			if s.p.t.Failed() && (ended && failed.Name == proto.NameExit || s.p.exited(s.ID)) {
				s.p.t.FailNow()
			}
			return out, err
		case ctx.Err() != nil:
			return out, fmt.Errorf("run %s has not ended in ten years: %w", s.ID, err)
		case s.p.trap == nil || s.p.trap.life() == 0 || !again:
			return out, err
		}
		s.p.trap.wait() // who was asked has died
		again = false
	}
}

// exited reports whether a step of a run has ended its goroutine.
func (p *Pawl) exited(run string) bool {
	p.t.Helper()
	return slices.ContainsFunc(p.Steps(run), func(s Step) bool {
		var memo struct{ Error struct{ Name string } }
		return s.State == Failed && json.Unmarshal(s.Data, &memo) == nil && memo.Error.Name == proto.NameExit
	})
}

// Status is how the run stands.
func (s *Started[Out]) Status() pawl.RunStatus { return s.p.Status(s.ID) }

// Steps are the steps of the run so far.
func (s *Started[Out]) Steps() []Step { return s.p.Steps(s.ID) }

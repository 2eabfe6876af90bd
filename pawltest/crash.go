package pawltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/internal/proto"
)

// Case is one time through a scenario of CrashEverywhere.
type Case struct {
	t       *testing.T
	path    string
	trap    *trap
	p       *Pawl
	outcome map[string]string
}

// Open runs app for the rest of the case.
func (c *Case) Open(app *pawl.App) *Pawl {
	c.t.Helper()
	if c.p != nil {
		c.t.Fatal("a case has one app")
	}
	c.p = open(c.t, app, c.path, c.trap)
	return c.p
}

// Crashed reports whether something crashes in this case. It does not in the
// first, to whose outcome all others are compared.
func (c *Case) Crashed() bool { return c.trap.at > 0 }

// Same notes something that has to be the same wherever the process dies: what a
// run returns, how often a customer was charged.
func (c *Case) Same(name string, value any) {
	c.t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	c.outcome[name] = string(b)
}

// T is what the scenario reports to.
func (c *Case) T() *testing.T { return c.t }

// CrashEverywhere calls scenario once as it is, and then once for each place
// where a process can die with an effect: before a checkpoint, an answer, or what an
// endpoint reports is saved, and after, when whoever waits for it has not been told. The
// process dies there, another one opens the file, and what the scenario notes by
// [Case.Same] has to be the same in the end.
//
// A scenario makes its app and its fakes anew, opens the app by [Case.Open], and
// waits for the results of what it starts:
//
//	pawltest.CrashEverywhere(t, func(c *pawltest.Case) {
//		bank := &fakeBank{}
//		app := pawl.New("shop")
//		pay := pawl.Func(app, "pay", bank.pay)
//		out, err := pawltest.Start(c.Open(app), pay, Order{ID: "o1"}).Result()
//		c.Same("result", out)
//		c.Same("charges", bank.charges)
//	})
//
// An endpoint is asked by [Pawl.Ask], with an Idempotency-Key.
func CrashEverywhere(t *testing.T, scenario func(c *Case)) {
	t.Helper()
	want, places := once(t, "nothing crashes", 0, scenario)
	if t.Failed() {
		return
	}
	for at := 1; at <= places; at++ {
		once(t, fmt.Sprintf("crash %d of %d", at, places), at, func(c *Case) {
			scenario(c)
			if !reflect.DeepEqual(c.outcome, want) {
				for _, name := range slices.Sorted(keysOf(c.outcome, want)) {
					if c.outcome[name] != want[name] {
						c.t.Errorf("%s: after a crash %s it is %s, and without one %s", name, c.trap.what, c.outcome[name], want[name])
					}
				}
			}
		})
	}
}

func keysOf(ms ...map[string]string) func(func(string) bool) {
	all := map[string]bool{}
	for _, m := range ms {
		for k := range m {
			all[k] = true
		}
	}
	return func(yield func(string) bool) {
		for k := range all {
			if !yield(k) {
				return
			}
		}
	}
}

// once goes through the scenario, with a crash at a place unless that is 0.
func once(t *testing.T, name string, at int, scenario func(c *Case)) (outcome map[string]string, places int) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pawl.db")
		synctest.Test(t, func(t *testing.T) {
			c := &Case{t: t, path: path, trap: newTrap(t.Context(), at), outcome: map[string]string{}}
			defer func() {
				c.trap.wait()
				close(c.trap.over)
				if c.p != nil {
					c.p.close()
				}
			}()
			scenario(c)
			outcome, places = c.outcome, c.trap.count()
			if at > 0 && c.trap.count() < at {
				t.Errorf("the scenario came to %d places instead of at least %d: it has to do the same each time", c.trap.count(), at)
			}
		})
	})
	return outcome, places
}

// trap lets a process die at a place.
type trap struct {
	at    int             // the place, from 1; 0: nothing dies
	first context.Context // ends when the process dies
	die   context.CancelFunc
	over  chan struct{} // closed when the case has ended

	mu     sync.Mutex
	places int
	what   string
	reborn chan struct{} // closed when the next process has begun; nil: none has died
}

func newTrap(ctx context.Context, at int) *trap {
	t := &trap{at: at, over: make(chan struct{})}
	t.first, t.die = context.WithCancel(context.WithoutCancel(ctx))
	return t
}

// lives ends with a life; the last one has no end.
func (t *trap) lives(life int) context.Context {
	if life == 0 {
		return t.first
	}
	return context.WithoutCancel(t.first)
}

// alive reports whether a life goes on.
func (t *trap) alive(life int) bool { return life == t.life() }

var errDead = errors.New("the process has died")

func (t *trap) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.places
}

// pass comes to a place, in the life in which a call began. It reports false when
// the process is dead, or dies here.
func (t *trap) pass(p *Pawl, life int, what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if life == 0 && t.reborn != nil {
		return false
	}
	if t.places++; t.places != t.at {
		return true
	}
	t.what, t.reborn = what, make(chan struct{})
	t.die()
	go func() {
		defer close(t.reborn)
		if err := p.restart(); err != nil {
			p.t.Errorf("after a crash %s: %v", what, err)
		}
	}()
	return false
}

// life is 0 until a process has died, and 1 after.
func (t *trap) life() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reborn == nil {
		return 0
	}
	return 1
}

// wait returns when no process is about to begin, and reports whether one was.
func (t *trap) wait() bool {
	t.mu.Lock()
	reborn := t.reborn
	t.mu.Unlock()
	if reborn == nil {
		return false
	}
	select {
	case <-reborn:
		return false
	default:
		<-reborn
		return true
	}
}

// serve calls the app in this life.
func (t *trap) serve(p *Pawl, w http.ResponseWriter, r *http.Request) {
	life := t.life()
	if b, ok := proto.BackendOf(r).(proto.InProcess); ok {
		r = proto.WithBackend(r, &mortal{InProcess: b, trap: t, p: p, life: life})
	}
	r = proto.WithInterceptor(r, &body{p, life})
	if r.Method != http.MethodPost && r.Header.Get(proto.HeaderAttempt) == "" {
		p.app.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	p.app.ServeHTTP(rec, r)
	if !t.pass(p, life, "before an answer was saved") {
		<-r.Context().Done() // the dead do not answer
		return
	}
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// mortal is a server that is there for one life of the process.
type mortal struct {
	proto.InProcess
	trap *trap
	p    *Pawl
	life int
}

func (m *mortal) Checkpoint(ctx context.Context, c proto.Checkpoint) error {
	if !m.trap.pass(m.p, m.life, "before a checkpoint was saved") { //nolint:contextcheck // the next process begins by itself
		return dead(ctx)
	}
	if err := m.InProcess.Checkpoint(ctx, c); err != nil {
		return err
	}
	if !m.trap.pass(m.p, m.life, "after a checkpoint was saved") { //nolint:contextcheck // as above
		return dead(ctx)
	}
	return nil
}

func (m *mortal) Begin(ctx context.Context, b proto.Begin) (begun proto.Begun, err error) {
	err = m.report(func() error { //nolint:contextcheck // the next process begins by itself
		begun, err = m.InProcess.Begin(ctx, b)
		return err
	})
	return begun, err
}

func (m *mortal) Report(ctx context.Context, b proto.Begun, steps []byte, retryAfter time.Duration) error {
	return m.report(func() error { return m.InProcess.Report(ctx, b, steps, retryAfter) }) //nolint:contextcheck // as above
}

// report saves what an endpoint reports in its client's request. That is not cut off,
// and has an end when nothing can be saved any more.
func (m *mortal) report(save func() error) error {
	if !m.trap.pass(m.p, m.life, "before the report of an endpoint was saved") {
		return errReporterDead
	}
	if err := save(); err != nil {
		return err
	}
	if !m.trap.pass(m.p, m.life, "after the report of an endpoint was saved") {
		return errReporterDead
	}
	return nil
}

var errReporterDead = fmt.Errorf("%w: %w", proto.ErrGone, errDead)

// body runs the bodies of steps in one life of the process.
type body struct {
	p    *Pawl
	life int
}

// Step keeps the dead from doing anything: they neither go on nor return, until they
// are cut off, or the case has ended.
func (b *body) Step(ctx context.Context, name string, attempt int, do func(context.Context) ([]byte, error)) ([]byte, error) {
	t := b.p.trap
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(t.lives(b.life), func() { cancel(errDead) })() //nolint:contextcheck // it ends with its process
	if t.alive(b.life) {
		out, err := b.p.Step(inner, name, attempt, do)
		if t.alive(b.life) {
			return out, err
		}
	}
	select {
	case <-ctx.Done():
	case <-t.over:
	}
	return nil, errDead
}

// dead waits for the call to be cut off.
func dead(ctx context.Context) error {
	<-ctx.Done()
	return errDead
}

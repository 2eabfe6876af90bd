package pawl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
)

// call is one request to run a function: it goes through the function from its
// beginning, with the results of the steps that have finished.
type call struct {
	app *App
	fn  *function
	api proto.Backend

	runID      string
	functionID string
	itemID     string
	requestID  string
	generation int64
	target     string         // id of the one step that may run; "": any
	plan       bool           // steps are announced instead of run
	check      bool           // nothing runs and nothing is sent: the program is being checked
	attempt    int            // of this request, from 0
	tries      int            // that there are
	failed     map[string]int // tries of steps that have failed; nil: the server does not tell, and attempt counts
	lost       int            // tries of which nothing is known
	started    time.Time
	events     []json.RawMessage
	memos      map[string]json.RawMessage

	ctx       context.Context
	saver     *saver            // nil: results are saved by the answer alone
	intercept proto.Interceptor // nil: steps run as they are
	inline    *inline           // the request in which the run began is being served
	stream    *stream           // of an endpoint; nil: nobody reads
	entry     bool              // an endpoint is entered again
	blind     bool              // the server counts the tries, and does not tell

	mu       sync.Mutex
	names    map[string]*usage
	ids      map[string]bool // of the steps that were reached
	results  []op            // that no checkpoint has saved
	rests    []op            // what steps wait for
	resting  bool            // what the function returns is ignored
	rested   chan struct{}   // closed when resting becomes true
	over     bool            // answered, or no more to be
	bodies   int             // that run
	trouble  error           // the run cannot go on like this
	misused  bool            // trouble is a mistake in the program
	progress bool            // a step has been saved: what fails from now on fails the first time
	pause    time.Duration   // before the next try
	failing  bool            // a step is to be tried again
	undos    []undo
	ended    chan struct{} // closed when a body ends; nil: nobody asks
}

// usage is how the steps of one name are used.
type usage struct {
	count  int
	active int // steps of this name that have been reached and are not over
	where  *branch
}

// op is what the protocol calls so. Source: spec/03 §5.
type op struct {
	ID          string          `json:"id"`
	Op          string          `json:"op"`
	Name        string          `json:"name,omitempty"`
	DisplayName string          `json:"displayName,omitempty"`
	Opts        map[string]any  `json:"opts,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	Error       *errorBody      `json:"error,omitempty"`
	Userland    *userland       `json:"userland,omitempty"`
	Timing      *timing         `json:"timing,omitempty"`
}

type userland struct {
	ID    string `json:"id"`
	Index int    `json:"index,omitempty"`
}

type timing struct {
	Start  int64 `json:"a"` // unix ns
	Length int64 `json:"b"` // ns
}

// place is where in a call a context is. It is what steps find in their context.
type place struct {
	call   *call
	branch *branch
}

type (
	placeKey struct{}
	stepKey  struct{}
)

func here(ctx context.Context) (place, error) {
	at, ok := ctx.Value(placeKey{}).(place)
	if !ok {
		return at, ErrNoRun
	}
	if s, ok := ctx.Value(stepKey{}).(*running); ok {
		return at, at.call.misuse("a step is used inside the step %q: use it after that one, with the function's own context", s.name)
	}
	return at, nil
}

// misuse notes a mistake in the program: no further try can mend it.
func (c *call) misuse(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble == nil || !c.misused {
		c.trouble, c.misused = Permanent(fmt.Errorf("pawl: "+format, args...)), true
	}
	return c.trouble
}

// fail notes what keeps the run from going on, whatever the function returns.
func (c *call) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble == nil {
		c.trouble = err
	}
	return c.trouble
}

// step is a use of a name.
type step struct {
	id, name string
	index    int
	usage    *usage
}

// reach is the beginning of every step: which one it is, and what is known of it.
func (p place) reach(name string) (s step, memo json.RawMessage, err error) {
	c := p.call
	if name == "" {
		return s, nil, c.misuse("a step has no name")
	}
	c.mu.Lock()
	u := c.names[name]
	if u == nil {
		u = &usage{where: p.branch}
		c.names[name] = u
	}
	apart := !p.branch.follows(u.where)
	clash := u.active > 0
	s = step{name: name, index: u.count, usage: u}
	for {
		s.id = proto.StepHash(name, s.index)
		if !c.ids[s.id] {
			break
		}
		s.index++ // another step has the name that this one would go by, such as "a:1"
	}
	c.ids[s.id] = true
	u.count, u.where = s.index+1, p.branch
	u.active++
	memo, known := c.memos[s.id]
	trouble, over := c.trouble, c.over
	c.mu.Unlock()
	switch {
	case clash:
		err = c.misuse("two steps are named %q at the same time, so that they cannot be told apart: give each its own name, such as fmt.Sprintf(\"%s %%d\", i)", name, name)
	case apart:
		err = c.misuse("the step %q is used in two branches that run side by side, so that they cannot be told apart: give each its own name, such as fmt.Sprintf(\"%s %%d\", i)", name, name)
	case trouble != nil:
		err = trouble
	case over:
		err = ErrRest
	case known:
		if memo == nil {
			memo = null
		}
		return s, memo, nil
	}
	return s, nil, err
}

// leave ends the use of a step.
func (c *call) leave(s step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.usage != nil {
		s.usage.active--
	}
}

// begin decides about a step that is not known yet. It returns nil when the step
// may go on; async says that it rests then.
func (p place) begin(s step, async bool) error {
	c := p.call
	if c.target == "" && !c.plan {
		p.branch.arrive(c, async)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return ErrRest
	case c.target != "" && c.target != s.id:
		return p.restLocked()
	case c.target != "" && !async: // whatever rests beside it, this is what is asked for
	case p.branch.isRested():
		return ErrRest
	case async:
		return nil
	case c.plan, p.branch.planned, c.resting:
		return p.restLocked(p.mark(op{ID: s.id, Op: "StepPlanned", Name: s.name, DisplayName: s.name, Userland: s.userland()}))
	}
	c.bodies++
	return nil
}

func (s step) userland() *userland { return &userland{s.name, s.index} }

// mark notes in an op that it belongs to a branch: the function is then called
// when any of them is ready, not when all are.
func (p place) mark(o op) op {
	if p.branch.parent != nil {
		if o.Opts == nil {
			o.Opts = map[string]any{}
		}
		o.Opts["parallelMode"] = "race"
	}
	return o
}

// rest ends the branch: with the answer, the server learns what for.
func (p place) rest(ops ...op) error {
	p.call.mu.Lock()
	defer p.call.mu.Unlock()
	return p.restLocked(ops...)
}

func (p place) restLocked(ops ...op) error {
	c := p.call
	c.rests = append(c.rests, ops...)
	if !c.resting {
		c.resting = true
		close(c.rested)
	}
	p.branch.rested = true
	p.branch.cancel(ErrRest)
	return ErrRest
}

// outcome is what a function came to.
type outcome struct {
	output json.RawMessage
	err    error
	rests  bool // whatever it returned
}

// stubborn is how long a function may go on after it has to rest.
const stubborn = 10 * time.Second

// run goes through the function and says what to answer.
func (c *call) run(ctx context.Context) answer { return c.answer(c.through(ctx)) }

// through goes through the function.
func (c *call) through(ctx context.Context) outcome { //nolint:contextcheck // the steps of a call share its context
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errAnswered)
	c.ctx = ctx
	root := &branch{}
	root.ctx, root.cancel = context.WithCancelCause(ctx)
	inside := context.WithValue(root.ctx, placeKey{}, place{c, root})
	done := make(chan outcome, 1)
	var output json.RawMessage
	go c.guarded(func() (err error) {
		var data []json.RawMessage
		if c.inline == nil && !c.entry {
			if data, err = eventData(c.events); err != nil {
				return err
			}
		}
		output, err = c.fn.call(inside, data)
		return err
	}, func(err error) { done <- outcome{output: output, err: err} })
	o, returned := c.wait(done)
	c.mu.Lock()
	c.over = true
	o.rests = c.resting
	c.mu.Unlock()
	if returned {
		root.cancel(errAnswered)
	}
	if !o.rests {
		cancel(errAnswered) // steps that the function did not wait for
	}
	c.finish()
	return o
}

var errAnswered = errors.New("pawl: the function has returned")

// wait returns what the function returns. One that goes on although it has to
// rest is not waited for longer than it is stubborn.
func (c *call) wait(done <-chan outcome) (o outcome, returned bool) {
	select {
	case o = <-done:
		return o, true
	case <-c.rested:
	}
	for {
		timer := time.NewTimer(stubborn)
		select {
		case o = <-done:
			timer.Stop()
			return o, true
		case <-timer.C:
		}
		c.mu.Lock()
		busy := c.bodies > 0
		c.mu.Unlock()
		if !busy {
			c.warn(c.ctx, "a function goes on although a step has returned ErrRest; it should return that error")
			return o, false
		}
	}
}

// finish waits for the steps that are still running.
func (c *call) finish() {
	for {
		c.mu.Lock()
		busy := c.bodies > 0
		idle := c.idle()
		c.mu.Unlock()
		if !busy {
			break
		}
		<-idle
	}
	if c.saver != nil && c.inline == nil {
		c.addResults(c.saver.rest())
	}
}

// idle is closed when a body ends.
func (c *call) idle() <-chan struct{} {
	if c.ended == nil {
		c.ended = make(chan struct{})
	}
	return c.ended
}

func (c *call) bodyEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies--
	if c.ended != nil {
		close(c.ended)
		c.ended = nil
	}
}

func (c *call) addResults(ops []op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.results = append(c.results, ops...)
}

func eventData(events []json.RawMessage) ([]json.RawMessage, error) {
	if len(events) == 0 {
		return nil, errors.New("the call has no event")
	}
	list := make([]json.RawMessage, 0, len(events))
	for _, raw := range events {
		e, err := received(raw)
		if err != nil {
			return nil, err
		}
		if e.Data == nil {
			e.Data = null
		}
		list = append(list, e.Data)
	}
	return list, nil
}

// protect makes an error of a panic.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, string(debug.Stack())}
		}
	}()
	return f()
}

// guarded calls f, and end with what it came to, also when f ends its goroutine.
func (c *call) guarded(f func() error, end func(error)) {
	exited := true
	defer func() {
		if exited {
			end(c.exit())
		}
	}()
	err := protect(f)
	exited = false
	end(err)
}

// exit is the error of code that has ended its goroutine, as the end of a test
// does. That is tried again like a panic, but not while a test looks on.
func (c *call) exit() error {
	err := error(&panicked{goexit, string(debug.Stack())})
	if c.intercept != nil {
		err = Permanent(err)
	}
	return err
}

func (c *call) warn(ctx context.Context, msg string, args ...any) {
	c.app.log.With("app", c.app.name, "function", c.fn.name, "run", c.runID).WarnContext(ctx, msg, args...)
}

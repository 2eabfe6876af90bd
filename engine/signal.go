package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Signal sends a signal to the run that waits for it, and returns that run.
// data is any JSON value; nil is null. It fails with store.ErrNotFound when
// nobody waits: a signal is not kept.
// With once, that happens once for a key, which then stands for the run's id;
// the errors are those of AcceptOnce. by is the person who sends it, of whom the audit
// log tells; "" is a program.
func (e *Engine) Signal(ctx context.Context, name string, data jsontext.Value, once *store.Once, by string) (run string, err error) {
	if e.closing.Load() {
		return "", ErrClosing
	}
	defer e.signals.lock(name)()
	if once != nil { // the signal of a repetition may be awaited by nobody, or by another run
		switch was, err := e.store.Key(ctx, once.Scope, once.Key, time.Now()); {
		case err == nil:
			return "", store.Known(was, once.Fingerprint)
		case !errors.Is(err, store.ErrNotFound):
			return "", err
		}
	}
	w, err := e.store.Signal(ctx, name)
	if err != nil {
		return "", err
	}
	if data == nil {
		data = jsontext.Value("null")
	}
	memo, err := wire.SignalMemo(name, data)
	if err != nil {
		return "", err
	}
	if once != nil {
		once.Reply = durable.JSON(w.Run)
	}
	act := actOf(time.Now(), by, durable.ActSignal, durable.SignalObject(name), facts{"run": w.Run})
	if _, err := e.move(ctx, w.Run, durable.Resolved{Step: w.Step, Memo: memo}, asked{once: once, act: act}, nil); err != nil {
		return "", err
	}
	return w.Run, nil
}

// locks are one mutex for each name that is in use.
type locks struct {
	mu     sync.Mutex
	byName map[string]*lock
}

type lock struct {
	sync.Mutex
	users int
}

// lock returns how to unlock.
func (ls *locks) lock(name string) func() {
	ls.mu.Lock()
	if ls.byName == nil {
		ls.byName = map[string]*lock{}
	}
	l := ls.byName[name]
	if l == nil {
		l = &lock{}
		ls.byName[name] = l
	}
	l.users++
	ls.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(ls.byName, name)
		}
	}
}

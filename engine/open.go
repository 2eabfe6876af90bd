package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
)

// Durability says what a crash may cost.
type Durability = sqlite.Durability

// The kinds of durability.
const (
	// Full syncs to disk before each acknowledgement: nothing that was
	// acknowledged is lost, also when the power fails.
	Full = sqlite.Full
	// Relaxed syncs in the background: a crash of the process loses nothing, a
	// power cut may lose the last moments.
	Relaxed = sqlite.Relaxed
	// Unsynced never syncs, for tests.
	Unsynced = sqlite.None
)

// Option is an option of Open.
type Option func(*openConfig)

type openConfig struct {
	Config
	durability Durability
}

// WithLogger takes what the engine has to say; the default is slog.Default.
func WithLogger(l *slog.Logger) Option { return func(c *openConfig) { c.Log = l } }

// WithDurability is what a crash may cost; the default is Full.
func WithDurability(d Durability) Option { return func(c *openConfig) { c.durability = d } }

// WithConcurrency is how many calls may be in flight; the default is 1,024.
func WithConcurrency(calls int) Option {
	return func(c *openConfig) { c.MaxCalls, c.MaxAppCalls = calls, calls }
}

// WithDrain is how long calls in flight may go on when the engine is closed; the
// default is 30 s.
func WithDrain(d time.Duration) Option { return func(c *openConfig) { c.Drain = d } }

// WithRetention is how long runs and events are kept after their end; 0 is for
// ever. By default completed runs and events leave after 30 days, and failed
// runs stay.
func WithRetention(runs, failed, events time.Duration) Option {
	return func(c *openConfig) { c.Retention = store.Retention{Runs: runs, Failed: failed, Events: events} }
}

// usualRetention is how long runs and events are kept.
const usualRetention = 30 * 24 * time.Hour

// Open runs an app inside this process: its runs are kept in the SQLite file at
// path, which is made if there is none, and its functions are called without a
// network. What was not finished when the process ended, in whatever way, goes
// on. No other process can have the file meanwhile; the error says so.
//
// app is a *pawl.App, which runs in one engine at a time, or the handler of another
// SDK that registers in band.
// Close the engine before the process ends.
func Open(ctx context.Context, path string, app http.Handler, options ...Option) (*Engine, error) {
	c := openConfig{Config: Config{
		Log: slog.Default(), Drain: 0, Retention: store.Retention{Runs: usualRetention, Events: usualRetention},
	}}
	for _, o := range options {
		o(&c)
	}
	if broken, ok := app.(interface{ Err() error }); ok {
		if err := broken.Err(); err != nil {
			return nil, err
		}
	}
	st, err := sqlite.Open(ctx, path, sqlite.Options{Durability: c.durability, Log: c.Log, Lapse: true})
	if err != nil {
		return nil, err
	}
	inside := &inProcess{app: app, log: c.Log}
	c.Store, c.Transport = st, inside
	e, err := start(ctx, c.Config, func(ctx context.Context, e *Engine) error {
		inside.engine = e
		e.drains, _ = app.(interface {
			Drain(ctx context.Context) error
		})
		if _, err := e.SyncApp(ctx, inProcessURL, ""); err != nil {
			return fmt.Errorf("the app's functions: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), st.Close())
	}
	return e, nil
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/redact"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/tell"
	"github.com/pawlhq/pawl/internal/wire"
	"github.com/pawlhq/pawl/server"
)

func devCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "dev",
		Short:   "Run Pawl next to the app you are writing",
		Long:    "Runs Pawl on this machine only, without keys. It finds apps on the usual ports by\nitself and tells what happens to their functions.",
		Example: "pawl dev\npawl dev --app http://localhost:4000/api/inngest",
		Args:    args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return serve(c, modeDev) },
	}
	addFlags(c.Flags(), modeDev)
	return c
}

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "serve",
		Short:   "Run Pawl as a server",
		Long:    "Runs Pawl as a server for your apps. It needs a signing key and an event key.",
		Example: "pawl serve --db sqlite:pawl.db --app https://shop.example.com/api/inngest",
		Args:    args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return serve(c, modeServe) },
	}
	addFlags(c.Flags(), modeServe)
	return c
}

// serve runs until ctx ends or something breaks that it cannot work without.
func serve(c *cobra.Command, mode string) (err error) {
	l := loader{mode: mode, flags: c.Flags(), environ: os.Environ()}
	s, err := l.load()
	if err != nil {
		return err
	}
	p := &process{settings: s, dev: mode == modeDev, out: c.OutOrStdout()}
	if s.DebugListen != "" {
		p.metrics = newRegistry()
	}
	p.log, p.narrator = newLog(s, p.dev, p.out, c.ErrOrStderr())
	return p.run(c.Context())
}

// process is a running dev or serve.
type process struct {
	settings
	dev      bool
	out      io.Writer
	log      *slog.Logger
	narrator *narrator // nil unless people watch
	metrics  *prometheus.Registry
	traces   *sdktrace.TracerProvider // nil: no spans are made
}

func (p *process) run(ctx context.Context) (err error) {
	listener, err := listen(ctx, p.Listen)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // the HTTP server has closed it by then
	keys, err := p.keyring()
	if err != nil {
		return err
	}
	if p.traces, err = tracing(ctx, os.Getenv); err != nil {
		return err
	}
	if p.traces != nil {
		defer p.flush() //nolint:contextcheck // ctx has ended: what is left has its own time
	}
	eng, cleanUp, err := p.openEngine(ctx, keys)
	if err != nil {
		return err
	}
	defer cleanUp()
	if p.narrator != nil {
		p.narrator.follow(eng)
	}

	// What stops first is what feeds the rest: the syncer, then the engine,
	// whose calls in flight still bring checkpoints over HTTP, then HTTP.
	working, stop := context.WithCancel(ctx)
	defer stop()
	cfg := server.Config{Dev: p.dev, EventKeys: p.EventKey, Version: version(), Log: p.log, Draining: working, KeepAlive: p.KeepAlive}
	if p.metrics != nil {
		cfg.Metrics = p.metrics
	}
	syncer := p.syncer(eng, listener.Addr())
	cfg.Discovery, cfg.Unsynced = syncer.discover, syncer.unsynced
	if keys != nil {
		cfg.Keys, cfg.KeysFrom = *keys, p.keysFrom()
	}
	if cfg.Redact, err = redact.Parse(p.Redact); err != nil {
		return err // the settings were checked
	}
	if cfg.Proxies, err = server.ParseProxies(p.TrustedProxy); err != nil {
		return err // the settings were checked
	}
	for _, raw := range p.Endpoint {
		u, err := url.Parse(raw)
		if err != nil {
			return err // the settings were checked
		}
		cfg.Endpoints = append(cfg.Endpoints, u)
	}
	if err := p.people(ctx, eng, listener.Addr(), &cfg); err != nil {
		return err
	}
	srv := server.New(eng, cfg)
	front := srv.HTTPServer()
	failed := make(chan error, 2)
	var running sync.WaitGroup
	running.Go(func() { failed <- front.Serve(listener) })
	debug, err := p.debugServer(ctx, srv.Debug())
	if err != nil {
		stop()
		return errors.Join(err, p.close(eng, srv, front, nil), waitFor(&running)) //nolint:contextcheck // ctx has ended: closing has its own time
	}
	if debug.server != nil {
		running.Go(func() { failed <- debug.server.Serve(debug.listener) })
	}
	p.announce(listener.Addr())
	running.Go(func() { syncer.run(working) })

	select {
	case <-ctx.Done():
		p.log.Info("stopping", "drain", p.Drain)
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	}
	stop()
	return errors.Join(err, p.close(eng, srv, front, debug.server), waitFor(&running)) //nolint:contextcheck // ctx has ended: closing has its own time
}

// people says how people log in, and how the first of them does.
func (p *process) people(ctx context.Context, eng *engine.Engine, at net.Addr, cfg *server.Config) error {
	if p.dev {
		return nil
	}
	if p.PublicURL != "" {
		u, err := url.Parse(p.PublicURL)
		if err != nil {
			return err // the settings were checked
		}
		cfg.PublicURL = u
	}
	if p.OpenIDIssuer != "" {
		role, _ := store.ParseRole(p.OpenIDNewcomers)
		cfg.OpenID = &server.OpenID{
			Name: p.OpenIDName, Issuer: p.OpenIDIssuer, ClientID: p.OpenIDClientID, Secret: p.OpenIDClientSecret, Newcomers: role,
		}
	}
	list, err := eng.People().People(ctx)
	if err != nil || len(list) > 0 {
		return err
	}
	cfg.Setup = rand.Text()
	base := "http://" + at.String()
	if p.PublicURL != "" {
		base = strings.TrimSuffix(p.PublicURL, "/")
	}
	_, err = fmt.Fprintf(p.out, "Nobody can log in yet. The first admin is made here, once:\n  %s/setup#%s\n", base, cfg.Setup)
	return err
}

func waitFor(running *sync.WaitGroup) error {
	running.Wait()
	return nil
}

// flush sends the last spans.
func (p *process) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords) // the context of run is over
	defer cancel()
	if err := p.traces.Shutdown(ctx); err != nil {
		p.log.Warn("the last spans cannot be sent", "err", err)
	}
}

// lastWords is how long requests may go on after the engine has closed. All
// that could take long has been refused by then.
const lastWords = 5 * time.Second

// close drains: calls in flight first, then the requests.
func (p *process) close(eng *engine.Engine, srv *server.Server, front, debug *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), p.Drain+lastWords) // the context of run is over
	defer cancel()
	err := eng.Close(ctx)
	last, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	if front.Shutdown(last) != nil {
		_ = front.Close() // whoever still asks is cut off
	}
	_ = srv.Wait(last) // and so is who still waits
	if debug != nil {
		_ = debug.Close()
	}
	return err
}

// openEngine opens the store and an engine on it. cleanUp removes a temporary
// store.
func (p *process) openEngine(ctx context.Context, keys *wire.Keyring) (eng *engine.Engine, cleanUp func(), err error) {
	path, cleanUp := strings.TrimPrefix(p.DB, dbPrefix), func() {}
	if path == "" {
		if path, cleanUp, err = temporaryStore(); err != nil {
			return nil, nil, err
		}
	}
	durability, err := sqlite.ParseDurability(p.Durability)
	if err != nil {
		cleanUp()
		return nil, nil, err
	}
	st, err := sqlite.Open(ctx, path, sqlite.Options{Durability: durability, Log: p.log})
	if err != nil {
		cleanUp()
		return nil, nil, err
	}
	alerts, err := p.alerting()
	rules, bad := redact.Parse(p.Redact)
	if err = errors.Join(err, bad); err != nil {
		err = errors.Join(err, st.Close())
		cleanUp()
		return nil, nil, err
	}
	config := engine.Config{
		Store: st, Log: p.log, Keys: keys, Dev: p.dev,
		AllowPrivate: p.AllowPrivate || p.dev, RetryInterval: p.RetryInterval, MaxAway: p.MaxAway, EndpointLease: p.EndpointLease, MaxCalls: p.MaxCalls, Drain: p.Drain,
		MaxSteps: p.MaxSteps, MaxBacklog: p.MaxBacklog, MaxBacklogBytes: int64(p.MaxBacklogBytes),
		Retention: store.Retention{Runs: p.Retention, Failed: p.RetentionFailed, Events: p.RetentionEvents, Acts: p.RetentionAudit},
		Alerts:    alerts,
		Clean:     rules.Text, Hides: rules.Reads,
	}
	if p.metrics != nil {
		config.Metrics = p.metrics
	}
	if p.traces != nil {
		config.Traces = p.traces
	}
	eng, err = engine.Start(ctx, config)
	if err != nil {
		err = errors.Join(err, st.Close())
		cleanUp()
		return nil, nil, err
	}
	return eng, cleanUp, nil
}

// alerting is of what people are alerted. In dev they watch, and are told of
// nothing unless they ask for it.
func (p *process) alerting() (a engine.Alerts, err error) {
	if p.dev && p.AlertWebhook == "" && p.AlertMail == "" {
		return a, nil
	}
	a.Site = p.PublicURL
	a.Watch = durable.Watch{On: true, Failures: p.AlertFailures, Age: p.AlertAge, Gather: p.AlertInterval}
	a.To, err = p.poster()
	return a, err
}

// poster brings alerts to people; nil: they are only logged.
func (p *process) poster() (engine.Poster, error) {
	switch {
	case p.AlertMail != "":
		return tell.NewMail(p.AlertMail, p.log)
	case p.AlertWebhook == "":
		return nil, nil
	}
	var secret *tell.Secret
	if p.AlertSecret != "" {
		var err error
		if secret, err = tell.ParseSecret(p.AlertSecret); err != nil {
			return nil, err
		}
	}
	return tell.NewWebhook(p.AlertWebhook, secret, p.AllowPrivate || p.dev)
}

// listen says in one sentence why it cannot.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program; stop it, or choose another address with --listen", address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("this user may not listen on %s; choose a port above 1023 with --listen", address)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", address, errors.Unwrap(err))
	}
	return listener, nil
}

// debugging serves metrics and profiles on a listener of its own.
type debugging struct {
	server   *http.Server
	listener net.Listener
}

func (p *process) debugServer(ctx context.Context, h http.Handler) (d debugging, err error) {
	if p.DebugListen == "" {
		return d, nil
	}
	if d.listener, err = listen(ctx, p.DebugListen); err != nil {
		return d, err
	}
	d.server = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	p.log.Info("metrics and profiles are served", "address", d.listener.Addr().String())
	return d, nil
}

// announce says where Pawl is, and in dev what comes next.
func (p *process) announce(addr net.Addr) {
	if !p.dev {
		p.log.Info("serving", "address", addr.String(), "db", p.DB, "durability", p.Durability)
		return
	}
	url := "http://" + addr.String()
	kept := "in a temporary file, gone when pawl ends"
	if p.DB != "" {
		kept = "in " + strings.TrimPrefix(p.DB, dbPrefix)
	}
	_, _ = fmt.Fprintf(p.out, "Pawl %s listens on %s\nRuns are kept %s.\nStart your app with INNGEST_DEV=%s\n\n", version(), url, kept, url)
}

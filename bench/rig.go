package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Bounds of starting a rig.
const (
	startTimeout  = 30 * time.Second
	startInterval = 20 * time.Millisecond
)

// rig is one server with an empty database and one app, both ready.
type rig struct {
	dir      string // of the database
	addr     string // of the server, host:port
	debug    string // of its debug listener, with metrics and profiles; "" without
	eventKey string
	signKey  string
	appAddr  string
	server   *child
	app      *child
	client   *http.Client // for what is not load
}

// rigConfig is what a rig is made of.
type rigConfig struct {
	server     string // path of the server's binary
	self       string // path of this binary
	dir        string // where the rig makes its own directory
	durability string
	debug      bool
	pprof      string // directory for CPU profiles, with debug
	keep       bool   // the databases
}

// startRig starts the app and the server, and returns when the server is healthy
// and has taken the app's registration. done is told each run that ends.
func startRig(ctx context.Context, c rigConfig, done func(n int64)) (r *rig, err error) {
	r = &rig{client: &http.Client{Timeout: 10 * time.Second}, eventKey: "bench-" + randomHex(8), signKey: "signkey-test-" + randomHex(32)}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stop(false))
		}
	}()
	if r.dir, err = os.MkdirTemp(c.dir, "rig-*"); err != nil {
		return r, fmt.Errorf("make a directory for the database: %w", err)
	}
	if r.addr, err = freeAddr(); err != nil {
		return r, err
	}
	if r.debug, err = freeAddr(); err != nil {
		return r, err
	}

	appURL, synced := make(chan string, 1), make(chan struct{}, 16)
	news := appNews{
		url: func(u string) { appURL <- u },
		synced: func() {
			select {
			case synced <- struct{}{}:
			default: // the server polls; once was enough
			}
		},
		done: done,
	}
	r.app, err = startChild(ctx, "app", []string{keyVariable + "=" + r.signKey}, news.hear, c.self, "-mode", "app", "-server", r.addr)
	if err != nil {
		return r, err
	}
	late := time.NewTimer(startTimeout)
	defer late.Stop()
	var url string
	select {
	case url = <-appURL:
	case <-r.app.gone:
		return r, r.app.failure()
	case <-late.C:
		return r, fmt.Errorf("app did not listen in %v: %s", startTimeout, r.app.tail)
	}
	r.appAddr = hostOf(url)

	args := []string{
		"serve", "--listen", r.addr, "--db", "sqlite:" + filepath.Join(r.dir, "pawl.db"),
		"--signing-key", r.signKey, "--event-key", r.eventKey, "--durability", c.durability, "--app", url, "--debug-listen", r.debug,
	}
	drop := func(out io.Reader) error { _, err := io.Copy(io.Discard, out); return err }
	if r.server, err = startChild(ctx, "server", nil, drop, c.server, args...); err != nil {
		return r, err
	}
	return r, r.ready(ctx, synced, late.C)
}

// ready waits until the server is healthy and has taken the app's registration.
func (r *rig) ready(ctx context.Context, synced <-chan struct{}, late <-chan time.Time) error {
	tick := time.NewTicker(startInterval)
	defer tick.Stop()
	healthy := false
	for {
		registered := synced // nil, and so never ready, until the server is healthy
		if !healthy {
			registered = nil
		}
		select {
		case <-registered:
			return nil
		case <-tick.C:
			healthy = healthy || r.healthy(ctx)
		case <-r.server.gone:
			return r.server.failure()
		case <-late:
			return fmt.Errorf("the server was not ready in %v (healthy: %v); it said last: %s", startTimeout, healthy, r.server.tail)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// healthy asks the server whether it serves.
func (r *rig) healthy(ctx context.Context) bool {
	_, err := r.get(ctx, r.addr, "/health")
	return err == nil
}

// stop ends what startRig started, the server first, and removes the database
// unless keep.
func (r *rig) stop(keep bool) error {
	var errs []error
	for _, c := range []*child{r.server, r.app} {
		if c != nil {
			errs = append(errs, c.stop())
		}
	}
	r.client.CloseIdleConnections()
	if !keep && r.dir != "" {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
}

// get fetches a path with the signing key; any status but 200 is an error.
func (r *rig) get(ctx context.Context, addr, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+r.signKey)
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: status %d: %s", path, resp.StatusCode, firstBytes(b))
	}
	return b, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/wire"
	"github.com/pawlhq/pawl/server"
)

// syncer keeps what the engine knows about apps fresh. In dev it asks each app
// again and again, and looks for apps while it knows none; otherwise it asks the
// apps it was told of until each has answered once.
type syncer struct {
	eng      *engine.Engine
	log      *slog.Logger
	apps     []string // URLs to be asked
	every    time.Duration
	poll     bool
	discover bool
	ports    []int
	self     string // port of this process

	mu     sync.Mutex
	synced map[string]bool
	last   map[string]string // last problem of each URL, so that each is told once
}

func (p *process) syncer(eng *engine.Engine, self net.Addr) *syncer {
	y := &syncer{
		eng: eng, log: p.log, apps: p.App, every: p.PollInterval,
		poll: p.dev, discover: p.dev && !p.NoDiscovery,
		synced: map[string]bool{}, last: map[string]string{},
	}
	_, y.self, _ = net.SplitHostPort(self.String())
	port, _ := strconv.Atoi(os.Getenv("PORT")) // where the app listens, by custom; 0 when it is not a number
	y.ports = server.DiscoveryPorts(port)
	return y
}

// syncTimeout is for one sync. Source: spec/02 §1.
const syncTimeout = 10 * time.Second

// atOnce bounds the requests to apps that a syncer has open.
const atOnce = 16

func (y *syncer) run(ctx context.Context) {
	tick := time.NewTicker(y.every)
	defer tick.Stop()
	for {
		urls := y.due()
		if len(urls) == 0 && !y.poll {
			return
		}
		if len(urls) == 0 && y.discover {
			urls = y.find(ctx)
		}
		y.syncAll(ctx, urls)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// due are the URLs to ask now.
func (y *syncer) due() []string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var urls []string
	for _, url := range y.apps {
		if y.poll || !y.synced[url] {
			urls = append(urls, url)
		}
	}
	if !y.poll {
		return urls
	}
	for _, app := range y.eng.Apps() {
		if strings.HasPrefix(app.URL, "http") && !slices.Contains(urls, app.URL) {
			urls = append(urls, app.URL)
		}
	}
	return urls
}

func (y *syncer) syncAll(ctx context.Context, urls []string) {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, url := range urls {
		g.Go(func() error {
			y.sync(ctx, url)
			return nil
		})
	}
	_ = g.Wait() // none of them fails
}

func (y *syncer) sync(ctx context.Context, url string) {
	timed, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	_, err := y.eng.SyncApp(timed, url)
	if ctx.Err() != nil {
		return // we are ending; that is no news about the app
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	y.mu.Lock()
	news := y.last[url] != problem
	y.synced[url] = err == nil
	y.last[url] = problem
	y.mu.Unlock()
	switch {
	case !news:
	case err != nil:
		y.log.Warn("app cannot be synced; trying again", "url", wire.PublicURL(url), "every", y.every, "err", problem)
	default:
		y.log.Info("app answers", "url", wire.PublicURL(url))
	}
}

// find looks for apps on this machine.
func (y *syncer) find(ctx context.Context) []string {
	var mu sync.Mutex
	var found []string
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, port := range y.ports {
		if strconv.Itoa(port) == y.self {
			continue
		}
		g.Go(func() error {
			host := net.JoinHostPort("localhost", strconv.Itoa(port))
			if !open(ctx, host) {
				return nil
			}
			for _, path := range server.DiscoveryPaths() {
				url := fmt.Sprintf("http://%s%s", host, path)
				if y.eng.ProbeApp(ctx, url) {
					mu.Lock()
					found = append(found, url)
					mu.Unlock()
					return nil
				}
			}
			return nil
		})
	}
	_ = g.Wait() // none of them fails
	slices.Sort(found)
	return found
}

// open reports whether something listens, so that four paths are not tried on
// a port where nothing does.
func open(ctx context.Context, host string) bool {
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
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
	asked  map[string]outcome // by URL
	pause  time.Duration      // before those that do not listen yet are asked again
	looked bool               // for apps, and found some
}

// outcome is what became of asking a URL.
type outcome struct {
	synced  bool   // the last time
	once    bool   // or at any time before
	waiting bool   // nothing has ever listened there
	problem string // of the last time, so that each is told once
}

func (p *process) syncer(eng *engine.Engine, self net.Addr) *syncer {
	y := &syncer{
		eng: eng, log: p.log, apps: p.App, every: p.PollInterval,
		poll: p.dev, discover: p.dev && !p.NoDiscovery,
		asked: map[string]outcome{}, pause: firstPause,
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

// firstPause is before an app that does not listen yet is asked again. The pause
// doubles until it is that of the poll.
const firstPause = 200 * time.Millisecond

func (y *syncer) run(ctx context.Context) {
	tick := time.NewTicker(y.every)
	defer tick.Stop()
	for first := true; ; first = false {
		urls := y.due()
		if len(urls) == 0 && !y.poll {
			return
		}
		y.syncAll(ctx, urls)
		// An app that was asked for has until the second look before others are
		// looked for.
		if y.discover && len(y.known()) == 0 && (len(y.apps) == 0 || !first) {
			y.look(ctx)
		}
		if !y.rest(ctx, tick.C) {
			return
		}
	}
}

// look finds apps, while none is known. Source: spec/02 §7.
func (y *syncer) look(ctx context.Context) {
	y.syncAll(ctx, y.find(ctx))
	if len(y.known()) > 0 && !y.looked {
		y.looked = true
		y.log.Info("no other apps are looked for")
	}
}

// rest waits for the next tick. Meanwhile it asks those that do not listen yet.
// It reports false when ctx has ended.
func (y *syncer) rest(ctx context.Context, tick <-chan time.Time) bool {
	for {
		var again <-chan time.Time
		urls := y.waiting()
		if len(urls) > 0 {
			again = time.After(y.pause)
			y.pause = min(2*y.pause, y.every)
		}
		select {
		case <-again:
			y.syncAll(ctx, urls)
		case <-tick:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// waiting are the URLs to ask where nothing has listened yet.
func (y *syncer) waiting() []string {
	urls := y.due()
	y.mu.Lock()
	defer y.mu.Unlock()
	return slices.DeleteFunc(urls, func(url string) bool { return !y.asked[url].waiting })
}

// unsynced are the URLs that were asked for and where no app has told its
// functions yet.
func (y *syncer) unsynced() (list []server.Unsynced) {
	known := y.known()
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, url := range y.apps {
		o := y.asked[url]
		if o.once || slices.ContainsFunc(known, func(a engine.AppView) bool { return y.eng.SameURL(a.URL, url) }) {
			continue
		}
		u := server.Unsynced{URL: wire.PublicURL(url), Problem: o.problem}
		if o.waiting {
			u.Problem = ""
		}
		list = append(list, u)
	}
	return list
}

// due are the URLs to ask now. An app that is known and answers is asked at the
// URL that it gave, whatever other names of this machine lead to it: otherwise
// it would move to and fro between them.
func (y *syncer) due() []string {
	known := y.known()
	y.mu.Lock()
	defer y.mu.Unlock()
	var urls []string
	for _, url := range y.apps {
		same := slices.ContainsFunc(known, func(a engine.AppView) bool { return a.Problem == "" && y.eng.SameURL(a.URL, url) })
		if !y.poll && !y.asked[url].synced || y.poll && !same {
			urls = append(urls, url)
		}
	}
	if !y.poll {
		return urls
	}
	for _, app := range known {
		if strings.HasPrefix(app.URL, "http") && !slices.Contains(urls, app.URL) {
			urls = append(urls, app.URL)
		}
	}
	return urls
}

// known are the apps that can be asked for their functions.
func (y *syncer) known() []engine.AppView {
	return slices.DeleteFunc(y.eng.Apps(), func(a engine.AppView) bool { return !a.Registers() })
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
	y.mu.Lock()
	before := y.asked[url]
	y.mu.Unlock()
	now := before
	if now.waiting = y.poll && !before.once && refuses(ctx, url); now.waiting {
		now.problem = "nothing listens there yet"
	} else {
		timed, cancel := context.WithTimeout(ctx, syncTimeout)
		defer cancel()
		_, err := y.eng.SyncApp(timed, url, "")
		now.synced, now.problem = err == nil, ""
		now.once = now.once || now.synced
		if err != nil {
			now.problem = err.Error()
		}
	}
	if ctx.Err() != nil {
		return // we are ending; that is no news about the app
	}
	y.mu.Lock()
	y.asked[url] = now
	y.mu.Unlock()
	switch {
	case now.problem == before.problem:
	case now.waiting:
		y.log.Info("waiting for an app", "url", wire.PublicURL(url))
	case now.problem != "":
		y.log.Warn("app cannot be synced; trying again", "url", wire.PublicURL(url), "every", y.every, "err", now.problem)
	case before.once:
		y.log.Info("app answers", "url", wire.PublicURL(url))
	}
}

// refuses reports whether nothing listens where a URL leads.
func refuses(ctx context.Context, raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return errors.Is(dial(ctx, net.JoinHostPort(u.Hostname(), port)), syscall.ECONNREFUSED)
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
			if dial(ctx, host) != nil {
				return nil // four paths are not tried where nothing listens
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

// dial opens a connection and closes it again.
func dial(ctx context.Context, address string) error {
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

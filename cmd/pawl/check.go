package main

import (
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/wire"
)

const (
	modeDev   = "dev"
	modeServe = "serve"
	// modeDoctor works on a store and serves nothing.
	modeDoctor = "doctor"
)

const dbPrefix = "sqlite:"

// check finds what is wrong with settings that could be read, and completes
// them. No message repeats a key.
func (l *loader) check(s *settings) {
	if path, ok := strings.CutPrefix(s.DB, dbPrefix); s.DB != "" && (!ok || path == "") {
		l.problem("--db %s: want %sPATH", wire.PublicURL(s.DB), dbPrefix)
	}
	if l.mode == modeDoctor {
		return
	}
	host, ok := l.address("--listen", s.Listen)
	if ok && l.mode == modeDev && !loopback(host) {
		l.problem("--listen %s: dev asks nobody for a key, so it listens on this machine only; use 127.0.0.1, or pawl serve", s.Listen)
	}
	if s.DebugListen != "" {
		if host, ok := l.address("--debug-listen", s.DebugListen); ok && !loopback(host) {
			l.problem("--debug-listen %s: profiles show what is in memory, so they are served on loopback only; use 127.0.0.1", s.DebugListen)
		}
	}
	if s.Durability == "" {
		s.Durability = "full"
		if s.DB == "" {
			s.Durability = "none" // a temporary file is gone after a power cut in any case
		}
	}
	if _, err := sqlite.ParseDurability(s.Durability); err != nil {
		l.problem("--durability: %w", err)
	}
	for i, app := range s.App {
		if !strings.Contains(app, "://") {
			app = "http://" + app
			s.App[i] = app
		}
		if u, err := url.Parse(app); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			l.problem("--app %s: want a URL such as http://localhost:3000/api/inngest", wire.PublicURL(app))
		}
	}
	if s.PollInterval <= 0 && !l.unread["poll-interval"] {
		l.problem("--poll-interval: must be more than 0s")
	}
	if s.MaxCalls < 1 && !l.unread["max-calls"] {
		l.problem("--max-calls %d: must be at least 1", s.MaxCalls)
	}
	if s.LogFormat != "text" && s.LogFormat != "json" {
		l.problem("--log-format %s: want text or json", s.LogFormat)
	}
	if new(slog.Level).UnmarshalText([]byte(s.LogLevel)) != nil {
		l.problem("--log-level %s: want debug, info, warn or error", s.LogLevel)
	}
	if l.mode == modeServe {
		l.checkKeys(s)
	}
}

func (l *loader) checkKeys(s *settings) {
	if s.SigningKey == "" {
		l.problem("a signing key is required: make one with `openssl rand -hex 32` and give it to pawl and to your apps as INNGEST_SIGNING_KEY=signkey-prod-<that>")
	} else if _, err := wire.ParseKey(s.SigningKey); err != nil {
		l.problem("--signing-key: %w; make one with `openssl rand -hex 32`", err)
	}
	if s.SigningKeyPrevious != "" {
		if _, err := wire.ParseKey(s.SigningKeyPrevious); err != nil {
			l.problem("--signing-key-previous: %w", err)
		}
	}
	if len(s.EventKey) == 0 {
		l.problem("at least one event key is required: make one with `openssl rand -hex 32` and give it to pawl and to whoever sends events as INNGEST_EVENT_KEY")
	}
	for _, key := range s.EventKey {
		if strings.ContainsAny(key, "/ ?#%") {
			l.problem("--event-key: a key stands in a URL and must not contain / ? # %% or a space")
		}
	}
}

// address takes host:port apart.
func (l *loader) address(flag, text string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		l.problem("%s %s: want host:port, such as 127.0.0.1:8288", flag, text)
		return "", false
	}
	return host, true
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// keyring is what settings that passed check trust.
func (s settings) keyring() (*wire.Keyring, error) {
	if s.SigningKey == "" {
		return nil, nil
	}
	current, err := wire.ParseKey(s.SigningKey)
	if err != nil {
		return nil, err
	}
	ring := &wire.Keyring{Current: current}
	if s.SigningKeyPrevious != "" {
		previous, err := wire.ParseKey(s.SigningKeyPrevious)
		if err != nil {
			return nil, err
		}
		ring.Previous = []wire.Key{previous}
	}
	return ring, nil
}

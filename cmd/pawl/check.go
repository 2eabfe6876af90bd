package main

import (
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/redact"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/internal/tell"
	"github.com/pawlhq/pawl/internal/wire"
	"github.com/pawlhq/pawl/server"
)

const (
	modeDev   = "dev"
	modeServe = "serve"
	// modeDoctor is for doctor, backup and restore: they work on a store and
	// serve nothing.
	modeDoctor = "doctor"
)

const dbPrefix = "sqlite:"

// leastBacklogBytes lets an event of any size wait, when nothing else does.
const leastBacklogBytes = 4 << 20

// check finds what is wrong with settings that could be read, and completes
// them. No message repeats a key.
func (l *loader) check(s *settings) {
	if path, ok := strings.CutPrefix(s.DB, dbPrefix); s.DB != "" && (!ok || path == "") {
		l.problem("%s %s: want %sPATH", l.given["db"], wire.PublicURL(s.DB), dbPrefix)
	}
	if l.mode == modeDoctor {
		return
	}
	host, ok := l.address("listen", s.Listen)
	if ok && l.mode == modeDev && !loopback(host) {
		l.problem("%s %s: dev asks nobody for a key, so it listens on this machine only; use 127.0.0.1, or pawl serve", l.given["listen"], s.Listen)
	}
	if s.DebugListen != "" {
		if host, ok := l.address("debug-listen", s.DebugListen); ok && !loopback(host) {
			l.problem("%s %s: metrics and profiles are for this machine alone, on loopback; use 127.0.0.1", l.given["debug-listen"], s.DebugListen)
		}
	}
	if s.Durability == "" {
		s.Durability = "full"
		if s.DB == "" {
			s.Durability = "none" // a temporary file is gone after a power cut in any case
		}
	}
	if _, err := sqlite.ParseDurability(s.Durability); err != nil {
		l.problem("%s: %w", l.given["durability"], err)
	}
	l.urls("app", s.App, "http://localhost:3000/api/inngest")
	l.checkPeople(s)
	if _, err := redact.Parse(s.Redact); err != nil {
		l.problem("%s: %w", l.given["redact"], err)
	}
	if _, err := server.ParseProxies(s.TrustedProxy); err != nil {
		l.problem("%s: %w", l.given["trusted-proxy"], err)
	}
	l.urls("endpoint", s.Endpoint, "http://localhost:3000/api/book")
	if s.PollInterval <= 0 && !l.unread["poll-interval"] {
		l.problem("%s: must be more than 0s", l.given["poll-interval"])
	}
	if s.KeepAlive < leastKeepAlive && !l.unread["keep-alive"] {
		l.problem("%s %s: must be at least %s", l.given["keep-alive"], s.KeepAlive, leastKeepAlive)
	}
	if s.RetentionEvents > 0 && s.RetentionEvents < store.KeyLife {
		l.problem("--retention-events %s: must be 0s or at least %s, since for that long a repeated event is recognised by the first", s.RetentionEvents, store.KeyLife)
	}
	if s.MaxBacklog < 1 && !l.unread["max-backlog"] {
		l.problem("%s %d: must be at least 1", l.given["max-backlog"], s.MaxBacklog)
	}
	if (s.MaxSteps < 1 || s.MaxSteps > engine.MostSteps) && !l.unread["max-steps"] {
		l.problem("%s %d: must be from 1 to %d", l.given["max-steps"], s.MaxSteps, engine.MostSteps)
	}
	if s.MaxBacklogBytes < leastBacklogBytes && !l.unread["max-backlog-bytes"] {
		l.problem("%s %d: must be at least 4MiB, so that one event, of 3 MiB at most, may wait", l.given["max-backlog-bytes"], s.MaxBacklogBytes)
	}
	l.checkAlerts(s)
	if s.MaxCalls < 1 && !l.unread["max-calls"] {
		l.problem("%s %d: must be at least 1", l.given["max-calls"], s.MaxCalls)
	}
	if s.LogFormat != "text" && s.LogFormat != "json" {
		l.problem("%s %s: want text or json", l.given["log-format"], s.LogFormat)
	}
	if new(slog.Level).UnmarshalText([]byte(s.LogLevel)) != nil {
		l.problem("%s %s: want debug, info, warn or error", l.given["log-level"], s.LogLevel)
	}
	if l.mode == modeServe {
		l.checkKeys(s)
	}
}

// leastKeepAlive is about what a connection costs to be kept alive for ever.
const leastKeepAlive = 100 * time.Millisecond

// The least that keys may have. Whoever guesses a signing key is an app and may
// read everything; no key that openssl, an SDK's documentation or the hosted
// service makes is shorter than this. Whoever guesses an event key may start
// functions, as often as the network allows, and a warning at the start of a
// server is read by nobody.
const (
	leastSigningKeyBytes = 16
	leastEventKeyChars   = 8
)

// checkPeople checks what says how people log in.
func (l *loader) checkPeople(s *settings) {
	if s.PublicURL != "" {
		u, err := url.Parse(s.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			l.problem("%s %s: want the address of a host, such as https://pawl.example.com", l.given["public-url"], wire.PublicURL(s.PublicURL))
		}
	}
	if s.OpenIDIssuer == "" {
		return
	}
	if s.PublicURL == "" || s.OpenIDClientID == "" {
		l.problem("%s: needs --public-url and --openid-client-id too", l.given["openid-issuer"])
	}
	if _, ok := store.ParseRole(s.OpenIDNewcomers); !ok && s.OpenIDNewcomers != store.Nobody.String() {
		l.problem("%s %s: want nobody, viewer, operator or admin", l.given["openid-newcomers"], s.OpenIDNewcomers)
	}
}

// urls checks a setting that is a list of URLs; http:// may be left out.
func (l *loader) urls(setting string, list []string, example string) {
	for i, given := range list {
		word := !strings.ContainsAny(given, ":/.") // shop:3000 and shop/api are places, shop is a mistake
		if !strings.Contains(given, "://") {
			list[i] = "http://" + given
		}
		if u, err := url.Parse(list[i]); word || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			l.problem("%s %s: want a URL such as %s", l.given[setting], wire.PublicURL(given), example)
		}
	}
}

func (l *loader) checkKeys(s *settings) {
	if s.SigningKey == "" {
		l.problem("a signing key is required: set PAWL_SIGNING_KEY=signkey-prod-$(openssl rand -hex 32), and give the same to your apps as INNGEST_SIGNING_KEY")
	}
	l.checkSigningKey("signing-key", s.SigningKey)
	l.checkSigningKey("signing-key-previous", s.SigningKeyPrevious)
	if len(s.EventKey) == 0 {
		l.problem("at least one event key is required: set PAWL_EVENT_KEY=$(openssl rand -hex 16), and give the same to whoever sends events as INNGEST_EVENT_KEY")
	}
	for _, key := range s.EventKey {
		switch from := l.given["event-key"]; {
		case strings.ContainsAny(key, "/ ?#%"):
			l.problem("%s: a key stands in a URL and must not contain / ? # %% or a space", from)
		case len(key) < leastEventKeyChars:
			l.problem("%s: a key of %s is soon guessed, want at least %d; make one with `openssl rand -hex 16`", from, counted(len(key), "character"), leastEventKeyChars)
		case strings.HasSuffix(s.SigningKey, key), strings.HasSuffix(s.SigningKeyPrevious, key):
			l.problem("%s: this is the signing key; an event key stands in URLs, logs and web pages, so it must be another one; make one with `openssl rand -hex 16`", from)
		}
	}
}

func (l *loader) checkSigningKey(setting, raw string) {
	if raw == "" {
		return
	}
	switch key, err := wire.ParseKey(raw); {
	case err != nil:
		l.problem("%s: %w; make one with `openssl rand -hex 32`", l.given[setting], err)
	case key.Bytes() < leastSigningKeyBytes:
		l.problem("%s: a key of %s is soon guessed, want at least %d; make one with `openssl rand -hex 32`",
			l.given[setting], counted(key.Bytes(), "byte"), leastSigningKeyBytes)
	}
}

// mostAlertFailures is so many that nothing is ever told of.
const mostAlertFailures = 1_000_000

func (l *loader) checkAlerts(s *settings) {
	if s.AlertWebhook != "" {
		hook, err := tell.NewWebhook(s.AlertWebhook, nil, true)
		if err != nil {
			l.problem("%s: %w", l.given["alert-webhook"], err) // which does not repeat it
		} else {
			hook.Close()
		}
	}
	if s.AlertSecret != "" {
		if _, err := tell.ParseSecret(s.AlertSecret); err != nil {
			l.problem("%s: %w", l.given["alert-secret"], err)
		}
		if s.AlertWebhook == "" {
			l.problem("%s: there is nothing to sign without --alert-webhook", l.given["alert-secret"])
		}
	}
	if s.AlertMail != "" {
		if _, err := tell.NewMail(s.AlertMail, slog.New(slog.DiscardHandler)); err != nil {
			l.problem("%s: %w", l.given["alert-mail"], err)
		}
		if s.AlertWebhook != "" {
			l.problem("%s: alerts are mailed or posted; leave out this or --alert-webhook", l.given["alert-mail"])
		}
	}
	if s.AlertInterval <= 0 && !l.unread["alert-interval"] {
		l.problem("%s: must be more than 0s", l.given["alert-interval"])
	}
	if (s.AlertFailures < 0 || s.AlertFailures > mostAlertFailures) && !l.unread["alert-failures"] {
		l.problem("%s %d: must be from 0 to %d", l.given["alert-failures"], s.AlertFailures, mostAlertFailures)
	}
}

// address takes host:port apart.
func (l *loader) address(setting, text string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		l.problem("%s %s: want host:port, such as 127.0.0.1:8288", l.given[setting], text)
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

// keysFrom says where keys were given, by their fingerprints.
func (s settings) keysFrom() map[string]string {
	from := map[string]string{}
	for setting, keys := range map[string][]string{
		"event-key": s.EventKey, "signing-key": {s.SigningKey}, "signing-key-previous": {s.SigningKeyPrevious},
	} {
		for _, key := range keys {
			from[server.Fingerprint(key)] = s.from[setting]
		}
	}
	return from
}

// counted is a number of things in words.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

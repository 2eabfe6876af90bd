package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/redact"
	"github.com/pawlhq/pawl/internal/wire"
)

// newLog returns the log, on stderr. In dev, with text, all of it is told in
// plain lines instead: the life of apps and runs in sentences on stdout, the rest
// on stderr. The narrator is nil otherwise.
func newLog(s settings, dev bool, out, errOut io.Writer) (*slog.Logger, *narrator) {
	level := new(slog.LevelVar)
	_ = level.UnmarshalText([]byte(s.LogLevel)) // check has seen to it
	f, isFile := errOut.(*os.File)
	if rules, err := redact.Parse(s.Redact); err == nil && rules.Any() {
		out, errOut = cleaner{out, rules}, cleaner{errOut, rules}
	}
	if dev && s.LogFormat != "json" {
		n := &narrator{&narration{out: &lineWriter{w: out}, err: &lineWriter{w: errOut}, level: level}, "", ""}
		return slog.New(n), n
	}
	switch {
	case s.LogFormat == "json":
		return slog.New(slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: level})), nil
	case isFile && isatty.IsTerminal(f.Fd()):
		return slog.New(tint.NewTextHandler(errOut, &tint.Options{Level: level, TimeFormat: time.TimeOnly})), nil
	}
	return slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: level})), nil
}

// cleaner takes out of what is logged what the rules of redaction name. Each write is
// a line.
type cleaner struct {
	w     io.Writer
	rules redact.Rules
}

func (c cleaner) Write(b []byte) (int, error) {
	if _, err := io.WriteString(c.w, c.rules.Text(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// narrator tells the life of apps and runs in sentences, and what it has no
// sentence for in lines of the same form.
type narrator struct {
	*narration
	fields string // of WithAttrs, as they are written
	group  string // of WithGroup, before the name of each field
}

type narration struct {
	out, err *lineWriter
	level    slog.Leveler // for what is not about an app, an event or a run
	eng      atomic.Pointer[engine.Engine]
}

// follow lets the narrator name the functions of apps.
func (n *narrator) follow(eng *engine.Engine) { n.eng.Store(eng) }

// Enabled takes everything: what there is a sentence for is told whatever the
// level of the log.
func (n *narrator) Enabled(context.Context, slog.Level) bool { return true }

// Handle tells a record.
func (n *narrator) Handle(_ context.Context, r slog.Record) error {
	clock := r.Time.Format(time.TimeOnly) + "  "
	if line := n.sentence(r); line != "" && n.fields == "" {
		return n.out.line(clock + line)
	}
	if r.Level < n.level.Level() {
		return nil
	}
	line := r.Message
	switch {
	case r.Level >= slog.LevelError:
		line = "error: " + line
	case r.Level >= slog.LevelWarn:
		line = "warning: " + line
	}
	r.Attrs(func(a slog.Attr) bool {
		n = n.with(a)
		return true
	})
	return n.err.line(clock + oneLine(line) + n.fields)
}

// with is n with one more field.
func (n *narrator) with(a slog.Attr) *narrator {
	value := oneLine(a.Value.Resolve().String())
	if value == "" || strings.ContainsAny(value, " \"=") {
		value = strconv.Quote(value)
	}
	return &narrator{n.narration, n.fields + "  " + n.group + a.Key + "=" + value, n.group}
}

// sentence is "" for records that are not about an app, an event or a run.
func (n *narrator) sentence(r slog.Record) string {
	f := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		f[a.Key] = oneLine(a.Value.String())
		return true
	})
	switch r.Message {
	case "app synced":
		return fmt.Sprintf("app %s synced from %s%s", f["app"], wire.PublicURL(f["url"]), n.functions(f["app"]))
	case "app synced with a warning":
		return fmt.Sprintf("app %s: %s", f["app"], f["warning"])
	case "stopping":
		return fmt.Sprintf("stopping; calls in flight have %s", f["drain"])
	case "waiting for an app":
		return "waiting for the app at " + f["url"]
	case "app cannot be synced; trying again":
		return fmt.Sprintf("app at %s cannot be synced, trying again every %s: %s", f["url"], f["every"], f["err"])
	case "app answers":
		return fmt.Sprintf("app at %s answers", f["url"])
	case "no other apps are looked for":
		return "no other apps are looked for; name them with --app URL"
	case "event received":
		return fmt.Sprintf("event %s received%s", f["event"], starts(f))
	case "run started":
		return fmt.Sprintf("run %s of %s started", f["run"], f["function"])
	case "run finished":
		return fmt.Sprintf("run %s of %s %s, took %s", f["run"], f["function"], strings.ToLower(f["status"]), f["took"])
	case "run failed":
		return fmt.Sprintf("run %s of %s failed, took %s: %s", f["run"], f["function"], f["took"], f["err"])
	case "attempt failed":
		return fmt.Sprintf("run %s of %s: %s failed at try %s, again in %s: %s", f["run"], f["function"], stepName(f["step"]), f["attempt"], f["again"], f["err"])
	case "step failed":
		return fmt.Sprintf("run %s of %s: %s failed for good at try %s: %s", f["run"], f["function"], stepName(f["step"]), f["attempt"], f["err"])
	}
	return ""
}

func stepName(name string) string {
	if name == "" {
		return "the function"
	}
	return "step " + name
}

func starts(f map[string]string) string {
	n := f["starts"]
	switch {
	case f["later"] == "true":
		return ", starts many runs"
	case n == "0" && f["matches"] != "0":
		return ", starts nothing: an event of this id was there before"
	case n == "0":
		return ", starts nothing"
	case n == "1":
		return ", starts 1 run"
	}
	return ", starts " + n + " runs"
}

func (n *narrator) functions(app string) string {
	eng := n.eng.Load()
	if eng == nil {
		return ""
	}
	for _, a := range eng.Apps() {
		if a.Name != app {
			continue
		}
		if len(a.Functions) == 0 {
			return ": it has no functions"
		}
		var names []string
		for _, f := range a.Functions {
			names = append(names, oneLine(f.Slug))
		}
		return ": " + strings.Join(names, ", ")
	}
	return ""
}

// oneLine keeps what an app says from steering the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, durable.Unstyled(s))
}

// WithAttrs is for records that have more fields.
func (n *narrator) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		n = n.with(a)
	}
	return n
}

// WithGroup is for fields whose names begin with a name.
func (n *narrator) WithGroup(name string) slog.Handler {
	return &narrator{n.narration, n.fields, n.group + name + "."}
}

// lineWriter writes whole lines, one at a time.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) line(text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := io.WriteString(l.w, text+"\n")
	return err
}

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/wire"
)

// newLog returns the log, on stderr. In dev, with text, the life of apps and
// runs goes to stdout in plain lines instead; the narrator is nil otherwise.
func newLog(s settings, dev bool, out, errOut io.Writer) (*slog.Logger, *narrator) {
	level := new(slog.Level)
	_ = level.UnmarshalText([]byte(s.LogLevel)) // check has seen to it
	var h slog.Handler
	f, isFile := errOut.(*os.File)
	switch {
	case s.LogFormat == "json":
		h = slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: level})
	case isFile && isatty.IsTerminal(f.Fd()):
		h = tint.NewTextHandler(errOut, &tint.Options{Level: level, TimeFormat: time.TimeOnly})
	default:
		h = slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: level})
	}
	if !dev || s.LogFormat == "json" {
		return slog.New(h), nil
	}
	n := &narrator{Handler: h, out: &lineWriter{w: out}}
	return slog.New(n), n
}

// narrator tells the life of apps and runs in sentences. Records that it has no
// sentence for go to the handler it is made of.
type narrator struct {
	slog.Handler
	out *lineWriter
	eng atomic.Pointer[engine.Engine]
}

// follow lets the narrator name the functions of apps.
func (n *narrator) follow(eng *engine.Engine) { n.eng.Store(eng) }

// Enabled takes everything: what there is a sentence for is told whatever the
// level of the log.
func (n *narrator) Enabled(context.Context, slog.Level) bool { return true }

// Handle tells a record or hands it on.
func (n *narrator) Handle(ctx context.Context, r slog.Record) error {
	if line := n.sentence(r); line != "" {
		return n.out.line(r.Time.Format(time.TimeOnly) + "  " + line)
	}
	if !n.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return n.Handler.Handle(ctx, r)
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
	case "event received":
		return fmt.Sprintf("event %s received%s", f["event"], starts(f["matches"]))
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

func starts(n string) string {
	switch n {
	case "", "0":
		return ", starts nothing"
	case "1":
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
	}, s)
}

// WithAttrs and WithGroup give up telling sentences: fields would be missing.
func (n *narrator) WithAttrs(attrs []slog.Attr) slog.Handler { return n.Handler.WithAttrs(attrs) }

// WithGroup is as WithAttrs.
func (n *narrator) WithGroup(name string) slog.Handler { return n.Handler.WithGroup(name) }

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

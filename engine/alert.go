package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// What people have to be told of is written with what it is about, and told by an
// item in the queue: alerts that come together are one message, and there is one
// each Watch.Gather at most. A crash between telling and noting it tells it
// again.

// Alerts are what people are alerted of, and how.
type Alerts struct {
	durable.Watch
	To   Poster // nil: alerts are only logged
	Site string // the URL at which people reach Pawl, for links; "": there are none
}

// Poster brings messages to people.
type Poster interface {
	// Post sends a message, as text or as JSON, which has that text too. Its error is a
	// sentence without secrets.
	Post(ctx context.Context, text string, message []byte) error
	Close()
}

const (
	tellMost   = 50               // alerts in one message
	tellAgain  = 15 * time.Second // after a message that was not taken; four times as long after the next
	tellSlow   = time.Hour
	tellForget = 24 * time.Hour // a message that was not taken for so long is given up
	mostNoted  = time.Minute    // between two notes that too much waits
)

// message is what is posted. Chat systems show its text, in which they know markup.
type message struct {
	Text   string         `json:"text"` // see chatText
	Alerts []alertMessage `json:"alerts"`
	More   int            `json:"more,omitzero"` // that have no room here
}

type alertMessage struct {
	Kind   durable.AlertKind `json:"kind"`
	Object string            `json:"object,omitzero"`
	Text   string            `json:"text"`
	Run    string            `json:"run_id,omitzero"`
	Count  int               `json:"count,omitzero"`
	Times  int               `json:"times"` // how often it came since it was last told
	First  time.Time         `json:"first_at"`
	Last   time.Time         `json:"last_at"`
	URL    string            `json:"url,omitzero"`
	Look   string            `json:"look,omitzero"` // a command that shows it
}

// link is the page on which an alert is looked at, and the command that shows it.
func (a Alerts) link(of durable.Alert) (at, command string) {
	switch of.Kind {
	case durable.AlertGroup, durable.AlertOld:
		at, command = "/dead-letters/"+url.PathEscape(of.Object), "pawl dlq list --group "+of.Object
	case durable.AlertFailures:
		at, command = "/runs?q="+url.QueryEscape("status:failed function:"+quoted(of.Object, `"`)), "pawl dlq list --function "+quoted(of.Object, "'")
	case durable.AlertCircuit:
		at = "/apps"
	case durable.AlertBacklog:
		at, command = "/runs?q="+url.QueryEscape("status:queued"), "pawl runs list --status Queued"
	}
	if a.Site == "" || at == "" {
		return "", command
	}
	return strings.TrimRight(a.Site, "/") + at, command
}

// quoted is a name as one word, in the dashboard's filter language or a shell's.
func quoted(name, mark string) string {
	if strings.Contains(name, " ") {
		return mark + name + mark
	}
	return name
}

func (a Alerts) message(u store.Untold) (string, []byte) {
	m := message{More: u.More}
	var text strings.Builder
	text.WriteString("Pawl:")
	for _, of := range u.Alerts {
		out := alertMessage{
			Kind: of.Kind, Object: of.Object, Text: of.Text, Run: of.Run, Count: of.Count, Times: of.Times, First: of.First.UTC(), Last: of.Last.UTC(),
		}
		out.URL, out.Look = a.link(of)
		m.Alerts = append(m.Alerts, out)
		text.WriteString("\n• " + of.Text)
		if out.URL != "" {
			text.WriteString("\n  " + out.URL)
		} else if out.Look != "" {
			text.WriteString("\n  " + out.Look)
		}
	}
	if u.More > 0 {
		fmt.Fprintf(&text, "\n… and %d more", u.More)
	}
	m.Text = chatText(text.String())
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("texts and times cannot be written: %v", err))
	}
	return text.String(), b
}

// chatMarks are what chat systems take for markup: links in other words and calls to
// everybody in angle brackets, which Slack knows, and calls to everybody by their names,
// which Mattermost knows.
var chatMarks = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;",
	"@all", "@\u2060all", "@channel", "@\u2060channel", "@here", "@\u2060here", "@everyone", "@\u2060everyone")

// chatText is a text as chat systems show it: whoever has their words in an alert calls
// nobody by it, and disguises no link.
func chatText(text string) string { return chatMarks.Replace(text) }

// tellPeople works an item of kind Tell.
func (e *Engine) tellPeople(ctx context.Context, l store.Lease) {
	var err error
	now := time.Now()
	switch l.Step {
	case durable.AgingStep:
		err = e.store.LookForOld(ctx, l, now)
	default:
		err = e.tellAlerts(ctx, l, now)
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrLeaseLost) {
		return
	}
	e.log.Warn("alerts cannot be worked; it is tried again", "step", l.Step, "err", err)
	pause(ctx, settleAgain)
	if err := e.store.Release(ctx, []store.Lease{l}); err != nil {
		e.log.Error("an item cannot be given back; it is free when its lease has run out", "step", l.Step, "err", err)
	}
}

func (e *Engine) tellAlerts(ctx context.Context, l store.Lease, now time.Time) error {
	u, err := e.store.Untold(ctx, now, tellMost)
	if err != nil {
		return err
	}
	if len(u.Alerts) == 0 {
		return e.store.Told(ctx, l, now, u)
	}
	for i, a := range u.Alerts {
		u.Alerts[i].Text = e.clean(a.Text)
	}
	if l.Attempt == 0 {
		for _, a := range u.Alerts {
			e.log.WarnContext(ctx, "alert", "kind", a.Kind, "object", a.Object, "text", a.Text, "times", a.Times)
		}
		if u.More > 0 {
			e.log.WarnContext(ctx, "more alerts", "count", u.More)
		}
	}
	if e.alerts.To == nil {
		return e.store.Told(ctx, l, now, u)
	}
	text, message := e.alerts.message(u)
	err = e.alerts.To.Post(ctx, text, message)
	switch {
	case err == nil:
		return e.store.Told(ctx, l, time.Now(), u)
	case ctx.Err() != nil:
		return ctx.Err()
	case now.Sub(u.Alerts[0].First) >= tellForget:
		e.log.ErrorContext(ctx, "alerts were not taken for a day, and are given up", "alerts", len(u.Alerts)+u.More, "err", err)
		return e.store.Told(ctx, l, time.Now(), u)
	}
	next := l.Item
	next.Due, next.Attempt = time.Now().Add(tellPause(l.Attempt)), l.Attempt+1
	e.log.WarnContext(ctx, "alerts were not taken; it is tried again", "alerts", len(u.Alerts)+u.More, "again", time.Until(next.Due), "err", err)
	return e.store.Settle(ctx, l, now, store.Settled{Next: &next})
}

// tellPause is the pause after a message that was not taken.
func tellPause(attempt int) time.Duration {
	d := tellAgain
	for range attempt {
		if d *= 4; d >= tellSlow {
			return tellSlow
		}
	}
	return d
}

// raise writes an alert about something that the store does not see.
func (e *Engine) raise(ctx context.Context, a durable.Alert) {
	if !e.alerts.On {
		return
	}
	if err := e.store.Raise(ctx, a); err != nil && ctx.Err() == nil {
		e.log.WarnContext(ctx, "an alert cannot be written", "text", a.Text, "err", err)
	}
}

// overloaded alerts people when err is that too much waits. That is noted now and
// then: whoever is overloaded has better things to write.
func (e *Engine) overloaded(ctx context.Context, err error) {
	full, ok := errors.AsType[*store.BacklogError](err)
	if !ok || !e.alerts.On {
		return
	}
	now := time.Now()
	was := e.noted.Load()
	if now.UnixNano()-was < int64(mostNoted) || !e.noted.CompareAndSwap(was, now.UnixNano()) {
		return
	}
	e.raise(ctx, durable.BacklogAlert(full.Error(), now))
}

package cron

import (
	"bytes"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/wire"
)

// EventName is the name of a tick's event.
const EventName = "inngest/scheduled.timer"

// Members are what the data of a tick's event always has.
func Members() []string { return []string{"cron", "fireAt", "scheduledAt"} }

// Key is the tick as text, RFC 3339 in UTC: the id of its event, by which there
// is one run for each tick of a function, however many of its schedules tick
// then and however many servers see it.
func Key(tick time.Time) string { return tick.UTC().Format(time.RFC3339) }

// Event is the event of a tick as functions see it: its id, the schedule that
// ticked as its text is written, the tick, and when it fires, which is the tick
// and its jitter. With, nil or an object, is what its data holds beside these;
// it has none of the members in Members. Source: SDK protocol notes 10 §8.
func Event(id, cron string, tick, fire time.Time, with jsontext.Value) jsontext.Value {
	parts := wire.EventParts{ID: id, Name: EventName, Timestamp: fire.UnixMilli(), Data: Data(cron, tick, fire, with)}
	body, err := parts.AppendBody(nil)
	if err != nil {
		panic(fmt.Sprintf("cron: event of %s: %s", Key(tick), err)) // data is JSON that Data wrote
	}
	return body
}

// Data is the data of a tick's event: the members of with, an object or nil,
// and which tick it is.
func Data(cron string, tick, fire time.Time, with jsontext.Value) jsontext.Value {
	data := []byte("{")
	if inner := bytes.TrimSpace(with); len(inner) > 2 {
		if inner = bytes.TrimSpace(inner[1 : len(inner)-1]); len(inner) > 0 {
			data = append(append(data, inner...), ',')
		}
	}
	data = append(data, `"cron":`...)
	data = appendText(data, cron)
	data = append(data, `,"fireAt":`...)
	data = appendText(data, fire.UTC().Format("2006-01-02T15:04:05.999Z07:00"))
	data = append(data, `,"scheduledAt":`...)
	data = appendText(data, Key(tick))
	return append(data, '}')
}

// appendText appends s as a JSON string. Broken UTF-8, which no Schedule's text
// has, becomes U+FFFD.
func appendText(dst []byte, s string) []byte {
	dst, err := jsontext.AppendQuote(dst, s)
	_ = err // it only says that s had broken UTF-8
	return dst
}

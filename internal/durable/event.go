package durable

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// JSON is one JSON value, kept as the bytes that arrived.
type JSON = jsontext.Value

// Event is a fact that happened: the reason why runs start.
type Event struct {
	ID       string    // ULID given by the server; unique
	Key      string    // the sender's own id, by which repeats are recognised for a day; "" if none
	Name     string    // such as "order/paid"
	At       time.Time // when it happened by its sender, to the millisecond; runs start no earlier
	Received time.Time
	Body     JSON    // the event as functions see it: name, data, id, ts, user, v
	Edits    string  // id of the event that this one, edited, stands in for; "" if none
	Trace    string  // where in a distributed trace it was sent: a W3C traceparent, and after a space the tracestate if there is one; "" if nowhere
	Keyed    bool    // its request had an idempotency key
	Target   *Target // for one function alone, which need not be triggered by it; nil: for all that match
}

// internalPrefix marks the events that only the server sends.
const internalPrefix = "inngest/"

// Internal reports whether the server itself sent the event.
func (e Event) Internal() bool { return strings.HasPrefix(e.Name, internalPrefix) }

// Names of the events that the server sends: the end of a run, a run that one
// function asks of another, a tick of a cron.
const (
	EventFinished  = internalPrefix + "function.finished"
	EventFailed    = internalPrefix + "function.failed"
	EventCancelled = internalPrefix + "function.cancelled"
	EventInvoked   = internalPrefix + "function.invoked"
	EventTimer     = internalPrefix + "scheduled.timer"
	EventDeferred  = internalPrefix + "deferred.schedule"
)

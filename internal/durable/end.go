package durable

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"
)

// end makes the run final: nothing of it stays queued, and the world is told.
func (t *turn) end(s Status, output JSON, f Failure) {
	t.ended = true
	t.head.Status, t.head.Ended = s, t.now
	if t.head.Started.IsZero() && s != Cancelled {
		t.head.Started = t.now
	}
	if output == nil && s == Completed {
		output = JSON("null")
	}
	if s == Failed {
		output = f.JSON()
	}
	t.head.Output = output
	// The store removes all items and waits of a final run, and nothing that it
	// asked for in its last breath happens.
	t.c.Put, t.c.Drop, t.c.Waits, t.c.Unwait, t.c.Emit = nil, nil, nil, nil, nil
	if len(t.r.Waiting()) > 0 {
		t.c.Report = &Item{Run: t.r.ID, Step: ReportStep, Kind: Report, Due: t.now}
	}
	if s == Failed {
		t.c.Dead = t.letter(f)
	}
	t.emitEnd(s, f)
	t.emitDeferred()
}

// emitEnd adds the events that tell the end of a run: finished, and failed or
// cancelled. A run that was itself started by such an event stays silent, or
// it would never end. Source: spec/10 §8.
func (t *turn) emitEnd(s Status, f Failure) {
	switch t.r.Events[0].Name {
	case EventFinished, EventFailed:
		return
	}
	t.emit(EventFinished, "", s, f)
	switch s {
	case Failed:
		t.emit(EventFailed, t.r.ID, s, f)
	case Cancelled:
		t.emit(EventCancelled, t.r.ID, s, f)
	default:
	}
}

func (t *turn) emit(name, key string, s Status, f Failure) {
	id := t.eventID(name)
	external := key
	if external == "" {
		external = id
	}
	trigger := t.r.Events[0].Body
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"data":{"_inngest":{"status":%q}`, s)
	if !t.r.Parent.Zero() {
		fmt.Fprintf(&b, `,"correlation_id":%s`, quote(t.r.Parent.String()))
	}
	if s == Failed {
		fmt.Fprintf(&b, `,"error":%s`, f.eventError())
	}
	fmt.Fprintf(&b, `,"event":%s,"events":[`, trigger)
	for i, e := range t.r.Events {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(e.Body)
	}
	fmt.Fprintf(&b, `],"function_id":%s`, quote(t.r.Function))
	if s != Cancelled {
		fmt.Fprintf(&b, `,"result":%s`, t.head.Output)
	}
	fmt.Fprintf(&b, `,"run_id":"%s"},"id":"%s","name":"%s","ts":%d,"user":{}}`, t.r.ID, external, name, t.now.UnixMilli())
	t.c.Emit = append(t.c.Emit, Event{
		ID: id, Key: key, Name: name, At: t.now, Received: t.now, Body: b.Bytes(),
	})
}

// eventID derives the id of an event of the run's end from the run, so that
// the same end can never be told twice.
func (t *turn) eventID(name string) string { return eventID(t.r.ID, name, t.now) }

func eventID(run, name string, at time.Time) string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(at)) // fails after the year 10889
	sum := sha256.Sum256([]byte(run + name))
	copy(id[6:], sum[:10])
	return id.String()
}

// EndEvents are the events that the end of a run has sent, by id and name alone.
// They are none for a run that has not ended.
func EndEvents(r *Run) (events []Event) {
	if !r.Status.Final() || r.Status == Skipped || len(r.Events) == 0 {
		return nil
	}
	add := func(name, detail string) {
		events = append(events, Event{ID: eventID(r.ID, name+detail, r.Ended), Name: name})
	}
	switch r.Events[0].Name {
	case EventFinished, EventFailed:
	default:
		add(EventFinished, "")
		switch r.Status {
		case Failed:
			add(EventFailed, "")
		case Cancelled:
			add(EventCancelled, "")
		default:
		}
	}
	for _, d := range r.Defers {
		if d.State == DeferHeld {
			add(EventDeferred, d.ID)
		}
	}
	return events
}

// JSON is the failure as it is stored: what the app sent, or the members that
// SDKs know.
func (f Failure) JSON() JSON {
	if len(f.Raw) > 0 {
		return f.Raw
	}
	return JSON(fmt.Sprintf(`{"data":null,"error":%s,"message":%s,"name":%s,"stack":%s}`,
		quote(f.Name+": "+f.Message), quote(f.Message), quote(f.Name), quote(f.Stack)))
}

// eventError is the failure as the events of a run's end carry it: an object
// that always has a name and a message, which SDKs build an error from.
func (f Failure) eventError() JSON {
	name, message := f.Name, f.Message
	if name == "" {
		name = "Error"
	}
	short := message
	if name != "Error" {
		short = name + ": " + message
	}
	out := fmt.Sprintf(`{"error":%s,"message":%s,"name":%s`, quote(short), quote(message), quote(name))
	if f.Stack != "" {
		out += `,"stack":` + quote(f.Stack)
	}
	return JSON(out + "}")
}

// quote is s as a JSON string; what is not UTF-8 in it is replaced.
func quote(s string) string {
	b, err := jsontext.AppendQuote(nil, s)
	if err != nil {
		b, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return string(b)
}

func tooLarge(what string, size, limit int) Failure {
	return Failure{
		Name:    "OutputTooLarge",
		Message: fmt.Sprintf("%s has %d bytes; the limit is %d", what, size, limit),
		Class:   ClassLimit,
	}
}

// unsupported is the failure of a run that asked for what this server cannot
// do: the op's own reason, or the plain fact.
func unsupported(op Op) Failure {
	if op.Err.Message != "" {
		return op.Err
	}
	return Failure{
		Name: "UnsupportedOp", Message: fmt.Sprintf("step %q asks for %s, which this version of Pawl cannot do", op.Name, op.Op),
		Class: ClassProtocol,
	}
}

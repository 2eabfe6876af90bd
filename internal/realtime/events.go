package realtime

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Names of the events of a stream. Source: spec/05 §5.
const (
	eventMetadata = "inngest.metadata"
	eventStream   = "inngest.stream"
	eventCommit   = "inngest.commit"
	eventRollback = "inngest.rollback"
	eventResponse = "inngest.response"

	// eventIncomplete is Pawl's own: something of the stream is not kept, so that
	// whoever comes later does not get it. SDKs skip what they do not know.
	eventIncomplete = "pawl.incomplete"
)

// MaxEvent bounds one event of a stream, in bytes: more than the largest answer
// with all its escapes.
const MaxEvent = 8 << 20

// splitter cuts what an app sends into whole events.
type splitter struct {
	buf    []byte // an event that has not ended
	seen   int    // bytes of buf in which no end was found
	began  bool   // it was decided what comes
	opaque bool   // what comes is no stream of events: it is passed on as it is
	skip   bool   // the event is too long: what is left of it is dropped
}

// blank ends an event. SDKs know no other.
var blank = []byte("\n\n")

// feed takes more bytes. It calls event with each whole event and its end, piece
// with what is no event, and long once for an event that is too long. What they are
// given is theirs.
func (p *splitter) feed(b []byte, event, piece func([]byte), long func()) {
	if !p.began {
		p.buf = append(p.buf, b...)
		b = nil
		could, is := likeEvents(p.buf)
		if could && !is {
			return
		}
		p.began, p.opaque = true, !is
		if p.opaque {
			b, p.buf = p.buf, nil
		}
	}
	if p.opaque {
		piece(bytes.Clone(b))
		return
	}
	p.buf = append(p.buf, b...)
	for {
		end := bytes.Index(p.buf[p.seen:], blank)
		if end < 0 {
			break
		}
		end += p.seen + len(blank)
		switch {
		case p.skip:
		case end > MaxEvent:
			long()
		default:
			event(bytes.Clone(p.buf[:end]))
		}
		p.buf, p.seen, p.skip = p.buf[end:], 0, false
	}
	p.seen = max(0, len(p.buf)-1)
	switch {
	case len(p.buf) > MaxEvent && !p.skip:
		p.skip = true
		long()
		fallthrough
	case p.skip:
		p.buf = append([]byte(nil), p.buf[p.seen:]...) // it may be half of an end
		p.seen = 0
	case len(p.buf) == 0:
		p.buf = nil
	}
}

// flush passes on what is no event when nothing more comes.
func (p *splitter) flush(piece func([]byte)) {
	if !p.began && len(p.buf) > 0 {
		piece(p.buf)
	}
	p.buf = nil
}

// likeEvents reports whether b may be the beginning of a stream of events, and
// whether it is for certain.
func likeEvents(b []byte) (could, is bool) {
	for _, field := range []string{"event:", "data:", "id:", "retry:", ":"} {
		if bytes.HasPrefix(b, []byte(field)) {
			return true, true
		}
		could = could || bytes.HasPrefix([]byte(field), b)
	}
	return could, false
}

// read tells the name of an event and the step that it is about; "" stands for
// what is outside of steps. ok is false for an event that Pawl does not understand:
// it is passed on and not kept.
func read(raw []byte) (name, step string, ok bool) {
	var data []byte
	lines := 0
	for line := range bytes.Lines(bytes.TrimSuffix(raw, blank)) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if v, is := bytes.CutPrefix(line, []byte("event: ")); is {
			name = string(v)
		} else if v, is := bytes.CutPrefix(line, []byte("data: ")); is {
			data = v
			lines++
		}
	}
	if lines != 1 {
		return name, "", false
	}
	switch name {
	case eventStream, eventCommit, eventRollback:
	case eventResponse:
		return name, "", true
	default:
		return name, "", false
	}
	var about struct {
		Step *string `json:"hashedStepId"`
	}
	if json.Unmarshal(data, &about, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return name, "", false
	}
	if about.Step != nil {
		step = *about.Step
	}
	return name, step, len(step) <= maxStep
}

// maxStep bounds the name of a step, in bytes. SDKs send a hash of 40.
const maxStep = 256

// build is an event as the SDK writes it.
func build(name string, data []byte) []byte {
	b := make([]byte, 0, len("event: \ndata: \n\n")+len(name)+len(data))
	b = append(append(append(b, "event: "...), name...), "\ndata: "...)
	return append(append(b, data...), blank...)
}

// metadata is how a stream begins.
func metadata(run string) []byte {
	return build(eventMetadata, append(append([]byte(`{"runId":`), quote(run)...), '}'))
}

// rollback says that what came of a step is void.
func rollback(step string) []byte {
	id := jsontext.Value("null")
	if step != "" {
		id = quote(step)
	}
	return build(eventRollback, append(append([]byte(`{"hashedStepId":`), id...), '}'))
}

// Response is how the stream of a run ends.
type Response struct {
	Failed bool
	Status int
	Header [][2]string
	Body   string
}

func (r Response) event() []byte {
	b := []byte(`{"status":"succeeded","response":{"body":`)
	if r.Failed {
		b = []byte(`{"status":"failed","response":{"body":`)
	}
	b = append(append(b, quote(r.Body)...), `,"statusCode":`...)
	b = append(strconv.AppendInt(b, int64(r.Status), 10), `,"headers":{`...)
	for i, h := range r.Header {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, quote(h[0])...), ':'), quote(h[1])...)
	}
	return build(eventResponse, append(b, "}}}"...))
}

// place tells a reader that all that was committed so far, and all outside of
// steps, is kept up to place n. If it comes again with that as Last-Event-ID, it
// gets what follows, and drops what was not committed, or came after. SDKs skip it.
func place(n int64) []byte {
	return append(strconv.AppendInt([]byte("id: "), n, 10), blank...)
}

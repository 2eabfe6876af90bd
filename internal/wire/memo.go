package wire

import "github.com/go-json-experiment/json/jsontext"

// Memo is what a run remembers of one step: its hashed id, and the value that
// every later call carries. SDKs accept {"data":…} or {"error":…} with no other
// member, null for a sleep or a wait that timed out, and a bare event for a wait
// that matched. Source: SDK protocol notes 03 §3.
type Memo struct {
	ID    string
	Value jsontext.Value
}

// MemoNull is the memo of a finished sleep and of a wait that timed out.
var MemoNull = jsontext.Value("null")

// MemoData is the memo of a step that gave data; no data is null.
func MemoData(data jsontext.Value) jsontext.Value {
	data = orNull(data)
	b := make([]byte, 0, len(data)+len(`{"data":}`))
	b = append(b, `{"data":`...)
	b = append(b, data...)
	return append(b, '}')
}

// MemoError is the memo of a step that failed for good. It carries the error
// object as the SDK sent it.
func MemoError(e Error) jsontext.Value {
	raw := e.Raw
	if len(raw) == 0 {
		raw = NewError(e.Name, e.Message, e.Stack, false).Raw
	}
	b := make([]byte, 0, len(raw)+len(`{"error":}`))
	b = append(b, `{"error":`...)
	b = append(b, raw...)
	return append(b, '}')
}

// AppendActions writes the memos as the object that GET /v0/runs/{id}/actions
// answers with. Its keys stand in completion order, which SDKs rely on, so keep
// steps that way. Source: SDK protocol notes 03 §4.
func AppendActions(dst []byte, steps []Memo) []byte {
	dst = append(dst, '{')
	for i, m := range steps {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, m.ID)
		dst = append(dst, ':')
		dst = append(dst, orNull(m.Value)...)
	}
	return append(dst, '}')
}

// AppendBatch writes events as the array that GET /v0/runs/{id}/batch answers
// with.
func AppendBatch(dst []byte, events []jsontext.Value) []byte {
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, ']')
}

// SignalMemo is the memo of a step that a signal has reached. It fails when
// name is not UTF-8.
func SignalMemo(name string, data jsontext.Value) (jsontext.Value, error) {
	b := append([]byte(`{"data":{"data":`), data...)
	b = append(b, `,"signal":`...)
	b, err := jsontext.AppendQuote(b, name)
	return append(b, '}', '}'), err
}

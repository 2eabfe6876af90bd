package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/internal/durable"
)

// FuzzQuery reads the parameters of lists: whatever is accepted is within its
// bounds, and a cursor that is accepted is an id.
func FuzzQuery(f *testing.F) {
	f.Add("limit=20&cursor=01JQDAE4RQF8MBCR55T5AK4KXS&status=Running&wait=3s")
	f.Add("limit=-1&cursor=%27&received_after=2026-01-02T15:04:05Z&after=1")
	f.Add("wait=9999999h&limit=1e3&cursor=~")
	f.Fuzz(func(t *testing.T, raw string) {
		values, _ := url.ParseQuery(raw) // what a server reads of it
		q := query{values: values}
		page := q.page(20, 200)
		after := q.number("after", 0, 0, 1<<30)
		wait := q.duration("wait", longestWait)
		at := q.time("received_after", time.Time{})
		q.status()
		w := httptest.NewRecorder()
		if q.refused(w) {
			if w.Code != http.StatusBadRequest || !jsontext.Value(w.Body.Bytes()).IsValid() {
				t.Fatalf("refused with %d %s", w.Code, w.Body)
			}
			return
		}
		if page.Limit < 1 || page.Limit > 200 || after < 0 || wait < 0 || wait > longestWait || at.Year() > 9999 {
			t.Fatalf("%q gives %+v, %d, %s, %s", raw, page, after, wait, at)
		}
		if _, err := ulid.ParseStrict(page.Cursor); page.Cursor != "" && err != nil {
			t.Fatalf("cursor %q", page.Cursor)
		}
	})
}

// FuzzStored shows records of every content: whatever is stored, the answer is
// JSON.
func FuzzStored(f *testing.F) {
	f.Add([]byte(`{"data":[1]}`), []byte(`{"name":"a","data":{},"v":"2"}`), byte(4))
	f.Add([]byte(`{"error":{"name":"E","message":"m","stack":"s"}}`), []byte(`{"data":`), byte(6))
	f.Add([]byte("\xff"), []byte(`{"v":5,"user":[],"v":"x"}`), byte(99))
	f.Fuzz(func(t *testing.T, payload, body []byte, kind byte) {
		steps := foldSteps([]durable.Entry{
			{Step: "a", Kind: durable.EntryKind(kind), Name: string(payload), Data: payload},
			{Step: "", Kind: durable.EntryKind(kind), Data: payload},
		}, durable.Status(int8(kind)))
		event := viewEvent(durable.Event{ID: "x", Body: body})
		if b, err := json.Marshal([]any{steps, event, readable(payload)}, marshalOptions); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
	})
}

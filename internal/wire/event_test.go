package wire

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const ulid1 = "01M80FAZ3WD1V6RQRFAV9R52Z2"

// counter gives ids N1, N2, … for events without a seed.
func counter() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("N%d", n) }
}

func read(body string) ([]Event, error) {
	return ReadEvents([]byte(body), "application/json", "", noon, counter())
}

func TestSeedID(t *testing.T) {
	t.Parallel()
	const header = "1743130137367,eii2YKXRVTJPuA=="
	for n, want := range map[int]string{1: "01JQDAE4RQF8MBCR55T5AK4KXS", 2: "01JQDAE4RQF8MBCR55T5AK4KXT"} {
		if got, ok := SeedID(header, n); !ok || got != want {
			t.Errorf("SeedID(%d) = %s, %v, want %s", n, got, ok, want)
		}
	}
	// The last four bytes wrap and leave the ones before them alone.
	first, _ := SeedID("1743130137367,AAAAAAAA/////w==", 1)
	if zero, _ := SeedID("1743130137367,AAAAAAAAAAAAAA==", 0); first != zero {
		t.Errorf("wrapped to %s, want %s", first, zero)
	}
	for _, bad := range []string{
		"", ",", "1743130137367", "x,eii2YKXRVTJPuA==", "-1,eii2YKXRVTJPuA==", "0,eii2YKXRVTJPuA==", "+5,eii2YKXRVTJPuA==",
		"1743130137367,eii2YKXRVTJPuA", "1743130137367,eii2YKXRVTI=", "1743130137367,", "1743130137367,eii2YKXRVTJPuA==,x",
		"1743130137367,****", "999999999999999999,eii2YKXRVTJPuA==", "99999999999999999999999,eii2YKXRVTJPuA==",
	} {
		if got, ok := SeedID(bad, 1); ok {
			t.Errorf("SeedID(%q) = %s", bad, got)
		}
	}
}

func TestReadOneEvent(t *testing.T) {
	t.Parallel()
	ts := noon.UnixMilli()
	for _, tt := range []struct {
		name, body string
		want       Event
	}{
		{
			"only a name", `{"name":"a"}`,
			Event{"N1", "", "a", ts, []byte(fmt.Sprintf(`{"data":{},"id":"N1","name":"a","ts":%d,"user":{}}`, ts))},
		},
		{
			"everything", `{"v":"2","user":{"b":1,"a":2},"ts":1795312884816,"name":"order/paid","id":"my-id","data":{"z":1,"a":2},"meta":{"sessions":{"u":"1"}},"other":1}`,
			Event{
				"N1", "my-id", "order/paid", 1795312884816,
				[]byte(`{"data":{"a":2,"z":1},"id":"my-id","meta":{"sessions":{"u":"1"}},"name":"order/paid","ts":1795312884816,"user":{"a":2,"b":1},"v":"2"}`),
			},
		},
		{
			"nulls are absent", `{"name":"a","data":null,"user":null,"id":null,"ts":null,"v":null,"meta":null}`,
			Event{"N1", "", "a", ts, []byte(fmt.Sprintf(`{"data":{},"id":"N1","name":"a","ts":%d,"user":{}}`, ts))},
		},
		{
			"ts 0 is now", `{"name":"a","ts":0}`,
			Event{"N1", "", "a", ts, []byte(fmt.Sprintf(`{"data":{},"id":"N1","name":"a","ts":%d,"user":{}}`, ts))},
		},
		{
			"numbers stay exact", `{"name":"a","ts":1795312884816,"data":{"big":12345678901234567890123,"f":1.0,"e":1E400,"m":-0}}`,
			Event{"N1", "", "a", 1795312884816, []byte(`{"data":{"big":12345678901234567890123,"e":1E400,"f":1.0,"m":-0},"id":"N1","name":"a","ts":1795312884816,"user":{}}`)},
		},
		{
			"_inngest is removed at the top of data only", `{"name":"a","ts":1795312884816,"data":{"_inngest":{"fn_id":"x"},"k":{"_inngest":1}}}`,
			Event{"N1", "", "a", 1795312884816, []byte(`{"data":{"k":{"_inngest":1}},"id":"N1","name":"a","ts":1795312884816,"user":{}}`)},
		},
		{
			"_inngest is removed when it is escaped", `{"name":"a","ts":1795312884816,"data":{"\u005finng\u0065st":{"fn_id":"x"}}}`,
			Event{"N1", "", "a", 1795312884816, []byte(`{"data":{},"id":"N1","name":"a","ts":1795312884816,"user":{}}`)},
		},
		{
			"lone surrogate is repaired", `{"name":"a","ts":1795312884816,"data":{"x":"\ud800"}}`,
			Event{"N1", "", "a", 1795312884816, []byte("{\"data\":{\"x\":\"\uFFFD\"},\"id\":\"N1\",\"name\":\"a\",\"ts\":1795312884816,\"user\":{}}")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, body := range []string{tt.body, "[" + tt.body + "]", " \n" + tt.body + "\n"} {
				got, err := read(body)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != 1 || !reflect.DeepEqual(got[0], tt.want) {
					t.Errorf("%s:\ngot  %s %+v\nwant %s", body, got[0].Body, got, tt.want.Body)
				}
			}
		})
	}
}

func TestReadEventsRefuses(t *testing.T) {
	t.Parallel()
	deep := `{"name":"a","data":` + strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000) + `}`
	for _, tt := range []struct{ name, event, text string }{
		{"no name", `{}`, "event name is empty"},
		{"empty name", `{"name":""}`, "event name is empty"},
		{"name of another type", `{"name":5}`, "event name: want a string, got a number"},
		{"long name", `{"name":"` + strings.Repeat("x", 513) + `"}`, "512 bytes"},
		{"reserved name", `{"name":"inngest/function.failed"}`, "reserved"},
		{"reserved name in capitals", `{"name":"InnGest/x"}`, "reserved"},
		{"control character in the name", `{"name":"a\u0000"}`, "control"},
		{"data is a list", `{"name":"a","data":[]}`, "event data: want an object, got an array"},
		{"user is a text", `{"name":"a","user":"x"}`, "event user"},
		{"id is a number", `{"name":"a","id":5}`, "event id"},
		{"id is long", `{"name":"a","id":"` + strings.Repeat("x", 513) + `"}`, "event id"},
		{"id has a control character", `{"name":"a","id":"\u0000"}`, "event id"},
		{"ts is a fraction", `{"name":"a","ts":1795312884816.5}`, "whole number"},
		{"ts is a text", `{"name":"a","ts":"1795312884816"}`, "whole number"},
		{"ts is huge", `{"name":"a","ts":17953128848160000000}`, "whole number"},
		{"ts in seconds", `{"name":"a","ts":179531288}`, "1980"},
		{"ts before 1980", `{"name":"a","ts":315532799999}`, "1980"},
		{"ts after 2100", `{"name":"a","ts":4102444800001}`, "2100"},
		{"v is a number", `{"name":"a","v":1}`, "event v"},
		{"meta is a text", `{"name":"a","meta":"x"}`, "event meta"},
		{"a member twice", `{"name":"a","name":"b"}`, "invalid JSON"},
		{"a member of data twice", `{"name":"a","data":{"x":1,"x":2}}`, "invalid JSON"},
		{"bytes that are not UTF-8", "{\"name\":\"a\",\"data\":{\"x\":\"\xff\"}}", "UTF-8"},
		{"deep", deep, "nested"},
		{"too large", `{"name":"a","data":{"x":"` + strings.Repeat("x", MaxEventBytes) + `"}}`, "Event is over the max size: Max 3145728 bytes / Size 3145756 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for i, body := range []string{tt.event, `[{"name":"ok"},` + tt.event + `,{"name":"never"}]`} {
				got, err := read(body)
				bad, ok := errors.AsType[*EventError](err)
				if !ok || bad.Index != i || bad.Status != 400 || !strings.Contains(bad.Message, tt.text) || strings.Contains(bad.Message, "jsontext") {
					t.Fatalf("error is %+v, want event %d: …%s…", err, i, tt.text)
				}
				if i == 1 && !strings.HasPrefix(bad.Message, "event 2 of 3: ") && !strings.HasPrefix(bad.Message, "event 2: invalid JSON: ") {
					t.Errorf("the text does not say which event it is about: %s", bad.Message)
				}
				if len(got) != i || i == 1 && got[0].Name != "ok" {
					t.Errorf("events are %+v, want the %d before it", got, i)
				}
			}
		})
	}
}

func TestReadEventsAsAWhole(t *testing.T) {
	t.Parallel()
	list := func(n int, last string) string { return "[" + strings.Repeat(`{"name":"a"},`, n-1) + last + "]" }
	for _, tt := range []struct {
		name, body    string
		events, index int
		text          string // "" when it is accepted
	}{
		{"nothing", "", 0, 0, ""},
		{"white space", " \n", 0, 0, ""},
		{"no events", "[ ]", 0, 0, ""},
		{"5000 events", list(5000, `{"name":"a"}`), 5000, 0, ""},
		{"5001 events", list(5001, `{"name":"a"}`), 0, -1, "Cannot have more than 5000 events in a batch"},
		{"5001 events, the last one bad", list(5001, `{}`), 0, -1, "Cannot have more than 5000"},
		{"5001 events, the first one bad", `[{},` + list(5000, `{"name":"a"}`)[1:], 0, -1, "Cannot have more than 5000"},
		{"5000 events, the first one bad", `[{},` + list(4999, `{"name":"a"}`)[1:], 0, 0, "event 1 of 5000: event name is empty"},
		{"a million events and no end", "[" + strings.Repeat(`{"name":"a"},`, 1_000_000), 0, -1, "Cannot have more than 5000"},
		{"a text", `"a"`, 0, -1, "Request body must contain an event object or an array of event objects"},
		{"a form", `name=foo`, 0, -1, "Request body must contain"},
		{"cut off behind an event that is bad", `[{"name":"a"},{},{"na`, 1, 1, "event 2 of 2: event name is empty"},
		{"list of texts", `["a"]`, 0, 0, "Request body must contain"},
		{"list in a list", `[[{"name":"a"}]]`, 0, 0, "Request body must contain"},
		{"cut off in an event", `[{"name":"a"},{"na`, 1, 1, "event 2: invalid JSON: it ends too early"},
		{"cut off after an event", `[{"name":"a"}`, 1, 1, "event 2: invalid JSON: it ends too early"},
		{"more behind the list", `[{"name":"a"}]{}`, 0, -1, "invalid JSON"},
		{"more behind the event", `{"name":"a"}{}`, 0, 0, "invalid JSON"},
		{"a bomb", strings.Repeat(`[`, 1_000_000), 0, 0, "invalid JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := read(tt.body)
			if len(got) != tt.events {
				t.Errorf("%d events, want %d", len(got), tt.events)
			}
			if tt.text == "" {
				if err != nil {
					t.Errorf("error: %v", err)
				}
				return
			}
			bad, ok := errors.AsType[*EventError](err)
			if !ok || bad.Index != tt.index || !strings.Contains(bad.Message, tt.text) {
				t.Errorf("error is %+v, want event %d: …%s…", err, tt.index, tt.text)
			}
		})
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	for media, want := range map[string]int{
		"":                                  0,
		"application/json":                  0,
		"Application/JSON; charset=utf-8":   0,
		"application/cloudevents+json":      0,
		"text/plain":                        0,
		"text/plain;charset=UTF-8":          0,
		"application/x-www-form-urlencoded": 0, // what curl -d says
		"application/xml":                   415,
		"image/png":                         415,
		"multipart/form-data; boundary=x":   415,
		"application/octet-stream":          415,
		"text/html":                         415,
		"nonsense/":                         415,
		";":                                 415,
	} {
		_, err := ReadEvents([]byte(`{"name":"a"}`), media, "", noon, counter())
		bad, ok := errors.AsType[*EventError](err)
		if ok != (want != 0) || ok && bad.Status != want {
			t.Errorf("%q: error is %v, want status %d", media, err, want)
		}
	}
	_, err := ReadEvents([]byte(`name=foo`), "application/x-www-form-urlencoded", "", noon, counter())
	if bad, ok := errors.AsType[*EventError](err); !ok || bad.Status != 400 || !strings.Contains(bad.Message, "what came is a form") {
		t.Errorf("a form gives %+v", err)
	}
}

func TestSeededEvents(t *testing.T) {
	t.Parallel()
	body := []byte(`[{"name":"a"},{"name":"b","id":"mine"}]`)
	got, err := ReadEvents(body, "", "1743130137367,eii2YKXRVTJPuA==", noon, counter())
	if err != nil {
		t.Fatal(err)
	}
	if got[0].ID != "01JQDAE4RQF8MBCR55T5AK4KXS" || got[1].ID != "01JQDAE4RQF8MBCR55T5AK4KXT" || got[1].Key != "mine" {
		t.Errorf("ids are %s and %s", got[0].ID, got[1].ID)
	}
	got, err = ReadEvents(body, "", "malformed", noon, counter())
	if err != nil || got[0].ID != "N1" {
		t.Errorf("a malformed seed gives %+v, %v", got, err)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, meta, want, text string }{
		{"of the user", `{"sessions":{"b":"2","a":"1"}}`, `{"sessions":{"a":"1","b":"2"}}`, ""},
		{"numbers become text", `{"sessions":{"n":42,"big":12345678901234567890}}`, `{"sessions":{"big":"12345678901234567890","n":"42"}}`, ""},
		{"inherited", `{"propagated_sessions":{"a":"1"}}`, `{"sessions":{"a":"1"}}`, ""},
		{"user wins", `{"sessions":{"a":"u"},"propagated_sessions":{"a":"p","b":"p"}}`, `{"sessions":{"a":"u","b":"p"}}`, ""},
		{"order of the layers does not matter", `{"propagated_sessions":{"a":"p","b":"p"},"sessions":{"a":null}}`, `{"sessions":{"b":"p"}}`, ""},
		{"null cuts all", `{"sessions":null,"propagated_sessions":{"a":"p"}}`, ``, ""},
		{"empty inherits", `{"sessions":{},"propagated_sessions":{"a":"p"}}`, `{"sessions":{"a":"p"}}`, ""},
		{
			"free places by key", `{"sessions":{"z1":"u","z2":"u","z3":"u"},"propagated_sessions":{"d":"p","c":"p","b":"p"}}`,
			`{"sessions":{"b":"p","c":"p","z1":"u","z2":"u","z3":"u"}}`, "",
		},
		{"nothing", `{"x":1}`, ``, ""},
		{"six", `{"sessions":{"a":"1","b":"1","c":"1","d":"1","e":"1","f":"1"}}`, "", "event sessions can include at most 5 entries"},
		{"boolean", `{"sessions":{"a":true}}`, "", `event session "a" must be a string, number, or null`},
		{"empty key", `{"sessions":{"":"1"}}`, "", "event session keys cannot be empty"},
		{"long key", `{"sessions":{"` + strings.Repeat("k", 129) + `":"1"}}`, "", "exceeds 128 bytes"},
		{"empty id", `{"sessions":{"a":""}}`, "", `event session "a" cannot have an empty ID`},
		{"long id", `{"sessions":{"a":"` + strings.Repeat("k", 513) + `"}}`, "", `event session "a" exceeds 512 bytes`},
		{"a list", `{"sessions":[]}`, "", "want an object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := read(`{"name":"a","ts":1795312884816,"meta":` + tt.meta + `}`)
			if tt.text != "" {
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error is %v, want …%s…", err, tt.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			meta := ""
			if tt.want != "" {
				meta = `"meta":` + tt.want + `,`
			}
			if want := `{"data":{},"id":"N1",` + meta + `"name":"a","ts":1795312884816,"user":{}}`; string(got[0].Body) != want {
				t.Errorf("got  %s\nwant %s", got[0].Body, want)
			}
		})
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte(orderEvent), "application/json", "1743130137367,eii2YKXRVTJPuA==")
	f.Add([]byte(`[{"name":"a"},{"name":"b","data":{"_inngest":1,"\u005finngest2":2}}]`), "", "")
	f.Add([]byte(`{"name":"a","data":{"x":"\ud800"},"meta":{"sessions":{"a":1},"propagated_sessions":{"b":"2"}}}`), "text/plain", "x")
	f.Add([]byte(`[{},1]`), "image/png", "")
	f.Fuzz(func(t *testing.T, body []byte, media, seed string) {
		events, err := ReadEvents(body, media, seed, noon, counter())
		if bad, ok := errors.AsType[*EventError](err); err != nil && (!ok || bad.Index >= 0 && bad.Index != len(events)) {
			t.Fatalf("error %+v with %d events", err, len(events))
		}
		if len(events) > MaxEvents {
			t.Fatalf("%d events", len(events))
		}
		for _, e := range events {
			if err := CheckJSON(e.Body); err != nil {
				t.Fatalf("%v in %s", err, e.Body)
			}
			// What was taken once is taken again, and is what it was.
			again, err := ReadEvents(e.Body, "", "", noon, func() string { return e.ID })
			if err != nil {
				t.Fatalf("%v in %s", err, e.Body)
			}
			if string(again[0].Body) != string(e.Body) {
				t.Fatalf("%s became %s", e.Body, again[0].Body)
			}
		}
	})
}

const orderEvent = `{"name":"order/paid","data":{"id":"ord_0001","total":129.95,"lines":[{"sku":"A-100","count":1},{"sku":"B-200","count":2}],` +
	`"customer":{"id":"cus_9","name":"Zoë"}},"id":"my-id","ts":1795312884816,"user":{}}`

func BenchmarkReadEvents(b *testing.B) {
	body := []byte(orderEvent)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadEvents(body, "application/json", "", noon, func() string { return ulid1 }); err != nil {
			b.Fatal(err)
		}
	}
}

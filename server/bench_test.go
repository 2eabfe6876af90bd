package server

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

// nowhere is a response that is thrown away.
type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header         { return n.h }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// BenchmarkCheckpoint is what the checkpoint route costs around the engine:
// checking, reading, parsing, answering. Its queue item is another run's, so
// that the engine is not asked.
func BenchmarkCheckpoint(b *testing.B) {
	f := newFixture(b, serving)
	body := []byte(`{"run_id":"01JQDAE4RQF8MBCR55T5AK4KXS","fn_id":"x","qi_id":"01JQDAE4RQF8MBCR55T5AK4KXT.1","steps":[` + stepRun(`{"x":1,"text":"`+string(bytes.Repeat([]byte("x"), 800))+`"}`) + `],"ts":1}`)
	benchmark(b, f, "/v1/checkpoint/01JQDAE4RQF8MBCR55T5AK4KXS/async", body)
}

// BenchmarkNoEvents is what the event route costs around reading an event.
func BenchmarkNoEvents(b *testing.B) {
	f := newFixture(b, serving)
	benchmark(b, f, "/e/"+testEventKey, []byte(`[]`))
}

func benchmark(b *testing.B, f *fixture, path string, body []byte) {
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "http://localhost:8288"+path, io.NopCloser(bytes.NewReader(body)))
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		r.Header.Set("Authorization", "Bearer "+testKey)
		f.s.ServeHTTP(nowhere{http.Header{}}, r)
	}
}

package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/engine"
)

// exchangeView is what was sent to an app in a try that failed, and what it answered.
type exchangeView struct {
	SentAt  time.Time     `json:"sent_at"`
	TookMs  float64       `json:"took_ms"`
	Request sentView      `json:"request"`
	Answer  *receivedView `json:"answer"` // null: none came
}

// sentView is a request. Its body is made again of what the run knew then.
type sentView struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"` // without the signature
	bodyView
	Exact bool `json:"exact"` // the body is what was sent, byte by byte
}

type receivedView struct {
	Status     int               `json:"status"`
	StatusText string            `json:"status_text"`
	Headers    map[string]string `json:"headers"` // values that are secret are left out
	bodyView
}

// bodyView is a body as text.
type bodyView struct {
	Body    string `json:"body"`
	Bytes   int    `json:"bytes"`             // of all of it
	LeftOut string `json:"left_out,omitzero"` // why it is not here, or its end is not
}

// mostBody bounds what is shown of a request, in bytes.
const mostBody = 256 << 10

func (s *Server) showExchange(w http.ResponseWriter, r *http.Request, _ []byte) {
	id, ok := runID(w, r)
	if !ok {
		return
	}
	missing := "What was sent and answered in try " + printable(r.PathValue("n")) + " of run " + printable(id) + " is not kept: only the newest tries that failed are"
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		fail(w, http.StatusNotFound, missing)
		return
	}
	x, err := s.eng.Exchange(r.Context(), id, n)
	if err != nil {
		s.failWith(w, r, err, missing)
		return
	}
	s.reply(w, s.viewExchange(x))
}

func (s *Server) viewExchange(x engine.Exchange) exchangeView {
	v := exchangeView{
		SentAt: x.At, TookMs: float64(x.TookMicros) / 1000,
		Request: sentView{
			Method: x.Sent.Method, URL: x.Sent.URL, Headers: joined(x.Sent.Headers), Exact: x.Exact,
			bodyView: s.viewBody(x.Body[:min(len(x.Body), mostBody)], x.Sent.Bytes),
		},
	}
	if x.Body == nil && x.Sent.Bytes > 0 {
		v.Request.LeftOut = "it cannot be made again: the function or the event is not there any more"
	}
	if a := x.Answer; a != nil {
		v.Answer = &receivedView{Status: a.Status, StatusText: http.StatusText(a.Status), Headers: joined(a.Headers), bodyView: s.viewBody(a.Body, a.Bytes)}
	}
	return v
}

// viewBody is a body of which there may be but the beginning. The rules of redaction
// cannot find their members in half a document, so that none of it is shown then.
func (s *Server) viewBody(body []byte, bytes int) bodyView {
	v := bodyView{Body: strings.ToValidUTF8(string(body), "\uFFFD"), Bytes: bytes}
	switch {
	case bytes <= len(body):
	case s.rules.Any():
		v.Body, v.LeftOut = "", "its end is not kept, and the rules of redaction hold for whole documents alone"
	default:
		v.LeftOut = fmt.Sprintf("all after the first %d bytes", len(body))
	}
	return v
}

func joined(h http.Header) map[string]string {
	m := map[string]string{}
	for name, values := range h {
		m[name] = strings.Join(values, ", ")
	}
	return m
}

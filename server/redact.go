package server

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/internal/redact"
)

// What people and tokens read goes through the rules of redaction, each answer as a
// whole, so that no view can be forgotten. SDKs read what they have written.

// redacting keeps an answer until it is whole.
type redacting struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	direct bool // it is no JSON, and is not looked into
}

func (w *redacting) WriteHeader(status int) {
	w.status = status
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		w.direct = true
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *redacting) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.direct {
		return w.ResponseWriter.Write(b)
	}
	return w.body.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *redacting) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// finish sends the answer.
func (w *redacting) finish(rules redact.Rules) error {
	if w.direct || w.status == 0 {
		return nil
	}
	b, err := rules.JSON(w.body.Bytes())
	if err != nil {
		return err
	}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(b))}
	w.ResponseWriter.WriteHeader(w.status)
	_, _ = w.ResponseWriter.Write(b) // nobody is left to tell
	return nil
}

// redacts reports whether the answers of a route go through the rules.
func (s *Server) redacts(rt *route) bool {
	return s.rules.Any() && rt.who == signingKey && !rt.ofSDKs() && !rt.tells
}

// redacted works for a request whose answer goes through the rules. What was taken
// out cannot be sent back: it would take the place of what is there.
func (s *Server) redacted(rt *route, w http.ResponseWriter, r *http.Request, body []byte) {
	if bytes.Contains(body, []byte(redact.Mark)) {
		rt.refuse(w, http.StatusUnprocessableEntity, "the body has "+redact.Mark+" in it, which stands for something that you may not see: put in what belongs there")
		return
	}
	keep := &redacting{ResponseWriter: w}
	rt.serve(s, keep, r, body)
	if err := keep.finish(s.rules); err != nil {
		s.log.ErrorContext(r.Context(), "an answer cannot be redacted, and was not sent", "pattern", rt.pattern, "err", err)
		fail(w, http.StatusInternalServerError, "the answer cannot be redacted; the server's log says why")
	}
}

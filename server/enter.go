package server

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// A client that asks an endpoint's app tells Pawl nothing before the first step has
// ended: until then nobody knows of its key, and no limit can hold it back. Whoever
// wants those asks Pawl, at /x/<host>/<path>, which begins the run and then enters
// the endpoint as after a crash. The answer is that of the endpoint.

// Headers that are the run's.
const (
	headerRun    = "X-Run-Id"
	scopeEntered = "endpoint/" // and the URL: of keys
)

// enter begins a run of an endpoint and answers with its response.
func (s *Server) enter(w http.ResponseWriter, r *http.Request, body []byte) {
	target, ok := s.endpointAt(r)
	if !ok {
		fail(w, http.StatusNotFound, "there is no endpoint "+printable(strings.TrimPrefix(r.URL.Path, "/x/"))+" here; those that may be asked are told to pawl with --endpoint")
		return
	}
	if goesOn(r) {
		w.WriteHeader(http.StatusNoContent) // an EventSource would begin a run each time that a stream ends
		return
	}
	in := wire.Endpoint{Method: r.Method, URL: target, ContentType: r.Header.Get("Content-Type"), Body: body}
	scope := scopeEntered + r.Method + " " + target.Host + target.EscapedPath()
	key, message := onceOf(r, scope, append([]byte(target.RawQuery+"\n"), body...))
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	run, err := s.eng.Enter(r.Context(), in, key)
	if again, ok := errors.AsType[*store.RepeatedError](err); ok {
		w.Header().Set(headerReplayed, "true")
		run, err = string(again.Entry.Reply), nil
		if s.entered(w, r, run) {
			return
		}
	}
	if bad, ok := errors.AsType[*engine.BeginError](err); ok {
		fail(w, http.StatusUnprocessableEntity, bad.Message)
		return
	}
	switch {
	case err == nil:
		letGoOf(r) // it is on disk, and the wait may be long
		w.Header().Set(headerRun, run)
		s.answerFor(w, r, run)
	case replayed(w, err, nil): // for another request
	case keyless(w, err):
	case errors.Is(err, engine.ErrNotStarted):
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusTooManyRequests, err.Error())
	default:
		s.failWith(w, r, err, "")
	}
}

// entered does what a repetition asks for that meets the run of the first request.
// It reports whether it has answered; otherwise the answer is that of the run, when
// it has one.
func (s *Server) entered(w http.ResponseWriter, r *http.Request, run string) bool {
	how, _ := inFlightOf(r)
	if how == attach || how == wait && !accepts(r, "text/event-stream") {
		return false
	}
	busy, err := s.meet(r, run)
	switch {
	case err != nil:
		s.failWith(w, r, err, "")
		return true
	case !busy:
		return false
	case how == reject:
		busyWith(w, run, s.resultOf(r, run))
	default:
		s.sendOn(w, r, run) // where the one event is the result
	}
	return true
}

// goesOn reports whether a reader of a stream comes again who cannot say of which,
// or has all of it.
func goesOn(r *http.Request) bool {
	after := r.Header.Get("Last-Event-ID")
	return after != "" && accepts(r, "text/event-stream") && (r.Header.Get(headerKey) == "" || placeOf(after) >= store.LastPiece)
}

// endpointAt is the URL that a request means, if it may be asked for.
func (s *Server) endpointAt(r *http.Request) (*url.URL, bool) {
	host := r.PathValue("host")
	if strings.ContainsRune(r.URL.Path, '\\') {
		return nil, false // in which some servers see a slash, and so perhaps a way out
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/x/"+url.PathEscape(host))
	if path == r.URL.EscapedPath() {
		path = strings.TrimPrefix(r.URL.EscapedPath(), "/x/"+host)
	}
	for _, e := range s.endpoints {
		own := e.EscapedPath()
		if !strings.EqualFold(e.Host, host) || path != own && !strings.HasPrefix(path, strings.TrimSuffix(own, "/")+"/") {
			continue
		}
		u, err := url.Parse(e.Scheme + "://" + e.Host + path)
		if err != nil {
			return nil, false
		}
		u.RawQuery = r.URL.RawQuery
		return u, true
	}
	return nil, false
}

// answerFor answers with the response of a run's endpoint. A client whose patience
// or proxy may end before is sent to where the result will be.
func (s *Server) answerFor(w http.ResponseWriter, r *http.Request, run string) {
	end := s.eng.Ending(run)
	defer end.Close()
	known, err := s.eng.History().Run(r.Context(), run)
	if err != nil {
		s.failWith(w, r, err, "the run of this key is not kept any more")
		return
	}
	if accepts(r, "text/event-stream") {
		s.read(w, r, []string{run}, nil) // all that the endpoint streams, and its answer
		return
	}
	x := s.reader(w, r, known)
	x.direct = true
	if known.Status.Final() {
		x.ended(known.Head)
		x.close()
		return
	}
	late := time.NewTimer(s.patience())
	defer late.Stop()
	select {
	case <-end.Done():
		if head, ok := end.Head(); ok {
			x.ended(head)
			x.close()
			return
		}
	case <-late.C:
	case <-s.draining.Done():
	case <-r.Context().Done():
		return
	}
	s.sendOn(w, r, run)
}

// sendOn sends a client to where the result of a run will be.
func (s *Server) sendOn(w http.ResponseWriter, r *http.Request, run string) {
	w.Header()["Cache-Control"] = noStore
	w.Header().Set(headerRun, run)
	w.Header().Set("Location", s.resultOf(r, run))
	w.WriteHeader(http.StatusSeeOther)
}

// resultOf is where that is. The reference is to the client's own URL, as in late.
func (s *Server) resultOf(r *http.Request, run string) string {
	up := strings.Repeat("../", strings.Count(r.URL.EscapedPath(), "/")-1)
	return up + "v1/http/runs/" + run + "/output?token=" + url.QueryEscape(s.tokens.Result(run))
}

package server

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store"
)

// inFlight says what a repetition does that comes while the run of the first
// request for its key goes on. A repetition never starts anything.
//
// An endpoint's answer is the end of its run: who attaches gets it then, and who
// waits gets the same, so that the two differ in a stream alone. Requests that start
// a run and are answered with its id have been answered long before; there to wait
// is to be told when the run has ended. Events, signals and a retry of many letters
// are done when they are answered: for them nothing is ever in flight.
type inFlight int

const (
	attach inFlight = iota // one more reader of the same run: the answer is as the first's, a stream is read as it comes
	wait                   // answered when the run has ended
	reject                 // refused at once
)

// headerInFlight names one of them; attach when it is not given.
const headerInFlight = "Idempotency-In-Flight"

var inFlightWords = []string{"attach", "wait", "reject"}

func inFlightOf(r *http.Request) (how inFlight, message string) {
	values := r.Header.Values(headerInFlight)
	if len(values) == 0 {
		return attach, ""
	}
	for i, word := range inFlightWords {
		if len(values) == 1 && strings.TrimSpace(values[0]) == word {
			return inFlight(i), ""
		}
	}
	return attach, headerInFlight + " must be wait, attach or reject"
}

// meet lets a repetition wait for the run that its key stands for. It reports
// whether that is to be in its way: the run goes on, and the repetition has waited
// as long as it may, or not at all.
func (s *Server) meet(r *http.Request, run string) (busy bool, err error) {
	how, _ := inFlightOf(r) // once has refused what is none
	if how == attach {
		return false, nil
	}
	end := s.eng.Ending(run)
	defer end.Close()
	known, err := s.eng.History().Run(r.Context(), run)
	switch {
	case errors.Is(err, store.ErrNotFound): // it has ended, and is not kept any more
		return false, nil
	case err != nil || known.Status.Final():
		return false, err
	case how == reject:
		return true, nil
	}
	letGoOf(r)
	late := time.NewTimer(s.patience())
	defer late.Stop()
	select {
	case <-end.Done():
		_, ended := end.Head()
		return !ended, nil
	case <-late.C:
	case <-s.draining.Done():
	case <-r.Context().Done():
	}
	return true, nil
}

// meetAny is meet for what is known by its event. An event of which no run is kept
// is in nobody's way: its run has been removed, or has yet to come of a debounce or
// a batch, where one run is that of many requests.
func (s *Server) meetAny(r *http.Request, event string) (run string, busy bool, err error) {
	if how, _ := inFlightOf(r); how == attach {
		return "", false, nil
	}
	runs, err := s.eng.RunsOf(r.Context(), event)
	if err != nil || len(runs) == 0 {
		return "", false, err
	}
	busy, err = s.meet(r, runs[0])
	return runs[0], busy, err
}

// letGoOf gives back the room of a request's body, which is not read any more.
func letGoOf(r *http.Request) {
	if let, ok := r.Context().Value(letGo{}).(func()); ok {
		let()
	}
}

// inFlightText is what a repetition is told that is not to wait, or not for longer.
func inFlightText(run, where string) string {
	return "the first request with this key is in flight: its run " + run + " goes on; read it at " + where
}

// inTheWay answers a repetition for which the run of the first request is in the
// way, or that could not be decided. It reports whether it has.
func (s *Server) inTheWay(w http.ResponseWriter, r *http.Request, run string, busy bool, err error) bool {
	switch {
	case err != nil:
		s.failWith(w, r, err, "")
	case busy && s.draining.Err() != nil:
		s.failWith(w, r, engine.ErrClosing, "")
	case busy:
		busyWith(w, run, "/v1/runs/"+run)
	}
	return busy || err != nil
}

// inTheWayV2 does the same in the v2 API, where a key stands for the id of its run.
func (s *Server) inTheWayV2(w http.ResponseWriter, r *http.Request, repeated error) bool {
	again, ok := errors.AsType[*store.RepeatedError](repeated)
	if !ok {
		return false
	}
	run := string(again.Entry.Reply)
	busy, err := s.meet(r, run)
	switch {
	case err != nil:
		s.failWithV2(w, r, err, "")
	case busy && s.draining.Err() != nil:
		s.failWithV2(w, r, engine.ErrClosing, "")
	case busy:
		tellBusy(w, run)
		refuseV2(w, http.StatusConflict, codeInFlight, inFlightText(run, "/v2/runs/"+run))
	}
	return busy || err != nil
}

// busyWith refuses a repetition, and says where the run is read.
func busyWith(w http.ResponseWriter, run, where string) {
	b := appendText([]byte(`{"error":`), inFlightText(run, where))
	b = appendText(append(b, `,"code":"`+codeInFlight+`","data":{"run_id":"`+run+`","url":`...), where)
	tellBusy(w, run)
	raw(w, http.StatusConflict, append(b, `},"ids":[],"status":409}`...))
}

func tellBusy(w http.ResponseWriter, run string) {
	w.Header().Set(headerReplayed, "true")
	w.Header().Set(headerRun, run)
	w.Header().Set("Retry-After", "1")
}

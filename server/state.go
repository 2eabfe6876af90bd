package server

import (
	"net/http"

	"github.com/pawlhq/pawl/internal/wire"
)

// batch answers with the events of a run, for calls whose body would have been
// too large. Source: spec/03 §4.
func (s *Server) batch(w http.ResponseWriter, r *http.Request, _ []byte) {
	run := r.PathValue("run")
	events, _, err := s.eng.Memo(r.Context(), run)
	if err != nil {
		s.failWith(w, r, err, noRun(run))
		return
	}
	raw(w, http.StatusOK, wire.AppendBatch(nil, events))
}

// actions answers with the memos of a run, in the order in which its steps
// completed. Source: spec/03 §4.
func (s *Server) actions(w http.ResponseWriter, r *http.Request, _ []byte) {
	run := r.PathValue("run")
	_, memos, err := s.eng.Memo(r.Context(), run)
	if err != nil {
		s.failWith(w, r, err, noRun(run))
		return
	}
	raw(w, http.StatusOK, wire.AppendActions(nil, memos))
}

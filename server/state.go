package server

import (
	"net/http"

	"github.com/pawlhq/pawl/internal/wire"
)

// batch answers with the events of a run, for calls whose body would have been
// too large. Source: spec/03 §4.
func (s *Server) batch(w http.ResponseWriter, r *http.Request, _ []byte) {
	events, _, err := s.eng.Memo(r.Context(), r.PathValue("run"))
	if err != nil {
		status, message := s.trouble(w, r, err)
		fail(w, status, message)
		return
	}
	raw(w, http.StatusOK, wire.AppendBatch(nil, events))
}

// actions answers with the memos of a run, in the order in which its steps
// completed. Source: spec/03 §4.
func (s *Server) actions(w http.ResponseWriter, r *http.Request, _ []byte) {
	_, memos, err := s.eng.Memo(r.Context(), r.PathValue("run"))
	if err != nil {
		status, message := s.trouble(w, r, err)
		fail(w, status, message)
		return
	}
	raw(w, http.StatusOK, wire.AppendActions(nil, memos))
}

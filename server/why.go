package server

import (
	"net/http"
	"time"
)

// whyView says why a run is not running now.
type whyView struct {
	RunID  string     `json:"run_id"`
	Status string     `json:"status"`
	Reason string     `json:"reason"` // one word; durable.Why has them
	Why    string     `json:"why"`    // one sentence
	Step   string     `json:"step,omitzero"`
	Until  *time.Time `json:"until"`
	// Times are those in the sentence, in its order, as they are written in it.
	Times    []time.Time `json:"times"`
	WaitsFor string      `json:"waits_for_run,omitzero"`
}

func (s *Server) why(w http.ResponseWriter, r *http.Request, _ []byte) {
	id, ok := runID(w, r)
	if !ok {
		return
	}
	why, status, err := s.eng.Why(r.Context(), id)
	if err != nil {
		s.failWith(w, r, err, noRun(id))
		return
	}
	s.reply(w, whyView{
		RunID: id, Status: statusWord(status), Reason: why.Reason, Why: why.Text, Step: why.Step,
		Until: timeOrNull(why.Until), WaitsFor: why.Run,
		Times: append([]time.Time{}, why.Times...),
	})
}

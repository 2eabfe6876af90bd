package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/ticket"
	"github.com/pawlhq/pawl/internal/wire"
)

// begunView is what an app needs to know about a run that began in it.
type begunView struct {
	RunID         string `json:"run_id"`
	FunctionID    string `json:"fn_id"`
	AppID         string `json:"app_id"`
	Token         string `json:"token"`
	RealtimeToken string `json:"realtime_token"`
	Ended         bool   `json:"ended,omitzero"` // of a run that had begun before for the same key
}

// streamTopic is the topic of a run's channel that has what its endpoint streams.
const streamTopic = "$stream"

// streamLife is how long a stream can be asked for from the start of its run.
const streamLife = 30 * 24 * time.Hour

// begin takes the first report on a run that began in a durable endpoint. The
// client of the endpoint waits for the answer. Source: spec/04 §5.1.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, body []byte) {
	cp, ok := readReport(w, body)
	if !ok {
		return
	}
	b, err := s.eng.Begin(r.Context(), cp, r.Header.Get(wire.HeaderSDK))
	if replayed(w, err, nil) || keyless(w, err) { // the key stands for another request, or there is none
		return
	}
	if err != nil {
		s.failReport(w, r, err, cp.RunID)
		return
	}
	if b.Run != cp.RunID {
		w.Header().Set(headerReplayed, "true")
	}
	stream := ticket.Grant{Topics: []ticket.Topic{{Channel: b.Run, Name: streamTopic}}}
	s.reply(w, begunView{
		RunID: b.Run, FunctionID: b.FunctionID, AppID: b.AppID,
		Token: s.tokens.Result(b.Run), RealtimeToken: s.tokens.Topics(stream, streamLife), Ended: b.Ended,
	})
}

// report takes a further one. Source: spec/04 §5.2.
func (s *Server) report(w http.ResponseWriter, r *http.Request, body []byte) {
	run := r.PathValue("run")
	cp, ok := readReport(w, body)
	switch {
	case !ok:
	case cp.RunID != "" && cp.RunID != run:
		fail(w, http.StatusBadRequest, "run_id is not that of the path")
	default:
		s.reported(w, r, run, cp.Ops, cp.RetryAfter, engine.Begun{FunctionID: cp.FunctionID, AppID: cp.AppID})
	}
}

// respond takes the response of an endpoint, which ends its run. Source: spec/04.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, body []byte) {
	if err := wire.CheckBody(body); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	s.reported(w, r, r.PathValue("run"), []wire.Op{{ID: wire.CompleteID, Op: wire.OpRunComplete, Data: body}}, 0, engine.Begun{})
}

func (s *Server) reported(w http.ResponseWriter, r *http.Request, run string, ops []wire.Op, retryAfter time.Duration, b engine.Begun) {
	if err := s.eng.Report(r.Context(), run, ops, retryAfter, b); err != nil {
		s.failReport(w, r, err, run)
		return
	}
	raw(w, http.StatusOK, "{}")
}

func readReport(w http.ResponseWriter, body []byte) (cp wire.Checkpoint, ok bool) {
	cp, err := wire.ParseCheckpoint(body)
	switch {
	case err == nil:
		return cp, true
	case errors.Is(err, wire.ErrTooManyOps):
		fail(w, http.StatusRequestEntityTooLarge, err.Error())
	default:
		fail(w, http.StatusBadRequest, "invalid checkpoint: "+err.Error())
	}
	return cp, false
}

func (s *Server) failReport(w http.ResponseWriter, r *http.Request, err error, run string) {
	if bad, ok := errors.AsType[*engine.BeginError](err); ok {
		fail(w, http.StatusBadRequest, bad.Message)
		return
	}
	if large, ok := errors.AsType[*engine.TooLarge](err); ok {
		fail(w, http.StatusRequestEntityTooLarge, large.Message)
		return
	}
	switch {
	case errors.Is(err, engine.ErrForeign):
		fail(w, http.StatusConflict, err.Error())
	case errors.Is(err, durable.ErrEnded):
		fail(w, http.StatusGone, err.Error())
	default:
		s.failWith(w, r, err, noRun(run))
	}
}

package server

import (
	"errors"
	"net/http"

	"github.com/pawlhq/pawl/internal/wire"
)

// register takes what an app tells about itself. Each failure carries its
// status as a number and every problem, as SDKs show only that.
// Source: spec/02 §2.
func (s *Server) register(w http.ResponseWriter, r *http.Request, body []byte) {
	// An app that was told to sync by another server must not end up here.
	for _, name := range []string{wire.HeaderExpectedKind, wire.HeaderServerKind} {
		if kind := r.Header.Get(name); kind != "" && kind != s.kind {
			failRegister(w, http.StatusBadRequest, "Expected server kind "+s.kind+", got "+printable(kind))
			return
		}
	}
	reg, err := wire.ParseRegistration(body)
	if err != nil {
		status, refusal := wire.RegisterRefusal(err)
		raw(w, status, refusal)
		return
	}
	synced, err := s.eng.Register(r.Context(), reg)
	if refused, ok := errors.AsType[*wire.RegistrationError](err); ok {
		status, refusal := wire.RegisterRefusal(refused)
		raw(w, status, refusal)
		return
	}
	if err != nil {
		status, message := s.trouble(w, r, err)
		failRegister(w, status, message)
		return
	}
	raw(w, http.StatusOK, wire.RegisterReply{Modified: synced.Modified, SyncID: synced.SyncID, AppID: synced.AppID}.Body())
}

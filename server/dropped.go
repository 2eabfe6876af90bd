package server

import (
	"net/http"
	"strings"

	"github.com/pawlhq/pawl/internal/wire"
)

// What SDKs may send and Pawl does not keep is taken all the same: some of them turn a
// refusal into an error of the user's step. Source: spec/03 §13.

// maxTracesBody bounds what is taken and dropped, in bytes.
const maxTracesBody = 8 << 20

// traces answers an OTLP exporter that all went well, in the encoding that it
// speaks: the empty ExportTraceServiceResponse.
func (s *Server) traces(w http.ResponseWriter, r *http.Request, _ []byte) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		raw(w, http.StatusOK, "{}")
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK)
}

// devTraces is traces for SDKs that have no key.
func (s *Server) devTraces(w http.ResponseWriter, r *http.Request, body []byte) {
	if !s.dev {
		s.notFound(w, r)
		return
	}
	s.traces(w, r, body)
}

// removeApp archives the app at a URL.
func (s *Server) removeApp(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	url := q.get("url")
	if url == "" {
		q.refuse("url is required: where the app serves its functions")
	}
	if q.refused(w) {
		return
	}
	app, err := s.eng.RemoveApp(r.Context(), url, s.actor(r))
	if err != nil {
		s.failWith(w, r, err, "no app is known at "+printable(wire.PublicURL(url))+"; GET /v1/apps lists those that are")
		return
	}
	s.replyBare(w, removedView{true, app.ID})
}

type removedView struct {
	OK    bool   `json:"ok"`
	AppID string `json:"app_id"`
}

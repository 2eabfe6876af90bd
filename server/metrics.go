package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics gives what is counted to a Prometheus server, which shows a token or a
// signing key as bearer.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request, _ []byte) {
	if s.gather == nil {
		failAt(w, r, http.StatusNotFound, "this server counts nothing for Prometheus: start it with --metrics")
		return
	}
	promhttp.HandlerFor(s.gather, promhttp.HandlerOpts{MaxRequestsInFlight: mostScrapes}).ServeHTTP(w, r)
}

// mostScrapes bounds how many ask for metrics at a time.
const mostScrapes = 10

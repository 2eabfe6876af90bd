package server

import (
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Debug is the handler of a listener for this machine alone: metrics for a
// Prometheus server at /metrics, and profiles under /debug/pprof/. The server's own
// listener has neither (S17). It asks for a signing key, as bearer or as the
// password of basic authentication; a token reads metrics too. In dev it asks for
// nothing.
func (s *Server) Debug() http.Handler {
	mux := http.NewServeMux()
	profiles := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if s.dev || s.signed(keyOf(r)) {
				h(w, r)
				return
			}
			s.askForKey(w, r)
		}
	}
	mux.HandleFunc("GET /debug/pprof/", profiles(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // may hold keys
	mux.HandleFunc("GET /debug/pprof/profile", profiles(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/symbol", profiles(pprof.Symbol))
	mux.HandleFunc("GET /debug/pprof/trace", profiles(pprof.Trace))
	if s.gather != nil {
		metrics := promhttp.HandlerFor(s.gather, promhttp.HandlerOpts{MaxRequestsInFlight: mostScrapes})
		door := &route{method: http.MethodGet, pattern: "/metrics", who: signingKey}
		mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Authorization", keyOf(r))
			if r = s.allowed(door, w, r); r != nil {
				metrics.ServeHTTP(w, r)
			}
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page that has rebound its own name to a loopback address still sends its name.
		if !localHost(r.Host) {
			http.Error(w, "metrics and profiles are for this machine only", http.StatusMisdirectedRequest)
			return
		}
		w.Header()["X-Content-Type-Options"] = nosniff
		mux.ServeHTTP(w, r)
	})
}

// mostScrapes bounds how many ask for metrics at a time.
const mostScrapes = 10

// keyOf is the header Authorization; the password of basic authentication, which
// go tool pprof can send, stands for a bearer's key.
func keyOf(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return "Bearer " + password
	}
	return r.Header.Get("Authorization")
}

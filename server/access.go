package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"time"
)

// allowed lets a caller pass, and returns the request with who it is, or answers
// and returns nil. It runs before any byte of a body is read. Who shows no good
// credential is told 401: SDKs then try their fallback key, and would take a 403 for
// the same. Source: spec/01 §4.3, spec/10 §2.
func (s *Server) allowed(rt *route, w http.ResponseWriter, r *http.Request) *http.Request {
	switch rt.who {
	case anyone, queryToken:
		return r
	case eventKey:
		if !s.eventKeyAllowed(w, r) {
			return nil
		}
		return r
	case signingKey, publisher:
		if s.dev || s.signed(r.Header.Get("Authorization")) || rt.who == publisher && s.mayPublish(r) {
			return r
		}
		return s.letIn(rt, w, r)
	default:
		failAt(w, r, http.StatusForbidden, "nobody may call this")
		return nil
	}
}

// askForKey answers one who has shown no good credential.
func (s *Server) askForKey(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	switch {
	case !isV2(r.URL.Path):
		fail(w, http.StatusUnauthorized, authenticationFailed)
	case r.Header.Get("Authorization") == "":
		refuseV2(w, http.StatusUnauthorized, codeNoCredential, "Authorization header is missing; send the signing key as bearer")
	default:
		refuseV2(w, http.StatusUnauthorized, codeBadCredential, authenticationFailed)
	}
}

// authenticationFailed is one text for a missing, a malformed and a wrong key.
// The protocol's own words come first. Source: spec/12 §2.
const authenticationFailed = "Authentication failed: this needs the server's signing key or a token, in the header Authorization: Bearer ..., or a login"

func (s *Server) eventKeyAllowed(w http.ResponseWriter, r *http.Request) bool {
	key := r.PathValue("key")
	switch {
	case key == "":
		raw(w, http.StatusUnauthorized, `{"status":401,"error":"Event key is required"}`)
		return false
	case s.dev:
		return true
	case len(s.senders) == 0:
		raw(w, http.StatusServiceUnavailable, `{"status":503,"error":"Event keys are required to process events securely"}`)
		return false
	}
	got, which := sha256.Sum256([]byte(key)), -1
	for i, k := range s.senders {
		which = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(got[:], k.hash[:]), i, which)
	}
	if which < 0 {
		raw(w, http.StatusUnauthorized, `{"status":401,"error":"Event key not found"}`)
		return false
	}
	s.senders[which].used.Store(time.Now().UnixMilli())
	return true
}

// localHost reports whether a Host header names this machine, whatever the
// port. A page that has rebound its own name to 127.0.0.1 still sends its name.
func localHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	switch strings.ToLower(strings.TrimSuffix(host, ".")) {
	case "localhost", "127.0.0.1", "::1", "[::1]", "host.docker.internal":
		return true
	}
	return false
}

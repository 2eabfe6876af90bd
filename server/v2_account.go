package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
)

func (s *Server) healthV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	if s.draining.Err() != nil {
		failV2(w, http.StatusServiceUnavailable, "draining")
		return
	}
	if err := s.eng.Healthy(); err != nil {
		s.log.WarnContext(r.Context(), "not healthy", "err", err)
		failV2(w, http.StatusServiceUnavailable, "not healthy")
		return
	}
	s.replyV2(w, healthyV2{"ok"})
}

type healthyV2 struct {
	Status string `json:"status"`
}

// accountV2 is the one account that there is.
type accountV2 struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email,omitzero"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
}

func (s *Server) account(w http.ResponseWriter, _ *http.Request, _ []byte) {
	s.replyV2(w, accountV2{ID: accountID, Name: "Pawl"})
}

// envV2 is the one environment that there is.
type envV2 struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Type      string    `json:"type"` // TEST in dev, else PRODUCTION
	CreatedAt time.Time `json:"createdAt,omitzero"`
}

func (s *Server) env() envV2 {
	if s.dev {
		return envV2{ID: environmentID, Name: "dev", Type: "TEST"}
	}
	return envV2{ID: environmentID, Name: "production", Type: "PRODUCTION"}
}

func (s *Server) envs(w http.ResponseWriter, r *http.Request, _ []byte) {
	replySorted(s, w, r, 250, 250, []envV2{s.env()}, func(e envV2) string { return e.ID })
}

// keyV2 is a key that the server was started with. Its value is never shown.
type keyV2 struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Environment refV2     `json:"environment"`
	CreatedAt   time.Time `json:"createdAt,omitzero"`
}

// keyList is n keys by number: an id made from a key itself would let a weak
// one be guessed.
func (s *Server) keyList(kind string, n int) []keyV2 {
	var list []keyV2
	for i := range n {
		name := kind + " key " + strconv.Itoa(i+1)
		list = append(list, keyV2{uuid.NewSHA1(uuid.MustParse(environmentID), []byte(name)).String(), name, refV2{environmentID}, time.Time{}})
	}
	return list
}

func (s *Server) eventKeysV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	n := len(s.senders)
	if s.dev {
		n = 0
	}
	replySorted(s, w, r, 100, 100, s.keyList("Event", n), func(k keyV2) string { return k.Name })
}

func (s *Server) signingKeysV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	n := 0
	if !s.dev && !s.keys.Current.IsZero() {
		n = 1 + len(s.keys.Previous)
	}
	replySorted(s, w, r, 100, 100, s.keyList("Signing", n), func(k keyV2) string { return k.Name })
}

// webhooks are not there, but who asks for them must say for which environment.
func (s *Server) webhooks(w http.ResponseWriter, r *http.Request, _ []byte) {
	if r.Header.Get("X-Inngest-Env") == "" {
		refuseV2(w, http.StatusBadRequest, codeMissing, "X-Inngest-Env header is required")
		return
	}
	failV2(w, http.StatusNotImplemented, notYet(r, "webhooks"))
}

// replySorted answers with a page of a list that is in memory.
func replySorted[T any](s *Server, w http.ResponseWriter, r *http.Request, usual, most int, rows []T, id func(T) string) {
	q := readQuery(r)
	l := s.listing(&q, r.URL, usual, most)
	if q.refusedV2(w) {
		return
	}
	rows, page := cutSorted(l, rows, id)
	s.replyPageV2(w, http.StatusOK, rows, page)
}

package server

import (
	"encoding/hex"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// sessionView is a login.
type sessionView struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current"` // it is the one that asks
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Address   string    `json:"address"` // from where they logged in; "" when that is not known
	Agent     string    `json:"agent"`   // what their browser calls itself
}

// sessionID names a login: a piece of its hash, from which no cookie can be made.
func sessionID(x store.Session) string { return hex.EncodeToString(x.Hash[:8]) }

// mostAgent bounds what is kept of the name of a browser, in bytes.
const mostAgent = 300

// agent is what a browser calls itself, short and printable.
func agent(r *http.Request) string {
	s := strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, r.UserAgent())
	if len(s) > mostAgent {
		s = strings.ToValidUTF8(s[:mostAgent], "")
	}
	return s
}

// loggedIn is the person who asks, or answers and reports false when it is a program.
func (s *Server) loggedIn(w http.ResponseWriter, r *http.Request) (p store.Person, ok bool) {
	id, _ := identified(r)
	if id.person == "" {
		fail(w, http.StatusNotFound, "only somebody who is logged in has a password and logins; programs and pawl dev have none")
		return p, false
	}
	p, err := s.eng.People().Person(r.Context(), id.person)
	if err != nil {
		s.failWith(w, r, err, "there is no such person")
		return p, false
	}
	return p, true
}

// current is the hash of the login that asks.
func (s *Server) current(r *http.Request) []byte {
	cookie, err := r.Cookie(s.cookieName())
	if err != nil {
		return nil
	}
	return hashed(cookie.Value)
}

// listSessions tells somebody where they are logged in.
func (s *Server) listSessions(w http.ResponseWriter, r *http.Request, _ []byte) {
	p, ok := s.loggedIn(w, r)
	if !ok {
		return
	}
	list, err := s.eng.People().Sessions(r.Context(), p.ID)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	now, current := time.Now(), string(s.current(r))
	views := []sessionView{}
	for _, x := range list {
		if !x.Expires.After(now) || x.Version != p.Version {
			continue // it opens nothing any more
		}
		views = append(views, sessionView{sessionID(x), string(x.Hash) == current, x.Created.UTC(), x.Expires.UTC(), x.Address, x.Agent})
	}
	s.reply(w, views)
}

// endSession ends one of one's own logins.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request, _ []byte) {
	p, ok := s.loggedIn(w, r)
	if !ok {
		return
	}
	list, err := s.eng.People().Sessions(r.Context(), p.ID)
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	for _, x := range list {
		if sessionID(x) != r.PathValue("id") {
			continue
		}
		if err := s.eng.People().RemoveSession(r.Context(), x.Hash); err != nil {
			s.failWith(w, r, err, "")
			return
		}
		s.reply(w, doneView{true})
		return
	}
	fail(w, http.StatusNotFound, "there is no such login: it may have ended already")
}

// endOtherSessions ends one's own logins but the one that asks.
func (s *Server) endOtherSessions(w http.ResponseWriter, r *http.Request, _ []byte) {
	p, ok := s.loggedIn(w, r)
	if !ok {
		return
	}
	if err := s.eng.People().EndSessions(r.Context(), p.ID, s.current(r), s.acted(r, durable.ActEndLogins, p, p)); err != nil {
		s.failWith(w, r, err, "")
		return
	}
	s.reply(w, doneView{true})
}

// endSessions ends all logins of somebody.
func (s *Server) endSessions(w http.ResponseWriter, r *http.Request, _ []byte) {
	p, err := s.eng.People().Person(r.Context(), r.PathValue("id"))
	if err == nil {
		err = s.eng.People().EndSessions(r.Context(), p.ID, nil, s.acted(r, durable.ActEndLogins, p, p))
	}
	if err != nil {
		s.failWith(w, r, err, "there is no such person")
		return
	}
	s.reply(w, doneView{true})
}

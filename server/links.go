package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// linkLife is how long a link by which somebody sets a password can be used.
const linkLife = 72 * time.Hour

// linkView is a link as its maker is told of it, once.
type linkView struct {
	Token     string    `json:"token"` // what comes after the # of /welcome
	ExpiresAt time.Time `json:"expires_at"`
}

// linkPerson makes a link by which somebody sets a password: the first one, or a new
// one in place of one that is forgotten, which holds until then. It takes the place of
// a link that was made before.
func (s *Server) linkPerson(w http.ResponseWriter, r *http.Request, _ []byte) {
	p, err := s.eng.People().Person(r.Context(), r.PathValue("id"))
	if err != nil {
		s.failWith(w, r, err, "there is no such person")
		return
	}
	if p.Disabled {
		fail(w, http.StatusConflict, "they may not log in: let them first")
		return
	}
	secret, now := newSecret(), time.Now()
	l := store.Link{Hash: hashed(secret), Person: p.ID, Version: p.Version, Created: now, Expires: now.Add(linkLife)}
	if err := s.eng.People().AddLink(r.Context(), l, s.acted(r, durable.ActLinkPerson, p, p)); err != nil {
		s.failWith(w, r, err, "there is no such person")
		return
	}
	s.reply(w, linkView{secret, l.Expires.UTC()})
}

// welcomeIn is the body of who has come by a link.
type welcomeIn struct {
	Token    string `json:"token"`             // of the link
	Password string `json:"password,omitzero"` // none: only whose the link is, is told
}

// welcomeView is whom a link is for.
type welcomeView struct {
	Name      string    `json:"name"`
	ExpiresAt time.Time `json:"expires_at"`
}

const linkOver = "this link was used already, has been replaced, or is too old: ask an admin for a new one"

// welcome takes who has come by a link: it tells whose that is, and with a password it
// sets that one, ends the logins of before and logs them in.
func (s *Server) welcome(w http.ResponseWriter, r *http.Request, body []byte) {
	var in welcomeIn
	if !s.personal(w, r) {
		return
	}
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	hash := hashed(in.Token)
	l, err := s.eng.People().LinkOf(r.Context(), hash)
	var p store.Person
	if err == nil {
		p, err = s.eng.People().Person(r.Context(), l.Person)
	}
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (!l.Expires.After(time.Now()) || p.Disabled || p.Version != l.Version):
		fail(w, http.StatusUnauthorized, linkOver)
		return
	case err != nil:
		s.failWith(w, r, err, "")
		return
	case in.Password == "":
		s.reply(w, welcomeView{p.Name, l.Expires.UTC()})
		return
	}
	password, ok := s.newHash(w, r, in.Password, p.Name)
	if !ok {
		return
	}
	p, err = s.eng.People().UseLink(r.Context(), hash, time.Now(), func(p *store.Person) (durable.Act, error) {
		was := *p
		setPassword(p, password)
		return actOn(from(r, p.Name), durable.ActUseLink, was, *p), nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound): // another was faster, or an admin
		fail(w, http.StatusUnauthorized, linkOver)
	case err != nil:
		s.failWith(w, r, err, "")
	default:
		if !s.mayBegin(w, r, p) {
			return
		}
		s.reply(w, welcomeView{p.Name, l.Expires.UTC()})
	}
}

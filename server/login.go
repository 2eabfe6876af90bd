package server

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// loginIn is the body of a login.
type loginIn struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// meView is who asks, and how one can log in.
type meView struct {
	Dev      bool   `json:"dev"`               // nobody has to log in
	Name     string `json:"name,omitzero"`     // of who is logged in
	Role     string `json:"role,omitzero"`     // viewer, operator or admin
	Password bool   `json:"password,omitzero"` // who is logged in has one
	Setup    bool   `json:"setup,omitzero"`    // nobody can log in yet: the link in the server's log says how to begin
	OpenID   string `json:"openid,omitzero"`
}

// me says who asks. It refuses nobody, so that a page can ask whether it has to
// show a login.
func (s *Server) me(w http.ResponseWriter, r *http.Request, _ []byte) {
	v := meView{Dev: s.dev}
	if s.dev {
		v.Name, v.Role = "dev", store.Admin.String()
		s.reply(w, v)
		return
	}
	id, _, err := s.identify(r.Context(), r)
	if err != nil && !errors.Is(err, errStranger) {
		s.failWith(w, r, err, "")
		return
	}
	if err == nil {
		v.Name, v.Role, v.Password = id.name, id.role.String(), id.secret
	}
	v.Setup = s.logins.open()
	if s.openID != nil {
		v.OpenID = s.openID.name
	}
	s.reply(w, v)
}

// login takes a name and a password.
func (s *Server) login(w http.ResponseWriter, r *http.Request, body []byte) {
	var in loginIn
	if !s.personal(w, r) {
		return
	}
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	p, err := s.eng.People().PersonNamed(r.Context(), clipped(in.Name))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.failWith(w, r, err, "")
		return
	}
	good, ok := s.tried(w, r, store.NameKey(clipped(in.Name)), in.Password, p)
	if !ok {
		return
	}
	if !good {
		s.log.WarnContext(r.Context(), "a login failed", "name", printable(in.Name), "from", address(r))
		fail(w, http.StatusUnauthorized, "the name or the password is wrong")
		return
	}
	s.logIn(w, r, p)
}

// clipped bounds a name that somebody typed.
func clipped(name string) string {
	name = strings.TrimSpace(name)
	return name[:min(len(name), mostName)]
}

// logIn begins a session and answers with who it is.
func (s *Server) logIn(w http.ResponseWriter, r *http.Request, p store.Person) {
	if !s.mayBegin(w, r, p) {
		return
	}
	s.reply(w, meView{Name: p.Name, Role: p.Role.String(), Password: p.Password != ""})
}

// mayBegin begins a session, or answers and reports false: they may have been shut out
// since they were let in.
func (s *Server) mayBegin(w http.ResponseWriter, r *http.Request, p store.Person) bool {
	err := s.beginSession(w, r, p)
	switch {
	case errors.Is(err, store.ErrNotFound):
		fail(w, http.StatusUnauthorized, errMeanwhile.Error())
	case err != nil:
		s.failWith(w, r, err, "")
	}
	return err == nil
}

func (s *Server) beginSession(w http.ResponseWriter, r *http.Request, p store.Person) error {
	secret, now := newSecret(), time.Now()
	x := store.Session{Hash: hashed(secret), Person: p.ID, Version: p.Version, Created: now, Expires: now.Add(sessionLife), Address: address(r), Agent: agent(r)}
	act := durable.Act{At: now, By: from(r, p.Name), What: durable.ActLogin, Object: "person/" + p.Name}
	if err := s.eng.People().AddSession(r.Context(), x, act); err != nil {
		return err
	}
	s.setCookie(w, secret)
	return nil
}

// logout ends a session.
func (s *Server) logout(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.personal(w, r) {
		return
	}
	if cookie, err := r.Cookie(s.cookieName()); err == nil {
		if err := s.eng.People().RemoveSession(r.Context(), hashed(cookie.Value)); err != nil {
			s.failWith(w, r, err, "")
			return
		}
	}
	s.setCookie(w, "")
	s.reply(w, doneView{true})
}

// personal refuses what has no meaning in dev, and pages of other origins.
func (s *Server) personal(w http.ResponseWriter, r *http.Request) bool {
	if s.dev {
		fail(w, http.StatusNotFound, "pawl dev knows no people: everybody on this machine may do everything")
		return false
	}
	if err := s.origin.Check(r); err != nil {
		fail(w, http.StatusForbidden, "a page of another origin may not do this")
		return false
	}
	return true
}

// setupIn is the body of the first setup.
type setupIn struct {
	Token    string `json:"token"` // of the link
	Name     string `json:"name"`
	Password string `json:"password"`
}

// setup makes the first admin, by the link that the server has printed.
func (s *Server) setup(w http.ResponseWriter, r *http.Request, body []byte) {
	var in setupIn
	if !s.personal(w, r) {
		return
	}
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	s.logins.mu.Lock()
	want := s.logins.setup
	s.logins.mu.Unlock()
	if want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(in.Token)) != 1 {
		fail(w, http.StatusUnauthorized, "the setup link is not valid, or was used: an admin can make people; if there is none, the server prints a new link when it starts")
		return
	}
	p, message := newPerson(in.Name, store.Admin)
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	hash, ok := s.newHash(w, r, in.Password, p.Name)
	if !ok {
		return
	}
	p.Password = hash
	err := s.eng.People().AddPerson(r.Context(), p, true, actOn(from(r, p.Name), durable.ActSetup, store.Person{}, p))
	if err != nil && !errors.Is(err, store.ErrExists) {
		s.failWith(w, r, err, "")
		return
	}
	s.logins.mu.Lock()
	s.logins.setup = "" // somebody is there
	s.logins.mu.Unlock()
	if err != nil {
		fail(w, http.StatusConflict, "somebody has set Pawl up already")
		return
	}
	s.logIn(w, r, p)
}

// newPerson is a new person, or says what is wrong with the name.
func newPerson(name string, role store.Role) (p store.Person, message string) {
	name, message = newName(name)
	if message == "" && likeAnActor(name) {
		message = notAnActor
	}
	return store.Person{ID: engine.NewID(), Name: name, Role: role, Created: time.Now().UTC(), Version: 1}, message
}

// newName is a name of a person or a token as it is kept, or says what is wrong with it.
func newName(name string) (kept, message string) {
	kept = norm.NFC.String(strings.TrimSpace(name))
	switch {
	case kept == "" || len(kept) > mostName || strings.ContainsFunc(kept, func(r rune) bool { return !unicode.IsPrint(r) }):
		message = "name must be 1 to 200 printable characters, such as a mail address"
	case strings.Contains(plain(kept), " from "):
		message = `name must not have " from " in it: the audit log says from where somebody acts`
	}
	return kept, message
}

// notAnActor is told of a name that could be taken for another's in the audit log.
const notAnActor = `name must not be "signing key", "dev", "the program" or "token", or begin with "token ": so the audit log calls those that are not people`

// likeAnActor reports whether the audit log calls somebody else that, or nearly.
func likeAnActor(name string) bool {
	name = plain(name)
	return name == "signing key" || name == "dev" || name == "the program" || name == "token" || strings.HasPrefix(name, "token ")
}

// plain is a name as it looks, more or less: one letter case, and one width.
func plain(name string) string {
	return strings.Join(strings.Fields(store.NameKey(norm.NFKC.String(name))), " ")
}

// passwordProblem says what is wrong with a password, or "".
func passwordProblem(password, name string) string {
	password = norm.NFC.String(password)
	length := utf8.RuneCountInString(password)
	first, _ := utf8.DecodeRuneInString(password)
	switch {
	case length < leastPassword:
		return "password must have at least 12 characters"
	case length > mostPassword:
		return "password must have at most 256 characters"
	case strings.TrimSpace(password) == "":
		return "password must not be all spaces"
	case strings.Trim(password, string(first)) == "":
		return "password must not be one character again and again"
	case store.NameKey(password) == store.NameKey(name):
		return "password must not be the name"
	}
	return ""
}

// from is who acts, and from where, as the audit log says it.
func from(r *http.Request, who string) string { return who + " from " + address(r) }

// address is where a request comes from.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

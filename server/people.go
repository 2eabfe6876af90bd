package server

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// maxPersonBody bounds what logs in and what makes people and tokens, in bytes.
const maxPersonBody = 16 << 10

// peopleRoutes are those by which people log in, and by which an admin says who may.
var peopleRoutes = []route{
	{method: "GET", pattern: "/v1/me", who: anyone, serve: (*Server).me},
	{method: "POST", pattern: "/v1/me/password", who: signingKey, mark: personal, key: refusesKey, serve: (*Server).changePassword, body: maxPersonBody, json: true},
	{method: "POST", pattern: "/v1/login", who: anyone, mark: personal, key: refusesKey, serve: (*Server).login, body: maxPersonBody, json: true},
	{method: "POST", pattern: "/v1/logout", who: anyone, mark: personal, key: sameAgain, serve: (*Server).logout},
	{method: "POST", pattern: "/v1/setup", who: anyone, mark: personal, key: refusesKey, serve: (*Server).setup, body: maxPersonBody, json: true},
	{method: "POST", pattern: "/v1/welcome", who: anyone, mark: personal, key: refusesKey, serve: (*Server).welcome, body: maxPersonBody, json: true},
	{method: "GET", pattern: "/v1/me/sessions", who: signingKey, serve: (*Server).listSessions},
	{method: "DELETE", pattern: "/v1/me/sessions", who: signingKey, mark: personal, key: sameAgain, serve: (*Server).endOtherSessions},
	{method: "DELETE", pattern: "/v1/me/sessions/{id}", who: signingKey, mark: personal, key: sameAgain, serve: (*Server).endSession},
	{method: "GET", pattern: "/v1/login/openid", who: anyone, serve: (*Server).askOpenID},
	{method: "GET", pattern: "/v1/login/openid/callback", who: anyone, serve: (*Server).fromOpenID},
	{method: "GET", pattern: "/v1/people", who: signingKey, serve: (*Server).listPeople},
	{method: "POST", pattern: "/v1/people", who: signingKey, mark: act, key: sameAgain, serve: (*Server).addPerson, body: maxPersonBody, json: true},
	{method: "PATCH", pattern: "/v1/people/{id}", who: signingKey, mark: act, key: sameAgain, serve: (*Server).changePerson, body: maxPersonBody, json: true},
	{method: "DELETE", pattern: "/v1/people/{id}", who: signingKey, mark: act, key: sameAgain, serve: (*Server).removePerson},
	{method: "POST", pattern: "/v1/people/{id}/link", who: signingKey, mark: act, key: refusesKey, serve: (*Server).linkPerson, tells: true},
	{method: "DELETE", pattern: "/v1/people/{id}/sessions", who: signingKey, mark: act, key: sameAgain, serve: (*Server).endSessions},
	{method: "GET", pattern: "/v1/keys", who: signingKey, serve: (*Server).listSecrets},
	{method: "GET", pattern: "/v1/tokens", who: signingKey, serve: (*Server).listTokens},
	{method: "POST", pattern: "/v1/tokens", who: signingKey, mark: act, key: refusesKey, serve: (*Server).addToken, body: maxPersonBody, json: true, tells: true},
	{method: "DELETE", pattern: "/v1/tokens/{id}", who: signingKey, mark: act, key: sameAgain, serve: (*Server).removeToken},
}

// Bounds of what an admin can make.
const (
	mostPeople = 1000
	mostTokens = 1000
)

// personView is somebody who may log in.
type personView struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Password  bool       `json:"password"` // they have one
	OpenID    bool       `json:"openid"`   // an OpenID provider knows them
	Disabled  bool       `json:"disabled"`
	CreatedAt time.Time  `json:"created_at"`
	SeenAt    *time.Time `json:"seen_at"`    // when they last logged in; null: never
	LinkUntil *time.Time `json:"link_until"` // how long a link to set a password can be used; null: there is none
}

func viewPerson(p store.Person) personView {
	return personView{p.ID, p.Name, p.Role.String(), p.Password != "", p.Subject != "", p.Disabled, p.Created.UTC(), timeOrNull(p.Seen), nil}
}

// personIn makes or changes somebody. Of a change, what is left out stays.
type personIn struct {
	Name     *string `json:"name,omitzero"`
	Role     *string `json:"role,omitzero"`
	Password *string `json:"password,omitzero"` // none: they log in by OpenID, with name as their mail address
	Disabled *bool   `json:"disabled,omitzero"`
}

func (s *Server) listPeople(w http.ResponseWriter, r *http.Request, _ []byte) {
	list, err := s.eng.People().People(r.Context())
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	links, err := s.eng.People().Links(r.Context())
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	now, until := time.Now(), map[string]store.Link{}
	for _, l := range links {
		until[l.Person] = l
	}
	views := make([]personView, len(list))
	for i, p := range list {
		views[i] = viewPerson(p)
		if l := until[p.ID]; l.Expires.After(now) && l.Version == p.Version {
			views[i].LinkUntil = timeOrNull(l.Expires)
		}
	}
	s.reply(w, views)
}

func (s *Server) addPerson(w http.ResponseWriter, r *http.Request, body []byte) {
	var in personIn
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	if in.Name == nil || in.Role == nil {
		fail(w, http.StatusBadRequest, "name and role are required")
		return
	}
	list, err := s.eng.People().People(r.Context())
	switch {
	case err != nil:
		s.failWith(w, r, err, "")
		return
	case len(list) >= mostPeople:
		fail(w, http.StatusUnprocessableEntity, "there are 1000 people, which is the most: remove some")
		return
	}
	p, message := newPerson(*in.Name, store.Nobody)
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	fill, ok := s.toFill(w, r, in, p.Name)
	if !ok {
		return
	}
	fill(&p)
	s.changedPerson(w, r, p, s.eng.People().AddPerson(r.Context(), p, false, s.acted(r, durable.ActAddPerson, store.Person{}, p)))
}

func (s *Server) changePerson(w http.ResponseWriter, r *http.Request, body []byte) {
	var in personIn
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	p, err := s.eng.People().Person(r.Context(), r.PathValue("id"))
	if err != nil {
		s.failWith(w, r, err, "there is no such person")
		return
	}
	name := p.Name
	if in.Name != nil && *in.Name != p.Name { // who is there may be called what nobody new may
		named, message := newPerson(*in.Name, store.Nobody)
		if message != "" {
			fail(w, http.StatusBadRequest, message)
			return
		}
		name = named.Name
	}
	fill, ok := s.toFill(w, r, in, name)
	if !ok {
		return
	}
	p, err = s.eng.People().ChangePerson(r.Context(), p.ID, s.able, func(p *store.Person) (durable.Act, error) {
		was := *p
		if in.Name != nil {
			p.Name = name
		}
		fill(p)
		return s.acted(r, durable.ActChangePerson, was, *p), nil
	})
	s.changedPerson(w, r, p, err)
}

// toFill returns what puts into somebody what in says beside the name, which is theirs
// then. What takes time is done before that. It answers and reports false when something
// is wrong with in. Logins end when there is a new password, and when they are let in or
// shut out.
func (s *Server) toFill(w http.ResponseWriter, r *http.Request, in personIn, name string) (fill func(*store.Person), ok bool) {
	var role store.Role
	if in.Role != nil {
		if role, ok = store.ParseRole(*in.Role); !ok {
			fail(w, http.StatusBadRequest, "role must be viewer, operator or admin")
			return nil, false
		}
	}
	var hash string
	if in.Password != nil {
		if hash, ok = s.newHash(w, r, *in.Password, name); !ok {
			return nil, false
		}
	}
	return func(p *store.Person) {
		if in.Role != nil {
			p.Role = role
		}
		if in.Disabled != nil && *in.Disabled != p.Disabled {
			p.Disabled = *in.Disabled
			p.Version++
		}
		if in.Password != nil {
			setPassword(p, hash)
		}
	}, true
}

// newHash is that of the password that somebody of that name is to have. It answers and
// reports false when they cannot have it.
func (s *Server) newHash(w http.ResponseWriter, r *http.Request, password, name string) (hash string, ok bool) {
	if message := passwordProblem(password, name); message != "" {
		fail(w, http.StatusBadRequest, message)
		return "", false
	}
	hash, err := s.logins.hash(r, password)
	if err != nil {
		s.failWith(w, r, err, "")
		return "", false
	}
	return hash, true
}

// setPassword gives somebody a password: logins of before end.
func setPassword(p *store.Person, hash string) {
	p.Password = hash
	p.Version++
}

// acted is a line of the audit log for what was done to somebody by who asks.
func (s *Server) acted(r *http.Request, what string, was, is store.Person) durable.Act {
	return actOn(s.actor(r), what, was, is)
}

// actOn is a line of the audit log for what was done to somebody, who is new when was is
// zero. It goes by the name that they had, and its detail says what they may do, what
// has become of them, and how that was before; of passwords, only that there was one.
func actOn(by, what string, was, is store.Person) durable.Act {
	now, before := map[string]any{"role": is.Role.String()}, map[string]any{}
	if was.ID == "" {
		was.Name, was.Role = is.Name, is.Role
	}
	note := func(field string, changed bool, from, to any) {
		if changed {
			before[field], now[field] = from, to
		}
	}
	note("name", was.Name != is.Name, was.Name, is.Name)
	note("role", was.Role != is.Role, was.Role.String(), is.Role.String())
	note("disabled", was.Disabled != is.Disabled, was.Disabled, is.Disabled)
	note("password", was.Password != is.Password, map[bool]string{true: "none", false: "another"}[was.Password == ""], "new")
	note("openid", was.Subject != is.Subject, was.Subject, is.Subject)
	if was.ID != "" && len(before) > 0 {
		now["was"] = before
	}
	return durable.Act{At: time.Now(), By: by, What: what, Object: "person/" + was.Name, Detail: detailOf(now)}
}

func detailOf(facts map[string]any) durable.JSON {
	b, err := json.Marshal(facts, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic("server: the detail of an act cannot be encoded: " + err.Error()) // it is made of text
	}
	return durable.JSON(b)
}

// changedPerson answers for a change of people.
func (s *Server) changedPerson(w http.ResponseWriter, r *http.Request, p store.Person, err error) {
	switch {
	case err == nil:
		s.reply(w, viewPerson(p))
	case errors.Is(err, store.ErrExists):
		fail(w, http.StatusConflict, "there is somebody of that name already")
	case errors.Is(err, store.ErrLastAdmin):
		fail(w, http.StatusConflict, err.Error())
	default:
		s.failWith(w, r, err, "there is no such person")
	}
}

func (s *Server) removePerson(w http.ResponseWriter, r *http.Request, _ []byte) {
	p, err := s.eng.People().Person(r.Context(), r.PathValue("id"))
	if err == nil {
		err = s.eng.People().RemovePerson(r.Context(), p.ID, s.able, s.acted(r, durable.ActRemovePerson, p, p))
	}
	s.changedPerson(w, r, p, err)
}

// able is a store.Able: by a password, or by the OpenID provider that is set now. Whom
// that would only know by the mail address that is their name has to come first, and so
// has who was given a link: nobody knows whether they ever do.
func (s *Server) able(p store.Person) bool {
	return p.Password != "" || s.openID != nil && s.openID.knows(p)
}

// passwordIn is the body of a change of one's own password.
type passwordIn struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// changePassword changes one's own password. Other sessions end.
func (s *Server) changePassword(w http.ResponseWriter, r *http.Request, body []byte) {
	var in passwordIn
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	p, ok := s.loggedIn(w, r)
	if !ok {
		return
	}
	if message := passwordProblem(in.New, p.Name); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	good, ok := s.tried(w, r, p.ID, in.Old, p)
	if !ok {
		return
	}
	if !good {
		fail(w, http.StatusForbidden, "the old password is wrong")
		return
	}
	hash, ok := s.newHash(w, r, in.New, p.Name)
	if !ok {
		return
	}
	version := p.Version
	p, err := s.eng.People().ChangePerson(r.Context(), p.ID, s.able, func(p *store.Person) (durable.Act, error) {
		if p.Disabled || p.Version != version { // it is not the password any more that was asked for
			return durable.Act{}, errMeanwhile
		}
		was := *p
		setPassword(p, hash)
		return s.acted(r, durable.ActPassword, was, *p), nil
	})
	switch {
	case errors.Is(err, errMeanwhile):
		fail(w, http.StatusUnauthorized, err.Error())
	case err != nil:
		s.failWith(w, r, err, "there is no such person")
	default:
		s.logIn(w, r, p)
	}
}

// errMeanwhile means that somebody else has done something to who asks, while they did.
var errMeanwhile = errors.New("what you log in with has changed meanwhile, or you may not log in any more: log in again")

// tokenView is a token without its secret, but for the one time that it is made.
type tokenView struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Scopes    []string   `json:"scopes"` // areas of the API that it is for; empty: all
	By        string     `json:"by"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	UsedAt    *time.Time `json:"used_at"` // when it was last shown, to the minute; null: never
	Token     string     `json:"token,omitzero"`
}

func viewToken(t store.Token) tokenView {
	return tokenView{ID: t.ID, Name: t.Name, Role: t.Role.String(), Scopes: slices.Concat([]string{}, t.Scopes), By: t.By, CreatedAt: t.Created.UTC(), ExpiresAt: timeOrNull(t.Expires), UsedAt: timeOrNull(t.Used)}
}

// tokenIn makes a token.
type tokenIn struct {
	Name   string   `json:"name"`
	Role   string   `json:"role"`
	Scopes []string `json:"scopes,omitzero"` // areas of the API that it is for; all when none is given
	Life   string   `json:"life,omitzero"`   // such as 90d; for ever when it is not given
}

func (s *Server) listTokens(w http.ResponseWriter, r *http.Request, _ []byte) {
	list, err := s.eng.People().Tokens(r.Context())
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	views := make([]tokenView, len(list))
	for i, t := range list {
		views[i] = viewToken(t)
	}
	s.reply(w, views)
}

func (s *Server) addToken(w http.ResponseWriter, r *http.Request, body []byte) {
	var in tokenIn
	if message := read(body, &in); message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	name, message := newName(in.Name)
	role, ok := store.ParseRole(in.Role)
	areas, wrong := checkScopes(in.Scopes)
	now := time.Now().UTC()
	t := store.Token{ID: engine.NewID(), Name: name, Role: role, Scopes: areas, By: s.actor(r), Created: now}
	switch {
	case message != "":
	case !ok:
		message = "role must be viewer, operator or admin"
	case wrong != "":
		message = wrong
	case in.Life != "":
		life, err := wire.ParseDuration(in.Life)
		if err != nil || life <= 0 {
			message = "life must be a time such as 90d"
		}
		t.Expires = now.Add(life)
	}
	if message != "" {
		fail(w, http.StatusBadRequest, message)
		return
	}
	list, err := s.eng.People().Tokens(r.Context())
	switch {
	case err != nil:
		s.failWith(w, r, err, "")
		return
	case len(list) >= mostTokens:
		fail(w, http.StatusUnprocessableEntity, "there are 1000 tokens, which is the most: remove some")
		return
	}
	secret := tokenPrefix + newSecret()
	t.Hash = hashed(secret)
	err = s.eng.People().AddToken(r.Context(), t, s.actOnToken(r, durable.ActAddToken, t))
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	v := viewToken(t)
	v.Token = secret
	s.reply(w, v)
}

// actOnToken is a line of the audit log for a token that was made or removed.
func (s *Server) actOnToken(r *http.Request, what string, t store.Token) durable.Act {
	facts := map[string]any{"id": t.ID, "role": t.Role.String(), "scopes": "all", "expires": "never"}
	if len(t.Scopes) > 0 {
		facts["scopes"] = strings.Join(t.Scopes, ",")
	}
	if !t.Expires.IsZero() {
		facts["expires"] = t.Expires.UTC().Format(time.RFC3339)
	}
	return durable.Act{At: time.Now(), By: s.actor(r), What: what, Object: "token/" + t.Name, Detail: detailOf(facts)}
}

func (s *Server) removeToken(w http.ResponseWriter, r *http.Request, _ []byte) {
	id := r.PathValue("id")
	list, err := s.eng.People().Tokens(r.Context())
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	i := slices.IndexFunc(list, func(t store.Token) bool { return t.ID == id })
	if i < 0 {
		fail(w, http.StatusNotFound, "there is no such token")
		return
	}
	if err := s.eng.People().RemoveToken(r.Context(), id, s.actOnToken(r, durable.ActRemoveToken, list[i])); err != nil {
		s.failWith(w, r, err, "there is no such token")
		return
	}
	s.used.forget(id)
	s.reply(w, doneView{true})
}

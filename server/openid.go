package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/text/unicode/norm"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// OpenID is a provider by which people log in. It says who somebody is; what they
// may do is said here.
type OpenID struct {
	Name     string // for people, such as Google
	Issuer   string // URL
	ClientID string
	Secret   string
	// Newcomers is the role of whom the provider knows and nobody here does; Nobody:
	// they cannot log in until an admin has added them by their mail address.
	Newcomers store.Role
}

// openIDTimeout is for what is asked of a provider.
const openIDTimeout = 10 * time.Second

// stateCookie keeps what must come back from the provider. It is lax, since it has to
// come along when the provider sends the browser back.
const (
	stateCookie = "pawl-login"
	stateLife   = 10 * time.Minute
)

type openID struct {
	OpenID
	name     string
	callback string

	mu       sync.Mutex
	provider *oidc.Provider // once it has answered
}

func newOpenID(c *OpenID, public *url.URL) *openID {
	if c == nil || public == nil {
		return nil
	}
	return &openID{OpenID: *c, name: c.Name, callback: public.JoinPath("/v1/login/openid/callback").String()}
}

// config asks the provider where its things are, until it has answered once.
func (o *openID) config(ctx context.Context) (*oauth2.Config, *oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		p, err := oidc.NewProvider(ctx, o.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("the OpenID provider cannot be asked: %w", err)
		}
		o.provider = p
	}
	return &oauth2.Config{
		ClientID: o.ClientID, ClientSecret: o.Secret, Endpoint: o.provider.Endpoint(), RedirectURL: o.callback,
		Scopes: []string{oidc.ScopeOpenID, "email", "profile"},
	}, o.provider, nil
}

// askOpenID sends a browser to the provider.
func (s *Server) askOpenID(w http.ResponseWriter, r *http.Request, _ []byte) {
	if s.openID == nil {
		fail(w, http.StatusNotFound, "no OpenID provider is set: --openid-issuer and --public-url")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), openIDTimeout)
	defer cancel()
	c, _, err := s.openID.config(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "a login by OpenID failed", "err", err)
		s.loginFailed(w, r, http.StatusBadGateway, "The provider cannot be asked just now.")
		return
	}
	state, verifier := newSecret(), oauth2.GenerateVerifier()
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // it is secure where browsers come over TLS
		Name: stateCookie, Value: state + "." + verifier, Path: "/v1/login/openid", HttpOnly: true, Secure: s.secure(),
		SameSite: http.SameSiteLaxMode, MaxAge: int(stateLife / time.Second),
	})
	http.Redirect(w, r, c.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonceOf(state))), http.StatusSeeOther)
}

// nonceOf ties an answer of the provider to a state without telling the provider.
func nonceOf(state string) string { return fmt.Sprintf("%x", hashed("nonce "+state)) }

// fromOpenID takes whom the provider has sent back.
func (s *Server) fromOpenID(w http.ResponseWriter, r *http.Request, _ []byte) {
	if s.openID == nil {
		fail(w, http.StatusNotFound, "no OpenID provider is set: --openid-issuer and --public-url")
		return
	}
	cookie, err := r.Cookie(stateCookie)
	state, verifier, _ := strings.Cut(valueOf(cookie), ".")
	http.SetCookie(w, &http.Cookie{Name: stateCookie, Path: "/v1/login/openid", HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode, MaxAge: -1}) //nolint:gosec // as above
	if err != nil || state == "" || subtle.ConstantTimeCompare([]byte(state), []byte(r.URL.Query().Get("state"))) != 1 {
		s.loginFailed(w, r, http.StatusBadRequest, "This login was not begun here, or took too long. Try it again.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), openIDTimeout)
	defer cancel()
	who, err := s.openID.who(ctx, r.URL.Query().Get("code"), verifier, nonceOf(state))
	if err != nil {
		s.log.WarnContext(ctx, "a login by OpenID failed", "err", err, "from", address(r))
		s.loginFailed(w, r, http.StatusUnauthorized, "The provider did not say who you are.")
		return
	}
	p, err := s.known(ctx, r, who)
	switch {
	case errors.Is(err, errStranger):
		s.log.WarnContext(ctx, "a login by OpenID was refused", "name", printable(who.mail), "subject", printable(who.subject), "missing", who.missing, "from", address(r))
		message := who.missing
		if message == "" {
			message = "Nobody here is known as " + printable(who.mail) + ". Ask an admin to add you."
		}
		s.loginFailed(w, r, http.StatusForbidden, message)
		return
	case err == nil:
		err = s.beginSession(w, r, p)
	}
	if errors.Is(err, store.ErrNotFound) { // they were shut out in this moment
		s.loginFailed(w, r, http.StatusForbidden, "You may not log in any more. Ask an admin.")
		return
	}
	if err != nil {
		s.log.ErrorContext(ctx, "a login by OpenID failed", "err", err)
		s.loginFailed(w, r, http.StatusInternalServerError, "The login could not be kept; the server's log says why.")
		return
	}
	// A browser sends a strict cookie only when a page of ours asks.
	w.Header().Set("Refresh", "0; url=/")
	s.render(w, r, http.StatusOK, "failed.html", page{Title: "Welcome", Data: "You are logged in as " + printable(p.Name) + "."})
}

func valueOf(c *http.Cookie) string {
	if c == nil {
		return ""
	}
	return c.Value
}

func (s *Server) loginFailed(w http.ResponseWriter, r *http.Request, status int, message string) {
	s.render(w, r, status, "failed.html", page{Title: "Not logged in", Data: message, Back: "/login"})
}

// claimed is who somebody is, as a provider has signed it.
type claimed struct {
	subject string
	mail    string // "": there is none that they have shown to be theirs
	missing string // why there is none, for them and for whoever set the provider up
}

// truth is a claim that is true or false. Some providers write it as text.
type truth bool

func (v *truth) UnmarshalJSON(b []byte) error {
	*v = string(b) == "true" || string(b) == `"true"`
	return nil
}

func (o *openID) who(ctx context.Context, code, verifier, nonce string) (claimed, error) {
	c, provider, err := o.config(ctx)
	if err != nil {
		return claimed{}, err
	}
	got, err := c.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return claimed{}, err
	}
	raw, ok := got.Extra("id_token").(string)
	if !ok {
		return claimed{}, errors.New("the provider gave no id_token")
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return claimed{}, err
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {
		return claimed{}, errors.New("the id_token is of another login")
	}
	var mail struct {
		Email    string `json:"email"`
		Verified *truth `json:"email_verified"`
	}
	if err := token.Claims(&mail); err != nil {
		return claimed{}, err
	}
	who := claimed{subject: token.Issuer + "|" + token.Subject}
	const ask = " Ask an admin: it is a matter of how the provider is set up."
	switch {
	case mail.Email == "":
		who.missing = "The provider did not say what your mail address is (it sent no email)." + ask
	case mail.Verified == nil:
		who.missing = "The provider did not say whether " + printable(mail.Email) + " is your mail address (it sent no email_verified)." + ask
	case !bool(*mail.Verified):
		who.missing = "The provider says that nobody has verified that " + printable(mail.Email) + " is your mail address (email_verified is not true). Verify it there, and come again."
	default:
		who.mail = mail.Email
	}
	return who, nil
}

// knows reports whether the provider, and not one that was set before, has called
// somebody something.
func (o *openID) knows(p store.Person) bool {
	issuer, _, _ := strings.Cut(p.Subject, "|")
	return issuer == o.Issuer || issuer == strings.TrimPrefix(o.Issuer, "https://") // as Google writes itself
}

// sameMail reports whether a name is a mail address, in whatever case of ASCII letters.
// Names are compared more freely than mail addresses may be: two addresses that are one
// name can be of two people.
func sameMail(name, mail string) bool {
	lower := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, norm.NFC.String(s))
	}
	return lower(name) == lower(mail)
}

// known is the person whom a provider means: by what it has called them before, or
// the first time by their mail address.
func (s *Server) known(ctx context.Context, r *http.Request, who claimed) (store.Person, error) {
	people := s.eng.People()
	p, err := people.PersonOf(ctx, who.subject)
	if errors.Is(err, store.ErrNotFound) && who.mail != "" {
		p, err = people.PersonNamed(ctx, who.mail)
		switch {
		case err == nil && !sameMail(p.Name, who.mail):
			return p, errStranger
		case err == nil:
			return people.ChangePerson(ctx, p.ID, s.able, func(is *store.Person) (durable.Act, error) {
				if is.Disabled || is.Name != p.Name || is.Subject != "" && is.Subject != who.subject {
					return durable.Act{}, errStranger // another had the address before
				}
				was := *is
				is.Subject = who.subject
				return actOn(from(r, is.Name), durable.ActOpenID, was, *is), nil
			})
		case errors.Is(err, store.ErrNotFound) && s.openID.Newcomers > store.Nobody:
			var message string
			if p, message = newPerson(who.mail, s.openID.Newcomers); message != "" {
				return p, errStranger
			}
			p.Subject = who.subject
			return p, people.AddPerson(ctx, p, false, actOn(from(r, p.Name), durable.ActAddPerson, store.Person{}, p))
		}
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && p.Disabled {
		return p, errStranger
	}
	return p, err
}

package store

import (
	"context"
	"errors"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/pawlhq/pawl/internal/durable"
)

// Role is what a person, or a token, may do.
type Role int8

// The numbers are stored; they never change. Each may do what those below it may.
const (
	Nobody   Role = 0
	Viewer   Role = 1 // read
	Operator Role = 2 // also change what runs: cancel, retry, pause
	Admin    Role = 3 // also say who may do what
)

var roleNames = [...]string{"nobody", "viewer", "operator", "admin"}

func (r Role) String() string {
	if r < 0 || int(r) >= len(roleNames) {
		return roleNames[0]
	}
	return roleNames[r]
}

// ParseRole knows "viewer", "operator" and "admin".
func ParseRole(name string) (Role, bool) {
	for r := Viewer; r <= Admin; r++ {
		if roleNames[r] == name {
			return r, true
		}
	}
	return Nobody, false
}

// Person is somebody who may log in.
type Person struct {
	ID       string // ULID
	Name     string // by which they log in, such as a mail address; its NameKey is unique among those that were given since that is compared
	Role     Role
	Password string // its argon2id hash; "" when they have none
	Subject  string // by which an OpenID provider knows them: issuer and subject; "" when none does
	Created  time.Time
	Disabled bool
	// Version rises when what they log in with changes: sessions of an earlier one
	// are over.
	Version int
	Seen    time.Time // when they last logged in; zero: never. Only logins change it
}

// NameKey is the same for names of people that are one name: in another letter case, or
// written with other code points.
func NameKey(name string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(name)))
}

// Token is what a program shows in a person's place.
type Token struct {
	ID      string // ULID
	Name    string // for people
	Role    Role
	Scopes  []string // areas of the API that it is for; none: all
	Hash    []byte   // SHA-256 of the token, which itself is not kept
	By      string   // who made it
	Created time.Time
	Expires time.Time // zero: never
	Used    time.Time // when it was last shown, about; zero: never
}

// Link is a secret by which somebody sets a password, once.
type Link struct {
	Hash    []byte // SHA-256 of the secret
	Person  string // id
	Version int    // of the person, when it was made: a link of an earlier one is over
	Created time.Time
	Expires time.Time
}

// Session is a login.
type Session struct {
	Hash    []byte // SHA-256 of what the browser shows
	Person  string // id
	Version int    // of the person, when they logged in
	Created time.Time
	Expires time.Time
	Address string // from where they logged in
	Agent   string // what their browser calls itself
}

// Edit changes somebody as they are when the change is written, and returns the line of
// the audit log that tells it. Its error refuses: nothing is written, and the caller gets
// it. It may be called more than once, within a transaction: it looks at nothing but whom
// it is given, and takes no time.
type Edit func(p *Person) (durable.Act, error)

// Able says whether somebody has something to log in with, as things are set up now.
type Able func(Person) bool

// ErrLastAdmin means that nobody would be left who can log in and say who may do what.
var ErrLastAdmin = errors.New("the last admin who can log in cannot go, be shut out or lose the role: " +
	"make another one first, who has set a password or has logged in by OpenID")

// People keeps who may do what. Every change is one transaction with its line of
// the audit log.
type People interface {
	// AddPerson writes a new one. With first it fails with ErrExists when there is
	// any already, otherwise when the name is taken.
	AddPerson(ctx context.Context, p Person, first bool, act durable.Act) error
	// ChangePerson changes one, and returns how they are then. It fails with
	// ErrNotFound, with ErrExists when the name is another's, with ErrLastAdmin, and
	// with the error of the edit. What changes nothing leaves no line.
	//
	// ErrLastAdmin is that of an admin of whom no other is left who is able to log in.
	// Where they are not able themselves, any other admin is enough.
	ChangePerson(ctx context.Context, id string, able Able, edit Edit) (Person, error)
	// RemovePerson forgets one, with the sessions. ErrNotFound, ErrLastAdmin.
	RemovePerson(ctx context.Context, id string, able Able, act durable.Act) error
	People(ctx context.Context) ([]Person, error)
	// Person returns one by id, PersonNamed by a name with the same NameKey, and
	// PersonOf by Subject: ErrNotFound. Of two with the same one, PersonNamed returns
	// whose name differs in the case of ASCII letters at most.
	Person(ctx context.Context, id string) (Person, error)
	PersonNamed(ctx context.Context, name string) (Person, error)
	PersonOf(ctx context.Context, subject string) (Person, error)

	// AddLink writes a link in place of one that its person had: ErrNotFound when there
	// is no such person. Links returns all of them, LinkOf that of a hash, also one that
	// is over: ErrNotFound.
	AddLink(ctx context.Context, l Link, act durable.Act) error
	Links(ctx context.Context) ([]Link, error)
	LinkOf(ctx context.Context, hash []byte) (Link, error)
	// UseLink forgets a link and changes its person, and returns how they are then.
	// ErrNotFound when the link was used or replaced or is over at that time, or when
	// they are disabled or what they log in with has changed since it was made.
	UseLink(ctx context.Context, hash []byte, at time.Time, edit Edit) (Person, error)

	// AddToken writes a token, RemoveToken forgets it. ErrNotFound.
	AddToken(ctx context.Context, t Token, act durable.Act) error
	RemoveToken(ctx context.Context, id string, act durable.Act) error
	Tokens(ctx context.Context) ([]Token, error)
	// TokenOf returns the token of a hash, also one that has expired: ErrNotFound.
	TokenOf(ctx context.Context, hash []byte) (Token, error)
	// UseToken notes when a token was shown. It is no error when there is none.
	UseToken(ctx context.Context, id string, at time.Time) error

	// AddSession writes a login, and forgets some that are over: ErrNotFound when its
	// person is not there any more, is disabled, or logs in with something else since.
	// RemoveSession ends one; it is no error when there is none.
	AddSession(ctx context.Context, s Session, act durable.Act) error
	RemoveSession(ctx context.Context, hash []byte) error
	// Sessions returns somebody's logins, newest first, at most 200; some may be over.
	Sessions(ctx context.Context, person string) ([]Session, error)
	// EndSessions ends all logins of somebody but that of keep, which may be nil. Where
	// there is none it writes nothing, also no line.
	EndSessions(ctx context.Context, person string, keep []byte, act durable.Act) error
	// SessionOf returns the session of a hash, also one that is over: ErrNotFound.
	SessionOf(ctx context.Context, hash []byte) (Session, error)
}

// Package ticket makes and reads the tokens that Pawl hands out for one purpose
// each: to read the result of one run, or to read and write topics of realtime
// channels. They are JSON Web Tokens, signed with HMAC-SHA-256 under keys that
// are derived from the secret of the installation, one for each purpose, so that
// a token of one kind is never good for another.
package ticket

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrInvalid means that a token was not made by this installation for this
// purpose, or was changed.
var ErrInvalid = errors.New("the token is not valid")

// ErrExpired means that a token was good once.
var ErrExpired = errors.New("the token has expired")

// MaxBytes bounds a token: what is longer is not even looked at.
const MaxBytes = 16 << 10

// leeway is how far the clocks of two machines may differ.
const leeway = 30 * time.Second

// Signer makes and reads tokens.
type Signer struct{ result, topics []byte }

// New derives a signer from the secret of an installation.
func New(secret []byte) *Signer {
	key := func(purpose string) []byte {
		k, err := hkdf.Key(sha256.New, secret, nil, "pawl "+purpose, sha256.Size)
		if err != nil {
			panic(fmt.Sprintf("32 bytes are not too many: %v", err))
		}
		return k
	}
	return &Signer{result: key("result"), topics: key("topics")}
}

const issuer = "pawl"

// Result is a token with which the result of a run can be read. It has no end of
// its own: it is good as long as the run is kept.
func (s *Signer) Result(run string) string {
	return sign(jwt.RegisteredClaims{Issuer: issuer, Subject: run}, s.result)
}

// ReadResult returns the run whose result a token is for. Errors: ErrInvalid,
// ErrExpired.
func (s *Signer) ReadResult(token string) (run string, err error) {
	var c jwt.RegisteredClaims
	if err := read(token, &c, s.result); err != nil {
		return "", err
	}
	return c.Subject, nil
}

// Topic is a topic of a realtime channel.
type Topic struct {
	Channel string `json:"channel"`
	Name    string `json:"name"`
}

// Grant is what a token for topics allows.
type Grant struct {
	Topics  []Topic `json:"topics"`
	Publish bool    `json:"publish,omitempty"` // to them; without it they can be read
}

type topicClaims struct {
	Grant
	jwt.RegisteredClaims
}

// Topics is a token for topics that is good for life from now.
func (s *Signer) Topics(g Grant, life time.Duration) string {
	return sign(topicClaims{g, jwt.RegisteredClaims{Issuer: issuer, ExpiresAt: jwt.NewNumericDate(time.Now().Add(life))}}, s.topics)
}

// ReadTopics returns what a token for topics allows. Errors: ErrInvalid, ErrExpired.
func (s *Signer) ReadTopics(token string) (Grant, error) {
	var c topicClaims
	if err := read(token, &c, s.topics); err != nil {
		return Grant{}, err
	}
	return c.Grant, nil
}

func sign(claims jwt.Claims, key []byte) string {
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	if err != nil {
		panic(fmt.Sprintf("claims of text and times can be signed: %v", err))
	}
	return text
}

func read(token string, into jwt.Claims, key []byte) error {
	if len(token) > MaxBytes {
		return ErrInvalid
	}
	_, err := jwt.ParseWithClaims(token, into, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer), jwt.WithLeeway(leeway))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	default:
		return ErrInvalid
	}
}

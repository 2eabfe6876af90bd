package proto

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// SignatureWindow is how far the time in a signature may be from now, in both
// directions.
const SignatureWindow = 5 * time.Minute

// ErrUnauthorized means the credential of a request is none of the keyring's.
var ErrUnauthorized = errors.New("unauthorized")

// ErrSignature means a signature was refused: missing, malformed, too old, from
// the future, or by an unknown key. Errors wrap it with the reason, which is for
// our log; a sender should be told only this.
var ErrSignature = errors.New("signature refused")

// Key is a signing key, shared between Pawl and an app. It never prints itself.
// The zero Key stands for "no key". Source: spec/01 §4.
type Key struct {
	// A pointer, because fmt prints the fields of a Key that sits in an
	// unexported field of something else, and of a pointer there only the address.
	*keyText
}

type keyText struct {
	prefix string // "signkey-<env>-", or "" for a key given as bare hex
	secret string // lower-case hex; its ASCII bytes are the HMAC key
	hash   string // hex SHA-256 of the bytes that secret stands for
}

// ParseKey reads "signkey-<env>-<hex>" or bare hex. The hex has to be lower case
// and of even length, because SDKs decode it before they hash it. The error
// never repeats the key.
func ParseKey(raw string) (Key, error) {
	prefix, secret := splitKey(raw)
	switch {
	case raw == "":
		return Key{}, errors.New("signing key is empty; want signkey-<env>-<hex>")
	case secret == "":
		return Key{}, errors.New("signing key has nothing after its prefix; want signkey-<env>-<hex>")
	case strings.Trim(secret, "0123456789abcdef") != "":
		return Key{}, errors.New("signing key has characters that are not lower-case hex; want signkey-<env>-<hex>")
	case len(secret)%2 != 0:
		return Key{}, errors.New("signing key has an odd number of hex characters; want signkey-<env>-<hex>")
	}
	b, err := hex.DecodeString(secret)
	if err != nil {
		return Key{}, errors.New("signing key is not hex; want signkey-<env>-<hex>")
	}
	sum := sha256.Sum256(b)
	return Key{&keyText{prefix, secret, hex.EncodeToString(sum[:])}}, nil
}

// splitKey cuts "signkey-<env>-" off; env is letters, digits and underscores.
func splitKey(s string) (prefix, rest string) {
	const lead = "signkey-"
	if !strings.HasPrefix(s, lead) {
		return "", s
	}
	env, rest, ok := strings.Cut(s[len(lead):], "-")
	if !ok || env == "" {
		return "", s
	}
	for _, c := range []byte(env) {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return "", s
		}
	}
	return s[:len(lead)+len(env)+1], rest
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.keyText == nil }

// Hashed is the form that goes over the wire as a credential: the prefix and the
// hex SHA-256 of the key's bytes. The zero Key has "".
func (k Key) Hashed() string {
	if k.IsZero() {
		return ""
	}
	return k.prefix + k.hash
}

// Fingerprint tells one key from another without telling what it is: the first eight
// hex digits of the SHA-256 of the key as it was given, which is not what Hashed is made
// of. The zero Key has "".
func (k Key) Fingerprint() string {
	if k.IsZero() {
		return ""
	}
	sum := sha256.Sum256([]byte(k.prefix + k.secret))
	return hex.EncodeToString(sum[:4])
}

// Bytes is how many bytes the secret stands for, 0 for the zero Key.
func (k Key) Bytes() int {
	if k.IsZero() {
		return 0
	}
	return len(k.secret) / 2
}

// Sign returns the signature header "t=<unix seconds>&s=<hex>" over msg, which
// must be canonical (see Canonical) when it is JSON. The zero Key signs with "".
func (k Key) Sign(now time.Time, msg []byte) string {
	if k.IsZero() {
		return ""
	}
	t := strconv.FormatInt(now.Unix(), 10)
	mac := k.mac(msg, t)
	return "t=" + t + "&s=" + hex.EncodeToString(mac[:])
}

func (k Key) mac(msg []byte, t string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, []byte(k.secret))
	h.Write(msg)
	h.Write([]byte(t))
	h.Sum(sum[:0])
	return sum
}

const redacted = "[signing key]"

// String hides the key.
func (k Key) String() string { return redacted }

// GoString hides the key from %#v.
func (k Key) GoString() string { return redacted }

// Format hides the key from every other verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides the key from slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the key from encoders.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Keyring is what Pawl trusts: the key it signs with, and keys that were current
// before a rotation and are still accepted.
type Keyring struct {
	Current  Key
	Previous []Key
}

// Authorize checks an Authorization header of a request from an SDK. It takes
// the hashed key with its prefix, the hash without prefix (Python), and the raw
// key (Go checkpoints), of every key in the ring, and compares in constant time.
// Anything else, and everything when the ring is empty, is ErrUnauthorized.
func (r Keyring) Authorize(authorization string) error {
	scheme, credential, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ErrUnauthorized
	}
	credential = strings.TrimSpace(credential)
	prefix, rest := splitKey(credential)
	got := sha256.Sum256([]byte(rest))
	ok := 0
	for k := range r.keys {
		hash, secret := sha256.Sum256([]byte(k.hash)), sha256.Sum256([]byte(k.secret))
		// A key configured as bare hex does not know its environment, so every
		// prefix fits it. Only the raw form must carry the prefix of its key.
		samePrefix, noPrefix := equal(prefix == k.prefix || k.prefix == ""), equal(prefix == "")
		ok |= subtle.ConstantTimeCompare(got[:], hash[:]) & (samePrefix | noPrefix)
		ok |= subtle.ConstantTimeCompare(got[:], secret[:]) & samePrefix
	}
	if ok != 1 {
		return ErrUnauthorized
	}
	return nil
}

// Verify checks a signature header over msg: "t=…&s=…" and nothing else, a time
// at most SignatureWindow away from now, and a MAC by any key of the ring,
// compared in constant time. Errors wrap ErrSignature.
func (r Keyring) Verify(header string, msg []byte, now time.Time) error {
	t, sum, err := parseSignature(header)
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: malformed time", ErrSignature)
	}
	if off := now.Unix() - at; off > int64(SignatureWindow/time.Second) || off < -int64(SignatureWindow/time.Second) {
		return fmt.Errorf("%w: signed %d s away from now", ErrSignature, off)
	}
	ok := 0
	for k := range r.keys {
		mac := k.mac(msg, t)
		ok |= subtle.ConstantTimeCompare(mac[:], sum[:])
	}
	if ok != 1 {
		return fmt.Errorf("%w: no key matches", ErrSignature)
	}
	return nil
}

// parseSignature takes exactly what Sign writes.
func parseSignature(header string) (t string, sum [sha256.Size]byte, err error) {
	malformed := fmt.Errorf("%w: malformed header", ErrSignature)
	if header == "" {
		return "", sum, fmt.Errorf("%w: no header", ErrSignature)
	}
	t, s, ok := strings.Cut(strings.TrimPrefix(header, "t="), "&s=")
	switch {
	case !ok, !strings.HasPrefix(header, "t="), len(s) != hex.EncodedLen(len(sum)),
		t == "", len(t) > 12, len(t) > 1 && t[0] == '0',
		strings.Trim(t, "0123456789") != "", strings.Trim(s, "0123456789abcdef") != "":
		return "", sum, malformed
	}
	if _, err := hex.Decode(sum[:], []byte(s)); err != nil {
		return "", sum, malformed
	}
	return t, sum, nil
}

// keys ranges over every key there is.
func (r Keyring) keys(yield func(Key) bool) {
	if !r.Current.IsZero() && !yield(r.Current) {
		return
	}
	for _, k := range r.Previous {
		if !k.IsZero() && !yield(k) {
			return
		}
	}
}

func equal(b bool) int {
	if b {
		return 1
	}
	return 0
}

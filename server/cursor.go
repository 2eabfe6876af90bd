package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/pawlhq/pawl/internal/wire"
)

// A cursor of the v2 API says where in a list a page ended. Nobody but the
// server reads it: it is sealed, together with the list and the filter that it
// belongs to, so that one which was changed, or is used for another list, is
// refused instead of giving a page with gaps. What a caller may see is never
// decided by it.

// place is where a page ended: at the row of that id, and that time if the list
// is in order of time.
type place struct {
	At int64  `json:"t,omitzero"` // microseconds
	ID string `json:"i"`
}

func (p place) time() time.Time {
	if p.At == 0 {
		return time.Time{}
	}
	return time.UnixMicro(p.At)
}

const sealBytes = 16

// sealer makes and opens cursors.
type sealer struct {
	keys [][]byte // the first one seals, all of them open
}

// newSealer derives keys from those that callers must have, so that cursors
// outlive a restart, and a change of the key while the old one is still good. In
// dev nobody has to be kept from making one.
func newSealer(ring wire.Keyring) sealer {
	var s sealer
	for _, k := range append([]wire.Key{ring.Current}, ring.Previous...) {
		if !k.IsZero() {
			s.keys = append(s.keys, derive(k.Hashed()))
		}
	}
	if s.keys == nil {
		s.keys = [][]byte{derive("dev")}
	}
	return s
}

func derive(secret string) []byte {
	sum := sha256.Sum256([]byte("pawl cursor\x00" + secret))
	return sum[:]
}

func seal(key []byte, list string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(list)) // holds no zero byte
	mac.Write([]byte{0})
	mac.Write(body)
	return mac.Sum(nil)[:sealBytes]
}

func (s sealer) cursor(list string, p place) string {
	body, err := json.Marshal(p)
	if err != nil {
		panic("server: a place cannot be encoded: " + err.Error()) // ids are text
	}
	return base64.RawURLEncoding.EncodeToString(append(seal(s.keys[0], list, body), body...))
}

// open reports false for what this server has not made for that list.
func (s sealer) open(list, text string) (p place, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < sealBytes || base64.RawURLEncoding.EncodeToString(b) != text { // a decoder lets more than one spelling pass
		return p, false
	}
	for _, key := range s.keys {
		if hmac.Equal(seal(key, list, b[sealBytes:]), b[:sealBytes]) {
			return p, json.Unmarshal(b[sealBytes:], &p) == nil
		}
	}
	return p, false
}

// listName is the list that a request asks for: the address and the filter,
// without what may change from page to page.
func listName(u *url.URL) string {
	q := u.Query()
	for _, name := range []string{"cursor", "limit", "includeOutput"} {
		q.Del(name)
	}
	return (&url.URL{Path: u.Path}).EscapedPath() + "?" + q.Encode()
}

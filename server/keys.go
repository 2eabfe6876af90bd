package server

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/internal/wire"
)

// Fingerprint tells one key from another without telling what it is: the first eight
// digits of `printf %s "$KEY" | sha256sum`.
func Fingerprint(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// signer is one signing key, and when it was last shown.
type signer struct {
	ring wire.Keyring
	used atomic.Int64 // Unix milliseconds; 0: not since the server has started
}

// sender is one event key.
type sender struct {
	hash [sha256.Size]byte
	used atomic.Int64
}

// signers are the keys of a ring, the current one first.
func signers(ring wire.Keyring) []*signer {
	list := []*signer{{ring: wire.Keyring{Current: ring.Current}}}
	for _, k := range ring.Previous {
		list = append(list, &signer{ring: wire.Keyring{Current: k}})
	}
	return list
}

// signed reports whether an Authorization header shows a signing key, and notes which.
func (s *Server) signed(authorization string) bool {
	if authorization == "" {
		return false
	}
	for _, k := range s.signers {
		if k.ring.Authorize(authorization) == nil {
			k.used.Store(time.Now().UnixMilli())
			return true
		}
	}
	return false
}

// secretView is a key by which programs are let in, without the key itself.
type secretView struct {
	Kind        string     `json:"kind"`         // signing or event
	Previous    bool       `json:"previous"`     // a signing key that was in use before, and is still accepted
	Fingerprint string     `json:"fingerprint"`  // the first eight digits of its SHA-256
	From        string     `json:"from"`         // where it was given; "" when that is not known
	LastUsedAt  *time.Time `json:"last_used_at"` // since the server has started; null: not yet
}

func millisOrNull(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// listSecrets tells which keys programs are let in by.
func (s *Server) listSecrets(w http.ResponseWriter, _ *http.Request, _ []byte) {
	views := []secretView{}
	for i, k := range s.signers {
		if text := k.ring.Current.Fingerprint(); text != "" {
			views = append(views, secretView{"signing", i > 0, text, s.keysFrom[text], millisOrNull(k.used.Load())})
		}
	}
	for _, k := range s.senders {
		text := hex.EncodeToString(k.hash[:4])
		views = append(views, secretView{"event", false, text, s.keysFrom[text], millisOrNull(k.used.Load())})
	}
	s.reply(w, views)
}

// uses remembers when tokens were last noted as shown, so that a token which is shown
// all the time costs one write a minute.
type uses struct {
	mu    sync.Mutex
	noted map[string]time.Time // by token id
}

const useEvery = time.Minute

// due reports whether a use of a token has to be written; it is for one caller at a time.
func (u *uses) due(id string, last, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if noted := u.noted[id]; noted.After(last) {
		last = noted
	}
	if now.Sub(last) < useEvery {
		return false
	}
	u.noted[id] = now
	return true
}

func (u *uses) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.noted, id)
}

package engine

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Values of key expressions that read what people must not see are shown as a digest,
// which tells two of them apart and stands for the value where one is asked for. It
// needs the secret of this installation: nobody finds the value by trying.

// hiddenPrefix begins such a digest.
const hiddenPrefix = "redacted:"

// ShownValue is a value of a key expression as people may see it.
func (e *Engine) ShownValue(source, value string) string {
	if source == "" || value == "" || !e.hides(source) && e.clean(value) == value {
		return value
	}
	return e.digest(value)
}

func (e *Engine) digest(value string) string {
	mac := hmac.New(sha256.New, e.Secret())
	mac.Write([]byte("pawl hidden value\x00" + value))
	return hiddenPrefix + hex.EncodeToString(mac.Sum(nil)[:8])
}

// HidesKeys reports whether the keys of a scope of the ledger are values that people
// must not see: those of the option "idempotency" of a function in any of its versions
// or of one that is not known any more.
func (e *Engine) HidesKeys(ctx context.Context, scope string) (bool, error) {
	slug, ok := strings.CutPrefix(scope, store.UniqueScope(""))
	if !ok {
		return false, nil
	}
	list, err := e.store.Versions(ctx, slug, math.MaxInt32)
	if errors.Is(err, store.ErrNotFound) {
		return e.hides("event[name]"), nil // of what it was, anything
	}
	for _, v := range list {
		hold(&v.Function)
		if v.Once != "" && e.hides(v.Once) {
			return true, nil
		}
	}
	return false, err
}

// ShownKey is a key of a scope that HidesKeys as people may see it.
func (e *Engine) ShownKey(key string) string {
	if key == durable.NullKey {
		return key
	}
	return e.digest(key)
}

// HiddenKey is the key that is shown so. It fails with store.ErrNotFound.
func (e *Engine) HiddenKey(ctx context.Context, scope, shown string) (string, error) {
	p := store.Page{Limit: 200}
	for {
		list, err := e.store.Keys(ctx, scope, time.Now(), p)
		if err != nil {
			return "", err
		}
		for _, entry := range list {
			if e.ShownKey(entry.Key) == shown {
				return entry.Key, nil
			}
		}
		if len(list) < p.Limit {
			return "", store.ErrNotFound
		}
		p.Cursor = list[len(list)-1].Key
	}
}

package tell

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/pawlhq/pawl/internal/egress"
)

// Webhook posts messages to a URL, which it shows to nobody: a path can be a
// secret. Those who get them can tell by a signature that they are Pawl's.
type Webhook struct {
	to     string
	secret *Secret // nil: nothing is signed
	client *egress.Client
}

// Limits of a webhook.
const (
	hookTimeout = 10 * time.Second
	hookAnswer  = 64 << 10 // bytes

	leastSecret, longestSecret = 24, 64 // bytes
)

// Secret signs what a webhook posts, as the Standard Webhooks specification has it.
type Secret struct{ key *standardwebhooks.Webhook }

// ErrSecret means that a secret is not one with which messages are signed.
var ErrSecret = errors.New("want whsec_ and 24 to 64 random bytes in base64; make one with `echo whsec_$(openssl rand -base64 32)`")

// ParseSecret reads a secret as the specification writes it. It fails with ErrSecret.
func ParseSecret(text string) (*Secret, error) {
	encoded, ok := strings.CutPrefix(text, "whsec_")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(raw) < leastSecret || len(raw) > longestSecret {
		return nil, ErrSecret // and not what was given
	}
	key, err := standardwebhooks.NewWebhookRaw(raw)
	return &Secret{key}, err
}

// NewWebhook returns a Webhook to a URL, which may lead to addresses that are not
// public only when that is allowed. What it posts is signed with secret, unless that is nil.
func NewWebhook(to string, secret *Secret, allowPrivate bool) (*Webhook, error) {
	if _, err := egress.Post(to, nil, nil); err != nil {
		return nil, err
	}
	return &Webhook{to, secret, egress.New(egress.Options{AllowPrivate: allowPrivate, Timeout: hookTimeout, MaxAnswer: hookAnswer})}, nil
}

// sign returns the headers that say when a message is posted, and by whom. A message that
// is posted again has the same id, unless there is more to tell by then.
func (s *Secret) sign(message []byte, now time.Time) (http.Header, error) {
	if s == nil {
		return nil, nil
	}
	id := idOf(message)
	signature, err := s.key.Sign(id, now, message)
	header := http.Header{}
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return header, err
}

// idOf is the id of a message: of the same one whenever it is sent.
func idOf(message []byte) string {
	sum := sha256.Sum256(message)
	return "msg_" + hex.EncodeToString(sum[:16])
}

// Post sends a message as JSON.
func (h *Webhook) Post(ctx context.Context, _ string, message []byte) error {
	header, err := h.secret.sign(message, time.Now())
	if err != nil {
		return err
	}
	req, err := egress.Post(h.to, header, message)
	if err == nil {
		_, err = h.client.Do(ctx, req)
	}
	return err
}

// Close gives back idle connections.
func (h *Webhook) Close() { h.client.Close() }

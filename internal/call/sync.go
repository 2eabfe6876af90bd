package call

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/wire"
)

const (
	syncTimeout  = 10 * time.Second
	probeTimeout = 2 * time.Second
)

func bytesReader(b []byte) io.Reader {
	if len(b) == 0 {
		return http.NoBody
	}
	return bytes.NewReader(b)
}

// Sync asks the app at appURL for its functions. When the app answers in band
// it returns what the app registered; when the app has registered by itself,
// with a request of its own that came while this one was under way, it
// returns nil. keys check the signature of an in-band answer.
func (c *Client) Sync(ctx context.Context, appURL string, keys *wire.Keyring) (*wire.Registration, error) {
	inBand := keys != nil
	reg, status, err := c.sync(ctx, appURL, keys, inBand)
	if status == http.StatusUnauthorized && inBand {
		// Python apps in development mode refuse this form.
		reg, _, err = c.sync(ctx, appURL, keys, false)
	}
	return reg, err
}

func (c *Client) sync(ctx context.Context, appURL string, keys *wire.Keyring, inBand bool) (*wire.Registration, int, error) {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	shown := wire.PublicURL(appURL)
	// Exactly one member: SDKs refuse others.
	body, err := json.Marshal(map[string]string{"url": appURL}, jsontext.EscapeForHTML(false))
	if err != nil {
		return nil, 0, fmt.Errorf("sync %s: %w", shown, err)
	}
	req, err := c.request(ctx, http.MethodPut, appURL, body)
	if err != nil {
		return nil, 0, fmt.Errorf("sync %s: %w", shown, err)
	}
	if inBand {
		req.Header.Set(wire.HeaderSyncKind, wire.SyncInBand)
	}
	status, h, answer, err := c.do(req)
	if err != nil {
		return nil, 0, errors.New(problem(err, appURL).Err.Message)
	}
	if err := syncStatus(status, h, answer, shown); err != nil {
		return nil, status, err
	}
	if !strings.EqualFold(h.Get(wire.HeaderSyncKind), wire.SyncInBand) {
		return nil, status, nil
	}
	if keys != nil {
		// The Go SDK signs without the newline that ends its body.
		if err := keys.Verify(h.Get(wire.HeaderSignature), bytes.TrimSuffix(answer, []byte("\n")), time.Now()); err != nil {
			if err = keys.Verify(h.Get(wire.HeaderSignature), answer, time.Now()); err != nil {
				return nil, status, fmt.Errorf("the signature of %s's answer is not accepted: its signing key differs from the server's", shown)
			}
		}
	}
	reg, err := wire.ParseInBand(answer, h.Get(wire.HeaderSDK))
	if err != nil {
		return nil, status, err
	}
	return &reg, status, nil
}

// syncStatus says what the status of an app's answer to a sync means; app is the
// URL as it may be shown.
func syncStatus(status int, h http.Header, body []byte, app string) error {
	var said struct {
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	_ = json.Unmarshal(body, &said, jsontext.AllowDuplicateNames(true)) // a body of another kind says nothing
	if said.Message == "" {
		said.Message = said.Error
	}
	switch {
	case status == http.StatusUnauthorized:
		return fmt.Errorf("%s refused the signature: its INNGEST_SIGNING_KEY differs from the server's, or it runs in the other mode (INNGEST_DEV)", app)
	case status == http.StatusForbidden:
		return fmt.Errorf("%s refused the sync: it runs in the other mode (INNGEST_DEV)", app)
	case status == http.StatusNotFound:
		return fmt.Errorf("%s answered 404: functions are served at another path", app)
	case h.Get(wire.HeaderSDK) == "":
		return fmt.Errorf("%s answered %d, but it is not an Inngest SDK that answered", app, status)
	case status >= http.StatusBadRequest:
		if said.Message == "" {
			said.Message = fmt.Sprintf("status %d", status)
		}
		return fmt.Errorf("%s could not sync: %s", app, said.Message)
	}
	return nil
}

// SDK asks which SDK serves functions at u, such as "inngest-js:v4.24.0". The app
// registers nothing by that.
func (c *Client) SDK(ctx context.Context, u string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	shown := wire.PublicURL(u)
	req, err := c.request(ctx, http.MethodGet, u, nil)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", shown, err)
	}
	status, h, _, err := c.do(req)
	switch {
	case err != nil:
		return "", errors.New(problem(err, u).Err.Message)
	case h.Get(wire.HeaderSDK) != "":
		return h.Get(wire.HeaderSDK), nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "", fmt.Errorf("%s refused the signature: its INNGEST_SIGNING_KEY differs from the one given here, or it runs in the other mode (INNGEST_DEV)", shown)
	case status == http.StatusNotFound:
		return "", fmt.Errorf("%s answered 404: functions are served at another path", shown)
	}
	return "", fmt.Errorf("%s answered %d, but it is not an Inngest SDK that answered", shown, status)
}

// Probe reports whether an SDK serves functions at u.
func (c *Client) Probe(ctx context.Context, u string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, u, nil)
	if err != nil {
		return false
	}
	_, h, _, err := c.do(req)
	return err == nil && h.Get(wire.HeaderSDK) != ""
}

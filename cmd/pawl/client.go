package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/wire"
	"github.com/pawlhq/pawl/server"
)

const usualURL = "http://127.0.0.1:8288"

// client talks to a running Pawl.
type client struct {
	base   string
	shown  string // base as it may be printed
	bearer string // "" for dev
	http   http.Client
}

// addClientFlags makes the flags that every command of a client has.
func addClientFlags(c *cobra.Command) {
	addKeyFlags(c)
	c.PersistentFlags().String("token", "", "Token that an admin has made, in place of the key; better as PAWL_TOKEN")
}

// addKeyFlags makes those of a client that must have the key.
func addKeyFlags(c *cobra.Command) {
	c.PersistentFlags().String("url", or(os.Getenv("PAWL_URL"), usualURL), "Where Pawl is; also PAWL_URL")
	c.PersistentFlags().String("signing-key", "", "Key that pawl serve was given; also PAWL_SIGNING_KEY or INNGEST_SIGNING_KEY")
	c.PersistentFlags().Bool("json", false, "Print JSON")
}

func or(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func newClient(c *cobra.Command) (*client, error) {
	cl, err := newKeyClient(c, wire.Key{})
	if err != nil {
		return nil, err
	}
	if cl.bearer = or(c.Flags().Lookup("token").Value.String(), os.Getenv("PAWL_TOKEN")); cl.bearer != "" {
		return cl, nil
	}
	key, err := givenKey(c)
	if err != nil {
		return nil, err
	}
	cl.bearer = key.Hashed() // the key itself stays here
	return cl, nil
}

// newKeyClient is a client with a key; the zero Key: with none.
func newKeyClient(c *cobra.Command, key wire.Key) (*client, error) {
	base, _ := c.Flags().GetString("url")
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("--url: want a URL such as %s", usualURL)}
	}
	return &client{base: strings.TrimRight(base, "/"), shown: strings.TrimRight(wire.PublicURL(base), "/"), bearer: key.Hashed()}, nil
}

// givenKey is the signing key of the flags or the environment; the zero Key when
// there is none.
func givenKey(c *cobra.Command) (wire.Key, error) {
	raw, from := c.Flags().Lookup("signing-key").Value.String(), "--signing-key"
	for _, name := range []string{"PAWL_SIGNING_KEY", "INNGEST_SIGNING_KEY"} {
		if raw == "" {
			raw, from = os.Getenv(name), name
		}
	}
	if raw == "" {
		return wire.Key{}, nil
	}
	key, err := wire.ParseKey(raw)
	if err != nil {
		return wire.Key{}, usageError{fmt.Errorf("%s: %w", from, err)}
	}
	return key, nil
}

// apiError is a refusal of the server.
type apiError struct {
	Status  int
	Message string
}

func (e *apiError) Error() string {
	switch e.Status {
	case http.StatusUnauthorized:
		return "pawl refused the key; give the one that it was started with as --signing-key or PAWL_SIGNING_KEY, or a token as PAWL_TOKEN"
	default:
		return e.Message
	}
}

// mostAnswer bounds an answer, in bytes.
const mostAnswer = 256 << 20

// do sends a request and returns the body of a good answer.
func (c *client) do(ctx context.Context, method, path string, header http.Header, body []byte) ([]byte, error) {
	resp, err := c.send(ctx, method, path, header, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.shown, err)
	}
	return b, nil
}

// send sends a request and returns a good answer, whose body is the caller's to
// close.
func (c *client) send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may hold a key
		}
		return nil, fmt.Errorf("there is no answer from %s: %w; is pawl running there?", c.shown, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
		if err != nil {
			return nil, fmt.Errorf("read the answer of %s: %w", c.shown, err)
		}
		var refusal struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal(b, &refusal) // what is not JSON has no message
		return nil, &apiError{resp.StatusCode, or(oneLine(refusal.Error), fmt.Sprintf("%s answered with status %d", c.shown, resp.StatusCode))}
	}
	return resp, nil
}

// get reads data out of the envelope of the API.
func (c *client) get(ctx context.Context, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(ctx, http.MethodGet, path, nil, nil, into)
}

// call reads data out of the envelope of the answer to a request.
func (c *client) call(ctx context.Context, method, path string, header http.Header, body []byte, into any) error {
	b, err := c.do(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	envelope := struct {
		Data any `json:"data"`
	}{into}
	if err := json.Unmarshal(b, &envelope, jsontext.AllowInvalidUTF8(true)); err != nil {
		return fmt.Errorf("the answer of %s cannot be read; is it a Pawl of another version? %w", c.shown, err)
	}
	return nil
}

// run is a run as the API tells it.
type run struct {
	ID        string         `json:"run_id"`
	Function  string         `json:"function"`
	App       string         `json:"app"`
	Event     string         `json:"event_name"`
	EventID   string         `json:"event_id"`
	Status    string         `json:"status"`
	QueuedAt  time.Time      `json:"queued_at"`
	StartedAt *time.Time     `json:"run_started_at"`
	EndedAt   *time.Time     `json:"ended_at"`
	Output    jsontext.Value `json:"output"`
	Metadata  []noted        `json:"metadata,omitzero"`
}

// noted is one kind of metadata of a run or of a step of it.
type noted struct {
	Scope     string         `json:"scope"`
	Step      string         `json:"step,omitzero"`
	Attempt   int            `json:"attempt,omitzero"`
	Span      string         `json:"span,omitzero"`
	Kind      string         `json:"kind"`
	Values    jsontext.Value `json:"values"`
	UpdatedAt time.Time      `json:"updated_at"`
}

func (r run) took() string {
	if r.StartedAt == nil || r.EndedAt == nil {
		return ""
	}
	return server.Rounded(r.EndedAt.Sub(*r.StartedAt)).String()
}

// history is a run with its steps.
type history struct {
	Run   run    `json:"run"`
	Seq   int    `json:"seq"`
	Steps []step `json:"steps"`
}

type step struct {
	Step     string         `json:"step"`
	Name     string         `json:"name"`
	Op       string         `json:"op"`
	Status   string         `json:"status"`
	Attempts []attempt      `json:"attempts"`
	Output   jsontext.Value `json:"output,omitzero"`
	Error    jsontext.Value `json:"error,omitzero"`
	Started  *time.Time     `json:"started_at"`
	Ended    *time.Time     `json:"ended_at"`
	Until    *time.Time     `json:"until,omitzero"`
}

type attempt struct {
	Attempt int            `json:"attempt"`
	Started *time.Time     `json:"started_at"`
	Ended   *time.Time     `json:"ended_at"`
	Error   jsontext.Value `json:"error,omitzero"`
	NextAt  *time.Time     `json:"next_at,omitzero"`
}

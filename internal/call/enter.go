package call

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pawlhq/pawl/internal/proto"
	"github.com/pawlhq/pawl/internal/wire"
)

// enter sends the request of an endpoint's run once more, and reads what that
// gives. The SDK fetches what the run knows. Source: spec/05 §4.
func (c *Client) enter(ctx context.Context, r Request) (wire.Answer, *Exchange) {
	e, err := wire.ReadEndpoint(r.Entry)
	if err != nil {
		return never(fmt.Sprintf("the endpoint cannot be entered again: %v", err)), nil
	}
	method := e.Method
	if method == http.MethodHead {
		method = http.MethodGet // SDKs answer in the body
	}
	req, err := http.NewRequestWithContext(ctx, method, e.URL.String(), bytesReader(e.Body))
	if err != nil {
		return never("the endpoint cannot be entered again: its request cannot be built"), nil
	}
	h := req.Header
	if e.ContentType != "" {
		h.Set("Content-Type", e.ContentType)
	}
	h.Set("User-Agent", "pawl")
	h.Set(wire.HeaderServerKind, c.kind)
	r.mark(h)
	h.Set(wire.HeaderVersion, "2")
	if r.StepID != "" {
		h.Set(wire.HeaderStepID, r.StepID)
	}
	h.Set(proto.HeaderAttempt, strconv.Itoa(r.Attempt))
	h.Set(proto.HeaderMaxAttempts, strconv.Itoa(r.MaxAttempts))
	if r.Plan {
		h.Set(wire.HeaderForceStepPlan, "true")
	}
	// Without this header an SDK takes the request for a new one, and starts
	// another run: it is there even when nothing is signed.
	h.Set(wire.HeaderSignature, c.entrySignature(e, r.RunID))
	at := time.Now()
	status, header, answer, err := c.do(req)
	if err != nil {
		return problem(err, e.URL.String()), record(r, req, e.Body, at, nil)
	}
	a := wire.ReadEndpointAnswer(e, r.First, status, header, answer, time.Now())
	if !broke(a) && status < http.StatusInternalServerError {
		return a, nil
	}
	return a, record(r, req, e.Body, at, received(status, header, answer))
}

// entrySignature signs what the SDK at the other end looks at: the body, in its
// canonical form if it has one, or for Go the run's id. Source: spec/05 §4.
func (c *Client) entrySignature(e wire.Endpoint, run string) string {
	if c.key.IsZero() {
		return ""
	}
	signed := e.Body
	if canonical, err := wire.Canonical(e.Body); err == nil {
		signed = canonical
	}
	if e.Go {
		signed = []byte(run)
	}
	return c.key.Sign(time.Now(), signed)
}

// never is the answer to a call that can never be made.
func never(message string) wire.Answer {
	a := failed(wire.CodeUnknown, message)
	a.NoRetry = true
	return a
}

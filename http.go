package pawl

import (
	"context"
	"net/http"

	"github.com/pawlhq/pawl/internal/proto"
)

// HTTP is a client for requests in a step: each that changes something carries
// the step's [Token] as its Idempotency-Key, unless it has one. A step that makes
// several such requests to one service gives them keys of their own. They carry the
// run's trace too (W3C Trace Context), unless they have one.
func HTTP(ctx context.Context) *http.Client {
	return &http.Client{Transport: keyed{token: Token(ctx), trace: proto.TraceOf(ctx), next: http.DefaultTransport}}
}

type keyed struct {
	token string
	trace proto.Trace
	next  http.RoundTripper
}

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	k.trace.Mark(r.Header)
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		if k.token != "" && r.Header.Get("Idempotency-Key") == "" {
			r.Header.Set("Idempotency-Key", k.token)
		}
	}
	return k.next.RoundTrip(r)
}

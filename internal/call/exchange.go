package call

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// Bounds of what is kept of an answer, in bytes.
const (
	mostAnswer       = 16 << 10
	mostHeaders      = 64
	mostHeaderBytes  = 8 << 10
	mostInput        = 16 << 10
	mostExchangeURL  = 2 << 10
	leftOutOfHeaders = "(left out)"
)

// Exchange is one request to an app and what came back, as it is kept of a try that
// failed. The body of the request is not in it: what the run knew then is in its
// journal, and Hash says whether what is made of that is what was sent.
type Exchange struct {
	Sent       Sent      `json:"sent"`
	Answer     *Received `json:"answer,omitzero"` // nil: none came
	At         time.Time `json:"at"`              // when it was sent
	TookMicros int64     `json:"took"`
}

// Sent is a request.
type Sent struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"` // without its query, which may carry a secret, but for the step
	Headers http.Header `json:"headers"`
	Bytes   int         `json:"bytes"` // of the body
	Hash    string      `json:"hash"`  // SHA-256 of the body

	// What the body was made of, beside the run's events and results.
	Seq        int          `json:"seq"` // entries in the journal
	Step       string       `json:"step,omitzero"`
	Attempt    int          `json:"attempt,omitzero"`
	Generation int64        `json:"generation"`
	Version    int          `json:"version"`
	Plan       bool         `json:"plan,omitzero"`
	Input      durable.JSON `json:"input,omitzero"`
}

// Received is an answer.
type Received struct {
	Status  int         `json:"status"`
	Headers http.Header `json:"headers"`
	Body    []byte      `json:"body"`  // its beginning
	Bytes   int         `json:"bytes"` // of the body
}

// JSON is an exchange as a store keeps it.
func (x *Exchange) JSON() durable.JSON {
	b, err := json.Marshal(x)
	if err != nil {
		return nil // a header that is no UTF-8; nothing depends on it
	}
	return b
}

// ReadExchange is the opposite of JSON.
func ReadExchange(data durable.JSON) (x Exchange, err error) {
	err = json.Unmarshal(data, &x)
	return x, err
}

// Cut reports whether more came than is kept.
func (r *Received) Cut() bool { return r.Bytes > len(r.Body) }

// record is what is kept of a try that has failed.
func record(r Request, req *http.Request, body []byte, at time.Time, got *Received) *Exchange {
	hash := sha256.Sum256(body)
	x := &Exchange{
		At: at.UTC(), TookMicros: time.Since(at).Microseconds(), Answer: got,
		Sent: Sent{
			Method: req.Method, URL: publicCall(req), Headers: headers(req.Header), Bytes: len(body), Hash: hex.EncodeToString(hash[:]),
			Seq: r.Seq, Step: r.StepID, Attempt: r.Attempt, Generation: r.Generation, Version: r.Version, Plan: r.Plan,
		},
	}
	if len(r.Input) <= mostInput {
		x.Sent.Input = r.Input
	}
	return x
}

// broke reports whether an answer tells of a try that failed.
func broke(a wire.Answer) bool {
	return a.Kind == wire.Failed || slices.ContainsFunc(a.Ops, func(op wire.Op) bool {
		return op.Op == wire.OpStepError || op.Op == wire.OpStepFailed
	})
}

// publicCall is the URL of a request without what may be secret in it.
func publicCall(req *http.Request) string {
	u := wire.PublicURL(req.URL.String())
	if step := req.URL.Query().Get("stepId"); step != "" {
		u += "?stepId=" + step
	}
	return u[:min(len(u), mostExchangeURL)]
}

// received is what is kept of an answer.
func received(status int, h http.Header, body []byte) *Received {
	return &Received{Status: status, Headers: headers(h), Body: slices.Clone(body[:min(len(body), mostAnswer)]), Bytes: len(body)}
}

// headers is what is kept of headers: the names of all, as far as there is room, and
// the values of those that nobody can log in with.
func headers(h http.Header) http.Header {
	kept, bytes := http.Header{}, 0
	for _, name := range sortedNames(h) {
		if len(kept) == mostHeaders || bytes+len(name) > mostHeaderBytes {
			break
		}
		bytes += len(name)
		for _, value := range h[name] {
			if secret(name) {
				value = leftOutOfHeaders
			}
			value = strings.ToValidUTF8(value, "\uFFFD")
			if bytes += len(value); bytes > mostHeaderBytes {
				value = leftOutOfHeaders
			}
			kept[strings.ToValidUTF8(name, "\uFFFD")] = append(kept[name], value)
		}
	}
	return kept
}

func sortedNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// secret reports whether the value of a header is one to log in with, or a signature.
func secret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"cookie", "authorization", "authenticate", "signature", "token", "secret", "api-key", "apikey", "password"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

package pawl

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
)

// KeyRule says what becomes of a start of a function, or of a request to an endpoint,
// that comes without an idempotency key. A key is an event's [Event] ID, the header
// Idempotency-Key of whoever sends the event or asks for the run, the key of
// [Function.Start], or a value other than null and false of [Idempotency]. What Pawl
// sends and starts itself (ticks, ends of runs, [Invoke], [OnFailure]) always has one.
//
// Whoever operates the server can say the same of any function, in whatever SDK:
// pawl limit shop-charge '{"idempotencyKey":"required"}'. That holds in place of what
// the app says. A request that comes through the server's /x/ is under the server's
// setting alone; one that comes to the app is under the endpoint's own first.
type KeyRule string

const (
	// KeyNone starts it all the same. It is the default.
	KeyNone KeyRule = "none"
	// KeyRequired refuses it: a request with status 400 and, in JSON, the code
	// idempotency_key_required. For an event the function's run is skipped, which is
	// recorded; the event and the other functions that it starts go on.
	KeyRequired KeyRule = "required"
	// KeyDerived makes a key of what it says, which holds for 24 hours: the name of the
	// event and its data. Of a request to an endpoint these are its method, URL, content
	// type and body.
	KeyDerived KeyRule = "derived"
)

func (r KeyRule) applyFunc(c *funcConfig) {
	switch r {
	case KeyNone, KeyRequired, KeyDerived:
		c.keyRule = r
	default:
		c.wrong = fmt.Errorf("KeyRule(%q): there is no such KeyRule", string(r))
	}
}

// derivedKey is the key of a request that has none.
func derivedKey(r *http.Request, body []byte) string {
	h := sha256.New()
	for _, part := range []string{r.Method, r.Host, r.URL.RequestURI(), r.Header.Get("Content-Type")} {
		_, _ = io.WriteString(h, part) // a hash takes all
		h.Write([]byte{0})
	}
	h.Write(body)
	return "derived:" + hex.EncodeToString(h.Sum(nil))
}

// needsKey answers a request without a key to an endpoint that requires one.
func needsKey(w http.ResponseWriter, endpoint string) {
	b, err := marshal(map[string]any{
		"error":  "endpoint " + endpoint + " takes requests only with an idempotency key; send the header Idempotency-Key, with the same value each time that the request is repeated",
		"code":   noKeyCode,
		"data":   nil,
		"status": http.StatusBadRequest,
	})
	if err != nil {
		panic(fmt.Sprintf("text is JSON: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(b) // whoever asked may be gone
}

// noKeyCode is the code of such a refusal, also of a server.
const noKeyCode = "idempotency_key_required"

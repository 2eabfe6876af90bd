package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/wire"
)

var contentJSON = []string{"application/json"}

// raw answers with a body that is JSON already.
func raw[T string | []byte](w http.ResponseWriter, status int, body T) {
	h := w.Header()
	h["Content-Type"] = contentJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = noStore
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // nobody is left to tell
}

var noStore = []string{"no-store"}

// fail answers with an error. SDKs read "error" as text and "status" as number,
// and show nothing useful when one is missing. Source: spec/01 §7.1.
func fail(w http.ResponseWriter, status int, message string) {
	b := appendText([]byte(`{"error":`), message)
	b = append(b, `,"data":null,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	raw(w, status, append(b, '}'))
}

// failRegister is fail for POST /fn/register.
func failRegister(w http.ResponseWriter, status int, message string) {
	raw(w, status, wire.RegisterFailure(status, codeOf(status), message, nil))
}

func codeOf(status int) string {
	if status >= http.StatusInternalServerError {
		return "internal_error"
	}
	return "invalid_request"
}

// failEvents is fail for POST /e/{key}.
func failEvents(w http.ResponseWriter, status int, message string) {
	replyEvents(w, status, nil, message)
}

// replyEvents answers POST /e/{key}. The body's status is the one that the
// TypeScript SDK goes by. Source: spec/10 §4.
func replyEvents(w http.ResponseWriter, status int, events []wire.Event, message string) {
	raw(w, status, eventsReply(status, events, message))
}

func eventsReply(status int, events []wire.Event, message string) []byte {
	b := make([]byte, 0, 48+len(events)*29+len(message))
	b = append(b, `{"ids":[`...)
	for i := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), events[i].ID...), '"')
	}
	b = append(b, `],"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	if message != "" {
		b = appendText(append(b, `,"error":`...), message)
	}
	return append(b, '}')
}

// metadata is the second half of the envelope of the v1 API.
type metadata struct {
	FetchedAt   time.Time  `json:"fetched_at"`
	CachedUntil *time.Time `json:"cached_until"` // always null: nothing is cached
}

// reply answers with data in the envelope of the v1 API.
func (s *Server) reply(w http.ResponseWriter, data any) {
	s.replyBare(w, struct {
		Data     any      `json:"data"`
		Metadata metadata `json:"metadata"`
	}{data, metadata{FetchedAt: time.Now().UTC().Truncate(time.Millisecond)}})
}

// replyBare answers with v as it is.
func (s *Server) replyBare(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v, marshalOptions)
	if err != nil {
		s.log.Error("answer cannot be encoded", "err", err)
		fail(w, http.StatusInternalServerError, "Internal error: the answer could not be encoded")
		return
	}
	raw(w, http.StatusOK, b)
}

// marshalOptions make every list an array and take stored payloads as they are:
// they were checked when they came in.
var marshalOptions = json.JoinOptions(
	json.FormatNilSliceAsNull(false),
	jsontext.AllowInvalidUTF8(true),
	jsontext.AllowDuplicateNames(true),
)

// appendText writes s as a JSON string; what is not UTF-8 in it is replaced.
func appendText(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // its error only says that something was replaced
	return dst
}

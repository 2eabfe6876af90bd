package egress

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/wire"
)

// ErrTooLarge means an answer had more bytes than Options.MaxAnswer, packed or
// unpacked, or as the run would have to remember it.
var ErrTooLarge = errors.New("the answer is too large")

// ErrTooSlow means no whole answer came within Options.Timeout.
var ErrTooSlow = errors.New("the answer took too long")

// Limits of what an error keeps of an answer.
const (
	maxErrorData  = 256 << 10 // of JSON
	maxErrorStack = 16 << 10  // of text
	maxErrorText  = 1 << 10   // of a provider's message
)

// Error says why a request gave no result: it was refused by Parse, no answer
// came, or the answer of an AI provider was not a success. It shows no
// credential, not in its parts either.
type Error struct {
	Failure wire.Error // as people and the app see it
	Status  int        // HTTP status, 0 when no answer came
	RetryAt time.Time  // when the provider wants to be asked again; zero: it did not say
	NoRetry bool       // another try would end the same
	Err     error      // *PrivateError, ErrTooLarge, ErrTooSlow or nil
}

// Error is the message of the failure.
func (e *Error) Error() string { return e.Failure.Message }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Memo is what the run remembers of the step when there are no tries left:
// {"error":{…}} with name, message, stack and the data that the Go SDK wants.
// Source: SDK protocol notes 03 §3, §3.2.
func (e *Error) Memo() []byte { return wire.MemoError(e.Failure) }

// naming is how SDKs know the errors of an op.
func naming(op string) (name, prefix string) {
	switch op {
	case wire.OpAIGateway:
		return "AIGatewayError", "Error making AI request: "
	case opPost:
		return "Error", ""
	}
	return "GatewayError", "Error making gateway request: "
}

// refused is the error of opts that cannot be sent.
func refused(op string, err error) *Error {
	name, prefix := naming(op)
	return &Error{Failure: wire.NewError(name, prefix+err.Error(), "", true), NoRetry: true}
}

// unanswered is the error of a request to which no whole answer came.
func (r Request) unanswered(message string, err error) *Error {
	name, prefix := naming(r.op)
	var private *PrivateError
	return &Error{
		Failure: wire.NewError(name, prefix+cut(r.secrets().scrubber()(message), maxErrorText), "", true),
		NoRetry: errors.As(err, &private),
		Err:     err,
	}
}

// unsuccessful is the error of an AI provider's answer that says so. Its object
// has the answer as data when that is a JSON object: the Go SDK decodes data
// into the step's result and trips over anything else. Source: SDK protocol
// notes 03 §3.2, §8.1.
func (r Request) unsuccessful(status int, statusText string, body []byte, retryAt time.Time) *Error {
	scrub := r.secrets().scrubber() // looked for before a text is cut: half a secret is not found
	data := jsontext.Value("null")
	said := ""
	if v, ok := asJSON(body); ok {
		said = providerMessage(v)
		if v.Kind() == '{' && len(v) <= maxErrorData {
			if clean, err := mapTexts(v, scrub); err == nil {
				data = clean
			}
		}
	}
	message := r.Host() + " answered " + statusText
	if said != "" {
		message += ": " + cut(scrub(said), maxErrorText)
	}
	name, prefix := naming(r.op)
	message = prefix + message
	stack := cut(scrub(strings.ToValidUTF8(string(body), "\uFFFD")), maxErrorStack)
	raw := append([]byte(`{"data":`), data...)
	raw = quote(append(raw, `,"error":`...), name+": "+message)
	raw = quote(append(raw, `,"message":`...), message)
	raw = quote(append(raw, `,"name":`...), name)
	raw = append(quote(append(raw, `,"stack":`...), stack), '}')
	return &Error{
		Failure: wire.Error{Name: name, Message: message, Stack: stack, Raw: raw},
		Status:  status,
		RetryAt: retryAt,
	}
}

// providerMessage is what an AI provider says for people: OpenAI, Anthropic and
// Gemini in error.message, Bedrock in message.
func providerMessage(v jsontext.Value) string {
	members, err := objectMembers(v)
	if err != nil {
		return ""
	}
	message := ""
	for _, m := range members {
		switch {
		case m.name == "message", m.name == "error" && m.value.Kind() == '"':
			if t, err := text(m.name, m.value); err == nil && message == "" {
				message = t
			}
		case m.name == "error" && m.value.Kind() == '{':
			inner, _ := objectMembers(m.value)
			for _, in := range inner {
				if said, err := text(in.name, in.value); in.name == "message" && err == nil && said != "" {
					message = said
				}
			}
		}
	}
	return message
}

// cut keeps the start of a text.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

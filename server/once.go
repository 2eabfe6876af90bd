package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Headers of requests that happen once for a key. The first is the one of the
// IETF draft "The Idempotency-Key HTTP Header Field"; the others are Pawl's.
const (
	headerKey      = "Idempotency-Key"
	headerLife     = "Idempotency-Life"     // how long the key holds, such as 36h or 7d
	headerReplayed = "Idempotency-Replayed" // true when the answer is that of an earlier request
)

// How long a key holds.
const (
	usualLife = 7 * 24 * time.Hour
	leastLife = time.Second
	mostLife  = 366 * 24 * time.Hour
)

// maxKey bounds a key, in bytes.
const maxKey = 255

// once reads the idempotency key of a request for scope. It is nil when there
// is none, and message says what is wrong with it.
func once(r *http.Request, scope string, body []byte) (o *store.Once, message string) {
	if _, message = inFlightOf(r); message != "" {
		return nil, message
	}
	values := r.Header.Values(headerKey)
	if len(values) == 0 {
		return nil, ""
	}
	key := strings.TrimSpace(values[0])
	if inner, ok := strings.CutPrefix(key, `"`); ok && strings.HasSuffix(inner, `"`) { // the draft's form
		key = strings.TrimSuffix(inner, `"`)
	}
	switch {
	case len(values) > 1:
		return nil, headerKey + " is given more than once"
	case key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }):
		return nil, headerKey + " must be 1 to 255 visible ASCII characters without quotes"
	}
	o = &store.Once{Scope: scope, Key: key, Life: usualLife, Fingerprint: fingerprint(body)}
	if text := r.Header.Get(headerLife); text != "" {
		d, err := wire.ParseDuration(text)
		if err != nil || d < leastLife || d > mostLife {
			return nil, headerLife + " must be a time from 1s to 366d, such as 36h or 7d"
		}
		o.Life = d
	}
	return o, ""
}

// onceOf is once for a route that starts a run: without a key it has the scope of one
// that may be derived.
func onceOf(r *http.Request, scope string, body []byte) (o *store.Once, message string) {
	if o, message = once(r, scope, body); o == nil && message == "" {
		o = &store.Once{Scope: scope}
	}
	return o, message
}

// keyless answers for a start without a key of a function that requires one, and
// reports whether err was about that.
func keyless(w http.ResponseWriter, err error) bool {
	bad, ok := errors.AsType[*durable.KeyRequiredError](err)
	if !ok {
		return false
	}
	b := appendText([]byte(`{"error":`), bad.Error())
	b = append(b, `,"code":"`+codeNoKey+`","data":null,"ids":[],"status":400}`...)
	raw(w, http.StatusBadRequest, b)
	return true
}

// fingerprint tells payloads apart, however they are written.
func fingerprint(body []byte) string {
	if same, err := wire.Canonical(body); err == nil {
		body = same
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// replayed answers for a key that was used before: with what reply makes of its
// entry, or with 422 when it stands for something else. It reports whether err
// was about a key.
func replayed(w http.ResponseWriter, err error, reply func(e store.KeyEntry)) bool {
	if again, ok := errors.AsType[*store.RepeatedError](err); ok {
		w.Header().Set(headerReplayed, "true")
		reply(again.Entry)
		return true
	}
	if other, ok := errors.AsType[*store.KeyConflictError](err); ok {
		b := appendText([]byte(`{"error":`), other.Error())
		b = append(b, `,"code":"idempotency_conflict","data":{"known":"`+other.Entry.Fingerprint+`","given":"`+other.Given+`"},"ids":[],"status":422}`...)
		raw(w, http.StatusUnprocessableEntity, b)
		return true
	}
	return false
}

// keyView is a line of the ledger of keys.
type keyView struct {
	Scope       string    `json:"scope"`
	Key         string    `json:"key"`
	Fingerprint string    `json:"fingerprint,omitzero"`
	Stands      string    `json:"stands_for"` // the answer, or the id of the run
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`
}

func viewKey(e store.KeyEntry) keyView {
	return keyView{e.Scope, shownKey(e.Scope, e.Key), e.Fingerprint, string(e.Reply), e.Created.UTC(), e.Expires.UTC()}
}

// scopeWords are the scopes that there are: start has event ids and ticks, runs
// the keys of invocations by the v2 API, unique the values of the function's option
// "idempotency".
const scopeWords = "events, signals, schedules, cancellations, retry, invoke/<function>, start/<function>, runs/<function>, unique/<function>, rerun/<run>, retry/<run> or endpoint/<method and URL without scheme>"

// uniqueScopes is what the scopes of the option "idempotency" begin with.
const uniqueScopes = "unique/"

func knownScope(scope string) bool {
	switch kind, of, named := strings.Cut(scope, "/"); kind {
	case "events", "signals", "schedules", "cancellations":
		return !named
	case "retry":
		return !named || of != ""
	case "invoke", "start", "runs", "unique", "rerun", "endpoint":
		return of != ""
	}
	return false
}

// noScope refuses a scope that there is not.
func noScope(w http.ResponseWriter, scope string) bool {
	if knownScope(scope) {
		return false
	}
	fail(w, http.StatusBadRequest, "scope must be "+scopeWords)
	return true
}

// shownKey is a stored key for people. The value of an option "idempotency" is
// stored as "=" and its text, or as "null" when the event has none; the "=" is
// shown only where one could not tell otherwise.
func shownKey(scope, stored string) string {
	value, ok := strings.CutPrefix(stored, "=")
	if !ok || !strings.HasPrefix(scope, uniqueScopes) || value == "" || value == "null" || strings.HasPrefix(value, "=") {
		return stored
	}
	return value
}

// storedKey is what shownKey was made of.
func storedKey(scope, shown string) string {
	if !strings.HasPrefix(scope, uniqueScopes) || shown == "null" || strings.HasPrefix(shown, "=") {
		return shown
	}
	return "=" + shown
}

// shownKeys makes the views of keys of one scope.
func (s *Server) shownKeys(list []store.KeyEntry, hidden bool) []keyView {
	views := make([]keyView, len(list))
	for i, e := range list {
		views[i] = viewKey(e)
		if hidden {
			views[i].Key = s.eng.ShownKey(e.Key)
		}
	}
	return views
}

// listKeys browses the keys of one scope. Where their values are hidden, a cursor is
// one that is shown and nothing else: the order would tell of a value.
func (s *Server) listKeys(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	scope := q.get("scope")
	page := store.Page{Limit: q.number("limit", 50, 1, 200), Cursor: q.get("cursor")}
	if q.refused(w) || noScope(w, scope) {
		return
	}
	hidden, err := s.eng.HidesKeys(r.Context(), scope)
	switch {
	case err != nil || page.Cursor == "":
	case hidden:
		page.Cursor, err = s.eng.HiddenKey(r.Context(), scope, page.Cursor)
	default:
		page.Cursor = storedKey(scope, page.Cursor)
	}
	if errors.Is(err, store.ErrNotFound) {
		fail(w, http.StatusBadRequest, "cursor must be the key of the last row, which is still there")
		return
	}
	var list []store.KeyEntry
	if err == nil {
		list, err = s.eng.Ledger().Keys(r.Context(), scope, time.Now(), page)
	}
	if err != nil {
		s.failWith(w, r, err, "")
		return
	}
	s.reply(w, s.shownKeys(list, hidden))
}

// voidKey forgets a key: the next request with it is a new one.
func (s *Server) voidKey(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	scope, key := q.get("scope"), q.get("key")
	if key == "" {
		q.refuse("key is required")
	}
	if q.refused(w) || noScope(w, scope) {
		return
	}
	stored := storedKey(scope, key)
	hidden, err := s.eng.HidesKeys(r.Context(), scope)
	if hidden && err == nil {
		switch of, missing := s.eng.HiddenKey(r.Context(), scope, key); {
		case missing == nil:
			stored = of
		case !errors.Is(missing, store.ErrNotFound):
			err = missing
		}
	}
	if err == nil {
		err = s.eng.VoidKey(r.Context(), scope, stored, s.actor(r))
	}
	if err != nil {
		s.failWith(w, r, err, "there is no key "+printable(key)+" in the scope "+printable(scope))
		return
	}
	s.reply(w, doneView{true})
}

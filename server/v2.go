package server

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/pawlhq/pawl/internal/store"
)

// The v2 API: camelCase, one envelope, one form of errors, opaque cursors.
// Source: spec/12 §4.

// v2Prefixes are the two addresses of the v2 API.
func v2Prefixes() []string { return []string{"/v2", "/api/v2"} }

// isV2 reports whether errors at that path have the form of the v2 API.
func isV2(path string) bool {
	for _, prefix := range v2Prefixes() {
		if strings.HasPrefix(path, prefix+"/") || path == prefix {
			return true
		}
	}
	return false
}

// v2Routes is the part of the table under each of the prefixes.
func v2Routes() []route {
	table := []route{
		{method: "GET", pattern: "/health", who: anyone, serve: (*Server).healthV2},
		{method: "GET", pattern: "/account", who: signingKey, serve: (*Server).account},
		{method: "GET", pattern: "/envs", who: signingKey, serve: (*Server).envs},
		{method: "GET", pattern: "/keys/events", who: signingKey, serve: (*Server).eventKeysV2},
		{method: "GET", pattern: "/keys/signing", who: signingKey, serve: (*Server).signingKeysV2},

		{method: "GET", pattern: "/runs", who: signingKey, serve: (*Server).listRunsV2},
		{method: "GET", pattern: "/runs/{run}", who: signingKey, serve: (*Server).showRunV2},
		{method: "GET", pattern: "/runs/{run}/trace", who: signingKey, serve: (*Server).traceV2},
		{method: "POST", pattern: "/runs/{run}/cancel", who: signingKey, mark: act, key: sameAgain, serve: (*Server).cancelRunV2},
		{method: "POST", pattern: "/runs/{run}/rerun", who: signingKey, mark: act, key: takesKey, serve: (*Server).rerunV2, body: maxLetterBody, json: true, lets: true},
		{method: "GET", pattern: "/events/{event}/runs", who: signingKey, serve: (*Server).runsOfEventV2},
		{method: "POST", pattern: "/events", who: signingKey, mark: traffic, key: takesKey, serve: (*Server).sendV2, body: maxEventBodyV2, json: true},

		{method: "GET", pattern: "/apps", who: signingKey, serve: (*Server).listAppsV2},
		{method: "GET", pattern: "/apps/{app}", who: signingKey, serve: (*Server).showAppV2},
		{method: "GET", pattern: "/apps/{app}/functions", who: signingKey, serve: (*Server).listFunctionsV2},
		{method: "GET", pattern: "/apps/{app}/functions/{function}", who: signingKey, serve: (*Server).showFunctionV2},
		{method: "GET", pattern: "/apps/{app}/functions/{function}/runs", who: signingKey, serve: (*Server).runsOfFunctionV2},
		{method: "POST", pattern: "/apps/{app}/functions/{function}/invoke", who: signingKey, mark: traffic, key: takesKey, serve: (*Server).invokeV2, body: maxSignalBody, json: true, lets: true},
		{method: "POST", pattern: "/apps/{app}/syncs", who: signingKey, mark: act, key: sameAgain, serve: (*Server).syncV2, body: maxSmallBody, json: true},

		{method: "GET", pattern: "/env/webhooks", who: signingKey, serve: (*Server).webhooks},
		{method: "POST", pattern: "/env/webhooks", who: signingKey, mark: traffic, key: refusesKey, serve: (*Server).webhooks},
	}
	for _, missing := range []struct{ method, pattern, what string }{
		{"POST", "/envs", "more than one environment"},
		{"PATCH", "/envs/{id}", "more than one environment"},
		{"POST", "/runs/{run}/scores", "scores of runs"},
		{"GET", "/insights/{rest...}", "insights"},
		{"POST", "/insights/{rest...}", "insights"},
		{"GET", "/experiments/{rest...}", "experiments"},
		{"GET", "/sessions/{rest...}", "sessions"},
		{"GET", "/partner/{rest...}", "partner accounts"},
		{"POST", "/partner/{rest...}", "partner accounts"},
		{"GET", "/sandboxes/{rest...}", "sandboxes"},
		{"POST", "/sandboxes/{rest...}", "sandboxes"},
	} {
		table = append(table, later(missing.method, missing.pattern, missing.what))
	}
	return table
}

// maxSmallBody bounds bodies that hold a few settings, in bytes.
const maxSmallBody = 64 << 10

// Codes of errors. Source: spec/12 §4.
const (
	codeInvalid        = "invalid_request"
	codeMissing        = "missing_field"
	codeFormat         = "invalid_field_format"
	codeValidation     = "validation_error"
	codeNoCredential   = "authorization_header_missing"
	codeBadCredential  = "invalid_signing_key"
	codeDenied         = "access_denied"
	codeNotFound       = "not_found"
	codeCancelled      = "run_already_cancelled"
	codeEnded          = "run_already_ended"
	codeConflict       = "idempotency_conflict"
	codeNoKey          = "idempotency_key_required"
	codeInFlight       = "idempotency_in_flight"
	codeRateLimited    = "rate_limited"
	codeDebounced      = "function_debounced"
	codeSkipped        = "function_skipped"
	codeSyncFailed     = "app_sync_failed"
	codeInternal       = "internal_error"
	codeNotImplemented = "not_implemented"
	codeOther          = "api_error"
)

// failV2 is fail for the v2 API, where nothing more is known than the status.
func failV2(w http.ResponseWriter, status int, message string) {
	code := codeOther
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusRequestTimeout:
		code = codeInvalid
	case http.StatusRequestEntityTooLarge:
		code = codeValidation
	case http.StatusUnauthorized:
		code = codeBadCredential
	case http.StatusForbidden:
		code = codeDenied
	case http.StatusNotFound:
		code = codeNotFound
	case http.StatusNotImplemented:
		code = codeNotImplemented
	case http.StatusInternalServerError:
		code = codeInternal
	}
	refuseV2(w, status, code, message)
}

// errorsV2 is the body of a refusal of the v2 API.
type errorsV2 struct {
	Errors []errorV2 `json:"errors"`
}

type errorV2 struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func refuseV2(w http.ResponseWriter, status int, code, message string) {
	b := appendText([]byte(`{"errors":[{"code":`), code)
	b = appendText(append(b, `,"message":`...), message)
	raw(w, status, append(b, `}]}`...))
}

// failAt answers with an error of the form that belongs to the request's path.
func failAt(w http.ResponseWriter, r *http.Request, status int, message string) {
	if isV2(r.URL.Path) {
		failV2(w, status, message)
		return
	}
	fail(w, status, message)
}

// failWithV2 answers for an error of the engine; missing is what to say when
// the thing does not exist.
func (s *Server) failWithV2(w http.ResponseWriter, r *http.Request, err error, missing string) {
	status, message := s.trouble(w, r, err)
	if status == http.StatusNotFound && missing != "" {
		message = missing
	}
	failV2(w, status, message)
}

// envelopeV2 is an answer of the v2 API.
type envelopeV2[T any] struct {
	Data     T          `json:"data"`
	Metadata metadataV2 `json:"metadata"`
	Page     *pageV2    `json:"page,omitzero"` // of lists
}

type metadataV2 struct {
	FetchedAt time.Time `json:"fetchedAt"`
}

// pageV2 says how a list goes on.
type pageV2 struct {
	Cursor  string `json:"cursor,omitzero"` // what to ask for the next page with
	HasMore bool   `json:"hasMore"`
	Limit   int    `json:"limit"`
}

func (s *Server) replyV2(w http.ResponseWriter, data any) { s.replyPageV2(w, http.StatusOK, data, nil) }

func (s *Server) replyPageV2(w http.ResponseWriter, status int, data any, page *pageV2) {
	b, err := json.Marshal(envelopeV2[any]{data, metadataV2{time.Now().UTC()}, page}, marshalOptions)
	if err != nil {
		s.log.Error("answer cannot be encoded", "err", err)
		failV2(w, http.StatusInternalServerError, "Internal error: the answer could not be encoded")
		return
	}
	raw(w, status, b)
}

// replayedV2 answers for a key that was used before: with what reply makes of its
// entry, or with 422 when it stands for something else. It reports whether err
// was about a key.
func replayedV2(w http.ResponseWriter, err error, reply func(e store.KeyEntry)) bool {
	if again, ok := errors.AsType[*store.RepeatedError](err); ok {
		w.Header().Set(headerReplayed, "true")
		reply(again.Entry)
		return true
	}
	other, ok := errors.AsType[*store.KeyConflictError](err)
	if ok {
		refuseV2(w, http.StatusUnprocessableEntity, codeConflict, other.Error())
	}
	return ok
}

// refusedV2 answers when a parameter was wrong.
func (q *query) refusedV2(w http.ResponseWriter) bool {
	bad := q.bad()
	if bad {
		refuseV2(w, http.StatusBadRequest, codeFormat, q.wrong)
	}
	return bad
}

func (q *query) flag(name string) *bool {
	text := q.get(name)
	if text == "" {
		return nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		q.refuse(name + " must be true or false")
	}
	return &v
}

// listing is the page of a list that a request asks for.
type listing struct {
	s     *Server
	name  string
	limit int
	after place // the zero value for the first page
}

func (s *Server) listing(q *query, u *url.URL, usual, most int) listing {
	l := listing{s: s, name: listName(u), limit: q.number("limit", usual, 1, most)}
	if text := q.get("cursor"); text != "" {
		var ok bool
		if l.after, ok = s.sealer.open(l.name, text); !ok {
			q.refuse("cursor is not one that this server gave for this list and filter; begin without one")
		}
	}
	return l
}

// cut cuts what was read, one row more than the limit if there are as many,
// and says how the list goes on.
func cut[T any](l listing, rows []T, at func(T) place) ([]T, *pageV2) {
	p := &pageV2{Limit: l.limit, HasMore: len(rows) > l.limit}
	if p.HasMore {
		rows = rows[:l.limit]
		p.Cursor = l.s.sealer.cursor(l.name, at(rows[l.limit-1]))
	}
	return rows, p
}

// cutSorted cuts a list that is in memory whole, in the order of its ids.
func cutSorted[T any](l listing, rows []T, id func(T) string) ([]T, *pageV2) {
	from := 0
	for from < len(rows) && l.after.ID != "" && id(rows[from]) <= l.after.ID {
		from++
	}
	rows = rows[from:min(len(rows), from+l.limit+1)]
	return cut(l, rows, func(t T) place { return place{ID: id(t)} })
}

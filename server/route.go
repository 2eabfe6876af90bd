package server

import (
	"net/http"
	"strings"
)

// caller says who may call a route.
type caller int

// The zero value lets nobody in. In dev, everybody on this machine holds every
// key.
const (
	nobody     caller = iota
	anyone            // no credential is asked for
	eventKey          // whoever has an event key, in the path
	signingKey        // whoever has a signing key, as bearer
	queryToken        // whoever has a token in the query, which the handler reads
	publisher         // whoever has a signing key, or a token to publish, as bearer
)

// mark says what a request leaves behind that changes something.
type mark int

// Only what changes nothing may be unmarked. What apps and senders do all day is
// traffic: events and runs tell it. What people do to others' work is an act: it
// leaves one line in the audit log, unless it is refused or changes nothing.
const (
	unmarked mark = iota
	traffic
	act
	personal // logins and passwords: some leave a line, told in tests of their own
)

// keying says what an Idempotency-Key means for a route.
type keying int

// Only what changes nothing may be unsaid. Where a request can be sent twice with no
// more done than once, as by a DELETE, a key asks for what is so anyway. Elsewhere it is
// taken, or refused: whoever sends one must not believe that it holds.
const (
	unsaid     keying = iota
	takesKey          // the handler reads it with once
	sameAgain         // what is asked for twice is done once without it
	refusesKey        // it cannot be kept: 400
)

// route is one line of the table.
type route struct {
	method  string
	pattern string // as http.ServeMux reads it, without a method
	who     caller
	mark    mark
	key     keying
	serve   handler

	body   int64 // the most bytes its body may have; 0: no body is read
	json   bool  // the body has to be called JSON
	packed bool  // the body may come compressed: nobody looks into it
	tells  bool  // its answer has a secret, told this once, and goes through no rule of redaction
	reads  bool  // it changes nothing, as a GET, whatever the method
	lets   bool  // the handler lets go of the body before it has answered
	// live says of which requests the handler reads the body itself, as it comes;
	// nil: of none.
	live func(*http.Request) bool
	cors bool // pages of any origin may call it
	// missing: the protocol has it and Pawl does not.
	missing bool
	refuse  func(w http.ResponseWriter, status int, message string)
}

// handler works for a request; body is nil unless the route reads one, and is
// used again for another request when the handler returns.
type handler func(s *Server, w http.ResponseWriter, r *http.Request, body []byte)

// The most that bodies may have, in bytes.
const (
	maxEventsBody     = 64 << 20
	maxRegisterBody   = 8 << 20
	maxCheckpointBody = 40 << 20
	maxEndpointBody   = 2 << 20 // an event has it as text in JSON
)

// routes is the table of all that is served.
func routes() []route {
	table := []route{
		{method: "GET", pattern: "/health", who: anyone, serve: (*Server).health},
		{method: "GET", pattern: "/dev", who: anyone, serve: (*Server).devInfo},
		{method: "GET", pattern: "/openapi.json", who: anyone, serve: (*Server).openAPI},
		{method: "POST", pattern: "/dev/traces", who: anyone, mark: traffic, key: sameAgain, serve: (*Server).devTraces, body: maxTracesBody, packed: true},

		{method: "POST", pattern: "/e/{key}", who: eventKey, mark: traffic, key: takesKey, serve: (*Server).events, body: maxEventsBody, cors: true, refuse: failEvents},
		{method: "POST", pattern: "/e/{$}", who: eventKey, mark: traffic, key: takesKey, serve: (*Server).events, body: maxEventsBody, cors: true, refuse: failEvents},
		{method: "POST", pattern: "/e", who: eventKey, mark: traffic, key: takesKey, serve: (*Server).events, cors: true}, // has no key, so that nobody gets in

		{method: "POST", pattern: "/fn/register", who: signingKey, mark: traffic, key: sameAgain, serve: (*Server).register, body: maxRegisterBody, json: true, refuse: failRegister},

		{method: "DELETE", pattern: "/fn/remove", who: signingKey, mark: act, key: sameAgain, serve: (*Server).removeApp},

		{method: "GET", pattern: "/v0/runs/{run}/batch", who: signingKey, serve: (*Server).batch},
		{method: "GET", pattern: "/v0/runs/{run}/actions", who: signingKey, serve: (*Server).actions},

		{method: "GET", pattern: "/v1/events", who: signingKey, serve: (*Server).listEvents},
		{method: "GET", pattern: "/v1/events/shape", who: signingKey, serve: (*Server).shapeOfEvents},
		{method: "GET", pattern: "/v1/events/{event}", who: signingKey, serve: (*Server).showEvent},
		{method: "GET", pattern: "/v1/events/{event}/runs", who: signingKey, serve: (*Server).runsOfEvent},
		{method: "GET", pattern: "/v1/runs", who: signingKey, serve: (*Server).listRuns},
		{method: "GET", pattern: "/v1/server", who: signingKey, serve: (*Server).describe},
		{method: "GET", pattern: "/v1/overview", who: signingKey, serve: (*Server).overview},
		{method: "GET", pattern: "/v1/changes", who: signingKey, serve: (*Server).changes},
		{method: "GET", pattern: "/v1/runs/search", who: signingKey, serve: (*Server).searchRuns},
		{method: "GET", pattern: "/v1/runs/{run}/trace", who: signingKey, serve: (*Server).trace},
		{method: "GET", pattern: "/v1/runs/{run}/links", who: signingKey, serve: (*Server).links},
		{method: "GET", pattern: "/v1/runs/{run}/steps/{step}", who: signingKey, serve: (*Server).showStep},
		{method: "GET", pattern: "/v1/runs/{run}/exchanges/{n}", who: signingKey, serve: (*Server).showExchange},
		{method: "GET", pattern: "/v1/runs/{run}", who: signingKey, serve: (*Server).showRun},
		{method: "DELETE", pattern: "/v1/runs/{run}", who: signingKey, mark: act, key: sameAgain, serve: (*Server).cancelRun},
		{method: "GET", pattern: "/v1/runs/{run}/jobs", who: signingKey, serve: (*Server).jobs},
		{method: "GET", pattern: "/v1/runs/{run}/steps", who: signingKey, serve: (*Server).steps},
		{method: "GET", pattern: "/v1/runs/{run}/why", who: signingKey, serve: (*Server).why},
		{method: "POST", pattern: "/v1/runs/{run}/metadata", who: signingKey, mark: traffic, key: sameAgain, serve: (*Server).updateMetadata, body: maxMetadataBody, json: true},
		{method: "POST", pattern: "/v1/traces/userland", who: signingKey, mark: traffic, key: sameAgain, serve: (*Server).traces, body: maxTracesBody, packed: true},
		{method: "GET", pattern: "/v1/schedules", who: signingKey, serve: (*Server).listSchedules},
		{method: "POST", pattern: "/v1/schedules", who: signingKey, mark: act, key: takesKey, serve: (*Server).addSchedule, body: maxScheduleBody, json: true},
		{method: "DELETE", pattern: "/v1/schedules/{id}", who: signingKey, mark: act, key: sameAgain, serve: (*Server).removeSchedule},
		{method: "POST", pattern: "/v1/cancellations", who: signingKey, mark: act, key: takesKey, serve: (*Server).cancelMany, body: maxSmallBody, json: true},
		{method: "GET", pattern: "/v1/cancellations", who: signingKey, serve: (*Server).listCancellations},
		{method: "DELETE", pattern: "/v1/cancellations/{id}", who: signingKey, mark: act, key: sameAgain, serve: (*Server).removeCancellation},
		{method: "GET", pattern: "/v1/idempotency-keys", who: signingKey, serve: (*Server).listKeys},
		{method: "DELETE", pattern: "/v1/idempotency-keys", who: signingKey, mark: act, key: sameAgain, serve: (*Server).voidKey},
		{method: "POST", pattern: "/v1/signals", who: signingKey, mark: traffic, key: takesKey, serve: (*Server).signal, body: maxSignalBody, json: true},
		{method: "POST", pattern: "/invoke/{slug}", who: signingKey, mark: traffic, key: takesKey, serve: (*Server).invoke, body: maxSignalBody, json: true, lets: true},
		{method: "GET", pattern: "/v1/apps", who: signingKey, serve: (*Server).listApps},
		{method: "GET", pattern: "/v1/apps/{app}/functions", who: signingKey, serve: (*Server).appFunctions},

		{method: "POST", pattern: "/v1/backup", who: signingKey, mark: act, key: refusesKey, serve: (*Server).backup},

		{method: "GET", pattern: "/{$}", who: anyone, serve: (*Server).dashboard},
		{method: "GET", pattern: "/assets/{file}", who: anyone, serve: (*Server).asset},
		{method: "GET", pattern: "/assets/pawl.css", who: anyone, serve: (*Server).style},
		{method: "GET", pattern: "/assets/pawl.png", who: anyone, serve: (*Server).icon},
		{method: "GET", pattern: "/favicon.ico", who: anyone, serve: (*Server).icon}, // where browsers look
	}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		table = append(table, route{method: method, pattern: "/x/{host}/{rest...}", who: anyone, mark: traffic, key: takesKey, serve: (*Server).enter, body: maxEndpointBody, lets: true, cors: true})
	}
	table = append(table, letterRoutes...)
	table = append(table, controlRoutes...)
	table = append(table, peopleRoutes...)
	// SDKs know checkpoints under two prefixes.
	for _, prefix := range []string{"/v1/checkpoint", "/v1/http/runs"} {
		table = append(table,
			route{method: "POST", pattern: prefix + "/{run}/async", who: signingKey, mark: traffic, key: sameAgain, serve: (*Server).checkpoint, body: maxCheckpointBody, json: true},
			route{method: "POST", pattern: prefix, who: signingKey, mark: traffic, key: sameAgain, serve: (*Server).begin, body: maxCheckpointBody, json: true},
			route{method: "POST", pattern: prefix + "/{run}/steps", who: signingKey, mark: traffic, key: sameAgain, serve: (*Server).report, body: maxCheckpointBody, json: true},
			route{method: "POST", pattern: prefix + "/{run}/response", who: signingKey, mark: traffic, key: sameAgain, serve: (*Server).respond, body: maxCheckpointBody, json: true},
			route{method: "GET", pattern: prefix + "/{run}/output", who: queryToken, serve: (*Server).output, cors: true},
		)
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			table = append(table, route{method: method, pattern: prefix + "/{run}/output", who: queryToken, serve: (*Server).output, reads: true, body: maxEndpointBody, packed: true, lets: true, cors: true})
		}
	}
	table = append(table,
		route{method: "POST", pattern: "/v1/realtime/token", who: signingKey, mark: traffic, key: sameAgain, serve: (*Server).topicToken, body: maxTokenBody, json: true},
		route{method: "POST", pattern: "/v1/realtime/publish", who: publisher, mark: traffic, key: refusesKey, serve: (*Server).publish, body: maxPublishBody, live: asStream},
		route{method: "POST", pattern: "/v1/realtime/publish/tee", who: signingKey, mark: traffic, key: refusesKey, serve: (*Server).tee, live: always},
		route{method: "GET", pattern: "/v1/realtime/connect", who: queryToken, serve: (*Server).connect, cors: true},
		route{method: "GET", pattern: "/v1/realtime/sse", who: queryToken, serve: (*Server).sse, cors: true},
		later("POST", "/v0/connect/start", "connected workers"),
		later("POST", "/v0/connect/flush", "connected workers"),
		later("POST", "/v0/gql", "the GraphQL API"),
	)
	for _, prefix := range v2Prefixes() {
		for _, rt := range v2Routes() {
			rt.pattern, rt.refuse = prefix+rt.pattern, failV2
			table = append(table, rt)
		}
	}
	for i := range table {
		if table[i].refuse == nil {
			table[i].refuse = fail
		}
	}
	return table
}

func always(*http.Request) bool { return true }

// later is a route of the protocol that this version does not have yet: saying
// so is kinder than 404, which looks like a wrong address.
func later(method, pattern, what string) route {
	return route{method: method, pattern: pattern, who: signingKey, missing: true, serve: func(_ *Server, w http.ResponseWriter, r *http.Request, _ []byte) {
		failAt(w, r, http.StatusNotImplemented, notYet(r, what))
	}}
}

func notYet(r *http.Request, what string) string {
	return r.Method + " " + printable(r.URL.Path) + ": this version of Pawl does not have " + what + " yet"
}

// notFound gives a browser the dashboard, which says what is not there, and tells
// everybody else in JSON.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	if isPage(r) {
		s.dashboard(w, r, nil)
		return
	}
	failAt(w, r, http.StatusNotFound, "there is no "+printable(r.URL.Path)+" here")
}

// printable is a piece of a request that may stand in an answer: short, and
// without anything that could steer a terminal.
func printable(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), most)])
	return s
}

package server

import (
	"net/http"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// refusalView is an error outside the v2 API.
type refusalView struct {
	Error  string `json:"error"`
	Status int    `json:"status"`
	Code   string `json:"code,omitzero"`
}

// Answers that handlers write by hand.
type (
	healthyView struct {
		Status  int    `json:"status"`
		Message string `json:"message"`
	}
	idsView struct {
		IDs    []string `json:"ids"` // of the events, in their order
		Status int      `json:"status"`
		Error  string   `json:"error,omitzero"`
	}
)

func paramText(name, what string, of ...string) param {
	p := param{name: name, what: what, schema: object{"type": "string"}}
	if len(of) > 0 {
		p.schema["enum"] = of
	}
	return p
}

func paramTexts(name, what string) param {
	return param{name: name, what: what, schema: object{"type": "array", "items": object{"type": "string"}}}
}

func needed(p param) param {
	p.required = true
	return p
}

func paramTime(name, what string) param {
	return param{name: name, what: what, schema: object{"type": "string", "format": "date-time"}}
}

func paramFlag(name, what string) param {
	return param{name: name, what: what, schema: object{"type": "boolean"}}
}

func paramNumber(name, what string, usual, least, most int) param {
	return param{name: name, what: what, schema: object{"type": "integer", "default": usual, "minimum": least, "maximum": most}}
}

func paramLimit(usual, most int) param { return paramNumber("limit", "rows of a page", usual, 1, most) }

// lastRow is the cursor of lists of the v1 API, sealed that of the v2 API.
func lastRow(of string) param { return paramText("cursor", of+" of the last row of the page before") }

func sealed() param {
	return paramText("cursor", "page.cursor of the page before; it belongs to the list and its filter")
}

// keyed are the headers of a request that can happen once for a key.
func keyed() []param {
	return []param{
		paramText(headerKey, "the same request with the same key happens once, and is answered as the first was"),
		paramText(headerLife, "how long the key holds, such as 36h; 7 days when it is not given"),
	}
}

// inFlightParam is the header of a request that starts a run.
func inFlightParam() param {
	return paramText(headerInFlight, "what a repetition does while the run of the first request goes on: attach (when it is not given) is answered as the first was, wait once the run has ended, reject at once with 409, code idempotency_in_flight and the run", inFlightWords...)
}

func runStatusParam() param {
	p := paramText("status", "may be given more than once")
	p.schema = object{"type": "array", "items": object{"type": "string", "enum": runStatuses}}
	return p
}

func includeOutput() param {
	return paramFlag("includeOutput", "also what the run returned, or its error")
}

// runsOfV2 are the parameters of lists of runs.
func runsOfV2(more ...param) []param {
	return append(more, paramLimit(20, 100), sealed(), includeOutput(), paramTime("from", "at or after, by timeField"), paramTime("until", "before, by timeField"),
		paramText("timeField", "the time that from, until and order go by; queuedAt when it is not given", "queuedAt", "startedAt", "endedAt"),
		runStatusParam(), paramText("order", "desc when it is not given", "asc", "desc"))
}

func letterFilters(more ...param) []param {
	return append([]param{
		paramLimit(20, 200), lastRow("run_id"), paramText("function", "slug"), paramText("class", "of the failure", letterClasses...), paramText("fingerprint", "of a group"),
		paramTime("failed_after", "at or after"), paramTime("failed_before", "before"),
	}, more...)
}

var (
	conflict = []int{http.StatusConflict}
	tooMuch  = []int{http.StatusTooManyRequests} // waits already
)

// busyNote is of what hashes a password.
const busyNote = "503 with Retry-After when too many passwords are being hashed: nothing was tried or changed."

// told is what people are told, by method and pattern.
var told = sync.OnceValue(func() map[string]about {
	return map[string]about{
		"GET /health":       {id: "health", what: "Whether requests are served", data: healthyView{}, wrap: unwrapped},
		"GET /openapi.json": {id: "openapi", what: "This document", data: map[string]any{}, wrap: unwrapped},
		"POST /e/{key}": {
			id: "sendEvents", what: "Send one event, or an array of up to 5,000", in: eventInV2{}, many: true, data: idsView{}, wrap: unwrapped, codes: tooMuch,
		},
		"POST /invoke/{slug}": {
			id: "invoke", what: "Start a run of one function, whatever its triggers", in: invokeIn{}, data: invokedView{}, wrap: unwrapped, codes: tooMuch,
		},
		"DELETE /fn/remove": {
			id: "removeApp", what: "Archive the app at a URL; a sync brings it back", data: removedView{}, wrap: unwrapped,
			query: []param{needed(paramText("url", "where the app serves its functions"))}, codes: []int{http.StatusNotFound},
		},

		"GET /v1/events": {
			id: "listEvents", what: "Events of the last hour, or of a time that is given; newest first", data: []eventView{},
			query: []param{paramLimit(20, 51), lastRow("internal_id"), paramText("name", "of the event"), paramTime("received_after", "at or after"), paramTime("received_before", "before")},
		},
		"GET /v1/events/shape": {
			id: "shapeOfEvents", what: "The members of the data of the newest events of a name, with their types; no values", data: shapeView{},
			query: []param{needed(paramTexts("name", "of an event; up to five"))},
		},
		"GET /v1/functions/{slug}/versions":         {id: "listVersions", what: "A function in its versions, and what each changed; the newest first", data: []versionView{}},
		"GET /v1/dead-letters/groups/{fingerprint}": {id: "getDeadGroup", what: "A group of dead letters, and how it grew", data: groupTrendView{}},
		"GET /v1/events/{event}":                    {id: "getEvent", what: "An event, and for which functions it waits for others", data: eventDetail{}},
		"GET /v1/events/{event}/runs":               {id: "listRunsOfEvent", what: "The runs that an event started", data: []runView{}},
		"GET /v1/runs": {
			id: "listRuns", what: "Runs, newest first", data: []runView{},
			query: []param{paramLimit(20, 200), lastRow("run_id"), paramText("function", "slug"), paramText("status", "", "Scheduled", "Queued", "Running", "Completed", "Failed", "Cancelled")},
		},
		"GET /v1/server":   {id: "describeServer", what: "What this server is, and where it looks for apps", data: serverView{}},
		"GET /v1/overview": {id: "overview", what: "The last hour in numbers, and what needs a person", data: overviewView{}},
		"GET /v1/changes": {
			id: "followChanges", what: "All that changes, as server-sent events: hello, which says for how many milliseconds nothing has changed (quiet_ms), and then news, each as this schema has it", data: newsView{}, wrap: unwrapped,
			codes: []int{http.StatusTooManyRequests},
		},
		"GET /v1/runs/search": {
			id: "searchRuns", what: "Runs, newest first, by what is in them; a page looks at 1,000 runs at most and says how far it came", data: foundView{},
			query: []param{
				paramLimit(50, 200), paramText("cursor", "of the page before; it belongs to the filter"), runStatusParam(), paramTexts("function", "slug; any of them"), paramTexts("app", "any of them"),
				paramText("event_id", "the event that started it"), paramText("event", "name of the event; with * at its end, how it begins"), paramTexts("data", wrongTerm+"; all of them"),
				paramText("error", "a part of the error"), paramTime("from", "queued at or after"), paramTime("until", "queued before"),
			},
		},
		"GET /v1/runs/{run}/trace": {
			id: "traceRun", what: "A run with its steps, without their results", data: traceView{}, query: []param{paramNumber("after", "seq of the answer before: only steps that have changed since", 0, 0, 1<<30)},
		},
		"GET /v1/runs/{run}/links":         {id: "linksOfRun", what: "What belongs to a run: events, parent, children, reruns, dead letter", data: linksView{}},
		"GET /v1/runs/{run}/steps/{step}":  {id: "getStep", what: "A step with its result or error; step is its hashed id, or \"step\" for the function's body", data: stepView{}},
		"GET /v1/runs/{run}/exchanges/{n}": {id: "getExchange", what: "What was sent to the app and what it answered in a try that failed; n is the try's seq. The newest 20 of a run are kept", data: exchangeView{}},
		"GET /v1/runs/{run}":               {id: "getRun", what: "A run", data: runView{}},
		"DELETE /v1/runs/{run}":            {id: "cancelRun", what: "Cancel a run; one that has ended stays as it is", codes: []int{http.StatusBadRequest}},
		"GET /v1/runs/{run}/jobs":          {id: "listJobs", what: "What is queued for a run", data: []jobView{}},
		"GET /v1/runs/{run}/steps": {
			id: "listSteps", what: "A run with its steps; with wait, once there is news of it", data: stepsView{},
			query: []param{paramNumber("after", "seq of the answer before", 0, 0, 1<<30), paramText("wait", "how long to wait for news at most, such as 30s")},
		},
		"GET /v1/runs/{run}/why": {id: "whyRun", what: "Why a run is not running now, in one sentence", data: whyView{}},
		"POST /v1/runs/{run}/rerun": {
			id: "rerunRun", what: "Start a run anew, from its start or from a step", in: rerunIn{}, data: startedView{},
		},
		"GET /v1/http/runs/{run}/output": {
			id: "getOutput", what: "The result of a run, once it has ended: an endpoint's response as it was, data or error; with Accept: text/event-stream as an event",
			data: resultView{}, wrap: unwrapped, other: "the endpoint's own answer", codes: []int{http.StatusAccepted, http.StatusTemporaryRedirect, http.StatusNotFound},
			query: []param{needed(paramText("token", "which the endpoint's client was given")), paramText("wait", "how long to wait at most, such as 30s; 202 then")},
		},
		"POST /v1/realtime/token": {
			id: "topicToken", what: "A token to read topics, or with publish=true to publish to them; it is good for five minutes", in: []topicIn{}, data: topicTokenView{}, wrap: unwrapped, made: true,
			query: []param{paramFlag("publish", "the token is one to publish with")},
		},
		"POST /v1/realtime/publish": {
			id: "publish", what: "Publish the body to topics of a channel; one of the type text/stream as it comes", in: jsontext.Value{}, data: struct{}{}, wrap: unwrapped, codes: []int{http.StatusForbidden},
			query: []param{
				needed(paramText("channel", "such as user:123")), needed(paramText("topic", "may be given several times")),
				paramText("run_id", "the run that publishes"), paramText("metadata", "a JSON object that goes along"),
			},
		},
		"GET /v1/realtime/connect": {
			id: "connect", what: "A WebSocket that reads the topics of a token", codes: []int{http.StatusUpgradeRequired},
			query: []param{needed(paramText("token", "for topics; may be the bearer instead"))},
		},
		"GET /v1/realtime/sse": {
			id: "readTopics", what: "The topics of a token as server-sent events; of $stream the events of a run's endpoint as they are", media: "text/event-stream",
			query: []param{needed(paramText("token", "for topics; may be the bearer instead"))},
		},
		"GET /v1/schedules": {
			id: "listSchedules", what: "Schedules of functions and those that people made, each with its next 10 ticks; by id", data: []scheduleView{},
			query: []param{paramLimit(100, 500), lastRow("id"), paramText("function", "slug")},
		},
		"POST /v1/schedules": {
			id: "addSchedule", what: "Make a schedule for a function", in: scheduleIn{}, data: scheduleView{}, codes: []int{http.StatusNotFound, http.StatusConflict, http.StatusGone},
		},
		"DELETE /v1/schedules/{id}": {id: "removeSchedule", what: "Remove a schedule that somebody made", data: doneView{}, codes: conflict},
		"POST /v1/cancellations": {
			id: "cancelMany", what: "Cancel all runs of a function that started in a time and whose event meets a condition", in: cancellationIn{}, data: cancellationView{},
			codes: []int{http.StatusNotFound, http.StatusGone},
		},
		"GET /v1/cancellations":         {id: "listCancellations", what: "Cancellations of many runs, newest first", data: []cancellationView{}, query: []param{paramLimit(20, 200), lastRow("id")}},
		"DELETE /v1/cancellations/{id}": {id: "removeCancellation", what: "End a cancellation; runs that it has cancelled stay so", data: doneView{}, codes: []int{http.StatusBadRequest}},
		"GET /v1/idempotency-keys": {
			id: "listKeys", what: "Idempotency keys of one scope", data: []keyView{},
			query: []param{needed(paramText("scope", scopeWords)), paramLimit(50, 200), lastRow("key")},
		},
		"DELETE /v1/idempotency-keys": {
			id: "voidKey", what: "Forget a key: the next request with it is a new one", data: doneView{},
			query: []param{needed(paramText("scope", "of the key")), needed(paramText("key", "as it is listed; in unique/<function> the value of the option idempotency, null when the event had none; redacted: and a digest stand for a value that is not shown"))}, codes: []int{http.StatusNotFound},
		},
		"POST /v1/signals": {
			id: "signal", what: "Send a signal to the run that waits for it", in: signalIn{}, data: startedView{},
			codes: []int{http.StatusNotFound, http.StatusUnprocessableEntity},
		},
		"GET /v1/controls":                 {id: "listControls", what: "What operators have paused or limited", data: []controlView{}},
		"POST /v1/functions/{slug}/pause":  {id: "pauseFunction", what: "Hold back the runs of a function; new ones are kept", in: pauseIn{}, data: doneView{}, codes: []int{http.StatusNotFound, http.StatusUnprocessableEntity}},
		"POST /v1/functions/{slug}/resume": {id: "resumeFunction", what: "Let the runs of a function go on: with key and value, those that have it", in: pauseIn{}, data: resumedView{}, codes: []int{http.StatusNotFound, http.StatusUnprocessableEntity}},
		"PUT /v1/functions/{slug}/limits":  {id: "setLimits", what: "Put options in place of those that the app registered: concurrency, throttle, priority, missed, overlap and idempotencyKey", in: limitsIn{}, data: doneView{}, codes: []int{http.StatusNotFound}},
		"POST /v1/apps/{app}/pause":        {id: "pauseApp", what: "Hold back the runs of all functions of an app", in: pauseIn{}, data: doneView{}, codes: []int{http.StatusNotFound}},
		"POST /v1/apps/{app}/resume":       {id: "resumeApp", what: "Let the runs of an app go on", in: pauseIn{}, data: resumedView{}, codes: []int{http.StatusNotFound}},
		"GET /v1/audit": {
			id: "listActs", what: "What people have done to others' work, newest first", data: []actView{},
			query: []param{
				paramLimit(50, 200), lastRow("cursor"), paramText("object", "a function's slug, or run/, job/, cancellation/, schedule/, key/, app/, person/ or token/ and a name"),
				paramTime("from", "at or after"), paramTime("until", "before"),
			},
		},
		"GET /v1/me":                  {id: "whoAmI", what: "Who asks, and how one can log in", data: meView{}},
		"POST /v1/login":              {id: "login", what: "Log in with a name and a password; the answer sets a cookie", in: loginIn{}, data: meView{}, codes: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests}, note: busyNote},
		"POST /v1/logout":             {id: "logout", what: "End a login", data: doneView{}, codes: []int{http.StatusForbidden, http.StatusNotFound}},
		"POST /v1/setup":              {id: "setup", what: "Make the first admin, with the token of the link that the server has printed", in: setupIn{}, data: meView{}, codes: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict}, note: busyNote},
		"POST /v1/welcome":            {id: "welcome", what: "Whose a link to set a password is; with a password, set it and log in", in: welcomeIn{}, data: welcomeView{}, codes: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}, note: busyNote},
		"GET /v1/me/sessions":         {id: "listLogins", what: "Where one is logged in", data: []sessionView{}, codes: []int{http.StatusNotFound}},
		"DELETE /v1/me/sessions":      {id: "endOtherLogins", what: "End one's other logins", data: doneView{}, codes: []int{http.StatusNotFound}},
		"DELETE /v1/me/sessions/{id}": {id: "endLogin", what: "End one of one's logins", data: doneView{}, codes: []int{http.StatusNotFound}},
		"POST /v1/me/password":        {id: "changePassword", what: "Change one's own password; other logins end", in: passwordIn{}, data: meView{}, codes: []int{http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests}, note: busyNote},
		"GET /v1/people":              {id: "listPeople", what: "Who may log in (admin)", data: []personView{}},
		"POST /v1/people":             {id: "addPerson", what: "Let somebody log in (admin)", in: personIn{}, data: personView{}, codes: []int{http.StatusConflict, http.StatusUnprocessableEntity}, note: busyNote},
		"PATCH /v1/people/{id}": {
			id: "changePerson", what: "Change what somebody may do, or how they log in (admin)", in: personIn{}, data: personView{}, codes: conflict,
			note: "Their logins end, and so does a link that is open, with a password, and when disabled changes, in either way. " +
				"A role or a name holds at once, and ends none. " + busyNote,
		},
		"DELETE /v1/people/{id}":          {id: "removePerson", what: "Forget somebody (admin)", data: personView{}, codes: conflict},
		"POST /v1/people/{id}/link":       {id: "linkPerson", what: "Make a link by which somebody sets a password, once, within three days; its token is told this once, and goes after the # of /welcome (admin)", data: linkView{}, codes: conflict},
		"DELETE /v1/people/{id}/sessions": {id: "endLogins", what: "End all logins of somebody (admin)", data: doneView{}},
		"GET /v1/keys":                    {id: "listSecrets", what: "Keys by which programs are let in, without the keys (admin)", data: []secretView{}},
		"GET /v1/tokens":                  {id: "listTokens", what: "Tokens of programs, without their secrets (admin)", data: []tokenView{}},
		"POST /v1/tokens":                 {id: "addToken", what: "Make a token, to be shown as bearer; its secret is told this once (admin)", in: tokenIn{}, data: tokenView{}, codes: []int{http.StatusUnprocessableEntity}},
		"DELETE /v1/tokens/{id}":          {id: "removeToken", what: "Forget a token (admin)", data: doneView{}},
		"GET /v1/apps":                    {id: "listApps", what: "Apps with their functions", data: []appView{}},
		"GET /v1/apps/{app}/functions": {
			id: "listFunctions", what: "The functions of an app", data: []functionView{}, wrap: unwrapped,
		},
		"POST /v1/backup": {id: "backup", what: "A copy of the store as it is now, to go back to with pawl restore", media: "application/vnd.sqlite3", codes: []int{http.StatusNotImplemented}},

		"GET /v1/dead-letters": {
			id: "listDeadLetters", what: "Runs that failed for good; the one that failed last first", data: []letterView{},
			codes: []int{http.StatusNotFound}, query: letterFilters(paramText("state", "open when it is not given", "open", "retried", "discarded", "all")),
		},
		"GET /v1/dead-letters/groups": {
			id: "listDeadLetterGroups", what: "Dead letters that look alike, counted", data: []groupTrendView{},
			codes: []int{http.StatusNotFound}, query: []param{paramLimit(20, 200), lastRow("cursor"), paramText("function", "slug"), paramText("class", "of the failure", letterClasses...), paramText("state", "open: only groups with an open letter", "open", "all")},
		},
		"GET /v1/dead-letters/{run}": {id: "getDeadLetter", what: "A dead letter", data: letterView{}},
		"POST /v1/dead-letters/retry": {
			id: "retryDeadLetters", what: "Retry many at a rate, and stop when the first ones fail again", in: retryManyIn{}, data: retryJobView{}, codes: []int{http.StatusNotFound},
		},
		"POST /v1/dead-letters/discard": {
			id: "discardDeadLetters", what: "Discard many, with a reason", in: discardManyIn{}, data: retryJobView{}, codes: []int{http.StatusNotFound},
		},
		"GET /v1/dead-letters/jobs/{id}/runs": {
			id: "listRetriedRuns", what: "The runs that a job has started, the first of them first", data: []retriedRunView{}, codes: []int{http.StatusNotFound},
			query: []param{paramLimit(20, 200), lastRow("run_id"), paramText("status", "Running until it has ended", "Running", "Completed", "Failed", "Cancelled")},
		},
		"GET /v1/dead-letters/jobs":         {id: "listRetryJobs", what: "Jobs that retry or discard dead letters, newest first", data: []retryJobView{}, query: []param{paramLimit(20, 200), lastRow("id")}},
		"GET /v1/dead-letters/jobs/{id}":    {id: "getRetryJob", what: "A job that retries or discards dead letters", data: retryJobView{}},
		"DELETE /v1/dead-letters/jobs/{id}": {id: "stopRetryJob", what: "Stop a job; the runs that it has started go on", data: retryJobView{}},
		"POST /v1/dead-letters/{run}/{action}": {
			id: "actOnDeadLetter", what: "Retry (answers with the run), discard with a reason, or note", in: letterActionIn{}, data: letterView{}, codes: conflict,
		},

		"GET /v2/health":       {id: "healthV2", what: "Whether requests are served", data: healthyV2{}, wrap: wrapV2},
		"GET /v2/account":      {id: "getAccount", what: "The one account", data: accountV2{}, wrap: wrapV2},
		"GET /v2/envs":         {id: "listEnvs", what: "The one environment", data: []envV2{}, wrap: wrapPage, query: []param{paramLimit(250, 250), sealed()}},
		"GET /v2/keys/events":  {id: "listEventKeys", what: "Event keys, without their values", data: []keyV2{}, wrap: wrapPage, query: []param{paramLimit(100, 100), sealed()}},
		"GET /v2/keys/signing": {id: "listSigningKeys", what: "Signing keys, without their values", data: []keyV2{}, wrap: wrapPage, query: []param{paramLimit(100, 100), sealed()}},
		"GET /v2/runs": {
			id: "listRunsV2", what: "Runs by time, status, app and function", data: []runV2{}, wrap: wrapPage,
			query: runsOfV2(paramFlag("isDeferred", "whether another run deferred it"), paramText("appId", ""), paramText("functionId", "without the app's prefix; needs appId")),
		},
		"GET /v2/runs/{run}": {id: "getRunV2", what: "A run", data: runV2{}, wrap: wrapV2, query: []param{includeOutput()}},
		"GET /v2/runs/{run}/trace": {
			id: "getTrace", what: "What happened in a run, as a tree of spans", data: traceTreeV2{}, wrap: wrapV2, query: []param{includeOutput()},
		},
		"POST /v2/runs/{run}/cancel": {id: "cancelRunV2", what: "Cancel a run", data: runV2{}, wrap: wrapV2, codes: conflict},
		"POST /v2/runs/{run}/rerun": {
			id: "rerunRunV2", what: "Start a run anew, from its start or from a step", in: rerunIn{}, data: invokedV2{}, wrap: wrapV2,
		},
		"GET /v2/events/{event}/runs": {
			id: "listRunsOfEventV2", what: "The runs that an event started", data: []runV2{}, wrap: wrapPage, query: []param{paramLimit(20, 40), sealed(), includeOutput()},
		},
		"POST /v2/events": {id: "sendEvent", what: "Send one event", in: eventInV2{}, data: sentV2{}, wrap: wrapV2, codes: tooMuch},
		"GET /v2/apps": {
			id: "listAppsV2", what: "Apps", data: []appV2{}, wrap: wrapPage, query: []param{paramLimit(20, 100), sealed(), paramFlag("archived", "those that were removed instead")},
		},
		"GET /v2/apps/{app}":                           {id: "getApp", what: "An app", data: appV2{}, wrap: wrapV2},
		"GET /v2/apps/{app}/functions":                 {id: "listFunctionsV2", what: "The functions of an app", data: []functionV2{}, wrap: wrapPage, query: []param{paramLimit(20, 100), sealed()}},
		"GET /v2/apps/{app}/functions/{function}":      {id: "getFunction", what: "A function", data: functionV2{}, wrap: wrapV2},
		"GET /v2/apps/{app}/functions/{function}/runs": {id: "listRunsOfFunction", what: "The runs of a function", data: []runV2{}, wrap: wrapPage, query: runsOfV2()},
		"POST /v2/apps/{app}/functions/{function}/invoke": {
			id: "invokeV2", what: "Start a run of a function; 409 with the same answer when its idempotencyKey was used before", in: invokeInV2{}, data: invokedV2{}, wrap: wrapV2,
			codes: []int{http.StatusTooManyRequests},
		},
		"POST /v2/apps/{app}/syncs": {id: "syncApp", what: "Ask an app for its functions", in: syncIn{}, data: syncedV2{}, wrap: wrapV2},
	}
})

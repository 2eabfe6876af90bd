package wire

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// VersionUnknown is the version of a run whose app has not answered yet: the
// SDK decides.
const VersionUnknown = -1

// Call is all that the body of one request to an app says.
// Source: SDK protocol notes 03 §1.
type Call struct {
	RunID      string
	FunctionID string // UUID; its presence turns on checkpoints in SDKs that have them
	ItemID     string // queue item, opaque
	StepID     string // hashed id of the targeted step; "" or StepDiscovery for discovery

	Attempt     int // of this request, from 0
	MaxAttempts int // retries + 1
	// Tries are the known failed tries of steps that have no result yet, by hashed
	// id, and Lost is how many tries there were of which nothing is known. Attempt
	// counts those of the function too. Pawl's own; other SDKs go by Attempt.
	Tries map[string]int
	Lost  int

	Env              string
	DisableImmediate bool // plan mode: report new steps instead of running one
	// Check asks for plan mode and, of Pawl's own SDK, for more: see package proto.
	// Other SDKs do not know it.
	Check   bool
	UseAPI  bool // leave out events and memos; the app fetches them
	Version int  // VersionUnknown, 1 or 2

	Event  jsontext.Value   // the first triggering event
	Events []jsontext.Value // all of them
	Steps  []Memo           // in completion order, each id once
	Defers []Defer          // deferred calls the run has asked for

	// Input replaces the arguments of the targeted step: a JSON array. It is
	// left out of discovery calls, which would never answer.
	Input jsontext.Value
}

// Defer is one deferred call of a run: the hashed id of its DeferAdd op, and
// whether it can still be withdrawn.
type Defer struct {
	ID        string
	Abortable bool
}

// AppendBody appends the request body. Its keys stand in canonical order and it
// has no white space, so it is canonical as a whole when the payloads in it are.
// The order in which steps completed is in ctx.stack, which names every memo
// exactly once; SDKs hang when it does not.
func (c Call) AppendBody(dst []byte) []byte {
	dst = slices.Grow(dst, c.sizeHint())
	dst = c.appendCtx(dst)
	dst = c.appendDefers(dst)
	dst = append(dst, `,"event":`...)
	if len(c.Event) == 0 {
		dst = append(dst, "{}"...)
	}
	dst = append(dst, c.Event...)
	dst = append(dst, `,"events":`...)
	if c.UseAPI {
		dst = append(dst, `[],"steps":{}`...)
	} else {
		dst = AppendBatch(dst, c.Events)
		dst = append(dst, `,"steps":`...)
		dst = AppendActions(dst, c.sortedSteps())
	}
	dst = append(dst, `,"use_api":`...)
	dst = strconv.AppendBool(dst, c.UseAPI)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendInt(dst, int64(c.Version), 10)
	return append(dst, '}')
}

func (c Call) appendCtx(dst []byte) []byte {
	dst = append(dst, `{"ctx":{"attempt":`...)
	dst = strconv.AppendInt(dst, int64(c.Attempt), 10)
	if c.Check {
		dst = append(dst, `,"check":true`...)
	}
	dst = append(dst, `,"disable_immediate_execution":`...)
	dst = strconv.AppendBool(dst, c.DisableImmediate || c.Check)
	if c.Env != "" {
		dst = append(dst, `,"env":`...)
		dst = appendText(dst, c.Env)
	}
	if c.FunctionID != "" {
		dst = append(dst, `,"fn_id":`...)
		dst = appendText(dst, c.FunctionID)
	}
	if c.Lost > 0 {
		dst = append(dst, `,"lost":`...)
		dst = strconv.AppendInt(dst, int64(c.Lost), 10)
	}
	dst = append(dst, `,"max_attempts":`...)
	dst = strconv.AppendInt(dst, int64(c.MaxAttempts), 10)
	dst = append(dst, `,"qi_id":`...)
	dst = appendText(dst, c.ItemID)
	dst = append(dst, `,"run_id":`...)
	dst = appendText(dst, c.RunID)
	dst = append(dst, `,"stack":{"current":`...)
	dst = strconv.AppendInt(dst, int64(len(c.Steps)), 10)
	dst = append(dst, `,"stack":[`...)
	for i, m := range c.Steps {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, m.ID)
	}
	dst = append(dst, `]},"step_id":`...)
	dst = appendText(dst, c.step())
	if c.Tries != nil {
		dst = c.appendTries(dst)
	}
	dst = append(dst, `,"use_api":`...)
	dst = strconv.AppendBool(dst, c.UseAPI)
	return append(dst, '}')
}

func (c Call) appendTries(dst []byte) []byte {
	dst = append(dst, `,"tries":{`...)
	for i, id := range slices.Sorted(maps.Keys(c.Tries)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, id)
		dst = append(dst, ':')
		dst = strconv.AppendInt(dst, int64(c.Tries[id]), 10)
	}
	return append(dst, '}')
}

func (c Call) appendDefers(dst []byte) []byte {
	defers := slices.Clone(c.Defers)
	slices.SortFunc(defers, func(a, b Defer) int { return strings.Compare(a.ID, b.ID) })
	dst = append(dst, `,"defers":{`...)
	for i, d := range defers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, d.ID)
		dst = append(dst, `:{"abortable":`...)
		dst = strconv.AppendBool(dst, d.Abortable)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// sortedSteps is what goes into "steps": ids are ASCII (ParseOps sees to it), so
// byte order is canonical order.
func (c Call) sortedSteps() []Memo {
	steps := slices.Clone(c.Steps)
	if len(c.Input) > 0 && c.targeted() {
		v := append([]byte(`{"input":`), c.Input...)
		steps = append(steps, Memo{c.StepID, append(v, '}')})
	}
	slices.SortFunc(steps, func(a, b Memo) int { return strings.Compare(a.ID, b.ID) })
	return steps
}

func (c Call) targeted() bool { return c.step() != StepDiscovery }

func (c Call) step() string {
	if c.StepID == "" {
		return StepDiscovery
	}
	return c.StepID
}

// sizeHint is a little more than the body needs, so that it is allocated once.
func (c Call) sizeHint() int {
	n := 512 + len(c.Event) + 2*len(c.Input)
	if !c.UseAPI {
		for _, e := range c.Events {
			n += len(e) + 1
		}
	}
	for _, m := range c.Steps {
		n += 2*len(m.ID) + 10
		if !c.UseAPI {
			n += len(m.Value)
		}
	}
	return n + 64*len(c.Defers)
}

// CallURL sets the query parameter stepId of a registered function URL and
// leaves everything else as it is, the order of parameters included. An empty
// stepID means discovery. It fails when the URL is none that a call could use:
// the schemes are http and https, and ws and wss for apps that are connected.
func CallURL(registered, stepID string) (string, error) {
	if _, err := parseURL(registered); err != nil {
		return "", err
	}
	// Cut by hand: printing a parsed URL would write some paths in another way.
	registered, _, _ = strings.Cut(registered, "#")
	base, raw, _ := strings.Cut(registered, "?")
	if stepID == "" {
		stepID = StepDiscovery
	}
	var query []string
	set := "stepId=" + url.QueryEscape(stepID)
	for part := range strings.SplitSeq(raw, "&") {
		switch {
		case part == "":
		case !isParam(part, "stepId"):
			query = append(query, part)
		case set != "":
			query = append(query, set)
			set = ""
		}
	}
	if set != "" {
		query = append(query, set)
	}
	return base + "?" + strings.Join(query, "&"), nil
}

// parseURL takes the URLs that apps register. Its errors do not repeat the URL,
// whose query may hold a secret.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("app URL cannot be parsed")
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return nil, fmt.Errorf("app URL has the scheme %q, want http or https", clip(u.Scheme))
	}
	if u.Host == "" {
		return nil, fmt.Errorf("app URL has no host")
	}
	return u, nil
}

// PublicURL is a URL as it may be shown and logged: without a user, a query and
// a fragment, any of which may hold a secret.
func PublicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

func isParam(part, name string) bool {
	key, _, _ := strings.Cut(part, "=")
	key, err := url.QueryUnescape(key)
	return err == nil && key == name
}

// NormalizeURL gives the URL by which an app is known: lower-case host, no
// fragment, none of the parameters that change from call to call.
func NormalizeURL(raw string) (string, error) {
	u, err := parseURL(raw)
	if err != nil {
		return "", err
	}
	var query []string
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		if part == "" || isParam(part, "fnId") || isParam(part, "stepId") ||
			isParam(part, "step") || isParam(part, "deployId") {
			continue
		}
		query = append(query, part)
	}
	u.RawQuery = strings.Join(query, "&")
	u.ForceQuery = false
	u.Host = strings.ToLower(u.Host)
	u.Fragment, u.RawFragment = "", ""
	return u.String(), nil
}

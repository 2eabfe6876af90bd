package server

import (
	"fmt"
	"slices"
	"strings"
)

// What a token may do its role says, with what its scopes: names of areas of the API.
// A token without scopes, a person and the signing key may ask for all areas.

// scopePeople is of what says who may do what.
const scopePeople = "people"

// scopeBackup is of the whole store, which no rule of redaction is applied to.
const scopeBackup = "backup"

// areas are the scopes that there are, by the part of a path that opens them.
var areas = map[string]string{
	"events": "events",
	"runs":   "runs", "cancellations": "runs",
	"functions": "functions", "apps": "functions", "controls": "functions", "fn": "functions",
	"invoke":           "invoke",
	"dead-letters":     "dead-letters",
	"schedules":        "schedules",
	"signals":          "signals",
	"idempotency-keys": "idempotency-keys",
	"audit":            "audit",
	"people":           scopePeople, "tokens": scopePeople, "keys": scopePeople, "me": scopePeople,
	"login": scopePeople, "logout": scopePeople, "setup": scopePeople, "welcome": scopePeople,
	"overview": "runs", "changes": "runs", // they tell of runs, and why they failed
	"backup": scopeBackup, // all there is, as it is stored
	"server": "server", "metrics": "server", "account": "server", "env": "server", "envs": "server",
	// What the protocol has and Pawl does not.
	"insights": "server", "experiments": "server", "sessions": "server", "partner": "server", "sandboxes": "server",
}

// scopes are the names that a token may have, in order.
var scopes = func() (list []string) {
	for _, scope := range areas {
		list = append(list, scope)
	}
	slices.Sort(list)
	return slices.Compact(list)
}()

// scope is the area that a route belongs to; "" only when it is none that tokens ask.
func (rt *route) scope() string {
	path := strings.Split(strings.Trim(strings.TrimPrefix(rt.pattern, "/api"), "/"), "/")
	switch last := path[len(path)-1]; {
	case last == "runs" && path[1] != "dead-letters", last == "invoke": // of an event or a function
		return areas[last]
	case strings.HasPrefix(path[0], "v") && len(path) > 1:
		return areas[path[1]]
	default:
		return areas[path[0]]
	}
}

// checkScopes returns a token's scopes in order, each once, or what is wrong with them.
func checkScopes(given []string) (list []string, message string) {
	for _, s := range given {
		if !slices.Contains(scopes, s) {
			return nil, "there is no scope " + printable(s) + "; there are " + strings.Join(scopes, ", ")
		}
	}
	list = slices.Sorted(slices.Values(given))
	return slices.Compact(list), ""
}

// beyond says why who asks may not ask rt, "" when they may.
func (id identity) beyond(rt *route) string {
	need := rt.need()
	switch {
	case id.role < need:
		return "this needs the role " + need.String() + "; you are " + id.role.String()
	case len(id.scopes) > 0 && !slices.Contains(id.scopes, rt.scope()):
		return fmt.Sprintf("this needs a token with the scope %s; yours is for %s", rt.scope(), strings.Join(id.scopes, ", "))
	default:
		return ""
	}
}

package server

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// appV2 is an app in the v2 API.
type appV2 struct {
	ID            string    `json:"id"` // its name
	Name          string    `json:"name"`
	Method        string    `json:"method"` // SERVE: Pawl calls it
	FunctionCount int       `json:"functionCount"`
	ArchivedAt    time.Time `json:"archivedAt,omitzero"`
	LatestSync    syncInfo  `json:"latestSync"`
}

type syncInfo struct {
	Framework   string    `json:"framework,omitzero"`
	SDKLanguage string    `json:"sdkLanguage,omitzero"`
	SDKVersion  string    `json:"sdkVersion,omitzero"`
	AppVersion  string    `json:"appVersion,omitzero"`
	URL         string    `json:"url,omitzero"` // without what may be secret in it
	SyncedAt    time.Time `json:"syncedAt,omitzero"`
	Error       string    `json:"error,omitzero"` // why the last sync failed
}

func viewAppV2(a engine.AppView) appV2 {
	language, version, _ := strings.Cut(a.SDK, ":")
	return appV2{
		ID: a.Name, Name: a.Name, Method: "SERVE", FunctionCount: len(a.Functions), ArchivedAt: a.ArchivedAt.UTC(),
		LatestSync: syncInfo{
			Framework: a.Framework, SDKLanguage: language, SDKVersion: version, AppVersion: a.AppVersion,
			URL: wire.PublicURL(a.URL), SyncedAt: a.SyncedAt.UTC(), Error: a.Problem,
		},
	}
}

func (s *Server) listAppsV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	l := s.listing(&q, r.URL, 20, 100)
	archived := q.flag("archived")
	if q.refusedV2(w) {
		return
	}
	apps := s.eng.Apps()
	if archived != nil && *archived {
		apps = s.eng.ArchivedApps()
	}
	list := make([]appV2, len(apps))
	for i, a := range apps {
		list[i] = viewAppV2(a)
	}
	list, page := cutSorted(l, list, func(a appV2) string { return a.ID })
	s.replyPageV2(w, http.StatusOK, list, page)
}

func noAppV2(name string) string { return "App not found: " + printable(name) }

// app finds the app that a path names, or answers and reports false.
func (s *Server) app(w http.ResponseWriter, r *http.Request) (engine.AppView, bool) {
	for _, a := range s.eng.Apps() {
		if a.Name == r.PathValue("app") {
			return a, true
		}
	}
	failV2(w, http.StatusNotFound, noAppV2(r.PathValue("app")))
	return engine.AppView{}, false
}

func (s *Server) showAppV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	if a, ok := s.app(w, r); ok {
		s.replyV2(w, viewAppV2(a))
	}
}

// functionV2 is a function in the v2 API.
type functionV2 struct {
	ID            string          `json:"id"` // without the app's prefix
	Slug          string          `json:"slug"`
	Name          string          `json:"name"`
	App           refV2           `json:"app"`
	Triggers      []triggerV2     `json:"triggers"`
	Configuration configurationV2 `json:"configuration"`
	NotHeld       []string        `json:"notHeld,omitzero"` // options that were registered and that this version does not hold
}

type triggerV2 struct {
	Type  string `json:"type"` // EVENT or CRON
	Value string `json:"value"`
	If    string `json:"if,omitzero"`
}

// configurationV2 are the options of a function. Those without a form of their
// own are shown as they were registered.
type configurationV2 struct {
	Retries       retriesV2       `json:"retries"`
	Concurrency   []concurrencyV2 `json:"concurrency,omitzero"`
	Throttle      jsontext.Value  `json:"throttle,omitzero"`
	RateLimit     jsontext.Value  `json:"rateLimit,omitzero"`
	Debounce      jsontext.Value  `json:"debounce,omitzero"`
	Singleton     jsontext.Value  `json:"singleton,omitzero"`
	EventsBatch   jsontext.Value  `json:"eventsBatch,omitzero"`
	Priority      jsontext.Value  `json:"priority,omitzero"`
	Cancellations jsontext.Value  `json:"cancellations,omitzero"`
	Idempotency   jsontext.Value  `json:"idempotency,omitzero"`
	NoKey         string          `json:"idempotencyKey,omitzero"` // what becomes of a start without an idempotency key: required or derived; as it is now
	Timeouts      jsontext.Value  `json:"timeouts,omitzero"`
}

type retriesV2 struct {
	Value     int  `json:"value"`
	IsDefault bool `json:"isDefault"` // the app does not say how many
}

type concurrencyV2 struct {
	Scope string  `json:"scope,omitzero"`
	Limit limitV2 `json:"limit"`
	Key   string  `json:"key,omitzero"`
}

type limitV2 struct {
	Value       int  `json:"value"`
	IsPlanLimit bool `json:"isPlanLimit"`
}

func viewFunctionV2(f durable.Function) functionV2 {
	v := functionV2{
		ID: shortID(f.App, f.Slug), Slug: f.Slug, Name: f.Name, App: refV2{f.App}, NotHeld: f.Unheld,
		Configuration: configuration(f.Config),
	}
	if f.Limits.NoKey != durable.KeyNone {
		v.Configuration.NoKey = f.Limits.NoKey.String()
	}
	v.Configuration.Retries = retriesV2{f.Retries, !wire.SaysRetries(f.Config)}
	for _, t := range f.Triggers {
		if t.Cron != "" {
			v.Triggers = append(v.Triggers, triggerV2{Type: "CRON", Value: t.Cron})
		} else {
			v.Triggers = append(v.Triggers, triggerV2{Type: "EVENT", Value: t.Event, If: t.Expression})
		}
	}
	return v
}

// configuration reads what an app registered, which was checked then.
func configuration(registered durable.JSON) configurationV2 {
	var b struct {
		Concurrency jsontext.Value `json:"concurrency"`
		Throttle    jsontext.Value `json:"throttle"`
		RateLimit   jsontext.Value `json:"rateLimit"`
		Debounce    jsontext.Value `json:"debounce"`
		Singleton   jsontext.Value `json:"singleton"`
		BatchEvents jsontext.Value `json:"batchEvents"`
		Priority    jsontext.Value `json:"priority"`
		Cancel      jsontext.Value `json:"cancel"`
		Idempotency jsontext.Value `json:"idempotency"`
		Timeouts    jsontext.Value `json:"timeouts"`
	}
	if json.Unmarshal(registered, &b, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return configurationV2{} // a damaged record
	}
	set := func(v jsontext.Value) jsontext.Value {
		if v.Kind() == 'n' {
			return nil
		}
		return v
	}
	return configurationV2{
		Concurrency: concurrency(b.Concurrency), Throttle: set(b.Throttle), RateLimit: set(b.RateLimit), Debounce: set(b.Debounce),
		Singleton: set(b.Singleton), EventsBatch: set(b.BatchEvents), Priority: set(b.Priority), Cancellations: set(b.Cancel),
		Idempotency: set(b.Idempotency), Timeouts: set(b.Timeouts),
	}
}

// concurrency reads a number, an entry, or a list of entries.
func concurrency(v jsontext.Value) []concurrencyV2 {
	type entry struct {
		Limit int    `json:"limit"`
		Key   string `json:"key"`
		Scope string `json:"scope"`
	}
	list := []entry{{}}
	var into any
	switch v.Kind() {
	case '0':
		into = &list[0].Limit
	case '{':
		into = &list[0]
	case '[':
		into = &list
	default:
		return nil
	}
	if json.Unmarshal(v, into) != nil {
		return nil
	}
	var out []concurrencyV2
	for _, e := range list {
		out = append(out, concurrencyV2{strings.ToUpper(e.Scope), limitV2{Value: e.Limit}, e.Key})
	}
	return out
}

func (s *Server) listFunctionsV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	a, ok := s.app(w, r)
	if !ok {
		return
	}
	list := make([]functionV2, len(a.Functions))
	for i, f := range a.Functions {
		list[i] = viewFunctionV2(f)
	}
	replySorted(s, w, r, 20, 100, list, func(f functionV2) string { return f.Slug })
}

func noFunctionV2(id string) string { return "Function not found: " + printable(id) }

// function finds the function that a path names, or answers and reports false.
func (s *Server) function(w http.ResponseWriter, r *http.Request) (durable.Function, bool) {
	a, ok := s.app(w, r)
	if !ok {
		return durable.Function{}, false
	}
	for _, f := range a.Functions {
		if shortID(a.Name, f.Slug) == r.PathValue("function") {
			return f, true
		}
	}
	failV2(w, http.StatusNotFound, noFunctionV2(r.PathValue("function")))
	return durable.Function{}, false
}

func (s *Server) showFunctionV2(w http.ResponseWriter, r *http.Request, _ []byte) {
	if f, ok := s.function(w, r); ok {
		s.replyV2(w, viewFunctionV2(f))
	}
}

// syncIn is what POST …/syncs takes.
type syncIn struct {
	URL string `json:"url"` // where the app serves its functions
}

// syncV2 asks an app for its functions.
func (s *Server) syncV2(w http.ResponseWriter, r *http.Request, body []byte) {
	var in syncIn
	if message := read(body, &in); message != "" {
		refuseV2(w, http.StatusBadRequest, codeInvalid, message)
		return
	}
	url, err := wire.NormalizeURL(in.URL)
	switch {
	case in.URL == "":
		refuseV2(w, http.StatusBadRequest, codeMissing, "url is required: where the app serves its functions")
		return
	case err != nil:
		refuseV2(w, http.StatusBadRequest, codeFormat, "url: "+err.Error())
		return
	}
	if id, ok := identified(r); ok && id.role < store.Admin && !s.knowsURL(url) {
		failV2(w, http.StatusForbidden, "no app is known at "+wire.PublicURL(url)+": the first sync of a URL, to which the payloads of runs go from then on, needs the role admin, or --app")
		return
	}
	synced, err := s.eng.SyncApp(r.Context(), url, s.actor(r))
	switch app := r.PathValue("app"); {
	case err != nil:
		refuseV2(w, http.StatusBadRequest, codeSyncFailed, err.Error())
	case synced.App != app:
		refuseV2(w, http.StatusBadRequest, codeSyncFailed, wire.PublicURL(url)+" serves the app "+printable(synced.App)+", which was synced, and not "+printable(app))
	default:
		s.replyV2(w, syncedV2{ID: synced.SyncID, App: refV2{synced.App}, FunctionCount: synced.Functions, Modified: synced.Modified, Warnings: synced.Warnings})
	}
}

// knowsURL reports whether an app has told its functions at a URL, or was named there by
// who has started the server. What is secret in a URL is not looked at.
func (s *Server) knowsURL(url string) bool {
	url = wire.PublicURL(url)
	for _, a := range s.eng.Apps() {
		if s.eng.SameURL(wire.PublicURL(a.URL), url) {
			return true
		}
	}
	return s.unsynced != nil && slices.ContainsFunc(s.unsynced(), func(u Unsynced) bool { return s.eng.SameURL(u.URL, url) })
}

type syncedV2 struct {
	ID            string   `json:"id,omitzero"`
	App           refV2    `json:"app"`
	FunctionCount int      `json:"functionCount"`
	Modified      bool     `json:"modified"` // false: what it serves was known
	Warnings      []string `json:"warnings,omitzero"`
}

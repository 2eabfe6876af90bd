package server

import (
	"net/http"
	"time"

	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// appView is an app in Pawl's own API.
type appView struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	URL        string         `json:"url"` // without what may be secret in it
	SDK        string         `json:"sdk"`
	Framework  string         `json:"framework"`
	AppVersion string         `json:"app_version"`
	Problem    string         `json:"problem"` // why the last sync failed, "" if it did not
	SyncedAt   *time.Time     `json:"synced_at"`
	Circuit    *circuitView   `json:"circuit"` // null unless it answers nothing but errors
	Functions  []functionView `json:"functions"`
}

// circuitView is the open circuit of an app: its runs wait, and it is asked now
// and then whether it is back.
type circuitView struct {
	Since time.Time `json:"since"` // of the first failure
	Error string    `json:"error"` // the newest
	Every string    `json:"every"` // how often it is asked, such as "4s"
}

type functionView struct {
	ID       string        `json:"id"`
	Slug     string        `json:"slug"`
	Name     string        `json:"name"`
	Version  int           `json:"version"`
	Attempts int           `json:"attempts"` // tries of one request, at most
	Triggers []triggerView `json:"triggers"`
	NoKey    string        `json:"idempotency_key"` // what becomes of a start without an idempotency key: none (it starts), required (it is refused) or derived
	NotHeld  []string      `json:"not_held"`        // options that were registered and that this version does not hold
}

type triggerView struct {
	Event      string `json:"event,omitzero"`
	Expression string `json:"expression,omitzero"`
	Cron       string `json:"cron,omitzero"`
}

func viewFunction(f durable.Function) functionView {
	v := functionView{ID: f.ID, Slug: f.Slug, Name: f.Name, Version: f.Version, Attempts: f.MaxAttempts(), NoKey: f.Limits.NoKey.String(), NotHeld: f.Unheld}
	for _, t := range f.Triggers {
		v.Triggers = append(v.Triggers, triggerView{t.Event, t.Expression, t.Cron})
	}
	return v
}

func viewApp(a engine.AppView) appView {
	v := appView{
		ID: a.ID, Name: a.Name, URL: wire.PublicURL(a.URL), SDK: a.SDK, Framework: a.Framework, AppVersion: a.AppVersion,
		Problem: a.Problem, SyncedAt: timeOrNull(a.SyncedAt),
	}
	for _, f := range a.Functions {
		if !f.Archived {
			v.Functions = append(v.Functions, viewFunction(f))
		}
	}
	return v
}

func (s *Server) listApps(w http.ResponseWriter, r *http.Request, _ []byte) {
	if q := readQuery(r); q.refused(w) {
		return
	}
	s.reply(w, s.viewApps())
}

// viewApps are all apps, as they are now.
func (s *Server) viewApps() []appView {
	open := map[string]*circuitView{}
	for _, c := range s.eng.Circuits() {
		open[c.App] = &circuitView{Since: c.Since.UTC(), Error: c.Last, Every: c.Probe.String()}
	}
	apps := s.eng.Apps()
	views := make([]appView, len(apps))
	for i, a := range apps {
		views[i] = viewApp(a)
		views[i].Circuit = open[a.Name]
	}
	return views
}

// appFunctions is the one list of the v1 API that comes without an envelope.
// Source: spec/12 §3.
func (s *Server) appFunctions(w http.ResponseWriter, r *http.Request, _ []byte) {
	for _, a := range s.eng.Apps() {
		if a.Name == r.PathValue("app") {
			s.replyBare(w, viewApp(a).Functions)
			return
		}
	}
	fail(w, http.StatusNotFound, noAppV2(r.PathValue("app")))
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/match/expr"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// namespace makes the UUIDs of apps and functions from their names.
var namespace = uuid.MustParse("6d0c2e37-5b8c-4d6e-9f5b-7c1f0c5a9e21")

// programsKept is how many compiled expressions are kept.
const programsKept = 10_000

func newPrograms() *match.Programs { return expr.NewCache(programsKept) }

// registry is what is registered at one moment.
type registry struct {
	apps     map[string]durable.App
	table    *match.Table
	controls map[string]durable.Control // by name
}

// AppView is an app with the functions that it serves.
type AppView struct {
	durable.App
	Functions []durable.Function
}

// Apps returns all apps by name, each with the functions it serves by slug.
func (e *Engine) Apps() []AppView { return e.apps.Load().views(false) }

// ArchivedApps returns the apps that were removed and did not come back.
func (e *Engine) ArchivedApps() []AppView { return e.apps.Load().views(true) }

func (r *registry) views(archived bool) []AppView {
	views := make([]AppView, 0, len(r.apps))
	for _, a := range r.apps {
		if a.ArchivedAt.IsZero() != archived {
			views = append(views, AppView{App: a})
		}
	}
	slices.SortFunc(views, func(a, b AppView) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range r.table.Functions() {
		i, ok := slices.BinarySearchFunc(views, f.App, func(v AppView, name string) int { return strings.Compare(v.Name, name) })
		if ok && !f.Archived {
			views[i].Functions = append(views[i].Functions, f)
		}
	}
	for _, v := range views {
		slices.SortFunc(v.Functions, func(a, b durable.Function) int { return strings.Compare(a.Slug, b.Slug) })
	}
	return views
}

// Functions returns the functions of an app by slug, also those that it does not
// serve any more.
func (e *Engine) Functions(app string) []durable.Function {
	var list []durable.Function
	for _, f := range e.apps.Load().table.Functions() {
		if f.App == app {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b durable.Function) int { return strings.Compare(a.Slug, b.Slug) })
	return list
}

// Function returns a function by its slug.
func (e *Engine) Function(slug string) (durable.Function, bool) {
	return e.apps.Load().table.Function(slug)
}

// Versions returns a function in its versions, the newest first, or store.ErrNotFound.
func (e *Engine) Versions(ctx context.Context, slug string, limit int) ([]durable.FunctionVersion, error) {
	return e.store.Versions(ctx, slug, limit)
}

func (e *Engine) loadApps(ctx context.Context) error {
	apps, fns, err := e.store.LoadApps(ctx)
	if err != nil {
		return err
	}
	r := &registry{apps: map[string]durable.App{}}
	for _, a := range apps {
		r.apps[a.Name] = a
	}
	controls, err := e.store.Controls(ctx)
	if err != nil {
		return err
	}
	r.controls = map[string]durable.Control{}
	for _, c := range controls {
		r.controls[c.Name] = c
	}
	for i := range fns {
		hold(&fns[i])
		limit(&fns[i], r.controls[fns[i].Slug])
	}
	var problems []match.Problem
	r.table, problems = match.NewTable(fns, e.programs)
	for _, p := range problems {
		e.log.Error("a trigger that was accepted cannot be compiled any more; it will not fire", "function", p.Function, "err", p.Message)
	}
	e.apps.Store(r)
	return nil
}

// Synced is the outcome of a sync.
type Synced struct {
	AppID     string
	SyncID    string
	App       string
	Functions int
	Modified  bool     // false: what was registered is what was known
	Warnings  []string // for a person to read; the sync is good
}

// Register takes what an app says about itself in place of what it said
// before. Functions that it does not name any more are archived: they start no
// more runs, and those in progress go on. An error of type
// *wire.RegistrationError has every reason why it was refused; nothing is
// changed then.
func (e *Engine) Register(ctx context.Context, reg wire.Registration) (Synced, error) {
	return e.register(ctx, reg, "")
}

// register is Register for somebody who had the app asked; "": nobody did.
func (e *Engine) register(ctx context.Context, reg wire.Registration, by string) (Synced, error) {
	if e.closing.Load() {
		return Synced{}, ErrClosing
	}
	e.syncing.Lock()
	defer e.syncing.Unlock()
	old := e.apps.Load()
	known, isKnown := old.apps[reg.App]
	s := Synced{
		App: reg.App, AppID: uuid.NewSHA1(namespace, []byte(reg.App)).String(),
		SyncID: uuid.NewString(), Functions: len(reg.Functions), Warnings: warnings(reg),
	}
	if isKnown && known.Checksum == reg.Checksum && known.URL == reg.URL && known.Problem == "" && known.ArchivedAt.IsZero() {
		return s, nil
	}
	if isKnown && !known.Registers() {
		return Synced{}, &wire.RegistrationError{Problems: []wire.Problem{{
			Code: wire.CodeConfigInvalid, Message: fmt.Sprintf("the app's id %q is the address of an app with durable endpoints; choose another", reg.App),
		}}}
	}
	app := durable.App{
		Name: reg.App, ID: s.AppID, URL: reg.URL, SDK: reg.SDK, Framework: reg.Framework,
		AppVersion: reg.AppVersion, Checksum: reg.Checksum, SyncedAt: time.Now(),
	}
	fns, changed := merge(old.table, reg)
	if err := e.check(fns, reg); err != nil {
		return Synced{}, err
	}
	for i := range fns {
		limit(&fns[i], old.controls[fns[i].Slug])
	}
	start, stop := e.scheduled(changed, old.table, app.SyncedAt)
	var act *durable.Act
	if by != "" {
		a := synced(app, by)
		act = &a
	}
	if err := e.store.SaveApp(ctx, app, changed, start, stop, act); err != nil {
		return Synced{}, err
	}
	table, _ := match.NewTable(fns, e.programs)
	e.publish(old, app, table)
	s.Modified = true
	e.log.InfoContext(ctx, "app synced", "app", app.Name, "url", wire.PublicURL(app.URL), "sdk", app.SDK, "functions", len(reg.Functions), "changed", len(changed))
	for _, w := range s.Warnings {
		e.log.WarnContext(ctx, "app synced with a warning", "app", app.Name, "warning", w)
	}
	return s, nil
}

// RemoveApp archives the app at url with all its functions: they start no more
// runs, and those in progress go on. An app that syncs again comes back. It
// fails with store.ErrNotFound when no app is there.
func (e *Engine) RemoveApp(ctx context.Context, url, by string) (durable.App, error) {
	e.syncing.Lock()
	defer e.syncing.Unlock()
	old := e.apps.Load()
	for _, app := range old.apps {
		if !sameURL(app.URL, url) || !app.ArchivedAt.IsZero() {
			continue
		}
		app.ArchivedAt = time.Now()
		var fns, changed []durable.Function
		for _, f := range old.table.Functions() {
			if f.App == app.Name && !f.Archived {
				f.Archived = true
				f.Version++
				changed = append(changed, f)
			}
			fns = append(fns, f)
		}
		start, stop := e.scheduled(changed, old.table, app.ArchivedAt)
		act := newAct(app.ArchivedAt, by, durable.ActRemoveApp, durable.AppObject(app.Name), facts{"url": wire.PublicURL(app.URL), "functions": len(changed)})
		if err := e.store.SaveApp(ctx, app, changed, start, stop, &act); err != nil {
			return app, err
		}
		table, _ := match.NewTable(fns, e.programs)
		e.publish(old, app, table)
		e.log.InfoContext(ctx, "app removed", "app", app.Name, "url", wire.PublicURL(app.URL), "functions", len(changed))
		return app, nil
	}
	return durable.App{}, fmt.Errorf("app at %s: %w", wire.PublicURL(url), store.ErrNotFound)
}

func (e *Engine) publish(old *registry, app durable.App, table *match.Table) {
	next := &registry{apps: map[string]durable.App{}, table: table, controls: old.controls}
	for name, a := range old.apps {
		next.apps[name] = a
	}
	next.apps[app.Name] = app
	e.apps.Store(next)
	e.followers.stale(TopicApps)
	e.store.Limit(e.gates)
}

// merge is all functions as they are once reg holds, and those that differ.
func merge(old *match.Table, reg wire.Registration) (all, changed []durable.Function) {
	served := map[string]bool{}
	for _, f := range reg.Functions {
		next := durable.Function{
			Slug: f.Slug, ID: uuid.NewSHA1(namespace, []byte(reg.App+"\x00"+f.Slug)).String(),
			App: reg.App, Name: f.Name, Version: 1, URL: f.URL, Retries: f.Retries,
			Config: f.Config, Unheld: unheld(f),
		}
		for _, t := range f.Triggers {
			next.Triggers = append(next.Triggers, durable.Trigger(t))
		}
		hold(&next)
		served[f.Slug] = true
		was, ok := old.Function(f.Slug)
		if ok && was.App == reg.App {
			next.Version = was.Version
			if was.Archived || string(was.Config) != string(next.Config) {
				next.Version++
				changed = append(changed, next)
			}
		} else {
			changed = append(changed, next)
		}
		all = append(all, next)
	}
	for _, f := range old.Functions() {
		if served[f.Slug] {
			continue
		}
		if f.App == reg.App && !f.Archived {
			f.Archived = true
			f.Version++
			changed = append(changed, f)
		}
		all = append(all, f)
	}
	return all, changed
}

// hold reads the settings of a function that are kept in its Config alone.
func hold(f *durable.Function) {
	s := wire.ParseSettings(f.Config)
	f.Limits = limitsOf(f.Config)
	f.Unheld = slices.DeleteFunc(f.Unheld, isHeld) // as an earlier version noted it
	f.Once, f.Start, f.Finish, f.Endpoint, f.Cancel = s.Once, s.Start, s.Finish, s.Endpoint, nil
	for _, c := range s.Cancel {
		f.Cancel = append(f.Cancel, durable.CancelOn(c))
	}
}

// check finds what only the server can find wrong with a registration.
func (e *Engine) check(fns []durable.Function, reg wire.Registration) error {
	var problems []wire.Problem
	old := e.apps.Load().table
	for _, f := range reg.Functions {
		if was, ok := old.Function(f.Slug); ok && was.App != reg.App {
			problems = append(problems, wire.Problem{
				Function: f.Slug, Code: wire.CodeConfigInvalid,
				Message: fmt.Sprintf("the id is taken by a function of app %q; choose another", was.App),
			})
		}
	}
	_, bad := match.NewTable(fns, e.programs)
	for _, p := range bad {
		problems = append(problems, wire.Problem{Function: p.Function, Code: "expression_invalid", Message: p.Message})
	}
	problems = append(problems, checkCrons(reg)...)
	if problems != nil {
		return &wire.RegistrationError{Problems: problems}
	}
	return nil
}

// heldOptions are the settings that this version acts on.
var heldOptions = []string{"cancel", "timeouts", "idempotency", "idempotencyKey", "concurrency", "throttle", "priority", "rateLimit", "singleton", "debounce", "batchEvents"}

func isHeld(option string) bool { return slices.Contains(heldOptions, option) }

// unheld are the settings of a function that this version does not act on.
func unheld(f wire.Function) []string {
	return slices.DeleteFunc(slices.Clone(f.Options), isHeld)
}

// warnings tells a person what was registered and is not held.
func warnings(reg wire.Registration) []string {
	list := slices.Clone(reg.Warnings)
	for _, f := range reg.Functions {
		if u := unheld(f); len(u) > 0 {
			list = append(list, fmt.Sprintf("%s: this version of Pawl does not act on %s yet", f.Slug, strings.Join(u, ", ")))
		}
	}
	return list
}

// synced is the line about somebody who has had an app asked for its functions.
func synced(app durable.App, by string) durable.Act {
	return newAct(app.SyncedAt, by, durable.ActSyncApp, durable.AppObject(app.Name), facts{"url": wire.PublicURL(app.URL), "checksum": app.Checksum})
}

// SyncApp asks the app at url for its functions and registers them, for somebody
// or, with by "", of Pawl's own accord. The error is a sentence for a person; it
// is also kept as the app's problem when the app is known.
func (e *Engine) SyncApp(ctx context.Context, url, by string) (Synced, error) {
	before := e.apps.Load().apps
	// No lock is held: the app registers itself while this request is open.
	reg, err := e.client.Sync(ctx, url, e.keys)
	if err == nil && reg != nil {
		return e.register(ctx, *reg, by)
	}
	if err != nil {
		e.noteProblem(ctx, url, err)
		return Synced{}, err
	}
	for _, a := range e.Apps() {
		if e.SameURL(a.URL, url) {
			// The app has registered itself meanwhile, in a transaction of its own.
			if by != "" && !a.SyncedAt.Equal(before[a.Name].SyncedAt) {
				if err := e.store.NoteAct(ctx, synced(a.App, by)); err != nil {
					return Synced{}, err
				}
			}
			return Synced{App: a.Name, AppID: a.ID, Functions: len(a.Functions)}, nil
		}
	}
	return Synced{}, fmt.Errorf("%s answered, but registered nothing with this server: its INNGEST_BASE_URL or INNGEST_DEV may name another server", wire.PublicURL(url))
}

// noteProblem keeps why the last sync of a known app failed. Another name of its
// machine, under which it does not answer, is no problem of the app.
func (e *Engine) noteProblem(ctx context.Context, url string, cause error) {
	e.syncing.Lock()
	defer e.syncing.Unlock()
	old := e.apps.Load()
	for _, app := range old.apps {
		if !sameURL(app.URL, url) || app.Problem == cause.Error() || !app.ArchivedAt.IsZero() {
			continue
		}
		app.Problem = cause.Error()
		if err := e.store.SaveApp(ctx, app, nil, nil, nil, nil); err != nil {
			if errors.Is(err, context.Canceled) || errors.Is(err, store.ErrClosed) {
				return
			}
			e.log.ErrorContext(ctx, "an app's problem cannot be saved", "app", app.Name, "err", err)
			return
		}
		e.publish(old, app, old.table)
		return
	}
}

func sameURL(a, b string) bool {
	na, err := wire.NormalizeURL(a)
	if err != nil {
		return false
	}
	nb, err := wire.NormalizeURL(b)
	return err == nil && na == nb
}

// SameURL reports whether two URLs lead to one app. In dev the names of this
// machine are one name. Source: spec/02 §4.
func (e *Engine) SameURL(a, b string) bool {
	return sameURL(a, b) || e.dev && sameURL(atLocalhost(a), atLocalhost(b))
}

// atLocalhost is a URL with localhost in the place of another name of this
// machine.
func atLocalhost(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	switch u.Hostname() {
	case "127.0.0.1", "0.0.0.0", "::1":
		port := u.Port()
		u.Host = "localhost"
		if port != "" {
			u.Host += ":" + port
		}
	}
	return u.String()
}

// ProbeApp reports whether an SDK serves functions at url.
func (e *Engine) ProbeApp(ctx context.Context, url string) bool { return e.client.Probe(ctx, url) }

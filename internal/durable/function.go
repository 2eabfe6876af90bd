package durable

import "time"

// App is what an SDK serves at one URL, or what it was when it last told us.
type App struct {
	Name       string
	ID         string // UUID, derived from the name, so that a new sync keeps it
	URL        string
	SDK        string // such as "js:v4.24.0"
	Framework  string
	AppVersion string // the user's own version of the app; "" if not given
	Checksum   string // of what it registered; equal means nothing changed
	Problem    string // why the last sync failed; "" if it did not
	SyncedAt   time.Time
	ArchivedAt time.Time // when somebody removed it; zero: it is served, as far as we know
}

// FrameworkEndpoint is the Framework of an app that came to be by the requests to
// its endpoints.
const FrameworkEndpoint = "endpoint"

// Registers reports whether the app tells its functions itself, and can be asked
// for them.
func (a App) Registers() bool { return a.Framework != FrameworkEndpoint }

// Function is one handler of an app, in one version of its settings.
type Function struct {
	Slug     string // "<app>-<function>", unique
	ID       string // UUID, derived from app and slug
	App      string
	Name     string
	Version  int // rises by one with each change of Config
	URL      string
	Retries  int // tries after the first
	Triggers []Trigger
	Config   JSON // what the app registered, canonical
	Cancel   []CancelOn
	Limits   Limits
	Ticks    Trigger       // Missed and Overlap that an operator has set in place of its crons' own; "" if not
	Once     string        // an expression: the function starts once a day for each of its values; "" if not set
	Start    time.Duration // a run that has not started by then is cancelled; 0: never
	Finish   time.Duration // a run that has not ended by then, from its start, is cancelled; 0: never
	Endpoint bool          // an HTTP handler, entered by the request in which its run began
	Unheld   []string      // options that were registered and that this version does not hold
	Archived bool          // no longer served; its runs in progress go on
}

// FunctionVersion is a function as its app told of it at one time.
type FunctionVersion struct {
	Function
	Made       time.Time // zero: not known
	AppVersion string
}

// MaxAttempts is how often one request of a run of f is tried.
func (f Function) MaxAttempts() int { return f.Retries + 1 }

// Trigger is what makes a function start: an event by name (a trailing "*"
// after "/" or "." matches any rest) with an optional expression, or a cron.
type Trigger struct {
	Event      string
	Expression string
	Cron       string
	Jitter     time.Duration
	Missed     string // what becomes of missed ticks, as JSON; "" for the default
	Overlap    string // what a tick does while the run of an earlier one goes on; "" for the default
}

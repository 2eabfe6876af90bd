package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawlhq/pawl/internal/call"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// Options say what is checked.
type Options struct {
	URL       string            // where the new code is served
	Key       wire.Key          // signs what is sent; the zero Key: nothing is signed, and the app is in development mode
	Transport http.RoundTripper // nil: over HTTP

	App       string   // name of the app at URL; "": that of the app known at URL, or else the only one
	Functions []string // slugs; nil: all of the app
	Statuses  []durable.Status
	Since     time.Time // runs queued at or after; zero: any
	Live      int       // the newest live runs of each function; at least 1
	Ended     int       // the newest ended runs of each function
	Timeout   time.Duration
	AtOnce    int    // runs that are walked at once; at least 1
	Accept    []Kind // findings that are meant
}

// Report is what a check has found.
type Report struct {
	App       string           `json:"app"`
	SDK       string           `json:"sdk"` // that serves the new code
	Functions []FunctionReport `json:"functions"`
	Live      int              `json:"live"`      // runs checked that go on
	Ended     int              `json:"ended"`     // and that have ended
	Findings  int              `json:"findings"`  // that are not accepted
	Unchecked int              `json:"unchecked"` // runs that could not be checked to their end
}

// FunctionReport is the part of a report about one function.
type FunctionReport struct {
	Function  string      `json:"function"`
	Live      int         `json:"live"`
	Ended     int         `json:"ended"`
	More      bool        `json:"more,omitzero"` // there are live runs that were not looked at
	Note      string      `json:"note,omitzero"` // why its runs were not checked
	Findings  []*Finding  `json:"findings"`
	Unchecked []Unchecked `json:"unchecked,omitzero"`
}

// Unchecked is a run that could not be checked, or not to its end.
type Unchecked struct {
	Run string `json:"run"`
	Why string `json:"why"`
}

// sdks are those that were seen to hold step bodies back in plan mode.
var sdks = []string{"inngest-js:v3.", "inngest-js:v4.", "inngest-py:", "go:", "pawl:"}

// Run checks the recorded runs of an app against the code at o.URL. It fails when
// the app cannot be asked; a run that alone cannot be checked is in the report.
func Run(ctx context.Context, source Source, o Options) (*Report, error) {
	client := call.New(call.Options{Key: o.Key, Dev: o.Key.IsZero(), PerHost: o.AtOnce, Transport: o.Transport})
	defer client.Close()
	c := &checker{Options: o, source: source, client: client}
	app, functions, err := c.choose(ctx)
	if err != nil {
		return nil, err
	}
	sdk, err := client.SDK(ctx, o.URL)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(sdks, func(known string) bool { return strings.HasPrefix(sdk, known) }) {
		return nil, fmt.Errorf("%s is served by %s, which is not known to hold step bodies back when it is asked to: nothing was called", wire.PublicURL(o.URL), sdk)
	}
	c.sdk = sdk
	r := &Report{App: app, SDK: sdk, Functions: []FunctionReport{}}
	for _, f := range functions {
		fr, err := c.function(ctx, f)
		if err != nil {
			return nil, err
		}
		r.add(fr)
	}
	return r, nil
}

func (r *Report) add(f FunctionReport) {
	if f.Live+f.Ended+len(f.Unchecked) == 0 && f.Note == "" {
		return // it has no runs
	}
	r.Functions = append(r.Functions, f)
	r.Live += f.Live
	r.Ended += f.Ended
	r.Unchecked += len(f.Unchecked)
	for _, found := range f.Findings {
		if !found.Accepted {
			r.Findings++
		}
	}
}

type checker struct {
	Options
	source Source
	client *call.Client
	sdk    string

	mu   sync.Mutex
	slow int // calls in a row that were not answered in time
}

// choose says which functions to check, and of which app they are.
func (c *checker) choose(ctx context.Context) (app string, list []Function, err error) {
	all, err := c.source.Functions(ctx)
	if err != nil {
		return "", nil, err
	}
	if app, err = c.chooseApp(all); err != nil {
		return "", nil, err
	}
	for _, f := range all {
		if f.App == app && (c.Functions == nil || slices.Contains(c.Functions, f.Slug)) {
			list = append(list, f)
		}
	}
	for _, slug := range c.Functions {
		if !slices.ContainsFunc(list, func(f Function) bool { return f.Slug == slug }) {
			var known []string
			for _, f := range all {
				if f.App == app {
					known = append(known, f.Slug)
				}
			}
			return "", nil, fmt.Errorf("app %s has no function %s; it has %s", app, slug, strings.Join(known, ", "))
		}
	}
	slices.SortFunc(list, func(a, b Function) int { return cmp.Compare(a.Slug, b.Slug) })
	return app, list, nil
}

func (c *checker) chooseApp(all []Function) (string, error) {
	var names, here []string
	shown := wire.PublicURL(c.URL)
	for _, f := range all {
		if !slices.Contains(names, f.App) {
			names = append(names, f.App)
		}
		if wire.PublicURL(f.URL) == shown && !slices.Contains(here, f.App) {
			here = append(here, f.App)
		}
	}
	slices.Sort(names)
	switch {
	case c.App != "" && slices.Contains(names, c.App):
		return c.App, nil
	case len(names) == 0:
		return "", errors.New("no app has ever registered there, so that there are no runs to check against")
	case c.App != "":
		return "", fmt.Errorf("there is no app %s; there are %s", c.App, strings.Join(names, ", "))
	case len(here) == 1:
		return here[0], nil
	case len(names) == 1:
		return names[0], nil
	}
	return "", fmt.Errorf("there are runs of several apps: say with --app-id which one is at %s: %s", shown, strings.Join(names, ", "))
}

var (
	live  = []durable.Status{durable.Queued, durable.Running}
	ended = []durable.Status{durable.Completed, durable.Failed, durable.Cancelled}
)

// function checks the runs of one function.
func (c *checker) function(ctx context.Context, f Function) (FunctionReport, error) {
	r := FunctionReport{Function: f.Slug, Findings: []*Finding{}}
	alive, err := c.runs(ctx, f.Slug, live, c.Live+1)
	if err != nil {
		return r, err
	}
	if r.More = len(alive) > c.Live; r.More {
		alive = alive[:c.Live]
	}
	over, err := c.runs(ctx, f.Slug, ended, c.Ended)
	if err != nil {
		return r, err
	}
	if f.Endpoint {
		if len(alive)+len(over) > 0 {
			r.Note = "it is a durable endpoint: those cannot be called without a request, and are not checked"
		}
		return r, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.AtOnce)
	t := tally{FunctionReport: &r, groups: map[string]*Finding{}}
	for _, id := range append(alive, over...) {
		g.Go(func() error {
			rec, err := c.source.Load(ctx, id)
			switch {
			case errors.Is(err, ErrLeft):
				return nil
			case err != nil:
				var u *unchecked
				if errors.As(err, &u) {
					t.unchecked(id, u.why)
					return nil
				}
				return fmt.Errorf("run %s: %w", id, err)
			}
			rec.forget(c.sdk)
			found, err := walkThrough(ctx, rec, c.ask)
			return t.take(rec, found, err)
		})
	}
	if err := g.Wait(); err != nil {
		return r, err
	}
	t.end(c.Accept)
	return r, nil
}

// runs are the newest runs that have one of these statuses and are asked for.
func (c *checker) runs(ctx context.Context, slug string, statuses []durable.Status, limit int) ([]string, error) {
	if c.Statuses != nil {
		statuses = slices.DeleteFunc(slices.Clone(statuses), func(s durable.Status) bool { return !slices.Contains(c.Statuses, s) })
	}
	if len(statuses) == 0 || limit == 0 {
		return nil, nil
	}
	return c.source.Runs(ctx, Filter{Function: slug, Statuses: statuses, Since: c.Since}, limit)
}

// mostSlow is after how many unanswered calls in a row an app is given up.
const mostSlow = 3

// ask makes one call of the new code.
func (c *checker) ask(ctx context.Context, rec *Record, body []byte) (wire.Answer, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return wire.Answer{}, errors.New("the app's URL cannot be parsed")
	}
	query := u.Query()
	query.Set("fnId", rec.Function)
	u.RawQuery = query.Encode()
	timed, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	a := c.client.Call(timed, call.Request{URL: u.String(), RunID: rec.ID, RequestID: rec.ID, Version: rec.Protocol, Body: body})
	if ctx.Err() != nil {
		return a, ctx.Err()
	}
	slow := timed.Err() != nil && a.Code != ""
	c.mu.Lock()
	if c.slow++; !slow {
		c.slow = 0
	}
	given := c.slow >= mostSlow
	c.mu.Unlock()
	switch {
	case given:
		return a, fmt.Errorf("%s gives no answer within %s", wire.PublicURL(c.URL), c.Timeout)
	case slow:
		return a, &unchecked{fmt.Sprintf("no answer within %s; code between its steps may wait for something", c.Timeout)}
	case a.Code == wire.CodeUnreachable, a.Code == wire.CodeSignature, a.Code == wire.CodeNotSDK:
		return a, errors.New(a.Err.Message)
	case a.Code != "":
		return a, &unchecked{clip(a.Err.Message)}
	}
	if step, ran := ranBody(a.Ops); ran {
		return a, fmt.Errorf("the app has run the step %s of a copy of run %s, although it was asked not to run any: the check was stopped; tell us of %s", quote(step), rec.ID, c.sdk)
	}
	return a, nil
}

// tally gathers what is found in the runs of a function.
type tally struct {
	*FunctionReport
	mu     sync.Mutex
	groups map[string]*Finding
	gone   *noFunction
}

func (t *tally) unchecked(run, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Unchecked = append(t.Unchecked, Unchecked{run, why})
}

// take takes the outcome of one run.
func (t *tally) take(rec *Record, found []Finding, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var u *unchecked
	var gone *noFunction
	switch {
	case errors.As(err, &gone):
		t.gone = gone
		if rec.Live() {
			found = append(found, Finding{Kind: NoFunction, Detail: gone.said})
		}
	case errors.As(err, &u):
		t.Unchecked = append(t.Unchecked, Unchecked{rec.ID, u.why})
	case err != nil:
		return err
	}
	if err == nil || gone != nil {
		if rec.Live() {
			t.Live++
		} else {
			t.Ended++
		}
	}
	for _, f := range found {
		known := t.groups[f.key()]
		if known == nil {
			known = &f
			t.groups[f.key()] = known
		}
		known.count(rec)
		if len(f.Also) > len(known.Also) {
			known.Also = f.Also
		}
	}
	return nil
}

func (f *Finding) count(rec *Record) {
	// Of live runs, and else of the others, the newest is the example.
	if better := rec.Live() && f.Live == 0; better || rec.Live() == (f.Live > 0) && rec.ID > f.Example {
		f.Example = rec.ID
	}
	if rec.Live() {
		f.Live++
	} else {
		f.Ended++
	}
}

// mostGroups bounds the findings that are told of one function: one whose steps
// have names of their own in each run has as many as runs.
const mostGroups = 50

func (t *tally) end(accept []Kind) {
	if t.gone != nil && t.Live == 0 {
		t.Note = "the app does not serve it any more, and none of its runs goes on"
	}
	for _, f := range t.groups {
		f.Accepted = slices.Contains(accept, f.Kind)
		t.Findings = append(t.Findings, f)
	}
	order := Kinds()
	slices.SortFunc(t.Findings, func(a, b *Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(b.Live, a.Live),
			cmp.Compare(b.Ended, a.Ended), cmp.Compare(a.Step, b.Step), cmp.Compare(a.key(), b.key()),
		)
	})
	if n := len(t.Findings); n > mostGroups {
		t.Note = fmt.Sprintf("%d more findings are not told", n-mostGroups)
		t.Findings = t.Findings[:mostGroups]
	}
	slices.SortFunc(t.Unchecked, func(a, b Unchecked) int { return cmp.Compare(a.Run, b.Run) })
}

package server

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

//go:embed assets
var assets embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"shown": shown, "pretty": pretty, "ago": humanize.Time, "took": took, "clock": clock, "failure": failure, "opWord": opWord,
	"statusForPeople": statusForPeople,
}).ParseFS(assets, "assets/*.html"))

// contentPolicy lets a page show text and its one style sheet, and nothing else.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is what every page is made of.
type page struct {
	Title   string
	Version string
	Refresh int  // seconds until the browser looks again; 0: never
	Wide    bool // it has two columns where there is room
	Data    any
}

func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	p.Version = s.version
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		s.log.ErrorContext(r.Context(), "page cannot be made", "page", name, "err", err)
		http.Error(w, "The page could not be made; the server's log says why.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // nobody is left to tell
}

func (s *Server) style(w http.ResponseWriter, r *http.Request, _ []byte) {
	http.ServeFileFS(w, r, assets, "assets/pawl.css")
}

// icon is one drawing for the tab of a browser.
func (s *Server) icon(w http.ResponseWriter, r *http.Request, _ []byte) {
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", contentPolicy)
	http.ServeFileFS(w, r, assets, "assets/pawl.svg")
}

// Unsynced is a URL at which an app was asked for its functions and that has not
// told them yet.
type Unsynced struct {
	URL     string
	Problem string // "" while nothing listens there
}

type homePage struct {
	Apps     []appView
	Unsynced []Unsynced
	Runs     []runView
	Filters  []filterLink
	Function string // of which runs are shown; "" for all
	Filtered bool
	Older    string // link to the next page; "" for none
	Newest   string // link to the first page; "" when this is it
	URL      string // where this server is reached
	Ports    string
	Paths    []string
}

// filterLink shows the runs of one status.
type filterLink struct {
	Word, Href string
	On         bool
}

const latestRuns = 20

// home shows apps and the latest runs. Without a login there is nothing that
// serve could show to just anybody.
func (s *Server) home(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.dev {
		s.render(w, r, http.StatusOK, "closed.html", page{Title: "Pawl"})
		return
	}
	q := readQuery(r)
	at := store.Page{Limit: latestRuns + 1, Cursor: q.cursor()} // one more, to see whether there are more
	function := q.get("function")
	filter := runFilter(function, q.status())
	if q.bad() {
		s.render(w, r, http.StatusBadRequest, "failed.html", page{Title: "Not understood", Data: q.wrong})
		return
	}
	data := homePage{
		URL: "http://" + r.Host, Ports: portsText(DiscoveryPorts(0)), Paths: DiscoveryPaths(),
		Function: function, Filtered: function != "" || filter.Statuses != nil,
	}
	data.Apps = s.viewApps()
	if s.unsynced != nil {
		data.Unsynced = s.unsynced()
	}
	runs, err := s.eng.History().Runs(r.Context(), filter, at)
	if err != nil {
		s.failPage(w, r, err)
		return
	}
	status := q.get("status")
	if len(runs) > latestRuns {
		runs = runs[:latestRuns]
		data.Older = runsLink(function, status, runs[latestRuns-1].ID)
	}
	if at.Cursor != "" {
		data.Newest = runsLink(function, status, "")
	}
	for _, word := range []string{"", "Queued", "Running", "Completed", "Failed", "Cancelled"} {
		data.Filters = append(data.Filters, filterLink{cmp.Or(word, "All"), runsLink(function, word, ""), strings.EqualFold(word, status)})
	}
	data.Runs = s.viewRuns(runs)
	p := page{Title: "Pawl", Data: data, Wide: true}
	if at.Cursor == "" { // what is older changes little
		p.Refresh = 5
	}
	s.render(w, r, http.StatusOK, "home.html", p)
}

// runsLink is the page that lists some runs.
func runsLink(function, status, cursor string) string {
	q := url.Values{}
	for name, value := range map[string]string{"function": function, "status": status, "cursor": cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
}

type runPage struct {
	stepsView
	Shown  []shownStep
	Failed *shownStep // in which the run failed, if it was a step
	Broke  string     // the step in which it failed, if nothing else is known of that
	Event  jsontext.Value
	Why    string // what it waits for, as a sentence; "" when it has ended
	Parent string // the run that waits for this one
}

// shownStep is a step for people.
type shownStep struct {
	stepView
	Anchor string
	Tries  []shownTry // that failed
	For    string     // what it waits for, or has waited for
	Child  string     // the run that it has invoked or deferred
}

type shownTry struct {
	attemptView
	Again bool // with the error of the one before
}

// showSteps leaves out what would tell one failure again: of a try that failed
// as the one before, and of the function's body that failed with nothing but
// what a step had failed with.
func showSteps(v stepsView) (list []shownStep, failed *shownStep) {
	told := map[string]int{} // the step that told an error, by its text
	for i, step := range v.Steps {
		out := shownStep{stepView: step, Anchor: "step-" + strconv.Itoa(i+1)}
		news, last := false, ""
		for _, a := range step.Attempts {
			if len(a.Error) == 0 {
				continue
			}
			text := failure(a.Error).Message
			if _, known := told[text]; !known {
				news, told[text] = true, len(list)
			}
			out.Tries = append(out.Tries, shownTry{a, text == last})
			last = text
		}
		if step.Step == durable.Discovery && len(out.Tries) > 0 && !news {
			continue
		}
		list = append(list, out)
	}
	if v.Run.Status == durable.Failed.String() {
		if i, ok := told[failure(v.Run.Output).Message]; ok {
			failed = &list[i]
		}
	}
	return list, failed
}

func (s *Server) runPage(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.dev {
		s.render(w, r, http.StatusNotFound, "failed.html", page{Title: "Not found", Data: "There are no pages about runs here. They are read with a signing key: pawl runs show ID"})
		return
	}
	id := r.PathValue("run")
	v, err := s.loadSteps(r.Context(), id)
	if err != nil {
		s.failPage(w, r, err)
		return
	}
	data := runPage{stepsView: v}
	data.Shown, data.Failed = showSteps(v)
	if v.Run.Status == durable.Failed.String() && data.Failed == nil {
		if letter, err := s.eng.Letters().DeadLetter(r.Context(), id); err == nil {
			data.Broke = letter.Step
		}
	}
	if run, err := s.eng.History().Run(r.Context(), id); err == nil {
		if len(run.Events) > 0 {
			data.Event = run.Events[0].Body
		}
		s.relatives(r.Context(), run, &data)
	}
	p := page{Title: v.Run.Function, Data: data}
	if v.Run.EndedAt == nil {
		p.Refresh = 2
	}
	s.render(w, r, http.StatusOK, "run.html", p)
}

// statusForPeople is a status of the API as people know it.
func statusForPeople(word string) string {
	if word == scheduled {
		return durable.Queued.String()
	}
	return word
}

// opWord is what an op is called by people; "" for a step that runs, which needs
// no word, and for the function's body, which has one.
func opWord(op string) string {
	switch op {
	case wire.OpStepRun, "Step", wire.OpStepError, wire.OpStepFailed, wire.OpStepPlanned, "Function":
		return ""
	case wire.OpSleep:
		return "sleep"
	case wire.OpWaitForEvent:
		return "wait for an event"
	case wire.OpWaitForSignal:
		return "wait for a signal"
	case wire.OpInvokeFunction:
		return "call of a function"
	case wire.OpGateway:
		return "fetch"
	case wire.OpAIGateway:
		return "AI call"
	case wire.OpDeferAdd:
		return "deferred call"
	}
	return shown(op)
}

func (s *Server) failPage(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, store.ErrNotFound) {
		s.render(w, r, http.StatusNotFound, "failed.html", page{Title: "Not found", Data: "There is no such run."})
		return
	}
	status, message := s.trouble(w, r, err)
	s.render(w, r, status, "failed.html", page{Title: "Failed", Data: message})
}

// shown makes visible what would be invisible, or would turn text around.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return '\uFFFD'
		}
		return r
	}, durable.Unstyled(s))
}

// mostShown bounds one payload on a page, in bytes.
const mostShown = 64 << 10

func pretty(v jsontext.Value) string {
	if len(v) > mostShown {
		return fmt.Sprintf("%s … (%s in all)", shown(strings.ToValidUTF8(string(v[:mostShown]), "")), humanize.IBytes(uint64(len(v))))
	}
	v = v.Clone()
	_ = v.Indent(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) // as it is, then
	return shown(string(v))
}

// failure is the sentence and the stack of a stored error.
func failure(v jsontext.Value) struct{ Message, Stack string } {
	e := wire.ParseError(v, nil)
	return struct{ Message, Stack string }{shown(e.Error()), shown(e.Stack)}
}

// clock is a time as the clock on the wall shows it: pages are for a developer
// on this machine.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000 MST") }

// took is how long something lasted, or "" when it has not ended.
func took(from, to *time.Time) string {
	if from == nil || to == nil {
		return ""
	}
	return Rounded(to.Sub(*from)).String()
}

// Rounded is how long something lasted, for people: to the millisecond below a
// second, to the hundredth of a second below a minute, to the second above.
func Rounded(d time.Duration) time.Duration {
	switch {
	case d < 0: // two clocks were read
		return 0
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Second)
}

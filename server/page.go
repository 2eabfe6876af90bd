package server

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

//go:embed assets
var assets embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"shown": shown, "pretty": pretty, "ago": humanize.Time, "took": took, "clock": clock, "failure": failure,
}).ParseFS(assets, "assets/*.html"))

// contentPolicy lets a page show text and its one style sheet, and nothing else.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is what every page is made of.
type page struct {
	Title   string
	Version string
	Refresh int // seconds until the browser looks again; 0: never
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

type homePage struct {
	Apps  []appView
	Runs  []runView
	URL   string // where this server is reached
	Ports string
	Paths []string
}

const latestRuns = 50

// home shows apps and the latest runs. Without a login there is nothing that
// serve could show to just anybody.
func (s *Server) home(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.dev {
		s.render(w, r, http.StatusOK, "closed.html", page{Title: "Pawl"})
		return
	}
	data := homePage{URL: "http://" + r.Host, Ports: portsText(DiscoveryPorts(0)), Paths: DiscoveryPaths()}
	for _, a := range s.eng.Apps() {
		data.Apps = append(data.Apps, viewApp(a))
	}
	runs, err := s.eng.History().Runs(r.Context(), store.RunFilter{}, store.Page{Limit: latestRuns})
	if err != nil {
		s.failPage(w, r, err)
		return
	}
	data.Runs = s.viewRuns(runs)
	s.render(w, r, http.StatusOK, "home.html", page{Title: "Pawl", Refresh: 5, Data: data})
}

type runPage struct {
	stepsView
	Event jsontext.Value
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
	if run, err := s.eng.History().Run(r.Context(), id); err == nil && len(run.Events) > 0 {
		data.Event = run.Events[0].Body
	}
	p := page{Title: v.Run.Function, Data: data}
	if v.Run.EndedAt == nil {
		p.Refresh = 2
	}
	s.render(w, r, http.StatusOK, "run.html", p)
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
	}, s)
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

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") }

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

package server

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/pawlhq/pawl/internal/webui"
)

// People read the dashboard, which package webui holds. The few pages that are made
// here are for the clients of endpoints, and work without scripts.

//go:embed assets
var assets embed.FS

var pages = template.Must(template.New("").ParseFS(assets, "assets/*.html"))

// contentPolicy lets a page show text and its one style sheet, and nothing else.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is what every page is made of.
type page struct {
	Title string
	Data  any
	Back  string // where the login is, on a page that says why somebody is not logged in
}

func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
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

// icon is a picture for the tab of a browser: as points, which a browser shows
// without laying out a document beside the page.
func (s *Server) icon(w http.ResponseWriter, r *http.Request, _ []byte) {
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Content-Security-Policy", contentPolicy)
	http.ServeFileFS(w, r, assets, "assets/pawl.png")
}

// dashboard answers with the page in which everything else is: what it shows, it
// asks the API for, and who may see that is decided there.
func (s *Server) dashboard(w http.ResponseWriter, r *http.Request, _ []byte) {
	for _, path := range shownFirst(r.URL) {
		w.Header().Add("Link", "<"+path+">; rel=preload; as=fetch; crossorigin")
	}
	webui.Load().Serve(w, r, "index.html")
}

// shownFirst is what a page asks the API for before it shows anything (the queries of
// ui/src/api/queries.ts): the browser gets it while it still reads the program.
// Seen from the page, so that a prefix of a proxy stays.
func shownFirst(page *url.URL) []string {
	if id, found := strings.CutPrefix(page.Path, "/runs/"); found {
		if _, err := ulid.ParseStrict(id); err == nil {
			return []string{"../v1/runs/" + id + "/trace"}
		}
	}
	switch {
	case page.RawQuery != "":
	case page.Path == "/":
		return []string{"v1/overview", "v1/apps"}
	case page.Path == "/runs":
		return []string{"v1/runs/search?limit=100"}
	}
	return nil
}

func (s *Server) asset(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !webui.Load().Serve(w, r, "assets/"+r.PathValue("file")) {
		failAt(w, r, http.StatusNotFound, "there is no "+printable(r.URL.Path)+" here")
	}
}

// ownPaths are the first parts of the paths that are no pages.
var ownPaths = map[string]bool{
	"v0": true, "v1": true, "v2": true, "api": true, "e": true, "fn": true, "x": true, "invoke": true, "dev": true, "health": true, "assets": true, "metrics": true, "debug": true,
}

// isPage reports whether a request may be for a page of the dashboard, which knows
// its own addresses.
func isPage(r *http.Request) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !ownPaths[strings.ToLower(first)] && !strings.Contains(first, ".") &&
		clean(r.URL.Path) && accepts(r, "text/html")
}

// Unsynced is a URL at which an app was asked for its functions and that has not
// told them yet.
type Unsynced struct {
	URL     string
	Problem string // "" while nothing listens there
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

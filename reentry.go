package pawl

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// asked is where a request was sent to: its path, escaped, and its query, before
// anything on the way to the endpoint has changed its URL, as http.StripPrefix does.
func asked(r *http.Request) (path, query string) {
	u := r.URL
	if sent, err := url.ParseRequestURI(r.RequestURI); err == nil && strings.HasPrefix(sent.Path, "/") {
		u = sent
	}
	return u.EscapedPath(), u.RawQuery
}

// view is what the handler sees of a request beside what a client sends: what the
// handlers in front of it, such as a mux, made of it. An engine in this process enters
// an endpoint past these, so that the run's request keeps it; a server comes by them.
// Text that may not be UTF-8 is escaped.
type view struct {
	Host    string            `json:"host"`
	Path    string            `json:"path"`
	Query   string            `json:"query,omitempty"`
	Pattern string            `json:"pattern,omitempty"`
	Values  map[string]string `json:"values,omitempty"` // of the pattern's wildcards
}

func viewOf(r *http.Request) view {
	v := view{Host: r.Host, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Pattern: r.Pattern}
	for _, name := range wildcards(r.Pattern) {
		if value := r.PathValue(name); value != "" {
			if v.Values == nil {
				v.Values = map[string]string{}
			}
			v.Values[name] = url.PathEscape(value)
		}
	}
	return v
}

// wildcards are the names of the wildcards of a pattern: "{id}", "{rest...}", and
// "{id:[0-9]+}" as other routers have them.
func wildcards(pattern string) (names []string) {
	for {
		_, after, ok := strings.Cut(pattern, "{")
		if !ok {
			return names
		}
		end := strings.IndexAny(after, ":}")
		if end < 0 {
			return names
		}
		names = append(names, strings.TrimSuffix(after[:end], "..."))
		pattern = after[end:]
	}
}

// on gives a request that a handler sees anew what it saw the first time.
func (v *view) on(r *http.Request) {
	if v == nil {
		return // the run began before it was kept
	}
	path, err := url.PathUnescape(v.Path)
	if err != nil {
		return
	}
	r.RequestURI = r.URL.RequestURI()
	u := &url.URL{Path: path, RawQuery: v.Query}
	if u.EscapedPath() != v.Path {
		u.RawPath = v.Path
	}
	r.URL, r.Host, r.Pattern = u, v.Host, v.Pattern
	for name, value := range v.Values {
		if value, err := url.PathUnescape(value); err == nil {
			r.SetPathValue(name, value)
		}
	}
}

// begunBy is what the event says that stands for the request of an endpoint.
type begunBy struct {
	Data struct {
		Endpoint string `json:"fn"`
		View     *view  `json:"view"`
	} `json:"data"`
}

func readBegunBy(events json.RawMessage) (b begunBy, ok bool) {
	var list []begunBy
	if err := json.Unmarshal(events, &list); err != nil || len(list) == 0 {
		return b, false
	}
	return list[0], true
}

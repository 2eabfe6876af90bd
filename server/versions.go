package server

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/wire"
)

// versionView is a function as an app told of it at one time.
type versionView struct {
	Version    int            `json:"version"`
	MadeAt     *time.Time     `json:"made_at"`     // null: it was made before Pawl kept that
	AppVersion string         `json:"app_version"` // the user's own; "" if not given
	Archived   bool           `json:"archived,omitzero"`
	Config     jsontext.Value `json:"config"`
	Changes    []changeView   `json:"changes"` // since the version before
}

// changeView is a setting that has become another.
type changeView struct {
	Path string         `json:"path"`
	From jsontext.Value `json:"from,omitzero"` // absent: it was not there
	To   jsontext.Value `json:"to,omitzero"`   // absent: it is gone
}

// What is told of versions at most.
const (
	mostVersions = 50
	mostChanges  = 50
)

func (s *Server) listVersions(w http.ResponseWriter, r *http.Request, _ []byte) {
	slug := r.PathValue("slug")
	list, err := s.eng.Versions(r.Context(), slug, mostVersions+1)
	if err != nil {
		s.failWith(w, r, err, "there is no function "+printable(slug))
		return
	}
	views := make([]versionView, 0, len(list))
	for i, v := range list[:min(len(list), mostVersions)] {
		view := versionView{
			Version: v.Version, MadeAt: timeOrNull(v.Made), AppVersion: v.AppVersion, Archived: v.Archived,
			Config: readable(v.Config), Changes: []changeView{},
		}
		if i+1 < len(list) {
			view.Changes = changesOf(list[i+1].Function, v.Function)
		}
		views = append(views, view)
	}
	s.reply(w, views)
}

// changesOf are the settings in which two versions differ.
func changesOf(before, after durable.Function) []changeView {
	was, is := settings(before), settings(after)
	paths := slices.Sorted(maps.Keys(is))
	for path := range was {
		if _, ok := is[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	list := []changeView{}
	for _, path := range paths {
		if string(was[path]) != string(is[path]) && len(list) < mostChanges {
			list = append(list, changeView{Path: path, From: was[path], To: is[path]})
		}
	}
	return list
}

// settings are the values in what was registered of a function, by their paths.
func settings(f durable.Function) map[string]jsontext.Value {
	m := map[string]jsontext.Value{}
	flatten(m, "", readable(f.Config), 0)
	m["archived"] = jsontext.Value("false")
	if f.Archived {
		m["archived"] = jsontext.Value("true")
	}
	// A URL may carry a secret.
	for path, v := range m {
		if v.Kind() == '"' && strings.Contains(string(v), "://") {
			if b, err := jsontext.AppendQuote(nil, wire.PublicURL(textOf(v))); err == nil {
				m[path] = b
			}
		}
	}
	return m
}

// flatten adds the values in v; what is deep is a value as a whole.
func flatten(m map[string]jsontext.Value, path string, v jsontext.Value, depth int) {
	n := 0
	if v.Kind() == '{' && depth < 5 {
		for name, member := range members(v) {
			n++
			at := name
			if path != "" {
				at = path + "." + name
			}
			flatten(m, at, member, depth+1)
		}
	}
	if n == 0 {
		m[path] = v
	}
}

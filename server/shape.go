package server

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/store"
)

// What is looked at to tell the shape of an event, and told of it, at most.
const (
	shapeEvents = 20 // of each name
	shapeNames  = 5
	shapeBytes  = 64 << 10 // of an event's data
	shapeDepth  = 6
	shapeFields = 300
	shapeItems  = 20 // of an array
)

// shapeView is what the newest events of some names have in their data.
type shapeView struct {
	Looked int         `json:"looked"` // events
	Fields []fieldView `json:"fields"`
}

// fieldView is a member of data.
type fieldView struct {
	Path  string   `json:"path"`  // names with dots between them; [] after one stands for what is in an array
	Types []string `json:"types"` // string, number, boolean, null, object or array
	Seen  int      `json:"seen"`  // in how many events
}

// shapeOfEvents tells what people may write in a filter or an editor: names and types
// and no values.
func (s *Server) shapeOfEvents(w http.ResponseWriter, r *http.Request, _ []byte) {
	q := readQuery(r)
	names := q.all("name")
	if len(names) == 0 || len(names) > shapeNames {
		q.refuse("name is required: that of an event; up to five of them")
	}
	if q.refused(w) {
		return
	}
	sh := shape{fields: map[string]*fieldView{}}
	for _, name := range names {
		events, err := s.eng.History().Events(r.Context(), store.EventFilter{Name: name, Internal: true}, store.Page{Limit: shapeEvents})
		if err != nil {
			s.failWith(w, r, err, "")
			return
		}
		for _, e := range events {
			if v := viewEvent(e).Data; len(v) <= shapeBytes {
				sh.looked++
				sh.object(v, "", 0)
				clear(sh.now)
			}
		}
	}
	s.reply(w, sh.view())
}

// shape grows with each event that is looked at.
type shape struct {
	looked int
	fields map[string]*fieldView
	now    map[string]bool // paths that the event at hand was counted for
}

func (sh *shape) object(v jsontext.Value, path string, depth int) {
	if v.Kind() != '{' || depth == shapeDepth {
		return
	}
	for name, member := range members(v) {
		// Such names cannot be written in a path.
		if name == "" || len(name) > 100 || strings.ContainsAny(name, ".=~![]\" \x00") {
			continue
		}
		at := name
		if path != "" {
			at = path + "." + name
		}
		if !sh.add(at, member) {
			return
		}
		switch member.Kind() {
		case '{':
			sh.object(member, at, depth+1)
		case '[':
			for i, item := range items(member) {
				if i == shapeItems {
					break
				}
				sh.object(item, at+"[]", depth+1)
			}
		default:
		}
	}
}

func (sh *shape) add(path string, v jsontext.Value) bool {
	f := sh.fields[path]
	if f == nil {
		if len(sh.fields) == shapeFields {
			return false
		}
		f = &fieldView{Path: path}
		sh.fields[path] = f
	}
	if t := kindWord(v.Kind()); !slices.Contains(f.Types, t) {
		f.Types = append(f.Types, t)
	}
	if sh.now == nil {
		sh.now = map[string]bool{}
	}
	if !sh.now[path] {
		sh.now[path] = true
		f.Seen++
	}
	return true
}

func kindWord(k jsontext.Kind) string {
	switch k {
	case '"':
		return "string"
	case '0':
		return "number"
	case 't', 'f':
		return "boolean"
	case '{':
		return "object"
	case '[':
		return "array"
	default:
		return "null"
	}
}

func (sh *shape) view() shapeView {
	v := shapeView{Looked: sh.looked, Fields: []fieldView{}}
	for _, f := range sh.fields {
		slices.Sort(f.Types)
		v.Fields = append(v.Fields, *f)
	}
	slices.SortFunc(v.Fields, func(a, b fieldView) int { return cmp.Or(-cmp.Compare(a.Seen, b.Seen), cmp.Compare(a.Path, b.Path)) })
	return v
}

// items ranges over what is in an array.
func items(array jsontext.Value) func(yield func(int, jsontext.Value) bool) {
	return func(yield func(int, jsontext.Value) bool) {
		dec := jsontext.NewDecoder(strings.NewReader(string(array)), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
		if dec.PeekKind() != '[' {
			return
		}
		if _, err := dec.ReadToken(); err != nil {
			return
		}
		for i := 0; dec.PeekKind() != ']'; i++ {
			v, err := dec.ReadValue()
			if err != nil || !yield(i, v) {
				return
			}
		}
	}
}

package server

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The OpenAPI document is made from the route table, from what is told about
// each route (told), and from the Go types that handlers read and write. A test
// holds it to all three.

// about is what a person reads about a route.
type about struct {
	id     string // of the operation; clients name their functions by it
	what   string
	query  []param
	header []param
	in     any    // a value of the type of the body; nil: there is none
	many   bool   // the body may also be an array of them
	data   any    // a value of the type of the answer's data; nil: the answer is empty
	wrap   wrap   // what is around data
	media  string // of an answer that is not JSON
	codes  []int  // of refusals beside those of every route
	other  string // what any other status is; "": there is none
	made   bool   // a good answer is 201
	note   string // what there is to say beside what
}

// param is a parameter of a query, or a header.
type param struct {
	name, what string
	schema     object
	required   bool
}

// wrap says what is around the data of an answer.
type wrap int

const (
	wrapV1    wrap = iota // {data, metadata}
	wrapV2                // {data, metadata}
	wrapPage              // {data, metadata, page}
	unwrapped             // nothing
)

// specificationVersion is that of the API, not of the program.
const specificationVersion = "1.0.0"

// openAPI answers with the document.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request, _ []byte) {
	raw(w, http.StatusOK, s.specification())
}

// specification is the document of a table.
func specification(table []route) []byte {
	b, err := json.Marshal(document(table), json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		panic("server: the OpenAPI document cannot be encoded: " + err.Error()) // it is made of text and numbers
	}
	return append(b, '\n')
}

func document(table []route) object {
	s := &schemas{named: object{}, refusals: object{}, types: map[string]reflect.Type{}}
	paths := object{}
	for _, rt := range table {
		a, ok := told()[rt.method+" "+rt.pattern]
		if !ok {
			continue
		}
		path := strings.ReplaceAll(rt.pattern, "{$}", "")
		item, _ := paths[path].(object)
		if item == nil {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(rt.method)] = s.operation(rt, a)
	}
	s.of(reflect.TypeFor[refusalView]())
	s.of(reflect.TypeFor[errorsV2]())
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Pawl", "version": specificationVersion,
			"description": "Durable functions: events in, runs and their steps, schedules, dead letters. " +
				"Every path under /v2 is served under /api/v2 too. In pawl dev nobody needs a key.",
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []object{{"url": "http://localhost:8288", "description": "pawl dev"}},
		"paths":   paths,
		"components": object{
			"schemas":   s.named,
			"responses": s.refusals,
			"securitySchemes": object{
				"signingKey": object{"type": "http", "scheme": "bearer", "description": "the signing key, or its hashed form as SDKs send it"},
				"topicToken": object{"type": "http", "scheme": "bearer", "description": "a token to publish, from POST /v1/realtime/token?publish=true"},
			},
		},
	}
}

func (s *schemas) operation(rt route, a about) object {
	op := object{"operationId": a.id, "summary": a.what, "tags": []string{tagOf(rt.pattern)}}
	switch rt.who {
	case signingKey:
		op["security"] = []object{{"signingKey": []string{}}}
	case publisher:
		op["security"] = []object{{"signingKey": []string{}}, {"topicToken": []string{}}}
	case eventKey:
		op["description"] = "The event key is a part of the path."
		op["security"] = []object{}
	default:
		op["security"] = []object{}
	}
	if a.note != "" {
		op["description"] = a.note
	}
	if rt.key == takesKey {
		a.header = append(keyed(), a.header...)
		a.codes = append([]int{http.StatusUnprocessableEntity}, a.codes...)
		if rt.lets { // it starts a run, and lets a repetition wait for that
			a.header = append(a.header, inFlightParam())
			a.codes = append(a.codes, http.StatusConflict)
		}
	}
	if list := parameters(rt.pattern, a); len(list) > 0 {
		op["parameters"] = list
	}
	if a.in != nil {
		body := s.of(reflect.TypeOf(a.in))
		if a.many {
			body = object{"anyOf": []object{body, {"type": "array", "items": body}}}
		}
		op["requestBody"] = object{
			"required": true, "description": fmt.Sprintf("at most %d bytes", rt.body),
			"content": object{"application/json": object{"schema": body}},
		}
	}
	op["responses"] = s.responses(rt, a)
	return op
}

// tagOf groups routes by what they are about.
func tagOf(pattern string) string {
	parts := strings.Split(strings.Trim(pattern, "/"), "/")
	if parts[0] == "v1" || parts[0] == "v2" {
		return parts[0] + " " + parts[1]
	}
	return parts[0]
}

func parameters(pattern string, a about) (list []object) {
	for part := range strings.SplitSeq(pattern, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok && name != "$}" {
			list = append(list, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for in, params := range map[string][]param{"query": a.query, "header": a.header} {
		for _, p := range params {
			o := object{"name": p.name, "in": in, "description": p.what, "schema": p.schema}
			if p.required {
				o["required"] = true
			}
			list = append(list, o)
		}
	}
	slices.SortStableFunc(list, func(a, b object) int { // headers last: a map has no order
		return strings.Compare(b["in"].(string), a["in"].(string))
	})
	return list
}

func (s *schemas) responses(rt route, a about) object {
	ok := object{"description": "done"}
	switch {
	case a.media != "":
		ok["content"] = object{a.media: object{"schema": object{}}}
	case a.data != nil:
		ok["content"] = object{"application/json": object{"schema": s.answer(a)}}
	}
	all := object{"200": ok}
	if a.made {
		all = object{"201": ok}
	}
	if a.other != "" {
		all["default"] = object{"description": a.other}
	}
	codes := append([]int{http.StatusInternalServerError, http.StatusServiceUnavailable}, a.codes...)
	if rt.who != anyone {
		codes = append(codes, http.StatusUnauthorized)
	}
	if rt.body > 0 {
		codes = append(codes, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusInsufficientStorage)
	}
	if len(a.query) > 0 || rt.who == signingKey || rt.key == refusesKey { // what is not understood, such as a parameter that nobody knows
		codes = append(codes, http.StatusBadRequest)
	}
	if strings.Contains(rt.pattern, "{") && rt.who == signingKey {
		codes = append(codes, http.StatusNotFound)
	}
	refusal := "Refusal"
	if isV2(rt.pattern) {
		refusal = "ErrorsV2"
	}
	for _, code := range codes {
		name := refusal + strconv.Itoa(code)
		s.refusals[name] = object{
			"description": strings.ToLower(http.StatusText(code)),
			"content":     object{"application/json": object{"schema": object{"$ref": "#/components/schemas/" + refusal}}},
		}
		all[strconv.Itoa(code)] = object{"$ref": "#/components/responses/" + name}
	}
	return all
}

// answer is the schema of a good answer.
func (s *schemas) answer(a about) object {
	data := s.of(reflect.TypeOf(a.data))
	var meta reflect.Type
	switch a.wrap {
	case unwrapped:
		return data
	case wrapV1:
		meta = reflect.TypeFor[metadata]()
	default:
		meta = reflect.TypeFor[metadataV2]()
	}
	properties := object{"data": data, "metadata": s.of(meta)}
	required := []string{"data", "metadata"}
	if a.wrap == wrapPage {
		properties["page"] = s.of(reflect.TypeFor[pageV2]())
		required = append(required, "page")
	}
	return object{"type": "object", "properties": properties, "required": required}
}

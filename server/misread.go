package server

import (
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/pawlhq/pawl/internal/wire"
)

// misread says for a person why a body, or a member of it, cannot be decoded
// into what is wanted. The decoder's own words name types of this program.
func misread(body []byte, err error) string {
	const other = "the body is not the JSON object that is wanted here"
	bad, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		if wrong := wire.CheckJSON(body); wrong != nil {
			return other + ": " + wrong.Error()
		}
		return other
	}
	member, wanted := strings.TrimPrefix(string(bad.JSONPointer), "/"), wantedOf(bad.GoType)
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return "nobody knows the member " + printable(member)
	case member == "" && wanted == "":
		return other
	case member == "":
		return "the body must be " + wanted
	case wanted == "":
		return printable(member) + " cannot be a JSON value of this kind"
	}
	return printable(member) + " must be " + wanted
}

// wantedOf is the JSON that can be read into a type; "" when that is a longer
// story.
func wantedOf(t reflect.Type) string {
	switch {
	case t == nil:
		return ""
	case t.Kind() == reflect.Pointer:
		return wantedOf(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return `a time such as "2026-01-02T15:04:05Z"`
	}
	switch t.Kind() { //nolint:exhaustive // the others have no JSON of their own
	case reflect.Struct, reflect.Map:
		return "a JSON object"
	case reflect.Slice:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return ""
}

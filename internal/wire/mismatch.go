package wire

import (
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Mismatch is a place in JSON that cannot be read into what is wanted there.
type Mismatch struct {
	Member string // where it is, as a path such as functions/0/id; "" for the whole
	Got    string // such as "a number"
	Want   string // such as "an object"; "" when that is a longer story
}

// AsMismatch finds a Mismatch in an error of the decoder, whose own words name
// types of this program.
func AsMismatch(err error) (Mismatch, bool) {
	bad, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return Mismatch{}, false
	}
	return Mismatch{
		Member: strings.TrimPrefix(string(bad.JSONPointer), "/"), Got: kindName(bad.JSONKind), Want: wanted(bad.GoType),
	}, true
}

// wanted is the JSON that can be read into a type.
func wanted(t reflect.Type) string {
	switch {
	case t == nil:
		return ""
	case t.Kind() == reflect.Pointer:
		return wanted(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return `a time such as "2026-01-02T15:04:05Z"`
	}
	switch t.Kind() { //nolint:exhaustive // the others have no JSON of their own
	case reflect.Struct, reflect.Map:
		return "an object"
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

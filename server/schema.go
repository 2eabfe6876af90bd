package server

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
)

// object is a JSON object that is being made.
type object = map[string]any

// schemas makes JSON schemas of the Go types that are written and read.
type schemas struct {
	named    object // of types with a name
	types    map[string]reflect.Type
	refusals object // answers of errors, by name
}

// words are the values that a member of text can have, by type and member.
var words = map[string][]string{
	"runView.status":                 {"Scheduled", "Running", "Completed", "Failed", "Cancelled", "Skipped"},
	"runV2.status":                   runStatuses,
	"spanV2.status":                  append([]string{"WAITING"}, runStatuses...),
	"spanV2.stepOp":                  {"RUN", "SLEEP", "WAIT_FOR_EVENT", "WAIT_FOR_SIGNAL", "INVOKE", "AI_GATEWAY"},
	"envV2.type":                     {"TEST", "PRODUCTION"},
	"appV2.method":                   {"SERVE"},
	"triggerV2.type":                 {"EVENT", "CRON"},
	"letterView.state":               {"open", "retried", "discarded"},
	"letterView.class":               letterClasses,
	"letterGroupView.class":          letterClasses,
	"letterFilterView.class":         letterClasses,
	"retryJobView.state":             {"running", "done", "stopped"},
	"retryJobView.kind":              {jobRetries, jobDiscards},
	"retriedRunView.status":          {"Running", "Completed", "Failed", "Cancelled"},
	"scheduleView.source":            {"api", "function"},
	"tokenView.scopes":               scopes,
	"tokenIn.scopes":                 scopes,
	"scheduleView.overlap":           overlaps,
	"scheduleIn.overlap":             overlaps,
	"functionView.idempotency_key":   durable.KeyRuleNames(),
	"configurationV2.idempotencyKey": durable.KeyRuleNames()[1:],
	"jobView.kind":                   {"call", "wake", "lease"},
	"errorV2.code":                   v2Codes,
}

var (
	runStatuses   = []string{"QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"}
	letterClasses = []string{"error", "non_retriable", "unreachable", "crash", "timeout", "protocol", "limit"}
	overlaps      = []string{"allow", "skip", "queue", "replace"}
	v2Codes       = []string{
		codeInvalid, codeMissing, codeFormat, codeValidation, codeNoCredential, codeBadCredential, codeDenied, codeNotFound,
		codeCancelled, codeEnded, codeConflict, codeNoKey, codeInFlight, codeSkipped, codeSyncFailed, codeInternal, codeNotImplemented, codeOther,
	}
)

var (
	timeType  = reflect.TypeFor[time.Time]()
	valueType = reflect.TypeFor[jsontext.Value]()
)

// of is the schema of a type; that of a struct with a name is a reference.
func (s *schemas) of(t reflect.Type) object {
	switch t {
	case timeType:
		return object{"type": "string", "format": "date-time"}
	case valueType:
		return object{"description": "any JSON value"}
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Int32:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Interface:
		return object{}
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		if t.Name() == "" {
			return s.structure(t)
		}
		name := componentName(t)
		if known, ok := s.types[name]; ok && known != t {
			panic(fmt.Sprintf("server: two types are called %s in the OpenAPI document: %s and %s", name, known, t))
		} else if !ok {
			s.types[name] = t
			s.named[name] = object{} // a type may hold itself
			s.named[name] = s.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	default:
		panic(fmt.Sprintf("server: the OpenAPI document cannot tell of the type %s", t))
	}
}

// componentName is a type's name for people.
func componentName(t reflect.Type) string {
	name := strings.TrimSuffix(t.Name(), "View")
	return strings.ToUpper(name[:1]) + name[1:]
}

func (s *schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	s.members(t, properties, &required)
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func (s *schemas) members(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		switch {
		case f.Anonymous && tag == "":
			s.members(f.Type, properties, required)
			continue
		case !f.IsExported() || tag == "-":
			continue
		}
		parts := strings.Split(tag, ",")
		optional := slices.Contains(parts, "omitzero")
		schema := s.of(f.Type)
		if slices.Contains(parts, "string") { // 64-bit numbers
			schema = object{"type": "string", "pattern": "^-?[0-9]+$"}
		}
		if list := words[t.Name()+"."+parts[0]]; list != nil {
			at := schema
			if items, ok := schema["items"].(object); ok {
				at = items
			}
			at["enum"] = list
		}
		if f.Type.Kind() == reflect.Pointer && !optional {
			schema = nullable(schema)
		}
		properties[parts[0]] = schema
		if !optional {
			*required = append(*required, parts[0])
		}
	}
}

func nullable(schema object) object {
	if kind, ok := schema["type"].(string); ok {
		schema["type"] = []string{kind, "null"}
		return schema
	}
	return object{"anyOf": []object{schema, {"type": "null"}}}
}

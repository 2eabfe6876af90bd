package wire

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Metadata is one change of what is noted about a run, a step of it, a try or a span.
// Source: SDK protocol notes 03 §13.
type Metadata struct {
	Step    string // hashed id; "" for the run
	Attempt int    // from 0; -1: not of one try
	Span    string
	Kind    string
	Op      string         // in lower case, as it was sent; "set" if it was not
	Values  jsontext.Value // an object
}

// maxMetadata is how many changes are read of one request or op.
const maxMetadata = 1000

// ParseMetadata reads the body of POST /v1/runs/{run}/metadata, which was found to be
// JSON. SDKs take a refusal for an error of the user's step: what cannot be read is left
// out, and left counts it.
func ParseMetadata(body jsontext.Value) (list []Metadata, left int) {
	var b struct {
		Target   jsontext.Value   `json:"target"`
		Metadata []jsontext.Value `json:"metadata"`
	}
	if decode(body, &b) != nil {
		return nil, 1
	}
	var target struct {
		Step    *string `json:"step_id"`
		Index   *int    `json:"step_index"`
		Attempt *int    `json:"step_attempt"`
		Span    *string `json:"span_id"`
	}
	if !isNull(b.Target) && decode(b.Target, &target) != nil {
		return nil, len(b.Metadata)
	}
	to := Metadata{Attempt: -1}
	if target.Step != nil && *target.Step != "" {
		index := 0
		if target.Index != nil {
			index = *target.Index
		}
		to.Step = hashed(*target.Step, index)
	}
	if target.Attempt != nil {
		to.Attempt = *target.Attempt
	}
	if target.Span != nil {
		to.Span = *target.Span
	}
	return updates(b.Metadata, func(string) Metadata { return to })
}

// hashed is the hashed id of a step: SDKs send it, or the user's id.
func hashed(id string, index int) string {
	const sha1Hex = 40
	if len(id) == sha1Hex && strings.Trim(id, "0123456789abcdef") == "" {
		return id
	}
	return StepHash(id, index)
}

// opMetadata reads what an op of a step says beside its result.
func opMetadata(v jsontext.Value, step string) []Metadata {
	var all []jsontext.Value
	if v.Kind() != '[' || decode(v, &all) != nil {
		return nil
	}
	list, _ := updates(all, func(scope string) Metadata {
		if strings.EqualFold(scope, "run") {
			return Metadata{Attempt: -1}
		}
		return Metadata{Step: step, Attempt: -1}
	})
	return list
}

// updates reads changes; to is where one of a scope goes.
func updates(all []jsontext.Value, to func(scope string) Metadata) (list []Metadata, left int) {
	for _, v := range all {
		var u struct {
			Kind   string         `json:"kind"`
			Scope  string         `json:"scope"`
			Op     string         `json:"op"`
			Values jsontext.Value `json:"values"`
		}
		if len(list) == maxMetadata || decode(v, &u) != nil || u.Values.Kind() != '{' {
			left++
			continue
		}
		m := to(u.Scope)
		m.Kind, m.Op, m.Values = u.Kind, strings.ToLower(u.Op), u.Values
		if m.Op == "" {
			m.Op = "set"
		}
		list = append(list, m)
	}
	return list, left
}

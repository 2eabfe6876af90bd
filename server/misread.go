package server

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/pawlhq/pawl/internal/wire"
)

// misread says for a person why a body, or a member of it, cannot be decoded
// into what is wanted. The decoder's own words name types of this program.
func misread(body []byte, err error) string {
	const other = "the body is not the JSON object that is wanted here"
	bad, ok := wire.AsMismatch(err)
	if !ok {
		if wrong := wire.CheckJSON(body); wrong != nil {
			return other + ": " + wrong.Error()
		}
		return other
	}
	want := strings.Replace(bad.Want, "an object", "a JSON object", 1)
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return "nobody knows the member " + printable(bad.Member)
	case bad.Member == "" && want == "":
		return other
	case bad.Member == "":
		return "the body must be " + want
	case want == "":
		return printable(bad.Member) + " cannot be a JSON value of this kind"
	}
	return printable(bad.Member) + " must be " + want
}

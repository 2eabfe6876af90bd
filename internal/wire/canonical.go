package wire

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Canonical returns b in the one form that RFC 8785 gives it: sorted keys,
// shortest strings, numbers as JavaScript prints them. SDKs rebuild this form
// before they check a signature, so these are the bytes to sign and to send.
// An empty body stays empty. Numbers become IEEE doubles, and broken Unicode
// becomes U+FFFD: what comes out means the same to every SDK. It fails when b is
// not JSON or names a member twice. b itself is left alone.
func Canonical(b []byte) ([]byte, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	v, err := sound(b)
	if err != nil {
		return nil, err
	}
	return jsontext.AppendFormat(make([]byte, 0, len(v)), v,
		jsontext.CanonicalizeRawInts(true),
		jsontext.CanonicalizeRawFloats(true),
		jsontext.ReorderRawObjects(true))
}

// appendSorted writes v with sorted keys and shortest strings but every number
// as it was written, which is how events are kept.
func appendSorted(dst []byte, v jsontext.Value) ([]byte, error) {
	return jsontext.AppendFormat(dst, v, jsontext.ReorderRawObjects(true))
}

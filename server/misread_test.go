package server

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Refusals name what the caller sent, never a type of this program.
func TestMisreadBodies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct{ path, body, want string }{
		{"/v1/signals", `[]`, "the body must be a JSON object"},
		{"/v1/signals", `{"signal":7}`, "signal must be a string"},
		{"/v1/signals", `{"signal":`, "the body is not the JSON object that is wanted here: "},
		{"/v1/signals", `{"signal":"a","signal":"b"}`, "the body is not the JSON object that is wanted here: "},
		{"/v1/cancellations", `[]`, "the body must be a JSON object"},
		{"/v1/cancellations", `{"started_before":"tomorrow"}`, `started_before must be a time such as "2026-01-02T15:04:05Z"`},
		{"/v1/cancellations", `{"started_before":7}`, `started_before must be a time such as "2026-01-02T15:04:05Z"`},
		{"/v1/cancellations", `{"until":7}`, "nobody knows the member until"},
	} {
		got := wantRefusal(t, f.post(c.path, c.body), http.StatusBadRequest)
		require.Contains(t, got, c.want, c.body)
		for _, inner := range []string{"Go ", "server.", "json:", "jsontext"} {
			require.NotContains(t, got, inner, c.body)
		}
	}
}

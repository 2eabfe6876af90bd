package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSignalRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, tt := range []struct {
		name, body string
		status     int
		says       string
	}{
		{"row 62: nobody waits", `{"signal":"S1","data":1}`, http.StatusNotFound, "No signal found: nobody waits for S1"},
		{"no name", `{"data":1}`, http.StatusBadRequest, "signal is required"},
		{"an empty name", `{"signal":""}`, http.StatusBadRequest, "signal is required"},
		{"a long name", `{"signal":"` + strings.Repeat("x", 513) + `"}`, http.StatusBadRequest, "512 bytes"},
		{"a name that is no text", `{"signal":3}`, http.StatusBadRequest, "signal"},
		{"no JSON", `{"signal":`, http.StatusBadRequest, "JSON"},
		{"an array", `[]`, http.StatusBadRequest, "JSON object"},
		{"no UTF-8", "{\"signal\":\"\xff\"}", http.StatusBadRequest, "UTF-8"},
		{"deep", strings.Repeat("[", 2000), http.StatusBadRequest, "nest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, wantRefusal(t, f.post("/v1/signals", tt.body), tt.status), tt.says)
		})
	}
}

func TestInvokeOverHTTP(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.Contains(t, wantRefusal(t, f.post("/invoke/shop-nobody", `{}`), http.StatusNotFound), "there is no function shop-nobody")
	require.Contains(t, wantRefusal(t, f.post("/invoke/shop-x", ``), http.StatusBadRequest), "Unable to read")
	require.Contains(t, wantRefusal(t, f.post("/invoke/shop-x", `{"data":[]}`), http.StatusBadRequest), "data must be an object")
}

package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKeys shows who gets in when keys are set, and that a refusal is never a
// 403, which would make SDKs repeat the request with another key.
func TestKeys(t *testing.T) {
	p := startPawl(t, serve)
	unprefixed := strings.TrimPrefix(hashedKey, "signkey-test-")
	wrong := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name, method, path, bearer, body string
		status                           int
	}{
		{"row 119 no bearer", "GET", "/v1/runs", "", "", 401},
		{"row 119 wrong bearer", "GET", "/v1/runs", "signkey-test-" + wrong, "", 401},
		{"the raw key", "GET", "/v1/runs", signingKey, "", 200},
		{"the hashed key", "GET", "/v1/runs", hashedKey, "", 200},
		{"the hash without prefix", "GET", "/v1/runs", unprefixed, "", 200},
		{"a checkpoint without key", "POST", "/v1/checkpoint/01JFRUN0000000000000000001/async", "", "{}", 401},
		{"a checkpoint with a wrong key", "POST", "/v1/checkpoint/01JFRUN0000000000000000001/async", wrong, "{}", 401},
		{"a sync without key", "POST", "/fn/register", "undefined", "{}", 401},
		{"row 16 an unknown event key", "POST", "/e/nobody", "", `{"name":"a/b"}`, 401},
		{"the event key", "POST", "/e/" + eventKey, "", `{"name":"a/b"}`, 200},
		{"row 120 the dev probe", "GET", "/dev", "", "", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequest(tt.method, p.url+tt.path, strings.NewReader(tt.body))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/json")
			if tt.bearer != "" {
				req.Header.Set("Authorization", "Bearer "+tt.bearer)
			}
			res, err := httpClient.Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, tt.status, res.StatusCode)
		})
	}
}

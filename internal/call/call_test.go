package call

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/wire"
)

const (
	testKey  = "signkey-test-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	otherKey = "signkey-test-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

func key(t *testing.T, raw string) wire.Key {
	t.Helper()
	k, err := wire.ParseKey(raw)
	require.NoError(t, err)
	return k
}

// answering serves one answer to whatever comes.
func answering(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	front := httptest.NewServer(answer)
	t.Cleanup(front.Close)
	return front.URL + "/api/inngest"
}

func fromSDK(w http.ResponseWriter) {
	w.Header().Set(wire.HeaderSDK, "inngest-js:v4.24.0")
	w.Header().Set("Content-Type", "application/json")
}

func callTo(t *testing.T, u string) wire.Answer {
	t.Helper()
	c := New(Options{Key: key(t, testKey), PerHost: 4})
	t.Cleanup(c.Close)
	return c.Call(t.Context(), Request{URL: u, RunID: "r", Body: []byte(`{"steps":{}}`)})
}

// endless writes one byte for ever, or until its reader has gone, and counts.
func endless(w io.Writer, first string, counted *int) {
	if _, err := io.WriteString(w, first); err != nil {
		return
	}
	piece := bytes.Repeat([]byte("x"), 64<<10)
	for {
		n, err := w.Write(piece)
		*counted += n
		if err != nil {
			return
		}
	}
}

// TestBombs (S9): no answer of an app makes Pawl hold more than the limit of an
// answer, and nothing is unpacked.
func TestBombs(t *testing.T) {
	written := 0
	done := make(chan struct{})
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	require.NoError(t, err)
	zeros := make([]byte, 1<<20)
	for range 16 { // twice the limit
		_, _ = z.Write(zeros)
	}
	require.NoError(t, z.Close())
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		code   string
	}{
		{"gzip of a thousand to one", func(w http.ResponseWriter, r *http.Request) {
			fromSDK(w)
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		}, wire.CodeBadAnswer},
		{"an answer that does not end", func(w http.ResponseWriter, r *http.Request) {
			defer close(done)
			fromSDK(w)
			endless(w, `"`, &written)
		}, wire.CodeTooLarge},
		{"an answer that says it is a terabyte", func(w http.ResponseWriter, r *http.Request) {
			fromSDK(w)
			w.Header().Set("Content-Length", "1000000000000")
		}, wire.CodeTooLarge},
		{"a header of a megabyte", func(w http.ResponseWriter, r *http.Request) {
			fromSDK(w)
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		}, wire.CodeUnreachable},
		{"a million levels", func(w http.ResponseWriter, r *http.Request) {
			fromSDK(w)
			_, _ = io.WriteString(w, strings.Repeat("[", 1e6))
		}, wire.CodeBadAnswer},
		{"a million levels of ops", func(w http.ResponseWriter, r *http.Request) {
			fromSDK(w)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, strings.Repeat(`[{"data":`, 1e5))
		}, wire.CodeBadAnswer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a := callTo(t, answering(t, tt.answer))
			runtime.ReadMemStats(&after)
			require.Equal(t, wire.Failed, a.Kind)
			require.Equal(t, tt.code, a.Code, a.Err.Message)
			require.Less(t, len(a.Err.Message), 4<<10)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8*wire.MaxAnswerBytes), "bytes allocated")
		})
	}
	<-done
	require.Less(t, written, 4*wire.MaxAnswerBytes, "bytes that the app could write")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	secret := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		fromSDK(w)
		_, _ = io.WriteString(w, `"stolen"`)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		a := callTo(t, answering(t, func(w http.ResponseWriter, r *http.Request) {
			fromSDK(w)
			http.Redirect(w, r, secret, status)
		}))
		require.Equal(t, wire.Failed, a.Kind, "%d", status)
	}
	require.Empty(t, asked)
}

// TestSecretsOfURLsStayHere (S14): what goes wrong with an app is told without
// the password and the query of its URL.
func TestSecretsOfURLsStayHere(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	status := func(status int) string {
		return strings.TrimPrefix(answering(t, func(w http.ResponseWriter, _ *http.Request) {
			if status > 0 {
				fromSDK(w)
				w.WriteHeader(status)
				return
			}
			w.Header().Set("Content-Type", "text/html")
		}), "http://")
	}
	for name, rest := range map[string]string{
		"nobody listens":   closed.Addr().String() + "/api",
		"no such name":     "nowhere.invalid/api",
		"a bad port":       "localhost:99999/api",
		"a bad escape":     "localhost:1/%zz",
		"another scheme":   "localhost:1/\x01",
		"not an SDK":       status(0),
		"not found":        status(404),
		"the wrong key":    status(401),
		"the wrong mode":   status(403),
		"a broken app":     status(500),
		"an odd status":    status(204),
		"TLS without TLS":  "tls" + status(0),
		"in-band unsigned": status(200),
	} {
		u := "http://SECRETuser:SECRETpass@" + rest + "?token=SECRETtoken#SECRETfragment"
		if after, ok := strings.CutPrefix(rest, "tls"); ok {
			u = "https://SECRETuser:SECRETpass@" + after + "?token=SECRETtoken"
		}
		keys := &wire.Keyring{Current: key(t, testKey)}
		c := New(Options{Key: keys.Current, PerHost: 4})
		a := c.Call(t.Context(), Request{URL: u, RunID: "r", Body: []byte(`{}`)})
		require.NotContains(t, fmt.Sprintf("%+v %s", a, a.Err.Raw), "SECRET", name)
		_, err := c.Sync(t.Context(), u, keys)
		require.NotContains(t, fmt.Sprint(err), "SECRET", name)
		c.Close()
	}
}

const inBand = `{"app_id":"shop","functions":[],"sdk":"js:v4.24.0","url":"http://localhost:3000/api/inngest","framework":"nodejs"}`

// TestInBandSignature (S2): what an app registers in the answer to a sync counts
// only when it is signed, now, by a key that is trusted. Every refusal reads the
// same.
func TestInBandSignature(t *testing.T) {
	t.Parallel()
	current, previous, other := key(t, testKey), key(t, otherKey), key(t, "signkey-test-00ff")
	keys := &wire.Keyring{Current: current, Previous: []wire.Key{previous}}
	sign := func(k wire.Key, off time.Duration) string { return k.Sign(time.Now().Add(off), []byte(inBand)) }
	sync := func(t *testing.T, signature, body string) error {
		u := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			fromSDK(w)
			w.Header().Set(wire.HeaderSyncKind, wire.SyncInBand)
			if signature != "" {
				w.Header().Set(wire.HeaderSignature, signature)
			}
			_, _ = io.WriteString(w, body)
		})
		c := New(Options{Key: current, PerHost: 1})
		defer c.Close()
		reg, err := c.Sync(t.Context(), u, keys)
		if err != nil {
			return fmt.Errorf("%s", strings.ReplaceAll(err.Error(), u, "APP"))
		}
		require.Equal(t, "shop", reg.App)
		return nil
	}
	for _, tt := range []struct {
		name, signature, body string
		ok                    bool
	}{
		{"the current key", sign(current, 0), inBand, true},
		{"the newline that Go adds", sign(current, 0), inBand + "\n", true},
		{"the previous key", sign(previous, 0), inBand, true},
		{"295 s ago", sign(current, -295*time.Second), inBand, true},
		{"295 s ahead", sign(current, 295*time.Second), inBand, true},
		{"306 s ago", sign(current, -306*time.Second), inBand, false},
		{"306 s ahead", sign(current, 306*time.Second), inBand, false},
		{"another key", sign(other, 0), inBand, false},
		{"no signature", "", inBand, false},
		{"half a signature", sign(current, 0)[:40], inBand, false},
		{"another body", sign(current, 0), strings.Replace(inBand, "3000", "3001", 1), false},
		{"a body in other words", sign(current, 0), strings.Replace(inBand, `":"`, `": "`, 1), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := sync(t, tt.signature, tt.body)
			if tt.ok {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, "the signature of APP's answer is not accepted: its signing key differs from the server's")
		})
	}
}

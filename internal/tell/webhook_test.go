package tell

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

const someSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// A webhook gets what people are told, and no address that is not public is asked
// unless that is allowed; nor is its path shown.
func TestWebhook(t *testing.T) {
	t.Parallel()
	type request struct {
		line, body string
		header     http.Header
	}
	got, status := make(chan request, 10), make(chan int, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type"), string(body), r.Header}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(<-status)
	}))
	defer hook.Close()
	secret, err := ParseSecret(someSecret)
	require.NoError(t, err)
	open, err := NewWebhook(hook.URL+"/SECRET", secret, true)
	require.NoError(t, err)
	defer open.Close()
	status <- http.StatusNoContent
	require.NoError(t, open.Post(t.Context(), "", []byte(`{"text":"x"}`)))
	posted := <-got
	require.Equal(t, "POST /SECRET application/json", posted.line)
	require.Equal(t, `{"text":"x"}`, posted.body)
	receiver, err := standardwebhooks.NewWebhook(someSecret)
	require.NoError(t, err)
	require.NoError(t, receiver.Verify([]byte(posted.body), posted.header))
	require.Error(t, receiver.Verify([]byte(`{"text":"y"}`), posted.header))
	for _, code := range []int{http.StatusFound, http.StatusNotFound, http.StatusInternalServerError} {
		status <- code
		err := open.Post(t.Context(), "", []byte(`{}`))
		require.Error(t, err, code)
		require.NotContains(t, err.Error(), "SECRET")
		<-got
	}
	require.Empty(t, got, "no redirect is followed")

	guarded, err := NewWebhook(hook.URL+"/SECRET", nil, false)
	require.NoError(t, err)
	defer guarded.Close()
	err = guarded.Post(t.Context(), "", []byte(`{}`))
	require.ErrorContains(t, err, "is private")
	require.NotContains(t, err.Error(), "SECRET")
	require.Empty(t, got)
	for _, bad := range []string{"", "ftp://x", "nothing", "http://user:pass@x/"} {
		_, err := NewWebhook(bad, nil, true)
		require.Error(t, err, bad)
	}
}

// TestSignature: a message has one id, however often it is sent, and each time another signature.
func TestSignature(t *testing.T) {
	t.Parallel()
	secret, err := ParseSecret(someSecret)
	require.NoError(t, err)
	sign := func(message string, now int64) http.Header {
		header, err := secret.sign([]byte(message), time.Unix(now, 0))
		require.NoError(t, err)
		return header
	}
	const message = `{"text":"Pawl: shop-pay failed"}`
	first, again, other := sign(message, 1_800_000_000), sign(message, 1_800_000_060), sign(`{}`, 1_800_000_000)
	// As the specification's library for JavaScript signs it.
	require.Equal(t, "v1,YcKTKgKn+9f+YMP4cEq45AsUaRa2XSAYgBKEo/9+nms=", first.Get("Webhook-Signature"))
	require.Equal(t, "1800000000", first.Get("Webhook-Timestamp"))
	require.Equal(t, first.Get("Webhook-Id"), again.Get("Webhook-Id"))
	require.NotEqual(t, first.Get("Webhook-Signature"), again.Get("Webhook-Signature"))
	require.NotEqual(t, first.Get("Webhook-Id"), other.Get("Webhook-Id"))
	for _, bad := range []string{"", "whsec_", "whsec_c2hvcnQ=", someSecret[len("whsec_"):], "whsec_!"} {
		_, err := ParseSecret(bad)
		require.ErrorIs(t, err, ErrSecret, bad)
	}
}

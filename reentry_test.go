package pawl_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/pawltest"
)

// sights are what an endpoint sees of its request each time that it is called.
type sights struct {
	mu   sync.Mutex
	list []string
}

func (s *sights) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	return list
}

// routes serves an endpoint in several ways.
func routes(app *pawl.App, s *sights) http.Handler {
	e := app.Endpoint("look", func(w http.ResponseWriter, r *http.Request) {
		saw := fmt.Sprintf("%s %s, path %q (%q), query %q, pattern %q, id %q, rest %q, form %q, host is there: %v, type %q",
			r.Method, r.RequestURI, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.Pattern, r.PathValue("id"), r.PathValue("rest"), r.FormValue("f"),
			r.Host != "" && !strings.HasSuffix(r.Host, ".invalid"), r.Header.Get("Content-Type"))
		s.mu.Lock()
		s.list = append(s.list, saw)
		s.mu.Unlock()
		if err := pawl.Sleep(r.Context(), "nap", time.Millisecond); err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, r.PathValue("id"))
	})
	mux := http.NewServeMux()
	mux.Handle("POST /orders/{id}", e)
	mux.Handle("/files/{rest...}", e)
	mux.Handle("/strip/{id}/", http.StripPrefix("/strip", e))
	mux.Handle("/bare/", http.StripPrefix("/bare/", e))
	mux.Handle("/rewritten", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawQuery = "/elsewhere", "f=mine"
		e.ServeHTTP(w, r)
	}))
	return mux
}

var addresses = []string{
	"/orders/42", "/orders/4%2F2%20%e2%82%ac?f=x&f=y", "/orders/%ff?run=1&fnId=other", "/files/a/b%2Fc/d", "/strip/7/x%2Fy?f=1", "/bare/", "/bare/x", "/rewritten?f=yours",
}

// TestEndpointSeesItsRequest: an endpoint that is entered again sees the request as it
// was, whatever is in front of it: in this process, where it is entered directly, and
// on a server, which comes by the same way as the client.
func TestEndpointSeesItsRequest(t *testing.T) {
	t.Parallel()
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		app, s := newApp(), &sights{}
		mux := routes(app, s)
		pawltest.Run(t, app, func(t *testing.T, _ *pawltest.Pawl) {
			for _, at := range addresses {
				_, last := post(mux, app, at, "f=body", "Content-Type", "application/x-www-form-urlencoded")
				require.Equal(t, http.StatusOK, last.Code, "%s: %s", at, last.Body)
				saw := s.take()
				require.Len(t, saw, 2, at)
				require.Equal(t, saw[0], saw[1])
			}
		})
	})
	t.Run("on a server", func(t *testing.T) {
		t.Parallel()
		app, s := serverApp(t), &sights{}
		back := httptest.NewServer(routes(app, s))
		t.Cleanup(back.Close)
		for _, at := range addresses {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, back.URL+at, strings.NewReader("f=body"))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			res, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusOK, res.StatusCode, "%s: %s", at, body)
			saw := s.take()
			require.Len(t, saw, 2, at)
			require.Equal(t, saw[0], saw[1])
		}
	})
}

// TestEndpointKeyOutlivesRoute: a request with the key of an earlier one is the same
// request when the app has come to serve it in another way.
func TestEndpointKeyOutlivesRoute(t *testing.T) {
	t.Parallel()
	app := newApp()
	e := app.Endpoint("pay", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "paid") })
	old, renamed := http.NewServeMux(), http.NewServeMux()
	old.Handle("POST /orders/{id}", e)
	renamed.Handle("/orders/{order}", e)
	pawltest.Run(t, app, func(t *testing.T, _ *pawltest.Pawl) {
		for _, mux := range []http.Handler{old, renamed} {
			_, last := post(mux, app, "/orders/42", "", "Idempotency-Key", "k1")
			require.Equal(t, "paid", last.Body.String())
		}
	})
}

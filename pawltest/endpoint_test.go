package pawltest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/pawltest"
)

// asks makes a request with a key.
func asks(path string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("o1"))
	r.Header.Set("Idempotency-Key", "k1")
	return r
}

func textOf(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(b)
}

// barriers are what an endpoint can wait for.
var barriers = map[string]pawl.Ack{"each step": pawl.AckEachStep, "before the answer": pawl.AckBeforeRespond, "pipelined": pawl.Pipelined}

// TestEndpointSteps: mocks, failures and counts hold for an endpoint in the request of
// its client, and when it is entered again.
func TestEndpointSteps(t *testing.T) {
	t.Parallel()
	for name, ack := range barriers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := pawl.New("shop")
			e := app.Endpoint("pay", func(w http.ResponseWriter, r *http.Request) {
				first, err := pawl.Run(r.Context(), "charge", func(context.Context) (string, error) { return "real", nil })
				if err != nil {
					pawl.Error(w, err)
					return
				}
				if err := pawl.Sleep(r.Context(), "nap", time.Hour); err != nil {
					pawl.Error(w, err)
					return
				}
				second, err := pawl.Run(r.Context(), "mail", func(context.Context) (string, error) { return "real", nil })
				if err != nil {
					pawl.Error(w, err)
					return
				}
				w.WriteHeader(http.StatusCreated)
				fmt.Fprint(w, first, " ", second)
			}, ack)
			pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
				p.Mock("charge", func(try int) (any, error) { return fmt.Sprint("mock ", try), nil })
				p.Fail("charge", errors.New("no answer"), errors.New("none again"))
				p.Fail("mail", errors.New("no answer"))
				res := p.Ask(e, httptest.NewRequest(http.MethodPost, "/pay", nil))
				defer res.Body.Close()
				require.Equal(t, http.StatusCreated, res.StatusCode)
				require.Equal(t, "mock 3 real", textOf(t, res))
				require.Equal(t, 3, p.Bodies("charge"))
				require.Equal(t, 2, p.Bodies("mail"))
				run := res.Header.Get("X-Run-Id")
				require.Equal(t, pawl.Completed, p.Status(run))
				require.Len(t, p.Steps(run), 3)
			})
		})
	}
}

// TestEndpointAnswersAtOnce: Ask takes an answer of the handler's own for what it is,
// also when it sends its client elsewhere.
func TestEndpointAnswersAtOnce(t *testing.T) {
	t.Parallel()
	app := pawl.New("shop")
	e := app.Endpoint("go", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/x?run=1&token=2", http.StatusSeeOther)
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		res := p.Ask(e, asks("/go"))
		defer res.Body.Close()
		require.Equal(t, "/x?run=1&token=2", res.Header.Get("Location"))
		require.NotEmpty(t, res.Header.Get("X-Run-Id"))
	})
}

// TestEndpointCrashes (F-40, G11): wherever the process of an endpoint dies, the card is
// charged once, and the client gets the one answer.
func TestEndpointCrashes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ack   pawl.Ack
		rests bool // when it is entered again, the Ack makes no difference
	}{
		"each step":                      {pawl.AckEachStep, false},
		"before the answer":              {pawl.AckBeforeRespond, false},
		"before the answer, with a rest": {pawl.AckBeforeRespond, true},
		"pipelined":                      {pawl.Pipelined, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crashes := 0
			pawltest.CrashEverywhere(t, func(c *pawltest.Case) {
				charges, asked := map[string]int{}, 0
				app := pawl.New("shop")
				e := app.Endpoint("pay", func(w http.ResponseWriter, r *http.Request) {
					who, err := io.ReadAll(r.Body)
					if err != nil {
						pawl.Error(w, err)
						return
					}
					if err := pawl.Do(r.Context(), "look up", func(context.Context) error { return nil }); err != nil {
						pawl.Error(w, err)
						return
					}
					if tt.rests {
						if err := pawl.Sleep(r.Context(), "nap", time.Hour); err != nil {
							pawl.Error(w, err)
							return
						}
					}
					paid, err := pawl.Run(r.Context(), "charge", func(ctx context.Context) (string, error) {
						charges[pawl.Token(ctx)]++
						return "paid", nil
					}, pawl.Verify(func(ctx context.Context) (string, error) {
						asked++
						if charges[pawl.Token(ctx)] > 0 {
							return "paid", nil
						}
						return "", pawl.ErrNotDone
					}))
					if err != nil {
						pawl.Error(w, err)
						return
					}
					fmt.Fprintf(w, "%s has %s", who, paid)
				}, tt.ack)
				p := c.Open(app)
				res := p.Ask(e, asks("/pay"))
				defer res.Body.Close()
				c.Same("status", res.StatusCode)
				c.Same("answer", textOf(c.T(), res))
				p.Advance(2 * time.Hour)
				total := 0
				for _, n := range charges {
					total += n
				}
				c.Same("charges", total)
				if c.Crashed() {
					crashes++
				}
			})
			require.GreaterOrEqual(t, crashes, 6) // before and after: that it is there, that the step begins, the end
		})
	}
}

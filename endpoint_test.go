package pawl_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/pawltest"
)

// post asks a handler in this process, and follows it to where the answer is.
func post(h http.Handler, app *pawl.App, path, body string, header ...string) (first, last *httptest.ResponseRecorder) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	first = httptest.NewRecorder()
	h.ServeHTTP(first, r)
	if first.Code != http.StatusSeeOther {
		return first, first
	}
	last = httptest.NewRecorder()
	app.ServeHTTP(last, httptest.NewRequest(http.MethodGet, first.Header().Get("Location"), nil))
	return first, last
}

// TestEndpoint (F-21, G11): in each barrier a client gets the answer of a plain
// handler, and the run is kept with it.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	for name, ack := range map[string]pawl.Ack{"each step": pawl.AckEachStep, "before the answer": pawl.AckBeforeRespond, "pipelined": pawl.Pipelined} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := newApp()
			e := app.Endpoint("greet", func(w http.ResponseWriter, r *http.Request) {
				who, err := io.ReadAll(r.Body)
				if err != nil {
					pawl.Error(w, err)
					return
				}
				for i := range 3 {
					if err := pawl.Do(r.Context(), fmt.Sprint("step ", i), func(context.Context) error { return nil }); err != nil {
						pawl.Error(w, err)
						return
					}
				}
				w.Header().Add("X-Mood", "good")
				w.Header().Add("X-Mood", "sunny")
				w.WriteHeader(http.StatusCreated)
				fmt.Fprintf(w, "hello %s\n", who)
			}, ack)
			pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
				first, _ := post(e, app, "/greet?x=1", "you")
				require.Equal(t, http.StatusCreated, first.Code)
				require.Equal(t, "hello you\n", first.Body.String())
				require.Equal(t, []string{"good", "sunny"}, first.Header()["X-Mood"])
				p.Settle()
				if ack != pawl.Pipelined {
					run := first.Header().Get("X-Run-Id")
					require.Equal(t, pawl.Completed, p.Status(run))
					require.Len(t, p.Steps(run), 3)
				}
			})
		})
	}
}

// TestEndpointRests (F-26, F-30): a client is sent to where the answer comes, and
// gets it with its status and headers, over restarts.
func TestEndpointRests(t *testing.T) {
	t.Parallel()
	app := newApp()
	var bodies atomic.Int32
	decided := pawl.NewEvent[order]("shop/decided")
	e := app.Endpoint("approve", func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("id")
		err := pawl.Do(r.Context(), "ask", func(context.Context) error {
			if bodies.Add(1) == 1 {
				return errors.New("not now")
			}
			return nil
		})
		if err != nil {
			pawl.Error(w, err)
			return
		}
		d, err := pawl.WaitForEvent(r.Context(), "decision", decided, time.Hour, pawl.If(pawl.Where("id", id)))
		if err != nil {
			pawl.Error(w, err)
			return
		}
		w.Header().Set("X-Cents", fmt.Sprint(d.Cents))
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s costs %d", id, d.Cents)
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		answers := make(chan *httptest.ResponseRecorder, 1)
		go func() {
			_, last := post(e, app, "/approve", "id=o1", "Content-Type", "application/x-www-form-urlencoded")
			answers <- last
		}()
		p.Advance(10 * time.Minute)
		require.EqualValues(t, 2, bodies.Load())
		p.Send(decided.New(order{"o2", 1}), decided.New(order{"o1", 42}))
		last := <-answers
		require.Equal(t, http.StatusAccepted, last.Code, last.Body.String())
		require.Equal(t, "o1 costs 42", last.Body.String())
		require.Equal(t, "42", last.Header().Get("X-Cents"))
		require.EqualValues(t, 2, bodies.Load())
	})
}

// TestEndpointKey (G12, F-37, F-39): one key is one run, and stands for one request.
func TestEndpointKey(t *testing.T) {
	t.Parallel()
	app := newApp()
	var bodies atomic.Int32
	e := app.Endpoint("pay", func(w http.ResponseWriter, r *http.Request) {
		n, err := pawl.Run(r.Context(), "charge", func(context.Context) (int32, error) { return bodies.Add(1), nil })
		if err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "charge ", n)
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		for i := range 3 {
			first, last := post(e, app, "/pay", "5", "Idempotency-Key", "k1")
			require.Equal(t, "charge 1", last.Body.String())
			require.Equal(t, i > 0, first.Header().Get("Idempotency-Replayed") == "true")
		}
		first, _ := post(e, app, "/pay", "6", "Idempotency-Key", "k1")
		require.Equal(t, http.StatusUnprocessableEntity, first.Code)
		require.EqualValues(t, 1, bodies.Load())
	})
}

// TestEndpointResultIsPrivate: nobody reads an answer without its token.
func TestEndpointResultIsPrivate(t *testing.T) {
	t.Parallel()
	app := newApp()
	e := app.Endpoint("nap", func(w http.ResponseWriter, r *http.Request) {
		if err := pawl.Sleep(r.Context(), "nap", time.Hour); err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "rested")
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		r := httptest.NewRecorder()
		e.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/nap", nil))
		where := r.Header().Get("Location")
		p.Advance(time.Hour)
		for _, tt := range []struct {
			at   string
			code int
		}{{where, 200}, {where[:len(where)-1], 401}, {strings.Split(where, "&")[0], 401}} {
			w := httptest.NewRecorder()
			app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.at, nil))
			require.Equal(t, tt.code, w.Code, w.Body.String())
		}
	})
}

// TestEndpointServedAt: clients are sent to where the app is served.
func TestEndpointServedAt(t *testing.T) {
	t.Parallel()
	for served, want := range map[string]string{
		"":                                    "/api/inngest?run=",
		"http://shop.example.com":             "http://shop.example.com/api/inngest?run=",
		"https://shop.example.com/my/pawl":    "https://shop.example.com/my/pawl?run=",
		"https://shop.example.com:8443/pawl/": "https://shop.example.com:8443/pawl/?run=",
	} {
		t.Run(served, func(t *testing.T) {
			t.Parallel()
			app := pawl.New("shop", pawl.Logger(quietLog), pawl.ServedAt(served))
			e := app.Endpoint("nap", func(w http.ResponseWriter, r *http.Request) {
				if err := pawl.Sleep(r.Context(), "nap", time.Hour); err != nil {
					pawl.Error(w, err)
					return
				}
				fmt.Fprint(w, "rested")
			})
			pawltest.Run(t, app, func(t *testing.T, _ *pawltest.Pawl) {
				first, last := post(e, app, "/nap", "", "Idempotency-Key", "k1")
				require.True(t, strings.HasPrefix(first.Header().Get("Location"), want), first.Header())
				require.Equal(t, "rested", last.Body.String())
				first, last = post(e, app, "/nap", "", "Idempotency-Key", "k1")
				require.True(t, strings.HasPrefix(first.Header().Get("Location"), want), first.Header())
				require.Equal(t, "rested", last.Body.String())
				require.True(t, strings.HasPrefix(streamed(t, e, http.MethodPost, "/nap").next, want))
			})
		})
	}
}

// TestEndpointCountsTries: a step of an endpoint has the tries that it asks for, and
// knows which one it is, although the endpoint is entered anew for each.
func TestEndpointCountsTries(t *testing.T) {
	t.Parallel()
	app := newApp()
	var tries []int
	e := app.Endpoint("pay", func(w http.ResponseWriter, r *http.Request) {
		if err := pawl.Do(r.Context(), "look up", func(context.Context) error { return nil }); err != nil {
			pawl.Error(w, err)
			return
		}
		err := pawl.Do(r.Context(), "charge", func(ctx context.Context) error {
			tries = append(tries, pawl.Attempt(ctx))
			return errors.New("no answer")
		}, pawl.Retries(2), pawl.Constant(time.Second))
		var failed *pawl.StepError
		switch {
		case errors.As(err, &failed):
			w.WriteHeader(http.StatusPaymentRequired)
			fmt.Fprint(w, failed.Message)
		case err != nil:
			pawl.Error(w, err)
		}
	}, pawl.Retries(5))
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		answers := make(chan *httptest.ResponseRecorder, 1)
		go func() {
			_, last := post(e, app, "/pay", "")
			answers <- last
		}()
		p.Advance(time.Hour)
		last := <-answers
		require.Equal(t, http.StatusPaymentRequired, last.Code, last.Body.String())
		require.Equal(t, "no answer", last.Body.String())
		require.Equal(t, []int{1, 2, 3}, tries)
	})
}

// TestEndpointOfDeadProcess: an endpoint in this process is entered again as soon as
// the next process begins, which knows that the last one is dead.
func TestEndpointOfDeadProcess(t *testing.T) {
	t.Parallel()
	app := newApp()
	var bodies atomic.Int32
	var end chan struct{} // of the first process
	e := app.Endpoint("work", func(w http.ResponseWriter, r *http.Request) {
		err := pawl.Do(r.Context(), "work", func(context.Context) error {
			if bodies.Add(1) == 1 {
				<-end
			}
			return nil
		})
		if err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "done")
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		end = make(chan struct{})
		died := make(chan struct{})
		go func() {
			defer close(died)
			post(e, app, "/work", "", "Idempotency-Key", "k1")
		}()
		p.Settle()
		began := time.Now()
		p.Restart()
		_, last := post(e, app, "/work", "", "Idempotency-Key", "k1")
		require.Equal(t, "done", last.Body.String())
		require.Less(t, time.Since(began), time.Second, "it does not wait for a lease") // in virtual time
		close(end)
		<-died
	})
}

// TestEndpointEndsAsItRenews: a request whose end comes while its run is renewed is
// answered and saved like any other.
func TestEndpointEndsAsItRenews(t *testing.T) {
	t.Parallel()
	for _, ack := range []pawl.Ack{pawl.AckEachStep, pawl.AckBeforeRespond, pawl.Pipelined} {
		app := newApp()
		var bodies atomic.Int32
		e := app.Endpoint("work", func(w http.ResponseWriter, r *http.Request) {
			err := pawl.Do(r.Context(), "work", func(context.Context) error {
				bodies.Add(1)
				time.Sleep(time.Minute)
				return nil
			})
			if err != nil {
				pawl.Error(w, err)
				return
			}
			fmt.Fprint(w, "done")
		}, ack)
		pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
			const clients = 20
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					first, _ := post(e, app, "/work", "")
					require.Equal(t, "200 done", fmt.Sprint(first.Code, " ", first.Body))
				})
			}
			all.Wait()
			p.Advance(time.Hour)
			require.EqualValues(t, clients, bodies.Load())
		})
	}
}

// TestEndpointThatIsNotThere: a program without the endpoint does not answer in its
// place; the run waits for one that has it.
func TestEndpointThatIsNotThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.db")
	synctest.Test(t, func(t *testing.T) {
		nap := func(w http.ResponseWriter, r *http.Request) {
			if err := pawl.Sleep(r.Context(), "nap", time.Minute); err != nil {
				pawl.Error(w, err)
				return
			}
			fmt.Fprint(w, "rested")
		}
		app := newApp()
		e := openAt(t, path, app)
		w := httptest.NewRecorder()
		app.Endpoint("nap", nap).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/nap", nil))
		where := w.Header().Get("Location")
		require.NoError(t, e.Close(t.Context()))

		app = newApp()
		e = openAt(t, path, app)
		time.Sleep(2 * time.Minute)
		app.Endpoint("nap", nap)
		w = httptest.NewRecorder()
		app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, where, nil))
		require.Equal(t, "rested", w.Body.String())
		require.NoError(t, e.Close(t.Context()))
	})
}

// TestEndpointPanics: a panic is a failed try, whatever was written before, in the
// request of the client and in those of the engine.
func TestEndpointPanics(t *testing.T) {
	t.Parallel()
	always := func(int) bool { return true }
	for name, tt := range map[string]struct {
		retries int
		rests   bool // before it may panic
		panics  func(try int) bool
		with    any
		first   int // status of the first answer
		code    int
		body    string
		tries   int
	}{
		"the next try goes well":           {2, false, func(try int) bool { return try == 1 }, "boom", 303, 201, "answered", 2},
		"the next entry goes well":         {2, true, func(try int) bool { return try == 1 }, "boom", 303, 201, "answered", 2},
		"none goes well":                   {2, false, always, "boom", 303, 500, "boom", 3},
		"none goes well after a rest":      {2, true, always, "boom", 303, 500, "boom", 3},
		"there is one try":                 {0, false, always, "boom", 500, 500, "boom", 1},
		"there is one try after a rest":    {0, true, always, "boom", 303, 500, "boom", 1},
		"the handler aborts, and then not": {2, false, func(try int) bool { return try == 1 }, http.ErrAbortHandler, 303, 201, "answered", 2},
	} {
		for ack, barrier := range map[string]pawl.Ack{"each step": pawl.AckEachStep, "before the answer": pawl.AckBeforeRespond, "pipelined": pawl.Pipelined} {
			t.Run(name+"/"+ack, func(t *testing.T) {
				t.Parallel()
				app := newApp()
				tries, steps, run := 0, 0, ""
				e := app.Endpoint("e", func(w http.ResponseWriter, r *http.Request) {
					run = pawl.RunID(r.Context())
					if err := pawl.Do(r.Context(), "step", func(context.Context) error { steps++; return nil }); err != nil {
						pawl.Error(w, err)
						return
					}
					if tt.rests {
						if err := pawl.Sleep(r.Context(), "nap", time.Minute); err != nil {
							pawl.Error(w, err)
							return
						}
					}
					tries++
					w.WriteHeader(http.StatusCreated)
					if tt.panics(tries) {
						fmt.Fprint(w, "partial")
						panic(tt.with)
					}
					fmt.Fprint(w, "answered")
				}, barrier, pawl.Retries(tt.retries))
				pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
					first, last := post(e, app, "/e", "")
					require.Equal(t, tt.first, first.Code, first.Body.String())
					require.Equal(t, tt.code, last.Code, last.Body.String())
					require.Contains(t, last.Body.String(), tt.body)
					require.NotContains(t, last.Body.String(), "partial")
					require.Equal(t, tt.tries, tries)
					require.Equal(t, 1, steps)
					status := pawl.Completed
					if tt.code == http.StatusInternalServerError {
						status = pawl.Failed
					}
					require.Equal(t, status, p.Status(run))
				})
			})
		}
	}
}

// TestEndpointAnswerTooLarge: an answer over the limit is a failure, wherever it is
// given, and never a part of it.
func TestEndpointAnswerTooLarge(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		piece string
		code  int
		says  string
	}{
		"as much as may be": {strings.Repeat("x", 1<<20), 200, ""},
		"a byte more":       {strings.Repeat("x", 1<<20+1), 500, "more than 3145728 bytes"},
		"text of quotes":    {strings.Repeat(`"`, 1<<20), 500, "more than 4194304 bytes"},
		"no text":           {strings.Repeat("\xff", 1<<20), 500, "more than 4194304 bytes"},
	} {
		for rests, long := range map[string]bool{"at once": false, "after a rest": true} {
			t.Run(name+"/"+rests, func(t *testing.T) {
				t.Parallel()
				app := newApp()
				run, tries := "", 0
				e := app.Endpoint("e", func(w http.ResponseWriter, r *http.Request) {
					run = pawl.RunID(r.Context())
					if long {
						if err := pawl.Sleep(r.Context(), "nap", time.Minute); err != nil {
							pawl.Error(w, err)
							return
						}
					}
					tries++
					for range 3 {
						_, _ = io.WriteString(w, tt.piece) // the answer tells
					}
				}, pawl.Pipelined)
				pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
					_, last := post(e, app, "/e", "")
					require.Equal(t, tt.code, last.Code)
					require.Equal(t, 1, tries)
					p.Settle()
					if tt.code == http.StatusOK {
						require.Equal(t, 3*len(tt.piece), last.Body.Len())
						require.Equal(t, pawl.Completed, p.Status(run))
						return
					}
					require.Contains(t, last.Body.String(), tt.says)
					require.Less(t, last.Body.Len(), 1000)
					require.Equal(t, pawl.Failed, p.Status(run))
				})
			})
		}
	}
}

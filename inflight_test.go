package pawl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/pawltest"
	"github.com/pawlhq/pawl/server"
)

const inFlight = "Idempotency-In-Flight"

// whereBusy is where the answer of the run in flight is, as a request is told that
// was refused for it.
func whereBusy(t *testing.T, status int, header http.Header, body []byte) string {
	t.Helper()
	require.Equal(t, http.StatusConflict, status, "%s", body)
	var b struct {
		Code string
		Data struct {
			Run string `json:"run_id"`
			URL string `json:"url"`
		}
	}
	require.NoError(t, json.Unmarshal(body, &b))
	require.Equal(t, "idempotency_in_flight", b.Code)
	require.Equal(t, b.Data.Run, header.Get("X-Run-Id"))
	require.Equal(t, "true", header.Get("Idempotency-Replayed"))
	return b.Data.URL
}

// TestEndpointDuplicatesInFlight (F-37): of a hundred requests at once one is a run, whether
// it works or rests; the others do as they say.
func TestEndpointDuplicatesInFlight(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"", "attach", "wait", "reject"} {
		for _, rests := range []bool{false, true} {
			t.Run(fmt.Sprint(how, " ", rests), func(t *testing.T) {
				t.Parallel()
				app := newApp()
				var bodies atomic.Int32
				e := app.Endpoint("pay", func(w http.ResponseWriter, r *http.Request) {
					n, err := pawl.Run(r.Context(), "charge", func(context.Context) (int32, error) {
						if !rests {
							time.Sleep(time.Minute)
						}
						return bodies.Add(1), nil
					})
					if err == nil && rests {
						err = pawl.Sleep(r.Context(), "nap", time.Hour)
					}
					if err != nil {
						pawl.Error(w, err)
						return
					}
					fmt.Fprint(w, "charge ", n)
				})
				pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
					header := []string{"Idempotency-Key", "k1"}
					if how != "" {
						header = append(header, inFlight, how)
					}
					begin := time.Now()
					var all sync.WaitGroup
					var good, refused atomic.Int32
					for range 100 {
						all.Go(func() {
							first, last := post(e, app, "/pay", "5", header...)
							if last.Code == http.StatusOK {
								good.Add(1)
								require.Equal(t, "charge 1", last.Body.String())
								return
							}
							refused.Add(1)
							t.Log(time.Since(begin), first.Code, first.Body.String())
							require.Less(t, time.Since(begin), time.Second, "at once") // in virtual time
							w := httptest.NewRecorder()
							where := whereBusy(t, first.Code, first.Header(), first.Body.Bytes())
							app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, where, nil))
							require.Equal(t, "charge 1", w.Body.String())
						})
					}
					p.Advance(2 * time.Hour)
					all.Wait()
					require.EqualValues(t, 1, bodies.Load())
					if how == "reject" {
						require.Equal(t, [2]int32{1, 99}, [2]int32{good.Load(), refused.Load()})
					} else {
						require.EqualValues(t, 100, good.Load())
					}
					first, last := post(e, app, "/pay", "5", header...)
					require.Equal(t, http.StatusSeeOther, first.Code)
					require.Equal(t, "charge 1", last.Body.String(), "when nothing is in flight each gets what is stored")
					first, _ = post(e, app, "/pay", "6", header...)
					require.Equal(t, http.StatusUnprocessableEntity, first.Code)
				})
			})
		}
	}
}

// TestEndpointInFlightIsOneOfThree: what is none of them is refused, and nothing runs.
func TestEndpointInFlightIsOneOfThree(t *testing.T) {
	t.Parallel()
	app := newApp()
	e := app.Endpoint("pay", func(http.ResponseWriter, *http.Request) { t.Error("it ran") })
	pawltest.Run(t, app, func(t *testing.T, _ *pawltest.Pawl) {
		for _, how := range []string{"", "Wait", "join"} {
			first, _ := post(e, app, "/pay", "5", "Idempotency-Key", "k1", inFlight, how)
			require.Equal(t, http.StatusBadRequest, first.Code)
			require.Contains(t, first.Body.String(), "must be wait, attach or reject")
		}
	})
}

// TestEndpointStreamDuplicatesInFlight: who waits hears nothing of a stream before it
// has ended.
func TestEndpointStreamDuplicatesInFlight(t *testing.T) {
	t.Parallel()
	app := newApp()
	var goOn chan struct{}
	e := app.Endpoint("write", func(w http.ResponseWriter, r *http.Request) {
		slow := pawl.Sleep(r.Context(), "nap", time.Second) // what follows is streamed to the server
		if slow != nil {
			pawl.Error(w, slow)
			return
		}
		slow = pawl.Do(r.Context(), "write", func(ctx context.Context) error {
			if err := pawl.Stream(ctx).Send("so far"); err != nil {
				return err
			}
			<-goOn
			return nil
		})
		if slow != nil {
			pawl.Error(w, slow)
			return
		}
		fmt.Fprint(w, "done")
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		goOn = make(chan struct{})
		var all sync.WaitGroup
		ask := func(how string) *watched {
			w := &watched{w: httptest.NewRecorder()}
			all.Go(func() {
				r := httptest.NewRequest(http.MethodPost, "/write", nil)
				for name, value := range map[string]string{"Accept": "text/event-stream", "Idempotency-Key": "k1", inFlight: how} {
					r.Header.Set(name, value)
				}
				e.ServeHTTP(w, r)
				if where := w.Header().Get("Location"); where != "" {
					w.w = httptest.NewRecorder()
					r := httptest.NewRequest(http.MethodGet, where, nil)
					r.Header.Set("Accept", "text/event-stream")
					app.ServeHTTP(w, r)
				}
			})
			p.Settle()
			return w
		}
		ask("reject") // the first is nobody's repetition
		p.Advance(time.Minute)
		attached, waiting := ask("attach"), ask("wait")
		require.Contains(t, attached.flushed(), "so far")
		require.NotContains(t, waiting.flushed(), "so far")
		close(goOn)
		all.Wait()
		require.Equal(t, read(t, strings.NewReader(attached.flushed())), read(t, strings.NewReader(waiting.flushed())))
		require.Contains(t, waiting.flushed(), "done")
	})
}

// TestEndpointDuplicatesOfServer: the same with a server, over the network.
func TestEndpointDuplicatesOfServer(t *testing.T) {
	t.Parallel()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "pawl.db"), sqlite.Options{Durability: sqlite.None})
	require.NoError(t, err)
	eng, err := engine.Start(context.WithoutCancel(t.Context()), engine.Config{Store: st, Log: quietLog, Dev: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, eng.Close(context.Background())) })
	front := httptest.NewServer(server.New(eng, server.Config{Dev: true}))
	t.Cleanup(front.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	app := pawl.New("shop", pawl.Logger(quietLog), pawl.Dev(), pawl.ServedAt(""))
	_, err = pawl.Attach(t.Context(), front.URL, app)
	require.NoError(t, err)
	began, goOn := make(chan struct{}), make(chan struct{})
	pay := app.Endpoint("pay", func(w http.ResponseWriter, r *http.Request) {
		if err := pawl.Do(r.Context(), "charge", func(context.Context) error { close(began); <-goOn; return nil }); err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "paid")
	})
	back := &httptest.Server{Listener: listener, Config: &http.Server{Handler: pay}}
	back.Start()
	t.Cleanup(back.Close)
	ask := func(how string) (int, http.Header, []byte) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, back.URL+"/pay", strings.NewReader("5"))
		require.NoError(t, err)
		r.Header.Set("Idempotency-Key", "k1")
		r.Header.Set(inFlight, how)
		return fetch(t, r)
	}
	var first sync.WaitGroup
	first.Go(func() { ask("reject") })
	<-began
	status, header, body := ask("reject")
	where := whereBusy(t, status, header, body)
	close(goOn)
	first.Wait()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, where, nil)
	require.NoError(t, err)
	_, _, body = fetch(t, r)
	require.Equal(t, "paid", string(body))
	status, _, body = ask("reject")
	require.Equal(t, "200 paid", fmt.Sprint(status, " ", string(body)), "it has ended")
}

func fetch(t *testing.T, r *http.Request) (status int, header http.Header, body []byte) {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, res.Header, body
}

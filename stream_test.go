package pawl_test

import (
	"bufio"
	"context"
	"encoding/json"
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
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/store/sqlite"
	"github.com/pawlhq/pawl/pawltest"
	"github.com/pawlhq/pawl/server"
)

// heard is an event of a stream, in short: pieces by what they hold, marks by the
// kind of mark.
type heard struct {
	lines []string
	next  string // where it goes on
	body  string // of the answer
	code  int
}

// read reads a stream to its end.
func read(t *testing.T, from io.Reader) (h heard) {
	t.Helper()
	lines := bufio.NewScanner(from)
	name := ""
	for lines.Scan() {
		line := lines.Text()
		if v, ok := strings.CutPrefix(line, "event: "); ok {
			name = v
			continue
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var e struct {
			RunID    string          `json:"runId"`
			URL      string          `json:"url"`
			Data     json.RawMessage `json:"data"`
			Step     string          `json:"hashedStepId"`
			Status   string          `json:"status"`
			Response struct {
				Body       string            `json:"body"`
				StatusCode int               `json:"statusCode"`
				Headers    map[string]string `json:"headers"`
			} `json:"response"`
		}
		require.NoError(t, json.Unmarshal([]byte(data), &e), line)
		switch name {
		case "inngest.metadata":
			require.NotEmpty(t, e.RunID)
		case "inngest.redirect_info":
			h.next = e.URL
		case "inngest.stream":
			where := "step "
			if e.Step == "" {
				where = "outside "
			}
			h.lines = append(h.lines, where+string(e.Data))
		case "inngest.response":
			h.code, h.body = e.Response.StatusCode, e.Response.Body
			h.lines = append(h.lines, e.Status)
		default:
			h.lines = append(h.lines, strings.TrimPrefix(name, "inngest."))
		}
	}
	require.NoError(t, lines.Err())
	return h
}

// streamed asks for a stream in this process, and reads it to its end.
func streamed(t *testing.T, h http.Handler, method, path string) heard {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Accept", "text/event-stream")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
	return read(t, w.Body)
}

// writer is an endpoint that streams, whose second step fails at first.
func writer(app *pawl.App) http.Handler {
	return app.Endpoint("write", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if err := pawl.Stream(ctx).Send(map[string]int{"parts": 2}); err != nil {
			pawl.Error(w, err)
			return
		}
		for part := range 2 {
			err := pawl.Do(ctx, fmt.Sprint("part ", part), func(ctx context.Context) error {
				if _, err := fmt.Fprintf(pawl.Stream(ctx), "part %d", part); err != nil {
					return err
				}
				if part == 1 && pawl.Attempt(ctx) == 1 {
					return errors.New("the model is tired")
				}
				return nil
			}, pawl.Constant(time.Second))
			if err != nil {
				pawl.Error(w, err)
				return
			}
		}
		w.Header().Set("X-Mood", "good")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "all written")
	}, pawl.AckEachStep)
}

// TestEndpointStreams: a client reads what there is so far, is told what of it is
// void, reads on elsewhere when a step has to be tried again, and gets the answer.
func TestEndpointStreams(t *testing.T) {
	t.Parallel()
	app := newApp()
	e := writer(app)
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		first := streamed(t, e, http.MethodPost, "/write")
		require.Equal(t, []string{`outside {"parts":2}`, `step "part 0"`, "commit", `step "part 1"`, "rollback"}, first.lines)
		require.NotEmpty(t, first.next)
		readers := make(chan heard, 2)
		for range 2 {
			go func() { readers <- streamed(t, app, http.MethodGet, first.next) }()
		}
		p.Advance(time.Minute)
		// What is outside of steps the client had from the app already.
		want := []string{"rollback", `outside {"parts":2}`, `step "part 1"`, "commit", "succeeded"}
		for range 2 {
			got := <-readers
			require.Equal(t, want, got.lines)
			require.Equal(t, http.StatusCreated, got.code)
			require.Equal(t, "all written", got.body)
		}
		p.Restart()
		late := streamed(t, app, http.MethodGet, first.next)
		require.Equal(t, want[1:], late.lines, "who comes late gets what counts")
		require.Equal(t, "all written", late.body)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, first.next, nil))
		require.Equal(t, http.StatusCreated, w.Code, "who wants no stream gets the answer alone")
		require.Equal(t, "all written", w.Body.String())
	})
}

// TestStreamOfPanic: a panic is no answer: the stream goes on elsewhere while there are
// tries, and fails with the last.
func TestStreamOfPanic(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		retries     int
		first, next []string
		code        int
	}{
		"the next try goes well": {1, []string{`step "piece"`, "commit"}, []string{"succeeded"}, http.StatusOK},
		"there is one try":       {0, []string{`step "piece"`, "commit", "failed"}, nil, http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := newApp()
			calls := 0
			e := app.Endpoint("write", func(w http.ResponseWriter, r *http.Request) {
				err := pawl.Do(r.Context(), "write", func(ctx context.Context) error { return pawl.Stream(ctx).Send("piece") })
				if err != nil {
					pawl.Error(w, err)
					return
				}
				fmt.Fprint(w, "partial")
				if calls++; calls == 1 {
					panic("boom")
				}
			}, pawl.Retries(tt.retries))
			pawltest.Run(t, app, func(t *testing.T, _ *pawltest.Pawl) {
				got := streamed(t, e, http.MethodPost, "/write")
				require.Equal(t, tt.first, got.lines)
				if tt.next != nil {
					got = streamed(t, app, http.MethodGet, got.next)
					require.Equal(t, tt.next, got.lines)
				}
				require.Equal(t, tt.code, got.code, got.body)
			})
		})
	}
}

// watched is a client that looks at what it has got while the handler goes on.
type watched struct {
	mu  sync.Mutex
	w   *httptest.ResponseRecorder
	got string
}

func (l *watched) Header() http.Header    { return l.w.Header() }
func (l *watched) WriteHeader(status int) { l.w.WriteHeader(status) }

func (l *watched) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (l *watched) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = l.w.Body.String()
}

func (l *watched) flushed() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got
}

// TestEndpointStreamsAtOnce: a piece is with the client when Send returns.
func TestEndpointStreamsAtOnce(t *testing.T) {
	t.Parallel()
	for name, ack := range map[string]pawl.Ack{"each step": pawl.AckEachStep, "before the answer": pawl.AckBeforeRespond, "pipelined": pawl.Pipelined} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := newApp()
			w := &watched{w: httptest.NewRecorder()}
			e := app.Endpoint("write", func(out http.ResponseWriter, r *http.Request) {
				err := pawl.Do(r.Context(), "write", func(ctx context.Context) error {
					if err := pawl.Stream(ctx).Send("so far"); err != nil {
						return err
					}
					if !strings.Contains(w.flushed(), `"so far"`) {
						return pawl.Permanent(errors.New("it is not with the client"))
					}
					return nil
				})
				if err != nil {
					pawl.Error(out, err)
					return
				}
				fmt.Fprint(out, "done")
			}, ack)
			pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
				r := httptest.NewRequest(http.MethodPost, "/write", nil)
				r.Header.Set("Accept", "text/event-stream")
				e.ServeHTTP(w, r)
				got := read(t, strings.NewReader(w.flushed()))
				require.Equal(t, []string{`step "so far"`, "commit", "succeeded"}, got.lines)
				require.Equal(t, "done", got.body)
				require.Equal(t, pawl.Completed, p.Status(w.Header().Get("X-Run-Id")))
			})
		})
	}
}

// TestStreamOutlivesCrash: the process dies in the middle of a step; who reads on
// gets that step once more, and all of it.
func TestStreamOutlivesCrash(t *testing.T) {
	t.Parallel()
	app := newApp()
	var lives atomic.Int32
	var end chan struct{} // of the first process
	e := app.Endpoint("write", func(w http.ResponseWriter, r *http.Request) {
		err := pawl.Do(r.Context(), "write", func(ctx context.Context) error {
			life := lives.Add(1)
			out := pawl.Stream(ctx)
			if err := errors.Join(out.Send("one"), out.Send(life)); err != nil {
				return err
			}
			if life < 3 {
				select { // it dies here
				case <-ctx.Done():
				case <-end:
				}
				return errors.New("dead")
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
		w := &watched{w: httptest.NewRecorder()}
		var first sync.WaitGroup
		first.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/write", nil)
			r.Header.Set("Accept", "text/event-stream")
			e.ServeHTTP(w, r)
		})
		p.Settle()
		before := read(t, strings.NewReader(w.flushed()))
		require.Equal(t, []string{`step "one"`, "step 1"}, before.lines)
		p.Restart() // the endpoint is entered by the next process
		p.Settle()
		p.Restart()
		last := streamed(t, app, http.MethodGet, before.next)
		require.Equal(t, []string{`step "one"`, "step 3", "commit", "succeeded"}, last.lines)
		require.Equal(t, "done", last.body)
		close(end)
		first.Wait()
	})
}

// TestStreamOfServer: the same on a server, over the network.
func TestStreamOfServer(t *testing.T) {
	t.Parallel()
	app := serverApp(t)
	back := httptest.NewServer(writer(app))
	t.Cleanup(back.Close)
	ask := func(method, url string) heard {
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		require.NoError(t, err)
		r.Header.Set("Accept", "text/event-stream")
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		return read(t, res.Body)
	}
	first := ask(http.MethodPost, back.URL+"/write")
	require.Equal(t, []string{`outside {"parts":2}`, `step "part 0"`, "commit", `step "part 1"`, "rollback"}, first.lines)
	want := []string{`outside {"parts":2}`, `step "part 1"`, "commit", "succeeded"}
	rest := ask(http.MethodGet, first.next)
	require.Equal(t, append([]string{"rollback"}, want...), rest.lines)
	require.Equal(t, "all written", rest.body)
	require.Equal(t, http.StatusCreated, rest.code)
	late := ask(http.MethodGet, first.next)
	require.Equal(t, want, late.lines)
}

// serverApp is an app of a server that is reached over the network.
func serverApp(t *testing.T) *pawl.App {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "pawl.db"), sqlite.Options{Durability: sqlite.None})
	require.NoError(t, err)
	eng, err := engine.Start(context.WithoutCancel(t.Context()), engine.Config{Store: st, Log: quietLog, Dev: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, eng.Close(context.Background())) })
	front := httptest.NewServer(server.New(eng, server.Config{Dev: true}))
	t.Cleanup(front.Close)
	app := pawl.New("shop", pawl.Logger(quietLog), pawl.Dev(), pawl.ServedAt(""))
	_, err = pawl.Attach(t.Context(), front.URL, app)
	require.NoError(t, err)
	return app
}

// TestStreamText: characters that are cut are put together, and what is no endpoint
// is told so.
func TestStreamText(t *testing.T) {
	t.Parallel()
	app := newApp()
	e := app.Endpoint("write", func(_ http.ResponseWriter, r *http.Request) {
		out := pawl.Stream(r.Context())
		for _, b := range []byte("a€b") {
			if n, err := out.Write([]byte{b}); n != 1 || err != nil {
				t.Error(n, err)
			}
		}
	})
	pawltest.Run(t, app, func(t *testing.T, _ *pawltest.Pawl) {
		require.Equal(t, []string{`outside "a"`, `outside "€"`, `outside "b"`, "succeeded"}, streamed(t, e, http.MethodPost, "/write").lines)
	})
	require.ErrorIs(t, pawl.Stream(t.Context()).Send(1), pawl.ErrNoStream)
	_, err := pawl.Stream(t.Context()).Write([]byte("x"))
	require.ErrorIs(t, err, pawl.ErrNoStream)
}

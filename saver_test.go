package pawl

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/proto"
)

// slow is a server that takes a second for each report.
type slow struct {
	proto.Backend
	reports []int // how many ops each had
	ops     []string
}

func (s *slow) take(ctx context.Context, steps []byte) error {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	var ops []op
	if err := json.Unmarshal(steps, &ops); err != nil {
		return err
	}
	s.reports = append(s.reports, len(ops))
	for _, o := range ops {
		s.ops = append(s.ops, o.Op+" "+o.Name)
	}
	return nil
}

func (s *slow) Begin(ctx context.Context, b proto.Begin) (proto.Begun, error) {
	return proto.Begun{RunID: b.RunID}, s.take(ctx, b.Steps)
}

func (s *slow) ResultURL(string, proto.Begun) string { return "/result" }
func (s *slow) StreamURL(string, proto.Begun) string { return "/stream" }

func (s *slow) Report(ctx context.Context, _ proto.Begun, steps []byte, _ time.Duration) error {
	return s.take(ctx, steps)
}

// TestLateResultsAreSaved: a handler that returns while its results are on their
// way is answered for when they have arrived, and what waits goes together.
func TestLateResultsAreSaved(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		step    time.Duration
		reports []int
	}{
		"a quick one":             {0, []int{4}}, // all that it did, and its end
		"one that takes its time": {400 * time.Microsecond, []int{2, 2}},
		"a slow one":              {2 * time.Second, []int{0, 1, 1, 2}}, // that it is there, while the first step runs
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				app := New("shop", Logger(slog.New(slog.DiscardHandler)))
				s := &slow{}
				app.backend.Store(&backendBox{Backend: s})
				e := app.Endpoint("e", func(w http.ResponseWriter, r *http.Request) {
					for _, step := range []string{"a", "b", "c"} {
						if err := Do(r.Context(), step, func(context.Context) error { time.Sleep(tt.step); return nil }); err != nil {
							Error(w, err)
						}
					}
					w.WriteHeader(http.StatusCreated)
				})
				w := httptest.NewRecorder()
				e.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
				require.Equal(t, http.StatusCreated, w.Code)
				require.Equal(t, []string{"StepRun a", "StepRun b", "StepRun c", "RunComplete "}, s.ops)
				require.Equal(t, tt.reports, s.reports)
			})
		})
	}
}

// TestVerifyWaitsForDisk (F-40): whatever the Ack, that a step with Verify begins is on
// disk before it does, together with what was done before.
func TestVerifyWaitsForDisk(t *testing.T) {
	t.Parallel()
	for name, ack := range map[string]Ack{"each step": AckEachStep, "before the answer": AckBeforeRespond, "pipelined": Pipelined} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				app := New("shop", Logger(slog.New(slog.DiscardHandler)))
				s := &slow{}
				app.backend.Store(&backendBox{Backend: s})
				var before []string
				e := app.Endpoint("e", func(w http.ResponseWriter, r *http.Request) {
					write := func(ctx context.Context) error { return Stream(ctx).Send("a piece") }
					if err := Do(r.Context(), "write", write); err != nil {
						Error(w, err)
						return
					}
					charge := func(context.Context) (None, error) { before = slices.Clone(s.ops); return None{}, nil }
					_, err := Run(r.Context(), "charge", charge, Verify(func(context.Context) (None, error) { return None{}, ErrNotDone }))
					Error(w, err)
				}, ack)
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodPost, "/", nil)
				r.Header.Set("Accept", "text/event-stream")
				e.ServeHTTP(w, r)
				synctest.Wait()
				require.Equal(t, []string{"StepRun write", "StepRun charge: begun"}, before)
				require.Equal(t, 1, strings.Count(w.Body.String(), "event: inngest.commit"), w.Body.String())
				require.Contains(t, w.Body.String(), `"succeeded"`)
			})
		})
	}
}

func TestRunIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := newRunID()
		require.Len(t, id, 26)
		require.Empty(t, strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
		require.LessOrEqual(t, id[0], byte('7'))
		require.False(t, seen[id])
		seen[id] = true
	}
}

func TestCanonicalJSON(t *testing.T) {
	t.Parallel()
	// Source: the vector of spec/01 §4.4.
	got, err := canonicalJSON([]byte(`{"version":-1,"steps":{},"events":[],"event":{"name":"a","ts":1700000000000,"data":{"z":1.0,"a":1e21,"é":"ü"}},"ctx":{"run_id":"r","attempt":0}}`))
	require.NoError(t, err)
	require.Equal(t, `{"ctx":{"attempt":0,"run_id":"r"},"event":{"data":{"a":1e+21,"z":1,"é":"ü"},"name":"a","ts":1700000000000},"events":[],"steps":{},"version":-1}`, string(got))
	for in, want := range map[string]string{
		`[1e-7,0.000001,-0,123456789012345680000,5e-324]`: `[1e-7,0.000001,0,123456789012345680000,5e-324]`,
		`"\u0007\n\u20ac\/\\\""`:                          `"\u0007\n€/\\\""`,
		`{"\ud83d\ude00":1,"\ufb33":2}`:                   "{\"😀\":1,\"\ufb33\":2}",
		` `:                                               ``,
	} {
		got, err := canonicalJSON([]byte(in))
		require.NoError(t, err)
		require.Equal(t, want, string(got), in)
	}
}

// TestHTTPCarriesToken: what a step asks for can be told from its repetition.
func TestHTTPCarriesToken(t *testing.T) {
	t.Parallel()
	keys := make(chan string, 3)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { keys <- r.Header.Get("Idempotency-Key") }))
	defer s.Close()
	ctx := context.WithValue(t.Context(), stepKey{}, &running{token: "run.step"})
	for _, tt := range []struct{ method, own, want string }{{http.MethodPost, "", "run.step"}, {http.MethodPost, "mine", "mine"}, {http.MethodGet, "", ""}} {
		r, err := http.NewRequestWithContext(ctx, tt.method, s.URL, nil)
		require.NoError(t, err)
		if tt.own != "" {
			r.Header.Set("Idempotency-Key", tt.own)
		}
		res, err := HTTP(ctx).Do(r)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, tt.want, <-keys)
	}
}

package pawl_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
)

// report adds the median and the 99th percentile of what single things took, and
// what one raw fsync takes here.
func report(b *testing.B, took []time.Duration, unit string) {
	b.Helper()
	slices.Sort(took)
	at := func(p float64) float64 {
		return float64(took[min(int(p*float64(len(took))), len(took)-1)].Microseconds()) / 1000
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit+"/s")
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(rawSync(b), "fsync-ms")
}

// rawSync is the median time of an fsync after a page was written, in ms.
func rawSync(b *testing.B) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	require.NoError(b, err)
	defer f.Close()
	var took []time.Duration
	page := make([]byte, 4096)
	for range 50 {
		_, err := f.Write(page)
		require.NoError(b, err)
		began := time.Now()
		require.NoError(b, f.Sync())
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return float64(took[len(took)/2].Microseconds()) / 1000
}

func benchmarkEngine(b *testing.B, app *pawl.App) {
	b.Helper()
	e, err := engine.Open(b.Context(), filepath.Join(b.TempDir(), "bench.db"), app, engine.WithLogger(quietLog))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, e.Close(context.WithoutCancel(b.Context()))) })
}

// BenchmarkRun accepts a run, takes it through three steps, and hands its result
// to whoever waits, on disk each time.
func BenchmarkRun(b *testing.B) {
	for _, inFlight := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(inFlight), func(b *testing.B) {
			app := newApp()
			f := pawl.Func(app, "f", func(ctx context.Context, o order) (string, error) {
				for _, step := range []string{"a", "b", "c"} {
					if err := pawl.Do(ctx, step, func(context.Context) error { return nil }); err != nil {
						return "", err
					}
				}
				return o.ID, nil
			})
			benchmarkEngine(b, app)
			var mu sync.Mutex
			var took []time.Duration
			var wait sync.WaitGroup
			slots := make(chan struct{}, inFlight)
			b.ResetTimer()
			for b.Loop() {
				slots <- struct{}{}
				wait.Go(func() {
					defer func() { <-slots }()
					began := time.Now()
					if _, err := f.Call(b.Context(), order{ID: "o1"}); err != nil {
						b.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					took = append(took, time.Since(began))
				})
			}
			wait.Wait()
			report(b, took, "runs")
		})
	}
}

// BenchmarkEndpoint is a handler of three steps that do nothing, in each barrier,
// beside the same handler without Pawl.
func BenchmarkEndpoint(b *testing.B) {
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
	durable := func(w http.ResponseWriter, r *http.Request) {
		for _, step := range []string{"a", "b", "c"} {
			if err := pawl.Do(r.Context(), step, func(context.Context) error { return nil }); err != nil {
				pawl.Error(w, err)
				return
			}
		}
		answer(w, r)
	}
	ask := func(b *testing.B, h http.Handler) {
		var took []time.Duration
		b.ResetTimer()
		for b.Loop() {
			began := time.Now()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
			took = append(took, time.Since(began))
			if w.Code != http.StatusOK {
				b.Fatal(w.Body.String())
			}
		}
		report(b, took, "requests")
	}
	b.Run("plain", func(b *testing.B) { ask(b, http.HandlerFunc(answer)) })
	for _, mode := range []struct {
		name string
		ack  pawl.Ack
	}{{"each-step", pawl.AckEachStep}, {"before-respond", pawl.AckBeforeRespond}, {"pipelined", pawl.Pipelined}} {
		b.Run(mode.name, func(b *testing.B) {
			app := newApp()
			e := app.Endpoint("e", durable, mode.ack)
			benchmarkEngine(b, app)
			ask(b, e)
		})
	}
}

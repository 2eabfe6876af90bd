package pawl_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/pawltest"
)

// TestDeadlineOfTheFunction: a step that the function has given up is given up
// whenever the function is called: it never goes both ways.
func TestDeadlineOfTheFunction(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		patience time.Duration
		slow     int
	}{
		"in the middle":       {time.Second, 1},
		"before it has begun": {-time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := tt.patience
			run(t, 4, func(ctx context.Context) (string, error) {
				hasty, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				s, err := pawl.Run(hasty, "slow", func(ctx context.Context) (string, error) {
					patience = time.Hour // it would succeed from now on
					select {
					case <-ctx.Done():
						return "", ctx.Err()
					case <-time.After(time.Minute):
						return "slow", nil
					}
				})
				patience = time.Hour
				if errors.Is(err, context.DeadlineExceeded) {
					s, err = pawl.Run(ctx, "fallback", func(context.Context) (string, error) { return "fallback", nil })
				}
				if err != nil {
					return "", err
				}
				return s, pawl.Sleep(ctx, "rest", time.Hour)
			}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
				p.Advance(time.Minute)
				p.Restart()
				out, err := r.Result()
				require.NoError(t, err)
				require.Equal(t, "fallback", out)
				require.Equal(t, tt.slow, p.Bodies("slow"))
				require.Equal(t, 1, p.Bodies("fallback"))
				require.Equal(t, []pawltest.State{pawltest.Failed, pawltest.Done, pawltest.Done}, states(r.Steps()))
			})
		})
	}
}

// TestGroupGivesUp: when one goroutine of a group fails, the steps of the others
// have been given up for good.
func TestGroupGivesUp(t *testing.T) {
	t.Parallel()
	run(t, 0, func(ctx context.Context) (bool, error) {
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() error {
			return pawl.Do(gctx, "bad", func(context.Context) error { return errors.New("declined") })
		})
		var other error
		g.Go(func() error {
			<-gctx.Done()
			other = pawl.Do(gctx, "other", nothing)
			return other
		})
		if err := g.Wait(); errors.Is(err, pawl.ErrRest) || errors.Is(other, pawl.ErrRest) {
			return false, errors.Join(err, other)
		}
		if err := pawl.Sleep(ctx, "rest", time.Hour); err != nil {
			return false, err
		}
		return errors.Is(other, context.Canceled), nil
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[bool]) {
		p.Restart()
		cancelled, err := r.Result()
		require.NoError(t, err)
		require.True(t, cancelled)
		require.Equal(t, 0, p.Bodies("other"))
	})
}

// TestRestEndsNoStep: a program that ends the context of all branches when one of
// them rests has not given the others up.
func TestRestEndsNoStep(t *testing.T) {
	t.Parallel()
	cutOff := 0
	run(t, 0, func(ctx context.Context) (int, error) {
		shared, cancel := context.WithCancel(ctx)
		defer cancel()
		began := make(chan struct{})
		return 1, pawl.Parallel(shared,
			func(ctx context.Context) error {
				return pawl.Do(ctx, "work", func(ctx context.Context) error {
					if cutOff++; cutOff > 1 {
						return nil
					}
					close(began)
					<-ctx.Done()
					return ctx.Err()
				})
			},
			func(ctx context.Context) error {
				if err := pawl.Do(ctx, "before", func(context.Context) error { <-began; return nil }); err != nil {
					return err
				}
				err := pawl.Sleep(ctx, "rest", time.Hour)
				if err != nil {
					cancel()
				}
				return err
			},
		)
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[int]) {
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, 1, out)
		require.Equal(t, 2, cutOff)
	})
}

// TestGivenUpIsAskedFor: a step with Verify that has been given up may have
// happened.
func TestGivenUpIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		verify error
		want   error
	}{
		"it happened":    {nil, nil},
		"it did not":     {pawl.ErrNotDone, context.DeadlineExceeded},
		"nobody can say": {errors.New("the bank is away"), pawl.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, 4, func(ctx context.Context) (bool, error) {
				hasty, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				err := pawl.Do(hasty, "charge", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
					pawl.Verify(func(ctx context.Context) (pawl.None, error) {
						if err := ctx.Err(); err != nil {
							return pawl.None{}, err
						}
						return pawl.None{}, tt.verify
					}))
				if errors.Is(err, pawl.ErrRest) {
					return false, err
				}
				return errors.Is(err, tt.want), nil
			}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[bool]) {
				right, err := r.Result()
				require.NoError(t, err)
				require.True(t, right)
				require.Equal(t, 1, p.Bodies("charge"))
			})
		})
	}
}

// TestExit: code that ends its goroutine is tried again, like one that panics, and
// holds up neither its run nor the end of the engine.
func TestExit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp()
		var mu sync.Mutex
		tries := map[string]int{}
		exits := func(name string) {
			mu.Lock()
			defer mu.Unlock()
			if tries[name]++; tries[name] == 1 {
				runtime.Goexit()
			}
		}
		f := pawl.Func(app, "f", func(ctx context.Context, _ order) (string, error) {
			exits("function")
			err := pawl.Do(ctx, "step", func(context.Context) error { exits("step"); return nil })
			if err != nil {
				return "", err
			}
			return "done", pawl.Parallel(ctx,
				func(ctx context.Context) error {
					return pawl.Do(ctx, "inner", func(context.Context) error { exits("inner"); return nil })
				},
				func(context.Context) error { exits("branch"); return nil },
			)
		}, pawl.Constant(time.Second))
		e, err := engine.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), app, engine.WithLogger(quietLog))
		require.NoError(t, err)
		out, err := f.Call(t.Context(), order{})
		require.NoError(t, err)
		require.Equal(t, "done", out)
		require.Equal(t, 2, tries["step"])
		require.Equal(t, 2, tries["inner"])
		began := time.Now()
		require.NoError(t, e.Close(t.Context()))
		require.Less(t, time.Since(began), time.Second)
	})
}

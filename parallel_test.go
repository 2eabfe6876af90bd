package pawl_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/pawltest"
)

func nothing(context.Context) error { return nil }

// fails is a body that fails n times, and notes when it is tried, and as which try.
func fails(n int, at *[]time.Duration, tries *[]int) func(context.Context) error {
	var began time.Time
	return func(ctx context.Context) error {
		if began.IsZero() {
			began = time.Now()
		}
		*at, *tries = append(*at, time.Since(began).Truncate(time.Second)), append(*tries, pawl.Attempt(ctx))
		if len(*tries) <= n {
			return errors.New("no luck")
		}
		return nil
	}
}

// TestRetryHoldsUpNoBranch: while a step waits for its next try, other branches
// wait for events, sleep, and go on.
func TestRetryHoldsUpNoBranch(t *testing.T) {
	t.Parallel()
	paid := pawl.NewEvent[order]("shop/paid")
	var at []time.Duration
	var tries []int
	body := fails(1, &at, &tries)
	run(t, 4, func(ctx context.Context) (int, error) {
		var got order
		err := pawl.Parallel(ctx,
			func(ctx context.Context) error { return pawl.Do(ctx, "flaky", body, pawl.Constant(time.Hour)) },
			func(ctx context.Context) (err error) {
				if err := pawl.Do(ctx, "prepare", nothing); err != nil {
					return err
				}
				got, err = pawl.WaitForEvent(ctx, "payment", paid, 24*time.Hour)
				return err
			},
			func(ctx context.Context) error {
				for i := range 3 {
					if err := pawl.Do(ctx, fmt.Sprint("work ", i), nothing); err != nil {
						return err
					}
					if err := pawl.Sleep(ctx, fmt.Sprint("nap ", i), time.Minute); err != nil {
						return err
					}
				}
				return pawl.Do(ctx, "awake", nothing)
			},
		)
		return got.Cents, err
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[int]) {
		began := time.Now()
		p.Restart()
		p.Advance(10 * time.Minute)
		require.Equal(t, 1, p.Bodies("awake"))
		p.Send(paid.New(order{Cents: 7}))
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, 7, out)
		require.Equal(t, []time.Duration{0, time.Hour}, at)
		require.Equal(t, []int{1, 2}, tries)
		require.Less(t, time.Since(began), 61*time.Minute)
		for _, step := range []string{"prepare", "work 0", "work 1", "work 2", "awake"} {
			require.Equal(t, 1, p.Bodies(step), step)
		}
	})
}

// TestBranchesHaveTheirTries: a step has its own tries and pauses, whatever
// succeeds or fails beside it.
func TestBranchesHaveTheirTries(t *testing.T) {
	t.Parallel()
	var fastAt, slowAt []time.Duration
	var fast, slow []int
	fastBody, slowBody := fails(9, &fastAt, &fast), fails(9, &slowAt, &slow)
	run(t, 2, func(ctx context.Context) (int, error) {
		return 0, pawl.Parallel(ctx,
			func(ctx context.Context) error { return pawl.Do(ctx, "fast", fastBody, pawl.Constant(time.Minute)) },
			func(ctx context.Context) error { return pawl.Do(ctx, "slow", slowBody, pawl.Constant(time.Hour)) },
			func(ctx context.Context) error {
				for i := range 15 {
					if err := pawl.Do(ctx, fmt.Sprint("work ", i), nothing); err != nil {
						return err
					}
					if err := pawl.Sleep(ctx, fmt.Sprint("nap ", i), 10*time.Second); err != nil {
						return err
					}
				}
				return nil
			},
		)
	}, func(t *testing.T, _ *pawltest.Pawl, r *pawltest.Started[int]) {
		_, err := r.Result()
		require.ErrorContains(t, err, "no luck")
		require.Equal(t, []int{1, 2, 3}, fast)
		require.Equal(t, []int{1, 2, 3}, slow)
		require.Equal(t, []time.Duration{0, time.Minute, 2 * time.Minute}, fastAt)
		require.Equal(t, []time.Duration{0, time.Hour, 2 * time.Hour}, slowAt)
	})
}

// TestBranchGoesOnFromAFailure: what a branch does about a step that has failed
// for good does not wait for the others.
func TestBranchGoesOnFromAFailure(t *testing.T) {
	t.Parallel()
	worked := make(chan struct{})
	run(t, 0, func(ctx context.Context) (int, error) {
		return 0, pawl.Parallel(ctx,
			func(ctx context.Context) error {
				err := pawl.Do(ctx, "pay", func(context.Context) error {
					<-worked
					return errors.New("declined")
				})
				if _, failed := errors.AsType[*pawl.StepError](err); failed {
					return pawl.Do(ctx, "apologize", nothing)
				}
				return err
			},
			func(ctx context.Context) error {
				err := pawl.Do(ctx, "work", func(context.Context) error { close(worked); return nil })
				if err != nil {
					return err
				}
				return pawl.Sleep(ctx, "nap", 24*time.Hour)
			},
		)
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[int]) {
		p.Advance(time.Minute)
		require.Equal(t, 1, p.Bodies("apologize"))
		_, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, 1, p.Bodies("apologize"))
	})
}

// TestGoroutinesHaveTheirTries: so it is for steps of plain goroutines.
func TestGoroutinesHaveTheirTries(t *testing.T) {
	t.Parallel()
	var at [3][]time.Duration
	var tries [3][]int
	var bodies [3]func(context.Context) error
	for i := range bodies {
		bodies[i] = fails(i, &at[i], &tries[i])
	}
	run(t, 2, func(ctx context.Context) (int, error) {
		g, ctx := errgroup.WithContext(ctx)
		for i := range bodies {
			g.Go(func() error {
				return pawl.Do(ctx, fmt.Sprint("step ", i), bodies[i], pawl.Constant(time.Duration(i+1)*time.Minute))
			})
		}
		return 1, g.Wait()
	}, func(t *testing.T, _ *pawltest.Pawl, r *pawltest.Started[int]) {
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, 1, out)
		require.Equal(t, [3][]int{{1}, {1, 2}, {1, 2, 3}}, tries)
	})
}

// TestStepHasItsTries: what the function failed at before is no try of a step.
func TestStepHasItsTries(t *testing.T) {
	t.Parallel()
	var at []time.Duration
	var tries []int
	body := fails(2, &at, &tries)
	entered := 0
	run(t, 2, func(ctx context.Context) (int, error) {
		if entered++; entered <= 2 {
			return 0, errors.New("the database is away")
		}
		return 1, pawl.Do(ctx, "flaky", body)
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[int]) {
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, 1, out)
		require.Equal(t, []int{1, 2, 3}, tries)
		require.Equal(t, 3, r.Steps()[0].Tries)
	})
}

// TestNamesInTurn: branches that run one after the other may use the same names.
func TestNamesInTurn(t *testing.T) {
	t.Parallel()
	pair := func(ctx context.Context, inner func(context.Context) error) error {
		return pawl.Parallel(ctx,
			func(ctx context.Context) error {
				if err := pawl.Do(ctx, "x", nothing); err != nil {
					return err
				}
				return inner(ctx)
			},
			func(ctx context.Context) error { return pawl.Sleep(ctx, "y", time.Minute) },
		)
	}
	run(t, 0, func(ctx context.Context) (int, error) {
		for i := range 3 {
			if err := pair(ctx, func(ctx context.Context) error {
				return pawl.Parallel(ctx,
					func(ctx context.Context) error { return pawl.Do(ctx, "z", nothing) },
					func(ctx context.Context) error { return pawl.Sleep(ctx, fmt.Sprint("deep ", i), time.Second) },
				)
			}); err != nil {
				return 0, err
			}
			if err := pawl.Do(ctx, "x", nothing); err != nil {
				return 0, err
			}
		}
		return 3, pair(ctx, nothing)
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[int]) {
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, 3, out)
		require.Equal(t, 7, p.Bodies("x"))
		require.Equal(t, 3, p.Bodies("z"))
	})
}

package pawl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/pawltest"
)

type order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

var placed = pawl.NewEvent[order]("shop/order.placed")

var quietLog = slog.New(slog.DiscardHandler)

func newApp() *pawl.App { return pawl.New("shop", pawl.Logger(quietLog)) }

// run is one run of a function with body, which has retries.
func run[Out any](t *testing.T, retries int, body func(context.Context) (Out, error), test func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[Out])) {
	t.Helper()
	app := newApp()
	f := pawl.Func(app, "f", func(ctx context.Context, _ order) (Out, error) { return body(ctx) }, pawl.On(placed), pawl.Retries(retries))
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		test(t, p, pawltest.Start(p, f, order{ID: "o1"}))
	})
}

func TestStepsRunOnce(t *testing.T) {
	t.Parallel()
	var entered, a, b atomic.Int32
	run(t, 3, func(ctx context.Context) (int, error) {
		entered.Add(1)
		x, err := pawl.Run(ctx, "a", func(context.Context) (int, error) { a.Add(1); return 20, nil })
		if err != nil {
			return 0, err
		}
		if err := pawl.Sleep(ctx, "rest", 40*24*time.Hour); err != nil {
			return 0, err
		}
		y, err := pawl.Run(ctx, "b", func(context.Context) (int, error) { b.Add(1); return 22, nil })
		return x + y, err
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[int]) {
		began := time.Now()
		require.Equal(t, pawl.Running, r.Status())
		p.Restart()
		p.Advance(40*24*time.Hour - time.Second)
		require.Equal(t, pawl.Running, r.Status())
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, 42, out)
		require.GreaterOrEqual(t, time.Since(began), 40*24*time.Hour)
		require.EqualValues(t, []int32{2, 1, 1}, []int32{entered.Load(), a.Load(), b.Load()})
		require.Equal(t, []pawltest.State{pawltest.Done, pawltest.Done, pawltest.Done}, states(r.Steps()))
	})
}

func states(steps []pawltest.Step) (list []pawltest.State) {
	for _, s := range steps {
		list = append(list, s.State)
	}
	return list
}

func TestStepIsTriedAgain(t *testing.T) {
	t.Parallel()
	var tokens []string
	var at []time.Time
	run(t, 3, func(ctx context.Context) (string, error) {
		return pawl.Run(ctx, "flaky", func(ctx context.Context) (string, error) {
			tokens, at = append(tokens, pawl.Token(ctx)), append(at, time.Now())
			if pawl.Attempt(ctx) < 4 {
				return "", errors.New("not yet")
			}
			return "ok", nil
		}, pawl.Exponential(time.Second, time.Minute))
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, "ok", out)
		require.Len(t, tokens, 4)
		for i := 1; i < 4; i++ {
			require.Equal(t, tokens[0], tokens[i])
			require.GreaterOrEqual(t, at[i].Sub(at[i-1]), time.Second<<(i-1))
			require.Less(t, at[i].Sub(at[i-1]), time.Second<<(i-1)+500*time.Millisecond)
		}
		require.Equal(t, 4, r.Steps()[0].Tries)
	})
}

type declined struct{}

func (declined) Error() string { return "the card was declined" }

// TestErrorsDecide (F-41): an error that cannot be mended uses up no tries, and
// what the function sees is the same whenever it is called.
func TestErrorsDecide(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err     error
		options []pawl.StepOption
		tries   int
		kind    string
	}{
		"the usual":       {errors.New("no luck"), nil, 3, "Error"},
		"permanent":       {pawl.Permanent(errors.New("no luck")), nil, 1, "Error"},
		"fewer retries":   {errors.New("no luck"), []pawl.StepOption{pawl.Retries(1)}, 2, "Error"},
		"a type":          {fmt.Errorf("pay: %w", declined{}), nil, 3, "declined"},
		"a timeout":       {context.DeadlineExceeded, nil, 3, "Timeout"},
		"the user's rule": {declined{}, []pawl.StepOption{pawl.Classify(failDeclined)}, 1, "declined"},
		"another error":   {errors.New("no luck"), []pawl.StepOption{pawl.Classify(failDeclined)}, 3, "Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen []error
			run(t, 2, func(ctx context.Context) (string, error) {
				err := pawl.Do(ctx, "pay", func(context.Context) error { return tt.err }, tt.options...)
				if failed, ok := errors.AsType[*pawl.StepError](err); ok {
					seen = append(seen, err)
					if err := pawl.Sleep(ctx, "think", time.Hour); err != nil {
						return "", err
					}
					return failed.Name + ": " + failed.Message, nil
				}
				return "", err
			}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
				out, err := r.Result()
				require.NoError(t, err)
				require.Equal(t, tt.kind+": "+tt.err.Error(), out)
				require.Equal(t, tt.tries, p.Bodies("pay"))
				require.Equal(t, pawltest.Failed, r.Steps()[0].State)
				require.Len(t, seen, 2)
				require.Equal(t, seen[0], seen[1])
			})
		})
	}
}

func failDeclined(err error) pawl.Verdict {
	if _, ok := errors.AsType[declined](err); ok {
		return pawl.Fail
	}
	return pawl.Undecided
}

// TestResultThatIsNoJSON: trying again cannot mend that.
func TestResultThatIsNoJSON(t *testing.T) {
	t.Parallel()
	tries := 0
	run(t, 3, func(context.Context) (float64, error) { tries++; return math.NaN(), nil },
		func(t *testing.T, _ *pawltest.Pawl, r *pawltest.Started[float64]) {
			_, err := r.Result()
			require.ErrorContains(t, err, "cannot be written as JSON")
			require.Equal(t, 1, tries)
		})
}

func TestFunctionIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err   error
		tries int
	}{
		"the usual":   {errors.New("no luck"), 3},
		"permanent":   {pawl.Permanent(errors.New("no luck")), 1},
		"retry after": {pawl.RetryAfter(errors.New("no luck"), time.Hour), 3},
		"a panic":     {nil, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tries := 0
			run(t, 2, func(ctx context.Context) (string, error) {
				tries++
				require.Equal(t, tries, pawl.Attempt(ctx))
				if tt.err == nil {
					panic("no luck")
				}
				return "", tt.err
			}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
				began := time.Now()
				_, err := r.Result()
				failed, ok := errors.AsType[*pawl.RunFailed](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, pawl.Failed, failed.Status)
				require.Contains(t, failed.Message, "no luck")
				require.Equal(t, tt.tries, tries)
				if name == "retry after" {
					require.GreaterOrEqual(t, time.Since(began), 2*time.Hour)
				}
			})
		})
	}
}

// TestForgottenRest: a function that goes on after a step has to rest runs
// nothing that comes after it, and what it returns is ignored.
func TestForgottenRest(t *testing.T) {
	t.Parallel()
	run(t, 2, func(ctx context.Context) (string, error) {
		_ = pawl.Sleep(ctx, "rest", time.Hour)
		_ = pawl.Do(ctx, "after", func(context.Context) error { return nil })
		return "early", nil
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
		require.Equal(t, 0, p.Bodies("after"))
		require.Len(t, r.Steps(), 1)
		p.Advance(time.Hour)
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, "early", out)
		require.Equal(t, 1, p.Bodies("after"))
	})
}

// TestStubbornFunction: one that never returns is not waited for.
func TestStubbornFunction(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	var release sync.Once
	defer release.Do(func() { close(stop) })
	var calls atomic.Int32
	run(t, 2, func(ctx context.Context) (string, error) {
		if err := pawl.Sleep(ctx, "rest", time.Hour); err != nil && calls.Add(1) == 1 {
			time.Sleep(24 * time.Hour)
		}
		return "done", nil
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
		p.Advance(time.Hour + time.Minute)
		require.Equal(t, pawl.Completed, r.Status())
		p.Advance(24 * time.Hour) // so that it ends
	})
}

func TestWaitForEvent(t *testing.T) {
	t.Parallel()
	type decision struct {
		Order string `json:"order"`
		OK    bool   `json:"ok"`
	}
	decided := pawl.NewEvent[decision]("shop/decided")
	body := func(ctx context.Context) (string, error) {
		d, err := pawl.WaitForEvent(ctx, "decision", decided, 72*time.Hour, pawl.If(pawl.Where("order", `o"1`)))
		switch {
		case errors.Is(err, pawl.ErrTimeout):
			return "nobody decided", nil
		case err != nil:
			return "", err
		}
		return fmt.Sprint(d.OK), nil
	}
	t.Run("it comes", func(t *testing.T) {
		t.Parallel()
		run(t, 2, body, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
			p.Send(decided.New(decision{"o2", false}))
			p.Restart()
			require.Equal(t, pawl.Running, r.Status())
			p.Send(decided.New(decision{`o"1`, true}))
			out, err := r.Result()
			require.NoError(t, err)
			require.Equal(t, "true", out)
		})
	})
	t.Run("it does not", func(t *testing.T) {
		t.Parallel()
		run(t, 2, body, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
			p.Advance(72 * time.Hour)
			out, err := r.Result()
			require.NoError(t, err)
			require.Equal(t, "nobody decided", out)
		})
	})
}

// TestWhere: whatever the path and the value, the event that has it is found, and no
// other.
func TestWhere(t *testing.T) {
	t.Parallel()
	got := pawl.NewEvent[map[string]any]("shop/got")
	for name, c := range map[string]struct {
		path        string
		value       any
		event       string
		none, other string // do not have it
	}{
		"text":           {"order.id", `o"1`, `{"order":{"id":"o\"1"}}`, `{}`, `{"order":{"id":"o"}}`},
		"large id":       {"id", int64(1800000000000000001), `{"id":1800000000000000001}`, `{}`, `{"id":1800000000000000000}`},
		"larger id":      {"id", uint64(18446744073709551615), `{"id":18446744073709551615}`, `{}`, `{"id":18446744073709551614}`},
		"no name in CEL": {"order-id.in", 1, `{"order-id":{"in":1}}`, `{}`, `{"order-id":{"in":2}}`},
		"one of a list":  {"items[1].id", 7, `{"items":[{},{"id":7}]}`, `{"items":[]}`, `{"items":[{"id":7}]}`},
		"a list, no":     {"list", false, `{"list":false}`, `{}`, `{"list":[false]}`},
		"nothing":        {"id", nil, `{"id":null}`, `{"id":1}`, `{"id":""}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, 1, func(ctx context.Context) (string, error) {
				_, err := pawl.WaitForEvent(ctx, "it", got, time.Hour, pawl.If(pawl.Where(c.path, c.value)))
				return "it came", err
			}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
				for _, data := range []string{c.none, c.other} {
					p.Send(pawl.Event{Name: got.Name(), Data: json.RawMessage(data)})
					require.Equal(t, pawl.Running, r.Status(), "woken by %s", data)
				}
				p.Send(pawl.Event{Name: got.Name(), Data: json.RawMessage(c.event)})
				out, err := r.Result()
				require.NoError(t, err)
				require.Equal(t, "it came", out)
			})
		})
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	type order struct {
		ID int64 `json:"id,omitempty"`
	}
	app := pawl.New("shop")
	paid := pawl.NewEvent[order]("shop/paid")
	f := pawl.Func(app, "ship", func(ctx context.Context, o order) (string, error) {
		p, err := pawl.WaitForEvent(ctx, "paid", paid, time.Hour, pawl.Same("id"))
		return fmt.Sprint(p.ID), err
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		r := pawltest.Start(p, f, order{1800000000000000001})
		p.Send(paid.New(order{1800000000000000000}), paid.New(order{1800000000000000002}), paid.New(order{}))
		require.Equal(t, pawl.Running, r.Status())
		p.Send(paid.New(order{1800000000000000001}))
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, "1800000000000000001", out)
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		r := pawltest.Start(p, f, order{})
		require.Equal(t, pawl.Failed, r.Status(), "it would wait for every payment of nothing")
		_, err := r.Result()
		require.ErrorContains(t, err, `step "paid" waits for an event with the same id, and the event that started the run has none`)
	})
}

func TestSignals(t *testing.T) {
	t.Parallel()
	app := newApp()
	waits := pawl.Func(app, "waits", func(ctx context.Context, o order) (int, error) {
		return pawl.WaitForSignal[int](ctx, "paid", "paid/"+o.ID, time.Hour)
	}, pawl.Retries(0))
	sends := pawl.Func(app, "sends", func(ctx context.Context, o order) (bool, error) {
		return pawl.SendSignal(ctx, "tell", "paid/"+o.ID, o.Cents)
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		nobody, err := pawltest.Start(p, sends, order{"o1", 5}).Result()
		require.NoError(t, err)
		require.False(t, nobody)
		_, err = app.Signal(t.Context(), "paid/o1", 1)
		require.ErrorIs(t, err, pawl.ErrNobodyWaits)

		r := pawltest.Start(p, waits, order{"o1", 5})
		told, err := pawltest.Start(p, sends, order{"o1", 5}).Result()
		require.NoError(t, err)
		require.True(t, told)
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, 5, out)

		_, err = pawltest.Start(p, waits, order{"o1", 5}).Result()
		require.ErrorContains(t, err, "nothing came in time")
	})
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	app := newApp()
	child := pawl.Func(app, "child", func(ctx context.Context, o order) (int, error) {
		if o.Cents < 0 {
			return 0, pawl.Permanent(errors.New("too little"))
		}
		return 2 * o.Cents, pawl.Sleep(ctx, "rest", time.Hour)
	})
	parent := pawl.Func(app, "parent", func(ctx context.Context, o order) (string, error) {
		n, err := pawl.Invoke(ctx, "child", child, o)
		if failed, ok := errors.AsType[*pawl.StepError](err); ok {
			return failed.Message, nil
		}
		return fmt.Sprint(n), err
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		out, err := pawltest.Start(p, parent, order{"o1", 21}).Result()
		require.NoError(t, err)
		require.Equal(t, "42", out)
		out, err = pawltest.Start(p, parent, order{"o1", -1}).Result()
		require.NoError(t, err)
		require.Equal(t, "too little", out)
	})
}

// TestInvokeInTime: who invokes does not wait longer than the function has time.
func TestInvokeInTime(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		patience, took time.Duration
	}{
		"no deadline":         {0, 10 * time.Hour},
		"a deadline":          {time.Hour, time.Hour},
		"one that is too far": {20 * time.Hour, 10 * time.Hour},
		"one that is over":    {-time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := newApp()
			slow := pawl.Func(app, "slow", func(ctx context.Context, _ order) (int, error) { return 1, pawl.Sleep(ctx, "rest", 10*time.Hour) })
			f := pawl.Func(app, "f", func(ctx context.Context, o order) (bool, error) {
				if tt.patience != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.patience)
					defer cancel()
				}
				_, err := pawl.Invoke(ctx, "slow", slow, o)
				if _, failed := errors.AsType[*pawl.StepError](err); failed {
					return errors.Is(err, pawl.ErrTimeout), nil
				}
				return false, err
			})
			pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
				began := time.Now()
				late, err := pawltest.Start(p, f, order{}).Result()
				require.NoError(t, err)
				require.Equal(t, tt.took, time.Since(began).Truncate(time.Minute))
				require.Equal(t, tt.took != 10*time.Hour, late)
			})
		})
	}
}

// TestSendEvent: events that a step sends are sent once, also when the step is
// tried again after they were.
func TestSendEvent(t *testing.T) {
	t.Parallel()
	app := newApp()
	heard := map[string]bool{} // by run: a function may be entered more than once
	note := pawl.NewEvent[order]("shop/noted")
	pawl.Func(app, "hears", func(ctx context.Context, _ order) (any, error) {
		heard[pawl.RunID(ctx)] = true
		return nil, nil
	}, pawl.On(note), pawl.Concurrency{Limit: 1})
	sends := pawl.Func(app, "sends", func(ctx context.Context, o order) (int, error) {
		ids, err := pawl.SendEvent(ctx, "tell", note.New(o), note.New(o))
		return len(ids), err
	})
	pawltest.CrashEverywhere(t, func(c *pawltest.Case) {
		clear(heard)
		p := c.Open(app)
		n, err := pawltest.Start(p, sends, order{"o1", 5}).Result()
		require.NoError(c.T(), err)
		p.Advance(time.Hour)
		c.Same("sent", n)
		c.Same("heard", len(heard))
		require.Len(c.T(), heard, 2)
	})
}

func TestParallelStepsRunInOneCall(t *testing.T) {
	t.Parallel()
	for name, together := range map[string]func(context.Context, int, func(context.Context, int) (int, error)) (int, error){
		"branches": func(ctx context.Context, n int, f func(context.Context, int) (int, error)) (int, error) {
			list, err := pawl.Map(ctx, make([]int, n), func(ctx context.Context, i, _ int) (int, error) { return f(ctx, i) })
			return len(list), err
		},
		"goroutines": func(ctx context.Context, n int, f func(context.Context, int) (int, error)) (int, error) {
			g, ctx := errgroup.WithContext(ctx)
			for i := range n {
				g.Go(func() error { _, err := f(ctx, i); return err })
			}
			return n, g.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var entered, together_, most atomic.Int32
			run(t, 3, func(ctx context.Context) (int, error) {
				entered.Add(1)
				return together(ctx, 50, func(ctx context.Context, i int) (int, error) {
					return pawl.Run(ctx, fmt.Sprintf("item %d", i), func(ctx context.Context) (int, error) {
						if n := together_.Add(1); n > most.Load() {
							most.Store(n)
						}
						defer together_.Add(-1)
						time.Sleep(time.Second)
						if i%10 == 3 && pawl.Attempt(ctx) == 1 {
							return 0, errors.New("try again")
						}
						return i, nil
					})
				})
			}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[int]) {
				out, err := r.Result()
				require.NoError(t, err)
				require.Equal(t, 50, out)
				require.EqualValues(t, 2, entered.Load())
				require.EqualValues(t, 50, most.Load())
				for i := range 50 {
					want := 1
					if i%10 == 3 {
						want = 2
					}
					require.Equal(t, want, p.Bodies(fmt.Sprintf("item %d", i)), "item %d", i)
				}
			})
		})
	}
}

// TestBranchesRestByThemselves: a branch goes on while another sleeps.
func TestBranchesRestByThemselves(t *testing.T) {
	t.Parallel()
	run(t, 3, func(ctx context.Context) (string, error) {
		err := pawl.Parallel(ctx,
			func(ctx context.Context) error {
				if err := pawl.Sleep(ctx, "long", 100*24*time.Hour); err != nil {
					return err
				}
				return pawl.Do(ctx, "after long", func(context.Context) error { return nil })
			},
			func(ctx context.Context) error {
				for i := range 3 {
					if err := pawl.Do(ctx, fmt.Sprint("work ", i), func(context.Context) error { return nil }); err != nil {
						return err
					}
					if err := pawl.Sleep(ctx, fmt.Sprint("short ", i), time.Hour); err != nil {
						return err
					}
				}
				return nil
			},
		)
		if err != nil {
			return "", err
		}
		return "joined", pawl.Do(ctx, "last", func(context.Context) error { return nil })
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
		p.Advance(3*time.Hour + time.Minute)
		require.Equal(t, 1, p.Bodies("work 2"))
		require.Equal(t, 0, p.Bodies("after long"))
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, "joined", out)
		for _, step := range []string{"work 0", "work 1", "work 2", "after long", "last"} {
			require.Equal(t, 1, p.Bodies(step), step)
		}
	})
}

// TestWaitIsKnownFirst: an event that one branch causes is not missed by another
// that waits for it.
func TestWaitIsKnownFirst(t *testing.T) {
	t.Parallel()
	app := newApp()
	echo := pawl.NewEvent[order]("shop/echo")
	f := pawl.Func(app, "f", func(ctx context.Context, o order) (int, error) {
		var got order
		err := pawl.Parallel(ctx,
			func(ctx context.Context) error {
				_, err := pawl.SendEvent(ctx, "shout", echo.New(o))
				return err
			},
			func(ctx context.Context) (err error) {
				got, err = pawl.WaitForEvent(ctx, "hear", echo, time.Hour)
				return err
			},
		)
		return got.Cents, err
	})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		out, err := pawltest.Start(p, f, order{"o1", 7}).Result()
		require.NoError(t, err)
		require.Equal(t, 7, out)
	})
}

// TestMistakes: what is wrong with the use of steps is found, and explained; the
// run fails at once.
func TestMistakes(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context) error { return nil }
	slow := func(context.Context) error { time.Sleep(time.Second); return nil }
	for name, tt := range map[string]struct {
		body func(ctx context.Context) error
		want string
	}{
		"a name twice at a time": {func(ctx context.Context) error {
			var g errgroup.Group
			for range 2 {
				g.Go(func() error { return pawl.Do(ctx, "x", slow) })
			}
			return g.Wait()
		}, `two steps are named "x" at the same time`},
		"a name in two branches": {func(ctx context.Context) error {
			branch := func(ctx context.Context) error { return pawl.Do(ctx, "x", nothing) }
			return pawl.Parallel(ctx, branch, branch)
		}, "cannot be told apart"},
		"a step in a step": {func(ctx context.Context) error {
			return pawl.Do(ctx, "outer", func(ctx context.Context) error { return pawl.Do(ctx, "inner", nothing) })
		}, `a step is used inside the step "outer"`},
		"a step in a step, by the function's own context": {func(ctx context.Context) error {
			return pawl.Do(ctx, "outer", func(context.Context) error { return pawl.Sleep(ctx, "inner", time.Hour) })
		}, `the body of step "outer" has returned ErrRest`},
		"one that fails": {func(ctx context.Context) error {
			return pawl.Do(ctx, "outer", func(context.Context) error {
				return pawl.Do(ctx, "inner", func(context.Context) error { return errors.New("no luck") })
			})
		}, `the body of step "outer" has returned ErrRest`},
		"fewer retries than none": {func(ctx context.Context) error {
			return pawl.Do(ctx, "x", nothing, pawl.Retries(-1))
		}, `step "x": Retries(-1): it has to be 0 to 20`},
		"no body": {func(ctx context.Context) error { return pawl.Do(ctx, "x", nil) }, `step "x": its body is nil`},
		"no name": {func(ctx context.Context) error { return pawl.Do(ctx, "", nothing) }, "a step has no name"},
		"more retries than the function": {func(ctx context.Context) error {
			return pawl.Do(ctx, "x", nothing, pawl.Retries(9))
		}, "give the function pawl.Retries(9)"},
		"the Verify of another step": {func(ctx context.Context) error {
			_, err := pawl.Run(ctx, "x", func(context.Context) (int, error) { return 1, nil },
				pawl.Verify(func(context.Context) (string, error) { return "", nil }))
			return err
		}, `step "x" returns a int, but its Verify is a func(context.Context) (string, error)`},
		"a result that is no JSON": {func(ctx context.Context) error {
			_, err := pawl.Run(ctx, "x", func(context.Context) (func(), error) { return func() {}, nil })
			return err
		}, "cannot be written as JSON"},
		"a year and two days": {func(ctx context.Context) error { return pawl.Sleep(ctx, "x", 367*24*time.Hour) }, "the most is 366 days"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, 3, func(ctx context.Context) (string, error) { return "", tt.body(ctx) }, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
				began := time.Now()
				_, err := r.Result()
				require.ErrorContains(t, err, tt.want)
				require.Less(t, time.Since(began), time.Minute, "it was tried again")
			})
		})
	}
	require.ErrorIs(t, pawl.Do(t.Context(), "x", nothing), pawl.ErrNoRun)
}

// TestSameNameAgain: a name in a loop stands for one step after the other.
func TestSameNameAgain(t *testing.T) {
	t.Parallel()
	run(t, 3, func(ctx context.Context) (sum int, err error) {
		for i := range 5 {
			n, err := pawl.Run(ctx, "add", func(context.Context) (int, error) { return 1 << i, nil })
			if err != nil {
				return 0, err
			}
			sum += n
			if err := pawl.Sleep(ctx, "rest", time.Hour); err != nil {
				return 0, err
			}
		}
		return sum, nil
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[int]) {
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, 31, out)
		require.Equal(t, 5, p.Bodies("add"))
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	run(t, 1, func(ctx context.Context) (string, error) {
		err := pawl.Do(ctx, "slow", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, pawl.Timeout(time.Minute))
		failed, ok := errors.AsType[*pawl.StepError](err)
		if !ok {
			return "", err
		}
		return failed.Name, nil
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
		out, err := r.Result()
		require.NoError(t, err)
		require.Equal(t, "Timeout", out)
		require.Equal(t, 2, p.Bodies("slow"))
	})
}

func TestCancelledRunStartsNothing(t *testing.T) {
	t.Parallel()
	run(t, 3, func(ctx context.Context) (string, error) {
		if err := pawl.Do(ctx, "slow", func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}); err != nil {
			return "", err
		}
		return "", pawl.Do(ctx, "next", func(context.Context) error { return nil })
	}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
		p.Cancel(r.ID)
		p.Advance(time.Hour)
		require.Equal(t, pawl.Cancelled, r.Status())
		require.Equal(t, 0, p.Bodies("next"))
		require.Equal(t, 1, p.Bodies("slow"))
	})
}

func TestOnFailure(t *testing.T) {
	t.Parallel()
	app := newApp()
	var got []pawl.Failure
	f := pawl.Func(app, "f", func(context.Context, order) (any, error) { return nil, pawl.Permanent(io.ErrUnexpectedEOF) },
		pawl.OnFailure(func(_ context.Context, f pawl.Failure) error { got = append(got, f); return nil }))
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		r := pawltest.Start(p, f, order{ID: "o1"})
		_, err := r.Result()
		require.Error(t, err)
		p.Settle()
		require.Len(t, got, 1)
		require.Equal(t, r.ID, got[0].RunID)
		require.Equal(t, "unexpected EOF", got[0].Message)
	})
}

func TestBatch(t *testing.T) {
	t.Parallel()
	app := newApp()
	var got [][]order
	pawl.Func(app, "f", func(ctx context.Context, list []order) (any, error) {
		require.Len(t, pawl.Events(ctx), len(list))
		got = append(got, list)
		return nil, nil
	}, pawl.On(placed), pawl.Batch{Size: 3, Timeout: time.Minute})
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		p.Send(placed.New(order{"a", 1}), placed.New(order{"b", 2}), placed.New(order{"c", 3}), placed.New(order{"d", 4}))
		p.Advance(time.Minute)
		require.Equal(t, [][]order{{{"a", 1}, {"b", 2}, {"c", 3}}, {{"d", 4}}}, got)
	})
}

func TestBadApps(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, order) (any, error) { return nil, nil }
	app := newApp()
	pawl.Func(app, "a", nothing)
	pawl.Func(app, "a", nothing)
	pawl.Func(app, "a b", nothing)
	pawl.Func(app, "r", nothing, pawl.Retries(21))
	pawl.Func(app, "batch", nothing, pawl.Batch{Size: 2})
	pawl.Func(app, "other", nothing, pawl.On(pawl.NewEvent[struct{ X int }]("x")))
	pawl.Func(app, "none", nothing, pawl.Concurrency{})
	pawl.Func(app, "below", nothing, pawl.Concurrency{Limit: -1})
	pawl.Func(app, "minus", nothing, pawl.Retries(-1))
	pawl.Func[order, any](app, "bodiless", nil)
	pawl.Func(app, "careless", nothing, pawl.OnFailure(nil))
	pawl.Func(app, "number", func(context.Context, int) (any, error) { return nil, nil })
	pawl.Func(app, "list", func(context.Context, []order) (any, error) { return nil, nil })
	pawl.Func(app, "numbers", func(context.Context, []int) (any, error) { return nil, nil }, pawl.Batch{Size: 2, Timeout: time.Second})
	handler := func(http.ResponseWriter, *http.Request) {}
	app.Endpoint("e", handler, pawl.Retries(-2))
	app.Endpoint("limited", handler, pawl.Concurrency{Limit: 1})
	app.Endpoint("failure", handler, pawl.OnFailure(func(context.Context, pawl.Failure) error { return nil }))
	app.Endpoint("title", handler, pawl.Title("a title"))
	app.Endpoint("no-ack", handler, pawl.Ack(4))
	pawl.Func(app, "no-ack", nothing, pawl.Ack(4))
	for _, want := range []string{
		"function none: Concurrency: its Limit is 0", "function below: Concurrency: its Limit is -1", "function minus: Retries(-1): it has to be 0 to 20",
		"function bodiless: its body is nil", "function careless: OnFailure(nil)", "function number: it takes a int, but the data of an event is an object",
		"endpoint limited: an endpoint has no triggers and no limits", "endpoint failure: an endpoint has no OnFailure", "endpoint title: an endpoint has no Title",
		"endpoint no-ack: Ack(4): there is no such Ack", "function no-ack: Ack(4): there is no such Ack",
		"function list: it takes a []pawl_test.order, but", "function numbers: it takes a int, but", "endpoint e: Retries(-2)",
		"function a: there are two of this name", `function "a b": a name has letters`, "function r: Retries(21): it has to be 0 to 20",
		"function batch: it has a Batch, so it must take a slice", "function other: it takes a pawl_test.order, but an event that starts it holds a struct { X int }",
	} {
		require.ErrorContains(t, app.Err(), want)
	}
}

package pawl_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/pawltest"
)

// bank charges cards. Of each token it knows how often.
type bank struct {
	mu      sync.Mutex
	charges map[string]int
	// say decides about each charge: whether it happens, and what the caller sees.
	say func() (happens bool, err error)
	// find, if set, is what it says instead of telling what it knows.
	find  func() error
	asked int
}

func newBank(say func() (bool, error)) *bank {
	return &bank{charges: map[string]int{}, say: say}
}

func (b *bank) charge(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	happens, err := b.say()
	if happens {
		b.charges[pawl.Token(ctx)]++
	}
	return pawl.Token(ctx), err
}

func (b *bank) verify(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.find != nil {
		if err := b.find(); err != nil {
			return "", err
		}
	}
	if b.charges[pawl.Token(ctx)] == 0 {
		return "", pawl.ErrNotDone
	}
	return pawl.Token(ctx), nil
}

func (b *bank) of(token string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.charges[token]
}

func (b *bank) total() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.charges {
		n += c
	}
	return n
}

var errCut = errors.New("connection reset by peer")

func TestVerify(t *testing.T) {
	t.Parallel()
	happened := func() (bool, error) { return true, nil }
	hidden := func() (bool, error) { return true, errCut }
	refused := func() (bool, error) { return false, errCut }
	declined := func() (bool, error) { return false, pawl.Permanent(errors.New("declined")) }
	for name, tt := range map[string]struct {
		says    []func() (bool, error)
		find    func() error
		charges int
		asked   int
		want    string
		unknown bool
	}{
		"it goes well":                  {says: []func() (bool, error){happened}, charges: 1},
		"it happened, and nobody heard": {says: []func() (bool, error){hidden}, charges: 1, asked: 1},
		"it did not happen":             {says: []func() (bool, error){refused, refused, happened}, charges: 1, asked: 2},
		"it happens at the last try":    {says: []func() (bool, error){refused, refused, refused, hidden}, charges: 1, asked: 4},
		"it never happens":              {says: []func() (bool, error){refused, refused, refused, refused}, asked: 4, want: "connection reset"},
		"it is declined":                {says: []func() (bool, error){declined}, want: "declined"},
		"nobody can tell": {
			says: []func() (bool, error){hidden}, find: func() error { return pawl.ErrUnknown }, charges: 1, asked: 1,
			want: "whether it happened is unknown", unknown: true,
		},
		"nobody answers": {
			says: []func() (bool, error){hidden}, find: func() error { return errCut }, charges: 1, asked: 3,
			want: "whether it happened is unknown: connection reset", unknown: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 0
			b := newBank(nil)
			b.find = tt.find
			b.say = func() (bool, error) {
				n++
				return tt.says[n-1]()
			}
			run(t, 3, func(ctx context.Context) (string, error) {
				token, err := pawl.Run(ctx, "charge", b.charge, pawl.Verify(b.verify))
				if errors.Is(err, pawl.ErrUnknown) != (tt.unknown && !errors.Is(err, pawl.ErrRest)) {
					return "", fmt.Errorf("ErrUnknown: %w", err)
				}
				return token, err
			}, func(t *testing.T, p *pawltest.Pawl, r *pawltest.Started[string]) {
				token, err := r.Result()
				if tt.want != "" {
					require.ErrorContains(t, err, tt.want)
				} else {
					require.NoError(t, err)
					require.Equal(t, 1, b.of(token))
				}
				require.Equal(t, tt.charges, b.total())
				require.Equal(t, tt.asked, b.asked)
			})
		})
	}
}

// TestVerifyAfterCrash (F-40): wherever the process dies, the card is charged once.
func TestVerifyAfterCrash(t *testing.T) {
	t.Parallel()
	pawltest.CrashEverywhere(t, func(c *pawltest.Case) {
		says := []error{errCut, nil}
		b := newBank(func() (bool, error) {
			err := says[0]
			says = says[min(1, len(says)-1):]
			return true, err
		})
		app := newApp()
		pay := pawl.Func(app, "pay", func(ctx context.Context, o order) (bool, error) {
			token, err := pawl.Run(ctx, "charge", b.charge, pawl.Verify(b.verify))
			return token != "", err
		})
		out, err := pawltest.Start(c.Open(app), pay, order{"o1", 5}).Result()
		require.NoError(c.T(), err)
		c.Same("paid", out)
		c.Same("charges", b.total())
	})
}

// TestOneChargeEach (F-40): payments over a line that drops at random, before or
// after the bank has heard, while the process restarts at random.
func TestOneChargeEach(t *testing.T) {
	t.Parallel()
	payments := 100
	if os.Getenv("PAWL_LONG") == "1" {
		payments = 10_000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd, restarts := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
	b := newBank(func() (bool, error) {
		switch rnd.IntN(4) {
		case 0:
			return false, errCut
		case 1:
			return true, errCut
		default:
			return true, nil
		}
	})
	app := newApp()
	pay := pawl.Func(app, "pay", func(ctx context.Context, o order) (string, error) {
		return pawl.Run(ctx, "charge", b.charge, pawl.Verify(b.verify), pawl.Constant(time.Second))
	}, pawl.Retries(20), pawl.Concurrency{Limit: 1}, pawl.On(placed))
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		var runs []*pawltest.Started[string]
		for i := range payments {
			runs = append(runs, pawltest.Start(p, pay, order{ID: fmt.Sprint(i), Cents: 1}))
			if restarts.IntN(100) == 0 {
				p.Restart()
			}
		}
		for _, r := range runs {
			token, err := r.Result()
			require.NoError(t, err)
			require.Equal(t, 1, b.of(token))
		}
		require.Len(t, b.charges, payments)
		require.Equal(t, payments, b.total())
	})
}

func TestCompensate(t *testing.T) {
	t.Parallel()
	pawltest.CrashEverywhere(t, func(c *pawltest.Case) {
		var undone []string
		book := func(ctx context.Context, what string) error {
			_, err := pawl.Run(ctx, what, func(context.Context) (string, error) { return what + "!", nil },
				pawl.Undo(func(_ context.Context, booked string) error {
					undone = append(undone, booked)
					if booked == "hotel!" && len(undone) == 1 {
						return errors.New("not now")
					}
					return nil
				}))
			return err
		}
		app := newApp()
		trip := pawl.Func(app, "trip", func(ctx context.Context, o order) (string, error) {
			for _, what := range []string{"flight", "hotel"} {
				if err := book(ctx, what); err != nil {
					return "", err
				}
			}
			err := pawl.Do(ctx, "car", func(context.Context) error { return pawl.Permanent(errors.New("no cars")) })
			if err != nil {
				return "", pawl.Compensate(ctx, err)
			}
			return "booked", nil
		})
		_, err := pawltest.Start(c.Open(app), trip, order{ID: "o1"}).Result()
		require.ErrorContains(c.T(), err, "no cars")
		if !c.Crashed() {
			require.Equal(c.T(), []string{"hotel!", "hotel!", "flight!"}, undone)
		}
		require.Subset(c.T(), undone, []string{"hotel!", "flight!"})
	})
}

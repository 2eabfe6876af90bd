package check_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/internal/check"
)

// order is what starts a run.
type order struct {
	ID string `json:"id"`
}

// hold is the result of a step.
type hold struct {
	ID     string `json:"id"`
	Amount int    `json:"amount"`
}

// bodies is a file to which each step's body writes its name.
type bodies string

func newBodies(t *testing.T) bodies { return bodies(filepath.Join(t.TempDir(), "bodies")) }

func (b bodies) ran(name string) {
	f, err := os.OpenFile(string(b), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(name + "\n")
	}
	if err := errors.Join(err, f.Close()); err != nil {
		panic(err)
	}
}

func (b bodies) all(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(string(b))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	require.NoError(t, err)
	return string(text)
}

// run is a step whose body says that it runs.
func run[T any](ctx context.Context, b bodies, name string, result T, options ...pawl.StepOption) (T, error) {
	return pawl.Run(ctx, name, func(context.Context) (T, error) {
		b.ran(name)
		return result, nil
	}, options...)
}

// chain goes through parts until one fails or rests.
func chain(parts ...func() error) (string, error) {
	for _, p := range parts {
		if err := p(); err != nil {
			return "", err
		}
	}
	return "shipped", nil
}

// code is what a function does.
type code func(ctx context.Context, b bodies) (string, error)

func step(ctx context.Context, b bodies, name string) func() error {
	return result(ctx, b, name, "ok")
}

func result[T any](ctx context.Context, b bodies, name string, out T) func() error {
	return func() error { _, err := run(ctx, b, name, out); return err }
}

func nap(ctx context.Context, name string) func() error {
	return func() error { return pawl.Sleep(ctx, name, 24*time.Hour) }
}

func fails(message string) func() error {
	return func() error { return errors.New(message) }
}

// before is what the recorded runs have run.
func before(ctx context.Context, b bodies) (string, error) {
	return chain(result(ctx, b, "reserve", hold{"h1", 7}), step(ctx, b, "charge"), nap(ctx, "cool down"), step(ctx, b, "ship"))
}

var placed = pawl.NewEvent[order]("shop/placed")

func shop(b bodies, c code) *pawl.App {
	app := pawl.New("shop", pawl.Dev(), pawl.Logger(slog.New(slog.DiscardHandler)))
	pawl.Func(app, "checkout", func(ctx context.Context, _ order) (string, error) { return c(ctx, b) }, pawl.On(placed), pawl.Retries(0))
	return app
}

// recorded is a store in which one run has ended, and one that began a day later
// is in the middle.
func recorded(t *testing.T, app *pawl.App) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pawl.db")
	synctest.Test(t, func(t *testing.T) {
		eng, err := engine.Open(context.WithoutCancel(t.Context()), path, app,
			engine.WithDurability(engine.Unsynced), engine.WithDrain(time.Millisecond), engine.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		for range 2 {
			time.Sleep(25 * time.Hour)
			_, err := app.Send(t.Context(), placed.New(order{ID: "o1"}))
			require.NoError(t, err)
			synctest.Wait()
		}
		require.NoError(t, eng.Close(t.Context()))
	})
	return path
}

// checked is the report about an app.
func checked(t *testing.T, path string, app *pawl.App, accept ...check.Kind) *check.Report {
	t.Helper()
	require.NoError(t, app.Err())
	served := httptest.NewServer(app)
	t.Cleanup(served.Close)
	file, err := check.OpenFile(path)
	require.NoError(t, err)
	defer file.Close()
	r, err := check.Run(t.Context(), file, check.Options{
		URL: served.URL, Live: 10, Ended: 10, Timeout: 20 * time.Second, AtOnce: 2, Accept: accept,
	})
	require.NoError(t, err)
	return r
}

// told is each finding in a line: its kind, how many runs that go on and that have
// ended it is in, and what it says.
func told(r *check.Report) (list []string) {
	for _, f := range r.Functions {
		for _, found := range f.Findings {
			list = append(list, fmt.Sprintf("%s %d+%d %s", found.Kind, found.Live, found.Ended, found.Title()))
		}
		for _, u := range f.Unchecked {
			list = append(list, "unchecked: "+u.Why)
		}
	}
	return list
}

// TestNewCode: what is found is what an engine would do to those runs; a run that
// has ended stands for those that are where it once was. No body runs.
func TestNewCode(t *testing.T) {
	old := newBodies(t)
	path := recorded(t, shop(old, before))
	require.Equal(t, "reserve\ncharge\nship\nreserve\ncharge\n", old.all(t))
	for name, tt := range map[string]struct {
		code code
		want []string
	}{
		"unchanged": {before, nil},
		"a step has another name": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), step(ctx, b, "charge card"), nap(ctx, "cool down"), step(ctx, b, "ship"))
		}, []string{`new-step 1+1 "charge card" would run, although "charge" has finished`}},
		"a new step in front of one that has finished": {func(ctx context.Context, b bodies) (string, error) {
			return chain(step(ctx, b, "audit"), result(ctx, b, "reserve", hold{}), step(ctx, b, "charge"), nap(ctx, "cool down"), step(ctx, b, "ship"))
		}, []string{`new-step 1+1 "audit" would run, although "reserve" has finished`}},
		"a new step that the live run has yet to come to": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), step(ctx, b, "charge"), nap(ctx, "cool down"), step(ctx, b, "wrap"), step(ctx, b, "ship"))
		}, []string{`new-step 0+1 "wrap" would run, although "ship" has finished`}},
		"a new step at the end": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), step(ctx, b, "charge"), nap(ctx, "cool down"), step(ctx, b, "ship"), step(ctx, b, "thank"))
		}, nil},
		"a step is gone": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), nap(ctx, "cool down"), step(ctx, b, "ship"))
		}, []string{`missing-step 1+0 "charge" has finished, and is not asked for before "cool down"`, `missing-step 0+1 "charge" has finished, and is not asked for any more`}},
		"a result has another type": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), result(ctx, b, "charge", 1), nap(ctx, "cool down"), step(ctx, b, "ship"))
		}, []string{`result-type 1+1 the result of "charge" cannot be read: int does not fit: json: cannot unmarshal string into Go value of type int`}},
		"a field of a result is gone": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", order{}), step(ctx, b, "charge"), nap(ctx, "cool down"), step(ctx, b, "ship"))
		}, []string{`result-fields 1+1 a part of the result of "reserve" is lost: check_test.order has no place for what was saved (json: unknown field "amount")`}},
		"the wait has another name": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), step(ctx, b, "charge"), nap(ctx, "rest"), step(ctx, b, "ship"))
		}, []string{`new-step 0+1 "rest" would run, although "cool down" has finished`, `lost-wait 1+0 runs wait at "cool down", and the new code begins "rest" instead`}},
		"nothing is waited for": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), step(ctx, b, "charge"), step(ctx, b, "ship"))
		}, []string{`lost-wait 1+0 runs wait at "cool down", and the new code begins "ship" instead`, `missing-step 0+1 "cool down" has finished, and is not asked for any more`}},
		"it ends early": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), step(ctx, b, "charge"))
		}, []string{`ends 1+0 runs wait at "cool down", and would end at once`, `missing-step 0+1 "cool down" has finished, and is not asked for any more`}},
		"it fails": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), step(ctx, b, "charge"), fails("no such carrier"), nap(ctx, "cool down"))
		}, []string{`fails 1+1 the function fails: Error: no such carrier`}},
		"a wait is work now": {func(ctx context.Context, b bodies) (string, error) {
			return chain(result(ctx, b, "reserve", hold{}), step(ctx, b, "charge"), step(ctx, b, "cool down"), step(ctx, b, "ship"))
		}, []string{`other-kind 1+1 "cool down" is something else now: it was a sleep, and is a step`}},
		"steps side by side": {func(ctx context.Context, b bodies) (string, error) {
			return chain(func() error {
				return pawl.Parallel(ctx,
					func(ctx context.Context) error { return result(ctx, b, "reserve", hold{})() },
					func(ctx context.Context) error { return step(ctx, b, "charge")() },
				)
			}, nap(ctx, "cool down"), step(ctx, b, "ship"))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBodies(t)
			r := checked(t, path, shop(b, tt.code))
			require.Equal(t, tt.want, told(r))
			require.Equal(t, []int{1, 1, len(tt.want)}, []int{r.Live, r.Ended, r.Findings})
			require.Empty(t, b.all(t), "bodies that ran")
		})
	}
}

func TestFunctionGone(t *testing.T) {
	path := recorded(t, shop(newBodies(t), before))
	app := pawl.New("shop", pawl.Dev(), pawl.Logger(slog.New(slog.DiscardHandler)))
	pawl.Func(app, "other", func(context.Context, order) (string, error) { return "", nil }, pawl.On(placed))
	require.Equal(t, []string{"no-function 1+0 the app does not serve this function: function not found: shop-checkout"}, told(checked(t, path, app)))
}

// TestEventType: the event of a run is read by the new code as well.
func TestEventType(t *testing.T) {
	path := recorded(t, shop(newBodies(t), before))
	app := pawl.New("shop", pawl.Dev(), pawl.Logger(slog.New(slog.DiscardHandler)))
	pawl.Func(app, "checkout", func(context.Context, struct{ ID int }) (string, error) { return "", nil }, pawl.OnName("shop/placed"))
	found := told(checked(t, path, app))
	require.Len(t, found, 1)
	require.Contains(t, found[0], "result-type 1+1 the result of the event cannot be read: struct { ID int } does not fit: ")
}

// TestBegun: what a step with Verify saves beside its result is no step of its own.
func TestBegun(t *testing.T) {
	verified := func(ctx context.Context, b bodies) (string, error) {
		verify := pawl.Verify(func(context.Context) (string, error) { b.ran("verify"); return "", pawl.ErrNotDone })
		return chain(func() error { _, err := run(ctx, b, "charge", "ok", verify); return err }, nap(ctx, "cool down"))
	}
	path := recorded(t, shop(newBodies(t), verified))
	b := newBodies(t)
	require.Empty(t, told(checked(t, path, shop(b, verified))))
	require.Empty(t, b.all(t))
}

// TestNothingIsSent: what a function publishes between its steps stays here.
func TestNothingIsSent(t *testing.T) {
	publishes := func(ctx context.Context, b bodies) (string, error) {
		if err := pawl.Publish(ctx, "orders", "news", "begun"); err != nil {
			return "", err
		}
		return chain(step(ctx, b, "charge"), nap(ctx, "cool down"))
	}
	path := recorded(t, shop(newBodies(t), publishes))
	require.Empty(t, told(checked(t, path, shop(newBodies(t), publishes))))
}

// TestFailedRuns: that a run fails as it did is nothing new.
func TestFailedRuns(t *testing.T) {
	broken := func(ctx context.Context, b bodies) (string, error) {
		return chain(step(ctx, b, "charge"), fails("no such carrier"))
	}
	path := recorded(t, shop(newBodies(t), broken))
	r := checked(t, path, shop(newBodies(t), broken))
	require.Empty(t, told(r))
	require.Equal(t, 2, r.Ended)
}

func TestAccepted(t *testing.T) {
	path := recorded(t, shop(newBodies(t), before))
	shorter := func(ctx context.Context, b bodies) (string, error) {
		return chain(result(ctx, b, "reserve", order{}), step(ctx, b, "charge"), nap(ctx, "cool down"), step(ctx, b, "ship"))
	}
	r := checked(t, path, shop(newBodies(t), shorter), check.ResultFields)
	require.Len(t, told(r), 1)
	require.Zero(t, r.Findings)
}

// TestSlow: a run whose function waits for something between its steps cannot be
// checked, and others can.
func TestSlow(t *testing.T) {
	path := recorded(t, shop(newBodies(t), before))
	app := shop(newBodies(t), func(ctx context.Context, _ bodies) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	served := httptest.NewServer(app)
	t.Cleanup(served.Close)
	file, err := check.OpenFile(path)
	require.NoError(t, err)
	defer file.Close()
	o := check.Options{URL: served.URL, Live: 10, Ended: 10, Timeout: 100 * time.Millisecond, AtOnce: 1}
	r, err := check.Run(t.Context(), file, o)
	require.NoError(t, err)
	require.Equal(t, 2, r.Unchecked)
	require.Contains(t, told(r)[0], "no answer within 100ms")
}

// TestDisobedientSDK: an app that runs a body although it was asked not to is not
// called again, and one of an SDK that nobody has tried is not called at all.
func TestDisobedientSDK(t *testing.T) {
	path := recorded(t, shop(newBodies(t), before))
	file, err := check.OpenFile(path)
	require.NoError(t, err)
	defer file.Close()
	for sdk, want := range map[string]string{
		"inngest-js:v4.99.0": `the app has run the step "charge" of a copy of run `,
		"inngest-kt:v0.1.0":  "is not known to hold step bodies back",
		"inngest-js:v2.7.2":  "is not known to hold step bodies back",
		"":                   "it is not an Inngest SDK that answered",
	} {
		calls := 0
		served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Inngest-SDK", sdk)
			if r.Method == http.MethodGet {
				return
			}
			calls++
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, `[{"id":"aa","op":"StepRun","displayName":"charge","data":1}]`)
		}))
		_, err := check.Run(t.Context(), file, check.Options{URL: served.URL, Live: 10, Ended: 10, Timeout: 20 * time.Second, AtOnce: 1})
		served.Close()
		require.ErrorContains(t, err, want)
		require.LessOrEqual(t, calls, 1, sdk)
	}
}

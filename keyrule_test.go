package pawl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
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

// TestKeyRules is F-36 for functions: in one's own process, and on a server.
func TestKeyRules(t *testing.T) {
	t.Parallel()
	paid := pawl.NewEvent[order]("shop/paid")
	var charges, mails atomic.Int32
	functions := func(app *pawl.App) (charge, mail *pawl.Function[order, int32]) {
		charge = pawl.Func(app, "charge", func(context.Context, order) (int32, error) { return charges.Add(1), nil }, pawl.On(paid), pawl.KeyRequired)
		mail = pawl.Func(app, "mail", func(context.Context, order) (int32, error) { return mails.Add(1), nil }, pawl.On(paid), pawl.KeyDerived)
		return charge, mail
	}
	check := func(t *testing.T, charge, mail *pawl.Function[order, int32]) {
		charges.Store(0)
		mails.Store(0)
		ctx := t.Context()
		_, err := charge.Start(ctx, order{"o1", 5}, "")
		require.ErrorContains(t, err, "function shop-charge starts only for an idempotency key")
		run, err := charge.Start(ctx, order{"o1", 5}, "o1")
		require.NoError(t, err)
		again, err := charge.Start(ctx, order{"o1", 5}, "o1")
		require.NoError(t, err)
		require.Equal(t, run, again)
		n, err := charge.Result(ctx, run)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)

		run, err = mail.Start(ctx, order{"o1", 5}, "")
		require.NoError(t, err)
		again, err = mail.Start(ctx, order{"o1", 5}, "")
		require.NoError(t, err)
		require.Equal(t, run, again, "the same content is the same run")
		other, err := mail.Start(ctx, order{"o2", 5}, "")
		require.NoError(t, err)
		require.NotEqual(t, run, other)
		_, err = mail.Result(ctx, run)
		require.NoError(t, err)
		_, err = mail.Result(ctx, other)
		require.NoError(t, err)
		require.EqualValues(t, 2, mails.Load())
	}
	t.Run("in process", func(t *testing.T) {
		app := newApp()
		charge, mail := functions(app)
		eng, err := engine.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), app, engine.WithLogger(quietLog))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, eng.Close(context.Background())) })
		check(t, charge, mail)
	})
	t.Run("on a server", func(t *testing.T) {
		attached := pawl.New("shop", pawl.Logger(quietLog), pawl.Dev())
		charge, mail := functions(attached)
		back := httptest.NewServer(attached)
		t.Cleanup(back.Close)
		st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "pawl.db"), sqlite.Options{Durability: sqlite.None})
		require.NoError(t, err)
		remote, err := engine.Start(context.WithoutCancel(t.Context()), engine.Config{Store: st, Log: quietLog, Dev: true})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, remote.Close(context.Background())) })
		at := httptest.NewServer(server.New(remote, server.Config{Dev: true}))
		t.Cleanup(at.Close)
		_, err = pawl.Attach(t.Context(), at.URL, attached)
		require.NoError(t, err)
		_, err = remote.SyncApp(t.Context(), back.URL, "test")
		require.NoError(t, err)
		check(t, charge, mail)
	})
}

// TestEventsUnderKeyRules: in virtual time, by the events that start functions.
func TestEventsUnderKeyRules(t *testing.T) {
	t.Parallel()
	app := newApp()
	paid := pawl.NewEvent[order]("shop/paid")
	var charges, mails atomic.Int32
	pawl.Func(app, "charge", func(context.Context, order) (any, error) { charges.Add(1); return nil, nil }, pawl.On(paid), pawl.KeyRequired)
	pawl.Func(app, "mail", func(context.Context, order) (any, error) { mails.Add(1); return nil, nil }, pawl.On(paid), pawl.KeyDerived)
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		p.Send(paid.New(order{"o1", 5}), paid.New(order{"o1", 5}))
		p.Settle()
		require.EqualValues(t, 0, charges.Load(), "no key")
		require.EqualValues(t, 1, mails.Load(), "once for what is the same")
		p.Send(paid.New(order{"o1", 5}).WithID("a"), paid.New(order{"o1", 5}).WithID("b"))
		p.Settle()
		require.EqualValues(t, 2, charges.Load())
		require.EqualValues(t, 3, mails.Load())
		p.Advance(25 * time.Hour)
		p.Send(paid.New(order{"o1", 5}))
		p.Settle()
		require.EqualValues(t, 4, mails.Load())
	})
}

// TestEndpointsUnderKeyRules is F-36 for endpoints of Go, by themselves and by what the
// server is told.
func TestEndpointsUnderKeyRules(t *testing.T) {
	t.Parallel()
	app := newApp()
	var ran atomic.Int32
	pay := func(w http.ResponseWriter, r *http.Request) {
		n, err := pawl.Run(r.Context(), "charge", func(context.Context) (int32, error) { return ran.Add(1), nil })
		if err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "charge ", n)
	}
	required, derived := app.Endpoint("pay", pay, pawl.KeyRequired), app.Endpoint("pay-again", pay, pawl.KeyDerived)
	pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
		ran.Store(0)
		first, _ := post(required, app, "/pay", "5")
		require.Equal(t, http.StatusBadRequest, first.Code)
		var refusal struct {
			Error, Code string
			Status      int
		}
		require.NoError(t, json.Unmarshal(first.Body.Bytes(), &refusal))
		require.Equal(t, "idempotency_key_required", refusal.Code)
		require.Contains(t, refusal.Error, "endpoint pay takes requests only with an idempotency key; send the header Idempotency-Key")
		require.EqualValues(t, 0, ran.Load(), "nothing is done")
		_, last := post(required, app, "/pay", "5", "Idempotency-Key", "k1")
		require.Equal(t, "charge 1", last.Body.String())

		for range 2 {
			_, last = post(derived, app, "/again?x=1", "5")
			require.Equal(t, "charge 2", last.Body.String(), "one run for what is the same")
		}
		for i, other := range []string{"/again?x=2", "/again"} {
			_, last = post(derived, app, other, "5")
			require.Equal(t, fmt.Sprint("charge ", 3+i), last.Body.String())
		}
		_, last = post(derived, app, "/again?x=1", "6")
		require.Equal(t, "charge 5", last.Body.String())
		p.Advance(25 * time.Hour)
		_, last = post(derived, app, "/again?x=1", "5")
		require.Equal(t, "charge 6", last.Body.String(), "it holds for 24 hours")
	})
}

func TestServersKeyRuleForAnEndpoint(t *testing.T) {
	t.Parallel()
	app := newApp()
	e := app.Endpoint("pay", func(w http.ResponseWriter, r *http.Request) {
		if err := pawl.Do(r.Context(), "charge", func(context.Context) error { return nil }); err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "charged")
	}, pawl.AckEachStep)
	eng, err := engine.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), app, engine.WithLogger(quietLog))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, eng.Close(context.Background())) })
	_, last := post(e, app, "/pay", "5")
	require.Equal(t, "charged", last.Body.String())
	var slug string
	for _, a := range eng.Apps() {
		for _, f := range a.Functions {
			slug = f.Slug
		}
	}
	require.NoError(t, eng.SetLimits(t.Context(), slug, []byte(`{"idempotencyKey":"required"}`), "test", ""))
	first, _ := post(e, app, "/pay", "5")
	require.Equal(t, http.StatusBadRequest, first.Code)
	require.Contains(t, first.Body.String(), "idempotency_key_required")
	_, last = post(e, app, "/pay", "5", "Idempotency-Key", "k1")
	require.Equal(t, "charged", last.Body.String())
}

func TestNoSuchKeyRule(t *testing.T) {
	t.Parallel()
	app := newApp()
	pawl.Func(app, "f", func(context.Context, order) (int, error) { return 1, nil }, pawl.KeyRule("always"))
	require.ErrorContains(t, app.Err(), `KeyRule("always")`)
}

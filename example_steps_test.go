package pawl_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pawlhq/pawl"
)

// What was done is taken back when a later step fails for good.
func ExampleCompensate() {
	app := pawl.New("trips")
	book := pawl.Func(app, "book", func(ctx context.Context, o Order) (string, error) {
		flight, err := pawl.Run(ctx, "flight", func(context.Context) (string, error) { return "F7", nil },
			pawl.Undo(func(_ context.Context, flight string) error {
				fmt.Println("cancel flight", flight)
				return nil
			}))
		if err != nil {
			return "", pawl.Compensate(ctx, err)
		}
		err = pawl.Do(ctx, "hotel", func(context.Context) error { return pawl.Permanent(errors.New("no room")) })
		if err != nil {
			return "", pawl.Compensate(ctx, err)
		}
		return flight, nil
	})
	inside(app, func(ctx context.Context) {
		_, err := book.Call(ctx, Order{ID: "o1"})
		if failed, ok := errors.AsType[*pawl.RunFailed](err); ok {
			fmt.Println(failed.Status, failed.Message)
		}
	})
	// Output:
	// cancel flight F7
	// Failed step "hotel": no room
}

func ExampleDo() {
	app := pawl.New("shop")
	greet := pawl.Func(app, "greet", func(ctx context.Context, o Order) (any, error) {
		return nil, pawl.Do(ctx, "mail", func(ctx context.Context) error {
			fmt.Println("try", pawl.Attempt(ctx), "for", o.ID, pawl.RunID(ctx) != "")
			return nil
		}, pawl.Verify(func(context.Context) (pawl.None, error) { return pawl.None{}, pawl.ErrNotDone }))
	})
	inside(app, func(ctx context.Context) {
		_, err := greet.Call(ctx, Order{ID: "o1"})
		fmt.Println(err)
	})
	// Output:
	// try 1 for o1 true
	// <nil>
}

// Requests of a step carry its token, so that whoever gets them can tell a
// repetition.
func ExampleHTTP() {
	bank := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("asked with a key:", r.Header.Get("Idempotency-Key") != "")
	}))
	defer bank.Close()
	app := pawl.New("shop")
	pay := pawl.Func(app, "pay", func(ctx context.Context, _ Order) (int, error) {
		return pawl.Run(ctx, "charge", func(ctx context.Context) (int, error) {
			res, err := pawl.HTTP(ctx).Post(bank.URL, "application/json", nil)
			if err != nil {
				return 0, err
			}
			if res.StatusCode == http.StatusServiceUnavailable {
				err = pawl.RetryAfter(errors.New("the bank is closed"), time.Hour)
			}
			return res.StatusCode, errors.Join(err, res.Body.Close())
		})
	})
	inside(app, func(ctx context.Context) { fmt.Println(pay.Call(ctx, Order{})) })
	// Output:
	// asked with a key: true
	// 200 <nil>
}

func ExampleInvoke() {
	app := pawl.New("shop")
	vat := pawl.Func(app, "vat", func(_ context.Context, o Order) (int, error) { return o.Cents * 19 / 100, nil })
	stock := pawl.Remote[Order, bool]("warehouse", "reserve") // a function of another app
	total := pawl.Func(app, "total", func(ctx context.Context, o Order) (int, error) {
		tax, err := pawl.Invoke(ctx, "tax", vat, o)
		return o.Cents + tax, err
	})
	fmt.Println(stock.Slug())
	inside(app, func(ctx context.Context) { fmt.Println(total.Call(ctx, Order{Cents: 100})) })
	// Output:
	// warehouse-reserve
	// 119 <nil>
}

func ExampleParallel() {
	app := pawl.New("shop")
	ready := pawl.NewEvent[Order]("shop/order.ready")
	f := pawl.Func(app, "f", func(ctx context.Context, o Order) (string, error) {
		var came Order
		err := pawl.Parallel(ctx,
			func(ctx context.Context) (err error) {
				came, err = pawl.WaitForEvent(ctx, "ready", ready, time.Hour, pawl.Same("ID"))
				return err
			},
			func(ctx context.Context) error {
				_, err := pawl.SendEvent(ctx, "make ready", ready.New(o))
				return err
			},
		)
		return came.ID, err
	})
	fmt.Println(app.Err(), f.Slug())
	// Output: <nil> shop-f
}

// Whoever listens to the channel hears it; nobody waits for that.
func ExamplePublish() {
	app := pawl.New("shop")
	f := pawl.Func(app, "f", func(ctx context.Context, o Order) (any, error) {
		return nil, pawl.Do(ctx, "tell", func(ctx context.Context) error {
			return pawl.Publish(ctx, "order:"+o.ID, "progress", 50)
		})
	})
	inside(app, func(ctx context.Context) {
		_, err := f.Call(ctx, Order{ID: "o1"})
		fmt.Println(err)
	})
	// Output: <nil>
}

func ExampleSleep() {
	app := pawl.New("shop")
	remind := pawl.Func(app, "remind", func(ctx context.Context, o Order) (string, error) {
		if err := pawl.Sleep(ctx, "a moment", 10*time.Millisecond); err != nil {
			return "", err
		}
		if err := pawl.SleepUntil(ctx, "new year", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			return "", err
		}
		return "remember " + o.ID, nil
	})
	inside(app, func(ctx context.Context) { fmt.Println(remind.Call(ctx, Order{ID: "o1"})) })
	// Output: remember o1 <nil>
}

func ExampleWaitForSignal() {
	app := pawl.New("shop")
	approve := pawl.Func(app, "approve", func(ctx context.Context, o Order) (string, error) {
		return pawl.WaitForSignal[string](ctx, "decision", "decided/"+o.ID, 24*time.Hour)
	})
	decide := pawl.Func(app, "decide", func(ctx context.Context, o Order) (bool, error) {
		return pawl.SendSignal(ctx, "decide", "decided/"+o.ID, "yes") // from a function
	})
	fmt.Println(decide.Slug())
	inside(app, func(ctx context.Context) {
		run, err := approve.Start(ctx, Order{ID: "o1"}, "")
		if err != nil {
			fmt.Println(err)
			return
		}
		for { // from outside
			if _, err = app.Signal(ctx, "decided/o1", "yes"); !errors.Is(err, pawl.ErrNobodyWaits) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		fmt.Println(approve.Result(ctx, run))
	})
	// Output:
	// shop-decide
	// yes <nil>
}

func ExampleWaitForReceived() {
	app := pawl.New("shop")
	pawl.Func(app, "audit", func(ctx context.Context, _ Order) (string, error) {
		e, err := pawl.WaitForReceived(ctx, "any end", "inngest/function.finished", time.Hour)
		return e.Name, err
	})
	fmt.Println(app.Err())
	// Output: <nil>
}

// A step that fails for good can be caught.
func ExampleStepError() {
	app := pawl.New("shop")
	pay := pawl.Func(app, "pay", func(ctx context.Context, _ Order) (string, error) {
		err := pawl.Do(ctx, "charge", func(context.Context) error { return pawl.Permanent(errors.New("declined")) })
		var failed *pawl.StepError
		if errors.As(err, &failed) {
			return "ask for another card: " + failed.Message, nil
		}
		return "paid", err
	})
	inside(app, func(ctx context.Context) { fmt.Println(pay.Call(ctx, Order{})) })
	// Output: ask for another card: declined <nil>
}

// A client that asks with "Accept: text/event-stream" reads what there is so far.
func ExampleStream() {
	app := pawl.New("writers")
	write := app.Endpoint("write", func(w http.ResponseWriter, r *http.Request) {
		err := pawl.Do(r.Context(), "write", func(ctx context.Context) error {
			out := pawl.Stream(ctx)
			if err := out.Send(map[string]int{"chapters": 1}); err != nil {
				return err
			}
			_, err := out.Write([]byte("Once upon a time"))
			return err
		})
		if err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "the end")
	})
	inside(app, func(context.Context) {
		r := httptest.NewRequest(http.MethodPost, "/write", nil)
		r.Header.Set("Accept", "text/event-stream")
		w := httptest.NewRecorder()
		write.ServeHTTP(w, r)
		fmt.Println(w.Header().Get("Content-Type"))
	})
	// Output: text/event-stream
}

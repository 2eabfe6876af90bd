package pawl_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pawlhq/pawl"
)

// An app of a server, with what is otherwise read from the environment.
func ExampleNew() {
	app := pawl.New("shop",
		pawl.SigningKey("signkey-prod-0123456789abcdef"), pawl.EventKey("the event key"),
		pawl.ServedAt("https://shop.example.com/api/inngest"),
		pawl.HTTPClient(&http.Client{Timeout: time.Minute}), pawl.Logger(slog.New(slog.DiscardHandler)))
	http.Handle("/shop/inngest", app)
	fmt.Println(app.Name(), app.Err())
	// Output: shop <nil>
}

// The same functions on a development server, which finds the app by itself.
func ExampleAttach() {
	ctx := context.Background()
	app := pawl.New("shop", pawl.Dev())
	tie, err := pawl.Attach(ctx, "http://localhost:8288", app)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("attached")
	fmt.Println(tie.Close(ctx))
	// Output:
	// attached
	// <nil>
}

func ExampleFunc() {
	placed, changed := pawl.NewEvent[Order]("shop/order.placed"), pawl.NewEvent[Order]("shop/order.changed")
	app := pawl.New("shop")
	pawl.Func(app, "deliver", func(_ context.Context, o Order) (string, error) { return o.ID, nil },
		pawl.Title("Deliver an order"),
		pawl.On(placed), pawl.On(changed).If("event.data.cents > 100"),
		pawl.Concurrency{Limit: 10, Key: "event.data.customer"},
		pawl.Throttle{Limit: 100, Period: time.Minute},
		pawl.Priority("event.data.express ? 60 : 0"),
		pawl.CancelOn{Event: "shop/order.cancelled", If: pawl.Where("id", "o1")},
		pawl.StartWithin(time.Hour), pawl.FinishWithin(7*24*time.Hour),
		pawl.Retries(10), pawl.Backoff(func(try int) time.Duration { return time.Duration(try) * time.Minute }),
	)
	fmt.Println(app.Err(), placed.Name())
	// Output: <nil> shop/order.placed
}

func ExampleCron() {
	app := pawl.New("shop")
	pawl.Func(app, "report", func(context.Context, struct{}) (any, error) { return nil, nil },
		pawl.Cron{Schedule: "TZ=Europe/Berlin 0 9 * * 1", Jitter: time.Minute, Missed: "once", Overlap: "skip"},
		pawl.Singleton{}, pawl.Constant(time.Minute))
	fmt.Println(app.Err())
	// Output: <nil>
}

// What comes often is put together: the newest of what comes in 10 s, up to 100
// events in one run, or at most so many runs.
func ExampleBatch() {
	app := pawl.New("shop")
	pawl.Func(app, "index", func(_ context.Context, o Order) (any, error) { return nil, nil },
		pawl.OnName("shop/*"), pawl.Debounce{Period: 10 * time.Second, Key: "event.data.id"})
	pawl.Func(app, "store", func(ctx context.Context, orders []Order) (int, error) {
		first := pawl.Events(ctx)[0]
		fmt.Println(first.Name)
		return len(orders), nil
	}, pawl.OnName("shop/order.placed"), pawl.Batch{Size: 100, Timeout: 5 * time.Second})
	pawl.Func(app, "welcome", func(context.Context, Order) (any, error) { return nil, nil },
		pawl.OnName("shop/order.placed"), pawl.RateLimit{Limit: 1, Period: 24 * time.Hour, Key: "event.data.customer"},
		pawl.Idempotency("event.data.id"))
	fmt.Println(app.Err())
	// Output: <nil>
}

// What must not start twice by accident asks for a key, or has one made of what it says.
func ExampleKeyRule() {
	app := pawl.New("shop")
	charge := pawl.Func(app, "charge", func(context.Context, Order) (string, error) { return "charged", nil }, pawl.KeyRequired)
	mail := pawl.Func(app, "mail", func(context.Context, Order) (string, error) { return "sent", nil }, pawl.KeyDerived)
	inside(app, func(ctx context.Context) {
		_, err := charge.Start(ctx, Order{ID: "o1"}, "")
		fmt.Println("started without a key:", err == nil)
		_, err = charge.Start(ctx, Order{ID: "o1"}, "order o1")
		fmt.Println("started with one:", err == nil)
		first, err := mail.Start(ctx, Order{ID: "o1"}, "")
		if err != nil {
			fmt.Println(err)
			return
		}
		again, err := mail.Start(ctx, Order{ID: "o1"}, "")
		fmt.Println("the same run:", first == again, err)
	})
	// Output:
	// started without a key: false
	// started with one: true
	// the same run: true <nil>
}

var errDeclined = errors.New("declined")

// Errors that no further try can mend use up no tries, and somebody is told.
func ExampleClassify() {
	told := make(chan string, 1)
	app := pawl.New("shop")
	pay := pawl.Func(app, "pay", func(context.Context, Order) (any, error) { return nil, errDeclined },
		pawl.Classify(func(err error) pawl.Verdict {
			if errors.Is(err, errDeclined) {
				return pawl.Fail
			}
			return pawl.Undecided
		}),
		pawl.OnFailure(func(_ context.Context, f pawl.Failure) error {
			told <- f.Message
			return nil
		}))
	inside(app, func(ctx context.Context) {
		run, err := pay.Start(ctx, Order{ID: "o1"}, "order o1") // with a key, so that it starts once
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("told:", <-told)
		var info pawl.RunInfo
		if info, err = app.Run(ctx, run); err == nil {
			fmt.Println(info.Status, info.Status.Final())
		}
	})
	// Output:
	// told: declined
	// Failed true
}

func ExampleEvent() {
	app := pawl.New("shop")
	heard := make(chan string, 1)
	pawl.Func(app, "hear", func(ctx context.Context, _ Order) (any, error) {
		heard <- pawl.Events(ctx)[0].Name
		return nil, nil
	}, pawl.OnName("shop/*"))
	inside(app, func(ctx context.Context) {
		_, err := app.Send(ctx, pawl.Event{Name: "shop/order.lost", Data: Order{ID: "o1"}, ID: "lost-o1"})
		fmt.Println(<-heard, err)
	})
	// Output: shop/order.lost <nil>
}

// With Pipelined a client has its answer before the disk has the steps: let what
// was answered be saved before the process ends. An engine in the process does so
// when it is closed.
func ExampleApp_Drain() {
	app := pawl.New("shop")
	count := app.Endpoint("count", func(w http.ResponseWriter, r *http.Request) {
		if err := pawl.Do(r.Context(), "count", func(context.Context) error { return nil }); err != nil {
			pawl.Error(w, err)
			return
		}
		fmt.Fprint(w, "counted")
	}, pawl.Pipelined)
	inside(app, func(ctx context.Context) {
		w := httptest.NewRecorder()
		count.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/count", nil))
		fmt.Println(w.Body, app.Drain(ctx))
	})
	// Output: counted <nil>
}

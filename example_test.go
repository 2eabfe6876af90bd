package pawl_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
)

type Order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

// inside runs app in this process while f does, on a file that is gone after.
func inside(app *pawl.App, f func(ctx context.Context)) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "pawl-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	e, err := engine.Open(ctx, filepath.Join(dir, "example.db"), app, engine.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}
	defer e.Close(ctx)
	f(ctx)
}

// A function of two steps, in this process.
func Example() {
	app := pawl.New("shop")
	bill := pawl.Func(app, "bill", func(ctx context.Context, o Order) (string, error) {
		number, err := pawl.Run(ctx, "number", func(context.Context) (int, error) { return 42, nil })
		if err != nil {
			return "", err
		}
		err = pawl.Do(ctx, "print", func(context.Context) error {
			fmt.Printf("bill %d: %d cents\n", number, o.Cents)
			return nil
		})
		return fmt.Sprint("bill ", number), err
	})
	inside(app, func(ctx context.Context) {
		out, err := bill.Call(ctx, Order{ID: "o1", Cents: 500})
		fmt.Println(out, err)
	})
	// Output:
	// bill 42: 500 cents
	// bill 42 <nil>
}

func ExampleApp_Send() {
	placed := pawl.NewEvent[Order]("shop/order.placed")
	done := make(chan string, 1)
	app := pawl.New("shop")
	pawl.Func(app, "note", func(_ context.Context, o Order) (any, error) {
		done <- o.ID
		return nil, nil
	}, pawl.On(placed))
	inside(app, func(ctx context.Context) {
		if _, err := app.Send(ctx, placed.New(Order{ID: "o1"}).WithID("o1")); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("noted", <-done)
	})
	// Output: noted o1
}

func ExampleRun() {
	app := pawl.New("shop")
	pawl.Func(app, "pay", func(ctx context.Context, o Order) (string, error) {
		return pawl.Run(ctx, "charge", func(ctx context.Context) (string, error) {
			return charge(ctx, pawl.Token(ctx), o.Cents) // the token is the same for each try
		}, pawl.Timeout(10*time.Second), pawl.Retries(3), pawl.Exponential(time.Second, time.Minute))
	})
	fmt.Println(app.Err())
	// Output: <nil>
}

func charge(_ context.Context, token string, _ int) (string, error) { return token, nil }

func ExampleVerify() {
	app := pawl.New("shop")
	pawl.Func(app, "pay", func(ctx context.Context, o Order) (string, error) {
		return pawl.Run(ctx, "charge", func(ctx context.Context) (string, error) {
			return charge(ctx, pawl.Token(ctx), o.Cents)
		}, pawl.Verify(func(ctx context.Context) (string, error) {
			receipt, found := lookUp(ctx, pawl.Token(ctx))
			if !found {
				return "", pawl.ErrNotDone
			}
			return receipt, nil
		}))
	})
	fmt.Println(app.Err())
	// Output: <nil>
}

func lookUp(context.Context, string) (string, bool) { return "", false }

func ExampleWaitForEvent() {
	type Decision struct {
		Order string `json:"order"`
		OK    bool   `json:"ok"`
	}
	decided := pawl.NewEvent[Decision]("shop/order.decided")
	app := pawl.New("shop")
	pawl.Func(app, "approve", func(ctx context.Context, o Order) (bool, error) {
		d, err := pawl.WaitForEvent(ctx, "decision", decided, 72*time.Hour, pawl.If(pawl.Where("order", o.ID)))
		if errors.Is(err, pawl.ErrTimeout) {
			return false, nil // nobody has decided in three days
		}
		return d.OK, err
	})
	fmt.Println(app.Err())
	// Output: <nil>
}

func ExampleMap() {
	app := pawl.New("shop")
	double := pawl.Func(app, "double", func(ctx context.Context, in struct{ N []int }) ([]int, error) {
		return pawl.Map(ctx, in.N, func(ctx context.Context, i, n int) (int, error) {
			return pawl.Run(ctx, fmt.Sprint("double ", i), func(context.Context) (int, error) { return 2 * n, nil })
		})
	})
	inside(app, func(ctx context.Context) {
		out, err := double.Call(ctx, struct{ N []int }{[]int{1, 2, 3}})
		fmt.Println(out, err)
	})
	// Output: [2 4 6] <nil>
}

func ExampleApp_Endpoint() {
	app := pawl.New("shop")
	http.Handle("/api/inngest", app)
	http.Handle("POST /orders", app.Endpoint("order", func(w http.ResponseWriter, r *http.Request) {
		err := pawl.Do(r.Context(), "store", func(context.Context) error { return nil })
		if err != nil {
			pawl.Error(w, err)
			return
		}
		_, _ = io.WriteString(w, "thank you")
	}))
	fmt.Println(app.Err())
	// Output: <nil>
}

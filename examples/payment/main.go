// A payment. Whatever breaks between us and the bank, the card is charged once:
// before a second try, Pawl asks the bank whether the first one came through.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
)

type Order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

var placed = pawl.NewEvent[Order]("shop/order.placed")

func pay(ctx context.Context, o Order) (Charge, error) {
	charge, err := pawl.Run(ctx, "charge the card", func(ctx context.Context) (Charge, error) {
		return bank.Charge(ctx, pawl.Token(ctx), o.Cents)
	},
		pawl.Verify(func(ctx context.Context) (Charge, error) { // did the last try come through?
			charge, err := bank.Find(ctx, pawl.Token(ctx))
			if errors.Is(err, errNoCharge) {
				err = pawl.ErrNotDone
			}
			return charge, err
		}),
		pawl.Undo(func(ctx context.Context, c Charge) error { return bank.Refund(ctx, c) }),
		pawl.Timeout(10*time.Second),
		pawl.Retries(8), pawl.Exponential(time.Second, time.Minute),
	)
	if err != nil {
		return charge, err // declined, or nobody knows: a dead letter for a person
	}
	if err := pawl.Do(ctx, "ship", func(ctx context.Context) error { return ship(ctx, o) }); err != nil {
		return charge, pawl.Compensate(ctx, err) // gives the money back
	}
	return charge, nil
}

func main() {
	ctx := context.Background()
	app := pawl.New("payment")
	pawl.Func(app, "pay", pay, pawl.On(placed), pawl.Retries(8))

	p, err := engine.Open(ctx, "payment.db", app) // on a server: pawl.Attach(ctx, "http://localhost:8288", app)
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/api/inngest", app) // where a server calls the functions
	http.HandleFunc("POST /orders", takeOrders(app))
	log.Print(errors.Join(serve(), p.Close(ctx))) // when it is interrupted
}

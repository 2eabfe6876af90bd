package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"

	"github.com/pawlhq/pawl"
)

// Charge is what a bank knows of a payment.
type Charge struct {
	Token string `json:"token"`
	Cents int    `json:"cents"`
}

var errNoCharge = errors.New("the bank knows of no such charge")

// client asks the bank at URL.
type client struct{ url string }

var bank = client{cmp.Or(os.Getenv("BANK"), wobblyBank())}

func (b client) Charge(ctx context.Context, token string, cents int) (Charge, error) {
	return b.ask(ctx, http.MethodPost, token, Charge{token, cents})
}

func (b client) Find(ctx context.Context, token string) (Charge, error) {
	return b.ask(ctx, http.MethodGet, token, Charge{})
}

func (b client) Refund(ctx context.Context, c Charge) error {
	_, err := b.ask(ctx, http.MethodDelete, c.Token, c)
	return err
}

func (b client) ask(ctx context.Context, method, token string, in Charge) (out Charge, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, method, b.url+"/charges/"+token, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return out, json.NewDecoder(res.Body).Decode(&out)
	case http.StatusNotFound:
		return out, errNoCharge
	case http.StatusPaymentRequired:
		return out, pawl.Permanent(errors.New("the card was declined"))
	default:
		return out, fmt.Errorf("the bank answered %s", res.Status)
	}
}

func ship(_ context.Context, o Order) error {
	log.Printf("order %s is on its way", o.ID)
	return nil
}

// takeOrders is the shop's door. An order that is sent twice is one order.
func takeOrders(app *pawl.App) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var o Order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil || o.ID == "" || o.Cents <= 0 {
			http.Error(w, `want {"id":"…","cents":…}`, http.StatusBadRequest)
			return
		}
		if _, err := app.Send(r.Context(), placed.New(o).WithID(o.ID)); err != nil {
			http.Error(w, "please try again in a moment", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}
}

// wobblyBank is a bank in this process whose answer is lost every third time,
// before or after the card was charged.
func wobblyBank() string {
	var mu sync.Mutex
	charges := map[string]Charge{}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		token := r.URL.Path[len("/charges/"):]
		if r.Method == http.MethodPost {
			var c Charge
			if json.NewDecoder(r.Body).Decode(&c) != nil || rand.IntN(6) == 0 { //nolint:gosec // it wobbles
				panic(http.ErrAbortHandler)
			}
			log.Printf("the bank charges %d cents", c.Cents)
			charges[token] = c
			if rand.IntN(6) == 0 { //nolint:gosec // it wobbles
				panic(http.ErrAbortHandler)
			}
		}
		c, ok := charges[token]
		if r.Method == http.MethodDelete {
			delete(charges, token)
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(c)
	})).URL
}

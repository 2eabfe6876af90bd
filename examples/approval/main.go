// An expense that a person has to approve. To its client this is one HTTP request
// with one answer, though days may pass before that comes.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
)

type Decision struct {
	Expense  string `json:"expense"`
	Approved bool   `json:"approved"`
	By       string `json:"by"`
}

var decided = pawl.NewEvent[Decision]("expense/decided")

func expense(w http.ResponseWriter, r *http.Request) {
	ctx, id := r.Context(), r.FormValue("id")
	if err := pawl.Do(ctx, "ask the boss", askBoss(id)); err != nil {
		pawl.Error(w, err)
		return
	}
	d, err := pawl.WaitForEvent(ctx, "decision", decided, 72*time.Hour, pawl.If(pawl.Where("expense", id)))
	switch {
	case errors.Is(err, pawl.ErrTimeout):
		http.Error(w, "nobody has decided in three days", http.StatusGone)
	case err != nil:
		pawl.Error(w, err)
	default:
		fmt.Fprintf(w, "approved: %t, by %s\n", d.Approved, d.By)
	}
}

func main() {
	ctx := context.Background()
	app := pawl.New("approval")
	http.Handle("/api/inngest", app)
	http.Handle("POST /expenses", app.Endpoint("expense", expense))
	http.HandleFunc("POST /decisions", func(w http.ResponseWriter, r *http.Request) {
		d := Decision{r.FormValue("expense"), r.FormValue("approved") == "yes", r.FormValue("by")}
		if _, err := app.Send(r.Context(), decided.New(d)); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	p, err := engine.Open(ctx, "approval.db", app) // on a server: pawl.Attach(ctx, "http://localhost:8288", app)
	if err != nil {
		log.Fatal(err)
	}
	log.Print(errors.Join(serve(), p.Close(ctx))) // when it is interrupted
}

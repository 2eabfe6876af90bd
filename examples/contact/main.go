// A contact form. The visitor is answered as soon as the message is on disk; the
// mails follow, each of them once, however often the mail server is down.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/mail"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
)

type Form struct {
	Email string `json:"email"`
	Text  string `json:"text"`
}

var submitted = pawl.NewEvent[Form]("contact/form.submitted")

func deliver(ctx context.Context, f Form) (string, error) {
	if err := pawl.Do(ctx, "tell the team", sendMail("team@example.com", f.Text)); err != nil {
		return "", err
	}
	if err := pawl.Sleep(ctx, "wait a day", 24*time.Hour); err != nil {
		return "", err
	}
	return "done", pawl.Do(ctx, "ask how it went", sendMail(f.Email, "Did we help?"))
}

func main() {
	ctx := context.Background()
	app := pawl.New("contact")
	pawl.Func(app, "deliver", deliver, pawl.On(submitted), pawl.Retries(10))

	p, err := engine.Open(ctx, "contact.db", app) // on a server: pawl.Attach(ctx, "http://localhost:8288", app)
	if err != nil {
		log.Fatal(err)
	}

	http.Handle("/api/inngest", app) // where a server calls the functions
	http.HandleFunc("POST /contact", func(w http.ResponseWriter, r *http.Request) {
		form := Form{Email: r.FormValue("email"), Text: r.FormValue("text")}
		if _, err := mail.ParseAddress(form.Email); err != nil {
			http.Error(w, "email: this is no address", http.StatusBadRequest)
			return
		}
		if _, err := app.Send(r.Context(), submitted.New(form)); err != nil {
			http.Error(w, "please try again in a moment", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "Thank you!")
	})
	log.Print(errors.Join(serve(), p.Close(ctx))) // when it is interrupted
}

package pawltest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/engine"
	"github.com/pawlhq/pawl/pawltest"
)

type Order struct{ ID string }

var payment = pawl.NewEvent[Order]("shop/order.paid")

// shop has one function: it waits a month for a payment, and reminds after a week.
func shop(mail func(ctx context.Context, o Order) error) (app *pawl.App, remind *pawl.Function[Order, bool]) {
	app = pawl.New("shop")
	remind = pawl.Func(app, "remind", func(ctx context.Context, o Order) (bool, error) {
		_, err := pawl.WaitForEvent(ctx, "first week", payment, 7*24*time.Hour, pawl.Same("ID"))
		if !errors.Is(err, pawl.ErrTimeout) {
			return err == nil, err
		}
		if err := pawl.Do(ctx, "mail", func(ctx context.Context) error { return mail(ctx, o) }); err != nil {
			return false, err
		}
		_, err = pawl.WaitForEvent(ctx, "the rest", payment, 23*24*time.Hour, pawl.Same("ID"))
		if errors.Is(err, pawl.ErrTimeout) {
			return false, nil
		}
		return err == nil, err
	}, pawl.OnName("shop/order.placed"))
	return app, remind
}

func noMail(context.Context, Order) error { return errors.New("a test sends no mail") }

// asTest runs what an example shows; TestExamples sets it.
var asTest = func(func(t *testing.T)) {}

// TestExamples runs the examples, each as the test that it shows.
func TestExamples(t *testing.T) { //nolint:paralleltest // it sets asTest
	n := 0
	asTest = func(test func(t *testing.T)) {
		n++
		t.Run(fmt.Sprint(n), test)
	}
	ExampleRun()
	ExamplePawl_Fail()
	ExamplePawl_Restart()
	ExampleCrashEverywhere()
	ExampleCheck()
	ExamplePawl_Ask()
	if n != 6 {
		t.Errorf("%d examples ran", n)
	}
}

// A month passes in milliseconds.
func ExampleRun() {
	TestReminder := func(t *testing.T) {
		app, remind := shop(noMail)
		pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
			p.Mock("mail", func(int) (any, error) { return nil, nil })
			run := pawltest.Start(p, remind, Order{"o1"})
			p.Advance(8 * 24 * time.Hour)
			if p.Bodies("mail") != 1 || run.Status() != pawl.Running {
				t.Error("nobody was reminded")
			}
			p.Send(payment.New(Order{"o1"}))
			if ok, err := run.Result(); !ok || err != nil {
				t.Error(ok, err)
			}
		})
	}
	asTest(TestReminder)
}

// A step fails twice, and is then done.
func ExamplePawl_Fail() {
	TestTired := func(t *testing.T) {
		app, remind := shop(func(context.Context, Order) error { return nil })
		pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
			p.Fail("mail", errors.New("busy"), errors.New("still busy"))
			run := pawltest.Start(p, remind, Order{"o1"})
			p.Advance(8 * 24 * time.Hour)
			for _, step := range run.Steps() {
				if step.Name == "mail" && (step.Tries != 3 || step.State != pawltest.Done) {
					t.Error(step)
				}
			}
			p.Cancel(run.ID)
			if s := p.Status(run.ID); s != pawl.Cancelled {
				t.Error(s)
			}
		})
	}
	asTest(TestTired)
}

// The process ends while the run rests, and the next one goes on.
func ExamplePawl_Restart() {
	TestRestart := func(t *testing.T) {
		app, _ := shop(noMail)
		pawltest.Run(t, app, func(t *testing.T, p *pawltest.Pawl) {
			event := p.Send(pawl.Event{Name: "shop/order.placed", Data: Order{"o1"}})[0]
			p.Restart()
			p.Send(payment.New(Order{"o1"}))
			p.Settle()
			run := p.Runs(event)[0]
			if p.Status(run) != pawl.Completed || len(p.Steps(run)) != 1 {
				t.Error(p.Steps(run))
			}
		})
	}
	asTest(TestRestart)
}

// The process dies at each place where it can, and what comes out is the same.
func ExampleCrashEverywhere() {
	TestCrashes := func(t *testing.T) {
		pawltest.CrashEverywhere(t, func(c *pawltest.Case) {
			mails := map[string]bool{} // by token, as the service that sends them keeps it
			app, remind := shop(func(ctx context.Context, _ Order) error {
				mails[pawl.Token(ctx)] = true
				return nil
			})
			paid, err := pawltest.Start(c.Open(app), remind, Order{"o1"}).Result()
			if err != nil {
				c.T().Error(err)
			}
			c.Same("paid", paid)
			c.Same("mails", len(mails))
			if c.Crashed() {
				return // what else there is to see only without a crash
			}
		})
	}
	asTest(TestCrashes)
}

// An endpoint is asked, rests, and answers, wherever the process dies meanwhile.
func ExamplePawl_Ask() {
	TestPay := func(t *testing.T) {
		pawltest.CrashEverywhere(t, func(c *pawltest.Case) {
			app := pawl.New("shop")
			mux := http.NewServeMux()
			mux.Handle("POST /orders/{id}", app.Endpoint("order", func(w http.ResponseWriter, r *http.Request) {
				if err := pawl.Sleep(r.Context(), "an hour", time.Hour); err != nil {
					pawl.Error(w, err)
					return
				}
				fmt.Fprintf(w, "order %s is placed", r.PathValue("id"))
			}))
			p := c.Open(app)
			r := httptest.NewRequest(http.MethodPost, "/orders/o1", nil)
			r.Header.Set("Idempotency-Key", "k1")
			answer := p.Ask(mux, r)
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			if err != nil {
				c.T().Error(err)
			}
			c.Same("answer", string(text))
		})
	}
	asTest(TestPay)
}

// record leaves a store with a run that waits, as a backup of production has it.
func record(t *testing.T, path string) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.WithoutCancel(t.Context())
		app, remind := shop(noMail)
		e, err := engine.Open(ctx, path, app, engine.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remind.Start(ctx, Order{"o1"}, ""); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

// Before a deploy: do the runs that there are fit the new code?
func ExampleCheck() {
	TestFitsProduction := func(t *testing.T) {
		backup := filepath.Join(t.TempDir(), "backup.db")
		record(t, backup)
		app, _ := shop(noMail)
		pawltest.Check(t, app, backup)
	}
	asTest(TestFitsProduction)
}

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tripBooking is the example app, installed like an SDK's.
var tripBooking = sdk{name: "trip-booking", dir: "../examples/trip-booking", lock: "package-lock.json"}

// trips is the example with its providers in a process of their own, and the server.
type trips struct {
	*pawl
	t               *testing.T
	argv, env       []string
	app             *process
	front, provided string
}

// provided is what a provider has of a trip.
type provided struct {
	Details json.RawMessage
	Calls   int
}

func startTrips(t *testing.T) *trips {
	t.Helper()
	p := newPawl(t, serve, "--endpoint-lease", "2s", "--retry-interval", "300ms", "--durability", "full")
	p.start()
	argv := tripBooking.command(t)
	port, providers := freePort(t), freePort(t)
	tr := &trips{
		pawl: p, t: t, argv: argv, front: fmt.Sprintf("http://127.0.0.1:%d", port), provided: fmt.Sprintf("http://127.0.0.1:%d", providers),
		env: []string{
			fmt.Sprintf("PORT=%d", port), "INNGEST_DEV=0", "INNGEST_BASE_URL=" + p.url, "INNGEST_SIGNING_KEY=" + signingKey, "INNGEST_EVENT_KEY=" + eventKey,
			"APPROVAL_TIME=3s",
		},
	}
	startProcess(t, "providers", []string{fmt.Sprintf("PROVIDERS_PORT=%d", providers)}, "node", strings.TrimSuffix(argv[1], "main.mjs")+"providers.mjs")
	tr.env = append(tr.env, "PROVIDERS_URL="+tr.provided)
	eventually(t, 30*time.Second, func() error { _, err := tr.ask(t.Context(), "GET", tr.provided+"/", nil); return err })
	tr.start()
	return tr
}

func (tr *trips) start() {
	tr.t.Helper()
	tr.app = startProcess(tr.t, tripBooking.name, tr.env, tr.argv...)
	eventually(tr.t, 30*time.Second, func() error {
		if tr.app.ended() {
			tr.t.Fatalf("the example ended while starting:\n%s", tr.app.tail(4<<10))
		}
		_, err := tr.ask(tr.t.Context(), "GET", tr.front+"/", nil)
		return err
	})
}

func (tr *trips) ask(ctx context.Context, method, url string, body any) (reply, error) {
	text := ""
	if body != nil {
		text = string(encoded(body))
	}
	return fetch(ctx, method, url, text, nil)
}

// behave makes the providers behave, and forget what they have.
func (tr *trips) behave(t *testing.T, how op) {
	t.Helper()
	for _, r := range []struct {
		method, path string
		body         any
	}{{"DELETE", "/", nil}, {"POST", "/behaviour", how}} {
		got, err := tr.ask(t.Context(), r.method, tr.provided+r.path, r.body)
		require.NoError(t, err)
		require.Equal(t, 200, got.status, got.body)
	}
}

// booked is what all providers have.
func (tr *trips) booked(t *testing.T) (all map[string]map[string]provided) {
	t.Helper()
	got, err := tr.ask(t.Context(), "GET", tr.provided+"/", nil)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(got.body), &all))
	return all
}

// tripOutcome is what becomes of a trip.
type tripOutcome struct {
	ID     string
	Booked bool
	Reason string
	Errors []string
}

// book books a trip, and follows to its result.
func (tr *trips) book(t *testing.T, price int) (status int, moved bool, out tripOutcome) {
	t.Helper()
	got, err := tr.ask(t.Context(), "POST", tr.front+"/book", op{"traveller": "Ada", "to": "Lisbon", "nights": 3, "price": price})
	require.NoError(t, err)
	at, moved := got.redirects(tr.pawl)
	if moved {
		got, err = follow(t.Context(), at)
		require.NoError(t, err)
		var text string
		require.NoError(t, json.Unmarshal([]byte(got.body), &text), got.body)
		got.body = text
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &out), got.body)
	return got.status, moved, out
}

// TestTripBooking plays the example's README.
func TestTripBooking(t *testing.T) {
	guard(t)
	t.Parallel()
	tr := startTrips(t)
	once := func(t *testing.T, id string, kinds ...string) {
		t.Helper()
		all := tr.booked(t)
		for _, kind := range []string{"flight", "hotel", "payment"} {
			n := 0
			for _, want := range kinds {
				if want == kind {
					n = 1
				}
			}
			require.Len(t, all[kind], n, kind)
			if n == 1 {
				require.Equal(t, 1, all[kind][id].Calls, "bookings of the %s", kind)
			}
		}
	}
	// answer waits until somebody is asked, and answers.
	answer := func(t *testing.T, approved bool) {
		t.Helper()
		eventually(t, patience, func() error {
			for id := range tr.booked(t)["approvals"] {
				for _, r := range tr.allRuns("") {
					if steps, err := tr.trySteps(r.ID); err == nil && !r.final() && waits(steps) {
						got, err := tr.ask(t.Context(), "POST", tr.front+"/answer", op{"id": id, "approved": approved})
						require.NoError(t, err)
						require.Equal(t, http.StatusAccepted, got.status, got.body)
						return nil
					}
				}
			}
			return errNotYet
		})
	}

	t.Run("booked in the same request", func(t *testing.T) {
		tr.behave(t, op{})
		status, moved, out := tr.book(t, 800)
		require.False(t, moved)
		require.Equal(t, 201, status)
		require.True(t, out.Booked)
		once(t, out.ID, "flight", "hotel", "payment")
	})
	t.Run("bad input is refused", func(t *testing.T) {
		tr.behave(t, op{})
		status, _, out := tr.book(t, -1)
		require.Equal(t, 400, status)
		require.NotEmpty(t, out.Errors)
		once(t, "")
	})
	t.Run("a bank that is out of order for a while", func(t *testing.T) {
		tr.behave(t, op{"payment": op{"down": 2}})
		_, moved, out := tr.book(t, 800)
		require.True(t, moved)
		require.True(t, out.Booked, out.Reason)
		once(t, out.ID, "flight", "hotel", "payment")
	})
	t.Run("a bank that refuses: all is cancelled", func(t *testing.T) {
		tr.behave(t, op{"payment": op{"refuse": "no money left"}})
		_, _, out := tr.book(t, 800)
		require.False(t, out.Booked)
		require.Equal(t, "no money left", out.Reason)
		once(t, out.ID)
	})
	t.Run("a hotel that stays out of order: the flight is cancelled", func(t *testing.T) {
		tr.behave(t, op{"hotel": op{"down": 100}})
		_, _, out := tr.book(t, 800)
		require.False(t, out.Booked)
		require.Contains(t, out.Reason, "out of order")
		once(t, out.ID)
	})
	for _, approved := range []bool{true, false} {
		t.Run(fmt.Sprintf("an expensive trip, approved: %v", approved), func(t *testing.T) {
			tr.behave(t, op{})
			var person sync.WaitGroup
			person.Go(func() { answer(t, approved) })
			_, moved, out := tr.book(t, 2500)
			person.Wait()
			require.True(t, moved)
			require.Equal(t, approved, out.Booked, out.Reason)
			if approved {
				once(t, out.ID, "flight", "hotel", "payment")
			} else {
				once(t, out.ID)
			}
		})
	}
	t.Run("an expensive trip that nobody looks at", func(t *testing.T) {
		tr.behave(t, op{})
		_, _, out := tr.book(t, 2500)
		require.False(t, out.Booked)
		require.Contains(t, out.Reason, "in time")
		once(t, out.ID)
	})
	t.Run("the app dies while it books the hotel", func(t *testing.T) {
		tr.behave(t, op{"hotel": op{"delay": 1000}})
		var client sync.WaitGroup
		client.Go(func() {
			tr.ask(context.Background(), "POST", tr.front+"/book", op{"traveller": "Ada", "to": "Lisbon", "nights": 3, "price": 900})
		})
		eventually(t, patience, func() error { // the flight is booked, and that is saved
			for _, r := range tr.allRuns("") {
				if steps, err := tr.trySteps(r.ID); err == nil && !r.final() && len(steps) >= 2 && steps[1].Status == "completed" {
					return nil
				}
			}
			return errNotYet
		})
		require.NoError(t, tr.app.signal(syscall.SIGKILL))
		client.Wait()
		tr.start()
		var id string
		eventually(t, patience, func() error {
			for id = range tr.booked(t)["payment"] {
				return nil
			}
			return errNotYet
		})
		all := tr.booked(t)
		require.Equal(t, 1, all["flight"][id].Calls, "bookings of the flight, which was saved")
		require.LessOrEqual(t, all["hotel"][id].Calls, 2, "bookings of the hotel, under one id")
		require.Equal(t, 1, all["payment"][id].Calls)
	})
}

// waits reports whether one of the steps waits for an event.
func waits(steps []stepInfo) bool {
	for _, s := range steps {
		if s.Status == "waiting" {
			return true
		}
	}
	return false
}

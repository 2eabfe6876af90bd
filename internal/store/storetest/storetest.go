// Package storetest proves that an implementation of store.Store keeps the
// contract. It holds nothing that only one database can do: what it knows of
// an implementation is how to open it.
package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Fixture is one empty database.
type Fixture struct {
	// Open opens the database. It is called again after what it returned was
	// closed, and then finds what was there.
	Open func(t *testing.T) store.Store
}

// Run runs the suite, each test on a database of its own.
func Run(t *testing.T, fixture func(*testing.T) Fixture) {
	groups := []struct {
		name  string
		tests []test
	}{
		{"Accept", acceptTests},
		{"Backlog", backlogTests},
		{"Begin", beginTests},
		{"Transition", transitionTests},
		{"Recovery", recoveryTests},
		{"Queue", queueTests},
		{"Limits", limitTests},
		{"Wake", wakeTests},
		{"Waits", waitTests},
		{"Signals", signalTests},
		{"Deliveries", deliveryTests},
		{"Settle", settleTests},
		{"Start", startTests},
		{"Parked", parkedTests},
		{"Schedule", scheduleTests},
		{"History", historyTests},
		{"Past", pastTests},
		{"DeadLetters", deadTests},
		{"Reruns", rerunTests},
		{"Apps", appTests},
		{"Cancellations", cancellationTests},
		{"Made", madeTests},
		{"People", peopleTests},
		{"Audit", auditTests},
		{"Alerts", alertTests},
		{"Retention", retentionTests},
		{"Streams", streamTests},
		{"Close", closeTests},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range g.tests {
				t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
					t.Parallel()
					d := &db{T: t, fixture: fixture(t), another: fixture}
					d.open()
					t.Cleanup(func() {
						require.NoError(t, d.Close(), "close")
					})
					tt.run(d)
				})
			}
		})
	}
}

// test is a sentence about a store, and its proof.
type test struct {
	name string
	run  func(*db)
}

// db is a store under test.
type db struct {
	*testing.T
	store.Store
	fixture Fixture
	another func(*testing.T) Fixture // a database that nobody else has
}

func (d *db) open() { d.Store = d.fixture.Open(d.T) }

// Run is the store's; a db starts no subtests.
func (d *db) Run(ctx context.Context, id string) (*durable.Run, error) { return d.Store.Run(ctx, id) }

// reopen closes the store and opens it again.
func (d *db) reopen() {
	d.Helper()
	require.NoError(d, d.Close(), "close")
	d.open()
}

// noon is the time at which most tests happen. Nothing reads a clock.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newID() string { return ulid.Make().String() }

// event is an event that was received at noon.
func event(name string) durable.Event {
	id := newID()
	return durable.Event{
		ID: id, Name: name, At: noon, Received: noon, Trace: "00-" + strings.Repeat("1", 32) + "-" + strings.Repeat("2", 16) + "-01 a=b",
		Body: durable.JSON(fmt.Sprintf(`{"name":%q,"data":{"n":1},"id":%q}`, name, id)),
	}
}

// start is a run of the function slug for e that is due at due.
func start(slug string, e durable.Event, due time.Time) *durable.Run {
	r := durable.NewRun(newID(), durable.Function{Slug: slug, App: "shop", Version: 3}, e, due, due.Add(-time.Hour)) // it waits for its time
	r.Queued = noon
	return r
}

func starts(runs ...*durable.Run) []durable.Start {
	list := make([]durable.Start, 0, len(runs))
	for _, r := range runs {
		list = append(list, durable.Start{Run: r})
	}
	return list
}

// accepted is a new event that starts one run, due at due.
func accepted(due time.Time) store.Accepted {
	e := event("order/placed")
	return store.Accepted{Event: e, Starts: starts(start("shop-ship", e, due))}
}

// accept writes a batch at noon and returns the ids of the runs that started.
func (d *db) accept(batch ...store.Accepted) []string {
	d.Helper()
	started, err := d.Accept(d.Context(), noon, batch)
	require.NoError(d, err, "accept")
	return started
}

// startAt accepts an event that starts one run, due at due.
func (d *db) startAt(due time.Time) string {
	d.Helper()
	started := d.accept(accepted(due))
	require.Len(d, started, 1)
	return started[0]
}

// startMany accepts n events that start one run each; due gives the times.
func (d *db) startMany(n int, due func(i int) time.Time) []string {
	d.Helper()
	var ids []string
	batch := make([]store.Accepted, 0, n)
	for i := range n {
		batch = append(batch, accepted(due(i)))
	}
	for part := range slices.Chunk(batch, 1000) {
		ids = append(ids, d.accept(part...)...)
	}
	require.Len(d, ids, n)
	return ids
}

// change commits c to a run, whatever the run is.
func (d *db) change(run string, c durable.Change, emit ...store.Accepted) {
	d.Helper()
	require.NoError(d, d.tryChange(run, c, emit...), "transition")
}

func (d *db) tryChange(run string, c durable.Change, emit ...store.Accepted) error {
	return d.Transition(d.Context(), run, func(*durable.Run) (store.Decision, error) {
		return store.Decision{Change: c, Accepted: emit}, nil
	})
}

// put is a change that queues an item for a step.
func put(run, step string, due time.Time) durable.Change {
	return durable.Change{Put: []durable.Put{{Item: durable.Item{Run: run, Step: step, Due: due}}}}
}

// done is an entry that ends a step.
func done(step string) durable.Entry {
	return durable.Entry{Step: step, Kind: durable.StepDone, Op: "StepRun", Name: step, At: noon, Data: durable.JSON(`{"data":"` + step + `"}`)}
}

// view is a copy of a run as View shows it.
func (d *db) view(run string) *durable.Run {
	d.Helper()
	var out *durable.Run
	require.NoError(d, d.View(d.Context(), run, func(r *durable.Run) error {
		out = snapshot(r)
		return nil
	}), "view")
	return out
}

func snapshot(r *durable.Run) *durable.Run {
	c := *r
	c.Events = slices.Clone(r.Events)
	c.Stack = slices.Clone(r.Stack)
	c.Steps = maps.Clone(r.Steps)
	for id, s := range c.Steps {
		step := *s
		c.Steps[id] = &step
	}
	c.Items = maps.Clone(r.Items)
	for id, i := range c.Items {
		item := *i
		c.Items[id] = &item
	}
	return &c
}

// claim leases for a minute what is due at now.
func (d *db) claim(now time.Time, limit int) []store.Lease {
	d.Helper()
	leases, err := d.Claim(d.Context(), now, time.Minute, limit)
	require.NoError(d, err, "claim")
	return leases
}

// claimOne leases the one item that must be due at now.
func (d *db) claimOne(now time.Time) store.Lease {
	d.Helper()
	leases := d.claim(now, 10)
	require.Len(d, leases, 1, "claimed")
	return leases[0]
}

func (d *db) wantNothingDue(now time.Time) {
	d.Helper()
	require.Empty(d, d.claim(now, 10), "claimed at %s", now)
}

// same compares what was written with what is read: times as instants, and an
// empty list like none.
func same(t testing.TB, want, got any, opts ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, append(opts, cmpopts.EquateEmpty())...); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}

// unclaimed compares items without who holds them.
var unclaimed = cmpopts.IgnoreFields(durable.Item{}, "Claimed", "Generation")

func runIDs(runs []*durable.Run) []string {
	ids := make([]string, 0, len(runs))
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	return ids
}

func leasedRuns(leases []store.Lease) []string {
	ids := make([]string, 0, len(leases))
	for _, l := range leases {
		ids = append(ids, l.Run)
	}
	return ids
}

// did is what somebody did at that time.
func did(at time.Time) durable.Act {
	return durable.Act{At: at, By: "ann", What: "test", Object: "thing", Detail: durable.JSON(`{"n":1}`)}
}

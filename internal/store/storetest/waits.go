package storetest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// far is when the items of runs that rest are due: not while a test runs.
var far = noon.AddDate(100, 0, 0)

// forEvent is a wait of a step for any event of a name.
func forEvent(step, name string) durable.Wait {
	return durable.Wait{Step: step, Kind: durable.ForEvent, Name: name}
}

// forValue is a wait for the events of a name that have a value at a path.
func forValue(step, name, path, value string) durable.Wait {
	return durable.Wait{Step: step, Kind: durable.ForEvent, Name: name, Path: path, Value: value, Exact: true}
}

func forSignal(step, name string) durable.Wait {
	return durable.Wait{Step: step, Kind: durable.ForSignal, Name: name}
}

// resting is a change by which steps of a run rest.
func resting(run string, waits ...durable.Wait) (c durable.Change) {
	for _, w := range waits {
		w.Run = run
		c.Waits = append(c.Waits, w)
		c.Entries = append(c.Entries, durable.Entry{Step: w.Step, Kind: durable.StepAsleep, Op: "WaitForEvent", At: noon, Until: far})
		c.Put = append(c.Put, durable.Put{Item: durable.Item{Run: run, Step: w.Step, Kind: durable.Wake, Due: far}})
	}
	return c
}

// rest starts a run, and lets steps of it rest.
func (d *db) rest(waits ...durable.Wait) string {
	d.Helper()
	run := d.startAt(far)
	d.change(run, resting(run, waits...))
	return run
}

// send accepts an event that starts nothing.
func (d *db) send(name string) durable.Event {
	d.Helper()
	e := event(name)
	d.accept(store.Accepted{Event: e})
	return e
}

// waiting are the waits that an event concerns, from a place in the index.
func (d *db) waiting(e durable.Event, path, value string) []durable.Wait {
	d.Helper()
	waits, err := d.Waiting(d.Context(), e.ID, path, value, 0, 1000)
	require.NoError(d, err, "waiting")
	return waits
}

// wantWaiting checks who waits for an event without a condition.
func (d *db) wantWaiting(e durable.Event, want ...durable.Ref) {
	d.Helper()
	var got []durable.Ref
	for _, w := range d.waiting(e, "", "") {
		got = append(got, durable.Ref{Run: w.Run, Step: w.Step})
	}
	require.Equal(d, want, got, "who waits for %s", e.Name)
}

func (d *db) paths(name string) []string {
	d.Helper()
	paths, err := d.Paths(d.Context(), name)
	require.NoError(d, err, "paths")
	return paths
}

// end is a change that ends a run.
func end(status durable.Status) durable.Change {
	return durable.Change{Head: &durable.Head{Status: status, Started: noon, Ended: noon.Add(time.Second), Protocol: 2, Output: durable.JSON(`1`)}}
}

func (d *db) wantSignal(name, run, step string) {
	d.Helper()
	w, err := d.Signal(d.Context(), name)
	if run == "" {
		require.ErrorIs(d, err, store.ErrNotFound)
		require.ErrorContains(d, err, name)
		return
	}
	require.NoError(d, err)
	require.Equal(d, durable.Ref{Run: run, Step: step}, durable.Ref{Run: w.Run, Step: w.Step})
	require.Equal(d, durable.ForSignal, w.Kind)
	require.Equal(d, name, w.Name)
}

var waitTests = []test{
	{"gives a wait back as it was registered", func(d *db) {
		w := durable.Wait{
			Step: "s", Kind: durable.ForEvent, Name: "order/päid \x00'", If: `async.data.id == "x'"`, Path: "data.id", Value: "x'\x00ü",
			Exact: true, Until: noon.Add(time.Hour + time.Microsecond),
		}
		run := d.rest(w)
		e := d.send(w.Name)
		w.Run = run
		check := func() {
			d.Helper()
			got := d.waiting(e, w.Path, w.Value)
			require.Len(d, got, 1)
			require.Positive(d, got[0].Seq)
			w.Seq = got[0].Seq
			same(d, []durable.Wait{w}, got)
		}
		check()
		d.reopen()
		check()
	}},
	{"lists all that a run waits for", func(d *db) {
		run := d.rest(forSignal("b", "go"), forValue("a", "paid", "event.data.id", "1"))
		other := d.rest(forEvent("a", "paid"))
		of := func(run string) (steps []string) {
			waits, err := d.WaitsOf(d.Context(), run)
			require.NoError(d, err)
			for _, w := range waits {
				require.Equal(d, run, w.Run)
				steps = append(steps, w.Step+" "+w.Name+w.Value)
			}
			return steps
		}
		require.Equal(d, []string{"a paid1", "b go"}, of(run))
		require.Equal(d, []string{"a paid"}, of(other))
		d.change(run, durable.Change{Unwait: []string{"a"}})
		require.Equal(d, []string{"b go"}, of(run))
		d.change(run, end(durable.Completed))
		require.Empty(d, of(run))
		require.Empty(d, of(newID()))
	}},
	{"finds waits by name, path and value", func(d *db) {
		run := d.rest(
			forEvent("any", "a"), forEvent("other", "b"), forValue("one", "a", "data.id", "1"), forValue("ten", "a", "data.id", "10"),
			forValue("type", "a", "data.type", "1"), forValue("empty", "a", "data.id", ""), forValue("else", "b", "data.id", "1"),
		)
		e := d.send("a")
		for _, c := range []struct{ path, value, want string }{
			{"", "", "any"},
			{"data.id", "1", "one"},
			{"data.id", "10", "ten"},
			{"data.id", "", "empty"},
			{"data.type", "1", "type"},
			{"data.type", "2", ""},
			{"data.ID", "1", ""},
			{"", "1", ""},
		} {
			got := ""
			for _, w := range d.waiting(e, c.path, c.value) {
				require.Equal(d, run, w.Run)
				got += w.Step
			}
			require.Equal(d, c.want, got, "%s = %q", c.path, c.value)
		}
		require.Empty(d, d.waiting(event("a"), "", ""), "an event that is not there concerns nobody")
	}},
	{"lists each path of an event's waits once", func(d *db) {
		require.Empty(d, d.paths("a"))
		for i := range 5 {
			d.rest(forValue("x", "a", "data.x", strconv.Itoa(i)), forValue("y", "a", "data.y", strconv.Itoa(i)), forSignal("s", "a"+strconv.Itoa(i)))
		}
		d.rest(forSignal("s", "a"), forValue("z", "b", "data.z", "1"))
		require.ElementsMatch(d, []string{"data.x", "data.y"}, d.paths("a"))
		d.rest(forEvent("any", "a"))
		require.ElementsMatch(d, []string{"", "data.x", "data.y"}, d.paths("a"))
		require.Equal(d, []string{"data.z"}, d.paths("b"))
		require.Empty(d, d.paths("c"))
	}},
	{"lists as many paths as there are", func(d *db) {
		const n = 1500
		a := accepted(far)
		run := a.Starts[0].Run.ID
		for i := range n {
			w := forValue(strconv.Itoa(i), "a", fmt.Sprintf("data.x%04d", i), "1")
			w.Run = run
			a.Starts[0].Waits = append(a.Starts[0].Waits, w)
		}
		d.accept(a)
		require.Len(d, d.paths("a"), n)
	}},
	{"gives waits page by page, in the order of their registration", func(d *db) {
		const n = 25
		var want []string
		for i := range n {
			w := forValue("s", "a", "data.id", "1")
			if i%5 == 0 {
				d.rest(forEvent("s", "a"), forValue("t", "a", "data.id", "2"))
			}
			want = append(want, d.rest(w))
		}
		e := d.send("a")
		for _, limit := range []int{1, 7, n, n + 1} {
			var got []string
			for seq := int64(0); ; {
				waits, err := d.Waiting(d.Context(), e.ID, "data.id", "1", seq, limit)
				require.NoError(d, err)
				require.LessOrEqual(d, len(waits), limit)
				for _, w := range waits {
					require.Greater(d, w.Seq, seq)
					seq = w.Seq
					got = append(got, w.Run)
				}
				if len(waits) < limit {
					break
				}
			}
			require.Equal(d, want, got, "pages of %d", limit)
		}
	}},
	{"goes on after a wait that is over", func(d *db) {
		var runs []string
		for range 6 {
			runs = append(runs, d.rest(forEvent("s", "a")))
		}
		e := d.send("a")
		page, err := d.Waiting(d.Context(), e.ID, "", "", 0, 2)
		require.NoError(d, err)
		for _, w := range page {
			d.change(w.Run, durable.Change{Unwait: []string{w.Step}})
		}
		d.change(runs[2], durable.Change{Unwait: []string{"s"}})
		page, err = d.Waiting(d.Context(), e.ID, "", "", page[1].Seq, 2)
		require.NoError(d, err)
		require.Equal(d, []string{runs[3], runs[4]}, []string{page[0].Run, page[1].Run})
	}},
	{"concerns an event with what was registered before it", func(d *db) {
		first := d.rest(forEvent("s", "a"))
		one := d.send("a")
		second := d.rest(forEvent("s", "a"))
		two := d.send("a")
		check := func() {
			d.Helper()
			d.wantWaiting(one, durable.Ref{Run: first, Step: "s"})
			d.wantWaiting(two, durable.Ref{Run: first, Step: "s"}, durable.Ref{Run: second, Step: "s"})
		}
		check()
		d.reopen()
		third := d.rest(forEvent("s", "a"))
		check()
		three := d.send("a")
		require.Len(d, d.waiting(three, "", ""), 3)
		d.change(first, durable.Change{Unwait: []string{"s"}})
		d.wantWaiting(three, durable.Ref{Run: second, Step: "s"}, durable.Ref{Run: third, Step: "s"})
	}},
	{"takes the events of a batch in their order", func(d *db) {
		cancelled := func() store.Accepted {
			a := accepted(far)
			a.Event.Name = "a" // nor is a run concerned by what started it
			run := a.Starts[0].Run.ID
			a.Starts[0].Waits = []durable.Wait{{Run: run, Step: durable.CancelStep(0), Kind: durable.ForCancel, Name: "a"}}
			return a
		}
		first, last := cancelled(), cancelled()
		between := event("a")
		d.accept(first, store.Accepted{Event: between}, last)
		ref := func(a store.Accepted) durable.Ref {
			return durable.Ref{Run: a.Starts[0].Run.ID, Step: durable.CancelStep(0)}
		}
		d.wantWaiting(first.Event)
		d.wantWaiting(between, ref(first))
		d.wantWaiting(last.Event, ref(first))
		d.wantWaiting(d.send("a"), ref(first), ref(last))
	}},
	{"concerns a run with what it sends itself", func(d *db) {
		run := d.startAt(far)
		e := event("a")
		d.change(run, resting(run, forEvent("s", "a")), store.Accepted{Event: e})
		d.wantWaiting(e, durable.Ref{Run: run, Step: "s"})
	}},
	{"registers no waits of a run that did not start", func(d *db) {
		a := accepted(far)
		a.Event.Key = "k"
		again := accepted(far)
		again.Event.Key = "k"
		again.Starts[0].Waits = []durable.Wait{{Run: again.Starts[0].Run.ID, Step: durable.CancelStep(0), Kind: durable.ForCancel, Name: "a"}}
		d.accept(a, again)
		d.wantWaiting(d.send("a"))
	}},
	{"forgets the wait of a step that is over", func(d *db) {
		run := d.rest(forEvent("s", "a"), forEvent("t", "a"))
		other := d.rest(forEvent("s", "a"))
		d.change(run, durable.Change{Unwait: []string{"s", "unknown"}})
		e := d.send("a")
		d.wantWaiting(e, durable.Ref{Run: run, Step: "t"}, durable.Ref{Run: other, Step: "s"})
		// A step may rest again when it is planned anew.
		c := resting(run, forEvent("s", "a"))
		c.Unwait = []string{"t"}
		d.change(run, c)
		d.wantWaiting(e, durable.Ref{Run: other, Step: "s"})
		d.wantWaiting(d.send("a"), durable.Ref{Run: other, Step: "s"}, durable.Ref{Run: run, Step: "s"})
	}},
	{"forgets the waits of a run that has ended", func(d *db) {
		for _, status := range []durable.Status{durable.Completed, durable.Failed, durable.Cancelled} {
			name := "a/" + status.String()
			cancel := durable.Wait{Step: durable.CancelStep(0), Kind: durable.ForCancel, Name: name}
			run := d.rest(forEvent("s", name), forValue("t", name, "data.id", "1"), forSignal("u", name), cancel)
			other := d.rest(forEvent("s", name))
			d.change(run, end(status))
			e := d.send(name)
			d.wantWaiting(e, durable.Ref{Run: other, Step: "s"})
			require.Empty(d, d.waiting(e, "data.id", "1"))
			d.wantSignal(name, "", "")
			require.Equal(d, []string{""}, d.paths(name))
		}
	}},
	{"registers nothing when the change is not written", func(d *db) {
		run, taken := d.startAt(far), d.startAt(far)
		bad := accepted(far)
		bad.Starts[0].Run.ID = taken // no store can take this
		require.Error(d, d.tryChange(run, resting(run, forEvent("s", "a"), forSignal("t", "a")), bad))
		d.wantWaiting(d.send("a"))
		d.wantSignal("a", "", "")
	}},
	{"finds each of many waits", func(d *db) {
		const n = 60
		runs := make([]string, n)
		for i := range n {
			runs[i] = d.rest(forValue("s", "a", "data.id", strconv.Itoa(i)))
		}
		d.reopen()
		e := d.send("a")
		require.Equal(d, []string{"data.id"}, d.paths("a"))
		for i := range n {
			waits := d.waiting(e, "data.id", strconv.Itoa(i))
			require.Len(d, waits, 1)
			require.Equal(d, runs[i], waits[0].Run)
		}
	}},
}

var signalTests = []test{
	{"knows who waits for a signal", func(d *db) {
		d.wantSignal("go", "", "")
		run := d.rest(forSignal("s", "go"), forSignal("t", "stop"), forEvent("u", "go"))
		d.wantSignal("go", run, "s")
		d.wantSignal("stop", run, "t")
		d.wantSignal("g", "", "")
		d.reopen()
		d.wantSignal("go", run, "s")
		d.change(run, durable.Change{Unwait: []string{"s"}})
		d.wantSignal("go", "", "")
		d.wantSignal("stop", run, "t")
	}},
	{"keeps signals and events of one name apart", func(d *db) {
		d.rest(forSignal("s", "a"))
		d.wantWaiting(d.send("a"))
		require.Empty(d, d.paths("a"))
		run := d.rest(forEvent("s", "b"))
		d.wantSignal("b", "", "")
		d.wantWaiting(d.send("b"), durable.Ref{Run: run, Step: "s"})
	}},
	{"gives a signal to the last who takes it", func(d *db) {
		first := d.rest(forSignal("s", "go"), forSignal("t", "stop"))
		second := d.rest(forSignal("s", "go"))
		d.wantSignal("go", second, "s")
		d.wantSignal("stop", first, "t")
		d.change(first, durable.Change{Unwait: []string{"s"}})
		d.wantSignal("go", second, "s")
		d.change(first, end(durable.Completed))
		d.wantSignal("go", second, "s")
		third := d.rest(forSignal("x", "go"))
		d.change(second, end(durable.Failed))
		d.wantSignal("go", third, "x")
		d.change(third, durable.Change{Unwait: []string{"x"}})
		d.wantSignal("go", "", "")
	}},
	{"lets a step take a signal from another of its run", func(d *db) {
		run := d.rest(forSignal("s", "go"))
		d.change(run, resting(run, forSignal("t", "go")))
		d.wantSignal("go", run, "t")
		c := resting(run, forSignal("u", "go"))
		c.Unwait = []string{"t"}
		d.change(run, c)
		d.wantSignal("go", run, "u")
	}},
}

var deliveryTests = []test{
	{"hands an event on when somebody waits for its name", func(d *db) {
		d.send("a")
		d.rest(forSignal("s", "a"), forEvent("t", "b"))
		d.send("a")
		d.wantNothingDue(noon.Add(time.Hour))

		run := d.rest(forValue("s", "a", "data.id", "1"))
		e := d.send("a")
		d.wantDelivery(e, nil)
		d.wantNothingDue(noon)

		d.change(run, durable.Change{Unwait: []string{"s"}})
		d.send("a")
		d.wantNothingDue(noon)

		cancelled := accepted(far)
		cancelled.Starts[0].Waits = []durable.Wait{{
			Run: cancelled.Starts[0].Run.ID, Step: durable.CancelStep(0), Kind: durable.ForCancel, Name: "a",
		}}
		in := event("a")
		d.accept(cancelled, store.Accepted{Event: in})
		d.wantDelivery(in, nil)
	}},
	{"queues what is left of an event", func(d *db) {
		a := accepted(far)
		a.Rest = durable.JSON(`{"starts":["x","y"]}`)
		d.accept(a)
		d.wantDelivery(a.Event, a.Rest)
	}},
	{"hands on what runs and schedules send", func(d *db) {
		d.rest(forEvent("s", "a"))
		run := d.startAt(far)
		e := event("a")
		d.change(run, durable.Change{Entries: []durable.Entry{done("x")}}, store.Accepted{Event: e})
		sent := d.claimOne(time.Now())
		require.Equal(d, durable.Ref{Run: e.ID, Step: durable.DeliverStep}, ref(sent.Item))
		require.NoError(d, d.Settle(d.Context(), sent, noon, store.Settled{}))
		l := d.tick()
		e = event("a")
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{Accepted: []store.Accepted{{Event: e}}}))
		d.wantDelivery(e, nil)
	}},
	{"hands an event on once, however often it is sent", func(d *db) {
		d.rest(forEvent("s", "a"))
		e := event("a")
		d.accept(store.Accepted{Event: e}, store.Accepted{Event: e, Rest: durable.JSON(`{}`)})
		l := d.claimOne(noon)
		d.accept(store.Accepted{Event: e})
		d.wantNothingDue(noon)
		require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}))
		d.accept(store.Accepted{Event: e})
		d.wantNothingDue(noon.Add(time.Hour))
	}},
	{"hands an event on after a restart", func(d *db) {
		d.rest(forEvent("s", "a"))
		e := d.send("a")
		d.claimOne(noon)
		d.reopen()
		d.wantUndelivered("a", e)
		d.wantDelivery(e, nil)
		d.wantUndelivered("a")
		d.reopen()
		d.wantNothingDue(noon.Add(time.Hour))
	}},
	{"lists what is still to be handed on, oldest first", func(d *db) {
		d.rest(forEvent("s", "a"), forEvent("t", "b"))
		d.wantUndelivered("a")
		var sent []durable.Event
		for i := range 5 {
			e := event("a")
			e.Key = "k" + strconv.Itoa(i)
			e.ID = fmt.Sprintf("%026d", 9-i) // the order of ids does not count
			d.accept(store.Accepted{Event: e})
			sent = append(sent, e)
		}
		b := d.send("b")
		d.wantUndelivered("a", sent...)
		d.wantUndelivered("b", b)
		leases := d.claim(noon, 10)
		require.Len(d, leases, 6)
		d.wantUndelivered("a", sent...)
		for _, l := range leases {
			switch l.Run {
			case sent[1].ID:
				require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}))
			case sent[2].ID: // there is more to do for it
				next := l.Item
				next.Due = far
				require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{Next: &next}))
			}
		}
		d.wantUndelivered("a", sent[0], sent[2], sent[3], sent[4])
	}},
}

// wantDelivery checks that one item is due, which hands e on, and settles it.
func (d *db) wantDelivery(e durable.Event, rest durable.JSON) {
	d.Helper()
	l := d.claimOne(noon)
	same(d, durable.Item{Run: e.ID, Step: durable.DeliverStep, Kind: durable.Deliver, Due: noon, Data: rest}, l.Item, unclaimed)
	require.NoError(d, d.Settle(d.Context(), l, noon, store.Settled{}))
}

func (d *db) wantUndelivered(name string, want ...durable.Event) {
	d.Helper()
	got, err := d.Undelivered(d.Context(), name)
	require.NoError(d, err)
	same(d, want, got)
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/pawlhq/pawl/internal/cron"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// Each schedule of a function is one item in the queue, due at its next tick.
// Working it starts the tick's run and moves the item to the tick after, in one
// transaction: a tick is neither lost nor doubled, however often that is tried.

// schedules is what the items of a function's schedules have in place of a run.
func schedules(slug string) string { return "cron/" + slug }

// held marks the item of a tick that waits for the run of an earlier one.
const heldTick = "held "

// lookAgain is how long a tick that waits for a run sleeps; the run's end wakes
// it before.
const lookAgain = time.Minute

// beat is what a schedule's item knows.
type beat struct {
	Last time.Time `json:"last"` // ticks up to then are decided
	Tick time.Time `json:"tick"` // the one that is due
	Run  string    `json:"run"`  // of the tick before; "" if there was none
}

func (b beat) json() durable.JSON {
	out, err := json.Marshal(b)
	if err != nil {
		panic(fmt.Sprintf("times and ids are text: %v", err))
	}
	return out
}

// timetable keeps the parsed form of what functions have as cron.
type timetable struct {
	mu     sync.Mutex
	byText map[string]cron.Schedule
}

// maxTimetable is how many are kept; more than that many different ones are
// parsed again.
const maxTimetable = 10_000

func (t *timetable) parse(text string) (cron.Schedule, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.byText[text]; ok {
		return s, nil
	}
	s, err := cron.Parse(text)
	if err != nil {
		return s, err
	}
	if t.byText == nil || len(t.byText) >= maxTimetable {
		t.byText = map[string]cron.Schedule{}
	}
	t.byText[text] = s
	return s, nil
}

// policies are a trigger's missed-tick and overlap policies.
func policies(tr durable.Trigger) (m cron.Missed, o cron.Overlap, err error) {
	if tr.Missed != "" {
		if err := m.UnmarshalJSON([]byte(tr.Missed)); err != nil {
			return m, o, err
		}
	}
	o, err = cron.ParseOverlap(tr.Overlap)
	return m, o, err
}

// checkCrons finds what is wrong with the schedules of a registration.
func checkCrons(reg wire.Registration) (problems []wire.Problem) {
	for _, f := range reg.Functions {
		for _, t := range f.Triggers {
			if t.Cron == "" {
				continue
			}
			_, err := cron.Parse(t.Cron)
			if err == nil {
				_, _, err = policies(durable.Trigger(t))
			}
			if err != nil {
				problems = append(problems, wire.Problem{Function: f.Slug, Code: "schedule_invalid", Message: err.Error()})
			}
		}
	}
	return problems
}

// scheduled compares the schedules of functions that have changed with what
// they were: start are the items of those that are new, stop of those that are
// gone, with what they have held back.
func (e *Engine) scheduled(changed []durable.Function, old *match.Table, now time.Time) (start []durable.Item, stop []durable.Ref) {
	for _, f := range changed {
		is := map[string]bool{}
		for _, tr := range f.Triggers {
			if tr.Cron != "" && !f.Archived {
				is[tr.Cron] = true
				if item, ok := e.firstTick(ticker{function: f, trigger: tr}, now); ok {
					start = append(start, item)
				}
			}
		}
		was, _ := old.Function(f.Slug)
		for _, tr := range was.Triggers {
			if tr.Cron != "" && !is[tr.Cron] {
				for _, step := range []string{tr.Cron, heldTick + tr.Cron} {
					stop = append(stop, durable.Ref{Run: schedules(f.Slug), Step: step})
				}
			}
		}
	}
	return start, stop
}

// firstTick is the item of a schedule that begins now.
func (e *Engine) firstTick(t ticker, now time.Time) (durable.Item, bool) {
	s, err := e.timetable.parse(t.trigger.Cron)
	if err != nil {
		return durable.Item{}, false // refused when it was made
	}
	tick, ok := s.Next(now)
	if !ok {
		return durable.Item{}, false
	}
	return durable.Item{
		Run: schedules(t.function.Slug), Step: t.step(), Kind: durable.Tick,
		Due: tick.Add(t.jitter(tick)), Data: beat{Last: now, Tick: tick}.json(),
	}, true
}

// startSchedules loads the schedules that people made, and sees to it that each
// schedule has its item: those of a database from before there were schedules
// have none.
func (e *Engine) startSchedules(ctx context.Context) error {
	made, err := e.store.LoadSchedules(ctx)
	if err != nil {
		return err
	}
	e.made.Store(&made)
	var tickers []ticker
	for _, f := range e.apps.Load().table.Functions() {
		for _, tr := range f.Triggers {
			if tr.Cron != "" && !f.Archived {
				tickers = append(tickers, ticker{function: f, trigger: tr})
			}
		}
	}
	for _, m := range made {
		tickers = append(tickers, ticker{function: durable.Function{Slug: m.Function}, trigger: m.Trigger(), made: &m})
	}
	now := time.Now()
	var start []durable.Item
	for _, t := range tickers {
		if item, ok := e.firstTick(t, now); ok {
			start = append(start, item)
		}
	}
	if start == nil {
		return nil
	}
	return e.store.Schedule(ctx, start, nil)
}

// tick works an item of kind Tick.
func (e *Engine) tick(ctx context.Context, l store.Lease) {
	err := e.beat(ctx, l, time.Now())
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLeaseLost) {
		e.log.Warn("a tick cannot be worked; it is tried again when its lease has run out", "schedule", l.Run, "cron", l.Step, "err", err)
	}
}

func (e *Engine) beat(ctx context.Context, l store.Lease, now time.Time) error {
	defer e.ticking.lock(l.Run)() // a tick that is held back may be released just now
	step, held := strings.CutPrefix(l.Step, heldTick)
	t, ok := e.ticker(strings.TrimPrefix(l.Run, schedules("")), step)
	if !ok || held && t.idle {
		return e.store.Settle(ctx, l, now, store.Settled{}) // the schedule is gone
	}
	s, err := e.timetable.parse(t.trigger.Cron)
	if err != nil {
		return err
	}
	missed, overlap, err := policies(t.trigger)
	if err != nil {
		return err
	}
	items, err := e.store.Items(ctx, l.Run)
	if err != nil {
		return err
	}
	data := l.Data
	var waiting beat // the tick that is held back
	for _, item := range items {
		switch item.Step {
		case l.Step:
			data = item.Data // it may have changed since it was claimed
		case heldTick + step:
			if err := unmarshal(item.Data, &waiting); err != nil {
				return err
			}
		}
	}
	var b beat
	if err := unmarshal(data, &b); err != nil {
		return err
	}
	busy, err := e.unfinished(ctx, b.Run)
	if err != nil {
		return err
	}
	if held {
		l.Data = data
		return e.releaseTick(ctx, l, t, b, busy, items, now)
	}
	// A tick is decided when its jitter is over; those before are as well.
	upTo := now.Add(-t.trigger.Jitter)
	if b.Tick.After(upTo) {
		upTo = b.Tick
	}
	ticks, next := cron.Due(s, b.Last, upTo, missed)
	if t.idle {
		e.log.InfoContext(ctx, "ticks passed: the function is not served", "function", t.function.Slug, "schedule", t.made.ID, "ticks", len(ticks))
		ticks = nil
	}
	var out store.Settled
	if passed := missedOf(s, b.Last, upTo, ticks); passed.Ticks > 0 && !t.idle {
		out.Accepted = e.leftOut(ctx, t, passed, now)
	}
	run := b.Run
	var over []durable.Skip
	pass := func(tick time.Time) {
		if n := len(over); n > 0 && over[n-1].Run == run {
			if after, ok := s.Next(over[n-1].To); ok && after.Equal(tick) {
				over[n-1].Pass(tick)
				return
			}
		}
		over = append(over, durable.Skip{Reason: durable.SkipOverlap, Run: run, From: tick, To: tick, Ticks: 1})
	}
	for _, tick := range ticks {
		switch {
		case busy && overlap == cron.OverlapSkip:
			pass(tick)
			continue
		case overlap == cron.OverlapQueue && (busy || !waiting.Tick.IsZero()):
			// One that is held back although the run has ended is about to start: this
			// one takes its place, or there would be two runs.
			if !waiting.Tick.IsZero() {
				pass(waiting.Tick)
			}
			waiting.Tick = tick
			out.Queue = []durable.Item{{
				Run: l.Run, Step: heldTick + step, Kind: durable.Tick, Due: now.Add(lookAgain),
				Data: beat{Last: b.Last, Tick: tick, Run: run}.json(),
			}}
			continue
		case busy && overlap == cron.OverlapReplace:
			_, err := e.transition(ctx, run, durable.Cancel{Reason: "replaced by the tick of " + cron.Key(tick)}, nil)
			if errors.Is(err, store.ErrDamaged) {
				e.log.ErrorContext(ctx, "a run that is damaged cannot be replaced by that of a tick", "run", run, "function", t.function.Slug, "err", err)
				err = nil
			}
			if err := late(err); err != nil {
				return err
			}
			e.worker.Interrupt(run)
		}
		a := e.tickEvent(ctx, t, tick, now)
		out.Accepted = append(out.Accepted, a)
		for _, st := range a.Starts {
			run, busy = st.Run.ID, true
		}
	}
	for _, ticks := range over {
		out.Accepted = append(out.Accepted, e.leftOut(ctx, t, ticks, now)...)
	}
	if !next.IsZero() {
		item := l.Item
		item.Due = next.Add(t.jitter(next))
		item.Data = beat{Last: later(b.Last, upTo), Tick: next, Run: run}.json()
		out.Next = &item
	}
	if err := e.settleStarts(ctx, l, now, out); err != nil {
		return err
	}
	return e.rouseTick(ctx, l.Run, out.Queue, run)
}

// releaseTick starts the run of a tick that was held back, unless the run
// before it still goes on.
func (e *Engine) releaseTick(ctx context.Context, l store.Lease, t ticker, b beat, busy bool, items []durable.Item, now time.Time) error {
	if busy {
		item := l.Item
		item.Due = now.Add(lookAgain)
		if err := e.store.Settle(ctx, l, now, store.Settled{Next: &item}); err != nil {
			return err
		}
		return e.rouseTick(ctx, l.Run, []durable.Item{item}, b.Run)
	}
	a := e.tickEvent(ctx, t, b.Tick, now)
	out := store.Settled{Accepted: []store.Accepted{a}}
	// The schedule must know whose end the tick after this one waits for.
	for _, item := range items {
		var of beat
		if item.Step == t.step() && len(a.Starts) > 0 && unmarshal(item.Data, &of) == nil {
			of.Run = a.Starts[0].Run.ID
			item.Data = of.json()
			out.Queue = append(out.Queue, item)
		}
	}
	return e.settleStarts(ctx, l, now, out)
}

// rouseTick wakes a tick that was held back for a run which has ended while it
// was written.
func (e *Engine) rouseTick(ctx context.Context, schedule string, held []durable.Item, run string) error {
	if len(held) == 0 {
		return nil
	}
	if busy, err := e.unfinished(ctx, run); err != nil || busy {
		return err
	}
	now := time.Now()
	for i := range held {
		held[i].Due = now
	}
	refs := []durable.Ref{{Run: schedule, Step: held[0].Step}}
	if err := e.store.Schedule(ctx, held, refs); err != nil {
		return err
	}
	return nil
}

// unfinished reports whether a run goes on.
func (e *Engine) unfinished(ctx context.Context, run string) (bool, error) {
	if run == "" {
		return false, nil
	}
	r, err := e.store.Run(ctx, run)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && !r.Status.Final(), err
}

// tickEvent is the event of a tick, with the run that it starts. Schedules of a
// function that tick together start one run of it; each that somebody made
// starts its own.
func (e *Engine) tickEvent(ctx context.Context, t ticker, tick, now time.Time) store.Accepted {
	fire := tick.Add(t.jitter(tick))
	target := durable.Target{Function: t.function.Slug, Cron: t.trigger.Cron}
	ev := durable.Event{ID: NewID(), Key: cron.Key(tick), Name: durable.EventTimer, At: fire, Received: now, Target: &target}
	if t.made == nil {
		ev.Body = cron.Event(ev.Key, t.trigger.Cron, tick, fire, nil)
		return e.accept(ctx, e.apps.Load().table, ev, now)
	}
	// A function that does not name a cron as its trigger does not know the event
	// of one; every function can be invoked.
	ev.Key += " " + t.made.ID
	ev.Name = durable.EventInvoked
	in := durable.Invoke{Function: t.function.Slug, Payload: cron.Data(t.trigger.Cron, tick, fire, t.made.Data)}
	ev.Body = durable.InvokedBody(ev.ID, target, in, t.made.ID, time.Time{}, fire)
	return e.accept(ctx, e.apps.Load().table, ev, now)
}

// missedOf are the ticks after last and up to upTo that come before those that are
// to run.
func missedOf(s cron.Schedule, last, upTo time.Time, run []time.Time) durable.Skip {
	before := upTo.Add(1)
	if len(run) > 0 {
		before = run[0]
	}
	p := cron.Between(s, last, before)
	return durable.Skip{Reason: durable.SkipMissed, From: p.First, To: p.Last, Ticks: p.Ticks, More: p.More}
}

// leftOut is the record of ticks that start no run: one run, which is skipped, for all
// of them. Its event is the last of the ticks. It is nothing when the function is not
// served any more.
func (e *Engine) leftOut(ctx context.Context, t ticker, why durable.Skip, now time.Time) []store.Accepted {
	f, ok := e.apps.Load().table.Served(t.function.Slug)
	if !ok {
		return nil
	}
	e.log.InfoContext(ctx, "ticks skipped", "function", f.Slug, "cron", t.trigger.Cron, "why", why.Reason,
		"ticks", why.Ticks, "from", why.From, "to", why.To, "run", why.Run)
	a := e.tickEvent(ctx, t, why.To, now)
	a.Rest, a.Starts = nil, []durable.Start{{Run: durable.NewRun(NewID(), f, a.Event, now, now), Skip: &why}}
	return []store.Accepted{a}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

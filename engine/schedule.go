package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pawlhq/pawl/internal/cron"
	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/store"
)

// Schedules that people make tick as those of functions do. They stay when the
// function is not served; its ticks pass without a run then.

// madeStep is the step of the item of a schedule that somebody made: no cron
// begins like this.
func madeStep(id string) string { return "api " + id }

// Bounds of all schedules that people made: they are kept in memory.
const (
	maxMade      = 10_000
	maxMadeBytes = 64 << 20 // of data
)

// ScheduleError says why a schedule cannot be.
type ScheduleError struct{ Message string }

func (e *ScheduleError) Error() string { return e.Message }

// Schedule is a schedule of a function.
type Schedule struct {
	ID       string
	Made     bool // somebody made it; else the function has it
	Function string
	Cron     string
	Jitter   time.Duration
	Missed   cron.Missed
	Overlap  cron.Overlap
	Data     durable.JSON // that its events carry; nil: nothing
	Created  time.Time    // of one that somebody made
	Next     []time.Time  // the next ticks, without jitter
}

// Schedules returns the schedules of all functions that are served and those
// that people made, by id, each with its next n ticks.
func (e *Engine) Schedules(n int) []Schedule {
	now := time.Now()
	var list []Schedule
	for _, app := range e.Apps() {
		for _, f := range app.Functions {
			for _, tr := range f.Triggers {
				if tr.Cron != "" {
					id := uuid.NewSHA1(namespace, []byte(f.Slug+"\x00"+tr.Cron)).String()
					list = append(list, e.schedule(Schedule{ID: id, Function: f.Slug}, ticking(f, tr), now, n))
				}
			}
		}
	}
	for _, m := range *e.made.Load() {
		list = append(list, e.schedule(Schedule{ID: m.ID, Made: true, Function: m.Function, Data: m.Data, Created: m.Created}, m.Trigger(), now, n))
	}
	slices.SortFunc(list, func(a, b Schedule) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func (e *Engine) schedule(s Schedule, tr durable.Trigger, now time.Time, n int) Schedule {
	s.Cron, s.Jitter = tr.Cron, tr.Jitter
	s.Missed, s.Overlap, _ = policies(tr) // checked when it was made
	if parsed, err := e.timetable.parse(tr.Cron); err == nil {
		s.Next = parsed.NextN(now, n)
	}
	return s
}

// AddSchedule makes a schedule, which ticks from now on, and returns it with its
// next n ticks. Its id is given by the caller or, when it is "", by the engine. With
// once, that happens once for a key, which then stands for the id.
// Errors: *ScheduleError, store.ErrNotFound when no such function is served,
// store.ErrExists, and those of the store and of once.
func (e *Engine) AddSchedule(ctx context.Context, m durable.Schedule, n int, once *store.Once, by string) (Schedule, error) {
	if e.closing.Load() {
		return Schedule{}, ErrClosing
	}
	f, ok := e.apps.Load().table.Served(m.Function)
	if !ok {
		return Schedule{}, fmt.Errorf("function %q: %w", m.Function, store.ErrNotFound)
	}
	now := time.Now().Truncate(time.Microsecond) // as stores keep it
	m.Function, m.Created = f.Slug, now
	if m.ID == "" {
		m.ID = NewID()
	}
	if _, err := cron.Parse(m.Cron); err != nil {
		return Schedule{}, &ScheduleError{err.Error()}
	}
	if _, _, err := policies(m.Trigger()); err != nil {
		return Schedule{}, &ScheduleError{err.Error()}
	}
	item, ok := e.firstTick(ticker{function: f, trigger: m.Trigger(), made: &m}, now)
	if !ok {
		return Schedule{}, &ScheduleError{m.Cron + " never comes"}
	}
	e.making.Lock()
	defer e.making.Unlock()
	old := *e.made.Load()
	bytes := len(m.Data)
	for _, o := range old {
		bytes += len(o.Data)
	}
	if len(old) >= maxMade || bytes > maxMadeBytes {
		return Schedule{}, &ScheduleError{fmt.Sprintf("there are %d schedules already, with %d bytes of data; remove some first", len(old), bytes-len(m.Data))}
	}
	act := newAct(now, by, durable.ActAddSchedule, durable.ScheduleObject(m.ID), facts{
		"function": m.Function, "cron": m.Cron, "missed": m.Missed, "overlap": m.Overlap, "data": m.Data,
	})
	if once != nil {
		once.Reply = durable.JSON(m.ID)
	}
	if err := e.store.AddSchedule(ctx, m, item, once, act); err != nil {
		return Schedule{}, err
	}
	next := append(slices.Clone(old), m)
	e.made.Store(&next)
	e.followers.stale(TopicApps)
	e.log.InfoContext(ctx, "schedule made", "schedule", m.ID, "function", m.Function, "cron", m.Cron)
	return e.schedule(Schedule{ID: m.ID, Made: true, Function: m.Function, Data: m.Data, Created: m.Created}, m.Trigger(), now, n), nil
}

// RemoveSchedule removes a schedule that somebody made; runs that it has started
// go on. It fails with store.ErrNotFound.
func (e *Engine) RemoveSchedule(ctx context.Context, id, by string) error {
	e.making.Lock()
	defer e.making.Unlock()
	old := *e.made.Load()
	i := slices.IndexFunc(old, func(m durable.Schedule) bool { return m.ID == id })
	if i < 0 {
		return fmt.Errorf("schedule %s: %w", id, store.ErrNotFound)
	}
	var items []durable.Ref
	for _, step := range []string{madeStep(id), heldTick + madeStep(id)} {
		items = append(items, durable.Ref{Run: schedules(old[i].Function), Step: step})
	}
	act := newAct(time.Now(), by, durable.ActRemoveSchedule, durable.ScheduleObject(id), facts{"function": old[i].Function, "cron": old[i].Cron})
	if err := e.store.RemoveSchedule(ctx, id, items, act); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	next := slices.Delete(slices.Clone(old), i, i+1)
	e.made.Store(&next)
	e.followers.stale(TopicApps)
	e.log.InfoContext(ctx, "schedule removed", "schedule", id)
	return nil
}

// ticker is what ticks: a trigger of a function, or a schedule that somebody
// made for it.
type ticker struct {
	function durable.Function
	trigger  durable.Trigger
	made     *durable.Schedule // nil: the trigger is the function's own
	idle     bool              // the function is not served: ticks pass without a run
}

// step is the step of its item.
func (t ticker) step() string {
	if t.made != nil {
		return madeStep(t.made.ID)
	}
	return t.trigger.Cron
}

// jitter is by how much a tick is late.
func (t ticker) jitter(tick time.Time) time.Duration {
	of := t.function.Slug
	if t.made != nil {
		of = t.made.ID
	}
	return cron.Jitter(of, tick, t.trigger.Jitter)
}

// ticker finds what an item ticks for; false when it is gone.
func (e *Engine) ticker(slug, step string) (ticker, bool) {
	f, served := e.apps.Load().table.Served(slug)
	for _, tr := range f.Triggers {
		if served && tr.Cron == step {
			return ticker{function: f, trigger: ticking(f, tr)}, true
		}
	}
	for _, m := range *e.made.Load() {
		if m.Function == slug && madeStep(m.ID) == step {
			f.Slug = slug
			return ticker{function: f, trigger: m.Trigger(), made: &m, idle: !served}, true
		}
	}
	return ticker{}, false
}

// heldFor are the items that may wait for the end of a run which a tick of that
// cron has started.
func (e *Engine) heldFor(function, text string) []durable.Ref {
	refs := []durable.Ref{{Run: schedules(function), Step: heldTick + text}}
	for _, m := range *e.made.Load() {
		if m.Function == function && m.Cron == text {
			refs = append(refs, durable.Ref{Run: schedules(function), Step: heldTick + madeStep(m.ID)})
		}
	}
	return refs
}

// TickMembers are the members that the data of a tick's event always has.
func TickMembers() []string { return cron.Members() }

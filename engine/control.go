package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/store"
	"github.com/pawlhq/pawl/internal/wire"
)

// tickOptions are what an operator may say about a function's crons, which not
// every SDK can: "missed" and "overlap", as they stand in a cron trigger.
var tickOptions = []string{"missed", "overlap"}

// liveOptions are the options that an operator may change while Pawl runs: flow
// control, and what becomes of a start without an idempotency key, which not every SDK
// can say. The others decide about events as they come, and are the app's.
var liveOptions = []string{"concurrency", "throttle", "priority", "idempotencyKey"}

// ErrLimits is why limits that an operator gave are refused.
type ErrLimits struct{ Problems []string }

func (e *ErrLimits) Error() string { return strings.Join(e.Problems, "; ") }

// Hold is what is held back of a function or an app.
type Hold struct {
	Pause  durable.Pause // Unpaused lets it go on
	Refuse bool          // what would start meanwhile is skipped; otherwise it waits
	// Key, one of the expressions by which the function is limited, and a value of it:
	// only what has that value is held back. "" for all.
	Key, Value string
}

// KeyError says that a function has no such key.
type KeyError struct {
	Key  string
	Have []string
}

func (e *KeyError) Error() string {
	if len(e.Have) == 0 {
		return "the function has no keys: it is limited by none in concurrency or throttle"
	}
	return fmt.Sprintf("the function has no key %q; it has %s", e.Key, strings.Join(e.Have, ", "))
}

// NotPausedError says that what was to be resumed is not paused: it is as was asked, and
// nothing has changed. It may have been resumed before, or something else was meant.
type NotPausedError struct {
	Of  string
	Key string // "": the whole
	// Values is how many values of its keys are paused, when the whole was meant.
	Values int
}

func (e *NotPausedError) Error() string {
	switch {
	case e.Key != "":
		return fmt.Sprintf("%s is not paused for that value of %s", e.Of, e.Key)
	case e.Values == 0:
		return e.Of + " is not paused"
	case e.Values == 1:
		return e.Of + " is not paused as a whole, but for one value of a key: give that key and value"
	}
	return fmt.Sprintf("%s is not paused as a whole, but for %d values of its keys: give the key and value of one", e.Of, e.Values)
}

// keyControl is the name of the control of one value of a key of a function, as runs
// have it among their keys.
func keyControl(slug, part string) string { return slug + "#" + part }

// Pause holds back runs of a function, or, with the name "app/" and an app's name, of
// all functions of an app. It holds at once and over restarts. It fails with
// store.ErrNotFound, *KeyError, and *NotPausedError.
func (e *Engine) Pause(ctx context.Context, name string, h Hold, by, why string) error {
	what := durable.ActPause
	if h.Pause == durable.Unpaused {
		what, h.Refuse = durable.ActResume, false
	}
	of := name
	if h.Key != "" {
		for _, c := range e.apps.Load().controls {
			if c.Key == h.Key && c.Of() == of && e.ShownValue(c.Key, c.Value) == h.Value {
				h.Value = c.Value // what is shown stands for it
			}
		}
		name = keyControl(name, short(h.Key)+short(h.Value))
	}
	return e.control(ctx, of, name, what, by, why, func(c *durable.Control) error {
		paused := c.Pause != durable.Unpaused
		// What was paused is let go also when the function has the key no more.
		if f, _ := e.Function(of); h.Key != "" && !paused && !slices.Contains(f.Limits.Keys(), h.Key) {
			return &KeyError{h.Key, f.Limits.Keys()}
		}
		if h.Pause == durable.Unpaused && !paused {
			return &NotPausedError{Of: of, Key: h.Key, Values: e.pausedValues(of)}
		}
		c.Pause, c.Refuse, c.Key, c.Value = h.Pause, h.Refuse, h.Key, h.Value
		return nil
	})
}

// pausedValues is how many values of keys of a function are paused.
func (e *Engine) pausedValues(slug string) (n int) {
	for _, c := range e.apps.Load().controls {
		if c.Key != "" && c.Pause != durable.Unpaused && c.Of() == slug {
			n++
		}
	}
	return n
}

// SetLimits puts options in place of those that a function's app registered,
// such as {"concurrency":5}; null takes it back. They hold at once, over
// restarts and over syncs. It fails with store.ErrNotFound and *ErrLimits.
func (e *Engine) SetLimits(ctx context.Context, slug string, limits jsontext.Value, by, why string) error {
	if strings.HasPrefix(slug, durable.AppObject("")) {
		return &ErrLimits{[]string{"limits are those of a function; an app has none"}}
	}
	return e.control(ctx, slug, slug, durable.ActLimit, by, why, func(c *durable.Control) error {
		if limits.Kind() == 'n' {
			c.Limits = nil
			return nil
		}
		f, _ := e.Function(slug)
		if problems := e.checkLimits(f, limits); problems != nil {
			return &ErrLimits{problems}
		}
		c.Limits = slices.Clone(limits)
		return nil
	})
}

// checkLimits says what is wrong with limits for a function.
func (e *Engine) checkLimits(f durable.Function, limits jsontext.Value) (problems []string) {
	var given map[string]jsontext.Value
	if err := unmarshal(limits, &given); err != nil {
		return []string{`limits must be an object such as {"concurrency":5}`}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if all := slices.Concat(liveOptions, tickOptions); !slices.Contains(all, name) {
			problems = append(problems, fmt.Sprintf("%s cannot be changed live; these can: %s", name, strings.Join(all, ", ")))
		}
	}
	var ticks durable.Trigger
	if err := ticksOf(limits, &ticks); err != nil {
		problems = append(problems, err.Error())
	} else if _, _, err := policies(ticks); err != nil {
		problems = append(problems, err.Error())
	}
	if (ticks.Missed != "" || ticks.Overlap != "") && !slices.ContainsFunc(f.Triggers, func(t durable.Trigger) bool { return t.Cron != "" }) {
		problems = append(problems, fmt.Sprintf("missed and overlap are about ticks, and %s has no cron", f.Slug))
	}
	problems = append(problems, wire.CheckOptions(limits)...)
	f.Config = overridden(f.Config, limits)
	hold(&f)
	_, bad := match.NewTable([]durable.Function{f}, e.programs)
	for _, p := range bad {
		problems = append(problems, p.Message)
	}
	return problems
}

// control changes what is set about a function or an app, or, under a name of its
// own, about a part of it. What is so already, for the same reason, stays as it is.
func (e *Engine) control(ctx context.Context, of, name, what, by, why string, change func(*durable.Control) error) error {
	if e.closing.Load() {
		return ErrClosing
	}
	e.syncing.Lock()
	defer e.syncing.Unlock()
	old := e.apps.Load()
	if app, ok := strings.CutPrefix(of, durable.AppObject("")); ok {
		if _, known := old.apps[app]; !known {
			return fmt.Errorf("app %q: %w", app, store.ErrNotFound)
		}
	} else if _, known := old.table.Function(of); !known {
		return fmt.Errorf("function %q: %w", of, store.ErrNotFound)
	}
	was := old.controls[name]
	c := was
	c.Name = name
	if err := change(&c); err != nil {
		return err
	}
	nothing := c.Pause == durable.Unpaused && c.Limits == nil
	if c.Pause == was.Pause && c.Refuse == was.Refuse && string(c.Limits) == string(was.Limits) && (nothing || why == was.Why) {
		return nil
	}
	told := facts{"pause": c.Pause.String(), "limits": c.Limits, "why": why}
	if c.Refuse {
		told["refuse"] = "true"
	}
	if c.Key != "" {
		told["key"], told["value"] = c.Key, c.Value
	}
	act := newAct(time.Now(), by, what, of, told)
	c.Since, c.By, c.Why = act.At, act.By, why
	if err := e.store.SaveControl(ctx, c, act); err != nil {
		return err
	}
	controls := maps.Clone(old.controls)
	if controls == nil {
		controls = map[string]durable.Control{}
	}
	controls[name] = c
	fns := old.table.Functions()
	for i := range fns {
		if fns[i].Slug == name {
			limit(&fns[i], c)
		}
	}
	table, _ := match.NewTable(fns, e.programs)
	e.apps.Store(&registry{apps: old.apps, table: table, controls: controls})
	e.store.Limit(e.gates)
	e.followers.stale(TopicControls)
	e.log.InfoContext(ctx, "control changed", "what", what, "name", of, "key", c.Key, "value", e.ShownValue(c.Key, c.Value), "pause", c.Pause, "by", by, "why", why)
	return nil
}

// limit gives a function the limits that its app registered, or those that an
// operator has put in their place.
func limit(f *durable.Function, c durable.Control) {
	f.Limits = limitsOf(overridden(f.Config, c.Limits))
	f.Ticks = durable.Trigger{}
	_ = ticksOf(c.Limits, &f.Ticks) // checked when it was set
}

// ticksOf reads the tick options of limits.
func ticksOf(limits durable.JSON, t *durable.Trigger) error {
	if limits == nil {
		return nil
	}
	var o struct {
		Missed  jsontext.Value `json:"missed"`
		Overlap string         `json:"overlap"`
	}
	if err := unmarshal(limits, &o); err != nil {
		return errors.New("overlap must be text")
	}
	t.Overlap = o.Overlap
	if o.Missed != nil && o.Missed.Kind() != 'n' {
		t.Missed = string(o.Missed)
	}
	return nil
}

// ticking is a cron of f, with the policies that an operator has set.
func ticking(f durable.Function, tr durable.Trigger) durable.Trigger {
	tr.Missed, tr.Overlap = cmp.Or(f.Ticks.Missed, tr.Missed), cmp.Or(f.Ticks.Overlap, tr.Overlap)
	return tr
}

// overridden is a registration with options in place of its own.
func overridden(config, limits durable.JSON) durable.JSON {
	if limits == nil {
		return config
	}
	var all, own map[string]jsontext.Value
	if unmarshal(config, &all) != nil || unmarshal(limits, &own) != nil {
		return config
	}
	maps.Copy(all, own)
	b, err := json.Marshal(all, json.Deterministic(true))
	if err != nil {
		return config
	}
	return b
}

// Controls returns all that operators have set, by name.
func (e *Engine) Controls() []durable.Control {
	var list []durable.Control
	for _, c := range e.apps.Load().controls {
		if c.Pause != durable.Unpaused || c.Limits != nil {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b durable.Control) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// holds are the controls that hold back runs of a function which have those keys: of
// its app, of the function, and of values of its keys.
func (r *registry) holds(f durable.Function, keys string) (list []durable.Control) {
	if len(r.controls) == 0 {
		return nil
	}
	add := func(name string) {
		if c := r.controls[name]; c.Pause != durable.Unpaused {
			list = append(list, c)
		}
	}
	add(durable.AppObject(f.App))
	add(f.Slug)
	for part := range strings.SplitSeq(keys, keySep) {
		add(keyControl(f.Slug, part))
	}
	return list
}

// refuses reports whether a run is not to start, since what it belongs to is paused
// and refuses it.
func (r *registry) refuses(f durable.Function, keys string) bool {
	return slices.ContainsFunc(r.holds(f, keys), func(c durable.Control) bool { return c.Refuse })
}

// IsLimits reports whether err is about limits that were refused.
func IsLimits(err error) (*ErrLimits, bool) { return errors.AsType[*ErrLimits](err) }

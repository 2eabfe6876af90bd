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

// liveOptions are the flow control options that an operator may change while
// Pawl runs. The others decide about events as they come, and are the app's.
var liveOptions = []string{"concurrency", "throttle", "priority"}

// ErrLimits is why limits that an operator gave are refused.
type ErrLimits struct{ Problems []string }

func (e *ErrLimits) Error() string { return strings.Join(e.Problems, "; ") }

// Pause holds back what durable.Pause says of a function, or, with the name
// "app/" and an app's name, of all functions of an app; Unpaused lets it go on.
// It holds at once and over restarts. It fails with store.ErrNotFound.
func (e *Engine) Pause(ctx context.Context, name string, p durable.Pause, by, why string) error {
	what := durable.ActPause
	if p == durable.Unpaused {
		what = durable.ActResume
	}
	return e.control(ctx, name, what, by, why, func(c *durable.Control) error {
		c.Pause = p
		return nil
	})
}

// SetLimits puts options in place of those that a function's app registered,
// such as {"concurrency":5}; null takes it back. They hold at once, over
// restarts and over syncs. It fails with store.ErrNotFound and *ErrLimits.
func (e *Engine) SetLimits(ctx context.Context, slug string, limits jsontext.Value, by, why string) error {
	if strings.HasPrefix(slug, durable.AppObject("")) {
		return &ErrLimits{[]string{"limits are those of a function; an app has none"}}
	}
	return e.control(ctx, slug, durable.ActLimit, by, why, func(c *durable.Control) error {
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
	problems = append(problems, wire.CheckOptions(limits)...)
	f.Config = overridden(f.Config, limits)
	hold(&f)
	_, bad := match.NewTable([]durable.Function{f}, e.programs)
	for _, p := range bad {
		problems = append(problems, p.Message)
	}
	return problems
}

// control changes what is set about a function or an app. What is so already, for
// the same reason, stays as it is.
func (e *Engine) control(ctx context.Context, name, what, by, why string, change func(*durable.Control) error) error {
	if e.closing.Load() {
		return ErrClosing
	}
	e.syncing.Lock()
	defer e.syncing.Unlock()
	old := e.apps.Load()
	if app, ok := strings.CutPrefix(name, durable.AppObject("")); ok {
		if _, known := old.apps[app]; !known {
			return fmt.Errorf("app %q: %w", app, store.ErrNotFound)
		}
	} else if _, known := old.table.Function(name); !known {
		return fmt.Errorf("function %q: %w", name, store.ErrNotFound)
	}
	was := old.controls[name]
	c := was
	c.Name = name
	if err := change(&c); err != nil {
		return err
	}
	nothing := c.Pause == durable.Unpaused && c.Limits == nil
	if c.Pause == was.Pause && string(c.Limits) == string(was.Limits) && (nothing || why == was.Why) {
		return nil
	}
	act := newAct(time.Now(), by, what, name, facts{"pause": c.Pause.String(), "limits": c.Limits, "why": why})
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
	e.log.InfoContext(ctx, "control changed", "what", what, "name", name, "pause", c.Pause, "by", by, "why", why)
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

// paused is what is held back of a function: by itself, or with its app.
func (r *registry) paused(f durable.Function) durable.Pause {
	return max(r.controls[f.Slug].Pause, r.controls[durable.AppObject(f.App)].Pause)
}

// IsLimits reports whether err is about limits that were refused.
func IsLimits(err error) (*ErrLimits, bool) { return errors.AsType[*ErrLimits](err) }

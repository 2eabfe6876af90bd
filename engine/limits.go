package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlhq/pawl/internal/durable"
	"github.com/pawlhq/pawl/internal/flow"
	"github.com/pawlhq/pawl/internal/match"
	"github.com/pawlhq/pawl/internal/wire"
)

// usualCalls is how many requests of one function may be in flight when it
// says nothing. Source: spec/11 §2.
const usualCalls = 1000

// limitsOf reads the flow control options of a registration that was found
// good; what does not make sense was warned about, and counts as not set.
func limitsOf(config durable.JSON) (l durable.Limits) {
	var b struct {
		Concurrency jsontext.Value `json:"concurrency"`
		Throttle    *rateOption    `json:"throttle"`
		RateLimit   *rateOption    `json:"rateLimit"`
		Idempotency string         `json:"idempotency"`
		NoKey       string         `json:"idempotencyKey"`
		Debounce    *struct {
			Period  jsontext.Value `json:"period"`
			Timeout jsontext.Value `json:"timeout"`
			Key     string         `json:"key"`
		} `json:"debounce"`
		BatchEvents *struct {
			MaxSize int            `json:"maxSize"`
			Timeout jsontext.Value `json:"timeout"`
			Key     string         `json:"key"`
			If      string         `json:"if"`
		} `json:"batchEvents"`
		Priority *struct {
			Run string `json:"run"`
		} `json:"priority"`
		Singleton *struct {
			Mode string `json:"mode"`
			Key  string `json:"key"`
		} `json:"singleton"`
	}
	if unmarshal(config, &b) != nil {
		return l
	}
	l.Steps, l.Runs = concurrencyOf(b.Concurrency)
	l.NoKey, _ = durable.ParseKeyRule(b.NoKey) // checked at the sync; "" is none
	if t := b.Throttle; t != nil {
		l.Throttle = &durable.Throttle{Limit: t.Limit, Period: span(t.Period), Burst: t.Burst, Key: t.Key}
	}
	if t := b.RateLimit; t != nil && b.Idempotency == "" {
		l.RateLimit = &durable.RateLimit{Limit: t.Limit, Period: span(t.Period), Key: t.Key}
	}
	if d := b.Debounce; d != nil {
		l.Debounce = &durable.Debounce{Period: span(d.Period), Timeout: span(d.Timeout), Key: d.Key}
	}
	if x := b.BatchEvents; x != nil {
		l.Batch = &durable.Batch{Size: x.MaxSize, Timeout: span(x.Timeout), Key: x.Key, If: x.If}
	}
	if b.Priority != nil {
		l.Priority = b.Priority.Run
	}
	if s := b.Singleton; s != nil {
		l.Singleton = &durable.Singleton{Key: s.Key, Cancel: strings.EqualFold(s.Mode, "cancel")}
	}
	return l
}

type rateOption struct {
	Limit  int            `json:"limit"`
	Period jsontext.Value `json:"period"`
	Key    string         `json:"key"`
	Burst  int            `json:"burst"`
}

type concurrencyOption struct {
	Limit int    `json:"limit"`
	Key   string `json:"key"`
	Scope string `json:"scope"`
}

// concurrencyOf reads the forms of the option: a number, an entry, entries, or
// two lists of them. Source: spec/11 §2.
func concurrencyOf(v jsontext.Value) (steps []durable.Concurrency, runs *durable.Concurrency) {
	var list, whole []concurrencyOption
	switch v.Kind() {
	case '0':
		list = make([]concurrencyOption, 1)
		_ = unmarshal(v, &list[0].Limit) // checked at the sync
	case '[':
		_ = unmarshal(v, &list)
	case '{':
		var o struct {
			concurrencyOption
			Fn   []concurrencyOption `json:"fn"`
			Step []concurrencyOption `json:"step"`
		}
		_ = unmarshal(v, &o)
		list, whole = o.Step, o.Fn
		if o.concurrencyOption != (concurrencyOption{}) {
			list = append(list, o.concurrencyOption)
		}
	default: // not set
	}
	for _, o := range list {
		if o.Limit > 0 {
			steps = append(steps, durable.Concurrency{Limit: o.Limit, Key: o.Key, Shared: !strings.EqualFold(o.Scope, "fn") && o.Scope != ""})
		}
	}
	for _, o := range whole {
		if o.Limit > 0 {
			runs = &durable.Concurrency{Limit: o.Limit, Key: o.Key}
		}
	}
	return steps, runs
}

func span(v jsontext.Value) time.Duration {
	d, err := wire.ParseDurationValue(v)
	if err != nil {
		return 0
	}
	return max(d, 0)
}

// The keys of a run are the values of its function's key expressions for its
// event, each under the hash of its expression, so that a limit that is changed
// or moved in the list keeps its values. An expression that fails or gives null
// has none: all such runs share one bucket. Source: spec/11 §2.
const (
	keySep   = ";"
	keyWidth = 8 // bytes of a hash
)

func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:keyWidth])
}

// keysOf evaluates the keys of a run.
func (e *Engine) keysOf(ctx context.Context, f durable.Function, doc *match.Doc, now time.Time) string {
	var parts []string
	for _, source := range f.Limits.Keys() {
		if text, ok := match.KeyText(ctx, source, doc, e.programs, now); ok {
			parts = append(parts, short(source)+short(text))
		}
	}
	return strings.Join(parts, keySep)
}

// valueOf finds the value of an expression among a run's keys; "" for none.
func valueOf(keys, source string) string {
	if source == "" {
		return ""
	}
	hash := short(source)
	for part := range strings.SplitSeq(keys, keySep) {
		if value, ok := strings.CutPrefix(part, hash); ok {
			return value
		}
	}
	return ""
}

// pauseGate is what a paused function's lanes stand behind.
const pauseGate = "pause/"

// gates says behind which limits a lane stands: those of its function as they
// are now, for the values that its runs were given when they were queued.
func (e *Engine) gates(lane string) (flow.Class, []flow.GateSpec) {
	begins, slug, keys, ok := durable.Lane(lane)
	if !ok {
		return flow.Continue, nil
	}
	class := flow.Continue
	if begins {
		class = flow.Begin
	}
	registered := e.apps.Load()
	f, known := registered.table.Function(slug)
	if !known {
		return class, nil
	}
	for _, c := range registered.holds(f, keys) {
		if c.Pause == durable.PauseAll || begins {
			return class, []flow.GateSpec{{Name: pauseGate + c.Name, Slots: flow.Closed, Keyed: c.Key != ""}}
		}
	}
	specs := append(e.circuits.open(f.App), flow.GateSpec{Name: "app/" + f.App, Slots: e.maxAppCalls})
	if begins {
		specs = append(specs, e.beginGates(f, keys)...)
	}
	own := false
	for _, c := range f.Limits.Steps {
		g := flow.GateSpec{Name: "step/" + slug + "/" + short(c.Key) + "/" + valueOf(keys, c.Key), Slots: c.Limit, Keyed: c.Key != "", Shared: c.Shared}
		if c.Shared {
			g.Name = "env/" + short(c.Key) + "/" + valueOf(keys, c.Key)
		}
		own = own || c.Key == ""
		specs = append(specs, g)
	}
	if !own {
		specs = append(specs, flow.GateSpec{Name: "step/" + slug, Slots: usualCalls})
	}
	return class, specs
}

// beginGates are the limits on how runs of a function begin.
func (e *Engine) beginGates(f durable.Function, keys string) (specs []flow.GateSpec) {
	if t := f.Limits.Throttle; t != nil && t.Period > 0 {
		specs = append(specs, flow.GateSpec{
			Name: "throttle/" + f.Slug + "/" + valueOf(keys, t.Key), Rate: flow.Throttle(t.Limit, t.Period, t.Burst),
			Stays: true, Keyed: t.Key != "",
		})
	}
	if r := f.Limits.Runs; r != nil {
		specs = append(specs, flow.GateSpec{Name: "run/" + f.Slug + "/" + valueOf(keys, r.Key), Slots: r.Limit, Stays: true, Keyed: r.Key != ""})
	}
	return specs
}

// rateLimit is how often a function may be started for the value that its key
// has for an event; nil: any number of times. Source: spec/11 §4.
func (e *Engine) rateLimit(ctx context.Context, f durable.Function, doc *match.Doc, now time.Time) (*durable.StartLimit, error) {
	l := f.Limits.RateLimit
	if l == nil || l.Period <= 0 {
		return nil, nil
	}
	value, off, err := match.Key(ctx, l.Key, doc, e.programs, now)
	if err != nil || off {
		return nil, err
	}
	rate := flow.Limit(l.Limit, l.Period)
	return &durable.StartLimit{Gate: "limit/" + f.Slug + "/" + short(value), Every: rate.Every, Burst: rate.Burst}, nil
}

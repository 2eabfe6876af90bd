package pawl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Function is a durable function: it takes an In and returns an Out.
type Function[In, Out any] struct {
	app  *App
	slug string
}

// Slug is the name by which servers know the function: that of its app, a
// hyphen, and its own.
func (f *Function[In, Out]) Slug() string { return f.slug }

// Remote is a function of another app, to be invoked: it has that app's name
// and its own.
func Remote[In, Out any](app, name string) *Function[In, Out] {
	return &Function[In, Out]{slug: app + "-" + name}
}

// Func adds a function to an app. In is read from the data of the event that
// starts it, or given by who invokes it: an object in JSON, so a struct or a map.
// A function with a [Batch] takes a slice of what one event holds. A result that
// JSON cannot hold fails the run for good.
//
// What is wrong with a function is told by [App.Err], and by whatever is then
// asked to run the app.
func Func[In, Out any](app *App, name string, body func(context.Context, In) (Out, error), options ...FuncOption) *Function[In, Out] {
	c := funcConfig{policy: policy{retries: -1}}
	for _, o := range options {
		o.applyFunc(&c)
	}
	f := &function{name: name, slug: app.name + "-" + name, config: c}
	f.call = func(ctx context.Context, data []json.RawMessage) (json.RawMessage, error) {
		in, err := input[In](data, c.batch != nil)
		if err != nil {
			return nil, err
		}
		out, err := body(ctx, in)
		if err != nil {
			return nil, err
		}
		return encoded(out, nil)
	}
	if f.problem = c.problem(reflect.TypeFor[In]()); body == nil {
		f.problem = errors.New("its body is nil")
	}
	app.add(f)
	return &Function[In, Out]{app: app, slug: f.slug}
}

func input[In any](data []json.RawMessage, batch bool) (in In, err error) {
	raw := data[0]
	if batch {
		if raw, err = marshal(data); err != nil {
			return in, err
		}
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return in, &mismatch{into: reflect.TypeFor[In](), err: err}
	}
	return in, nil
}

// function is a function whatever its types are.
type function struct {
	name, slug string
	config     funcConfig
	call       func(ctx context.Context, data []json.RawMessage) (json.RawMessage, error)
	problem    error
}

// FuncOption is an option of a function.
type FuncOption interface{ applyFunc(*funcConfig) }

// funcConfig is what the options of a function say.
type funcConfig struct {
	policy   policy
	title    string
	triggers []map[string]any
	types    []reflect.Type // of the events that start it
	batch    *Batch
	settings map[string]any // by the protocol's names
	concur   []map[string]any
	cancel   []map[string]any
	onFail   func(context.Context, Failure) error
	ack      Ack
	keyRule  KeyRule
	wrong    error // with an option
}

type funcOption func(*funcConfig)

func (o funcOption) applyFunc(c *funcConfig) { o(c) }

func (c *funcConfig) set(name string, value any) {
	if c.settings == nil {
		c.settings = map[string]any{}
	}
	c.settings[name] = value
}

// problem says what is wrong with the options of a function that takes in.
func (c *funcConfig) problem(in reflect.Type) error {
	if c.policy.problem != nil {
		return c.policy.problem
	}
	if c.wrong != nil {
		return c.wrong
	}
	if c.batch != nil && in.Kind() != reflect.Slice {
		return fmt.Errorf("it has a Batch, so it must take a slice, not a %s", in)
	}
	want := in
	if c.batch != nil {
		want = in.Elem()
	}
	if !holdsObject(want) {
		return fmt.Errorf("it takes a %s, but the data of an event is an object: take a struct, or a map", want)
	}
	for _, t := range c.types {
		if t != want && want.Kind() == reflect.Struct && t.Kind() == reflect.Struct {
			return fmt.Errorf("it takes a %s, but an event that starts it holds a %s; use OnName if that is meant", want, t)
		}
	}
	return nil
}

// holdsObject reports whether a JSON object may be read into a t.
func holdsObject(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return true
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Interface:
		return true
	case reflect.Pointer:
		return holdsObject(t.Elem())
	default:
		return false
	}
}

// Trigger is an event that starts a function.
type Trigger struct {
	name      string
	condition string
	data      reflect.Type
}

// On starts the function by each event of a kind.
func On[T any](e EventType[T]) Trigger {
	return Trigger{name: e.name, data: reflect.TypeFor[T]()}
}

// OnName starts the function by each event of a name, which may end in a
// wildcard: "user/*".
func OnName(name string) Trigger { return Trigger{name: name} }

// If adds a condition in CEL, such as `event.data.amount > 100`.
func (t Trigger) If(condition string) Trigger { t.condition = condition; return t }

func (t Trigger) applyFunc(c *funcConfig) {
	trigger := map[string]any{"event": t.name}
	if t.condition != "" {
		trigger["expression"] = t.condition
	}
	c.triggers = append(c.triggers, trigger)
	if t.data != nil {
		c.types = append(c.types, t.data)
	}
}

// Cron starts the function by the clock.
type Cron struct {
	// Schedule has five fields, with a time zone in front if need be:
	// "0 9 * * 1", "TZ=Europe/Berlin 0 9 * * 1", "@daily".
	Schedule string
	Jitter   time.Duration // each tick is late by a random part of it; 1 s to 5 min
	// Missed says what becomes of ticks while nobody was there to run them: "once"
	// (the newest runs; the default), "skip" or "all". Pawl's own.
	Missed string
	// Overlap says what becomes of a tick while the run of an earlier one goes on:
	// "allow" (the default), "skip", "queue" or "replace". Pawl's own.
	Overlap string
}

func (o Cron) applyFunc(c *funcConfig) {
	trigger := map[string]any{"cron": o.Schedule}
	for name, value := range map[string]string{"missed": o.Missed, "overlap": o.Overlap} {
		if value != "" {
			trigger[name] = value
		}
	}
	if o.Jitter > 0 {
		trigger["jitter"] = duration(o.Jitter)
	}
	c.triggers = append(c.triggers, trigger)
}

// Title is what people see in place of the function's name.
func Title(s string) FuncOption { return funcOption(func(c *funcConfig) { c.title = s }) }

// Scope says among whom a limit is shared.
type Scope string

// The scopes of a limit.
const (
	ScopeFunction Scope = "fn"
	ScopeEnv      Scope = "env"
	ScopeAccount  Scope = "account"
)

// Concurrency limits how many steps run at a time. A function can have two.
type Concurrency struct {
	Limit int    // at least 1
	Key   string // in CEL: each value has a limit of its own
	Scope Scope  // default ScopeFunction; the others need a Key
}

func (o Concurrency) applyFunc(c *funcConfig) {
	if o.Limit < 1 {
		c.wrong = fmt.Errorf("Concurrency: its Limit is %d; it has to be at least 1", o.Limit)
	}
	c.concur = append(c.concur, compact(map[string]any{"limit": o.Limit, "key": o.Key, "scope": string(o.Scope)}))
	c.set("concurrency", c.concur)
}

// Throttle delays runs that would be too many in a period.
type Throttle struct {
	Limit  int
	Period time.Duration // 1 s to 7 days
	Burst  int           // that may start at once on top; default none
	Key    string        // in CEL: each value has a limit of its own
}

func (o Throttle) applyFunc(c *funcConfig) {
	c.set("throttle", compact(map[string]any{"limit": o.Limit, "period": duration(o.Period), "burst": o.Burst, "key": o.Key}))
}

// RateLimit drops events that would start too many runs in a period. Starts are
// spread over the period, as on every server of the protocol: of those that come at
// once a tenth of Limit and one more pass, and then one each time that Period/Limit
// is over. [Throttle] lets a whole Limit pass at once, and drops nothing.
type RateLimit struct {
	Limit  int
	Period time.Duration // up to 24 h
	Key    string        // in CEL: each value has a limit of its own
}

func (o RateLimit) applyFunc(c *funcConfig) {
	c.set("rateLimit", compact(map[string]any{"limit": o.Limit, "period": duration(o.Period), "key": o.Key}))
}

// Debounce starts the function when no event has come for a period, with the
// last one.
type Debounce struct {
	Period time.Duration // 1 s to 7 days
	Most   time.Duration // that all of it may take; default: any
	Key    string        // in CEL: each value is waited for by itself
}

func (o Debounce) applyFunc(c *funcConfig) {
	m := map[string]any{"period": duration(o.Period), "key": o.Key}
	if o.Most > 0 {
		m["timeout"] = duration(o.Most)
	}
	c.set("debounce", compact(m))
}

// Batch gathers events and starts one run for them.
type Batch struct {
	Size    int           // at least 2
	Timeout time.Duration // after which fewer are enough; at least 1 s
	Key     string        // in CEL: each value is gathered by itself
	If      string        // in CEL: other events start a run of their own
}

func (o Batch) applyFunc(c *funcConfig) {
	c.batch = &o
	c.set("batchEvents", compact(map[string]any{"maxSize": o.Size, "timeout": duration(o.Timeout), "key": o.Key, "if": o.If}))
}

// Singleton lets one run go on at a time.
type Singleton struct {
	Key     string // in CEL: each value by itself
	Replace bool   // a new run cancels the old one; otherwise it is skipped
}

func (o Singleton) applyFunc(c *funcConfig) {
	mode := "skip"
	if o.Replace {
		mode = "cancel"
	}
	c.set("singleton", compact(map[string]any{"key": o.Key, "mode": mode}))
}

// CancelOn cancels a run when an event comes. A function can have five.
type CancelOn struct {
	Event  string        // name
	If     string        // in CEL: "async" is the event that comes, "event" the one that started the run
	Within time.Duration // of the run's start; default: any time
}

func (o CancelOn) applyFunc(c *funcConfig) {
	m := map[string]any{"event": o.Event, "if": o.If}
	if o.Within > 0 {
		m["timeout"] = duration(o.Within)
	}
	c.cancel = append(c.cancel, compact(m))
	c.set("cancel", c.cancel)
}

// Priority is a number in CEL, from -43,200 to 43,200: by so many seconds a run
// is put before others.
func Priority(expression string) FuncOption {
	return funcOption(func(c *funcConfig) { c.set("priority", map[string]any{"run": expression}) })
}

// Idempotency is a key in CEL, such as `event.data.order`: for each value of it
// the function is started once in 24 hours.
func Idempotency(expression string) FuncOption {
	return funcOption(func(c *funcConfig) { c.set("idempotency", expression) })
}

// StartWithin cancels a run that has not begun in time.
func StartWithin(d time.Duration) FuncOption { return timeouts("start", d) }

// FinishWithin cancels a run that has not ended in time.
func FinishWithin(d time.Duration) FuncOption { return timeouts("finish", d) }

func timeouts(name string, d time.Duration) FuncOption {
	return funcOption(func(c *funcConfig) {
		m, _ := c.settings["timeouts"].(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		m[name] = duration(d)
		c.set("timeouts", m)
	})
}

// Failure is what is known about a run that failed.
type Failure struct {
	RunID   string
	Event   Received // that started it
	Name    string   // of the error
	Message string
}

// OnFailure is called when a run of the function has failed for good. It is a
// durable function of its own.
func OnFailure(f func(context.Context, Failure) error) FuncOption {
	return funcOption(func(c *funcConfig) {
		if c.onFail = f; f == nil {
			c.wrong = errors.New("OnFailure(nil): there is no function to call")
		}
	})
}

// compact leaves out what is not given.
func compact(m map[string]any) map[string]any {
	for k, v := range m {
		if v == "" || v == 0 {
			delete(m, k)
		}
	}
	return m
}

// registration is the function as the protocol tells it.
func (f *function) registration(url string) map[string]any {
	title := f.config.title
	if title == "" {
		title = f.name
	}
	triggers := f.config.triggers
	if triggers == nil {
		triggers = []map[string]any{}
	}
	r := map[string]any{
		"id": f.slug, "name": title, "triggers": triggers,
		"steps": map[string]any{"step": map[string]any{
			"id": "step", "name": title,
			"runtime": map[string]any{"type": "http", "url": url + "?fnId=" + f.slug + "&stepId=step"},
			"retries": map[string]any{"attempts": f.retries()},
		}},
	}
	if f.config.keyRule != "" {
		r["idempotencyKey"] = string(f.config.keyRule)
	}
	for name, value := range f.config.settings {
		r[name] = value
	}
	return r
}

// defaultRetries is how many there are when nobody says. Source: spec/02 §5.4.
const defaultRetries = 4

func (f *function) retries() int {
	if f.config.policy.retries < 0 {
		return defaultRetries
	}
	return f.config.policy.retries
}

package wire

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of options. Source: SDK protocol notes 02 §5.4, 11 §2 to §11 and §17.
const (
	maxConcurrency   = 2
	maxCancel        = 5
	minPeriod        = time.Second
	maxDebounce      = 7 * 24 * time.Hour
	maxThrottle      = 7 * 24 * time.Hour
	maxRateLimit     = 24 * time.Hour
	minBatchSize     = 2
	minBatchTimeout  = time.Second
	codeConcurrency  = "concurrency_invalid"
	codeThrottle     = "throttle_invalid"
	codeRateLimit    = "rate_limit_invalid"
	codeDebounce     = "debounce_invalid"
	codeBatchSize    = "batch_size_invalid"
	codeBatchTimeout = "batch_timeout_invalid"
	codeBatch        = "batch_invalid"
	codePriority     = "priority_invalid"
	codeSingleton    = "singleton_invalid"
	codeCancel       = "cancel_invalid"
	codeTimeouts     = "timeouts_invalid"
	codeIdempotency  = "idempotency_invalid"
	codeKeyRule      = "idempotency_key_invalid"
)

// options checks the flow-control options of a function and returns the names
// of those that are set to something. Expressions are checked elsewhere.
func (k *checker) options(b functionBody) []string {
	var set []string
	for _, o := range []struct {
		name  string
		value jsontext.Value
		check func(jsontext.Value) bool
	}{
		{"batchEvents", b.BatchEvents, k.batch},
		{"cancel", b.Cancel, k.cancel},
		{"concurrency", b.Concurrency, k.concurrency},
		{"debounce", b.Debounce, k.debounce},
		{"idempotency", b.Idempotency, k.idempotency},
		{"idempotencyKey", b.IdempotencyKey, k.keyRule},
		{"priority", b.Priority, k.priority},
		{"rateLimit", b.RateLimit, k.rateLimit},
		{"singleton", b.Singleton, k.singleton},
		{"throttle", b.Throttle, k.throttle},
		{"timeouts", b.Timeouts, k.timeouts},
	} {
		if !isNull(o.value) && o.check(o.value) {
			set = append(set, o.name)
		}
	}
	if slices.Contains(set, "batchEvents") {
		for _, c := range []struct{ name, word string }{
			{"cancel", "cancellation"}, {"debounce", "debouncing"}, {"singleton", "singletons"}, {"priority", "priorities"},
		} {
			if slices.Contains(set, c.name) {
				k.problem(codeCombo, "Batching and %s are mutually exclusive", c.word)
			}
		}
	}
	if slices.Contains(set, "idempotency") && slices.Contains(set, "rateLimit") {
		k.warn("idempotency replaces rateLimit")
	}
	return set
}

type concurrencyBody struct {
	Limit int64  `json:"limit"`
	Key   string `json:"key"`
	Scope string `json:"scope"`
}

// concurrency takes a number, one entry, a list of entries, or Go's object of
// two lists. It is set when some entry has a limit of its own.
func (k *checker) concurrency(v jsontext.Value) bool {
	const code, option = codeConcurrency, "concurrency"
	var steps, runs []concurrencyBody
	switch v.Kind() {
	case '0':
		steps = make([]concurrencyBody, 1)
		if !k.read(code, option, v, &steps[0].Limit) {
			return false
		}
	case '[':
		if !k.read(code, option, v, &steps) {
			return false
		}
	default:
		var o struct {
			concurrencyBody
			Fn   []concurrencyBody `json:"fn"`
			Step []concurrencyBody `json:"step"`
		}
		if !k.read(code, option, v, &o) {
			return false
		}
		runs, steps = o.Fn, o.Step
		if o.concurrencyBody != (concurrencyBody{}) {
			steps = append(steps, o.concurrencyBody)
		}
	}
	if len(steps) > maxConcurrency {
		k.problem(code, "There are more concurrency limits specified than the allowed max of: %d", maxConcurrency)
	}
	if len(runs) > 1 {
		k.problem(code, "Only one limit of concurrent runs is allowed")
	}
	unkeyed := 0
	for _, s := range steps {
		switch scope := strings.ToLower(s.Scope); scope {
		case "", "fn":
			if s.Key == "" {
				unkeyed++
			}
		case "env", "account":
			if s.Key == "" {
				k.problem(code, "A concurrency key must be specified for env/account scoped limits")
			}
		default:
			k.problem(code, "%s does not belong to ConcurrencyScope values", clip(s.Scope))
		}
	}
	if unkeyed > 1 {
		k.problem(code, "Only one function concurrency limit is allowed")
	}
	set := false
	for _, s := range slices.Concat(steps, runs) {
		set = set || s.Limit > 0
		if s.Limit < 0 {
			k.warn("concurrency: a limit of %d means no limit", s.Limit)
		}
	}
	return set
}

type rateBody struct {
	Limit  int64          `json:"limit"`
	Period jsontext.Value `json:"period"`
	Key    string         `json:"key"`
	Burst  int64          `json:"burst"`
}

// period reads a duration that an option needs.
func (k *checker) period(code, option string, v jsontext.Value) (time.Duration, bool) {
	if isNull(v) {
		k.problem(code, "The %s is missing", option)
		return 0, false
	}
	d, err := ParseDurationValue(v)
	if err != nil {
		k.problem(code, "The %s of %s is invalid: %s", option, quoted(v), err)
		return 0, false
	}
	if d < minPeriod {
		k.problem(code, "The %s of %s is less than the min of: %s", option, quoted(v), minPeriod)
		return 0, false
	}
	return d, true
}

func quoted(v jsontext.Value) string { return "'" + clip(strings.Trim(string(v), `"`)) + "'" }

func (k *checker) throttle(v jsontext.Value) bool {
	var b rateBody
	if !k.read(codeThrottle, "throttle", v, &b) {
		return false
	}
	if b.Limit < 1 {
		k.warn("throttle: a limit of %d counts as 1", b.Limit)
	}
	if b.Burst < 0 {
		k.warn("throttle: a burst of %d counts as 0", b.Burst)
	}
	d, ok := k.period(codeThrottle, "throttle period", b.Period)
	if ok && d > maxThrottle {
		k.warn("throttle: a period of %s is longer than the documented maximum of 7 days", d)
	}
	return ok
}

func (k *checker) rateLimit(v jsontext.Value) bool {
	var b rateBody
	if !k.read(codeRateLimit, "rateLimit", v, &b) {
		return false
	}
	if b.Limit < 1 {
		k.problem(codeRateLimit, "The rate limit of %d is less than the min of: 1", b.Limit)
	}
	d, ok := k.period(codeRateLimit, "rate limit period", b.Period)
	if ok && d > maxRateLimit {
		k.problem(codeRateLimit, "The rate limit period of %s is greater than the max of: %s", quoted(b.Period), maxRateLimit)
	}
	return ok
}

func (k *checker) debounce(v jsontext.Value) bool {
	var b struct {
		Period  jsontext.Value `json:"period"`
		Timeout jsontext.Value `json:"timeout"`
		Key     string         `json:"key"`
	}
	if !k.read(codeDebounce, "debounce", v, &b) {
		return false
	}
	d, ok := k.period(codeDebounce, "debounce period", b.Period)
	if ok && d > maxDebounce {
		k.problem(codeDebounce, "The debounce period of %s is greater than the max of: %s", quoted(b.Period), maxDebounce)
	}
	if !blank(b.Timeout) {
		t, err := ParseDurationValue(b.Timeout)
		switch {
		case err != nil:
			k.problem(codeDebounce, "The debounce timeout of %s is invalid: %s", quoted(b.Timeout), err)
		case ok && t < d:
			k.warn("debounce: the timeout of %s is shorter than the period and wins", t)
		}
	}
	return ok
}

// blank reports whether an optional duration was left out; Go sends "".
func blank(v jsontext.Value) bool { return isNull(v) || string(v) == `""` }

func (k *checker) batch(v jsontext.Value) bool {
	var b struct {
		MaxSize int64          `json:"maxSize"`
		Timeout jsontext.Value `json:"timeout"`
		Key     string         `json:"key"`
		If      string         `json:"if"`
	}
	if !k.read(codeBatch, "batchEvents", v, &b) {
		return false
	}
	if b.MaxSize < minBatchSize {
		k.problem(codeBatchSize, "batch size cannot be smaller than %d: %d", minBatchSize, b.MaxSize)
	}
	if blank(b.Timeout) {
		return true
	}
	// Unlike all other durations this one has no days and weeks.
	d, err := ParseDurationValue(b.Timeout)
	if s, bad := text(b.Timeout); bad == nil {
		d, err = time.ParseDuration(s)
	}
	switch {
	case err != nil:
		k.problem(codeBatchTimeout, "invalid timeout string: %s", strings.Trim(quoted(b.Timeout), "'"))
	case d < minBatchTimeout:
		k.problem(codeBatchTimeout, "batch timeout should be more than %s", minBatchTimeout)
	}
	return true
}

func (k *checker) priority(v jsontext.Value) bool {
	var b struct {
		Run string `json:"run"`
	}
	return k.read(codePriority, "priority", v, &b) && b.Run != ""
}

func (k *checker) idempotency(v jsontext.Value) bool {
	var key string
	return k.read(codeIdempotency, "idempotency", v, &key) && key != ""
}

// keyRule is Pawl's own option: what becomes of a start without an idempotency key.
func (k *checker) keyRule(v jsontext.Value) bool {
	var rule string
	if !k.read(codeKeyRule, "idempotencyKey", v, &rule) {
		return false
	}
	switch rule {
	case "", "none":
		return false
	case "required", "derived":
		return true
	}
	k.problem(codeKeyRule, "idempotencyKey %q is none of none, required and derived", clip(rule))
	return false
}

func (k *checker) singleton(v jsontext.Value) bool {
	var b struct {
		Mode string `json:"mode"`
		Key  string `json:"key"`
	}
	if !k.read(codeSingleton, "singleton", v, &b) {
		return false
	}
	switch strings.ToLower(b.Mode) {
	case "skip", "cancel":
	case "":
		k.warn("singleton: no mode means skip")
	default:
		k.problem(codeSingleton, "%s does not belong to SingletonMode values", clip(b.Mode))
	}
	return true
}

func (k *checker) cancel(v jsontext.Value) bool {
	var all []struct {
		Event   string         `json:"event"`
		If      string         `json:"if"`
		Timeout jsontext.Value `json:"timeout"`
	}
	if !k.read(codeCancel, "cancel", v, &all) {
		return false
	}
	if len(all) > maxCancel {
		k.problem(codeCancel, "function has %d cancellations, the limit is %d", len(all), maxCancel)
	}
	for i, c := range all {
		switch {
		case c.Event == "":
			k.problem(codeCancel, "cancellation %d has no event", i+1)
		case len(c.Event) > maxTriggerBytes:
			k.problem(codeCancel, "cancellation %d: event name is longer than %d bytes", i+1, maxTriggerBytes)
		}
		if blank(c.Timeout) {
			continue
		}
		if err := checkWhen(c.Timeout); err != nil {
			k.warn("cancel: the timeout is ignored: %s", err)
		}
	}
	return len(all) > 0
}

// checkWhen says whether v is a duration or a date.
func checkWhen(v jsontext.Value) error {
	if _, err := ParseDurationValue(v); err == nil {
		return nil
	}
	s, err := text(v)
	if err != nil {
		return err
	}
	if _, ok := parseDate(s); !ok {
		return fmt.Errorf("%q is neither a duration nor a date", clip(s))
	}
	return nil
}

func (k *checker) timeouts(v jsontext.Value) bool {
	var b struct {
		Start  jsontext.Value `json:"start"`
		Finish jsontext.Value `json:"finish"`
	}
	if !k.read(codeTimeouts, "timeouts", v, &b) {
		return false
	}
	set := false
	for _, t := range []struct {
		name  string
		value jsontext.Value
	}{{"start", b.Start}, {"finish", b.Finish}} {
		if blank(t.value) {
			continue
		}
		d, err := ParseDurationValue(t.value)
		if err != nil {
			k.warn("timeouts: %s is ignored: %s", t.name, err)
			continue
		}
		set = set || d > 0
	}
	return set
}

// CheckOptions says what is wrong with the flow control options of an object,
// as they stand in a registration; nil if nothing is.
func CheckOptions(object jsontext.Value) (problems []string) {
	k := &checker{reg: &Registration{}}
	var b functionBody
	if err := decode(object, &b); err != nil {
		return []string{err.Error()}
	}
	k.options(b)
	for _, p := range k.problems {
		problems = append(problems, p.Message)
	}
	return problems
}

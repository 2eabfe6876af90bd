package durable

import "time"

// Limits are a function's flow control. Source: spec/11.
type Limits struct {
	Steps     []Concurrency // requests in flight
	Runs      *Concurrency  // runs from their first request to their end
	Throttle  *Throttle
	RateLimit *RateLimit
	Debounce  *Debounce
	Batch     *Batch
	Singleton *Singleton
	NoKey     KeyRule // what becomes of a start without an idempotency key
	Priority  string  // an expression over the event: seconds by which a run comes ahead of others; "" for none
}

// Concurrency is how many at once, for each value of Key.
type Concurrency struct {
	Limit  int
	Key    string // an expression over the event; "": one bucket
	Shared bool   // with all functions that write the same key
}

// Throttle delays runs so that no more than Limit, and Burst at once beside
// them, begin in each Period.
type Throttle struct {
	Limit  int
	Period time.Duration
	Burst  int
	Key    string
}

// RateLimit leaves out what is more than Limit in a Period.
type RateLimit struct {
	Limit  int
	Period time.Duration
	Key    string
}

// Debounce starts one run for the last of the events that come less than Period
// after each other, and Timeout after the first of them at the latest.
type Debounce struct {
	Period  time.Duration
	Timeout time.Duration // 0: none
	Key     string
}

// Batch starts one run for up to Size events, and Timeout after the first of
// them at the latest.
type Batch struct {
	Size    int
	Timeout time.Duration
	Key     string
	If      string // an event for which it is false is not batched; "": all are
}

// Singleton lets one run at a time live. A new one is left out, or takes the
// place of the one before.
type Singleton struct {
	Key    string
	Cancel bool
}

// Keys are the expressions whose values a run keeps from its start on.
func (l Limits) Keys() (sources []string) {
	add := func(source string) {
		if source != "" {
			sources = append(sources, source)
		}
	}
	for _, c := range l.Steps {
		add(c.Key)
	}
	if l.Runs != nil {
		add(l.Runs.Key)
	}
	if l.Throttle != nil {
		add(l.Throttle.Key)
	}
	return sources
}

// Counted reports whether something has to be kept when a run begins.
func (l Limits) Counted() bool { return l.Runs != nil || l.Throttle != nil }

// Expressions are all expressions of the limits, by the option they stand in.
func (l Limits) Expressions() map[string]string {
	all := map[string]string{"priority": l.Priority}
	for _, c := range l.Steps {
		all["concurrency key "+c.Key] = c.Key
	}
	if l.Runs != nil {
		all["run concurrency key"] = l.Runs.Key
	}
	if l.Throttle != nil {
		all["throttle key"] = l.Throttle.Key
	}
	if l.RateLimit != nil {
		all["rateLimit key"] = l.RateLimit.Key
	}
	if l.Debounce != nil {
		all["debounce key"] = l.Debounce.Key
	}
	if l.Batch != nil {
		all["batchEvents key"], all["batchEvents if"] = l.Batch.Key, l.Batch.If
	}
	if l.Singleton != nil {
		all["singleton key"] = l.Singleton.Key
	}
	return all
}

package pawl

import (
	"fmt"
	"math"
	"time"
)

// Option is an option of functions and of steps alike. On a function it also
// holds for those of its steps that do not say otherwise.
type Option interface {
	FuncOption
	StepOption
}

// policy says what becomes of an error.
type policy struct {
	retries  int // -1: not given
	backoff  func(try int) time.Duration
	classify func(error) Verdict
	problem  error
}

// over is p where it says something, and q elsewhere.
func (p policy) over(q policy) policy {
	if p.retries < 0 {
		p.retries = q.retries
	}
	if p.backoff == nil {
		p.backoff = q.backoff
	}
	if p.classify == nil {
		p.classify = q.classify
	}
	return p
}

type policyOption func(*policy)

func (o policyOption) applyFunc(c *funcConfig) { o(&c.policy) }
func (o policyOption) applyStep(c *stepConfig) { o(&c.policy) }

// Retries is how many tries may follow the first one, 0 to 20; a function that
// does not say has 4. A step can have fewer than its function, but not more.
func Retries(n int) Option {
	return policyOption(func(p *policy) {
		if p.retries = n; n < 0 || n > maxRetries {
			p.problem = fmt.Errorf("Retries(%d): it has to be 0 to %d", n, maxRetries)
		}
	})
}

// maxRetries is the most that servers know. Source: spec/11 §12.
const maxRetries = 20

// Backoff sets the pause before each further try: try is 1 for the first
// retry. Pauses are whole seconds, at least one, and at most a day. Without it
// the server decides: 15 s, 30 s, 1 min, 2 min, 5 min, … up to 2 h, each plus
// up to 30 s.
func Backoff(pause func(try int) time.Duration) Option {
	return policyOption(func(p *policy) { p.backoff = pause })
}

// Exponential doubles the pause from first up to most.
func Exponential(first, most time.Duration) Option {
	return Backoff(func(try int) time.Duration {
		return time.Duration(min(float64(most), float64(first)*math.Pow(2, float64(try-1))))
	})
}

// Constant pauses as long before each try.
func Constant(pause time.Duration) Option {
	return Backoff(func(int) time.Duration { return pause })
}

// Classify decides which errors may be tried again. f returns [Undecided] for
// errors that it does not know; those are then tried again, unless they have a
// method Retryable that returns false.
func Classify(f func(error) Verdict) Option {
	return policyOption(func(p *policy) { p.classify = f })
}

// retryAfter is the pause that the protocol can express: whole seconds, rounded
// up, so that no try comes too early.
func retryAfter(d time.Duration) int {
	s := int((d + time.Second - 1) / time.Second)
	return min(max(s, 1), 24*60*60)
}

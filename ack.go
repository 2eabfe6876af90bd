package pawl

import "fmt"

// Ack says what a step waits for before the function, or the endpoint's handler, goes
// on. Whatever it is, a step with [Verify] does not begin until it is on disk that it is
// about to, and what was done before: that is a write for each such step, which the
// handler waits for, and its client with it.
type Ack int

const (
	// AckEachStep waits until the step's result is on disk: after a crash at most
	// the steps that are running run again. It is what functions do unless they say
	// something else.
	AckEachStep Ack = iota + 1
	// AckBeforeRespond goes on at once, and answers when all is on disk: after a
	// crash steps whose results were not on disk yet run again. Results are written
	// from a millisecond after the first of them, and the last with the answer. It
	// is what endpoints do unless they say something else. A function has no client: its
	// answer is that it has ended.
	AckBeforeRespond
	// Pipelined goes on and answers at once: after a crash, besides, an answer
	// may have been given that is then computed again.
	Pipelined
)

func (a Ack) applyFunc(c *funcConfig) {
	if c.ack = a; a < AckEachStep || a > Pipelined {
		c.wrong = fmt.Errorf("Ack(%d): there is no such Ack", a)
	}
}

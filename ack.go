package pawl

// Ack says what a step waits for before the function goes on.
type Ack int

const (
	// AckEachStep waits until the step's result is on disk: after a crash at most
	// the steps that are running run again. It is what functions do.
	AckEachStep Ack = iota + 1
	// AckBeforeRespond goes on at once, and answers when all is on disk: after a
	// crash steps whose results were not on disk yet run again. Results are written
	// from a millisecond after the first of them, and the last with the answer. It
	// is what endpoints do.
	AckBeforeRespond
	// Pipelined goes on and answers at once: after a crash, besides, an answer
	// may have been given that is then computed again.
	Pipelined
)

func (a Ack) applyFunc(c *funcConfig) { c.ack = a }
